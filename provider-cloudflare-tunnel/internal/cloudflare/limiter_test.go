package cloudflare

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sim "aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
)

func TestABurstGoesOutAtOnceAndNoWindowHoldsMoreThanTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(40, time.Hour)
		start := time.Now()
		sent := make([]time.Time, 0, 100)
		for range 100 {
			require.NoError(t, l.wait(t.Context(), batched))
			l.observe(http.StatusOK, nil)
			sent = append(sent, time.Now())
		}
		require.Less(t, sent[39].Sub(start), time.Second)
		for i := range sent[40:] {
			require.GreaterOrEqual(t, sent[i+40].Sub(sent[i]), window)
		}
		require.Less(t, sent[99].Sub(start), 2*window+time.Second, "no time is lost")
	})
}

func TestReadsLeaveRoomForWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(100, time.Second)
		for range 80 {
			require.NoError(t, l.wait(t.Context(), ordinary))
		}
		err := l.wait(t.Context(), ordinary)
		require.ErrorIs(t, err, ErrThrottled)
		for range 14 {
			require.NoError(t, l.wait(t.Context(), urgent))
		}
		require.ErrorIs(t, l.wait(t.Context(), urgent), ErrThrottled)
		until, throttled := l.throttled(urgent)
		require.True(t, throttled)
		_, throttled = l.throttled(batched)
		require.False(t, throttled)
		require.InDelta(t, window.Seconds(), time.Until(until).Seconds(), 1)
		d, ok := RetryAfter(err)
		require.True(t, ok)
		require.InDelta(t, window.Seconds(), d.Seconds(), 1)
	})
}

func TestWritesLeaveAFewReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(100, time.Second)
		for range 98 {
			require.NoError(t, l.wait(t.Context(), batched))
		}
		require.ErrorIs(t, l.wait(t.Context(), batched), ErrThrottled)
		for range 2 {
			require.NoError(t, l.wait(t.Context(), ordinary), "a list that serves all")
		}
		require.ErrorIs(t, l.wait(t.Context(), ordinary), ErrThrottled)
		require.ErrorIs(t, l.wait(t.Context(), batched), ErrThrottled)
		time.Sleep(window + time.Second)
		for range 2 {
			require.NoError(t, l.wait(t.Context(), ordinary))
		}
		for range 98 {
			require.NoError(t, l.wait(t.Context(), batched), "what reads had is not kept from writes too")
		}
		require.ErrorIs(t, l.wait(t.Context(), batched), ErrThrottled)
	})
}

func TestWritesLeaveRoomForBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(100, time.Second)
		for range 94 {
			require.NoError(t, l.wait(t.Context(), urgent))
		}
		require.ErrorIs(t, l.wait(t.Context(), urgent), ErrThrottled)
		for range 4 {
			require.NoError(t, l.wait(t.Context(), batched))
		}
		require.ErrorIs(t, l.wait(t.Context(), batched), ErrThrottled)
		require.NoError(t, l.wait(t.Context(), ordinary))
	})
}

func TestWhatIsKeptForACallIsItsOwnWhileOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(100, time.Hour)
		for range 94 {
			require.NoError(t, l.wait(t.Context(), urgent))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { require.ErrorIs(t, l.wait(ctx, urgent), context.Canceled) })
		}
		synctest.Wait()
		start := time.Now()
		for range 4 {
			require.NoError(t, l.wait(t.Context(), batched))
		}
		require.NoError(t, l.wait(t.Context(), ordinary))
		require.Less(t, time.Since(start), time.Second)
		cancel()
		wg.Wait()
	})
}

func TestWritesOvertakeReadsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(10, time.Hour)
		for range 10 {
			require.NoError(t, l.wait(t.Context(), urgent))
		}
		var (
			mu    sync.Mutex
			order []class
			wg    sync.WaitGroup
		)
		for _, c := range []class{ordinary, ordinary, urgent, ordinary, urgent} {
			wg.Go(func() {
				require.NoError(t, l.wait(t.Context(), c))
				mu.Lock()
				defer mu.Unlock()
				order = append(order, c)
			})
			synctest.Wait()
		}
		wg.Wait()
		require.Equal(t, []class{urgent, urgent, ordinary, ordinary, ordinary}, order)
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1, time.Hour)
		require.NoError(t, l.wait(t.Context(), urgent))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, l.wait(ctx, urgent), ErrThrottled, "it would not be served in time, so it is told at once")

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		require.ErrorIs(t, l.wait(ctx, urgent), context.Canceled)
		require.ErrorIs(t, l.wait(ctx, urgent), context.Canceled)
		require.Empty(t, l.waiting[urgent])

		start := time.Now()
		require.NoError(t, l.wait(t.Context(), urgent))
		require.InDelta(t, (window - time.Minute).Seconds(), time.Since(start).Seconds(), 1)
	})
}

func TestALargerBudgetLetsWaitersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1, time.Hour)
		require.NoError(t, l.wait(t.Context(), urgent))
		start := time.Now()
		time.AfterFunc(time.Minute, func() { l.setBudget(2) })
		require.NoError(t, l.wait(t.Context(), urgent))
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestAnswersSlowTheLimiterDown(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := make(http.Header)
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	for name, c := range map[string]struct {
		status int
		header http.Header
		want   time.Duration
	}{
		"nothing is said":                   {status: 200},
		"some is left":                      {status: 200, header: header("X-RateLimit-Remaining", "5")},
		"nothing is left":                   {status: 200, header: header("X-RateLimit-Remaining", "0"), want: window},
		"nothing is left for a while":       {status: 200, header: header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30"), want: 30 * time.Second},
		"nothing is left, in the new form":  {status: 200, header: header("Ratelimit", `"default";r=0;t=40`), want: 40 * time.Second},
		"the scarcer of two policies":       {status: 200, header: header("Ratelimit", `"burst";r=0;t=20, "default";r=900;t=10`), want: 20 * time.Second},
		"too many, with a time":             {status: 429, header: header("Retry-After", "17"), want: 17 * time.Second},
		"too many, with only a reset":       {status: 429, header: header("X-RateLimit-Reset", "18"), want: 18 * time.Second},
		"too many, with nothing":            {status: 429, want: window},
		"too many, with nonsense":           {status: 429, header: header("Retry-After", "soon"), want: window},
		"too many, with an impossible time": {status: 429, header: header("Retry-After", "99999999"), want: window},
		"too many, with no time at all":     {status: 429, header: header("Retry-After", "0"), want: time.Second},
		"nonsense is ignored":               {status: 200, header: header("X-RateLimit-Remaining", "-1", "Ratelimit", ";;r=;t=x,")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(1000, time.Hour)
				require.NoError(t, l.wait(t.Context(), urgent))
				l.observe(c.status, c.header)
				start := time.Now()
				require.NoError(t, l.wait(t.Context(), urgent))
				require.InDelta(t, c.want.Seconds(), time.Since(start).Seconds(), 0.1)
			})
		})
	}
}

func TestOthersUseOfTheBudgetIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1000, time.Second)
		require.NoError(t, l.wait(t.Context(), urgent))
		l.observe(200, http.Header{"X-Ratelimit-Remaining": {"3"}, "X-Ratelimit-Reset": {"60"}})
		for range 3 {
			require.NoError(t, l.wait(t.Context(), urgent))
		}
		require.ErrorIs(t, l.wait(t.Context(), urgent), ErrThrottled, "what was sent since counts, even before it is answered")
		time.Sleep(time.Minute)
		require.NoError(t, l.wait(t.Context(), urgent))
	})
}

// A server that counts in a sliding window always says that nothing is left to one who uses all of it. That is no reason
// to stop.
func TestAFullyUsedBudgetFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(40, time.Hour)
		start := time.Now()
		log := make([]time.Time, 0, 400)
		for range 400 {
			require.NoError(t, l.wait(t.Context(), batched))
			now := time.Now()
			log = append(log, now)
			used := 0
			for _, at := range log {
				if now.Sub(at) < window {
					used++
				}
			}
			require.LessOrEqual(t, used, 40)
			l.observe(200, http.Header{"X-Ratelimit-Remaining": {strconv.Itoa(40 - used)}})
		}
		require.Less(t, time.Since(start), 9*window+time.Minute)
	})
}

// Two processes with one token, each unaware of the other: the answers keep both below the real limit.
func TestTheBlockOfFiveMinutesIsNotProvoked(t *testing.T) {
	clock := sim.NewClock(time.Now())
	w := newWorld(t, sim.Options{Budget: 30, Clock: clock.Now})
	w.AddTunnel(account, "acme")
	one, two := w.session(t, token, Options{MaxWait: time.Millisecond}), w.session(t, token, Options{MaxWait: time.Millisecond})
	throttled := 0
	for range 40 {
		for _, api := range []*Session{one, two} {
			_, err := api.FindTunnel(t.Context(), account, "acme", Direct)
			if errors.Is(err, ErrThrottled) {
				throttled++
				continue
			}
			require.NoError(t, err)
			time.Sleep(spacing)
		}
	}
	require.Positive(t, throttled)
	blocked := 0
	for _, c := range w.Calls() {
		if c.Status == http.StatusTooManyRequests {
			blocked++
		}
	}
	require.LessOrEqual(t, blocked, 1, "the one who did not see the last request go")
	_, is := one.Throttled(false)
	require.True(t, is)
}

func TestABlockIsSatOut(t *testing.T) {
	w := newWorld(t, sim.Options{Budget: 1})
	_, err := w.api.CreateTunnel(t.Context(), account, "acme", secret)
	require.NoError(t, err)
	other := w.session(t, token, Options{})
	_, err = other.FindTunnel(t.Context(), account, "acme", Direct)
	require.ErrorIs(t, err, ErrThrottled)
	d, ok := RetryAfter(err)
	require.True(t, ok)
	require.InDelta(t, window.Seconds(), d.Seconds(), 2)
	for range 5 {
		_, err = other.FindTunnel(t.Context(), account, "acme", Direct)
		require.ErrorIs(t, err, ErrThrottled)
	}
	require.Equal(t, 2, w.Count(""), "no call is made while blocked")
}
