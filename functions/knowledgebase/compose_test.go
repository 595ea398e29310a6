package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/apis/composite"
	"aphex.io/platform/apis/knowledgebase/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
)

const ours = `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: team-a, name: knowledgebase-docs}, data: {displayName: Old}}`

func knowledgeBase(repositories ...v1alpha1.Repository) *v1alpha1.XKnowledgeBase {
	return &v1alpha1.XKnowledgeBase{
		TypeMeta:   metav1.TypeMeta{APIVersion: "aphex.io/v1alpha1", Kind: "XKnowledgeBase"},
		ObjectMeta: metav1.ObjectMeta{Name: "docs-abcde", UID: "1"},
		Spec: v1alpha1.XKnowledgeBaseSpec{
			KnowledgeBaseSpec: v1alpha1.KnowledgeBaseSpec{DisplayName: "Docs", Repositories: repositories},
			Machinery: composite.Machinery{ClaimRef: &composite.ClaimReference{
				APIVersion: "aphex.io/v1alpha1", Kind: "KnowledgeBase", Namespace: "team-a", Name: "docs",
			}},
		},
	}
}

func repo(url string) v1alpha1.Repository { return v1alpha1.Repository{URL: url} }

func TestPhaseAndConditions(t *testing.T) {
	const (
		good   = "https://github.com/acme-corp/docs"
		waits  = "waiting for ConfigMap team-a/knowledgebase-docs (not created yet)"
		holds  = "ConfigMap team-a/knowledgebase-docs holds the list in repositories.json"
		none   = "spec.repositories: must have 1 to 100 items"
		taken  = "ConfigMap team-a/knowledgebase-docs exists and is not managed by Aphex; it is left alone: delete or rename it, or create this KnowledgeBase under another name"
		direct = "an XKnowledgeBase that was made directly has no namespace for its ConfigMap; delete it and create a KnowledgeBase in the namespace whose consumers should read it"
	)
	seen := rendertest.Cluster{Composed: map[string]string{"configmap": ours}}
	unclaimed := knowledgeBase(repo(good))
	unclaimed.Spec.ClaimRef = nil
	cases := map[string]struct {
		xr         *v1alpha1.XKnowledgeBase
		cluster    rendertest.Cluster
		phase      string
		message    string
		conditions []object.Condition
		tracked    int64
		composed   []string
	}{
		"a new one waits for its ConfigMap": {
			xr: knowledgeBase(repo(good)), phase: "Pending", message: waits,
			conditions: []object.Condition{{Type: "SpecValid", Status: "True", Reason: "Valid"}, {Type: "ConfigMapReady", Status: "False", Reason: "Waiting", Message: waits}},
			composed:   []string{"configmap"},
		},
		"one repository is tracked": {
			xr: knowledgeBase(repo(good)), cluster: seen, phase: "Ready", message: "Tracking 1 repository", tracked: 1,
			conditions: []object.Condition{{Type: "SpecValid", Status: "True", Reason: "Valid"}, {Type: "ConfigMapReady", Status: "True", Reason: "Available", Message: holds}},
			composed:   []string{"configmap"},
		},
		"three repositories are tracked": {
			xr: knowledgeBase(repo(good), repo(good+"2"), repo(good+"3")), cluster: seen, phase: "Ready", message: "Tracking 3 repositories", tracked: 3,
			conditions: []object.Condition{{Type: "SpecValid", Status: "True", Reason: "Valid"}, {Type: "ConfigMapReady", Status: "True", Reason: "Available", Message: holds}},
			composed:   []string{"configmap"},
		},
		"an invalid one composes nothing": {
			xr: knowledgeBase(), phase: "Failed", message: none,
			conditions: []object.Condition{
				{Type: "SpecValid", Status: "False", Reason: "Invalid", Message: none},
				{Type: "ConfigMapReady", Status: "False", Reason: "SpecInvalid", Message: "ConfigMap team-a/knowledgebase-docs is created once the spec is valid"},
			},
		},
		"one that becomes invalid keeps its ConfigMap": {
			xr: knowledgeBase(), cluster: seen, phase: "Failed", message: none,
			conditions: []object.Condition{
				{Type: "SpecValid", Status: "False", Reason: "Invalid", Message: none},
				{Type: "ConfigMapReady", Status: "True", Reason: "Held", Message: "ConfigMap team-a/knowledgebase-docs keeps the last valid list"},
			},
			composed: []string{"configmap"},
		},
		"a ConfigMap that somebody else made is left alone": {
			xr: knowledgeBase(repo(good)), cluster: rendertest.Cluster{Objects: []string{ours}}, phase: "Failed", message: taken,
			conditions: []object.Condition{{Type: "SpecValid", Status: "True", Reason: "Valid"}, {Type: "ConfigMapReady", Status: "False", Reason: "NameTaken", Message: taken}},
		},
		"one that was made directly has nowhere to go": {
			xr: unclaimed, phase: "Failed", message: direct,
			conditions: []object.Condition{{Type: "SpecValid", Status: "True", Reason: "Valid"}, {Type: "ConfigMapReady", Status: "False", Reason: "NoClaim", Message: direct}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := rendertest.Compose(t, Compose, c.xr, c.cluster)
			require.NoError(t, err)
			require.NoError(t, d.Err())
			require.Equal(t, c.phase, d.Phase)
			require.Equal(t, c.message, d.Message)
			require.Equal(t, c.conditions, d.Conditions)
			require.Equal(t, c.phase == "Ready", d.Ready)
			require.Equal(t, c.phase == "Failed", d.Failed)
			require.Equal(t, c.composed, d.Keys())
			require.Equal(t, &v1alpha1.KnowledgeBaseStatus{
				Phase: c.phase, Message: c.message, Repositories: c.tracked, LastReconcileTime: object.WhenChanged,
			}, d.Status)
		})
	}
}

