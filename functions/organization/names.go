package main

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// The names that are the same in every organization.
const (
	// webhookSecretName is read by the github interceptor, in the listener's namespace. Its key webhookSecretKey holds what
	// to enter in GitHub, and one key for each valid version what deliveries are checked with; see webhookKeyName.
	webhookSecretName = "github-webhook-secret"
	webhookSecretKey  = "secret"

	// rotateAnnotation on the claim rotates the webhook secret once for each new value. The Secret keeps a fingerprint of
	// the last one, or of the last one that could not rotate a given secret, and when it was rotated. The namespace keeps the
	// fingerprint too, for a Secret that is deleted.
	rotateAnnotation          = "platform.aphex/rotate-webhook-secret"
	handledRotationAnnotation = "platform.aphex/handled-rotation-hash"
	ignoredRotationAnnotation = "platform.aphex/ignored-rotation-hash"
	rotatedAtAnnotation       = "platform.aphex/rotated-at"

	listenerName = "github-listener"
	// listenerAccount is the listener's service account, and its Role and RoleBinding. The RoleBindings in pipeline
	// namespaces name it too.
	listenerAccount = "eventlistener"
	listenerPolicy  = "github-listener"
	// listenerEnvironmentName is a Secret because Tekton takes a listener's environment from nothing else.
	listenerEnvironmentName = "github-listener-environment"
	listenerPort            = 8080

	secretsReaderName = "eso-secrets-reader"
	// customerSecrets is the one Secret that administrators fill and that the secret store serves.
	customerSecrets = "org-secrets"

	connectorName   = "cloudflared"
	connectorConfig = "cloudflared-config"

	// webhookTestName begins the name of each Job that tests the webhook, and its key; see webhookTestNameFor. The annotation
	// on the claim asks for one.
	webhookTestName = "webhook-test"
	testAnnotation  = "platform.aphex/test-webhook"

	adminName = "organization-admin"

	managedBy = "organization-controller"

	// displayNameAnnotation holds the name that people read.
	displayNameAnnotation = "platform.aphex/display-name"
)

// names are the names that derive from the organization's. Only the namespace and label values are limited to 63
// characters, everything else to 253.
type names struct {
	Org string
	// Namespace is the organization's own namespace, and the tunnel's name at Cloudflare.
	Namespace string
	// ListenerClusterRole is the ClusterRole of the listener, and its binding.
	ListenerClusterRole string
	// Store is the ClusterSecretStore.
	Store string
	// Tunnel is the Tunnel, and Record the DNSRecord that points at it.
	Tunnel, Record string
	// Credentials is the Secret in which the provider leaves what cloudflared runs with.
	Credentials string
}

func namesFor(org string) names {
	return names{
		Org:                 org,
		Namespace:           "org-" + org,
		ListenerClusterRole: "eventlistener-" + org,
		Store:               "org-" + org + "-store",
		Tunnel:              org,
		Record:              org,
		Credentials:         "cloudflared-credentials-" + org,
	}
}

// webhookKeyName is the key of a version of the webhook secret, in its Secret.
func webhookKeyName(version int) string { return fmt.Sprintf("key-%d", version) }

var webhookKeyPattern = regexp.MustCompile(`^key-([1-9][0-9]{0,8})$`)

// webhookKeyVersion is the version that a key of the Secret is for, 0 if it is for none.
func webhookKeyVersion(name string) int {
	match := webhookKeyPattern.FindStringSubmatch(name)
	if match == nil {
		return 0
	}
	version, _ := strconv.Atoi(match[1]) // nine digits: cannot fail
	return version
}

// triggerGroup is the listener's group for a version of the webhook secret.
func triggerGroup(version int) string { return fmt.Sprintf("github-%d", version) }

// webhookTestNameFor is the name, and the key, of the Job of one test.
func webhookTestNameFor(xr *v1alpha1.XOrganization, set *settings.Settings, n names) string {
	return webhookTestName + "-" + object.Hash([]byte(xr.Annotations[testAnnotation]), []byte(set.WebhookURL(n.Org)))
}

// Labels are on every object.
func (n names) Labels() map[string]string {
	return map[string]string{kube.LabelManagedBy: managedBy, kube.LabelOrganization: n.Org}
}

// Meta names an object of the organization's namespace.
func (n names) Meta(name string) metav1.ObjectMeta { return kube.Meta(n.Namespace, name, n.Labels()) }

// ClusterMeta names an object outside of any namespace.
func (n names) ClusterMeta(name string) metav1.ObjectMeta { return kube.Meta("", name, n.Labels()) }

// allListenerPods are the labels that Tekton sets on the pods of every listener.
func allListenerPods() map[string]string {
	return map[string]string{"app.kubernetes.io/managed-by": "EventListener"}
}

// listenerPods are those that it sets on the pods of one.
func listenerPods(listener string) map[string]string {
	return with(allListenerPods(), map[string]string{"eventlistener": listener})
}

// ConnectorPods are the labels of the cloudflared pods.
func (n names) ConnectorPods() map[string]string {
	return map[string]string{"app.kubernetes.io/name": connectorName, kube.LabelOrganization: n.Org}
}

// with is a copy of the labels with more added.
func with(labels, more map[string]string) map[string]string {
	out := maps.Clone(labels)
	maps.Copy(out, more)
	return out
}
