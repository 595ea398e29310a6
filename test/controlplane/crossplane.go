package controlplane

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

const (
	crossplaneNamespace = "crossplane-system"
	crossplaneAccount   = "crossplane"
	rbacManagerAccount  = "rbac-manager"

	// aggregateLabel makes a ClusterRole part of Crossplane's own.
	aggregateLabel = "rbac.crossplane.io/aggregate-to-crossplane"
)

// applyRBAC gives Crossplane the roles of its chart and, unless packages are
// installed, those that this repository ships with its admission policies.
func (c *ControlPlane) applyRBAC(ctx context.Context) error {
	chart, err := c.renderCrossplaneChart()
	if err != nil {
		return err
	}
	if c.packages {
		return c.applyAll(ctx, chart)
	}
	ours, err := readManifests(c.root, "package/rbac.yaml", "package/policies.yaml")
	if err != nil {
		return err
	}
	return c.applyAll(ctx, append(chart, ours...))
}

// renderCrossplaneChart returns the identities and roles of Crossplane's chart
// with the chart's default values. What the chart runs in pods, we run as
// processes.
func (c *ControlPlane) renderCrossplaneChart() ([]*unstructured.Unstructured, error) {
	chart, err := loader.LoadDir(filepath.Join(c.root, ".cache", "charts", "crossplane"))
	if err != nil {
		return nil, fmt.Errorf("load Crossplane's chart: %w; run `make crds`", err)
	}
	values, err := chartutil.ToRenderValues(chart, nil,
		chartutil.ReleaseOptions{Name: "crossplane", Namespace: crossplaneNamespace, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, values)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		read, err := decode(files[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		objects = append(objects, read...)
	}
	return ofKind(objects, "ServiceAccount", "ClusterRole", "ClusterRoleBinding"), nil
}

// startCrossplane installs and starts Crossplane and its RBAC manager the way
// its chart does, each under its own service account.
func (c *ControlPlane) startCrossplane(ctx context.Context) error {
	core, err := c.serviceAccountKubeconfig(crossplaneNamespace, crossplaneAccount)
	if err != nil {
		return err
	}
	manager, err := c.serviceAccountKubeconfig(crossplaneNamespace, rbacManagerAccount)
	if err != nil {
		return err
	}
	if err := c.createCrossplaneCA(ctx); err != nil {
		return err
	}
	if err := c.awaitCrossplaneRole(ctx); err != nil {
		return err
	}
	if err := c.initCrossplane(ctx, core); err != nil {
		return err
	}
	if err := c.mountClientCertificate(ctx); err != nil {
		return err
	}

	// Functions run as processes beside us, not as pods. Tests do within minutes what claims meet in months, which is nothing
	// to stop listening for.
	packageRuntime, burst := "External", "5000"
	env := append(crossplaneEnv(core), "TLS_CLIENT_CERTS_DIR="+c.pki.path("crossplane-client"))
	if c.packages {
		network, err := c.startPods(ctx)
		if err != nil {
			return err
		}
		// As docs/settings.md advises: an Organization that is made takes a little more events than the default lets pass at
		// once.
		packageRuntime, burst = "Deployment", "500"
		env = append(env, "HTTPS_PROXY="+network)
	}

	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		return c.run(ctx, &process{
			name:   "crossplane",
			binary: c.Binary("crossplane-core"),
			env:    env,
			ports:  2,
			args: func(port []int) []string {
				return []string{
					"core", "start",
					"--package-runtime=" + packageRuntime,
					"--circuit-breaker-burst=" + burst,
					"--max-concurrent-reconciles=" + strconv.Itoa(concurrentReconciles()),
					// The API server cannot reach a webhook by the name of a Service.
					"--enable-webhooks=false",
					"--xpkg-cache-dir=" + filepath.Join(c.dir, "xpkg"),
					"--metrics-port=" + strconv.Itoa(port[0]),
					"--health-probe-port=" + strconv.Itoa(port[1]),
				}
			},
			ready: func(ctx context.Context, port []int) (bool, string) {
				return get(ctx, nil, loopbackURL("http", port[1])+"/readyz")
			},
		})
	})
	all.Go(func() error {
		return c.run(ctx, &process{
			name:   "crossplane-rbac",
			binary: c.Binary("crossplane-core"),
			env:    crossplaneEnv(manager),
			args: func([]int) []string {
				return []string{"rbac", "start", "--provider-clusterrole=crossplane:allowed-provider-permissions"}
			},
		})
	})
	return all.Wait()
}

// concurrentReconciles is how many objects of a kind Crossplane works on at once: as docs/settings.md advises, what the API server
// of this machine keeps up with, and never more than the default.
func concurrentReconciles() int { return min(10*runtime.NumCPU(), 100) }

