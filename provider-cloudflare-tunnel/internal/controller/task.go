package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/ownership"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/pace"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/settings"
)

// settleTime is how long after the start of a creation that did not end well its request may still be carried out.
const settleTime = 20 * time.Second

// reasonLeft is the reason of the event that tells that something foreign was left alone.
const reasonLeft event.Reason = "LeftAtCloudflare"

// Task is one reconcile of one object: what it works with, and where the object's counterpart is.
type Task struct {
	*Shared
	*settings.Settings

	// Account and Zone (an id) are empty where the object has none, or until they are known.
	Account, Zone string
}

// ConflictError says that something foreign is in the way.
type ConflictError struct{ Message string }

// Error is the message.
func (e *ConflictError) Error() string { return e.Message }

// Taken is the conflict with what, as existing says, has the object's name. Where it may be taken over, id is its id.
func Taken(existing string, verdict ownership.Verdict, id string) *ConflictError {
	advice := "choose another name, or delete it at Cloudflare"
	if verdict == ownership.Unmarked && id != "" {
		advice += fmt.Sprintf(", or take it over with the annotation %s: %s", meta.AnnotationKeyExternalName, id)
	}
	return &ConflictError{fmt.Sprintf("%s and is %s, so it is neither changed nor deleted; %s", existing, verdict, advice)}
}

// Leave says what a conflict means: an error, except to an object that is being deleted. That one is done.
func (t *Task) Leave(mg Managed, conflict *ConflictError) error {
	if !meta.WasDeleted(mg) {
		return conflict
	}
	t.Recorder.Event(mg, event.Warning(reasonLeft, conflict))
	return nil
}

// Absent says what it means that nothing exists: nil that it may be made, or that nothing is left. Ready, if not nil, says
// whether what it is to be made of is there.
func (t *Task) Absent(ctx context.Context, mg Managed, ready func() error) error {
	if meta.WasDeleted(mg) {
		return t.settled(ctx, mg)
	}
	if !Creates(mg.GetManagementPolicies()) {
		return nil
	}
	if ready != nil {
		if err := ready(); err != nil {
			return err
		}
	}
	return t.mayCreate(ctx)
}

// settled is nil when what does not exist will not appear any more because of a request that is still under way.
func (t *Task) settled(ctx context.Context, mg Managed) error {
	wait := settleTime - t.Now().Sub(meta.GetExternalCreatePending(mg))
	if !t.Uncertain(mg) || wait <= 0 {
		return nil
	}
	pace.Pause(ctx, wait)
	return errors.New("the last creation was cut short and may still be carried out; waiting a little before concluding that nothing exists")
}

// mayCreate says whether something can be made now: there is budget, and the token may do all that will be asked of it.
// It is asked before Crossplane writes down that a creation begins.
func (t *Task) mayCreate(ctx context.Context) error {
	if until, throttled := t.API.Throttled(t.Zone != ""); throttled {
		return &cloudflare.Error{Kind: cloudflare.ErrThrottled, RetryAfter: until.Sub(t.Now())}
	}
	return settings.Check(ctx, t.Settings, cmp.Or(t.Account, t.AccountID), cmp.Or(t.Zone, t.Settings.Zone))
}

// RememberID writes the external name into the object, in the cluster too. An object whose creation was cut short has
// none yet. Changes of its status that were not written before are lost.
func (t *Task) RememberID(ctx context.Context, mg Managed, id string) error {
	if meta.GetExternalName(mg) == id {
		return nil
	}
	before, ok := mg.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("copy of %T is no object", mg)
	}
	meta.SetExternalName(mg, id)
	if err := t.Kube.Patch(ctx, mg, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("write down the external name %s: %w", id, err)
	}
	return nil
}

// tell puts into the object's conditions what an error means, or that all is well, and returns the error.
func (t *Task) tell(ctx context.Context, mg Managed, err error) error {
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
		mg.SetConditions(condition.Throttled(t.Now().Add(wait)))
	case errors.Is(err, cloudflare.ErrUnauthorized), errors.Is(err, cloudflare.ErrForbidden):
		return t.tellUnauthorized(ctx, mg, err)
	default:
		settings.MarkCondition(mg, err)
	}
	return err
}

// tellUnauthorized asks what it is that the token lacks, since a refusal does not say.
func (t *Task) tellUnauthorized(ctx context.Context, mg Managed, refusal error) error {
	var lacks *settings.Error
	if err := settings.Check(ctx, t.Settings, t.Account, t.Zone); errors.As(err, &lacks) {
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

// ID is the id of the object's counterpart, empty if none is known.
func (t *Task) ID(mg Managed) string {
	return cmp.Or(meta.GetExternalName(mg), t.Made.id(mg.GetUID()))
}

// Uncertain says that the last creation did not end well: it may have made something whose id is not known.
func (t *Task) Uncertain(mg Managed) bool {
	if _, known := t.Made.ids.Load(mg.GetUID()); known {
		return false
	}
	pending, succeeded := meta.GetExternalCreatePending(mg), meta.GetExternalCreateSucceeded(mg)
	return !pending.IsZero() && (succeeded.Before(pending) || meta.GetExternalCreateFailed(mg).After(succeeded))
}

// Creations are the ids of what this process made, by the uids of the objects. A reconcile that follows a creation closely
// may see its object as it was before, and would ask Cloudflare what became of it. The zero value is ready to use.
type Creations struct{ ids sync.Map }

// Put remembers a creation that ended well.
func (c *Creations) Put(object types.UID, id string) { c.ids.Store(object, id) }

// Unsent remembers that a first creation was not carried out for want of budget, so that nothing is there to be found.
func (c *Creations) Unsent(object types.UID) { c.ids.Store(object, "") }

// Forget is for what is deleted, and for a creation that begins: how it ends is not known yet.
func (c *Creations) Forget(object types.UID) { c.ids.Delete(object) }

func (c *Creations) id(object types.UID) string {
	id, _ := c.ids.Load(object)
	s, _ := id.(string)
	return s
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
