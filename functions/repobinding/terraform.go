package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/kube"
)

// backendFile is the key of the Secret, and the file that a pipeline puts beside its Terraform code.
const backendFile = "backend.tf"

// terraformSecret keeps Terraform's state as a Secret of the pipeline's namespace, locked by a Lease there, see
// https://developer.hashicorp.com/terraform/language/backend/kubernetes.
func terraformSecret(n names) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: kube.Meta(n.Namespace, terraformBackend, n.Labels()),
		Type:       corev1.SecretTypeOpaque,
		// Names are DNS labels, so that nothing in them means anything to Terraform.
		Data: map[string][]byte{backendFile: fmt.Appendf(nil, `terraform {
  backend "kubernetes" {
    secret_suffix    = %q
    namespace        = %q
    in_cluster_config = true
  }
}
`, n.Pipeline, n.Namespace)},
	}
}
