package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// field is one row of the reference.
type field struct {
	Path, Type, Default, Description string
	Required                         bool
	Bounds                           []string
	Rules                            []extv1.ValidationRule
}

// fields lists what is below a schema, depth first and by name, the schema itself first.
func fields(path string, s *extv1.JSONSchemaProps, required bool) ([]field, error) {
	f, err := describe(path, s, required)
	if err != nil {
		return nil, err
	}
	out := []field{f}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		below, err := fields(path+"."+name, &property, slices.Contains(s.Required, name))
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	for _, element := range []struct {
		suffix string
		schema *extv1.JSONSchemaProps
	}{{"[]", items(s)}, {".*", values(s)}} {
		if element.schema == nil {
			continue
		}
		below, err := fields(path+element.suffix, element.schema, false)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}

func items(s *extv1.JSONSchemaProps) *extv1.JSONSchemaProps {
	if s.Items == nil {
		return nil
	}
	return s.Items.Schema
}

func values(s *extv1.JSONSchemaProps) *extv1.JSONSchemaProps {
	if s.AdditionalProperties == nil {
		return nil
	}
	return s.AdditionalProperties.Schema
}

func describe(path string, s *extv1.JSONSchemaProps, required bool) (field, error) {
	if err := checkKnown(path, s); err != nil {
		return field{}, err
	}
	f := field{
		Path: path, Type: typeName(s), Description: oneLine(s.Description),
		Required: required, Bounds: bounds(s), Rules: s.XValidations,
	}
	if s.Default != nil {
		var compact bytes.Buffer
		if err := json.Compact(&compact, s.Default.Raw); err != nil {
			return f, fmt.Errorf("%s: default: %w", path, err)
		}
		f.Default = compact.String()
	}
	return f, nil
}

// checkKnown refuses what this program would leave out.
func checkKnown(path string, s *extv1.JSONSchemaProps) error {
	known := extv1.JSONSchemaProps{
		Type: s.Type, Format: s.Format, Description: s.Description, Default: s.Default, Enum: s.Enum,
		Minimum: s.Minimum, Maximum: s.Maximum, MinLength: s.MinLength, MaxLength: s.MaxLength, Pattern: s.Pattern,
		MinItems: s.MinItems, MaxItems: s.MaxItems, MinProperties: s.MinProperties, MaxProperties: s.MaxProperties,
		Properties: s.Properties, Required: s.Required, Items: s.Items, AdditionalProperties: s.AdditionalProperties,
		XValidations: s.XValidations, XListType: s.XListType, XListMapKeys: s.XListMapKeys, XMapType: s.XMapType,
		XPreserveUnknownFields: s.XPreserveUnknownFields, XIntOrString: s.XIntOrString,
	}
	have, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	told, err := json.Marshal(known)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !bytes.Equal(have, told) {
		return fmt.Errorf("%s: the schema has a keyword that the reference would leave out; teach docs/internal/apidocs to tell it: %s", path, have)
	}
	return nil
}

func typeName(s *extv1.JSONSchemaProps) string {
	switch {
	case s.XIntOrString:
		return "integer or string"
	case items(s) != nil:
		return "array of " + plural(typeName(items(s)))
	case values(s) != nil:
		return "map of " + plural(typeName(values(s)))
	case s.Type == "":
		return "any"
	case s.Format != "":
		return s.Type + " (" + s.Format + ")"
	default:
		return s.Type
	}
}

func plural(name string) string {
	word, rest, found := strings.Cut(name, " ")
	if found {
		rest = " " + rest
	}
	return word + "s" + rest
}

func bounds(s *extv1.JSONSchemaProps) []string {
	var out []string
	add := func(text string) {
		if text != "" {
			out = append(out, text)
		}
	}
	if len(s.Enum) > 0 {
		names := make([]string, 0, len(s.Enum))
		for _, value := range s.Enum {
			names = append(names, code(strings.Trim(string(value.Raw), `"`)))
		}
		add(strings.Join(names, ", "))
	}
	add(span(number(s.Minimum), number(s.Maximum), ""))
	add(span(count(s.MinLength), count(s.MaxLength), " characters"))
	add(span(count(s.MinItems), count(s.MaxItems), " items"))
	add(span(count(s.MinProperties), count(s.MaxProperties), " entries"))
	if s.Pattern != "" {
		add("matches " + code(s.Pattern))
	}
	switch {
	case s.XListType == nil:
	case *s.XListType == "set":
		add("no item twice")
	case *s.XListType == "map":
		add("one item for each " + code(strings.Join(s.XListMapKeys, ", ")))
	}
	if s.XPreserveUnknownFields != nil && *s.XPreserveUnknownFields {
		add("any fields")
	}
	return out
}

func number(n *float64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatFloat(*n, 'f', -1, 64)
}

func count(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func span(low, high, unit string) string {
	switch {
	case low == "" && high == "":
		return ""
	case low == "":
		return "at most " + high + unit
	case high == "":
		return "at least " + low + unit
	case low == high:
		return low + unit
	default:
		return low + " to " + high + unit
	}
}
