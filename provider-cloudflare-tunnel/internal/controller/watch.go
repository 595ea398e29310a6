package controller

import (
	"cmp"
	"context"

	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
)

// Matching asks for a reconcile of each object in a namespace, or in all, that matches. It fills the list.
func Matching[T Managed](ctx context.Context, kube client.Reader, list resource.ManagedList, namespace string, match func(T) bool) []reconcile.Request {
	if kube.List(ctx, list, client.InNamespace(namespace)) != nil {
		return nil
	}
	var requests []reconcile.Request
	for _, item := range list.GetItems() {
		if mg, ok := item.(T); ok && match(mg) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(mg)})
		}
	}
	return requests
}

// configs are an empty object of each kind of provider config.
func configs() map[string]client.Object {
	return map[string]client.Object{
		v1alpha1.ClusterProviderConfigKind: &v1alpha1.ClusterProviderConfig{},
		v1alpha1.ProviderConfigKind:        &v1alpha1.ProviderConfig{},
	}
}

// UsersOf looks again at the objects that use a provider config of that kind: at every one when its spec changes, at those
// that wait when it appears or its token turns out to do or not to do. Without this they would wait for their next try.
func UsersOf(kind string, kube client.Reader, newList func() resource.ManagedList) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	look := func(ctx context.Context, q queue, config client.Object, which func(Managed) bool) {
		for _, r := range Matching(ctx, kube, newList(), config.GetNamespace(), func(mg Managed) bool {
			return uses(mg, kind, config.GetName()) && which(mg)
		}) {
			q.Add(r)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			look(ctx, q, e.Object, waits)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			switch {
			case e.ObjectNew.GetGeneration() != e.ObjectOld.GetGeneration():
				look(ctx, q, e.ObjectNew, func(Managed) bool { return true })
			case !authorized(e.ObjectNew).Equal(authorized(e.ObjectOld)):
				look(ctx, q, e.ObjectNew, waits)
			}
		},
	}
}

// uses says whether an object names that provider config. What it leaves out is as its CRD would fill it in.
func uses(mg Managed, kind, name string) bool {
	var ref xpv2.ProviderConfigReference
	if r := mg.GetProviderConfigReference(); r != nil {
		ref = *r
	}
	return cmp.Or(ref.Kind, v1alpha1.ClusterProviderConfigKind) == kind && cmp.Or(ref.Name, "default") == name
}

// waits says that the last round did not go well, or that there was none.
func waits(mg Managed) bool { return mg.GetCondition(xpv2.TypeSynced).Status != corev1.ConditionTrue }

// authorized is what a provider config says about its token.
func authorized(config client.Object) xpv2.Condition {
	if c, ok := config.(condition.Object); ok {
		return c.GetCondition(condition.TypeAuthorized)
	}
	return xpv2.Condition{}
}
