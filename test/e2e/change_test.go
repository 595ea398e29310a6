package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/docs/pages"
	"aphex.io/platform/test/controlplane"
	"aphex.io/platform/test/github"
)

func TestChangesOfAnOrganization(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-changing")
	cp.cloudflare(t)
	claim := cp.create(t, organization(namespace, "changing", withSecret("changing-webhook")))
	cp.awaitPhase(t, claim, "Active")
	webhookSecret := func() string { return secretValue(t, cp.see(t, "Secret org-changing/github-webhook-secret"), "secret") }

	t.Run("administrators come and go", func(t *testing.T) {
		cp.patch(t, claim, `spec: {adminUsers: [new@example.com, other@example.com]}`)
		cp.await(t, "RoleBinding org-changing/organization-admin", func(o *object) error {
			var names []any
			for _, s := range list(o, "subjects") {
				names = append(names, s["kind"], s["name"])
			}
			return same([]any{"User", "new@example.com", "User", "other@example.com"}, names)
		})
	})
	t.Run("the people's name of the organization is on its namespace", func(t *testing.T) {
		cp.patch(t, claim, `spec: {displayName: Changed}`)
		cp.await(t, "Namespace org-changing", func(o *object) error {
			return same("Changed", o.GetAnnotations()["platform.aphex/display-name"])
		})
	})
	t.Run("a given webhook secret takes the place of the generated one", func(t *testing.T) {
		require.Regexp(t, `^[0-9a-f]{64}$`, webhookSecret())
		cp.patch(t, claim, `spec: {webhookSecret: given-given-given-1}`)
		cp.await(t, "Secret org-changing/github-webhook-secret", holds(t, "secret", "given-given-given-1"))
		cp.await(t, refTo("Secret %s/changing-webhook", namespace), holds(t, "webhookSecret", "given-given-given-1"))
		// Crossplane tells the claim by this time, and of two changes within one second only the first.
		cp.await(t, cp.xr(t, claim), func(o *object) error {
			published, err := time.Parse(time.RFC3339, text(o, "status.connectionDetails.lastPublishedTime"))
			if err == nil && time.Since(published) < time.Second {
				err = errors.New("its connection details were published within this second")
			}
			return err
		})
		cp.patch(t, claim, `spec: {webhookSecret: given-given-given-2}`)
		cp.await(t, refTo("Secret %s/changing-webhook", namespace), holds(t, "webhookSecret", "given-given-given-2"))
	})
	t.Run("taking it out of the claim keeps it, also if it was asked to rotate while it was given", func(t *testing.T) {
		kubectl(t, "annotate", "organization", "changing", "-n", namespace, "platform.aphex/rotate-webhook-secret=in-vain")
		cp.awaitPhase(t, claim, "Active", "the annotation platform.aphex/rotate-webhook-secret does nothing")
		cp.patch(t, claim, `spec: {webhookSecret: null}`)
		xr := cp.xr(t, claim)
		cp.await(t, xr, func(o *object) error { return same("", text(o, "spec.webhookSecret")) })
		cp.reconcile(t, xr)
		require.Equal(t, "given-given-given-2", webhookSecret())
	})
	t.Run("while it is suspended, its listener passes nothing on, and all else stays", func(t *testing.T) {
		listener := ref("EventListener org-changing/github-listener")
		interceptors := func(want string) func(*object) error {
			return func(o *object) error {
				groups := list(o, "spec.triggerGroups")
				if len(groups) != 2 {
					return fmt.Errorf("%d groups; there is one for the secret of before too", len(groups))
				}
				for _, group := range groups {
					have := ""
					for _, i := range list(&object{Object: group}, "interceptors") {
						have += text(&object{Object: i}, "ref.name") + " "
						if params := list(&object{Object: i}, "params"); text(&object{Object: i}, "ref.name") == "cel" {
							have += fmt.Sprintf("%v=%v ", params[0]["name"], params[0]["value"])
						}
					}
					if err := same(want, have); err != nil {
						return err
					}
				}
				return nil
			}
		}
		before := cp.composed(t, claim)
		cp.patch(t, claim, `spec: {suspend: true}`)
		cp.await(t, listener, interceptors("github cel filter=false "))
		cp.awaitPhase(t, claim, "Active", "Suspended")
		require.ElementsMatch(t, before, cp.composed(t, claim))
		cp.patch(t, claim, `spec: {suspend: false}`)
		cp.await(t, listener, interceptors("github "))
	})
}

