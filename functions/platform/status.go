package main

import (
	"strings"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

// The condition types. All are set on every run.
const conditionNamespace = "NamespaceReady"

const (
	reasonAvailable   = "Available"
	reasonWaiting     = "Waiting"
	reasonNameTaken   = "NameTaken"
	reasonInvalidSpec = "InvalidSpec"
)

// part is one condition and the steps that it stands for.
type part struct {
	condition string
	keys      []string
}

// parts are all steps in the order in which they are told, by the condition that each belongs to.
func parts() []part {
	return []part{{condition: conditionNamespace, keys: []string{keyNamespace}}}
}

// report fills in what the claim's users read.
func report(d *object.Desired, spec v1alpha1.PlatformSpec) {
	waiting := ""
	for _, p := range parts() {
		d.Conditions = append(d.Conditions, p.judge(d))
		if awaited, ok := d.Done(p.keys...); !ok && waiting == "" {
			waiting = awaited
		}
	}
	switch {
	case len(d.Taken()) > 0:
		d.Phase, d.Failed = v1alpha1.PhaseFailed, true
		d.Message = strings.Join(d.Taken(), "; ") + "; delete what is in the way"
	case waiting != "":
		d.Phase, d.Message = v1alpha1.PhasePending, "waiting for "+waiting
	default:
		d.Phase, d.Ready, d.Message = v1alpha1.PhaseReady, true, "All is done"
	}
	d.Status = &v1alpha1.PlatformStatus{Phase: d.Phase, Message: d.Message, Issuer: spec.IssuerURL()}
}

func (p part) judge(d *object.Desired) object.Condition {
	c := object.Condition{Type: p.condition, Status: object.False, Reason: reasonWaiting}
	for _, key := range p.keys {
		if d.IsTaken(key) {
			c.Reason = reasonNameTaken
			c.Message, _ = d.Done(key)
			return c
		}
	}
	awaited, done := d.Done(p.keys...)
	if !done {
		c.Message = "waiting for " + awaited
		return c
	}
	return object.Condition{Type: p.condition, Status: object.True, Reason: reasonAvailable}
}

// refuse says what is wrong with the spec, and leaves everything as it is: the spec says no more how it should look.
func refuse(d *object.Desired, xr *v1alpha1.XPlatform, seen *object.Observed, problems []string) {
	for _, key := range seen.ComposedKeys() {
		o := seen.Composed(key)
		d.Hold(key, object.Ref(o.Kind(), o.Namespace(), o.Name()), "left as it is while the spec is invalid")
	}
	d.Phase, d.Failed = v1alpha1.PhaseFailed, true
	d.Message = "The spec is invalid: " + strings.Join(problems, "; ")
	for _, p := range parts() {
		d.Conditions = append(d.Conditions, object.Condition{
			Type: p.condition, Status: object.Unknown, Reason: reasonInvalidSpec, Message: "not judged while the spec is invalid",
		})
	}
	status := xr.Status
	status.Phase, status.Message = d.Phase, d.Message
	d.Status = &status
}
