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

	c.awaitCondition(t, org, "SecretStoreReady", "False CRDNotInstalled", "clustersecretstores.external-secrets.io")
	c.awaitCondition(t, org, "ListenerReady", "False CRDNotInstalled", "triggers.tekton.dev")
	c.awaitCondition(t, org, "NamespaceReady", "True Available")
	c.awaitCondition(t, org, "RBACReady", "True Available")
	c.awaitCondition(t, org, "TunnelReady", "True Available")
	c.awaitCondition(t, org, "ConnectorReady", "True Available")
	c.awaitPhase(t, org, "Pending", "is not installed")
	c.awaitPhase(t, binding, "Pending", "Organization platform-system/late")

	require.NoError(t, c.Install(t.Context(), controlplane.ExternalSecrets))
	c.awaitCondition(t, org, "SecretStoreReady", "True Available")
	c.awaitCondition(t, org, "ListenerReady", "False CRDNotInstalled")
	require.NoError(t, c.Install(t.Context(), controlplane.TektonTriggers))
	c.awaitCondition(t, org, "ListenerReady", "True Available")
	c.awaitPhase(t, org, "Active")

	c.awaitCondition(t, binding, "AppProjectReady", "False CRDNotInstalled", "appprojects.argoproj.io")
	c.awaitCondition(t, binding, "TriggerReady", "False CRDNotInstalled", "pipelines.tekton.dev")
	c.awaitCondition(t, binding, "NamespaceReady", "True Available")
	c.awaitCondition(t, binding, "NetworkPolicyReady", "True Available")
	c.awaitPhase(t, binding, "Provisioning", "is not installed")
	c.see(t, "ResourceQuota late-app/tenant-quota")

	require.NoError(t, c.Install(t.Context(), controlplane.ArgoCD))
	c.awaitCondition(t, binding, "AppProjectReady", "True Available")
	require.NoError(t, c.Install(t.Context(), controlplane.TektonPipelines))
	c.awaitPhase(t, binding, "Ready")
	c.see(t, "AppProject argocd/late-app")
	c.see(t, "Pipeline late-app/late-app")
}
