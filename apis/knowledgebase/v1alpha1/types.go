// Package v1alpha1 holds the KnowledgeBase API as Go types. The XRD in the folder above is what the API server enforces;
// a test keeps the two in step.
package v1alpha1

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/apis/composite"
)

const (
	// APIVersion is the group and version of both kinds.
	APIVersion = "aphex.io/v1alpha1"
	// Kind is the composite resource (XR).
	Kind = "XKnowledgeBase"
	// ClaimKind is what teams create.
	ClaimKind = "KnowledgeBase"
	// CRDName is the CRD that Crossplane derives for the XR.
	CRDName = "xknowledgebases.aphex.io"
)

// The phases of a KnowledgeBase.
const (
	PhasePending = "Pending"
	PhaseReady   = "Ready"
	PhaseFailed  = "Failed"
)

const (
	// DefaultBranch is tracked unless a repository names another branch.
	DefaultBranch = "main"
	// DefaultPath is tracked unless a repository lists paths; every listed path is this one or lies below it.
	DefaultPath = ".kiro/docs"
)

// KnowledgeBaseSpec lists the repositories whose documentation is tracked.
type KnowledgeBaseSpec struct {
	// DisplayName is the name that people read, 1 to 128 characters.
	DisplayName string `json:"displayName"`
	// Description says what the knowledge base is about.
	Description string `json:"description,omitempty"`
	// Repositories are 1 to 100 repositories, no one twice.
	Repositories []Repository `json:"repositories"`
}

// Repository is one source of documentation.
type Repository struct {
	// URL is https://github.com/<org>/<repo>.
	URL string `json:"url"`
	// Branch is the Git branch to track; absent means main.
	Branch string `json:"branch,omitempty"`
	// Paths are .kiro/docs or below it; absent means .kiro/docs itself.
	Paths []string `json:"paths,omitempty"`
}

// BranchOrDefault is the branch, also where the schema's default was not applied.
func (r Repository) BranchOrDefault() string {
	return cmp.Or(r.Branch, DefaultBranch)
}

// PathsOrDefault is a copy of the paths, also where the schema's default was not applied.
func (r Repository) PathsOrDefault() []string {
	if len(r.Paths) == 0 {
		return []string{DefaultPath}
	}
	return slices.Clone(r.Paths)
}

// KnowledgeBaseStatus is what the platform tells about a KnowledgeBase. The conditions beside it are Crossplane's.
type KnowledgeBaseStatus struct {
	// Phase is Pending, Ready or Failed.
	Phase string `json:"phase,omitempty"`
	// Message says in one sentence where things stand.
	Message string `json:"message,omitempty"`
	// LastReconcileTime is when the outcome last changed, in ISO 8601 (RFC 3339).
	LastReconcileTime string `json:"lastReconcileTime,omitempty"`
	// Repositories is how many repositories are tracked.
	Repositories int64 `json:"repositories,omitempty"`
}

// XKnowledgeBase is the composite resource (XR) that Crossplane makes for a claim, and that the function gets.
type XKnowledgeBase struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   XKnowledgeBaseSpec  `json:"spec"`
	Status KnowledgeBaseStatus `json:"status,omitempty"`
}

// XKnowledgeBaseSpec is the spec of the XR: the claim's and what Crossplane adds.
type XKnowledgeBaseSpec struct {
	KnowledgeBaseSpec   `json:",inline"`
	composite.Machinery `json:",inline"`
}

// KnowledgeBase is the claim, for programs that write one.
type KnowledgeBase struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   KnowledgeBaseSpec   `json:"spec"`
	Status KnowledgeBaseStatus `json:"status,omitempty"`
}
