package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/tekton"
	cloudflarev1alpha1 "aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
)

func compose(t testing.TB, w world, xr *v1alpha1.XOrganization) *object.Desired {
	t.Helper()
	d, err := w.compose(t, xr)
	require.NoError(t, err)
	require.NoError(t, d.Err())
	return d
}

func given(secret string) func(*v1alpha1.XOrganization) {
	return func(xr *v1alpha1.XOrganization) { xr.Spec.WebhookSecret = secret }
}

// allDone is the message of an organization that works.
const allDone = "All 22 steps are done; the webhook at GitHub: https://acme-corp.arbiter-dev.com, content type application/json, " +
	"secret org-acme-corp/github-webhook-secret#secret (or webhookSecret in the Secret that writeConnectionSecretToRef names)"

func suspended(xr *v1alpha1.XOrganization) { xr.Spec.Suspend = true }

func TestObjectsAppearInAnOrderThatTheAPIServerAccepts(t *testing.T) {
	first := compose(t, world{}, organization())
	require.Equal(t, []string{"namespace"}, first.Keys())

	w := world{}.apply(first)
	second := compose(t, w, organization())
	require.Equal(t, []string{
		"admin-role", "dns-record", "event-listener", "listener-cluster-role", "listener-environment", "listener-network-policy", "listener-role",
		"listener-service-account", "namespace", "secrets-reader-role", "secrets-reader-service-account", "trigger-binding",
		"tunnel", "webhook-secret",
	}, second.Keys(), "no binding before its role")

	w = w.apply(second)
	third := compose(t, w, organization())
	require.Subset(t, third.Keys(), []string{
		"admin-role-binding", "listener-cluster-role-binding", "listener-role-binding", "secrets-reader-role-binding", "secret-store",
		"connector", "connector-config", "connector-disruption-budget",
	})
	require.Len(t, third.Keys(), 22)

	require.True(t, compose(t, w.apply(third), organization()).Ready)
}

func TestTheNamespaceIsNoTenantAndMayUseItsOwnStore(t *testing.T) {
	ns := get[corev1.Namespace](t, compose(t, world{}, organization()), keyNamespace)
	require.Equal(t, "org-acme-corp", ns.Name)
	require.Equal(t, map[string]string{
		"aphex.dev/org":                      "acme-corp",
		"platform.aphex/managed-by":          "organization-controller",
		"platform.aphex/organization":        "acme-corp",
		"platform.aphex/claim-namespace":     "platform-system",
		"platform.aphex/phase":               "Pending",
		"pod-security.kubernetes.io/enforce": "baseline",
	}, ns.Labels, "aphex/managed-by and aphex/tenant would make it count as a pipeline")
}

func TestTheListenerChecksSignaturesAndSelectsOnlyItsOwnTriggers(t *testing.T) {
	d := compose(t, settled(t, organization()), organization())
	raw := object.NewObject(d.Resources()[keyListener].Object)
	require.Equal(t, []string{"resources", "serviceAccountName", "triggerGroups"}, raw.Field("spec").Keys(),
		"namespaceSelector and labelSelector of the spec would select triggers that run without a signature check")

	listener := get[tekton.EventListener](t, d, keyListener)
	require.Len(t, listener.Spec.TriggerGroups, 1)
	group := listener.Spec.TriggerGroups[0]
	require.Equal(t, map[string]string{"platform.aphex/organization": "acme-corp"}, group.TriggerSelector.LabelSelector.MatchLabels)
	require.Len(t, group.Interceptors, 1)
	require.Equal(t, "github", group.Interceptors[0].Ref.Name)
	require.Equal(t, []tekton.InterceptorParam{
		{Name: "secretRef", Value: map[string]any{"secretName": "github-webhook-secret", "secretKey": "key-1"}},
		{Name: "eventTypes", Value: []any{"push", "pull_request"}},
	}, group.Interceptors[0].Params)
}

func TestAShardHasAPathAndItsOwnTriggers(t *testing.T) {
	w := settled(t, organization())
	w.objects = append(slices.Clone(w.objects), environment(map[string]any{"listener": map[string]any{"shards": int64(2)}}))
	d := compose(t, w, organization())
	require.False(t, d.Ready, "the shards are not there yet")
	for key, triggers := range map[string]map[string]string{
		"event-listener":   {"platform.aphex/organization": "acme-corp"},
		"event-listener-1": {"platform.aphex/organization": "acme-corp", "platform.aphex/shard": "1"},
		"event-listener-2": {"platform.aphex/organization": "acme-corp", "platform.aphex/shard": "2"},
	} {
		l := get[tekton.EventListener](t, d, key)
		require.Equal(t, "github-listener"+strings.TrimPrefix(key, "event-listener"), l.Name)
		require.Len(t, l.Spec.TriggerGroups, 1)
		require.Equal(t, "github", l.Spec.TriggerGroups[0].Interceptors[0].Ref.Name)
		require.Equal(t, triggers, l.Spec.TriggerGroups[0].TriggerSelector.LabelSelector.MatchLabels)
	}
	var configuration struct {
		Ingress []struct{ Hostname, Path, Service string }
	}
	require.NoError(t, yaml.Unmarshal([]byte(get[corev1.ConfigMap](t, d, keyConnectorConfig).Data["config.yaml"]), &configuration))
	require.Equal(t, []struct{ Hostname, Path, Service string }{
		{"acme-corp.arbiter-dev.com", "^/1$", "http://el-github-listener-1.org-acme-corp.svc:8080"},
		{"acme-corp.arbiter-dev.com", "^/2$", "http://el-github-listener-2.org-acme-corp.svc:8080"},
		{"acme-corp.arbiter-dev.com", "", "http://el-github-listener.org-acme-corp.svc:8080"},
		{"", "", "http_status:404"},
	}, configuration.Ingress)
	require.True(t, compose(t, w.apply(d), organization()).Ready)
}

