package rendertest

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	cloudflare "aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
)

const keyAnnotation = "crossplane.io/composition-resource-name"

// world is a cluster as far as a function can see it.
type world struct {
	xr *unstructured.Unstructured
	// valid tells whether the XRD accepts the XR.
	valid bool
	// composed are the observed composed resources by key; objects is everything else that exists.
	composed map[string]*unstructured.Unstructured
	objects  []*unstructured.Unstructured
	// connection is what the XR's connection secret holds.
	connection map[string][]byte
	// offline is a render without a cluster: the XR's own CRD cannot be seen, nor any other.
	offline bool
	// without are the names of CRDs that are not installed.
	without map[string]bool
	schemas *schemas
}

// all are the objects that lookups find.
func (w *world) all() []*unstructured.Unstructured {
	out := slices.Clone(w.objects)
	for _, key := range slices.Sorted(maps.Keys(w.composed)) {
		out = append(out, w.composed[key])
	}
	if !w.offline {
		out = append(out, w.xr)
	}
	slices.SortStableFunc(out, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return out
}

// fetch answers a lookup as Crossplane does: nil if there is no object of that name, and an error if the API server
// does not serve the kind.
func (w *world) fetch(s *fnv1.ResourceSelector) (*fnv1.Resources, error) {
	found := &fnv1.Resources{}
	labels := s.GetMatchLabels().GetLabels()
	for _, o := range w.all() {
		if o.GetAPIVersion() != s.GetApiVersion() || o.GetKind() != s.GetKind() {
			continue
		}
		byName := s.GetMatchName() != ""
		switch {
		case byName && (o.GetName() != s.GetMatchName() || o.GetNamespace() != s.GetNamespace()):
		case !byName && s.GetNamespace() != "" && o.GetNamespace() != s.GetNamespace():
		case !byName && !hasLabels(o, labels):
		default:
			wire, err := toStruct(o)
			if err != nil {
				return nil, err
			}
			found.Items = append(found.Items, &fnv1.Resource{Resource: wire})
		}
	}
	if len(found.GetItems()) > 0 {
		return found, nil
	}
	if s.GetKind() == "CustomResourceDefinition" {
		return w.fetchCRD(s.GetMatchName())
	}
	if !w.offline {
		if err := w.requireServed(s.GetApiVersion(), s.GetKind()); err != nil {
			return nil, fmt.Errorf("%w; this fails the whole run, so ask whether it is served first", err)
		}
	}
	if s.GetMatchName() != "" {
		return nil, nil
	}
	return found, nil
}

func (w *world) fetchCRD(name string) (*fnv1.Resources, error) {
	if w.offline || w.without[name] {
		return nil, nil
	}
	crd, err := w.schemas.crdNamed(name)
	if crd == nil || err != nil {
		return nil, err
	}
	var versions []any
	for _, v := range crd.Spec.Versions {
		versions = append(versions, map[string]any{"name": v.Name, "served": v.Served, "storage": v.Storage})
	}
	wire, err := toStruct(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1",
		"kind":       "CustomResourceDefinition",
		"metadata":   map[string]any{"name": name},
		"spec":       map[string]any{"group": crd.Spec.Group, "versions": versions},
		"status":     map[string]any{"conditions": []any{condition("Established")}},
	}})
	return &fnv1.Resources{Items: []*fnv1.Resource{{Resource: wire}}}, err
}

func (w *world) requireServed(apiVersion, kind string) error {
	gvk := unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	if scheme.Recognizes(gvk.GroupVersionKind()) {
		return nil
	}
	crd, err := w.schemas.crdOf(gvk.GroupVersionKind())
	if err != nil {
		return err
	}
	if w.without[crd.Name] {
		return fmt.Errorf("the function looks up a %s, but the API server does not serve %s", kind, crd.Name)
	}
	return nil
}

