package main

import (
	"aphex.io/platform/apis/knowledgebase/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

// Compose returns everything a KnowledgeBase owns. It does no I/O and reads no clock: the same KnowledgeBase and the
// same observed objects give the same result.
func Compose(xr *v1alpha1.XKnowledgeBase, seen *object.Observed) (*object.Desired, error) {
	n := namesFor(seen.Identity)
	d := object.NewDesired(seen)
	wrong := problems(xr.Spec.KnowledgeBaseSpec, n)
	switch {
	case n.Namespace == "":
		d.Withdraw(keyConfigMap, "ConfigMap "+n.ConfigMap, "no namespace")
	case len(wrong) > 0:
		d.Hold(keyConfigMap, n.ref(), "the spec is invalid")
	default:
		d.AddExclusive(true, keyConfigMap, configMap(xr.Spec.KnowledgeBaseSpec, n), object.ReadyWhenSeen)
	}
	report(d, xr, seen, n, wrong)
	return d, nil
}
