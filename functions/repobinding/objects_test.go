package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"

	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/settings"
)

func testNames() names {
	return namesFor(v1alpha1.RepoBindingSpec{AphexOrg: "acme-corp", RepoOrg: "acme", RepoName: "web", PipelineName: "my-app"}, "argocd")
}

func TestNamesAreTheDataModels(t *testing.T) {
	require.Equal(t, names{
		Organization: "acme-corp", OrgNamespace: "org-acme-corp", Pipeline: "my-app", Namespace: "my-app", AppProject: "my-app",
		ClusterRole: "pipeline-runner-my-app", ArgoCDAccess: "my-app-argocd-access", ArgoCDNamespace: "argocd",
		TriggerTemplate: "my-app-trigger-template", Trigger: "my-app-trigger", Repo: "acme/web",
	}, testNames())
}

func TestTheLongestNamesFit(t *testing.T) {
	longest := strings.Repeat("a-", v1alpha1.MaxPipelineNameLength/2-1) + "aa"
	require.Len(t, longest, v1alpha1.MaxPipelineNameLength)
	n := namesFor(v1alpha1.RepoBindingSpec{
		AphexOrg: strings.Repeat("o", 59), RepoOrg: strings.Repeat("g", 39), RepoName: strings.Repeat("r", 100), PipelineName: longest,
	}, "argocd")
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
	policy := isolation(testNames(), api, []string{"198.51.100.9/24", "2001:db8::/32", "10.0.0.0/8"})
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
	require.Len(t, isolation(testNames(), nil, []string{"::/0", "0.0.0.0/0"}).Spec.Egress, 2)
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
- name: git-url
resourcetemplates:
- apiVersion: tekton.dev/v1
  kind: PipelineRun
  metadata:
    generateName: my-app-
    labels:
      platform.aphex/delivery: $(tt.params.delivery-id)
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

func TestPushFilterReads(t *testing.T) {
	require.Equal(t, `header.canonical("X-GitHub-Event") == "push"`+
		` && header.canonical("X-GitHub-Delivery").matches("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")`+
		` && body.repository.full_name.lowerAscii() == "acme/web"`+
		` && body.repository.clone_url.lowerAscii() == "https://github.com/acme/web.git"`+
		` && body.ref == "refs/heads/main"`+
		` && body.after.matches("^([0-9a-f]{40}|[0-9a-f]{64})$")`+
		` && !(has(body.deleted) && body.deleted)`,
		pushFilter("acme/web", "main"))
}

// CEL itself evaluates the filter, with the strings extension and the function for headers that Tekton's interceptor has.
func TestPushFilter(t *testing.T) {
	header := cel.MapType(cel.StringType, cel.StringType)
	canonical := cel.MemberOverload("canonical", []*cel.Type{header, cel.StringType}, cel.StringType,
		cel.BinaryBinding(func(header, name ref.Val) ref.Val { return header.(traits.Mapper).Get(name) }))
	env, err := cel.NewEnv(cel.Variable("body", cel.DynType), cel.Variable("header", header), cel.Function("canonical", canonical), ext.Strings())
	require.NoError(t, err)
	type event struct {
		name, delivery string
		body           map[string]any
	}
	evaluate := func(branch string, e event) (bool, error) {
		ast, issues := env.Compile(pushFilter("acme/web", branch))
		require.NoError(t, issues.Err(), branch)
		program, err := env.Program(ast)
		require.NoError(t, err)
		out, _, err := program.Eval(map[string]any{
			"body": e.body, "header": map[string]string{"X-GitHub-Event": e.name, "X-GitHub-Delivery": e.delivery},
		})
		if err != nil {
			return false, err
		}
		return out.Value().(bool), nil
	}
	push := func(repo, ref string, changes ...func(*event)) event {
		e := event{name: "push", delivery: "72d3162e-cc78-11e3-81ab-4c9367dc0958", body: map[string]any{
			"ref": ref, "after": "4544205a385319fd846d5df4ed2e3b8173529d78", "deleted": false,
			"repository": map[string]any{"full_name": repo, "clone_url": "https://github.com/" + repo + ".git"},
		}}
		for _, c := range changes {
			c(&e)
		}
		return e
	}
	with := func(field string, value any) func(*event) { return func(e *event) { e.body[field] = value } }
	clone := func(url string) func(*event) {
		return with("repository", map[string]any{"full_name": "acme/web", "clone_url": url})
	}
	for _, branch := range []string{
		"main", "release/1.2", `it's`, `say-"hi"`, "`tick`", "$(rm)", `a'||'b`, `x"||true||"`, "grün", "日本", "\u2028", "\u00ad", "emoji-😀", "a%b&c=d;e#f{g}",
	} {
		ok, err := evaluate(branch, push("acme/web", "refs/heads/"+branch))
		require.NoError(t, err)
		require.True(t, ok, branch)
		ok, err = evaluate(branch, push("acme/web", "refs/heads/other"))
		require.NoError(t, err)
		require.False(t, ok, branch)
	}
	for name, e := range map[string]event{
		"another repository":        push("acme/web2", "refs/heads/main"),
		"a tag":                     push("acme/web", "refs/tags/main"),
		"a longer branch":           push("acme/web", "refs/heads/main2"),
		"a deletion":                push("acme/web", "refs/heads/main", with("deleted", true)),
		"another place to clone":    push("acme/web", "refs/heads/main", clone("https://github.com/acme/web2.git")),
		"a place to clone by HTTP":  push("acme/web", "refs/heads/main", clone("http://github.com/acme/web.git")),
		"no revision":               push("acme/web", "refs/heads/main", with("after", "")),
		"a parameter as a revision": push("acme/web", "refs/heads/main", with("after", "$(tt.params.git-url)")),
		"a revision and a line":     push("acme/web", "refs/heads/main", with("after", "4544205a385319fd846d5df4ed2e3b8173529d78\n")),
		"another event":             push("acme/web", "refs/heads/main", func(e *event) { e.name = "pull_request" }),
		"no delivery id":            push("acme/web", "refs/heads/main", func(e *event) { e.delivery = "" }),
		"a delivery id of others":   push("acme/web", "refs/heads/main", func(e *event) { e.delivery = "$(tt.params.git-url)" }),
	} {
		ok, err := evaluate("main", e)
		require.NoError(t, err, name)
		require.False(t, ok, name)
	}
	for name, e := range map[string]event{
		"GitHub keeps the case that the owner chose": push("ACME/Web", "refs/heads/main"),
		"a SHA-256 repository":                       push("acme/web", "refs/heads/main", with("after", strings.Repeat("0a", 32))),
	} {
		ok, err := evaluate("main", e)
		require.NoError(t, err, name)
		require.True(t, ok, name)
	}
	_, err = evaluate("main", push("acme/web", "refs/heads/main", func(e *event) { e.body = map[string]any{"zen": "ping"} }))
	require.Error(t, err, "an event without these fields stops")
}
