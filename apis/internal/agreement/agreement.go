// Package agreement finds the differences between a Go type and the part of an XRD's schema that it stands for. It
// compares names, types, and whether a field may be absent, both ways and at every depth; patterns, bounds and other
// rules exist only in the schema.
package agreement

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Differences compares a struct with an object schema. Each difference starts with the path of the field.
func Differences(path string, schema extv1.JSONSchemaProps, goType reflect.Type) []string {
	for goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	if want := schemaType(goType); want != schema.Type {
		return []string{fmt.Sprintf("%s: is %q in the schema, but the Go type %s is %q", path, schema.Type, goType, want)}
	}

	switch goType.Kind() {
	case reflect.Struct:
		return structDifferences(path, schema, goType)
	case reflect.Slice:
		if schema.Items == nil || schema.Items.Schema == nil {
			return []string{path + ": the schema does not say what the array holds"}
		}
		return Differences(path+"[]", *schema.Items.Schema, goType.Elem())
	case reflect.Map:
		if schema.XPreserveUnknownFields != nil && *schema.XPreserveUnknownFields && goType.Elem().Kind() == reflect.Interface {
			return nil
		}
		if schema.AdditionalProperties == nil || schema.AdditionalProperties.Schema == nil {
			return []string{path + ": the schema does not say what the map holds; set additionalProperties"}
		}
		return Differences(path+"{}", *schema.AdditionalProperties.Schema, goType.Elem())
	default:
		return nil
	}
}

func structDifferences(path string, schema extv1.JSONSchemaProps, goType reflect.Type) []string {
	fields := map[string]goField{}
	diffs := collect(path, goType, fields)

	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at, f := path+"."+name, fields[name]
		property, ok := schema.Properties[name]
		if !ok {
			diffs = append(diffs, fmt.Sprintf("%s: exists in Go only", at))
			continue
		}
		if required := slices.Contains(schema.Required, name); required == f.optional {
			diffs = append(diffs, fmt.Sprintf("%s: is required in the schema: %t, has omitempty in Go: %t; exactly one must be", at, required, f.optional))
		}
		diffs = append(diffs, Differences(at, property, f.goType)...)
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		if _, ok := fields[name]; !ok {
			diffs = append(diffs, fmt.Sprintf("%s.%s: exists in the schema only", path, name))
		}
	}
	for _, name := range schema.Required {
		if _, ok := schema.Properties[name]; !ok {
			diffs = append(diffs, fmt.Sprintf("%s.%s: is required, but the schema does not define it", path, name))
		}
	}
	return diffs
}

type goField struct {
	goType   reflect.Type
	optional bool
}

// collect reads the JSON fields of a struct, those of inlined structs included.
func collect(path string, goType reflect.Type, into map[string]goField) []string {
	var diffs []string
	for f := range goType.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			diffs = append(diffs, collect(path, f.Type, into)...)
		case name == "-" || !f.IsExported():
			continue
		case name == "":
			diffs = append(diffs, fmt.Sprintf("%s: the Go field %s has no JSON name", path, f.Name))
		default:
			optional := slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return o == "omitempty" || o == "omitzero" })
			into[name] = goField{goType: f.Type, optional: optional}
		}
	}
	return diffs
}

// schemaType is the OpenAPI type that a Go value becomes in JSON.
func schemaType(goType reflect.Type) string {
	switch goType.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	default:
		return "not expressible: " + goType.Kind().String()
	}
}
