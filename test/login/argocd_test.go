package login

import (
	"errors"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"aphex.io/platform/functions/platform/configsync"
	"aphex.io/platform/test/controlplane"
)

const (
	argoCDNamespace = "argocd"
	policyGolden    = "../../functions/platform/testdata/argo-cd-brought-its-configuration-along/want.yaml"
	configGolden    = "../../functions/platform/testdata/once-argo-cd-has-the-policy-the-login-follows/want.yaml"
)

// argoCDWorld is what the composed Jobs for Argo CD meet: a real API server, on which they have the composed rights, and the
// two ConfigMaps as Argo CD's installation brings them along.
type argoCDWorld struct {
	server *controlplane.ControlPlane
	admin  *kubernetes.Clientset
	// policy and config are the Jobs.
	policy, config *batchv1.Job
}

func newArgoCDWorld(t *testing.T) *argoCDWorld {
	t.Helper()
	w := &argoCDWorld{policy: composedJob(t, policyGolden, "argocd-rbac-cm-sync-"), config: composedJob(t, configGolden, "argocd-cm-sync-")}
	var err error
	w.server, err = controlplane.StartAPIServer(t.Context(), controlplane.Options{Dir: t.TempDir(), Log: t.Logf}, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.server.Stop()) })
	for _, manifest := range readGolden(t, policyGolden).rights(t) {
		require.NoError(t, w.server.Apply(t.Context(), manifest))
	}
	w.admin, err = kubernetes.NewForConfig(w.server.RESTConfig())
	require.NoError(t, err)
	w.install(t, "argocd-cm", map[string]string{"resource.exclusions": "- kinds: [Lease]\n"})
	w.install(t, "argocd-rbac-cm", nil)
	w.install(t, "argocd-cmd-params-cm", map[string]string{"server.insecure": "false"})
	return w
}

// composedJob is the composed Job whose name begins so.
func composedJob(t *testing.T, golden, prefix string) *batchv1.Job {
	t.Helper()
	all := readGolden(t, golden)
	for _, o := range all {
		if o.GetKind() == "Job" && strings.HasPrefix(o.GetName(), prefix) {
			job := &batchv1.Job{}
			all.decode(t, "Job", o.GetName(), job)
			return job
		}
	}
	t.Fatalf("%s has no Job %s*", golden, prefix)
	return nil
}

// install makes a ConfigMap as "kubectl apply" of Argo CD's manifest does.
func (w *argoCDWorld) install(t *testing.T, name string, data map[string]string) {
	t.Helper()
	_, err := w.admin.CoreV1().ConfigMaps(argoCDNamespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "argocd"}},
		Data:       data,
	}, metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"})
	require.NoError(t, err)
}

func (w *argoCDWorld) get(t *testing.T, name string) *corev1.ConfigMap {
	t.Helper()
	seen, err := w.admin.CoreV1().ConfigMaps(argoCDNamespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return seen
}

// edit changes one as "kubectl edit" does.
func (w *argoCDWorld) edit(t *testing.T, name, patch string) {
	t.Helper()
	_, err := w.admin.CoreV1().ConfigMaps(argoCDNamespace).Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	require.NoError(t, err)
}

// program is what a node would run for the pod of a Job: it has the pod's arguments and the token of its service account.
func (w *argoCDWorld) program(t *testing.T, job *batchv1.Job, more ...string) *exec.Cmd {
	t.Helper()
	pod := job.Spec.Template.Spec
	arguments := append(slices.Clone(pod.Containers[0].Args), "--kubeconfig="+kubeconfig(t, w.server, pod.ServiceAccountName, t.TempDir()))
	command := exec.CommandContext(t.Context(), w.server.Binary("function-platform"), append(arguments, more...)...)
	command.Env = []string{}
	return command
}

// run returns the exit code and the log.
func (w *argoCDWorld) run(t *testing.T, job *batchv1.Job, more ...string) (code int, log string) {
	t.Helper()
	command := w.program(t, job, more...)
	out, err := command.CombinedOutput()
	var failed *exec.ExitError
	require.True(t, err == nil || errors.As(err, &failed), "%v", err)
	t.Logf("%s", out)
	return command.ProcessState.ExitCode(), string(out)
}

// wanted are the keys that a Job sets.
func wanted(job *batchv1.Job) map[string]string {
	data := map[string]string{}
	for _, a := range job.Spec.Template.Spec.Containers[0].Args {
		if pair, ok := strings.CutPrefix(a, "--set="); ok {
			key, value, _ := strings.Cut(pair, "=")
			data[key] = value
		}
	}
	return data
}

func TestTheJobsConfigureAnArgoCDThatIsThereAlready(t *testing.T) {
	w := newArgoCDWorld(t)
	t.Run("not without their rights", func(t *testing.T) {
		bindings := w.admin.RbacV1().RoleBindings(argoCDNamespace)
		binding, err := bindings.Get(t.Context(), "argocd-sync", metav1.GetOptions{})
		require.NoError(t, err)
		require.NoError(t, bindings.Delete(t.Context(), "argocd-sync", metav1.DeleteOptions{}))
		code, log := w.run(t, w.policy, "--timeout=2s")
		require.Equal(t, int(configsync.NotSet), code)
		require.Contains(t, log, `cannot get resource "configmaps"`)
		require.Empty(t, w.get(t, "argocd-rbac-cm").Data)
		binding.ResourceVersion = ""
		_, err = bindings.Create(t.Context(), binding, metav1.CreateOptions{})
		require.NoError(t, err)
	})
	t.Run("with all keys of theirs, and no other", func(t *testing.T) {
		w.requireSets(t, "argocd-rbac-cm", w.policy, nil)
		w.requireSets(t, "argocd-cm", w.config, map[string]string{"resource.exclusions": "- kinds: [Lease]\n"})
	})
	t.Run("once: what is right is not written again", func(t *testing.T) {
		before := w.get(t, "argocd-cm").ResourceVersion
		code, log := w.run(t, w.config)
		require.Zero(t, code)
		require.Contains(t, log, "is as it shall be already")
		require.Equal(t, before, w.get(t, "argocd-cm").ResourceVersion)
	})
	t.Run("two at once end alike", func(t *testing.T) {
		w.edit(t, "argocd-cm", `{"data":{"oidc.config":null,"url":null}}`)
		one, other := w.program(t, w.config), w.program(t, w.config)
		require.NoError(t, one.Start())
		require.NoError(t, other.Start())
		require.NoError(t, one.Wait())
		require.NoError(t, other.Wait())
		require.Subset(t, w.get(t, "argocd-cm").Data, wanted(w.config))
	})
	t.Run("not what somebody else holds, unless by force", w.testHeld)
	t.Run("not one that is gone", func(t *testing.T) {
		require.NoError(t, w.admin.CoreV1().ConfigMaps(argoCDNamespace).Delete(t.Context(), "argocd-cm", metav1.DeleteOptions{}))
		code, log := w.run(t, w.config, "--timeout=2s")
		require.Equal(t, int(configsync.NotSet), code)
		require.Contains(t, log, `"argocd-cm" not found`)
		_, err := w.admin.CoreV1().ConfigMaps(argoCDNamespace).Get(t.Context(), "argocd-cm", metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err), "%v", err)
		w.install(t, "argocd-cm", nil)
	})
	t.Run("with no more rights than that takes", w.testRights)
}

