package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
)

// FuzzCompose sends any spec to any part of a platform that exists: it never panics, says the same twice, gives up nothing
// that exists, and every object is one that an API server takes.
func FuzzCompose(f *testing.F) {
	complete := applied(f, compose(f, platform(), rendertest.Cluster{Offline: true}), func(_ string, o map[string]any) { work(o, nil, nil) })
	var keys []string
	for key := range complete.Composed {
		keys = append(keys, key)
	}
	slices.Sort(keys)

	f.Add("dex.home.local", "https://github.com/acme-corp/platform", "platform", "platform-admins", "alice", "Alice", "alice@platform.local", "", uint64(0), false)
	f.Add("", "git@github.com:acme-corp/platform.git", "", "", "", "", "", "hooks.example.org", ^uint64(0), true)
	f.Add("argocd.home.local", "", "../x", "system:masters", "Alice", "\x00", "alice", "not a domain", uint64(0x5555), false)
	f.Add("DEX", "https://github.com/acme-corp/platform", "a/../b", "a, role:admin", "on", "yes: {}", "on@platform.local", "", uint64(1), true)
	f.Add("dex.home.local", "https://github.com/acme-corp/platform", "p", "no", "null", "!Find [a]", "null@platform.local", "", ^uint64(0), false)

	f.Fuzz(func(t *testing.T, dex, repo, path, admins, username, name, email, webhookDomain string, exists uint64, k3s bool) {
		text := func(s string) string { return strings.ToValidUTF8(s, "?") } // JSON and protobuf carry nothing else
		xr := platform(func(s *v1alpha1.PlatformSpec) {
			s.Domain.Dex, s.GitOps.RepoURL, s.GitOps.Path = text(dex), text(repo), text(path)
			s.Groups.Admins.Name = text(admins)
			if k3s {
				s.Distribution = v1alpha1.DistributionK3s
			}
			if username != "" {
				s.Auth.Users = []v1alpha1.User{{Username: text(username), Name: text(name), Email: text(email), Groups: []string{text(admins)}}}
			}
			if webhookDomain != "" {
				s.Settings = map[string]any{"webhookDomain": text(webhookDomain)}
			}
		})
		cluster := rendertest.Cluster{Composed: map[string]string{}}
		for i, key := range keys {
			if exists>>(i%64)&1 == 1 {
				cluster.Composed[key] = complete.Composed[key]
			}
		}

		d := compose(t, xr, cluster)
		again := compose(t, xr, cluster)
		require.Empty(t, cmp.Diff(d.Resources(), again.Resources(), protocmp.Transform()), "another run gave other objects")
		require.Equal(t, d.Status, again.Status)
		require.Equal(t, d.Conditions, again.Conditions)

		require.Len(t, d.Conditions, 10)
		require.Contains(t, []string{"Pending", "Ready", "Failed"}, d.Phase)
		require.Equal(t, d.Phase == "Ready", d.Ready)
		for key := range cluster.Composed {
			require.Contains(t, d.Keys(), key)
		}
		for key, r := range d.Resources() {
			require.NotEmpty(t, object.NewObject(r.Object).Label("platform.aphex/managed-by"), key)
		}
	})
}
