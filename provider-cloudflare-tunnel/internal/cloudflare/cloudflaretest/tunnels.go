package cloudflaretest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// perConnector is how many connections a cloudflared holds.
const perConnector = 4

// tunnel is a tunnel, also after it was deleted.
type tunnel struct {
	id, name, configSource string
	secret                 []byte
	created, deleted       time.Time
	active, inactive       time.Time
	connectors             []*connector
}

// connector is a connected cloudflared.
type connector struct {
	id, version string
	colos       []string
	since       time.Time
	connections []string
}

// Tunnel is a live tunnel, for a test to look at.
type Tunnel struct {
	ID, Name, Status string
	Secret           []byte
	// Connectors are the ids of those that are connected.
	Connectors []string
	CreatedAt  time.Time
}

func (t *tunnel) connections() int {
	n := 0
	for _, c := range t.connectors {
		n += len(c.connections)
	}
	return n
}

func (t *tunnel) status() string {
	switch n := t.connections(); {
	case n >= perConnector:
		return "healthy"
	case n > 0:
		return "degraded"
	case t.active.IsZero():
		return "inactive"
	}
	return "down"
}

// Tunnels are the account's live tunnels, oldest first.
func (s *Simulator) Tunnels(accountID string) []Tunnel {
	s.mu.Lock()
	defer s.mu.Unlock()
	live := s.mustAccount(accountID).live()
	out := make([]Tunnel, 0, len(live))
	for _, t := range live {
		view := Tunnel{ID: t.id, Name: t.name, Status: t.status(), Secret: bytes.Clone(t.secret), CreatedAt: t.created}
		for _, c := range t.connectors {
			view.Connectors = append(view.Connectors, c.id)
		}
		out = append(out, view)
	}
	return out
}

// AddTunnel makes a tunnel as a stranger would, with a secret of its own, and returns its id.
func (s *Simulator) AddTunnel(accountID, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.newTunnel(name, "local", nil)
	a := s.mustAccount(accountID)
	a.tunnels = append(a.tunnels, t)
	return t.id
}

// RemoveTunnel deletes a live tunnel, connected or not, as somebody else would. It is false if there is none.
func (s *Simulator) RemoveTunnel(accountID, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.mustAccount(accountID).find(id)
	if t == nil {
		return false
	}
	t.connectors, t.deleted = nil, s.options.Clock()
	return true
}

// ReplaceSecret gives a live tunnel another secret, as somebody else would. It is false if there is none. Connections stay.
func (s *Simulator) ReplaceSecret(accountID, id string, secret []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.mustAccount(accountID).find(id)
	if t == nil {
		return false
	}
	t.secret = bytes.Clone(secret)
	return true
}

func (s *Simulator) newTunnel(name, source string, secret []byte) *tunnel {
	if secret == nil {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret)
	}
	return &tunnel{id: newUUID(), name: name, configSource: source, secret: secret, created: s.options.Clock()}
}

func (a *account) live() []*tunnel {
	if a == nil {
		return nil
	}
	var out []*tunnel
	for _, t := range a.tunnels {
		if t.deleted.IsZero() {
			out = append(out, t)
		}
	}
	return out
}

func (a *account) find(id string) *tunnel {
	for _, t := range a.live() {
		if t.id == id {
			return t
		}
	}
	return nil
}

// What cloudflared logs when the edge refuses it.
var (
	errUnknownTunnel = errors.New("Unauthorized: Tunnel not found")      //nolint:staticcheck // Its own words.
	errWrongSecret   = errors.New("Unauthorized: Invalid tunnel secret") //nolint:staticcheck // Its own words.
)

// Connect plays a cloudflared that runs with a tunnel's token: it is refused if the tunnel is gone or the secret is not
// the current one. A connector that is connected already is left as it is, so it may be reported again and again.
func (s *Simulator) Connect(token, connectorID, version string, colos ...string) error {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(token))
	if err != nil {
		return errors.New("the token is not base64")
	}
	var fields struct {
		A, T string
		S    []byte
		E    string
	}
	if err := decode(raw, &fields); err != nil {
		return errors.New("the token is not a tunnel token")
	}
	if !isUUID(connectorID) {
		return fmt.Errorf("the connector id %q is not a UUID", connectorID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.accounts[fields.A].find(fields.T)
	switch {
	case t == nil:
		return errUnknownTunnel
	case !bytes.Equal(t.secret, fields.S):
		return errWrongSecret
	case slices.ContainsFunc(t.connectors, func(c *connector) bool { return c.id == connectorID }):
		return nil
	}
	if len(colos) == 0 {
		colos = []string{"fra03", "ams08"}
	}
	c := &connector{id: connectorID, version: version, colos: colos, since: s.options.Clock()}
	for range perConnector {
		c.connections = append(c.connections, newUUID())
	}
	if len(t.connectors) == 0 {
		t.active = c.since
	}
	t.connectors = append(t.connectors, c)
	return nil
}

// Disconnect ends a connector's connections, as a cloudflared does that stops. It is false if it was not connected.
func (s *Simulator) Disconnect(connectorID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		for _, t := range a.live() {
			if s.disconnect(t, func(c *connector) bool { return c.id == connectorID }) {
				return true
			}
		}
	}
	return false
}

