package controller_test

import (
	"testing"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/stretchr/testify/require"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
)

func TestWhatManagementPoliciesAllow(t *testing.T) {
	const (
		all, observe, create       = xpv2.ManagementActionAll, xpv2.ManagementActionObserve, xpv2.ManagementActionCreate
		update, remove, initialize = xpv2.ManagementActionUpdate, xpv2.ManagementActionDelete, xpv2.ManagementActionLateInitialize
	)
	for name, c := range map[string]struct {
		policies               xpv2.ManagementPolicies
		onlyObserves, creating bool
	}{
		"none is a pause":                 {},
		"everything":                      {policies: xpv2.ManagementPolicies{all}, creating: true},
		"observing":                       {policies: xpv2.ManagementPolicies{observe}, onlyObserves: true},
		"observing and filling in":        {policies: xpv2.ManagementPolicies{observe, initialize}, onlyObserves: true},
		"deleting is more than observing": {policies: xpv2.ManagementPolicies{observe, remove}},
		"updating is more than observing": {policies: xpv2.ManagementPolicies{observe, update}},
		"creating":                        {policies: xpv2.ManagementPolicies{observe, create}, creating: true},
	} {
		require.Equal(t, c.onlyObserves, controller.OnlyObserves(c.policies), name)
		require.Equal(t, c.creating, controller.Creates(c.policies), name)
	}
}

func TestWhetherACreationLeftSomethingUnknown(t *testing.T) {
	start := time.Date(2026, 1, 16, 23, 15, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		pending, failed, succeeded time.Duration
		want                       bool
	}{
		"it never began":                           {},
		"it began and nothing more is known":       {pending: time.Second, want: true},
		"it ended well":                            {pending: time.Second, succeeded: 2 * time.Second},
		"it ended well within the second":          {pending: time.Second, succeeded: time.Second},
		"it failed":                                {pending: time.Second, failed: 2 * time.Second, want: true},
		"it failed and a later one ended well":     {pending: 3 * time.Second, failed: 2 * time.Second, succeeded: 4 * time.Second},
		"it ended well and a later one was begun":  {pending: 3 * time.Second, succeeded: 2 * time.Second, want: true},
		"it ended well and a later one has failed": {pending: 3 * time.Second, succeeded: 2 * time.Second, failed: 4 * time.Second, want: true},
	} {
		o := &v1alpha1.Tunnel{}
		if c.pending > 0 {
			meta.SetExternalCreatePending(o, start.Add(c.pending))
		}
		if c.failed > 0 {
			meta.SetExternalCreateFailed(o, start.Add(c.failed))
		}
		if c.succeeded > 0 {
			meta.SetExternalCreateSucceeded(o, start.Add(c.succeeded))
		}
		task := &controller.Task{Shared: &controller.Shared{}}
		require.Equal(t, c.want, task.Uncertain(o), name)
	}
}

func TestWhatThisProcessMadeIsKnownBeforeTheClusterSaysSo(t *testing.T) {
	task := &controller.Task{Shared: &controller.Shared{}}
	o := &v1alpha1.Tunnel{}
	o.UID = "an-object"
	meta.SetExternalCreatePending(o, time.Date(2026, 1, 16, 23, 15, 0, 0, time.UTC))
	require.Empty(t, task.ID(o))
	require.True(t, task.Uncertain(o))

	task.Made.Put(o.UID, "its-tunnel")
	require.Equal(t, "its-tunnel", task.ID(o))
	require.False(t, task.Uncertain(o))
	meta.SetExternalName(o, "another")
	require.Equal(t, "another", task.ID(o), "what is written down counts")
	meta.SetExternalName(o, "")

	task.Made.Forget(o.UID)
	require.Empty(t, task.ID(o))
	require.True(t, task.Uncertain(o), "a creation that begins may end in any way")

	task.Made.Unsent(o.UID)
	require.Empty(t, task.ID(o))
	require.False(t, task.Uncertain(o), "nothing was made")
}
