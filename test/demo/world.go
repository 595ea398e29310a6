package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// The order in which claims are made and shown; they are deleted in reverse,
// since an organization with repositories cannot go.
var order = []string{"Platform", "KnowledgeBase", "Organization", "RepoBinding"}

// world is what the demo sees of the cluster.
type world struct {
	discovery discovery.DiscoveryInterface
	dynamic   dynamic.Interface
	mapper    meta.RESTMapper
}

// claim is an example and the file that it is from.
type claim struct {
	*unstructured.Unstructured
	file string
}

func newWorld(access *rest.Config) (*world, error) {
	access.WarningHandler = rest.NoWarnings{}
	found, err := discovery.NewDiscoveryClientForConfig(access)
	if err != nil {
		return nil, err
	}
	untyped, err := dynamic.NewForConfig(access)
	if err != nil {
		return nil, err
	}
	return &world{
		discovery: found,
		dynamic:   untyped,
		mapper:    restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found)),
	}, nil
}

// claim applies the examples' claims.
func (w *world) claim(ctx context.Context, examples string) ([]claim, error) {
	files, err := filepath.Glob(filepath.Join(examples, "*", "claim.yaml"))
	if err != nil {
		return nil, err
	}
	var claims []claim
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		c := claim{&unstructured.Unstructured{}, file}
		if err := yaml.UnmarshalStrict(data, &c.Object); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		claims = append(claims, c)
	}
	slices.SortStableFunc(claims, func(a, b claim) int {
		return slices.Index(order, a.GetKind()) - slices.Index(order, b.GetKind())
	})
	for _, c := range claims {
		objects, err := w.objects(c.GroupVersionKind(), c.GetNamespace())
		if err != nil {
			return nil, err
		}
		if _, err := objects.Apply(ctx, c.GetName(), c.Unstructured, metav1.ApplyOptions{FieldManager: "demo", Force: true}); err != nil {
			return nil, fmt.Errorf("apply %s: %w", c.file, err)
		}
	}
	return claims, nil
}

// watch reports what the claims say as they change, and shows their trees at the
// end: once all are ready or, if settled is not 0, once nothing has changed for
// that long.
func (w *world) watch(ctx context.Context, p *printer, claims []claim, settled time.Duration) error {
	began := time.Now()
	said := map[string]string{}
	var trees []*node
	var shape string
	changed := time.Now()
	for {
		var err error
		if trees, err = w.trees(ctx, claims); err != nil {
			return err
		}
		ready, decided := true, true
		for _, tree := range trees {
			ready, decided = ready && tree.ready, decided && tree.phase != ""
			// What a claim repeats from the one that it waits for is not news.
			message, _, _ := strings.Cut(tree.message, ", which is ")
			now := fmt.Sprintf("%s  %-29s %s", tree.state(), tree.kind+" "+tree.name, message)
			if said[tree.title()] != now {
				said[tree.title()] = now
				p.detail("%s", cut(fmt.Sprintf("%-6s %s", short(time.Since(began)), now), widestLine))
			}
		}
		if now := draw(trees); now != shape {
			shape, changed = now, time.Now()
		}
		switch {
		case ready || decided && settled > 0 && time.Since(changed) > settled:
			for _, tree := range trees {
				p.line("")
				for _, line := range tree.render() {
					p.detail("%s", line)
				}
			}
			return w.explain(ctx, p, claims)
		case time.Since(began) > patience:
			return fmt.Errorf("not everything became ready within %s; last seen:\n\n%s", patience, shape)
		}
		select {
		case <-ctx.Done():
			return context.Canceled
		case <-time.After(150 * time.Millisecond):
		}
	}
}

func draw(trees []*node) string {
	var lines []string
	for _, tree := range trees {
		lines = append(lines, tree.render()...)
	}
	return strings.Join(lines, "\n")
}

// explain lists what each claim still waits for.
func (w *world) explain(ctx context.Context, p *printer, claims []claim) error {
	for _, c := range claims {
		live, err := w.get(ctx, c.GroupVersionKind(), c.GetNamespace(), c.GetName())
		if err != nil {
			return err
		}
		lines := waiting(live)
		if len(lines) == 0 {
			continue
		}
		p.line("")
		p.detail("%s %s waits for:", c.GetKind(), c.GetName())
		for _, line := range lines {
			p.detail("  %s", cut(line, widestLine))
		}
	}
	return nil
}

