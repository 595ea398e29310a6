package behaviour_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/ownership"
)

func up(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	w.sim.ResetCalls()
	return w
}

func TestTheRecordGoesFirstThenTheConnectionsThenTheTunnel(t *testing.T) {
	w := up(t)
	w.delete(newTunnel(), newRecord())
	// The tunnel is looked at first, and has to wait.
	_, err := w.provider.tunnels.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(newTunnel())})
	require.NoError(t, err)
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeSynced), "waiting for DNSRecord acme to be deleted first")
	w.settle()
	w.requireNothing()
	var order []string
	for _, c := range w.sim.Calls() {
		if c.Method != http.MethodGet {
			order = append(order, c.Op)
		}
	}
	require.Len(t, order, 3)
	require.Contains(t, []string{"record.delete", "record.batch"}, order[0])
	require.Equal(t, []string{"connections.delete", "tunnel.delete"}, order[1:])
}

func TestATunnelWithRunningConnectorsGoesOnceTheyAreStopped(t *testing.T) {
	w := up(t)
	published := string(w.connectionSecret()["token"])
	w.delete(newRecord())
	w.settle()
	w.delete(newTunnel())
	// A connector that runs connects again at once.
	stop := w.reconnect(published)
	w.rounds(5)
	require.False(t, w.gone(newTunnel()))
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeSynced), "connectors of tunnel")
	stop()
	w.settle()
	w.requireNothing()
}

// reconnect plays a connector that connects again right after its connections were dropped.
func (w *world) reconnect(published string) (stop func()) {
	w.provider.life.afterDrop(func() { _ = w.sim.Connect(published, connectorID, "2026.4.0") })
	return func() {
		w.provider.life.afterDrop(nil)
		w.sim.Disconnect(connectorID)
	}
}

func TestWhatIsGoneAlreadyIsDeleted(t *testing.T) {
	w := up(t)
	require.True(t, w.sim.RemoveTunnel(account, w.sim.Tunnels(account)[0].ID))
	require.True(t, w.sim.RemoveRecord(zone, w.sim.Records(zone)[0].ID))
	w.delete(newTunnel(), newRecord())
	w.later(time.Minute)
	w.settle()
	w.requireNothing()
}

func TestDeletionWaitsForACredentialThatWorks(t *testing.T) {
	for name, c := range map[string]struct {
		spoil, mend func(*world)
		want        string
	}{
		"the secret is gone": {
			spoil: func(w *world) { w.delete(credentials()) },
			mend:  func(w *world) { w.create(tokenSecret()) },
			want:  "Secret crossplane-system/cloudflare does not exist",
		},
		"the token was revoked": {
			spoil: func(w *world) { w.sim.SetToken(cloudflaretest.Token{Value: token, Disabled: true}) },
			mend:  func(w *world) { w.sim.AddToken(token, cloudflaretest.AllPermissions...) },
			want:  "the API token does not work",
		},
		"the token lost a permission": {
			spoil: func(w *world) { w.sim.AddToken(token, cloudflaretest.ZoneRead) },
			mend:  func(w *world) { w.sim.AddToken(token, cloudflaretest.AllPermissions...) },
			want:  "its API token lacks ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := up(t)
			c.spoil(w)
			w.delete(newTunnel(), newRecord())
			w.rounds(4)
			for _, o := range []resource.Managed{see(w, newTunnel()), see(w, newRecord())} {
				require.NotEmpty(t, o.GetFinalizers())
				require.Contains(t, told(o, xpv2.TypeSynced), c.want)
				require.Contains(t, told(o, condition.TypeAuthorized), c.want)
			}
			require.Len(t, w.sim.Tunnels(account), 1)
			c.mend(w)
			w.restart()
			w.later(time.Minute)
			w.settle()
			w.requireNothing()
		})
	}
}

