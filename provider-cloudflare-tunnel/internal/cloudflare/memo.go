package cloudflare

import (
	"context"
	"maps"
	"sync"
	"time"
)

const (
	// keepGood and keepBad are how long answers are kept that rarely change: about zones, the token and its permissions.
	keepGood = 10 * time.Minute
	keepBad  = 30 * time.Second
)

// memo keeps answers by key. Several who ask for the same one share a call.
type memo[T any] struct {
	mu      sync.Mutex
	answers map[string]*answer[T]
}

type answer[T any] struct {
	done  chan struct{}
	value T
	err   error
	good  bool
	until time.Time
}

// get asks unless there is an answer. Keep says how long a new one holds.
func (m *memo[T]) get(ctx context.Context, key string, ask func(context.Context) (T, error), keep func(T, error) time.Duration) (T, error) {
	m.mu.Lock()
	a := m.answers[key]
	if a != nil && !a.until.IsZero() && !time.Now().Before(a.until) {
		a = nil
	}
	if a == nil {
		a = &answer[T]{done: make(chan struct{})}
		if m.answers == nil {
			m.answers = make(map[string]*answer[T])
		}
		m.answers[key] = a
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
			defer cancel()
			value, err := ask(ctx)
			m.mu.Lock()
			defer m.mu.Unlock()
			hold := keep(value, err)
			a.value, a.err, a.good, a.until = value, err, hold == keepGood, time.Now().Add(hold)
			close(a.done)
		}()
	}
	m.mu.Unlock()

	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// forgetGood drops the answers that were good. Bad ones end soon by themselves, and one that is under way is new.
func (m *memo[T]) forgetGood() {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.answers, func(_ string, a *answer[T]) bool { return a.good })
}
