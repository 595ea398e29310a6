package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/apis/admission"
)

const (
	// resourceKey is the annotation in which Crossplane keeps the key of a composed resource.
	resourceKey = "crossplane.io/composition-resource-name"
	// mostIterations is how often Crossplane calls a function that asks for more.
	mostIterations = 6
	// mostRounds is how often an answer may change before it has to stand still.
	mostRounds = 10
)

// situation is what Crossplane would see: a composite resource, what it composed, and the cluster around it.
type situation struct {
	root string
	xr   *unstructured.Unstructured
	// own are the CRDs of our composite resources.
	own      []*extv1.CustomResourceDefinition
	composed []*unstructured.Unstructured
	cluster  []*unstructured.Unstructured
	// without are CRDs that are not installed.
	without []string
	// certificate is what cert-manager would have made, in PEM.
	certificate []byte
}

// load reads a golden case of a function.
func load(ctx context.Context, root, function, name string) (*situation, error) {
	dir := filepath.Join(root, "functions", function, "testdata", name)
	xrs, err := objects(filepath.Join(dir, "xr.yaml"))
	if err != nil {
		return nil, err
	}
	if len(xrs) != 1 {
		return nil, fmt.Errorf("%s: xr.yaml holds %d objects", dir, len(xrs))
	}
	s := &situation{root: root, xr: xrs[0]}
	if s.certificate, err = os.ReadFile(filepath.Join(root, "functions", "internal", "rendertest", "selfsigned.crt")); err != nil {
		return nil, err
	}
	definitions, err := filepath.Glob(filepath.Join(root, "apis", "*", "definition.yaml"))
	if err != nil {
		return nil, err
	}
	for _, path := range definitions {
		api, err := admission.Load(ctx, path)
		if err != nil {
			return nil, err
		}
		if s.own = append(s.own, api.XR.CRD); api.XR.CRD.Spec.Names.Kind == s.xr.GetKind() {
			api.XR.Default(s.xr)
		}
	}
	// A case that begins with a new claim has none; play goes on from there.
	if s.composed, err = objects(filepath.Join(dir, "observed.yaml")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	around, err := objects(filepath.Join(dir, "cluster.yaml"))
	if err != nil {
		return nil, err
	}
	for _, o := range around {
		if o.GetKind() == "Without" {
			crds, _, err := unstructured.NestedStringSlice(o.Object, "crds")
			if err != nil {
				return nil, err
			}
			s.without = append(s.without, crds...)
			continue
		}
		s.cluster = append(s.cluster, o)
	}
	return s, nil
}

// addTeams makes namespaces of teams, as the API server shows them.
func (s *situation) addTeams(n int) {
	for i := range n {
		name := fmt.Sprintf("team-%03d", i)
		s.cluster = append(s.cluster, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace",
			"metadata": map[string]any{
				"name": name, "uid": "9d2f5e0c-7d0e-4c53-9a53-1f6c8d1b0" + name[len(name)-3:], "resourceVersion": "1000",
				"creationTimestamp": "2026-01-16T23:15:00Z", "labels": map[string]any{"kubernetes.io/metadata.name": name},
				"managedFields": []any{map[string]any{
					"manager": "kubectl-create", "operation": "Update", "apiVersion": "v1", "time": "2026-01-16T23:15:00Z", "fieldsType": "FieldsV1",
					"fieldsV1": map[string]any{"f:metadata": map[string]any{"f:labels": map[string]any{".": map[string]any{}, "f:kubernetes.io/metadata.name": map[string]any{}}}},
				}},
			},
			"spec":   map[string]any{"finalizers": []any{"kubernetes"}},
			"status": map[string]any{"phase": "Active"},
		}})
	}
}

func objects(path string) ([]*unstructured.Unstructured, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	docs := kyaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := docs.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(o.Object) > 0 {
			out = append(out, o)
		}
	}
}

