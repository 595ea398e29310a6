package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/argocd"
	"aphex.io/platform/functions/internal/certmanager"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// gate is what an object passes before it is emitted, beside what it waits for.
type gate struct {
	state   gateState
	reason  string
	message string
}

type gateState int

const (
	// open: the object may be emitted.
	open gateState = iota
	// missing: its kind, the namespace that it goes to, or a setting is not there. Nothing may be looked up either.
	missing
	// leaving: its namespace is on the way out, where nothing can be created, and trying to would hold up everything else; or
	// the object goes to another namespace.
	leaving
	// closed: it shall not exist, and holds nothing up.
	closed
)

// always is for kinds that every cluster has.
var always = gate{}

// and is the first of two gates that is not open.
func (g gate) and(other gate) gate {
	if g.state != open {
		return g
	}
	return other
}

// installed is shut while a CRD is missing.
func installed(seen *object.Observed, version string, crds ...string) gate {
	g := always
	for _, crd := range crds {
		// All are asked for, so that one round of lookups is enough.
		if !seen.Served(crd, version) && g.state == open {
			g = gate{state: missing, reason: reasonCRDNotInstalled, message: fmt.Sprintf("the CRD %s (%s) is not installed", crd, version)}
		}
	}
	return g
}

// inNamespace is shut while there is no such namespace.
func inNamespace(seen *object.Observed, name string) gate {
	namespace := seen.Get("v1", "Namespace", "", name)
	switch {
	case namespace.Deleting():
		return gate{state: leaving, reason: reasonWaiting, message: "the namespace " + name + " is being deleted"}
	case !namespace.Exists() && !seen.Offline:
		return gate{state: missing, reason: reasonNamespaceMissing, message: "the namespace " + name + " does not exist"}
	}
	return always
}

func switchedOn(on bool, integration string) gate {
	if on {
		return always
	}
	return gate{state: closed, reason: reasonSwitchedOff, message: fmt.Sprintf("EnvironmentConfig %s switches integrations.%s off", settings.Name, integration)}
}

// composer collects the objects, and why one is not there.
type composer struct {
	d    *object.Desired
	seen *object.Observed
	set  *settings.Settings
	spec v1alpha1.PlatformSpec

	// home is whether the namespace of Dex and Authentik is there, argoCD, tekton and certManager are what their objects pass.
	home                        bool
	argoCD, tekton, certManager gate

	// gates are those that were not open, by key.
	gates map[string]gate
	// reasons are why steps are not done, by key, for those that do not just wait.
	reasons map[string]string
	// parts are the conditions, each with its steps in the order in which they were added.
	parts []*part
	// applications are what Argo CD reports of each, in the order of the waves; wave is the one that is being deployed, and
	// waveAwaits what that waits for.
	applications []v1alpha1.ApplicationStatus
	wave         *int64
	waveAwaits   string
	// leaving is how many objects of another platform are still in the way.
	leaving int
	// engineering are the namespaces that the engineering group works in.
	engineering []string
	// told are the groups that Authentik was told to have.
	told []string
}

func newComposer(spec v1alpha1.PlatformSpec, set *settings.Settings, seen *object.Observed) *composer {
	c := &composer{d: object.NewDesired(seen), seen: seen, set: set, spec: spec, gates: map[string]gate{}, reasons: map[string]string{}}
	argoCD, tekton := switchedOn(set.Integrations.ArgoCD, "argocd"), switchedOn(set.Integrations.Tekton, "tekton")
	c.argoCD = argoCD.and(installed(seen, argocd.Version, argocd.ApplicationCRD)).and(inNamespace(seen, set.ArgoCD.Namespace))
	c.tekton = tekton.and(inNamespace(seen, tektonNamespace))
	c.certManager = installed(seen, certmanager.Version, certmanager.CertificateCRD, certmanager.ClusterIssuerCRD)
	return c
}

// has tells whether an object is there. A render without a cluster shows everything at once.
func (c *composer) has(key string) bool { return c.seen.Offline || c.seen.Composed(key).Live() }

