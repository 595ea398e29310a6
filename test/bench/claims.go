package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// outcome is when claims got where they should, since the first of them was sent.
type outcome struct {
	done samples
	// conditions are when each became true.
	conditions map[string]samples
}

// create applies claims, as kubectl would, and waits until each has what it needs.
func (l *live) create(ctx context.Context, a api, names []string) (outcome, error) {
	out := outcome{conditions: make(map[string]samples)}
	seen := make(map[string]map[string]bool, len(names))
	err := l.follow(ctx, a, names, func(ctx context.Context, claims dynamic.ResourceInterface, name string) error {
		claim := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": a.claims.GroupVersion().String(),
			"kind":       a.kind,
			"metadata":   map[string]any{"namespace": claimNamespace, "name": name},
			"spec":       a.spec(name),
		}}
		_, err := claims.Apply(ctx, name, claim, metav1.ApplyOptions{FieldManager: "kubectl"})
		return err
	}, func(e watch.Event, claim *unstructured.Unstructured, since time.Duration) (done bool, why string) {
		first := seen[claim.GetName()]
		if first == nil {
			first = make(map[string]bool)
			seen[claim.GetName()] = first
		}
		done = e.Type != watch.Deleted
		for _, c := range a.conditions {
			if !isTrue(claim, c) {
				done, why = false, c+": "+message(claim, c)
				continue
			}
			if !first[c] {
				first[c] = true
				out.conditions[c] = append(out.conditions[c], since)
			}
		}
		if done {
			out.done = append(out.done, since)
		}
		return done, why
	})
	return out, err
}

// remove deletes claims, as kubectl would, and waits until each is gone with all that it owned.
func (l *live) remove(ctx context.Context, a api, names []string) (outcome, error) {
	var out outcome
	err := l.follow(ctx, a, names, func(ctx context.Context, claims dynamic.ResourceInterface, name string) error {
		return claims.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
	}, func(e watch.Event, _ *unstructured.Unstructured, since time.Duration) (done bool, why string) {
		if e.Type != watch.Deleted {
			return false, "it is still there"
		}
		out.done = append(out.done, since)
		return true, ""
	})
	return out, err
}

// follow sends something about each claim and looks at all that happens to them, until look said of each that it is
// done.
func (l *live) follow(ctx context.Context, a api, names []string,
	send func(context.Context, dynamic.ResourceInterface, string) error,
	look func(e watch.Event, claim *unstructured.Unstructured, since time.Duration) (done bool, why string),
) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	claims := l.client.Resource(a.claims).Namespace(claimNamespace)
	list, err := claims.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	// The API server ends a watch whenever it likes; this one goes on where it was.
	events, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), &cache.ListWatch{
		WatchFuncWithContext: claims.Watch,
	})
	if err != nil {
		return err
	}
	defer events.Stop()

	all, sending := errgroup.WithContext(ctx)
	all.SetLimit(hands)
	sent := make(chan error, 1)
	began := time.Now()
	go func() {
		for _, name := range names {
			all.Go(func() error { return send(sending, claims, name) })
		}
		sent <- all.Wait()
	}()

	left := make(map[string]string, len(names))
	for _, name := range names {
		left[name] = "nothing was seen of it"
	}
	for len(left) > 0 {
		select {
		case err := <-sent:
			if err != nil {
				return err
			}
			sent = nil
		case e, ok := <-events.ResultChan():
			claim, isClaim := e.Object.(*unstructured.Unstructured)
			if ctx.Err() == nil && (!ok || !isClaim) {
				return fmt.Errorf("the watch of %s ended: %v", a.claims.Resource, e.Object)
			}
			if ctx.Err() != nil {
				return unfinished(ctx, a, names, left)
			}
			if _, awaited := left[claim.GetName()]; !awaited {
				continue
			}
			done, why := look(e, claim, time.Since(began))
			left[claim.GetName()] = why
			if done {
				delete(left, claim.GetName())
			}
		case <-ctx.Done():
			return unfinished(ctx, a, names, left)
		}
	}
	return nil
}

func unfinished(ctx context.Context, a api, names []string, left map[string]string) error {
	var first []string
	for _, name := range names {
		if why, ok := left[name]; ok && len(first) < 3 {
			first = append(first, name+" ("+why+")")
		}
	}
	return fmt.Errorf("%d of %d %s are not done: %s: %w", len(left), len(names), a.claims.Resource, strings.Join(first, ", "), ctx.Err())
}

// condition is an entry of status.conditions, nil if there is none of that type.
func condition(o *unstructured.Unstructured, conditionType string) map[string]any {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	i := slices.IndexFunc(list, func(c any) bool {
		m, ok := c.(map[string]any)
		return ok && m["type"] == conditionType
	})
	if i < 0 {
		return nil
	}
	return list[i].(map[string]any)
}

func isTrue(o *unstructured.Unstructured, conditionType string) bool {
	return condition(o, conditionType)["status"] == "True"
}

func message(o *unstructured.Unstructured, conditionType string) string {
	if m, ok := condition(o, conditionType)["message"].(string); ok {
		return m
	}
	return "not reported yet"
}

