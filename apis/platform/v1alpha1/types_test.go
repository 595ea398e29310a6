package v1alpha1_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"aphex.io/platform/apis/admission"
	"aphex.io/platform/apis/internal/agreement"
	"aphex.io/platform/apis/platform/v1alpha1"
)

const definition = "../definition.yaml"

func TestTypesAgreeWithTheXRD(t *testing.T) {
	differences, err := agreement.Check(definition, v1alpha1.PlatformSpec{}, v1alpha1.PlatformStatus{})
	require.NoError(t, err)
	require.Empty(t, differences)
}

func TestNamesAgreeWithTheXRD(t *testing.T) {
	api, err := admission.Load(t.Context(), definition)
	require.NoError(t, err)
	require.Equal(t, v1alpha1.CRDName, api.XR.CRD.Name)
	require.Equal(t, v1alpha1.Kind, api.XR.CRD.Spec.Names.Kind)
	require.Equal(t, v1alpha1.ClaimKind, api.Claim.CRD.Spec.Names.Kind)
	require.Equal(t, v1alpha1.APIVersion, api.XR.CRD.Spec.Group+"/"+api.XR.CRD.Spec.Versions[0].Name)
}

func TestDefaultsAgreeWithTheXRD(t *testing.T) {
	api, err := admission.Load(t.Context(), definition)
	require.NoError(t, err)
	cases := map[string]map[string]any{
		"a self-signed platform": {"gitops": map[string]any{"repoURL": "https://github.com/acme-corp/platform"}},
		"a platform with an ACME account": {
			"gitops":       map[string]any{"repoURL": "https://github.com/acme-corp/platform"},
			"certificates": map[string]any{"issuer": "acme", "acme": map[string]any{"email": "ops@acme-corp.com", "solvers": []any{}}},
		},
		"empty lists stay empty": {
			"gitops": map[string]any{"repoURL": "https://github.com/acme-corp/platform", "syncOptions": []any{}},
			"groups": map[string]any{"admins": map[string]any{"aliases": []any{}}, "engineering": map[string]any{"aliases": []any{}}},
		},
	}
	for name, spec := range cases {
		t.Run(name, func(t *testing.T) {
			xr := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
			var before, after v1alpha1.XPlatform
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(xr.Object, &before))
			api.XR.Default(xr)
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(xr.Object, &after))
			want := after.Spec.PlatformSpec
			require.Empty(t, want.GitOps.Applications)
			require.Empty(t, want.Groups.Operators.Aliases)
			require.Empty(t, want.Groups.Others)
			want.GitOps.Applications, want.Groups.Operators.Aliases, want.Groups.Others = nil, nil, nil
			require.Equal(t, want, before.Spec.WithDefaults())
		})
	}
}