// A node that is drained takes one of the two pods with it, and no delivery is lost. A quota stands for the node that the pod
// would start on again.
func TestOneOfTwoPodsMayBeMissing(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-drained")
	org, bindings := cp.tenant(t, namespace, "drained", "drained-app")
	says := func(conditionType, message string) {
		t.Helper()
		cp.await(t, org, func(o *object) error {
			status, _, have := condition(o, conditionType)
			return errors.Join(same("True", status), same(message, strings.TrimPrefix(have, "<nil>")))
		})
	}
	says("ConnectorReady", "")
	says("ListenerReady", "")
	quota := cp.create(t, &object{Object: map[string]any{
		"apiVersion": "v1", "kind": "ResourceQuota", "metadata": map[string]any{"namespace": "org-drained", "name": "drained"},
		"spec": map[string]any{"hard": map[string]any{"pods": "0"}},
	}})
	for selector, c := range map[string]struct{ condition, ref string }{
		"app.kubernetes.io/name=cloudflared": {"ConnectorReady", "Deployment org-drained/cloudflared"},
		"eventlistener=github-listener":      {"ListenerReady", "EventListener org-drained/github-listener"},
	} {
		pods := podsOf(t, "org-drained", selector)
		require.Len(t, pods, 2, selector)
		require.NoError(t, cp.kube.CoreV1().Pods("org-drained").Delete(t.Context(), pods[0].Name, metav1.DeleteOptions{}))
		says(c.condition, c.ref+" (1 of 2 pods are available)")
	}
	for _, claim := range append(bindings, org) {
		cp.awaitReady(t, claim)
	}
	says("WebhookReady", "deliveries to https://drained.arbiter-dev.com reach the listener")

	cp.remove(t, quota)
	says("ConnectorReady", "")
	says("ListenerReady", "")
}

func TestChangesOfABinding(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-rewired")
	_, bindings := cp.tenant(t, namespace, "rewired", "rewired-app")
	claim := bindings[0]

	t.Run("another branch starts the runs", func(t *testing.T) {
		cp.patch(t, claim, `spec: {branch: release/1.2}`)
		cp.await(t, "Trigger org-rewired/rewired-app-trigger", func(o *object) error {
			return contains(fmt.Sprint(o.Object["spec"]), "refs/heads/release/1.2")
		})
	})
	t.Run("the elevated profile allows deployments", func(t *testing.T) {
		role := ref("Role rewired-app/pipeline-runner")
		require.NotContains(t, fmt.Sprint(cp.see(t, role).Object["rules"]), "deployments")
		cp.patch(t, claim, `spec: {permissionProfile: elevated}`)
		cp.await(t, role, func(o *object) error {
			return contains(fmt.Sprint(o.Object["rules"]), "deployments", "persistentvolumeclaims")
		})
		cp.patch(t, claim, `spec: {permissionProfile: standard}`)
		cp.await(t, role, func(o *object) error {
			if err := contains(fmt.Sprint(o.Object["rules"]), "deployments"); err == nil {
				return fmt.Errorf("it still allows deployments")
			}
			return nil
		})
	})
	t.Run("the pipeline follows its spec", func(t *testing.T) {
		changed := repoBinding(namespace, "rewired", "rewired-app", with("pipelineSpec", pipelineSpec("ship")))
		cp.apply(t, changed)
		cp.await(t, "Pipeline rewired-app/rewired-app", func(o *object) error { return contains(fmt.Sprint(o.Object["spec"]), "ship") })
	})
	t.Run("a pipeline that is none is refused, and the one before stays", func(t *testing.T) {
		cp.patch(t, claim, `spec: {pipelineSpec: "{apiVersion: tekton.dev/v1, kind: Pipeline, metadata: {name: a}, spec: {tasks: []}}"}`)
		cp.awaitPhase(t, claim, "Failed", "spec.tasks")
		require.Contains(t, fmt.Sprint(cp.see(t, "Pipeline rewired-app/rewired-app").Object["spec"]), "ship")
		cp.see(t, "Namespace rewired-app")
		cp.apply(t, repoBinding(namespace, "rewired", "rewired-app", with("pipelineSpec", pipelineSpec("sail"))))
		cp.awaitPhase(t, claim, "Ready")
		cp.await(t, "Pipeline rewired-app/rewired-app", func(o *object) error { return contains(fmt.Sprint(o.Object["spec"]), "sail") })
	})
	t.Run("while it is suspended it has no trigger, and all else stays", func(t *testing.T) {
		before := cp.composed(t, claim)
		cp.patch(t, claim, `spec: {suspend: true}`)
		cp.awaitGone(t, "Trigger org-rewired/rewired-app-trigger")
		eventually(t, func(context.Context) error { // Crossplane deletes first, and notes it then.
			return same(len(before)-1, len(cp.composed(t, claim)))
		})
		require.ElementsMatch(t, before, append(cp.composed(t, claim), "Trigger org-rewired/rewired-app-trigger"))
		cp.patch(t, claim, `spec: {suspend: false}`)
		cp.await(t, "Trigger org-rewired/rewired-app-trigger", func(*object) error { return nil })
		cp.awaitPhase(t, claim, "Ready")
	})
}

