package object_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/object"
)

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: name},
		Data:       map[string]string{"wanted": "yes"},
	}
}

const seenConfigMap = `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: team-a, name: one}, data: {wanted: drifted}}`

func TestANewObjectIsAwaited(t *testing.T) {
	d := object.NewDesired(cluster(t, nil, nil))
	d.Add("one", configMap("one"), object.ReadyWhenSeen)
	require.NoError(t, d.Err())
	require.Equal(t, []string{"one"}, d.Keys())
	require.False(t, d.Resources()["one"].Ready)
	require.Equal(t, map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "team-a", "name": "one"},
		"data": map[string]any{"wanted": "yes"},
	}, object.NewObject(d.Resources()["one"].Object).Map())
	awaited, done := d.Done("one")
	require.False(t, done)
	require.Equal(t, "ConfigMap team-a/one (not created yet)", awaited)
}

func TestASeenObjectIsJudgedAndSentAsWanted(t *testing.T) {
	d := object.NewDesired(cluster(t, map[string]string{"one": seenConfigMap}, nil))
	d.Add("one", configMap("one"), object.ReadyWhenSeen)
	require.True(t, d.Resources()["one"].Ready)
	require.Equal(t, "yes", object.NewObject(d.Resources()["one"].Object).String("data", "wanted"))
	awaited, done := d.Done("one")
	require.True(t, done)
	require.Empty(t, awaited)
}

func TestAChangeMayDependOnAllThatWasSeen(t *testing.T) {
	d := object.NewDesired(cluster(t, map[string]string{
		"one": `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: team-a, name: one, resourceVersion: "12"}}`,
	}, nil))
	for _, key := range []string{"one", "new"} {
		d.Add(key, configMap(key), object.ReadyWhenSeen)
		d.OnlyAsSeen(key)
	}
	d.OnlyAsSeen("what is not emitted")
	version := func(key string) string {
		return object.NewObject(d.Resources()[key].Object).String("metadata", "resourceVersion")
	}
	require.Equal(t, []string{"new", "one"}, d.Keys())
	require.Equal(t, "12", version("one"))
	require.Empty(t, version("new"))
}

func TestAddWhenWaitsOnlyWithWhatWasNeverSeen(t *testing.T) {
	d := object.NewDesired(cluster(t, map[string]string{"one": seenConfigMap}, nil))
	d.AddWhen(false, "one", configMap("one"), object.ReadyWhen("Ready"))
	d.AddWhen(false, "two", configMap("two"), object.ReadyWhenSeen)
	d.AddWhen(true, "three", configMap("three"), object.ReadyWhenSeen)
	require.NoError(t, d.Err())
	require.Equal(t, []string{"one", "three"}, d.Keys(), "leaving a seen object out would delete it")
	awaited, done := d.Done("three", "one", "two")
	require.False(t, done)
	require.Equal(t, "ConfigMap team-a/three (not created yet)", awaited, "the first in the order that was asked")
	awaited, _ = d.Done("one")
	require.Equal(t, "ConfigMap team-a/one (its condition Ready is not reported yet)", awaited)
	awaited, _ = d.Done("two")
	require.Equal(t, "ConfigMap team-a/two (not created yet)", awaited)
}

func TestDoneAsksForKeysThatWereAdded(t *testing.T) {
	d := object.NewDesired(cluster(t, nil, nil))
	awaited, done := d.Done("none")
	require.False(t, done)
	require.Equal(t, "none (not part of this run)", awaited)
	_, done = d.Done()
	require.True(t, done)
}

func TestAReadyObjectMayLackSomething(t *testing.T) {
	lacking := func(ready bool, why string) object.Readiness {
		return func(object.Object) (bool, string) { return ready, why }
	}
	d := object.NewDesired(cluster(t, map[string]string{"well": seenConfigMap, "lacking": seenConfigMap, "missing": seenConfigMap}, nil))
	d.Add("well", configMap("well"), object.ReadyWhenSeen)
	d.Add("lacking", configMap("lacking"), lacking(true, "1 of 2"))
	d.Add("missing", configMap("missing"), lacking(false, "0 of 2"))
	_, done := d.Done("well", "lacking")
	require.True(t, done)
	require.Equal(t, "ConfigMap team-a/lacking (1 of 2)", d.Remark("well", "missing", "lacking"))
	require.Empty(t, d.Remark("well", "missing", "unknown"), "what is not ready is awaited")
}

