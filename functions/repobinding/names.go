package main

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
	"aphex.io/platform/functions/internal/tekton"
)

// The keys of the composed resources, in the order of the twelve steps. A renamed key deletes its object.
const (
	keyNamespace          = "namespace"
	keyPipeline           = "pipeline"
	keyServiceAccount     = "service-account"
	keyRole               = "role"
	keyRoleBinding        = "role-binding"
	keyClusterRole        = "cluster-role"
	keyClusterRoleBinding = "cluster-role-binding"
	keyArgoCDRole         = "argocd-role"
	keyArgoCDBinding      = "argocd-role-binding"
	keyAppProject         = "app-project"
	keyResourceQuota      = "resource-quota"
	keyLimitRange         = "limit-range"
	keyNetworkPolicy      = "network-policy"
	keyTerraform          = "terraform-backend"
	keyListenerRole       = "listener-role"
	keyListenerBinding    = "listener-role-binding"
	keyTriggerTemplate    = "trigger-template"
	keyTrigger            = "trigger"
)

// The names of what the Organization makes in its namespace, see function-organization.
const (
	eventListener         = "github-listener"
	listenerAccount       = "eventlistener"
	webhookSecret         = "github-webhook-secret"
	webhookSecretKey      = "secret"
	organizationNamespace = "org-"
)

// The names that are the same in every pipeline's namespace.
const (
	pipelineRunner   = "pipeline-runner"
	resourceQuota    = "tenant-quota"
	limitRange       = "tenant-limits"
	networkPolicy    = "tenant-isolation"
	terraformBackend = "terraform-backend-config"
)

// The legacy list of repositories that may start runs.
const (
	allowlistNamespace = "pipeline-system"
	allowlist          = "repo-allowlist"
)

const (
	// managedBy is what a pipeline's objects name as their maker.
	managedBy = "platform-controller"
	// labelDelivery traces a run back to GitHub's delivery of the event.
	labelDelivery = "platform.aphex/delivery"
	// labelEvent tells runs of pushes, tags and pull requests apart.
	labelEvent = "platform.aphex/event"
	// labelGlobPrefix and a prefix of the pipeline's name: one label for each other pipeline that, by its name, could
	// deploy here.
	labelGlobPrefix = "glob.platform.aphex/"
	labelGlobValue  = "covered"
)

// names are all names that derive from a binding.
type names struct {
	Organization string
	// OrgNamespace is the organization's own namespace; Trigger and TriggerTemplate live there.
	OrgNamespace string
	// Pipeline, Namespace and AppProject are the pipelineName.
	Pipeline, Namespace, AppProject string
	// ClusterRole is also the name of its binding.
	ClusterRole string
	// ArgoCDAccess is the Role in Argo CD's namespace, and the name of its binding.
	ArgoCDAccess string
	// ArgoCDNamespace is where Argo CD runs.
	ArgoCDNamespace string
	TriggerTemplate string
	Trigger         string
	// Listener is the EventListener that GitHub's deliveries for this repository reach, and WebhookPath its path in the
	// webhook URL. Shard is empty where that is the one that has all Triggers.
	Listener, WebhookPath, Shard string
	// Repo is <org>/<repo>.
	Repo string
}

func namesFor(spec v1alpha1.RepoBindingSpec, cfg *settings.Settings) names {
	p := spec.PipelineName
	n := names{
		Organization:    spec.AphexOrg,
		OrgNamespace:    organizationNamespace + spec.AphexOrg,
		Pipeline:        p,
		Namespace:       p,
		AppProject:      p,
		ClusterRole:     pipelineRunner + "-" + p,
		ArgoCDAccess:    p + "-argocd-access",
		ArgoCDNamespace: cfg.ArgoCD.Namespace,
		TriggerTemplate: p + "-trigger-template",
		Trigger:         p + "-trigger",
		Repo:            spec.RepoOrg + "/" + spec.RepoName,
		Listener:        eventListener,
	}
	if shards := cfg.Listener.Shards; shards > 0 {
		shard := tekton.Shard(n.Repo, shards)
		n.Listener, n.WebhookPath, n.Shard = tekton.ShardListener(shard), tekton.ShardPath(shard), tekton.ShardLabel(shard)
	}
	return n
}

// TriggerLabels are what listeners select the Trigger by.
func (n names) TriggerLabels() map[string]string {
	labels := n.Labels()
	if n.Shard != "" {
		labels[kube.LabelShard] = n.Shard
	}
	return labels
}

// Labels are on every object.
func (n names) Labels() map[string]string {
	return map[string]string{
		kube.LabelManagedBy:    managedBy,
		kube.LabelOrganization: n.Organization,
		kube.LabelPipeline:     n.Pipeline,
	}
}

// repoLabel is <org>.<repo>, or begins like it and ends in a hash where that is no label value.
func repoLabel(repo string) string {
	value := strings.ReplaceAll(repo, "/", ".")
	if len(validation.IsValidLabelValue(value)) == 0 {
		return value
	}
	hash := object.Hash([]byte(repo))[:10]
	head := strings.TrimLeft(value, "-.")
	head = strings.TrimRight(head[:min(len(head), validation.LabelValueMaxLength-len(hash)-1)], "-.")
	return strings.TrimLeft(head+"-"+hash, "-")
}
