package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xcrd"
	xpv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// api is one kind that users write, and what is to be told of it.
type api struct {
	// Source is the file that defines it, relative to the repository.
	Source string
	Group  string
	Names  extv1.CustomResourceDefinitionNames
	Scope  extv1.ResourceScope
	// Composite is the kind that Crossplane makes of a claim, empty if this is no claim.
	Composite      string
	ConnectionKeys []string
	Versions       []version
}

type version struct {
	Name    string
	Columns []extv1.CustomResourceColumnDefinition
	Schema  *extv1.JSONSchemaProps
	// Added are the fields that Crossplane adds to each property of the schema, such as spec.
	Added map[string][]string
}

func (a api) file() string { return strings.ToLower(a.Names.Kind) + ".md" }

// load reads all APIs, sorted by group and kind.
func load(root string) ([]api, error) {
	var apis []api
	for _, source := range []struct {
		pattern string
		read    func([]byte) (api, error)
	}{
		{"apis/*/definition.yaml", fromXRD},
		{"package/crds/*.yaml", fromCRD},
	} {
		paths, err := filepath.Glob(filepath.Join(root, source.pattern))
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("there is no file %s below %s", source.pattern, root)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			a, err := source.read(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			relative, err := filepath.Rel(root, path)
			if err != nil {
				return nil, err
			}
			a.Source = filepath.ToSlash(relative)
			apis = append(apis, a)
		}
	}
	slices.SortFunc(apis, func(a, b api) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Names.Kind, b.Names.Kind))
	})
	return apis, nil
}

func fromCRD(text []byte) (api, error) {
	crd := &extv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, crd); err != nil {
		return api{}, err
	}
	a := api{Group: crd.Spec.Group, Names: crd.Spec.Names, Scope: crd.Spec.Scope}
	for _, v := range crd.Spec.Versions {
		if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
			return a, fmt.Errorf("version %s has no schema", v.Name)
		}
		a.Versions = append(a.Versions, version{Name: v.Name, Columns: v.AdditionalPrinterColumns, Schema: v.Schema.OpenAPIV3Schema})
	}
	return a, nil
}

// fromXRD tells of the claim where there is one, which is what users write.
func fromXRD(text []byte) (api, error) {
	xrd := &xpv1.CompositeResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, xrd); err != nil {
		return api{}, err
	}
	derive := xcrd.ForCompositeResource
	if xrd.Spec.ClaimNames != nil {
		derive = xcrd.ForCompositeResourceClaim
	}
	crd, err := derive(xrd.DeepCopy())
	if err != nil {
		return api{}, err
	}
	a := api{Group: crd.Spec.Group, Names: crd.Spec.Names, Scope: crd.Spec.Scope, ConnectionKeys: xrd.Spec.ConnectionSecretKeys}
	if xrd.Spec.ClaimNames != nil {
		a.Composite = xrd.Spec.Names.Kind
	}
	for i, v := range crd.Spec.Versions {
		own := &extv1.JSONSchemaProps{}
		if err := json.Unmarshal(xrd.Spec.Versions[i].Schema.OpenAPIV3Schema.Raw, own); err != nil {
			return a, fmt.Errorf("version %s: %w", v.Name, err)
		}
		a.Versions = append(a.Versions, version{
			Name: v.Name, Columns: v.AdditionalPrinterColumns, Schema: own, Added: added(own, v.Schema.OpenAPIV3Schema),
		})
	}
	return a, nil
}

// added are the fields of each property that only the derived schema has.
func added(own, derived *extv1.JSONSchemaProps) map[string][]string {
	out := map[string][]string{}
	for name, property := range own.Properties {
		for _, field := range slices.Sorted(maps.Keys(derived.Properties[name].Properties)) {
			if _, ours := property.Properties[field]; !ours {
				out[name] = append(out[name], field)
			}
		}
	}
	return out
}
