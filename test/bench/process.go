package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// maxMessage is what the functions accept, and then some.
	maxMessage = 64 << 20
	// startTimeout is patient: another build may keep all cores busy.
	startTimeout = time.Minute
)

// server is a function that runs as a process of its own, and our connections to it.
type server struct {
	metrics     string
	cmd         *exec.Cmd
	ended       chan struct{}
	connections []*grpc.ClientConn
}

// start runs a function on loopback without TLS, as every one is measured, and waits until it answers.
func start(ctx context.Context, binary string, connections int, args ...string) (*server, error) {
	addresses, err := freeAddresses(ctx, 2)
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, append(args, "--insecure", "--address="+addresses[0], "--metrics-address="+addresses[1])...)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{metrics: addresses[1], cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // Its end is what matters; why is in its log.
		close(s.ended)
	}()
	for range connections {
		c, err := grpc.NewClient(addresses[0],
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
		if err != nil {
			s.stop()
			return nil, err
		}
		s.connections = append(s.connections, c)
	}
	if err := s.await(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s does not serve: %w\n%s", binary, err, log.String())
	}
	return s, nil
}

func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.metrics)
		if err == nil {
			// The function's own port is bound before that of the metrics.
			return c.Close()
		}
		select {
		case <-s.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the process; it has nothing to save.
func (s *server) stop() {
	for _, c := range s.connections {
		_ = c.Close()
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) client(i int) fnv1.FunctionRunnerServiceClient {
	return fnv1.NewFunctionRunnerServiceClient(s.connections[i])
}

// resident is how much memory a process holds, in bytes.
func resident(ctx context.Context, pid int) (float64, error) {
	out, err := exec.CommandContext(ctx, "ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0, fmt.Errorf("ps: %w", err)
	}
	kib, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	return kib * 1024, err
}

// processorTime is what a process has used so far, in whole seconds.
func processorTime(ctx context.Context, pid int) (time.Duration, error) {
	out, err := exec.CommandContext(ctx, "ps", "-o", "time=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0, fmt.Errorf("ps: %w", err)
	}
	return parseProcessorTime(strings.TrimSpace(string(out)))
}

// parseProcessorTime reads [[days-]hours:]minutes:seconds, on some systems with a fraction.
func parseProcessorTime(s string) (time.Duration, error) {
	days, clock, found := strings.Cut(s, "-")
	if !found {
		days, clock = "0", s
	}
	d, err := strconv.ParseFloat(days, 64)
	seconds := 0.0
	for _, part := range strings.Split(clock, ":") {
		v, partErr := strconv.ParseFloat(part, 64)
		err = errors.Join(err, partErr)
		seconds = seconds*60 + v
	}
	if err != nil {
		return 0, fmt.Errorf("processor time %q: %w", s, err)
	}
	return time.Duration((d*24*60*60 + seconds) * float64(time.Second)), nil
}

// freeAddresses are loopback addresses that nobody listens on.
func freeAddresses(ctx context.Context, n int) (addresses []string, err error) {
	for range n {
		l, listenErr := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, listenErr
		}
		// All stay open until all are known, so that none is found twice.
		defer func() { err = errors.Join(err, l.Close()) }()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
