package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The processes of Tekton Triggers, and the programs that they run.
const (
	triggersController   = "tekton-triggers-controller"
	triggersInterceptors = "tekton-triggers-interceptors"
	triggersSink         = "eventlistenersink"
)

const (
	triggersNamespace = "tekton-pipelines"
	// interceptorCertificate is where the interceptors look for the certificate
	// that they serve with.
	interceptorCertificate = "tekton-triggers-core-interceptors-certs"
	// listenerService is the Service, and the Deployment, of an organization's
	// listener; those of a shard end in its number.
	listenerService = "el-github-listener"
	// listenTimeout bounds Listen: a listener that lacks a right never serves.
	listenTimeout = 2 * time.Minute
)

// startTektonTriggers starts what Tekton Triggers' release runs in pods, each
// under its own service account with the roles of the release: the controller,
// which turns an EventListener into a Deployment and a Service, and the
// interceptors. The release's webhook does not run.
func (c *ControlPlane) startTektonTriggers(ctx context.Context, release []*unstructured.Unstructured) error {
	c.neighbour.Lock()
	defer c.neighbour.Unlock()
	if slices.Contains(c.Processes(), triggersController) {
		return nil
	}
	if err := c.applyAll(ctx, ofKind(release, "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap")); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return c.startTriggersController(ctx) })
	all.Go(func() error { return c.startInterceptors(ctx) })
	return all.Wait()
}

func (c *ControlPlane) startTriggersController(ctx context.Context) error {
	kubeconfig, err := c.serviceAccountKubeconfig(triggersNamespace, "tekton-triggers-controller")
	if err != nil {
		return err
	}
	return c.run(ctx, &process{
		name:   triggersController,
		binary: c.Binary(triggersController),
		env: []string{
			"SYSTEM_NAMESPACE=" + triggersNamespace,
			"CONFIG_LOGGING_NAME=config-logging-triggers",
			"CONFIG_OBSERVABILITY_NAME=config-observability-triggers",
			"CONFIG_DEFAULTS_NAME=config-defaults-triggers",
			"CONFIG_LEADERELECTION_NAME=config-leader-election-triggers-controllers",
			"METRICS_DOMAIN=tekton.dev/triggers",
			// It ends up in the listeners' pods; the controller itself serves none.
			"METRICS_PROMETHEUS_PORT=9000",
			"KUBERNETES_MIN_VERSION=v1.28.0",
		},
		args: func([]int) []string { return []string{"-kubeconfig=" + kubeconfig} },
	})
}

// startInterceptors serves the interceptors and registers them by their URL: a
// process here cannot reach a Service.
func (c *ControlPlane) startInterceptors(ctx context.Context) error {
	kubeconfig, err := c.serviceAccountKubeconfig(triggersNamespace, "tekton-triggers-core-interceptors")
	if err != nil {
		return err
	}
	if err := c.createInterceptorCertificate(ctx); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.pki.cluster.pem)
	p := &process{
		name:   triggersInterceptors,
		binary: c.Binary(triggersInterceptors),
		env: []string{
			"SYSTEM_NAMESPACE=" + triggersNamespace,
			"INTERCEPTOR_TLS_SVC_NAME=tekton-triggers-core-interceptors",
			"INTERCEPTOR_TLS_SECRET_NAME=" + interceptorCertificate,
			// As docs/webhooks.md advises: by itself it reads five secrets a second.
			"KUBE_API_QPS=50",
			"KUBE_API_BURST=100",
		},
		ports: 1,
		args: func(port []int) []string {
			return []string{"-kubeconfig=" + kubeconfig, "-address=" + loopback(port[0])}
		},
		ready: func(ctx context.Context, port []int) (bool, string) {
			return get(ctx, &tls.Config{RootCAs: roots}, loopbackURL("https", port[0])+"/ready")
		},
	}
	if err := c.run(ctx, p); err != nil {
		return err
	}
	interceptors, err := readManifests(c.root, filepath.Join(".cache", "crds", string(TektonTriggers), "interceptors", "core-interceptors.yaml"))
	if err != nil {
		return err
	}
	for _, i := range interceptors {
		if err := unstructured.SetNestedMap(i.Object, map[string]any{
			"url":      loopbackURL("https", p.port[0]) + "/" + i.GetName(),
			"caBundle": base64.StdEncoding.EncodeToString(c.pki.cluster.pem),
		}, "spec", "clientConfig"); err != nil {
			return err
		}
	}
	return c.applyAll(ctx, interceptors)
}

