package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// repairTime is how long a repair may take. It is a fraction of a second on an idle machine.
const repairTime = 20 * time.Second

// drifts are what somebody changes in an object of each kind, as a JSON merge patch. Every kind that teams' claims are composed of has to be here.
var drifts = map[string]string{
	"Namespace":           `{metadata: {labels: {aphex.dev/org: mallory}}}`,
	"ServiceAccount":      `{metadata: {labels: {platform.aphex/organization: mallory}}}`,
	"ConfigMap":           `{data: {config.yaml: mallory, repositories.json: mallory}}`,
	"Secret":              `{data: {secret: bWFsbG9yeS1tYWxsb3J5LW1hbGxvcnk=, backend.tf: bWFsbG9yeQ==, GOMEMLIMIT: bWFsbG9yeQ==}}`,
	"ResourceQuota":       `{spec: {hard: {pods: "1000"}}}`,
	"LimitRange":          `{spec: {limits: []}}`,
	"NetworkPolicy":       `{spec: {ingress: [{}], egress: [{}]}}`,
	"Role":                `{rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]}`,
	"RoleBinding":         `{subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}]}`,
	"ClusterRole":         `{rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]}`,
	"ClusterRoleBinding":  `{subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}]}`,
	"Deployment":          `{spec: {replicas: 1}}`,
	"PodDisruptionBudget": `{spec: {maxUnavailable: 100%}}`,
	"EventListener":       `{spec: {serviceAccountName: mallory, triggerGroups: []}}`,
	"TriggerBinding":      `{spec: {params: []}}`,
	"TriggerTemplate":     `{spec: {params: [], resourcetemplates: []}}`,
	"Trigger":             `{spec: {interceptors: []}}`,
	"Pipeline":            `{spec: {tasks: []}}`,
	"AppProject":          `{spec: {sourceRepos: ["*"], destinations: [{server: "*", namespace: "*"}]}}`,
	"ClusterSecretStore":  `{spec: {conditions: [{namespaceRegexes: [".*"]}]}}`,
	"Tunnel":              `{spec: {writeConnectionSecretToRef: {name: mallory}}}`,
	"DNSRecord":           `{spec: {forProvider: {proxied: false}}}`,
}

// Whatever somebody changes or deletes comes back as it was, at once and one by one: no repair waits for another.
func TestDriftIsRepaired(t *testing.T) {
	namespace := cp.namespace(t, "e2e-drift")
	cp.cloudflare(t)
	claims := []ref{
		// Its secret is given: a generated one is read back from the cluster, so that nobody could tell a drift.
		cp.create(t, organization(namespace, "drift", with("webhookSecret", "drift-drift-drift-drift"))),
		cp.create(t, repoBinding(namespace, "drift", "drift-app")),
		cp.create(t, knowledgeBase(namespace, "drift")),
	}
	var composed []ref
	for _, claim := range claims {
		cp.awaitReady(t, claim)
	}
	cp.settled(t, claims)
	for _, claim := range claims {
		composed = append(composed, cp.composed(t, claim)...)
	}
	// Namespaces come last, since everything in them goes with them.
	slices.SortStableFunc(composed, func(a, b ref) int { return order(a) - order(b) })

	t.Run("every kind that is composed drifts", func(t *testing.T) {
		found := map[string]bool{}
		for _, r := range composed {
			found[r.kind()] = true
			require.Contains(t, drifts, r.kind())
		}
		for kind := range drifts {
			require.True(t, found[kind], "no %s is composed", kind)
		}
	})
	for _, r := range composed {
		t.Run("changed "+string(r), func(t *testing.T) { cp.repairsChange(t, r, drift(t, cp.see(t, r))) })
	}
	for _, r := range composed {
		t.Run("deleted "+string(r), func(t *testing.T) { cp.repairsDeletion(t, r) })
	}
	for _, claim := range claims {
		cp.awaitReady(t, claim)
	}
}

// platformDrifts are what somebody changes in objects of a platform, one of each kind and of each sort of file. Its namespace
// comes last. A generated secret is read back, so that nobody could tell a drift; these repeat one.
var platformDrifts = []struct {
	of    ref
	patch string
}{
	{"EnvironmentConfig aphex", `{data: {integrations: {configSync: true}}}`},
	{"Secret auth-system/dex-environment", `{data: {AUTHENTIK_CLIENT_SECRET: bWFsbG9yeQ==}}`},
	{"Secret argocd/argocd-oidc", `{data: {clientSecret: bWFsbG9yeQ==}}`},
	{"ConfigMap auth-system/dex-config", `{data: {config.yaml: mallory}}`},
	{"ConfigMap auth-system/authentik-blueprints", `{data: {aphex-platform.yaml: mallory}}`},
	{"ConfigMap auth-system/kube-apiserver-authentication", `{data: {authentication-configuration.yaml: mallory}}`},
	{"ConfigMap argocd/argocd-rbac-cm", `{data: {policy.csv: "g, mallory, role:admin"}}`},
	{"ClusterIssuer selfsigned-issuer", `{spec: {selfSigned: null}}`},
	{"Certificate auth-system/authentik-tls", `{spec: {dnsNames: [mallory.example.com]}}`},
	{"ClusterRole platform-engineering", drifts["ClusterRole"]},
	{"ClusterRoleBinding platform-admins", drifts["ClusterRoleBinding"]},
	{"RoleBinding team-drift/platform-engineering", drifts["RoleBinding"]},
	{"Application argocd/platform-ingress", `{spec: {source: {repoURL: "https://github.com/mallory/platform"}}}`},
	{"Namespace auth-system", `{metadata: {labels: {pod-security.kubernetes.io/enforce: privileged}}}`},
}

