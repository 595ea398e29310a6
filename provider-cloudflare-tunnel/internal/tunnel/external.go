package tunnel

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/ownership"
)

// reasonLeft is the reason of the event that tells that something foreign was left alone.
const reasonLeft event.Reason = "LeftAtCloudflare"

var idPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// connector makes an external for each reconcile.
type connector struct {
	*controller.Shared

	marks *marks
}

// Connect finds out how the object is managed.
func (c *connector) Connect(ctx context.Context, cr *v1alpha1.Tunnel) (managed.TypedExternalClient[*v1alpha1.Tunnel], error) {
	s, err := c.Settings(ctx, cr, kind)
	if err != nil {
		return nil, err
	}
	return &external{connector: c, at: controller.Place{Settings: s}, api: s.API}, nil
}

// external is one Tunnel's way to Cloudflare during one reconcile.
type external struct {
	*connector

	at  controller.Place
	api cloudflare.API

	// proven is the id of the tunnel whose mark was read from Cloudflare in this reconcile.
	proven string
}

// Observe finds the object's tunnel and compares it with what is wanted.
func (e *external) Observe(ctx context.Context, cr *v1alpha1.Tunnel) (managed.ExternalObservation, error) {
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

func (e *external) observe(ctx context.Context, cr *v1alpha1.Tunnel) (managed.ExternalObservation, error) {
	account, err := e.account(cr)
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	t, err := e.find(ctx, cr, account)
	if errors.Is(err, cloudflare.ErrNotFound) {
		return managed.ExternalObservation{}, e.absent(ctx, cr)
	}
	if err != nil {
		return managed.ExternalObservation{}, err
	}

	named := meta.GetExternalName(cr) == t.ID
	onlyObserves := controller.OnlyObserves(cr.Spec.ManagementPolicies)
	var mark ownership.Mark
	var credentials *cloudflare.Credentials
	if !onlyObserves || named {
		mark, credentials, err = e.prove(ctx, cr, t)
		if errors.Is(err, cloudflare.ErrNotFound) {
			return managed.ExternalObservation{}, e.absent(ctx, cr)
		}
		if err != nil {
			return managed.ExternalObservation{}, err
		}
	}
	verdict := ownership.Judge(mark, cr.UID, named)
	switch {
	case verdict == ownership.Ours:
	case onlyObserves:
		// Anybody may look at a tunnel, but its credentials are its owner's.
		credentials = nil
	case meta.WasDeleted(cr):
		e.Recorder.Event(cr, event.Warning(reasonLeft, foreign(t, verdict)))
		return managed.ExternalObservation{}, nil
	default:
		return managed.ExternalObservation{}, foreign(t, verdict)
	}
	if !onlyObserves {
		if t.ConfigSource != "" && t.ConfigSource != string(v1alpha1.TunnelConfigSourceLocal) && !meta.WasDeleted(cr) {
			return managed.ExternalObservation{}, fmt.Errorf("tunnel %s takes its ingress rules from Cloudflare's dashboard, which cannot be undone; "+
				"delete it there, or only observe it", t.ID)
		}
		if err := e.RememberID(ctx, cr, t.ID); err != nil {
			return managed.ExternalObservation{}, err
		}
	}

	if err := e.connectors(ctx, &cr.Status.AtProvider, &t); err != nil {
		return managed.ExternalObservation{}, err
	}
	setStatus(&cr.Status.AtProvider, t)
	cr.SetConditions(xpv2.Available())
	changes := Plan(cr.Spec.ForProvider, t, mark, cr.Status.AtProvider.LastRotationTime, e.Now())
	o := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: changes.None(), Diff: changes.String()}
	if credentials != nil {
		o.ConnectionDetails = details(*credentials)
	}
	return o, nil
}

// absent says what it means that there is no tunnel: nil that one may be made, or that none is left.
func (e *external) absent(ctx context.Context, cr *v1alpha1.Tunnel) error {
	switch {
	case meta.WasDeleted(cr):
		return e.Settled(ctx, cr)
	case controller.Creates(cr.Spec.ManagementPolicies):
		return e.MayCreate(ctx, e.at)
	}
	return nil
}

