// Package pace decides when an object is looked at again: after its poll interval, at the time of something that it
// waits for, or when Cloudflare lets the provider ask again.
package pace

import (
	"context"
	"math/rand/v2"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Poll is how long to wait after a round that went well: the poll interval, moved by up to jitter to either side so
// that the objects of a restarted provider do not stay in step, or less if something is due before.
func Poll(interval, jitter time.Duration, now time.Time, due ...time.Time) time.Duration {
	wait := interval + time.Duration((rand.Float64()*2-1)*float64(jitter))
	for _, t := range due {
		if until := t.Sub(now); until > 0 {
			wait = min(wait, until)
		}
	}
	return max(wait, time.Second)
}

// pauseKey is where a context has the pause of its reconcile.
type pauseKey struct{}

// Pause asks that the object be looked at again after wait and not before, however the reconcile ends.
func Pause(ctx context.Context, wait time.Duration) {
	if p, ok := ctx.Value(pauseKey{}).(*time.Duration); ok {
		*p = max(*p, wait)
	}
}

// Reconciler does what its parts ask for with Pause. Crossplane's reconciler knows only its own backoff, which would ask
// a throttled API every minute on behalf of every object.
func Reconciler(inner reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
		var pause time.Duration
		result, err := inner.Reconcile(context.WithValue(ctx, pauseKey{}, &pause), req)
		if pause > 0 && err == nil && !result.IsZero() {
			// A little apart, so that the first second does not use up the budget again.
			spread := time.Duration(rand.Float64() * float64(min(pause, 10*time.Second)))
			return reconcile.Result{RequeueAfter: pause + spread}, nil
		}
		return result, err
	})
}
