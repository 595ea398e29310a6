package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Cloudflare is the simulator of Cloudflare's API that the provider reaches. Its
// methods play everybody else: the dashboard, strangers in the same account, and
// what goes wrong on the way.
type Cloudflare struct{ api, control string }

// CloudflareTunnel is a live tunnel.
type CloudflareTunnel struct {
	ID, Name, Status string
	Secret           []byte
	// Connectors are the ids of those that are connected.
	Connectors []string
	CreatedAt  time.Time
}

// CloudflareRecord is a DNS record.
type CloudflareRecord struct {
	ID, Type, Name, Content, Comment string
	TTL                              int
	Proxied                          bool
}

// CloudflareFaults are how often calls go wrong, each between 0 and 1; together
// at most 1.
type CloudflareFaults struct {
	// Refuse breaks the connection before a call is carried out, DropAnswer and
	// Truncate after it. ServerError answers 5xx before, ServerErrorAfter after.
	Refuse, ServerError, ServerErrorAfter, DropAnswer, Truncate, NotSuccess float64
	// Latency delays each answer, by up to Jitter more.
	Latency, Jitter time.Duration
	// Down breaks every connection.
	Down bool
}

// CloudflarePermissions are those that an API token of the provider needs.
func CloudflarePermissions() []string {
	return []string{"Account / Cloudflare Tunnel / Edit", "Zone / DNS / Edit", "Zone / Zone / Read"}
}

// errRefused is an answer of the simulator that says no.
var errRefused = errors.New("refused")

// URL is where the API is, as a provider config has it.
func (f *Cloudflare) URL() string { return f.api }

// AddAccount adds an account; its id is 32 hexadecimal digits.
func (f *Cloudflare) AddAccount(ctx context.Context, id string) error {
	return f.send(ctx, http.MethodPut, "/accounts/"+id, nil, nil)
}

// AddZone adds a zone to an account; its id is 32 hexadecimal digits.
func (f *Cloudflare) AddZone(ctx context.Context, account, id, name string) error {
	return f.send(ctx, http.MethodPut, "/zones/"+id, map[string]string{"account": account, "name": name}, nil)
}

// RemoveZone removes a zone with its records.
func (f *Cloudflare) RemoveZone(ctx context.Context, id string) error {
	return f.send(ctx, http.MethodDelete, "/zones/"+id, nil, nil)
}

// SetToken adds an API token, or changes what one may do.
func (f *Cloudflare) SetToken(ctx context.Context, value string, permissions ...string) error {
	return f.send(ctx, http.MethodPut, "/tokens", map[string]any{"value": value, "permissions": permissions}, nil)
}

// SetFaults sets how often calls go wrong from now on. The same seed gives the
// same sequence.
func (f *Cloudflare) SetFaults(ctx context.Context, faults CloudflareFaults, seed uint64) error {
	return f.send(ctx, http.MethodPut, "/faults", map[string]any{"faults": faults, "seed": seed}, nil)
}

// Tunnels returns an account's live tunnels, oldest first.
func (f *Cloudflare) Tunnels(ctx context.Context, account string) (tunnels []CloudflareTunnel, err error) {
	return tunnels, f.send(ctx, http.MethodGet, "/accounts/"+account+"/tunnels", nil, &tunnels)
}

// AddTunnel makes a tunnel as a stranger would, and returns its id.
func (f *Cloudflare) AddTunnel(ctx context.Context, account, name string) (string, error) {
	var made struct{ ID string }
	err := f.send(ctx, http.MethodPost, "/accounts/"+account+"/tunnels", map[string]string{"name": name}, &made)
	return made.ID, err
}

// RemoveTunnel deletes a tunnel, connected or not, as a stranger would.
func (f *Cloudflare) RemoveTunnel(ctx context.Context, account, id string) error {
	return f.send(ctx, http.MethodDelete, "/accounts/"+account+"/tunnels/"+id, nil, nil)
}

// Records returns a zone's records, oldest first.
func (f *Cloudflare) Records(ctx context.Context, zone string) (records []CloudflareRecord, err error) {
	return records, f.send(ctx, http.MethodGet, "/zones/"+zone+"/records", nil, &records)
}

// AddRecord makes a record as a stranger would, and returns its id.
func (f *Cloudflare) AddRecord(ctx context.Context, zone string, r CloudflareRecord) (string, error) {
	var made struct{ ID string }
	err := f.send(ctx, http.MethodPost, "/zones/"+zone+"/records", r, &made)
	return made.ID, err
}

// RemoveRecord deletes a record as a stranger would.
func (f *Cloudflare) RemoveRecord(ctx context.Context, zone, id string) error {
	return f.send(ctx, http.MethodDelete, "/zones/"+zone+"/records/"+id, nil, nil)
}

// Calls returns how many calls of each kind there were, such as tunnel.create.
func (f *Cloudflare) Calls(ctx context.Context) (calls map[string]int, err error) {
	return calls, f.send(ctx, http.MethodGet, "/calls", nil, &calls)
}

// ForgetCalls counts from nothing again.
func (f *Cloudflare) ForgetCalls(ctx context.Context) error {
	return f.send(ctx, http.MethodDelete, "/calls", nil, nil)
}

// connect reports a running connector. It is refused with the words that
// cloudflared would log.
func (f *Cloudflare) connect(ctx context.Context, id, token, version string) error {
	return f.send(ctx, http.MethodPut, "/connectors/"+id, map[string]any{"token": token, "version": version}, nil)
}

// disconnect reports a connector that stopped.
func (f *Cloudflare) disconnect(ctx context.Context, id string) error {
	err := f.send(ctx, http.MethodDelete, "/connectors/"+id, nil, nil)
	if errors.Is(err, errRefused) {
		return nil // Somebody else disconnected it before.
	}
	return err
}

func (f *Cloudflare) send(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, f.control+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // It was read to its end.
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the simulator of Cloudflare: %s %s: %w: %s", method, path, errRefused, strings.TrimSpace(string(answer)))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