// activity is what was done for the claims of one kind so far.
type activity struct {
	at time.Time
	// runs are those of the function, writes are requests of Crossplane that change something, and processor is the time
	// that all processes used, in seconds: it is the same on a busy machine.
	runs, writes, processor float64
	// processes are the processor seconds of each process.
	processes map[string]float64
}

func (a activity) since(before activity, claims int) activity {
	n := float64(claims)
	out := activity{
		runs: (a.runs - before.runs) / n, writes: (a.writes - before.writes) / n, processor: (a.processor - before.processor) / n,
		processes: make(map[string]float64, len(a.processes)),
	}
	for name, used := range a.processes {
		out.processes[name] = (used - before.processes[name]) / n
	}
	return out
}

// dearest lists the processes that used most of the processor, in seconds.
func (a activity) dearest() string {
	names := slices.SortedFunc(maps.Keys(a.processes), func(x, y string) int { return cmp.Compare(a.processes[y], a.processes[x]) })
	var out []string
	for _, name := range names[:min(6, len(names))] {
		out = append(out, fmt.Sprintf("%s %.2f", name, a.processes[name]))
	}
	return strings.Join(out, ", ")
}

func (l *live) activity(ctx context.Context, a api) (activity, error) {
	function, err := l.metrics(ctx, a.function)
	if err != nil {
		return activity{}, err
	}
	crossplane, err := l.metrics(ctx, "crossplane")
	if err != nil {
		return activity{}, err
	}
	out := activity{
		at: time.Now(), runs: function.sum("grpc_server_handled_total", `grpc_method="RunFunction"`), processes: map[string]float64{},
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		out.writes += crossplane.sum("rest_client_requests_total", `method="`+method+`"`)
	}
	for _, name := range l.Processes() {
		used, err := processorTime(ctx, l.PID(name))
		if err != nil {
			return activity{}, fmt.Errorf("%s: %w", name, err)
		}
		out.processor += used.Seconds()
		out.processes[name] = used.Seconds()
	}
	return out, nil
}

// watchIdle counts what is done while nobody wants anything: once claims have all that they wait for, from Cloudflare too, and
// Crossplane has come to rest.
func (l *live) watchIdle(ctx context.Context, t *table, a api, names []string) error {
	if err := l.ConnectCloudflare(ctx); err != nil {
		return err
	}
	if _, err := l.create(ctx, a, names); err != nil {
		return err
	}
	if err := l.awaitReady(ctx, a); err != nil {
		return err
	}
	before, err := l.rest(ctx, a)
	if err != nil {
		return err
	}
	claims := len(names)
	l.o.log("watching %s while idle, for %s", claimsOf(claims), l.o.idle)
	if err := sleep(ctx, l.o.idle); err != nil {
		return err
	}
	after, err := l.activity(ctx, a)
	if err != nil {
		return err
	}
	t.group(fmt.Sprintf("%s while idle, per hour and claim, extrapolated from %s", claimsOf(claims), l.o.idle))
	for _, m := range []struct {
		what  string
		count float64
	}{{"function runs", after.runs - before.runs}, {"Crossplane's API writes", after.writes - before.writes}} {
		t.add(m.what, number(perHour(m.count, after.at.Sub(before.at), claims)), "", "", "none", met(m.count == 0))
	}
	_, err = l.remove(ctx, a, names)
	return err
}

func claimsOf(n int) string {
	if n == 1 {
		return "1 claim"
	}
	return fmt.Sprintf("%d claims", n)
}

// awaitReady waits until all claims of a kind are ready. A busy API server ends a request that it is not done with in time, which
// is no reason to give up.
func (l *live) awaitReady(ctx context.Context, a api) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := l.requireReady(ctx, a)
		if err == nil {
			return nil
		}
		if ended := sleep(ctx, time.Second); ended != nil {
			return errors.Join(err, ended)
		}
	}
}

// requireReady plays whom the claims of a kind wait for, and tells which are not ready.
func (l *live) requireReady(ctx context.Context, a api) error {
	for _, n := range a.neighbours {
		if err := n.play(ctx, l); err != nil {
			return err
		}
	}
	list, err := l.client.Resource(a.claims).Namespace(claimNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	waiting := slices.DeleteFunc(list.Items, func(o unstructured.Unstructured) bool { return isTrue(&o, "Ready") })
	if len(waiting) > 0 {
		return fmt.Errorf("%d %s are not ready, such as %s (%s)", len(waiting), a.claims.Resource, waiting[0].GetName(), message(&waiting[0], "Ready"))
	}
	return nil
}

// rest waits until nothing was done for a while, or gives up waiting: then the window shows what goes on.
func (l *live) rest(ctx context.Context, a api) (activity, error) {
	const quiet, most = 15 * time.Second, 2 * time.Minute
	last, err := l.activity(ctx, a)
	for waited := time.Duration(0); err == nil && waited < most; waited += quiet {
		if err := sleep(ctx, quiet); err != nil {
			return activity{}, err
		}
		before := last
		if last, err = l.activity(ctx, a); last.runs == before.runs && last.writes == before.writes {
			break
		}
	}
	return last, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
