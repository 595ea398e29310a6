// Package controller has what the controllers of Tunnel and DNSRecord share: how they get at the API, how they tell what
// is wrong, and how they stand in Crossplane's reconciler. What they do with Cloudflare is theirs.
package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	xpcontroller "github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/pace"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/settings"
)

// settleTime is how long after the start of a creation that did not end well its request may still be carried out.
const settleTime = 20 * time.Second

// Options are those of every controller.
type Options struct {
	xpcontroller.Options
	// PollJitter moves each poll by up to so much to either side.
	PollJitter time.Duration
	// MinPollInterval is the shortest that an object may ask for.
	MinPollInterval time.Duration
	// Timeout bounds one reconcile.
	Timeout time.Duration
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
}

// Managed is a Tunnel or a DNSRecord.
type Managed interface {
	resource.ModernManaged
}

// Settings are how an object is managed. Its use of the provider config is written down before, except when it is being
// deleted: its namespace may be too, and nothing can be written there then.
func (s *Shared) Settings(ctx context.Context, mg Managed, kind schema.GroupVersionKind) (*settings.Settings, error) {
	if ref := mg.GetProviderConfigReference(); ref != nil && !meta.WasDeleted(mg) {
		mg.GetObjectKind().SetGroupVersionKind(kind)
		if err := s.Usage.Track(ctx, mg); err != nil {
			return nil, fmt.Errorf("write down the use of the provider config: %w", err)
		}
	}
	found, err := s.Resolver.For(ctx, mg.GetNamespace(), mg.GetProviderConfigReference())
	if err != nil {
		settings.MarkCondition(mg, err)
		return nil, err
	}
	return found, nil
}

// ConflictError says that something foreign is in the way.
type ConflictError struct{ Message string }

// Error is the message.
func (e *ConflictError) Error() string { return e.Message }

// Place is where an object's counterpart is, and the token that reaches it.
type Place struct {
	*settings.Settings

	// Account and Zone (an id) are empty where the object has none, or until they are known.
	Account, Zone string
}

// Tell puts into the object's conditions what an error means, or that all is well, and returns the error.
func (s *Shared) Tell(ctx context.Context, mg Managed, at Place, err error) error {
	var conflict *ConflictError
	switch {
	case err == nil:
		condition.Turn(mg, condition.NoConflict())
		condition.Turn(mg, condition.NotThrottled())
		condition.Turn(mg, condition.Authorized())
	case errors.As(err, &conflict):
		mg.SetConditions(condition.Conflict(conflict.Message))
	case errors.Is(err, cloudflare.ErrThrottled):
		wait, _ := cloudflare.RetryAfter(err)
		wait = max(wait, time.Second)
		pace.Pause(ctx, wait)
		mg.SetConditions(condition.Throttled(s.Now().Add(wait)))
	case errors.Is(err, cloudflare.ErrUnauthorized), errors.Is(err, cloudflare.ErrForbidden):
		return tellUnauthorized(ctx, mg, at, err)
	default:
		settings.MarkCondition(mg, err)
	}
	return err
}

// tellUnauthorized asks what it is that the token lacks, since a refusal does not say.
func tellUnauthorized(ctx context.Context, mg Managed, at Place, refusal error) error {
	var lacks *settings.Error
	if err := settings.Check(ctx, at.Settings, at.Account, at.Zone); errors.As(err, &lacks) {
		settings.MarkCondition(mg, lacks)
		return fmt.Errorf("%w; %w", lacks, refusal)
	}
	reason := condition.ReasonMissingPermissions
	if errors.Is(refusal, cloudflare.ErrUnauthorized) {
		reason = condition.ReasonTokenRefused
	}
	mg.SetConditions(condition.Unauthorized(reason, refusal.Error()))
	return refusal
}

