package tekton_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/tekton"
)

// The names are known to every template and pipeline; a pipeline that declares one gets its value.
func TestEventParams(t *testing.T) {
	want := map[string]string{
		"commit-sha":   "$(body.after)",
		"delivery-id":  "$(header.X-GitHub-Delivery)",
		"git-ref":      "$(body.ref)",
		"git-revision": "$(body.after)",
		"git-url":      "$(body.repository.clone_url)",
		"repo-url":     "$(body.repository.clone_url)",
	}
	got := map[string]string{}
	names := make([]string, 0, len(want))
	for _, p := range tekton.EventParams() {
		got[p.Name] = p.Value
		names = append(names, p.Name)
	}
	require.Equal(t, want, got)
	require.IsIncreasing(t, names)
}

func TestATriggerInWireForm(t *testing.T) {
	s, err := object.From(&tekton.Trigger{
		TypeMeta:   metav1.TypeMeta{APIVersion: tekton.TriggersAPIVersion, Kind: "Trigger"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "org-acme", Name: "app-trigger"},
		Spec: tekton.TriggerSpec{
			Interceptors: []tekton.Interceptor{tekton.ClusterInterceptor("cel", tekton.InterceptorParam{Name: "filter", Value: "body.ref == 'refs/heads/main'"})},
			Bindings:     []tekton.BindingRef{{Ref: tekton.EventBinding, Kind: "TriggerBinding"}},
			Template:     tekton.TemplateRef{Ref: "app-trigger-template"},
		},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"apiVersion": "triggers.tekton.dev/v1beta1", "kind": "Trigger", "metadata": map[string]any{"namespace": "org-acme", "name": "app-trigger"},
		"spec": map[string]any{
			"interceptors": []any{map[string]any{
				"ref":    map[string]any{"name": "cel", "kind": "ClusterInterceptor"},
				"params": []any{map[string]any{"name": "filter", "value": "body.ref == 'refs/heads/main'"}},
			}},
			"bindings": []any{map[string]any{"ref": "github-push-binding", "kind": "TriggerBinding"}},
			"template": map[string]any{"ref": "app-trigger-template"},
		},
	}, object.NewObject(s).Map())
}
