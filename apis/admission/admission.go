// Package admission answers what an API server would answer for our APIs, without one: it derives from an XRD the same
// CRDs as Crossplane, checks them as the API server checks a new CRD (structural schema, CEL rules and their cost), and
// defaults and validates objects with the API server's own code. Tests and offline tools use it; the test against a
// real API server proves that the two agree.
package admission

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xcrd"
	xpv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	objectvalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// API is one XRD and the two kinds that Crossplane makes of it.
type API struct {
	XRD   *xpv1.CompositeResourceDefinition
	XR    *Kind
	Claim *Kind
}

// Kind checks the objects of one CRD.
type Kind struct {
	CRD *extv1.CustomResourceDefinition

	structural *schema.Structural
	openAPI    validation.SchemaValidator
	rules      *cel.Validator
}

// Load reads an XRD with one version and claims from a YAML file. It fails where an API server would refuse the XRD's
// CRDs.
func Load(ctx context.Context, path string) (*API, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	xrd := &xpv1.CompositeResourceDefinition{}
	if err := yaml.UnmarshalStrict(b, xrd); err != nil {
		return nil, fmt.Errorf("%s: not a CompositeResourceDefinition v1: %w", path, err)
	}
	for _, v := range xrd.Spec.Versions {
		if err := checkNothingIsDropped(v); err != nil {
			return nil, fmt.Errorf("%s: version %s: %w", path, v.Name, err)
		}
	}
	xr, err := kind(ctx, xrd, xcrd.ForCompositeResource)
	if err != nil {
		return nil, fmt.Errorf("%s: composite resource: %w", path, err)
	}
	claim, err := kind(ctx, xrd, xcrd.ForCompositeResourceClaim)
	if err != nil {
		return nil, fmt.Errorf("%s: claim: %w", path, err)
	}
	return &API{XRD: xrd, XR: xr, Claim: claim}, nil
}

// kept are the keywords that Crossplane takes over from each level of a schema; it drops others without a word, and
// misspelt ones with them. Below a property of spec or status it keeps all that are spelt right.
var kept = map[string][]string{
	"root":   {"description", "properties", "required", "type", "x-kubernetes-validations"},
	"spec":   {"description", "oneOf", "properties", "required", "type", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"},
	"status": {"description", "oneOf", "properties", "required", "type", "x-kubernetes-validations"},
}

func checkNothingIsDropped(v xpv1.CompositeResourceDefinitionVersion) error {
	if v.Schema == nil {
		return errors.New("has no schema")
	}
	raw := v.Schema.OpenAPIV3Schema.Raw
	if err := yaml.UnmarshalStrict(raw, &extv1.JSONSchemaProps{}); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	var root struct {
		Properties map[string]map[string]any `json:"properties"`
	}
	var rootKeywords map[string]any
	if err := errors.Join(yaml.Unmarshal(raw, &root), yaml.Unmarshal(raw, &rootKeywords)); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	levels := map[string]map[string]any{"root": rootKeywords, "spec": root.Properties["spec"], "status": root.Properties["status"]}
	var errs []error
	for _, level := range slices.Sorted(maps.Keys(levels)) {
		for _, keyword := range slices.Sorted(maps.Keys(levels[level])) {
			if !slices.Contains(kept[level], keyword) {
				errs = append(errs, fmt.Errorf("schema: Crossplane drops %q at %s level; use x-kubernetes-validations there", keyword, level))
			}
		}
	}
	return errors.Join(errs...)
}

func kind(ctx context.Context, xrd *xpv1.CompositeResourceDefinition, derive func(*xpv1.CompositeResourceDefinition) (*extv1.CustomResourceDefinition, error)) (*Kind, error) {
	// Both derivations append to the slices of the XRD's names.
	crd, err := derive(xrd.DeepCopy())
	if err != nil {
		return nil, err
	}
	if n := len(crd.Spec.Versions); n != 1 {
		return nil, fmt.Errorf("has %d versions; this package reads one", n)
	}
	// The owner is the XRD, which has no UID before it is in a cluster.
	crd.OwnerReferences = nil
	extv1.SetDefaults_CustomResourceDefinition(crd)
	extv1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
	crd.Status.StoredVersions = []string{crd.Spec.Versions[0].Name}

	internal := &apiextensions.CustomResourceDefinition{}
	if err := extv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, internal, nil); err != nil {
		return nil, err
	}
	if errs := crdvalidation.ValidateCustomResourceDefinition(ctx, internal); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}

	return Of(crd)
}