// createInterceptorCertificate stores what the interceptors serve with. They
// would make a certificate for the name of a Service.
func (c *ControlPlane) createInterceptorCertificate(ctx context.Context) error {
	server, err := c.pki.cluster.sign(pkix.Name{CommonName: "tekton-triggers-core-interceptors"}, "127.0.0.1")
	if err != nil {
		return err
	}
	_, err = c.client.CoreV1().Secrets(triggersNamespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: interceptorCertificate},
		Data: map[string][]byte{
			"server-cert.pem": server.cert,
			"server-key.pem":  server.key,
			"ca-cert.pem":     c.pki.cluster.pem,
		},
	}, metav1.CreateOptions{})
	return err
}

// Listen runs an organization's listener and returns where it takes deliveries.
// It does what the node of a listener's pod would do: it runs the sink with the
// arguments and as the service account of the Deployment that Tekton made of the
// EventListener, which therefore has to be there. A listener that runs already is
// left alone. The process is called listener-<organization>.
func (c *ControlPlane) Listen(ctx context.Context, organization string) (url string, err error) {
	return c.listen(ctx, "listener-"+organization, "org-"+organization, listenerService)
}

// ListenShard runs a shard of an organization's listener, as Listen does. The
// process is called listener-<organization>-<shard>.
func (c *ControlPlane) ListenShard(ctx context.Context, organization string, shard int) (url string, err error) {
	suffix := "-" + strconv.Itoa(shard)
	return c.listen(ctx, "listener-"+organization+suffix, "org-"+organization, listenerService+suffix)
}

// listen runs what is behind the Service of a listener.
func (c *ControlPlane) listen(ctx context.Context, name, namespace, service string) (url string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, listenTimeout, fmt.Errorf("it did not serve within %s", listenTimeout))
	defer cancel()
	if p, err := c.process(name); err == nil {
		if p.pid() == 0 {
			err = c.Restart(ctx, name)
		}
		return loopbackURL("http", p.port[0]), err
	}

	var deployment *appsv1.Deployment
	if err := await(ctx, "Tekton to make the Deployment "+namespace+"/"+service, func(ctx context.Context) (done bool, seen string, _ error) {
		if deployment, err = c.client.AppsV1().Deployments(namespace).Get(ctx, service, metav1.GetOptions{}); err != nil {
			return later(err)
		}
		return true, "", nil
	}); err != nil {
		return "", err
	}
	pod := deployment.Spec.Template.Spec
	kubeconfig, err := c.serviceAccountKubeconfig(namespace, pod.ServiceAccountName)
	if err != nil {
		return "", err
	}
	env, err := c.secretEnv(ctx, namespace, pod.Containers[0].Env)
	if err != nil {
		return "", err
	}
	p := &process{
		name:   name,
		binary: c.Binary(triggersSink),
		env:    env,
		ports:  1,
		args: func(port []int) []string {
			// Of two equal flags the last one counts.
			return append(slices.Clone(pod.Containers[0].Args),
				"-kubeconfig="+kubeconfig, "-host=127.0.0.1", "-port="+strconv.Itoa(port[0]),
				// Only there it says why it passed over a delivery.
				"-log-level=debug")
		},
		ready: func(ctx context.Context, port []int) (bool, string) {
			return get(ctx, nil, loopbackURL("http", port[0])+"/live")
		},
	}
	if err := c.run(ctx, p); err != nil {
		return "", errors.Join(err, p.kill())
	}
	return loopbackURL("http", p.port[0]), nil
}

// secretEnv is the part of a container's environment that comes from Secrets.
func (c *ControlPlane) secretEnv(ctx context.Context, namespace string, env []corev1.EnvVar) ([]string, error) {
	var out []string
	for _, v := range env {
		if v.ValueFrom == nil || v.ValueFrom.SecretKeyRef == nil {
			continue
		}
		ref := v.ValueFrom.SecretKeyRef
		secret, err := c.client.CoreV1().Secrets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("the listener's %s: %w", v.Name, err)
		}
		out = append(out, v.Name+"="+string(secret.Data[ref.Key]))
	}
	return out, nil
}
