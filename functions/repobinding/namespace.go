package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/kube"
)

// namespace is the pipeline's own. Its label aphex.dev/org opens the organization's secrets to it.
func namespace(n names, podSecurity string) *corev1.Namespace {
	labels := n.Labels()
	labels[kube.LabelTenant] = n.Namespace
	labels[kube.LabelTenantManagedBy] = managedBy
	labels[kube.LabelTenantOrg] = n.Organization
	labels[kube.LabelTenantRepo] = repoLabel(n.Repo)
	labels[kube.LabelPodSecurity] = podSecurity
	for _, prefix := range globPrefixes(n.Namespace) {
		labels[labelGlobPrefix+prefix] = labelGlobValue
	}
	return &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{
			Name:   n.Namespace,
			Labels: labels,
			// A label value cannot hold the slash.
			Annotations: map[string]string{kube.LabelTenantRepo: n.Repo},
		},
	}
}

// serviceAccount is who the pipeline's pods run as.
func serviceAccount(n names) *corev1.ServiceAccount {
	return kube.ServiceAccount(kube.Meta(n.Namespace, pipelineRunner, n.Labels()))
}
