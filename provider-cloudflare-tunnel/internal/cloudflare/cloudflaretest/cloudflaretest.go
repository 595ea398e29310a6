// Package cloudflaretest plays the part of Cloudflare's API that the provider uses, for tests, benchmarks and the demo:
// tokens and their permissions, accounts, zones, tunnels with their connections, DNS records, the request budget, and
// faults on request. It is strict: what the real API refuses, or only ignores (unknown fields and parameters, wrong
// methods and types), is refused here with the status and the code that the real one was seen to use. Where a code was
// never seen, a comment says so. It shares no code with the client, so that each checks the other.
package cloudflaretest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Prefix is the path under which the API answers: a provider's base URL is the server's URL and this.
const Prefix = "/client/v4"

// Permission is what a token may do. Edit includes read.
type Permission string

// The permissions that exist here.
const (
	TunnelEdit Permission = "Account / Cloudflare Tunnel / Edit"
	TunnelRead Permission = "Account / Cloudflare Tunnel / Read"
	DNSEdit    Permission = "Zone / DNS / Edit"
	DNSRead    Permission = "Zone / DNS / Read"
	ZoneRead   Permission = "Zone / Zone / Read"
)

// AllPermissions are what the provider needs.
var AllPermissions = []Permission{TunnelEdit, DNSEdit, ZoneRead}

// Options change the simulator's limits.
type Options struct {
	// Clock is the time, time.Now by default.
	Clock func() time.Time
	// Budget is how many requests a user may make in five minutes, 1200 by default, none at all if negative.
	Budget int
	// MaxTunnels is how many live tunnels an account may have, 1000 by default.
	MaxTunnels int
	// MaxRecords is how many records a zone may have, without limit by default.
	MaxRecords int
	// MaxBatch is how many changes one batch may hold, 200 by default, as on the free plan.
	MaxBatch int
	// MaxPage is the most items on a page, where the API's own limit is not lower.
	MaxPage int
	// NoEmbeddedConnections leaves connections out of tunnels, as Cloudflare has announced to.
	NoEmbeddedConnections bool
	// OldIdenticalCode answers 81057 for an identical record, as older versions of the API did, instead of 81058.
	OldIdenticalCode bool
}

// Token is an API token.
type Token struct {
	Value       string
	Permissions []Permission
	// Accounts and Zones are the ids it is limited to, all if empty.
	Accounts, Zones []string
	// Owner is the account that it belongs to, empty for a user's.
	Owner string
	// Disabled tokens do not work.
	Disabled bool
}

// Simulator is the API. It is an http.Handler; all methods may be called at the same time.
type Simulator struct {
	options Options

	mu       sync.Mutex
	tokens   map[string]Token
	accounts map[string]*account
	zones    map[string]*zone

	sent         map[string][]time.Time
	blockedUntil map[string]time.Time

	faults Faults
	random *mathrand.Rand
	once   []onceFault
	calls  []Call
}

type account struct {
	id      string
	tunnels []*tunnel
}

type zone struct {
	id, name, account string
	records           []*record
}

// New makes a simulator without accounts, zones and tokens.
func New(o Options) *Simulator {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	for value, byDefault := range map[*int]int{&o.Budget: 1200, &o.MaxTunnels: 1000, &o.MaxRecords: math.MaxInt, &o.MaxBatch: 200} {
		if *value == 0 {
			*value = byDefault
		}
	}
	return &Simulator{
		options: o, tokens: make(map[string]Token), accounts: make(map[string]*account), zones: make(map[string]*zone),
		sent: make(map[string][]time.Time), blockedUntil: make(map[string]time.Time),
		random: mathrand.New(mathrand.NewPCG(1, 2)),
	}
}

// AddAccount adds an account; its id is 32 hexadecimal digits.
func (s *Simulator) AddAccount(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mustBeHex(id)
	s.accounts[id] = &account{id: id}
}

// AddZone adds a zone to an account; its id is 32 hexadecimal digits.
func (s *Simulator) AddZone(account, id, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mustBeHex(id)
	s.mustAccount(account)
	s.zones[id] = &zone{id: id, name: strings.ToLower(name), account: account}
}

// RemoveZone removes a zone with its records. It is false if there is none.
func (s *Simulator) RemoveZone(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.zones[id]
	delete(s.zones, id)
	return found
}

// mustAccount is an account that its user has to know.
func (s *Simulator) mustAccount(id string) *account {
	a := s.accounts[id]
	if a == nil {
		panic("no account " + id)
	}
	return a
}

// mustZone is a zone that its user has to know.
func (s *Simulator) mustZone(id string) *zone {
	z := s.zones[id]
	if z == nil {
		panic("no zone " + id)
	}
	return z
}

func mustBeHex(id string) {
	if !isHex(id) {
		panic(fmt.Sprintf("an id is 32 hexadecimal digits, not %q", id))
	}
}

// AddToken adds a user's token that has these permissions in all accounts and zones.
func (s *Simulator) AddToken(value string, permissions ...Permission) {
	s.SetToken(Token{Value: value, Permissions: permissions})
}

// SetToken adds or replaces a token.
func (s *Simulator) SetToken(t Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[t.Value] = t
}

// Call is one request as it was handled.
type Call struct {
	Time time.Time
	// Op is the kind of call, such as tunnel.create; empty if there is none like it.
	Op                  string
	Method, Path, Query string
	Status              int
	// Code is that of the first error in the answer.
	Code int
	// Fault is what was done to the answer.
	Fault Fault
	// Carried says whether it was carried out, whatever was answered.
	Carried bool
}

// maxCalls bounds the log of a simulator that runs for long; the oldest calls are forgotten.
const maxCalls = 200_000

// Calls are all calls since the start or ResetCalls.
func (s *Simulator) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count is how many calls had an Op with that prefix; all for "".
func (s *Simulator) Count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if strings.HasPrefix(c.Op, op) {
			n++
		}
	}
	return n
}

// ResetCalls empties the log.
func (s *Simulator) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// Clock is a time that a test moves by hand.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock is a clock that stands at that time.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the time.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newHex() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func newUUID() string {
	h := newHex()
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

func isHex(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && isHex(strings.ReplaceAll(s, "-", ""))
}