func TestTheListenerIsToldItsLimitsThroughASecret(t *testing.T) {
	d := compose(t, settled(t, organization()), organization())
	secret := get[corev1.Secret](t, d, keyListenerEnvironment)
	require.Equal(t, map[string][]byte{"GOMEMLIMIT": []byte("384MiB"), "KUBE_API_BURST": []byte("100"), "KUBE_API_QPS": []byte("50")}, secret.Data)

	container := get[tekton.EventListener](t, d, keyListener).Spec.Resources.KubernetesResource.Spec.Template.Spec.Containers[0]
	told := map[string]string{}
	for _, v := range container.Env {
		require.Empty(t, v.Value, "Tekton refuses an environment that is not from a Secret")
		told[v.Name] = v.ValueFrom.SecretKeyRef.Name + "#" + v.ValueFrom.SecretKeyRef.Key
	}
	require.Equal(t, map[string]string{
		"GOMEMLIMIT":     "github-listener-environment#GOMEMLIMIT",
		"KUBE_API_BURST": "github-listener-environment#KUBE_API_BURST",
		"KUBE_API_QPS":   "github-listener-environment#KUBE_API_QPS",
	}, told)
	require.Equal(t, "512Mi", container.Resources.Limits.Memory().String(), "more than GOMEMLIMIT, which counts only Go's own memory")
}

func TestTheNamespaceTellsRepoBindingsHowTheOrganizationIs(t *testing.T) {
	w := settled(t, organization())
	require.Equal(t, "Active", get[corev1.Namespace](t, compose(t, w, organization()), keyNamespace).Labels["platform.aphex/phase"])
	labels := get[corev1.Namespace](t, compose(t, w, organization(suspended)), keyNamespace).Labels
	require.Equal(t, "true", labels["platform.aphex/suspended"])
	require.Equal(t, "platform-system", labels["platform.aphex/claim-namespace"])
}

func TestSuspendChangesTheListenerAndItsMarkAlone(t *testing.T) {
	w := settled(t, organization())
	running, stopped := compose(t, w, organization()), compose(t, w, organization(suspended))
	interceptors := get[tekton.EventListener](t, stopped, keyListener).Spec.TriggerGroups[0].Interceptors
	require.Len(t, interceptors, 2)
	require.Equal(t, "github", interceptors[0].Ref.Name, "the signature is still checked")
	require.Equal(t, "cel", interceptors[1].Ref.Name)
	require.Equal(t, []tekton.InterceptorParam{{Name: "filter", Value: "false"}}, interceptors[1].Params)
	require.True(t, stopped.Ready)

	for _, key := range running.Keys() {
		if key != keyListener && key != keyNamespace {
			require.Equal(t, running.Resources()[key].Object.String(), stopped.Resources()[key].Object.String(), key)
		}
	}
}

func TestEveryRoleGrantsTheLeastThatWorks(t *testing.T) {
	all := []string{"get", "list", "watch"}
	rule := func(group string, resources []string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
	}
	orgSecrets := func(verbs ...string) rbacv1.PolicyRule {
		r := rule("", []string{"secrets"}, verbs...)
		r.ResourceNames = []string{"org-secrets"}
		return r
	}
	triggers := []string{"eventlisteners", "triggers", "triggerbindings", "triggertemplates", "interceptors"}
	require.Equal(t, map[string][]rbacv1.PolicyRule{
		"listener-cluster-role": {rule("triggers.tekton.dev", []string{"clusterinterceptors", "clustertriggerbindings"}, all...)},
		"listener-role":         {rule("triggers.tekton.dev", triggers, all...)},
		"secrets-reader-role":   {orgSecrets("get")},
		"admin-role": {
			rule("", []string{"secrets"}, "create"),
			orgSecrets("get", "update", "patch", "delete"),
			rule("aphex.io", []string{"repobindings", "knowledgebases"}, "get", "list", "watch", "create", "update", "patch", "delete"),
			rule("", []string{"configmaps", "services", "pods", "events"}, all...),
			rule("", []string{"pods/log"}, "get"),
			rule("tekton.dev", []string{"pipelines", "pipelineruns", "taskruns"}, all...),
			rule("triggers.tekton.dev", triggers, all...),
			rule("external-secrets.io", []string{"externalsecrets"}, all...),
			rule("cloudflare.aphex.io", []string{"tunnels", "dnsrecords"}, all...),
		},
	}, rules(t, compose(t, settled(t, organization()), organization())))
}

