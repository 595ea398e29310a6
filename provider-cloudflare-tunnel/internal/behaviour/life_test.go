package behaviour_test

import (
	"fmt"
	"testing"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
)

func TestATunnelAndItsRecordComeUpAndServe(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	w.requireServing()

	tunnel := see(w, newTunnel())
	require.Equal(t, "inactive", tunnel.Status.AtProvider.Status)
	require.Equal(t, account, tunnel.Status.AtProvider.AccountID)
	require.Equal(t, tunnel.Status.AtProvider.ID+".cfargotunnel.com", tunnel.Status.AtProvider.CNAME)
	require.NotNil(t, tunnel.Status.AtProvider.CreatedAt)
	require.Nil(t, tunnel.Status.AtProvider.LastRotationTime)
	record := see(w, newRecord())
	require.Equal(t, host, record.Status.AtProvider.FQDN)
	require.Equal(t, zone, record.Status.AtProvider.ZoneID)
	require.Equal(t, tunnel.Status.AtProvider.CNAME, record.Status.AtProvider.Content)
}

func TestANewOrganizationCostsTwoWrites(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	require.Equal(t, 1, w.sim.Count("tunnel.create"))
	require.Equal(t, 1, w.sim.Count("record.create")+w.sim.Count("record.batch"))
	require.Zero(t, w.sim.Count("tunnel.token"), "what was just made needs no proof")

	w.sim.ResetCalls()
	w.rounds(20)
	require.Empty(t, w.sim.Calls(), "objects that are as wanted share one list")
}

func TestConnectorsAreShown(t *testing.T) {
	for name, o := range map[string]cloudflaretest.Options{
		"as Cloudflare lists them with the tunnel": {},
		"when Cloudflare leaves them out":          {NoEmbeddedConnections: true},
	} {
		t.Run(name, func(t *testing.T) { connectorsAreShown(t, o) })
	}
}

func connectorsAreShown(t *testing.T, o cloudflaretest.Options) {
	t.Helper()
	w := newWorldWith(t, o)
	w.create(newTunnel())
	w.settle()
	require.LessOrEqual(t, w.nextLook(), freshness, "its connectors are expected soon")
	require.NoError(t, w.sim.Connect(string(w.connectionSecret()["token"]), connectorID, "2026.4.0", "fra03", "ams08"))
	w.restart()
	w.settle()
	require.Equal(t, poll, w.nextLook())
	seen := see(w, newTunnel()).Status.AtProvider
	require.Equal(t, "healthy", seen.Status)
	require.Equal(t, []v1alpha1.TunnelConnector{{ID: connectorID, Version: "2026.4.0", Colos: []string{"ams08", "fra03"}}}, seen.Connectors)
	w.settle()
	require.LessOrEqual(t, w.sim.Count("connections.list"), 1)
	require.Len(t, see(w, newTunnel()).Status.AtProvider.Connectors, 1)
}

func TestDriftIsRepaired(t *testing.T) {
	for name, change := range map[string]func(*cloudflaretest.Record){
		"content": func(r *cloudflaretest.Record) { r.Content = "evil.example.net" },
		"proxied": func(r *cloudflaretest.Record) { r.Proxied = false },
		"comment": func(r *cloudflaretest.Record) { r.Comment = "" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(newTunnel())
			w.create(newRecord())
			w.settle()
			require.True(t, w.sim.ChangeRecord(zone, w.sim.Records(zone)[0].ID, change))
			w.restart()
			w.settle()
			w.requireServing()
			require.Contains(t, w.sim.Records(zone)[0].Comment, "aphex:")
		})
	}
}

func TestALostConnectionSecretIsRecovered(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	before := w.connectionSecret()
	w.delete(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secret}})
	w.settle()
	require.Equal(t, before, w.connectionSecret())
	w.requireServing()
}

func TestATunnelThatSomebodyDeletedIsMadeAgainAndItsRecordFollows(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	old := w.sim.Tunnels(account)[0].ID
	require.True(t, w.sim.RemoveTunnel(account, old))
	w.restart()
	w.settle()
	w.requireServing()
	require.NotEqual(t, old, w.sim.Tunnels(account)[0].ID)
}

func TestARecordThatSomebodyDeletedIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	require.True(t, w.sim.RemoveRecord(zone, w.sim.Records(zone)[0].ID))
	w.restart()
	w.settle()
	w.requireServing()
}

