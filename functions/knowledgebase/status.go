package main

import (
	"fmt"
	"strings"

	"aphex.io/platform/apis/knowledgebase/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

// The condition types of a KnowledgeBase.
const (
	specValid      = "SpecValid"
	configMapReady = "ConfigMapReady"
)

// report sets what users read: the phase, the message, the conditions, and whether all is ready.
func report(d *object.Desired, xr *v1alpha1.XKnowledgeBase, seen *object.Observed, n names, wrong []string) {
	spec := object.Condition{Type: specValid, Status: object.True, Reason: "Valid"}
	if len(wrong) > 0 {
		spec.Status, spec.Reason, spec.Message = object.False, "Invalid", strings.Join(wrong, "; ")
	}
	cm := configMapCondition(d, seen, n, wrong)
	d.Conditions = []object.Condition{spec, cm}

	d.Phase, d.Message = v1alpha1.PhaseReady, tracking(len(xr.Spec.Repositories))
	switch {
	case spec.Status == object.False:
		d.Phase, d.Message, d.Failed = v1alpha1.PhaseFailed, spec.Message, true
	case n.Namespace == "", len(d.Taken()) > 0:
		d.Phase, d.Message, d.Failed = v1alpha1.PhaseFailed, cm.Message, true
	case cm.Status != object.True:
		d.Phase, d.Message = v1alpha1.PhasePending, cm.Message
	}
	d.Ready = d.Phase == v1alpha1.PhaseReady

	status := &v1alpha1.KnowledgeBaseStatus{Phase: d.Phase, Message: d.Message, LastReconcileTime: object.WhenChanged}
	if d.Ready {
		status.Repositories = int64(len(xr.Spec.Repositories))
	}
	d.Status = status
}

func configMapCondition(d *object.Desired, seen *object.Observed, n names, wrong []string) object.Condition {
	c := object.Condition{Type: configMapReady, Status: object.False}
	awaited, done := d.Done(keyConfigMap)
	switch {
	case n.Namespace == "":
		c.Reason = "NoClaim"
		c.Message = "an " + v1alpha1.Kind + " that was made directly has no namespace for its ConfigMap; delete it and create a " +
			v1alpha1.ClaimKind + " in the namespace whose consumers should read it"
	case len(d.Taken()) > 0:
		c.Reason = "NameTaken"
		c.Message = d.Taken()[0] + "; it is left alone: delete or rename it, or create this " + v1alpha1.ClaimKind + " under another name"
	case len(wrong) > 0 && seen.Composed(keyConfigMap).Exists():
		c.Status, c.Reason = object.True, "Held"
		c.Message = n.ref() + " keeps the last valid list"
	case len(wrong) > 0:
		c.Reason, c.Message = "SpecInvalid", n.ref()+" is created once the spec is valid"
	case !done:
		c.Reason, c.Message = "Waiting", "waiting for "+awaited
	default:
		c.Status, c.Reason, c.Message = object.True, "Available", n.ref()+" holds the list in "+dataRepositories
	}
	return c
}

func tracking(repositories int) string {
	if repositories == 1 {
		return "Tracking 1 repository"
	}
	return fmt.Sprintf("Tracking %d repositories", repositories)
}