func TestEveryBindingNamesItsRoleAndSubjects(t *testing.T) {
	d := compose(t, settled(t, organization()), organization())
	account := func(name string) []rbacv1.Subject {
		return []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "org-acme-corp", Name: name}}
	}
	for key, want := range map[string]struct {
		role     string
		subjects []rbacv1.Subject
	}{
		"listener-cluster-role-binding": {"ClusterRole eventlistener-acme-corp", account("eventlistener")},
		"listener-role-binding":         {"Role eventlistener", account("eventlistener")},
		"secrets-reader-role-binding":   {"Role eso-secrets-reader", account("eso-secrets-reader")},
		"admin-role-binding": {"Role organization-admin", []rbacv1.Subject{
			{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "admin@acme-corp.com"},
			{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "ops@acme-corp.com"},
		}},
	} {
		got := get[rbacv1.RoleBinding](t, d, key)
		require.Equal(t, want.role, got.RoleRef.Kind+" "+got.RoleRef.Name, key)
		require.Equal(t, want.subjects, got.Subjects, key)
	}
}

// The API server lets Crossplane grant only what it holds, and Crossplane composes only kinds that it may write.
func TestThePackageGivesCrossplaneWhatAnOrganizationNeeds(t *testing.T) {
	raw, err := os.ReadFile("../../package/rbac.yaml")
	require.NoError(t, err)
	holds := map[string]bool{}
	each := func(r rbacv1.PolicyRule, do func(string)) {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				for _, verb := range r.Verbs {
					do(verb + " " + resource + "." + group)
				}
			}
		}
	}
	for doc := range strings.SplitSeq(string(raw), "\n---\n") {
		var role rbacv1.ClusterRole
		require.NoError(t, yaml.Unmarshal([]byte(doc), &role))
		for _, r := range role.Rules {
			each(r, func(right string) { holds[right] = true })
		}
	}

	d := compose(t, testableWorld(t, nil), organization(testingWith("1")))
	for key, rules := range rules(t, d) {
		for _, r := range rules {
			each(r, func(right string) {
				require.True(t, holds[right], "%s grants %s, which package/rbac.yaml lacks", key, right)
			})
		}
	}
	for _, key := range d.Keys() {
		o := object.NewObject(d.Resources()[key].Object)
		group, _, found := strings.Cut(o.String("apiVersion"), "/")
		if !found {
			group = ""
		}
		plural := strings.ToLower(o.Kind()) + "s"
		if o.Kind() == "NetworkPolicy" {
			plural = "networkpolicies"
		}
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete"} {
			right := verb + " " + plural + "." + group
			require.True(t, holds[right], "%s needs %s, which package/rbac.yaml lacks", key, right)
		}
	}
}

func TestOnlyTheConnectorReachesTheListener(t *testing.T) {
	d := compose(t, settled(t, organization()), organization())
	policy := get[networkingv1.NetworkPolicy](t, d, keyListenerPolicy)
	require.Equal(t, metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/managed-by": "EventListener"}},
		policy.Spec.PodSelector, "every listener, also a shard")
	require.Len(t, policy.Spec.Ingress, 1)
	require.Len(t, policy.Spec.Ingress[0].From, 1)
	require.Nil(t, policy.Spec.Ingress[0].From[0].NamespaceSelector)
	require.Subset(t, get[appsv1.Deployment](t, d, keyConnector).Spec.Template.Labels, policy.Spec.Ingress[0].From[0].PodSelector.MatchLabels)
	require.Len(t, policy.Spec.Ingress[0].Ports, 1)
	require.Equal(t, 8080, policy.Spec.Ingress[0].Ports[0].Port.IntValue())
}

func TestTheConnectorRollsWhenWhatItReadsChanges(t *testing.T) {
	w := settled(t, organization())
	hashes := func(w world) map[string]string {
		return get[appsv1.Deployment](t, compose(t, w, organization()), keyConnector).Spec.Template.Annotations
	}
	before := hashes(w)
	require.Equal(t, before, hashes(w))

	rotated := w
	rotated.objects = []map[string]any{credentials("org-acme-corp", "cloudflared-credentials-acme-corp", "uid-of-tunnel", "another file")}
	require.NotEqual(t, before["platform.aphex/credentials-hash"], hashes(rotated)["platform.aphex/credentials-hash"])
	require.Equal(t, before["platform.aphex/config-hash"], hashes(rotated)["platform.aphex/config-hash"])

	moved := w
	moved.objects = append(slices.Clone(w.objects), environment(map[string]any{"webhookDomain": "hooks.example.org"}))
	require.Equal(t, before, hashes(moved), "not before the new file is there")
	moved = moved.apply(compose(t, moved, organization()))
	require.NotEqual(t, before["platform.aphex/config-hash"], hashes(moved)["platform.aphex/config-hash"])

	spoilt := settled(t, organization())
	spoilt.composed[keyConnectorConfig]["data"] = map[string]any{"config.yaml": "tunnel: another"}
	require.Equal(t, before, hashes(spoilt), "what is about to be repaired is not read")
}

