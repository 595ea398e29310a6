package login

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"aphex.io/platform/functions/platform/configsync"
	"aphex.io/platform/functions/platform/configsync/authentiktest"
	"aphex.io/platform/test/controlplane"
	"aphex.io/platform/test/publichost"
)

const (
	authNamespace = "auth-system"
	dexHost       = "dex.auth-system.svc:5556"
	authentikHost = "authentik.auth-system.svc.cluster.local:9000"
)

// jobWorld is what the composed Job meets: a real API server, on which it has the composed rights, and a stand-in for
// Authentik. The test does the work of Dex, and of the controllers that would start it.
type jobWorld struct {
	server    *controlplane.ControlPlane
	admin     *kubernetes.Clientset
	authentik *authentiktest.Server
	composed  composition
	job       *batchv1.Job
	provider  int
	// started is whether Dex runs.
	started atomic.Bool
	// proxies stand for the names that the cluster's DNS has, by the variables that name them.
	proxies []string
	// certificate is Authentik's own, where it serves HTTPS.
	certificate []byte
}

// newJobWorld has the Job of a golden case, for a Dex that has this issuer.
func newJobWorld(t *testing.T, golden, dexIssuer string) *jobWorld {
	t.Helper()
	w := &jobWorld{composed: readGolden(t, golden), job: &batchv1.Job{}}
	issuer, err := url.Parse(dexIssuer)
	require.NoError(t, err)
	w.composed.decode(t, "Job", "", w.job)

	w.server, err = controlplane.StartAPIServer(t.Context(), controlplane.Options{Dir: t.TempDir(), Log: t.Logf}, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.server.Stop()) })
	for _, manifest := range w.composed.rights(t) {
		require.NoError(t, w.server.Apply(t.Context(), manifest))
	}
	w.admin, err = kubernetes.NewForConfig(w.server.RESTConfig())
	require.NoError(t, err)
	for _, name := range []string{"dex", "authentik"} {
		_, err := w.admin.AppsV1().Deployments(authNamespace).Create(t.Context(), deployment(name), metav1.CreateOptions{})
		require.NoError(t, err)
	}

	var stop func()
	w.authentik, stop = authentiktest.Start(string(w.secret(t, "authentik-api-token")["token"]))
	t.Cleanup(stop)
	w.provider = w.authentik.Add(authentiktest.Provider{
		Name: "Dex OIDC Provider", ClientID: "dex-client", ClientSecret: "made-up-by-authentik", Application: "platform-services",
		RedirectURIs: authentiktest.Redirects(dexIssuer + "/callback"),
	})
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Host == authentikHost:
			w.authentik.ServeHTTP(rw, r)
		case r.URL.Host == dexHost && w.started.Load() && r.URL.Path == issuer.Path+"/.well-known/openid-configuration":
			rw.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(rw, `{"issuer":%q,"authorization_endpoint":"%[1]s/auth","token_endpoint":"%[1]s/token","jwks_uri":"%[1]s/keys"}`, dexIssuer)
		default:
			http.Error(rw, "nobody is at "+r.URL.String(), http.StatusBadGateway)
		}
	}))
	t.Cleanup(proxy.Close)
	secure, certificate := publichost.Serve(t, "authentik.home.local", w.authentik)
	w.proxies, w.certificate = []string{"HTTP_PROXY=" + proxy.URL, "HTTPS_PROXY=" + secure}, certificate
	return w
}

// decode reads the only composed object of a kind, and of a name unless that is empty.
func (c composition) decode(t *testing.T, kind, name string, into any) {
	t.Helper()
	found := 0
	for _, o := range c {
		if o.GetKind() == kind && (name == "" || o.GetName() == name) {
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true))
			found++
		}
	}
	require.Equal(t, 1, found, "%s %s", kind, name)
}

// secret is a composed Secret, or that which cert-manager writes for Authentik.
func (w *jobWorld) secret(t *testing.T, name string) map[string][]byte {
	t.Helper()
	if name == "authentik-tls" {
		return map[string][]byte{"ca.crt": w.certificate}
	}
	s := &corev1.Secret{}
	w.composed.decode(t, "Secret", name, s)
	return s.Data
}

// deployment has no replicas, as Git has it.
func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: authNamespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: "registry.example.com/" + name}}},
			},
		},
	}
}

