package agreement

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	xpv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// Check compares the spec and status of the only version of an XRD with the given structs.
func Check(xrdPath string, spec, status any) ([]string, error) {
	b, err := os.ReadFile(xrdPath)
	if err != nil {
		return nil, err
	}
	xrd := &xpv1.CompositeResourceDefinition{}
	if err := yaml.UnmarshalStrict(b, xrd); err != nil {
		return nil, fmt.Errorf("%s: %w", xrdPath, err)
	}
	if n := len(xrd.Spec.Versions); n != 1 || xrd.Spec.Versions[0].Schema == nil {
		return nil, fmt.Errorf("%s: has %d versions; one with a schema is compared", xrdPath, n)
	}
	schema := extv1.JSONSchemaProps{}
	if err := json.Unmarshal(xrd.Spec.Versions[0].Schema.OpenAPIV3Schema.Raw, &schema); err != nil {
		return nil, fmt.Errorf("%s: schema: %w", xrdPath, err)
	}
	return append(
		Differences("spec", schema.Properties["spec"], reflect.TypeOf(spec)),
		Differences("status", schema.Properties["status"], reflect.TypeOf(status))...,
	), nil
}
