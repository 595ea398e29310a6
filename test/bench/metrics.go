package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// metrics are samples of Prometheus metrics by their name with labels, as they are written.
type metrics map[string]float64

// counters reads the metrics of a process on this machine.
func counters(ctx context.Context, address string) (metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	seen, err := parseMetrics(rsp.Body)
	return seen, errors.Join(err, rsp.Body.Close())
}

func parseMetrics(r io.Reader) (metrics, error) {
	m := make(metrics)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
		m[line[:at]] = v
	}
	return m, lines.Err()
}

// sum adds up all samples of a metric that have each of these labels, given as name="value".
func (m metrics) sum(name string, labels ...string) float64 {
	var total float64
next:
	for k, v := range m {
		rest, ok := strings.CutPrefix(k, name)
		if !ok || rest != "" && rest[0] != '{' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue next
			}
		}
		total += v
	}
	return total
}

// metrics reads those of a process of the control plane. Where they are is among its arguments, with which its log
// begins.
func (l *live) metrics(ctx context.Context, process string) (metrics, error) {
	log, err := os.ReadFile(l.Logs(process))
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(log), "\n")
	for _, arg := range strings.Fields(line) {
		if address, ok := strings.CutPrefix(arg, "--metrics-address="); ok {
			return counters(ctx, address)
		}
		if port, ok := strings.CutPrefix(arg, "--metrics-port="); ok {
			return counters(ctx, "127.0.0.1:"+port)
		}
	}
	return nil, fmt.Errorf("%s begins without a line that says where its metrics are", l.Logs(process))
}
