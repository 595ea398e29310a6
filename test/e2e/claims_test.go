package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A setting changes a field of a claim's spec.
type setting func(spec map[string]any)

func with(field string, value any) setting {
	return func(spec map[string]any) { spec[field] = value }
}

// withSecret asks for the connection secret.
func withSecret(name string) setting {
	return with("writeConnectionSecretToRef", map[string]any{"name": name})
}

// organization is a small claim.
func organization(namespace, name string, settings ...setting) *object {
	return claimOf("Organization", namespace, name, map[string]any{
		"displayName": "End to end", "adminUsers": []any{"admin@" + name + ".example.com"},
	}, settings)
}

// repoBinding is a small claim; it has the name of its pipeline.
func repoBinding(namespace, organization, pipeline string, settings ...setting) *object {
	return claimOf("RepoBinding", namespace, pipeline, map[string]any{
		"aphexOrg":     organization,
		"repoOrg":      "example",
		"repoName":     pipeline,
		"pipelineName": pipeline,
		"templateRef":  "run-pipeline-v1",
		"pipelineSpec": pipelineSpec("build"),
	}, settings)
}

// pipelineSpec is a Tekton Pipeline of one task, which takes the revision of a push.
func pipelineSpec(task string) string {
	return fmt.Sprintf(`
apiVersion: tekton.dev/v1
kind: Pipeline
metadata:
  name: any
spec:
  params:
    - name: git-revision
  tasks:
    - name: %s
      taskRef:
        name: %s
      params:
        - name: revision
          value: $(params.git-revision)
`, task, task)
}

// knowledgeBase is a small claim.
func knowledgeBase(namespace, name string) *object {
	return claimOf("KnowledgeBase", namespace, name, map[string]any{
		"displayName":  "End to end",
		"repositories": []any{map[string]any{"url": "https://github.com/example/docs"}},
	}, nil)
}

// platform is a small claim whose people connect Authentik and Dex themselves. A cluster has one at a time.
func platform(namespace, name string) *object {
	return claimOf("Platform", namespace, name, map[string]any{
		"gitops":   map[string]any{"repoURL": "https://github.com/acme-corp/platform"},
		"settings": map[string]any{"integrations": map[string]any{"configSync": false}},
	}, nil)
}

func claimOf(kind, namespace, name string, spec map[string]any, settings []setting) *object {
	for _, set := range settings {
		set(spec)
	}
	return &object{Object: map[string]any{
		"apiVersion": "aphex.io/v1alpha1",
		"kind":       kind,
		"metadata":   map[string]any{"namespace": namespace, "name": name},
		"spec":       spec,
	}}
}

// settings sets the platform's settings, which every claim follows at once, for as long as the test runs or until it removes
// them. Another test may set some right after it, so that they are gone when it ends.
func (c *cluster) settings(t *testing.T, data map[string]any) ref {
	t.Helper()
	const settings = ref("EnvironmentConfig aphex")
	c.awaitGone(t, settings)
	_, err := c.client(settings).Create(t.Context(), &object{Object: map[string]any{
		"apiVersion": "apiextensions.crossplane.io/v1beta1", "kind": "EnvironmentConfig", "metadata": map[string]any{"name": settings.name()},
		"data": data,
	}}, metav1.CreateOptions{FieldManager: "e2e"})
	require.NoError(t, err)
	t.Cleanup(func() {
		err := c.client(settings).Delete(context.Background(), settings.name(), metav1.DeleteOptions{})
		require.True(t, err == nil || apierrors.IsNotFound(err), err)
	})
	return settings
}

// cloudflare gives the platform an API token for Cloudflare, unless it has one.
func (c *cluster) cloudflare(t *testing.T) {
	t.Helper()
	require.NoError(t, c.connectCloudflare())
}

// tenant claims an Organization and RepoBindings of it, and returns when all work.
func (c *cluster) tenant(t *testing.T, namespace, name string, pipelines ...string) (org ref, bindings []ref) {
	t.Helper()
	c.cloudflare(t)
	org = c.create(t, organization(namespace, name))
	for _, p := range pipelines {
		bindings = append(bindings, c.create(t, repoBinding(namespace, name, p)))
	}
	c.awaitPhase(t, org, "Active")
	for _, b := range bindings {
		c.awaitPhase(t, b, "Ready")
	}
	return org, bindings
}

// awaitPhase returns a claim once it has a phase, and fragments of a message. A claim in the phase of success is ready.
func (c *cluster) awaitPhase(t *testing.T, claim ref, phase string, message ...string) *object {
	t.Helper()
	return c.await(t, claim, func(o *object) error {
		if err := same(phase, text(o, "status.phase")); err != nil {
			return fmt.Errorf("its phase: %w", err)
		}
		ready := "False"
		if phase == "Active" || phase == "Ready" {
			ready = "True"
		}
		if status, _, _ := condition(o, "Ready"); status != ready {
			return fmt.Errorf("its condition Ready is %q", status)
		}
		return contains(text(o, "status.message"), message...)
	})
}

// awaitCondition returns once a condition has a status and a reason, such as "False NameTaken", and fragments of a message.
// Crossplane writes status.phase and status.message before the conditions, so that none of them says anything of the others.
func (c *cluster) awaitCondition(t *testing.T, claim ref, conditionType, want string, message ...string) {
	t.Helper()
	c.await(t, claim, func(o *object) error {
		status, reason, told := condition(o, conditionType)
		return errors.Join(same(want, status+" "+reason), contains(told, message...))
	})
}

// awaitConditions returns once conditions have these statuses.
func (c *cluster) awaitConditions(t *testing.T, claim ref, want map[string]string) {
	t.Helper()
	c.await(t, claim, func(o *object) error {
		for conditionType, wanted := range want {
			if status, _, message := condition(o, conditionType); status != wanted {
				return fmt.Errorf("%s is %q (%s), want %q", conditionType, status, message, wanted)
			}
		}
		return nil
	})
}

// xr is the composite resource of a claim.
func (c *cluster) xr(t *testing.T, claim ref) ref {
	t.Helper()
	o := c.await(t, claim, func(o *object) error {
		if text(o, "spec.resourceRef.name") == "" {
			return fmt.Errorf("it has no composite resource yet")
		}
		return nil
	})
	return refTo("%s %s", text(o, "spec.resourceRef.kind"), text(o, "spec.resourceRef.name"))
}

// composed are the objects that an XR or the XR of a claim owns.
func (c *cluster) composed(t *testing.T, owner ref) []ref {
	t.Helper()
	if !strings.HasPrefix(string(owner), "X") {
		owner = c.xr(t, owner)
	}
	var out []ref
	for _, r := range list(c.see(t, owner), "spec.resourceRefs") {
		o := &object{Object: map[string]any{"kind": r["kind"]}}
		name, _, _ := unstructured.NestedString(r, "name")
		namespace, _, _ := unstructured.NestedString(r, "namespace")
		o.SetName(name)
		o.SetNamespace(namespace)
		out = append(out, refOf(o))
	}
	return out
}
