package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/settings"
)

// namespace may use the organization's own secret store, as its pipelines may. It is no tenant: that label is what
// pipelines are counted by. Its labels tell RepoBindings whose it is; the phase is added once it is known.
func namespace(xr *v1alpha1.XOrganization, set *settings.Settings, keys *keyring, n names) *corev1.Namespace {
	meta := n.ClusterMeta(n.Namespace)
	meta.Labels[kube.LabelTenantOrg] = n.Org
	meta.Labels[kube.LabelPodSecurity] = set.PodSecurity
	if claim := xr.Spec.ClaimRef; claim != nil {
		meta.Labels[kube.LabelClaimNamespace] = claim.Namespace
	}
	if xr.Spec.Suspend {
		meta.Labels[kube.LabelSuspended] = "true"
	}
	meta.Annotations = map[string]string{
		displayNameAnnotation:     xr.Spec.DisplayName,
		kube.AnnotationWebhookURL: set.WebhookURL(n.Org),
	}
	if keys.remembered != "" {
		meta.Annotations[handledRotationAnnotation] = keys.remembered
	}
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: meta,
	}
}
