// Package cloudflare has the fields of our Cloudflare provider's objects that we set. The provider's own types bring
// Kubernetes' client along, which takes more memory than all the rest of a function; a test keeps the two in step.
package cloudflare

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The CRDs of the objects of this package.
const (
	TunnelCRD    = "tunnels.cloudflare.aphex.io"
	DNSRecordCRD = "dnsrecords.cloudflare.aphex.io"
	Version      = "v1alpha1"
	APIVersion   = "cloudflare.aphex.io/v1alpha1"
)

// The kinds of this package.
const (
	TunnelKind    = "Tunnel"
	DNSRecordKind = "DNSRecord"
)

const (
	// ConfigSourceLocal lets a tunnel's connectors read their ingress rules from a file beside them.
	ConfigSourceLocal = "local"
	// TypeCNAME makes a name an alias of another.
	TypeCNAME = "CNAME"
	// CredentialsKey is the key of a Tunnel's connection secret with the file that cloudflared reads.
	CredentialsKey = "credentials.json"
)

// Tunnel is a Cloudflare Tunnel.
type Tunnel struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              TunnelSpec `json:"spec"`
}

// TunnelSpec is the wanted state of a Tunnel.
type TunnelSpec struct {
	WriteConnectionSecretTo SecretReference         `json:"writeConnectionSecretToRef"`
	ProviderConfig          ProviderConfigReference `json:"providerConfigRef"`
	ForProvider             TunnelParameters        `json:"forProvider"`
}

// SecretReference names a Secret of the same namespace.
type SecretReference struct {
	Name string `json:"name"`
}

// ProviderConfigReference names what holds the API token.
type ProviderConfigReference struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// TunnelParameters are the settings of a tunnel; the account is the provider config's by default.
type TunnelParameters struct {
	Name         string `json:"name"`
	AccountID    string `json:"accountID,omitempty"`
	ConfigSource string `json:"configSource"`
}

// DNSRecord gives a tunnel a public name.
type DNSRecord struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              DNSRecordSpec `json:"spec"`
}

// DNSRecordSpec is the wanted state of a DNSRecord.
type DNSRecordSpec struct {
	ProviderConfig ProviderConfigReference `json:"providerConfigRef"`
	ForProvider    DNSRecordParameters     `json:"forProvider"`
}

// DNSRecordParameters are the settings of a record; the zone is the provider config's by default.
type DNSRecordParameters struct {
	Zone    string          `json:"zone,omitempty"`
	Type    string          `json:"type"`
	Name    string          `json:"name"`
	Tunnel  TunnelReference `json:"tunnelRef"`
	Proxied bool            `json:"proxied"`
	// TTL is in seconds; 1 is automatic, the only one while proxied.
	TTL int64 `json:"ttl"`
}

// TunnelReference names a Tunnel of the same namespace.
type TunnelReference struct {
	Name string `json:"name"`
}
