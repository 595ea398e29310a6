package main

import (
	"cmp"
	"fmt"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/cloudflare"
	"aphex.io/platform/functions/internal/externalsecrets"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
	"aphex.io/platform/functions/internal/tekton"
)

// The keys of the composed objects. Crossplane knows each object by its key: a renamed one is deleted and made anew.
const (
	keyNamespace           = "namespace"
	keyAdminRole           = "admin-role"
	keyAdminBinding        = "admin-role-binding"
	keyWebhookSecret       = "webhook-secret"
	keyListenerAccount     = "listener-service-account"
	keyListenerClusterRole = "listener-cluster-role"
	keyListenerClusterBind = "listener-cluster-role-binding"
	keyListenerRole        = "listener-role"
	keyListenerBinding     = "listener-role-binding"
	keyListenerEnvironment = "listener-environment"
	keyTriggerBinding      = "trigger-binding"
	keyListener            = "event-listener"
	keyListenerShard       = "event-listener-" // and the shard
	keyListenerPolicy      = "listener-network-policy"
	keyReaderAccount       = "secrets-reader-service-account"
	keyReaderRole          = "secrets-reader-role"
	keyReaderBinding       = "secrets-reader-role-binding"
	keyStore               = "secret-store"
	keyTunnel              = "tunnel"
	keyRecord              = "dns-record"
	keyConnectorConfig     = "connector-config"
	keyConnector           = "connector"
	keyConnectorBudget     = "connector-disruption-budget"
)

// Compose returns everything an Organization owns. It does no I/O and reads no clock: the same Organization, the same
// observed objects and the same time of the request give the same result. What is in its namespace waits for that, and a
// binding for its role, since Crossplane applies objects in no particular order.
func Compose(xr *v1alpha1.XOrganization, seen *object.Observed) (*object.Desired, error) {
	set, err := settings.Read(seen)
	if err != nil {
		return nil, err
	}
	set = set.For(seen.Identity.Name)
	set.WebhookTest.Image = cmp.Or(set.WebhookTest.Image, seen.Image)
	d := object.NewDesired(seen)
	if problems := xr.Spec.Validate(seen.Identity.Name); len(problems) > 0 {
		refuse(d, xr, seen, problems)
		return d, nil
	}

	n := namesFor(seen.Identity.Name)
	before := tunnelBefore(seen, n)
	set, elsewhere := staying(xr, set, seen, before, n)
	live := func(key string) bool { return seen.Offline || seen.Composed(key).Live() }

	keys, err := webhookKeys(xr, seen)
	if err != nil {
		return nil, err
	}
	d.AddExclusive(true, keyNamespace, namespace(xr, set, &keys, n), object.ReadyWhenActive)
	home := live(keyNamespace)

	d.AddWhen(home, keyAdminRole, adminRole(n), object.ReadyWhenSeen)
	d.AddWhen(home && live(keyAdminRole), keyAdminBinding, adminRoleBinding(xr, n), object.ReadyWhenSeen)
	d.AddWhen(home, keyWebhookSecret, webhookSecret(&keys, n), object.ReadyWhenSeen)

	m := missing{d: d, seen: seen, troubles: map[string]trouble{}}
	if set.Integrations.Tekton {
		d.AddWhen(home, keyListenerAccount, kube.ServiceAccount(n.Meta(listenerAccount)), object.ReadyWhenSeen)
		d.AddExclusive(home, keyListenerClusterRole, listenerClusterRole(n), object.ReadyWhenSeen)
		d.AddExclusive(home && live(keyListenerClusterRole), keyListenerClusterBind, listenerClusterRoleBinding(n), object.ReadyWhenSeen)
		d.AddWhen(home, keyListenerRole, listenerRole(n), object.ReadyWhenSeen)
		d.AddWhen(home && live(keyListenerRole), keyListenerBinding, listenerRoleBinding(n), object.ReadyWhenSeen)
		d.AddWhen(home, keyListenerEnvironment, listenerEnvironment(n), object.ReadyWhenSeen)
		if m.served(tekton.TriggerBindingCRD, tekton.TriggersVersion, keyTriggerBinding, "TriggerBinding", n.Namespace, tekton.EventBinding) {
			d.AddWhen(home, keyTriggerBinding, triggerBinding(n), object.ReadyWhenSeen)
		}
		for _, l := range listeners(set, n) {
			if m.served(tekton.EventListenerCRD, tekton.TriggersVersion, l.key, "EventListener", n.Namespace, l.name) {
				d.AddWhen(home, l.key, eventListener(xr, &keys, l, n), listening(seen, l, n))
			}
		}
		if set.Integrations.Cloudflare {
			d.AddWhen(home, keyListenerPolicy, listenerNetworkPolicy(n), object.ReadyWhenSeen)
		}
	}

	if set.Integrations.ExternalSecrets {
		d.AddWhen(home, keyReaderAccount, kube.ServiceAccount(n.Meta(secretsReaderName)), object.ReadyWhenSeen)
		d.AddWhen(home, keyReaderRole, secretsReaderRole(n), object.ReadyWhenSeen)
		d.AddWhen(home && live(keyReaderRole), keyReaderBinding, secretsReaderRoleBinding(n), object.ReadyWhenSeen)
		if m.served(externalsecrets.ClusterSecretStoreCRD, externalsecrets.Version, keyStore, "ClusterSecretStore", "", n.Store) {
			d.AddExclusive(home && live(keyReaderRole), keyStore, secretStore(n), object.ReadyWhen("Ready"))
		}
	}

	if set.Integrations.Cloudflare {
		addTunnel(&m, home, set, seen, before, elsewhere, n)
		addConnector(d, home, set, seen, n)
	}

	if reason, _ := testable(xr, set); reason == "" {
		addWebhookTest(d, set, seen, webhookTestNameFor(xr, set, n), n)
	}

	report(d, xr, set, seen, &keys, n, m.troubles)
	d.Label(keyNamespace, kube.LabelPhase, d.Phase)
	return d, nil
}

