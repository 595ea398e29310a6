package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/kube"
)

// authNamespace is where Dex and Authentik run. Like every name of a platform it is fixed, since a cluster has one platform.
const authNamespace = "auth-system"

const managedBy = "platform-controller"

func labels() map[string]string { return map[string]string{kube.LabelManagedBy: managedBy} }

// meta names an object; a cluster-scoped one has no namespace.
func meta(namespace, name string) metav1.ObjectMeta { return kube.Meta(namespace, name, labels()) }
