package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DefaultBaseURL is Cloudflare's API.
const DefaultBaseURL = "https://api.cloudflare.com/client/v4"

// CredentialsSource says where the API token is kept.
// +kubebuilder:validation:Enum=Secret
type CredentialsSource string

// CredentialsSourceSecret means a Kubernetes Secret.
const CredentialsSourceSecret CredentialsSource = "Secret"

// AccountSettings are what both kinds of provider config share.
type AccountSettings struct {
	// AccountID is the Cloudflare account for Tunnels that name none, 32
	// hexadecimal digits.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[0-9a-f]{32}$')",message="must be the 32 lower-case hexadecimal digits that Cloudflare shows as Account ID"
	AccountID *string `json:"accountID,omitempty"`

	// Zone is the name (example.com) or id (32 hexadecimal digits) of the zone for
	// DNSRecords that name none.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([0-9a-f]{32}|([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$')",message="must be a zone name such as example.com in lower case, or the 32 hexadecimal digits that Cloudflare shows as Zone ID"
	Zone *string `json:"zone,omitempty"`

	// BaseURL is where Cloudflare's API is reached,
	// https://api.cloudflare.com/client/v4 by default. The API token is sent
	// there. It must be https; for tests, http to 127.0.0.1 is allowed too.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getHostname() != '' && (url(self).getScheme() == 'https' || (url(self).getScheme() == 'http' && url(self).getHostname() == '127.0.0.1'))",message="must be an https URL such as https://api.cloudflare.com/client/v4, or http to 127.0.0.1 for tests"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^?#@]*$')",message="must not hold a user, a query or a fragment"
	BaseURL *string `json:"baseURL,omitempty"`

	// RequestsPer5Minutes is how many API requests all objects that use this token
	// may make together in five minutes, 1 to 1200. Cloudflare allows a user 1200,
	// counted over dashboard and every token, and blocks all of them for five
	// minutes beyond that; so leave some to others.
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1200
	RequestsPer5Minutes *int64 `json:"requestsPer5Minutes,omitempty"`
}

// LocalSecretKeyReference names a key of a Secret in the same namespace.
type LocalSecretKeyReference struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Key of the Secret that holds the API token, token by default.
	// +optional
	// +kubebuilder:default=token
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// SecretKeyReference names a key of a Secret in any namespace.
type SecretKeyReference struct {
	// Namespace of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	LocalSecretKeyReference `json:",inline"`
}

// ProviderCredentials say where a namespace keeps its API token.
type ProviderCredentials struct {
	// Source of the token. The only one is Secret.
	// +optional
	// +kubebuilder:default=Secret
	Source CredentialsSource `json:"source,omitempty"`
	// SecretRef names the Secret, in the namespace of this ProviderConfig, and its
	// key.
	SecretRef LocalSecretKeyReference `json:"secretRef"`
}

// ClusterProviderCredentials say where the platform keeps its API token.
type ClusterProviderCredentials struct {
	// Source of the token. The only one is Secret.
	// +optional
	// +kubebuilder:default=Secret
	Source CredentialsSource `json:"source,omitempty"`
	// SecretRef names the Secret, its namespace and its key.
	SecretRef SecretKeyReference `json:"secretRef"`
}

// ProviderConfigSpec is the wanted state of a ProviderConfig.
type ProviderConfigSpec struct {
	// Credentials say where the API token is. It needs the permissions Account /
	// Cloudflare Tunnel / Edit, Zone / DNS / Edit and Zone / Zone / Read.
	Credentials ProviderCredentials `json:"credentials"`

	AccountSettings `json:",inline"`
}

// ClusterProviderConfigSpec is the wanted state of a ClusterProviderConfig.
type ClusterProviderConfigSpec struct {
	// Credentials say where the API token is. It needs the permissions Account /
	// Cloudflare Tunnel / Edit, Zone / DNS / Edit and Zone / Zone / Read.
	Credentials ClusterProviderCredentials `json:"credentials"`

	AccountSettings `json:",inline"`
}