// All of them are refused, and ask why.
func TestATokenThatDoesNotDoCostsFewRequestsForManyRecords(t *testing.T) {
	const count = 40
	for name, c := range map[string]struct {
		spoil func(*world)
		want  string
	}{
		"it was revoked": {
			func(w *world) { w.sim.SetToken(cloudflaretest.Token{Value: token, Disabled: true}) }, "the API token does not work"},
		"it lost a permission": {
			func(w *world) { w.sim.AddToken(token, cloudflaretest.ZoneRead) }, "its API token lacks Zone / DNS / Edit"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTimelessWorld(t)
				for i := range count {
					w.create(newRecord(func(r *v1alpha1.DNSRecord) {
						r.Name = fmt.Sprint("acme-", i)
						r.Spec.ForProvider.Name = r.Name + ".example.com"
						r.Spec.ForProvider.TunnelRef, r.Spec.ForProvider.Content = nil, new("x.example.net")
					}))
				}
				w.settle()
				require.Len(t, w.sim.Records(zone), count)
				time.Sleep(2 * time.Minute)
				c.spoil(w)
				w.sim.ResetCalls()
				w.reconcile()
				for _, r := range w.records() {
					require.Contains(t, told(&r, condition.TypeAuthorized), c.want)
				}
				require.LessOrEqual(t, len(w.sim.Calls()), 10)

				// Nor do the later tries of all of them use up the budget.
				w.sim.ResetCalls()
				for range 5 {
					time.Sleep(time.Minute)
					w.reconcile()
				}
				require.LessOrEqual(t, len(w.sim.Calls()), 5*10)
			})
		})
	}
}

func credentials() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "crossplane-system", Name: "cloudflare"}}
}

func TestDeletionGoesOnAfterTheAPIWasDown(t *testing.T) {
	w := up(t)
	w.sim.SetFaults(cloudflaretest.Faults{Down: true}, 0)
	w.delete(newTunnel(), newRecord())
	w.rounds(5)
	require.NotEmpty(t, see(w, newTunnel()).Finalizers)
	require.Contains(t, told(see(w, newRecord()), xpv2.TypeSynced), "Cloudflare is not available")
	w.sim.SetFaults(cloudflaretest.Faults{}, 0)
	w.later(time.Minute)
	w.restart()
	w.settle()
	w.requireNothing()
}

func TestDeletionWorksWhileTheNamespaceIsTerminating(t *testing.T) {
	w := up(t)
	w.delete(newTunnel(), newRecord())
	// Nothing can be created in a namespace that is going, and the usages went first.
	usages := &v1alpha1.ProviderConfigUsageList{}
	require.NoError(t, w.store.List(t.Context(), usages))
	for i := range usages.Items {
		w.delete(&usages.Items[i])
	}
	w.provider.life.refuse(func(o client.Object) error {
		return kerrors.NewForbidden(v1alpha1.GroupVersion.WithResource("any").GroupResource(), o.GetName(), errors.New("the namespace is being terminated"))
	})
	w.settle()
	w.requireNothing()
}

func TestADeletionDoesNotTrustAbsenceWhileACreationMayBeUnderWay(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel(func(o *v1alpha1.Tunnel) {
		meta.SetExternalCreatePending(o, time.Now())
		o.Finalizers = []string{"finalizer.managedresource.crossplane.io"}
	}))
	w.delete(newTunnel())
	w.rounds(3)
	require.False(t, w.gone(newTunnel()))
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeSynced), "the last creation was cut short and may still be carried out")
	w.later(time.Minute)
	w.settle()
	require.True(t, w.gone(newTunnel()))
}

func TestNothingIsMadeWithATokenThatLacksAPermission(t *testing.T) {
	all := cloudflaretest.AllPermissions
	for name, c := range map[string]struct {
		permissions []cloudflaretest.Permission
		want        []string
	}{
		"for tunnels": {permissions: without(all, cloudflaretest.TunnelEdit), want: []string{"Account / Cloudflare Tunnel / Edit"}},
		"for records": {permissions: without(all, cloudflaretest.DNSEdit), want: []string{"Zone / DNS / Edit"}},
		"for zones":   {permissions: without(all, cloudflaretest.ZoneRead), want: []string{"Zone / Zone / Read"}},
		"for both": {permissions: []cloudflaretest.Permission{cloudflaretest.ZoneRead, cloudflaretest.DNSRead, cloudflaretest.TunnelRead},
			want: []string{"Account / Cloudflare Tunnel / Edit", "Zone / DNS / Edit"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sim.AddToken(token, c.permissions...)
			w.create(newTunnel())
			w.create(newRecord(func(r *v1alpha1.DNSRecord) {
				r.Spec.ForProvider.TunnelRef, r.Spec.ForProvider.Content = nil, new("x.example.net")
			}))
			w.rounds(4)
			for _, o := range []resource.Managed{see(w, newTunnel()), see(w, newRecord())} {
				for _, permission := range c.want {
					require.Contains(t, told(o, condition.TypeAuthorized), permission)
					require.Contains(t, told(o, xpv2.TypeSynced), permission)
				}
				require.Equal(t, condition.ReasonMissingPermissions, o.GetCondition(condition.TypeAuthorized).Reason)
			}
			require.Empty(t, w.sim.Tunnels(account))
			require.Empty(t, w.sim.Records(zone))

			w.sim.AddToken(token, all...)
			w.restart()
			w.settle()
			require.Len(t, w.sim.Tunnels(account), 1)
			require.Equal(t, "True", told(see(w, newTunnel()), condition.TypeAuthorized))
		})
	}
}

