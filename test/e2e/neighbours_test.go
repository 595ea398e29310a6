package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/test/controlplane"
)

// A platform may lack a neighbour when teams start to claim, and get it later. Nobody touches the claims in between.
func TestNeighboursMayComeLater(t *testing.T) {
	t.Parallel()
	c, err := startCluster(controlplane.Options{
		Functions: controlplane.AphexFunctions(),
		Without: []controlplane.Neighbour{
			controlplane.ArgoCD, controlplane.TektonPipelines, controlplane.TektonTriggers, controlplane.ExternalSecrets,
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Stop()) })
	const namespace = "platform-system"
	c.cloudflare(t)
	apply := func(o *object) ref {
		c.apply(t, o)
		return refOf(o)
	}
	org := apply(organization(namespace, "late"))
	binding := apply(repoBinding(namespace, "late", "late-app"))
	// says awaits a condition, and what its message names.
	says := func(claim ref, conditionType, wantStatus, wantReason string, wantMessage ...string) {
		t.Helper()
		c.await(t, claim, func(o *object) error {
			status, reason, message := condition(o, conditionType)
			if err := same(wantStatus+" "+wantReason, status+" "+reason); err != nil {
				return err
			}
			return contains(message, wantMessage...)
		})
	}

	says(org, "SecretStoreReady", "False", "CRDNotInstalled", "clustersecretstores.external-secrets.io")
	says(org, "ListenerReady", "False", "CRDNotInstalled", "triggers.tekton.dev")
	says(org, "NamespaceReady", "True", "Available")
	says(org, "RBACReady", "True", "Available")
	says(org, "TunnelReady", "True", "Available")
	says(org, "ConnectorReady", "True", "Available")
	c.awaitPhase(t, org, "Pending", "is not installed")
	c.awaitPhase(t, binding, "Pending", "Organization platform-system/late")

	require.NoError(t, c.Install(t.Context(), controlplane.ExternalSecrets))
	says(org, "SecretStoreReady", "True", "Available")
	says(org, "ListenerReady", "False", "CRDNotInstalled")
	require.NoError(t, c.Install(t.Context(), controlplane.TektonTriggers))
	says(org, "ListenerReady", "True", "Available")
	c.awaitPhase(t, org, "Active")

	says(binding, "AppProjectReady", "False", "CRDNotInstalled", "appprojects.argoproj.io")
	says(binding, "TriggerReady", "False", "CRDNotInstalled", "pipelines.tekton.dev")
	says(binding, "NamespaceReady", "True", "Available")
	says(binding, "NetworkPolicyReady", "True", "Available")
	c.awaitPhase(t, binding, "Provisioning", "is not installed")
	c.see(t, "ResourceQuota late-app/tenant-quota")

	require.NoError(t, c.Install(t.Context(), controlplane.ArgoCD))
	says(binding, "AppProjectReady", "True", "Available")
	require.NoError(t, c.Install(t.Context(), controlplane.TektonPipelines))
	c.awaitPhase(t, binding, "Ready")
	c.see(t, "AppProject argocd/late-app")
	c.see(t, "Pipeline late-app/late-app")
}
