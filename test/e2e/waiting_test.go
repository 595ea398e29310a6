package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestABindingWaitsForItsOrganization(t *testing.T) {
	t.Parallel()
	cp.cloudflare(t)
	namespace := cp.namespace(t, "e2e-waiting")

	binding := cp.create(t, repoBinding(namespace, "waiting", "waiting-app"))
	seen := cp.awaitPhase(t, binding, "Pending", "waiting for Organization", "waiting")
	cp.missing(t, "Namespace waiting-app")
	for _, c := range []string{"NamespaceReady", "RBACReady", "AppProjectReady", "NetworkPolicyReady", "TriggerReady", "WebhookReady"} {
		status, _, message := condition(seen, c)
		require.Equal(t, "False", status, "%s: %s", c, message)
	}

	// Nobody touches the binding again.
	organization := cp.create(t, organization(namespace, "waiting"))
	cp.awaitPhase(t, organization, "Active")
	cp.awaitPhase(t, binding, "Ready")
	cp.see(t, "Namespace waiting-app")
}
