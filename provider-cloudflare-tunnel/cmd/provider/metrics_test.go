package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// gathered are how often each histogram of a registry was observed, by its labels' values.
func gathered(t *testing.T, registry prometheus.Gatherer) map[string]uint64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	out := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetName() + "=" + l.GetValue()
			}
			out[key] = m.GetHistogram().GetSampleCount()
		}
	}
	return out
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no route") }

func TestRequestsAreCountedByTheirAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/many" {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	t.Cleanup(server.Close)
	requests := newRequestMetric()
	registry := prometheus.NewRegistry()
	registry.MustRegister(requests)
	ask := func(next http.RoundTripper, path string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
		require.NoError(t, err)
		res, err := (&measured{next: next, requests: requests}).RoundTrip(req)
		if err == nil {
			require.NoError(t, res.Body.Close())
		}
	}
	require.Equal(t, map[string]uint64{
		"cloudflare_api_request_duration_seconds code=429 method=GET":    0,
		"cloudflare_api_request_duration_seconds code=429 method=POST":   0,
		"cloudflare_api_request_duration_seconds code=429 method=PATCH":  0,
		"cloudflare_api_request_duration_seconds code=429 method=DELETE": 0,
	}, gathered(t, registry), "the first refusal has to be an increase")

	ask(http.DefaultTransport, "/")
	ask(http.DefaultTransport, "/many")
	ask(http.DefaultTransport, "/many")
	ask(broken{}, "/")
	require.Subset(t, gathered(t, registry), map[string]uint64{
		"cloudflare_api_request_duration_seconds code=200 method=GET":  1,
		"cloudflare_api_request_duration_seconds code=429 method=GET":  2,
		"cloudflare_api_request_duration_seconds code=none method=GET": 1,
	})
}

func TestAReconcileThatHangsIsUnhealthy(t *testing.T) {
	running := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: longestReconcile}, []string{"controller"})
	registry := prometheus.NewRegistry()
	registry.MustRegister(running)
	check := reconcilesEnd(registry, time.Minute)
	require.NoError(t, check(nil), "no controller runs")
	running.WithLabelValues("tunnel").Set(59)
	running.WithLabelValues("dnsrecord").Set(0)
	require.NoError(t, check(nil))
	running.WithLabelValues("dnsrecord").Set(61)
	require.EqualError(t, check(nil), "a reconcile hangs for 1m1s by now")
}
