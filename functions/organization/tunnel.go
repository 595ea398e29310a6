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

// staying are the settings for an organization whose tunnel is in another Cloudflare account than the settings of today ask
// for, and why it is not moved. No tunnel moves between accounts, and one serves only hosts in zones of its own. So the
// tunnel, its record and its host stay in the old account, where they work and their API token may change and delete them.
func staying(xr *v1alpha1.XOrganization, set *settings.Settings, seen *object.Observed, n names) (*settings.Settings, string) {
	tunnel, wanted := seen.Composed(keyTunnel), set.Cloudflare
	account := cmp.Or(tunnel.String("status", "atProvider", "accountID"), tunnel.String("spec", "forProvider", "accountID"))
	// Somebody may have changed one of the two by hand.
	have := providerConfigOf(tunnel)
	follows := have == wanted.ProviderConfig
	if record := seen.Composed(keyRecord); record.Exists() {
		have = providerConfigOf(record)
		follows = follows || have == wanted.ProviderConfig
	}

	why := "it is in Cloudflare account " + account + ", no tunnel moves to another, and the settings give this organization "
	switch {
	case !set.Integrations.Cloudflare || account == "" || account == wanted.AccountID || wanted.AccountID == "" && follows:
		return set, ""
	case wanted.AccountID != "":
		why += "account " + wanted.AccountID
	default:
		why += object.Ref(wanted.ProviderConfig.Kind, "", wanted.ProviderConfig.Name) + "; if that is of the same account, set accountID beside it, too"
	}
	out := *set
	out.Cloudflare.ProviderConfig = have
	if domain, found := strings.CutPrefix(xr.Status.WebhookURL, "https://"+n.Org+"."); found {
		out.WebhookDomain = domain
	}
	return &out, why + "; put them back, or delete this Tunnel and its DNSRecord, which are then made anew there"
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