// crossplaneEnv is what the chart sets on Crossplane's pods.
func crossplaneEnv(kubeconfig string) []string {
	return []string{
		"KUBECONFIG=" + kubeconfig,
		"POD_NAMESPACE=" + crossplaneNamespace,
		"POD_SERVICE_ACCOUNT=" + crossplaneAccount,
	}
}

// createCrossplaneCA stores the authority where Crossplane looks for it before
// it would make one.
func (c *ControlPlane) createCrossplaneCA(ctx context.Context) error {
	_, err := c.client.CoreV1().Secrets(crossplaneNamespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "crossplane-root-ca"},
		Data: map[string][]byte{
			corev1.TLSCertKey:       c.pki.crossplane.pem,
			corev1.TLSPrivateKeyKey: c.pki.crossplane.keyPKCS1(),
		},
	}, metav1.CreateOptions{})
	return err
}

// awaitCrossplaneRole waits until Kubernetes has put the labelled roles together
// into Crossplane's own, and the API server's authorizer knows.
func (c *ControlPlane) awaitCrossplaneRole(ctx context.Context) error {
	roles := c.client.RbacV1().ClusterRoles()
	if err := await(ctx, "the ClusterRole crossplane to be aggregated", func(ctx context.Context) (bool, string, error) {
		parts, err := roles.List(ctx, metav1.ListOptions{LabelSelector: aggregateLabel + "=true"})
		if err != nil {
			return later(err)
		}
		whole, err := roles.Get(ctx, "crossplane", metav1.GetOptions{})
		if err != nil {
			return later(err)
		}
		for _, part := range parts.Items {
			for _, rule := range part.Rules {
				if !slices.ContainsFunc(whole.Rules, func(r rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(r, rule) }) {
					return false, "the rules of " + part.Name + " are missing", nil
				}
			}
		}
		return true, "", nil
	}); err != nil {
		return err
	}
	return c.awaitCrossplaneMay(ctx, "create", "apiextensions.k8s.io", "customresourcedefinitions")
}

// awaitCrossplaneMay waits until the API server lets Crossplane do something.
func (c *ControlPlane) awaitCrossplaneMay(ctx context.Context, verb, group, resource string) error {
	resource, subresource, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   serviceAccountUser(crossplaneNamespace, crossplaneAccount),
		Groups: serviceAccountGroups(crossplaneNamespace),
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: group, Resource: resource, Subresource: subresource,
		},
	}}
	what := fmt.Sprintf("Crossplane to be allowed to %s %s", verb, resource)
	return await(ctx, what, func(ctx context.Context) (bool, string, error) {
		answer, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return later(err)
		}
		return answer.Status.Allowed, answer.Status.Reason, nil
	})
}

// initCrossplane runs Crossplane's installer to its end, which signs the
// certificate that Crossplane calls functions with. It fails where the API
// server does not yet serve the CRDs that it applied a moment ago, so they are
// there before.
func (c *ControlPlane) initCrossplane(ctx context.Context, kubeconfig string) error {
	crds, err := readManifests(c.root, ".cache/crds/crossplane/*.yaml")
	if err != nil {
		return err
	}
	if err := c.installCRDs(ctx, crds); err != nil {
		return err
	}
	return c.runToEnd(ctx, &process{
		name:   "crossplane-init",
		binary: c.Binary("crossplane-core"),
		env: append(crossplaneEnv(kubeconfig),
			"CRDS_PATH="+filepath.Join(c.root, ".cache", "crds", "crossplane"),
			"ENABLE_WEBHOOKS=false",
			"TLS_CA_SECRET_NAME=crossplane-root-ca",
			"TLS_CLIENT_SECRET_NAME=crossplane-tls-client",
		),
		args: func([]int) []string { return []string{"core", "init", "--activation=*"} },
	})
}

// mountClientCertificate lays Crossplane's client certificate down as files, as
// a kubelet would.
func (c *ControlPlane) mountClientCertificate(ctx context.Context) error {
	secret, err := c.client.CoreV1().Secrets(crossplaneNamespace).Get(ctx, "crossplane-tls-client", metav1.GetOptions{})
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for _, key := range []string{"ca.crt", corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		files[filepath.Join("crossplane-client", key)] = secret.Data[key]
	}
	return c.pki.write(files)
}

// ServiceAccountConfig returns the access of a service account: its name and
// groups, and nothing else.
func (c *ControlPlane) ServiceAccountConfig(namespace, name string) (*rest.Config, error) {
	return c.pki.user(c.admin.Host, serviceAccountUser(namespace, name), serviceAccountGroups(namespace)...)
}

// PersonConfig returns the access of a person who proves a name, and no group, with
// a client certificate.
func (c *ControlPlane) PersonConfig(name string) (*rest.Config, error) {
	return c.pki.user(c.admin.Host, name)
}

