package main

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/tekton"
)

// trigger turns a push to this repository and branch into what the template makes. The listener's trigger group has
// checked the signature before. There is no service account of its own: that would need a right to impersonate.
func trigger(n names, branch string) *tekton.Trigger {
	return &tekton.Trigger{
		TypeMeta:   metav1.TypeMeta{APIVersion: tekton.TriggersAPIVersion, Kind: "Trigger"},
		ObjectMeta: kube.Meta(n.OrgNamespace, n.Trigger, n.Labels()),
		Spec: tekton.TriggerSpec{
			Interceptors: []tekton.Interceptor{
				tekton.ClusterInterceptor("cel", tekton.InterceptorParam{Name: "filter", Value: pushFilter(n.Repo, branch)}),
			},
			Bindings: []tekton.BindingRef{{Ref: tekton.EventBinding, Kind: "TriggerBinding"}},
			Template: tekton.TemplateRef{Ref: n.TriggerTemplate},
		},
	}
}

// pushFilter is a CEL expression that holds for pushes to a branch of a repository, but not for its deletion. GitHub
// sends the name of the repository in the case that its owner chose; repo is in lower case. A field that an event does
// not have makes the expression fail, which stops the event too.
//
// Whatever else of an event reaches a run has to look as GitHub writes it: Tekton would replace $(tt.params.…) in one
// value by another, and GitHub's signature does not cover the headers.
func pushFilter(repo, branch string) string {
	return `header.canonical("X-GitHub-Event") == "push"` +
		` && header.canonical("X-GitHub-Delivery").matches("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")` +
		" && body.repository.full_name.lowerAscii() == " + celString(repo) +
		" && body.repository.clone_url.lowerAscii() == " + celString("https://github.com/"+repo+".git") +
		" && body.ref == " + celString("refs/heads/"+branch) +
		` && body.after.matches("^([0-9a-f]{40}|[0-9a-f]{64})$")` +
		" && !(has(body.deleted) && body.deleted)"
}

// celString is a CEL string literal. CEL knows all escapes that Go uses, see
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#string-and-bytes-values.
func celString(s string) string { return strconv.Quote(s) }

// listens tells whether the organization's listener is there and would hand events to this binding's Trigger; if not,
// why.
func listens(seen *object.Observed, n names) (listener string, ok bool) {
	ref := object.Ref("EventListener", n.OrgNamespace, eventListener)
	found := seen.Get(tekton.TriggersAPIVersion, "EventListener", n.OrgNamespace, eventListener)
	if !found.Live() {
		return ref + " (not created yet)", false
	}
	labels := n.Labels()
	for _, group := range found.List("spec", "triggerGroups") {
		selector := group.Field("triggerSelector", "labelSelector", "matchLabels")
		selects := selector.Exists()
		for _, key := range selector.Keys() {
			selects = selects && selector.String(key) == labels[key]
		}
		if selects {
			return "", true
		}
	}
	return ref + " (it does not select the Trigger)", false
}
