// Package behaviour tests the provider's controllers as Crossplane's reconciler runs them, against a strict simulator of
// Cloudflare's API. Only the Kubernetes API server is a fake.
package behaviour_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	xpcontroller "github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource/fake"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/dnsrecord"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/providerconfig"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/settings"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/tunnel"
)

const (
	account   = "65671c123fa015f89bfb9f110d0000fd"
	zone      = "023e105f4ecef8ad9ca31a8372d0c353"
	zoneName  = "example.com"
	token     = "a-token-that-nobody-must-see"
	namespace = "org-acme"
	host      = "acme.example.com"
	secret    = "cloudflared-credentials-acme"

	connectorID = "11111111-2222-4333-8444-555555555555"
	poll        = 15 * time.Minute
	// freshness tells a tunnel that is looked at again because it is not healthy from one that waits for something.
	freshness = 10 * time.Minute
)

// world is a cluster, Cloudflare, and a provider that can be killed.
type world struct {
	t     *testing.T
	sim   *cloudflaretest.Simulator
	store client.WithWatch
	// url is where Cloudflare's API is reached, over the network.
	url     string
	network http.RoundTripper
	ahead   time.Duration
	// events are all that were written, as "reason: message".
	events *recorder
	// changes is the change logs sidecar, if there is one.
	changes *changeLog

	provider *provider
}

// newWorld has a provider config named default, its secret, and a token that may do everything.
func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, cloudflaretest.Options{})
}

func newWorldWith(t *testing.T, o cloudflaretest.Options) *world {
	t.Helper()
	w := &world{t: t, sim: cloudflaretest.New(o), events: &recorder{}}
	server := httptest.NewServer(w.sim)
	t.Cleanup(server.Close)
	w.begin(server.URL, http.DefaultTransport)
	return w
}

// newTimelessWorld has no network, for a synctest bubble: nothing takes time there but what waits.
func newTimelessWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, sim: cloudflaretest.New(cloudflaretest.Options{}), events: &recorder{}}
	w.begin("http://127.0.0.1", roundTripper(func(r *http.Request) (*http.Response, error) {
		r, answer := r.Clone(r.Context()), httptest.NewRecorder()
		r.Body = cmp.Or[io.ReadCloser](r.Body, http.NoBody)
		w.sim.ServeHTTP(answer, r)
		return answer.Result(), nil
	}))
	return w
}

// begin fills the world.
func (w *world) begin(url string, network http.RoundTripper) {
	w.t.Helper()
	w.url, w.network = url+cloudflaretest.Prefix, network
	w.sim.AddAccount(account)
	w.sim.AddZone(account, zone, zoneName)
	w.sim.AddToken(token, cloudflaretest.AllPermissions...)

	scheme := runtime.NewScheme()
	require.NoError(w.t, errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)))
	w.store = fakeclient.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&v1alpha1.Tunnel{}, &v1alpha1.DNSRecord{}, &v1alpha1.ProviderConfig{}, &v1alpha1.ClusterProviderConfig{}).
		Build()
	w.create(tokenSecret())
	w.create(w.config())
	w.restart()
}

// tokenSecret is the Secret of the provider config.
func tokenSecret() *corev1.Secret {
	s := credentials()
	s.Data = map[string][]byte{"token": []byte(token + "\n")}
	return s
}

// config is the provider config named default.
func (w *world) config() *v1alpha1.ClusterProviderConfig {
	c := defaultConfig()
	c.Spec.Credentials.SecretRef = v1alpha1.SecretKeyReference{
		Namespace: "crossplane-system", LocalSecretKeyReference: v1alpha1.LocalSecretKeyReference{Name: "cloudflare", Key: "token"}}
	c.Spec.AccountSettings = v1alpha1.AccountSettings{AccountID: new(account), Zone: new(zoneName), BaseURL: new(w.url)}
	return c
}

// provider is one process: its memory, and what it does until it is killed.
type provider struct {
	life    *life
	tunnels reconcile.Reconciler
	records reconcile.Reconciler

	configs, clusterConfigs reconcile.Reconciler
}

// restart replaces the provider by a new process.
func (w *world) restart() { w.start(&life{cut: -1}) }