func (c *ControlPlane) serviceAccountKubeconfig(namespace, name string) (string, error) {
	access, err := c.ServiceAccountConfig(namespace, name)
	if err != nil {
		return "", err
	}
	return c.writeKubeconfig(namespace+"-"+name, access)
}

func serviceAccountUser(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}

func serviceAccountGroups(namespace string) []string {
	return []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace}
}

// installAPIs installs what this repository ships and waits until its APIs can
// be claimed.
func (c *ControlPlane) installAPIs(ctx context.Context) error {
	crds, err := readManifests(c.root, "package/crds/*.yaml")
	if err != nil {
		return err
	}
	xrds, err := readManifests(c.root, "apis/*/definition.yaml")
	if err != nil {
		return err
	}
	compositions, err := readManifests(c.root, "compositions/*.yaml")
	if err != nil {
		return err
	}
	if err := c.applyAll(ctx, slices.Concat(xrds, compositions)); err != nil {
		return err
	}
	if err := c.installCRDs(ctx, crds); err != nil {
		return err
	}
	for _, condition := range []string{"Established", "Offered"} {
		if err := c.awaitCondition(ctx, condition, xrds); err != nil {
			return err
		}
	}
	for _, xrd := range xrds {
		group, _, _ := unstructured.NestedString(xrd.Object, "spec", "group")
		for _, names := range []string{"names", "claimNames"} {
			plural, _, _ := unstructured.NestedString(xrd.Object, "spec", names, "plural")
			if err := c.awaitCrossplaneMay(ctx, "update", group, plural+"/status"); err != nil {
				return err
			}
		}
	}
	return nil
}

// AphexFunctions are the functions of this repository, as `make build` leaves
// them.
func AphexFunctions() []Function {
	return []Function{
		{Name: "function-organization"}, {Name: "function-repobinding"}, {Name: "function-knowledgebase"}, {Name: "function-platform"},
	}
}

func (c *ControlPlane) functionBinary(f Function) string {
	if f.Binary != "" {
		return f.Binary
	}
	return c.Binary(f.Name)
}

// startFunctions runs each function and tells Crossplane where it is.
func (c *ControlPlane) startFunctions(ctx context.Context, functions []Function) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, f := range functions {
		all.Go(func() error { return c.startFunction(ctx, f) })
	}
	return all.Wait()
}

func (c *ControlPlane) startFunction(ctx context.Context, f Function) error {
	server, err := c.pki.crossplane.sign(pkix.Name{CommonName: f.Name}, "127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	if err := c.pki.write(map[string][]byte{
		filepath.Join(f.Name, "ca.crt"):  c.pki.crossplane.pem,
		filepath.Join(f.Name, "tls.crt"): server.cert,
		filepath.Join(f.Name, "tls.key"): server.key,
	}); err != nil {
		return err
	}
	p := &process{
		name:   f.Name,
		binary: c.functionBinary(f),
		ports:  2,
		args: func(port []int) []string {
			return []string{
				"--address=" + loopback(port[0]),
				"--tls-certs-dir=" + c.pki.path(f.Name),
				"--metrics-address=" + loopback(port[1]),
			}
		},
		ready: func(ctx context.Context, port []int) (bool, string) { return dial(ctx, loopback(port[0])) },
	}
	if err := c.run(ctx, p); err != nil {
		return err
	}
	return c.installFunction(ctx, f.Name, "dns:///"+loopback(p.port[0]))
}

// installFunction makes the objects that Crossplane's package manager would
// make of a package. There is no registry to pull one from, so the package
// manager is told to leave them alone.
func (c *ControlPlane) installFunction(ctx context.Context, name, endpoint string) error {
	const packages = "pkg.crossplane.io/v1"
	image := "xpkg.example.org/aphex/" + name + ":local"
	paused := map[string]any{"crossplane.io/paused": "true"}
	function := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": packages,
		"kind":       "Function",
		"metadata":   map[string]any{"name": name, "annotations": paused},
		"spec":       map[string]any{"package": image},
	}}
	revision := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": packages,
		"kind":       "FunctionRevision",
		"metadata": map[string]any{
			"name":        name + "-local",
			"labels":      map[string]any{"pkg.crossplane.io/package": name},
			"annotations": paused,
		},
		"spec": map[string]any{"desiredState": "Active", "image": image, "revision": int64(1)},
	}}
	status := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": packages,
		"kind":       "FunctionRevision",
		"metadata":   map[string]any{"name": name + "-local"},
		"status":     map[string]any{"endpoint": endpoint, "capabilities": []any{"composition"}},
	}}
	for _, obj := range []*unstructured.Unstructured{function, revision} {
		if err := c.client.apply(ctx, obj); err != nil {
			return err
		}
	}
	return c.client.applyStatus(ctx, status)
}
