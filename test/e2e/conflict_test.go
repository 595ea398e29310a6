package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAPipelineNameBelongsToWhoHadItFirst(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-twice")
	_, bindings := cp.tenant(t, namespace, "twice", "twice-app")
	first := bindings[0]
	before := cp.see(t, "Namespace twice-app")

	later := repoBinding(namespace, "twice", "twice-app", with("repoName", "another"))
	later.SetName("twice-later")
	second := cp.create(t, later)
	cp.awaitPhase(t, second, "Failed", "Namespace twice-app exists and is controlled by "+string(cp.xr(t, first)))
	require.Empty(t, cp.composed(t, second))
	require.NoError(t, stays(t, 2*time.Second, func(ctx context.Context) error {
		o, err := cp.get(ctx, first)
		if err != nil {
			return err
		}
		return same("Ready", text(o, "status.phase"))
	}))
	require.Equal(t, before.GetResourceVersion(), cp.see(t, "Namespace twice-app").GetResourceVersion())

	// Once the first is gone, the name is free, and nobody has to touch the second.
	cp.remove(t, first)
	cp.awaitPhase(t, second, "Ready")
	require.NotEqual(t, before.GetUID(), cp.see(t, "Namespace twice-app").GetUID())
	require.Equal(t, "example/another", cp.see(t, "Namespace twice-app").GetAnnotations()["aphex/repo"])
}

func TestAnOrganizationNameBelongsToWhoHadItFirst(t *testing.T) {
	t.Parallel()
	here, there := cp.namespace(t, "e2e-claimed-here"), cp.namespace(t, "e2e-claimed-there")
	first, _ := cp.tenant(t, here, "claimed")

	second := cp.create(t, organization(there, "claimed"))
	cp.awaitPhase(t, second, "Failed", "Namespace org-claimed exists and is controlled by "+string(cp.xr(t, first)))
	require.Empty(t, cp.composed(t, second))
	require.Equal(t, "Active", text(cp.see(t, first), "status.phase"))

	// Whoever claims the name too does not get at the organization by it.
	binding := cp.create(t, repoBinding(there, "claimed", "claimed-app"))
	cp.awaitPhase(t, binding, "Failed", "e2e-claimed-there", "Organization e2e-claimed-here/claimed")
	cp.missing(t, "Namespace claimed-app")

	// The loser can be deleted, although the name has an owner.
	cp.remove(t, second)
	require.Equal(t, "Active", text(cp.see(t, first), "status.phase"))
	cp.see(t, "Namespace org-claimed")
}

func TestABindingIsClaimedWhereItsOrganizationIs(t *testing.T) {
	t.Parallel()
	namespace, elsewhere := cp.namespace(t, "e2e-at-home"), cp.namespace(t, "e2e-elsewhere")
	cp.tenant(t, namespace, "at-home")

	inside := cp.create(t, repoBinding("org-at-home", "at-home", "at-home-inside"))
	beside := cp.create(t, repoBinding(namespace, "at-home", "at-home-beside"))
	stranger := cp.create(t, repoBinding(elsewhere, "at-home", "at-home-stranger"))
	cp.awaitPhase(t, inside, "Ready")
	cp.awaitPhase(t, beside, "Ready")
	cp.awaitPhase(t, stranger, "Failed", "e2e-elsewhere", "org-at-home", "e2e-at-home")
	require.Empty(t, cp.composed(t, stranger))
	cp.missing(t, "Namespace at-home-stranger")
}

// The Argo CD project of a pipeline may deploy to the namespaces <pipeline> and <pipeline>-*. Those may not be another
// organization's.
func TestPipelinesDoNotDeployIntoOtherOrganizations(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-glob")
	cp.tenant(t, namespace, "glob-one", "shop", "store-web")
	cp.tenant(t, namespace, "glob-two")

	below := cp.create(t, repoBinding(namespace, "glob-two", "shop-web"))
	above := cp.create(t, repoBinding(namespace, "glob-two", "store"))
	sibling := cp.create(t, repoBinding(namespace, "glob-one", "shop-api"))
	near := cp.create(t, repoBinding(namespace, "glob-two", "shopping"))
	cp.awaitPhase(t, below, "Failed", "shop")
	cp.awaitPhase(t, above, "Failed", "store-web")
	cp.awaitPhase(t, sibling, "Ready")
	cp.awaitPhase(t, near, "Ready")
	for _, refused := range []string{"shop-web", "store"} {
		cp.missing(t, refTo("Namespace %s", refused))
		cp.missing(t, refTo("AppProject argocd/%s", refused))
	}
}

// Nor may they be namespaces that are no pipeline's, if they are there first.
func TestPipelinesDoNotDeployIntoNamespacesThatAreThere(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-covered")
	cp.tenant(t, namespace, "covered-one")
	cp.tenant(t, namespace, "covered-two")
	cp.namespace(t, "depot-system")
	theirs := cp.create(t, &object{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
		"name": "vault-data", "labels": map[string]any{"aphex.dev/org": "covered-one"},
	}}})

	depot := cp.create(t, repoBinding(namespace, "covered-two", "depot"))
	vault := cp.create(t, repoBinding(namespace, "covered-two", "vault"))
	cp.awaitPhase(t, depot, "Failed", "the namespace depot-system is there without the label aphex.dev/org=covered-two")
	cp.awaitPhase(t, vault, "Failed", "the namespace vault-data is there")
	cp.awaitCondition(t, depot, "NamespaceReady", "False NameConflict", "depot-system")
	for _, refused := range []ref{depot, vault} {
		require.Empty(t, cp.composed(t, refused))
	}

	// Nobody has to touch the claims once nothing is in the way.
	cp.remove(t, "Namespace depot-system")
	cp.awaitPhase(t, depot, "Ready")
	cp.patch(t, theirs, "metadata: {labels: {aphex.dev/org: covered-two}}")
	cp.awaitPhase(t, vault, "Ready")

	// What Argo CD makes for a pipeline is in nobody's way, not even if the pipeline's own namespace has to be made again.
	cp.namespace(t, "depot-staging")
	before := cp.see(t, "Namespace depot").GetUID()
	require.NoError(t, cp.client("Namespace depot").Delete(t.Context(), "depot", metav1.DeleteOptions{}))
	cp.await(t, "Namespace depot", func(o *object) error {
		if o.GetUID() == before {
			return errors.New("it is not gone yet")
		}
		return nil
	})
	cp.awaitPhase(t, depot, "Ready")
}
