package controller_test

import (
	"slices"
	"testing"

	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
)

// users are Tunnels that name provider configs in every way. Those whose names begin with "well" do not wait.
func users() []client.Object {
	var out []client.Object
	add := func(namespace, name string, ref *xpv2.ProviderConfigReference, conditions ...xpv2.Condition) {
		o := &v1alpha1.Tunnel{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		o.Spec.ProviderConfigReference = ref
		o.SetConditions(conditions...)
		out = append(out, o)
	}
	cluster := func(name string) *xpv2.ProviderConfigReference {
		return &xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: name}
	}
	own := &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "default"}
	failed := xpv2.ReconcileError(&controller.ConflictError{Message: "ClusterProviderConfig default does not exist"})
	add("a", "new", cluster("default"))
	add("a", "failed", cluster("default"), failed)
	add("a", "well", cluster("default"), xpv2.ReconcileSuccess())
	add("a", "other", cluster("other"), failed)
	add("b", "unset", nil, failed)
	add("b", "kindless", &xpv2.ProviderConfigReference{Name: "default"}, failed)
	add("b", "own", own, failed)
	add("b", "well-own", own, xpv2.ReconcileSuccess())
	add("c", "own", own, failed)
	return out
}

// queue is one that tells what was put into it.
type queue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	added []string
}

func (q *queue) Add(r reconcile.Request) { q.added = append(q.added, r.String()) }

func TestObjectsAreLookedAtAgainWhenTheirProviderConfigChanges(t *testing.T) {
	cluster := &v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 1}}
	own := &v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "default", Generation: 1}}
	waiting := []string{"a/failed", "a/new", "b/kindless", "b/unset"}

	same := func(config) {}
	changed := func(c config) { c.SetGeneration(2) }
	labelled := func(c config) { c.SetLabels(map[string]string{"a": "b"}) }
	does := func(c config) { c.SetConditions(condition.Authorized()) }
	lacks := func(c config) {
		c.SetConditions(condition.Unauthorized(condition.ReasonMissingPermissions, "it lacks one"))
	}
	for name, c := range map[string]struct {
		config config
		// before and after are what is changed; one that is created has no before, one that is deleted no after.
		before, after func(config)
		want          []string
	}{
		"those that wait, when it is created":                      {cluster, nil, same, waiting},
		"those of its own namespace, when that kind is created":    {own, nil, same, []string{"b/own"}},
		"all, when its spec changes":                               {cluster, same, changed, slices.Concat(waiting, []string{"a/well"})},
		"all of its own namespace, when the spec of that changes":  {own, same, changed, []string{"b/own", "b/well-own"}},
		"those that wait, when its token is first looked at":       {cluster, same, does, waiting},
		"those that wait, when its token turns out to do":          {cluster, lacks, does, waiting},
		"those that wait, when its token turns out not to do":      {cluster, does, lacks, waiting},
		"none, when its token was looked at with the same outcome": {cluster, lacks, lacks, nil},
		"none, when something else is written":                     {cluster, same, labelled, nil},
		"none, when it is deleted":                                 {cluster, same, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			require.NoError(t, v1alpha1.AddToScheme(scheme))
			kube := fakeclient.NewClientBuilder().WithScheme(scheme).WithObjects(users()...).Build()
			kind := v1alpha1.ClusterProviderConfigKind
			if c.config == own {
				kind = v1alpha1.ProviderConfigKind
			}
			h := controller.UsersOf(kind, kube, func() resource.ManagedList { return &v1alpha1.TunnelList{} })
			q := &queue{}

			before, after := c.config.DeepCopyObject().(config), c.config.DeepCopyObject().(config)
			switch {
			case c.before == nil:
				h.Create(t.Context(), event.CreateEvent{Object: after}, q)
			case c.after == nil:
				h.Delete(t.Context(), event.DeleteEvent{Object: before}, q)
			default:
				c.before(before)
				c.after(after)
				h.Update(t.Context(), event.UpdateEvent{ObjectOld: before, ObjectNew: after}, q)
			}
			require.ElementsMatch(t, c.want, q.added)
		})
	}
}

// config is either kind of provider config.
type config interface {
	client.Object
	condition.Object
}
