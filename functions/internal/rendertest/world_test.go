package rendertest

import (
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func testWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		xr:       parseOne(t, `{apiVersion: aphex.io/v1alpha1, kind: XKnowledgeBase, metadata: {name: xr, uid: "1"}}`),
		schemas:  sharedSchemas(t),
		without:  map[string]bool{"eventlisteners.triggers.tekton.dev": true},
		composed: map[string]*unstructured.Unstructured{},
		objects: parseYAML(t, `
{apiVersion: v1, kind: ConfigMap, metadata: {namespace: b, name: one, labels: {app: x}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: one, labels: {app: x, more: z}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: two}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: a}}
`),
	}
	composed := parseOne(t, `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: c, name: three, labels: {app: x}}}`)
	w.adopt(composed)
	w.composed["three"] = composed
	return w
}

func TestLookupsAreAnsweredLikeAnAPIServer(t *testing.T) {
	name := func(apiVersion, kind, namespace, name string) *fnv1.ResourceSelector {
		s := &fnv1.ResourceSelector{ApiVersion: apiVersion, Kind: kind, Match: &fnv1.ResourceSelector_MatchName{MatchName: name}}
		if namespace != "" {
			s.Namespace = &namespace
		}
		return s
	}
	labels := func(namespace string, labels map[string]string) *fnv1.ResourceSelector {
		s := &fnv1.ResourceSelector{ApiVersion: "v1", Kind: "ConfigMap", Match: &fnv1.ResourceSelector_MatchLabels{MatchLabels: &fnv1.MatchLabels{Labels: labels}}}
		if namespace != "" {
			s.Namespace = &namespace
		}
		return s
	}
	cases := map[string]struct {
		selector *fnv1.ResourceSelector
		want     []string
		fails    string
	}{
		"a cluster-scoped object":             {selector: name("v1", "Namespace", "", "a"), want: []string{"/a"}},
		"a namespaced object":                 {selector: name("v1", "ConfigMap", "b", "one"), want: []string{"b/one"}},
		"an object in no such namespace":      {selector: name("v1", "ConfigMap", "z", "one")},
		"a namespaced object without its own": {selector: name("v1", "ConfigMap", "", "one")},
		"labels in all namespaces, sorted":    {selector: labels("", map[string]string{"app": "x"}), want: []string{"a/one", "b/one", "c/three"}},
		"labels in one namespace":             {selector: labels("a", map[string]string{"app": "x"}), want: []string{"a/one"}},
		"two labels":                          {selector: labels("", map[string]string{"app": "x", "more": "z"}), want: []string{"a/one"}},
		"no labels":                           {selector: labels("a", nil), want: []string{"a/one", "a/two"}},
		"the XR itself":                       {selector: name("aphex.io/v1alpha1", "XKnowledgeBase", "", "xr"), want: []string{"/xr"}},
		"a CRD that is installed":             {selector: name("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "pipelines.tekton.dev"), want: []string{"/pipelines.tekton.dev"}},
		"a CRD that is not":                   {selector: name("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "eventlisteners.triggers.tekton.dev")},
		"a CRD that nobody knows":             {selector: name("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "things.example.org")},
		"a kind that is served":               {selector: name("tekton.dev/v1", "Pipeline", "a", "p")},
		"a kind that is not served": {
			selector: name("triggers.tekton.dev/v1beta1", "EventListener", "a", "p"),
			fails:    "does not serve eventlisteners.triggers.tekton.dev",
		},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			got, err := testWorld(t).fetch(c.selector)
			if c.fails != "" {
				require.ErrorContains(t, err, c.fails)
				return
			}
			require.NoError(t, err)
			var names []string
			for _, r := range got.GetItems() {
				o := toUnstructured(t, r.GetResource())
				names = append(names, o.GetNamespace()+"/"+o.GetName())
			}
			require.Equal(t, c.want, names)
		})
	}
}

func TestNoCRDIsSeenOffline(t *testing.T) {
	w := testWorld(t)
	w.offline = true
	got, err := w.fetchCRD("pipelines.tekton.dev")
	require.NoError(t, err)
	require.Nil(t, got)
}

func TestAppliedObjectsBelongToTheXR(t *testing.T) {
	w := testWorld(t)
	wire, err := toStruct(parseOne(t, `{apiVersion: v1, kind: Namespace, metadata: {name: org-a}}`))
	require.NoError(t, err)
	next := w.apply(t, &fnv1.RunFunctionResponse{Desired: &fnv1.State{Resources: map[string]*fnv1.Resource{"namespace": {Resource: wire}}}}, start)
	require.Len(t, next.composed, 1, "what is not desired is deleted")
	got := next.composed["namespace"]
	require.Equal(t, "namespace", got.GetAnnotations()["crossplane.io/composition-resource-name"])
	require.Equal(t, "Active", got.Object["status"].(map[string]any)["phase"])
	owner := got.GetOwnerReferences()[0]
	require.Equal(t, "XKnowledgeBase/xr/1", owner.Kind+"/"+owner.Name+"/"+string(owner.UID))
	require.True(t, *owner.Controller)
	again := next.apply(t, &fnv1.RunFunctionResponse{Desired: &fnv1.State{Resources: map[string]*fnv1.Resource{"namespace": {Resource: wire}}}}, start)
	require.Equal(t, got.GetUID(), again.composed["namespace"].GetUID())
}