// find reads the object's tunnel: by its id, else the live one of its name. That it is ours is still to be proven.
func (e *external) find(ctx context.Context, cr *v1alpha1.Tunnel, account string) (cloudflare.Tunnel, error) {
	id := meta.GetExternalName(cr)
	if id != "" {
		if !idPattern.MatchString(id) {
			return cloudflare.Tunnel{}, fmt.Errorf("the annotation %s is %q; it must be the tunnel's id, a UUID", meta.AnnotationKeyExternalName, id)
		}
		t, err := e.api.GetTunnel(ctx, account, id, cloudflare.Shared)
		if !errors.Is(err, cloudflare.ErrNotFound) {
			return t, err
		}
	}

	freshness := cloudflare.Shared
	if controller.Uncertain(cr) || meta.WasDeleted(cr) {
		freshness = cloudflare.Direct
	}
	if id != "" && meta.WasDeleted(cr) && !controller.Uncertain(cr) {
		return cloudflare.Tunnel{}, cloudflare.ErrNotFound
	}
	return e.api.FindTunnel(ctx, account, cr.Spec.ForProvider.Name, freshness)
}

// prove reads the mark in a tunnel's secret, and the credentials where they are to be published. Both are as a rule in the
// connection secret already. An object that is being deleted trusts only Cloudflare.
func (e *external) prove(ctx context.Context, cr *v1alpha1.Tunnel, t cloudflare.Tunnel) (ownership.Mark, *cloudflare.Credentials, error) {
	if !meta.WasDeleted(cr) {
		c, ok, err := published(ctx, e.Kube, cr, t.Account, t.ID)
		if err != nil {
			return ownership.Mark{}, nil, err
		}
		if ok {
			return ownership.OfTunnel(c.TunnelSecret), &c, nil
		}
		if mark, known := e.marks.get(cr.UID, t.ID); known && cr.Spec.WriteConnectionSecretToReference == nil {
			return mark, nil, nil
		}
	}
	c, err := e.api.TunnelCredentials(ctx, t.Account, t.ID)
	if err != nil {
		return ownership.Mark{}, nil, err
	}
	mark := ownership.OfTunnel(c.TunnelSecret)
	e.marks.put(cr.UID, t.ID, mark)
	e.proven = t.ID
	return mark, &c, nil
}

// Create makes the tunnel. Cloudflare refuses a second one of the same name, and that may be one that an earlier attempt
// made: then it is taken, with the secret that it has.
func (e *external) Create(ctx context.Context, cr *v1alpha1.Tunnel) (managed.ExternalCreation, error) {
	c, err := e.create(ctx, cr)
	if err := e.Tell(ctx, cr, e.at, err); err != nil {
		return managed.ExternalCreation{}, err
	}
	return managed.ExternalCreation{ConnectionDetails: details(*c)}, nil
}

func (e *external) create(ctx context.Context, cr *v1alpha1.Tunnel) (*cloudflare.Credentials, error) {
	account, err := e.account(cr)
	if err != nil {
		return nil, err
	}
	secret, err := ownership.NewTunnelSecret(cr.UID, 0, e.Now(), e.Random)
	if err != nil {
		return nil, err
	}
	name := cr.Spec.ForProvider.Name
	t, err := e.api.CreateTunnel(ctx, account, name, secret)
	if errors.Is(err, cloudflare.ErrConflict) {
		return e.adopt(ctx, cr, account, err)
	}
	if err != nil {
		return nil, err
	}
	meta.SetExternalName(cr, t.ID)
	e.marks.put(cr.UID, t.ID, ownership.OfTunnel(secret))
	return &cloudflare.Credentials{AccountTag: account, TunnelID: t.ID, TunnelSecret: secret}, nil
}

func (e *external) adopt(ctx context.Context, cr *v1alpha1.Tunnel, account string, refusal error) (*cloudflare.Credentials, error) {
	t, err := e.api.FindTunnel(ctx, account, cr.Spec.ForProvider.Name, cloudflare.Direct)
	if errors.Is(err, cloudflare.ErrNotFound) {
		// It was there when the creation was refused, and is not any more.
		return nil, refusal
	}
	if err != nil {
		return nil, err
	}
	c, err := e.api.TunnelCredentials(ctx, account, t.ID)
	if err != nil {
		return nil, err
	}
	mark := ownership.OfTunnel(c.TunnelSecret)
	if verdict := ownership.Judge(mark, cr.UID, meta.GetExternalName(cr) == t.ID); verdict != ownership.Ours {
		return nil, foreign(t, verdict)
	}
	meta.SetExternalName(cr, t.ID)
	e.marks.put(cr.UID, t.ID, mark)
	return &c, nil
}

