package admission_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/apis/admission"
	"aphex.io/platform/apis/admission/cases"
	knowledgebase "aphex.io/platform/apis/knowledgebase/v1alpha1"
	organization "aphex.io/platform/apis/organization/v1alpha1"
	platform "aphex.io/platform/apis/platform/v1alpha1"
	repobinding "aphex.io/platform/apis/repobinding/v1alpha1"
)

var folders = []string{"organization", "repobinding", "knowledgebase", "platform"}

// kinds are all kinds of our APIs by name.
func kinds(t *testing.T) map[string]*admission.Kind {
	t.Helper()
	all := map[string]*admission.Kind{}
	for _, folder := range folders {
		api, err := admission.Load(t.Context(), filepath.Join("..", folder, "definition.yaml"))
		require.NoError(t, err)
		all[api.XR.CRD.Spec.Names.Kind] = api.XR
		all[api.Claim.CRD.Spec.Names.Kind] = api.Claim
	}
	return all
}

func TestCases(t *testing.T) {
	all := kinds(t)
	names := map[string]bool{}
	var good, bad int
	for _, c := range cases.All() {
		require.False(t, names[c.Name], "two cases are named %q", c.Name)
		names[c.Name] = true
		if c.Want == "" {
			good++
		} else {
			bad++
		}

		t.Run(c.Name, func(t *testing.T) {
			kind := all[c.Kind]
			require.NotNil(t, kind, "no API has the kind %q", c.Kind)
			before, err := cases.Base(c.Kind)
			require.NoError(t, err)
			obj, err := c.Object()
			require.NoError(t, err)
			kind.Default(before)
			kind.Default(obj)

			if c.Update {
				err = kind.ValidateUpdate(t.Context(), obj, before)
			} else {
				err = kind.ValidateCreate(t.Context(), obj)
			}
			if c.Want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.Want)
			}
		})
	}
	require.GreaterOrEqual(t, good, 30)
	require.GreaterOrEqual(t, bad, 60)
}

// The Validate methods repeat the schemas in Go; here they meet the same manifests.
func TestValidateMethodsAgreeWithTheSchemas(t *testing.T) {
	// What a Go struct cannot tell, or a single spec does not show.
	beyond := []string{
		"unknown field", "must be of type", "spec: Required value", "cannot be changed", "branch in body should be at least 1",
		"paths in body should have at least 1",
		// What is refused only if it is new.
		"where people have their claims",
	}
	for _, c := range cases.All() {
		if slices.ContainsFunc(beyond, func(b string) bool { return strings.Contains(c.Want, b) }) ||
			strings.HasPrefix(c.Kind, "X") || strings.HasPrefix(c.Name, "an empty webhook secret") {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			obj, err := c.Object()
			require.NoError(t, err)
			b, err := json.Marshal(obj.Object)
			require.NoError(t, err)

			var problems []string
			switch c.Kind {
			case organization.ClaimKind:
				claim := &organization.Organization{}
				require.NoError(t, json.Unmarshal(b, claim))
				problems = claim.Spec.Validate(claim.Name)
			case repobinding.ClaimKind:
				claim := &repobinding.RepoBinding{}
				require.NoError(t, json.Unmarshal(b, claim))
				problems = claim.Spec.Validate()
			case knowledgebase.ClaimKind:
				claim := &knowledgebase.KnowledgeBase{}
				require.NoError(t, json.Unmarshal(b, claim))
				problems = claim.Spec.Validate()
			case platform.ClaimKind:
				claim := &platform.Platform{}
				require.NoError(t, json.Unmarshal(b, claim))
				problems = claim.Spec.Validate()
			default:
				t.Fatalf("no Validate method for %q", c.Kind)
			}
			if c.Want == "" {
				require.Empty(t, problems)
				return
			}
			require.NotEmpty(t, problems)
			if _, message, ok := strings.Cut(c.Want, "must "); ok && !strings.Contains(c.Want, "must have at most") {
				require.Contains(t, strings.Join(problems, "\n"), message, "the words of the schema")
			}
		})
	}
}

