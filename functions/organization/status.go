package main

import (
	"fmt"
	"strings"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// The condition types. All are set on every run.
const (
	conditionNamespace   = "NamespaceReady"
	conditionRBAC        = "RBACReady"
	conditionSecretStore = "SecretStoreReady"
	conditionListener    = "ListenerReady"
	conditionTunnel      = "TunnelReady"
	conditionConnector   = "ConnectorReady"
	conditionDNS         = "DNSReady"
	// conditionWebhook sums up what a delivery from GitHub passes through.
	conditionWebhook = "WebhookReady"
	// conditionWebhookTest is what a test found out, unknown unless one was asked for.
	conditionWebhookTest = "WebhookTested"
)

const (
	reasonAvailable       = "Available"
	reasonWaiting         = "Waiting"
	reasonCRDNotInstalled = "CRDNotInstalled"
	reasonNameTaken       = "NameTaken"
	reasonSwitchedOff     = "SwitchedOff"
	reasonSuspended       = "Suspended"
	reasonInvalidSpec     = "InvalidSpec"
	reasonNotRequested    = "NotRequested"
	reasonTestFailed      = "TestFailed"
	reasonOtherAccount    = "OtherAccount"
)

// part is one condition and the steps that it stands for.
type part struct {
	condition string
	keys      []string
	// off names the setting that switches the part off, empty if it is on.
	off string
}

// parts are all steps in the order in which they are told, by the condition that each belongs to.
func parts(set *settings.Settings, n names) []part {
	on := set.Integrations
	rbac := []string{keyAdminRole, keyAdminBinding}
	listener := part{condition: conditionListener}
	store := part{condition: conditionSecretStore}
	tunnel := part{condition: conditionTunnel}
	connector := part{condition: conditionConnector}
	dns := part{condition: conditionDNS}

	if on.Tekton {
		rbac = append(rbac, keyListenerAccount, keyListenerClusterRole, keyListenerClusterBind, keyListenerRole, keyListenerBinding)
		listener.keys = []string{keyWebhookSecret, keyListenerEnvironment, keyTriggerBinding}
		for _, l := range listeners(set, n) {
			listener.keys = append(listener.keys, l.key)
		}
	} else {
		listener.off = "tekton"
	}
	if on.Tekton && on.Cloudflare {
		listener.keys = append(listener.keys, keyListenerPolicy)
	}
	if on.ExternalSecrets {
		rbac = append(rbac, keyReaderAccount, keyReaderRole, keyReaderBinding)
		store.keys = []string{keyStore}
	} else {
		store.off = "externalSecrets"
	}
	if on.Cloudflare {
		tunnel.keys = []string{keyTunnel}
		connector.keys = []string{keyConnectorConfig, keyConnector, keyConnectorBudget}
		dns.keys = []string{keyRecord}
	} else {
		tunnel.off, connector.off, dns.off = "cloudflare", "cloudflare", "cloudflare"
	}
	return []part{
		{condition: conditionNamespace, keys: []string{keyNamespace}},
		{condition: conditionRBAC, keys: rbac},
		store, listener, tunnel, dns, connector,
	}
}

// report fills in what the claim's users read.
func report(d *object.Desired, xr *v1alpha1.XOrganization, set *settings.Settings, seen *object.Observed, keys *keyring, n names, troubles map[string]trouble) {
	steps, done, waiting := 0, 0, ""
	for _, p := range parts(set, n) {
		d.Conditions = append(d.Conditions, p.judge(d, troubles))
		for _, key := range p.keys {
			steps++
			switch awaited, ok := d.Done(key); {
			case ok:
				done++
			case waiting == "":
				waiting = awaited
			}
		}
	}
	test := webhookTestCondition(d, xr, set, seen, n)
	d.Conditions = append(d.Conditions, webhookCondition(d.Conditions, test, xr, set, n), test)

	taken := d.Taken()
	if d.IsTaken(keyNamespace) {
		// What else an organization of this name has follows from that.
		taken = taken[:1]
	}
	switch {
	case len(taken) > 0:
		d.Phase, d.Failed = v1alpha1.PhaseFailed, true
		d.Message = strings.Join(taken, "; ") + "; claim the organization under another name, or delete what is in its way"
	case waiting != "":
		d.Phase = v1alpha1.PhasePending
		d.Message = fmt.Sprintf("%d of %d steps done; waiting for %s", done, steps, waiting)
	default:
		d.Phase, d.Ready = v1alpha1.PhaseActive, true
		d.Message = fmt.Sprintf("All %d steps are done%s", steps, instructions(set, n))
		if xr.Spec.Suspend {
			d.Message = fmt.Sprintf("Suspended: no pipeline runs start; all %d steps are done", steps)
		}
		if xr.Spec.WebhookSecret != "" && keys.ignores(xr) {
			d.Message += "; the annotation " + rotateAnnotation + " does nothing while spec.webhookSecret gives the secret"
		}
	}

	status := &v1alpha1.OrganizationStatus{Phase: d.Phase, Message: d.Message}
	d.Status = status
	if d.IsTaken(keyNamespace) {
		return
	}
	if seen.Offline || seen.Composed(keyNamespace).Exists() {
		status.Namespace = n.Namespace
	}
	if set.Integrations.ExternalSecrets && !d.IsTaken(keyStore) {
		status.ClusterSecretStore = n.Store
	}
	status.WebhookURL = set.WebhookURL(n.Org)
	// What was told of a Secret that is gone with its namespace comes back with it.
	status.WebhookSecret = xr.Status.WebhookSecret
	if d.Has(keyWebhookSecret) {
		status.WebhookSecret = keys.tell(d, xr)
	}
	d.Connection = connection(status.WebhookURL, seen)
}

// instructions say what to enter in GitHub, and where the secret is, but not the secret. Nothing is said without a listener.
func instructions(set *settings.Settings, n names) string {
	if !set.Integrations.Tekton {
		return ""
	}
	return fmt.Sprintf("; the webhook at GitHub: %s, content type application/json, secret %s/%s#%s (or %s in the Secret that "+
		"writeConnectionSecretToRef names)", set.WebhookURL(n.Org), n.Namespace, webhookSecretName, webhookSecretKey, v1alpha1.ConnectionKeyWebhookSecret)
}

// connection gives the secret as it is stored, so never one that deliveries are not checked with yet. While there is none,
// it goes on giving what it gave last.
func connection(url string, seen *object.Observed) map[string][]byte {
	details := map[string][]byte{}
	if url != "" {
		details[v1alpha1.ConnectionKeyWebhookURL] = []byte(url)
	}
	stored := seen.Composed(keyWebhookSecret)
	secret := stored.SecretData(webhookSecretKey)
	if !stored.Exists() {
		secret = seen.Connection[v1alpha1.ConnectionKeyWebhookSecret]
	}
	if len(secret) > 0 {
		details[v1alpha1.ConnectionKeyWebhookSecret] = secret
	}
	return details
}

func (p part) judge(d *object.Desired, troubles map[string]trouble) object.Condition {
	if p.off != "" {
		return object.Condition{
			Type: p.condition, Status: object.True, Reason: reasonSwitchedOff,
			Message: fmt.Sprintf("EnvironmentConfig %s switches integrations.%s off", settings.Name, p.off),
		}
	}
	c := object.Condition{Type: p.condition, Status: object.False, Reason: reasonWaiting}
	for _, key := range p.keys {
		if t, ok := troubles[key]; ok {
			c.Reason, c.Message = t.reason, t.message
			return c
		}
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
	return object.Condition{Type: p.condition, Status: object.True, Reason: reasonAvailable, Message: d.Remark(p.keys...)}
}

// isLink tells whether a condition is about something that a delivery passes through.
func isLink(conditionType string) bool {
	switch conditionType {
	case conditionListener, conditionTunnel, conditionDNS, conditionConnector:
		return true
	}
	return false
}

// linkKeys are the keys of all that a delivery passes through.
func linkKeys(set *settings.Settings, n names) []string {
	var keys []string
	for _, p := range parts(set, n) {
		if isLink(p.condition) {
			keys = append(keys, p.keys...)
		}
	}
	return keys
}

// webhookCondition tells whether GitHub's deliveries arrive, and if not, which part is at fault.
func webhookCondition(judged []object.Condition, test object.Condition, xr *v1alpha1.XOrganization, set *settings.Settings, n names) object.Condition {
	c := object.Condition{Type: conditionWebhook, Status: object.True, Reason: reasonAvailable,
		Message: "deliveries to " + set.WebhookURL(n.Org) + " reach the listener"}
	if xr.Spec.Suspend {
		c.Reason, c.Message = reasonSuspended, "deliveries are answered and start nothing while spec.suspend is true"
	}
	if !set.Integrations.Tekton {
		c.Reason, c.Message = reasonSwitchedOff, fmt.Sprintf("EnvironmentConfig %s switches integrations.tekton off", settings.Name)
	}
	for _, p := range judged {
		if isLink(p.Type) && p.Status != object.True {
			return object.Condition{Type: conditionWebhook, Status: p.Status, Reason: p.Reason, Message: p.Message}
		}
	}
	if test.Status == object.False {
		return object.Condition{Type: conditionWebhook, Status: test.Status, Reason: test.Reason, Message: test.Message}
	}
	return c
}

// refuse says what is wrong with the spec, and leaves everything as it is: the spec says no more how it should look.
func refuse(d *object.Desired, xr *v1alpha1.XOrganization, seen *object.Observed, problems []string) {
	for _, key := range seen.ComposedKeys() {
		o := seen.Composed(key)
		d.Hold(key, object.Ref(o.Kind(), o.Namespace(), o.Name()), "left as it is while the spec is invalid")
	}
	d.Phase, d.Failed = v1alpha1.PhaseFailed, true
	d.Message = "The spec is invalid: " + strings.Join(problems, "; ")
	for _, condition := range []string{
		conditionNamespace, conditionRBAC, conditionSecretStore, conditionListener,
		conditionTunnel, conditionDNS, conditionConnector, conditionWebhook, conditionWebhookTest,
	} {
		d.Conditions = append(d.Conditions, object.Condition{
			Type: condition, Status: object.Unknown, Reason: reasonInvalidSpec, Message: "not judged while the spec is invalid",
		})
	}
	status := xr.Status
	status.Phase, status.Message = d.Phase, d.Message
	d.Status = &status
	d.Connection = connection(status.WebhookURL, seen)
}
