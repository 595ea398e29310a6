package e2e

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Crossplane grants the job's service account only what it holds itself, and a real controller runs the Job; KWOK says of its
// pod that it succeeded. What the program does is shown in package login. The claim changes the settings of all functions and
// is the cluster's only platform, so this is not parallel.
func TestAJobConnectsAuthentikAndDex(t *testing.T) {
	namespace := cp.namespace(t, "e2e-config-sync")
	claim := cp.create(t, claimOf("Platform", namespace, "sync", map[string]any{
		"gitops": map[string]any{"repoURL": "https://github.com/acme-corp/platform"},
		"settings": map[string]any{
			"configSync":   map[string]any{"image": "registry.example.com/function-platform:v1"},
			"integrations": map[string]any{"argocd": false, "tekton": false},
		},
	}, nil))
	cp.awaitCondition(t, claim, "ConfigSynced", "True Available")
	jobs, err := cp.kube.BatchV1().Jobs("auth-system").List(t.Context(), everything)
	require.NoError(t, err)
	require.Len(t, jobs.Items, 1)
	require.Equal(t, "config-sync", jobs.Items[0].Spec.Template.Spec.ServiceAccountName)

	t.Run("another image runs in another job, once the one that has done its work is gone", func(t *testing.T) {
		cp.patch(t, claim, `spec: {settings: {configSync: {image: "registry.example.com/function-platform:v2"}}}`)
		cp.await(t, "EnvironmentConfig aphex", func(o *object) error {
			return same("registry.example.com/function-platform:v2", text(o, "data.configSync.image"))
		})
		first := jobs.Items[0]
		kept := cp.see(t, refTo("Job auth-system/%s", first.Name))
		require.Equal(t, first.UID, kept.GetUID())
		require.Nil(t, kept.GetDeletionTimestamp())
		cp.replaceJobs(t, "auth-system", "registry.example.com/function-platform:v2")
		cp.await(t, claim, func(o *object) error {
			jobs, err = cp.kube.BatchV1().Jobs("auth-system").List(t.Context(), metav1.ListOptions{})
			status, _, _ := condition(o, "ConfigSynced")
			return errors.Join(err, same(1, len(jobs.Items)), same("True", status))
		})
		require.NotEqual(t, first.Name, jobs.Items[0].Name)
	})
	t.Run("without an image there is none, and the platform waits for it", func(t *testing.T) {
		cp.patch(t, claim, `spec: {settings: {configSync: null}}`)
		cp.awaitCondition(t, claim, "ConfigSynced", "False ImageMissing", "configSync.image")
		cp.awaitPhase(t, claim, "Pending")
		cp.awaitGone(t, refTo("Job auth-system/%s", jobs.Items[0].Name))
		cp.awaitGone(t, "Role auth-system/config-sync")
	})
	t.Run("with people who connect them there need not be one", func(t *testing.T) {
		cp.patch(t, claim, `spec: {settings: {integrations: {configSync: false}}}`)
		cp.awaitCondition(t, claim, "ConfigSynced", "True SwitchedOff")
	})
	cp.remove(t, claim)
	cp.awaitGone(t, "Namespace auth-system")
	cp.awaitGone(t, "EnvironmentConfig aphex")
}
