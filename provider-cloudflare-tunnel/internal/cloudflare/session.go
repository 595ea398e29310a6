package cloudflare

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/zero_trust"
)

// Session is the API as one token sees it. All its users share its budget and its lists. See the package comment.
type Session struct {
	options Options
	limiter *limiter
	calls   *calls

	mu       sync.Mutex
	tunnels  map[string]*view[Tunnel]
	records  map[string]*view[Record]
	batchers map[string]*batcher
	// tokenDoubted and zonesDoubted are when good news about the token and about zones were last given up.
	tokenDoubted, zonesDoubted time.Time

	zones       memo[Zone]
	verified    memo[struct{}]
	permissions memo[[]Permission]
}

var _ API = (*Session)(nil)

func newSession(token, baseURL string, budget int, o Options) *Session {
	l := newLimiter(budget, o.MaxWait)
	return &Session{
		options: o, limiter: l, calls: newCalls(token, baseURL, o.Transport, l),
		tunnels: make(map[string]*view[Tunnel]), records: make(map[string]*view[Record]),
		batchers: make(map[string]*batcher),
	}
}

// Throttled implements API.
func (s *Session) Throttled(record bool) (time.Time, bool) {
	if record {
		return s.limiter.throttled(batched)
	}
	return s.limiter.throttled(urgent)
}

// tunnelView is the list of the account's live tunnels.
func (s *Session) tunnelView(account string) *view[Tunnel] {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.tunnels[account]
	if v == nil {
		v = newView(s.options.Freshness, func(t Tunnel) string { return t.ID }, func(ctx context.Context) ([]Tunnel, error) {
			return s.calls.listTunnels(ctx, account, "")
		})
		s.tunnels[account] = v
	}
	return v
}

// recordView is the list of the zone's records that carry a mark.
func (s *Session) recordView(zone string) *view[Record] {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.records[zone]
	if v == nil {
		v = newView(s.options.Freshness, func(r Record) string { return r.ID }, func(ctx context.Context) ([]Record, error) {
			return s.calls.listRecords(ctx, zone, "")
		})
		s.records[zone] = v
	}
	return v
}

func (s *Session) batcher(zone string) *batcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batchers[zone]
	if b == nil {
		b = &batcher{calls: s.calls, zone: zone, window: s.batchWindow, most: s.options.MaxBatch}
		s.batchers[zone] = b
	}
	return b
}

// batchWindow grows with the part of the budget that is used up: calls are dearer than seconds then.
func (s *Session) batchWindow() time.Duration {
	return s.options.BatchWindow * time.Duration(1+s.limiter.used())
}

// fail names the operation in an error. What the error speaks against is asked again.
func (s *Session) fail(op string, err error) error {
	switch {
	case errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrForbidden):
		s.doubt(&s.tokenDoubted, s.verified.forgetGood, s.permissions.forgetGood)
	case errors.Is(err, ErrInvalid):
		// A zone that was removed is answered so.
		s.doubt(&s.zonesDoubted, s.zones.forgetGood)
	}
	return asError(op, err)
}

// doubt gives up good news. Objects fail for the same cause one after the other and all ask for it, so they share what is found
// out, for as long as bad news hold.
func (s *Session) doubt(last *time.Time, forget ...func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); last.IsZero() || now.Sub(*last) >= keepBad {
		*last = now
		for _, f := range forget {
			f()
		}
	}
}

// CreateTunnel implements API.
func (s *Session) CreateTunnel(ctx context.Context, account, name string, secret Secret) (Tunnel, error) {
	t, err := s.calls.createTunnel(ctx, account, name, secret)
	return s.wroteTunnel("create tunnel", account, "", t, err)
}

// RenameTunnel implements API.
func (s *Session) RenameTunnel(ctx context.Context, account, id, name string) (Tunnel, error) {
	var p zero_trust.TunnelCloudflaredEditParams
	set(&p.Name.Value, &p.Name.Present, name)
	t, err := s.calls.editTunnel(ctx, account, id, p)
	return s.wroteTunnel("rename tunnel", account, id, t, err)
}

