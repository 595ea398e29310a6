package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/test/controlplane"
)

// The examples are claimed together, as a newcomer would, on a platform whose Cloudflare provider does not run yet.
func TestExamples(t *testing.T) {
	require.NoError(t, cp.Kill(controlplane.Provider))
	t.Cleanup(func() {
		if cp.PID(controlplane.Provider) == 0 {
			require.NoError(t, cp.Restart(context.Background(), controlplane.Provider))
		}
	})
	files, err := filepath.Glob(filepath.Join(cp.Root(), "examples", "*", "claim.yaml"))
	require.NoError(t, err)
	require.Len(t, files, 4)
	for _, file := range files {
		// That of the platform is TestPlatform's, since a cluster has one.
		if claim := readObject(t, file); claim.GetKind() != "Platform" {
			cp.create(t, claim)
		}
	}
	const (
		organization  = ref("Organization platform-system/acme-corp")
		repoBinding   = ref("RepoBinding platform-system/my-application")
		knowledgeBase = ref("KnowledgeBase platform-system/platform-docs")
	)

	t.Run("the knowledge base is tracked", func(t *testing.T) {
		o := cp.awaitPhase(t, knowledgeBase, "Ready", "Tracking 3 repositories")
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, text(o, "status.lastReconcileTime"))
		cp.see(t, "ConfigMap platform-system/knowledgebase-platform-docs")
	})
	t.Run("the organization waits for its tunnel, and says so", func(t *testing.T) {
		o := cp.await(t, organization, func(o *object) error {
			for _, done := range []string{"NamespaceReady", "RBACReady", "SecretStoreReady", "ListenerReady"} {
				if status, _, message := condition(o, done); status != "True" {
					return fmt.Errorf("%s is %q: %s", done, status, message)
				}
			}
			return contains(text(o, "status.message"), "waiting for Tunnel org-acme-corp/acme-corp")
		})
		require.Equal(t, "Pending", text(o, "status.phase"))
		require.Equal(t, "org-acme-corp", text(o, "status.namespace"))
		require.Equal(t, "https://acme-corp.arbiter-dev.com", text(o, "status.webhookURL"))
		require.Equal(t, "org-acme-corp-store", text(o, "status.clusterSecretStore"))
		for _, awaited := range []string{"TunnelReady", "ConnectorReady", "DNSReady", "WebhookReady", "Ready"} {
			status, _, message := condition(o, awaited)
			require.Equal(t, "False", status, "%s: %s", awaited, message)
		}
		cp.missing(t, "Deployment org-acme-corp/cloudflared")
	})
	t.Run("the binding waits for the organization, and says so", func(t *testing.T) {
		cp.awaitPhase(t, repoBinding, "Pending", "waiting for Organization platform-system/acme-corp, which is Pending")
		cp.missing(t, "Namespace cdktf-deploy-pipeline")
	})

	require.NoError(t, cp.Restart(t.Context(), controlplane.Provider))
	cp.cloudflare(t)
	t.Run("with Cloudflare, everything works", func(t *testing.T) {
		cp.awaitPhase(t, organization, "Active")
		o := cp.awaitPhase(t, repoBinding, "Ready")
		provisioned, ok := o.Object["status"].(map[string]any)["provisionedResources"].(map[string]any)
		require.True(t, ok, "%v", o.Object["status"])
		require.Equal(t, map[string]any{
			"namespace": true, "pipeline": true, "serviceAccount": true, "rbac": true, "appProject": true, "resourceQuota": true,
			"networkPolicy": true, "terraformSecret": true, "triggerBinding": true, "triggerTemplate": true, "trigger": true,
			"allowlistUpdated": true,
		}, provisioned)
		require.Equal(t, map[string]any{
			"url": "https://acme-corp.arbiter-dev.com", "secret": "org-acme-corp/github-webhook-secret#secret", "events": []any{"push"},
		}, o.Object["status"].(map[string]any)["webhookConfiguration"])
	})
	t.Run("the repository is bound once more, for other events", func(t *testing.T) {
		claim := cp.create(t, readObject(t, filepath.Join(cp.Root(), "examples", "repobinding", "events.yaml")))
		cp.awaitReady(t, claim)
		require.Equal(t, []any{"push", "pull_request"}, cp.see(t, claim).Object["status"].(map[string]any)["webhookConfiguration"].(map[string]any)["events"])
		cp.see(t, "Trigger org-acme-corp/my-application-preview-trigger")
	})
	t.Run("no condition is left open", func(t *testing.T) {
		for _, claim := range []ref{organization, repoBinding, knowledgeBase} {
			for _, c := range list(cp.see(t, claim), "status.conditions") {
				want := "True"
				if c["type"] == "WebhookTested" {
					want = "Unknown" // Nobody asked for a test.
				}
				require.Equal(t, want, c["status"], "%s: %v", claim, c)
			}
		}
	})
	t.Run("making all this does not trip Crossplane's circuit breaker", func(t *testing.T) {
		for _, claim := range []ref{organization, repoBinding, knowledgeBase} {
			status, _, message := condition(cp.see(t, cp.xr(t, claim)), "Responsive")
			require.NotEqual(t, "False", status, "%s: %s", claim, message)
		}
	})
	t.Run("the claimant gets what GitHub asks for", func(t *testing.T) {
		secret := cp.await(t, "Secret platform-system/acme-corp-webhook", holds(t, "webhookURL", "https://acme-corp.arbiter-dev.com"))
		value := secretValue(t, secret, "webhookSecret")
		require.Regexp(t, `^[0-9a-f]{64}$`, value)
		require.Equal(t, value, secretValue(t, cp.see(t, "Secret org-acme-corp/github-webhook-secret"), "secret"))
	})
	t.Run("the secret is in no status and in no event", func(t *testing.T) {
		value := secretValue(t, cp.see(t, "Secret org-acme-corp/github-webhook-secret"), "secret")
		for _, claim := range []ref{organization, repoBinding} {
			require.NotContains(t, fmt.Sprint(cp.see(t, claim).Object), value)
			require.NotContains(t, fmt.Sprint(cp.see(t, cp.xr(t, claim)).Object), value)
		}
		events, err := cp.kube.CoreV1().Events("").List(t.Context(), everything)
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprint(events.Items), value)
		for _, process := range []string{"function-organization", "function-repobinding", "crossplane"} {
			log, err := os.ReadFile(cp.Logs(process))
			require.NoError(t, err)
			require.NotContains(t, string(log), value, process)
		}
	})
	for _, claim := range []ref{organization, repoBinding, knowledgeBase} {
		t.Run(claim.kind()+" is what its golden file says", func(t *testing.T) { cp.requireGolden(t, claim) })
	}
	t.Run("kubectl shows it", func(t *testing.T) {
		table := kubectl(t, "get", "aphex", "--namespace", "platform-system")
		require.Regexp(t, `(?m)^NAME +PHASE +WEBHOOK URL +SYNCED +READY +CONNECTION-SECRET +AGE$`, table)
		require.Regexp(t, `(?m)^organization\.aphex\.io/acme-corp +Active +https://acme-corp\.arbiter-dev\.com +True +True +acme-corp-webhook +\d+`, table)
		require.Regexp(t, `(?m)^NAME +PHASE +NAMESPACE +SYNCED +READY +CONNECTION-SECRET +AGE$`, table)
		require.Regexp(t, `(?m)^repobinding\.aphex\.io/my-application +Ready +cdktf-deploy-pipeline +True +True +\d+`, table)
		require.Regexp(t, `(?m)^NAME +PHASE +REPOSITORIES +SYNCED +READY +CONNECTION-SECRET +AGE$`, table)
		require.Regexp(t, `(?m)^knowledgebase\.aphex\.io/platform-docs +Ready +3 +True +True +\d+`, table)
		require.Contains(t, kubectl(t, "get", "kb", "--namespace", "platform-system", "--output", "wide"), "Tracking 3 repositories")
		require.Contains(t, kubectl(t, "explain", "organization.spec.adminUsers"), "e-mail addresses of the organization's administrators")
	})
}

