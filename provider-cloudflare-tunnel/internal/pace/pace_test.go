package pace_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/pace"
)

var now = time.Date(2026, 1, 16, 23, 15, 0, 0, time.UTC)

func TestPoll(t *testing.T) {
	require.Equal(t, 15*time.Minute, pace.Poll(15*time.Minute, 0, now))
	require.Equal(t, 15*time.Minute, pace.Poll(15*time.Minute, 0, now, now.Add(-time.Hour), now.Add(time.Hour)), "what is past or far away does not matter")
	require.Equal(t, 3*time.Minute, pace.Poll(15*time.Minute, 0, now, now.Add(3*time.Minute)))
	require.Equal(t, time.Second, pace.Poll(15*time.Minute, 0, now, now.Add(time.Millisecond)))
	different := false
	for range 50 {
		got := pace.Poll(15*time.Minute, time.Minute, now)
		require.GreaterOrEqual(t, got, 14*time.Minute)
		require.LessOrEqual(t, got, 16*time.Minute)
		different = different || got != pace.Poll(15*time.Minute, time.Minute, now)
	}
	require.True(t, different)
}

func TestAPauseIsKept(t *testing.T) {
	run := func(pauses []time.Duration, result reconcile.Result, err error) (reconcile.Result, error) {
		return pace.Reconciler(reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
			for _, p := range pauses {
				pace.Pause(ctx, p)
			}
			return result, err
		})).Reconcile(t.Context(), reconcile.Request{})
	}
	got, err := run([]time.Duration{time.Minute, 2 * time.Minute, time.Second}, reconcile.Result{RequeueAfter: time.Second}, nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, got.RequeueAfter, 2*time.Minute, "the longest counts")
	require.LessOrEqual(t, got.RequeueAfter, 2*time.Minute+10*time.Second)

	got, err = run(nil, reconcile.Result{RequeueAfter: time.Hour}, nil)
	require.NoError(t, err)
	require.Equal(t, time.Hour, got.RequeueAfter)

	got, err = run([]time.Duration{time.Minute}, reconcile.Result{}, nil)
	require.NoError(t, err)
	require.True(t, got.IsZero(), "an object that is gone is not looked at again")

	_, err = run([]time.Duration{time.Minute}, reconcile.Result{}, errors.New("broken"))
	require.EqualError(t, err, "broken")
	pace.Pause(t.Context(), time.Minute) // Without a reconcile it does nothing.
}
