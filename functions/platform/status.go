package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

// The condition types. All are set on every run.
const (
	conditionSettings     = "SettingsReady"
	conditionNamespace    = "NamespaceReady"
	conditionSecrets      = "SecretsReady"
	conditionLogin        = "LoginReady"
	conditionConfigSync   = "ConfigSynced"
	conditionArgoCDLogin  = "ArgoCDLoginReady"
	conditionTekton       = "TektonAccessReady"
	conditionCertificates = "CertificatesReady"
	conditionGroups       = "GroupsReady"
	conditionApplications = "ApplicationsReady"
)

const (
	reasonAvailable        = "Available"
	reasonWaiting          = "Waiting"
	reasonNameTaken        = "NameTaken"
	reasonCRDNotInstalled  = "CRDNotInstalled"
	reasonNamespaceMissing = "NamespaceNotFound"
	reasonSwitchedOff      = "SwitchedOff"
	reasonNotRequested     = "NotRequested"
	reasonImageMissing     = "ImageMissing"
	reasonInvalidSpec      = "InvalidSpec"
	reasonHeldByOthers     = "HeldByOthers"
	reasonOtherPolicies    = "OtherPolicies"
)

// part is one condition and the steps that it stands for.
type part struct {
	condition string
	keys      []string
	// reason and remark are told once all is done, if that is not all there is to say.
	reason, remark string
}

// maxTaken is how many objects that are in the way a message names.
const maxTaken = 3

// report fills in what the claim's users read.
func (c *composer) report() {
	d := c.d
	for _, p := range c.parts {
		d.Conditions = append(d.Conditions, c.judge(p))
	}
	waiting := c.awaited()
	switch taken := d.Taken(); {
	case len(taken) > c.leaving:
		d.Phase, d.Failed = v1alpha1.PhaseFailed, true
		d.Message = strings.Join(taken[:min(len(taken), maxTaken)], "; ")
		if more := len(taken) - maxTaken; more > 0 {
			d.Message += fmt.Sprintf("; and %d more", more)
		}
		d.Message += "; delete or rename what is in the way"
	case len(waiting) > 0:
		d.Phase, d.Message = v1alpha1.PhasePending, strings.Join(waiting, "; ")
	default:
		d.Phase, d.Ready = v1alpha1.PhaseReady, true
		d.Message = fmt.Sprintf("All %d steps are done; people log in at https://%s", c.steps(), c.spec.Domain.Authentik)
		if !c.set.Integrations.ConfigSync {
			d.Message += ", once somebody connected Authentik and Dex: the setting integrations.configSync leaves that to you"
		}
	}

	status := &v1alpha1.PlatformStatus{
		Phase: d.Phase, Message: d.Message, Issuer: c.spec.IssuerURL(), EngineeringNamespaces: c.engineering, AuthentikGroups: c.told,
	}
	d.Status = status
	if c.argoCD.state != closed {
		status.Applications, status.Wave = c.applications, c.wave
	}
}

// awaited says at which wave the applications are, and what of all else is not done.
func (c *composer) awaited() []string {
	var out []string
	if c.waveAwaits != "" {
		out = append(out, c.waveAwaits)
	}
	steps, done, first := 0, 0, ""
	for _, p := range c.parts {
		if p.condition == conditionApplications && c.waveAwaits != "" {
			continue
		}
		for _, key := range c.counted(p) {
			steps++
			switch awaited, ok := c.d.Done(key); {
			case ok:
				done++
			case first == "":
				first = awaited
			}
		}
	}
	if first != "" {
		out = append(out, fmt.Sprintf("%d of %d other steps done, waiting for %s", done, steps, first))
	}
	return out
}

func (c *composer) steps() int {
	n := 0
	for _, p := range c.parts {
		n += len(c.counted(p))
	}
	return n
}

// counted are the steps of a part but those that are switched off.
func (c *composer) counted(p *part) []string {
	return slices.DeleteFunc(slices.Clone(p.keys), func(key string) bool { return c.gates[key].state == closed })
}

func (c *composer) judge(p *part) object.Condition {
	keys := c.counted(p)
	switch {
	case len(p.keys) == 0:
		return object.Condition{Type: p.condition, Status: object.True, Reason: reasonNotRequested}
	case len(keys) == 0:
		g := c.gates[p.keys[0]]
		return object.Condition{Type: p.condition, Status: object.True, Reason: g.reason, Message: g.message}
	}
	bad := object.Condition{Type: p.condition, Status: object.False, Reason: reasonWaiting}
	for _, key := range keys {
		if c.d.IsTaken(key) {
			bad.Reason = reasonNameTaken
			bad.Message, _ = c.d.Done(key)
			return bad
		}
	}
	for _, key := range keys {
		if g := c.gates[key]; g.state != open {
			bad.Reason, bad.Message = g.reason, g.message
			return bad
		}
	}
	if p.condition == conditionApplications && c.waveAwaits != "" {
		bad.Message = c.waveAwaits
		return bad
	}
	for _, key := range keys {
		if awaited, done := c.d.Done(key); !done {
			bad.Reason, bad.Message = cmp.Or(c.reasons[key], reasonWaiting), "waiting for "+awaited
			return bad
		}
	}
	return object.Condition{Type: p.condition, Status: object.True, Reason: cmp.Or(p.reason, reasonAvailable), Message: p.remark}
}

// refuse says what is wrong with the spec, and leaves everything as it is: the spec says no more how it should look.
func refuse(xr *v1alpha1.XPlatform, seen *object.Observed, problems []string) *object.Desired {
	d := object.NewDesired(seen)
	working := engineeringNamespaces(seen)
	for _, key := range seen.ComposedKeys() {
		o := seen.Composed(key)
		if strings.HasPrefix(key, keyEngineeringIn) && !slices.Contains(working, o.Namespace()) {
			d.Withdraw(key, object.Ref(o.Kind(), o.Namespace(), o.Name()), "its namespace goes")
			continue
		}
		d.Hold(key, object.Ref(o.Kind(), o.Namespace(), o.Name()), "left as it is while the spec is invalid")
	}
	d.Phase, d.Failed = v1alpha1.PhaseFailed, true
	d.Message = "The spec is invalid: " + strings.Join(problems, "; ")
	d.Conditions = every(object.Condition{Status: object.Unknown, Reason: reasonInvalidSpec, Message: "not judged while the spec is invalid"})
	status := xr.Status
	status.Phase, status.Message = d.Phase, d.Message
	d.Status = &status
	return d
}

// every is each condition of a platform, all with the same to say.
func every(c object.Condition) []object.Condition {
	var out []object.Condition
	for _, c.Type = range []string{
		conditionSettings, conditionNamespace, conditionSecrets, conditionLogin, conditionConfigSync, conditionArgoCDLogin,
		conditionTekton, conditionCertificates, conditionGroups, conditionApplications,
	} {
		out = append(out, c)
	}
	return out
}
