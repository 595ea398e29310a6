package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/test/controlplane"
	"aphex.io/platform/test/publichost"
)

// A test of the webhook is asked for by an annotation. The Job, its controller and the program in its pod are real, and so
// is all that the ping meets behind Cloudflare's edge; this test does the kubelet's work of starting the program. It stops
// the scheduler, since KWOK would say of every scheduled pod of a Job that it succeeded, so it is not parallel.
func TestTheWebhookIsTestedOnRequest(t *testing.T) {
	namespace := cp.namespace(t, "e2e-webhook-test")
	cp.cloudflare(t)
	cp.settings(t, map[string]any{"webhookTest": map[string]any{"image": "registry.example.com/function-organization:v1"}})
	org := cp.create(t, organization(namespace, "probe"))
	cp.awaitReady(t, org)
	through := startEdge(t, "probe.arbiter-dev.com")
	ask := func(t *testing.T, value string) {
		t.Helper()
		kubectl(t, "annotate", "--overwrite", "organization", "probe", "-n", namespace, "platform.aphex/test-webhook="+value)
		cp.awaitCondition(t, org, "WebhookTested", "Unknown Running", "Job org-probe/webhook-test-")
	}
	cp.awaitCondition(t, org, "WebhookTested", "Unknown NotRequested", "platform.aphex/test-webhook")

	require.NoError(t, cp.Kill("kube-scheduler"))
	stopped := true
	startScheduler := func() {
		if stopped {
			stopped = false
			require.NoError(t, cp.Restart(context.Background(), "kube-scheduler"))
		}
	}
	t.Cleanup(startScheduler)

	t.Run("a ping that reaches the listener", func(t *testing.T) {
		ask(t, "one")
		require.Zero(t, runProbe(t, "org-probe", through, "1m"))
		cp.awaitCondition(t, org, "WebhookTested", "True Passed", "a ping to https://probe.arbiter-dev.com reached the listener")
		cp.awaitCondition(t, org, "WebhookReady", "True Available")
	})
	t.Run("a ping that finds no connector of the tunnel", func(t *testing.T) {
		ask(t, "two")
		require.Len(t, jobsOf(t, "org-probe"), 1, "the first one is gone")
		require.NoError(t, cp.kube.CoreV1().Pods("org-probe").DeleteCollection(t.Context(), metav1.DeleteOptions{},
			metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=cloudflared"}))
		eventually(t, func(ctx context.Context) error {
			tunnels, err := cp.Cloudflare().Tunnels(ctx, controlplane.CloudflareAccount)
			for _, tunnel := range tunnels {
				if tunnel.Name == "org-probe" && len(tunnel.Connectors) > 0 {
					return fmt.Errorf("%v are connected", tunnel.Connectors)
				}
			}
			return err
		})
		require.Equal(t, 14, runProbe(t, "org-probe", through, "10s"))
		why := "a ping to https://probe.arbiter-dev.com failed: Cloudflare has no connection to the tunnel"
		cp.awaitCondition(t, org, "WebhookTested", "False TestFailed", why)
		startScheduler()
		// Once the connectors are there again, the test is the only thing that is wrong.
		cp.awaitCondition(t, org, "WebhookReady", "False TestFailed", why, "another value of the annotation")
		require.Equal(t, "Active", text(cp.see(t, org), "status.phase"))
	})
	t.Run("nothing stays when no test is asked for any more", func(t *testing.T) {
		kubectl(t, "annotate", "organization", "probe", "-n", namespace, "platform.aphex/test-webhook-")
		cp.awaitCondition(t, org, "WebhookTested", "Unknown NotRequested")
		cp.awaitCondition(t, org, "WebhookReady", "True Available")
		eventually(t, func(context.Context) error { return same(0, len(jobsOf(t, "org-probe"))) })
	})
}

func jobsOf(t *testing.T, namespace string) []string {
	t.Helper()
	jobs, err := cp.kube.BatchV1().Jobs(namespace).List(t.Context(), everything)
	require.NoError(t, err)
	var names []string
	for _, job := range jobs.Items {
		if job.DeletionTimestamp == nil {
			names = append(names, job.Name)
		}
	}
	return names
}

// runProbe does what a node would with the pod of a Job: it mounts the Secret, runs the program with the pod's arguments, for as
// long as the limit says, and reports the exit code.
func runProbe(t *testing.T, namespace string, environment []string, limit string) int {
	t.Helper()
	var pod *corev1.Pod
	eventually(t, func(ctx context.Context) error {
		pods, err := cp.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + jobsOf(t, namespace)[0]})
		if err != nil || len(pods.Items) != 1 {
			return fmt.Errorf("%d pods, %w", len(pods.Items), err)
		}
		pod = &pods.Items[0]
		return nil
	})
	container, mounted := pod.Spec.Containers[0], t.TempDir()
	volume := pod.Spec.Volumes[0].Secret
	secret, err := cp.kube.CoreV1().Secrets(namespace).Get(t.Context(), volume.SecretName, metav1.GetOptions{})
	require.NoError(t, err)
	for _, item := range volume.Items {
		require.NoError(t, os.WriteFile(filepath.Join(mounted, item.Path), secret.Data[item.Key], 0o600))
	}
	// What is mounted at a path of the pod is in a folder here; of two equal flags the last one counts.
	arguments := append(slices.Clone(container.Args), "--secret-file="+filepath.Join(mounted, volume.Items[0].Path), "--timeout="+limit)
	command := exec.CommandContext(t.Context(), cp.Binary("function-organization"), arguments...)
	command.Env = environment
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	var failed *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &failed)
	}
	require.NotContains(t, string(out), string(secret.Data["secret"]))
	code := command.ProcessState.ExitCode()

	pod.Status.Phase = corev1.PodSucceeded
	if code != 0 {
		pod.Status.Phase = corev1.PodFailed
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: container.Name, Image: container.Image, ImageID: container.Image,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: int32(code), FinishedAt: metav1.Now(), StartedAt: pod.CreationTimestamp}},
	}}
	_, err = cp.kube.CoreV1().Pods(namespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
	return code
}

// startEdge serves a host over HTTPS as Cloudflare does, and returns the environment in which a program reaches it: by a
// proxy that connects everything to it, and with its certificate trusted.
func startEdge(t *testing.T, host string) (environment []string) {
	t.Helper()
	proxy, ca := publichost.Serve(t, host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := r.Clone(r.Context())
		request.URL.Scheme, request.URL.Host, request.RequestURI = "https", r.Host, ""
		response, err := cp.Internet().Do(request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = response.Body.Close() }() // It was only read.
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body) // A client that is gone needs no answer.
	}))
	trusted := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(trusted, ca, 0o600))
	return []string{"HTTPS_PROXY=" + proxy, "SSL_CERT_FILE=" + trusted}
}
