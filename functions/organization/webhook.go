package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

// minWebhookSecret is how short a secret may be. The github interceptor would take even an empty one for good.
const minWebhookSecret = 16

// webhookSecretValue is the given secret, else the one that exists, else a new one. Taking a given secret out of the
// spec therefore keeps it.
func webhookSecretValue(xr *v1alpha1.XOrganization, seen *object.Observed) (string, error) {
	if given := xr.Spec.WebhookSecret; given != "" {
		return given, nil
	}
	if have := seen.Composed(keyWebhookSecret).SecretData(webhookSecretKey); len(have) >= minWebhookSecret {
		return string(have), nil
	}
	return seen.NewSecret(32)
}

func webhookSecret(value string, n names) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: n.Meta(webhookSecretName),
		Data:       map[string][]byte{webhookSecretKey: []byte(value)},
		Type:       corev1.SecretTypeOpaque,
	}
}