func TestTheConnectorRunsWithTheProvidersCredentialsOnly(t *testing.T) {
	w := settled(t, organization()).keep(func(k string) bool { return !strings.HasPrefix(k, "connector") })
	for name, secret := range map[string]map[string]any{
		"no Secret":                            nil,
		"a Secret of someone else":             credentials("org-acme-corp", "cloudflared-credentials-acme-corp", "someone-else", "file"),
		"a Secret that nobody controls":        credentials("org-acme-corp", "cloudflared-credentials-acme-corp", "", "file"),
		"a Secret without the file":            credentials("org-acme-corp", "cloudflared-credentials-acme-corp", "uid-of-tunnel", ""),
		"a Secret of another name":             credentials("org-acme-corp", "cloudflared-credentials-other", "uid-of-tunnel", "file"),
		"a Secret of that name somewhere else": credentials("default", "cloudflared-credentials-acme-corp", "uid-of-tunnel", "file"),
	} {
		t.Run(name, func(t *testing.T) {
			w.objects = nil
			if secret != nil {
				w.objects = []map[string]any{secret}
			}
			d := compose(t, w, organization())
			require.NotContains(t, d.Keys(), keyConnector)
			require.Equal(t, "Waiting", condition(t, d, "ConnectorReady").Reason)
			require.Contains(t, d.Message, "waiting for the provider to write Secret org-acme-corp/cloudflared-credentials-acme-corp")
		})
	}
}

func TestTheConnectorIsLeftAloneWhileItsTunnelOrCredentialsAreLost(t *testing.T) {
	w := settled(t, organization())
	before := compose(t, w, organization())
	w.objects = []map[string]any{environment(map[string]any{"cloudflared": map[string]any{"replicas": int64(5)}})}
	after := compose(t, w, organization())
	for _, key := range []string{keyConnector, keyConnectorConfig, keyConnectorBudget} {
		require.Equal(t, before.Resources()[key].Object.String(), after.Resources()[key].Object.String(), key)
	}
	require.Equal(t, object.False, condition(t, after, "WebhookReady").Status)
}

// pods sets how many of a Deployment's two pods are available.
func pods(deployment map[string]any, available int64) map[string]any {
	deployment = maps.Clone(deployment)
	status := "True"
	if available < 2 {
		status = "False"
	}
	deployment["status"] = map[string]any{
		"availableReplicas": available, "conditions": []any{map[string]any{"type": "Available", "status": status, "message": "some pods are missing."}},
	}
	return deployment
}

func TestOneOfTwoPodsIsEnough(t *testing.T) {
	connectors := func(available int64) world {
		w := settled(t, organization())
		w.composed[keyConnector] = pods(w.composed[keyConnector], available)
		return w
	}
	// listeners is the world in which Tekton calls the listener not ready.
	listeners := func(available int64, owner string) world {
		w := settled(t, organization())
		w.composed[keyListener] = pods(w.composed[keyListener], 0)
		w.composed[keyListener]["status"].(map[string]any)["conditions"] = []any{
			map[string]any{"type": "Available", "status": "False"},
			map[string]any{"type": "Ready", "status": "False", "message": "Condition Available has status: False."},
		}
		w.objects = append(slices.Clone(w.objects), pods(map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment", "spec": map[string]any{"replicas": int64(2)},
			"metadata": map[string]any{"namespace": "org-acme-corp", "name": "el-github-listener", "ownerReferences": []any{
				map[string]any{"kind": "EventListener", "name": "github-listener", "uid": owner, "controller": true},
			}},
		}, available))
		return w
	}
	for name, c := range map[string]struct {
		world     world
		condition string
		status    object.Status
		message   string
	}{
		"both connectors":  {connectors(2), "ConnectorReady", object.True, ""},
		"one connector":    {connectors(1), "ConnectorReady", object.True, "Deployment org-acme-corp/cloudflared (1 of 2 pods are available)"},
		"no connector":     {connectors(0), "ConnectorReady", object.False, "waiting for Deployment org-acme-corp/cloudflared (none of its pods is available)"},
		"one listener":     {listeners(1, "uid-of-event-listener"), "ListenerReady", object.True, "EventListener org-acme-corp/github-listener (1 of 2 pods are available)"},
		"no listener":      {listeners(0, "uid-of-event-listener"), "ListenerReady", object.False, "waiting for EventListener org-acme-corp/github-listener (Condition Available has status: False)"},
		"somebody else's":  {listeners(1, "another"), "ListenerReady", object.False, "waiting for EventListener org-acme-corp/github-listener (Condition Available has status: False)"},
		"two, says nobody": {listeners(2, "uid-of-event-listener"), "ListenerReady", object.True, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := compose(t, c.world, organization())
			require.Equal(t, c.status == object.True, d.Ready)
			got := condition(t, d, c.condition)
			require.Equal(t, c.status, got.Status)
			require.Equal(t, c.message, got.Message)
			require.Equal(t, c.status, condition(t, d, "WebhookReady").Status)
		})
	}
}

func TestATunnelStaysInItsAccountAndARecordInItsZone(t *testing.T) {
	set := environment(map[string]any{"cloudflare": map[string]any{"accountID": testAccount, "zone": "arbiter-dev.com"}})

	fresh := world{objects: []map[string]any{set}}
	fresh = fresh.apply(compose(t, fresh, organization()))
	d := compose(t, fresh, organization())
	require.Equal(t, testAccount, *get[cloudflarev1alpha1.Tunnel](t, d, keyTunnel).Spec.ForProvider.AccountID)
	require.Equal(t, "arbiter-dev.com", *get[cloudflarev1alpha1.DNSRecord](t, d, keyRecord).Spec.ForProvider.Zone)

	old := settled(t, organization())
	old.objects = append(old.objects, set)
	d = compose(t, old, organization())
	require.Nil(t, get[cloudflarev1alpha1.Tunnel](t, d, keyTunnel).Spec.ForProvider.AccountID, "it cannot be set later")
	require.Nil(t, get[cloudflarev1alpha1.DNSRecord](t, d, keyRecord).Spec.ForProvider.Zone, "the same host is in the same zone")
	require.True(t, d.Ready)
}

