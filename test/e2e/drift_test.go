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
	// Crossplane takes more than some fifty changes of an XR's objects in a minute for a fight, and then waits. This test is
	// such a fight.
	restart := func(extra ...string) {
		require.NoError(t, cp.Restart(t.Context(), "crossplane", extra...))
		for _, claim := range claims {
			cp.reconcile(t, cp.xr(t, claim))
		}
	}
	restart("--circuit-breaker-burst=10000")
	for what, disturb := range map[string]func(*testing.T, ref){
		"changed": func(t *testing.T, r ref) {
			t.Helper()
			before := cp.see(t, r)
			after := cp.patch(t, r, drift(t, before))
			require.NotEqual(t, before.GetResourceVersion(), after.GetResourceVersion(), "the patch changed nothing")
		},
		"deleted": func(t *testing.T, r ref) {
			t.Helper()
			require.NoError(t, cp.client(r).Delete(t.Context(), r.name(), metav1.DeleteOptions{}))
		},
	} {
		for _, r := range composed {
			t.Run(what+" "+string(r), func(t *testing.T) {
				before := cp.see(t, r)
				disturb(t, r)
				limit := repairTime
				switch r.kind() {
				case "Namespace":
					limit = patience // Kubernetes takes its time to empty one.
				case "Tunnel":
					limit = patience // It goes after the records that point at it, and gives them time to.
				}
				within(t, limit, func(ctx context.Context) error {
					now, err := cp.get(ctx, r)
					if err != nil {
						return err
					}
					if what == "deleted" && now.GetUID() == before.GetUID() {
						return fmt.Errorf("it is the old one, deleted at %v", now.GetDeletionTimestamp())
					}
					return same(content(before), content(now))
				})
			})
		}
	}
	restart()
	for _, claim := range claims {
		cp.awaitReady(t, claim)
	}
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
	delete(o.Object, "status")
	return o.Object
}
