package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
)

func TestWhoHasTheCluster(t *testing.T) {
	const (
		namespace = `{apiVersion: v1, kind: Namespace, metadata: {name: auth-system}}`
		role      = `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: platform-admins}}`
	)
	namespaceOf := func(kind string) string {
		return `{apiVersion: v1, kind: Namespace, metadata: {name: auth-system, ownerReferences: [{kind: ` + kind + `, name: first, uid: first, controller: true}]}}`
	}
	roleOf := func(kind string) string {
		return `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: platform-operators, ownerReferences: [{kind: ` + kind +
			`, name: first, uid: first, controller: true}]}}`
	}
	const (
		firstHasRole      = "ClusterRole platform-operators exists and is controlled by XPlatform first; a cluster has one platform"
		firstHasNamespace = "Namespace auth-system exists and is controlled by XPlatform first; a cluster has one platform"
	)
	cases := map[string]struct {
		composed map[string]string
		objects  []string
		// second is what a platform says that does not have it.
		second string
	}{
		"nobody has it": {},
		"nobody has it, and the namespace was made by hand":     {objects: []string{namespace}},
		"another has the namespace":                             {objects: []string{namespaceOf("XPlatform")}, second: firstHasNamespace},
		"another has a role, and the namespace is made by hand": {objects: []string{namespace, roleOf("XPlatform")}, second: firstHasRole},
		"this one has the namespace, another a role": {
			composed: map[string]string{keyNamespace: namespace}, objects: []string{roleOf("XPlatform")},
		},
		"this one has a role, another the namespace": {
			composed: map[string]string{keyAdmins: role}, objects: []string{namespaceOf("XPlatform")}, second: firstHasNamespace,
		},
		"this one has an earlier role than another": {
			composed: map[string]string{keyAdmins: role}, objects: []string{namespace, roleOf("XPlatform")},
		},
		"something else has a role": {
			objects: []string{namespace, roleOf("Other")},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := compose(t, platform(), rendertest.Cluster{Composed: c.composed, Objects: c.objects})
			if c.second == "" {
				require.NotContains(t, d.Message, "a cluster has one platform")
				require.True(t, d.Has(keyApplication+"platform-ingress-controller"))
				return
			}
			require.Empty(t, d.Keys())
			require.Equal(t, "Failed", d.Phase)
			require.True(t, d.Failed)
			require.Equal(t, c.second, d.Message)
			require.Equal(t, v1alpha1.PlatformStatus{Phase: "Failed", Message: c.second}, status(t, d))
			require.Len(t, d.Conditions, 10)
			for _, condition := range d.Conditions {
				require.Equal(t, object.Condition{Type: condition.Type, Status: "False", Reason: "NameTaken", Message: c.second}, condition)
			}
		})
	}
}

// Two claims that are made at the same moment see nothing of each other at first, so that each gets some of the objects: the
// API server gives none a second controller. However the seats fall, one stays and gets everything, and the other makes nothing.
func TestOfTwoPlatformsThatBeginTogetherOneStays(t *testing.T) {
	for namespace, objects := range map[string][]string{
		"with a namespace made by hand":    {byHand, `{apiVersion: v1, kind: Namespace, metadata: {name: auth-system}}`},
		"without a namespace made by hand": {byHand},
	} {
		for lots := range 1 << len(seats()) {
			t.Run(fmt.Sprintf("%s, seats %05b", namespace, lots), func(t *testing.T) {
				t.Parallel()
				r := &race{byHand: objects, made: map[string]made{}}
				r.round(t, func(key string) int {
					seat := slices.IndexFunc(seats(), func(s seat) bool { return s.key == key })
					return lots >> max(seat, 0) & 1
				})
				for n := 0; !r.settled; n++ {
					require.Less(t, n, 10, "they go on for ever: %v", r.told)
					r.round(t, func(key string) int { return (len(key) + n) % 2 })
					for _, d := range r.told {
						require.NotContains(t, d.Message, "delete", "nobody has to do anything")
					}
				}
				winner := slices.IndexFunc(r.told[:], func(d *object.Desired) bool { return len(d.Keys()) > 0 })
				require.GreaterOrEqual(t, winner, 0, "nobody has the cluster")
				require.Contains(t, r.told[1-winner].Message, "; a cluster has one platform")
				require.Empty(t, r.told[1-winner].Keys())
				require.Equal(t, "Pending", r.told[winner].Phase, r.told[winner].Message)
				require.True(t, r.told[winner].Has(keyDexEnvironment))
				for key, m := range r.made {
					require.Equal(t, winner, m.by, key)
				}
			})
		}
	}
}

// race is a cluster with two platforms, which take the same objects for themselves.
type race struct {
	byHand []string
	made   map[string]made
	// told is what each said last, and settled whether nothing came of it.
	told    [2]*object.Desired
	settled bool
}

// made is an object, and the platform that controls it.
type made struct {
	by      int
	content map[string]any
}

// round lets both platforms look at the cluster before either does anything, and then do what they want at the same time. Who
// is faster makes an object that both want.
func (r *race) round(t *testing.T, faster func(key string) int) {
	t.Helper()
	for i := range r.told {
		d, err := rendertest.Compose(t, Compose, r.platform(i), r.seenBy(t, i))
		require.NoError(t, err)
		require.NoError(t, d.Err())
		r.told[i] = d
	}
	before := len(r.made)
	maps.DeleteFunc(r.made, func(key string, m made) bool { return !r.told[m.by].Has(key) })
	r.settled = len(r.made) == before
	for _, key := range slices.Concat(r.told[0].Keys(), r.told[1].Keys()) {
		if _, there := r.made[key]; there {
			continue
		}
		by := faster(key)
		if !r.told[by].Has(key) {
			by = 1 - by
		}
		r.made[key] = made{by, object.NewObject(r.told[by].Resources()[key].Object).Map()}
		r.settled = false
	}
}

func (r *race) platform(i int) *v1alpha1.XPlatform {
	xr := platform()
	xr.Name = []string{"red", "blue"}[i]
	xr.UID = types.UID("uid-of-" + xr.Name)
	return xr
}

func (r *race) seenBy(t *testing.T, i int) rendertest.Cluster {
	t.Helper()
	c := rendertest.Cluster{Composed: map[string]string{}, Objects: append([]string{neighbours}, r.byHand...)}
	other := r.platform(1 - i)
	for key, m := range r.made {
		content := runtime.DeepCopyJSON(m.content)
		if m.by != i {
			content["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{"kind": v1alpha1.Kind, "name": other.Name, "uid": string(other.UID), "controller": true}}
		}
		text, err := json.Marshal(content)
		require.NoError(t, err)
		if m.by == i {
			c.Composed[key] = string(text)
		} else {
			c.Objects = append(c.Objects, string(text))
		}
	}
	return c
}