// A render without a cluster takes every neighbour for present. On a cluster that would be a lie; it cannot happen there,
// since the CRD of the XR itself can always be seen.
func TestALiveClusterIsNeverTakenForNone(t *testing.T) {
	namespace := cp.namespace(t, "e2e-live")
	claim := cp.create(t, knowledgeBase(namespace, "live"))
	cp.awaitPhase(t, claim, "Ready")
	// By then every claim of the tests before this one has its events too.
	eventually(t, func(ctx context.Context) error {
		events, err := cp.kube.CoreV1().Events("").List(ctx, everything)
		if err != nil {
			return err
		}
		told := false
		for _, e := range events.Items {
			if strings.Contains(e.Message, "No cluster can be seen") {
				require.Fail(t, "a live cluster was not seen", "%v", e)
			}
			told = told || e.InvolvedObject.Namespace == namespace && e.Reason == "PhaseChanged"
		}
		if !told {
			return fmt.Errorf("no event tells of the phase of %s", claim)
		}
		return nil
	})
}

// goldenOfExample is the golden case of each function that renders the example without a cluster: everything is shown, as if
// every neighbour were there.
var goldenOfExample = map[string]string{
	"organization":  "a-render-without-a-cluster-shows-everything",
	"repobinding":   "fresh-without-a-cluster",
	"knowledgebase": "offline",
	"platform":      "a-render-without-a-cluster-shows-everything",
}

