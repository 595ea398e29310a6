package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

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
	"aphex.io/platform/provider-cloudflare-tunnel/internal/pace"
)

var idPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// external is one Tunnel's way to Cloudflare during one reconcile.
type external struct {
	*controller.Task

	marks *marks
	// proven is the id of the tunnel whose mark was read from Cloudflare in this reconcile.
	proven string
}

// Observe finds the object's tunnel and compares it with what is wanted.
func (e *external) Observe(ctx context.Context, cr *v1alpha1.Tunnel) (managed.ExternalObservation, error) {
	account, err := e.account(cr)
	if err != nil {
		return managed.ExternalObservation{}, err
	}
	t, err := e.find(ctx, cr, account)
	if errors.Is(err, cloudflare.ErrNotFound) {
		return managed.ExternalObservation{}, e.Absent(ctx, cr, nil)
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
			return managed.ExternalObservation{}, e.Absent(ctx, cr, nil)
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
	default:
		return managed.ExternalObservation{}, e.Leave(cr, foreign(t, verdict))
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

// find reads the object's tunnel: by its id, else the live one of its name. That it is ours is still to be proven.
func (e *external) find(ctx context.Context, cr *v1alpha1.Tunnel, account string) (cloudflare.Tunnel, error) {
	id := e.ID(cr)
	if id != "" {
		if !idPattern.MatchString(id) {
			return cloudflare.Tunnel{}, fmt.Errorf("the annotation %s is %q; it must be the tunnel's id, a UUID", meta.AnnotationKeyExternalName, id)
		}
		t, err := e.API.GetTunnel(ctx, account, id, cloudflare.Shared)
		if !errors.Is(err, cloudflare.ErrNotFound) {
			return t, err
		}
	}

	freshness := cloudflare.Shared
	if e.Uncertain(cr) || meta.WasDeleted(cr) {
		freshness = cloudflare.Direct
	}
	if id != "" && meta.WasDeleted(cr) && !e.Uncertain(cr) {
		return cloudflare.Tunnel{}, cloudflare.ErrNotFound
	}
	return e.API.FindTunnel(ctx, account, cr.Spec.ForProvider.Name, freshness)
}

// prove reads the mark in a tunnel's secret, and the credentials where they are to be published. Both are as a rule in the
// connection secret already. An object that is being deleted trusts only Cloudflare, and so does from time to time one that
// lost its connectors: somebody else may have replaced the secret.
func (e *external) prove(ctx context.Context, cr *v1alpha1.Tunnel, t cloudflare.Tunnel) (ownership.Mark, *cloudflare.Credentials, error) {
	if meta.WasDeleted(cr) {
		return e.read(ctx, cr, t)
	}
	have, ok, err := published(ctx, e.Kube, cr, t.Account, t.ID)
	if err != nil {
		return ownership.Mark{}, nil, err
	}
	if ok && (t.Status != v1alpha1.TunnelDown || e.marks.agreed(cr.UID, t.ID, e.Now())) {
		return ownership.OfTunnel(have.TunnelSecret), &have, nil
	}
	if mark, known := e.marks.get(cr.UID, t.ID); known && cr.Spec.WriteConnectionSecretToReference == nil {
		return mark, nil, nil
	}
	mark, c, err := e.read(ctx, cr, t)
	if err == nil && ok && bytes.Equal(have.TunnelSecret, c.TunnelSecret) {
		e.marks.agree(cr.UID, t.ID, e.Now())
	}
	return mark, c, err
}

// read asks Cloudflare for a tunnel's credentials and the mark in them.
func (e *external) read(ctx context.Context, cr *v1alpha1.Tunnel, t cloudflare.Tunnel) (ownership.Mark, *cloudflare.Credentials, error) {
	c, err := e.API.TunnelCredentials(ctx, t.Account, t.ID)
	if err != nil {
		return ownership.Mark{}, nil, err
	}
	mark := ownership.OfTunnel(c.TunnelSecret)
	e.marks.put(cr.UID, t.ID, mark)
	e.proven = t.ID
	return mark, &c, nil
}

// own reads a tunnel's credentials and mark, and refuses if it is not ours.
func (e *external) own(ctx context.Context, cr *v1alpha1.Tunnel, t cloudflare.Tunnel) (ownership.Mark, *cloudflare.Credentials, error) {
	mark, c, err := e.read(ctx, cr, t)
	if err != nil {
		return ownership.Mark{}, nil, err
	}
	if verdict := ownership.Judge(mark, cr.UID, meta.GetExternalName(cr) == t.ID); verdict != ownership.Ours {
		return ownership.Mark{}, nil, foreign(t, verdict)
	}
	return mark, c, nil
}

// Create makes the tunnel. Cloudflare refuses a second one of the same name, and that may be one that an earlier attempt
// made: then it is taken, with the secret that it has.
func (e *external) Create(ctx context.Context, cr *v1alpha1.Tunnel) (managed.ExternalCreation, error) {
	account, err := e.account(cr)
	if err != nil {
		return managed.ExternalCreation{}, err
	}
	secret, err := ownership.NewTunnelSecret(cr.UID, 0, e.Now(), e.Random)
	if err != nil {
		return managed.ExternalCreation{}, err
	}
	e.Made.Forget(cr.UID)
	t, err := e.API.CreateTunnel(ctx, account, cr.Spec.ForProvider.Name, secret)
	if errors.Is(err, cloudflare.ErrConflict) {
		return e.adopt(ctx, cr, account, err)
	}
	if err != nil {
		return managed.ExternalCreation{}, err
	}
	meta.SetExternalName(cr, t.ID)
	e.Made.Put(cr.UID, t.ID)
	e.marks.put(cr.UID, t.ID, ownership.OfTunnel(secret))
	made := cloudflare.Credentials{AccountTag: account, TunnelID: t.ID, TunnelSecret: secret}
	return managed.ExternalCreation{ConnectionDetails: details(made)}, nil
}

func (e *external) adopt(ctx context.Context, cr *v1alpha1.Tunnel, account string, refusal error) (managed.ExternalCreation, error) {
	t, err := e.API.FindTunnel(ctx, account, cr.Spec.ForProvider.Name, cloudflare.Direct)
	if errors.Is(err, cloudflare.ErrNotFound) {
		// It was there when the creation was refused, and is not any more.
		return managed.ExternalCreation{}, refusal
	}
	if err != nil {
		return managed.ExternalCreation{}, err
	}
	_, c, err := e.own(ctx, cr, t)
	if err != nil {
		return managed.ExternalCreation{}, err
	}
	meta.SetExternalName(cr, t.ID)
	return managed.ExternalCreation{ConnectionDetails: details(*c)}, nil
}

// Update renames the tunnel or replaces its secret. It asks Cloudflare for the secret first: that proves the tunnel ours,
// and tells whether an earlier attempt already replaced it. If it fails, the tunnel stays ready: it serves under either name,
// and connections outlive their secret. Only one that turns out to be somebody else's is not.
func (e *external) Update(ctx context.Context, cr *v1alpha1.Tunnel) (managed.ExternalUpdate, error) {
	account, err := e.account(cr)
	if err != nil {
		return managed.ExternalUpdate{}, err
	}
	t, err := e.API.GetTunnel(ctx, account, meta.GetExternalName(cr), cloudflare.Shared)
	if err != nil {
		return managed.ExternalUpdate{}, err
	}
	mark, c, err := e.own(ctx, cr, t)
	if conflict := (*controller.ConflictError)(nil); errors.As(err, &conflict) {
		cr.SetConditions(xpv2.Unavailable().WithMessage(conflict.Message))
	}
	if err != nil {
		return managed.ExternalUpdate{}, err
	}

	changes := Plan(cr.Spec.ForProvider, t, mark, cr.Status.AtProvider.LastRotationTime, e.Now())
	if changes.Rename {
		if _, err := e.API.RenameTunnel(ctx, account, t.ID, cr.Spec.ForProvider.Name); err != nil {
			return managed.ExternalUpdate{}, renameError(cr.Spec.ForProvider.Name, err)
		}
	}
	if changes.Rotate {
		secret, err := ownership.NewTunnelSecret(cr.UID, mark.Rotations+1, e.Now(), e.Random)
		if err != nil {
			return managed.ExternalUpdate{}, err
		}
		if _, err := e.API.RotateTunnelSecret(ctx, account, t.ID, secret); err != nil {
			return managed.ExternalUpdate{}, err
		}
		c.TunnelSecret, mark = secret, ownership.OfTunnel(secret)
		e.marks.put(cr.UID, t.ID, mark)
	}
	if changes.Rotate || changes.FinishRotation {
		// Connections outlive the secret that they were made with.
		if err := e.API.DropConnections(ctx, account, t.ID); err != nil {
			return managed.ExternalUpdate{}, err
		}
		cr.Status.AtProvider.LastRotationTime = &metav1.Time{Time: mark.MadeAt}
	}
	return managed.ExternalUpdate{ConnectionDetails: details(*c)}, nil
}

func renameError(name string, err error) error {
	if errors.Is(err, cloudflare.ErrConflict) {
		return &controller.ConflictError{Message: fmt.Sprintf("another tunnel of the account is named %q; delete that one, or choose another name", name)}
	}
	return err
}

// Delete deletes the tunnel, after the DNS records that point at it and after its connections.
func (e *external) Delete(ctx context.Context, cr *v1alpha1.Tunnel) error {
	account, err := e.account(cr)
	if err != nil {
		return err
	}
	id := meta.GetExternalName(cr)
	if e.proven != id {
		if _, _, err := e.own(ctx, cr, cloudflare.Tunnel{ID: id, Account: account, Name: cr.Spec.ForProvider.Name}); err != nil {
			return err
		}
	}

	records := &v1alpha1.DNSRecordList{}
	if err := e.Kube.List(ctx, records, client.InNamespace(cr.Namespace)); err != nil {
		return fmt.Errorf("list the DNSRecords that point at the tunnel: %w", err)
	}
	if names := Before(cr, records.Items, e.Now()); len(names) > 0 {
		// The controller hears of it when they are gone.
		pace.Pause(ctx, recordsTime)
		return fmt.Errorf("waiting for DNSRecord %s to be deleted first, since it points at this tunnel", strings.Join(names, ", "))
	}
	if err := e.API.DropConnections(ctx, account, id); err != nil {
		return err
	}
	err = e.API.DeleteTunnel(ctx, account, id)
	if errors.Is(err, cloudflare.ErrConnectionsActive) {
		return fmt.Errorf("connectors of tunnel %s are still running and connect again; it is tried again until they are stopped: %w", id, err)
	}
	if err == nil {
		e.marks.forget(cr.UID, id)
		e.Made.Forget(cr.UID)
	}
	return err
}

// account is where the object's tunnel is, or is to be made. A tunnel does not move, so what was seen comes first.
func (e *external) account(cr *v1alpha1.Tunnel) (string, error) {
	e.Account = e.AccountID
	if id := cr.Spec.ForProvider.AccountID; id != nil {
		e.Account = *id
	}
	if id := cr.Status.AtProvider.AccountID; id != "" {
		e.Account = id
	}
	if e.Account == "" {
		return "", fmt.Errorf("no Cloudflare account; set spec.forProvider.accountID, or spec.accountID of %s", e.Config)
	}
	return e.Account, nil
}

func foreign(t cloudflare.Tunnel, verdict ownership.Verdict) *controller.ConflictError {
	return controller.Taken(fmt.Sprintf("tunnel %s in account %s already is named %q", t.ID, t.Account, t.Name), verdict, t.ID)
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
	t.Connectors, err = e.API.Connectors(ctx, t.Account, t.ID)
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

// agreeTime is how long the connection secret of a tunnel that is down is trusted after Cloudflare said the same.
const agreeTime = 15 * time.Minute

// marks remembers what was proven, for objects without a connection secret to read it from, and when Cloudflare said the same as
// the connection secret of a tunnel that is down.
type marks struct {
	mu      sync.Mutex
	known   map[markKey]ownership.Mark
	agreeAt map[markKey]time.Time
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
	delete(m.agreeAt, markKey{uid, id})
}

func (m *marks) agree(uid types.UID, id string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.agreeAt == nil {
		m.agreeAt = make(map[markKey]time.Time)
	}
	m.agreeAt[markKey{uid, id}] = now
}

func (m *marks) agreed(uid types.UID, id string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, known := m.agreeAt[markKey{uid, id}]
	return known && now.Sub(last) < agreeTime
}