// begin starts the steps of another condition.
func (c *composer) begin(condition string) { c.parts = append(c.parts, &part{condition: condition}) }

func (c *composer) step(key string) {
	p := c.parts[len(c.parts)-1]
	p.keys = append(p.keys, key)
}

// exclusive is for objects that somebody else may have; such a one is left alone, and the platform fails, unless it is that of
// a platform that gives way.
func (c *composer) exclusive(g gate, when bool, key string, obj any, ready object.Readiness) {
	c.step(key)
	if !c.pass(g, key, obj, ready) {
		return
	}
	c.d.AddExclusive(when, key, obj, ready)
	if !c.d.IsTaken(key) {
		return
	}
	o := c.object(obj)
	if owner, _, _ := c.seen.Get(o.String("apiVersion"), o.Kind(), o.Namespace(), o.Name()).Controller(); owner == v1alpha1.Kind {
		c.leaving++
	}
}

// shared is for an object that somebody else may have made. That is left alone, and serves if it says the same and is found by
// whom it is for.
func (c *composer) shared(g gate, when bool, key string, obj any) {
	c.step(key)
	if !c.pass(g, key, obj, object.ReadyWhenSeen) {
		return
	}
	want := c.object(obj)
	have := c.seen.Foreign(key, want.String("apiVersion"), want.Kind(), want.Namespace(), want.Name())
	if !have.Exists() {
		c.d.AddWhen(when, key, obj, object.ReadyWhenSeen)
		return
	}
	ref := object.Ref(want.Kind(), want.Namespace(), want.Name())
	var differ []string
	for _, k := range want.Field("data").Keys() {
		if strings.TrimSpace(have.String("data", k)) != strings.TrimSpace(want.String("data", k)) {
			differ = append(differ, k)
		}
	}
	switch {
	case len(differ) > 0:
		c.d.Withdraw(key, ref, fmt.Sprintf("it exists, is not managed by Aphex and differs in %s; delete it", strings.Join(differ, ", ")))
	case want.Label(argoCDPart) != "" && !partOfArgoCD(have):
		c.d.Withdraw(key, ref, "it exists, is not managed by Aphex and "+lacksArgoCDPart+"; add that, or delete the object")
	default:
		c.d.Accept(key, ref)
	}
}

// derived is for a Secret that repeats others, once those are stored.
func (c *composer) derived(g gate, v *vault, key string, secret *corev1.Secret, sources ...string) {
	if lacking := v.lacking(sources); lacking != "" && g.state == open {
		c.step(key)
		c.d.Hold(key, object.Ref("Secret", secret.Namespace, secret.Name), "what it repeats is incomplete: "+object.Ref("Secret", authNamespace, lacking))
		return
	}
	c.shared(g, c.home && v.stored(sources), key, secret)
}

// pass tells whether the object may be emitted, and records it otherwise. Crossplane leaves an object in the namespace where it
// is, so that one which shall be elsewhere has to go before it is made anew.
func (c *composer) pass(g gate, key string, obj any, ready object.Readiness) bool {
	if elsewhere, to := c.seen.Elsewhere(key, obj); elsewhere != "" {
		switch g.state {
		case open:
			g = gate{state: leaving, reason: reasonWaiting, message: "being moved to the namespace " + to}
			c.gates[key] = g
			c.d.Withdraw(key, elsewhere, g.message)
			return false
		case missing:
			c.gates[key] = g
			c.d.Hold(key, elsewhere, g.message)
			return false
		case leaving, closed:
		}
	}
	switch g.state {
	case open:
		return true
	case missing, leaving, closed:
		c.gates[key] = g
	}
	if g.state == missing && c.seen.Composed(key).Exists() {
		// A kind that is there no longer takes its objects along; until then they stay.
		c.d.AddWhen(false, key, obj, ready)
		return false
	}
	o := c.object(obj)
	c.d.Withdraw(key, object.Ref(o.Kind(), o.Namespace(), o.Name()), g.message)
	return false
}

func (c *composer) object(obj any) object.Object {
	s, err := object.From(obj)
	if err != nil {
		c.d.Fail(err)
	}
	return object.NewObject(s)
}
