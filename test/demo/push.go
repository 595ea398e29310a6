package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"aphex.io/platform/test/controlplane"
	"aphex.io/platform/test/github"
)

var pipelineRun = schema.GroupVersionKind{Group: "tekton.dev", Version: "v1", Kind: "PipelineRun"}

// push plays GitHub: it sends one push to the example's repository to the public
// webhook URL, and shows the run that came of it.
func (w *world) push(ctx context.Context, p *printer, cp *controlplane.ControlPlane, claims []claim) error {
	organization, err := claimOf(claims, "Organization")
	if err != nil {
		return err
	}
	binding, err := claimOf(claims, "RepoBinding")
	if err != nil {
		return err
	}
	secret, err := w.webhookSecret(ctx, organization)
	if err != nil {
		return err
	}
	live, err := w.get(ctx, organization.GroupVersionKind(), organization.GetNamespace(), organization.GetName())
	if err != nil {
		return err
	}
	url, _, _ := unstructured.NestedString(live.Object, "status", "webhookURL")
	repository, branch := text(binding, "repoOrg")+"/"+text(binding, "repoName"), text(binding, "branch")
	delivery := github.Signed(secret, "push", github.Push(repository, branch).Bytes())
	p.detail("POST %s", url)
	p.detail("  a push to %s of https://github.com/%s", branch, repository)
	p.detail("  X-GitHub-Delivery: %s", delivery.ID)
	began := time.Now()
	answer, err := delivery.Send(ctx, cp.Internet(), url)
	if err != nil {
		return err
	}
	if answer.Status != http.StatusAccepted {
		return fmt.Errorf("%s answered %d", url, answer.Status)
	}
	p.detail("%d %s, by the DNS record, the tunnel, a connector and Tekton's listener", answer.Status, http.StatusText(answer.Status))

	run, err := w.awaitRun(ctx, text(binding, "pipelineName"), answer.EventID)
	if err != nil {
		return err
	}
	p.line("")
	p.detail("PipelineRun %s/%s, %s later", run.GetNamespace(), run.GetName(), short(time.Since(began)))
	p.detail("  runs Pipeline %s as %s, with", text(run, "pipelineRef", "name"), text(run, "taskRunTemplate", "serviceAccountName"))
	params, _, _ := unstructured.NestedSlice(run.Object, "spec", "params")
	for _, each := range params {
		param, _ := each.(map[string]any)
		p.detail("    %-14s %v", param["name"], param["value"])
	}
	p.detail("  %-16s %s", "delivery", run.GetLabels()["platform.aphex/delivery"])
	return nil
}

// webhookSecret is what the claimant would enter in GitHub.
func (w *world) webhookSecret(ctx context.Context, organization *unstructured.Unstructured) (string, error) {
	name := text(organization, "writeConnectionSecretToRef", "name")
	secret, err := w.get(ctx, schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, organization.GetNamespace(), name)
	if err != nil {
		return "", err
	}
	encoded, _, _ := unstructured.NestedString(secret.Object, "data", "webhookSecret")
	value, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil && len(value) == 0 {
		err = fmt.Errorf("secret %s/%s has no webhookSecret", organization.GetNamespace(), name)
	}
	return string(value), err
}

// awaitRun returns the one run that an event started.
func (w *world) awaitRun(ctx context.Context, namespace, event string) (*unstructured.Unstructured, error) {
	runs, err := w.objects(pipelineRun, namespace)
	if err != nil {
		return nil, err
	}
	for began := time.Now(); time.Since(began) < patience; {
		list, err := runs.List(ctx, metav1.ListOptions{LabelSelector: "triggers.tekton.dev/triggers-eventid=" + event})
		if err != nil {
			return nil, err
		}
		if len(list.Items) > 0 {
			return &list.Items[0], nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Canceled
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, errors.New("the push started no run; the listener's log says why")
}

// claimOf is the first claim of a kind.
func claimOf(claims []claim, kind string) (*unstructured.Unstructured, error) {
	i := slices.IndexFunc(claims, func(c claim) bool { return c.GetKind() == kind })
	if i < 0 {
		return nil, fmt.Errorf("no example is a claim of kind %s", kind)
	}
	return claims[i].Unstructured, nil
}

// text is a field of an object's spec.
func text(o *unstructured.Unstructured, field ...string) string {
	s, _, _ := unstructured.NestedString(o.Object, append([]string{"spec"}, field...)...)
	return s
}