func without(all []cloudflaretest.Permission, one cloudflaretest.Permission) []cloudflaretest.Permission {
	return slices.DeleteFunc(slices.Clone(all), func(p cloudflaretest.Permission) bool { return p == one })
}

func TestARotationReplacesTheSecretAndKeepsTheTunnel(t *testing.T) {
	w := up(t)
	id, old := w.sim.Tunnels(account)[0].ID, string(w.connectionSecret()["token"])
	require.NoError(t, w.sim.Connect(old, connectorID, "2026.4.0"))
	askForRotation(w, 30*time.Minute)
	w.settle()
	require.Equal(t, old, string(w.connectionSecret()["token"]), "its time has not come")
	require.LessOrEqual(t, w.nextLook(), 30*time.Minute+time.Second)

	w.later(time.Hour)
	w.settle()
	w.requireServing()
	require.Equal(t, id, w.sim.Tunnels(account)[0].ID)
	require.EqualError(t, w.sim.Connect(old, "22222222-2222-4333-8444-555555555555", "2026.4.0"), "Unauthorized: Invalid tunnel secret")
	require.Empty(t, w.sim.Tunnels(account)[0].Connectors, "connections that were made with the old secret are dropped")
	last := see(w, newTunnel()).Status.AtProvider.LastRotationTime
	require.WithinDuration(t, time.Now().Add(time.Hour), last.Time, time.Minute)

	// Nothing more happens, until a later time is given.
	replaced := string(w.connectionSecret()["token"])
	w.restart()
	w.settle()
	change(w, newTunnel(), func(o *v1alpha1.Tunnel) { o.Spec.ForProvider.RotateSecretAt = nil })
	w.settle()
	require.Equal(t, replaced, string(w.connectionSecret()["token"]))
	askForRotation(w, 90*time.Minute)
	w.later(time.Hour)
	w.settle()
	w.requireServing()
	require.NotEqual(t, replaced, string(w.connectionSecret()["token"]))
}

func TestATunnelWithoutAConnectionSecretIsRotatedToo(t *testing.T) {
	w := newWorld(t)
	bare := func(o *v1alpha1.Tunnel) { o.Spec.WriteConnectionSecretToReference = nil }
	w.create(newTunnel(bare))
	w.settle()
	old := w.sim.Tunnels(account)[0].Secret
	askForRotation(w, 30*time.Minute)
	w.later(time.Hour)
	w.settle()
	w.restart()
	w.settle()
	require.NotEqual(t, old, w.sim.Tunnels(account)[0].Secret)
	require.Equal(t, 1, carried(w, "tunnel.patch"))
}

func TestAnImportedTunnelIsRotatedAndThenCarriesTheMark(t *testing.T) {
	w := newWorld(t)
	id := w.sim.AddTunnel(account, "acme")
	w.create(newTunnel(named[*v1alpha1.Tunnel](id)))
	w.settle()
	old := w.sim.Tunnels(account)[0].Secret
	askForRotation(w, 30*time.Minute)
	w.later(time.Hour)
	w.settle()
	require.NotEqual(t, old, w.sim.Tunnels(account)[0].Secret)
	require.Len(t, w.sim.Tunnels(account)[0].Secret, 64)
	require.NotNil(t, see(w, newTunnel()).Status.AtProvider.LastRotationTime)
}

func TestASecretThatSomebodyElseReplacedIsPublishedOnceTheConnectorsAreGone(t *testing.T) {
	w := up(t)
	id, old := w.sim.Tunnels(account)[0].ID, string(w.connectionSecret()["token"])
	require.NoError(t, w.sim.Connect(old, connectorID, "2026.4.0"))
	require.True(t, w.sim.ReplaceSecret(account, id, []byte(strings.Repeat("s", 32))))
	w.restart()
	w.settle()
	require.Equal(t, old, string(w.connectionSecret()["token"]), "connections outlive their secret")
	require.Zero(t, w.sim.Count("tunnel.token"))

	w.sim.Disconnect(connectorID)
	require.EqualError(t, w.sim.Connect(old, connectorID, "2026.4.0"), "Unauthorized: Invalid tunnel secret")
	w.restart()
	w.settle()
	require.Equal(t, "down", see(w, newTunnel()).Status.AtProvider.Status)
	require.NoError(t, w.sim.Connect(string(w.connectionSecret()["token"]), connectorID, "2026.4.0"))
}

