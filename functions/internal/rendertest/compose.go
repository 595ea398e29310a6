package rendertest

import (
	"cmp"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"

	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/runner"
)

// Cluster is what a Compose function sees in a unit test. Its objects are written in YAML.
type Cluster struct {
	// Composed are the observed composed resources by key, controlled by the XR unless they name their owners.
	Composed map[string]string
	// Objects are all others, each text one or more documents.
	Objects []string
	// Without are the names of CRDs that are not installed. All others that we know are.
	Without []string
	// Offline is a render without a cluster.
	Offline bool
	// Image is where the function is published.
	Image string
}

// Compose calls a Compose function until its lookups are answered, as the runner and Crossplane do together.
func Compose[T any](tb testing.TB, compose runner.Compose[T], xr *T, c Cluster) (*object.Desired, error) {
	tb.Helper()
	w := c.world(tb, xr)
	composed := map[string]object.Object{}
	for key, o := range w.composed {
		composed[key] = wrap(tb, o)
	}
	required := map[string][]object.Object{}
	for range iterations + 1 {
		seen := object.NewObserved(identity(w.xr), composed, required, &counter{})
		seen.Now, seen.Offline, seen.Image = start, c.Offline, c.Image
		d, err := compose(xr, seen)
		if !seen.Pending() {
			return d, err
		}
		for key, l := range seen.Lookups() {
			found, err := w.fetch(selector(l))
			require.NoError(tb, err, "lookup %s", key)
			required[key] = nil
			for _, r := range found.GetItems() {
				required[key] = append(required[key], object.NewObject(r.GetResource()))
			}
		}
	}
	require.FailNow(tb, "the function still asks for other objects")
	return nil, nil
}

// Valid checks every composed object as Golden does.
func Valid(tb testing.TB, d *object.Desired) {
	tb.Helper()
	s := sharedSchemas(tb)
	for _, key := range d.Keys() {
		o := &unstructured.Unstructured{Object: object.NewObject(d.Resources()[key].Object).Map()}
		require.NoError(tb, s.check(tb.Context(), o), "composed resource %q: %s %s", key, o.GetKind(), o.GetName())
	}
}

func (c Cluster) world(tb testing.TB, xr any) *world {
	tb.Helper()
	content, err := kruntime.DefaultUnstructuredConverter.ToUnstructured(xr)
	require.NoError(tb, err)
	w := &world{
		xr: &unstructured.Unstructured{Object: content}, schemas: sharedSchemas(tb), offline: c.Offline,
		without: map[string]bool{}, composed: map[string]*unstructured.Unstructured{},
	}
	for _, crd := range c.Without {
		w.without[crd] = true
	}
	for _, text := range c.Objects {
		w.objects = append(w.objects, parseYAML(tb, text)...)
	}
	for key, text := range c.Composed {
		o := parseYAML(tb, text)
		require.Len(tb, o, 1, "composed resource %q", key)
		w.adopt(o[0])
		w.composed[key] = o[0]
	}
	return w
}

func identity(xr *unstructured.Unstructured) object.Identity {
	claim := func(name string) string {
		s, _, _ := unstructured.NestedString(xr.Object, "spec", "claimRef", name)
		return s
	}
	return object.Identity{
		Kind: cmp.Or(claim("kind"), xr.GetKind()), Name: cmp.Or(claim("name"), xr.GetName()), Namespace: claim("namespace"),
		XR: xr.GetName(), UID: string(xr.GetUID()),
	}
}

func selector(l object.Selector) *fnv1.ResourceSelector {
	s := &fnv1.ResourceSelector{ApiVersion: l.APIVersion, Kind: l.Kind}
	if l.Name != "" {
		s.Match = &fnv1.ResourceSelector_MatchName{MatchName: l.Name}
	} else {
		s.Match = &fnv1.ResourceSelector_MatchLabels{MatchLabels: &fnv1.MatchLabels{Labels: l.Labels}}
	}
	if l.Namespace != "" {
		s.Namespace = &l.Namespace
	}
	return s
}

func wrap(tb testing.TB, o *unstructured.Unstructured) object.Object {
	tb.Helper()
	s, err := toStruct(o)
	require.NoError(tb, err)
	return object.NewObject(s)
}
