package object_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/functions/internal/object"
)

// cluster answers lookups by their key, as the runner does for Crossplane.
func cluster(t *testing.T, composed map[string]string, required map[string][]string) *object.Observed {
	t.Helper()
	objects := map[string]object.Object{}
	for key, text := range composed {
		objects[key] = parse(t, text)
	}
	answers := map[string][]object.Object{}
	for key, texts := range required {
		answers[key] = nil
		for _, text := range texts {
			answers[key] = append(answers[key], parse(t, text))
		}
	}
	id := object.Identity{Kind: "Organization", Name: "acme", Namespace: "team-a", XR: "acme-abcde", UID: "xr-1"}
	return object.NewObserved(id, objects, answers, strings.NewReader("\x00\x01\x02\xff"))
}

func TestNames(t *testing.T) {
	require.Equal(t, "Role team-a/r", object.Ref("Role", "team-a", "r"))
	require.Equal(t, "Namespace n", object.Ref("Namespace", "", "n"))
	require.Equal(t, "Organization team-a/acme", object.Identity{Kind: "Organization", Name: "acme", Namespace: "team-a"}.String())
}

func TestALookupIsPendingUntilItIsAnswered(t *testing.T) {
	seen := cluster(t, nil, nil)
	require.False(t, seen.Pending())
	require.False(t, seen.Get("v1", "Namespace", "", "org-acme").Exists())
	require.True(t, seen.Pending())
	require.Equal(t, map[string]object.Selector{"v1/Namespace//org-acme": {APIVersion: "v1", Kind: "Namespace", Name: "org-acme"}}, seen.Lookups())

	seen = cluster(t, nil, map[string][]string{"v1/Namespace//org-acme": nil})
	require.False(t, seen.Get("v1", "Namespace", "", "org-acme").Exists())
	require.False(t, seen.Pending(), "an answer may be that there is none")

	seen = cluster(t, nil, map[string][]string{"v1/Namespace//org-acme": {`{metadata: {name: org-acme}}`}})
	require.Equal(t, "org-acme", seen.Get("v1", "Namespace", "", "org-acme").Name())
	require.False(t, seen.Pending())
}

func TestALookupByLabelsHasOneKeyWhateverTheirOrder(t *testing.T) {
	const key = "v1/Secret//,a=1,b=2"
	seen := cluster(t, nil, map[string][]string{key: {`{metadata: {name: one}}`, `{metadata: {name: two}}`}})
	got := seen.List("v1", "Secret", map[string]string{"b": "2", "a": "1"})
	require.Len(t, got, 2)
	require.Equal(t, "two", got[1].Name())
	require.Equal(t, map[string]object.Selector{key: {APIVersion: "v1", Kind: "Secret", Labels: map[string]string{"a": "1", "b": "2"}}}, seen.Lookups())
	require.False(t, seen.Pending())
}

func TestAnObservedObjectProvesThatItsKindIsServed(t *testing.T) {
	composed := map[string]string{"thing": `{apiVersion: example.org/v1, kind: Thing, metadata: {name: one}}`}
	seen := cluster(t, composed, nil)
	require.True(t, seen.Served("things.example.org", "v1"))
	require.Empty(t, seen.Lookups(), "the CRD, which may be large, is not needed")

	for name, crd := range map[string][2]string{
		"another version": {"things.example.org", "v2"},
		"another kind":    {"others.example.org", "v1"},
		"another group":   {"things.example.com", "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := cluster(t, composed, nil)
			require.False(t, seen.Served(crd[0], crd[1]))
			require.True(t, seen.Pending())
		})
	}
}

func TestServed(t *testing.T) {
	const crd = "apiextensions.k8s.io/v1/CustomResourceDefinition//things.example.org"
	const established = `status: {conditions: [{type: Established, status: "True"}]}`
	cases := map[string]struct {
		crd  []string
		want bool
	}{
		"a CRD that is not installed":            {nil, false},
		"a CRD that serves the version":          {[]string{`{spec: {versions: [{name: v1alpha1, served: true}, {name: v1, served: true}]}, ` + established + `}`}, true},
		"a CRD that has stopped to serve it":     {[]string{`{spec: {versions: [{name: v1, served: false}]}, ` + established + `}`}, false},
		"a CRD of another version":               {[]string{`{spec: {versions: [{name: v2, served: true}]}, ` + established + `}`}, false},
		"a CRD that is not established":          {[]string{`{spec: {versions: [{name: v1, served: true}]}}`}, false},
		"a CRD whose names are taken by another": {[]string{`{spec: {versions: [{name: v1, served: true}]}, status: {conditions: [{type: Established, status: "False"}]}}`}, false},
		"a CRD on its way out":                   {[]string{`{metadata: {deletionTimestamp: "2026-01-16T23:15:00Z"}, spec: {versions: [{name: v1, served: true}]}, ` + established + `}`}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			seen := cluster(t, nil, map[string][]string{crd: c.crd})
			require.Equal(t, c.want, seen.Served("things.example.org", "v1"))
			require.False(t, seen.Pending())
		})
	}
	t.Run("everything is, without a cluster", func(t *testing.T) {
		seen := cluster(t, nil, map[string][]string{crd: nil})
		seen.Offline = true
		require.True(t, seen.Served("things.example.org", "v1"))
		require.Contains(t, seen.Lookups(), crd, "a live cluster answers it")
	})
}

func TestForeignIsWhatThisXRDoesNotControl(t *testing.T) {
	const key = "v1/ConfigMap/team-a/one"
	owned := func(uid string) []string {
		return []string{`{metadata: {name: one, ownerReferences: [{kind: X, name: x, uid: ` + uid + `, controller: true}]}}`}
	}
	cases := map[string]struct {
		composed map[string]string
		existing []string
		want     bool
	}{
		"nothing of that name":               {},
		"one without a controller":           {existing: []string{`{metadata: {name: one}}`}, want: true},
		"one of another XR":                  {existing: owned("xr-2"), want: true},
		"one of this XR":                     {existing: owned("xr-1")},
		"one that is composed under the key": {composed: map[string]string{"one": `{metadata: {name: one}}`}, existing: []string{`{metadata: {name: one}}`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			seen := cluster(t, c.composed, map[string][]string{key: c.existing})
			require.Equal(t, c.want, seen.Foreign("one", "v1", "ConfigMap", "team-a", "one").Exists())
			require.False(t, seen.Pending())
		})
	}
}

func TestComposed(t *testing.T) {
	seen := cluster(t, map[string]string{"b": `{metadata: {name: x}}`, "a": `{}`}, nil)
	require.Equal(t, "x", seen.Composed("b").Name())
	require.False(t, seen.Composed("c").Exists())
	require.Equal(t, []string{"a", "b"}, seen.ComposedKeys())
	require.Empty(t, seen.Lookups(), "composed resources need no lookup")
}

func TestNewSecret(t *testing.T) {
	secret, err := cluster(t, nil, nil).NewSecret(4)
	require.NoError(t, err)
	require.Equal(t, "000102ff", secret)

	broken := object.NewObserved(object.Identity{}, nil, nil, iotest.ErrReader(errors.New("no entropy")))
	secret, err = broken.NewSecret(32)
	require.EqualError(t, err, "generate a secret of 32 bytes: no entropy")
	require.Empty(t, secret)
}

func TestHash(t *testing.T) {
	require.Equal(t, "facdde7abf1eac5b", object.Hash([]byte("a"), []byte("b")))
	require.NotEqual(t, object.Hash([]byte("ab")), object.Hash([]byte("a"), []byte("b")), "parts do not run together")
	require.Len(t, object.Hash(), 16)
}