func TestATunnelThatStaysDownIsAskedAboutNowAndThen(t *testing.T) {
	w := up(t)
	require.NoError(t, w.sim.Connect(string(w.connectionSecret()["token"]), connectorID, "2026.4.0"))
	w.sim.Disconnect(connectorID)
	w.restart()
	w.rounds(20)
	require.Equal(t, "down", see(w, newTunnel()).Status.AtProvider.Status)
	require.Equal(t, 1, w.sim.Count("tunnel.token"))
	w.later(16 * time.Minute)
	w.rounds(20)
	require.Equal(t, 2, w.sim.Count("tunnel.token"))
}

func TestATunnelWhoseSecretCarriesAnotherMarkIsNotReadyOnceTheConnectorsAreGone(t *testing.T) {
	w := up(t)
	id := w.sim.Tunnels(account)[0].ID
	require.NoError(t, w.sim.Connect(string(w.connectionSecret()["token"]), connectorID, "2026.4.0"))
	theirs, err := ownership.NewTunnelSecret("7a1b2c3d-1111-4222-8333-444455556666", 0, time.Now(), rand.Reader)
	require.NoError(t, err)
	require.True(t, w.sim.ReplaceSecret(account, id, theirs))
	w.sim.Disconnect(connectorID)
	w.restart()
	w.rounds(4)
	require.Contains(t, told(see(w, newTunnel()), condition.TypeConflict), "is marked for another object, so it is neither changed nor deleted")
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeReady), "False: ")
}

func TestARotationIsRefusedIfTheTunnelTurnsOutToBeSomebodyElses(t *testing.T) {
	w := up(t)
	theirs, err := ownership.NewTunnelSecret("7a1b2c3d-1111-4222-8333-444455556666", 0, time.Now(), rand.Reader)
	require.NoError(t, err)
	require.True(t, w.sim.ReplaceSecret(account, w.sim.Tunnels(account)[0].ID, theirs))
	askForRotation(w, 30*time.Minute)
	w.later(time.Hour)
	w.rounds(4)
	require.Equal(t, []byte(theirs), w.sim.Tunnels(account)[0].Secret)
	require.Contains(t, told(see(w, newTunnel()), xpv2.TypeReady), "False: tunnel ")
	require.Contains(t, told(see(w, newTunnel()), condition.TypeConflict), "is marked for another object")
}

// nextLook is how long after a round the tunnel is looked at again.
func (w *world) nextLook() time.Duration {
	w.t.Helper()
	result, err := w.provider.tunnels.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(newTunnel())})
	require.NoError(w.t, err)
	return result.RequeueAfter
}

// Crossplane's own requeue would count as one more failure of an object that waited for long.
func TestAnObjectThatWasMadeIsLookedAtSoonWhateverItWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	for round := 0; len(w.sim.Tunnels(account)) == 0; round++ {
		require.Less(t, round, 10)
		next := w.nextLook()
		if len(w.sim.Tunnels(account)) > 0 {
			require.Positive(t, next)
			require.Less(t, next, time.Second)
		}
	}
}

func TestABudgetThatIsUsedUpIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimelessWorld(t)
		change(w, defaultConfig(), func(c *v1alpha1.ClusterProviderConfig) { c.Spec.RequestsPer5Minutes = new(int64(3)) })
		w.create(newTunnel())
		w.rounds(4)
		o := see(w, newTunnel())
		require.Contains(t, told(o, condition.TypeThrottled), "True: the budget of API requests of this token is used up; it goes on by itself at ")
		require.Contains(t, told(o, xpv2.TypeSynced), "the request budget is used up")
		require.Greater(t, w.nextLook(), 10*time.Second, "nothing is tried before")
		require.Less(t, w.nextLook(), 6*time.Minute)
		require.LessOrEqual(t, len(w.sim.Calls()), 3)

		change(w, defaultConfig(), func(c *v1alpha1.ClusterProviderConfig) { c.Spec.RequestsPer5Minutes = new(int64(1000)) })
		time.Sleep(2 * time.Second) // A failed listing answers for its followers so long.
		w.settle()
		require.Len(t, w.sim.Tunnels(account), 1)
		require.Equal(t, "False", told(see(w, newTunnel()), condition.TypeThrottled))
	})
}
