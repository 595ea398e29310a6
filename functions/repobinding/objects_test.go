package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"

	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/settings"
)

func testNames() names {
	return namesFor(v1alpha1.RepoBindingSpec{AphexOrg: "acme-corp", RepoOrg: "acme", RepoName: "web", PipelineName: "my-app"}, settings.Defaults())
}

func TestNamesAreThosePromised(t *testing.T) {
	require.Equal(t, names{
		Organization: "acme-corp", OrgNamespace: "org-acme-corp", Pipeline: "my-app", Namespace: "my-app", AppProject: "my-app",
		ClusterRole: "pipeline-runner-my-app", ArgoCDAccess: "my-app-argocd-access", ArgoCDNamespace: "argocd",
		TriggerTemplate: "my-app-trigger-template", Trigger: "my-app-trigger", Repo: "acme/web",
		Listener: "github-listener",
	}, testNames())
}

func TestWhereListenersAreShardedARepositoryHasOne(t *testing.T) {
	cfg := settings.Defaults()
	cfg.Listener.Shards = 8
	repositories := map[string]int{}
	for i := range 800 {
		spec := v1alpha1.RepoBindingSpec{AphexOrg: "acme-corp", RepoOrg: "acme", RepoName: fmt.Sprintf("web-%d", i), PipelineName: "my-app"}
		n := namesFor(spec, cfg)
		require.Equal(t, "github-listener-"+n.Shard, n.Listener)
		require.Equal(t, "/"+n.Shard, n.WebhookPath)
		require.Equal(t, n.Shard, n.TriggerLabels()["platform.aphex/shard"])
		require.NotContains(t, n.Labels(), "platform.aphex/shard")
		repositories[n.Shard]++
		spec.PipelineName = "my-app-staging"
		require.Equal(t, n.Listener, namesFor(spec, cfg).Listener, "GitHub sends to one URL, whatever is bound to the repository")
	}
	require.Len(t, repositories, 8)
	for shard, n := range repositories {
		require.InDelta(t, 100, n, 40, shard)
	}
}

func TestTheLongestNamesFit(t *testing.T) {
	longest := strings.Repeat("a-", v1alpha1.MaxPipelineNameLength/2-1) + "aa"
	require.Len(t, longest, v1alpha1.MaxPipelineNameLength)
	n := namesFor(v1alpha1.RepoBindingSpec{
		AphexOrg: strings.Repeat("o", 59), RepoOrg: strings.Repeat("g", 39), RepoName: strings.Repeat("r", 100), PipelineName: longest,
	}, settings.Defaults())
	for _, name := range []string{n.OrgNamespace, n.Namespace, n.ClusterRole, n.ArgoCDAccess, n.TriggerTemplate, n.Trigger} {
		require.Empty(t, validation.IsDNS1123Label(name), name)
	}
	for key, value := range namespace(n, "baseline").Labels {
		require.Empty(t, validation.IsQualifiedName(key), key)
		require.Empty(t, validation.IsValidLabelValue(value), key)
	}
}

func TestRepoLabel(t *testing.T) {
	for repo, want := range map[string]string{
		"acme/web":                        "acme.web",
		"acme/" + strings.Repeat("r", 58): "acme." + strings.Repeat("r", 58),
		"acme/" + strings.Repeat("r", 59): "acme." + strings.Repeat("r", 47) + "-ffd660eb85",
		"acme/web-":                       "acme.web-3356d5a696",
		"-/-":                             "0d2eba90ad",
	} {
		got := repoLabel(repo)
		require.Empty(t, validation.IsValidLabelValue(got), got)
		require.Equal(t, want, got)
	}
}

func TestNamespace(t *testing.T) {
	requireYAML(t, `
metadata:
  annotations:
    aphex/repo: acme/web
  labels:
    aphex.dev/org: acme-corp
    aphex/managed-by: platform-controller
    aphex/repo: acme.web
    aphex/tenant: my-app
    glob.platform.aphex/my: covered
    platform.aphex/managed-by: platform-controller
    platform.aphex/organization: acme-corp
    platform.aphex/pipeline: my-app
    pod-security.kubernetes.io/enforce: restricted
  name: my-app
spec: {}
status: {}
`, func() any { ns := namespace(testNames(), "restricted"); ns.Kind, ns.APIVersion = "", ""; return ns }())
}

