package behaviour_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
)

func TestATunnelOfAStrangerIsAConflict(t *testing.T) {
	w := newWorld(t)
	id := w.sim.AddTunnel(account, "acme")
	before := w.sim.Tunnels(account)
	w.create(newTunnel())
	w.rounds(6)

	o := see(w, newTunnel())
	want := "tunnel " + id + " in account " + account + ` already is named "acme" and is not made by this provider, so it is neither ` +
		"changed nor deleted; choose another name, or delete it at Cloudflare, or take it over with the annotation crossplane.io/external-name: " + id
	require.Equal(t, "True: "+want, told(o, condition.TypeConflict))
	require.Equal(t, "False: "+want, told(o, xpv2.TypeReady))
	require.Contains(t, told(o, xpv2.TypeSynced), want)
	require.Empty(t, meta.GetExternalName(o))
	require.Equal(t, before, w.sim.Tunnels(account))

	w.delete(newTunnel())
	w.settle()
	require.True(t, w.gone(newTunnel()))
	require.Equal(t, before, w.sim.Tunnels(account), "it is not ours to delete")
}

func TestAConflictEndsByItselfOnceItsCauseIsGone(t *testing.T) {
	w := newWorld(t)
	stranger := w.sim.AddTunnel(account, "acme")
	taken := w.sim.AddRecord(zone, cloudflaretest.Record{Type: "A", Name: host, Content: "192.0.2.1"})
	w.create(newTunnel())
	w.create(newRecord())
	w.rounds(6)
	require.Equal(t, corev1.ConditionTrue, see(w, newTunnel()).GetCondition(condition.TypeConflict).Status)
	require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), "waiting for Tunnel acme", "nothing is half done")

	require.True(t, w.sim.RemoveTunnel(account, stranger))
	w.restart()
	w.rounds(6)
	require.Equal(t, "False", told(see(w, newTunnel()), condition.TypeConflict))
	require.Contains(t, told(see(w, newRecord()), condition.TypeConflict), "True: A record "+taken+" named acme.example.com already exists and is not made by this provider")
	require.Equal(t, 1, w.sim.Count("record.batch")+w.sim.Count("record.create"), "one refusal is enough")

	require.True(t, w.sim.RemoveRecord(zone, taken))
	w.settle()
	w.requireServing()
	require.Equal(t, "False", told(see(w, newRecord()), condition.TypeConflict))
}

func TestTheTunnelAndRecordOfAnotherObjectAreConflicts(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	w.requireServing()
	tunnels, records := w.sim.Tunnels(account), w.sim.Records(zone)

	for name, id := range map[string]struct{ tunnel, record string }{
		"by name":          {},
		"by external name": {tunnels[0].ID, records[0].ID},
	} {
		t.Run(name, func(t *testing.T) {
			thief := newTunnel(func(o *v1alpha1.Tunnel) { o.Namespace = "org-thief" })
			thiefRecord := newRecord(func(o *v1alpha1.DNSRecord) {
				o.Namespace = "org-thief"
				o.Spec.ForProvider.TunnelRef, o.Spec.ForProvider.Content = nil, new("evil.example.net")
			})
			if id.tunnel != "" {
				meta.SetExternalName(thief, id.tunnel)
				meta.SetExternalName(thiefRecord, id.record)
			}
			w.create(thief)
			w.create(thiefRecord)
			w.rounds(6)
			require.Contains(t, told(see(w, thief), condition.TypeConflict), "is marked for another object, so it is neither changed nor deleted")
			require.Contains(t, told(see(w, thiefRecord), condition.TypeConflict), "is marked for another object, so it is neither changed nor deleted")
			stolen := &corev1.Secret{}
			_ = w.store.Get(t.Context(), types.NamespacedName{Namespace: "org-thief", Name: secret}, stolen)
			require.Empty(t, stolen.Data)

			w.delete(thief, thiefRecord)
			w.later(time.Minute)
			w.settle()
			require.True(t, w.gone(thief))
			require.True(t, w.gone(thiefRecord))
			require.Equal(t, tunnels, w.sim.Tunnels(account))
			require.Equal(t, records, w.sim.Records(zone))
			w.settle()
		})
	}
}

func TestWhatAnotherObjectTookOverIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	require.True(t, w.sim.ChangeRecord(zone, w.sim.Records(zone)[0].ID, func(r *cloudflaretest.Record) {
		r.Comment = "aphex:7a1b2c3d111142228333444455556666"
	}))
	w.delete(newRecord())
	w.settle()
	require.True(t, w.gone(newRecord()))
	require.Len(t, w.sim.Records(zone), 1)
	require.Contains(t, w.events.String(), "LeftAtCloudflare")
}

