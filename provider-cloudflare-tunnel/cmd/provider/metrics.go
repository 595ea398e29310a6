package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// unanswered is the status code of a request without an answer.
const unanswered = "none"

// newRequestMetric has the refusals for want of budget from the beginning: Prometheus sees no increase in a series that begins
// with the first of them.
func newRequestMetric() *prometheus.HistogramVec {
	requests := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "cloudflare_api_request_duration_seconds", Help: "Requests to Cloudflare's API, by method and status code.",
		Buckets: prometheus.ExponentialBuckets(0.05, 2, 8),
	}, []string{"method", "code"})
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		requests.WithLabelValues(method, strconv.Itoa(http.StatusTooManyRequests))
	}
	return requests
}

func newBudgetMetric(used func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cloudflare_api_budget_used_ratio",
		Help: "How much of its budget of requests in five minutes that API token has used which used most.",
	}, used)
}

// measured counts requests, and how long they take until the head of the answer is there.
type measured struct {
	next     http.RoundTripper
	requests *prometheus.HistogramVec
}

// RoundTrip implements http.RoundTripper.
func (m *measured) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	res, err := m.next.RoundTrip(req)
	code := unanswered
	if err == nil {
		code = strconv.Itoa(res.StatusCode)
	}
	m.requests.WithLabelValues(req.Method, code).Observe(time.Since(began).Seconds())
	return res, err
}
