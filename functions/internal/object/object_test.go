package object_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/functions/internal/object"
)

// parse wraps an object written in YAML.
func parse(t *testing.T, text string) object.Object {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	s := &structpb.Struct{}
	require.NoError(t, s.UnmarshalJSON(b))
	return object.NewObject(s)
}

const pod = `
apiVersion: v1
kind: Pod
metadata:
  namespace: team-a
  name: web
  uid: u-1
  generation: 3
  labels: {app: web, "a.b/c": d}
  annotations: {note: hello}
  ownerReferences:
    - {kind: Owner, name: first, uid: o-1}
    - {kind: ReplicaSet, name: web-1, uid: o-2, controller: true}
spec:
  hostNetwork: true
  priority: 12
  containers: [{name: one}, not-an-object, {name: two}]
  args: [a, 7, b]
status:
  conditions:
    - {type: Ready, status: "False", reason: NotYet, message: soon}
`

func TestReading(t *testing.T) {
	o := parse(t, pod)
	require.True(t, o.Exists())
	require.True(t, o.Live())
	require.False(t, o.Deleting())
	require.Equal(t, []string{"Pod", "team-a", "web", "u-1"}, []string{o.Kind(), o.Namespace(), o.Name(), o.UID()})
	require.Equal(t, []string{"web", "d", "", "hello"}, []string{o.Label("app"), o.Label("a.b/c"), o.Label("none"), o.Annotation("note")})
	require.True(t, o.Bool("spec", "hostNetwork"))
	require.Equal(t, int64(12), o.Int("spec", "priority"))
	require.Equal(t, "two", o.List("spec", "containers")[1].String("name"))
	require.Equal(t, []string{"a", "b"}, o.Strings("spec", "args"))
	require.Equal(t, []string{"args", "containers", "hostNetwork", "priority"}, o.Field("spec").Keys())
	require.Equal(t, "v1", o.Value("apiVersion").GetStringValue())
	require.Equal(t, object.Condition{Type: "Ready", Status: object.False, Reason: "NotYet", Message: "soon"}, o.Condition("Ready"))
	require.Equal(t, object.Condition{Type: "Available"}, o.Condition("Available"))
	kind, name, uid := o.Controller()
	require.Equal(t, []string{"ReplicaSet", "web-1", "o-2"}, []string{kind, name, uid})
}

func TestReadingWhatIsNotThereOrOfAnotherType(t *testing.T) {
	o := parse(t, pod)
	require.Empty(t, o.String("spec", "priority"))
	require.Empty(t, o.String("spec"))
	require.Empty(t, o.String("kind", "deeper"))
	require.Empty(t, o.String())
	require.Zero(t, o.Int("kind"))
	require.False(t, o.Bool("kind"))
	require.Empty(t, o.List("kind"))
	require.Empty(t, o.Strings("spec"))
	require.False(t, o.Field("kind").Exists())
	require.Nil(t, o.Value("none"))
}

func TestAnObjectThatDoesNotExist(t *testing.T) {
	var o object.Object
	require.False(t, o.Exists())
	require.False(t, o.Live())
	require.False(t, o.Deleting())
	require.Empty(t, o.Name())
	require.Empty(t, o.Keys())
	require.Empty(t, o.List("spec", "containers"))
	require.Nil(t, o.Map())
	require.Nil(t, o.SecretData("key"))
	kind, name, uid := o.Controller()
	require.Equal(t, []string{"", "", ""}, []string{kind, name, uid})
}

func TestSecretData(t *testing.T) {
	o := parse(t, `{kind: Secret, data: {good: dmFsdWU=, empty: "", bad: "%%%"}}`)
	require.Equal(t, []byte("value"), o.SecretData("good"))
	require.Nil(t, o.SecretData("empty"))
	require.Nil(t, o.SecretData("bad"))
	require.Nil(t, o.SecretData("none"))
}

func TestMapIsACopy(t *testing.T) {
	o := parse(t, pod)
	m := o.Map()
	m["metadata"].(map[string]any)["name"] = "changed"
	require.Equal(t, "web", o.Name())
}

func TestDecode(t *testing.T) {
	var p corev1.Pod
	require.NoError(t, parse(t, `{kind: Pod, metadata: {name: web}, spec: {priority: 12, fieldOfTomorrow: 1}}`).Decode(&p))
	require.Equal(t, "web", p.Name)
	require.Equal(t, int32(12), *p.Spec.Priority)
	require.EqualError(t, parse(t, `{kind: Pod, spec: {hostname: {}}}`).Decode(&p), "spec.hostname: must be of type string, not object")
	require.EqualError(t, parse(t, `{kind: Pod, spec: {containers: [{}, {args: [1]}]}}`).Decode(&p), "spec.containers.args: must be of type string, not number")
}
