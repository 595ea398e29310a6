// Package controller has what the controllers of Tunnel and DNSRecord share: how they get at the API, how they tell what
// is wrong, how they stand in Crossplane's reconciler, and what makes them look at an object again. What they do with
// Cloudflare is theirs.
package controller

import (
	"fmt"
	"io"
	"time"

	xpcontroller "github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/pace"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/settings"
)

// Options are those of every controller.
type Options struct {
	xpcontroller.Options
	// PollJitter moves each poll by up to so much to either side.
	PollJitter time.Duration
	// MinPollInterval is the shortest that an object may ask for.
	MinPollInterval time.Duration
	// Freshness is how old the lists may be that objects share. Looking at one more often shows nothing new.
	Freshness time.Duration
	// Timeout bounds one reconcile.
	Timeout time.Duration
	// WatchSecrets says that the metadata of connection secrets may be listed and watched.
	WatchSecrets bool
}

// Shared is what the controllers work with.
type Shared struct {
	// Kube is the cluster.
	Kube client.Client
	// Resolver finds an object's settings.
	Resolver *settings.Resolver
	// Usage keeps a provider config from being deleted under an object.
	Usage resource.ModernTracker
	// Recorder writes events.
	Recorder event.Recorder
	// Now is the clock, Random the randomness.
	Now    func() time.Time
	Random io.Reader
	// Made is what this process made.
	Made Creations
}

// Managed is a Tunnel or a DNSRecord.
type Managed interface {
	resource.ModernManaged
}

// Kind is what the controller of one kind of object is made of.
type Kind[T Managed] struct {
	// GroupVersionKind names the kind.
	GroupVersionKind schema.GroupVersionKind
	// New and NewList make an empty object and an empty list.
	New     func() T
	NewList func() resource.ManagedList
	// Counterpart is what the kind does with Cloudflare in one reconcile.
	Counterpart func(*Task) Counterpart[T]
	// Elsewhere says that what was seen last is not where the object wants it by now, so that it does not work until that could
	// be mended. It is nil for a kind that does not move.
	Elsewhere func(mg T) bool
	// Due is when an object must be looked at although nothing happened, before its poll interval is over.
	Due func(mg T, now time.Time, o Options) []time.Time
	// Watch adds what else makes objects be looked at, beside themselves and their provider configs.
	Watch func(*builder.Builder, client.Reader, Options)
}

// unready tells that an error keeps from working what is not where it should be. Of others, an error does not say so.
func (k Kind[T]) unready(mg T, err error) {
	if err != nil && k.Elsewhere != nil && k.Elsewhere(mg) {
		mg.SetConditions(xpv2.Unavailable().WithMessage(err.Error()))
	}
}

func (k Kind[T]) name() string {
	return managed.ControllerName(k.GroupVersionKind.GroupKind().String())
}

// Setup adds the controller to a manager.
func (k Kind[T]) Setup(mgr ctrl.Manager, o Options, s *Shared) error {
	r, err := k.Reconciler(mgr, o, s)
	if err != nil {
		return err
	}
	b := ctrl.NewControllerManagedBy(mgr).
		Named(k.name()).
		WithOptions(o.ForControllerRuntime()).
		For(k.New(), builder.WithPredicates(resource.DesiredStateChanged()))
	for kind, config := range configs() {
		b.Watches(config, UsersOf(kind, mgr.GetClient(), k.NewList))
	}
	k.Watch(b, mgr.GetClient(), o)
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up the controller of %ss: %w", k.GroupVersionKind.Kind, err)
	}
	return nil
}

// Reconciler makes the reconciler of the kind.
func (k Kind[T]) Reconciler(mgr ctrl.Manager, o Options, s *Shared) (reconcile.Reconciler, error) {
	opts := []managed.ReconcilerOption{
		managed.WithTypedExternalConnector[T](&connector[T]{Shared: s, kind: k}),
		managed.WithLogger(o.Logger.WithValues("controller", k.name())),
		managed.WithRecorder(s.Recorder),
		managed.WithTimeout(o.Timeout),
		managed.WithPollInterval(o.PollInterval),
		managed.WithMinPollInterval(o.MinPollInterval),
		managed.WithPollIntervalHook(func(mg resource.Managed, interval time.Duration) time.Duration {
			now := s.Now()
			var due []time.Time
			if t, ok := mg.(T); ok {
				due = k.Due(t, now, o)
			}
			return pace.Poll(interval, min(o.PollJitter, interval/2), now, due...)
		}),
		// The external name is an id that Cloudflare chooses. Creating can nevertheless be repeated: what an earlier
		// attempt made is found by its name and its mark.
		managed.WithInitializers(),
		managed.WithDeterministicExternalName(true),
		// Nor need a new object's absence be doubted: Cloudflare refuses a second one, and what this process made it sees.
		// With a grace period, deleting a new object would take as long.
		managed.WithCreationGracePeriod(0),
	}
	if o.Features.Enabled(feature.EnableBetaManagementPolicies) {
		opts = append(opts, managed.WithManagementPolicies())
	}
	if o.Features.Enabled(feature.EnableAlphaChangeLogs) {
		opts = append(opts, managed.WithChangeLogger(o.ChangeLogOptions.ChangeLogger))
	}
	if o.MetricOptions != nil {
		opts = append(opts, managed.WithMetricRecorder(o.MetricOptions.MRMetrics))
		if o.MetricOptions.MRStateMetrics != nil {
			state := statemetrics.NewMRStateRecorder(
				mgr.GetClient(), o.Logger, o.MetricOptions.MRStateMetrics, k.NewList(), o.MetricOptions.PollStateMetricInterval)
			if err := mgr.Add(state); err != nil {
				return nil, fmt.Errorf("add the state metrics of %s: %w", k.name(), err)
			}
		}
	}
	r := pace.Reconciler(managed.NewReconciler(mgr, resource.ManagedKind(k.GroupVersionKind), opts...))
	return ratelimiter.NewReconciler(k.name(), r, o.GlobalRateLimiter), nil
}