// A binding that an older release took stays, and may change in other ways.
func TestAPipelineNameLikeANamespaceOfPeopleIsRefusedOnlyIfItIsNew(t *testing.T) {
	for _, kind := range []string{"RepoBinding", "XRepoBinding"} {
		schema := kinds(t)[kind]
		before, err := cases.Case{Kind: kind, Patch: "spec: {pipelineName: team-red}"}.Object()
		require.NoError(t, err)
		after, err := cases.Case{Kind: kind, Patch: "spec: {pipelineName: team-red, suspend: true}"}.Object()
		require.NoError(t, err)
		schema.Default(before)
		schema.Default(after)
		require.ErrorContains(t, schema.ValidateCreate(t.Context(), before), "where people have their claims")
		require.NoError(t, schema.ValidateUpdate(t.Context(), after, before))
	}
	require.Empty(t, repobinding.ReservedPipelineName("team-red"), "the function does not refuse it either")
}

func TestRefusalsDoNotRepeatSecrets(t *testing.T) {
	kind := kinds(t)["Organization"]
	for _, secret := range []string{"short-s3cret", "my-$ecret-custom-secret", strings.Repeat("s3cret", 22)} {
		obj, err := cases.Case{Kind: "Organization", Patch: "spec: {webhookSecret: " + secret + "}"}.Object()
		require.NoError(t, err)
		err = kind.ValidateCreate(t.Context(), obj)
		require.ErrorContains(t, err, "spec.webhookSecret")
		require.NotContains(t, err.Error(), secret)
	}
}

// The examples are what users copy, so they must be accepted, and an XR must be what Crossplane makes of its claim.
func TestExamples(t *testing.T) {
	all := kinds(t)
	read := func(t *testing.T, folder, file string) *unstructured.Unstructured {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("..", "..", "examples", folder, file))
		require.NoError(t, err)
		u := &unstructured.Unstructured{}
		require.NoError(t, yaml.UnmarshalStrict(b, &u.Object))
		require.NotNil(t, all[u.GetKind()], "no API has the kind %q", u.GetKind())
		all[u.GetKind()].Default(u)
		require.NoError(t, all[u.GetKind()].ValidateCreate(t.Context(), u))
		return u
	}
	for _, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			claim, xr := read(t, folder, "claim.yaml"), read(t, folder, "render/xr.yaml")

			require.Equal(t, map[string]any{
				"apiVersion": claim.GetAPIVersion(),
				"kind":       claim.GetKind(),
				"namespace":  claim.GetNamespace(),
				"name":       claim.GetName(),
			}, xr.Object["spec"].(map[string]any)["claimRef"])
			require.Equal(t, map[string]string{
				"crossplane.io/claim-name":      claim.GetName(),
				"crossplane.io/claim-namespace": claim.GetNamespace(),
			}, xr.GetLabels())
			require.True(t, strings.HasPrefix(xr.GetName(), claim.GetName()+"-"))

			// What Crossplane keeps on one side only.
			unstructured.RemoveNestedField(xr.Object, "spec", "claimRef")
			unstructured.RemoveNestedField(claim.Object, "spec", "compositeDeletePolicy")
			unstructured.RemoveNestedField(claim.Object, "spec", "writeConnectionSecretToRef")
			require.Equal(t, claim.Object["spec"], xr.Object["spec"])
		})
	}
	read(t, "repobinding", "events.yaml")
}

func TestEveryFieldIsDescribed(t *testing.T) {
	for _, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("..", folder, "definition.yaml"))
			require.NoError(t, err)
			xrd := &unstructured.Unstructured{}
			require.NoError(t, yaml.Unmarshal(b, &xrd.Object))
			versions, _, err := unstructured.NestedSlice(xrd.Object, "spec", "versions")
			require.NoError(t, err)
			for _, v := range versions {
				schema, ok, err := unstructured.NestedMap(v.(map[string]any), "schema", "openAPIV3Schema")
				require.NoError(t, err)
				require.True(t, ok)
				require.Empty(t, undescribed("", schema))
			}
		})
	}
}

// undescribed lists the fields that kubectl explain would show without a description.
func undescribed(path string, schema map[string]any) []string {
	var missing []string
	if d, _ := schema["description"].(string); d == "" && !strings.HasSuffix(path, "[]") {
		missing = append(missing, "field "+path)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		missing = append(missing, undescribed(path+"."+name, p.(map[string]any))...)
	}
	if items, ok := schema["items"].(map[string]any); ok {
		missing = append(missing, undescribed(path+"[]", items)...)
	}
	return missing
}