func TestChangesOfAKnowledgeBase(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-rewritten")
	claim := cp.create(t, knowledgeBase(namespace, "rewritten"))
	first := cp.awaitPhase(t, claim, "Ready", "Tracking 1 repository")
	cp.patch(t, claim, `spec: {repositories: [{url: https://github.com/example/docs}, {url: https://github.com/example/more, branch: next}]}`)
	second := cp.awaitPhase(t, claim, "Ready", "Tracking 2 repositories")
	require.LessOrEqual(t, text(first, "status.lastReconcileTime"), text(second, "status.lastReconcileTime"))
	cp.await(t, refTo("ConfigMap %s/knowledgebase-rewritten", namespace), func(o *object) error {
		return contains(fmt.Sprint(o.Object["data"]), "https://github.com/example/more", "next")
	})
}

// The settings hold for all claims, so that this test has the platform for itself.
func TestSettingsReachWhatExists(t *testing.T) {
	namespace := cp.namespace(t, "e2e-settings")
	org, bindings := cp.tenant(t, namespace, "settings", "settings-app")
	quota := func(want string) func(*object) error {
		return func(o *object) error { return same(want, text(o, "spec.hard.pods")) }
	}
	image := func(want string) func(*object) error {
		return func(o *object) error {
			containers := list(o, "spec.template.spec.containers")
			if len(containers) != 1 {
				return fmt.Errorf("%d containers", len(containers))
			}
			return same(want, containers[0]["image"])
		}
	}
	const (
		itsQuota     = ref("ResourceQuota settings-app/tenant-quota")
		itsConnector = ref("Deployment org-settings/cloudflared")
	)
	cp.await(t, itsQuota, quota("20"))
	usual := fmt.Sprint(list(cp.see(t, itsConnector), "spec.template.spec.containers")[0]["image"])

	settings := cp.settings(t, map[string]any{
		"tenant":      map[string]any{"quota": map[string]any{"pods": "7"}},
		"cloudflared": map[string]any{"image": "registry.example.com/cloudflared:2026.5.0"},
		"listener":    map[string]any{"shards": int64(2)},
	})
	cp.await(t, itsQuota, quota("7"))
	cp.await(t, itsConnector, image("registry.example.com/cloudflared:2026.5.0"))
	requireShard(t, "settings", bindings[0])

	// A setting that nobody knows changes nothing, and is named.
	cp.patch(t, settings, `data: {tenant: {quotas: {pods: "8"}}}`)
	cp.await(t, cp.xr(t, org), func(o *object) error {
		_, _, message := condition(o, "Synced")
		return contains(message, "EnvironmentConfig aphex", "tenant.quotas")
	})
	cp.see(t, itsQuota)
	cp.see(t, itsConnector)

	// Nor does one that the API server would refuse; it is asked, too.
	for _, bad := range []struct{ setting, path, kind, spec, refusal string }{
		{"{defaultLimits: {cpu: 50m}}", "tenant.defaultRequests[cpu]", "LimitRange",
			"{limits: [{type: Container, default: {cpu: 50m}, defaultRequest: {cpu: 100m}}]}", "greater than default limit value 50m"},
		{`{quota: {gpu: "1"}}`, "tenant.quota[gpu]", "ResourceQuota", `{hard: {gpu: "1"}}`, "must be a standard resource type"},
		{`{quota: {pods: "-1"}}`, "tenant.quota[pods]", "ResourceQuota", `{hard: {pods: "-1"}}`, "must be greater than or equal to 0"},
	} {
		refused := &object{}
		require.NoError(t, yaml.Unmarshal([]byte(newObject("v1", bad.kind)+"spec: "+bad.spec), &refused.Object))
		_, err := cp.dynamic.Resource(kinds[bad.kind]).Namespace(namespace).Create(t.Context(), refused, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		require.ErrorContains(t, err, bad.refusal)

		cp.patch(t, settings, "data: {tenant: null}")
		cp.await(t, cp.xr(t, org), func(o *object) error {
			status, _, _ := condition(o, "Synced")
			return same("True", status)
		})
		cp.patch(t, settings, "data: {tenant: "+bad.setting+"}")
		cp.await(t, cp.xr(t, org), func(o *object) error {
			_, _, message := condition(o, "Synced")
			return contains(message, "EnvironmentConfig aphex", bad.path)
		})
	}
	cp.see(t, itsQuota)

	cp.remove(t, settings)
	cp.await(t, itsQuota, quota("20"))
	cp.await(t, itsConnector, image(usual))
	cp.awaitPhase(t, org, "Active")
	cp.awaitPhase(t, bindings[0], "Ready")
}

// Argo CD moves, and a name is reserved, when a pipeline has all that it needs. The settings hold for all claims, so that this
// test has the platform for itself.
func TestSettingsTakeAndMoveWhatIsInArgoCD(t *testing.T) {
	namespace := cp.namespace(t, "e2e-moving-argocd")
	cp.namespace(t, "argocd-moved")
	_, bindings := cp.tenant(t, namespace, "moving-argocd", "freight")
	binding := bindings[0]
	in := func(namespace string) []ref {
		return []ref{
			refTo("AppProject %s/freight", namespace), refTo("Role %s/freight-argocd-access", namespace), refTo("RoleBinding %s/freight-argocd-access", namespace),
		}
	}
	isIn := func(there, gone string) {
		t.Helper()
		for _, r := range in(gone) {
			cp.awaitGone(t, r)
		}
		for _, r := range in(there) {
			cp.await(t, r, func(*object) error { return nil })
		}
		cp.awaitPhase(t, binding, "Ready")
	}

	settings := cp.settings(t, map[string]any{"argocd": map[string]any{"namespace": "argocd-moved"}})
	isIn("argocd-moved", "argocd")
	cp.patch(t, settings, "data: {argocd: {namespace: argocd-nowhere}}")
	cp.awaitCondition(t, binding, "AppProjectReady", "False NamespaceNotFound", "argocd-nowhere")
	for _, r := range in("argocd-moved") {
		cp.see(t, r)
	}
	cp.patch(t, settings, "data: {argocd: {namespace: argocd}}")
	isIn("argocd", "argocd-moved")

	cp.patch(t, settings, `data: {reservedNamespaces: ["freight-*"]}`)
	cp.awaitPhase(t, binding, "Failed", "freight could deploy to freight-*, which setting reservedNamespaces reserves")
	for _, condition := range []string{"NamespaceReady", "AppProjectReady", "TriggerReady"} {
		cp.awaitCondition(t, binding, condition, "False NameReserved")
	}
	for _, r := range append(in("argocd"), "Trigger org-moving-argocd/freight-trigger") {
		cp.awaitGone(t, r)
	}
	cp.see(t, "Namespace freight")
	cp.remove(t, settings)
	cp.awaitPhase(t, binding, "Ready")
	for _, r := range append(in("argocd"), "Trigger org-moving-argocd/freight-trigger") {
		cp.see(t, r)
	}
}

// Terraform's state goes with a pipeline's namespace; docs/operations.md tells how to take it along.
func TestTerraformsStateIsTakenAlong(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-state")
	cp.tenant(t, namespace, "state", "state-before")
	// Terraform writes it so, see https://developer.hashicorp.com/terraform/language/backend/kubernetes.
	states := map[string]string{"default": "the state", "staging": "another state"}
	for workspace, state := range states {
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		_, err := w.Write([]byte(state))
		require.NoError(t, errors.Join(err, w.Close()))
		_, err = cp.kube.CoreV1().Secrets("state-before").Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "tfstate-" + workspace + "-state-before", Labels: stateLabels(workspace, "state-before")},
			Data:       map[string][]byte{"tfstate": zipped.Bytes()},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}

	blocks, err := pages.Blocks(cp.Root(), "docs/operations.md")
	require.NoError(t, err)
	blocks = slices.DeleteFunc(blocks, func(b pages.Block) bool { return b.Needs != "Terraform's state" })
	require.NotEmpty(t, blocks)
	names := strings.NewReplacer("my-application", "state-before", "cdktf-deploy-pipeline", "state-before", "web-deploy", "state-after", "platform-system", namespace)
	dir := t.TempDir()
	claim, err := repoBinding(namespace, "state", "state-after", with("suspend", true)).MarshalJSON()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "repobinding.yaml"), claim, 0o600))
	cp.cleanUp(t, "RepoBinding e2e-state/state-after")
	for _, b := range blocks {
		b.Text = names.Replace(b.Text)
		cp.runCommands(t, b, dir)
	}

	cp.missing(t, "Namespace state-before")
	for workspace, state := range states {
		secret, err := cp.kube.CoreV1().Secrets("state-after").Get(t.Context(), "tfstate-"+workspace+"-state-after", metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, stateLabels(workspace, "state-after"), secret.Labels)
		r, err := gzip.NewReader(bytes.NewReader(secret.Data["tfstate"]))
		require.NoError(t, err)
		kept, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, state, string(kept))
	}
	cp.await(t, "Trigger org-state/state-after-trigger", func(*object) error { return nil })
}