// requireSets runs a Job and looks at all of the ConfigMap: others are the keys that it has besides.
func (w *argoCDWorld) requireSets(t *testing.T, name string, job *batchv1.Job, others map[string]string) {
	t.Helper()
	before := w.get(t, name)
	require.Equal(t, others, before.Data)
	code, log := w.run(t, job)
	require.Zero(t, code)
	require.Contains(t, log, "done: ConfigMap argocd/"+name+" has what it shall have")
	after := w.get(t, name)
	want := wanted(job)
	require.Len(t, want, 2)
	maps.Copy(want, others)
	require.Equal(t, want, after.Data)
	require.Equal(t, before.Labels, after.Labels, "Argo CD finds it by these")
	require.Equal(t, before.Annotations, after.Annotations)
	require.Empty(t, after.OwnerReferences)
	require.Equal(t, before.UID, after.UID)
}

func (w *argoCDWorld) testHeld(t *testing.T) {
	w.edit(t, "argocd-cm", `{"data":{"url":"https://cd.example.org"}}`)
	code, log := w.run(t, w.config)
	require.Equal(t, int(configsync.HeldByOthers), code)
	require.Contains(t, log, `.data.url: conflict with "kubectl-edit"`)
	require.Equal(t, "https://cd.example.org", w.get(t, "argocd-cm").Data["url"])

	code, _ = w.run(t, w.config, "--force")
	require.Zero(t, code)
	seen := w.get(t, "argocd-cm")
	require.Subset(t, seen.Data, wanted(w.config))
	require.Contains(t, seen.Data, "resource.exclusions")
}

func (w *argoCDWorld) testRights(t *testing.T) {
	access, err := clientcmd.BuildConfigFromFlags("", kubeconfig(t, w.server, "argocd-sync", t.TempDir()))
	require.NoError(t, err)
	access.QPS = -1
	client, err := kubernetes.NewForConfig(access)
	require.NoError(t, err)
	for _, verb := range strings.Fields(everything) {
		for _, resource := range append(slices.Clone(resources), "jobs.batch") {
			for _, namespace := range []string{"", argoCDNamespace, authNamespace, "kube-system"} {
				require.False(t, may(t, client, verb, resource, namespace), "%s %s in %q", verb, resource, namespace)
			}
		}
	}
	patch := []byte(`{"data":{"policy.csv":"g, me, role:admin"}}`)
	forbidden := func(what string, err error) {
		t.Helper()
		require.True(t, apierrors.IsForbidden(err), "%s: %v", what, err)
	}
	here := client.CoreV1().ConfigMaps(argoCDNamespace)
	for _, name := range []string{"argocd-cm", "argocd-rbac-cm"} {
		_, err := here.Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		forbidden("delete "+name, here.Delete(t.Context(), name, metav1.DeleteOptions{}))
		_, err = client.CoreV1().ConfigMaps(authNamespace).Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
		forbidden("patch "+name+" elsewhere", err)
	}
	_, err = here.Get(t.Context(), "argocd-cmd-params-cm", metav1.GetOptions{})
	forbidden("read another", err)
	_, err = here.Patch(t.Context(), "argocd-cmd-params-cm", types.MergePatchType, patch, metav1.PatchOptions{})
	forbidden("change another", err)
	_, err = here.Patch(t.Context(), "argocd-new", types.ApplyYAMLPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"argocd-new"}}`),
		metav1.PatchOptions{FieldManager: configsync.FieldManager})
	forbidden("make one", err)
	_, err = client.CoreV1().Secrets(argoCDNamespace).Get(t.Context(), "argocd-oidc", metav1.GetOptions{})
	forbidden("read a Secret", err)
}