func TestDriftOfAPlatformIsRepaired(t *testing.T) {
	namespace := cp.namespace(t, "e2e-drift-platform")
	cp.namespace(t, "team-drift")
	home := cp.create(t, platform(namespace, "drift"))
	cp.playArgoCDAndCertManager(t, home)
	cp.settled(t, []ref{home})

	t.Run("every kind that is composed drifts", func(t *testing.T) {
		var drifting, composed []string
		for _, d := range platformDrifts {
			drifting = append(drifting, d.of.kind())
		}
		for _, r := range cp.composed(t, home) {
			composed = append(composed, r.kind())
		}
		slices.Sort(composed)
		require.ElementsMatch(t, slices.Compact(composed), slices.Compact(slices.Sorted(slices.Values(drifting))))
	})
	for _, d := range platformDrifts {
		t.Run("changed "+string(d.of), func(t *testing.T) { cp.repairsChange(t, d.of, d.patch) })
	}
	for _, d := range platformDrifts {
		t.Run("deleted "+string(d.of), func(t *testing.T) { cp.repairsDeletion(t, d.of) })
	}
	cp.playArgoCDAndCertManager(t, home)
	cp.removePlatform(t, home)
}

// repairsChange requires that an object becomes again what it was before a patch.
func (c *cluster) repairsChange(t *testing.T, r ref, patch string) {
	t.Helper()
	before := c.see(t, r)
	after := c.patch(t, r, patch)
	require.NotEqual(t, before.GetResourceVersion(), after.GetResourceVersion(), "the patch changed nothing")
	within(t, repairTime, func(ctx context.Context) error {
		now, err := c.get(ctx, r)
		if err != nil {
			return err
		}
		return same(content(before), content(now))
	})
}

// repairsDeletion requires that an object is made anew as it was.
func (c *cluster) repairsDeletion(t *testing.T, r ref) {
	t.Helper()
	before := c.see(t, r)
	require.NoError(t, c.client(r).Delete(t.Context(), r.name(), metav1.DeleteOptions{}))
	limit := repairTime
	switch r.kind() {
	case "Namespace":
		limit = patience // Kubernetes takes its time to empty one.
	case "Tunnel", "DNSRecord":
		limit = patience // What is at Cloudflare goes first, and a tunnel after the records that point at it.
	}
	within(t, limit, func(ctx context.Context) error {
		now, err := c.get(ctx, r)
		if err != nil {
			return err
		}
		if now.GetUID() == before.GetUID() {
			return fmt.Errorf("it is the old one, deleted at %v", now.GetDeletionTimestamp())
		}
		return same(content(before), content(now))
	})
}

// drift is the patch for an object. A field that the object does not have is nobody's, and would stay.
func drift(t *testing.T, o *object) string {
	t.Helper()
	var patch map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(drifts[o.GetKind()]), &patch))
	out, err := yaml.Marshal(common(patch, o.Object))
	require.NoError(t, err)
	return string(out)
}

func common(patch, o map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range patch {
		have, ok := o[k]
		if !ok {
			continue
		}
		below, isMap := v.(map[string]any)
		if under, ok := have.(map[string]any); isMap && ok {
			v = common(below, under)
		}
		out[k] = v
	}
	return out
}

func order(r ref) int {
	switch {
	case r.kind() != "Namespace":
		return 0
	case r.name() == "drift-app":
		return 1
	default:
		return 2
	}
}

// content is what an object says, without what differs from one to its successor.
func content(o *object) map[string]any {
	o = o.DeepCopy()
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"} {
		delete(o.Object["metadata"].(map[string]any), field)
	}
	// Kubernetes, Tekton and the provider each note things of their own there.
	annotations := o.GetAnnotations()
	delete(annotations, "deployment.kubernetes.io/revision")
	for key := range annotations {
		if strings.HasPrefix(key, "crossplane.io/external-") {
			delete(annotations, key)
		}
	}
	o.SetAnnotations(annotations)
	labels := o.GetLabels()
	delete(labels, "platform.aphex/phase") // It follows what is repaired.
	o.SetLabels(labels)
	delete(o.Object, "status")
	return o.Object
}
