package e2e

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	}
	for _, claim := range claims {
		cp.awaitReady(t, claim)
	}
	before := cp.settled(t, claims)
	const secrets = 2
	require.Greater(t, len(before), 40+secrets)

	for round := range 3 {
		for _, claim := range claims {
			cp.reconcile(t, cp.xr(t, claim), strconv.Itoa(round))
		}
	}
	require.Equal(t, before, cp.versions(t, claims))

	// A process that starts looks at everything anew.
	for _, process := range []string{"function-organization", "function-repobinding", "function-knowledgebase", "crossplane"} {
		require.NoError(t, cp.Restart(t.Context(), process))
	}
	for _, claim := range claims {
		cp.reconcile(t, cp.xr(t, claim), "restarted")
	}
	require.Equal(t, before, cp.versions(t, claims))
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
// a test that asks for a reconcile changes its annotation.
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
		out[refOf(xr)] = fmt.Sprint(xr.Object)
		if name := text(seen, "spec.writeConnectionSecretToRef.name"); name != "" {
			secret := refTo("Secret %s/%s", claim.namespace(), name)
			out[secret] = c.see(t, secret).GetResourceVersion()
		}
		for _, r := range c.composed(t, claim) {
			out[r] = c.see(t, r).GetResourceVersion()
		}
	}
	return out
}

// reconcile makes Crossplane reconcile an XR and returns when that is over.
func (c *cluster) reconcile(t *testing.T, xr ref, token string) {
	t.Helper()
	// The second request is handled after the first.
	for _, token := range []string{token + "-first", token + "-second"} {
		before := c.handled(t, xr)
		c.patch(t, xr, "metadata: {annotations: {crossplane.io/reconcile-requested-at: "+token+"}}")
		eventually(t, func(context.Context) error {
			if c.handled(t, xr) == before {
				return fmt.Errorf("%s was not reconciled", xr)
			}
			return nil
		})
	}
	c.patch(t, xr, "metadata: {annotations: {crossplane.io/reconcile-requested-at: null}}")
}

// handled is how often Crossplane said that it handled a request to reconcile an XR.
func (c *cluster) handled(t *testing.T, xr ref) int32 {
	t.Helper()
	events, err := c.kube.CoreV1().Events("").List(t.Context(), metav1.ListOptions{
		FieldSelector: "reason=ReconcileRequestHandled,involvedObject.kind=" + xr.kind() + ",involvedObject.name=" + xr.name(),
	})
	require.NoError(t, err)
	var n int32
	for _, e := range events.Items {
		n += count(e)
	}
	return n
}

// count is how often an event happened; the API server leaves the number out where it is one.
func count(e corev1.Event) int32 {
	if e.Series != nil {
		return max(e.Count, e.Series.Count, 1)
	}
	return max(e.Count, 1)
}
