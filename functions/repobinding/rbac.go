package main

import (
	rbacv1 "k8s.io/api/rbac/v1"

	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
)

// role is what the pipeline may do in its own namespace.
func role(n names, profile string) *rbacv1.Role {
	rules := []rbacv1.PolicyRule{
		kube.Rule("", []string{"pods", "pods/log", "configmaps", "secrets"}, "get", "list", "create", "update", "delete"),
		kube.Rule("tekton.dev", []string{"pipelineruns", "taskruns"}, "get", "list", "create"),
	}
	if profile == v1alpha1.PermissionProfileElevated {
		rules = []rbacv1.PolicyRule{
			kube.Rule("", []string{"pods", "pods/log", "configmaps", "secrets", "services", "persistentvolumeclaims"},
				"get", "list", "create", "update", "delete"),
			kube.Rule("tekton.dev", []string{"pipelineruns", "taskruns", "pipelines", "tasks"}, "get", "list", "create", "update", "delete"),
			kube.Rule("apps", []string{"deployments", "statefulsets"}, "get", "list", "create", "update", "delete"),
		}
	}
	// Terraform's state lock, see terraform.go.
	rules = append(rules, kube.Rule("coordination.k8s.io", []string{"leases"}, "get", "create", "update", "delete"))
	return kube.Role(kube.Meta(n.Namespace, pipelineRunner, n.Labels()), rules...)
}

func roleBinding(n names) *rbacv1.RoleBinding {
	return kube.RoleBinding(kube.Meta(n.Namespace, pipelineRunner, n.Labels()), pipelineRunner,
		kube.ServiceAccountSubject(n.Namespace, pipelineRunner))
}

// clusterRole lets the pipeline read what all triggers share.
func clusterRole(n names) *rbacv1.ClusterRole {
	return kube.ClusterRole(kube.Meta("", n.ClusterRole, n.Labels()),
		kube.Rule("triggers.tekton.dev", []string{"clusterinterceptors", "clustertriggerbindings"}, "get", "list", "watch"))
}

func clusterRoleBinding(n names) *rbacv1.ClusterRoleBinding {
	return kube.ClusterRoleBinding(kube.Meta("", n.ClusterRole, n.Labels()), n.ClusterRole,
		kube.ServiceAccountSubject(n.Namespace, pipelineRunner))
}

// listenerRole lets the organization's listener start runs here, and nothing else.
func listenerRole(n names) *rbacv1.Role {
	return kube.Role(kube.Meta(n.Namespace, listenerAccount, n.Labels()),
		kube.Rule("tekton.dev", []string{"pipelineruns"}, "create"))
}

func listenerBinding(n names) *rbacv1.RoleBinding {
	return kube.RoleBinding(kube.Meta(n.Namespace, listenerAccount, n.Labels()), listenerAccount,
		kube.ServiceAccountSubject(n.OrgNamespace, listenerAccount))
}
