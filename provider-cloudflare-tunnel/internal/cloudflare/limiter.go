package cloudflare

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// window is what Cloudflare counts requests over, and for how long it blocks a user who made too many.
	window = 5 * time.Minute
	// spacing keeps far below the 200 requests per second that Cloudflare allows an address.
	spacing = 6 * time.Millisecond
	// maxRetryAfter bounds what an answer can make us wait.
	maxRetryAfter = time.Hour
	// batchReserve percent of the budget wait for batches, each of which may end the wait of 200 objects.
	batchReserve = 6
	// readShare of the budget is open to reads, in percent; the rest waits for writes. The first readReserve percent are
	// theirs alone: a list serves all objects, and what was written is not known to be ready before it was read.
	readShare   = 80
	readReserve = 2
)

// class is how urgent a call is, the most urgent first.
type class int

const (
	// batched are the changes of records.
	batched class = iota
	// urgent are the other writes, and the reads that decide about one.
	urgent
	ordinary
	classes
)

// limiter keeps the calls of one token below its budget in every window of five minutes, whether or not Cloudflare
// counts in fixed ones, and below what the answers say is left. A budget that is not used up costs no time: a burst
// goes out at once.
type limiter struct {
	maxWait time.Duration

	mu     sync.Mutex
	budget int
	// sent are the calls within the last window, oldest first, and reads is how many of them were ordinary.
	sent  []call
	reads int
	// notBefore is set by an answer that says to wait.
	notBefore time.Time
	// ceiling is how many calls the window may hold by what Cloudflare said was left, until ceilingEnds. Others who use
	// the same budget lower it.
	ceiling     int
	ceilingEnds time.Time
	// unanswered calls may not be counted yet in what an answer says is left.
	unanswered int
	waiting    [classes][]*waiter
	timer      *time.Timer
}

// call is one that was made.
type call struct {
	at time.Time
	class
}

// waiter is a call whose turn comes when ready is closed.
type waiter struct{ ready chan struct{} }

func newLimiter(budget int, maxWait time.Duration) *limiter {
	return &limiter{budget: budget, maxWait: maxWait}
}

func (l *limiter) setBudget(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.budget = n
	l.dispatch()
}

// wait returns when the call may be made. It is ErrThrottled, at once, if that would take longer than maxWait or than
// ctx allows.
func (l *limiter) wait(ctx context.Context, c class) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	now := time.Now()
	ahead := l.ahead(c)
	at := l.next(now, c, ahead)
	if ahead == 0 && !at.After(now) {
		l.take(now, c)
		l.mu.Unlock()
		return nil
	}
	longest := l.maxWait
	if deadline, ok := ctx.Deadline(); ok {
		longest = min(longest, deadline.Sub(now))
	}
	if at.Sub(now) > longest {
		l.mu.Unlock()
		return &Error{Kind: ErrThrottled, RetryAfter: at.Sub(now)}
	}
	w := &waiter{ready: make(chan struct{})}
	l.waiting[c] = append(l.waiting[c], w)
	l.dispatch()
	l.mu.Unlock()

	// The estimate can be overtaken by more urgent calls, or by an answer that says to wait.
	limit := time.NewTimer(longest)
	defer limit.Stop()
	var err error
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-limit.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leave(c, w) {
		return nil
	}
	if err == nil {
		now = time.Now()
		err = &Error{Kind: ErrThrottled, RetryAfter: max(l.next(now, c, 0).Sub(now), time.Second)}
	}
	return err
}

// ahead is how many wait whose turn comes before that of one more call of that class.
func (l *limiter) ahead(c class) int {
	if own := len(l.waiting[c]); c == ordinary && l.reads+own < reserved(l.budget) {
		return own
	}
	n := 0
	for i := range c + 1 {
		n += len(l.waiting[i])
	}
	return n
}

// leave takes a waiter out of its queue. It is false if its turn had come meanwhile.
func (l *limiter) leave(c class, w *waiter) bool {
	for i, other := range l.waiting[c] {
		if other == w {
			l.waiting[c] = append(l.waiting[c][:i:i], l.waiting[c][i+1:]...)
			return true
		}
	}
	return false
}

// next is the earliest time for one more call of that class after as many others.
func (l *limiter) next(now time.Time, c class, ahead int) time.Time {
	l.forget(now)
	at := now
	if n := len(l.sent); n > 0 {
		at = later(at, l.sent[n-1].at.Add(spacing))
	}
	at = later(at.Add(time.Duration(ahead)*spacing), l.notBefore)

	at = later(at, l.slot(l.budget, c, ahead))
	if now.Before(l.ceilingEnds) {
		low := l.slot(min(l.budget, l.ceiling), c, ahead)
		if low.After(l.ceilingEnds) {
			low = l.ceilingEnds
		}
		at = later(at, low)
	}
	return at
}

