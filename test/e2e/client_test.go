package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/test/controlplane"
)

const (
	// patience is for what takes seconds when the machine is idle; it usually shares two processors with much else.
	patience = 4 * time.Minute
	// often is how often a condition is looked at.
	often = 100 * time.Millisecond
)

// kinds are all that these tests look at.
var kinds = map[string]schema.GroupVersionResource{
	"Organization":             {Group: "aphex.io", Version: "v1alpha1", Resource: "organizations"},
	"XOrganization":            {Group: "aphex.io", Version: "v1alpha1", Resource: "xorganizations"},
	"RepoBinding":              {Group: "aphex.io", Version: "v1alpha1", Resource: "repobindings"},
	"XRepoBinding":             {Group: "aphex.io", Version: "v1alpha1", Resource: "xrepobindings"},
	"KnowledgeBase":            {Group: "aphex.io", Version: "v1alpha1", Resource: "knowledgebases"},
	"XKnowledgeBase":           {Group: "aphex.io", Version: "v1alpha1", Resource: "xknowledgebases"},
	"Platform":                 {Group: "aphex.io", Version: "v1alpha1", Resource: "platforms"},
	"XPlatform":                {Group: "aphex.io", Version: "v1alpha1", Resource: "xplatforms"},
	"EnvironmentConfig":        {Group: "apiextensions.crossplane.io", Version: "v1beta1", Resource: "environmentconfigs"},
	"Tunnel":                   {Group: "cloudflare.aphex.io", Version: "v1alpha1", Resource: "tunnels"},
	"DNSRecord":                {Group: "cloudflare.aphex.io", Version: "v1alpha1", Resource: "dnsrecords"},
	"Namespace":                {Version: "v1", Resource: "namespaces"},
	"CustomResourceDefinition": {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
	"ConfigMap":                {Version: "v1", Resource: "configmaps"},
	"Secret":                   {Version: "v1", Resource: "secrets"},
	"ServiceAccount":           {Version: "v1", Resource: "serviceaccounts"},
	"ResourceQuota":            {Version: "v1", Resource: "resourcequotas"},
	"LimitRange":               {Version: "v1", Resource: "limitranges"},
	"Service":                  {Version: "v1", Resource: "services"},
	"Event":                    {Version: "v1", Resource: "events"},
	"Deployment":               {Group: "apps", Version: "v1", Resource: "deployments"},
	"Job":                      {Group: "batch", Version: "v1", Resource: "jobs"},
	"NetworkPolicy":            {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	"PodDisruptionBudget":      {Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
	"Role":                     {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	"RoleBinding":              {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	"ClusterRole":              {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	"ClusterRoleBinding":       {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	"Pipeline":                 {Group: "tekton.dev", Version: "v1", Resource: "pipelines"},
	"PipelineRun":              {Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"},
	"EventListener":            {Group: "triggers.tekton.dev", Version: "v1beta1", Resource: "eventlisteners"},
	"Trigger":                  {Group: "triggers.tekton.dev", Version: "v1beta1", Resource: "triggers"},
	"TriggerBinding":           {Group: "triggers.tekton.dev", Version: "v1beta1", Resource: "triggerbindings"},
	"TriggerTemplate":          {Group: "triggers.tekton.dev", Version: "v1beta1", Resource: "triggertemplates"},
	"AppProject":               {Group: "argoproj.io", Version: "v1alpha1", Resource: "appprojects"},
	"Application":              {Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"},
	"Certificate":              {Group: "cert-manager.io", Version: "v1", Resource: "certificates"},
	"ClusterIssuer":            {Group: "cert-manager.io", Version: "v1", Resource: "clusterissuers"},
	"ClusterSecretStore":       {Group: "external-secrets.io", Version: "v1", Resource: "clustersecretstores"},
}

// object is an object as the API server has it.
type object = unstructured.Unstructured

// ref names an object the way the platform's messages do: "Kind name" or "Kind namespace/name".
type ref string

func refTo(format string, args ...any) ref { return ref(fmt.Sprintf(format, args...)) }

func refOf(o *object) ref {
	if o.GetNamespace() == "" {
		return refTo("%s %s", o.GetKind(), o.GetName())
	}
	return refTo("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
}

func (r ref) parts() (kind, namespace, name string) {
	kind, name, _ = strings.Cut(string(r), " ")
	if before, after, ok := strings.Cut(name, "/"); ok {
		namespace, name = before, after
	}
	return kind, namespace, name
}

func (r ref) kind() string {
	kind, _, _ := r.parts()
	return kind
}

func (r ref) namespace() string {
	_, namespace, _ := r.parts()
	return namespace
}

func (r ref) name() string {
	_, _, name := r.parts()
	return name
}

// cluster is a control plane and an administrator of it.
type cluster struct {
	*controlplane.ControlPlane
	dynamic dynamic.Interface
	kube    kubernetes.Interface

	// connectCloudflare gives the platform an API token, the first time.
	connectCloudflare func() error

	// leaving are the claims of tests that are over.
	leaving sync.WaitGroup
	mu      sync.Mutex
	stayed  []error
}

func connect(started *controlplane.ControlPlane) (*cluster, error) {
	c := &cluster{ControlPlane: started}
	c.connectCloudflare = sync.OnceValue(func() error { return started.ConnectCloudflare(context.Background()) })
	var err error
	if c.dynamic, err = dynamic.NewForConfig(started.RESTConfig()); err != nil {
		return nil, err
	}
	c.kube, err = kubernetes.NewForConfig(started.RESTConfig())
	return c, err
}

// client is for the kind and namespace of one object.
func (c *cluster) client(r ref) dynamic.ResourceInterface {
	kind, namespace, _ := r.parts()
	gvr, ok := kinds[kind]
	if !ok {
		panic("these tests do not know the kind of " + string(r))
	}
	return c.dynamic.Resource(gvr).Namespace(namespace)
}

// get is an object, or the API server's error.
func (c *cluster) get(ctx context.Context, r ref) (*object, error) {
	return c.client(r).Get(ctx, r.name(), metav1.GetOptions{})
}

// see is an object that has to be there.
func (c *cluster) see(t *testing.T, r ref) *object {
	t.Helper()
	o, err := c.get(t.Context(), r)
	require.NoError(t, err, r)
	return o
}

// missing requires that an object is not there.
func (c *cluster) missing(t *testing.T, r ref) {
	t.Helper()
	o, err := c.get(t.Context(), r)
	require.True(t, apierrors.IsNotFound(err), "%s is there: %v, %v", r, o, err)
}

// await returns an object once it is as wanted. The check says what is not.
func (c *cluster) await(t *testing.T, r ref, check func(*object) error) *object {
	t.Helper()
	var seen *object
	eventually(t, func(ctx context.Context) error {
		o, err := c.get(ctx, r)
		if err != nil {
			return err
		}
		if err := check(o); err != nil {
			return fmt.Errorf("%s: %w; its status: %v", r, err, o.Object["status"])
		}
		seen = o
		return nil
	})
	return seen
}

// awaitGone returns once an object is no longer there.
func (c *cluster) awaitGone(t *testing.T, r ref) {
	t.Helper()
	eventually(t, func(ctx context.Context) error { return c.gone(ctx, r) })
}

func (c *cluster) gone(ctx context.Context, r ref) error {
	o, err := c.get(ctx, r)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	default:
		return fmt.Errorf("%s is still there, its finalizers %v, its status: %v", r, o.GetFinalizers(), o.Object["status"])
	}
}

// patch changes an object by a JSON merge patch in YAML: null takes a field out.
func (c *cluster) patch(t *testing.T, r ref, patch string) *object {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(patch))
	require.NoError(t, err)
	o, err := c.client(r).Patch(t.Context(), r.name(), types.MergePatchType, raw, metav1.PatchOptions{FieldManager: "e2e"})
	require.NoError(t, err, r)
	return o
}

// create makes an object that lasts until the end of the test.
func (c *cluster) create(t *testing.T, o *object) ref {
	t.Helper()
	r := refOf(o)
	_, err := c.client(r).Create(t.Context(), o, metav1.CreateOptions{FieldManager: "e2e"})
	require.NoError(t, err, r)
	c.cleanUp(t, r)
	return r
}

// cleanUp deletes an object after the test, in the background, since claims and namespaces take their time to go and an
// organization waits for its bindings. The tests are over when all are gone.
func (c *cluster) cleanUp(t *testing.T, r ref) {
	t.Helper()
	t.Cleanup(func() {
		c.leaving.Go(func() {
			var seen error
			err := wait.PollUntilContextTimeout(context.Background(), time.Second, 3*patience, true, func(ctx context.Context) (bool, error) {
				seen = c.client(r).Delete(ctx, r.name(), metav1.DeleteOptions{})
				if seen == nil {
					seen = errors.New("it is still there")
				}
				return apierrors.IsNotFound(seen), nil
			})
			if err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.stayed = append(c.stayed, fmt.Errorf("%s stays: %w", r, seen))
			}
		})
	})
}

// awaitLeaving returns when everything that was cleaned up is gone.
func (c *cluster) awaitLeaving() error {
	c.leaving.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.stayed...)
}

// remove deletes an object and returns when it is gone.
func (c *cluster) remove(t *testing.T, r ref) {
	t.Helper()
	require.NoError(t, c.client(r).Delete(t.Context(), r.name(), metav1.DeleteOptions{}), r)
	c.awaitGone(t, r)
}

// namespace makes a namespace for one test.
func (c *cluster) namespace(t *testing.T, name string) string {
	t.Helper()
	_, err := c.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
	c.cleanUp(t, refTo("Namespace %s", name))
	return name
}

// eventually returns when the check finds nothing wrong any more, and fails the test with what it found last.
func eventually(t *testing.T, check func(context.Context) error) {
	t.Helper()
	within(t, patience, check)
}

func within(t *testing.T, limit time.Duration, check func(context.Context) error) {
	t.Helper()
	var seen error
	err := wait.PollUntilContextTimeout(t.Context(), often, limit, true, func(ctx context.Context) (bool, error) {
		// A poll that the deadline cut off says less than the one before.
		if err := check(ctx); err == nil || ctx.Err() == nil {
			seen = err
		}
		return seen == nil, nil
	})
	require.NoError(t, err, "after %s; last seen: %v", limit, seen)
}

// text is the string at a path, such as "status.phase"; empty if there is none.
func text(o *object, path string) string {
	s, _, _ := unstructured.NestedString(o.Object, strings.Split(path, ".")...)
	return s
}

// condition is an entry of status.conditions.
func condition(o *object, conditionType string) (status, reason, message string) {
	for _, c := range list(o, "status.conditions") {
		if c["type"] == conditionType {
			return fmt.Sprint(c["status"]), fmt.Sprint(c["reason"]), fmt.Sprint(c["message"])
		}
	}
	return "", "", ""
}

// list is the list of objects at a path.
func list(o *object, path string) []map[string]any {
	items, _, _ := unstructured.NestedSlice(o.Object, strings.Split(path, ".")...)
	out := make([]map[string]any, 0, len(items))
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// contains is a check that a text contains all fragments.
func contains(have string, want ...string) error {
	for _, w := range want {
		if !strings.Contains(have, w) {
			return fmt.Errorf("want %q in %q", w, have)
		}
	}
	return nil
}

// same is a check that two values print alike.
func same(want, have any) error {
	if w, h := fmt.Sprint(want), fmt.Sprint(have); w != h {
		return fmt.Errorf("want %s, have %s", w, h)
	}
	return nil
}

// everything selects all objects.
var everything metav1.ListOptions

// secretValue is the value of a Secret's key.
func secretValue(t *testing.T, secret *object, key string) string {
	t.Helper()
	data, _, err := unstructured.NestedString(secret.Object, "data", key)
	require.NoError(t, err)
	value, err := base64.StdEncoding.DecodeString(data)
	require.NoError(t, err)
	return string(value)
}

// apply makes an object what a manifest says, as kubectl apply does.
func (c *cluster) apply(t *testing.T, o *object) {
	t.Helper()
	_, err := c.client(refOf(o)).Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "e2e", Force: true})
	require.NoError(t, err, refOf(o))
}

// user is someone who sends requests, known to the API server by name and groups.
type user struct {
	name   string
	groups []string
}

func person(name string) user { return user{name: name, groups: []string{"system:authenticated"}} }

func serviceAccount(namespace, name string) user {
	return user{
		name:   "system:serviceaccount:" + namespace + ":" + name,
		groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
}

func (u user) config() *rest.Config {
	config := cp.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{UserName: u.name, Groups: u.groups}
	return config
}

func (u user) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(u.config())
	require.NoError(t, err)
	return client
}

func (u user) dynamic(t *testing.T) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(u.config())
	require.NoError(t, err)
	return client
}
