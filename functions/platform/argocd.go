package main

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// argoCDPart is the label without which Argo CD does not read its ConfigMaps and Secrets.
const argoCDPart = "app.kubernetes.io/part-of"

const lacksArgoCDPart = "lacks the label " + argoCDPart + "=argocd, without which Argo CD does not read it"

func partOfArgoCD(o object.Object) bool { return o.Label(argoCDPart) == "argocd" }

const argoCDSecretKey = "clientSecret"

// oidc is how Argo CD logs people in, see https://argo-cd.readthedocs.io/en/stable/operator-manual/user-management/.
type oidc struct {
	Name            string   `yaml:"name"`
	Issuer          string   `yaml:"issuer"`
	ClientID        string   `yaml:"clientID"`
	ClientSecret    string   `yaml:"clientSecret"`
	RequestedScopes []string `yaml:"requestedScopes"`
	RootCA          string   `yaml:"rootCA,omitempty"`
}

// argoCDConfig is what ConfigMap argocd-cm has to hold. Argo CD takes the client secret from the Secret that is named.
func argoCDConfig(spec v1alpha1.PlatformSpec, authority string) map[string]string {
	return map[string]string{
		"url": "https://" + spec.Domain.ArgoCD,
		"oidc.config": yamlText(oidc{
			Name: "Dex", Issuer: spec.IssuerURL(), ClientID: argoCDClientID,
			ClientSecret:    "$" + argoCDSecretName + ":" + argoCDSecretKey,
			RequestedScopes: []string{"openid", "profile", "email", "groups"},
			RootCA:          authority,
		}),
	}
}

// argoCDPolicy is what ConfigMap argocd-rbac-cm has to hold: administrators may do everything, everybody else in a group of
// the platform may look.
func argoCDPolicy(groups v1alpha1.Groups) map[string]string {
	lines := []string{
		"p, role:admin, applications, *, */*, allow",
		"p, role:admin, clusters, *, *, allow",
		"p, role:admin, repositories, *, *, allow",
		"p, role:readonly, applications, get, */*, allow",
		"p, role:readonly, clusters, get, *, allow",
		"p, role:readonly, repositories, get, *, allow",
	}
	for _, name := range groups.Admins.Names() {
		lines = append(lines, fmt.Sprintf("g, %s, role:admin", name))
	}
	for _, name := range readers(groups) {
		lines = append(lines, fmt.Sprintf("g, %s, role:readonly", name))
	}
	return map[string]string{"policy.csv": strings.Join(lines, "\n") + "\n", "scopes": "[groups]"}
}

// argoCDMap is one of Argo CD's own ConfigMaps.
func argoCDMap(set *settings.Settings, name string, data map[string]string) *corev1.ConfigMap {
	m := configMap(set.ArgoCD.Namespace, name, data)
	m.Labels[argoCDPart] = "argocd"
	return m
}

// argoCDSettingsMap shows both in one place, for whoever has to set them by hand or in Git.
func argoCDSettingsMap(config, policy map[string]string) *corev1.ConfigMap {
	data := maps.Clone(config)
	maps.Copy(data, policy)
	return configMap(authNamespace, argoCDSettings, data)
}

// argoCDSecret is what Argo CD shares with Dex.
func argoCDSecret(v *vault, set *settings.Settings) *corev1.Secret {
	s := secret(set.ArgoCD.Namespace, argoCDSecretName, map[string]string{argoCDSecretKey: v.client(argoCDClient)})
	s.Labels[argoCDPart] = "argocd"
	return s
}
