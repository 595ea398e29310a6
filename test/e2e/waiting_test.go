package e2e

import (
	"fmt"
	"testing"
)

func TestABindingWaitsForItsOrganization(t *testing.T) {
	t.Parallel()
	cp.cloudflare(t)
	namespace := cp.namespace(t, "e2e-waiting")

	binding := cp.create(t, repoBinding(namespace, "waiting", "waiting-app"))
	cp.awaitPhase(t, binding, "Pending", "waiting for Organization", "waiting")
	cp.await(t, binding, func(o *object) error {
		for _, c := range []string{"NamespaceReady", "RBACReady", "AppProjectReady", "NetworkPolicyReady", "TriggerReady", "WebhookReady"} {
			if status, _, _ := condition(o, c); status != "False" {
				return fmt.Errorf("its condition %s is %q", c, status)
			}
		}
		return nil
	})
	cp.missing(t, "Namespace waiting-app")

	// Nobody touches the binding again.
	organization := cp.create(t, organization(namespace, "waiting"))
	cp.awaitPhase(t, organization, "Active")
	cp.awaitPhase(t, binding, "Ready")
	cp.see(t, "Namespace waiting-app")
}
