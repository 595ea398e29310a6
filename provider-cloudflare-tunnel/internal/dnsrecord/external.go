package dnsrecord

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

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

var idPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// external is one DNSRecord's way to Cloudflare during one reconcile.
type external struct {
	*controller.Task

	// astray says that the record was seen not to lead from the wanted name to the wanted place.
	astray bool
}

// Observe finds the object's record and compares it with what is wanted.
func (e *external) Observe(ctx context.Context, cr *v1alpha1.DNSRecord) (managed.ExternalObservation, error) {
	r, err := e.seek(ctx, cr)
	if errors.Is(err, cloudflare.ErrNotFound) {
		return managed.ExternalObservation{}, e.Absent(ctx, cr, func() error {
			_, err := target(ctx, e.Kube, cr)
			if err != nil {
				cr.SetConditions(xpv2.Creating().WithMessage(err.Error()))
			}
			return err
		})
	}
	if err != nil {
		return managed.ExternalObservation{}, err
	}

	onlyObserves := controller.OnlyObserves(cr.Spec.ManagementPolicies)
	if verdict := judge(cr, r); verdict != ownership.Ours && !onlyObserves {
		return managed.ExternalObservation{}, e.Leave(cr, foreign(r, verdict))
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
		drift, e.astray = Drift(want, r.RecordSpec), !Leads(want, r.RecordSpec)
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

// seek finds the object's record in its zone, or in the one that has taken the place of a zone that Cloudflare has no more: a
// zone that is removed takes its records along, and has another id once it is added again.
func (e *external) seek(ctx context.Context, cr *v1alpha1.DNSRecord) (cloudflare.Record, error) {
	zone, err := e.zone(ctx, cr)
	if err != nil {
		return cloudflare.Record{}, err
	}
	r, err := e.find(ctx, cr, zone)
	if !errors.Is(err, cloudflare.ErrInvalid) {
		return r, err
	}
	if _, unknown := e.API.FindZone(ctx, zone); !errors.Is(unknown, cloudflare.ErrInvalid) {
		return r, err
	}
	again, err := e.wantedZone(ctx, cr)
	elsewhere := err == nil && !InZone(cr.Spec.ForProvider.Name, again.Name)
	if missing := (*settings.Error)(nil); errors.As(err, &missing) || again.ID == zone || elsewhere {
		err = fmt.Errorf("zone %s, in which the record was, is not at Cloudflare any more; add the zone there again, or let go of the record by "+
			"taking Delete out of spec.managementPolicies", zone)
		cr.SetConditions(xpv2.Unavailable().WithMessage(err.Error()))
	}
	if err != nil {
		return cloudflare.Record{}, err
	}
	return e.find(ctx, cr, again.ID)
}

// find reads the object's record: by its id, else by its name. Of several of that name, one that carries the object's mark
// counts first, then any that keeps the object's from being made. That it is ours is still to be judged.
func (e *external) find(ctx context.Context, cr *v1alpha1.DNSRecord, zone string) (cloudflare.Record, error) {
	freshness := cloudflare.Shared
	if meta.WasDeleted(cr) {
		// What is deleted must be ours now, and what is said to be gone must be gone now.
		freshness = cloudflare.Direct
	}
	id := e.ID(cr)
	if id != "" {
		if !idPattern.MatchString(id) {
			return cloudflare.Record{}, fmt.Errorf("the annotation %s is %q; it must be the record's id, 32 hexadecimal digits", meta.AnnotationKeyExternalName, id)
		}
		r, err := e.API.GetRecord(ctx, zone, id, freshness)
		if !errors.Is(err, cloudflare.ErrNotFound) {
			return r, err
		}
	}

	if e.Uncertain(cr) || controller.OnlyObserves(cr.Spec.ManagementPolicies) {
		freshness = cloudflare.Direct
	}
	if id != "" && meta.WasDeleted(cr) && !e.Uncertain(cr) {
		return cloudflare.Record{}, cloudflare.ErrNotFound
	}
	records, err := e.API.FindRecords(ctx, zone, cr.Spec.ForProvider.Name, freshness)
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
	zone, err := e.zone(ctx, cr)
	if err != nil {
		return managed.ExternalCreation{}, err
	}
	content, err := target(ctx, e.Kube, cr)
	if err != nil {
		return managed.ExternalCreation{}, err
	}
	e.Made.Forget(cr.UID)
	r, err := e.API.CreateRecord(ctx, zone, Want(cr, content))
	if errors.Is(err, cloudflare.ErrConflict) {
		r, err = e.adopt(ctx, cr, zone, err)
	}
	if err == nil {
		meta.SetExternalName(cr, r.ID)
		e.Made.Put(cr.UID, r.ID)
	}
	return managed.ExternalCreation{}, err
}

func (e *external) adopt(ctx context.Context, cr *v1alpha1.DNSRecord, zone string, refusal error) (cloudflare.Record, error) {
	records, err := e.API.FindRecords(ctx, zone, cr.Spec.ForProvider.Name, cloudflare.Direct)
	if err != nil {
		return cloudflare.Record{}, err
	}
	r, err := pick(cr, records)
	if err != nil {
		// It was there when the creation was refused, and is not any more.
		return cloudflare.Record{}, refusal
	}
	if verdict := judge(cr, r); verdict != ownership.Ours {
		return cloudflare.Record{}, foreign(r, verdict)
	}
	return r, nil
}

// Update makes the record as wanted, once Cloudflare says that it still is ours. If that fails, the object is ready only as
// far as the record is of use as it is: with another comment or TTL, but not with another name or target.
func (e *external) Update(ctx context.Context, cr *v1alpha1.DNSRecord) (managed.ExternalUpdate, error) {
	err := e.update(ctx, cr)
	if err != nil && e.astray {
		cr.SetConditions(xpv2.Unavailable().WithMessage(err.Error()))
	}
	return managed.ExternalUpdate{}, err
}

func (e *external) update(ctx context.Context, cr *v1alpha1.DNSRecord) error {
	zone, err := e.zone(ctx, cr)
	if err != nil {
		return err
	}
	r, err := e.API.GetRecord(ctx, zone, meta.GetExternalName(cr), cloudflare.Direct)
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
	if !sameHost(r.Name, want.Name) {
		z, err := e.API.FindZone(ctx, zone)
		if err != nil {
			return fmt.Errorf("find the zone of %s: %w", want.Name, err)
		}
		if err := within(cr, z); err != nil {
			return err
		}
	}
	r, err = e.API.UpdateRecord(ctx, zone, r.ID, want)
	if errors.Is(err, cloudflare.ErrConflict) {
		return &controller.ConflictError{Message: fmt.Sprintf("another record of the zone is named %s; delete that one, or choose another name", want.Name)}
	}
	if err != nil {
		return err
	}
	setStatus(&cr.Status.AtProvider, r)
	if !sameHost(r.Name, want.Name) {
		return fmt.Errorf("the record got the name %s at Cloudflare instead of %s; choose a name in its zone", r.Name, want.Name)
	}
	return nil
}

// Delete deletes the record.
func (e *external) Delete(ctx context.Context, cr *v1alpha1.DNSRecord) error {
	zone, err := e.zone(ctx, cr)
	if err != nil {
		return err
	}
	if err := e.API.DeleteRecord(ctx, zone, meta.GetExternalName(cr)); err != nil {
		return err
	}
	e.Made.Forget(cr.UID)
	return nil
}

// zone is the id of the zone where the object's record is, or is to be made. A record does not move, so what was seen comes first.
func (e *external) zone(ctx context.Context, cr *v1alpha1.DNSRecord) (string, error) {
	if e.Zone == "" {
		e.Zone = cr.Status.AtProvider.ZoneID
	}
	if e.Zone != "" {
		return e.Zone, nil
	}
	z, err := e.wantedZone(ctx, cr)
	return z.ID, err
}

// wantedZone is the zone that the object or its provider config names.
func (e *external) wantedZone(ctx context.Context, cr *v1alpha1.DNSRecord) (cloudflare.Zone, error) {
	zone := e.Settings.Zone
	if cr.Spec.ForProvider.Zone != nil {
		zone = *cr.Spec.ForProvider.Zone
	}
	if zone == "" {
		return cloudflare.Zone{}, fmt.Errorf("no zone; set spec.forProvider.zone, or spec.zone of %s", e.Config)
	}
	z, err := e.API.FindZone(ctx, zone)
	if errors.Is(err, cloudflare.ErrNotFound) || errors.Is(err, cloudflare.ErrForbidden) {
		return cloudflare.Zone{}, &settings.Error{Reason: condition.ReasonMissingPermissions, Message: fmt.Sprintf(
			"zone %s does not exist, or the API token of %s may not see it: it needs %s for this zone", zone, e.Config, cloudflare.PermissionZoneRead)}
	}
	if err != nil {
		return cloudflare.Zone{}, fmt.Errorf("find zone %s: %w", zone, err)
	}
	if err := within(cr, z); err != nil {
		return cloudflare.Zone{}, err
	}
	e.Zone = z.ID
	return z, nil
}

// within refuses a name outside of the zone: Cloudflare takes it for one without the zone's, and adds that.
func within(cr *v1alpha1.DNSRecord, z cloudflare.Zone) error {
	if name := cr.Spec.ForProvider.Name; !InZone(name, z.Name) && !meta.WasDeleted(cr) {
		return fmt.Errorf("%s is not in zone %s; choose a name that ends in .%s", name, z.Name, z.Name)
	}
	return nil
}

func judge(cr *v1alpha1.DNSRecord, r cloudflare.Record) ownership.Verdict {
	return ownership.Judge(ownership.OfRecord(r), cr.UID, meta.GetExternalName(cr) == r.ID)
}

func foreign(r cloudflare.Record, verdict ownership.Verdict) *controller.ConflictError {
	id := r.ID
	if r.Type != string(v1alpha1.DNSRecordTypeCNAME) {
		id = ""
	}
	return controller.Taken(fmt.Sprintf("%s record %s named %s already exists", r.Type, r.ID, r.Name), verdict, id)
}

// setStatus tells what was seen.
func setStatus(s *v1alpha1.DNSRecordObservation, r cloudflare.Record) {
	s.ID, s.ZoneID, s.FQDN, s.Content = r.ID, r.Zone, r.Name, r.Content
}
