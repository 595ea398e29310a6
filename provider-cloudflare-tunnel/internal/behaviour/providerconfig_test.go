package behaviour_test

import (
	"errors"
	"testing"
	"time"

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
)

func defaultConfig() *v1alpha1.ClusterProviderConfig {
	return &v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
}

// look reconciles a provider config until nothing more happens.
func (w *world) look(o client.Object) {
	w.t.Helper()
	r := w.provider.clusterConfigs
	if o.GetNamespace() != "" {
		r = w.provider.configs
	}
	for range 3 {
		_, err := r.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		require.NoError(w.t, err)
	}
}

func TestAProviderConfigTellsWhetherItsTokenDoes(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*world)
		want   string
		reason xpv2.ConditionReason
	}{
		"it does": {func(*world) {}, "True", condition.ReasonAuthorized},
		"it lacks a permission": {
			func(w *world) { w.sim.AddToken(token, cloudflaretest.ZoneRead, cloudflaretest.TunnelEdit) },
			"False: ClusterProviderConfig default: its API token lacks Zone / DNS / Edit; add that in Cloudflare's dashboard under API Tokens",
			condition.ReasonMissingPermissions},
		"it lacks several": {
			func(w *world) { w.sim.AddToken(token, cloudflaretest.ZoneRead) },
			"False: ClusterProviderConfig default: its API token lacks Account / Cloudflare Tunnel / Edit, Zone / DNS / Edit; add that in Cloudflare's dashboard under API Tokens",
			condition.ReasonMissingPermissions},
		"there is none": {
			func(w *world) { w.delete(credentials()) },
			"False: ClusterProviderConfig default: Secret crossplane-system/cloudflare does not exist; create it with the API token under the key token",
			condition.ReasonNoToken},
		"the zone is not there": {
			func(w *world) {
				change(w, defaultConfig(), func(c *v1alpha1.ClusterProviderConfig) { c.Spec.Zone = new("example.net") })
			},
			"False: ClusterProviderConfig default: zone example.net does not exist, or its API token may not see it: it needs Zone / Zone / Read for this zone",
			condition.ReasonMissingPermissions},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.spoil(w)
			w.look(defaultConfig())
			got := see(w, defaultConfig()).GetCondition(condition.TypeAuthorized)
			require.Equal(t, c.reason, got.Reason)
			require.Equal(t, c.want, told(see(w, defaultConfig()), condition.TypeAuthorized))
		})
	}
}

func TestAProviderConfigInUseIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	w.look(defaultConfig())
	require.Equal(t, int64(2), see(w, defaultConfig()).Status.Users)

	w.delete(defaultConfig())
	w.look(defaultConfig())
	require.False(t, w.gone(defaultConfig()))

	w.delete(newTunnel(), newRecord())
	w.settle()
	w.requireNothing()
	usages := &v1alpha1.ProviderConfigUsageList{}
	require.NoError(t, w.store.List(t.Context(), usages))
	for i := range usages.Items {
		w.delete(&usages.Items[i]) // Kubernetes does, once the owner is gone.
	}
	w.look(defaultConfig())
	require.True(t, w.gone(defaultConfig()))
}

func TestANamespacedProviderConfigIsCheckedToo(t *testing.T) {
	w := newWorld(t)
	config := &v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "own"}}
	config.Spec.Credentials.SecretRef = v1alpha1.LocalSecretKeyReference{Name: "cloudflare", Key: "token"}
	w.create(config)
	w.look(config)
	require.Contains(t, told(see(w, config), condition.TypeAuthorized), "Secret org-acme/cloudflare does not exist")
	require.Contains(t, w.events.String(), "NoToken")
}

func TestAProviderConfigTellsWhichTokenItsConditionIsAbout(t *testing.T) {
	w := newWorld(t)
	w.look(defaultConfig())
	require.Equal(t, see(w, credentials()).ResourceVersion, see(w, defaultConfig()).Status.CheckedSecretVersion)
	for name, c := range map[string]struct {
		data, want string
	}{
		"one that does too":      {"another", "True"},
		"one that does not":      {"unknown", "False: ClusterProviderConfig default: verify API token: the API token does not work"},
		"one that cannot be one": {"two words", "False: ClusterProviderConfig default: the API token in Secret crossplane-system/cloudflare"},
		"none":                   {"", "False: ClusterProviderConfig default: Secret crossplane-system/cloudflare has no API token under the key token"},
	} {
		t.Run(name, func(t *testing.T) {
			w.sim.AddToken("another", cloudflaretest.AllPermissions...)
			given := change(w, credentials(), func(s *corev1.Secret) { s.Data = map[string][]byte{"token": []byte(c.data)} })
			require.NotEqual(t, given.ResourceVersion, see(w, defaultConfig()).Status.CheckedSecretVersion, "before it was checked")
			w.look(defaultConfig())
			require.Equal(t, given.ResourceVersion, see(w, defaultConfig()).Status.CheckedSecretVersion)
			require.Contains(t, told(see(w, defaultConfig()), condition.TypeAuthorized), c.want)
		})
	}
	w.delete(credentials())
	w.look(defaultConfig())
	require.Empty(t, see(w, defaultConfig()).Status.CheckedSecretVersion)
}

func TestATokenIsCheckedAlthoughAUsageCannotBeCounted(t *testing.T) {
	w := newWorld(t)
	w.create(newTunnel())
	w.settle()
	usages := &v1alpha1.ProviderConfigUsageList{}
	require.NoError(t, w.store.List(t.Context(), usages))
	require.Len(t, usages.Items, 1)
	change(w, &usages.Items[0], func(u *v1alpha1.ProviderConfigUsage) { u.OwnerReferences = nil })
	w.provider.life.refuseDeletion(func(o client.Object) error {
		return kerrors.NewForbidden(v1alpha1.GroupVersion.WithResource("providerconfigusages").GroupResource(), o.GetName(), errors.New("no right to delete"))
	})

	w.look(defaultConfig())
	require.Equal(t, "True", told(see(w, defaultConfig()), condition.TypeAuthorized))
	require.Equal(t, 30*time.Second, w.nextLookAtConfig())
	w.delete(credentials())
	w.look(defaultConfig())
	require.Equal(t, condition.ReasonNoToken, see(w, defaultConfig()).GetCondition(condition.TypeAuthorized).Reason)
	require.Equal(t, 10*time.Second, w.nextLookAtConfig(), "the sooner of both")
}

// nextLookAtConfig is how long after a round the provider config is looked at again.
func (w *world) nextLookAtConfig() time.Duration {
	w.t.Helper()
	result, err := w.provider.clusterConfigs.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(defaultConfig())})
	require.NoError(w.t, err)
	return result.RequeueAfter
}
