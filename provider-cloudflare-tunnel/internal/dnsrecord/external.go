package dnsrecord

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/ownership"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/settings"
)

// reasonLeft is the reason of the event that tells that something foreign was left alone.
const reasonLeft event.Reason = "LeftAtCloudflare"

var idPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// connector makes an external for each reconcile.
type connector struct {
	*controller.Shared
}

// Connect finds out how the object is managed.
func (c *connector) Connect(ctx context.Context, cr *v1alpha1.DNSRecord) (managed.TypedExternalClient[*v1alpha1.DNSRecord], error) {
	s, err := c.Settings(ctx, cr, kind)
	if err != nil {
		return nil, err
	}
	return &external{connector: c, at: controller.Place{Settings: s}, api: s.API}, nil
}

// external is one DNSRecord's way to Cloudflare during one reconcile.
type external struct {
	*connector

	at  controller.Place
	api cloudflare.API
}

// Observe finds the object's record and compares it with what is wanted.
func (e *external) Observe(ctx context.Context, cr *v1alpha1.DNSRecord) (managed.ExternalObservation, error) {
	o, err := e.observe(ctx, cr)
	if err == nil && o.ResourceExists && !o.ResourceUpToDate {
		// The update that follows tells whether all is well.
		return o, nil
	}
	if conflict := (*controller.ConflictError)(nil); errors.As(err, &conflict) {
		cr.SetConditions(xpv2.Unavailable().WithMessage(conflict.Message))
	}
	return o, e.Tell(ctx, cr, e.at, err)
}

func (e *external) observe(ctx context.Context, cr *v1alpha1.DNSRecord) (managed.ExternalObservation, error) {
	zone, err := e.zone(ctx, cr)
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	r, err := e.find(ctx, cr, zone)
	if errors.Is(err, cloudflare.ErrNotFound) {
		return managed.ExternalObservation{}, e.absent(ctx, cr)
	}
	if err != nil {
		return managed.ExternalObservation{}, err
	}

	onlyObserves := controller.OnlyObserves(cr.Spec.ManagementPolicies)
	if verdict := judge(cr, r); verdict != ownership.Ours && !onlyObserves {
		if meta.WasDeleted(cr) {
			e.Recorder.Event(cr, event.Warning(reasonLeft, foreign(r, verdict)))
			return managed.ExternalObservation{}, nil
		}
		return managed.ExternalObservation{}, foreign(r, verdict)
	}
	var drift []string
	if !onlyObserves {
		if err := e.RememberID(ctx, cr, r.ID); err != nil {
			return managed.ExternalObservation{}, err
		}
		want, err := e.want(ctx, cr, r)
		if err != nil {
			return managed.ExternalObservation{}, err
		}
		drift = Drift(want, r.RecordSpec)
	}
	setStatus(&cr.Status.AtProvider, r)
	cr.SetConditions(xpv2.Available())
	return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: len(drift) == 0, Diff: strings.Join(drift, "; ")}, nil
}

// want is the record that is wanted. An object that is being deleted, or that says nothing about the content, takes it as
// it is.
func (e *external) want(ctx context.Context, cr *v1alpha1.DNSRecord, r cloudflare.Record) (cloudflare.RecordSpec, error) {
	p := cr.Spec.ForProvider
	if meta.WasDeleted(cr) {
		return r.RecordSpec, nil
	}
	if p.Content == nil && p.TunnelRef == nil && p.TunnelSelector == nil {
		return Want(cr, r.Content), nil
	}
	content, err := target(ctx, e.Kube, cr)
	return Want(cr, content), err
}

// absent says what it means that there is no record: nil that one may be made, or that none is left.
func (e *external) absent(ctx context.Context, cr *v1alpha1.DNSRecord) error {
	if meta.WasDeleted(cr) {
		return e.Settled(ctx, cr)
	}
	if !controller.Creates(cr.Spec.ManagementPolicies) {
		return nil
	}
	if _, err := target(ctx, e.Kube, cr); err != nil {
		cr.SetConditions(xpv2.Creating().WithMessage(err.Error()))
		return err
	}
	return e.MayCreate(ctx, e.at)
}