func (s *Simulator) disconnect(t *tunnel, which func(*connector) bool) bool {
	before := len(t.connectors)
	t.connectors = slices.DeleteFunc(t.connectors, which)
	if len(t.connectors) == 0 && before > 0 {
		t.inactive = s.options.Clock()
	}
	return len(t.connectors) < before
}

// timestamp is null for a time that has not come.
func timestamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (s *Simulator) tunnelJSON(a *account, t *tunnel) map[string]any {
	connections := []map[string]any{}
	if !s.options.NoEmbeddedConnections {
		for _, c := range t.connectors {
			connections = append(connections, c.json(false)...)
		}
	}
	return map[string]any{
		"id": t.id, "account_tag": a.id, "name": t.name, "created_at": timestamp(t.created), "deleted_at": timestamp(t.deleted),
		"connections": connections, "conns_active_at": timestamp(t.active), "conns_inactive_at": timestamp(t.inactive),
		"tun_type": "cfd_tunnel", "metadata": map[string]any{}, "status": t.status(),
		"remote_config": t.configSource == "cloudflare", "config_src": t.configSource,
	}
}

func (c *connector) json(ofClient bool) []map[string]any {
	out := make([]map[string]any, 0, len(c.connections))
	for i, id := range c.connections {
		conn := map[string]any{
			"id": id, "uuid": id, "client_id": c.id, "client_version": c.version, "colo_name": c.colos[i%len(c.colos)],
			"opened_at": timestamp(c.since), "origin_ip": "192.0.2.1", "is_pending_reconnect": false,
		}
		if !ofClient {
			delete(conn, "uuid")
		}
		out = append(out, conn)
	}
	return out
}

