package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestDeletionLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-deletion")
	cp.cloudflare(t)
	// The word is in every name, so that whatever is left can be found by it.
	claims := func() []*object {
		return []*object{
			organization(namespace, "vanish", withSecret("vanish-webhook")),
			repoBinding(namespace, "vanish", "vanish-app", withSecret("vanish-app-webhook")),
			repoBinding(namespace, "vanish", "vanish-tool"),
			knowledgeBase(namespace, "vanish-docs"),
		}
	}
	var refs []ref
	for _, claim := range claims() {
		refs = append(refs, cp.create(t, claim))
	}
	for _, r := range refs {
		cp.awaitReady(t, r)
	}
	require.NotEmpty(t, cp.named(t, "vanish"))

	t.Run("an organization that has pipelines is not deleted", func(t *testing.T) {
		err := cp.client(refs[0]).Delete(t.Context(), refs[0].name(), metav1.DeleteOptions{})
		require.True(t, apierrors.IsForbidden(err), "%v", err)
		require.ErrorContains(t, err, "Organization vanish still has RepoBindings, such as the one of pipeline vanish-")
		require.Empty(t, cp.see(t, refs[0]).GetDeletionTimestamp())
		require.Equal(t, "Active", text(cp.see(t, refs[0]), "status.phase"))
	})
	t.Run("once they are gone, everything goes", func(t *testing.T) {
		for _, r := range slices.Backward(refs) {
			cp.remove(t, r)
		}
		// A claim goes after all that it composed; the garbage collector takes its connection secret a moment later.
		eventually(t, func(context.Context) error {
			if left := cp.named(t, "vanish"); len(left) > 0 {
				return fmt.Errorf("%s are left", strings.Join(left, ", "))
			}
			return nil
		})
	})
	t.Run("the same can be claimed again at once", func(t *testing.T) {
		for _, claim := range claims() {
			cp.create(t, claim)
		}
		for _, r := range refs {
			cp.awaitReady(t, r)
		}
	})
}

// named are all objects of any kind in whose name, namespace or labels a word is, but for events.
func (c *cluster) named(t *testing.T, word string) []string {
	t.Helper()
	lists, err := c.kube.Discovery().ServerPreferredResources()
	require.NoError(t, err)
	var out []string
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		require.NoError(t, err)
		for _, r := range l.APIResources {
			if !slices.Contains(r.Verbs, "list") || r.Kind == "Event" {
				continue
			}
			objects, err := c.dynamic.Resource(gv.WithResource(r.Name)).List(t.Context(), metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				continue // a CRD that went in the meantime
			}
			require.NoError(t, err, r.Name)
			for _, o := range objects.Items {
				if strings.Contains(fmt.Sprint(o.GetNamespace(), " ", o.GetName(), " ", o.GetLabels()), word) {
					out = append(out, string(refOf(&o)))
				}
			}
		}
	}
	return out
}

// awaitReady returns once a claim is ready.
func (c *cluster) awaitReady(t *testing.T, claim ref) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		o, err := c.get(ctx, claim)
		if err != nil {
			return err
		}
		return ready(o)
	})
}

// ready is a check that a claim is ready.
func ready(o *object) error {
	if status, _, _ := condition(o, "Ready"); status != "True" {
		return fmt.Errorf("%s is not ready: %s: %s", refOf(o), text(o, "status.phase"), text(o, "status.message"))
	}
	return nil
}
