package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// hangs is how many times its timeout a reconcile may take before it counts as hung. Each ends at its timeout unless
// something waits for what never comes, which only a restart ends.
const hangs = 10

// longestReconcile is the metric of controller-runtime that says for how long the oldest reconcile of a controller runs.
const longestReconcile = "workqueue_longest_running_processor_seconds"

// reconcilesEnd says whether no reconcile takes longer than that.
func reconcilesEnd(metrics prometheus.Gatherer, longest time.Duration) healthz.Checker {
	return func(*http.Request) error {
		families, err := metrics.Gather()
		if err != nil {
			return fmt.Errorf("read the metrics: %w", err)
		}
		for _, family := range families {
			if family.GetName() != longestReconcile {
				continue
			}
			for _, m := range family.GetMetric() {
				if runs := time.Duration(m.GetGauge().GetValue() * float64(time.Second)); runs > longest {
					return fmt.Errorf("a reconcile hangs for %s by now", runs.Round(time.Second))
				}
			}
		}
		return nil
	}
}

// cachesSynced says whether the provider sees the cluster: every list that a controller began with is there.
func cachesSynced(mgr ctrl.Manager) healthz.Checker {
	return func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
}