// token is what the API gives out: the three in base64.
func (t *tunnel) token(accountID string) string {
	raw, err := json.Marshal(map[string]any{"a": accountID, "t": t.id, "s": t.secret})
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

var tunnelNotFound = fail(http.StatusNotFound, 1003, "Tunnel not found")

func (s *Simulator) listTunnels(r *request) answer {
	deleted, given, refused := boolParam(r.query, "is_deleted")
	if refused != nil {
		return *refused
	}
	var found []map[string]any
	for _, t := range r.account.tunnels {
		named := r.query.Get("name") == "" || r.query.Get("name") == t.name
		ided := r.query.Get("uuid") == "" || r.query.Get("uuid") == t.id
		lived := !given || deleted == !t.deleted.IsZero()
		stated := r.query.Get("status") == "" || r.query.Get("status") == t.status()
		included := strings.HasPrefix(t.name, r.query.Get("include_prefix"))
		excluded := r.query.Get("exclude_prefix") != "" && strings.HasPrefix(t.name, r.query.Get("exclude_prefix"))
		if named && ided && lived && stated && included && !excluded {
			found = append(found, s.tunnelJSON(r.account, t))
		}
	}
	items, info, refused := page(s, r.query, found, 20, 1000)
	if refused != nil {
		return *refused
	}
	a := ok(append([]map[string]any{}, items...))
	a.info = info
	return a
}

// tunnelBody is what a creation or a change may hold.
type tunnelBody struct {
	Name      *string `json:"name"`
	ConfigSrc *string `json:"config_src"`
	Secret    *string `json:"tunnel_secret"`
}

// readTunnel checks a body. The codes for bad fields were never seen; 1001 stands for all of them.
func readTunnel(body []byte) (tunnelBody, []byte, *answer) {
	refuse := func(message string) (tunnelBody, []byte, *answer) {
		a := fail(http.StatusBadRequest, 1001, "Bad Request: "+message)
		return tunnelBody{}, nil, &a
	}
	var b tunnelBody
	if err := decode(body, &b); err != nil {
		return refuse("the body is not a JSON object with known fields of the right types")
	}
	if b.Name != nil && (*b.Name == "" || utf8.RuneCountInString(*b.Name) > 100) {
		return refuse("name must have 1 to 100 characters")
	}
	if b.ConfigSrc != nil && *b.ConfigSrc != "local" && *b.ConfigSrc != "cloudflare" {
		return refuse("config_src must be local or cloudflare")
	}
	var secret []byte
	if b.Secret != nil {
		var err error
		if secret, err = base64.StdEncoding.DecodeString(*b.Secret); err != nil || len(secret) < 32 {
			return refuse("tunnel_secret must be at least 32 bytes in base64")
		}
	}
	return b, secret, nil
}

func (a *account) nameTaken(name string, except *tunnel) bool {
	return slices.ContainsFunc(a.live(), func(t *tunnel) bool { return t != except && t.name == name })
}

var nameTaken = fail(http.StatusConflict, 1013, "You already have a tunnel with this name")

func (s *Simulator) createTunnel(r *request) answer {
	b, secret, refused := readTunnel(r.body)
	switch {
	case refused != nil:
		return *refused
	case b.Name == nil:
		return fail(http.StatusBadRequest, 1001, "Bad Request: name is required")
	case r.account.nameTaken(*b.Name, nil):
		return nameTaken
	case len(r.account.live()) >= s.options.MaxTunnels:
		// The code was never seen.
		return fail(http.StatusBadRequest, 1030, "The account has reached its limit of tunnels")
	}
	source := "local"
	if b.ConfigSrc != nil {
		source = *b.ConfigSrc
	}
	t := s.newTunnel(*b.Name, source, secret)
	r.account.tunnels = append(r.account.tunnels, t)
	out := s.tunnelJSON(r.account, t)
	out["token"] = t.token(r.account.id)
	out["credentials_file"] = map[string]any{
		"AccountTag": r.account.id, "TunnelID": t.id, "TunnelName": t.name, "TunnelSecret": t.secret,
	}
	return ok(out)
}

// getTunnel gives deleted tunnels too.
func (s *Simulator) getTunnel(r *request) answer {
	for _, t := range r.account.tunnels {
		if t.id == r.vars["tunnel"] {
			return ok(s.tunnelJSON(r.account, t))
		}
	}
	return tunnelNotFound
}

func (s *Simulator) patchTunnel(r *request) answer {
	b, secret, refused := readTunnel(r.body)
	if refused != nil {
		return *refused
	}
	t := r.account.find(r.vars["tunnel"])
	switch {
	case t == nil:
		return tunnelNotFound
	case b.ConfigSrc != nil:
		return fail(http.StatusBadRequest, 1001, "Bad Request: config_src cannot be changed")
	case b.Name != nil && r.account.nameTaken(*b.Name, t):
		return nameTaken
	}
	if b.Name != nil {
		t.name = *b.Name
	}
	if secret != nil {
		t.secret = secret
	}
	return ok(s.tunnelJSON(r.account, t))
}

func (s *Simulator) deleteTunnel(r *request) answer {
	cascade, _, refused := boolParam(r.query, "cascade")
	if refused != nil {
		return *refused
	}
	t := r.account.find(r.vars["tunnel"])
	switch {
	case t == nil:
		return tunnelNotFound
	case len(t.connectors) > 0 && !cascade:
		return fail(http.StatusBadRequest, 1022, "Cannot delete tunnel because it has active connections")
	}
	t.connectors, t.deleted = nil, s.options.Clock()
	return ok(s.tunnelJSON(r.account, t))
}

func (s *Simulator) tunnelToken(r *request) answer {
	t := r.account.find(r.vars["tunnel"])
	if t == nil {
		return tunnelNotFound
	}
	return ok(t.token(r.account.id))
}

func (s *Simulator) listConnections(r *request) answer {
	t := r.account.find(r.vars["tunnel"])
	if t == nil {
		return tunnelNotFound
	}
	clients := []map[string]any{}
	for _, c := range t.connectors {
		clients = append(clients, map[string]any{
			"id": c.id, "arch": "linux_amd64", "config_version": 0, "conns": c.json(true), "features": []string{},
			"run_at": timestamp(c.since), "version": c.version,
		})
	}
	return ok(clients)
}

func (s *Simulator) deleteConnections(r *request) answer {
	t := r.account.find(r.vars["tunnel"])
	if t == nil {
		return tunnelNotFound
	}
	id := r.query.Get("client_id")
	s.disconnect(t, func(c *connector) bool { return id == "" || c.id == id })
	return ok(nil)
}