func TestAddExclusiveLeavesAloneWhatIsNotOurs(t *testing.T) {
	const lookup = "v1/ConfigMap/team-a/one"
	owned := func(uid, labels string) string {
		return `{kind: ConfigMap, metadata: {namespace: team-a, name: one, labels: {` + labels + `}, ownerReferences: [{kind: XOrganization, name: other-x, uid: ` + uid + `, controller: true}]}}`
	}
	cases := map[string]struct {
		composed map[string]string
		existing []string
		emitted  bool
		ready    bool
		taken    []string
		awaited  string
	}{
		"nothing of that name exists": {emitted: true, awaited: "ConfigMap team-a/one (not created yet)"},
		"it exists without a controller": {
			existing: []string{`{kind: ConfigMap, metadata: {namespace: team-a, name: one}}`},
			taken:    []string{"ConfigMap team-a/one exists and is not managed by Aphex"},
			awaited:  "ConfigMap team-a/one (it exists and is not managed by Aphex)",
		},
		"it exists with an owner that is no controller": {
			existing: []string{`{kind: ConfigMap, metadata: {namespace: team-a, name: one, ownerReferences: [{kind: X, name: x, uid: xr-1}]}}`},
			taken:    []string{"ConfigMap team-a/one exists and is not managed by Aphex"},
			awaited:  "ConfigMap team-a/one (it exists and is not managed by Aphex)",
		},
		"another XR controls it": {
			existing: []string{owned("xr-2", "")},
			taken:    []string{"ConfigMap team-a/one exists and is controlled by XOrganization other-x"},
			awaited:  "ConfigMap team-a/one (it exists and is controlled by XOrganization other-x)",
		},
		"the XR of another claim controls it": {
			existing: []string{owned("xr-2", "crossplane.io/claim-name: other, crossplane.io/claim-namespace: team-b")},
			taken:    []string{"ConfigMap team-a/one exists and is controlled by XOrganization other-x of claim team-b/other"},
			awaited:  "ConfigMap team-a/one (it exists and is controlled by XOrganization other-x of claim team-b/other)",
		},
		"this XR controls it, and Crossplane has not shown it yet": {
			existing: []string{owned("xr-1", "")}, emitted: true, awaited: "ConfigMap team-a/one (not created yet)",
		},
		"it is a composed resource of this XR": {
			composed: map[string]string{"one": seenConfigMap}, existing: []string{owned("xr-1", "")}, emitted: true, ready: true,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := object.NewDesired(cluster(t, c.composed, map[string][]string{lookup: c.existing}))
			d.AddExclusive(true, "one", configMap("one"), object.ReadyWhenSeen)
			require.NoError(t, d.Err())
			if c.emitted {
				require.Equal(t, []string{"one"}, d.Keys())
			} else {
				require.Empty(t, d.Keys())
			}
			require.Equal(t, c.taken, d.Taken())
			require.Equal(t, len(c.taken) > 0, d.IsTaken("one"))
			awaited, done := d.Done("one")
			require.Equal(t, c.ready, done)
			require.Equal(t, c.awaited, awaited)
		})
	}
}

func TestAnObjectThatServesAsItIsIsDoneAndNotEmitted(t *testing.T) {
	d := object.NewDesired(cluster(t, nil, nil))
	d.Accept("one", "ConfigMap team-a/one")
	require.Empty(t, d.Keys())
	require.Empty(t, d.Taken())
	awaited, done := d.Done("one")
	require.True(t, done)
	require.Empty(t, awaited)
}

func TestAddExclusiveAsksBeforeItsTurn(t *testing.T) {
	seen := cluster(t, nil, nil)
	d := object.NewDesired(seen)
	d.AddExclusive(false, "one", configMap("one"), object.ReadyWhenSeen)
	require.Empty(t, d.Keys())
	require.True(t, seen.Pending())
	require.Contains(t, seen.Lookups(), "v1/ConfigMap/team-a/one")
}

func TestHoldSendsASeenObjectAgain(t *testing.T) {
	d := object.NewDesired(cluster(t, map[string]string{"one": `
apiVersion: apps/v1
kind: Deployment
metadata:
  namespace: team-a
  name: one
  uid: u-1
  resourceVersion: "12"
  generation: 4
  creationTimestamp: "2026-01-16T23:15:00Z"
  labels: {app: one, crossplane.io/composite: acme-abcde}
  annotations:
    aphex/repo: acme/one
    crossplane.io/composition-resource-name: one
    deployment.kubernetes.io/revision: "3"
    kubectl.kubernetes.io/last-applied-configuration: "{}"
  ownerReferences: [{kind: XOrganization, name: acme-abcde, uid: xr-1, controller: true}]
  managedFields: [{manager: m}]
spec: {replicas: 2, template: {spec: {volumes: [{name: tmp, emptyDir: {}}]}}}
status: {replicas: 2}`}, nil))
	d.Hold("one", "Deployment team-a/one", "the spec is invalid")
	d.Hold("two", "Deployment team-a/two", "the spec is invalid")
	require.NoError(t, d.Err())
	require.Equal(t, []string{"one"}, d.Keys())
	require.False(t, d.Resources()["one"].Ready)
	require.Equal(t, map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{
			"namespace": "team-a", "name": "one", "labels": map[string]any{"app": "one", "crossplane.io/composite": "acme-abcde"},
			"annotations": map[string]any{"aphex/repo": "acme/one"},
		},
		"spec": map[string]any{
			"replicas": int64(2),
			"template": map[string]any{"spec": map[string]any{"volumes": []any{map[string]any{"name": "tmp", "emptyDir": map[string]any{}}}}},
		},
	}, object.NewObject(d.Resources()["one"].Object).Map())
	for _, key := range []string{"one", "two"} {
		awaited, done := d.Done(key)
		require.False(t, done)
		require.Equal(t, "Deployment team-a/"+key+" (the spec is invalid)", awaited)
	}
}

