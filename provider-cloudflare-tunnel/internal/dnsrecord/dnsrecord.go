// Package dnsrecord is the controller of DNSRecords. plan.go has its decisions, which are pure; external.go carries them
// out.
package dnsrecord

import (
	"context"
	"fmt"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
)

var kind = v1alpha1.GroupVersion.WithKind(v1alpha1.DNSRecordKind)

var name = managed.ControllerName(kind.GroupKind().String())

// Reconciler makes the reconciler of DNSRecords.
func Reconciler(mgr ctrl.Manager, o controller.Options, s *controller.Shared) (reconcile.Reconciler, error) {
	c := managed.WithTypedExternalConnector[*v1alpha1.DNSRecord](&connector{Shared: s})
	return controller.Reconciler(mgr, name, kind, &v1alpha1.DNSRecordList{}, o, s.Recorder, c, func(resource.Managed) []time.Time { return nil })
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o controller.Options, s *controller.Shared) error {
	r, err := Reconciler(mgr, o, s)
	if err != nil {
		return err
	}
	if err := ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(o.ForControllerRuntime()).
		For(&v1alpha1.DNSRecord{}, builder.WithPredicates(resource.DesiredStateChanged())).
		Watches(&v1alpha1.Tunnel{}, handler.EnqueueRequestsFromMapFunc(dependents(mgr.GetClient())), builder.WithPredicates(targetChanged())).
		Complete(r); err != nil {
		return fmt.Errorf("set up the controller of DNSRecords: %w", err)
	}
	return nil
}

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
		records := &v1alpha1.DNSRecordList{}
		if !ok || kube.List(ctx, records, client.InNamespace(tunnel.Namespace)) != nil {
			return nil
		}
		var requests []reconcile.Request
		for i := range records.Items {
			if r := &records.Items[i]; pointsAt(r, tunnel) {
				requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: r.Namespace, Name: r.Name}})
			}
		}
		return requests
	}
}