// ProviderConfigStatus is the seen state of both kinds of provider config.
type ProviderConfigStatus struct {
	xpv2.ProviderConfigStatus `json:",inline"`

	// CheckedSecretVersion is the metadata.resourceVersion of the Secret whose token
	// the condition Authorized is about. It is absent if there is no Secret.
	// +optional
	CheckedSecretVersion string `json:"checkedSecretVersion,omitempty"`
}

// CheckedSecretVersion is where the version of the Secret is written that was
// checked.
func (c *ProviderConfig) CheckedSecretVersion() *string { return &c.Status.CheckedSecretVersion }

// CheckedSecretVersion is where the version of the Secret is written that was
// checked.
func (c *ClusterProviderConfig) CheckedSecretVersion() *string { return &c.Status.CheckedSecretVersion }

// A ProviderConfig says with which Cloudflare account, zone and API token the
// Tunnels and DNSRecords of its own namespace are managed. It can use only
// Secrets of that namespace.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=cfpc,categories={crossplane,provider,cloudflare}
// +kubebuilder:printcolumn:name="AUTHORIZED",type="string",JSONPath=".status.conditions[?(@.type=='Authorized')].status",description="Whether the API token works and has every permission that it needs."
// +kubebuilder:printcolumn:name="ZONE",type="string",JSONPath=".spec.zone",description="The zone for DNSRecords that name none."
// +kubebuilder:printcolumn:name="SECRET",type="string",JSONPath=".spec.credentials.secretRef.name",description="The Secret with the API token.",priority=1
// +kubebuilder:printcolumn:name="USERS",type="integer",JSONPath=".status.users",description="How many objects use it."
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
type ProviderConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the wanted state.
	Spec ProviderConfigSpec `json:"spec"`
	// Status is the seen state.
	// +optional
	Status ProviderConfigStatus `json:"status,omitempty"`
}

// ProviderConfigList is a list of ProviderConfigs.
// +kubebuilder:object:root=true
type ProviderConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ProviderConfig `json:"items"`
}

// A ClusterProviderConfig says with which Cloudflare account, zone and API
// token Tunnels and DNSRecords of any namespace are managed. The one named
// default serves those that name no provider config.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cfcpc,categories={crossplane,provider,cloudflare}
// +kubebuilder:printcolumn:name="AUTHORIZED",type="string",JSONPath=".status.conditions[?(@.type=='Authorized')].status",description="Whether the API token works and has every permission that it needs."
// +kubebuilder:printcolumn:name="ZONE",type="string",JSONPath=".spec.zone",description="The zone for DNSRecords that name none."
// +kubebuilder:printcolumn:name="SECRET",type="string",JSONPath=".spec.credentials.secretRef.name",description="The Secret with the API token.",priority=1
// +kubebuilder:printcolumn:name="USERS",type="integer",JSONPath=".status.users",description="How many objects use it."
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
type ClusterProviderConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the wanted state.
	Spec ClusterProviderConfigSpec `json:"spec"`
	// Status is the seen state.
	// +optional
	Status ProviderConfigStatus `json:"status,omitempty"`
}

// ClusterProviderConfigList is a list of ClusterProviderConfigs.
// +kubebuilder:object:root=true
type ClusterProviderConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterProviderConfig `json:"items"`
}

// A ProviderConfigUsage records that a Tunnel or DNSRecord of its namespace
// uses a provider config, of either kind, so that the config is not deleted
// under it. The provider makes and removes it.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=cfpcu,categories={crossplane,provider,cloudflare}
// +kubebuilder:printcolumn:name="CONFIG-KIND",type="string",JSONPath=".providerConfigRef.kind",description="The kind of provider config in use."
// +kubebuilder:printcolumn:name="CONFIG-NAME",type="string",JSONPath=".providerConfigRef.name",description="The provider config in use."
// +kubebuilder:printcolumn:name="RESOURCE-KIND",type="string",JSONPath=".resourceRef.kind",description="The kind of object that uses it."
// +kubebuilder:printcolumn:name="RESOURCE-NAME",type="string",JSONPath=".resourceRef.name",description="The object that uses it."
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
type ProviderConfigUsage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	xpv2.TypedProviderConfigUsage `json:",inline"`
}

// ProviderConfigUsageList is a list of ProviderConfigUsages.
// +kubebuilder:object:root=true
type ProviderConfigUsageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ProviderConfigUsage `json:"items"`
}
