package main

import (
	"cmp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/cloudflare"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// offlineTunnelID stands for the id that only Cloudflare can give, so that a render without a cluster shows everything.
const offlineTunnelID = "00000000-0000-0000-0000-000000000000"

// readyAtCloudflare judges what the provider manages. Its conditions are those of the provider's package condition.
var readyAtCloudflare = object.ReadyWhenManaged(
	object.Condition{Type: "Conflict", Status: object.True},
	object.Condition{Type: "Authorized", Status: object.False},
	object.Condition{Type: "Throttled", Status: object.True},
)

// tunnel asks for a tunnel whose ingress rules are beside its connectors, out of reach of Cloudflare's dashboard.
func tunnel(set *settings.Settings, seen *object.Observed, n names) *cloudflare.Tunnel {
	return &cloudflare.Tunnel{
		TypeMeta:   metav1.TypeMeta{APIVersion: cloudflare.APIVersion, Kind: cloudflare.TunnelKind},
		ObjectMeta: n.Meta(n.Tunnel),
		Spec: cloudflare.TunnelSpec{
			WriteConnectionSecretTo: cloudflare.SecretReference{Name: n.Credentials},
			ProviderConfig:          providerConfig(set),
			ForProvider: cloudflare.TunnelParameters{
				Name:         n.Namespace,
				AccountID:    accountID(set, seen),
				ConfigSource: cloudflare.ConfigSourceLocal,
			},
		},
	}
}

// tunnelID is the id that Cloudflare gave to a tunnel, empty if none yet.
func tunnelID(tunnel object.Object, offline bool) string {
	if id := tunnel.String("status", "atProvider", "id"); id != "" || !offline {
		return id
	}
	return offlineTunnelID
}

// accountID is that of the settings for a new tunnel. One that exists stays where it is: no tunnel moves between accounts.
func accountID(set *settings.Settings, seen *object.Observed) string {
	if have := seen.Composed(keyTunnel); have.Exists() {
		return have.String("spec", "forProvider", "accountID")
	}
	return set.Cloudflare.AccountID
}

// tunnelBefore is the organization's tunnel as it was before this run. Crossplane forgets a composed object that it deletes; the
// tunnel is looked up then, until it is gone.
func tunnelBefore(seen *object.Observed, n names) object.Object {
	tunnel := seen.Composed(keyTunnel)
	if tunnel.Exists() || !hadTunnel(seen) || !seen.Served(cloudflare.TunnelCRD, cloudflare.Version) {
		return tunnel
	}
	return seen.Get(cloudflare.APIVersion, cloudflare.TunnelKind, n.Namespace, n.Tunnel)
}

// hadTunnel tells that there was a tunnel, also when it is forgotten: cloudflared was configured for it. A new organization is
// spared the lookup.
func hadTunnel(seen *object.Observed) bool { return seen.Composed(keyConnectorConfig).Exists() }

// addTunnel adds the tunnel and the record of its host. In another account than the settings want they are not made again once
// they are deleted, and given up while they are, since a run that still wants what is just going makes it again.
func addTunnel(m *missing, home bool, set *settings.Settings, seen *object.Observed, before object.Object, elsewhere string, n names) {
	tunnelRef, recordRef := object.Ref(cloudflare.TunnelKind, n.Namespace, n.Tunnel), object.Ref(cloudflare.DNSRecordKind, n.Namespace, n.Record)
	ready := readyAtCloudflare
	if elsewhere != "" {
		ready = staysBecause(elsewhere)
		m.troubles[keyTunnel] = trouble{reasonOtherAccount, tunnelRef + ": " + elsewhere}
	}
	switch {
	case !m.served(cloudflare.TunnelCRD, cloudflare.Version, keyTunnel, cloudflare.TunnelKind, n.Namespace, n.Tunnel):
	case elsewhere != "" && before.Deleting() && hadTunnel(seen):
		m.d.Withdraw(keyTunnel, tunnelRef, "being deleted")
	default:
		m.d.AddWhen(home, keyTunnel, tunnel(set, seen, n), ready)
		if providerConfigOf(before) != set.Cloudflare.ProviderConfig {
			m.d.OnlyAsSeen(keyTunnel) // The provider may be about to make it where the old one says.
		}
	}
	switch {
	case elsewhere != "" && !seen.Composed(keyRecord).Live():
		m.d.Withdraw(keyRecord, recordRef, "not made while its tunnel is in another account")
	case !m.served(cloudflare.DNSRecordCRD, cloudflare.Version, keyRecord, cloudflare.DNSRecordKind, n.Namespace, n.Record):
	case changesZone(set, seen, n):
		m.d.Withdraw(keyRecord, recordRef, "being replaced by one in another zone")
	default:
		m.d.AddWhen(home, keyRecord, record(set, seen, n), readyAtCloudflare)
	}
}

// staying are the settings for an organization whose tunnel is in another Cloudflare account than the settings of today ask
// for, or may be, and why it is not moved. No tunnel moves between accounts, and one serves only hosts in zones of its own. So
// the tunnel, its record and its host stay in the old account, where they work and their API token may change and delete them.
func staying(xr *v1alpha1.XOrganization, set *settings.Settings, seen *object.Observed, tunnel object.Object, n names) (*settings.Settings, string) {
	record, wanted := seen.Composed(keyRecord), set.Cloudflare
	account := cmp.Or(tunnel.String("status", "atProvider", "accountID"), tunnel.String("spec", "forProvider", "accountID"))
	have := providerConfigOf(tunnel)
	where, follows := "in Cloudflare account "+account, have == wanted.ProviderConfig
	switch {
	case account == "":
		where = "being made with " + object.Ref(have.Kind, "", have.Name)
		follows = follows || !creationBegan(tunnel)
	case record.Exists():
		// Somebody may have changed one of the two by hand.
		have = providerConfigOf(record)
		follows = follows || have == wanted.ProviderConfig
	}

	why := "it is " + where + ", no tunnel moves to another account, and the settings give this organization "
	switch {
	case !set.Integrations.Cloudflare, account != "" && account == wanted.AccountID, follows && (account == "" || wanted.AccountID == ""):
		return set, ""
	case wanted.AccountID != "":
		why += "account " + wanted.AccountID
	default:
		why += object.Ref(wanted.ProviderConfig.Kind, "", wanted.ProviderConfig.Name) + "; if that is of the same account, set accountID beside it, too"
	}
	out := *set
	out.Cloudflare.ProviderConfig = have
	host := cmp.Or(record.String("spec", "forProvider", "name"), strings.TrimPrefix(xr.Status.WebhookURL, "https://"))
	if domain, found := strings.CutPrefix(host, n.Org+"."); found {
		out.WebhookDomain = domain
	}
	return &out, why + "; put them back, or delete this Tunnel and its DNSRecord, which are then made anew there"
}

// creationBegan tells that something may be at Cloudflare. The provider writes the first of these before it asks for it:
// https://docs.crossplane.io/latest/managed-resources/managed-resources/#annotations
func creationBegan(tunnel object.Object) bool {
	return tunnel.Annotation("crossplane.io/external-create-pending") != "" || tunnel.Annotation("crossplane.io/external-name") != ""
}

func providerConfigOf(o object.Object) settings.ProviderConfig {
	ref := o.Field("spec", "providerConfigRef")
	return settings.ProviderConfig{Kind: ref.String("kind"), Name: ref.String("name")}
}

// staysBecause judges a tunnel that is not where the settings want it.
func staysBecause(why string) object.Readiness {
	return func(o object.Object) (bool, string) {
		if o.Deleting() {
			return false, "being deleted"
		}
		return false, why
	}
}

// record is the public host name of the organization's webhook.
func record(set *settings.Settings, seen *object.Observed, n names) *cloudflare.DNSRecord {
	return &cloudflare.DNSRecord{
		TypeMeta:   metav1.TypeMeta{APIVersion: cloudflare.APIVersion, Kind: cloudflare.DNSRecordKind},
		ObjectMeta: n.Meta(n.Record),
		Spec: cloudflare.DNSRecordSpec{
			ProviderConfig: providerConfig(set),
			ForProvider: cloudflare.DNSRecordParameters{
				Zone:    zone(set, seen, n),
				Type:    cloudflare.TypeCNAME,
				Name:    set.WebhookHost(n.Org),
				Tunnel:  cloudflare.TunnelReference{Name: n.Tunnel},
				Proxied: true,
				TTL:     1,
			},
		},
	}
}

// zone is that of the settings for a new record. One that exists keeps its zone while its host stays the same, however
// the settings spell that zone.
func zone(set *settings.Settings, seen *object.Observed, n names) string {
	have := seen.Composed(keyRecord).Field("spec", "forProvider")
	if have.Exists() && have.String("name") == set.WebhookHost(n.Org) {
		return have.String("zone")
	}
	return set.Cloudflare.Zone
}

// changesZone tells that the settings ask for another host in another zone. No record moves between zones, so the old one
// has to go first.
func changesZone(set *settings.Settings, seen *object.Observed, n names) bool {
	have := seen.Composed(keyRecord)
	return have.Exists() && have.String("spec", "forProvider", "zone") != zone(set, seen, n)
}

func providerConfig(set *settings.Settings) cloudflare.ProviderConfigReference {
	pc := set.Cloudflare.ProviderConfig
	return cloudflare.ProviderConfigReference{Kind: pc.Kind, Name: pc.Name}
}