func TestPermissionProfiles(t *testing.T) {
	requireYAML(t, `
- apiGroups:
  - ""
  resources:
  - pods
  - pods/log
  - configmaps
  - secrets
  verbs:
  - get
  - list
  - create
  - update
  - delete
- apiGroups:
  - tekton.dev
  resources:
  - pipelineruns
  - taskruns
  verbs:
  - get
  - list
  - create
- apiGroups:
  - coordination.k8s.io
  resources:
  - leases
  verbs:
  - get
  - create
  - update
  - delete
`, role(testNames(), "standard").Rules)
	requireYAML(t, `
- apiGroups:
  - ""
  resources:
  - pods
  - pods/log
  - configmaps
  - secrets
  - services
  - persistentvolumeclaims
  verbs:
  - get
  - list
  - create
  - update
  - delete
- apiGroups:
  - tekton.dev
  resources:
  - pipelineruns
  - taskruns
  - pipelines
  - tasks
  verbs:
  - get
  - list
  - create
  - update
  - delete
- apiGroups:
  - apps
  resources:
  - deployments
  - statefulsets
  verbs:
  - get
  - list
  - create
  - update
  - delete
- apiGroups:
  - coordination.k8s.io
  resources:
  - leases
  verbs:
  - get
  - create
  - update
  - delete
`, role(testNames(), "elevated").Rules)
}

func TestAppProject(t *testing.T) {
	requireYAML(t, `
clusterResourceWhitelist: []
description: Project for my-app pipeline
destinations:
- namespace: my-app
  server: https://kubernetes.default.svc
- namespace: my-app-*
  server: https://kubernetes.default.svc
namespaceResourceBlacklist:
- group: aphex.io
  kind: '*'
- group: cloudflare.aphex.io
  kind: '*'
namespaceResourceWhitelist:
- group: '*'
  kind: '*'
sourceRepos:
- https://github.com/acme/web
- https://github.com/acme/web.git
`, appProject(testNames()).Spec)
}

func TestNetworkPolicy(t *testing.T) {
	api := []endpoint{
		{"203.0.113.7", 6443}, {"10.96.0.1", 443}, {"203.0.113.6", 6443}, {"10.96.0.1", 443}, {"fd00::1", 443}, {"no address", 443}, {"10.0.0.1", 0},
	}
	policy := isolation(testNames(), api, settings.Tenant{
		BlockedCIDRs: []string{"198.51.100.9/24", "2001:db8::/32", "10.0.0.0/8"},
		DNSServers:   []string{"169.254.20.10/32", "10.96.0.10/32", "fd00::a/128", "10.96.0.10/32"},
	})
	requireYAML(t, `
egress:
- to:
  - podSelector: {}
- ports:
  - port: 53
    protocol: UDP
  - port: 53
    protocol: TCP
  to:
  - namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: kube-system
  - ipBlock:
      cidr: 10.96.0.10/32
  - ipBlock:
      cidr: 169.254.20.10/32
  - ipBlock:
      cidr: fd00::a/128
- ports:
  - port: 443
    protocol: TCP
  to:
  - ipBlock:
      cidr: 10.96.0.1/32
  - ipBlock:
      cidr: fd00::1/128
- ports:
  - port: 6443
    protocol: TCP
  to:
  - ipBlock:
      cidr: 203.0.113.6/32
  - ipBlock:
      cidr: 203.0.113.7/32
- to:
  - ipBlock:
      cidr: 0.0.0.0/0
      except:
      - 0.0.0.0/8
      - 10.0.0.0/8
      - 100.64.0.0/10
      - 127.0.0.0/8
      - 169.254.0.0/16
      - 172.16.0.0/12
      - 192.0.0.0/24
      - 192.168.0.0/16
      - 198.18.0.0/15
      - 198.51.100.0/24
      - 224.0.0.0/4
      - 240.0.0.0/4
  - ipBlock:
      cidr: ::/0
      except:
      - 2001:db8::/32
      - 2002::/16
      - 64:ff9b:1::/48
      - 64:ff9b::/96
      - ::/127
      - fc00::/7
      - fe80::/10
      - ff00::/8
ingress:
- from:
  - podSelector: {}
podSelector: {}
policyTypes:
- Ingress
- Egress
`, policy.Spec)
}

