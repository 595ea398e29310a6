// Package v1alpha1 holds the RepoBinding API as Go types. The XRD in the folder above is what the API server enforces;
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
	Kind = "XRepoBinding"
	// ClaimKind is what teams create.
	ClaimKind = "RepoBinding"
	// CRDName is the CRD that Crossplane derives for the XR.
	CRDName = "xrepobindings.aphex.io"
)

// The phases of a RepoBinding.
const (
	PhasePending      = "Pending"
	PhaseProvisioning = "Provisioning"
	PhaseReady        = "Ready"
	PhaseFailed       = "Failed"
)

// The condition types of a RepoBinding.
const (
	// ConditionNamespaceReady tells whether the pipeline namespace is created and configured.
	ConditionNamespaceReady = "NamespaceReady"
	// ConditionRBACReady tells whether the service account and its permissions are configured.
	ConditionRBACReady = "RBACReady"
	// ConditionAppProjectReady tells whether the Argo CD AppProject exists.
	ConditionAppProjectReady = "AppProjectReady"
	// ConditionNetworkPolicyReady tells whether the network isolation is applied.
	ConditionNetworkPolicyReady = "NetworkPolicyReady"
	// ConditionTriggerReady tells whether the Tekton webhook handler is configured.
	ConditionTriggerReady = "TriggerReady"
	// ConditionWebhookReady tells whether the values to enter in GitHub are known.
	ConditionWebhookReady = "WebhookReady"
)

// The permission profiles of the pipeline's service account.
const (
	PermissionProfileStandard = "standard"
	PermissionProfileElevated = "elevated"
)

// The events that start a run. GitHub sends a tag as a push.
const (
	EventPush        = "push"
	EventTag         = "tag"
	EventPullRequest = "pull_request"
)

const (
	// DefaultBranch is the branch that counts unless the spec names others.
	DefaultBranch = "main"
	// AnyTag is the pattern of the tags that count unless the spec names some.
	AnyTag = "**"
)

// The keys of the connection secret that a claim may ask for with writeConnectionSecretToRef.
const (
	ConnectionKeyWebhookURL    = "webhookURL"
	ConnectionKeyWebhookSecret = "webhookSecret"
)

// RepoBindingSpec wires one GitHub repository to one Tekton pipeline. AphexOrg, RepoOrg, RepoName and PipelineName
// cannot be changed later.
type RepoBindingSpec struct {
	// AphexOrg is the name of the Organization claim.
	AphexOrg string `json:"aphexOrg"`
	// RepoOrg is the GitHub organization or user, in lower case.
	RepoOrg string `json:"repoOrg"`
	// RepoName is the GitHub repository without its owner, in lower case.
	RepoName string `json:"repoName"`
	// PipelineName names the pipeline and the namespace that is made for it: a DNS label of at most 46 characters.
	PipelineName string `json:"pipelineName"`
	// TemplateRef is an entry of the template catalog, such as run-pipeline-v1.
	TemplateRef string `json:"templateRef"`
	// PipelineSpec is the YAML of exactly one Tekton Pipeline, at most 256 KiB.
	PipelineSpec string `json:"pipelineSpec"`
	// PermissionProfile is standard or elevated; absent means standard.
	PermissionProfile string `json:"permissionProfile,omitempty"`
	// Events are those that start a run: push, tag, pull_request; absent means push.
	Events []string `json:"events,omitempty"`
	// Branch stands for Branches with one name; absent means main, unless Branches is given.
	Branch string `json:"branch,omitempty"`
	// Branches are names and patterns of the Git branches that are pushed to, or that pull requests are to be merged into.
	Branches []string `json:"branches,omitempty"`
	// Tags are names and patterns of Git tags; absent means every tag.
	Tags []string `json:"tags,omitempty"`
	// Paths are patterns of files of which a push to a branch has to change one; absent means any.
	Paths []string `json:"paths,omitempty"`
	// PullRequests says which pull requests start a run.
	PullRequests PullRequests `json:"pullRequests,omitzero"`
	// Suspend withdraws the trigger. Everything else stays.
	Suspend bool `json:"suspend,omitempty"`
}