func TestNothingForeignIsTakenOver(t *testing.T) {
	foreign := func(kind, apiVersion, name string) world {
		w := settled(t, organization())
		delete(w.composed, map[string]string{
			"Namespace": keyNamespace, "ClusterRole": keyListenerClusterRole,
			"ClusterRoleBinding": keyListenerClusterBind, "ClusterSecretStore": keyStore,
		}[kind])
		w.objects = append(w.objects, map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name}})
		return w
	}
	for kind, c := range map[string]struct{ apiVersion, name, key, condition string }{
		"Namespace":          {"v1", "org-acme-corp", keyNamespace, "NamespaceReady"},
		"ClusterRole":        {"rbac.authorization.k8s.io/v1", "eventlistener-acme-corp", keyListenerClusterRole, "RBACReady"},
		"ClusterRoleBinding": {"rbac.authorization.k8s.io/v1", "eventlistener-acme-corp", keyListenerClusterBind, "RBACReady"},
		"ClusterSecretStore": {"external-secrets.io/v1", "org-acme-corp-store", keyStore, "SecretStoreReady"},
	} {
		t.Run(kind, func(t *testing.T) {
			d := compose(t, foreign(kind, c.apiVersion, c.name), organization())
			require.NotContains(t, d.Keys(), c.key)
			require.Equal(t, "Failed", d.Phase)
			require.True(t, d.Failed)
			require.Contains(t, d.Message, kind+" "+c.name+" exists and is not managed by Aphex")
			require.Equal(t, "NameTaken", condition(t, d, c.condition).Reason)
		})
	}
}

func TestTheSecondOrganizationOfANameGetsNothingAndLearnsWhoHasIt(t *testing.T) {
	w := world{objects: []map[string]any{{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{
			"name": "org-acme-corp",
			"labels": map[string]any{
				"crossplane.io/claim-name": "acme-corp", "crossplane.io/claim-namespace": "team-b",
			},
			"ownerReferences": []any{map[string]any{"kind": "XOrganization", "name": "acme-corp-q9z4m", "uid": "another", "controller": true}},
		},
	}}}
	d := compose(t, w, organization())
	require.Empty(t, d.Keys())
	require.Empty(t, d.Connection)
	require.Equal(t, v1alpha1.OrganizationStatus{
		Phase: "Failed",
		Message: "Namespace org-acme-corp exists and is controlled by XOrganization acme-corp-q9z4m of claim team-b/acme-corp; " +
			"claim the organization under another name, or delete what is in its way",
	}, status(t, d), "neither namespace nor URL of the other organization are shown as its own")
}

func TestAnInvalidSpecLeavesEverythingAsItIs(t *testing.T) {
	w := settled(t, organization())
	d := compose(t, w, organization(func(xr *v1alpha1.XOrganization) {
		xr.Spec.DisplayName, xr.Spec.AdminUsers, xr.Spec.WebhookSecret = "<b>", []string{"nobody"}, "s3cr3t"
		xr.Status = v1alpha1.OrganizationStatus{Phase: "Active", Namespace: "org-acme-corp", WebhookURL: "https://acme-corp.arbiter-dev.com"}
	}))
	require.Len(t, d.Keys(), 22)
	got := status(t, d)
	require.Equal(t, "Failed", got.Phase)
	require.Equal(t, "org-acme-corp", got.Namespace, "it still stands for its pipelines")
	require.Contains(t, got.Message, "spec.adminUsers[0]: ")
	require.Contains(t, got.Message, "spec.displayName: ")
	require.Contains(t, got.Message, "spec.webhookSecret: ")
	require.NotContains(t, got.Message, "s3cr3t")
}

func TestBadSettingsStopTheRun(t *testing.T) {
	w := settled(t, organization())
	w.objects = append(w.objects, environment(map[string]any{"webhookDomian": "example.org"}))
	_, err := w.compose(t, organization())
	require.ErrorContains(t, err, "webhookDomian")
}

func TestAMissingNeighbourIsReportedAndTheRestGoesOn(t *testing.T) {
	for crd, c := range map[string]struct{ key, condition string }{
		"eventlisteners.triggers.tekton.dev":      {keyListener, "ListenerReady"},
		"triggerbindings.triggers.tekton.dev":     {keyTriggerBinding, "ListenerReady"},
		"clustersecretstores.external-secrets.io": {keyStore, "SecretStoreReady"},
		"tunnels.cloudflare.aphex.io":             {keyTunnel, "TunnelReady"},
		"dnsrecords.cloudflare.aphex.io":          {keyRecord, "DNSReady"},
	} {
		t.Run(crd, func(t *testing.T) {
			w := settled(t, organization()).keep(func(k string) bool { return k != c.key })
			w.without = []string{crd}
			d := compose(t, w, organization())
			require.NotContains(t, d.Keys(), c.key)
			require.Len(t, d.Keys(), 21)
			require.Equal(t, object.Condition{
				Type: c.condition, Status: object.False, Reason: "CRDNotInstalled", Message: "CRD " + crd + " is not installed",
			}, condition(t, d, c.condition))
			require.False(t, d.Ready)
			require.Equal(t, "Pending", d.Phase)
			require.Contains(t, d.Message, "of 22 steps done; waiting for ")
			require.Contains(t, d.Message, "(CRD "+crd+" is not installed)")

			w.without = nil
			require.Contains(t, compose(t, w, organization()).Keys(), c.key, "it follows once the CRD is installed")
		})
	}
}