// find reads the object's record: by its id, else by its name. Of several of that name, one that carries the object's mark
// counts first, then any that keeps the object's from being made. That it is ours is still to be judged.
func (e *external) find(ctx context.Context, cr *v1alpha1.DNSRecord, zone string) (cloudflare.Record, error) {
	freshness := cloudflare.Shared
	if meta.WasDeleted(cr) {
		// What is deleted must be ours now, and what is said to be gone must be gone now.
		freshness = cloudflare.Direct
	}
	id := meta.GetExternalName(cr)
	if id != "" {
		if !idPattern.MatchString(id) {
			return cloudflare.Record{}, fmt.Errorf("the annotation %s is %q; it must be the record's id, 32 hexadecimal digits", meta.AnnotationKeyExternalName, id)
		}
		r, err := e.api.GetRecord(ctx, zone, id, freshness)
		if !errors.Is(err, cloudflare.ErrNotFound) {
			return r, err
		}
	}

	if controller.Uncertain(cr) || controller.OnlyObserves(cr.Spec.ManagementPolicies) {
		freshness = cloudflare.Direct
	}
	if id != "" && meta.WasDeleted(cr) && !controller.Uncertain(cr) {
		return cloudflare.Record{}, cloudflare.ErrNotFound
	}
	records, err := e.api.FindRecords(ctx, zone, cr.Spec.ForProvider.Name, freshness)
	if err != nil {
		return cloudflare.Record{}, err
	}
	return pick(cr, records)
}

// pick chooses among the records of the object's name.
func pick(cr *v1alpha1.DNSRecord, records []cloudflare.Record) (cloudflare.Record, error) {
	var other *cloudflare.Record
	for i, r := range records {
		if judge(cr, r) == ownership.Ours {
			return r, nil
		}
		if other == nil && Blocks(r) {
			other = &records[i]
		}
	}
	if other == nil {
		return cloudflare.Record{}, cloudflare.ErrNotFound
	}
	return *other, nil
}

// Create makes the record. Cloudflare refuses a second one of the same name, and that may be one that an earlier attempt
// made: then it is taken.
func (e *external) Create(ctx context.Context, cr *v1alpha1.DNSRecord) (managed.ExternalCreation, error) {
	return managed.ExternalCreation{}, e.Tell(ctx, cr, e.at, e.create(ctx, cr))
}

func (e *external) create(ctx context.Context, cr *v1alpha1.DNSRecord) error {
	zone, err := e.zone(ctx, cr)
	if err != nil {
		return err
	}
	content, err := target(ctx, e.Kube, cr)
	if err != nil {
		return err
	}
	r, err := e.api.CreateRecord(ctx, zone, Want(cr, content))
	if errors.Is(err, cloudflare.ErrConflict) {
		refusal := err
		var records []cloudflare.Record
		if records, err = e.api.FindRecords(ctx, zone, cr.Spec.ForProvider.Name, cloudflare.Direct); err != nil {
			return err
		}
		if r, err = pick(cr, records); err != nil {
			// It was there when the creation was refused, and is not any more.
			return refusal
		}
		if verdict := judge(cr, r); verdict != ownership.Ours {
			return foreign(r, verdict)
		}
	}
	if err != nil {
		return err
	}
	meta.SetExternalName(cr, r.ID)
	return nil
}

// Update makes the record as wanted, once Cloudflare says that it still is ours.
func (e *external) Update(ctx context.Context, cr *v1alpha1.DNSRecord) (managed.ExternalUpdate, error) {
	return managed.ExternalUpdate{}, e.Tell(ctx, cr, e.at, e.update(ctx, cr))
}

