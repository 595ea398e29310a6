// Package rendertest tests a composition function by golden files. Golden runs every folder testdata/<case-in-words>/
// through the real runner, the way Crossplane does, and compares the answer with want.yaml. A case holds:
//
//   - xr.yaml: the XR, with spec.claimRef for one that was claimed and metadata.uid where a cluster is simulated.
//     The XRD's defaults are applied, and the XRD has to accept it.
//   - invalid (an empty file): the XRD has to refuse it, and the function too, for it may get such an XR nevertheless.
//   - cluster.yaml: what exists in the cluster and answers lookups. Our own CRDs and those of all neighbours are
//     served, except those that a document {apiVersion: rendertest/v1, kind: Without, crds: [<plural>.<group>]} names
//     or that are written out. Without this file it is a render without a cluster.
//   - observed.yaml: composed resources, each with the annotation crossplane.io/composition-resource-name. They are
//     part of the cluster, and controlled by the XR unless they name their owners.
//   - connection.yaml: what the XR's connection secret holds, as text. It is read where xr.yaml names it as Crossplane does, by
//     the XR's uid in spec.writeConnectionSecretToRef.
//   - want.yaml: the answer. First the XR's name, status, conditions and connection details; then each composed object,
//     sorted by key; then each observed object that is left out, which Crossplane deletes; then the results. The
//     annotation render/ready tells what the function says about readiness.
//   - settled.yaml (optional, may start as an empty file): the answer once everything that was asked for is there.
//   - waits (an empty file): what this case lacks never comes, so the XR does not become ready.
//
// Run a function's tests with -update to rewrite want.yaml and settled.yaml, and review that diff like code.
//
// Beside the comparison, each case proves that
//
//   - every composed object is valid in its real schema, without unknown fields: the Go types of k8s.io/api, the CRDs
//     of the pinned upstream modules (linked into .cache/crds by make crds), and ours; and the status in the XRD,
//   - the same request gives the same answer,
//   - no value of a Secret is in the status, a condition or a result,
//   - unless the XR is refused: when Crossplane applies the answer and everything becomes ready, the answer stands
//     still after a few rounds, keeps its objects, and the XR becomes ready (or has to wait, see above).
//
// All cases of a function set the same condition types, since one that is left out goes stale.
package rendertest

import (
	"context"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/apis/admission"
	"aphex.io/platform/functions/internal/runner"
)

var update = flag.Bool("update", false, "rewrite want.yaml and settled.yaml")

// Options say which function is tested.
type Options[T any] struct {
	// Function is its name, which is also that of its folders below apis and functions.
	Function string
	// CRD and Compose are what its main function passes to runner.Main.
	CRD     string
	Compose runner.Compose[T]
}

// The clock of all runs; it advances by a minute per round of playing on.
var start = time.Date(2026, 1, 16, 23, 15, 0, 0, time.UTC)

// rounds is how often an answer may change before it has to stand still.
const rounds = 10

// harness runs the cases of one function.
type harness struct {
	call    func(ctx context.Context, round int, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error)
	api     *admission.API
	schemas *schemas

	mu         sync.Mutex
	conditions map[string][]string
}

