package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func schema(t *testing.T, text string) *extv1.JSONSchemaProps {
	t.Helper()
	s := &extv1.JSONSchemaProps{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), s))
	return s
}

func TestEachFieldIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		schema, want string
	}{
		"a text with bounds":             {`{type: string, minLength: 1, maxLength: 9, pattern: "^(a|b)$"}`, "| `f` | string |  | 1 to 9 characters; matches `^(a\\|b)$` |  |\n"},
		"a text of exactly one length":   {`{type: string, minLength: 9, maxLength: 9}`, "| `f` | string |  | 9 characters |  |\n"},
		"a time":                         {`{type: string, format: date-time}`, "| `f` | string (date-time) |  |  |  |\n"},
		"a choice with a default":        {`{type: string, enum: [push, tag], default: push}`, "| `f` | string | `\"push\"` | `push`, `tag` |  |\n"},
		"a number with a lower bound":    {`{type: integer, format: int64, minimum: 0}`, "| `f` | integer (int64) |  | at least 0 |  |\n"},
		"a number or a text":             {`{x-kubernetes-int-or-string: true}`, "| `f` | integer or string |  |  |  |\n"},
		"prose that looks like code":     {`{type: boolean, description: "org-<name>, a\n* or _"}`, "| `f` | boolean |  |  | org-&lt;name>, a \\* or \\_ |\n"},
		"an object of which all is kept": {`{type: object, x-kubernetes-preserve-unknown-fields: true}`, "| `f` | object |  | any fields |  |\n"},
		"a set": {`{type: array, maxItems: 3, x-kubernetes-list-type: set, items: {type: string}}`,
			"| `f` | array of strings |  | at most 3 items; no item twice |  |\n| `f[]` | string |  |  |  |\n"},
		"a map": {`{type: object, minProperties: 1, additionalProperties: {type: string, maxLength: 4}}`,
			"| `f` | map of strings |  | at least 1 entries |  |\n| `f.*` | string |  | at most 4 characters |  |\n"},
		"a list of objects": {`{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [id], items: {type: object, required: [id], properties: {id: {type: string}}}}`,
			"| `f` | array of objects |  | one item for each `id` |  |\n| `f[]` | object |  |  |  |\n| `f[].id` | string, required |  |  |  |\n"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := page(api{Versions: []version{{Name: "v1", Schema: &extv1.JSONSchemaProps{
				Properties: map[string]extv1.JSONSchemaProps{"f": *schema(t, c.schema)},
			}}}})
			require.NoError(t, err)
			require.Contains(t, text, "|---|---|---|---|---|\n"+c.want+"\n## Columns")
		})
	}
}

func TestEachRuleIsToldWithItsMessage(t *testing.T) {
	text, err := page(api{Versions: []version{{Name: "v1", Schema: schema(t, `
type: object
x-kubernetes-validations: [{rule: size(self.metadata.name) < 9, fieldPath: .metadata.name, message: too long}, {rule: has(self.a), message: needs a}]
properties:
  spec:
    type: object
    x-kubernetes-validations: [{rule: "self.a ||\nself.b", fieldPath: .b, message: a or b}]
    properties:
      a: {type: string, x-kubernetes-validations: [{rule: "self != ''", messageExpression: "'not ' + self"}]}
`)}}})
	require.NoError(t, err)
	for _, row := range []string{
		"| `metadata.name` | too long | `size(self.metadata.name) < 9` |\n",
		"| the object | needs a | `has(self.a)` |\n",
		"| `spec.b` | a or b | `self.a \\|\\| self.b` |\n",
		"| `spec.a` | `'not ' + self` | `self != ''` |\n",
	} {
		require.Contains(t, text, row)
	}
}

func TestAKeywordThatWouldBeLeftOutIsRefused(t *testing.T) {
	for _, text := range []string{
		`{type: string, nullable: true}`,
		`{type: integer, multipleOf: 2}`,
		`{type: integer, minimum: 1, exclusiveMinimum: true}`,
		`{type: object, oneOf: [{required: [a]}]}`,
		`{type: object, properties: {a: {type: string, title: A}}}`,
	} {
		_, err := fields("spec", schema(t, text), true)
		require.ErrorContains(t, err, "the schema has a keyword that the reference would leave out", text)
	}
}

const xrd = `
apiVersion: apiextensions.crossplane.io/v1
kind: CompositeResourceDefinition
metadata: {name: xboxes.example.org}
spec:
  group: example.org
  scope: LegacyCluster
  names: {kind: XBox, plural: xboxes, singular: xbox, listKind: XBoxList}
  versions:
    - name: v1
      served: true
      referenceable: true
      schema: {openAPIV3Schema: {type: object, description: A Box holds things., properties: {spec: {type: object, properties: {size: {type: string}}}}}}
`

const crd = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lids.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Lid, plural: lids}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, description: "A Lid fits. It closes."}}}
`

func TestEveryKindHasAPageAndNoOtherPageIsLeft(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"apis/box/definition.yaml": xrd, "package/crds/lids.yaml": crd, "docs/api/gone.md": "a kind that was removed",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o600))
	}
	require.NoError(t, run(root))

	entries, err := os.ReadDir(filepath.Join(root, "docs/api"))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"README.md", "lid.md", "xbox.md"}, names)
	text, err := os.ReadFile(filepath.Join(root, "docs/api/README.md"))
	require.NoError(t, err)
	require.Contains(t, string(text), "| [Lid](lid.md) | `example.com` | A Lid fits. |\n| [XBox](xbox.md) | `example.org` | A Box holds things. |\n")
	text, err = os.ReadFile(filepath.Join(root, "docs/api/xbox.md"))
	require.NoError(t, err)
	require.Contains(t, string(text), "| kind | `XBox`, of the cluster |")
	require.Contains(t, string(text), "| `spec.size` | string |")
	require.Contains(t, string(text), "\nCrossplane adds `")
}