func (e *external) update(ctx context.Context, cr *v1alpha1.DNSRecord) error {
	zone, err := e.zone(ctx, cr)
	if err != nil {
		return err
	}
	r, err := e.api.GetRecord(ctx, zone, meta.GetExternalName(cr), cloudflare.Direct)
	if err != nil {
		return err
	}
	if verdict := judge(cr, r); verdict != ownership.Ours {
		return foreign(r, verdict)
	}
	want, err := e.want(ctx, cr, r)
	if err != nil {
		return err
	}
	r, err = e.api.UpdateRecord(ctx, zone, r.ID, want)
	if errors.Is(err, cloudflare.ErrConflict) {
		return &controller.ConflictError{Message: fmt.Sprintf("another record of the zone is named %s; delete that one, or choose another name", want.Name)}
	}
	if err == nil {
		setStatus(&cr.Status.AtProvider, r)
	}
	return err
}

// Delete deletes the record. What is gone already is deleted.
func (e *external) Delete(ctx context.Context, cr *v1alpha1.DNSRecord) (managed.ExternalDelete, error) {
	err := e.delete(ctx, cr)
	if errors.Is(err, cloudflare.ErrNotFound) {
		err = nil
	}
	return managed.ExternalDelete{}, e.Tell(ctx, cr, e.at, err)
}

func (e *external) delete(ctx context.Context, cr *v1alpha1.DNSRecord) error {
	zone, err := e.zone(ctx, cr)
	if err != nil {
		return err
	}
	return e.api.DeleteRecord(ctx, zone, meta.GetExternalName(cr))
}

// Disconnect does nothing: what a connection needs is shared.
func (e *external) Disconnect(context.Context) error { return nil }

// zone is the id of the zone where the object's record is, or is to be made. A record does not move, so what was seen comes first.
func (e *external) zone(ctx context.Context, cr *v1alpha1.DNSRecord) (string, error) {
	if e.at.Zone = cr.Status.AtProvider.ZoneID; e.at.Zone != "" {
		return e.at.Zone, nil
	}
	zone := e.at.Settings.Zone
	if cr.Spec.ForProvider.Zone != nil {
		zone = *cr.Spec.ForProvider.Zone
	}
	if zone == "" {
		return "", fmt.Errorf("no zone; set spec.forProvider.zone, or spec.zone of %s", e.at.Config)
	}
	z, err := e.api.FindZone(ctx, zone)
	if errors.Is(err, cloudflare.ErrNotFound) || errors.Is(err, cloudflare.ErrForbidden) {
		return "", &settings.Error{Reason: condition.ReasonMissingPermissions, Message: fmt.Sprintf(
			"zone %s does not exist, or the API token of %s may not see it: it needs %s for this zone", zone, e.at.Config, cloudflare.PermissionZoneRead)}
	}
	if err != nil {
		return "", fmt.Errorf("find zone %s: %w", zone, err)
	}
	if name := cr.Spec.ForProvider.Name; !InZone(name, z.Name) && !meta.WasDeleted(cr) {
		return "", fmt.Errorf("%s is not in zone %s; choose a name that ends in .%s", name, z.Name, z.Name)
	}
	e.at.Zone = z.ID
	return z.ID, nil
}

func judge(cr *v1alpha1.DNSRecord, r cloudflare.Record) ownership.Verdict {
	return ownership.Judge(ownership.OfRecord(r), cr.UID, meta.GetExternalName(cr) == r.ID)
}

func foreign(r cloudflare.Record, verdict ownership.Verdict) error {
	advice := "choose another name, or delete it at Cloudflare"
	if verdict == ownership.Unmarked && r.Type == string(v1alpha1.DNSRecordTypeCNAME) {
		advice += fmt.Sprintf(", or take it over with the annotation %s: %s", meta.AnnotationKeyExternalName, r.ID)
	}
	return &controller.ConflictError{Message: fmt.Sprintf("%s record %s named %s already exists and is %s, so it is neither changed nor deleted; %s",
		r.Type, r.ID, r.Name, verdict, advice)}
}

// setStatus tells what was seen.
func setStatus(s *v1alpha1.DNSRecordObservation, r cloudflare.Record) {
	s.ID, s.ZoneID, s.FQDN, s.Content = r.ID, r.Zone, r.Name, r.Content
}
