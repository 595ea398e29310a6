package v1alpha1_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/apis/admission"
	"aphex.io/platform/apis/internal/agreement"
	"aphex.io/platform/apis/knowledgebase/v1alpha1"
)

const definition = "../definition.yaml"

func TestTypesAgreeWithTheXRD(t *testing.T) {
	differences, err := agreement.Check(definition, v1alpha1.KnowledgeBaseSpec{}, v1alpha1.KnowledgeBaseStatus{})
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
	require.Empty(t, api.XRD.Spec.ConnectionSecretKeys)
}

func TestDefaultsWithoutASchema(t *testing.T) {
	absent := v1alpha1.Repository{}
	require.Equal(t, "main", absent.BranchOrDefault())
	require.Equal(t, []string{".kiro/docs"}, absent.PathsOrDefault())

	given := v1alpha1.Repository{Branch: "release", Paths: []string{".kiro/docs/api"}}
	require.Equal(t, "release", given.BranchOrDefault())
	paths := given.PathsOrDefault()
	paths[0] = "changed"
	require.Equal(t, []string{".kiro/docs/api"}, given.Paths)
}