func TestANeighbourThatIsSwitchedOffHoldsNothingUp(t *testing.T) {
	for integration, conditions := range map[string][]string{
		"tekton":          {"ListenerReady", "WebhookReady"},
		"externalSecrets": {"SecretStoreReady"},
		"cloudflare":      {"TunnelReady", "ConnectorReady", "DNSReady"},
	} {
		t.Run(integration, func(t *testing.T) {
			w := world{
				objects: []map[string]any{environment(map[string]any{"integrations": map[string]any{integration: false}})},
				without: map[string][]string{
					"tekton":          {"eventlisteners.triggers.tekton.dev", "triggerbindings.triggers.tekton.dev"},
					"externalSecrets": {"clustersecretstores.external-secrets.io"},
					"cloudflare":      {"tunnels.cloudflare.aphex.io", "dnsrecords.cloudflare.aphex.io"},
				}[integration],
			}
			var d *object.Desired
			for range 5 {
				d = compose(t, w, organization())
				w = w.apply(d)
			}
			require.True(t, d.Ready, d.Message)
			require.Contains(t, d.Keys(), keyWebhookSecret, "a generated secret is never given up")
			for _, c := range conditions {
				require.Equal(t, object.True, condition(t, d, c).Status)
				require.Equal(t, "SwitchedOff", condition(t, d, c).Reason)
			}
		})
	}
}

func TestTheStatusHasAllThatIsPromised(t *testing.T) {
	require.Equal(t, v1alpha1.OrganizationStatus{
		Namespace:          "org-acme-corp",
		WebhookURL:         "https://acme-corp.arbiter-dev.com",
		ClusterSecretStore: "org-acme-corp-store",
		Phase:              "Active",
		Message:            allDone,
	}, status(t, compose(t, settled(t, organization()), organization())))
}

func TestNamesFitTheirLimits(t *testing.T) {
	longest := strings.Repeat("a", v1alpha1.MaxNameLength)
	n := namesFor(longest)
	require.Len(t, n.Namespace, validation.DNS1123LabelMaxLength)
	for _, name := range []string{n.ListenerClusterRole, n.Store, n.Tunnel, n.Record, n.Credentials} {
		require.Empty(t, validation.IsDNS1123Subdomain(name), name)
	}
	for _, labels := range []map[string]string{n.Labels(), n.ConnectorPods(), listenerPods(listenerName), allListenerPods()} {
		for _, key := range slices.Sorted(maps.Keys(labels)) {
			require.Empty(t, validation.IsValidLabelValue(labels[key]), key)
		}
	}
}

func TestEveryConditionIsSetOnEveryRun(t *testing.T) {
	want := []string{
		"ConnectorReady", "DNSReady", "ListenerReady", "NamespaceReady", "RBACReady", "SecretStoreReady", "TunnelReady", "WebhookReady",
		"WebhookTested",
	}
	for i, d := range []*object.Desired{
		compose(t, world{}, organization()),
		compose(t, settled(t, organization()), organization()),
		compose(t, world{}, organization(given("short"))),
	} {
		got := make([]string, len(d.Conditions))
		for j, c := range d.Conditions {
			got[j] = c.Type
		}
		slices.Sort(got)
		require.Equal(t, want, got, fmt.Sprint(i))
	}
}

func TestTheExampleOfSecretsNamesWhatIsComposed(t *testing.T) {
	raw, err := os.ReadFile("../../examples/organization/externalsecret.yaml")
	require.NoError(t, err)
	var example []object.Object
	for doc := range strings.SplitSeq(string(raw), "\n---\n") {
		content := map[string]any{}
		require.NoError(t, yaml.UnmarshalStrict([]byte(doc), &content))
		example = append(example, wrap(t, content))
	}
	require.Len(t, example, 2)
	secret, external := example[0], example[1]
	d := compose(t, settled(t, organization()), organization())
	require.Equal(t, "org-acme-corp/org-secrets", secret.Namespace()+"/"+secret.Name())
	require.Equal(t, []string{secret.Name()}, get[rbacv1.Role](t, d, keyReaderRole).Rules[0].ResourceNames)
	require.Equal(t, object.NewObject(d.Resources()[keyStore].Object).Name(), external.String("spec", "secretStoreRef", "name"))
	for _, item := range external.List("spec", "data") {
		require.Equal(t, secret.Name(), item.String("remoteRef", "key"))
		require.Contains(t, secret.Field("stringData").Keys(), item.String("remoteRef", "property"))
	}
}

// inAccount are settings that give the organization a place of its own.
func inAccount(providerConfig, accountID string) map[string]any {
	return environment(map[string]any{"cloudflare": map[string]any{"accounts": []any{map[string]any{
		"organizations": []any{"acme-*"}, "webhookDomain": "second.example.com", "accountID": accountID,
		"providerConfig": map[string]any{"kind": "ClusterProviderConfig", "name": providerConfig},
	}}}})
}