// startDex does what controllers and nodes do with a Deployment of Dex that has replicas, until the test ends.
func (w *jobWorld) startDex(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			seen, err := w.admin.AppsV1().Deployments(authNamespace).Get(ctx, "dex", metav1.GetOptions{})
			if err == nil && *seen.Spec.Replicas > 0 && seen.Status.AvailableReplicas == 0 {
				w.started.Store(true)
				seen.Status = appsv1.DeploymentStatus{
					ObservedGeneration: seen.Generation, Replicas: *seen.Spec.Replicas,
					UpdatedReplicas: *seen.Spec.Replicas, ReadyReplicas: *seen.Spec.Replicas, AvailableReplicas: *seen.Spec.Replicas,
				}
				_, err = w.admin.AppsV1().Deployments(authNamespace).UpdateStatus(ctx, seen, metav1.UpdateOptions{})
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
}

// run does what a node would with the pod of the Job, until it ends. It returns the exit code and the log.
func (w *jobWorld) run(t *testing.T, more ...string) (code int, log string) {
	t.Helper()
	command, out := w.pod(t, more...)
	require.NoError(t, command.Start())
	return w.ended(t, command, out)
}

// pod mounts the Secrets of the Job's pod, and is the program with the pod's arguments and the token of its service account; out
// is its log.
func (w *jobWorld) pod(t *testing.T, more ...string) (command *exec.Cmd, out *bytes.Buffer) {
	t.Helper()
	pod := w.job.Spec.Template.Spec
	container, dir := pod.Containers[0], t.TempDir()
	arguments := slices.Clone(container.Args)
	for _, mount := range container.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
		require.GreaterOrEqual(t, i, 0, mount.Name)
		data := w.secret(t, pod.Volumes[i].Secret.SecretName)
		folder := filepath.Join(dir, mount.MountPath)
		require.NoError(t, os.MkdirAll(folder, 0o700))
		for _, item := range pod.Volumes[i].Secret.Items {
			require.Contains(t, data, item.Key)
			require.NoError(t, os.WriteFile(filepath.Join(folder, item.Path), data[item.Key], 0o600))
		}
		for i, a := range arguments {
			arguments[i] = strings.Replace(a, "="+mount.MountPath+"/", "="+folder+"/", 1)
		}
	}
	arguments = append(arguments, "--kubeconfig="+w.kubeconfig(t, pod.ServiceAccountName, dir))
	command = exec.CommandContext(t.Context(), w.server.Binary("function-platform"), append(arguments, more...)...)
	command.Env = w.proxies
	out = &bytes.Buffer{}
	command.Stdout, command.Stderr = out, out
	return command, out
}

// ended waits until a started program ends.
func (w *jobWorld) ended(t *testing.T, command *exec.Cmd, out *bytes.Buffer) (code int, log string) {
	t.Helper()
	err := command.Wait()
	var failed *exec.ExitError
	require.True(t, err == nil || errors.As(err, &failed), "%v", err)
	t.Logf("%s", out)
	for _, name := range []string{"authentik-api-token", "dex-secrets"} {
		for _, value := range w.secret(t, name) {
			require.NotContains(t, out.String(), string(value))
		}
	}
	return command.ProcessState.ExitCode(), out.String()
}

func (w *jobWorld) kubeconfig(t *testing.T, account, dir string) string {
	t.Helper()
	return kubeconfig(t, w.server, account, dir)
}

