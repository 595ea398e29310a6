package cloudflaretest

import (
	mathrand "math/rand/v2"
	"strings"
	"time"
)

// Fault is what can go wrong with one call.
type Fault string

// The faults.
const (
	// None is no fault.
	None Fault = ""
	// Refuse breaks the connection before the call is carried out.
	Refuse Fault = "refuse"
	// ServerError answers 502 with a page of HTML; the call is not carried out.
	ServerError Fault = "server error"
	// ServerErrorAfter answers 500 in an envelope although the call was carried out.
	ServerErrorAfter Fault = "server error after commit"
	// DropAnswer carries the call out and breaks the connection.
	DropAnswer Fault = "drop answer"
	// Truncate carries the call out and sends half of the answer.
	Truncate Fault = "truncate"
	// NotSuccess answers 200 with "success": false; the call is not carried out.
	NotSuccess Fault = "not success"
	// Hang carries the call out and answers only when the client has gone.
	Hang Fault = "hang"
)

// before says whether the call is not carried out.
func (f Fault) before() bool { return f == Refuse || f == ServerError || f == NotSuccess }

// Faults are how often something goes wrong, each between 0 and 1; together at most 1.
type Faults struct {
	Refuse, ServerError, ServerErrorAfter, DropAnswer, Truncate, NotSuccess float64
	// Latency delays each answer, by up to Jitter more.
	Latency, Jitter time.Duration
	// Down breaks every connection.
	Down bool
}

// onceFault is a fault for the next calls of one kind.
type onceFault struct {
	op    string
	fault Fault
	left  int
}

// SetFaults changes how often something goes wrong. The same seed gives the same sequence.
func (s *Simulator) SetFaults(f Faults, seed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
	s.random = mathrand.New(mathrand.NewPCG(seed, seed))
}

// FailNext makes the next n calls fail whose Op has that prefix.
func (s *Simulator) FailNext(op string, f Fault, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.once = append(s.once, onceFault{op: op, fault: f, left: n})
}

// pick decides about one call.
func (s *Simulator) pick(op string) (Fault, time.Duration) {
	latency := s.faults.Latency
	if s.faults.Jitter > 0 {
		latency += time.Duration(s.random.Int64N(int64(s.faults.Jitter)))
	}
	if s.faults.Down {
		return Refuse, latency
	}
	for i := range s.once {
		if o := &s.once[i]; o.left > 0 && strings.HasPrefix(op, o.op) {
			o.left--
			return o.fault, latency
		}
	}
	p := s.random.Float64()
	for _, f := range []struct {
		fault Fault
		rate  float64
	}{
		{Refuse, s.faults.Refuse}, {ServerError, s.faults.ServerError}, {ServerErrorAfter, s.faults.ServerErrorAfter},
		{DropAnswer, s.faults.DropAnswer}, {Truncate, s.faults.Truncate}, {NotSuccess, s.faults.NotSuccess},
	} {
		if p < f.rate {
			return f.fault, latency
		}
		p -= f.rate
	}
	return None, latency
}
