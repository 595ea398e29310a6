package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/docs/pages"
	"aphex.io/platform/test/controlplane"
)

// The page on metrics lists those that there are, and no others, on a platform on which claims were made.
func TestMetricsAreThoseOfTheDocumentation(t *testing.T) {
	cp.cloudflare(t)
	namespace := cp.namespace(t, "e2e-metrics")
	claim := cp.create(t, organization(namespace, "e2e-metrics"))
	cp.awaitReady(t, claim)
	cp.awaitReady(t, cp.create(t, knowledgeBase(namespace, "e2e-metrics")))

	// These are there once something was deleted, or found changed at Cloudflare.
	occasional := []string{"crossplane_managed_resource_deletion_seconds", "crossplane_managed_resource_drift_seconds"}
	programs := map[string][]string{"Provider": {controlplane.Provider}}
	for _, f := range controlplane.AphexFunctions() {
		programs["Functions"] = append(programs["Functions"], f.Name)
	}
	for section, names := range programs {
		documented, err := pages.Metrics(cp.Root(), section)
		require.NoError(t, err)
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				// The provider counts its objects every minute.
				eventually(t, func(ctx context.Context) error {
					have, err := cp.metrics(ctx, name)
					if err != nil {
						return err
					}
					for _, m := range have {
						if !slices.ContainsFunc(documented, func(d string) bool { return matches(d, m) }) {
							return fmt.Errorf("%s is not documented", m)
						}
					}
					return missing(documented, append(have, occasional...))
				})
			})
		}
	}
	t.Run("crossplane", func(t *testing.T) {
		have, err := cp.metrics(t.Context(), "crossplane")
		require.NoError(t, err)
		require.Contains(t, have, "function_run_function_seconds")
		require.Contains(t, have, "controller_runtime_reconcile_errors_total")
	})
}

// missing says which documented metrics are not there.
func missing(documented, have []string) error {
	var absent []error
	for _, d := range documented {
		if !slices.ContainsFunc(have, func(name string) bool { return matches(d, name) }) {
			absent = append(absent, fmt.Errorf("%s is documented and not there", d))
		}
	}
	return errors.Join(absent...)
}

func matches(documented, name string) bool {
	prefix, begins := strings.CutSuffix(documented, "*")
	return documented == name || begins && strings.HasPrefix(name, prefix)
}

var metricType = regexp.MustCompile(`(?m)^# TYPE (\S+) `)

// metrics are the names of what a process tells Prometheus.
func (c *cluster) metrics(ctx context.Context, process string) ([]string, error) {
	address, err := c.flag(process, "metrics-address")
	if err != nil {
		port, portErr := c.flag(process, "metrics-port")
		if portErr != nil {
			return nil, err
		}
		address = "127.0.0.1:" + port
	}
	body, err := fetch(ctx, "http://"+address+"/metrics")
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, m := range metricType.FindAllStringSubmatch(body, -1) {
		names[m[1]] = true
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// flag is the value with which a process was started, or the only one whose name begins with that, as those of a Deployment's
// pods do. A log begins with the arguments, of which the last one holds.
func (c *cluster) flag(process, name string) (string, error) {
	running := slices.DeleteFunc(c.Processes(), func(p string) bool { return p != process })
	if len(running) == 0 {
		running = slices.DeleteFunc(c.Processes(), func(p string) bool { return !strings.HasPrefix(p, process+"-") })
	}
	if len(running) != 1 {
		return "", fmt.Errorf("%s runs %d times", process, len(running))
	}
	log, err := os.ReadFile(c.Logs(running[0]))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(log), "\n")
	for _, arg := range slices.Backward(strings.Fields(line)) {
		if value, found := strings.CutPrefix(arg, "--"+name+"="); found {
			return value, nil
		}
	}
	return "", fmt.Errorf("%s was started without --%s: %s", running[0], name, line)
}

func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, res.Status, body)
	}
	return string(body), nil
}

func getOK(ctx context.Context, url string) error {
	_, err := fetch(ctx, url)
	return err
}
