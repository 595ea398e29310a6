package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

const testImage = "registry.example.org/function-organization:v1"

func testingWith(value string) func(*v1alpha1.XOrganization) {
	return func(xr *v1alpha1.XOrganization) {
		xr.Annotations = map[string]string{"platform.aphex/test-webhook": value}
	}
}

// testableWorld is the complete organization on a platform that can test webhooks.
func testableWorld(t *testing.T, more map[string]any) world {
	t.Helper()
	data := map[string]any{"webhookTest": map[string]any{"image": testImage}}
	for k, v := range more {
		data[k] = v
	}
	w := settled(t, organization())
	w.objects = append(slices.Clone(w.objects), environment(data))
	return w
}

func jobs(d *object.Desired) []string {
	var out []string
	for _, key := range d.Keys() {
		if object.NewObject(d.Resources()[key].Object).Kind() == "Job" {
			out = append(out, key)
		}
	}
	return out
}

// finished is the world in which all Jobs have a condition.
func finished(w world, conditionType, reason, message string) world {
	for _, o := range w.composed {
		if o["kind"] == "Job" {
			o["status"] = map[string]any{"conditions": []any{
				map[string]any{"type": conditionType, "status": "True", "reason": reason, "message": message},
			}}
		}
	}
	return w
}

func TestEachNewValueOfTheAnnotationTestsTheWebhookOnce(t *testing.T) {
	w := testableWorld(t, nil)
	require.Empty(t, jobs(compose(t, w, organization())))

	first := compose(t, w, organization(testingWith("1")))
	require.Len(t, jobs(first), 1)
	w = w.apply(first)
	require.Equal(t, jobs(first), jobs(compose(t, w, organization(testingWith("1")))))
	second := compose(t, w, organization(testingWith("2")))
	require.Len(t, jobs(second), 1, "the Job of before goes")
	require.NotEqual(t, jobs(first), jobs(second))
	require.Empty(t, jobs(compose(t, w, organization())), "without the annotation it goes too")

	moved := w
	moved.objects = append(slices.Clone(settled(t, organization()).objects), environment(map[string]any{
		"webhookTest": map[string]any{"image": testImage}, "webhookDomain": "hooks.example.org",
	}))
	require.NotContains(t, jobs(compose(t, moved, organization(testingWith("1")))), jobs(first)[0], "a Job cannot be changed")
}

func TestATestRunsTheProgramOfTheFunctionItself(t *testing.T) {
	published := settled(t, organization())
	published.image = "registry.example.org/function-organization:v2"
	mirrored := testableWorld(t, nil)
	mirrored.image = published.image
	for name, c := range map[string]struct {
		world world
		want  string
	}{
		"where it is published":             {published, published.image},
		"where the platform says otherwise": {mirrored, testImage},
	} {
		t.Run(name, func(t *testing.T) {
			d := compose(t, c.world, organization(testingWith("1")))
			require.Equal(t, c.want, get[batchv1.Job](t, d, jobs(d)[0]).Spec.Template.Spec.Containers[0].Image)
		})
	}
}

func TestAnotherReleaseDoesNotRepeatATest(t *testing.T) {
	w := settled(t, organization())
	w.image = "registry.example.org/function-organization:v1"
	asked := organization(testingWith("1"))
	w = finished(w.apply(compose(t, w, asked)), "Complete", "CompletionsReached", "")
	w.image = "registry.example.org/function-organization:v2"
	d := compose(t, w, asked)
	require.Len(t, jobs(d), 1)
	require.Equal(t, "registry.example.org/function-organization:v1", get[batchv1.Job](t, d, jobs(d)[0]).Spec.Template.Spec.Containers[0].Image,
		"a Job cannot be changed")
	require.Equal(t, object.True, condition(t, d, "WebhookTested").Status)

	next := compose(t, w, organization(testingWith("2")))
	require.Equal(t, w.image, get[batchv1.Job](t, next, jobs(next)[0]).Spec.Template.Spec.Containers[0].Image)
}

func TestThePodOfATestHasNoRightsAndTheSecretAsAFile(t *testing.T) {
	d := compose(t, testableWorld(t, nil), organization(testingWith("1")))
	job := get[batchv1.Job](t, d, jobs(d)[0])
	require.Equal(t, "org-acme-corp", job.Namespace)
	require.Nil(t, job.Spec.TTLSecondsAfterFinished, "it would be made again")
	pod := job.Spec.Template.Spec
	require.False(t, *pod.AutomountServiceAccountToken)
	require.Empty(t, pod.ServiceAccountName)
	require.True(t, *pod.SecurityContext.RunAsNonRoot)
	require.Len(t, pod.Containers, 1)
	container := pod.Containers[0]
	require.Equal(t, testImage, container.Image)
	require.Equal(t, []string{
		"test-webhook", "--url=https://acme-corp.arbiter-dev.com", "--namespace=org-acme-corp", "--listener=github-listener", "--secret-file=/etc/webhook/secret",
	}, container.Args)
	require.Empty(t, container.Env)
	require.False(t, *container.SecurityContext.AllowPrivilegeEscalation)
	require.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
	require.Len(t, pod.Volumes, 1)
	require.Equal(t, "github-webhook-secret", pod.Volumes[0].Secret.SecretName)
	require.Len(t, pod.Volumes[0].Secret.Items, 1, "the secrets of an overlap are none of its business")
	require.NotContains(t, job.Spec.Template.Labels, "app.kubernetes.io/name", "the listener lets connectors in by that")
}