// RotateTunnelSecret implements API.
func (s *Session) RotateTunnelSecret(ctx context.Context, account, id string, secret Secret) (Tunnel, error) {
	if len(secret) < minSecret {
		return Tunnel{}, s.fail("rotate tunnel secret", invalid("the tunnel secret is too short"))
	}
	var p zero_trust.TunnelCloudflaredEditParams
	set(&p.TunnelSecret.Value, &p.TunnelSecret.Present, secret.base64())
	t, err := s.calls.editTunnel(ctx, account, id, p)
	return s.wroteTunnel("rotate tunnel secret", account, id, t, err)
}

func (s *Session) wroteTunnel(op, account, id string, t Tunnel, err error) (Tunnel, error) {
	v := s.tunnelView(account)
	switch {
	case err == nil:
		v.put(t, time.Now())
	case errors.Is(err, ErrNotFound) && id != "":
		v.drop(id, time.Now())
	case uncertain(err):
		v.doubt()
	}
	return t, s.fail(op, err)
}

// GetTunnel implements API.
func (s *Session) GetTunnel(ctx context.Context, account, id string, f Freshness) (Tunnel, error) {
	const op = "get tunnel"
	v := s.tunnelView(account)
	if f == Shared {
		t, found, err := v.get(ctx, id)
		if err != nil || found {
			return t, s.fail(op, err)
		}
	}
	at := time.Now()
	t, err := s.calls.getTunnel(f.on(ctx), account, id)
	switch {
	case err == nil:
		v.put(t, at)
	case errors.Is(err, ErrNotFound):
		v.drop(id, at)
	}
	return t, s.fail(op, err)
}

// on makes a direct read urgent, since a write depends on it.
func (f Freshness) on(ctx context.Context) context.Context {
	if f == Direct {
		return urgently(ctx)
	}
	return ctx
}

// FindTunnel implements API.
func (s *Session) FindTunnel(ctx context.Context, account, name string, f Freshness) (Tunnel, error) {
	const op = "find tunnel by name"
	v := s.tunnelView(account)
	var (
		found []Tunnel
		err   error
	)
	at := time.Now()
	if f == Shared {
		found, err = v.filter(ctx, func(t Tunnel) bool { return t.Name == name })
	} else {
		found, err = s.calls.listTunnels(urgently(ctx), account, name)
	}
	if err != nil {
		return Tunnel{}, s.fail(op, err)
	}
	if len(found) == 0 {
		return Tunnel{}, s.fail(op, &Error{Kind: ErrNotFound, Message: "the account has no live tunnel of this name"})
	}
	if f == Direct {
		v.put(found[0], at)
	}
	return found[0], nil
}

// DeleteTunnel implements API.
func (s *Session) DeleteTunnel(ctx context.Context, account, id string) error {
	err := s.calls.deleteTunnel(ctx, account, id)
	v := s.tunnelView(account)
	switch {
	case err == nil || errors.Is(err, ErrNotFound):
		v.drop(id, time.Now())
	case uncertain(err):
		v.doubt()
	}
	return s.fail("delete tunnel", err)
}

// TunnelCredentials implements API.
func (s *Session) TunnelCredentials(ctx context.Context, account, id string) (Credentials, error) {
	c, err := s.calls.tunnelCredentials(urgently(ctx), account, id)
	return c, s.fail("get tunnel token", err)
}

// Connectors implements API.
func (s *Session) Connectors(ctx context.Context, account, id string) ([]Connector, error) {
	c, err := s.calls.connectors(ctx, account, id)
	return c, s.fail("list connectors", err)
}

// DropConnections implements API.
func (s *Session) DropConnections(ctx context.Context, account, id string) error {
	err := s.calls.dropConnections(ctx, account, id)
	s.tunnelView(account).doubt()
	return s.fail("drop connections", err)
}

