// Package v1alpha1 holds the Platform API as Go types. The XRD in the folder above is what the API server enforces; a test
// keeps the two in step.
package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/apis/composite"
)

const (
	// APIVersion is the group and version of both kinds.
	APIVersion = "aphex.io/v1alpha1"
	// Kind is the composite resource (XR).
	Kind = "XPlatform"
	// ClaimKind is what the platform team creates.
	ClaimKind = "Platform"
	// CRDName is the CRD that Crossplane derives for the XR.
	CRDName = "xplatforms.aphex.io"
)

// The phases of a Platform.
const (
	PhasePending = "Pending"
	PhaseReady   = "Ready"
	PhaseFailed  = "Failed"
)

// The kinds of clusters.
const (
	DistributionGeneric = "generic"
	DistributionK3s     = "k3s"
)

// The issuers of certificates.
const (
	IssuerSelfSigned = "selfSigned"
	IssuerACME       = "acme"
	IssuerExisting   = "existing"
)

// PlatformSpec is what the platform team asks for. WithDefaults fills in what is absent.
type PlatformSpec struct {
	// Domain has the host names of the platform's own services.
	Domain Domain `json:"domain,omitzero"`
	// Distribution is generic or k3s, which has applications of its own.
	Distribution string `json:"distribution,omitempty"`
	// GitOps says where Argo CD finds the platform's applications.
	GitOps GitOps `json:"gitops"`
	// Auth is login with Authentik through Dex.
	Auth Auth `json:"auth,omitzero"`
	// Certificates says who signs the platform's certificates.
	Certificates Certificates `json:"certificates,omitzero"`
	// Groups are the three groups that have rights.
	Groups Groups `json:"groups,omitzero"`
	// Settings are written to EnvironmentConfig aphex; absent means that it is managed by hand.
	Settings map[string]any `json:"settings,omitempty"`
}

// Domain has one host per service.
type Domain struct {
	Dex       string `json:"dex,omitempty"`
	Authentik string `json:"authentik,omitempty"`
	ArgoCD    string `json:"argocd,omitempty"`
	Tekton    string `json:"tekton,omitempty"`
}

// GitOps is the Git repository of the platform's manifests.
type GitOps struct {
	RepoURL        string `json:"repoURL"`
	TargetRevision string `json:"targetRevision,omitempty"`
	// Path is the folder that holds a folder for each application.
	Path string `json:"path,omitempty"`
	// Project is the Argo CD project of all applications.
	Project     string   `json:"project,omitempty"`
	SyncOptions []string `json:"syncOptions,omitempty"`
	// Applications are the differences of single applications, no one twice.
	Applications []Application `json:"applications,omitempty"`
}

// Application is what is different for one application. An empty field stands for what all have.
type Application struct {
	Name string `json:"name"`
	// Enabled is nil or true, or false to leave the application out.
	Enabled        *bool  `json:"enabled,omitempty"`
	RepoURL        string `json:"repoURL,omitempty"`
	TargetRevision string `json:"targetRevision,omitempty"`
	// Path is the whole path in the repository.
	Path      string `json:"path,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Project   string `json:"project,omitempty"`
	// SyncOptions are added to those of all applications; one of the same name takes the place of theirs.
	SyncOptions []string `json:"syncOptions,omitempty"`
	// Directory is for plain manifests, Helm for a chart; a folder holds one or the other.
	Directory         Directory          `json:"directory,omitzero"`
	Helm              Helm               `json:"helm,omitzero"`
	IgnoreDifferences []IgnoreDifference `json:"ignoreDifferences,omitempty"`
}

// Directory says which files of a folder of plain manifests are deployed.
type Directory struct {
	// Recurse takes the files in folders below it too.
	Recurse bool `json:"recurse,omitempty"`
	// Exclude is a glob of files to leave out, below the folder.
	Exclude string `json:"exclude,omitempty"`
}

// Helm says how the chart in a folder is rendered.
type Helm struct {
	ReleaseName string `json:"releaseName,omitempty"`
	// ValueFiles are files of the repository, named from the folder of the chart.
	ValueFiles []string `json:"valueFiles,omitempty"`
	// Values win over those of ValueFiles.
	Values map[string]any `json:"values,omitempty"`
}

// Empty tells whether nothing is said, as for a folder without a chart.
func (h Helm) Empty() bool {
	return h.ReleaseName == "" && len(h.ValueFiles) == 0 && len(h.Values) == 0
}

// IgnoreDifference is fields in which the cluster may differ from Git, of all objects of a kind or of some.
type IgnoreDifference struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// JSONPointers and JQPathExpressions name the fields; at least one is there.
	JSONPointers      []string `json:"jsonPointers,omitempty"`
	JQPathExpressions []string `json:"jqPathExpressions,omitempty"`
}

// Auth is login with Authentik through Dex.
type Auth struct {
	// Issuer is the issuer URL of Dex; empty stands for https:// and its host.
	Issuer string `json:"issuer,omitempty"`
	// AuthentikIssuer is the issuer URL of Authentik, as Dex reaches it, perhaps within the cluster alone.
	AuthentikIssuer string `json:"authentikIssuer,omitempty"`
	// KubernetesRedirectURIs are those of kubectl's login helper.
	KubernetesRedirectURIs []string `json:"kubernetesRedirectURIs,omitempty"`
	// DexTLS lets Dex itself serve HTTPS.
	DexTLS bool `json:"dexTLS,omitempty"`
	// ArgoCD is how the ConfigMaps of an Argo CD that is there already are dealt with.
	ArgoCD ArgoCDLogin `json:"argocd,omitzero"`
	// Users are people that Authentik knows from the start, and all who are in the platform's groups; nil leaves that to
	// Authentik, an empty list is nobody.
	Users []User `json:"users,omitempty"`
}

// ArgoCDLogin is how the ConfigMaps of an Argo CD that is there already are dealt with.
type ArgoCDLogin struct {
	// Force takes the platform's keys from whoever holds them with other values.
	Force bool `json:"force,omitempty"`
	// AllowOtherPolicies takes policies beside the platform's for wanted.
	AllowOtherPolicies bool `json:"allowOtherPolicies,omitempty"`
}

// User is a person in Authentik.
type User struct {
	Username string   `json:"username"`
	Name     string   `json:"name"`
	Email    string   `json:"email"`
	Groups   []string `json:"groups"`
}

// Certificates says who signs the platform's certificates, and for how long.
type Certificates struct {
	// Issuer is selfSigned, acme or existing.
	Issuer string `json:"issuer,omitempty"`
	// ClusterIssuer is the name of the issuer that exists, there exactly for the issuer existing.
	ClusterIssuer string `json:"clusterIssuer,omitempty"`
	// Duration and RenewBefore are hours such as 2160h; empty stands for cert-manager's own.
	Duration    string `json:"duration,omitempty"`
	RenewBefore string `json:"renewBefore,omitempty"`
	// ACME is there exactly for the issuer acme.
	ACME *ACME `json:"acme,omitempty"`
}

// ACME is an account at an ACME server.
type ACME struct {
	Server  string   `json:"server,omitempty"`
	Email   string   `json:"email"`
	Solvers []Solver `json:"solvers"`
}

// Solver is one way to answer the server's challenges: either HTTP01 or DNS01.
type Solver struct {
	DNSZones []string `json:"dnsZones,omitempty"`
	HTTP01   *HTTP01  `json:"http01,omitempty"`
	DNS01    *DNS01   `json:"dns01,omitempty"`
}

// HTTP01 answers on the host itself: through either an ingress or a gateway.
type HTTP01 struct {
	IngressClassName string            `json:"ingressClassName,omitempty"`
	GatewayHTTPRoute *GatewayHTTPRoute `json:"gatewayHTTPRoute,omitempty"`
}

// GatewayHTTPRoute answers through Gateways.
type GatewayHTTPRoute struct {
	ParentRefs []ParentRef `json:"parentRefs"`
}

// ParentRef is a Gateway, or one listener of it.
type ParentRef struct {
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName,omitempty"`
}