// Golden runs all cases of a function.
func Golden[T any](t *testing.T, o Options[T]) {
	t.Helper()
	s := sharedSchemas(t)
	api, err := s.api(o.Function)
	require.NoError(t, err)
	h := &harness{api: api, schemas: s, conditions: map[string][]string{}}
	h.call = func(ctx context.Context, round int, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
		f := &runner.Function[T]{
			CRD: o.CRD, Compose: o.Compose, Log: logging.NewNopLogger(),
			Now:     func() time.Time { return start.Add(time.Duration(round) * time.Minute) },
			Entropy: &counter{next: byte(round)},
		}
		return f.RunFunction(ctx, req)
	}

	dirs, err := filepath.Glob("testdata/*/xr.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, dirs, "testdata has no case")
	t.Run("cases", func(t *testing.T) {
		for _, xr := range dirs {
			dir := filepath.Dir(xr)
			t.Run(filepath.Base(dir), func(t *testing.T) {
				t.Parallel()
				h.run(t, dir)
			})
		}
	})
	h.requireSameConditions(t)
}

func (h *harness) run(t *testing.T, dir string) {
	t.Helper()
	w := h.readWorld(t, dir)
	got := h.render(t, w, 0)
	compare(t, filepath.Join(dir, "want.yaml"), printAnswer(t, w, got), true)

	require.True(t, proto.Equal(got, h.render(t, w, 0)), "the same request gave another answer")
	h.requireValid(t, w, got)
	requireNoSecrets(t, w, got)
	h.recordConditions(filepath.Base(dir), got)

	refused := isFatal(got) || phase(got) == "Failed"
	if exists(dir, "invalid") {
		require.True(t, refused, "the XRD refuses this XR, but the function takes it")
	}
	if !refused {
		h.playOn(t, dir, w, got)
	}
}

// readWorld reads a case.
func (h *harness) readWorld(t *testing.T, dir string) *world {
	t.Helper()
	docs := readYAML(t, filepath.Join(dir, "xr.yaml"))
	require.Len(t, docs, 1, "xr.yaml has to hold one object")
	xr := docs[0]
	h.api.XR.Default(xr)
	err := h.api.XR.ValidateCreate(t.Context(), xr)
	if exists(dir, "invalid") {
		require.Error(t, err, "the XRD accepts xr.yaml; remove the file invalid")
	} else {
		require.NoError(t, err, "the XRD refuses xr.yaml; fix it, or add an empty file invalid")
	}
	w := &world{
		xr: xr, valid: err == nil, schemas: h.schemas, offline: true, without: map[string]bool{},
		composed: map[string]*unstructured.Unstructured{},
	}
	if exists(dir, "cluster.yaml") {
		w.offline = false
		for _, o := range readYAML(t, filepath.Join(dir, "cluster.yaml")) {
			if o.GetKind() != "Without" {
				w.objects = append(w.objects, o)
				continue
			}
			crds, _, err := unstructured.NestedStringSlice(o.Object, "crds")
			require.NoError(t, err)
			for _, crd := range crds {
				w.without[crd] = true
			}
		}
	}
	if exists(dir, "connection.yaml") {
		b, err := os.ReadFile(filepath.Join(dir, "connection.yaml"))
		require.NoError(t, err)
		var details map[string]string
		require.NoError(t, yaml.UnmarshalStrict(b, &details))
		w.connection = map[string][]byte{}
		for key, value := range details {
			w.connection[key] = []byte(value)
		}
	}
	if exists(dir, "observed.yaml") {
		for _, o := range readYAML(t, filepath.Join(dir, "observed.yaml")) {
			key := o.GetAnnotations()[keyAnnotation]
			require.NotEmpty(t, key, "%s %s in observed.yaml has no annotation %s", o.GetKind(), o.GetName(), keyAnnotation)
			require.NotContains(t, w.composed, key, "observed.yaml has the key %q twice", key)
			w.adopt(o)
			w.composed[key] = o
		}
	}
	return w
}

// requireValid checks what was composed and the new status against their schemas.
func (h *harness) requireValid(t *testing.T, w *world, rsp *fnv1.RunFunctionResponse) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(rsp.GetDesired().GetResources())) {
		o := toUnstructured(t, rsp.GetDesired().GetResources()[key].GetResource())
		require.NoError(t, h.schemas.check(t.Context(), o), "composed resource %q: %s %s", key, o.GetKind(), o.GetName())
	}
	if !isFatal(rsp) && w.valid {
		require.NoError(t, h.api.XR.ValidateCreate(t.Context(), w.withStatus(t, rsp, start).xr), "the XRD refuses the status")
	}
}

func (h *harness) recordConditions(name string, rsp *fnv1.RunFunctionResponse) {
	if isFatal(rsp) {
		return
	}
	var types []string
	for _, c := range rsp.GetConditions() {
		types = append(types, c.GetType())
	}
	slices.Sort(types)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conditions[name] = types
}

func (h *harness) requireSameConditions(t *testing.T) {
	t.Helper()
	var first string
	for _, name := range slices.Sorted(maps.Keys(h.conditions)) {
		if first == "" {
			first = name
		}
		require.Equal(t, h.conditions[first], h.conditions[name], "the cases %q and %q set different conditions", first, name)
	}
}

// requireNoSecrets looks for the values of all Secrets where people without access to them could read them.
func requireNoSecrets(t *testing.T, w *world, rsp *fnv1.RunFunctionResponse) {
	t.Helper()
	var public []string
	walk(rsp.GetDesired().GetComposite().GetResource().AsMap()["status"], func(s string) { public = append(public, s) })
	for _, c := range rsp.GetConditions() {
		public = append(public, c.GetMessage(), c.GetReason())
	}
	for _, r := range rsp.GetResults() {
		public = append(public, r.GetMessage(), r.GetReason())
	}
	for _, secret := range w.secrets(t, rsp) {
		for _, p := range public {
			require.NotContains(t, p, secret, "the value of a Secret shows")
		}
	}
}

func walk(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			walk(v[k], visit)
		}
	case []any:
		for _, item := range v {
			walk(item, visit)
		}
	}
}

// counter is the randomness of one call: bytes that count up.
type counter struct{ next byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.next
		c.next++
	}
	return len(p), nil
}

// compare holds the golden file against what came out, or rewrites it.
func compare(t *testing.T, path, got string, required bool) {
	t.Helper()
	want, err := os.ReadFile(path)
	if os.IsNotExist(err) && !required {
		return
	}
	if *update {
		if string(want) != got {
			require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		}
		return
	}
	require.NoError(t, err, "run the test with -update to write it")
	require.Equal(t, string(want), got, "%s differs; if the new output is right, run the test with -update and review the diff", path)
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func readYAML(tb testing.TB, path string) []*unstructured.Unstructured {
	tb.Helper()
	b, err := os.ReadFile(path)
	require.NoError(tb, err)
	return parseYAML(tb, string(b))
}

func parseYAML(tb testing.TB, text string) []*unstructured.Unstructured {
	tb.Helper()
	var out []*unstructured.Unstructured
	for _, doc := range strings.Split("\n"+text, "\n---") {
		o := &unstructured.Unstructured{}
		require.NoError(tb, unmarshalStrict(doc, &o.Object), doc)
		if len(o.Object) > 0 {
			require.NotEmpty(tb, o.GetKind(), "an object without kind:%s", doc)
			out = append(out, o)
		}
	}
	return out
}
