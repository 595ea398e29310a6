package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/kube"
)

// The names of a platform are fixed, since a cluster has one.
const (
	// authNamespace is where Dex and Authentik run, tektonNamespace the Tekton Dashboard.
	authNamespace   = "auth-system"
	tektonNamespace = "tekton-pipelines"

	dexConfigName      = "dex-config"
	dexEnvironmentName = "dex-environment"
	blueprintName      = "authentik-blueprints"
	authenticationName = "kube-apiserver-authentication"

	// argoCDSettings shows what Argo CD's own ConfigMaps have to hold. argoCDSecretName is the Secret that they refer to.
	argoCDSettings   = "argocd-settings"
	argoCDSecretName = "argocd-oidc"
	argoCDConfigName = "argocd-cm"
	argoCDPolicyName = "argocd-rbac-cm"
	// argoCDSyncName is what the jobs run as that set those.
	argoCDSyncName   = "argocd-sync"
	tektonSecretName = "tekton-oidc"

	// The ClusterRole of each group, and its binding. They do not follow the names of the groups in spec.groups.
	adminsName      = "platform-admins"
	operatorsName   = "platform-operators"
	engineeringName = "platform-engineering"

	tektonAdminName  = "tekton-admin"
	tektonReaderName = "tekton-readonly"

	selfSignedIssuer = "selfsigned-issuer"
	acmeIssuer       = "acme-issuer"
	acmeAccountKey   = "acme-issuer-account-key"

	dexCertificate       = "dex-tls"
	authentikCertificate = "authentik-tls"
)

// The Secrets of what Dex shares with Authentik and with each of its clients, and of the token for Authentik's API.
const (
	dexSecrets       = "dex-secrets"
	argoCDClient     = "dex-client-argocd"
	tektonClient     = "dex-client-tekton-dashboard"
	kubernetesClient = "dex-client-kubernetes"
	clientSecretKey  = "client-secret"
	apiTokenSecret   = "authentik-api-token"
	apiTokenKey      = "token"
)

const managedBy = "platform-controller"

func labels() map[string]string { return map[string]string{kube.LabelManagedBy: managedBy} }

// meta names an object; a cluster-scoped one has no namespace.
func meta(namespace, name string) metav1.ObjectMeta { return kube.Meta(namespace, name, labels()) }
