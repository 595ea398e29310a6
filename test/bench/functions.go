package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
)

// What the functions are to reach.
const (
	mostLatency  = 1.5      // of the floor's p50
	mostResident = 48 << 20 // bytes
	mostGrowth   = 1.1      // of what was resident after the first tenth of all requests
)

const (
	rounds  = 10
	streams = 8
	// block is how many requests go to one server before the other's turn, so that a noise meets both.
	block = 20
)

// subject is one of our functions and the golden case that it is measured with, played on until it is ready: that is
// what almost every run sees. Teams are namespaces that are there as well.
type subject struct {
	function, testdata string
	teams              int
}

func subjects(o options) []subject {
	const platform = "a-fresh-claim-makes-its-namespace-and-the-first-wave"
	return []subject{
		{"organization", "everything-is-ready", 0},
		{"repobinding", "fresh", 0},
		{"knowledgebase", "ready", 0},
		{"platform", platform, 0},
		{"platform", platform, o.teams},
	}
}

// measured is what was seen of one server.
type measured struct {
	*server

	serial          samples
	parallel        int
	parallelElapsed time.Duration
	// residentAt is the memory at the start, after the first round, and at the end.
	residentAt      [3]float64
	allocs, objects [2]float64
}

func benchFunctions(ctx context.Context, o options) (*table, error) {
	t := &table{header: line{"", "function", "floor", "ratio", "target", ""}}
	for _, s := range subjects(o) {
		if err := benchFunction(ctx, o, s, t); err != nil {
			return nil, fmt.Errorf("function-%s: %w", s.function, err)
		}
	}
	return t, nil
}

func benchFunction(ctx context.Context, o options, s subject, t *table) error {
	if s.teams > 0 {
		o.requests /= 10 // Each is some twenty times as large as the others.
	}
	situation, err := load(ctx, o.root, s.function, s.testdata)
	if err != nil {
		return err
	}
	situation.addTeams(s.teams)
	fn, err := start(ctx, filepath.Join(o.root, ".cache", "bin", "function-"+s.function), streams)
	if err != nil {
		return err
	}
	defer fn.stop()
	req, rsp, err := situation.play(ctx, fn.client(0))
	if err != nil {
		return err
	}
	answer, err := proto.Marshal(rsp)
	if err != nil {
		return err
	}
	file := filepath.Join(o.dir, s.function+".answer")
	if err := os.WriteFile(file, answer, 0o600); err != nil {
		return err
	}
	floorBinary := filepath.Join(o.dir, floorName)
	fl, err := start(ctx, floorBinary, streams, "--answer="+file)
	if err != nil {
		return err
	}
	defer fl.stop()

	ours, floor := &measured{server: fn}, &measured{server: fl}
	if err := measure(ctx, o, s.function, req, ours, floor); err != nil {
		return err
	}
	name := s.function
	if s.teams > 0 {
		name = fmt.Sprintf("%s beside %d namespaces of teams", s.function, s.teams)
	}
	t.group(fmt.Sprintf("%s: %d objects, request %s of which CRDs %s, answer %s", name, len(rsp.GetDesired().GetResources()),
		kibibytes(float64(proto.Size(req))), kibibytes(sizeOfCRDs(req)), kibibytes(float64(len(answer)))))
	report(t, o.requests, ours, floor)
	return nil
}

// sizeOfCRDs is how much of a request tells only which kinds are served.
func sizeOfCRDs(req *fnv1.RunFunctionRequest) float64 {
	total := 0
	for _, rs := range req.GetRequiredResources() {
		for _, r := range rs.GetItems() {
			if r.GetResource().GetFields()["kind"].GetStringValue() == "CustomResourceDefinition" {
				total += proto.Size(r)
			}
		}
	}
	return float64(total)
}

