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
	patience = 30 * time.Minute
	// hands is how many claims are sent at the same time.
	hands = 20
	// mostIdle is how many claims are watched while idle. They need Cloudflare, whose limits decide how fast many of them go.
	mostIdle = 20
)

// api is a kind of claim, and what a claim of it waits for.
type api struct {
	function   string
	claims     schema.GroupVersionResource
	composites schema.GroupVersionResource
	kind       string
	spec       func(name string) map[string]any
	// conditions are what a claim needs: all that does not wait for Cloudflare.
	conditions []string
	// namespaced is whether a claim makes a namespace, which takes time of its own.
	namespaced bool
	// single is whether there can be one claim at a time.
	single bool
	// neighbours are not installed, and have to report before a claim is ready.
	neighbours []neighbour
}

// resource is one of the resources of our group.
func resource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "aphex.io", Version: "v1alpha1", Resource: name}
}

var organizations = api{
	function: "function-organization", claims: resource("organizations"), composites: resource("xorganizations"), kind: "Organization",
	spec: func(string) map[string]any {
		return map[string]any{"displayName": "Bench", "adminUsers": []any{"admin@example.org"}}
	},
	conditions: []string{"NamespaceReady", "RBACReady", "SecretStoreReady", "ListenerReady"},
	namespaced: true,
}

// host is the organization that all repository bindings belong to.
const host = "host"

var repoBindings = api{
	function: "function-repobinding", claims: resource("repobindings"), composites: resource("xrepobindings"), kind: "RepoBinding",
	spec: func(name string) map[string]any {
		return map[string]any{
			"aphexOrg": host, "repoOrg": "bench", "repoName": name, "pipelineName": name, "templateRef": "run-pipeline-v1",
			"pipelineSpec": "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: " + name + "}\n" +
				"spec: {params: [{name: git-url}], tasks: [{name: build, taskRef: {name: build}}]}\n",
		}
	},
	conditions: []string{"NamespaceReady", "RBACReady", "AppProjectReady", "NetworkPolicyReady", "TriggerReady"},
	namespaced: true,
}

var knowledgeBases = api{
	function: "function-knowledgebase", claims: resource("knowledgebases"), composites: resource("xknowledgebases"), kind: "KnowledgeBase",
	spec: func(string) map[string]any {
		return map[string]any{
			"displayName":  "Bench",
			"repositories": []any{map[string]any{"url": "https://github.com/bench/docs"}},
		}
	},
	conditions: []string{"SpecValid", "ConfigMapReady"},
}

// shape is what a claim becomes.
type shape struct {
	objects int
	// roles are those of which each has a binding.
	roles int
}