func (w *world) start(l *life) {
	w.t.Helper()
	shared, o := w.process(l)
	mgr := &fake.Manager{Client: shared.Kube, Scheme: w.store.Scheme()}

	w.provider = &provider{life: l}
	var err error
	w.provider.tunnels, err = tunnel.Kind().Reconciler(mgr, o, shared)
	require.NoError(w.t, err)
	w.provider.records, err = dnsrecord.Kind().Reconciler(mgr, o, shared)
	require.NoError(w.t, err)
	w.provider.configs = providerconfig.Reconciler(mgr, v1alpha1.ProviderConfigKind, o, shared)
	w.provider.clusterConfigs = providerconfig.Reconciler(mgr, v1alpha1.ClusterProviderConfigKind, o, shared)
}

// process is what the controllers of one process are made with.
func (w *world) process(l *life) (*controller.Shared, controller.Options) {
	kube := interceptor.NewClient(w.store, l.kube())
	registry := cloudflare.NewRegistry(cloudflare.Options{
		BatchWindow: time.Millisecond, MaxWait: time.Second, Transport: l.transport(w.network)})
	shared := &controller.Shared{
		Kube: kube,
		Resolver: &settings.Resolver{Kube: kube, Session: func(c cloudflare.Config) (cloudflare.API, error) {
			s, err := registry.Session(c)
			if err != nil {
				return nil, err
			}
			return s, nil
		}},
		Usage:    resource.NewProviderConfigUsageTracker(kube, &v1alpha1.ProviderConfigUsage{}),
		Recorder: w.events,
		Now:      func() time.Time { return time.Now().Add(w.ahead) },
		Random:   rand.Reader,
	}
	flags := &feature.Flags{}
	flags.Enable(feature.EnableBetaManagementPolicies)
	o := controller.Options{Timeout: 30 * time.Second, MinPollInterval: time.Second, Freshness: freshness}
	if w.changes != nil {
		flags.Enable(feature.EnableAlphaChangeLogs)
		o.ChangeLogOptions = &xpcontroller.ChangeLogOptions{ChangeLogger: managed.NewGRPCChangeLogger(w.changes)}
	}
	o.Logger, o.Features, o.PollInterval, o.GlobalRateLimiter = logging.NewNopLogger(), flags, poll, ratelimiter.NewGlobal(100_000)
	return shared, o
}

// life ends a process at its cut-th effect on the outside: before it happens, or after it happened and before the process
// hears of it. A negative cut is never.
type life struct {
	mu    sync.Mutex
	cut   int
	after bool

	effects int
	dead    bool
	// dropped is called after connections were dropped, refused instead of a creation in the cluster, kept instead of a deletion.
	dropped       func()
	refused, kept func(client.Object) error
}

func (l *life) afterDrop(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped = f
}

func (l *life) refuse(f func(client.Object) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = f
}

func (l *life) refuseDeletion(f func(client.Object) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = f
}

var errDead = errors.New("the process was killed")

// effect carries one out.
func (l *life) effect(do func() error) error {
	l.mu.Lock()
	n := l.effects
	l.effects++
	hit := n == l.cut
	if l.dead || (hit && !l.after) {
		l.dead = true
		l.mu.Unlock()
		return errDead
	}
	l.mu.Unlock()
	err := do()
	if hit {
		l.mu.Lock()
		l.dead = true
		l.mu.Unlock()
		return errDead
	}
	return err
}

func (l *life) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

func (l *life) read(do func() error) error {
	if l.isDead() {
		return errDead
	}
	return do()
}