// MayCreate says whether something can be made now: there is budget, and the token may do all that will be asked of it.
// It is asked before Crossplane writes down that a creation begins.
func (s *Shared) MayCreate(ctx context.Context, at Place) error {
	if until, throttled := at.API.Throttled(); throttled {
		return &cloudflare.Error{Kind: cloudflare.ErrThrottled, RetryAfter: until.Sub(s.Now())}
	}
	account, zone := at.Account, at.Zone
	if account == "" {
		account = at.AccountID
	}
	if zone == "" {
		zone = at.Settings.Zone
	}
	return settings.Check(ctx, at.Settings, account, zone)
}

// RememberID writes the external name into the object, in the cluster too. An object whose creation was cut short has
// none yet. Changes of its status that were not written before are lost.
func (s *Shared) RememberID(ctx context.Context, mg Managed, id string) error {
	if meta.GetExternalName(mg) == id {
		return nil
	}
	before, ok := mg.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("copy of %T is no object", mg)
	}
	meta.SetExternalName(mg, id)
	if err := s.Kube.Patch(ctx, mg, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("write down the external name %s: %w", id, err)
	}
	return nil
}

// Uncertain says that the last creation did not end well: it may have made something whose id is not known.
func Uncertain(mg Managed) bool {
	pending, succeeded := meta.GetExternalCreatePending(mg), meta.GetExternalCreateSucceeded(mg)
	return !pending.IsZero() && (succeeded.Before(pending) || meta.GetExternalCreateFailed(mg).After(succeeded))
}

// Settled is nil when what does not exist will not appear any more because of a request that is still under way.
func (s *Shared) Settled(ctx context.Context, mg Managed) error {
	wait := settleTime - s.Now().Sub(meta.GetExternalCreatePending(mg))
	if !Uncertain(mg) || wait <= 0 {
		return nil
	}
	pace.Pause(ctx, wait)
	return errors.New("the last creation was cut short and may still be carried out; waiting a little before concluding that nothing exists")
}

// OnlyObserves says that an object with these management policies changes nothing at Cloudflare, ever.
func OnlyObserves(p xpv2.ManagementPolicies) bool {
	changes := sets.New(xpv2.ManagementActionAll, xpv2.ManagementActionCreate, xpv2.ManagementActionUpdate, xpv2.ManagementActionDelete)
	return len(p) > 0 && !changes.HasAny(p...)
}

// Creates says that an object with these management policies is made if it does not exist.
func Creates(p xpv2.ManagementPolicies) bool {
	return sets.New(p...).HasAny(xpv2.ManagementActionAll, xpv2.ManagementActionCreate)
}

// Reconciler makes the reconciler of a kind. An object is looked at again when its poll interval is over, or when it is due.
func Reconciler(mgr ctrl.Manager, name string, kind schema.GroupVersionKind, list resource.ManagedList, o Options, recorder event.Recorder,
	connector managed.ReconcilerOption, due func(resource.Managed) []time.Time) (reconcile.Reconciler, error) {
	opts := []managed.ReconcilerOption{
		connector,
		managed.WithLogger(o.Logger.WithValues("controller", name)),
		managed.WithRecorder(recorder),
		managed.WithTimeout(o.Timeout),
		managed.WithPollInterval(o.PollInterval),
		managed.WithMinPollInterval(o.MinPollInterval),
		managed.WithPollIntervalHook(func(mg resource.Managed, interval time.Duration) time.Duration {
			return pace.Poll(interval, min(o.PollJitter, interval/2), time.Now(), due(mg)...)
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
			state := statemetrics.NewMRStateRecorder(mgr.GetClient(), o.Logger, o.MetricOptions.MRStateMetrics, list, o.MetricOptions.PollStateMetricInterval)
			if err := mgr.Add(state); err != nil {
				return nil, fmt.Errorf("add the state metrics of %s: %w", name, err)
			}
		}
	}
	r := pace.Reconciler(managed.NewReconciler(mgr, resource.ManagedKind(kind), opts...))
	return ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter), nil
}
