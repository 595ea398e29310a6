package cloudflare

import (
	"context"
	"sync"
	"time"
)

const (
	// settle is how long after a write a list is not trusted to know of it.
	settle = 10 * time.Second
	// listTimeout bounds one listing, all its pages.
	listTimeout = 2 * time.Minute
	// failurePause is how long a failed listing answers for the next ones, so that a thousand objects do not each try.
	failurePause = 2 * time.Second
)

// view is a list that serves many objects, with this process's writes in it. See the package comment.
type view[T any] struct {
	freshness time.Duration
	list      func(context.Context) ([]T, error)
	id        func(T) string

	mu       sync.Mutex
	items    map[string]T
	listedAt time.Time
	// doubts counts writes without a known outcome, listedDoubts those before the list was begun: a list that is older
	// than a doubt is of no use to those who ask after it.
	doubts, listedDoubts int
	written              map[string]change[T]
	flight               *flight
	failedAt             time.Time
	failure              error
}

// change is what this process knows of an item since at.
type change[T any] struct {
	item T
	gone bool
	at   time.Time
}

// flight is a listing that is under way.
type flight struct {
	done chan struct{}
	err  error
}

func newView[T any](freshness time.Duration, id func(T) string, list func(context.Context) ([]T, error)) *view[T] {
	return &view[T]{freshness: freshness, list: list, id: id, written: make(map[string]change[T])}
}

// get finds an item by id.
func (v *view[T]) get(ctx context.Context, id string) (item T, found bool, err error) {
	if err := v.refresh(ctx); err != nil {
		return item, false, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	item, found = v.items[id]
	return item, found, nil
}

// filter finds all items that match.
func (v *view[T]) filter(ctx context.Context, match func(T) bool) ([]T, error) {
	if err := v.refresh(ctx); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []T
	for _, item := range v.items {
		if match(item) {
			out = append(out, item)
		}
	}
	return out, nil
}

// refresh lists again if the list is too old. Whoever comes meanwhile waits for the same listing.
func (v *view[T]) refresh(ctx context.Context) error {
	v.mu.Lock()
	doubts := v.doubts
	v.mu.Unlock()
	for {
		f, err := v.join(ctx, doubts)
		if f == nil || err != nil {
			return err
		}
		select {
		case <-f.done:
			if f.err != nil {
				return f.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// join is the listing to wait for, none if the list is fresh and knows of so many doubts.
func (v *view[T]) join(ctx context.Context, doubts int) (*flight, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	switch {
	case v.items != nil && now.Sub(v.listedAt) < v.freshness && v.listedDoubts >= doubts:
		return nil, nil
	case v.failure != nil && now.Sub(v.failedAt) < failurePause:
		return nil, v.failure
	case v.flight == nil:
		v.flight = &flight{done: make(chan struct{})}
		// The listing serves others too, so it does not end with the one who asked first.
		go v.fly(context.WithoutCancel(ctx), v.flight)
	}
	return v.flight, nil
}

func (v *view[T]) fly(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	v.mu.Lock()
	start, doubts := time.Now(), v.doubts
	v.mu.Unlock()
	items, err := v.list(ctx)

	v.mu.Lock()
	defer v.mu.Unlock()
	v.flight = nil
	f.err = err
	close(f.done)
	if err != nil {
		v.failure, v.failedAt = err, time.Now()
		return
	}
	v.failure = nil
	v.listedAt, v.listedDoubts = start, doubts
	v.items = make(map[string]T, len(items))
	for _, item := range items {
		v.items[v.id(item)] = item
	}
	for id, c := range v.written {
		if c.at.Before(start.Add(-settle)) {
			delete(v.written, id)
			continue
		}
		v.apply(id, c)
	}
}

func (v *view[T]) apply(id string, c change[T]) {
	switch {
	case v.items == nil:
	case c.gone:
		delete(v.items, id)
	default:
		v.items[id] = c.item
	}
}

// know notes what is known of an item since at.
func (v *view[T]) know(id string, c change[T]) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old, known := v.written[id]; known && old.at.After(c.at) {
		return
	}
	v.written[id] = c
	v.apply(id, c)
}

func (v *view[T]) put(item T, at time.Time) { v.know(v.id(item), change[T]{item: item, at: at}) }

func (v *view[T]) drop(id string, at time.Time) { v.know(id, change[T]{gone: true, at: at}) }

// doubt makes the next read list again.
func (v *view[T]) doubt() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.doubts++
}