// request is what Crossplane sends first, before it knows what the function looks up.
func (s *situation) request() (*fnv1.RunFunctionRequest, error) {
	xr, err := wire(s.xr)
	if err != nil {
		return nil, err
	}
	req := &fnv1.RunFunctionRequest{
		Meta: &fnv1.RequestMeta{
			Tag: "bench",
			Capabilities: []fnv1.Capability{
				fnv1.Capability_CAPABILITY_CAPABILITIES,
				fnv1.Capability_CAPABILITY_REQUIRED_RESOURCES,
				fnv1.Capability_CAPABILITY_CREDENTIALS,
				fnv1.Capability_CAPABILITY_CONDITIONS,
				fnv1.Capability_CAPABILITY_REQUIRED_SCHEMAS,
			},
		},
		Observed: &fnv1.State{Composite: xr, Resources: make(map[string]*fnv1.Resource, len(s.composed))},
	}
	for _, o := range s.composed {
		key := o.GetAnnotations()[resourceKey]
		if key == "" {
			return nil, fmt.Errorf("%s %s has no annotation %s", o.GetKind(), o.GetName(), resourceKey)
		}
		if req.Observed.Resources[key], err = wire(o); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// play goes on from the situation as Crossplane would, until the composite resource is ready and nothing changes. The
// request it returns is the one that almost every later run gets.
func (s *situation) play(ctx context.Context, fn fnv1.FunctionRunnerServiceClient) (*fnv1.RunFunctionRequest, *fnv1.RunFunctionResponse, error) {
	for range mostRounds {
		req, rsp, err := s.settle(ctx, fn)
		if err != nil {
			return nil, nil, err
		}
		if s.apply(rsp) {
			continue
		}
		if rsp.GetDesired().GetComposite().GetReady() != fnv1.Ready_READY_TRUE {
			return nil, nil, fmt.Errorf("%s does not become ready: %v", s.xr.GetName(), s.xr.Object["status"])
		}
		return req, rsp, nil
	}
	return nil, nil, fmt.Errorf("the answer still changed after %d rounds", mostRounds)
}

// reported is the status that other controllers give to objects which a Platform waits for.
var reported = map[string]map[string]any{
	"Application":   {"sync": map[string]any{"status": "Synced"}, "health": map[string]any{"status": "Healthy"}},
	"ClusterIssuer": {"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}},
	"Certificate":   {"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}},
}

// apply makes what was not there yet, owned by the composite resource, changes what was, and sets the composite's status.
func (s *situation) apply(rsp *fnv1.RunFunctionResponse) (changed bool) {
	there := make(map[string]*unstructured.Unstructured, len(s.composed))
	for _, o := range s.composed {
		there[o.GetAnnotations()[resourceKey]] = o
	}
	for key, r := range rsp.GetDesired().GetResources() {
		if old := there[key]; old != nil {
			changed = change(old, r.GetResource().AsMap()) || changed
			continue
		}
		o := &unstructured.Unstructured{Object: r.GetResource().AsMap()}
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = make(map[string]string, 1)
		}
		annotations[resourceKey] = key
		o.SetAnnotations(annotations)
		o.SetUID(types.UID("uid-of-" + key))
		if status := reported[o.GetKind()]; status != nil {
			o.Object["status"] = status
		}
		if o.GetKind() == "Certificate" {
			s.cluster = append(s.cluster, s.certificateSecret(o))
		}
		o.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: s.xr.GetAPIVersion(), Kind: s.xr.GetKind(), Name: s.xr.GetName(), UID: s.xr.GetUID(),
			Controller: new(true), BlockOwnerDeletion: new(true),
		}})
		s.composed = append(s.composed, o)
		changed = true
	}

	status, ok := rsp.GetDesired().GetComposite().GetResource().AsMap()["status"].(map[string]any)
	if !ok {
		status = make(map[string]any, 1)
	}
	conditions := make([]any, 0, len(rsp.GetConditions()))
	for _, c := range rsp.GetConditions() {
		words := map[fnv1.Status]string{fnv1.Status_STATUS_CONDITION_TRUE: "True", fnv1.Status_STATUS_CONDITION_FALSE: "False"}
		conditions = append(conditions, map[string]any{
			"type": c.GetType(), "status": cmp.Or(words[c.GetStatus()], "Unknown"),
			"reason": c.GetReason(), "message": c.GetMessage(), "lastTransitionTime": "2026-01-16T23:15:00Z",
		})
	}
	status["conditions"] = conditions
	changed = changed || !reflect.DeepEqual(s.xr.Object["status"], any(status))
	s.xr.Object["status"] = status
	return changed
}

// change sets what is desired of an object, and tells whether it was something else.
func change(o *unstructured.Unstructured, desired map[string]any) (changed bool) {
	for field, value := range desired {
		if field != "metadata" && field != "status" && !reflect.DeepEqual(o.Object[field], value) {
			o.Object[field], changed = value, true
		}
	}
	return changed
}