// slot is when the window has room for one more call of that class after as many others.
func (l *limiter) slot(allowed int, c class, ahead int) time.Time {
	unread := max(0, reserved(allowed)-l.reads)
	switch {
	case c == batched:
		allowed -= unread
	case c == urgent:
		allowed -= max(unread, allowed*batchReserve/100)
	case ahead >= unread:
		allowed = allowed * readShare / 100
	}
	i := len(l.sent) + ahead - max(1, allowed)
	if i < 0 || len(l.sent) == 0 {
		return time.Time{}
	}
	return l.sent[min(i, len(l.sent)-1)].at.Add(window)
}

// reserved is how many calls of a budget are kept for reads.
func reserved(budget int) int { return budget * readReserve / 100 }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// forget drops calls that left the window.
func (l *limiter) forget(now time.Time) {
	n := 0
	for n < len(l.sent) && now.Sub(l.sent[n].at) >= window {
		if l.sent[n].class == ordinary {
			l.reads--
		}
		n++
	}
	l.sent = l.sent[n:]
}

// used is how much of the budget the window holds, in percent.
func (l *limiter) used() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(time.Now())
	return 100 * len(l.sent) / max(1, l.budget)
}

func (l *limiter) take(now time.Time, c class) {
	l.sent = append(l.sent, call{now, c})
	if c == ordinary {
		l.reads++
	}
	l.unanswered++
}

// dispatch lets go all whose turn has come and sets the timer for the next one.
func (l *limiter) dispatch() {
	for {
		now := time.Now()
		c, at := l.turn(now)
		if c == classes {
			return
		}
		if at.After(now) {
			if l.timer != nil {
				l.timer.Stop()
			}
			l.timer = time.AfterFunc(at.Sub(now), func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.dispatch()
			})
			return
		}
		w := l.waiting[c][0]
		l.waiting[c] = l.waiting[c][1:]
		l.take(now, c)
		close(w.ready)
	}
}

// turn is the class of the waiter whose turn comes first, and when. Where several have their turn, it is the most urgent
// one; without waiters, it is none.
func (l *limiter) turn(now time.Time) (first class, at time.Time) {
	first = classes
	for c := range classes {
		if len(l.waiting[c]) == 0 {
			continue
		}
		if t := l.next(now, c, 0); first == classes || t.Before(at) {
			first, at = c, t
		}
	}
	return first, at
}

// throttled says until when no call of a class can be made, if that is longer than a call would wait for.
func (l *limiter) throttled(c class) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	at := l.next(now, c, 0)
	return at, at.Sub(now) > l.maxWait
}

// observe ends a call that wait let go, and learns from its answer's headers; a call without an answer has status 0.
// On 429 the time to wait is returned.
func (l *limiter) observe(status int, h http.Header) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.unanswered--
	left, reset, known := budgetHeaders(h)
	if known {
		l.forget(now)
		l.ceiling = len(l.sent) + left - l.unanswered
		l.ceilingEnds = now.Add(window)
		if reset > 0 {
			l.ceilingEnds = now.Add(reset)
		}
	}
	if status != http.StatusTooManyRequests {
		return 0
	}
	wait := window
	if s, ok := seconds(h.Get("Retry-After")); ok {
		wait = s
	} else if reset > 0 {
		wait = reset
	}
	wait = max(wait, time.Second)
	l.notBefore = later(l.notBefore, now.Add(wait))
	return wait
}

// budgetHeaders reads what is left, and for how long that is said, from either of the two forms that Cloudflare
// documents: X-RateLimit-Remaining with X-RateLimit-Reset, and Ratelimit: "default";r=50;t=30.
func budgetHeaders(h http.Header) (left int, reset time.Duration, known bool) {
	reset, _ = seconds(h.Get("X-RateLimit-Reset"))
	if n, err := strconv.Atoi(h.Get("X-RateLimit-Remaining")); err == nil && n >= 0 {
		left, known = n, true
	}
	for policy := range strings.SplitSeq(h.Get("Ratelimit"), ",") {
		for param := range strings.SplitSeq(policy, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			switch name {
			case "r":
				if n, err := strconv.Atoi(value); err == nil && n >= 0 && (!known || n < left) {
					left, known = n, true
				}
			case "t":
				if s, ok := seconds(value); ok {
					reset = max(reset, s)
				}
			}
		}
	}
	return left, reset, known
}

func seconds(s string) (time.Duration, bool) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > int(maxRetryAfter/time.Second) {
		return 0, false
	}
	return time.Duration(n) * time.Second, true
}
