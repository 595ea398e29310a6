package admission_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/apis/admission"
)

func TestLoadAcceptsOurAPIs(t *testing.T) {
	for name, ours := range map[string][]string{
		"organization":  {"PHASE", "WEBHOOK URL", "MESSAGE"},
		"repobinding":   {"PHASE", "NAMESPACE", "MESSAGE"},
		"knowledgebase": {"PHASE", "REPOSITORIES", "MESSAGE"},
		"platform":      {"PHASE", "WAVE", "MESSAGE"},
	} {
		t.Run(name, func(t *testing.T) {
			api, err := admission.Load(t.Context(), filepath.Join("..", name, "definition.yaml"))
			require.NoError(t, err)
			require.Equal(t, "X"+api.Claim.CRD.Spec.Names.Kind, api.XR.CRD.Spec.Names.Kind)
			require.Equal(t, []string{"aphex", "claim"}, api.Claim.CRD.Spec.Names.Categories)
			require.Equal(t, api.XRD.Name, api.XRD.Spec.EnforcedCompositionRef.Name)
			var columns []string
			for _, c := range api.Claim.CRD.Spec.Versions[0].AdditionalPrinterColumns {
				columns = append(columns, c.Name)
			}
			require.Equal(t, append(ours, "SYNCED", "READY", "CONNECTION-SECRET", "AGE"), columns)
		})
	}
}

func TestLoadRefusesWhatAnAPIServerWould(t *testing.T) {
	cases := map[string]struct{ old, changed, want string }{
		"a rule that does not compile":            {"self == oldSelf", "self == oldSelfe", "undeclared reference to 'oldSelfe'"},
		"a rule that costs too much":              {"self == oldSelf", "self.split('').all(a, self.split('').all(b, self.split('').all(c, a + b + c != '')))", "exceeds budget"},
		"a field without a type":                  {"type: boolean", "title: untyped", "must not be empty for specified object fields"},
		"a default that breaks its own rules":     {"default: [push]", "default: [push, push]", "must name each event only once"},
		"a field that an XRD does not have":       {"claimNames:", "claimNaems:", `unknown field "claimNaems"`},
		"a keyword that a schema does not have":   {"enum: [standard", "enmu: [standard", `unknown field "enmu"`},
		"a keyword that Crossplane drops at root": {"required: [spec]", "required: [spec]\n          minProperties: 1", `Crossplane drops "minProperties" at root level`},
		"a keyword that Crossplane drops at spec": {"required: [aphexOrg", "maxProperties: 9\n              required: [aphexOrg", `Crossplane drops "maxProperties" at spec level`},
	}
	definition, err := os.ReadFile("../repobinding/definition.yaml")
	require.NoError(t, err)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, string(definition), c.old)
			path := filepath.Join(t.TempDir(), "definition.yaml")
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(definition), c.old, c.changed)), 0o600))
			_, err := admission.Load(t.Context(), path)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestDefaultAndValidate(t *testing.T) {
	api, err := admission.Load(t.Context(), "../knowledgebase/definition.yaml")
	require.NoError(t, err)
	object := func(t *testing.T, source string) *unstructured.Unstructured {
		t.Helper()
		u := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(source), &u.Object))
		return u
	}
	const good = `
apiVersion: aphex.io/v1alpha1
kind: KnowledgeBase
metadata: {name: docs, namespace: platform-system}
spec:
  displayName: Docs
  repositories:
    - url: https://github.com/acme-corp/docs
`
	u := object(t, good)
	api.Claim.Default(u)
	require.NoError(t, api.Claim.ValidateCreate(t.Context(), u))
	require.Equal(t, map[string]any{
		"compositeDeletePolicy": "Foreground",
		"displayName":           "Docs",
		"repositories": []any{map[string]any{
			"url": "https://github.com/acme-corp/docs", "branch": "main", "paths": []any{".kiro/docs"},
		}},
	}, u.Object["spec"])

	bad := map[string]struct{ old, changed, want string }{
		"another kind":          {"kind: KnowledgeBase", "kind: KnowledgeBook", "must be KnowledgeBase of aphex.io/v1alpha1"},
		"an unknown field":      {"displayName", "displayname: x\n  displayName", `unknown field "spec.displayname"`},
		"no namespace":          {", namespace: platform-system", "", "namespace: Required value"},
		"a missing field":       {"displayName: Docs", "description: Docs", "spec.displayName: Required value"},
		"a broken rule":         {"acme-corp/docs", "acme-corp", "must be https://github.com/<org>/<repo> and no more"},
		"an element held twice": {"acme-corp/docs", "acme-corp/docs\n      paths: [.kiro/docs, .kiro/docs]", "Duplicate value"},
	}
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, good, c.old)
			u := object(t, strings.Replace(good, c.old, c.changed, 1))
			api.Claim.Default(u)
			require.ErrorContains(t, api.Claim.ValidateCreate(t.Context(), u), c.want)
			require.ErrorContains(t, api.Claim.ValidateUpdate(t.Context(), u, object(t, good)), c.want)
		})
	}
}