func TestARecordFollowsAZoneThatWasRemovedAndAddedAgain(t *testing.T) {
	const added = "123e105f4ecef8ad9ca31a8372d0c353"
	gone := func(t *testing.T) *world {
		t.Helper()
		w := up(t)
		require.True(t, w.sim.RemoveZone(zone))
		w.restart()
		w.rounds(4)
		want := "zone " + zone + ", in which the record was, is not at Cloudflare any more; add the zone there again, or let go of the record by " +
			"taking Delete out of spec.managementPolicies"
		require.Equal(t, "False: "+want, told(see(w, newRecord()), xpv2.TypeReady))
		require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), want)
		return w
	}
	again := func(w *world) {
		w.sim.AddZone(account, added, zoneName)
		w.restart()
		w.settle()
	}
	t.Run("it is made there", func(t *testing.T) {
		w := gone(t)
		again(w)
		require.Equal(t, added, see(w, newRecord()).Status.AtProvider.ZoneID)
		require.Equal(t, "True", told(see(w, newRecord()), xpv2.TypeReady))
		require.Len(t, w.sim.Records(added), 1)
		require.Equal(t, w.sim.Tunnels(account)[0].ID+".cfargotunnel.com", w.sim.Records(added)[0].Content)
	})
	t.Run("it says so at once when it is deleted", func(t *testing.T) {
		w := up(t)
		require.True(t, w.sim.RemoveZone(zone))
		w.delete(newRecord())
		w.rounds(4)
		require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), "is not at Cloudflare any more")
	})
	t.Run("it is deleted once the zone is there again", func(t *testing.T) {
		w := gone(t)
		w.delete(newRecord())
		w.rounds(4)
		require.False(t, w.gone(newRecord()))
		require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), "is not at Cloudflare any more")
		again(w)
		require.True(t, w.gone(newRecord()))
	})
	t.Run("without the zone it is deleted once it may leave the record", func(t *testing.T) {
		w := gone(t)
		w.delete(newRecord())
		w.rounds(4)
		change(w, newRecord(), func(r *v1alpha1.DNSRecord) {
			r.Spec.ManagementPolicies = policies(xpv2.ManagementActionObserve, xpv2.ManagementActionCreate, xpv2.ManagementActionUpdate)
		})
		w.rounds(2)
		require.True(t, w.gone(newRecord()))
	})
	t.Run("it does not go into another domain's zone", func(t *testing.T) {
		w := gone(t)
		w.sim.AddZone(account, added, "example.net")
		change(w, defaultConfig(), func(c *v1alpha1.ClusterProviderConfig) { c.Spec.Zone = new("example.net") })
		w.restart()
		w.rounds(4)
		require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), host+" is not in zone example.net")
		require.Empty(t, w.sim.Records(added))
		w.delete(newRecord())
		w.rounds(4)
		require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), "is not at Cloudflare any more", "nobody knows what is left of it")
	})
}

func TestATunnelIsRenamedAndKeepsItsID(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.settle()
	id := w.sim.Tunnels(account)[0].ID
	change(w, newTunnel(), func(o *v1alpha1.Tunnel) { o.Spec.ForProvider.Name = "acme-two" })
	w.settle()
	require.Len(t, w.sim.Tunnels(account), 1)
	require.Equal(t, id, w.sim.Tunnels(account)[0].ID)
	require.Equal(t, "acme-two", w.sim.Tunnels(account)[0].Name)
}

func TestARecordFindsItsTunnel(t *testing.T) {
	for name, c := range map[string]struct {
		point  func(*v1alpha1.DNSRecord)
		others int
		want   string
	}{
		"by name":             {point: func(*v1alpha1.DNSRecord) {}},
		"by labels":           {point: func(r *v1alpha1.DNSRecord) { selectTunnel(r, "acme") }},
		"not one that is not": {point: func(r *v1alpha1.DNSRecord) { r.Spec.ForProvider.TunnelRef.Name = "none" }, want: "waiting for Tunnel none, which does not exist"},
		"not without a match": {point: func(r *v1alpha1.DNSRecord) { selectTunnel(r, "none") }, want: "waiting for a Tunnel with the labels of tunnelSelector; none has them"},
		"not one of several":  {point: func(r *v1alpha1.DNSRecord) { selectTunnel(r, "acme") }, others: 1, want: "tunnelSelector selects Tunnels acme, acme-0; it must select one"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(newTunnel())
			for i := range c.others {
				w.create(newTunnel(func(o *v1alpha1.Tunnel) {
					o.Name = fmt.Sprint("acme-", i)
					o.Spec.ForProvider.Name, o.Spec.WriteConnectionSecretToReference = o.Name, nil
				}))
			}
			w.create(newRecord(c.point))
			if c.want == "" {
				w.settle()
				w.requireServing()
				return
			}
			w.rounds(6)
			require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), c.want)
			require.Empty(t, w.sim.Records(zone))
		})
	}
}