// Update renames the tunnel or replaces its secret. It asks Cloudflare for the secret first: that proves the tunnel ours,
// and tells whether an earlier attempt already replaced it.
func (e *external) Update(ctx context.Context, cr *v1alpha1.Tunnel) (managed.ExternalUpdate, error) {
	c, err := e.update(ctx, cr)
	if err := e.Tell(ctx, cr, e.at, err); err != nil {
		return managed.ExternalUpdate{}, err
	}
	return managed.ExternalUpdate{ConnectionDetails: details(*c)}, nil
}

func (e *external) update(ctx context.Context, cr *v1alpha1.Tunnel) (*cloudflare.Credentials, error) {
	account, err := e.account(cr)
	if err != nil {
		return nil, err
	}
	t, err := e.api.GetTunnel(ctx, account, meta.GetExternalName(cr), cloudflare.Shared)
	if err != nil {
		return nil, err
	}
	c, err := e.api.TunnelCredentials(ctx, account, t.ID)
	if err != nil {
		return nil, err
	}
	mark := ownership.OfTunnel(c.TunnelSecret)
	if verdict := ownership.Judge(mark, cr.UID, true); verdict != ownership.Ours {
		return nil, foreign(t, verdict)
	}

	changes := Plan(cr.Spec.ForProvider, t, mark, cr.Status.AtProvider.LastRotationTime, e.Now())
	if changes.Rename {
		if _, err := e.api.RenameTunnel(ctx, account, t.ID, cr.Spec.ForProvider.Name); err != nil {
			return nil, renameError(cr.Spec.ForProvider.Name, err)
		}
	}
	if changes.Rotate {
		secret, err := ownership.NewTunnelSecret(cr.UID, mark.Rotations+1, e.Now(), e.Random)
		if err != nil {
			return nil, err
		}
		if _, err := e.api.RotateTunnelSecret(ctx, account, t.ID, secret); err != nil {
			return nil, err
		}
		c.TunnelSecret, mark = secret, ownership.OfTunnel(secret)
	}
	if changes.Rotate || changes.FinishRotation {
		// Connections outlive the secret that they were made with.
		if err := e.api.DropConnections(ctx, account, t.ID); err != nil {
			return nil, err
		}
		cr.Status.AtProvider.LastRotationTime = &metav1.Time{Time: mark.MadeAt}
	}
	e.marks.put(cr.UID, t.ID, mark)
	return &c, nil
}

func renameError(name string, err error) error {
	if errors.Is(err, cloudflare.ErrConflict) {
		return &controller.ConflictError{Message: fmt.Sprintf("another tunnel of the account is named %q; delete that one, or choose another name", name)}
	}
	return err
}

// Delete deletes the tunnel, after the DNS records that point at it and after its connections. What is gone already is
// deleted.
func (e *external) Delete(ctx context.Context, cr *v1alpha1.Tunnel) (managed.ExternalDelete, error) {
	err := e.delete(ctx, cr)
	if errors.Is(err, cloudflare.ErrNotFound) {
		err = nil
	}
	return managed.ExternalDelete{}, e.Tell(ctx, cr, e.at, err)
}

func (e *external) delete(ctx context.Context, cr *v1alpha1.Tunnel) error {
	account, err := e.account(cr)
	if err != nil {
		return err
	}
	id := meta.GetExternalName(cr)
	if e.proven != id {
		c, err := e.api.TunnelCredentials(ctx, account, id)
		if err != nil {
			return err
		}
		if verdict := ownership.Judge(ownership.OfTunnel(c.TunnelSecret), cr.UID, true); verdict != ownership.Ours {
			return foreign(cloudflare.Tunnel{ID: id, Account: account, Name: cr.Spec.ForProvider.Name}, verdict)
		}
	}

	records := &v1alpha1.DNSRecordList{}
	if err := e.Kube.List(ctx, records, client.InNamespace(cr.Namespace)); err != nil {
		return fmt.Errorf("list the DNSRecords that point at the tunnel: %w", err)
	}
	if names := Before(cr, records.Items, e.Now()); len(names) > 0 {
		return fmt.Errorf("waiting for DNSRecord %s to be deleted first, since it points at this tunnel", strings.Join(names, ", "))
	}
	if err := e.api.DropConnections(ctx, account, id); err != nil {
		return err
	}
	err = e.api.DeleteTunnel(ctx, account, id)
	if errors.Is(err, cloudflare.ErrConnectionsActive) {
		return fmt.Errorf("connectors of tunnel %s are still running and connect again; it is tried again until they are stopped: %w", id, err)
	}
	if err == nil {
		e.marks.forget(cr.UID, id)
	}
	return err
}

