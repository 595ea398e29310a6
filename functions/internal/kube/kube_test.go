package kube_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
)

func TestObjectsInWireForm(t *testing.T) {
	meta := map[string]any{"namespace": "n", "name": "x"}
	rbac := "rbac.authorization.k8s.io"
	cases := map[string]struct {
		object any
		want   map[string]any
	}{
		"a service account": {
			object: kube.ServiceAccount(kube.Meta("n", "x", nil)),
			want:   map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
		},
		"a role": {
			object: kube.Role(kube.Meta("n", "x", nil),
				kube.Rule("", []string{"pods", "pods/log"}, "get", "list"),
				kube.NamedRule("argoproj.io", "applications", "app", "get")),
			want: map[string]any{"apiVersion": rbac + "/v1", "kind": "Role", "metadata": meta, "rules": []any{
				map[string]any{"apiGroups": []any{""}, "resources": []any{"pods", "pods/log"}, "verbs": []any{"get", "list"}},
				map[string]any{"apiGroups": []any{"argoproj.io"}, "resources": []any{"applications"}, "resourceNames": []any{"app"}, "verbs": []any{"get"}},
			}},
		},
		"a role without rules grants nothing, and owns that": {
			object: kube.Role(kube.Meta("n", "x", nil)),
			want:   map[string]any{"apiVersion": rbac + "/v1", "kind": "Role", "metadata": meta, "rules": nil},
		},
		"a role binding": {
			object: kube.RoleBinding(kube.Meta("n", "x", nil), "r", kube.ServiceAccountSubject("m", "sa")),
			want: map[string]any{"apiVersion": rbac + "/v1", "kind": "RoleBinding", "metadata": meta,
				"roleRef":  map[string]any{"apiGroup": rbac, "kind": "Role", "name": "r"},
				"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": "m", "name": "sa"}},
			},
		},
		"a cluster role": {
			object: kube.ClusterRole(kube.Meta("", "x", nil), kube.Rule("", []string{"nodes"}, "get")),
			want: map[string]any{"apiVersion": rbac + "/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "x"}, "rules": []any{
				map[string]any{"apiGroups": []any{""}, "resources": []any{"nodes"}, "verbs": []any{"get"}},
			}},
		},
		"a cluster role binding": {
			object: kube.ClusterRoleBinding(kube.Meta("", "x", map[string]string{"l": "v"}), "r", kube.ServiceAccountSubject("m", "sa")),
			want: map[string]any{"apiVersion": rbac + "/v1", "kind": "ClusterRoleBinding",
				"metadata": map[string]any{"name": "x", "labels": map[string]any{"l": "v"}},
				"roleRef":  map[string]any{"apiGroup": rbac, "kind": "ClusterRole", "name": "r"},
				"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": "m", "name": "sa"}},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := object.From(c.object)
			require.NoError(t, err)
			require.Equal(t, c.want, object.NewObject(s).Map())
		})
	}
}