func TestAFamilyThatIsBlockedAsAWholeIsLeftOut(t *testing.T) {
	peers := internet([]string{"::/0"})
	require.Len(t, peers, 1)
	require.Equal(t, "0.0.0.0/0", peers[0].IPBlock.CIDR)
	require.Empty(t, internet([]string{"::/0", "0.0.0.0/0"}))
	require.Len(t, isolation(testNames(), nil, settings.Tenant{BlockedCIDRs: []string{"::/0", "0.0.0.0/0"}}).Spec.Egress, 2)
}

func TestLimitsFollowTheSettings(t *testing.T) {
	tenant := settings.Defaults().Tenant
	requireYAML(t, `
hard:
  limits.cpu: "8"
  limits.memory: 16Gi
  persistentvolumeclaims: "5"
  pods: "20"
  requests.cpu: "4"
  requests.memory: 8Gi
`, quota(testNames(), tenant).Spec)
	requireYAML(t, `
limits:
- default:
    cpu: 500m
    memory: 512Mi
  defaultRequest:
    cpu: 100m
    memory: 128Mi
  type: Container
`, limits(testNames(), tenant).Spec)
}

const backend = `terraform {
  backend "kubernetes" {
    secret_suffix    = "my-app"
    namespace        = "my-app"
    in_cluster_config = true
  }
}
`

func TestTerraformBackend(t *testing.T) {
	require.Equal(t, backend, string(terraformSecret(testNames()).Data["backend.tf"]))
}

// Terraform itself reads the file: it gets as far as to look for the cluster that it would run in.
func TestTerraformReadsTheBackend(t *testing.T) {
	terraform, err := filepath.Abs("../../.cache/bin/terraform")
	require.NoError(t, err)
	if _, err := os.Stat(terraform); err != nil {
		t.Skip("run make tools-terraform to get terraform")
	}
	init := func(file string) string {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "backend.tf"), []byte(file), 0o600))
		cmd := exec.CommandContext(t.Context(), terraform, "init", "-input=false", "-no-color")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CHECKPOINT_DISABLE=1", "KUBERNETES_SERVICE_HOST=", "KUBERNETES_SERVICE_PORT=")
		out, err := cmd.CombinedOutput()
		require.Error(t, err, "there is no cluster here")
		return string(out)
	}
	for _, complaint := range []string{"Unsupported argument", "Invalid", "Missing", "Argument or block"} {
		require.NotContains(t, init(string(terraformSecret(testNames()).Data["backend.tf"])), complaint)
	}
	require.Contains(t, init(strings.Replace(backend, "secret_suffix ", "secret_sufix ", 1)), "secret_sufix", "a mistake would show")
}

func TestTriggerTemplatePassesWhatThePipelineDeclares(t *testing.T) {
	requireYAML(t, `
params:
- description: GitHub's id of the delivery
  name: delivery-id
- description: push, tag or pull_request
  name: event
- name: git-url
resourcetemplates:
- apiVersion: tekton.dev/v1
  kind: PipelineRun
  metadata:
    generateName: my-app-
    labels:
      platform.aphex/delivery: $(tt.params.delivery-id)
      platform.aphex/event: $(tt.params.event)
      platform.aphex/managed-by: platform-controller
      platform.aphex/organization: acme-corp
      platform.aphex/pipeline: my-app
    namespace: my-app
  spec:
    params:
    - name: git-url
      value: $(tt.params.git-url)
    - name: tenant-name
      value: my-app
    - name: delivery-id
      value: $(tt.params.delivery-id)
    pipelineRef:
      name: my-app
    taskRunTemplate:
      serviceAccountName: pipeline-runner
`, runPipeline(testNames(), []string{"git-url", "tenant-name", "delivery-id"}).Spec)
}

func TestCatalog(t *testing.T) {
	_, problem := findTemplate("run-pipeline-v2")
	require.Equal(t, `spec.templateRef: there is no template "run-pipeline-v2"; the catalog has run-pipeline-v1`, problem)
	_, problem = findTemplate("run-pipeline-v1")
	require.Empty(t, problem)
}
