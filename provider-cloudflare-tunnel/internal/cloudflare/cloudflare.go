// Package cloudflare is the provider's only way to Cloudflare: the few calls that it makes, behind the interface API,
// with typed errors, one request budget per token, and reads that many objects share.
//
// # Sharing
//
// A Registry hands out one Session per API token and base URL, so that all controllers draw on one budget. A Session
// lists the live tunnels of an account, or the marked records of a zone, once, and answers all reads with Shared from
// that list until it is older than Options.Freshness. Whatever the Session writes is written into the list too. A list
// can be wrong for that long about what others did, so: a hit says what was true within the freshness; a miss is enough
// to try a creation, since Cloudflare itself refuses a second live tunnel or CNAME of one name; and a miss is not
// enough to conclude that nothing is left to delete. That takes Direct, which always asks.
//
// # Ownership
//
// A DNS record carries its owner in its comment, see Mark. A tunnel has no field for one, and its name proves nothing. But
// Cloudflare keeps the secret that a tunnel is created with, of any length from 32 bytes, and gives it back with the
// tunnel's token to whoever may edit the tunnel. So the secret itself can say whose tunnel it is: package ownership puts
// the mark there. This package only keeps secrets whole.
//
// # The client library
//
// It is cloudflare-go v7, by its sub-packages. Measured on two cores, with net/http built before: these take 46 s of CPU
// time to build and make a binary of 10.4 MB (the root package of v7 more than four times as long, and 18.6 MB), and
// v0.119.0 takes 25 s and 7.5 MB. v7 is worth the difference: it has the DNS batch call and the filter by how a comment
// begins, which keep the number of requests small. v0 has neither; it drops the type of an error after its retries, and
// limits the rate of each client object instead of each token. The retries of v7, which would repeat a POST, are off. Its
// errors are not used, since they print whole answers, and it takes an answer with "success": false for a success, so all
// answers pass through transport first.
package cloudflare

import (
	"context"
	"time"
)

// DefaultBaseURL is Cloudflare's API.
const DefaultBaseURL = "https://api.cloudflare.com/client/v4"

// Freshness says how a read is answered.
type Freshness int

const (
	// Shared reads are answered from a list that serves all objects of an account or zone, at most Options.Freshness
	// old. What this process wrote is always seen.
	Shared Freshness = iota
	// Direct reads ask Cloudflare about this one object, now.
	Direct
)

// API is every call that the provider makes. Errors are an *Error, whose Kind errors.Is matches, or the context's.
// Methods may be called at the same time.
type API interface {
	TunnelAPI
	RecordAPI

	// FindZone finds a zone by name or id. Answers are kept for ten minutes.
	FindZone(ctx context.Context, nameOrID string) (Zone, error)

	// VerifyToken says whether the API token is one that works, ErrUnauthorized otherwise. The account is needed for
	// tokens that belong to an account rather than a user; it may be empty.
	VerifyToken(ctx context.Context, account string) error
	// MissingPermissions names each permission that the token lacks for tunnels in the account and records in the zone
	// (an id); either may be empty. It asks for changes of objects that cannot exist, so it changes nothing. The answer
	// is kept for ten minutes if nothing is missing, for half a minute otherwise; VerifyToken's likewise.
	MissingPermissions(ctx context.Context, account, zone string) ([]Permission, error)

	// Throttled says until when nothing is created, a record or something else, because the budget is used up or
	// Cloudflare said so, and whether that is so now.
	Throttled(record bool) (until time.Time, throttled bool)
}

