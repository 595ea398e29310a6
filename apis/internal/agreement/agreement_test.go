package agreement_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/apis/internal/agreement"
)

type inlined struct {
	Suspend bool `json:"suspend,omitempty"`
}

type part struct {
	URL   string   `json:"url"`
	Paths []string `json:"paths,omitempty"`
}

type whole struct {
	inlined `json:",inline"`

	Name   string            `json:"name"`
	Count  int64             `json:"count,omitempty"`
	Ratio  float64           `json:"ratio,omitzero"`
	Labels map[string]string `json:"labels,omitempty"`
	Parts  []part            `json:"parts"`
	Best   *part             `json:"best,omitempty"`
	Any    map[string]any    `json:"any,omitempty"`
	Hidden string            `json:"-"`
}

const agreeing = `
type: object
required: [name, parts]
properties:
  suspend: {type: boolean}
  name: {type: string}
  count: {type: integer}
  ratio: {type: number}
  labels: {type: object, additionalProperties: {type: string}}
  parts: {type: array, items: {type: object, required: [url], properties: {url: {type: string}, paths: {type: array, items: {type: string}}}}}
  any: {type: object, x-kubernetes-preserve-unknown-fields: true}
  best: {type: object, required: [url], properties: {url: {type: string}, paths: {type: array, items: {type: string}}}}
`

func TestDifferences(t *testing.T) {
	cases := map[string]struct {
		change func(s *extv1.JSONSchemaProps)
		goType any
		want   []string
	}{
		"a type and a schema that agree": {
			change: func(*extv1.JSONSchemaProps) {},
		},
		"a field is missing in the schema": {
			change: func(s *extv1.JSONSchemaProps) { delete(s.Properties, "count") },
			want:   []string{"spec.count: exists in Go only"},
		},
		"an inlined field is missing in the schema": {
			change: func(s *extv1.JSONSchemaProps) { delete(s.Properties, "suspend") },
			want:   []string{"spec.suspend: exists in Go only"},
		},
		"a field is missing in Go": {
			change: func(s *extv1.JSONSchemaProps) { s.Properties["more"] = extv1.JSONSchemaProps{Type: "string"} },
			want:   []string{"spec.more: exists in the schema only"},
		},
		"a field in the elements of an array is missing in Go": {
			change: func(s *extv1.JSONSchemaProps) {
				s.Properties["parts"].Items.Schema.Properties["more"] = extv1.JSONSchemaProps{Type: "string"}
			},
			want: []string{"spec.parts[].more: exists in the schema only"},
		},
		"a type differs": {
			change: func(s *extv1.JSONSchemaProps) { s.Properties["count"] = extv1.JSONSchemaProps{Type: "string"} },
			want:   []string{`spec.count: is "string" in the schema, but the Go type int64 is "integer"`},
		},
		"the type of elements differs behind a pointer": {
			change: func(s *extv1.JSONSchemaProps) {
				s.Properties["best"].Properties["paths"].Items.Schema.Type = "boolean"
			},
			want: []string{`spec.best.paths[]: is "boolean" in the schema, but the Go type string is "string"`},
		},
		"the values of a map differ": {
			change: func(s *extv1.JSONSchemaProps) {
				s.Properties["labels"].AdditionalProperties.Schema.Type = "integer"
			},
			want: []string{`spec.labels{}: is "integer" in the schema, but the Go type string is "string"`},
		},
		"a required field has omitempty": {
			change: func(s *extv1.JSONSchemaProps) { s.Required = append(s.Required, "count") },
			want:   []string{"spec.count: is required in the schema: true, has omitempty in Go: true; exactly one must be"},
		},
		"an optional field has no omitempty": {
			change: func(s *extv1.JSONSchemaProps) { s.Required = []string{"parts"} },
			want:   []string{"spec.name: is required in the schema: false, has omitempty in Go: false; exactly one must be"},
		},
		"a required field does not exist": {
			change: func(s *extv1.JSONSchemaProps) { s.Required = append(s.Required, "nmae") },
			want:   []string{"spec.nmae: is required, but the schema does not define it"},
		},
		"an array of anything": {
			change: func(s *extv1.JSONSchemaProps) { s.Properties["parts"] = extv1.JSONSchemaProps{Type: "array"} },
			want:   []string{"spec.parts: the schema does not say what the array holds"},
		},
		"a map of anything": {
			change: func(s *extv1.JSONSchemaProps) { s.Properties["labels"] = extv1.JSONSchemaProps{Type: "object"} },
			want:   []string{"spec.labels: the schema does not say what the map holds; set additionalProperties"},
		},
		"a map of anything whose schema is a map of something": {
			change: func(s *extv1.JSONSchemaProps) {
				s.Properties["any"] = extv1.JSONSchemaProps{Type: "object", AdditionalProperties: &extv1.JSONSchemaPropsOrBool{Schema: &extv1.JSONSchemaProps{Type: "string"}}}
			},
			want: []string{`spec.any{}: is "string" in the schema, but the Go type interface {} is "not expressible: interface"`},
		},
		"a Go field without a JSON name": {
			change: func(s *extv1.JSONSchemaProps) { *s = extv1.JSONSchemaProps{Type: "object"} },
			goType: struct{ Name string }{},
			want:   []string{"spec: the Go field Name has no JSON name"},
		},
		"a Go type that JSON cannot hold": {
			change: func(s *extv1.JSONSchemaProps) { *s = extv1.JSONSchemaProps{Type: "string"} },
			goType: make(chan int),
			want:   []string{`spec: is "string" in the schema, but the Go type chan int is "not expressible: chan"`},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			schema := extv1.JSONSchemaProps{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(agreeing), &schema))
			c.change(&schema)
			if c.goType == nil {
				c.goType = whole{}
			}
			require.Equal(t, c.want, agreement.Differences("spec", schema, reflect.TypeOf(c.goType)))
		})
	}
}