// certificateSecret is what cert-manager writes for a self-signed Certificate.
func (s *situation) certificateSecret(certificate *unstructured.Unstructured) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata": map[string]any{"namespace": certificate.GetNamespace(), "name": certificate.GetName()},
		"data":     map[string]any{"ca.crt": base64.StdEncoding.EncodeToString(s.certificate)},
	}}
}

// settle answers what a function looks up, as Crossplane does, until its lookups stand still. The request it returns
// is the last one, with all answers.
func (s *situation) settle(ctx context.Context, fn fnv1.FunctionRunnerServiceClient) (*fnv1.RunFunctionRequest, *fnv1.RunFunctionResponse, error) {
	req, err := s.request()
	if err != nil {
		return nil, nil, err
	}
	var before *fnv1.Requirements
	for range mostIterations {
		rsp, err := fn.RunFunction(ctx, req)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range rsp.GetResults() {
			if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
				return nil, nil, errors.New(r.GetMessage())
			}
		}
		if proto.Equal(before, rsp.GetRequirements()) {
			return req, rsp, nil
		}
		before = rsp.GetRequirements()
		req.RequiredResources = make(map[string]*fnv1.Resources, len(before.GetResources()))
		for key, selector := range before.GetResources() {
			if req.RequiredResources[key], err = s.find(selector); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil, nil, fmt.Errorf("the function still asked for more after %d calls", mostIterations)
}

// find answers one lookup. CRDs are the real ones, whole: their schemas are the largest part of some requests.
func (s *situation) find(selector *fnv1.ResourceSelector) (*fnv1.Resources, error) {
	found := &fnv1.Resources{}
	candidates := slices.Concat(s.cluster, s.composed, []*unstructured.Unstructured{s.xr})
	if selector.GetKind() == "CustomResourceDefinition" {
		crd, err := s.crd(selector.GetMatchName())
		if crd == nil || err != nil {
			return found, err
		}
		candidates = []*unstructured.Unstructured{crd}
	}
	for _, o := range candidates {
		if !matches(selector, o) {
			continue
		}
		r, err := wire(o)
		if err != nil {
			return nil, err
		}
		found.Items = append(found.Items, r)
	}
	return found, nil
}

func matches(selector *fnv1.ResourceSelector, o *unstructured.Unstructured) bool {
	if o.GetAPIVersion() != selector.GetApiVersion() || o.GetKind() != selector.GetKind() ||
		selector.Namespace != nil && o.GetNamespace() != selector.GetNamespace() {
		return false
	}
	if selector.GetMatchName() != "" {
		return o.GetName() == selector.GetMatchName()
	}
	for k, v := range selector.GetMatchLabels().GetLabels() {
		if o.GetLabels()[k] != v {
			return false
		}
	}
	return true
}

// crd is a CRD of that name as an API server shows it, nil if it is not installed.
func (s *situation) crd(name string) (*unstructured.Unstructured, error) {
	if slices.Contains(s.without, name) {
		return nil, nil
	}
	for _, own := range s.own {
		if own.Name != name {
			continue
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(own)
		if err != nil {
			return nil, err
		}
		content["apiVersion"], content["kind"] = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
		return established(content)
	}
	for _, folder := range []string{".cache/crds/*", "package/crds"} {
		files, err := filepath.Glob(filepath.Join(s.root, folder, "*.yaml"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if found, err := crdIn(file, name); found != nil || err != nil {
				return found, err
			}
		}
	}
	return nil, nil
}

// crdIn looks for a CRD in a file. Most files are large and hold another, so text is compared before it is parsed.
func crdIn(file, name string) (*unstructured.Unstructured, error) {
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), "name: "+name) {
		return nil, err
	}
	for _, doc := range strings.Split(string(b), "\n---\n") {
		content := map[string]any{}
		if err := yaml.Unmarshal([]byte(doc), &content); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		o := &unstructured.Unstructured{Object: content}
		if o.GetKind() == "CustomResourceDefinition" && o.GetName() == name {
			return established(content)
		}
	}
	return nil, nil
}

func established(crd map[string]any) (*unstructured.Unstructured, error) {
	err := unstructured.SetNestedSlice(crd, []any{
		map[string]any{"type": "NamesAccepted", "status": "True", "reason": "NoConflicts"},
		map[string]any{"type": "Established", "status": "True", "reason": "InitialNamesAccepted"},
	}, "status", "conditions")
	return &unstructured.Unstructured{Object: crd}, err
}

func wire(o *unstructured.Unstructured) (*fnv1.Resource, error) {
	b, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	content := &structpb.Struct{}
	if err := content.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return &fnv1.Resource{Resource: content}, nil
}
