package main

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/tekton"
)

// trigger turns the events of this repository that the spec names into what the template makes. The listener's trigger
// group has checked the signature before. There is no service account of its own: that would need a right to impersonate.
func trigger(n names, spec v1alpha1.RepoBindingSpec) *tekton.Trigger {
	return &tekton.Trigger{
		TypeMeta:   metav1.TypeMeta{APIVersion: tekton.TriggersAPIVersion, Kind: "Trigger"},
		ObjectMeta: kube.Meta(n.OrgNamespace, n.Trigger, n.TriggerLabels()),
		Spec: tekton.TriggerSpec{
			Interceptors: []tekton.Interceptor{tekton.ClusterInterceptor("cel",
				tekton.InterceptorParam{Name: "filter", Value: eventFilter(n.Repo, spec)},
				tekton.InterceptorParam{Name: "overlays", Value: overlays(spec)},
			)},
			Bindings: bindings(spec),
			Template: tekton.TemplateRef{Ref: n.TriggerTemplate},
		},
	}
}

// eventValue is a parameter whose value the events tell in different ways, each a CEL expression.
type eventValue struct{ param, push, tag, pullRequest string }

// The parameters that the organization's TriggerBinding does not have.
const (
	paramEvent  = "event"
	paramBranch = "git-branch"
	paramTag    = "git-tag"
	paramNumber = "pull-request-number"
)

// eventValues are all such parameters, sorted. The filter has checked each field; nothing is said of the branch that a
// pull request comes from, since its name is the choice of whoever opens it.
func eventValues() []eventValue {
	const (
		none   = `""`
		number = "string(int(body.number))"
	)
	without := func(prefix string) string { return fmt.Sprintf("body.ref.substring(%d)", len(prefix)) }
	return []eventValue{
		{param: "commit-sha", push: "body.after", tag: taggedCommit, pullRequest: "body.pull_request.head.sha"},
		{param: paramEvent, push: celString(v1alpha1.EventPush), tag: celString(v1alpha1.EventTag), pullRequest: celString(v1alpha1.EventPullRequest)},
		{param: paramBranch, push: without(branchPrefix), tag: none, pullRequest: "body.pull_request.base.ref"},
		{param: "git-ref", push: "body.ref", tag: "body.ref", pullRequest: `"refs/pull/" + ` + number + ` + "/head"`},
		{param: "git-revision", push: "body.after", tag: taggedCommit, pullRequest: "body.pull_request.head.sha"},
		{param: paramTag, push: none, tag: without(tagPrefix), pullRequest: none},
		{param: paramNumber, push: none, tag: none, pullRequest: number},
	}
}

// of is the value of the parameter for whichever of the events came, pull requests told apart first: they have no body.ref.
func (v eventValue) of(spec v1alpha1.RepoBindingSpec) string {
	var expression string
	for _, event := range []struct{ name, is, value string }{
		{v1alpha1.EventPush, "", v.push},
		{v1alpha1.EventTag, "body.ref.startsWith(" + celString(tagPrefix) + ")", v.tag},
		{v1alpha1.EventPullRequest, isPullRequest, v.pullRequest},
	} {
		switch {
		case !spec.StartsOn(event.name), event.value == expression:
		case expression == "":
			expression = event.value
		default:
			expression = event.is + " ? " + event.value + " : " + expression
		}
	}
	return expression
}

// onlyPushes tells whether the organization's TriggerBinding serves, which reads pushes to branches.
func onlyPushes(spec v1alpha1.RepoBindingSpec) bool {
	return !spec.StartsOn(v1alpha1.EventTag) && !spec.StartsOn(v1alpha1.EventPullRequest)
}

// overlaid are the parameters that the organization's TriggerBinding does not read.
func overlaid(spec v1alpha1.RepoBindingSpec) []eventValue {
	return slices.DeleteFunc(eventValues(), func(v eventValue) bool {
		return onlyPushes(spec) && slices.ContainsFunc(tekton.EventParams(), func(p tekton.Param) bool { return p.Name == v.param })
	})
}

// overlays put the values of parameters among the extensions of the event.
func overlays(spec v1alpha1.RepoBindingSpec) []any {
	var out []any
	for _, v := range overlaid(spec) {
		out = append(out, map[string]any{"key": v.param, "expression": v.of(spec)})
	}
	return out
}

// bindings give the template every parameter that it may pass.
func bindings(spec v1alpha1.RepoBindingSpec) []tekton.BindingRef {
	var out []tekton.BindingRef
	if onlyPushes(spec) {
		out = append(out, tekton.BindingRef{Ref: tekton.EventBinding, Kind: "TriggerBinding"})
	}
	for _, v := range overlaid(spec) {
		out = append(out, tekton.BindingRef{Name: v.param, Value: "$(extensions." + v.param + ")"})
	}
	if onlyPushes(spec) {
		return out
	}
	for _, p := range tekton.EventParams() {
		if !slices.ContainsFunc(eventValues(), func(v eventValue) bool { return v.param == p.Name }) {
			out = append(out, tekton.BindingRef{Name: p.Name, Value: p.Value})
		}
	}
	return out
}

// listens tells whether the organization's listener is there and would hand events to this binding's Trigger; if not,
// why.
func listens(seen *object.Observed, n names) (listener string, ok bool) {
	ref := object.Ref("EventListener", n.OrgNamespace, n.Listener)
	found := seen.Get(tekton.TriggersAPIVersion, "EventListener", n.OrgNamespace, n.Listener)
	if !found.Live() {
		return ref + " (not created yet)", false
	}
	labels := n.TriggerLabels()
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
