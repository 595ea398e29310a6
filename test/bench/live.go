package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"aphex.io/platform/test/controlplane"
)

// What the live control plane is to reach, beside the trivial function.
const (
	mostForOne = 1.5
	mostForAll = 1.3
)

const (
	// claimNamespace is made by trivial.yaml.
	claimNamespace = "bench"
	// repeats is how often a single claim is measured.
	repeats = 5
	// patience is how long claims may take before what is missing is reported.
	patience = 10 * time.Minute
	// hands is how many claims are sent at the same time.
	hands = 20
)

// api is a kind of claim, and what a claim of it waits for.
type api struct {
	function   string
	claims     schema.GroupVersionResource
	composites schema.GroupVersionResource
	kind       string
	spec       map[string]any
	// conditions are what a claim needs. An organization's others wait for Cloudflare, which is not there.
	conditions []string
}

var organizations = api{
	function:   "function-organization",
	claims:     schema.GroupVersionResource{Group: "aphex.io", Version: "v1alpha1", Resource: "organizations"},
	composites: schema.GroupVersionResource{Group: "aphex.io", Version: "v1alpha1", Resource: "xorganizations"},
	kind:       "Organization",
	spec:       map[string]any{"displayName": "Bench", "adminUsers": []any{"admin@example.org"}},
	conditions: []string{"NamespaceReady", "RBACReady", "SecretStoreReady", "ListenerReady"},
}

// trivials compose as many ConfigMaps as the other API composes objects.
func trivials(count int) api {
	return api{
		function:   trivialName,
		claims:     schema.GroupVersionResource{Group: "bench.aphex.io", Version: "v1alpha1", Resource: "trivials"},
		composites: schema.GroupVersionResource{Group: "bench.aphex.io", Version: "v1alpha1", Resource: "xtrivials"},
		kind:       "Trivial",
		spec:       map[string]any{"count": int64(count)},
		conditions: []string{"Ready"},
	}
}

// live is a control plane that is measured.
type live struct {
	*controlplane.ControlPlane

	o      options
	client dynamic.Interface
}

func benchLive(ctx context.Context, o options) (err error) {
	functions := append(controlplane.AphexFunctions(),
		controlplane.Function{Name: trivialName, Binary: filepath.Join(o.dir, trivialName)})
	plane, err := controlplane.Start(ctx, controlplane.Options{Root: o.root, Log: o.log, Functions: functions})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	client, err := dynamic.NewForConfig(plane.RESTConfig())
	if err != nil {
		return err
	}
	l := &live{ControlPlane: plane, o: o, client: client}
	if err := l.offerTrivials(ctx); err != nil {
		return err
	}

	// The first claim of a kind pays for what is started once: informers, connections.
	objects, err := l.warmUp(ctx, organizations)
	if err != nil {
		return err
	}
	floor := trivials(objects)
	if _, err := l.warmUp(ctx, floor); err != nil {
		return err
	}

	t := &table{ours: organizations.kind, floor: "ConfigMaps"}
	parts, err := l.one(ctx, t, organizations, floor)
	if err != nil {
		return err
	}
	if err := l.many(ctx, t, organizations, floor); err != nil {
		return err
	}
	fmt.Printf("\nLive: a claim of %d objects, beside a trivial one that composes as many ConfigMaps.\n", objects)
	fmt.Printf("Each condition of one claim, median: %s.\n\n", parts)
	return t.print(os.Stdout)
}

func (l *live) offerTrivials(ctx context.Context) error {
	if err := l.Apply(ctx, trivialAPI); err != nil {
		return err
	}
	xrds := l.client.Resource(schema.GroupVersionResource{
		Group: "apiextensions.crossplane.io", Version: "v1", Resource: "compositeresourcedefinitions",
	})
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		xrd, err := xrds.Get(ctx, "xtrivials.bench.aphex.io", metav1.GetOptions{})
		if err == nil && isTrue(xrd, "Established") && isTrue(xrd, "Offered") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API of the trivial function is not offered: %w", errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// warmUp makes one claim, counts what it is composed of, and deletes it.
func (l *live) warmUp(ctx context.Context, a api) (objects int, err error) {
	names := []string{"warm-up"}
	if _, err := l.create(ctx, a, names); err != nil {
		return 0, err
	}
	list, err := l.client.Resource(a.composites).List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		return 0, fmt.Errorf("list %s: %d objects, %w", a.composites.Resource, len(list.Items), err)
	}
	refs, _, err := unstructured.NestedSlice(list.Items[0].Object, "spec", "resourceRefs")
	if err != nil {
		return 0, err
	}
	_, err = l.remove(ctx, a, names)
	return len(refs), err
}

