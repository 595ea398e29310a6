// Package v1alpha1 holds the Organization API as Go types. The XRD in the folder above is what the API server enforces;
// a test keeps the two in step.
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/apis/composite"
)

const (
	// APIVersion is the group and version of both kinds.
	APIVersion = "aphex.io/v1alpha1"
	// Kind is the composite resource (XR).
	Kind = "XOrganization"
	// ClaimKind is what teams create.
	ClaimKind = "Organization"
	// CRDName is the CRD that Crossplane derives for the XR.
	CRDName = "xorganizations.aphex.io"
)

// The phases of an Organization.
const (
	PhasePending = "Pending"
	PhaseActive  = "Active"
	PhaseFailed  = "Failed"
)

// The keys of the connection secret that a claim may ask for with writeConnectionSecretToRef.
const (
	ConnectionKeyWebhookURL    = "webhookURL"
	ConnectionKeyWebhookSecret = "webhookSecret"
)

// OrganizationSpec is what a team asks for.
type OrganizationSpec struct {
	// DisplayName is the name that people read: 1 to 128 letters, digits, spaces, hyphens and dots.
	DisplayName string `json:"displayName"`
	// AdminUsers are 1 to 100 e-mail addresses, each the Kubernetes user name of one administrator.
	AdminUsers []string `json:"adminUsers"`
	// WebhookSecret signs GitHub's deliveries; 16 to 128 letters, digits, underscores and hyphens. Absent means that one
	// is made once and kept; taking a given one out of the spec keeps it too.
	WebhookSecret string `json:"webhookSecret,omitempty"`
	// WebhookSecretRotation is how old a generated secret gets before it is rotated, such as "90d"; absent means that it is
	// rotated on demand only. It excludes WebhookSecret.
	WebhookSecretRotation string `json:"webhookSecretRotation,omitempty"`
	// WebhookSecretOverlap is how long the previous secret stays valid after a rotation, such as "12h"; absent means 24h.
	WebhookSecretOverlap string `json:"webhookSecretOverlap,omitempty"`
	// Suspend stops new pipeline runs of the whole organization. Tunnel, DNS and tenants stay.
	Suspend bool `json:"suspend,omitempty"`
}

// OrganizationStatus is what the platform tells about an Organization. The conditions beside it are Crossplane's.
type OrganizationStatus struct {
	// Namespace is the organization's own namespace, org-<name>.
	Namespace string `json:"namespace,omitempty"`
	// WebhookURL is the public URL to enter in GitHub.
	WebhookURL string `json:"webhookURL,omitempty"`
	// WebhookSecret tells of the rotations of the webhook secret, absent if there was none and none is due.
	WebhookSecret *WebhookSecretStatus `json:"webhookSecret,omitempty"`
	// ClusterSecretStore is the External Secrets store that reads this organization's secrets, org-<name>-store.
	ClusterSecretStore string `json:"clusterSecretStore,omitempty"`
	// Phase is Pending, Active or Failed.
	Phase string `json:"phase,omitempty"`
	// Message says in one sentence where things stand.
	Message string `json:"message,omitempty"`
}

// WebhookSecretStatus tells of the webhook secret's rotations, in times as RFC 3339 has them, and never the secret.
type WebhookSecretStatus struct {
	// LastRotated is when the secret was rotated last.
	LastRotated string `json:"lastRotated,omitempty"`
	// PreviousValidUntil is until when the secret before that is good too, absent if it is not.
	PreviousValidUntil string `json:"previousValidUntil,omitempty"`
	// NextRotation is when the secret gets too old.
	NextRotation string `json:"nextRotation,omitempty"`
}

// XOrganization is the composite resource (XR) that Crossplane makes for a claim, and that the function gets.
type XOrganization struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   XOrganizationSpec  `json:"spec"`
	Status OrganizationStatus `json:"status,omitempty"`
}

// XOrganizationSpec is the spec of the XR: the claim's and what Crossplane adds.
type XOrganizationSpec struct {
	OrganizationSpec    `json:",inline"`
	composite.Machinery `json:",inline"`
}

// Organization is the claim, for programs that write one.
type Organization struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   OrganizationSpec   `json:"spec"`
	Status OrganizationStatus `json:"status,omitempty"`
}
