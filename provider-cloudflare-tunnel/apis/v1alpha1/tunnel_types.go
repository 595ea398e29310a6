package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The keys of a Tunnel's connection secret. cloudflared runs with either of
// the first two.
const (
	// ConnectionKeyCredentials holds the file that cloudflared reads with
	// --credentials-file: a JSON object with AccountTag, TunnelID and
	// TunnelSecret.
	ConnectionKeyCredentials = "credentials.json"
	// ConnectionKeyToken holds what cloudflared reads with --token-file: the same
	// three in one base64 string.
	ConnectionKeyToken = "token"
	// ConnectionKeyTunnelID holds the tunnel's UUID.
	ConnectionKeyTunnelID = "tunnelID"
	// ConnectionKeyAccountTag holds the id of the account that the tunnel belongs
	// to.
	ConnectionKeyAccountTag = "accountTag"
)

// What Cloudflare says about the connections of a tunnel.
const (
	// TunnelHealthy means that the tunnel has its four connections to Cloudflare.
	TunnelHealthy = "healthy"
	// TunnelDegraded means that it serves, with fewer connections than it should
	// have.
	TunnelDegraded = "degraded"
	// TunnelInactive means that no connector ever ran.
	TunnelInactive = "inactive"
	// TunnelDown means that connectors ran and none does now.
	TunnelDown = "down"
)

// TunnelConfigSource says where connectors get their ingress rules.
// +kubebuilder:validation:Enum=local
type TunnelConfigSource string

// TunnelConfigSourceLocal means a configuration file beside each connector.
const TunnelConfigSourceLocal TunnelConfigSource = "local"

// TunnelParameters are the wanted settings of a tunnel.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.accountID) || (has(self.accountID) && self.accountID == oldSelf.accountID)",message="accountID cannot be changed or removed: a tunnel does not move between accounts; delete this Tunnel and create one in the other account"
type TunnelParameters struct {
	// Name of the tunnel at Cloudflare, 1 to 100 characters. It is unique among
	// the account's tunnels. Changing it renames the tunnel and keeps its id.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[^\\s\\pC]([^\\pC]*[^\\s\\pC])?$')",message="must neither start nor end with a space, nor hold control characters"
	Name string `json:"name"`

	// AccountID is the Cloudflare account that the tunnel belongs to, 32
	// hexadecimal digits. By default it is that of the provider config. It cannot
	// be changed.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[0-9a-f]{32}$')",message="must be the 32 lower-case hexadecimal digits that Cloudflare shows as Account ID"
	AccountID *string `json:"accountID,omitempty"`

	// ConfigSource says where the tunnel's connectors get their ingress rules. The
	// only value is local: from a configuration file beside each connector, never
	// from Cloudflare's dashboard.
	// +optional
	// +kubebuilder:default=local
	ConfigSource TunnelConfigSource `json:"configSource,omitempty"`

	// RotateSecretAt asks for a new tunnel secret: once this time has come, a
	// secret that was made earlier is replaced, once. The tunnel keeps its id; its
	// connectors must restart with the new connection secret. To rotate again,
	// give a later time. Setting it back or removing it changes nothing.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 2020 && self.getFullYear() < 2100",message="must be a time between the years 2020 and 2099, such as 2026-05-31T22:00:00Z"
	RotateSecretAt *metav1.Time `json:"rotateSecretAt,omitempty"`
}

// TunnelConnector is one running cloudflared.
type TunnelConnector struct {
	// ID of the connector, a UUID. It is new whenever cloudflared starts.
	ID string `json:"id"`
	// Version of cloudflared, such as 2026.4.0.
	// +optional
	Version string `json:"version,omitempty"`
	// Colos are the Cloudflare data centres that it is connected to, such as
	// fra03.
	// +optional
	// +listType=atomic
	Colos []string `json:"colos,omitempty"`
}

// TunnelObservation is what Cloudflare says about a tunnel.
type TunnelObservation struct {
	// ID of the tunnel, a UUID.
	// +optional
	ID string `json:"id,omitempty"`
	// AccountID is the account that the tunnel belongs to.
	// +optional
	AccountID string `json:"accountID,omitempty"`
	// Status of its connections: healthy, degraded (fewer than it should have),
	// inactive (no connector ever ran) or down (none runs now).
	// +optional
	Status string `json:"status,omitempty"`
	// Connectors are the running cloudflared processes.
	// +optional
	// +listType=map
	// +listMapKey=id
	Connectors []TunnelConnector `json:"connectors,omitempty"`
	// CreatedAt is when the tunnel was made.
	// +optional
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`
	// CNAME is what a DNS record points at to reach this tunnel,
	// <id>.cfargotunnel.com.
	// +optional
	CNAME string `json:"cname,omitempty"`
	// LastRotationTime is when the tunnel's secret was last replaced. It is absent
	// while the first one is in use.
	// +optional
	LastRotationTime *metav1.Time `json:"lastRotationTime,omitempty"`
}

// TunnelSpec is the wanted state of a Tunnel.
// +kubebuilder:validation:XValidation:rule="!has(self.providerConfigRef) || self.providerConfigRef.kind in ['ProviderConfig', 'ClusterProviderConfig']",message="providerConfigRef.kind must be ProviderConfig or ClusterProviderConfig"
type TunnelSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`

	// ForProvider are the settings of the tunnel.
	ForProvider TunnelParameters `json:"forProvider"`
}

// TunnelStatus is the seen state of a Tunnel.
type TunnelStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`

	// AtProvider is what Cloudflare says about the tunnel.
	// +optional
	AtProvider TunnelObservation `json:"atProvider,omitempty"`
}

// A Tunnel is a Cloudflare Tunnel: it lets connectors (cloudflared) inside the
// cluster serve public host names without any open port. Its connection secret
// (spec.writeConnectionSecretToRef) has the keys credentials.json and token,
// either of which cloudflared runs with, and tunnelID and accountTag.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=cftunnel,categories={crossplane,managed,cloudflare}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status",description="Whether the tunnel exists and is as wanted."
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status",description="Whether the last attempt to observe and repair it went well."
// +kubebuilder:printcolumn:name="ID",type="string",JSONPath=".status.atProvider.id",description="The tunnel's UUID."
// +kubebuilder:printcolumn:name="STATUS",type="string",JSONPath=".status.atProvider.status",description="The state of its connections: healthy, degraded, inactive or down."
// +kubebuilder:printcolumn:name="CNAME",type="string",JSONPath=".status.atProvider.cname",description="What DNS records point at."
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.forProvider.accountID) || self.spec.forProvider.accountID == oldSelf.?status.?atProvider.?accountID.orValue(self.spec.forProvider.accountID)",fieldPath=".spec.forProvider.accountID",message="must be the account that the tunnel already is in, status.atProvider.accountID: a tunnel does not move between accounts"
type Tunnel struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the wanted state.
	Spec TunnelSpec `json:"spec"`
	// Status is the seen state.
	// +optional
	Status TunnelStatus `json:"status,omitempty"`
}

// TunnelList is a list of Tunnels.
// +kubebuilder:object:root=true
type TunnelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Tunnel `json:"items"`
}