func TestConsumersGetEveryDefaultFilledIn(t *testing.T) {
	xr := knowledgeBase(
		repo("https://github.com/acme-corp/docs"),
		v1alpha1.Repository{URL: "https://github.com/acme-corp/api", Branch: "release/1.x", Paths: []string{".kiro/docs/b", ".kiro/docs/a & <c>"}},
	)
	xr.Spec.Description = "What we know"
	d, err := rendertest.Compose(t, Compose, xr, rendertest.Cluster{})
	require.NoError(t, err)
	data := object.NewObject(d.Resources()["configmap"].Object).Field("data")
	require.Equal(t, []string{"description", "displayName", "repositories.json"}, data.Keys())
	require.Equal(t, "Docs", data.String("displayName"))
	require.Equal(t, "What we know", data.String("description"))
	require.JSONEq(t, `[
		{"url": "https://github.com/acme-corp/docs", "branch": "main", "paths": [".kiro/docs"]},
		{"url": "https://github.com/acme-corp/api", "branch": "release/1.x", "paths": [".kiro/docs/b", ".kiro/docs/a & <c>"]}
	]`, data.String("repositories.json"))
}

func TestAMissingDescriptionHasNoKey(t *testing.T) {
	d, err := rendertest.Compose(t, Compose, knowledgeBase(repo("https://github.com/acme-corp/docs")), rendertest.Cluster{})
	require.NoError(t, err)
	require.Equal(t, []string{"displayName", "repositories.json"}, object.NewObject(d.Resources()["configmap"].Object).Field("data").Keys())
}

func TestAListThatNoConfigMapHoldsIsRefused(t *testing.T) {
	repositories := make([]v1alpha1.Repository, 0, 100)
	for i := range 100 {
		r := repo(fmt.Sprintf("https://github.com/acme-corp/docs-%02d", i))
		for j := range 50 {
			r.Paths = append(r.Paths, fmt.Sprintf(".kiro/docs/%02d-%s", j, strings.Repeat("d", 230)))
		}
		repositories = append(repositories, r)
	}
	xr := knowledgeBase(repositories...)
	require.Empty(t, xr.Spec.Validate(), "the schema accepts it")
	d, err := rendertest.Compose(t, Compose, xr, rendertest.Cluster{})
	require.NoError(t, err)
	require.Empty(t, d.Keys())
	require.Equal(t, "Failed", d.Phase)
	require.Contains(t, d.Message, "a ConfigMap holds 1048576; list folders instead of their files, or split it into several KnowledgeBases")

	xr.Spec.Repositories = repositories[:70]
	d, err = rendertest.Compose(t, Compose, xr, rendertest.Cluster{})
	require.NoError(t, err)
	require.Equal(t, []string{"configmap"}, d.Keys())
	rendertest.Valid(t, d)
}

func TestTheLongestNameFits(t *testing.T) {
	name := strings.Repeat("n", 63)
	require.Equal(t, "knowledgebase-"+name, namesFor(object.Identity{Namespace: "team-a", Name: name}).ConfigMap)
	xr := knowledgeBase(repo("https://github.com/acme-corp/docs"))
	xr.Spec.ClaimRef.Name = name
	d, err := rendertest.Compose(t, Compose, xr, rendertest.Cluster{})
	require.NoError(t, err)
	rendertest.Valid(t, d)
}

// The keys are promises: renaming a composed resource replaces it, and renaming a key of the ConfigMap breaks consumers.
func TestKeysStayAsTheyAre(t *testing.T) {
	require.Equal(t, []string{"configmap", "displayName", "description", "repositories.json"},
		[]string{keyConfigMap, dataDisplayName, dataDescription, dataRepositories})
	b, err := json.Marshal(repository{URL: "u", Branch: "b", Paths: []string{"p"}})
	require.NoError(t, err)
	require.JSONEq(t, `{"url": "u", "branch": "b", "paths": ["p"]}`, string(b))
}

func BenchmarkCompose(b *testing.B) {
	xr := knowledgeBase(repo("https://github.com/acme-corp/docs"), repo("https://github.com/acme-corp/api"), repo("https://github.com/acme-corp/web"))
	composed, err := object.From(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "team-a", "name": "knowledgebase-docs"},
	})
	if err != nil {
		b.Fatal(err)
	}
	id := object.Identity{Kind: "KnowledgeBase", Name: "docs", Namespace: "team-a", XR: "docs-abcde", UID: "1"}
	b.ReportAllocs()
	for b.Loop() {
		seen := object.NewObserved(id, map[string]object.Object{keyConfigMap: object.NewObject(composed)}, nil, nil)
		d, err := Compose(xr, seen)
		if err != nil || !d.Ready {
			b.Fatal(err, d.Message)
		}
	}
}