// measure sends the request again and again, to both servers in turns. The first round warms up: only its memory
// counts.
func measure(ctx context.Context, o options, name string, req *fnv1.RunFunctionRequest, servers ...*measured) error {
	each := max(o.requests/rounds/2, streams)
	for _, s := range servers {
		if err := s.sample(ctx, 0); err != nil {
			return err
		}
	}
	for round := range rounds {
		o.log("%s: round %d of %d", name, round+1, rounds)
		for done := 0; done < each; done += block {
			for _, s := range inTurn(servers, done/block) {
				if err := s.serially(ctx, req, min(block, each-done)); err != nil {
					return err
				}
			}
		}
		for _, s := range inTurn(servers, round) {
			if err := s.inParallel(ctx, req, each); err != nil {
				return err
			}
		}
		for _, s := range servers {
			switch round {
			case 0:
				s.serial, s.parallel, s.parallelElapsed = nil, 0, 0
				if err := s.sample(ctx, 1); err != nil {
					return err
				}
			case rounds - 1:
				if err := s.sample(ctx, 2); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inTurn lets another server go first each time.
func inTurn(servers []*measured, turn int) []*measured {
	first := turn % len(servers)
	return append(append([]*measured(nil), servers[first:]...), servers[:first]...)
}

func (m *measured) serially(ctx context.Context, req *fnv1.RunFunctionRequest, n int) error {
	fn := m.client(0)
	for range n {
		began := time.Now()
		if _, err := fn.RunFunction(ctx, req); err != nil {
			return err
		}
		m.serial = append(m.serial, time.Since(began))
	}
	return nil
}

// inParallel shares the requests among as many connections.
func (m *measured) inParallel(ctx context.Context, req *fnv1.RunFunctionRequest, n int) error {
	var all sync.WaitGroup
	errs := make(chan error, streams)
	began := time.Now()
	for i := range streams {
		share := n / streams
		if i < n%streams {
			share++
		}
		all.Go(func() {
			fn := m.client(i)
			for range share {
				if _, err := fn.RunFunction(ctx, req); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	m.parallel += n
	m.parallelElapsed += time.Since(began)
	close(errs)
	return <-errs
}

// sample notes the memory at a stage: the start, after the first round, the end.
func (m *measured) sample(ctx context.Context, stage int) (err error) {
	if m.residentAt[stage], err = resident(ctx, m.pid()); err != nil || stage == 0 {
		return err
	}
	seen, err := counters(ctx, m.metrics)
	m.allocs[stage-1] = seen.sum("go_memstats_alloc_bytes_total")
	m.objects[stage-1] = seen.sum("go_memstats_mallocs_total")
	return err
}

func report(t *table, requests int, ours, floor *measured) {
	latency := func(name string, q, most float64) {
		a, b := ours.serial.quantile(q), floor.serial.quantile(q)
		what, reached := target(float64(a), float64(b), most)
		t.add(name, duration(a), duration(b), ratio(float64(a), float64(b)), what, reached)
	}
	plain := func(name string, format func(float64) string, a, b float64) {
		t.add(name, format(a), format(b), ratio(a, b))
	}
	latency("latency p50", 0.50, mostLatency)
	latency("latency p99", 0.99, 0)
	plain("requests per second, 1 connection", number,
		perSecond(len(ours.serial), ours.serial.sum()), perSecond(len(floor.serial), floor.serial.sum()))
	plain(fmt.Sprintf("requests per second, %d connections", streams), number,
		perSecond(ours.parallel, ours.parallelElapsed), perSecond(floor.parallel, floor.parallelElapsed))

	first := requests / rounds
	n := float64(requests - first)
	plain("allocations per run", number, (ours.objects[1]-ours.objects[0])/n, (floor.objects[1]-floor.objects[0])/n)
	plain("allocated per run", kibibytes, (ours.allocs[1]-ours.allocs[0])/n, (floor.allocs[1]-floor.allocs[0])/n)

	a, b := ours.residentAt, floor.residentAt
	plain("resident at start", mebibytes, a[0], b[0])
	plain("resident after "+number(float64(first))+" requests", mebibytes, a[1], b[1])
	t.add("resident after "+number(float64(requests))+" requests", mebibytes(a[2]), mebibytes(b[2]), ratio(a[2], b[2]),
		"< "+mebibytes(mostResident), met(a[2] < mostResident))
	t.add("growth since "+number(float64(first)), growth(a), growth(b), "", "none (≤ 10 %)", met(a[2] <= mostGrowth*a[1]))
}

func growth(residentAt [3]float64) string {
	return fmt.Sprintf("%+.0f %%", (residentAt[2]/residentAt[1]-1)*100)
}
