package object

import (
	"fmt"
	"strings"
)

// Readiness judges an observed object. The reason tells what is awaited, for a message; of a ready object, what it lacks to be
// as good as wanted.
type Readiness func(Object) (ready bool, why string)

// ReadyWhenSeen is for kinds that work as soon as they exist, such as a Role.
func ReadyWhenSeen(o Object) (bool, string) {
	if o.Deleting() {
		return false, "being deleted"
	}
	return true, ""
}

// ReadyWhen is for kinds that report a condition of this type.
func ReadyWhen(conditionType string) Readiness {
	return func(o Object) (bool, string) {
		if o.Deleting() {
			return false, "being deleted"
		}
		switch c := o.Condition(conditionType); {
		case c.Status == True:
			return true, ""
		case c.Message != "":
			return false, strings.TrimSuffix(c.Message, ".")
		case c.Reason != "":
			return false, c.Reason
		default:
			return false, "its condition " + conditionType + " is not reported yet"
		}
	}
}

// ReadyWhenManaged is for a managed resource of a Crossplane provider. While it is not ready, the first of the
// given conditions that has its given status says why, else Synced, which has the last error.
func ReadyWhenManaged(trouble ...Condition) Readiness {
	trouble = append(trouble, Condition{Type: "Synced", Status: False})
	return func(o Object) (bool, string) {
		ready, why := ReadyWhen("Ready")(o)
		if ready || o.Deleting() {
			return ready, why
		}
		for _, t := range trouble {
			if c := o.Condition(t.Type); c.Status == t.Status && c.Message != "" {
				return false, strings.TrimSuffix(c.Message, ".")
			}
		}
		return false, why
	}
}

// ReadyWhenActive is for a Namespace.
func ReadyWhenActive(o Object) (bool, string) {
	if o.Deleting() || o.String("status", "phase") == "Terminating" {
		return false, "being deleted"
	}
	return true, ""
}

// ReadyWhenServing is for a Deployment that does its work with any of its pods, so that one that is evicted holds nothing up.
// Kubernetes' condition Available would not do: by default it is false as soon as one of two pods is missing.
func ReadyWhenServing(o Object) (bool, string) {
	if o.Int("status", "observedGeneration") < o.Int("metadata", "generation") {
		return false, "its rollout has not started"
	}
	if o.Deleting() {
		return false, "being deleted"
	}
	available, wanted := o.Int("status", "availableReplicas"), o.Int("spec", "replicas")
	switch {
	case available < 1:
		return false, "none of its pods is available"
	case available < wanted:
		return true, fmt.Sprintf("%d of %d pods are available", available, wanted)
	default:
		return true, ""
	}
}
