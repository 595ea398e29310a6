package main

import (
	"aphex.io/platform/functions/internal/argocd"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
	"aphex.io/platform/functions/internal/tekton"
)

// gate is what an object passes before it is emitted, beside what it waits for.
type gate struct {
	state   gateState
	Reason  string
	Message string
}

type gateState int

const (
	// open: the object may be emitted.
	open gateState = iota
	// missing: its kind, or the namespace that it goes to, is not there. Nothing may be looked up either.
	missing
	// closed: it shall not exist, and holds nothing up.
	closed
	// withdrawn: it shall not exist now, since the binding lost the right to it, it goes to another namespace, or its own is
	// on the way out.
	withdrawn
)

// The reasons of conditions.
const (
	reasonAvailable        = "Available"
	reasonWaiting          = "Waiting"
	reasonTaken            = "Taken"
	reasonCRDNotInstalled  = "CRDNotInstalled"
	reasonNamespaceMissing = "NamespaceNotFound"
	reasonSwitchedOff      = "SwitchedOff"
	reasonSuspended        = "Suspended"
)

// always is for kinds that every cluster has.
var always = gate{}

// unlessLost withdraws what others could be harmed by.
func (g gate) unlessLost(v verdict) gate {
	if v.Lost && g.state != closed {
		return gate{state: withdrawn, Reason: v.Reason, Message: v.Message}
	}
	return g
}

// with withdraws what goes with another object, by that one's gate.
func (g gate) with(other gate) gate {
	if other.state == withdrawn && g.state != closed {
		return other
	}
	return g
}

// whileStays withdraws what is in a namespace that is being deleted: nothing can be created there, and trying to would
// hold up everything else.
func (g gate) whileStays(namespace object.Object) gate {
	if namespace.Deleting() && g.state != closed {
		return gate{state: withdrawn, Reason: reasonWaiting, Message: "the namespace " + namespace.Name() + " is being deleted"}
	}
	return g
}

func (g gate) suspendedIf(condition bool) gate {
	if condition && g.state == open {
		return gate{state: closed, Reason: reasonSuspended, Message: suspendedWhy}
	}
	return g
}

func pipelinesGate(seen *object.Observed, cfg *settings.Settings) gate {
	return integration(seen, cfg.Integrations.Tekton, "tekton", tekton.PipelineVersion, tekton.PipelineCRD)
}

func triggersGate(seen *object.Observed, cfg *settings.Settings) gate {
	return integration(seen, cfg.Integrations.Tekton, "tekton", tekton.TriggersVersion,
		tekton.TriggerCRD, tekton.TriggerTemplateCRD, tekton.EventListenerCRD)
}

// argoCDGate is also shut while there is no namespace for Argo CD: to apply into it would fail everything.
func argoCDGate(seen *object.Observed, cfg *settings.Settings, n names) gate {
	namespace := seen.Get("v1", "Namespace", "", n.ArgoCDNamespace)
	crds := []string{argocd.AppProjectCRD}
	if !seen.Composed(keyAppProject).Exists() {
		// Argo CD brings both. Once the project is there, the schema of this one, larger than all the rest of a request, is spared.
		crds = append(crds, argocd.ApplicationCRD)
	}
	g := integration(seen, cfg.Integrations.ArgoCD, "argocd", argocd.Version, crds...).whileStays(namespace)
	if g.state == open && !seen.Offline && !namespace.Exists() {
		return gate{
			state: missing, Reason: reasonNamespaceMissing,
			Message: "the namespace " + n.ArgoCDNamespace + " does not exist; setting argocd.namespace says where Argo CD runs",
		}
	}
	return g
}

func integration(seen *object.Observed, on bool, name, version string, crds ...string) gate {
	if !on {
		return gate{state: closed, Reason: reasonSwitchedOff, Message: "setting integrations." + name + " is false"}
	}
	g := gate{}
	for _, crd := range crds {
		// All are asked for, so that one round of lookups is enough.
		if !seen.Served(crd, version) && g.state == open {
			g = gate{state: missing, Reason: reasonCRDNotInstalled, Message: "the CRD " + crd + " (" + version + ") is not installed"}
		}
	}
	return g
}

// composer collects the objects, and why one is not there.
type composer struct {
	d    *object.Desired
	seen *object.Observed
	v    verdict
	// gates holds the gates that were not open, and what was taken, by key.
	gates map[string]gate
}

func newComposer(seen *object.Observed, v verdict) *composer {
	return &composer{d: object.NewDesired(seen), seen: seen, v: v, gates: make(map[string]gate)}
}

// has tells whether all these objects are there. A render without a cluster shows everything at once.
func (c *composer) has(keys ...string) bool {
	if c.seen.Offline {
		return true
	}
	for _, key := range keys {
		if !c.seen.Composed(key).Live() {
			return false
		}
	}
	return true
}

// add is for objects in the pipeline's own namespace.
func (c *composer) add(g gate, when bool, key string, obj any, ready object.Readiness) {
	if c.pass(g.whileStays(c.seen.Composed(keyNamespace)), key, obj, ready) {
		c.d.AddWhen(when, key, obj, ready)
	}
}

// exclusive is for objects outside of it, which somebody else may have.
func (c *composer) exclusive(g gate, when bool, key string, obj any, ready object.Readiness) {
	if !c.pass(g, key, obj, ready) {
		return
	}
	before := len(c.d.Taken())
	c.d.AddExclusive(when, key, obj, ready)
	if taken := c.d.Taken(); len(taken) > before {
		c.gates[key] = gate{state: withdrawn, Reason: reasonTaken, Message: taken[before]}
	}
}

// kept is an object that stays as it is, if it is there, until the spec says how it should be. It is the object's name in
// a message.
type kept string

const (
	keptWhy      = "kept as it is until the spec is corrected"
	suspendedWhy = "suspended: nothing starts a run"
)

// pass tells whether the object may be emitted, and records it otherwise.
func (c *composer) pass(g gate, key string, obj any, ready object.Readiness) bool {
	if k, ok := obj.(kept); ok && (g.state == open || g.state == missing) {
		c.d.Hold(key, string(k), keptWhy)
		return false
	}
	switch elsewhere, to := c.seen.Elsewhere(key, obj); {
	case elsewhere == "":
	case g.state == open:
		g = gate{state: withdrawn, Reason: reasonWaiting, Message: "being moved to the namespace " + to}
		c.gates[key] = g
		c.d.Withdraw(key, elsewhere, g.Message)
		return false
	case g.state == missing:
		c.gates[key] = g
		c.d.Hold(key, elsewhere, g.Message)
		return false
	}
	switch g.state {
	case open:
		return true
	case missing:
		c.gates[key] = g
		// A kind that is there no longer takes its objects along; until then they stay.
		c.d.AddWhen(false, key, obj, ready)
	case closed, withdrawn:
		c.gates[key] = g
		c.d.Withdraw(key, c.ref(obj), g.Message)
	}
	return false
}

func (c *composer) ref(obj any) string {
	if k, ok := obj.(kept); ok {
		return string(k)
	}
	s, err := object.From(obj)
	if err != nil {
		c.d.Fail(err)
	}
	o := object.NewObject(s)
	return object.Ref(o.Kind(), o.Namespace(), o.Name())
}
