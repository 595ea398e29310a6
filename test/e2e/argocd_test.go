package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"aphex.io/platform/docs/pages"
)

const argoCDConfig, argoCDPolicy = ref("ConfigMap argocd/argocd-cm"), ref("ConfigMap argocd/argocd-rbac-cm")

// Argo CD is there before the platform, with the ConfigMaps of its installation. KWOK says of the pods of Jobs that they
// succeeded; the test runs their program, with their rights. The claim changes the settings of all functions and is the
// cluster's only platform, so this is not parallel.
func TestAnArgoCDThatIsThereAlready(t *testing.T) {
	installed := map[ref]map[string]any{argoCDConfig: {"resource.exclusions": "- kinds: [Lease]\n"}, argoCDPolicy: nil}
	for r, data := range installed {
		cp.create(t, &object{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": map[string]any{
				"namespace": r.namespace(), "name": r.name(),
				"labels": map[string]any{"app.kubernetes.io/name": r.name(), "app.kubernetes.io/part-of": "argocd"},
			},
		}})
	}
	cp.create(t, claimOf("Platform", platformClaim.namespace(), platformClaim.name(), map[string]any{
		"gitops": map[string]any{"repoURL": "https://github.com/acme-corp/platform"},
		"settings": map[string]any{
			"configSync":   map[string]any{"image": "registry.example.com/function-platform:v1"},
			"integrations": map[string]any{"tekton": false},
		},
	}, nil))

	require.True(t, t.Run("a job that changes nothing is told, and not made again", func(t *testing.T) {
		awaitArgoCDLogin(t, "False Waiting", "ConfigMap argocd/argocd-rbac-cm (policy.csv, scopes had been set by Job auth-system/argocd-rbac-cm-sync-",
			", and differ now; delete the job to have it set again)")
		cp.settled(t, []ref{platformClaim})
		require.Len(t, argoCDJobs(t), 1)
	}))
	require.True(t, t.Run("jobs set the policy and then the login, and the platform is ready", func(t *testing.T) {
		runArgoCDJobs(t)
		cp.playArgoCDAndCertManager(t, platformClaim)
		cp.awaitPhase(t, platformClaim, "Ready")
		data := dataOf(t, argoCDPolicy)
		require.Contains(t, data["policy.csv"], "g, platform-admins, role:admin\n")
		require.Equal(t, "[groups]", data["scopes"])
		data = dataOf(t, argoCDConfig)
		require.Equal(t, "https://argocd.home.local", data["url"])
		require.Contains(t, data["oidc.config"], "clientSecret: $argocd-oidc:clientSecret")
		require.Equal(t, "- kinds: [Lease]\n", data["resource.exclusions"])
		for r := range installed {
			o := cp.see(t, r)
			require.Empty(t, o.GetOwnerReferences(), "it is not taken over")
			require.Equal(t, map[string]string{"app.kubernetes.io/name": r.name(), "app.kubernetes.io/part-of": "argocd"}, o.GetLabels())
		}
	}))
	t.Run("their rights are gone with their work", func(t *testing.T) {
		for _, r := range []ref{"RoleBinding argocd/argocd-sync", "Role argocd/argocd-sync", "ServiceAccount auth-system/argocd-sync"} {
			cp.awaitGone(t, r)
		}
		require.Len(t, argoCDJobs(t), 2)
		cp.settled(t, []ref{platformClaim})
	})
	t.Run("what a job had changed comes back, and no other job is made until somebody deletes it", func(t *testing.T) {
		before := argoCDJobs(t)
		cp.patch(t, argoCDConfig, "data: {url: null, oidc.config: null}")
		awaitArgoCDLogin(t, "False Waiting", "oidc.config, url had been set by Job auth-system/argocd-cm-sync-", ", and differ now; delete the job")
		cp.settled(t, []ref{platformClaim})
		require.Equal(t, before, argoCDJobs(t))
		synced, _, message := condition(cp.see(t, cp.xr(t, platformClaim)), "Synced")
		require.Equal(t, "True", synced, message)
		for _, name := range before {
			if strings.HasPrefix(name, "argocd-cm-") {
				cp.remove(t, refTo("Job auth-system/%s", name))
			}
		}
		runArgoCDJobs(t)
		require.Equal(t, "https://argocd.home.local", dataOf(t, argoCDConfig)["url"])
	})
	t.Run("a key that is lost is set again", func(t *testing.T) {
		before := argoCDJobs(t)
		cp.patch(t, argoCDConfig, "data: {url: null}")
		awaitArgoCDLogin(t, "False Waiting", "url had been set by Job auth-system/argocd-cm-sync-")
		runArgoCDJobs(t)
		require.Equal(t, "https://argocd.home.local", dataOf(t, argoCDConfig)["url"])
		require.NotEqual(t, before, argoCDJobs(t))
	})
	t.Run("a key that somebody else holds stays, unless it is taken by force", func(t *testing.T) {
		cp.patch(t, argoCDConfig, "data: {url: https://cd.acme-corp.com}")
		awaitArgoCDLogin(t, "False HeldByOthers", "url by e2e; take them out there, or set spec.auth.argocd.force")
		cp.awaitGone(t, "RoleBinding argocd/argocd-sync")
		require.Equal(t, "https://cd.acme-corp.com", dataOf(t, argoCDConfig)["url"])
		cp.patch(t, platformClaim, "spec: {auth: {argocd: {force: true}}}")
		awaitArgoCDLogin(t, "False Waiting", "url had been set by Job auth-system/argocd-cm-sync-", "held now: url by e2e")
		runArgoCDJobs(t)
		require.Equal(t, "https://argocd.home.local", dataOf(t, argoCDConfig)["url"])
	})
	t.Run("a policy beside the platform's is told", func(t *testing.T) {
		cp.patch(t, argoCDPolicy, "data: {policy.default: 'role:readonly'}")
		awaitArgoCDLogin(t, "False OtherPolicies", "it also has policy.default, so that people may do more in Argo CD than their groups allow")
		cp.awaitPhase(t, platformClaim, "Pending", "policy.default")
		cp.patch(t, platformClaim, "spec: {auth: {argocd: {allowOtherPolicies: true}}}")
		awaitArgoCDLogin(t, "True OtherPolicies", "also has policy.default: people may do more in Argo CD than their groups allow")
		cp.awaitPhase(t, platformClaim, "Ready")
		cp.patch(t, argoCDPolicy, "data: {policy.default: null}")
		awaitArgoCDLogin(t, "True Available")
	})
	t.Run("the keys outlive the claim until they are taken out", func(t *testing.T) {
		cp.remove(t, platformClaim)
		cp.awaitGone(t, "Namespace auth-system")
		cp.awaitGone(t, "EnvironmentConfig aphex")
		require.Contains(t, dataOf(t, argoCDPolicy), "policy.csv")
		cp.takeOutOfArgoCD(t)
		for r, data := range installed {
			require.Equal(t, fmt.Sprint(data), fmt.Sprint(dataOf(t, r)), "what was there before")
		}
	})
	for r := range installed {
		cp.remove(t, r)
	}
}

