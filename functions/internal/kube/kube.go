// Package kube builds the core Kubernetes objects that at least two functions compose, and holds the labels that all
// of them carry.
package kube

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The labels and annotations of composed objects.
const (
	LabelManagedBy    = "platform.aphex/managed-by"
	LabelOrganization = "platform.aphex/organization"
	LabelPipeline     = "platform.aphex/pipeline"

	// An organization's namespace tells with these how the Organization is, for its RepoBindings: they watch this one
	// object, which changes seldom, and not the Organization, which changes with every step. LabelPhase is its phase,
	// LabelClaimNamespace the namespace of its claim, and LabelSuspended is "true" while it starts no runs.
	LabelPhase          = "platform.aphex/phase"
	LabelClaimNamespace = "platform.aphex/claim-namespace"
	LabelSuspended      = "platform.aphex/suspended"
	// AnnotationWebhookURL is beside these: where the Organization takes deliveries, which is not where the settings would
	// have it while its tunnel stays in another Cloudflare account.
	AnnotationWebhookURL = "platform.aphex/webhook-url"
	// LabelShard is on the Triggers of an organization whose listener is sharded.
	LabelShard = "platform.aphex/shard"

	// LabelTenantOrg opens an organization's secrets to a namespace. An admission policy of the package lets only
	// Crossplane and cluster admins set it.
	LabelTenantOrg       = "aphex.dev/org"
	LabelTenant          = "aphex/tenant"
	LabelTenantManagedBy = "aphex/managed-by"
	LabelTenantRepo      = "aphex/repo"

	// LabelPodSecurity is https://kubernetes.io/docs/concepts/security/pod-security-admission/
	LabelPodSecurity = "pod-security.kubernetes.io/enforce"
)

// Meta names an object; the labels become its own.
func Meta(namespace, name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}
}

// ServiceAccount is an identity for pods.
func ServiceAccount(meta metav1.ObjectMeta) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: meta,
	}
}

// Role grants rules in its namespace.
func Role(meta metav1.ObjectMeta, rules ...rbacv1.PolicyRule) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"},
		ObjectMeta: meta,
		Rules:      rules,
	}
}

// RoleBinding gives a Role of its namespace to subjects.
func RoleBinding(meta metav1.ObjectMeta, role string, subjects ...rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"},
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
		Subjects:   subjects,
	}
}

// ClusterRole grants rules in the whole cluster.
func ClusterRole(meta metav1.ObjectMeta, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"},
		ObjectMeta: meta,
		Rules:      rules,
	}
}

// ClusterRoleBinding gives a ClusterRole to subjects.
func ClusterRoleBinding(meta metav1.ObjectMeta, role string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"},
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   subjects,
	}
}

// ServiceAccountSubject is a service account in a binding.
func ServiceAccountSubject(namespace, name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
}

// Rule allows verbs on resources of one API group.
func Rule(group string, resources []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}

// NamedRule allows verbs on one named object.
func NamedRule(group, resource, name string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: []string{name}, Verbs: verbs,
	}
}
