package cloudflare

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxBatch is how many changes a zone on the free plan may make in one call.
const maxBatch = 200

// batcher sends creations and deletions of records of one zone together. A batch is one transaction, so one refused
// change refuses all; then the batch is halved until each change has an answer of its own.
type batcher struct {
	calls *calls
	zone  string
	// window is how long the first change waits for others.
	window func() time.Duration
	// most is how many changes do not wait for more.
	most int

	mu      sync.Mutex
	pending []*recordChange
	timer   *time.Timer
}

// recordChange is a creation, or the deletion of id.
type recordChange struct {
	create RecordSpec
	id     string

	done   chan struct{}
	record Record
	err    error
}

// do returns the answer to one change. If ctx ends first, the change is taken back or, if it is under way, left to its
// fate.
func (b *batcher) do(ctx context.Context, c *recordChange) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	c.done = make(chan struct{})
	b.mu.Lock()
	b.pending = append(b.pending, c)
	switch len(b.pending) {
	case b.most:
		if b.timer != nil {
			b.timer.Stop()
		}
		b.send()
	case 1:
		b.timer = time.AfterFunc(b.window(), b.flush)
	}
	b.mu.Unlock()

	select {
	case <-c.done:
		return c.record, c.err
	case <-ctx.Done():
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, other := range b.pending {
			if other == c {
				b.pending = append(b.pending[:i:i], b.pending[i+1:]...)
				break
			}
		}
		return Record{}, ctx.Err()
	}
}

func (b *batcher) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.send()
}

// send starts a batch of all that wait.
func (b *batcher) send() {
	changes := b.pending
	b.pending = nil
	if len(changes) == 0 {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), listTimeout)
		defer cancel()
		b.carryOut(inClass(ctx, batched), changes)
	}()
}

func (b *batcher) carryOut(ctx context.Context, changes []*recordChange) {
	if len(changes) == 1 {
		c := changes[0]
		if c.id != "" {
			c.err = b.calls.deleteRecord(ctx, b.zone, c.id)
		} else {
			c.record, c.err = b.calls.createRecord(ctx, b.zone, c.create)
		}
		close(c.done)
		return
	}
	var (
		remove []string
		create []RecordSpec
	)
	for _, c := range changes {
		if c.id != "" {
			remove = append(remove, c.id)
		} else {
			create = append(create, c.create)
		}
	}
	created, err := b.calls.batch(ctx, b.zone, remove, create)
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound) {
		half := len(changes) / 2
		b.carryOut(ctx, changes[:half])
		b.carryOut(ctx, changes[half:])
		return
	}
	for _, c := range changes {
		switch {
		case err != nil:
			c.err = err
		case c.id == "":
			c.record, created = created[0], created[1:]
		}
		close(c.done)
	}
}
