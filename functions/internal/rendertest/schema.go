package rendertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/apis/admission"
)

// scheme has the Go types of the kinds that every API server serves.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	return s
}()

// clusterScoped are the kinds of scheme that functions compose and that have no namespace.
var clusterScoped = map[string]bool{"Namespace": true, "ClusterRole": true, "ClusterRoleBinding": true}

// schemas finds the schema of each kind, and reads it once.
type schemas struct {
	root  string
	files map[string]string

	mu    sync.Mutex
	apis  map[string]*admission.API
	crds  map[string][]*extv1.CustomResourceDefinition
	kinds map[schema.GroupVersionKind]*admission.Kind
}

var readSchemas = sync.OnceValues(newSchemas)

func sharedSchemas(tb testing.TB) *schemas {
	tb.Helper()
	s, err := readSchemas()
	require.NoError(tb, err)
	return s
}

func newSchemas() (*schemas, error) {
	root, err := filepath.Abs(".")
	if err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return nil, errors.New("no go.mod above this folder")
		}
		root = filepath.Dir(root)
	}
	s := &schemas{
		root: root, files: map[string]string{}, apis: map[string]*admission.API{},
		crds: map[string][]*extv1.CustomResourceDefinition{}, kinds: map[schema.GroupVersionKind]*admission.Kind{},
	}
	for _, glob := range []string{"package/crds/*.yaml", ".cache/crds/*/*.yaml", "apis/*/definition.yaml"} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(glob)))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("there is no %s; run make crds", glob)
		}
		for _, p := range found {
			b, err := os.ReadFile(p)
			if err != nil {
				return nil, err
			}
			s.files[p] = string(b)
		}
	}
	return s, nil
}

// api is one of our own XRDs.
func (s *schemas) api(function string) (*admission.API, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(filepath.Join(s.root, "apis", function, "definition.yaml"))
}

func (s *schemas) load(definition string) (*admission.API, error) {
	if api, ok := s.apis[definition]; ok {
		return api, nil
	}
	api, err := admission.Load(context.Background(), definition)
	if err == nil {
		s.apis[definition] = api
	}
	return api, err
}

// crdNamed is the CRD of that name, nil if there is none.
func (s *schemas) crdNamed(name string) (*extv1.CustomResourceDefinition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find("name: "+name+"\n", func(crd *extv1.CustomResourceDefinition) bool { return crd.Name == name })
}

// crdOf is the CRD of a kind.
func (s *schemas) crdOf(gvk schema.GroupVersionKind) (*extv1.CustomResourceDefinition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	crd, err := s.find("kind: "+gvk.Kind+"\n", func(crd *extv1.CustomResourceDefinition) bool {
		return crd.Spec.Group == gvk.Group && crd.Spec.Names.Kind == gvk.Kind
	})
	if err == nil && crd == nil {
		err = fmt.Errorf("no CRD of %s is known; is it in .cache/crds or package/crds?", gvk)
	}
	return crd, err
}

// Resources are those of an API group that has CRDs, sorted.
func Resources(tb testing.TB, group string) []string {
	tb.Helper()
	s := sharedSchemas(tb)
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	_, err := s.find("group: "+group+"\n", func(crd *extv1.CustomResourceDefinition) bool {
		if crd.Spec.Group == group {
			all = append(all, crd.Spec.Names.Plural)
		}
		return false
	})
	require.NoError(tb, err)
	require.NotEmpty(tb, all, "no CRD is of the group %s", group)
	slices.Sort(all)
	return all
}

// find parses only the files that hold a text, since some CRDs are large.
func (s *schemas) find(text string, matches func(*extv1.CustomResourceDefinition) bool) (*extv1.CustomResourceDefinition, error) {
	for p, content := range s.files {
		if !strings.Contains(content, text) {
			continue
		}
		crds, ok := s.crds[p]
		if !ok {
			var err error
			if crds, err = s.parse(p, content); err != nil {
				return nil, fmt.Errorf("%s: %w", p, err)
			}
			s.crds[p] = crds
		}
		for _, crd := range crds {
			if matches(crd) {
				return crd, nil
			}
		}
	}
	return nil, nil
}

func (s *schemas) parse(p, content string) ([]*extv1.CustomResourceDefinition, error) {
	if filepath.Base(p) == "definition.yaml" {
		api, err := s.load(p)
		if err != nil {
			return nil, err
		}
		return []*extv1.CustomResourceDefinition{api.XR.CRD, api.Claim.CRD}, nil
	}
	var out []*extv1.CustomResourceDefinition
	for _, doc := range strings.Split("\n"+content, "\n---") {
		if !strings.Contains(doc, "\nkind: CustomResourceDefinition") {
			continue
		}
		crd := &extv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal([]byte(doc), crd); err != nil {
			return nil, err
		}
		out = append(out, crd)
	}
	return out, nil
}

// kind checks objects of one version of a CRD.
func (s *schemas) kind(gvk schema.GroupVersionKind) (*admission.Kind, error) {
	crd, err := s.crdOf(gvk)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.kinds[gvk]; ok {
		return k, nil
	}
	one := *crd
	one.Spec.Versions = nil
	for _, v := range crd.Spec.Versions {
		if v.Name == gvk.Version && v.Served {
			one.Spec.Versions = []extv1.CustomResourceDefinitionVersion{v}
		}
	}
	if one.Spec.Versions == nil {
		return nil, fmt.Errorf("CRD %s does not serve version %s", crd.Name, gvk.Version)
	}
	k, err := admission.Of(&one)
	if err == nil {
		s.kinds[gvk] = k
	}
	return k, err
}

// check tells what an API server would refuse a composed object for, or what Crossplane must not send.
func (s *schemas) check(ctx context.Context, o *unstructured.Unstructured) error {
	if _, ok := o.Object["status"]; ok {
		return errors.New("has a status, which belongs to the object's controller")
	}
	if o.GetUID() != "" || o.GetResourceVersion() != "" || o.GetGenerateName() != "" || len(o.GetOwnerReferences()) > 0 || o.GetManagedFields() != nil {
		return errors.New("has metadata that the API server or Crossplane sets")
	}
	gvk := o.GroupVersionKind()
	if scheme.Recognizes(gvk) {
		return checkBuiltIn(o, gvk)
	}
	k, err := s.kind(gvk)
	if err != nil {
		return err
	}
	defaulted := o.DeepCopy()
	k.Default(defaulted)
	return k.ValidateCreate(ctx, defaulted)
}

func checkBuiltIn(o *unstructured.Unstructured, gvk schema.GroupVersionKind) error {
	typed, err := scheme.New(gvk)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(o.Object)
	if err != nil {
		return err
	}
	unknown, err := kjson.UnmarshalStrict(raw, typed)
	if err := errors.Join(append(unknown, err)...); err != nil {
		return err
	}
	name := validation.NameIsDNSSubdomain
	switch {
	case gvk.Group == rbacv1.GroupName:
		name = func(name string, _ bool) []string { return path.IsValidPathSegmentName(name) }
	case gvk.Kind == "Namespace", gvk.Kind == "Service":
		name = validation.NameIsDNSLabel
	}
	return validation.ValidateObjectMetaAccessor(typed.(metav1.Object), !clusterScoped[gvk.Kind], name, field.NewPath("metadata")).ToAggregate()
}