// stateLabels are those by which Terraform finds the state of a workspace.
func stateLabels(workspace, suffix string) map[string]string {
	return map[string]string{
		"tfstate": "true", "tfstateWorkspace": workspace, "tfstateSecretSuffix": suffix, "app.kubernetes.io/managed-by": "terraform",
	}
}

// All organizations move to another domain, as docs/operations.md tells, and then one of them back. The settings hold for all
// claims, so that this test has the platform for itself.
func TestMovingToAnotherDomain(t *testing.T) {
	const zone, domain = "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "moved.example.org"
	require.NoError(t, cp.Cloudflare().AddZone(t.Context(), controlplane.CloudflareAccount, zone, domain))
	namespace := cp.namespace(t, "e2e-moving")
	org, bindings := cp.tenant(t, namespace, "moving", "moving-app")
	other, _ := cp.tenant(t, namespace, "moving-two")
	stay := []ref{"Tunnel org-moving/moving", "EventListener org-moving/github-listener", "Deployment org-moving/cloudflared"}
	ids := func() (out []types.UID) {
		for _, r := range stay {
			out = append(out, cp.see(t, r).GetUID())
		}
		return out
	}
	before := ids()
	tunnel := text(cp.see(t, stay[0]), "status.atProvider.id") + ".cfargotunnel.com"
	// records are the hosts of the organization in both zones, and where they lead.
	records := func(ctx context.Context) (out []string, err error) {
		for _, z := range []string{controlplane.CloudflareZone, zone} {
			all, err := cp.Cloudflare().Records(ctx, z)
			if err != nil {
				return nil, err
			}
			for _, r := range all {
				if strings.HasPrefix(r.Name, "moving.") {
					out = append(out, r.Name+" "+r.Content)
				}
			}
		}
		return out, nil
	}
	isAt := func(domain string) {
		t.Helper()
		cp.awaitPhase(t, org, "Active", "the webhook at GitHub: https://moving."+domain)
		cp.awaitPhase(t, bindings[0], "Ready", "its webhook at GitHub: https://moving."+domain)
		eventually(t, func(ctx context.Context) error {
			have, err := records(ctx)
			return errors.Join(err, same([]string{"moving." + domain + " " + tunnel}, have))
		})
		require.Equal(t, before, ids(), "only the record is replaced")
	}

	settings := cp.settings(t, map[string]any{"webhookDomain": domain, "cloudflare": map[string]any{"zone": domain}})
	isAt(domain)
	cp.patch(t, settings, fmt.Sprintf("data: {cloudflare: {accounts: [{organizations: [moving], webhookDomain: %[1]s, zone: %[1]s, "+
		"providerConfig: {kind: ClusterProviderConfig, name: default}}]}}", controlplane.CloudflareZoneName))
	isAt(controlplane.CloudflareZoneName)
	cp.awaitPhase(t, other, "Active", "https://moving-two."+domain)
	cp.remove(t, settings)
	cp.awaitPhase(t, other, "Active", "https://moving-two."+controlplane.CloudflareZoneName)
}

