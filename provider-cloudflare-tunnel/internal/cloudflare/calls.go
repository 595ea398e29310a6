package cloudflare

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/cloudflare/cloudflare-go/v7/accounts"
	"github.com/cloudflare/cloudflare-go/v7/dns"
	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/shared"
	"github.com/cloudflare/cloudflare-go/v7/user"
	"github.com/cloudflare/cloudflare-go/v7/zero_trust"
	"github.com/cloudflare/cloudflare-go/v7/zones"
)

const (
	// perPage is the most that Cloudflare gives at once for tunnels; for records it would be more.
	perPage = 1000
	// maxPages stops a list that never ends.
	maxPages = 100
	// nobody is an id that no tunnel has.
	nobody = "00000000-0000-0000-0000-000000000000"
	// nothing is an id that no record has.
	nothing = "00000000000000000000000000000000"
)

// calls are single requests, without lists that are shared: the library, made strict.
type calls struct {
	tunnels  *zero_trust.TunnelCloudflaredService
	records  *dns.RecordService
	zones    *zones.ZoneService
	user     *user.TokenService
	accounts *accounts.TokenService
}

func newCalls(token, baseURL string, next http.RoundTripper, l *limiter) *calls {
	opts := []option.RequestOption{
		option.WithBaseURL(baseURL),
		option.WithAPIToken(token),
		option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{
			Transport:     &transport{next: next, limiter: l, token: token},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
	}
	return &calls{
		tunnels:  zero_trust.NewTunnelCloudflaredService(opts...),
		records:  dns.NewRecordService(opts...),
		zones:    zones.NewZoneService(opts...),
		user:     user.NewTokenService(opts...),
		accounts: accounts.NewTokenService(opts...),
	}
}

// set fills a parameter. The library's own way, cloudflare.F, is in its root package, which would bring in all 132
// others.
func set[T any](value *T, present *bool, v T) { *value, *present = v, true }

// invalid is a refusal of our own, before a request is made: the library puts ids into paths as they are.
func invalid(message string) error { return &Error{Kind: ErrInvalid, Message: message} }

func checkAccount(id string) error {
	if !hexPattern.MatchString(id) {
		return invalid("the account id is not 32 hexadecimal digits")
	}
	return nil
}

func checkTunnel(account, id string) error {
	if !uuidPattern.MatchString(id) {
		return invalid("the tunnel id is not a UUID")
	}
	return checkAccount(account)
}

func checkZone(id string) error {
	if !hexPattern.MatchString(id) {
		return invalid("the zone id is not 32 hexadecimal digits")
	}
	return nil
}

func checkRecord(zone, id string) error {
	if !hexPattern.MatchString(id) {
		return invalid("the record id is not 32 hexadecimal digits")
	}
	return checkZone(zone)
}

// unreadable is an answer that cannot be what was asked for.
func unreadable(message string) error { return &Error{Kind: ErrUnavailable, Message: message} }

func tunnelOf(account string, t *shared.CloudflareTunnel) (Tunnel, error) {
	switch {
	case t == nil || !uuidPattern.MatchString(t.ID) || t.Name == "" || t.JSON.DeletedAt.IsInvalid():
		return Tunnel{}, unreadable("the answer is not a tunnel")
	case t.AccountTag != "" && t.AccountTag != account:
		return Tunnel{}, unreadable("the answer is about another account")
	case !t.JSON.DeletedAt.IsNull():
		return Tunnel{}, &Error{Kind: ErrNotFound, Message: "it was deleted"}
	}
	out := Tunnel{
		ID: t.ID, Account: account, Name: t.Name,
		Status: string(t.Status), ConfigSource: string(t.ConfigSrc), CreatedAt: t.CreatedAt,
		ConnectionsChangedAt: t.ConnsActiveAt,
	}
	if t.ConnsInactiveAt.After(out.ConnectionsChangedAt) {
		out.ConnectionsChangedAt = t.ConnsInactiveAt
	}
	for _, c := range t.Connections { //nolint:staticcheck // While it still comes, it saves a call for each tunnel.
		out.Connectors = addConnection(out.Connectors, cmp.Or(c.ClientID, c.ID), c.ClientVersion, c.ColoName)
	}
	return out, nil
}

// addConnection adds one connection to its connector.
func addConnection(all []Connector, id, version, colo string) []Connector {
	i, found := slices.BinarySearchFunc(all, id, func(c Connector, id string) int { return strings.Compare(c.ID, id) })
	if !found {
		all = slices.Insert(all, i, Connector{ID: id, Version: version})
	}
	if at, known := slices.BinarySearch(all[i].Colos, colo); colo != "" && !known {
		all[i].Colos = slices.Insert(all[i].Colos, at, colo)
	}
	return all
}

func (c *calls) createTunnel(ctx context.Context, account, name string, secret Secret) (Tunnel, error) {
	if err := checkAccount(account); err != nil {
		return Tunnel{}, err
	}
	if len(secret) < minSecret {
		return Tunnel{}, invalid("the tunnel secret is too short")
	}
	var p zero_trust.TunnelCloudflaredNewParams
	set(&p.AccountID.Value, &p.AccountID.Present, account)
	set(&p.Name.Value, &p.Name.Present, name)
	set(&p.ConfigSrc.Value, &p.ConfigSrc.Present, zero_trust.TunnelCloudflaredNewParamsConfigSrcLocal)
	set(&p.TunnelSecret.Value, &p.TunnelSecret.Present, secret.base64())
	t, err := c.tunnels.New(ctx, p)
	if err != nil {
		return Tunnel{}, err
	}
	return tunnelOf(account, t)
}

func (c *calls) getTunnel(ctx context.Context, account, id string) (Tunnel, error) {
	if err := checkTunnel(account, id); err != nil {
		return Tunnel{}, err
	}
	var p zero_trust.TunnelCloudflaredGetParams
	set(&p.AccountID.Value, &p.AccountID.Present, account)
	t, err := c.tunnels.Get(ctx, id, p)
	if err != nil {
		return Tunnel{}, err
	}
	out, err := tunnelOf(account, t)
	if err == nil && out.ID != id {
		return Tunnel{}, unreadable("the answer is about another tunnel")
	}
	return out, err
}

// listTunnels lists live tunnels, all or those of one name.
func (c *calls) listTunnels(ctx context.Context, account, name string) ([]Tunnel, error) {
	if err := checkAccount(account); err != nil {
		return nil, err
	}
	var p zero_trust.TunnelCloudflaredListParams
	set(&p.AccountID.Value, &p.AccountID.Present, account)
	set(&p.IsDeleted.Value, &p.IsDeleted.Present, false)
	set(&p.PerPage.Value, &p.PerPage.Present, perPage)
	if name != "" {
		set(&p.Name.Value, &p.Name.Present, name)
	}
	var out []Tunnel
	err := pages(func(page float64) (int, int64, error) {
		set(&p.Page.Value, &p.Page.Present, page)
		res, err := c.tunnels.List(ctx, p)
		if err != nil {
			return 0, 0, err
		}
		if res == nil || !strings.HasPrefix(res.JSON.Result.Raw(), "[") {
			return 0, 0, unreadable("the answer is not a list")
		}
		for i := range res.Result {
			t, err := tunnelOf(account, &res.Result[i])
			switch {
			case errors.Is(err, ErrNotFound):
			case err != nil:
				return 0, 0, err
			case name == "" || t.Name == name:
				out = append(out, t)
			}
		}
		return len(res.Result), res.ResultInfo.PerPage, nil
	})
	return out, err
}

// pages asks for page after page until one is not full. A server may give fewer per page than it was asked for.
func pages(page func(n float64) (items int, perPage int64, err error)) error {
	for n := 1; n <= maxPages; n++ {
		items, size, err := page(float64(n))
		if err != nil {
			return err
		}
		if size <= 0 {
			size = perPage
		}
		if int64(items) < size {
			return nil
		}
	}
	return unreadable("the list does not end")
}

func (c *calls) editTunnel(ctx context.Context, account, id string, p zero_trust.TunnelCloudflaredEditParams) (Tunnel, error) {
	if err := checkTunnel(account, id); err != nil {
		return Tunnel{}, err
	}
	set(&p.AccountID.Value, &p.AccountID.Present, account)
	t, err := c.tunnels.Edit(ctx, id, p)
	if err != nil {
		return Tunnel{}, err
	}
	return tunnelOf(account, t)
}

func (c *calls) deleteTunnel(ctx context.Context, account, id string) error {
	if err := checkTunnel(account, id); err != nil {
		return err
	}
	var p zero_trust.TunnelCloudflaredDeleteParams
	set(&p.AccountID.Value, &p.AccountID.Present, account)
	_, err := c.tunnels.Delete(ctx, id, p)
	return err
}

func (c *calls) tunnelCredentials(ctx context.Context, account, id string) (Credentials, error) {
	if err := checkTunnel(account, id); err != nil {
		return Credentials{}, err
	}
	var p zero_trust.TunnelCloudflaredTokenGetParams
	set(&p.AccountID.Value, &p.AccountID.Present, account)
	token, err := c.tunnels.Token.Get(ctx, id, p)
	if err != nil {
		return Credentials{}, err
	}
	creds, err := ParseToken(*token)
	switch {
	case err != nil:
		return Credentials{}, unreadable(err.Error())
	case creds.TunnelID != id || creds.AccountTag != account:
		return Credentials{}, unreadable("the token is that of another tunnel")
	}
	return creds, nil
}

func (c *calls) connectors(ctx context.Context, account, id string) ([]Connector, error) {
	if err := checkTunnel(account, id); err != nil {
		return nil, err
	}
	var p zero_trust.TunnelCloudflaredConnectionGetParams
	set(&p.AccountID.Value, &p.AccountID.Present, account)
	res, err := c.tunnels.Connections.Get(ctx, id, p)
	if err != nil {
		return nil, err
	}
	var out []Connector
	for _, client := range res.Result {
		if client.ID == "" {
			return nil, unreadable("the answer is not a list of connectors")
		}
		for _, conn := range client.Conns {
			out = addConnection(out, client.ID, client.Version, conn.ColoName)
		}
	}
	return out, nil
}

func (c *calls) dropConnections(ctx context.Context, account, id string) error {
	if err := checkTunnel(account, id); err != nil {
		return err
	}
	var p zero_trust.TunnelCloudflaredConnectionDeleteParams
	set(&p.AccountID.Value, &p.AccountID.Present, account)
	_, err := c.tunnels.Connections.Delete(ctx, id, p)
	return err
}

func recordOf(zone string, r *dns.RecordResponse) (Record, error) {
	if r == nil || !hexPattern.MatchString(r.ID) || r.Name == "" || r.Type == "" {
		return Record{}, unreadable("the answer is not a record")
	}
	return Record{
		ID: r.ID, Zone: zone, ModifiedOn: r.ModifiedOn,
		RecordSpec: RecordSpec{
			Type: string(r.Type), Name: strings.ToLower(r.Name), Content: r.Content, Comment: r.Comment,
			TTL: int64(r.TTL), Proxied: r.Proxied,
		},
	}, nil
}

// listRecords lists the records of one name, or, without a name, all that carry a mark.
func (c *calls) listRecords(ctx context.Context, zone, name string) ([]Record, error) {
	if err := checkZone(zone); err != nil {
		return nil, err
	}
	var p dns.RecordListParams
	set(&p.ZoneID.Value, &p.ZoneID.Present, zone)
	set(&p.PerPage.Value, &p.PerPage.Present, perPage)
	if name != "" {
		var f dns.RecordListParamsName
		set(&f.Exact.Value, &f.Exact.Present, name)
		set(&p.Name.Value, &p.Name.Present, f)
	} else {
		var f dns.RecordListParamsComment
		set(&f.Startswith.Value, &f.Startswith.Present, markPrefix)
		set(&p.Comment.Value, &p.Comment.Present, f)
	}
	var out []Record
	err := pages(func(page float64) (int, int64, error) {
		set(&p.Page.Value, &p.Page.Present, page)
		res, err := c.records.List(ctx, p)
		if err != nil {
			return 0, 0, err
		}
		if res == nil || !strings.HasPrefix(res.JSON.Result.Raw(), "[") {
			return 0, 0, unreadable("the answer is not a list")
		}
		for i := range res.Result {
			r, err := recordOf(zone, &res.Result[i])
			if err != nil {
				return 0, 0, err
			}
			if _, _, marked := ParseMark(r.Comment); (name != "" && strings.EqualFold(r.Name, name)) || (name == "" && marked) {
				out = append(out, r)
			}
		}
		return len(res.Result), res.ResultInfo.PerPage, nil
	})
	return out, err
}

func (c *calls) getRecord(ctx context.Context, zone, id string) (Record, error) {
	if err := checkRecord(zone, id); err != nil {
		return Record{}, err
	}
	var p dns.RecordGetParams
	set(&p.ZoneID.Value, &p.ZoneID.Present, zone)
	r, err := c.records.Get(ctx, id, p)
	if err != nil {
		return Record{}, err
	}
	out, err := recordOf(zone, r)
	if err == nil && out.ID != id {
		return Record{}, unreadable("the answer is about another record")
	}
	return out, err
}

func (c *calls) createRecord(ctx context.Context, zone string, spec RecordSpec) (Record, error) {
	if err := checkZone(zone); err != nil {
		return Record{}, err
	}
	var b dns.RecordNewParamsBody
	set(&b.Type.Value, &b.Type.Present, dns.RecordNewParamsBodyType(spec.Type))
	set(&b.Name.Value, &b.Name.Present, spec.Name)
	set(&b.Content.Value, &b.Content.Present, spec.Content)
	set(&b.Comment.Value, &b.Comment.Present, spec.Comment)
	set(&b.TTL.Value, &b.TTL.Present, dns.TTL(spec.TTL))
	set(&b.Proxied.Value, &b.Proxied.Present, spec.Proxied)
	p := dns.RecordNewParams{Body: b}
	set(&p.ZoneID.Value, &p.ZoneID.Present, zone)
	r, err := c.records.New(ctx, p)
	if err != nil {
		return Record{}, err
	}
	return recordOf(zone, r)
}

// editRecord changes only what the body holds.
func (c *calls) editRecord(ctx context.Context, zone, id string, b dns.RecordEditParamsBody) (Record, error) {
	if err := checkRecord(zone, id); err != nil {
		return Record{}, err
	}
	p := dns.RecordEditParams{Body: b}
	set(&p.ZoneID.Value, &p.ZoneID.Present, zone)
	r, err := c.records.Edit(ctx, id, p)
	if err != nil {
		return Record{}, err
	}
	return recordOf(zone, r)
}

func editBody(spec RecordSpec) dns.RecordEditParamsBody {
	var b dns.RecordEditParamsBody
	set(&b.Type.Value, &b.Type.Present, dns.RecordEditParamsBodyType(spec.Type))
	set(&b.Name.Value, &b.Name.Present, spec.Name)
	set(&b.Content.Value, &b.Content.Present, spec.Content)
	set(&b.Comment.Value, &b.Comment.Present, spec.Comment)
	set(&b.TTL.Value, &b.TTL.Present, dns.TTL(spec.TTL))
	set(&b.Proxied.Value, &b.Proxied.Present, spec.Proxied)
	return b
}

func (c *calls) deleteRecord(ctx context.Context, zone, id string) error {
	if err := checkRecord(zone, id); err != nil {
		return err
	}
	var p dns.RecordDeleteParams
	set(&p.ZoneID.Value, &p.ZoneID.Present, zone)
	_, err := c.records.Delete(ctx, id, p)
	return err
}

// batch deletes and creates records in one transaction: all or none. The new records come in the order of create.
func (c *calls) batch(ctx context.Context, zone string, remove []string, create []RecordSpec) ([]Record, error) {
	var p dns.RecordBatchParams
	set(&p.ZoneID.Value, &p.ZoneID.Present, zone)
	if len(remove) > 0 {
		deletes := make([]dns.RecordBatchParamsDelete, len(remove))
		for i, id := range remove {
			set(&deletes[i].ID.Value, &deletes[i].ID.Present, id)
		}
		set(&p.Deletes.Value, &p.Deletes.Present, deletes)
	}
	if len(create) > 0 {
		posts := make([]dns.RecordBatchParamsPostUnion, len(create))
		for i, spec := range create {
			var b dns.RecordBatchParamsPost
			set(&b.Type.Value, &b.Type.Present, dns.RecordBatchParamsPostsType(spec.Type))
			set(&b.Name.Value, &b.Name.Present, spec.Name)
			set(&b.Content.Value, &b.Content.Present, spec.Content)
			set(&b.Comment.Value, &b.Comment.Present, spec.Comment)
			set(&b.TTL.Value, &b.TTL.Present, dns.TTL(spec.TTL))
			set(&b.Proxied.Value, &b.Proxied.Present, spec.Proxied)
			posts[i] = b
		}
		set(&p.Posts.Value, &p.Posts.Present, posts)
	}
	res, err := c.records.Batch(ctx, p)
	if err != nil {
		return nil, err
	}
	if len(res.Posts) != len(create) {
		return nil, unreadable("the answer does not have one record for each that was asked for")
	}
	out := make([]Record, len(create))
	for i := range res.Posts {
		if out[i], err = recordOf(zone, &res.Posts[i]); err != nil {
			return nil, err
		}
		if !strings.EqualFold(out[i].Name, create[i].Name) || out[i].Type != create[i].Type {
			return nil, unreadable("the records in the answer are in another order")
		}
	}
	return out, nil
}

func zoneOf(z *zones.Zone) (Zone, error) {
	if z == nil || !hexPattern.MatchString(z.ID) || z.Name == "" {
		return Zone{}, unreadable("the answer is not a zone")
	}
	return Zone{ID: z.ID, Name: strings.ToLower(z.Name), Account: z.Account.ID, Status: string(z.Status)}, nil
}

func (c *calls) getZone(ctx context.Context, id string) (Zone, error) {
	if err := checkZone(id); err != nil {
		return Zone{}, err
	}
	var p zones.ZoneGetParams
	set(&p.ZoneID.Value, &p.ZoneID.Present, id)
	z, err := c.zones.Get(ctx, p)
	if err != nil {
		return Zone{}, err
	}
	return zoneOf(z)
}

func (c *calls) findZone(ctx context.Context, name string) (Zone, error) {
	var p zones.ZoneListParams
	set(&p.Name.Value, &p.Name.Present, name)
	res, err := c.zones.List(ctx, p)
	if err != nil {
		return Zone{}, err
	}
	if res == nil || !strings.HasPrefix(res.JSON.Result.Raw(), "[") {
		return Zone{}, unreadable("the answer is not a list")
	}
	for i := range res.Result {
		z, err := zoneOf(&res.Result[i])
		if err != nil {
			return Zone{}, err
		}
		if strings.EqualFold(z.Name, name) {
			return z, nil
		}
	}
	return Zone{}, &Error{Kind: ErrNotFound, Message: "the API token sees no zone of this name"}
}

// verifyToken asks the user's endpoint, and the account's for a token that belongs to an account.
func (c *calls) verifyToken(ctx context.Context, account string) error {
	status := ""
	res, err := c.user.Verify(ctx)
	if err == nil {
		status = string(res.Status)
	} else if account != "" && (errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrForbidden)) {
		if err := checkAccount(account); err != nil {
			return err
		}
		var p accounts.TokenVerifyParams
		set(&p.AccountID.Value, &p.AccountID.Present, account)
		res, accountErr := c.accounts.Verify(ctx, p)
		switch {
		case accountErr == nil:
			status, err = string(res.Status), nil
		case !errors.Is(accountErr, ErrUnauthorized) && !errors.Is(accountErr, ErrForbidden) && !errors.Is(accountErr, ErrNotFound):
			err = accountErr
		}
	}
	switch {
	case errors.Is(err, ErrForbidden):
		return &Error{Kind: ErrUnauthorized}
	case err != nil:
		return err
	case status != "active":
		return &Error{Kind: ErrUnauthorized, Message: "its status is " + cmp.Or(status, "unknown")}
	}
	return nil
}

// missingPermissions tries to change objects that cannot exist. What is refused for any other reason was allowed.
func (c *calls) missingPermissions(ctx context.Context, account, zone string) ([]Permission, error) {
	ctx = repeatably(ctx)
	var missing []Permission
	if account != "" {
		_, err := c.editTunnel(ctx, account, nobody, zero_trust.TunnelCloudflaredEditParams{})
		if err := need(PermissionTunnelEdit, err, &missing); err != nil {
			return nil, err
		}
	}
	if zone != "" {
		_, err := c.getZone(ctx, zone)
		if err := need(PermissionZoneRead, err, &missing); err != nil {
			return nil, err
		}
		_, err = c.editRecord(ctx, zone, nothing, dns.RecordEditParamsBody{})
		if err := need(PermissionDNSEdit, err, &missing); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// need reads the outcome of a try. It returns an error if the try says nothing about the permission.
func need(p Permission, err error, missing *[]Permission) error {
	var e *Error
	switch {
	case err == nil:
	case !errors.As(err, &e) || e.Kind == ErrUnavailable || e.Kind == ErrThrottled || e.Kind == ErrUnauthorized || e.Status == 0:
		return err
	case e.Kind == ErrForbidden:
		*missing = append(*missing, p)
	}
	return nil
}