// Of checks the objects of a CRD with one version, which an API server is known to accept.
func Of(crd *extv1.CustomResourceDefinition) (*Kind, error) {
	props := &apiextensions.JSONSchemaProps{}
	if err := extv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, props, nil); err != nil {
		return nil, err
	}
	structural, err := schema.NewStructural(props)
	if err != nil {
		return nil, err
	}
	openAPI, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		return nil, err
	}
	return &Kind{
		CRD:        crd,
		structural: structural,
		openAPI:    openAPI,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}

// Default sets the schema's defaults in the object.
func (k *Kind) Default(obj *unstructured.Unstructured) {
	defaulting.Default(obj.Object, k.structural)
}

// ValidateCreate tells what a create would be refused for, unknown fields included. Call Default first.
func (k *Kind) ValidateCreate(ctx context.Context, obj *unstructured.Unstructured) error {
	if err := k.decode(obj); err != nil {
		return err
	}
	errs := k.validateObject(obj)
	errs = append(errs, validation.ValidateCustomResource(nil, obj.Object, k.openAPI)...)
	return k.validateRules(ctx, errs, obj.Object, nil)
}

// ValidateUpdate tells what an update would be refused for, except that it knows no ratcheting: what was wrong before
// counts as wrong.
func (k *Kind) ValidateUpdate(ctx context.Context, obj, old *unstructured.Unstructured) error {
	if err := k.decode(obj); err != nil {
		return err
	}
	errs := k.validateObject(obj)
	errs = append(errs, validation.ValidateCustomResourceUpdate(nil, obj.Object, old.Object, k.openAPI)...)
	return k.validateRules(ctx, errs, obj.Object, old.Object)
}

// decode refuses another kind and unknown fields. As with kubectl, an object that has such is not looked at further.
func (k *Kind) decode(obj *unstructured.Unstructured) error {
	gvk := obj.GroupVersionKind()
	version := k.CRD.Spec.Versions[0].Name
	if gvk.Group != k.CRD.Spec.Group || gvk.Version != version || gvk.Kind != k.CRD.Spec.Names.Kind {
		return fmt.Errorf("is %s; must be %s of %s/%s", gvk, k.CRD.Spec.Names.Kind, k.CRD.Spec.Group, version)
	}
	var errs []error
	for _, path := range pruning.PruneWithOptions(obj.DeepCopy().Object, k.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		errs = append(errs, fmt.Errorf("unknown field %q", path))
	}
	return errors.Join(errs...)
}

func (k *Kind) validateObject(obj *unstructured.Unstructured) field.ErrorList {
	namespaced := k.CRD.Spec.Scope == extv1.NamespaceScoped
	errs := objectvalidation.ValidateObjectMetaAccessor(obj, namespaced, objectvalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	return append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, obj.Object)...)
}

// validateRules runs the CEL rules unless an error so far makes their input unsafe, as the API server does.
func (k *Kind) validateRules(ctx context.Context, errs field.ErrorList, obj, old map[string]any) error {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return errors.Join(errs.ToAggregate(), errors.New("some rules were not checked because of these errors"))
		default:
		}
	}
	if k.rules != nil {
		broken, _ := k.rules.Validate(ctx, nil, k.structural, obj, old, celconfig.RuntimeCELCostBudget)
		errs = append(errs, broken...)
	}
	return errs.ToAggregate()
}