func TestAnOrganizationIsMadeInTheAccountThatTheSettingsGiveIt(t *testing.T) {
	nothing := world{objects: []map[string]any{inAccount("second", otherAccount)}}
	w := nothing.apply(compose(t, nothing, organization()))
	d := compose(t, w, organization())
	tunnel, record := get[cloudflarev1alpha1.Tunnel](t, d, keyTunnel), get[cloudflarev1alpha1.DNSRecord](t, d, keyRecord)
	require.Equal(t, "second", tunnel.Spec.ProviderConfigReference.Name)
	require.Equal(t, otherAccount, *tunnel.Spec.ForProvider.AccountID)
	require.Equal(t, "second", record.Spec.ProviderConfigReference.Name)
	require.Equal(t, "acme-corp.second.example.com", record.Spec.ForProvider.Name)
	require.Equal(t, "https://acme-corp.second.example.com", status(t, d).WebhookURL)
}

const otherAccount = "0123456789abcdef0123456789abcdef"

func TestATunnelInAnotherAccountKeepsAllAsItIs(t *testing.T) {
	there := settled(t, organization())
	reached := func(xr *v1alpha1.XOrganization) { xr.Status.WebhookURL = "https://acme-corp.arbiter-dev.com" }
	before := compose(t, there, organization(reached))
	const advice = "; put them back, or delete this Tunnel and its DNSRecord, which are then made anew there"
	for name, c := range map[string]struct {
		settings map[string]any
		gives    string
	}{
		"a named account":                         {inAccount("second", otherAccount), "account " + otherAccount},
		"another account for the same token":      {inAccount("default", otherAccount), "account " + otherAccount},
		"a provider config of an unknown account": {inAccount("second", ""), "ClusterProviderConfig second; if that is of the same account, set accountID beside it, too"},
		"another provider config for all": {
			environment(map[string]any{"webhookDomain": "hooks.example.org", "cloudflare": map[string]any{"providerConfig": map[string]any{"name": "third"}}}),
			"ClusterProviderConfig third; if that is of the same account, set accountID beside it, too",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := there
			w.objects = append(slices.Clone(w.objects), c.settings)
			for range 2 {
				d := compose(t, w, organization(reached))
				for _, key := range []string{keyTunnel, keyRecord, keyConnector, keyConnectorConfig, keyListener} {
					require.Equal(t, before.Resources()[key].Object.String(), d.Resources()[key].Object.String(), "%s keeps its host and its API token", key)
				}
				require.Equal(t, "https://acme-corp.arbiter-dev.com", status(t, d).WebhookURL)
				why := "it is in Cloudflare account " + testAccount + ", no tunnel moves to another account, and the settings give this organization " + c.gives + advice
				require.Equal(t, object.Condition{
					Type: "TunnelReady", Status: object.False, Reason: "OtherAccount", Message: "Tunnel org-acme-corp/acme-corp: " + why,
				}, condition(t, d, "TunnelReady"))
				require.Equal(t, "OtherAccount", condition(t, d, "WebhookReady").Reason)
				require.Equal(t, "Pending", d.Phase)
				require.Equal(t, "21 of 22 steps done; waiting for Tunnel org-acme-corp/acme-corp ("+why+")", d.Message)
				w = w.apply(d)
			}
			w.objects = there.objects
			require.True(t, compose(t, w, organization(reached)).Ready, "the settings are put back")
		})
	}

	leaving := func(o map[string]any) map[string]any {
		o, meta := maps.Clone(o), maps.Clone(o["metadata"].(map[string]any))
		meta["deletionTimestamp"], o["metadata"] = "2026-01-16T12:00:00Z", meta
		return o
	}
	t.Run("its tunnel and record are deleted, and made anew in the other account", func(t *testing.T) {
		w := there.keep(func(string) bool { return true })
		w.objects = append(slices.Clone(w.objects), inAccount("second", otherAccount))
		w.composed[keyTunnel], w.composed[keyRecord] = leaving(w.composed[keyTunnel]), leaving(w.composed[keyRecord])
		requireNeither := func(d *object.Desired) {
			t.Helper()
			require.NotContains(t, d.Keys(), keyRecord, "one in the other account would lead nowhere")
			require.NotContains(t, d.Keys(), keyTunnel, "it would be made again in the old account")
			require.Contains(t, d.Keys(), keyConnector)
			require.Contains(t, d.Message, "Tunnel org-acme-corp/acme-corp (being deleted)")
			require.Equal(t, "https://acme-corp.arbiter-dev.com", status(t, d).WebhookURL)
		}
		requireNeither(compose(t, w, organization(reached)))

		// Crossplane has forgotten them.
		w.objects = append(w.objects, w.composed[keyTunnel])
		w = w.keep(func(key string) bool { return key != keyTunnel && key != keyRecord })
		requireNeither(compose(t, w, organization(reached)))

		w.objects = w.objects[:len(w.objects)-1]
		d := compose(t, w, organization(reached))
		require.Equal(t, "second", get[cloudflarev1alpha1.Tunnel](t, d, keyTunnel).Spec.ProviderConfigReference.Name)
		require.Equal(t, "acme-corp.second.example.com", get[cloudflarev1alpha1.DNSRecord](t, d, keyRecord).Spec.ForProvider.Name)
		require.Equal(t, "https://acme-corp.second.example.com", status(t, d).WebhookURL)
	})

	t.Run("one that is deleted before cloudflared ran for it is not forgotten, since nobody would look for it", func(t *testing.T) {
		w := there.keep(func(key string) bool {
			return key != keyConnectorConfig && key != keyConnector && key != keyConnectorBudget
		})
		w.composed[keyTunnel] = leaving(w.composed[keyTunnel])
		w.objects = append(slices.Clone(w.objects), inAccount("second", otherAccount))
		d := compose(t, w, organization(reached))
		require.Equal(t, "default", get[cloudflarev1alpha1.Tunnel](t, d, keyTunnel).Spec.ProviderConfigReference.Name, "which may delete it")
		require.Contains(t, d.Message, "Tunnel org-acme-corp/acme-corp (being deleted)")
	})

	t.Run("its tunnel alone is deleted, and goes once its record does", func(t *testing.T) {
		w := there.keep(func(key string) bool { return key != keyTunnel })
		w.objects = append(slices.Clone(w.objects), inAccount("second", otherAccount), leaving(there.composed[keyTunnel]))
		d := compose(t, w, organization(reached))
		require.Equal(t, before.Resources()[keyRecord].Object.String(), d.Resources()[keyRecord].Object.String())
		require.NotContains(t, d.Keys(), keyTunnel)
	})

	t.Run("one of which it is not known yet where it is", func(t *testing.T) {
		for name, c := range map[string]struct {
			annotation string
			moves      bool
		}{
			"has not been asked for, and moves if nobody asks meanwhile": {"", true},
			"is being made":      {"crossplane.io/external-create-pending", false},
			"has been made just": {"crossplane.io/external-name", false},
		} {
			t.Run(name, func(t *testing.T) {
				w := settled(t, organization())
				delete(w.composed[keyTunnel], "status")
				meta := w.composed[keyTunnel]["metadata"].(map[string]any)
				meta["resourceVersion"], meta["annotations"] = "12", map[string]any{}
				if c.annotation != "" {
					meta["annotations"] = map[string]any{c.annotation: "x"}
				}
				w.objects = append(slices.Clone(w.objects), inAccount("second", otherAccount))
				// What the status says may be of a run that saw no tunnel.
				d := compose(t, w, organization(func(xr *v1alpha1.XOrganization) { xr.Status.WebhookURL = "https://acme-corp.second.example.com" }))
				version := ""
				if c.moves {
					version = "12"
				}
				require.Equal(t, version, object.NewObject(d.Resources()[keyTunnel].Object).String("metadata", "resourceVersion"), "or the provider has written meanwhile")
				tunnel, record := get[cloudflarev1alpha1.Tunnel](t, d, keyTunnel), get[cloudflarev1alpha1.DNSRecord](t, d, keyRecord)
				if c.moves {
					require.Equal(t, "second", tunnel.Spec.ProviderConfigReference.Name)
					require.Equal(t, "acme-corp.second.example.com", record.Spec.ForProvider.Name)
					return
				}
				require.Equal(t, "default", tunnel.Spec.ProviderConfigReference.Name)
				require.Equal(t, "acme-corp.arbiter-dev.com", record.Spec.ForProvider.Name)
				require.Equal(t, object.Condition{
					Type: "TunnelReady", Status: object.False, Reason: "OtherAccount",
					Message: "Tunnel org-acme-corp/acme-corp: it is being made with ClusterProviderConfig default, no tunnel moves to another account, " +
						"and the settings give this organization account " + otherAccount + advice,
				}, condition(t, d, "TunnelReady"))
			})
		}
	})

	t.Run("somebody's change of either is repaired, and no move", func(t *testing.T) {
		for _, key := range []string{keyTunnel, keyRecord} {
			w := settled(t, organization())
			w.composed[key]["spec"].(map[string]any)["providerConfigRef"] = map[string]any{"kind": "ProviderConfig", "name": "mallory"}
			d := compose(t, w, organization(reached))
			require.Equal(t, before.Resources()[key].Object.String(), d.Resources()[key].Object.String())
			require.True(t, d.Ready)
		}
	})
}

