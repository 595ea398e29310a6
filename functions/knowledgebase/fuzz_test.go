package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/apis/knowledgebase/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
)

// FuzzCompose composes whatever spec an XR may hold: it never panics, says the same twice, drops nothing that exists,
// and every object is one that an API server takes.
func FuzzCompose(f *testing.F) {
	f.Add("Docs", "About", "https://github.com/acme-corp/docs", "main", ".kiro/docs", uint8(1), true)
	f.Add("", "", "", "", "", uint8(0), false)
	f.Add("Docs", "", "https://github.com/acme-corp/docs", "", ".kiro/docs/ü \t", uint8(3), true)
	f.Fuzz(func(t *testing.T, displayName, description, url, branch, path string, repositories uint8, exists bool) {
		text := func(s string) string { return strings.ToValidUTF8(s, "?") } // JSON and protobuf carry nothing else
		list := make([]v1alpha1.Repository, 0, repositories)
		for i := range repositories {
			r := v1alpha1.Repository{URL: text(url) + strings.Repeat("x", int(i)), Branch: text(branch)}
			if path != "" {
				r.Paths = []string{text(path)}
			}
			list = append(list, r)
		}
		xr := knowledgeBase(list...)
		xr.Spec.DisplayName, xr.Spec.Description = text(displayName), text(description)
		cluster := rendertest.Cluster{}
		if exists {
			cluster.Composed = map[string]string{"configmap": ours}
		}

		d, err := rendertest.Compose(t, Compose, xr, cluster)
		require.NoError(t, err)
		require.NoError(t, d.Err())
		rendertest.Valid(t, d)
		again, err := rendertest.Compose(t, Compose, xr, cluster)
		require.NoError(t, err)
		require.Equal(t, d.Resources(), again.Resources())
		require.Equal(t, d.Status, again.Status)
		require.Equal(t, d.Conditions, again.Conditions)

		if exists {
			require.Contains(t, d.Resources(), "configmap")
		}
		valid := len(xr.Spec.Validate()) == 0
		require.Equal(t, !valid, d.Failed)
		require.True(t, slices.Contains([]string{"Pending", "Ready", "Failed"}, d.Phase))
		require.Equal(t, valid, d.Conditions[0].Status == object.True)
	})
}