// No tunnel moves to another account. An organization that the settings give one goes on where it is, and says so, until they
// are put back or its tunnel and record are deleted. The settings hold for all claims, so that this test has the platform for itself.
func TestMovingToAnotherAccount(t *testing.T) {
	const account, zone, domain = "5a4b3c2d1e0f69788796a5b4c3d2e1f0", "6b4b3c2d1e0f69788796a5b4c3d2e1f0", "other-account.example.org"
	const tunnel, record = ref("Tunnel org-relocated/relocated"), ref("DNSRecord org-relocated/relocated")
	cp.cloudflare(t)
	require.NoError(t, cp.Cloudflare().AddAccount(t.Context(), account))
	require.NoError(t, cp.Cloudflare().AddZone(t.Context(), account, zone, domain))
	second := cp.see(t, "ClusterProviderConfig default")
	second = &object{Object: map[string]any{
		"apiVersion": second.GetAPIVersion(), "kind": second.GetKind(), "metadata": map[string]any{"name": "e2e-second"}, "spec": second.Object["spec"],
	}}
	spec := second.Object["spec"].(map[string]any)
	spec["accountID"], spec["zone"] = account, domain
	cp.create(t, second)

	namespace := cp.namespace(t, "e2e-relocating")
	org, bindings := cp.tenant(t, namespace, "relocated", "relocated-app")
	give := func(accountID string) map[string]any {
		return map[string]any{"cloudflare": map[string]any{"accounts": []any{map[string]any{
			"organizations": []any{"relocated"}, "webhookDomain": domain, "accountID": accountID,
			"providerConfig": map[string]any{"kind": "ClusterProviderConfig", "name": "e2e-second"},
		}}}}
	}
	specs := func() string { return fmt.Sprint(cp.see(t, tunnel).Object["spec"], cp.see(t, record).Object["spec"]) }
	before := specs()
	stays := func(says string) {
		t.Helper()
		cp.awaitCondition(t, org, "TunnelReady", "False OtherAccount", controlplane.CloudflareAccount, says)
		require.Equal(t, "https://relocated.arbiter-dev.com", text(cp.see(t, org), "status.webhookURL"))
		binding := cp.awaitPhase(t, bindings[0], "Provisioning", "which is Pending")
		require.Equal(t, "https://relocated.arbiter-dev.com", text(binding, "status.webhookConfiguration.url"))
		cp.awaitConditions(t, org, map[string]string{"DNSReady": "True", "ConnectorReady": "True", "ListenerReady": "True"})
		require.Equal(t, before, specs())
	}
	// at are the organization's tunnel and host in an account and a zone.
	at := func(account, zone string) (out []string) {
		tunnels, err := cp.Cloudflare().Tunnels(t.Context(), account)
		require.NoError(t, err)
		for _, tunnel := range tunnels {
			if tunnel.Name == "org-relocated" {
				out = append(out, tunnel.ID+".cfargotunnel.com")
			}
		}
		records, err := cp.Cloudflare().Records(t.Context(), zone)
		require.NoError(t, err)
		for _, r := range records {
			if strings.HasPrefix(r.Name, "relocated.") {
				out = append(out, r.Name+" "+r.Content)
			}
		}
		return out
	}

	settings := cp.settings(t, give(""))
	stays("ClusterProviderConfig e2e-second; if that is of the same account, set accountID")
	cp.remove(t, settings)
	for _, claim := range append(bindings, org) {
		cp.awaitReady(t, claim)
	}
	require.Equal(t, before, specs())

	cp.settings(t, give(account))
	stays("account " + account)
	for _, r := range []ref{tunnel, record} {
		require.NoError(t, cp.client(r).Delete(t.Context(), r.name(), metav1.DeleteOptions{}))
	}
	eventually(t, func(ctx context.Context) error {
		for _, r := range []ref{tunnel, record} {
			o, err := cp.get(ctx, r)
			if err != nil {
				return err
			}
			if config := text(o, "spec.providerConfigRef.name"); config != "e2e-second" {
				again := error(nil)
				if o.GetDeletionTimestamp() == nil { // A run that began before made again what it saw.
					again = cp.client(r).Delete(ctx, r.name(), metav1.DeleteOptions{})
				}
				return errors.Join(fmt.Errorf("%s is of ClusterProviderConfig %s", r, config), again)
			}
		}
		return nil
	})
	cp.awaitPhase(t, org, "Active", "the webhook at GitHub: https://relocated."+domain)
	cp.awaitPhase(t, bindings[0], "Ready", "its webhook at GitHub: https://relocated."+domain)
	require.Empty(t, at(controlplane.CloudflareAccount, controlplane.CloudflareZone), "nothing is left behind")
	id := text(cp.see(t, tunnel), "status.atProvider.cname")
	require.Equal(t, []string{id, "relocated." + domain + " " + id}, at(account, zone))

	cp.remove(t, bindings[0])
	cp.remove(t, org)
	require.Empty(t, at(account, zone))
}