func (l *life) kube() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return l.read(func() error {
				// The cache of a manager fills in the kind; the fake leaves it out.
				kinds, _, err := c.Scheme().ObjectKinds(o)
				if err != nil {
					return err
				}
				defer o.GetObjectKind().SetGroupVersionKind(kinds[0])
				return c.Get(ctx, key, o, opts...)
			})
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return l.read(func() error { return c.List(ctx, list, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			l.mu.Lock()
			refused := l.refused
			l.mu.Unlock()
			if refused != nil {
				return refused(o)
			}
			return l.effect(func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return l.effect(func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return l.effect(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			l.mu.Lock()
			kept := l.kept
			l.mu.Unlock()
			if kept != nil {
				return kept(o)
			}
			return l.effect(func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return l.effect(func() error { return c.SubResource(sub).Update(ctx, o, opts...) })
		},
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (l *life) transport(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (rsp *http.Response, err error) {
		do := func() error {
			rsp, err = next.RoundTrip(r) //nolint:bodyclose // whoever sent the request closes it
			return err
		}
		if r.Method == http.MethodGet {
			err = l.read(do)
		} else {
			err = l.effect(do)
		}
		l.mu.Lock()
		dropped := l.dropped
		l.mu.Unlock()
		if dropped != nil && r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/connections") {
			dropped()
		}
		if err != nil && rsp != nil {
			_, _ = io.Copy(io.Discard, rsp.Body)
			_ = rsp.Body.Close()
			rsp = nil
		}
		return rsp, err
	})
}

// recorder keeps events.
type recorder struct {
	mu  sync.Mutex
	all []string
}

func (r *recorder) Event(_ runtime.Object, e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, string(e.Reason)+": "+e.Message)
}

func (r *recorder) WithAnnotations(...string) event.Recorder { return r }

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.all, "\n")
}

// reconcile looks at every object once, and says whether all are as wanted.
func (w *world) reconcile() (done bool) {
	w.t.Helper()
	done = true
	look := func(r reconcile.Reconciler, o client.Object) {
		result, err := r.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		if err != nil && !w.provider.life.isDead() {
			require.NoError(w.t, err)
		}
		// An object that is as wanted is looked at again after its poll interval, or when the shared list is a new one; one
		// that is gone, or paused, never.
		done = done && (result.IsZero() || result.RequeueAfter > freshness/2)
	}
	for _, r := range w.records() {
		look(w.provider.records, &r)
	}
	for _, t := range w.tunnels() {
		look(w.provider.tunnels, &t)
	}
	return done
}

// settle reconciles until all objects are as wanted.
func (w *world) settle() {
	w.t.Helper()
	// Twice in a row, since what the first finds in order may still have started something.
	for quiet, round := 0, 0; round < 60; round++ {
		if !w.reconcile() {
			quiet = 0
			continue
		}
		if quiet++; quiet == 2 {
			return
		}
	}
	var state strings.Builder
	for _, t := range w.tunnels() {
		fmt.Fprintf(&state, "Tunnel %s: %+v\n", t.Name, t.Status.Conditions)
	}
	for _, r := range w.records() {
		fmt.Fprintf(&state, "DNSRecord %s: %+v\n", r.Name, r.Status.Conditions)
	}
	w.t.Fatalf("does not settle:\n%s", state.String())
}

// rounds reconciles that often.
func (w *world) rounds(n int) {
	w.t.Helper()
	for range n {
		w.reconcile()
	}
}

// runUntilKilled reconciles until the process is dead or all is as wanted. It says whether it was killed.
func (w *world) runUntilKilled() bool {
	w.t.Helper()
	for range 60 {
		done := w.reconcile()
		if w.provider.life.isDead() {
			return true
		}
		if done && w.reconcile() {
			return w.provider.life.isDead()
		}
	}
	w.t.Fatal("neither killed nor done")
	return false
}

// later lets time pass for the provider.
func (w *world) later(d time.Duration) { w.ahead += d }

func (w *world) create(o client.Object) {
	w.t.Helper()
	o.SetUID(types.UID(uuid.NewString()))
	require.NoError(w.t, w.store.Create(w.t.Context(), o))
}

func (w *world) delete(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		require.NoError(w.t, client.IgnoreNotFound(w.store.Delete(w.t.Context(), o)))
	}
}

// change changes an object in the cluster.
func change[T client.Object](w *world, o T, f func(T)) T {
	w.t.Helper()
	require.NoError(w.t, w.store.Get(w.t.Context(), client.ObjectKeyFromObject(o), o))
	f(o)
	require.NoError(w.t, w.store.Update(w.t.Context(), o))
	return o
}

func (w *world) tunnels() []v1alpha1.Tunnel {
	w.t.Helper()
	list := &v1alpha1.TunnelList{}
	require.NoError(w.t, w.store.List(w.t.Context(), list))
	return list.Items
}

func (w *world) records() []v1alpha1.DNSRecord {
	w.t.Helper()
	list := &v1alpha1.DNSRecordList{}
	require.NoError(w.t, w.store.List(w.t.Context(), list))
	return list.Items
}

// see reads an object as it is in the cluster now.
func see[T client.Object](w *world, o T) T {
	w.t.Helper()
	require.NoError(w.t, w.store.Get(w.t.Context(), client.ObjectKeyFromObject(o), o))
	return o
}

func (w *world) gone(o client.Object) bool {
	w.t.Helper()
	err := w.store.Get(w.t.Context(), client.ObjectKeyFromObject(o), o)
	require.NoError(w.t, client.IgnoreNotFound(err))
	return kerrors.IsNotFound(err)
}

