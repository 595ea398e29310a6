package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each process dies at a moment that nobody chose, in the middle of 21 claims. Nothing may be stuck or lost after.
func TestClaimsSurviveCrashes(t *testing.T) {
	cp.cloudflare(t)
	namespace := cp.namespace(t, "e2e-crash")
	var claims []ref
	for i := range 5 {
		org := fmt.Sprintf("crash-%d", i)
		claims = append(claims,
			cp.create(t, organization(namespace, org)),
			cp.create(t, repoBinding(namespace, org, org+"-web")),
			cp.create(t, repoBinding(namespace, org, org+"-api")),
			cp.create(t, knowledgeBase(namespace, org)),
		)
	}
	home := cp.create(t, platform(namespace, "crash"))
	claims = append(claims, home)
	require.Len(t, claims, 21)

	readyClaims := func(ctx context.Context) (n int, err error) {
		cp.reportForNeighbours(ctx, t, home)
		for _, claim := range claims {
			o, getErr := cp.get(ctx, claim)
			if getErr == nil {
				getErr = ready(o)
			}
			if getErr != nil {
				err = errors.Join(err, getErr)
				continue
			}
			n++
		}
		return n, err
	}
	for i, process := range []string{"function-organization", "crossplane", "function-repobinding", "function-platform", "function-knowledgebase", "crossplane-rbac"} {
		// Spread over the time that all takes: wait for some claims more than the last time.
		eventually(t, func(ctx context.Context) error {
			n, err := readyClaims(ctx)
			if n < i {
				return err
			}
			return nil
		})
		require.NoError(t, cp.Kill(process))
		require.Zero(t, cp.PID(process), process)
		require.NoError(t, cp.Restart(t.Context(), process))
	}
	eventually(t, func(ctx context.Context) error {
		_, err := readyClaims(ctx)
		return err
	})
	cp.removePlatform(t, home)
}

// Crossplane stops listening for a while to an XR that too much happens to, and what is then missed must not be lost. By
// default that happens to an organization while it is made.
func TestAnOrganizationGetsByWithCrossplanesDefaults(t *testing.T) {
	cp.leaving.Wait() // Others would use up what Crossplane may do.
	cp.cloudflare(t)
	namespace := cp.namespace(t, "e2e-defaults")
	require.NoError(t, cp.Restart(t.Context(), "crossplane", "--circuit-breaker-burst=100"))
	t.Cleanup(func() { require.NoError(t, cp.Restart(context.Background(), "crossplane")) })
	claim := cp.create(t, organization(namespace, "defaulted"))
	eventually(t, func(ctx context.Context) error { // Crossplane would listen again after five minutes.
		o, err := cp.get(ctx, claim)
		if err != nil {
			return err
		}
		return ready(o)
	})
}
