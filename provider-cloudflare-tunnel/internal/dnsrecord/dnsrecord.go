// Package dnsrecord is the controller of DNSRecords. plan.go has its decisions, which are pure; external.go carries them
// out.
package dnsrecord

import (
	"context"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
)

// Kind is what the controller of DNSRecords is made of.
func Kind() controller.Kind[*v1alpha1.DNSRecord] {
	return controller.Kind[*v1alpha1.DNSRecord]{
		GroupVersionKind: v1alpha1.GroupVersion.WithKind(v1alpha1.DNSRecordKind),
		New:              func() *v1alpha1.DNSRecord { return &v1alpha1.DNSRecord{} },
		NewList:          newList,
		Counterpart: func(t *controller.Task) controller.Counterpart[*v1alpha1.DNSRecord] {
			return &external{Task: t}
		},
		Elsewhere: elsewhere,
		Due:       func(*v1alpha1.DNSRecord, time.Time, controller.Options) []time.Time { return nil },
		Watch: func(b *builder.Builder, kube client.Reader, _ controller.Options) {
			b.Watches(&v1alpha1.Tunnel{}, handler.EnqueueRequestsFromMapFunc(dependents(kube)), builder.WithPredicates(targetChanged()))
		},
	}
}

// elsewhere says that the record was seen under another name than it is wanted under.
func elsewhere(r *v1alpha1.DNSRecord) bool {
	seen := r.Status.AtProvider.FQDN
	return seen != "" && !sameHost(seen, r.Spec.ForProvider.Name) &&
		!meta.WasDeleted(r) && !controller.OnlyObserves(r.Spec.ManagementPolicies)
}

func newList() resource.ManagedList { return &v1alpha1.DNSRecordList{} }

// targetChanged lets pass what changes where the records of a Tunnel point: that it got its id, or another one, or labels.
func targetChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, okBefore := e.ObjectOld.(*v1alpha1.Tunnel)
			after, okAfter := e.ObjectNew.(*v1alpha1.Tunnel)
			return okBefore && okAfter && (before.Status.AtProvider.CNAME != after.Status.AtProvider.CNAME ||
				predicate.LabelChangedPredicate{}.Update(e))
		},
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// dependents finds the DNSRecords that point at a Tunnel.
func dependents(kube client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		tunnel, ok := o.(*v1alpha1.Tunnel)
		if !ok {
			return nil
		}
		return controller.Matching(ctx, kube, newList(), tunnel.Namespace, func(r *v1alpha1.DNSRecord) bool {
			return pointsAt(r, tunnel)
		})
	}
}