// addWebhookTest adds a test once the webhook should work. One that was made stays as it is, since a Job cannot be changed: another
// release, or another image, is no reason to test again.
func addWebhookTest(d *object.Desired, set *settings.Settings, seen *object.Observed, name string, n names) {
	if seen.Composed(name).Exists() {
		d.Keep(name, object.Ref("Job", n.Namespace, name))
		return
	}
	_, linked := d.Done(linkKeys(set, n)...)
	d.AddWhen(linked || seen.Offline, name, webhookTestJob(set, name, n), object.ReadyWhenSeen)
}

// addConnector adds cloudflared once it is known for which tunnel it runs, and with which credentials. If either is lost
// later, what runs is left as it is.
func addConnector(d *object.Desired, home bool, set *settings.Settings, seen *object.Observed, n names) {
	tunnel := seen.Composed(keyTunnel)
	credentials := seen.Get("v1", "Secret", n.Namespace, n.Credentials)
	id, why := tunnelID(tunnel, seen.Offline), ""
	switch _, _, owner := credentials.Controller(); {
	case id == "":
		why = "its tunnel has no id yet"
	case seen.Offline:
	// Administrators may create Secrets here, so only the one that the provider wrote counts.
	case owner == "" || owner != tunnel.UID() || credentials.SecretData(cloudflare.CredentialsKey) == nil:
		why = "waiting for the provider to write " + object.Ref("Secret", n.Namespace, n.Credentials)
	}
	if why != "" {
		d.Hold(keyConnectorConfig, object.Ref("ConfigMap", n.Namespace, connectorConfig), why)
		d.Hold(keyConnector, object.Ref("Deployment", n.Namespace, connectorName), why)
		d.Hold(keyConnectorBudget, object.Ref("PodDisruptionBudget", n.Namespace, connectorName), why)
		return
	}

	configuration := connectorConfiguration(set, id, n)
	d.AddWhen(home, keyConnectorConfig, connectorConfigMap(configuration, n), object.ReadyWhenSeen)
	d.AddWhen(home, keyConnector, connector(set, configHash(seen, configuration), credentials, n), object.ReadyWhenServing)
	d.AddWhen(home, keyConnectorBudget, connectorDisruptionBudget(n), object.ReadyWhenSeen)
}

// trouble is what a condition says where it says more than what is awaited.
type trouble struct{ reason, message string }

// missing remembers which objects wait for a CRD, beside what else a condition says of others.
type missing struct {
	d    *object.Desired
	seen *object.Observed
	// troubles are those of missing CRDs, and others, by the key of the object that has them.
	troubles map[string]trouble
}

// served tells whether an object of a neighbour's kind can be composed or looked up; either would fail the whole run
// where its CRD is missing.
func (m missing) served(crd, version, key, kind, namespace, name string) bool {
	if m.seen.Served(crd, version) || m.seen.Composed(key).Exists() {
		return true
	}
	why := fmt.Sprintf("CRD %s is not installed", crd)
	m.troubles[key] = trouble{reasonCRDNotInstalled, why}
	m.d.Withdraw(key, object.Ref(kind, namespace, name), why)
	return false
}