// trees returns what each claim has become so far.
func (w *world) trees(ctx context.Context, claims []claim) ([]*node, error) {
	var trees []*node
	for _, c := range claims {
		live, err := w.get(ctx, c.GroupVersionKind(), c.GetNamespace(), c.GetName())
		if err != nil {
			return nil, err
		}
		tree := nodeOf(live)
		trees = append(trees, tree)
		for _, ref := range references(live, "resourceRef") {
			xr, err := w.child(ctx, tree, ref)
			if err != nil {
				return nil, err
			}
			if xr == nil {
				continue
			}
			// What the claim says, the XR says too.
			branch := tree.children[len(tree.children)-1]
			branch.message = ""
			for _, ref := range references(xr, "resourceRefs") {
				if _, err := w.child(ctx, branch, ref); err != nil {
					return nil, err
				}
			}
			branch.sortChildren()
		}
	}
	return trees, nil
}

// child adds the object of a reference to a tree. One that is not there yet is
// shown as such.
func (w *world) child(ctx context.Context, parent *node, ref reference) (*unstructured.Unstructured, error) {
	obj, err := w.get(ctx, ref.gvk, ref.namespace, ref.name)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		if ref.name != "" {
			parent.children = append(parent.children, &node{kind: ref.gvk.Kind, namespace: ref.namespace, name: ref.name, message: "not made yet"})
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parent.children = append(parent.children, nodeOf(obj))
	return obj, nil
}

// reference names an object.
type reference struct {
	gvk             schema.GroupVersionKind
	namespace, name string
}

// references reads one or a list of references from an object's spec.
func references(obj *unstructured.Unstructured, field string) []reference {
	value, _, _ := unstructured.NestedFieldNoCopy(obj.Object, "spec", field)
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var refs []reference
	for _, each := range list {
		ref, ok := each.(map[string]any)
		if !ok {
			continue
		}
		text := func(key string) string { s, _ := ref[key].(string); return s }
		refs = append(refs, reference{
			gvk:       schema.FromAPIVersionAndKind(text("apiVersion"), text("kind")),
			namespace: text("namespace"),
			name:      text("name"),
		})
	}
	return refs
}

// remove deletes the claims and makes sure that nothing of what they became is
// left.
func (w *world) remove(ctx context.Context, p *printer, claims []claim) error {
	// An organization stays while repositories are bound to it.
	var first, then []claim
	for _, c := range claims {
		if c.GetKind() == "Organization" {
			then = append(then, c)
		} else {
			first = append(first, c)
		}
	}
	for _, together := range [][]claim{first, then} {
		if err := w.removeTogether(ctx, p, together); err != nil {
			return err
		}
	}
	left, err := w.leftovers(ctx)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("the claims are gone, but this is left:\n%s", strings.Join(left, "\n"))
	}
	p.detail("%-44s nothing", "Left of all that they owned")
	return nil
}

// removeTogether deletes claims and waits until they are gone.
func (w *world) removeTogether(ctx context.Context, p *printer, claims []claim) error {
	began := time.Now()
	for _, c := range claims {
		objects, err := w.objects(c.GroupVersionKind(), c.GetNamespace())
		if err != nil {
			return err
		}
		if err := objects.Delete(ctx, c.GetName(), metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	for len(claims) > 0 {
		var left []claim
		for _, c := range claims {
			switch live, err := w.get(ctx, c.GroupVersionKind(), c.GetNamespace(), c.GetName()); {
			case apierrors.IsNotFound(err):
				p.detail("%-44s gone after %s", c.GetKind()+" "+c.GetNamespace()+"/"+c.GetName(), short(time.Since(began)))
			case err != nil:
				return err
			case time.Since(began) > patience:
				owned, _ := w.leftovers(ctx)
				return fmt.Errorf("%s %s is still there after %s: %v; of what it owned there is:\n%s",
					c.GetKind(), c.GetName(), patience, live.Object["status"], strings.Join(owned, "\n"))
			default:
				left = append(left, c)
			}
		}
		claims = left
		select {
		case <-ctx.Done():
			return context.Canceled
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// leftovers lists every object in the cluster that Crossplane composed for
// somebody, of any kind.
func (w *world) leftovers(ctx context.Context) ([]string, error) {
	lists, err := w.discovery.ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") {
				continue
			}
			objects, err := w.dynamic.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{LabelSelector: "crossplane.io/composite"})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", r.Name, err)
			}
			for _, obj := range objects.Items {
				left = append(left, nodeOf(&obj).title())
			}
		}
	}
	slices.Sort(left)
	return left, nil
}

func (w *world) get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	objects, err := w.objects(gvk, namespace)
	if err != nil {
		return nil, err
	}
	obj, err := objects.Get(ctx, name, metav1.GetOptions{})
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, context.Canceled
	}
	return obj, err
}

func (w *world) objects(gvk schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := w.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	return w.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}