func awaitArgoCDLogin(t *testing.T, want string, message ...string) {
	t.Helper()
	cp.awaitCondition(t, platformClaim, "ArgoCDLoginReady", want, message...)
}

func dataOf(t *testing.T, r ref) map[string]any {
	t.Helper()
	data, _ := cp.see(t, r).Object["data"].(map[string]any)
	return data
}

// argoCDJobs are the names of the Jobs that set keys of Argo CD.
func argoCDJobs(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, job := range listArgoCDJobs(t.Context(), t) {
		out = append(out, job.Name)
	}
	return out
}

func listArgoCDJobs(ctx context.Context, t *testing.T) []batchv1.Job {
	t.Helper()
	jobs, err := cp.kube.BatchV1().Jobs("auth-system").List(ctx, everything)
	require.NoError(t, err)
	return slices.DeleteFunc(jobs.Items, func(j batchv1.Job) bool {
		return j.DeletionTimestamp != nil || j.Spec.Template.Spec.ServiceAccountName != "argocd-sync"
	})
}

// runArgoCDJobs does what nodes would with the pods of those Jobs, as they come, until Argo CD has what it shall have.
func runArgoCDJobs(t *testing.T) {
	t.Helper()
	ran := map[string]bool{}
	eventually(t, func(ctx context.Context) error {
		cp.reportForNeighbours(ctx, t, platformClaim) // The login waits for a certificate.
		status, _, message := condition(cp.see(t, platformClaim), "ArgoCDLoginReady")
		if status == "True" {
			return nil
		}
		for _, job := range listArgoCDJobs(ctx, t) {
			if !ran[job.Name] && strings.Contains(message, job.Name) {
				ran[job.Name] = true
				runJob(t, job)
			}
		}
		return errors.New(message)
	})
}

// runJob runs the program of a Job with the token of its service account.
func runJob(t *testing.T, job batchv1.Job) {
	t.Helper()
	pod := job.Spec.Template.Spec
	token, err := cp.kube.CoreV1().ServiceAccounts(job.Namespace).CreateToken(t.Context(), pod.ServiceAccountName, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	access, config := cp.RESTConfig(), clientcmdapi.NewConfig()
	config.Clusters["it"] = &clientcmdapi.Cluster{Server: access.Host, CertificateAuthorityData: access.CAData}
	config.AuthInfos["it"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["it"] = &clientcmdapi.Context{Cluster: "it", AuthInfo: "it"}
	config.CurrentContext = "it"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, path))
	command := exec.CommandContext(t.Context(), cp.Binary("function-platform"), append(slices.Clone(pod.Containers[0].Args), "--kubeconfig="+path)...)
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s: %s", job.Name, out)
}

// takeOutOfArgoCD runs what docs/platform.md says to do after a platform is gone.
func (c *cluster) takeOutOfArgoCD(t *testing.T) {
	t.Helper()
	c.runBlock(t, "kubectl patch configmap argocd-rbac-cm", t.TempDir())
}

// runBlock runs the block of docs/platform.md that has this command, in a folder.
func (c *cluster) runBlock(t *testing.T, command, dir string) {
	t.Helper()
	blocks, err := pages.Blocks(c.Root(), "docs/platform.md")
	require.NoError(t, err)
	i := slices.IndexFunc(blocks, func(b pages.Block) bool { return strings.Contains(b.Text, command) })
	require.GreaterOrEqual(t, i, 0, command)
	c.runCommands(t, blocks[i], dir)
}