// trivials compose as many ConfigMaps as another API composes objects, or, in a Namespace, of these as many Roles and bindings.
func trivials(s shape, namespaced bool) api {
	return api{
		function:   trivialName,
		claims:     schema.GroupVersionResource{Group: "bench.aphex.io", Version: "v1alpha1", Resource: "trivials"},
		composites: schema.GroupVersionResource{Group: "bench.aphex.io", Version: "v1alpha1", Resource: "xtrivials"},
		kind:       "Trivial",
		spec: func(string) map[string]any {
			return map[string]any{"count": int64(s.objects), "namespaced": namespaced, "roles": int64(s.roles)}
		},
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

	apis := []api{organizations, repoBindings, knowledgeBases, platforms}
	if o.part == "platform" {
		apis = []api{platforms}
	}
	for _, a := range apis {
		if err := l.measure(ctx, a); err != nil {
			return err
		}
	}
	return l.benchTeams(ctx)
}

// measure compares one of our APIs beside its floors.
func (l *live) measure(ctx context.Context, a api) error {
	if a.kind == repoBindings.kind {
		if err := l.offerHost(ctx); err != nil {
			return err
		}
	}
	// The first claim of a kind pays for what is started once: informers, connections.
	made, err := l.warmUp(ctx, a)
	if err != nil {
		return err
	}
	// The order of the columns: ours, the floor, and a floor that says what a Namespace and Roles cost.
	apis := []api{a, trivials(made, false)}
	if a.namespaced {
		apis = append(apis, trivials(made, true))
	}
	for _, floor := range apis[1:] {
		if _, err := l.warmUp(ctx, floor); err != nil {
			return err
		}
	}

	t := &table{header: line{"", a.kind, "ConfigMaps", "ratio", "target", ""}}
	if a.namespaced {
		t.header = append(t.header, "with a Namespace and Roles", "ratio")
	}
	parts, err := l.one(ctx, t, apis)
	if err != nil {
		return err
	}
	if err := l.many(ctx, t, apis); err != nil {
		return err
	}
	fmt.Printf("\nLive: %s of %d objects, beside a trivial function that composes as many ConfigMaps (the floor)", a.kind, made.objects)
	if a.namespaced {
		fmt.Printf(",\nor as many with a Namespace and, like ours, %d roles and bindings", made.roles)
	}
	fmt.Printf(". One %s, median: %s.\n\n", a.kind, parts)
	return t.print(os.Stdout)
}

// offerHost makes the organization of all bindings, which has to be ready before it has any.
func (l *live) offerHost(ctx context.Context) error {
	if err := l.ConnectCloudflare(ctx); err != nil {
		return err
	}
	if _, err := l.create(ctx, organizations, []string{host}); err != nil {
		return err
	}
	return l.awaitReady(ctx, organizations)
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

// warmUp makes one claim, looks at what it is composed of, and deletes it.
func (l *live) warmUp(ctx context.Context, a api) (made shape, err error) {
	names := []string{"warm-up"}
	if _, err := l.create(ctx, a, names); err != nil {
		return made, err
	}
	list, err := l.client.Resource(a.composites).List(ctx, metav1.ListOptions{
		LabelSelector: "crossplane.io/claim-namespace=" + claimNamespace + ",crossplane.io/claim-name=" + names[0],
	})
	if err != nil || len(list.Items) != 1 {
		return made, fmt.Errorf("list %s: %d objects, %w", a.composites.Resource, len(list.Items), err)
	}
	refs, _, err := unstructured.NestedSlice(list.Items[0].Object, "spec", "resourceRefs")
	if err != nil {
		return made, err
	}
	for _, ref := range refs {
		made.objects++
		if kind, _ := ref.(map[string]any)["kind"].(string); kind == "Role" || kind == "ClusterRole" {
			made.roles++
		}
	}
	_, err = l.remove(ctx, a, names)
	return made, err
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
	if apis[0].single {
		names = names[:1]
	}
	for i := range names {
		names[i] = fmt.Sprintf("many-%03d", i)
	}
	created, removed := make([]samples, len(apis)), make([]samples, len(apis))
	work := make([]activity, len(apis))
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
		down, err := l.remove(ctx, a, names)
		if err != nil {
			return err
		}
		removed[i] = down.done
		l.o.log("%d %s: the last ready after %s, gone after %s", len(names), a.claims.Resource,
			duration(up.done.quantile(1)), duration(down.done.quantile(1)))
	}
	if apis[0].single {
		t.group("what 1 claim costs")
	} else {
		t.group(claimsOf(len(names)) + " at once")
		compareAll(t, "applied to ready", created)
		compareAll(t, "deleted to gone", removed)
	}
	for _, m := range []struct {
		what string
		of   func(activity) float64
	}{
		{"function runs until ready, per claim", func(a activity) float64 { return a.runs }},
		{"Crossplane's API writes until ready, per claim", func(a activity) float64 { return a.writes }},
		{"processor seconds until ready, per claim", func(a activity) float64 { return a.processor }},
	} {
		v, words := make([]float64, len(work)), make([]string, len(work))
		for i, a := range work {
			v[i], words[i] = m.of(a), number(m.of(a))
		}
		beside(t, m.what, v, words, 0)
	}
	if l.o.idle == 0 {
		return nil
	}
	return l.watchIdle(ctx, t, apis[0], names[:min(len(names), mostIdle)])
}

// compareAll adds the lines about durations of many claims.
func compareAll(t *table, what string, times []samples) {
	compare(t, what+", median", times, 0.5, 0)
	compare(t, what+", p99", times, 0.99, 0)
	compare(t, what+", the last", times, 1, mostForAll)
}

// compare adds a line about durations.
func compare(t *table, what string, times []samples, q, most float64) {
	v, words := make([]float64, len(times)), make([]string, len(times))
	for i, s := range times {
		v[i], words[i] = float64(s.quantile(q)), duration(s.quantile(q))
	}
	beside(t, what, v, words, most)
}

// beside adds a line: ours, the floor, and what is to be reached beside it, and other floors.
func beside(t *table, what string, v []float64, words []string, most float64) {
	wanted, reached := target(v[0], v[1], most)
	cells := []string{what, words[0], words[1], ratio(v[0], v[1]), wanted, reached}
	for i := 2; i < len(v); i++ {
		cells = append(cells, words[i], ratio(v[0], v[i]))
	}
	t.add(cells...)
}
