package main

import (
	"fmt"
	"regexp"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/ping"
	"aphex.io/platform/functions/internal/settings"
)

const (
	webhookTestSecretDir = "/etc/webhook"
	// webhookTestDeadline is for the image and a minute of pings.
	webhookTestDeadline = 300
)

// webhookTestJob sends a ping through the public URL. Its pod gets the webhook secret as a file, like GitHub has it, and no
// identity in the cluster. A Job cannot be changed, so each test has one of its own; it stays until another one or none is
// asked for, since one that went by itself would be made again. The exit code is how the result gets to the Job's status.
func webhookTestJob(set *settings.Settings, name string, n names) *batchv1.Job {
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: n.Meta(name),
		Spec: batchv1.JobSpec{
			BackoffLimit:          new(int32(2)),
			ActiveDeadlineSeconds: new(int64(webhookTestDeadline)),
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action: batchv1.PodFailurePolicyActionFailJob,
				OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
					Operator: batchv1.PodFailurePolicyOnExitCodesOpNotIn, Values: []int32{0},
				},
			}}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: n.Labels()},
				Spec: corev1.PodSpec{
					RestartPolicy:                corev1.RestartPolicyNever,
					AutomountServiceAccountToken: new(false),
					EnableServiceLinks:           new(false),
					SecurityContext:              kube.UnprivilegedPod(),
					Containers: []corev1.Container{{
						Name:  webhookTestName,
						Image: set.WebhookTest.Image,
						Args: []string{
							ping.Command, "--url=" + set.WebhookURL(n.Org), "--namespace=" + n.Namespace, "--listener=" + listenerName,
							"--secret-file=" + webhookTestSecretDir + "/" + webhookSecretKey,
						},
						Resources: corev1.ResourceRequirements{
							Requests: kube.Resources("10m", "32Mi"),
							Limits:   kube.Resources("100m", "64Mi"),
						},
						VolumeMounts:    []corev1.VolumeMount{{Name: "secret", MountPath: webhookTestSecretDir, ReadOnly: true}},
						SecurityContext: kube.UnprivilegedContainer(),
					}},
					Volumes: []corev1.Volume{kube.SecretVolume("secret", webhookSecretName, webhookSecretKey)},
				},
			},
		},
	}
}

// testable says why no test is made, nothing if one shall be.
func testable(xr *v1alpha1.XOrganization, set *settings.Settings) (reason, message string) {
	switch {
	case xr.Annotations[testAnnotation] == "":
		return reasonNotRequested, "each new value of the annotation " + testAnnotation + " asks for a test"
	case !set.Integrations.Tekton:
		return reasonSwitchedOff, fmt.Sprintf("EnvironmentConfig %s switches integrations.tekton off", settings.Name)
	case set.WebhookTest.Image == "":
		return reasonNotRequested, fmt.Sprintf("EnvironmentConfig %s has no webhookTest.image to test with", settings.Name)
	default:
		return "", ""
	}
}

// webhookTestCondition tells what the test found out that was asked for last.
func webhookTestCondition(d *object.Desired, xr *v1alpha1.XOrganization, set *settings.Settings, seen *object.Observed, n names) object.Condition {
	c := object.Condition{Type: conditionWebhookTest, Status: object.Unknown}
	if c.Reason, c.Message = testable(xr, set); c.Reason != "" {
		return c
	}
	url, name := set.WebhookURL(n.Org), webhookTestNameFor(xr, set, n)
	job := seen.Composed(name)
	ref := object.Ref("Job", n.Namespace, name)
	switch failed := job.Condition("Failed"); {
	case !job.Exists():
		awaited, _ := d.Done(append(linkKeys(set, n), name)...)
		c.Reason, c.Message = reasonWaiting, "waiting for "+awaited
	case job.Condition("Complete").Status == object.True:
		c.Status, c.Reason, c.Message = object.True, "Passed", "a ping to "+url+" reached the listener"
	case failed.Status == object.True:
		c.Status, c.Reason = object.False, reasonTestFailed
		c.Message = fmt.Sprintf("a ping to %s failed: %s; set another value of the annotation %s to test again", url, failureOf(failed, ref), testAnnotation)
	default:
		c.Reason, c.Message = "Running", ref+" sends a ping to "+url
	}
	return c
}

// exitCode is where Kubernetes says with which code a container ended that made its Job fail.
var exitCode = regexp.MustCompile(`exit code ([0-9]{1,3}) `)

func failureOf(failed object.Condition, ref string) string {
	if match := exitCode.FindStringSubmatch(failed.Message); failed.Reason == batchv1.JobReasonPodFailurePolicy && match != nil {
		code, _ := strconv.Atoi(match[1]) // three digits: cannot fail
		return ping.Outcome(code).String()
	}
	return ref + " did not get to an end (" + failed.Reason + "); see its events and those of its pod"
}