// requireShard sends a push to the shard whose path a binding tells, and one to the listener that has all Triggers. Each
// starts the run by itself, and alone.
func requireShard(t *testing.T, organization string, binding ref) {
	t.Helper()
	var path string
	cp.await(t, binding, func(o *object) error {
		path = strings.TrimPrefix(text(o, "status.webhookConfiguration.url"), "https://"+organization+".arbiter-dev.com")
		if path != "/1" && path != "/2" {
			return fmt.Errorf("the path is %q", path)
		}
		return nil
	})
	shard, err := strconv.Atoi(strings.TrimPrefix(path, "/"))
	require.NoError(t, err)
	cp.await(t, refTo("Trigger org-%s/%s-trigger", organization, binding.name()), func(o *object) error {
		return same(shard, o.GetLabels()["platform.aphex/shard"])
	})
	address, err := cp.ListenShard(t.Context(), organization, shard)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cp.Kill(fmt.Sprintf("listener-%s-%d", organization, shard))) })
	all := cp.listen(t, organization)
	for listener, address := range map[string]string{"github-listener": all.url, fmt.Sprintf("github-listener-%d", shard): address} {
		push := signed(all.secret, "push", github.Push("example/"+binding.name(), "main").Bytes())
		answer, err := push.Send(t.Context(), http.DefaultClient, address)
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, answer.Status)
		eventually(t, func(ctx context.Context) error {
			runs, err := cp.dynamic.Resource(kinds["PipelineRun"]).List(ctx, metav1.ListOptions{LabelSelector: "platform.aphex/delivery=" + push.ID})
			if err != nil {
				return err
			}
			by := []string{}
			for _, run := range runs.Items {
				by = append(by, run.GetNamespace()+" by "+run.GetLabels()["triggers.tekton.dev/eventlistener"])
			}
			return same([]string{binding.name() + " by " + listener}, by)
		})
	}
}

// holds is a check that a Secret has a value.
func holds(t *testing.T, key, want string) func(*object) error {
	t.Helper()
	return func(o *object) error {
		if secretValue(t, o, key) != want {
			return fmt.Errorf("key %s has another value", key)
		}
		return nil
	}
}