func TestAnotherTokenOfTheSameAccountIsUsed(t *testing.T) {
	w := settled(t, organization())
	w.objects = append(w.objects, inAccount("second", testAccount))
	d := compose(t, w, organization())
	require.Equal(t, "second", get[cloudflarev1alpha1.Tunnel](t, d, keyTunnel).Spec.ProviderConfigReference.Name)
	record := get[cloudflarev1alpha1.DNSRecord](t, d, keyRecord)
	require.Equal(t, "second", record.Spec.ProviderConfigReference.Name)
	require.Equal(t, "acme-corp.second.example.com", record.Spec.ForProvider.Name)
	require.Equal(t, object.True, condition(t, d, "TunnelReady").Status)
}

func TestATunnelThatIsNowhereYetFollowsTheSettings(t *testing.T) {
	w := settled(t, organization())
	w.composed[keyTunnel]["status"] = map[string]any{}
	w.objects = append(w.objects, inAccount("second", ""))
	d := compose(t, w, organization())
	require.Equal(t, "second", get[cloudflarev1alpha1.Tunnel](t, d, keyTunnel).Spec.ProviderConfigReference.Name)
}

// environment is the EnvironmentConfig with the platform's settings.
func environment(data map[string]any) map[string]any {
	return map[string]any{
		"apiVersion": "apiextensions.crossplane.io/v1beta1", "kind": "EnvironmentConfig",
		"metadata": map[string]any{"name": "aphex"}, "data": data,
	}
}