func TestHoldNeedsNoNamespaceLabelsOrAnnotations(t *testing.T) {
	d := object.NewDesired(cluster(t, map[string]string{"one": `{apiVersion: v1, kind: Namespace, metadata: {name: one, uid: u}}`}, nil))
	d.Hold("one", "Namespace one", "why")
	require.Equal(t, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "one"}},
		object.NewObject(d.Resources()["one"].Object).Map())
}

func TestKeepSendsASeenObjectAgainAsReady(t *testing.T) {
	d := object.NewDesired(cluster(t, map[string]string{"one": `{apiVersion: v1, kind: Namespace, metadata: {name: one, uid: u}, status: {phase: Active}}`}, nil))
	d.Keep("one", "Namespace one")
	require.True(t, d.Resources()["one"].Ready)
	require.Equal(t, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "one"}},
		object.NewObject(d.Resources()["one"].Object).Map())
	_, done := d.Done("one")
	require.True(t, done)
}

func TestAJobIsSentAgainWithoutWhatTheAPIServerKnowsItsPodsBy(t *testing.T) {
	d := object.NewDesired(cluster(t, map[string]string{"one": `
apiVersion: batch/v1
kind: Job
metadata: {namespace: team-a, name: one, uid: u}
spec:
  backoffLimit: 6
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: u}}
  template:
    metadata: {labels: {app: one, controller-uid: u, job-name: one, batch.kubernetes.io/controller-uid: u, batch.kubernetes.io/job-name: one}}
    spec: {restartPolicy: Never}
`}, nil))
	d.Hold("one", "Job team-a/one", "the spec is invalid")
	require.Equal(t, map[string]any{
		"backoffLimit": int64(6),
		"template":     map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "one"}}, "spec": map[string]any{"restartPolicy": "Never"}},
	}, object.NewObject(d.Resources()["one"].Object).Map()["spec"])
}

func TestWithdrawLeavesASeenObjectOut(t *testing.T) {
	d := object.NewDesired(cluster(t, map[string]string{"one": seenConfigMap}, nil))
	d.Withdraw("one", "ConfigMap team-a/one", "suspended")
	require.Empty(t, d.Keys())
	awaited, done := d.Done("one")
	require.False(t, done)
	require.Equal(t, "ConfigMap team-a/one (suspended)", awaited)
}

func TestErrorsAreKeptAndNameTheKey(t *testing.T) {
	d := object.NewDesired(cluster(t, nil, nil))
	d.Add("one", configMap("one"), object.ReadyWhenSeen)
	d.Add("one", configMap("two"), object.ReadyWhenSeen)
	d.Add("nameless", configMap(""), object.ReadyWhenSeen)
	d.AddExclusive(true, "kindless", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, object.ReadyWhenSeen)
	d.Add("unsendable", map[string]any{"spec": "\xff"}, object.ReadyWhenSeen)
	require.ErrorContains(t, d.Err(), `composed resource "one": the key is used twice
composed resource "nameless": apiVersion, kind and metadata.name are required
composed resource "kindless": apiVersion, kind and metadata.name are required
composed resource "unsendable": spec: `)
	require.Equal(t, "one", object.NewObject(d.Resources()["one"].Object).Name())
}

func TestAHeldObjectHasNoEmptyAnnotations(t *testing.T) {
	seen := cluster(t, map[string]string{
		"box": `{apiVersion: v1, kind: ConfigMap, metadata: {name: box, annotations: {crossplane.io/composition-resource-name: box}, labels: {a: b}}}`,
	}, nil)
	d := object.NewDesired(seen)
	d.Hold("box", "ConfigMap box", "kept")
	require.Equal(t, map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "box", "labels": map[string]any{"a": "b"}},
	}, object.NewObject(d.Resources()["box"].Object).Map())
}