// PullRequests says which pull requests start a run.
type PullRequests struct {
	// Forks lets pull requests from forks start runs, with the rights of the pipeline's service account.
	Forks bool `json:"forks,omitempty"`
}

// EventsOrDefault are the events, also where the schema's default was not applied, as in an XR made before it existed.
func (s RepoBindingSpec) EventsOrDefault() []string {
	if len(s.Events) == 0 {
		return []string{EventPush}
	}
	return s.Events
}

// StartsOn tells whether an event starts runs.
func (s RepoBindingSpec) StartsOn(event string) bool {
	return slices.Contains(s.EventsOrDefault(), event)
}

// BranchesOrDefault are the names and patterns of the branches that count.
func (s RepoBindingSpec) BranchesOrDefault() []string {
	if len(s.Branches) == 0 {
		return []string{cmp.Or(s.Branch, DefaultBranch)}
	}
	return s.Branches
}

// TagsOrDefault are the names and patterns of the tags that count.
func (s RepoBindingSpec) TagsOrDefault() []string {
	if len(s.Tags) == 0 {
		return []string{AnyTag}
	}
	return s.Tags
}

// PermissionProfileOrDefault is the profile, also where the schema's default was not applied.
func (s RepoBindingSpec) PermissionProfileOrDefault() string {
	return cmp.Or(s.PermissionProfile, PermissionProfileStandard)
}

// RepoBindingStatus is what the platform tells about a RepoBinding. The conditions beside it are Crossplane's.
type RepoBindingStatus struct {
	// Phase is Pending, Provisioning, Ready or Failed.
	Phase string `json:"phase,omitempty"`
	// Message says in one sentence where things stand.
	Message string `json:"message,omitempty"`
	// WebhookConfiguration is what to enter in GitHub; absent until it is known.
	WebhookConfiguration *WebhookConfiguration `json:"webhookConfiguration,omitempty"`
	// ProvisionedResources has one flag per provisioning step.
	ProvisionedResources *ProvisionedResources `json:"provisionedResources,omitempty"`
}

// WebhookConfiguration is what to enter in GitHub's webhook form.
type WebhookConfiguration struct {
	// URL is the payload URL.
	URL string `json:"url"`
	// Secret tells where the secret is, <namespace>/<name>#<key>; never the secret itself.
	Secret string `json:"secret"`
	// Events are the GitHub events to send: push, which tells of tags too, and pull_request.
	Events []string `json:"events"`
}

// ProvisionedResources has one flag per provisioning step, in the order of the steps.
type ProvisionedResources struct {
	Namespace       bool `json:"namespace"`
	Pipeline        bool `json:"pipeline"`
	ServiceAccount  bool `json:"serviceAccount"`
	RBAC            bool `json:"rbac"`
	AppProject      bool `json:"appProject"`
	ResourceQuota   bool `json:"resourceQuota"`
	NetworkPolicy   bool `json:"networkPolicy"`
	TerraformSecret bool `json:"terraformSecret"`
	// TriggerBinding is true once the organization's listener exists and selects this binding's Trigger.
	TriggerBinding  bool `json:"triggerBinding"`
	TriggerTemplate bool `json:"triggerTemplate"`
	Trigger         bool `json:"trigger"`
	// AllowlistUpdated is also true where the legacy allowlist does not exist.
	AllowlistUpdated bool `json:"allowlistUpdated"`
}

// XRepoBinding is the composite resource (XR) that Crossplane makes for a claim, and that the function gets.
type XRepoBinding struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   XRepoBindingSpec  `json:"spec"`
	Status RepoBindingStatus `json:"status,omitempty"`
}

// XRepoBindingSpec is the spec of the XR: the claim's and what Crossplane adds.
type XRepoBindingSpec struct {
	RepoBindingSpec     `json:",inline"`
	composite.Machinery `json:",inline"`
}

// RepoBinding is the claim, for programs that write one.
type RepoBinding struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   RepoBindingSpec   `json:"spec"`
	Status RepoBindingStatus `json:"status,omitempty"`
}
