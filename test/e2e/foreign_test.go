package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// Crossplane would take over an object that exists already, and delete it with the claim. None of what others made may
// be touched, whatever a claim is called.
func TestWhatOthersMadeIsLeftAlone(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-foreign")
	cp.tenant(t, namespace, "foreign")

	for name, c := range map[string]struct {
		existing string
		claim    *object
	}{
		"the namespace of an organization": {
			existing: "{apiVersion: v1, kind: Namespace, metadata: {name: org-foreign-a, labels: {team: others}}}",
			claim:    organization(namespace, "foreign-a"),
		},
		"the secret store of an organization": {
			existing: `
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: org-foreign-b-store}
spec: {provider: {fake: {data: [{key: a, value: b}]}}}`,
			claim: organization(namespace, "foreign-b"),
		},
		"the cluster role of an organization's listener": {
			existing: `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: eventlistener-foreign-c}
rules: [{apiGroups: [""], resources: [nodes], verbs: [get]}]`,
			claim: organization(namespace, "foreign-c"),
		},
		"the cluster role binding of an organization's listener": {
			existing: `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: eventlistener-foreign-d}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: others}]`,
			claim: organization(namespace, "foreign-d"),
		},
		"the namespace of a pipeline": {
			existing: "{apiVersion: v1, kind: Namespace, metadata: {name: foreign-app-e, labels: {team: others}}}",
			claim:    repoBinding(namespace, "foreign", "foreign-app-e"),
		},
		"the Argo CD project of a pipeline": {
			existing: `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: foreign-app-f, namespace: argocd}
spec: {description: others}`,
			claim: repoBinding(namespace, "foreign", "foreign-app-f"),
		},
		"the cluster role of a pipeline": {
			existing: `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: pipeline-runner-foreign-app-g}
rules: [{apiGroups: [""], resources: [nodes], verbs: [get]}]`,
			claim: repoBinding(namespace, "foreign", "foreign-app-g"),
		},
		"the cluster role binding of a pipeline": {
			existing: `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: pipeline-runner-foreign-app-h}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: others}]`,
			claim: repoBinding(namespace, "foreign", "foreign-app-h"),
		},
		"the Argo CD access of a pipeline": {
			existing: `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: foreign-app-i-argocd-access, namespace: argocd}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]`,
			claim: repoBinding(namespace, "foreign", "foreign-app-i"),
		},
		"the trigger of a pipeline": {
			existing: `
apiVersion: triggers.tekton.dev/v1beta1
kind: Trigger
metadata: {name: foreign-app-j-trigger, namespace: org-foreign}
spec: {template: {ref: others}}`,
			claim: repoBinding(namespace, "foreign", "foreign-app-j"),
		},
		"the ConfigMap of a knowledge base": {
			existing: "{apiVersion: v1, kind: ConfigMap, metadata: {name: knowledgebase-foreign-k, namespace: e2e-foreign}, data: {a: b}}",
			claim:    knowledgeBase(namespace, "foreign-k"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			existing := &object{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(c.existing), &existing.Object))
			theirs := cp.create(t, existing)
			before := cp.see(t, theirs)

			claim := cp.create(t, c.claim)
			cp.await(t, claim, func(o *object) error {
				if status, _, _ := condition(o, "Ready"); status != "False" {
					return fmt.Errorf("its condition Ready is %q", status)
				}
				return contains(text(o, "status.message"), string(theirs)+" exists and is not managed by Aphex")
			})
			require.NotContains(t, cp.composed(t, claim), theirs)
			cp.remove(t, claim)
			// The garbage collector would need a moment to follow.
			require.NoError(t, stays(t, 3*time.Second, func(ctx context.Context) error {
				after, err := cp.get(ctx, theirs)
				if err != nil {
					return err
				}
				return same(withoutStatus(before), withoutStatus(after))
			}))
		})
	}
}

// An Application of a pipeline's name may be the platform's. The pipeline watches it only in the project that is the pipeline's.
func TestAPipelineWatchesApplicationsOfItsProjectOnly(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-watching")
	const theirs = ref("Application argocd/watching-app")
	application := &object{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(`
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: watching-app, namespace: argocd}
spec:
  project: default
  source: {repoURL: "https://github.com/example/platform", path: secret}
  destination: {server: "https://kubernetes.default.svc", namespace: default}
`), &application.Object))
	cp.create(t, application)
	_, bindings := cp.tenant(t, namespace, "watching", "watching-app")
	watches := func(want ...any) {
		t.Helper()
		cp.await(t, "Role argocd/watching-app-argocd-access", func(o *object) error {
			return same(want, list(o, "rules")[0]["resources"])
		})
	}

	watches("appprojects")
	cp.awaitCondition(t, bindings[0], "AppProjectReady", "False Taken", string(theirs)+" exists and is in project default")
	cp.patch(t, theirs, "spec: {project: watching-app}")
	watches("applications", "appprojects")
	cp.awaitCondition(t, bindings[0], "AppProjectReady", "True Available")
	cp.patch(t, theirs, "spec: {project: default}")
	watches("appprojects")
}

// stays checks for a while, and returns the first thing that is wrong.
func stays(t *testing.T, while time.Duration, check func(context.Context) error) error {
	t.Helper()
	for until := time.Now().Add(while); time.Now().Before(until); time.Sleep(often) {
		if err := check(t.Context()); err != nil {
			return err
		}
	}
	return nil
}

// withoutStatus is an object as its owner wrote it. Controllers write the status, and with it the version.
func withoutStatus(o *object) map[string]any {
	o = o.DeepCopy()
	delete(o.Object, "status")
	o.SetManagedFields(nil)
	o.SetResourceVersion("")
	return o.Object
}