func hasLabels(o *unstructured.Unstructured, want map[string]string) bool {
	have := o.GetLabels()
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// request is what Crossplane sends for this world.
func (w *world) request(t *testing.T) *fnv1.RunFunctionRequest {
	t.Helper()
	xr, err := toStruct(w.xr)
	require.NoError(t, err)
	req := &fnv1.RunFunctionRequest{
		Meta: &fnv1.RequestMeta{Tag: "rendertest", Capabilities: []fnv1.Capability{
			fnv1.Capability_CAPABILITY_CAPABILITIES, fnv1.Capability_CAPABILITY_REQUIRED_RESOURCES,
			fnv1.Capability_CAPABILITY_CREDENTIALS, fnv1.Capability_CAPABILITY_CONDITIONS,
			fnv1.Capability_CAPABILITY_REQUIRED_SCHEMAS,
		}},
		Observed: &fnv1.State{
			Composite: &fnv1.Resource{Resource: xr, ConnectionDetails: w.connection},
			Resources: make(map[string]*fnv1.Resource, len(w.composed)),
		},
		Desired: &fnv1.State{},
	}
	for key, o := range w.composed {
		wire, err := toStruct(o)
		require.NoError(t, err)
		req.Observed.Resources[key] = &fnv1.Resource{Resource: wire}
	}
	return req
}

// apply is the world after Crossplane applied an answer and every controller did its work.
func (w *world) apply(t *testing.T, rsp *fnv1.RunFunctionResponse, now time.Time) *world {
	t.Helper()
	next := w.withStatus(t, rsp, now)
	next.connection = map[string][]byte{}
	maps.Copy(next.connection, w.connection)
	maps.Copy(next.connection, rsp.GetDesired().GetComposite().GetConnectionDetails())
	next.composed = make(map[string]*unstructured.Unstructured, len(rsp.GetDesired().GetResources()))
	next.objects = slices.Clone(w.objects)
	for _, key := range slices.Sorted(maps.Keys(rsp.GetDesired().GetResources())) {
		o := toUnstructured(t, rsp.GetDesired().GetResources()[key].GetResource())
		w.mark(o, key)
		if old := w.composed[key]; old != nil && old.GetUID() != "" {
			o.SetUID(old.GetUID())
			o.SetCreationTimestamp(old.GetCreationTimestamp())
		}
		next.adopt(o)
		next.composed[key] = o
		next.objects = slices.DeleteFunc(next.objects, func(other *unstructured.Unstructured) bool { return same(o, other) })
		for _, made := range settle(o, w.composed[key]) {
			next.objects = slices.DeleteFunc(next.objects, func(other *unstructured.Unstructured) bool { return same(made, other) })
			next.objects = append(next.objects, made)
		}
	}
	return next
}

// mark sets the annotation and the labels that Crossplane sets.
func (w *world) mark(o *unstructured.Unstructured, key string) {
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[keyAnnotation] = key
	o.SetAnnotations(annotations)
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels["crossplane.io/composite"] = w.xr.GetName()
	if claim, ok, _ := unstructured.NestedStringMap(w.xr.Object, "spec", "claimRef"); ok {
		labels["crossplane.io/claim-name"], labels["crossplane.io/claim-namespace"] = claim["name"], claim["namespace"]
	}
	o.SetLabels(labels)
}

func same(a, b *unstructured.Unstructured) bool {
	return a.GroupVersionKind().GroupKind() == b.GroupVersionKind().GroupKind() && a.GetNamespace() == b.GetNamespace() && a.GetName() == b.GetName()
}

// adopt makes the XR the controller of an object that names no owners, and sets what an API server sets.
func (w *world) adopt(o *unstructured.Unstructured) {
	if o.GetUID() == "" {
		o.SetUID(uid(o))
	}
	if o.GetCreationTimestamp().Time.IsZero() {
		_ = unstructured.SetNestedField(o.Object, start.Format(time.RFC3339), "metadata", "creationTimestamp") // metadata is a map
	}
	if len(o.GetOwnerReferences()) == 0 {
		_ = unstructured.SetNestedSlice(o.Object, []any{map[string]any{ // metadata is a map
			"apiVersion": w.xr.GetAPIVersion(), "kind": w.xr.GetKind(), "name": w.xr.GetName(), "uid": string(w.xr.GetUID()),
			"controller": true, "blockOwnerDeletion": true,
		}}, "metadata", "ownerReferences")
	}
}

// withStatus is the world after Crossplane wrote the status of an answer.
func (w *world) withStatus(t *testing.T, rsp *fnv1.RunFunctionResponse, now time.Time) *world {
	t.Helper()
	next := *w
	next.xr = w.xr.DeepCopy()
	status := map[string]any{}
	if s := rsp.GetDesired().GetComposite().GetResource(); s != nil {
		if m, ok := toUnstructured(t, s).Object["status"].(map[string]any); ok {
			status = m
		}
	}
	conditions := make([]any, 0, len(rsp.GetConditions())+2)
	conditions = append(conditions, condition("Synced"), condition("Ready"))
	for _, c := range rsp.GetConditions() {
		m := condition(c.GetType())
		m["status"], m["reason"], m["message"] = statusText(c.GetStatus()), c.GetReason(), c.GetMessage()
		conditions = append(conditions, m)
	}
	for _, c := range conditions {
		c.(map[string]any)["lastTransitionTime"] = now.Format(time.RFC3339)
	}
	status["conditions"] = conditions
	next.xr.Object["status"] = status
	return &next
}

// public are the keys of connection secrets that are no secrets.
var public = []string{cloudflare.ConnectionKeyTunnelID, cloudflare.ConnectionKeyAccountTag}

// secrets are the values of all Secrets, observed and new, and of the XR's own field webhookSecret.
func (w *world) secrets(t *testing.T, rsp *fnv1.RunFunctionResponse) []string {
	t.Helper()
	all := w.all()
	for _, r := range rsp.GetDesired().GetResources() {
		all = append(all, toUnstructured(t, r.GetResource()))
	}
	var out []string
	for _, o := range all {
		if o.GetKind() != "Secret" {
			continue
		}
		data, _, err := unstructured.NestedStringMap(o.Object, "data")
		require.NoError(t, err)
		for k, v := range data {
			b, err := base64.StdEncoding.DecodeString(v)
			require.NoError(t, err, "Secret %s: data.%s", o.GetName(), k)
			if len(b) >= 8 && !slices.Contains(public, k) {
				out = append(out, string(b))
			}
		}
	}
	if s, _, _ := unstructured.NestedString(w.xr.Object, "spec", "webhookSecret"); s != "" {
		out = append(out, s)
	}
	return out
}

func toStruct(o *unstructured.Unstructured) (*structpb.Struct, error) {
	b, err := json.Marshal(o.Object)
	if err != nil {
		return nil, err
	}
	s := &structpb.Struct{}
	return s, s.UnmarshalJSON(b)
}

func toUnstructured(t *testing.T, s *structpb.Struct) *unstructured.Unstructured {
	t.Helper()
	b, err := s.MarshalJSON()
	require.NoError(t, err)
	m := map[string]any{}
	require.NoError(t, unmarshalJSON(b, &m))
	return &unstructured.Unstructured{Object: m}
}

// unmarshalStrict reads YAML with whole numbers as int64, as an API server does, and refuses a key that is there twice.
func unmarshalStrict(doc string, into *map[string]any) error {
	b, err := yaml.YAMLToJSONStrict([]byte(doc))
	if err != nil {
		return err
	}
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	if !strings.HasPrefix(string(b), "{") {
		return errors.New("a document is not an object")
	}
	return unmarshalJSON(b, into)
}
