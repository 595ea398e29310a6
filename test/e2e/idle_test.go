package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/test/controlplane"
)

// Whoever reconciles without end and changes something each time loads the API server for nothing, and wakes everybody
// who watches. A platform that is as it should be is left as it is, however often it is looked at.
func TestASecondReconcileWritesNothing(t *testing.T) {
	namespace := cp.namespace(t, "e2e-idle")
	cp.cloudflare(t)
	claims := []ref{
		cp.create(t, organization(namespace, "idle", withSecret("idle-webhook"))),
		cp.create(t, repoBinding(namespace, "idle", "idle-app", withSecret("idle-app-webhook"))),
		cp.create(t, knowledgeBase(namespace, "idle")),
		cp.create(t, platform(namespace, "idle")),
	}
	home := claims[len(claims)-1]
	cp.playArgoCDAndCertManager(t, home)
	for _, claim := range claims {
		cp.awaitReady(t, claim)
	}
	cp.await(t, "Tunnel org-idle/idle", connected(2))
	before := cp.settled(t, claims)
	require.Greater(t, len(before), 90)

	for range 3 {
		for _, claim := range claims {
			cp.reconcile(t, cp.xr(t, claim))
		}
	}
	require.Equal(t, before, cp.versions(t, claims))

	// A process that starts looks at everything anew.
	for _, process := range []string{
		controlplane.Provider, "function-organization", "function-repobinding", "function-knowledgebase", "function-platform", "crossplane",
	} {
		require.NoError(t, cp.Restart(t.Context(), process))
	}
	for _, claim := range claims {
		cp.reconcile(t, cp.xr(t, claim))
	}
	require.Equal(t, before, cp.versions(t, claims))
	cp.removePlatform(t, home)
}

// settled are the versions of all objects of claims once nothing changes any more: when a claim becomes ready, the
// controllers of its objects may still have something to note.
func (c *cluster) settled(t *testing.T, claims []ref) map[ref]string {
	t.Helper()
	last, since := c.versions(t, claims), time.Now()
	eventually(t, func(context.Context) error {
		now := c.versions(t, claims)
		if fmt.Sprint(now) != fmt.Sprint(last) {
			last, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < 3*time.Second {
			return fmt.Errorf("the last change was %s ago", quiet)
		}
		return nil
	})
	return last
}

// versions are the resource versions of claims and of everything that they own. Of an XR it is all but the version, since
// to ask for a reconcile is to change it.
func (c *cluster) versions(t *testing.T, claims []ref) map[ref]string {
	t.Helper()
	out := map[ref]string{}
	for _, claim := range claims {
		seen := c.see(t, claim)
		out[claim] = seen.GetResourceVersion()
		xr := c.see(t, c.xr(t, claim))
		xr.SetAnnotations(nil)
		xr.SetManagedFields(nil)
		xr.SetResourceVersion("")
		// Crossplane's own notes on its work.
		conditions := slices.DeleteFunc(list(xr, "status.conditions"), func(c map[string]any) bool {
			return c["type"] == "Synced" || c["type"] == "Responsive"
		})
		delete(xr.Object["status"].(map[string]any), "conditions")
		out[refOf(xr)] = fmt.Sprint(xr.Object, conditions)
		if name := text(seen, "spec.writeConnectionSecretToRef.name"); name != "" {
			secret := refTo("Secret %s/%s", claim.namespace(), name)
			out[secret] = c.await(t, secret, func(*object) error { return nil }).GetResourceVersion()
		}
		for _, r := range c.composed(t, claim) {
			out[r] = c.see(t, r).GetResourceVersion()
		}
	}
	return out
}

// reconcile makes Crossplane reconcile an XR and returns when that is over: a paused one says so, and no longer says so
// after its next run.
func (c *cluster) reconcile(t *testing.T, xr ref) {
	t.Helper()
	for _, step := range []struct{ paused, reason string }{{`"true"`, "ReconcilePaused"}, {"null", "ReconcileSuccess"}} {
		c.patch(t, xr, "metadata: {annotations: {crossplane.io/paused: "+step.paused+"}}")
		c.await(t, xr, func(o *object) error {
			_, reason, _ := condition(o, "Synced")
			return same(step.reason, reason)
		})
	}
}
