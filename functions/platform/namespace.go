package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/settings"
)

// namespace is where Dex and Authentik run.
func namespace(set *settings.Settings) *corev1.Namespace {
	meta := meta("", authNamespace)
	meta.Labels[kube.LabelPodSecurity] = set.PodSecurity
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: meta,
	}
}
