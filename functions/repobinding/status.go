package main

import (
	"fmt"
	"slices"
	"strings"

	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

// steps is how many provisioning steps a binding has.
const steps = 12

// step is one of the twelve, judged.
type step struct {
	// exists is the step's flag: all its objects are there.
	exists bool
	// settled means that nothing is awaited, also where the step does not apply.
	settled bool
	// awaited names what is awaited, and reason why.
	awaited, reason string
	// gate is why the step does not apply.
	gate gate
}

// keys judges a step by its objects.
func (c *composer) keys(keys ...string) step {
	var wanted []string
	var off gate
	for _, key := range keys {
		if g := c.gates[key]; g.state == closed {
			off = g
			continue
		}
		wanted = append(wanted, key)
	}
	if len(wanted) == 0 {
		return step{settled: true, gate: off}
	}
	for _, key := range wanted {
		awaited, done := c.d.Done(key)
		if done {
			continue
		}
		switch g := c.gates[key]; {
		case g.Reason == reasonTaken:
			return step{awaited: g.Message, reason: g.Reason}
		case g.state != open:
			ref, _, _ := strings.Cut(awaited, " (")
			return step{awaited: ref + " (" + g.Message + ")", reason: g.Reason}
		default:
			return step{awaited: awaited, reason: reasonWaiting}
		}
	}
	return step{exists: true, settled: true}
}

// check judges a step, or a part of one, by what others made.
func check(awaited string, ok bool) step {
	if ok {
		return step{exists: true, settled: true}
	}
	return step{awaited: awaited, reason: reasonWaiting}
}

// both joins two parts of a step.
func both(a, b step) step {
	if !a.settled || a.gate.state == closed {
		return a
	}
	return b
}

// progress is all twelve steps.
type progress struct {
	namespace, pipeline, serviceAccount, rbac, appProject, limits,
	network, terraform, listener, template, trigger, allowlist step
	// account and argoCD are the parts of serviceAccount, rbac and appProject that the conditions tell apart.
	account, argoCD step
}

func (p *progress) all() []step {
	return []step{
		p.namespace, p.pipeline, p.serviceAccount, p.rbac, p.appProject, p.limits,
		p.network, p.terraform, p.listener, p.template, p.trigger, p.allowlist,
	}
}

func (c *composer) progress(n names, triggers gate) *progress {
	p := &progress{
		namespace:      c.keys(keyNamespace),
		pipeline:       c.keys(keyPipeline),
		serviceAccount: c.keys(keyServiceAccount),
		rbac:           c.keys(keyRole, keyRoleBinding, keyClusterRole, keyClusterRoleBinding, keyArgoCDRole, keyArgoCDBinding),
		appProject:     c.keys(keyAppProject),
		limits:         c.keys(keyResourceQuota, keyLimitRange),
		network:        c.keys(keyNetworkPolicy),
		terraform:      c.keys(keyTerraform),
		listener:       c.keys(keyListenerRole, keyListenerBinding),
		template:       c.keys(keyTriggerTemplate),
		trigger:        c.keys(keyTrigger),
		allowlist:      check(allowlisted(c.seen, n)),
		account:        c.keys(keyServiceAccount, keyRole, keyRoleBinding, keyClusterRole, keyClusterRoleBinding),
		argoCD:         c.keys(keyAppProject, keyArgoCDRole, keyArgoCDBinding),
	}
	// A listener reports often while it starts, so it is looked at only once it matters.
	if triggers.state == open && !c.seen.Offline && (c.v.proceeds() || c.has(keyListenerRole)) {
		p.listener = both(p.listener, check(listens(c.seen, n)))
	}
	return p
}

// allowlisted tells whether the legacy list, where there is one, has the repository. The list is not ours to write.
func allowlisted(seen *object.Observed, n names) (awaited string, ok bool) {
	list := seen.Get("v1", "ConfigMap", allowlistNamespace, allowlist)
	if !list.Exists() {
		return "", true
	}
	for _, key := range list.Field("data").Keys() {
		entries := strings.FieldsFunc(list.String("data", key), func(r rune) bool {
			return strings.ContainsRune(" \t\r\n,;\"'[]", r)
		})
		if slices.ContainsFunc(entries, func(e string) bool { return strings.EqualFold(e, n.Repo) }) {
			return "", true
		}
	}
	return fmt.Sprintf("%s (it has no entry %s)", object.Ref("ConfigMap", allowlistNamespace, allowlist), n.Repo), false
}

// report sets what the binding and its claim tell.
func (c *composer) report(spec v1alpha1.RepoBindingSpec, n names, org organization, triggers gate, stranger string) {
	p := c.progress(n, triggers)
	c.d.Phase, c.d.Message = c.outcome(p, spec, n, org)
	c.d.Failed = c.d.Phase == v1alpha1.PhaseFailed
	c.d.Ready = c.d.Phase == v1alpha1.PhaseReady
	status := &v1alpha1.RepoBindingStatus{
		Phase: c.d.Phase, Message: c.d.Message,
		ProvisionedResources: &v1alpha1.ProvisionedResources{
			Namespace:        p.namespace.exists,
			Pipeline:         p.pipeline.exists,
			ServiceAccount:   p.serviceAccount.exists,
			RBAC:             p.rbac.exists,
			AppProject:       p.appProject.exists,
			ResourceQuota:    p.limits.exists,
			NetworkPolicy:    p.network.exists,
			TerraformSecret:  p.terraform.exists,
			TriggerBinding:   p.listener.exists,
			TriggerTemplate:  p.template.exists,
			Trigger:          p.trigger.exists,
			AllowlistUpdated: p.allowlist.exists,
		},
	}
	if org.URL != "" {
		status.WebhookConfiguration = &v1alpha1.WebhookConfiguration{
			URL:    org.URL,
			Secret: secretReference(n),
			Events: webhookEvents(spec),
		}
		c.d.Connection = connection(org.URL, org.Secret)
	}
	c.d.Status = status
	c.d.Conditions = c.conditions(p, org, stranger)
}

// connection is what the claim's connection secret has; the shared secret may not be known yet.
func connection(url string, secret []byte) map[string][]byte {
	out := map[string][]byte{v1alpha1.ConnectionKeyWebhookURL: []byte(url)}
	if secret != nil {
		out[v1alpha1.ConnectionKeyWebhookSecret] = secret
	}
	return out
}

// outcome is the phase, and in one sentence where things stand.
func (c *composer) outcome(p *progress, spec v1alpha1.RepoBindingSpec, n names, org organization) (phase, message string) {
	settled, awaited := 0, ""
	for _, s := range p.all() {
		if s.settled {
			settled++
		} else if awaited == "" {
			awaited = s.awaited
		}
	}
	switch taken := c.d.Taken(); {
	case c.v.Failed:
		return v1alpha1.PhaseFailed, c.v.Message
	case len(taken) > 0 && c.gates[keyNamespace].Reason == reasonTaken:
		return v1alpha1.PhaseFailed, "spec.pipelineName: " + taken[0] + "; choose another name"
	case len(taken) > 0:
		return v1alpha1.PhaseFailed, strings.Join(taken, "; ") + "; remove it or choose another pipelineName"
	case !c.v.proceeds() && len(c.seen.ComposedKeys()) == 0:
		return v1alpha1.PhasePending, c.v.Message
	case !c.v.proceeds():
		return v1alpha1.PhaseProvisioning, c.v.Message
	case settled < steps:
		return v1alpha1.PhaseProvisioning, fmt.Sprintf("%d of %d steps done; waiting for %s", settled, steps, awaited)
	case spec.Suspend:
		return v1alpha1.PhaseReady, suspendedWhy
	case org.Suspended:
		return v1alpha1.PhaseReady, fmt.Sprintf("Organization %s is suspended: nothing starts a run", n.Organization)
	case p.trigger.gate.state == closed:
		return v1alpha1.PhaseReady, "all steps done; nothing starts a run, since " + p.trigger.gate.Message
	default:
		return v1alpha1.PhaseReady, fmt.Sprintf("all %d steps done; %s of https://github.com/%s starts a run; %s", steps, starters(spec), n.Repo,
			instructions(spec, n, org))
	}
}

// instructions say what to enter in GitHub, and where the secret is, but not the secret.
func instructions(spec v1alpha1.RepoBindingSpec, n names, org organization) string {
	return fmt.Sprintf("its webhook at GitHub: %s, content type application/json, events %s, secret %s (or webhookSecret in the Secret that "+
		"writeConnectionSecretToRef names)", org.URL, strings.Join(webhookEvents(spec), " and "), secretReference(n))
}

// secretReference is the Secret and the key that hold the webhook secret.
func secretReference(n names) string {
	return n.OrgNamespace + "/" + webhookSecret + "#" + webhookSecretKey
}

// starters says in words what starts a run.
func starters(spec v1alpha1.RepoBindingSpec) string {
	branches := listed(spec.BranchesOrDefault())
	var out []string
	if spec.StartsOn(v1alpha1.EventPush) {
		push := "a push to " + branches
		if len(spec.Paths) > 0 {
			push += " that changes a file of spec.paths"
		}
		out = append(out, push)
	}
	if spec.StartsOn(v1alpha1.EventTag) {
		tag := "any tag"
		if len(spec.Tags) > 0 {
			tag = "a tag " + listed(spec.Tags)
		}
		out = append(out, tag)
	}
	if spec.StartsOn(v1alpha1.EventPullRequest) {
		from := "(not from a fork)"
		if spec.PullRequests.Forks {
			from = "(also from a fork)"
		}
		out = append(out, "a pull request "+from+" to "+branches)
	}
	return listed(out)
}

// maxListed is how many items of a list a message names.
const maxListed = 3

// listed joins alternatives as in a sentence.
func listed(items []string) string {
	if more := len(items) - maxListed; more > 0 {
		items = append(slices.Clone(items[:maxListed]), fmt.Sprintf("%d more", more))
	}
	last := len(items) - 1
	if last == 0 {
		return items[0]
	}
	return strings.Join(items[:last], ", ") + " or " + items[last]
}

// webhookEvents are the events that GitHub has to send.
func webhookEvents(spec v1alpha1.RepoBindingSpec) []string {
	var events []string
	if spec.StartsOn(v1alpha1.EventPush) || spec.StartsOn(v1alpha1.EventTag) {
		events = append(events, "push")
	}
	if spec.StartsOn(v1alpha1.EventPullRequest) {
		events = append(events, "pull_request")
	}
	return events
}

// conditions are all condition types of a RepoBinding, on every run.
func (c *composer) conditions(p *progress, org organization, stranger string) []object.Condition {
	namespace := c.condition(v1alpha1.ConditionNamespaceReady, p.namespace, p.limits, p.terraform)
	if c.v.misnamed() {
		namespace.Status, namespace.Reason, namespace.Message = object.False, c.v.Reason, c.v.Message
	}
	project := c.condition(v1alpha1.ConditionAppProjectReady, p.argoCD)
	if stranger != "" && project.Status == object.True {
		project.Status, project.Reason, project.Message = object.False, reasonTaken, stranger
	}
	trigger := c.condition(v1alpha1.ConditionTriggerReady, p.pipeline, p.listener, p.template, p.trigger, p.allowlist)
	if org.Suspended && trigger.Status == object.True {
		trigger = object.Condition{
			Type: trigger.Type, Status: object.False, Reason: reasonSuspended, Message: "the Organization is suspended: nothing starts a run",
		}
	}
	webhook := object.Condition{Type: v1alpha1.ConditionWebhookReady, Status: object.True, Reason: reasonAvailable}
	switch {
	case org.Refusal != "":
		webhook = object.Condition{Type: webhook.Type, Status: object.False, Reason: reasonForeign, Message: org.Refusal}
	case org.Waiting != "":
		webhook = object.Condition{Type: webhook.Type, Status: object.False, Reason: reasonOrganization, Message: "waiting for " + org.Waiting}
	}
	return []object.Condition{
		namespace,
		c.condition(v1alpha1.ConditionRBACReady, p.account),
		project,
		c.condition(v1alpha1.ConditionNetworkPolicyReady, p.network),
		trigger,
		webhook,
	}
}

// condition sums steps up: the first that is not settled, or else one that does not apply.
func (c *composer) condition(conditionType string, parts ...step) object.Condition {
	cond := object.Condition{Type: conditionType, Status: object.True, Reason: reasonAvailable}
	for _, s := range parts {
		if !s.settled {
			cond.Status, cond.Reason, cond.Message = object.False, s.reason, "waiting for "+s.awaited
			if s.reason == reasonTaken {
				cond.Message = s.awaited
			}
			if !c.v.proceeds() && (s.reason == reasonWaiting || s.reason == c.v.Reason) {
				cond.Reason, cond.Message = c.v.Reason, c.v.Message
			}
			return cond
		}
		if s.gate.state == closed {
			cond.Reason, cond.Message = s.gate.Reason, s.gate.Message
			if s.gate.Reason == reasonSuspended {
				cond.Status = object.False
			}
		}
	}
	return cond
}

// holdEverything is the answer to a spec that no name can be derived from: what there is stays as it is, and what was told
// of it. Only the Trigger goes, if the spec suspends it.
func holdEverything(xr *v1alpha1.XRepoBinding, seen *object.Observed, problems []string) *object.Desired {
	d := object.NewDesired(seen)
	d.Phase, d.Message, d.Failed = v1alpha1.PhaseFailed, strings.Join(firstProblems(problems), "; "), true
	status, resources := xr.Status, v1alpha1.ProvisionedResources{}
	if before := status.ProvisionedResources; before != nil {
		resources = *before
	}
	for _, key := range seen.ComposedKeys() {
		o := seen.Composed(key)
		ref := object.Ref(o.Kind(), o.Namespace(), o.Name())
		if key == keyTrigger && xr.Spec.Suspend {
			d.Withdraw(key, ref, suspendedWhy)
			resources.Trigger = false
			continue
		}
		d.Hold(key, ref, keptWhy)
	}
	for _, t := range []string{
		v1alpha1.ConditionNamespaceReady, v1alpha1.ConditionRBACReady, v1alpha1.ConditionAppProjectReady,
		v1alpha1.ConditionNetworkPolicyReady, v1alpha1.ConditionTriggerReady, v1alpha1.ConditionWebhookReady,
	} {
		cond := object.Condition{Type: t, Status: object.Unknown, Reason: reasonInvalidSpec, Message: "not judged while the spec is invalid"}
		if t == v1alpha1.ConditionTriggerReady && xr.Spec.Suspend {
			cond.Status, cond.Reason, cond.Message = object.False, reasonSuspended, suspendedWhy
		}
		d.Conditions = append(d.Conditions, cond)
	}
	if webhook := status.WebhookConfiguration; webhook != nil {
		d.Connection = connection(webhook.URL, secretAt(seen, webhook.Secret))
	}
	status.Phase, status.Message, status.ProvisionedResources = d.Phase, d.Message, &resources
	d.Status = &status
	return d
}

// secretAt is the value that a secretReference names, nil if it is not there.
func secretAt(seen *object.Observed, reference string) []byte {
	namespace, rest, _ := strings.Cut(reference, "/")
	name, key, found := strings.Cut(rest, "#")
	if !found {
		return nil
	}
	return seen.Get("v1", "Secret", namespace, name).SecretData(key)
}
