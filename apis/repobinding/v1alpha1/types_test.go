package v1alpha1_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/apis/admission"
	"aphex.io/platform/apis/internal/agreement"
	"aphex.io/platform/apis/repobinding/v1alpha1"
)

const definition = "../definition.yaml"

func TestTypesAgreeWithTheXRD(t *testing.T) {
	differences, err := agreement.Check(definition, v1alpha1.RepoBindingSpec{}, v1alpha1.RepoBindingStatus{})
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
	require.Equal(t, []string{v1alpha1.ConnectionKeyWebhookURL, v1alpha1.ConnectionKeyWebhookSecret}, api.XRD.Spec.ConnectionSecretKeys)
}

func TestDefaultsWithoutASchema(t *testing.T) {
	absent := v1alpha1.RepoBindingSpec{}
	require.Equal(t, []string{"push"}, absent.EventsOrDefault())
	require.Equal(t, []string{"main"}, absent.BranchesOrDefault())
	require.Equal(t, []string{"**"}, absent.TagsOrDefault())
	require.Equal(t, "standard", absent.PermissionProfileOrDefault())
	require.True(t, absent.StartsOn("push"))
	require.False(t, absent.StartsOn("pull_request"))

	given := v1alpha1.RepoBindingSpec{
		Events: []string{"tag", "pull_request"}, Branch: "release", Tags: []string{"v*"}, PermissionProfile: "elevated",
	}
	require.Equal(t, []string{"tag", "pull_request"}, given.EventsOrDefault())
	require.Equal(t, []string{"release"}, given.BranchesOrDefault())
	require.Equal(t, []string{"v*"}, given.TagsOrDefault())
	require.Equal(t, "elevated", given.PermissionProfileOrDefault())
	require.True(t, given.StartsOn("pull_request"))
	require.False(t, given.StartsOn("push"))

	several := v1alpha1.RepoBindingSpec{Branches: []string{"main", "release/*"}}
	require.Equal(t, []string{"main", "release/*"}, several.BranchesOrDefault())
}