func (w *world) connectionSecret() map[string][]byte {
	w.t.Helper()
	s := &corev1.Secret{}
	require.NoError(w.t, w.store.Get(w.t.Context(), types.NamespacedName{Namespace: namespace, Name: secret}, s))
	return s.Data
}

func newTunnel(change ...func(*v1alpha1.Tunnel)) *v1alpha1.Tunnel {
	t := &v1alpha1.Tunnel{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme", Labels: map[string]string{"org": "acme"}}}
	t.Spec.ForProvider = v1alpha1.TunnelParameters{Name: "acme", ConfigSource: v1alpha1.TunnelConfigSourceLocal}
	t.Spec.ManagementPolicies = xpv2.ManagementPolicies{xpv2.ManagementActionAll}
	t.Spec.ProviderConfigReference = &xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "default"}
	t.Spec.WriteConnectionSecretToReference = &xpv2.LocalSecretReference{Name: secret}
	for _, f := range change {
		f(t)
	}
	return t
}

func newRecord(change ...func(*v1alpha1.DNSRecord)) *v1alpha1.DNSRecord {
	r := &v1alpha1.DNSRecord{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"}}
	r.Spec.ForProvider = v1alpha1.DNSRecordParameters{
		Type: v1alpha1.DNSRecordTypeCNAME, Name: host, Proxied: new(true), TTL: new(int64(1)),
		TunnelRef: &v1alpha1.TunnelReference{Name: "acme"}}
	r.Spec.ManagementPolicies = xpv2.ManagementPolicies{xpv2.ManagementActionAll}
	r.Spec.ProviderConfigReference = &xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "default"}
	for _, f := range change {
		f(r)
	}
	return r
}

// policies are management policies.
func policies(actions ...xpv2.ManagementAction) xpv2.ManagementPolicies { return actions }

// named gives an object an external name.
func named[T client.Object](id string) func(T) {
	return func(o T) { meta.SetExternalName(o, id) }
}

// told is the status and message of a condition, such as "True: …".
func told(o resource.Conditioned, t xpv2.ConditionType) string {
	c := o.GetCondition(t)
	return strings.TrimSuffix(string(c.Status)+": "+c.Message, ": ")
}

// requireServing checks that there is one tunnel and one record, that the record leads to the tunnel, and that a connector
// with what is in the connection secret can serve it.
func (w *world) requireServing() {
	w.t.Helper()
	tunnels, records := w.sim.Tunnels(account), w.sim.Records(zone)
	require.Len(w.t, tunnels, 1)
	require.Len(w.t, records, 1)
	require.Equal(w.t, "acme", tunnels[0].Name)
	require.Equal(w.t, host, records[0].Name)
	require.Equal(w.t, tunnels[0].ID+".cfargotunnel.com", records[0].Content)
	require.True(w.t, records[0].Proxied)

	t, r := see(w, newTunnel()), see(w, newRecord())
	require.Equal(w.t, tunnels[0].ID, meta.GetExternalName(t))
	require.Equal(w.t, tunnels[0].ID, t.Status.AtProvider.ID)
	require.Equal(w.t, records[0].ID, meta.GetExternalName(r))
	require.Equal(w.t, records[0].ID, r.Status.AtProvider.ID)
	for _, o := range []resource.Conditioned{t, r} {
		require.Equal(w.t, "True", told(o, xpv2.TypeReady))
		require.Equal(w.t, "True", told(o, xpv2.TypeSynced))
	}

	data := w.connectionSecret()
	require.Equal(w.t, tunnels[0].ID, string(data["tunnelID"]))
	require.Equal(w.t, account, string(data["accountTag"]))
	fromFile, err := cloudflare.ParseCredentialsFile(data["credentials.json"])
	require.NoError(w.t, err)
	require.Equal(w.t, tunnels[0].Secret, []byte(fromFile.TunnelSecret))
	require.NoError(w.t, w.sim.Connect(string(data["token"]), connectorID, "2026.4.0"))
	w.sim.Disconnect(connectorID)
}

// requireNothing checks that nothing is left, anywhere.
func (w *world) requireNothing() {
	w.t.Helper()
	require.Empty(w.t, w.sim.Tunnels(account))
	require.Empty(w.t, w.sim.Records(zone))
	require.Empty(w.t, w.tunnels())
	require.Empty(w.t, w.records())
}
