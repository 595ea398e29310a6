package main

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
)

// readers are the groups that see Argo CD and Tekton and change nothing there.
func readers(groups v1alpha1.Groups) []string {
	return slices.Concat(groups.Operators.Names(), groups.Engineering.Names())
}

// teamAPIs are what teams claim. Platform is not among them: who may write that decides over everybody's rights.
func teamAPIs() []string { return []string{"organizations", "repobindings", "knowledgebases"} }

func everyVerb() []string {
	return []string{"get", "list", "watch", "create", "update", "patch", "delete"}
}

// logsAndEvents are those of all namespaces. To read the logs of a pod it has to be found first.
func logsAndEvents() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		kube.Rule("", []string{"pods"}, "get", "list", "watch"),
		kube.Rule("", []string{"pods/log"}, "get"),
		kube.Rule("", []string{"events"}, "get", "list", "watch"),
		kube.Rule("events.k8s.io", []string{"events"}, "get", "list", "watch"),
	}
}

func adminsRole() *rbacv1.ClusterRole {
	return kube.ClusterRole(meta("", adminsName), append([]rbacv1.PolicyRule{
		kube.Rule("aphex.io", append(teamAPIs(), "platforms"), everyVerb()...),
		kube.Rule("", []string{"namespaces"}, "get", "list", "watch", "create", "delete"),
	}, logsAndEvents()...)...)
}

func operatorsRole() *rbacv1.ClusterRole {
	return kube.ClusterRole(meta("", operatorsName), append([]rbacv1.PolicyRule{
		kube.Rule("aphex.io", teamAPIs(), everyVerb()...),
	}, logsAndEvents()...)...)
}

// engineeringRole is bound in single namespaces, never in the whole cluster.
func engineeringRole() *rbacv1.ClusterRole {
	return kube.ClusterRole(meta("", engineeringName),
		kube.Rule("aphex.io", teamAPIs(), "get", "list", "watch", "create", "update", "patch"))
}

func groupBinding(name string, group v1alpha1.Group) *rbacv1.ClusterRoleBinding {
	return kube.ClusterRoleBinding(meta("", name), name, groupSubjects(group.Names())...)
}

func engineeringBinding(namespace string, group v1alpha1.Group) *rbacv1.RoleBinding {
	b := kube.RoleBinding(meta(namespace, engineeringName), engineeringName, groupSubjects(group.Names())...)
	b.RoleRef.Kind = "ClusterRole"
	return b
}

func groupSubjects(names []string) []rbacv1.Subject {
	subjects := make([]rbacv1.Subject, len(names))
	for i, name := range names {
		subjects[i] = rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
	}
	return subjects
}

// engineeringNamespaces are the namespaces user-* and team-* that are there to stay, without those of pipelines: nobody claims
// anything there, and what a pipeline deploys could be in the way. One on its way out is left alone: nothing can be created
// in it.
func engineeringNamespaces(seen *object.Observed) []string {
	var names []string
	for _, ns := range seen.List("v1", "Namespace", nil) {
		name := ns.Name()
		if ns.Live() && ns.Label(kube.LabelTenant) == "" && (strings.HasPrefix(name, "user-") || strings.HasPrefix(name, "team-")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