// DNS01 answers with a record at Cloudflare.
type DNS01 struct {
	APITokenSecretRef SecretKey `json:"apiTokenSecretRef"`
}

// SecretKey is a key of a Secret in cert-manager's own namespace.
type SecretKey struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// Groups are the three groups that have rights.
type Groups struct {
	Admins      Group `json:"admins,omitzero"`
	Operators   Group `json:"operators,omitzero"`
	Engineering Group `json:"engineering,omitzero"`
	// Others are further groups whose people may log in, without rights that come from the platform.
	Others []string `json:"others,omitempty"`
}

// Names are all groups that a token may name.
func (g Groups) Names() []string {
	return slices.Concat(g.Admins.Names(), g.Operators.Names(), g.Engineering.Names(), g.Others)
}

// Group is a group of people, by the names in the groups claim of a token.
type Group struct {
	// Name is the group's in Authentik.
	Name string `json:"name,omitempty"`
	// Aliases are other names with the same rights; nil stands for the default, an empty list for none.
	Aliases []string `json:"aliases,omitempty"`
}

// Names are the group's name and its aliases.
func (g Group) Names() []string { return append([]string{g.Name}, g.Aliases...) }

// PlatformStatus is what the platform is now. The conditions beside it are Crossplane's.
type PlatformStatus struct {
	// Phase is Pending, Ready or Failed.
	Phase string `json:"phase,omitempty"`
	// Message says in one sentence where things stand.
	Message string `json:"message,omitempty"`
	// Wave is the sync wave that is being deployed, the last one when all are; nil without Argo CD.
	Wave *int64 `json:"wave,omitempty"`
	// Issuer is the issuer of all tokens.
	Issuer string `json:"issuer,omitempty"`
	// Applications are in the order of the waves.
	Applications []ApplicationStatus `json:"applications,omitempty"`
	// EngineeringNamespaces are those that the engineering group may work in, sorted.
	EngineeringNamespaces []string `json:"engineeringNamespaces,omitempty"`
	// AuthentikGroups are those that Authentik was told to have, former names too, sorted.
	AuthentikGroups []string `json:"authentikGroups,omitempty"`
}

// ApplicationStatus is an application as Argo CD reports it.
type ApplicationStatus struct {
	Name string `json:"name"`
	Wave int64  `json:"wave"`
	// Sync is Synced, OutOfSync or Unknown.
	Sync string `json:"sync"`
	// Health is Healthy, Progressing, Degraded, Suspended, Missing or Unknown.
	Health string `json:"health"`
}

// XPlatform is the composite resource (XR) that Crossplane makes for a claim, and that the function gets.
type XPlatform struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   XPlatformSpec  `json:"spec"`
	Status PlatformStatus `json:"status,omitempty"`
}

// XPlatformSpec is the spec of the XR: the claim's and what Crossplane adds.
type XPlatformSpec struct {
	PlatformSpec        `json:",inline"`
	composite.Machinery `json:",inline"`
}

// Platform is the claim, for programs that write one.
type Platform struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   PlatformSpec   `json:"spec"`
	Status PlatformStatus `json:"status,omitempty"`
}
