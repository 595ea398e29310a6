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
	"k8s.io/client-go/rest"

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

// trivials compose as many ConfigMaps as another API composes objects.
func trivials(count int, namespaced bool) api {
	return api{
		function:   trivialName,
		claims:     schema.GroupVersionResource{Group: "bench.aphex.io", Version: "v1alpha1", Resource: "trivials"},
		composites: schema.GroupVersionResource{Group: "bench.aphex.io", Version: "v1alpha1", Resource: "xtrivials"},
		kind:       "Trivial",
		spec:       map[string]any{"count": int64(count), "namespaced": namespaced},
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
	access := plane.RESTConfig()
	access.WarningHandler = rest.NoWarnings{}
	client, err := dynamic.NewForConfig(access)
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
	// The order of the columns: ours, the floor, and a floor that says what a Namespace costs.
	apis := []api{organizations, trivials(objects, false), trivials(objects, true)}
	for _, a := range apis[1:] {
		if _, err := l.warmUp(ctx, a); err != nil {
			return err
		}
	}

	t := &table{header: line{"", organizations.kind, "ConfigMaps", "ratio", "target", "", "in a Namespace", "ratio"}}
	parts, err := l.one(ctx, t, apis)
	if err != nil {
		return err
	}
	if err := l.many(ctx, t, apis); err != nil {
		return err
	}
	fmt.Printf("\nLive: an Organization of %d objects, beside a trivial function that composes as many ConfigMaps (the floor),\n", objects)
	fmt.Printf("or a Namespace with ConfigMaps in it. One Organization, median: %s.\n\n", parts)
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

// one measures single claims of all kinds in turns, and tells when each condition of ours came.
func (l *live) one(ctx context.Context, t *table, apis []api) (parts string, err error) {
	created, removed := make([]samples, len(apis)), make([]samples, len(apis))
	conditions := map[string]samples{}
	for i := range repeats {
		for j, a := range apis {
			names := []string{fmt.Sprintf("single-%d", i)}
			up, err := l.create(ctx, a, names)
			if err != nil {
				return "", err
			}
			down, err := l.remove(ctx, a, names)
			if err != nil {
				return "", err
			}
			created[j], removed[j] = append(created[j], up.done...), append(removed[j], down.done...)
			for c, s := range up.conditions {
				conditions[c] = append(conditions[c], s...)
			}
		}
	}
	t.group(fmt.Sprintf("1 claim, %d times", repeats))
	compare(t, "applied to ready, median", created, 0.5, mostForOne)
	compare(t, "deleted to gone, median", removed, 0.5, mostForOne)
	var out []string
	for _, c := range apis[0].conditions {
		out = append(out, c+" "+duration(conditions[c].quantile(0.5)))
	}
	return strings.Join(out, ", "), nil
}

// many measures all claims at once, one kind after the other, and what Crossplane does while nothing happens.
func (l *live) many(ctx context.Context, t *table, apis []api) error {
	names := make([]string, l.o.claims)
	for i := range names {
		names[i] = fmt.Sprintf("many-%03d", i)
	}
	created, removed := make([]samples, len(apis)), make([]samples, len(apis))
	work := make([]activity, len(apis))
	rest := &table{}
	for i, a := range apis {
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
		created[i], work[i] = up.done, after.since(before, len(names))
		l.o.log("processor seconds for each of %d %s: %s", len(names), a.claims.Resource, work[i].dearest())
		if i == 0 && l.o.idle > 0 {
			if err := l.watchIdle(ctx, rest, a, len(names)); err != nil {
				return err
			}
		}
		down, err := l.remove(ctx, a, names)
		if err != nil {
			return err
		}
		removed[i] = down.done
		l.o.log("%d %s: the last ready after %s, gone after %s", len(names), a.claims.Resource,
			duration(up.done.quantile(1)), duration(down.done.quantile(1)))
	}
	t.group(fmt.Sprintf("%d claims at once", len(names)))
	for _, m := range []struct {
		what  string
		times []samples
	}{{"applied to ready", created}, {"deleted to gone", removed}} {
		compare(t, m.what+", median", m.times, 0.5, 0)
		compare(t, m.what+", p99", m.times, 0.99, 0)
		compare(t, m.what+", the last", m.times, 1, mostForAll)
	}
	for _, m := range []struct {
		what string
		of   func(activity) float64
	}{
		{"function runs until ready, per claim", func(a activity) float64 { return a.runs }},
		{"Crossplane's API writes until ready, per claim", func(a activity) float64 { return a.writes }},
		{"processor seconds until ready, per claim", func(a activity) float64 { return a.processor }},
	} {
		v := []float64{m.of(work[0]), m.of(work[1]), m.of(work[2])}
		t.add(m.what, number(v[0]), number(v[1]), ratio(v[0], v[1]), "", "", number(v[2]), ratio(v[0], v[2]))
	}
	t.lines = append(t.lines, rest.lines...)
	return nil
}

func compare(t *table, what string, times []samples, q, most float64) {
	v := make([]float64, len(times))
	words := make([]string, len(times))
	for i, s := range times {
		v[i], words[i] = float64(s.quantile(q)), duration(s.quantile(q))
	}
	wanted, reached := target(v[0], v[1], most)
	t.add(what, words[0], words[1], ratio(v[0], v[1]), wanted, reached, words[2], ratio(v[0], v[2]))
}
