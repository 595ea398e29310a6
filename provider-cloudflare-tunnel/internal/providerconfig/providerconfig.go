// Package providerconfig is the controller of ProviderConfigs and ClusterProviderConfigs: it counts the objects that use
// one, keeps it while there are any, and tells whether its API token does.
package providerconfig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/providerconfig"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/settings"
)

// How often a token is checked. One that does not do is checked often, so that mending it is soon seen, and one that is
// missing most often, since that asks nothing of Cloudflare. Watching Secrets would keep every Secret of the cluster in
// memory.
const (
	recheckGood    = 15 * time.Minute
	recheckBad     = time.Minute
	recheckMissing = 10 * time.Second
)

// config is either kind of provider config.
type config interface {
	resource.ProviderConfig
	condition.Object
	client.Object
	CheckedSecretVersion() *string
}

// kinds are both kinds of provider config.
var kinds = map[string]func() config{
	v1alpha1.ProviderConfigKind:        func() config { return &v1alpha1.ProviderConfig{} },
	v1alpha1.ClusterProviderConfigKind: func() config { return &v1alpha1.ClusterProviderConfig{} },
}

// Setup adds the controllers of both kinds to a manager.
func Setup(mgr ctrl.Manager, o controller.Options, s *controller.Shared) error {
	for kind, newConfig := range kinds {
		if err := ctrl.NewControllerManagedBy(mgr).
			Named(controllerName(kind)).
			WithOptions(o.ForControllerRuntime()).
			For(newConfig(), builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
			Watches(&v1alpha1.ProviderConfigUsage{}, &resource.EnqueueRequestForProviderConfig{Kind: kind}).
			Complete(Reconciler(mgr, kind, o, s)); err != nil {
			return fmt.Errorf("set up the controller of %ss: %w", kind, err)
		}
	}
	return nil
}

func controllerName(kind string) string {
	return providerconfig.ControllerName(v1alpha1.GroupVersion.WithKind(kind).GroupKind().String())
}

// Reconciler makes the reconciler of one kind.
func Reconciler(mgr ctrl.Manager, kind string, o controller.Options, s *controller.Shared) reconcile.Reconciler {
	counter := providerconfig.NewReconciler(mgr, resource.ProviderConfigKinds{
		Config: v1alpha1.GroupVersion.WithKind(kind),
		// Both kinds are counted by the namespaced usage: that is what a namespaced object writes down.
		Usage:     v1alpha1.GroupVersion.WithKind(v1alpha1.ProviderConfigUsageKind),
		UsageList: v1alpha1.GroupVersion.WithKind(v1alpha1.ProviderConfigUsageKind + "List"),
	}, providerconfig.WithLogger(o.Logger.WithValues("controller", controllerName(kind))), providerconfig.WithRecorder(s.Recorder))
	return &reconciler{Shared: s, counter: counter, newConfig: kinds[kind]}
}

type reconciler struct {
	*controller.Shared

	// counter counts usages and holds the finalizer.
	counter   reconcile.Reconciler
	newConfig func() config
}

// Reconcile counts, then checks the token, also where not all could be counted: a usage whose owner references a restore took
// away is to be deleted, which Crossplane gives no provider the right to do.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	counted, err := r.counter.Reconcile(ctx, req)
	if err != nil {
		return counted, err
	}
	checked, err := r.tell(ctx, req)
	return sooner(counted, checked), err
}

// sooner is the earlier of two next looks, as far as there is one.
func sooner(a, b reconcile.Result) reconcile.Result {
	if b.IsZero() || (!a.IsZero() && a.RequeueAfter < b.RequeueAfter) {
		return a
	}
	return b
}

// tell checks the token and writes down what came of it.
func (r *reconciler) tell(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	c := r.newConfig()
	if err := r.Kube.Get(ctx, req.NamespacedName, c); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if meta.WasDeleted(c) {
		return reconcile.Result{}, nil
	}

	before, again := c.GetCondition(condition.TypeAuthorized), recheckGood
	var bad *settings.Error
	version, err := r.check(ctx, c)
	switch {
	case err == nil:
		c.SetConditions(condition.Authorized())
	case errors.As(err, &bad):
		again = recheckBad
		if bad.Reason == condition.ReasonNoToken {
			again = recheckMissing
		}
		c.SetConditions(condition.Unauthorized(bad.Reason, bad.Message))
	default:
		if wait, throttled := cloudflare.RetryAfter(err); throttled {
			return reconcile.Result{RequeueAfter: max(wait, time.Second)}, nil
		}
		return reconcile.Result{}, err
	}
	checked := c.CheckedSecretVersion()
	if *checked == version && c.GetCondition(condition.TypeAuthorized).Equal(before) {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	*checked = version
	if bad != nil {
		r.Recorder.Event(c, event.Warning(event.Reason(bad.Reason), bad))
	}
	if err := r.Kube.Status().Update(ctx, c); err != nil {
		if kerrors.IsConflict(err) {
			return reconcile.Result{RequeueAfter: time.Second}, nil
		}
		return reconcile.Result{}, fmt.Errorf("write the status of %s: %w", req, client.IgnoreNotFound(err))
	}
	return reconcile.Result{RequeueAfter: again}, nil
}

// check finds out whether the token does, and in which version of its Secret it is.
func (r *reconciler) check(ctx context.Context, c config) (secretVersion string, err error) {
	s, err := r.resolve(ctx, c)
	if err != nil {
		return s.SecretVersion, err
	}
	return s.SecretVersion, settings.Check(ctx, s, s.AccountID, s.Zone)
}

func (r *reconciler) resolve(ctx context.Context, c config) (*settings.Settings, error) {
	switch c := c.(type) {
	case *v1alpha1.ProviderConfig:
		return r.Resolver.Namespaced(ctx, c)
	case *v1alpha1.ClusterProviderConfig:
		return r.Resolver.Cluster(ctx, c)
	}
	return &settings.Settings{}, fmt.Errorf("%T is no provider config", c)
}