func TestATunnelAndARecordAreImportedByTheirIDs(t *testing.T) {
	w := newWorld(t)
	id := w.sim.AddTunnel(account, "acme-by-hand")
	recordID := w.sim.AddRecord(zone, cloudflaretest.Record{Type: "CNAME", Name: host, Content: "old.example.net", Proxied: true})
	w.create(newTunnel(named[*v1alpha1.Tunnel](id)))
	w.create(newRecord(named[*v1alpha1.DNSRecord](recordID)))
	w.settle()
	w.requireServing()
	require.Equal(t, id, w.sim.Tunnels(account)[0].ID)
	require.Equal(t, recordID, w.sim.Records(zone)[0].ID)
	require.Contains(t, w.sim.Records(zone)[0].Comment, "aphex:")
	require.Zero(t, w.sim.Count("tunnel.create"))
	require.Zero(t, w.sim.Count("record.create")+w.sim.Count("record.batch"))

	w.delete(newTunnel(), newRecord())
	w.settle()
	w.requireNothing()
}

func TestAnExternalNameThatIsNoIDIsRefused(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel(named[*v1alpha1.Tunnel]("acme")))
	w.create(newRecord(named[*v1alpha1.DNSRecord]("acme")))
	w.rounds(4)
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeSynced), `the annotation crossplane.io/external-name is "acme"; it must be the tunnel's id, a UUID`)
	require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), `the annotation crossplane.io/external-name is "acme"; it must be the record's id, 32 hexadecimal digits`)
}

func TestObservingChangesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.sim.AddTunnel(account, "acme")
	w.sim.AddRecord(zone, cloudflaretest.Record{Type: "CNAME", Name: host, Content: "x.example.net"})
	tunnels, records := w.sim.Tunnels(account), w.sim.Records(zone)
	w.create(newTunnel(func(o *v1alpha1.Tunnel) { o.Spec.ManagementPolicies = policies(xpv2.ManagementActionObserve) }))
	w.create(newRecord(func(o *v1alpha1.DNSRecord) {
		o.Spec.ManagementPolicies, o.Spec.ForProvider.TunnelRef = policies(xpv2.ManagementActionObserve), nil
	}))
	w.settle()
	require.Equal(t, id, see(w, newTunnel()).Status.AtProvider.ID)
	require.Equal(t, "x.example.net", see(w, newRecord()).Status.AtProvider.Content)
	require.Empty(t, w.connectionSecret(), "its credentials are its owner's")

	w.delete(newTunnel(), newRecord())
	w.settle()
	require.Equal(t, tunnels, w.sim.Tunnels(account))
	require.Equal(t, records, w.sim.Records(zone))
	for _, c := range w.sim.Calls() {
		require.False(t, c.Carried && c.Method != http.MethodGet, c)
	}
}

func TestObservingATunnelByIDGivesItsCredentials(t *testing.T) {
	w := newWorld(t)
	id := w.sim.AddTunnel(account, "acme")
	w.create(newTunnel(named[*v1alpha1.Tunnel](id), func(o *v1alpha1.Tunnel) { o.Spec.ManagementPolicies = policies(xpv2.ManagementActionObserve) }))
	w.settle()
	require.NoError(t, w.sim.Connect(string(w.connectionSecret()["token"]), connectorID, "2026.4.0"))
}

func TestObservingWhatIsNotThereSaysSo(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel(func(o *v1alpha1.Tunnel) { o.Spec.ManagementPolicies = policies(xpv2.ManagementActionObserve) }))
	w.rounds(3)
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeSynced), "external resource does not exist")
	require.Empty(t, w.sim.Tunnels(account))
}

func TestAnOrphanStaysAtCloudflare(t *testing.T) {
	w := newWorld(t)
	keep := policies(xpv2.ManagementActionObserve, xpv2.ManagementActionCreate, xpv2.ManagementActionUpdate)
	w.create(newTunnel(func(o *v1alpha1.Tunnel) { o.Spec.ManagementPolicies = keep }))
	w.create(newRecord(func(o *v1alpha1.DNSRecord) { o.Spec.ManagementPolicies = keep }))
	w.settle()
	w.requireServing()
	w.delete(newTunnel(), newRecord())
	w.settle()
	require.True(t, w.gone(newTunnel()))
	require.Len(t, w.sim.Tunnels(account), 1)
	require.Len(t, w.sim.Records(zone), 1)
}

func TestWithoutTheRightToUpdateDriftStays(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord(func(o *v1alpha1.DNSRecord) {
		o.Spec.ManagementPolicies = policies(xpv2.ManagementActionObserve, xpv2.ManagementActionCreate, xpv2.ManagementActionDelete)
	}))
	w.settle()
	require.True(t, w.sim.ChangeRecord(zone, w.sim.Records(zone)[0].ID, func(r *cloudflaretest.Record) { r.Content = "x.example.net" }))
	w.restart()
	w.settle()
	require.Equal(t, "x.example.net", w.sim.Records(zone)[0].Content)
}

