package main

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/settings"
)

// quota bounds what all pods of the pipeline use together.
func quota(n names, tenant settings.Tenant) *corev1.ResourceQuota {
	return &corev1.ResourceQuota{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ResourceQuota"},
		ObjectMeta: kube.Meta(n.Namespace, resourceQuota, n.Labels()),
		Spec:       corev1.ResourceQuotaSpec{Hard: quantities(tenant.Quota)},
	}
}

// limits are for containers that name none; the quota refuses a pod without.
func limits(n names, tenant settings.Tenant) *corev1.LimitRange {
	return &corev1.LimitRange{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "LimitRange"},
		ObjectMeta: kube.Meta(n.Namespace, limitRange, n.Labels()),
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type:           corev1.LimitTypeContainer,
			Default:        quantities(tenant.DefaultLimits),
			DefaultRequest: quantities(tenant.DefaultRequest),
		}}},
	}
}

// quantities parses what settings.Read has checked.
func quantities(values map[string]string) corev1.ResourceList {
	list := make(corev1.ResourceList, len(values))
	for name, value := range values {
		list[corev1.ResourceName(name)] = resource.MustParse(value)
	}
	return list
}
