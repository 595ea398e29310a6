// Package tunnel is the controller of Tunnels. plan.go has its decisions, which are pure; external.go carries them out.
package tunnel

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

var kind = v1alpha1.GroupVersion.WithKind(v1alpha1.TunnelKind)

var name = managed.ControllerName(kind.GroupKind().String())

// Reconciler makes the reconciler of Tunnels.
func Reconciler(mgr ctrl.Manager, o controller.Options, s *controller.Shared) (reconcile.Reconciler, error) {
	c := managed.WithTypedExternalConnector[*v1alpha1.Tunnel](&connector{Shared: s, marks: &marks{}})
	return controller.Reconciler(mgr, name, kind, &v1alpha1.TunnelList{}, o, s.Recorder, c, due)
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
		For(&v1alpha1.Tunnel{}, builder.WithPredicates(resource.DesiredStateChanged())).
		Watches(&v1alpha1.DNSRecord{}, handler.EnqueueRequestsFromMapFunc(waitingFor(mgr.GetClient())), builder.WithPredicates(gone())).
		Complete(r); err != nil {
		return fmt.Errorf("set up the controller of Tunnels: %w", err)
	}
	return nil
}

func due(mg resource.Managed) []time.Time {
	if t, ok := mg.(*v1alpha1.Tunnel); ok {
		return Due(t.Spec.ForProvider)
	}
	return nil
}

// gone lets pass that a DNSRecord is no more.
func gone() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// waitingFor finds the Tunnels that wait for a DNSRecord to go before they are deleted.
func waitingFor(kube client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		record, ok := o.(*v1alpha1.DNSRecord)
		tunnels := &v1alpha1.TunnelList{}
		if !ok || kube.List(ctx, tunnels, client.InNamespace(record.Namespace)) != nil {
			return nil
		}
		var requests []reconcile.Request
		for i := range tunnels.Items {
			t := &tunnels.Items[i]
			if t.DeletionTimestamp != nil && pointsAt(*record, t) {
				requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: t.Namespace, Name: t.Name}})
			}
		}
		return requests
	}
}