func TestARenameToATakenNameIsAConflict(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.settle()
	w.sim.AddTunnel(account, "taken")
	change(w, newTunnel(), func(o *v1alpha1.Tunnel) { o.Spec.ForProvider.Name = "taken" })
	w.rounds(4)
	o := see(w, newTunnel())
	require.Equal(t, `True: another tunnel of the account is named "taken"; delete that one, or choose another name`, told(o, condition.TypeConflict))
	require.Equal(t, "True", told(o, xpv2.TypeReady), "it goes on serving")
}

func TestARecordThatCannotBeMovedIsNotReady(t *testing.T) {
	const moved = "acme.new.example.com"
	for name, c := range map[string]struct {
		spoil, mend func(*world)
		want        string
	}{
		"since the name is taken": {
			func(w *world) {
				w.sim.AddRecord(zone, cloudflaretest.Record{Type: "A", Name: moved, Content: "192.0.2.1"})
			},
			func(w *world) {
				for _, r := range w.sim.Records(zone) {
					if r.Type == "A" {
						w.sim.RemoveRecord(zone, r.ID)
					}
				}
			},
			"another record of the zone is named " + moved + "; delete that one, or choose another name",
		},
		"since the token may not edit any more": {
			func(w *world) {
				w.sim.AddToken(token, without(cloudflaretest.AllPermissions, cloudflaretest.DNSEdit)...)
			},
			func(w *world) { w.sim.AddToken(token, cloudflaretest.AllPermissions...) },
			"the API token lacks a permission",
		},
		"since the token was revoked": {
			func(w *world) { w.sim.SetToken(cloudflaretest.Token{Value: token, Disabled: true}) },
			func(w *world) { w.sim.AddToken(token, cloudflaretest.AllPermissions...) },
			"Invalid access token",
		},
		"since there is no token any more": {
			func(w *world) { w.delete(credentials()) },
			func(w *world) { w.create(tokenSecret()) },
			"Secret crossplane-system/cloudflare does not exist",
		},
		"since Cloudflare is down": {
			func(w *world) { w.sim.SetFaults(cloudflaretest.Faults{Down: true}, 0) },
			func(w *world) { w.sim.SetFaults(cloudflaretest.Faults{}, 0) },
			"Cloudflare is not available",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := up(t)
			c.spoil(w)
			change(w, newRecord(), func(r *v1alpha1.DNSRecord) { r.Spec.ForProvider.Name = moved })
			w.restart()
			w.rounds(4)
			require.Contains(t, told(see(w, newRecord()), xpv2.TypeReady), "False: ")
			require.Contains(t, told(see(w, newRecord()), xpv2.TypeReady), c.want)

			c.mend(w)
			w.restart()
			w.settle()
			require.Equal(t, "True", told(see(w, newRecord()), xpv2.TypeReady))
			require.Equal(t, moved, w.sim.Records(zone)[0].Name)
		})
	}
}

func TestARecordIsNotRenamedOutOfItsZone(t *testing.T) {
	w := up(t)
	change(w, newRecord(), func(r *v1alpha1.DNSRecord) { r.Spec.ForProvider.Name = "acme.example.org" })
	w.rounds(4)
	const want = "acme.example.org is not in zone example.com; choose a name that ends in .example.com"
	require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), want)
	require.Equal(t, "False: "+want, told(see(w, newRecord()), xpv2.TypeReady))
	require.Equal(t, host, w.sim.Records(zone)[0].Name)
	require.Zero(t, w.sim.Count("record.patch"))
}

func TestARecordThatGotAnotherNameIsNotReady(t *testing.T) {
	const asked, got = "acme.new.example.com", "acme.new.example.com.example.com"
	w := up(t)
	network := w.network
	w.network = roundTripper(func(r *http.Request) (*http.Response, error) {
		answer, err := network.RoundTrip(r)
		if err != nil || r.Method != http.MethodPatch {
			return answer, err
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(body, []byte(asked), []byte(got))))
		answer.ContentLength = -1
		return answer, err
	})
	w.restart()
	change(w, newRecord(), func(r *v1alpha1.DNSRecord) { r.Spec.ForProvider.Name = asked })
	w.rounds(4)
	const want = "the record got the name " + got + " at Cloudflare instead of " + asked + "; choose a name in its zone"
	require.Equal(t, "False: "+want, told(see(w, newRecord()), xpv2.TypeReady))
	require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), want)
}

func TestWhatServesStaysReadyWhenAChangeIsRefused(t *testing.T) {
	w := up(t)
	change(w, newRecord(), func(r *v1alpha1.DNSRecord) { r.Spec.ForProvider.Comment = new("webhooks of ACME") })
	askForRotation(w, 30*time.Minute)
	w.later(time.Hour)
	w.sim.FailNext("record.patch", cloudflaretest.ServerError, 20)
	w.sim.FailNext("tunnel.patch", cloudflaretest.ServerError, 20)
	w.rounds(4)
	for _, o := range []resource.Conditioned{see(w, newTunnel()), see(w, newRecord())} {
		require.Contains(t, told(o, xpv2.TypeSynced), "Cloudflare is not available")
		require.Equal(t, "True", told(o, xpv2.TypeReady))
	}
}