// kubeconfig is the access of a service account.
func kubeconfig(t *testing.T, server *controlplane.ControlPlane, account, dir string) string {
	t.Helper()
	access := server.RESTConfig()
	admin, err := kubernetes.NewForConfig(access)
	require.NoError(t, err)
	token, err := admin.CoreV1().ServiceAccounts(authNamespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := clientcmdapi.NewConfig()
	config.Clusters["it"] = &clientcmdapi.Cluster{Server: access.Host, CertificateAuthorityData: access.CAData}
	config.AuthInfos["it"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["it"] = &clientcmdapi.Context{Cluster: "it", AuthInfo: "it"}
	config.CurrentContext = "it"
	path := filepath.Join(dir, "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, path))
	return path
}

func (w *jobWorld) replicas(t *testing.T, name string) int32 {
	t.Helper()
	seen, err := w.admin.AppsV1().Deployments(authNamespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return *seen.Spec.Replicas
}

func TestTheJobConnectsAuthentikAndDex(t *testing.T) {
	w := newJobWorld(t, syncGolden, "https://login.acme-corp.com/dex")
	binding, err := w.admin.RbacV1().RoleBindings(authNamespace).Get(t.Context(), "config-sync", metav1.GetOptions{})
	require.NoError(t, err)

	t.Run("not without its rights", func(t *testing.T) {
		require.NoError(t, w.admin.RbacV1().RoleBindings(authNamespace).Delete(t.Context(), "config-sync", metav1.DeleteOptions{}))
		code, log := w.run(t, "--timeout=3s")
		require.Equal(t, int(configsync.NotScaled), code)
		require.Contains(t, log, `cannot get resource "deployments"`)
		require.Zero(t, w.replicas(t, "dex"))
		binding.ResourceVersion = ""
		_, err := w.admin.RbacV1().RoleBindings(authNamespace).Create(t.Context(), binding, metav1.CreateOptions{})
		require.NoError(t, err)
	})
	t.Run("not while Dex does not start", func(t *testing.T) {
		code, log := w.run(t, "--timeout=3s")
		require.Equal(t, int(configsync.NotAvailable), code)
		require.Contains(t, log, "its latest change is not rolled out yet")
		require.Equal(t, int32(1), w.replicas(t, "dex"))
	})
	w.startDex(t)
	t.Run("once all is there", func(t *testing.T) {
		code, log := w.run(t)
		require.Zero(t, code)
		require.Contains(t, log, "done: Authentik and Dex are connected")
		require.Equal(t, string(w.secret(t, "dex-secrets")["client-secret"]), w.authentik.Provider(w.provider).ClientSecret)
		require.Equal(t, int32(1), w.replicas(t, "dex"))
		require.Zero(t, w.replicas(t, "authentik"))
		require.Equal(t, 1, w.authentik.Writes(), "in all three runs")
	})
	t.Run("and with no more rights than that takes", func(t *testing.T) {
		access, err := clientcmd.BuildConfigFromFlags("", w.kubeconfig(t, "config-sync", t.TempDir()))
		require.NoError(t, err)
		access.QPS = -1
		client, err := kubernetes.NewForConfig(access)
		require.NoError(t, err)
		for _, verb := range strings.Fields(everything) {
			for _, resource := range append(slices.Clone(resources), "deployments.apps/scale", "jobs.batch") {
				for _, namespace := range []string{"", authNamespace, "kube-system"} {
					require.False(t, may(t, client, verb, resource, namespace), "%s %s in %q", verb, resource, namespace)
				}
			}
		}
		_, err = client.AppsV1().Deployments(authNamespace).Get(t.Context(), "dex", metav1.GetOptions{})
		require.NoError(t, err)
		_, err = client.AppsV1().Deployments(authNamespace).Get(t.Context(), "authentik", metav1.GetOptions{})
		require.ErrorContains(t, err, "forbidden")
	})
}

// A node that is drained ends its pods so, and another pod takes over.
func TestAJobThatIsStoppedSaysSo(t *testing.T) {
	w := newJobWorld(t, syncGolden, "https://login.acme-corp.com/dex")
	w.authentik.Ready(false)
	command, out := w.pod(t)
	require.NoError(t, command.Start())
	require.Eventually(t, func() bool { return len(w.authentik.Calls()) > 0 }, time.Minute, 10*time.Millisecond, "it asks whether Authentik is ready")
	require.NoError(t, command.Process.Signal(syscall.SIGTERM))
	code, log := w.ended(t, command, out)
	require.Equal(t, 3, code)
	require.Contains(t, log, "failed: it was stopped before it was done; not done: Authentik is ready at ")
	require.Contains(t, log, "terminated signal received; seen last: ")
	require.NotContains(t, w.job.Spec.PodFailurePolicy.Rules[0].OnExitCodes.Values, int32(code), "the Job goes on")
}

func TestTheJobTrustsAnAuthentikWhoseCertificateIsItsOwn(t *testing.T) {
	w := newJobWorld(t, secureGolden, "https://dex.home.local")
	w.startDex(t)
	right := w.certificate
	t.Run("not by the certificate of another", func(t *testing.T) {
		_, w.certificate = publichost.Serve(t, "authentik.home.local", http.NotFoundHandler())
		code, log := w.run(t, "--timeout=3s")
		require.Equal(t, int(configsync.NoAuthentik), code)
		require.Contains(t, log, "x509: ")
	})
	t.Run("not by something else", func(t *testing.T) {
		w.certificate = []byte("a certificate")
		code, log := w.run(t)
		require.Equal(t, int(configsync.CannotStart), code)
		require.Contains(t, log, "ca.crt: it is not, or not only, certificates in PEM")
	})
	require.Zero(t, w.authentik.Writes(), "neither has told it anything")
	t.Run("by its own", func(t *testing.T) {
		w.certificate = right
		code, log := w.run(t)
		require.Zero(t, code)
		require.Contains(t, log, "ok: Authentik is ready at https://authentik.home.local")
		require.Equal(t, string(w.secret(t, "dex-secrets")["client-secret"]), w.authentik.Provider(w.provider).ClientSecret)
		require.Equal(t, int32(1), w.replicas(t, "dex"))
	})
}