// FindRecords implements API.
func (s *Session) FindRecords(ctx context.Context, zone, name string, f Freshness) ([]Record, error) {
	const op = "find records by name"
	v := s.recordView(zone)
	if f == Shared {
		found, err := v.filter(ctx, func(r Record) bool { return strings.EqualFold(r.Name, name) })
		slices.SortFunc(found, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
		return found, s.fail(op, err)
	}
	at := time.Now()
	found, err := s.calls.listRecords(urgently(ctx), zone, strings.ToLower(name))
	for _, r := range found {
		knowRecord(v, r, at)
	}
	return found, s.fail(op, err)
}

// knowRecord keeps only marked records in the list, as a listing would.
func knowRecord(v *view[Record], r Record, at time.Time) {
	if _, _, marked := ParseMark(r.Comment); marked {
		v.put(r, at)
	} else {
		v.drop(r.ID, at)
	}
}

// GetRecord implements API.
func (s *Session) GetRecord(ctx context.Context, zone, id string, f Freshness) (Record, error) {
	const op = "get record"
	v := s.recordView(zone)
	if f == Shared {
		r, found, err := v.get(ctx, id)
		if err != nil || found {
			return r, s.fail(op, err)
		}
	}
	at := time.Now()
	r, err := s.calls.getRecord(f.on(ctx), zone, id)
	switch {
	case err == nil:
		knowRecord(v, r, at)
	case errors.Is(err, ErrNotFound):
		v.drop(id, at)
	}
	return r, s.fail(op, err)
}

// CreateRecord implements API.
func (s *Session) CreateRecord(ctx context.Context, zone string, r RecordSpec) (Record, error) {
	const op = "create record"
	if err := checkZone(zone); err != nil {
		return Record{}, s.fail(op, err)
	}
	out, err := s.batcher(zone).do(ctx, &recordChange{create: r})
	return s.wroteRecord(op, zone, "", out, err)
}

// UpdateRecord implements API.
func (s *Session) UpdateRecord(ctx context.Context, zone, id string, r RecordSpec) (Record, error) {
	out, err := s.calls.editRecord(ctx, zone, id, editBody(r))
	return s.wroteRecord("update record", zone, id, out, err)
}

func (s *Session) wroteRecord(op, zone, id string, r Record, err error) (Record, error) {
	v := s.recordView(zone)
	switch {
	case err == nil:
		knowRecord(v, r, time.Now())
	case errors.Is(err, ErrNotFound) && id != "":
		v.drop(id, time.Now())
	case uncertain(err):
		v.doubt()
	}
	return r, s.fail(op, err)
}

// DeleteRecord implements API.
func (s *Session) DeleteRecord(ctx context.Context, zone, id string) error {
	const op = "delete record"
	if err := checkRecord(zone, id); err != nil {
		return s.fail(op, err)
	}
	_, err := s.batcher(zone).do(ctx, &recordChange{id: id})
	v := s.recordView(zone)
	switch {
	case err == nil || errors.Is(err, ErrNotFound):
		v.drop(id, time.Now())
	case uncertain(err):
		v.doubt()
	}
	return s.fail(op, err)
}

// FindZone implements API.
func (s *Session) FindZone(ctx context.Context, nameOrID string) (Zone, error) {
	z, err := s.zones.get(ctx, strings.ToLower(nameOrID), func(ctx context.Context) (Zone, error) {
		if hexPattern.MatchString(nameOrID) {
			return s.calls.getZone(ctx, nameOrID)
		}
		return s.calls.findZone(ctx, strings.ToLower(nameOrID))
	}, func(_ Zone, err error) time.Duration { return keep(err == nil, err) })
	return z, s.fail("find zone", err)
}

// keep is how long an answer holds. What the budget or a failure prevented is asked again soon.
func keep(good bool, err error) time.Duration {
	switch {
	case good:
		return keepGood
	case errors.Is(err, ErrUnavailable) || errors.Is(err, ErrThrottled):
		return failurePause
	}
	return keepBad
}

// VerifyToken implements API.
func (s *Session) VerifyToken(ctx context.Context, account string) error {
	_, err := s.verified.get(ctx, account, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.calls.verifyToken(ctx, account)
	}, func(_ struct{}, err error) time.Duration { return keep(err == nil, err) })
	return asError("verify API token", err)
}

// MissingPermissions implements API.
func (s *Session) MissingPermissions(ctx context.Context, account, zone string) ([]Permission, error) {
	missing, err := s.permissions.get(ctx, account+"/"+zone, func(ctx context.Context) ([]Permission, error) {
		return s.calls.missingPermissions(ctx, account, zone)
	}, func(missing []Permission, err error) time.Duration { return keep(err == nil && len(missing) == 0, err) })
	return slices.Clone(missing), asError("check permissions", err)
}
