package main

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/externalsecrets"
	"aphex.io/platform/functions/internal/kube"
)

// secretsReaderRole reads one Secret, never the webhook secret or the tunnel's credentials. What External Secrets asks
// the API server about its own rights, every authenticated user may ask.
func secretsReaderRole(n names) *rbacv1.Role {
	return kube.Role(n.Meta(secretsReaderName), kube.NamedRule("", "secrets", customerSecrets, "get"))
}

func secretsReaderRoleBinding(n names) *rbacv1.RoleBinding {
	return kube.RoleBinding(n.Meta(secretsReaderName), secretsReaderName,
		kube.ServiceAccountSubject(n.Namespace, secretsReaderName))
}

// secretStore serves org-secrets to the namespaces of this organization alone.
func secretStore(n names) *externalsecrets.ClusterSecretStore {
	return &externalsecrets.ClusterSecretStore{
		TypeMeta:   metav1.TypeMeta{APIVersion: externalsecrets.APIVersion, Kind: "ClusterSecretStore"},
		ObjectMeta: n.ClusterMeta(n.Store),
		Spec: externalsecrets.ClusterSecretStoreSpec{
			Conditions: []externalsecrets.Condition{{
				NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{kube.LabelTenantOrg: n.Org}},
			}},
			Provider: externalsecrets.Provider{Kubernetes: externalsecrets.Kubernetes{
				RemoteNamespace: n.Namespace,
				Server: externalsecrets.Server{CAProvider: externalsecrets.CAProvider{
					Type: "ConfigMap", Name: "kube-root-ca.crt", Key: "ca.crt", Namespace: n.Namespace,
				}},
				Auth: externalsecrets.Auth{ServiceAccount: externalsecrets.ServiceAccount{
					Name: secretsReaderName, Namespace: n.Namespace,
				}},
			}},
		},
	}
}