func selectTunnel(r *v1alpha1.DNSRecord, org string) {
	r.Spec.ForProvider.TunnelRef = nil
	r.Spec.ForProvider.TunnelSelector = &v1alpha1.TunnelSelector{MatchLabels: map[string]string{"org": org}}
}

func TestPausedObjectsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel(func(o *v1alpha1.Tunnel) {
		meta.AddAnnotations(o, map[string]string{meta.AnnotationKeyReconciliationPaused: "true"})
	}))
	w.create(newRecord(func(o *v1alpha1.DNSRecord) { o.Spec.ManagementPolicies = policies() }))
	w.rounds(4)
	require.Empty(t, w.sim.Calls())
	require.Equal(t, xpv2.ReasonReconcilePaused, see(w, newTunnel()).GetCondition(xpv2.TypeSynced).Reason)
	require.Equal(t, xpv2.ReasonReconcilePaused, see(w, newRecord()).GetCondition(xpv2.TypeSynced).Reason)
}

func TestThePurposeOfAProviderConfigIsWrittenDown(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.settle()
	usages := &v1alpha1.ProviderConfigUsageList{}
	require.NoError(t, w.store.List(t.Context(), usages))
	require.Len(t, usages.Items, 1)
	require.Equal(t, namespace, usages.Items[0].Namespace)
	require.Equal(t, xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "default"}, usages.Items[0].GetProviderConfigReference())
	require.Equal(t, xpv2.TypedReference{APIVersion: "cloudflare.aphex.io/v1alpha1", Kind: "Tunnel", Name: "acme"}, usages.Items[0].GetResourceReference())
}

func TestAProviderConfigReadsSecretsOfItsOwnNamespaceOnly(t *testing.T) {
	w := newWorld(t)
	config := &v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "own"}}
	config.Spec.Credentials.SecretRef = v1alpha1.LocalSecretKeyReference{Name: "cloudflare", Key: "token"}
	config.Spec.AccountSettings = v1alpha1.AccountSettings{AccountID: new(account), BaseURL: new(w.url)}
	w.create(config)
	w.create(newTunnel(func(o *v1alpha1.Tunnel) {
		o.Spec.ProviderConfigReference = &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "own"}
	}))
	w.rounds(4)
	const want = "ProviderConfig org-acme/own: Secret org-acme/cloudflare does not exist; create it with the API token under the key token"
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeSynced), want)
	require.Equal(t, "False: "+want, told(see(w, newTunnel()), condition.TypeAuthorized))

	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cloudflare"}, Data: map[string][]byte{"token": []byte(token)}})
	w.settle()
	require.Len(t, w.sim.Tunnels(account), 1)
	require.Equal(t, "True", told(see(w, newTunnel()), condition.TypeAuthorized))
}

func TestNothingIsMadeWithoutAPlaceForIt(t *testing.T) {
	w := newWorld(t)
	change(w, &v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, func(c *v1alpha1.ClusterProviderConfig) {
		c.Spec.AccountID, c.Spec.Zone = nil, nil
	})
	w.create(newTunnel())
	w.create(newRecord())
	w.rounds(4)
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeSynced),
		"no Cloudflare account; set spec.forProvider.accountID, or spec.accountID of ClusterProviderConfig default")
	require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced),
		"no zone; set spec.forProvider.zone, or spec.zone of ClusterProviderConfig default")
	require.Empty(t, w.sim.Calls())
}

func TestANameOutsideOfTheZoneIsRefused(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord(func(r *v1alpha1.DNSRecord) { r.Spec.ForProvider.Name = "acme.example.org" }))
	w.rounds(4)
	require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), "acme.example.org is not in zone example.com; choose a name that ends in .example.com")
}

func TestNoSecretIsEverTold(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	w.sim.FailNext("", cloudflaretest.ServerError, 5)
	w.restart()
	w.rounds(10)
	published := w.connectionSecret()
	text := fmt.Sprintf("%+v %+v %s", see(w, newTunnel()), see(w, newRecord()), w.events)
	for _, hidden := range []string{token, string(published["token"]), string(w.sim.Tunnels(account)[0].Secret)} {
		require.NotContains(t, text, hidden)
	}
}

func TestTheConnectionSecretOfSomebodyElseIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secret}, Data: map[string][]byte{"token": []byte("theirs")}})
	w.create(newTunnel())
	w.rounds(4)
	require.Equal(t, map[string][]byte{"token": []byte("theirs")}, w.connectionSecret())
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeSynced), "cannot create or update connection secret")
	require.Empty(t, w.sim.Tunnels(account), "a tunnel whose credentials cannot be published is not made")
}