// TunnelAPI are the calls about tunnels. A deleted tunnel, which Cloudflare goes on listing, is ErrNotFound.
type TunnelAPI interface {
	// CreateTunnel makes a locally configured tunnel. ErrConflict: a live tunnel has that name; it may be ours from a
	// creation whose answer was lost, see FindTunnel and TunnelCredentials.
	CreateTunnel(ctx context.Context, account, name string, secret Secret) (Tunnel, error)
	// GetTunnel reads a live tunnel by id.
	GetTunnel(ctx context.Context, account, id string, f Freshness) (Tunnel, error)
	// FindTunnel reads the live tunnel of exactly that name.
	FindTunnel(ctx context.Context, account, name string, f Freshness) (Tunnel, error)
	// RenameTunnel gives a tunnel another name; ErrConflict if it is taken.
	RenameTunnel(ctx context.Context, account, id, name string) (Tunnel, error)
	// RotateTunnelSecret replaces a tunnel's secret. Connections made with the old one stay until DropConnections.
	RotateTunnelSecret(ctx context.Context, account, id string, secret Secret) (Tunnel, error)
	// DeleteTunnel deletes a tunnel. ErrConnectionsActive: connectors are still connected; ErrRoutesActive: private
	// routes lead into it.
	DeleteTunnel(ctx context.Context, account, id string) error
	// TunnelCredentials reads what a connector needs, the secret included.
	TunnelCredentials(ctx context.Context, account, id string) (Credentials, error)
	// Connectors lists the connectors that are connected. Tunnel.Connectors has the same without a call where
	// Cloudflare still lists them with the tunnel.
	Connectors(ctx context.Context, account, id string) ([]Connector, error)
	// DropConnections disconnects all connectors. A running cloudflared with valid credentials connects again.
	DropConnections(ctx context.Context, account, id string) error
}

// RecordAPI are the calls about DNS records. Zones are ids. Creations and deletions of one zone that come together are
// sent together; each caller still gets its own answer.
type RecordAPI interface {
	// FindRecords reads the records of exactly that name, without regard to case. Shared sees only records that carry
	// a Mark; Direct sees all, of every type. No record is an empty list, not an error.
	FindRecords(ctx context.Context, zone, name string, f Freshness) ([]Record, error)
	// GetRecord reads a record by id. Shared asks directly about an id that the shared list does not have.
	GetRecord(ctx context.Context, zone, id string, f Freshness) (Record, error)
	// CreateRecord makes a record. ErrConflict: the name is taken; it may be ours from a creation whose answer was
	// lost, see FindRecords and ParseMark.
	CreateRecord(ctx context.Context, zone string, r RecordSpec) (Record, error)
	// UpdateRecord makes the fields of RecordSpec so and leaves all others (tags, settings) as they are.
	UpdateRecord(ctx context.Context, zone, id string, r RecordSpec) (Record, error)
	// DeleteRecord deletes a record.
	DeleteRecord(ctx context.Context, zone, id string) error
}

// Tunnel is a live tunnel.
type Tunnel struct {
	ID, Account, Name string
	// Status is healthy, degraded, inactive or down.
	Status string
	// ConfigSource is local or cloudflare.
	ConfigSource string
	CreatedAt    time.Time
	// ConnectionsChangedAt is when the tunnel last got its first or lost its last connection; zero if it never had one.
	ConnectionsChangedAt time.Time
	// Connectors are those that Cloudflare lists with the tunnel. It has announced to leave them out one day, so none
	// may mean that it did: see API.Connectors.
	Connectors []Connector
}

// CNAME is the host name that a DNS record must point at to reach the tunnel.
func (t Tunnel) CNAME() string { return t.ID + ".cfargotunnel.com" }

// Connector is one running cloudflared.
type Connector struct {
	ID, Version string
	// Colos are the data centres that it is connected to, sorted, each once.
	Colos []string
}

// Record is a DNS record.
type Record struct {
	ID, Zone   string
	ModifiedOn time.Time
	RecordSpec
}

// RecordSpec is what is wanted of a record.
type RecordSpec struct {
	Type, Name, Content, Comment string
	// TTL in seconds, 1 for automatic.
	TTL     int64
	Proxied bool
}

// Zone is a DNS zone.
type Zone struct {
	ID, Name, Account string
	// Status is active once the zone's name servers are Cloudflare's.
	Status string
}

// Permission is a permission of an API token, named as the dashboard names it.
type Permission string

// The permissions that the provider needs.
const (
	PermissionTunnelEdit Permission = "Account / Cloudflare Tunnel / Edit"
	PermissionDNSEdit    Permission = "Zone / DNS / Edit"
	PermissionZoneRead   Permission = "Zone / Zone / Read"
)