// Disconnect does nothing: what a connection needs is shared.
func (e *external) Disconnect(context.Context) error { return nil }

// account is where the object's tunnel is, or is to be made. A tunnel does not move, so what was seen comes first.
func (e *external) account(cr *v1alpha1.Tunnel) (string, error) {
	e.at.Account = e.at.AccountID
	if id := cr.Spec.ForProvider.AccountID; id != nil {
		e.at.Account = *id
	}
	if id := cr.Status.AtProvider.AccountID; id != "" {
		e.at.Account = id
	}
	if e.at.Account == "" {
		return "", fmt.Errorf("no Cloudflare account; set spec.forProvider.accountID, or spec.accountID of %s", e.at.Config)
	}
	return e.at.Account, nil
}

func foreign(t cloudflare.Tunnel, verdict ownership.Verdict) error {
	advice := "choose another name, or delete it at Cloudflare"
	if verdict == ownership.Unmarked {
		advice += fmt.Sprintf(", or take it over with the annotation %s: %s", meta.AnnotationKeyExternalName, t.ID)
	}
	return &controller.ConflictError{Message: fmt.Sprintf("tunnel %s in account %s already is named %q and is %s, so it is neither changed nor deleted; %s",
		t.ID, t.Account, t.Name, verdict, advice)}
}

// connectors fills in the connectors of a connected tunnel where Cloudflare leaves them out of it, as it has announced. That
// takes a call for each tunnel, so it is made only when the tunnel's status changed.
func (e *external) connectors(ctx context.Context, before *v1alpha1.TunnelObservation, t *cloudflare.Tunnel) error {
	connected := t.Status == v1alpha1.TunnelHealthy || t.Status == v1alpha1.TunnelDegraded
	if !connected || len(t.Connectors) > 0 {
		return nil
	}
	if before.ID == t.ID && before.Status == t.Status {
		for _, c := range before.Connectors {
			t.Connectors = append(t.Connectors, cloudflare.Connector{ID: c.ID, Version: c.Version, Colos: c.Colos})
		}
		return nil
	}
	var err error
	t.Connectors, err = e.api.Connectors(ctx, t.Account, t.ID)
	return err
}

// setStatus tells what was seen.
func setStatus(s *v1alpha1.TunnelObservation, t cloudflare.Tunnel) {
	s.ID, s.AccountID, s.Status, s.CNAME = t.ID, t.Account, t.Status, t.CNAME()
	s.CreatedAt = nil
	if !t.CreatedAt.IsZero() {
		s.CreatedAt = &metav1.Time{Time: t.CreatedAt}
	}
	s.Connectors = nil
	for _, c := range t.Connectors {
		s.Connectors = append(s.Connectors, v1alpha1.TunnelConnector{ID: c.ID, Version: c.Version, Colos: c.Colos})
	}
	slices.SortFunc(s.Connectors, func(a, b v1alpha1.TunnelConnector) int { return strings.Compare(a.ID, b.ID) })
}

// marks remembers what was proven, for objects without a connection secret to read it from.
type marks struct {
	mu    sync.Mutex
	known map[markKey]ownership.Mark
}

type markKey struct {
	uid types.UID
	id  string
}

func (m *marks) get(uid types.UID, id string) (ownership.Mark, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mark, ok := m.known[markKey{uid, id}]
	return mark, ok
}

func (m *marks) put(uid types.UID, id string, mark ownership.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make(map[markKey]ownership.Mark)
	}
	m.known[markKey{uid, id}] = mark
}

func (m *marks) forget(uid types.UID, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, markKey{uid, id})
}