// one measures single claims of both kinds in turns, and tells when each condition came.
func (l *live) one(ctx context.Context, t *table, ours, floor api) (parts string, err error) {
	created, removed := map[string]samples{}, map[string]samples{}
	conditions := map[string]samples{}
	for i := range repeats {
		for _, a := range []api{floor, ours} {
			names := []string{fmt.Sprintf("single-%d", i)}
			up, err := l.create(ctx, a, names)
			if err != nil {
				return "", err
			}
			down, err := l.remove(ctx, a, names)
			if err != nil {
				return "", err
			}
			created[a.kind], removed[a.kind] = append(created[a.kind], up.done...), append(removed[a.kind], down.done...)
			if a.kind == ours.kind {
				for c, s := range up.conditions {
					conditions[c] = append(conditions[c], s...)
				}
			}
		}
	}
	group := fmt.Sprintf("1 claim, %d times", repeats)
	l.compare(t, row{group: group, measure: "applied to ready, median"}, created[ours.kind], created[floor.kind], 0.5, mostForOne)
	l.compare(t, row{group: group, measure: "deleted to gone, median"}, removed[ours.kind], removed[floor.kind], 0.5, mostForOne)
	var out []string
	for _, c := range ours.conditions {
		out = append(out, c+" "+duration(conditions[c].quantile(0.5)))
	}
	return strings.Join(out, ", "), nil
}

// many measures all claims at once, one kind after the other, and what Crossplane does while nothing happens.
func (l *live) many(ctx context.Context, t *table, ours, floor api) error {
	names := make([]string, l.o.claims)
	for i := range names {
		names[i] = fmt.Sprintf("many-%03d", i)
	}
	created, removed, runs := map[string]samples{}, map[string]samples{}, map[string]float64{}
	var idle []row
	for _, a := range []api{floor, ours} {
		before, err := l.activity(ctx, a)
		if err != nil {
			return err
		}
		up, err := l.create(ctx, a, names)
		if err != nil {
			return err
		}
		after, err := l.activity(ctx, a)
		if err != nil {
			return err
		}
		created[a.kind], runs[a.kind] = up.done, (after.runs-before.runs)/float64(len(names))
		if a.kind == ours.kind && l.o.idle > 0 {
			if idle, err = l.watchIdle(ctx, a, len(names)); err != nil {
				return err
			}
		}
		down, err := l.remove(ctx, a, names)
		if err != nil {
			return err
		}
		removed[a.kind] = down.done
	}
	group := fmt.Sprintf("%d claims at once", len(names))
	for _, m := range []struct {
		what  string
		times map[string]samples
	}{{"applied to ready", created}, {"deleted to gone", removed}} {
		a, b := m.times[ours.kind], m.times[floor.kind]
		l.compare(t, row{group: group, measure: m.what + ", median"}, a, b, 0.5, 0)
		l.compare(t, row{group: group, measure: m.what + ", p99"}, a, b, 0.99, 0)
		l.compare(t, row{group: group, measure: m.what + ", the last"}, a, b, 1, mostForAll)
	}
	t.compared(row{
		group: group, measure: "function runs per claim until ready",
		ours: number(runs[ours.kind]), floor: number(runs[floor.kind]),
	}, runs[ours.kind], runs[floor.kind], 0)
	for _, r := range idle {
		t.add(r)
	}
	return nil
}

func (l *live) compare(t *table, r row, ours, floor samples, q, most float64) {
	a, b := ours.quantile(q), floor.quantile(q)
	r.ours, r.floor = duration(a), duration(b)
	t.compared(r, float64(a), float64(b), most)
}