func TestATestIsToldAndAFailedOneMakesTheWebhookUnready(t *testing.T) {
	const url = "https://acme-corp.arbiter-dev.com"
	exit := func(code int) string {
		return fmt.Sprintf("Container webhook-test for pod org-acme-corp/webhook-test-1-abcde failed with exit code %d matching FailJob rule at index 0", code)
	}
	asked := organization(testingWith("1"))
	made := func(t *testing.T, w world) world {
		t.Helper()
		return w.apply(compose(t, w, asked))
	}
	again := "; set another value of the annotation platform.aphex/test-webhook to test again"
	name := jobs(compose(t, testableWorld(t, nil), asked))[0]
	for title, c := range map[string]struct {
		world   world
		xr      *v1alpha1.XOrganization
		status  object.Status
		reason  string
		message string
	}{
		"none was asked for":             {testableWorld(t, nil), organization(), "Unknown", "NotRequested", "each new value of the annotation platform.aphex/test-webhook asks for a test"},
		"the platform has no image":      {settled(t, organization()), asked, "Unknown", "NotRequested", "EnvironmentConfig aphex has no webhookTest.image to test with"},
		"Tekton is switched off":         {testableWorld(t, map[string]any{"integrations": map[string]any{"tekton": false}}), asked, "Unknown", "SwitchedOff", "EnvironmentConfig aphex switches integrations.tekton off"},
		"the webhook is not ready to be": {testableWorld(t, nil).keep(func(k string) bool { return k != keyRecord }), asked, "Unknown", "Waiting", "waiting for DNSRecord org-acme-corp/acme-corp (not created yet)"},
		"its Job is not there yet":       {testableWorld(t, nil), asked, "Unknown", "Waiting", "waiting for Job org-acme-corp/" + name + " (not created yet)"},
		"its Job runs":                   {made(t, testableWorld(t, nil)), asked, "Unknown", "Running", "Job org-acme-corp/" + name + " sends a ping to " + url},
		"the ping arrived":               {finished(made(t, testableWorld(t, nil)), "Complete", "CompletionsReached", ""), asked, "True", "Passed", "a ping to " + url + " reached the listener"},
		"there is no tunnel":             {finished(made(t, testableWorld(t, nil)), "Failed", "PodFailurePolicy", exit(14)), asked, "False", "TestFailed", "a ping to " + url + " failed: Cloudflare has no connection to the tunnel" + again},
		"there is no DNS record":         {finished(made(t, testableWorld(t, nil)), "Failed", "PodFailurePolicy", exit(10)), asked, "False", "TestFailed", "a ping to " + url + " failed: the host has no DNS record, or it is not known everywhere yet" + again},
		"the program was killed":         {finished(made(t, testableWorld(t, nil)), "Failed", "PodFailurePolicy", exit(137)), asked, "False", "TestFailed", "a ping to " + url + " failed: the test ended with exit code 137" + again},
		"its image cannot be pulled":     {finished(made(t, testableWorld(t, nil)), "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"), asked, "False", "TestFailed", "a ping to " + url + " failed: Job org-acme-corp/" + name + " did not get to an end (DeadlineExceeded); see its events and those of its pod" + again},
	} {
		t.Run(title, func(t *testing.T) {
			d := compose(t, c.world, c.xr)
			require.Equal(t, object.Condition{Type: "WebhookTested", Status: c.status, Reason: c.reason, Message: c.message}, condition(t, d, "WebhookTested"))
			webhook := condition(t, d, "WebhookReady")
			if c.status == object.False {
				require.Equal(t, object.Condition{Type: "WebhookReady", Status: object.False, Reason: "TestFailed", Message: c.message}, webhook)
				require.True(t, d.Ready, "pipelines may go on; a test is no step")
			} else if c.reason != "Waiting" {
				require.Equal(t, object.True, webhook.Status)
			}
		})
	}
}

func TestALinkThatIsNotReadyIsToldBeforeATestThatFailed(t *testing.T) {
	w := testableWorld(t, nil)
	asked := organization(testingWith("1"))
	w = finished(w.apply(compose(t, w, asked)), "Failed", "PodFailurePolicy", "Container x for pod y failed with exit code 13 matching FailJob rule at index 0")
	w = w.keep(func(k string) bool { return k != keyRecord })
	d := compose(t, w, asked)
	require.Len(t, jobs(d), 1, "what was made stays")
	require.Equal(t, "waiting for DNSRecord org-acme-corp/acme-corp (not created yet)", condition(t, d, "WebhookReady").Message)
}