// requireGolden requires that a claim became the objects of a golden file, and that each has all the fields written there.
func (c *cluster) requireGolden(t *testing.T, claim ref) {
	t.Helper()
	function := strings.ToLower(claim.kind())
	golden, err := os.ReadFile(filepath.Join(c.Root(), "functions", function, "testdata", goldenOfExample[function], "want.yaml"))
	require.NoError(t, err)
	if function == "organization" {
		// Only Cloudflare can give the id.
		id := text(c.see(t, "Tunnel org-acme-corp/acme-corp"), "status.atProvider.id")
		golden = bytes.ReplaceAll(golden, []byte("00000000-0000-0000-0000-000000000000"), []byte(id))
	}
	var promised []ref
	for _, document := range bytes.Split(golden, []byte("\n---\n"))[1:] {
		want := &object{}
		require.NoError(t, yaml.Unmarshal(document, &want.Object))
		if want.GetKind() == "Result" {
			continue
		}
		r := refOf(want)
		promised = append(promised, r)
		live := c.see(t, r)
		delete(want.Object["metadata"].(map[string]any)["annotations"].(map[string]any), "render/ready")
		switch r.kind() {
		case "Secret":
			if _, generated := want.Object["data"].(map[string]any)["secret"]; generated || function == "platform" {
				delete(want.Object, "data")
			}
		case "ConfigMap":
			if function == "platform" {
				withoutAuthority(t, live)
				withoutAuthority(t, want)
			}
		case "Namespace":
			// Nothing is ready in a render.
			unstructured.RemoveNestedField(want.Object, "metadata", "labels", "platform.aphex/phase")
		case "Deployment":
			// Hashes of the id and of the credentials.
			unstructured.RemoveNestedField(want.Object, "spec", "template", "metadata", "annotations")
		}
		if function == "repobinding" && r.kind() == "NetworkPolicy" {
			// Only a cluster knows where its API server is, which pipelines may reach.
			rules, _, err := unstructured.NestedSlice(live.Object, "spec", "egress")
			require.NoError(t, err)
			rules = slices.DeleteFunc(rules, func(rule any) bool { return strings.Contains(fmt.Sprint(rule), "port:443") })
			require.NoError(t, unstructured.SetNestedSlice(live.Object, rules, "spec", "egress"))
		}
		require.NoError(t, covers(want.Object, live.Object), r)
	}
	require.ElementsMatch(t, promised, c.composed(t, claim))
}

// withoutAuthority reads the files in a ConfigMap that say whose certificates to trust, which a render does not know, and takes
// that out.
func withoutAuthority(t *testing.T, o *object) {
	t.Helper()
	files, _ := o.Object["data"].(map[string]any)
	read := func(name string) map[string]any {
		text, _ := files[name].(string)
		var file map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(text), &file))
		if file != nil {
			files[name] = file
		}
		return file
	}
	unstructured.RemoveNestedField(read("oidc.config"), "rootCA")
	issuers, _ := read("authentication-configuration.yaml")["jwt"].([]any)
	for _, issuer := range issuers {
		unstructured.RemoveNestedField(issuer.(map[string]any), "issuer", "certificateAuthority")
	}
}

// covers is a check that a value has all that another has.
func covers(want, have any) error {
	switch want := want.(type) {
	case map[string]any:
		m, _ := have.(map[string]any)
		for k, v := range want {
			if err := covers(v, m[k]); err != nil {
				return fmt.Errorf("%s.%w", k, err)
			}
		}
		return nil
	case []any:
		l, _ := have.([]any)
		if len(l) != len(want) {
			return fmt.Errorf(" want %v, have %v", want, have)
		}
		for i := range want {
			if err := covers(want[i], l[i]); err != nil {
				return fmt.Errorf("[%d].%w", i, err)
			}
		}
		return nil
	default:
		if w, h := fmt.Sprint(want), fmt.Sprint(have); w != h {
			return fmt.Errorf(" want %s, have %s", w, h)
		}
		return nil
	}
}

// kubectl runs the real one as an administrator.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), cp.Binary("kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+cp.Kubeconfig())
	out, err := command.CombinedOutput()
	require.NoError(t, err, "kubectl %s: %s", strings.Join(args, " "), out)
	return string(out)
}

func readObject(t *testing.T, file string) *object {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	o := &object{}
	require.NoError(t, yaml.UnmarshalStrict(raw, &o.Object), file)
	return o
}
