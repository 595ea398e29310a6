// Package tunnel is the controller of Tunnels. plan.go has its decisions, which are pure; external.go carries them out.
package tunnel

import (
	"context"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
)

// Kind is what the controller of Tunnels is made of.
func Kind() controller.Kind[*v1alpha1.Tunnel] {
	known := &marks{}
	return controller.Kind[*v1alpha1.Tunnel]{
		GroupVersionKind: v1alpha1.GroupVersion.WithKind(v1alpha1.TunnelKind),
		New:              func() *v1alpha1.Tunnel { return &v1alpha1.Tunnel{} },
		NewList:          newList,
		Counterpart: func(t *controller.Task) controller.Counterpart[*v1alpha1.Tunnel] {
			return &external{Task: t, marks: known}
		},
		Due: func(t *v1alpha1.Tunnel, now time.Time, o controller.Options) []time.Time {
			return Due(t, now, o.Freshness)
		},
		Watch: func(b *builder.Builder, kube client.Reader, o controller.Options) {
			b.Watches(&v1alpha1.DNSRecord{}, handler.EnqueueRequestsFromMapFunc(waitingFor(kube)), builder.WithPredicates(gone()))
			if o.WatchSecrets {
				b.Owns(&corev1.Secret{}, builder.OnlyMetadata, builder.WithPredicates(lost()))
			}
		},
	}
}

func newList() resource.ManagedList { return &v1alpha1.TunnelList{} }

// gone lets pass that an object is no more.
func gone() predicate.Funcs {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// lost lets pass that a connection secret is no more, or is another than before.
func lost() predicate.Funcs {
	p := gone()
	p.UpdateFunc = predicate.ResourceVersionChangedPredicate{}.Update
	return p
}

// waitingFor finds the Tunnels that wait for a DNSRecord to go before they are deleted.
func waitingFor(kube client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		record, ok := o.(*v1alpha1.DNSRecord)
		if !ok {
			return nil
		}
		return controller.Matching(ctx, kube, newList(), record.Namespace, func(t *v1alpha1.Tunnel) bool {
			return t.DeletionTimestamp != nil && pointsAt(*record, t)
		})
	}
}
