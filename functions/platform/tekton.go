package main

import (
	rbacv1 "k8s.io/api/rbac/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
)

// tektonResources are all of tekton.dev. They are written out, as the verbs are, because Crossplane may grant only what it
// holds itself, and a wildcard of its own would take in whatever Tekton adds.
func tektonResources() []string {
	return []string{"pipelines", "pipelineruns", "tasks", "taskruns", "customruns", "stepactions", "verificationpolicies"}
}

func tektonRole(name string, verbs ...string) *rbacv1.ClusterRole {
	return kube.ClusterRole(meta("", name),
		kube.Rule("tekton.dev", tektonResources(), verbs...),
		kube.Rule("", []string{"pods", "pods/log"}, "get", "list", "watch"))
}

func tektonAdmin() *rbacv1.ClusterRole {
	return tektonRole(tektonAdminName, everyVerb()...)
}

func tektonReader() *rbacv1.ClusterRole {
	return tektonRole(tektonReaderName, "get", "list", "watch")
}

func tektonAdminBinding(groups v1alpha1.Groups) *rbacv1.ClusterRoleBinding {
	return kube.ClusterRoleBinding(meta("", tektonAdminName+"-binding"), tektonAdminName, groupSubjects(groups.Admins.Names())...)
}

func tektonReaderBinding(groups v1alpha1.Groups) *rbacv1.ClusterRoleBinding {
	return kube.ClusterRoleBinding(meta("", tektonReaderName+"-binding"), tektonReaderName, groupSubjects(readers(groups))...)
}
