package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// fieldManager owns what we apply.
const fieldManager = "aphex-controlplane"

// client is an administrator's access to everything, typed or not.
type client struct {
	kubernetes.Interface
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

func newClient(access *rest.Config) (*client, error) {
	// We tell apart what is deprecated ourselves; a warning is noise here.
	access = rest.CopyConfig(access)
	access.WarningHandler = rest.NoWarnings{}
	typed, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, err
	}
	untyped, err := dynamic.NewForConfig(access)
	if err != nil {
		return nil, err
	}
	return &client{
		Interface: typed,
		dynamic:   untyped,
		mapper:    restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery())),
	}, nil
}

// resource finds where objects of obj's kind are served. A kind that is not
// known is looked for again, since CRDs come and go.
func (c *client) resource(obj *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := obj.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	if obj.GetNamespace() == "" {
		return nil, fmt.Errorf("%s has no namespace", describe(obj))
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(obj.GetNamespace()), nil
}

func (c *client) apply(ctx context.Context, obj *unstructured.Unstructured) error {
	resource, err := c.resource(obj)
	if err != nil {
		return err
	}
	if _, err := resource.Apply(ctx, obj.GetName(), obj, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
		return fmt.Errorf("apply %s: %w", describe(obj), err)
	}
	return nil
}

func (c *client) applyStatus(ctx context.Context, obj *unstructured.Unstructured) error {
	resource, err := c.resource(obj)
	if err != nil {
		return err
	}
	if _, err := resource.ApplyStatus(ctx, obj.GetName(), obj, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
		return fmt.Errorf("apply the status of %s: %w", describe(obj), err)
	}
	return nil
}

// Apply applies manifests as an administrator, one after the other, the way
// `kubectl apply --server-side` would.
func (c *ControlPlane) Apply(ctx context.Context, manifests string) error {
	objects, err := decode(manifests)
	if err != nil {
		return err
	}
	for _, obj := range objects {
		if err := c.client.apply(ctx, obj); err != nil {
			return err
		}
	}
	return nil
}

// applyAll applies objects that do not depend on each other.
func (c *ControlPlane) applyAll(ctx context.Context, objects []*unstructured.Unstructured) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(8)
	for _, obj := range objects {
		all.Go(func() error { return c.client.apply(ctx, obj) })
	}
	return all.Wait()
}

// decode reads the objects of a multi-document manifest.
func decode(manifests string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(&obj.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(obj.Object) > 0 {
			objects = append(objects, obj)
		}
	}
}

// readManifests reads the objects of all files that match patterns below root.
func readManifests(root string, patterns ...string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("nothing matches %s; run `make crds`", filepath.Join(root, pattern))
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			read, err := decode(string(data))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			objects = append(objects, read...)
		}
	}
	return objects, nil
}

// ofKind keeps the objects of some kinds.
func ofKind(objects []*unstructured.Unstructured, kinds ...string) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(objects), func(obj *unstructured.Unstructured) bool {
		return !slices.Contains(kinds, obj.GetKind())
	})
}

// installCRDs applies CRDs and waits until the API server serves their kinds. A
// CRD is established a moment before that.
func (c *ControlPlane) installCRDs(ctx context.Context, crds []*unstructured.Unstructured) error {
	for _, crd := range crds {
		if err := c.client.apply(ctx, crd); err != nil {
			return err
		}
	}
	if err := c.awaitCondition(ctx, "Established", crds); err != nil {
		return err
	}
	for _, crd := range crds {
		group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
		plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
		versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
		for _, each := range versions {
			version, _ := each.(map[string]any)
			if version["served"] != true {
				continue
			}
			groupVersion := fmt.Sprintf("%s/%s", group, version["name"])
			if err := await(ctx, plural+" of "+groupVersion+" to be served", func(context.Context) (bool, string, error) {
				served, err := c.client.Discovery().ServerResourcesForGroupVersion(groupVersion)
				if err != nil {
					return later(err)
				}
				return slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == plural }), "not among them", nil
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitCondition waits until a condition of each object is true.
func (c *ControlPlane) awaitCondition(ctx context.Context, condition string, objects []*unstructured.Unstructured) error {
	for _, obj := range objects {
		resource, err := c.client.resource(obj)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%s to be %s", describe(obj), condition)
		if err := await(ctx, what, func(ctx context.Context) (bool, string, error) {
			live, err := resource.Get(ctx, obj.GetName(), metav1.GetOptions{})
			if err != nil {
				return later(err)
			}
			ok, seen := conditionTrue(live, condition)
			return ok, seen, nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// conditionTrue says whether a condition is true and, if not, what it says.
func conditionTrue(obj *unstructured.Unstructured, condition string) (bool, string) {
	for _, c := range conditionsOf(obj) {
		if c["type"] == condition {
			return c["status"] == "True", fmt.Sprintf("%v %v: %v", c["status"], c["reason"], c["message"])
		}
	}
	return false, "no condition " + condition
}

// conditionsOf returns an object's conditions; before it has a status there are
// none.
func conditionsOf(obj *unstructured.Unstructured) []map[string]any {
	field, _, _ := unstructured.NestedFieldNoCopy(obj.Object, "status", "conditions")
	list, _ := field.([]any)
	conditions := make([]map[string]any, 0, len(list))
	for _, each := range list {
		if c, ok := each.(map[string]any); ok {
			conditions = append(conditions, c)
		}
	}
	return conditions
}

// describe names an object in a message.
func describe(obj *unstructured.Unstructured) string {
	if obj.GetNamespace() == "" {
		return obj.GetKind() + " " + obj.GetName()
	}
	return obj.GetKind() + " " + obj.GetNamespace() + "/" + obj.GetName()
}
