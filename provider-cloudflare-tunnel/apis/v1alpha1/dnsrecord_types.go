package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DNSRecordType is the type of a DNS record.
// +kubebuilder:validation:Enum=CNAME
type DNSRecordType string

// DNSRecordTypeCNAME makes a name an alias of another.
const DNSRecordTypeCNAME DNSRecordType = "CNAME"

// TunnelReference names a Tunnel in the same namespace.
type TunnelReference struct {
	// Name of the Tunnel, its metadata.name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// TunnelSelector selects one Tunnel in the same namespace.
type TunnelSelector struct {
	// MatchLabels are labels that exactly one Tunnel in this namespace carries.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	MatchLabels map[string]string `json:"matchLabels"`
}

// DNSRecordParameters are the wanted settings of a DNS record.
// +kubebuilder:validation:XValidation:rule="has(self.zone) == has(oldSelf.zone) && (!has(self.zone) || self.zone == oldSelf.zone)",message="zone cannot be set, changed or removed later: a record does not move between zones; delete this DNSRecord and create one in the other zone"
// +kubebuilder:validation:XValidation:rule="(has(self.content) ? 1 : 0) + (has(self.tunnelRef) ? 1 : 0) + (has(self.tunnelSelector) ? 1 : 0) <= 1",message="only one of content, tunnelRef and tunnelSelector may be set"
// +kubebuilder:validation:XValidation:rule="!self.proxied || self.ttl == 1",message="ttl must be 1 (automatic) while proxied is true, since Cloudflare then sets it itself"
type DNSRecordParameters struct {
	// Zone is the name (example.com) or id (32 hexadecimal digits) of the
	// Cloudflare zone that holds the record. By default it is that of the provider
	// config. It cannot be changed.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([0-9a-f]{32}|([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$')",message="must be a zone name such as example.com in lower case, or the 32 hexadecimal digits that Cloudflare shows as Zone ID"
	Zone *string `json:"zone,omitempty"`

	// Type of the record. The only one is CNAME. It cannot be changed.
	// +optional
	// +kubebuilder:default=CNAME
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cannot be changed; delete this DNSRecord and create one of the other type"
	Type DNSRecordType `json:"type,omitempty"`

	// Name is the full host name that the record answers for, such as
	// acme-corp.example.com. It must lie in the zone.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="must be a full host name such as acme-corp.example.com: lower-case letters, digits and hyphens in parts of at most 63 characters, joined by dots"
	Name string `json:"name"`

	// Content is the host name that the record points at. Give exactly one of
	// content, tunnelRef and tunnelSelector.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="must be a full host name such as 1280a396-767b-4e77-9425-735765b5f1ae.cfargotunnel.com: lower-case letters, digits and hyphens in parts of at most 63 characters, joined by dots"
	Content *string `json:"content,omitempty"`

	// TunnelRef points the record at a Tunnel of this namespace by name, as soon
	// as that Tunnel exists at Cloudflare. What it resolved to is in
	// status.atProvider.content.
	// +optional
	TunnelRef *TunnelReference `json:"tunnelRef,omitempty"`

	// TunnelSelector points the record at the one Tunnel of this namespace that
	// carries all given labels.
	// +optional
	TunnelSelector *TunnelSelector `json:"tunnelSelector,omitempty"`

	// Proxied sends the traffic through Cloudflare's network. A record that points
	// at a tunnel works only so.
	// +optional
	// +kubebuilder:default=true
	Proxied *bool `json:"proxied,omitempty"`

	// TTL is how many seconds resolvers may keep the answer: 60 to 86400, or 1 for
	// automatic. It must be 1 while proxied.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +kubebuilder:validation:XValidation:rule="self == 1 || self >= 60",message="must be 1 (automatic) or 60 to 86400 seconds"
	TTL *int64 `json:"ttl,omitempty"`

	// Comment is a note for people that Cloudflare shows beside the record, at
	// most 100 characters on one line. The provider keeps its mark of ownership in
	// the same place, so a long note is cut there.
	// +optional
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[^\\pC\\p{Zl}\\p{Zp}]*$')",message="must be one line without control characters"
	Comment *string `json:"comment,omitempty"`
}

// DNSRecordObservation is what Cloudflare says about a DNS record.
type DNSRecordObservation struct {
	// ID of the record.
	// +optional
	ID string `json:"id,omitempty"`
	// FQDN is the full host name that the record answers for.
	// +optional
	FQDN string `json:"fqdn,omitempty"`
	// ZoneID is the id of the zone that holds the record.
	// +optional
	ZoneID string `json:"zoneID,omitempty"`
	// Content is the host name that the record points at.
	// +optional
	Content string `json:"content,omitempty"`
}

// DNSRecordSpec is the wanted state of a DNSRecord.
// +kubebuilder:validation:XValidation:rule="!has(self.providerConfigRef) || self.providerConfigRef.kind in ['ProviderConfig', 'ClusterProviderConfig']",message="providerConfigRef.kind must be ProviderConfig or ClusterProviderConfig"
// +kubebuilder:validation:XValidation:rule="has(self.forProvider.content) || has(self.forProvider.tunnelRef) || has(self.forProvider.tunnelSelector) || (has(self.managementPolicies) && !('*' in self.managementPolicies || 'Create' in self.managementPolicies || 'Update' in self.managementPolicies))",fieldPath=".forProvider",message="one of content, tunnelRef and tunnelSelector must be set, unless managementPolicies neither create nor update"
type DNSRecordSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`

	// ForProvider are the settings of the record.
	ForProvider DNSRecordParameters `json:"forProvider"`
}

// DNSRecordStatus is the seen state of a DNSRecord.
type DNSRecordStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`

	// AtProvider is what Cloudflare says about the record.
	// +optional
	AtProvider DNSRecordObservation `json:"atProvider,omitempty"`
}

// A DNSRecord is a record in a Cloudflare zone: it gives a tunnel, or another
// host, a public name.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,path=dnsrecords,shortName=cfdns,categories={crossplane,managed,cloudflare}
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status",description="Whether the record exists and is as wanted."
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status",description="Whether the last attempt to observe and repair it went well."
// +kubebuilder:printcolumn:name="ID",type="string",JSONPath=".status.atProvider.id",description="The record's id."
// +kubebuilder:printcolumn:name="FQDN",type="string",JSONPath=".status.atProvider.fqdn",description="The host name it answers for."
// +kubebuilder:printcolumn:name="CONTENT",type="string",JSONPath=".status.atProvider.content",description="The host name it points at.",priority=1
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
type DNSRecord struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the wanted state.
	Spec DNSRecordSpec `json:"spec"`
	// Status is the seen state.
	// +optional
	Status DNSRecordStatus `json:"status,omitempty"`
}

// DNSRecordList is a list of DNSRecords.
// +kubebuilder:object:root=true
type DNSRecordList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []DNSRecord `json:"items"`
}
