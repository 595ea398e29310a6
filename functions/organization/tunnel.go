package main

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
)

// The CRDs and the version of the Cloudflare provider.
const (
	tunnelCRD         = "tunnels.cloudflare.aphex.io"
	recordCRD         = "dnsrecords.cloudflare.aphex.io"
	cloudflareVersion = "v1alpha1"
)

// offlineTunnelID stands for the id that only Cloudflare can give, so that a render without a cluster shows everything.
const offlineTunnelID = "00000000-0000-0000-0000-000000000000"

// tunnel asks for a tunnel whose ingress rules are beside its connectors, out of reach of Cloudflare's dashboard.
func tunnel(set *settings.Settings, seen *object.Observed, n names) *v1alpha1.Tunnel {
	return &v1alpha1.Tunnel{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.TunnelKind},
		ObjectMeta: n.Meta(n.Tunnel),
		Spec: v1alpha1.TunnelSpec{
			ManagedResourceSpec: managed(set, &xpv2.LocalSecretReference{Name: n.Credentials}),
			ForProvider: v1alpha1.TunnelParameters{
				Name:         n.Namespace,
				AccountID:    optional(accountID(set, seen)),
				ConfigSource: v1alpha1.TunnelConfigSourceLocal,
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

// record is the public host name of the organization's webhook.
func record(set *settings.Settings, seen *object.Observed, n names) *v1alpha1.DNSRecord {
	return &v1alpha1.DNSRecord{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.DNSRecordKind},
		ObjectMeta: n.Meta(n.Record),
		Spec: v1alpha1.DNSRecordSpec{
			ManagedResourceSpec: managed(set, nil),
			ForProvider: v1alpha1.DNSRecordParameters{
				Zone:      optional(zone(set, seen, n)),
				Type:      v1alpha1.DNSRecordTypeCNAME,
				Name:      set.WebhookHost(n.Org),
				TunnelRef: &v1alpha1.TunnelReference{Name: n.Tunnel},
				Proxied:   new(true),
				TTL:       new(int64(1)),
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

func managed(set *settings.Settings, secret *xpv2.LocalSecretReference) xpv2.ManagedResourceSpec {
	pc := set.Cloudflare.ProviderConfig
	return xpv2.ManagedResourceSpec{
		WriteConnectionSecretToReference: secret,
		ProviderConfigReference:          &xpv2.ProviderConfigReference{Kind: pc.Kind, Name: pc.Name},
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
