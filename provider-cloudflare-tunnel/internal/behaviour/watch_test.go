package behaviour_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/dnsrecord"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/providerconfig"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/tunnel"
)

// alive runs a story in a world without network where the controllers work by themselves, as the manager of a process runs
// them. Time stands still while anything is done, and passes while all wait.
func alive(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newTimelessWorld(t)
		ctx, stop := context.WithCancel(t.Context())
		shared, o := w.process(&life{cut: -1})
		o.WatchSecrets = true
		mgr, err := ctrl.NewManager(&rest.Config{}, ctrl.Options{
			Scheme: w.store.Scheme(),
			NewCache: func(*rest.Config, cache.Options) (cache.Cache, error) {
				return &informers{Reader: w.store, store: w.store, byKind: map[schema.GroupVersionKind]toolscache.SharedIndexInformer{}}, nil
			},
			NewClient: func(*rest.Config, client.Options) (client.Client, error) { return shared.Kube, nil },
			MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) {
				mapper := meta.NewDefaultRESTMapper(nil)
				mapper.Add(v1alpha1.GroupVersion.WithKind(v1alpha1.TunnelKind), meta.RESTScopeNamespace)
				return mapper, nil
			},
			Metrics:    metricsserver.Options{BindAddress: "0"},
			Controller: config.Controller{SkipNameValidation: new(true)},
		})
		require.NoError(t, err)
		for _, setup := range []func(ctrl.Manager, controller.Options, *controller.Shared) error{
			providerconfig.Setup, tunnel.Kind().Setup, dnsrecord.Kind().Setup,
		} {
			require.NoError(t, setup(mgr, o, shared))
		}
		ended := make(chan error, 1)
		go func() { ended <- mgr.Start(ctx) }()
		defer func() {
			stop()
			require.NoError(t, <-ended)
		}()
		story(w)
	})
}

// informers are those of a manager on a fake API server.
type informers struct {
	client.Reader

	store  client.WithWatch
	mu     sync.Mutex
	ctx    context.Context // Informers that are asked for later begin at once.
	byKind map[schema.GroupVersionKind]toolscache.SharedIndexInformer
}

func (i *informers) GetInformer(ctx context.Context, o client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	kind, err := apiutil.GVKForObject(o, i.store.Scheme())
	if err != nil {
		return nil, err
	}
	return i.GetInformerForKind(ctx, kind)
}

func (i *informers) GetInformerForKind(_ context.Context, kind schema.GroupVersionKind, _ ...cache.InformerGetOption) (cache.Informer, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.byKind[kind] == nil {
		example, err := i.store.Scheme().New(kind)
		if err != nil {
			return nil, err
		}
		i.byKind[kind] = toolscache.NewSharedIndexInformer(&listWatch{store: i.store, kind: kind}, example, 0, nil)
		if i.ctx != nil {
			go i.byKind[kind].RunWithContext(i.ctx)
		}
	}
	return i.byKind[kind], nil
}

func (i *informers) Start(ctx context.Context) error {
	i.mu.Lock()
	i.ctx = ctx
	for _, informer := range i.byKind {
		go informer.RunWithContext(ctx)
	}
	i.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (i *informers) WaitForCacheSync(ctx context.Context) bool {
	i.mu.Lock()
	var synced []toolscache.InformerSynced
	for _, informer := range i.byKind {
		synced = append(synced, informer.HasSynced)
	}
	i.mu.Unlock()
	return toolscache.WaitForCacheSync(ctx.Done(), synced...)
}

func (i *informers) RemoveInformer(context.Context, client.Object) error { return nil }

func (i *informers) IndexField(context.Context, client.Object, string, client.IndexerFunc) error {
	return nil
}

// listWatch lists and watches objects of a kind. The fake has no resource versions to go on from, so the watch begins
// before the listing.
type listWatch struct {
	store   client.WithWatch
	kind    schema.GroupVersionKind
	watched watch.Interface
}

// IsWatchListSemanticsUnSupported tells client-go that a watch does not begin with what is there.
func (l *listWatch) IsWatchListSemanticsUnSupported() bool { return true }

func (l *listWatch) List(metav1.ListOptions) (runtime.Object, error) {
	o, err := l.store.Scheme().New(l.kind.GroupVersion().WithKind(l.kind.Kind + "List"))
	if err != nil {
		return nil, err
	}
	list := o.(client.ObjectList)
	if l.watched, err = l.store.Watch(context.Background(), list); err != nil {
		return nil, err
	}
	return list, l.store.List(context.Background(), list)
}

func (l *listWatch) Watch(metav1.ListOptions) (watch.Interface, error) { return l.watched, nil }

// soon is how long what waits for somebody may go on waiting once the cause is gone.
const soon = 2 * time.Second

func TestWaitingObjectsGoOnOnceTheirProviderConfigIsThere(t *testing.T) {
	alive(t, func(w *world) {
		w.delete(defaultConfig())
		w.create(newTunnel())
		w.create(newRecord())
		time.Sleep(10*time.Minute + 17*time.Second)
		for _, o := range []resource.Managed{see(w, newTunnel()), see(w, newRecord())} {
			require.Contains(t, told(o, condition.TypeAuthorized), "ClusterProviderConfig default does not exist")
		}
		w.create(w.config())
		time.Sleep(soon)
		w.requireServing()
	})
}

func TestWaitingObjectsGoOnOnceTheirTokenDoes(t *testing.T) {
	for name, c := range map[string]struct {
		spoil, mend func(*world)
		within      time.Duration
	}{
		"once there is one": {
			spoil:  func(w *world) { w.delete(credentials()) },
			mend:   func(w *world) { w.create(tokenSecret()) },
			within: 10 * time.Second,
		},
		"once it has the permission that it lacked": {
			spoil:  func(w *world) { w.sim.AddToken(token, cloudflaretest.ZoneRead, cloudflaretest.TunnelEdit) },
			mend:   func(w *world) { w.sim.AddToken(token, cloudflaretest.AllPermissions...) },
			within: 2 * time.Minute,
		},
		"once their provider config names the right Secret": {
			spoil: func(w *world) {
				change(w, defaultConfig(), func(c *v1alpha1.ClusterProviderConfig) {
					c.Spec.Credentials.SecretRef.Name, c.Generation = "none", 1
				})
			},
			mend: func(w *world) {
				change(w, defaultConfig(), func(c *v1alpha1.ClusterProviderConfig) {
					c.Spec.Credentials.SecretRef.Name, c.Generation = "cloudflare", 2
				})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			alive(t, func(w *world) {
				c.spoil(w)
				w.create(newTunnel())
				w.create(newRecord())
				time.Sleep(10*time.Minute + 17*time.Second)
				for _, o := range []resource.Managed{see(w, newTunnel()), see(w, newRecord())} {
					require.Contains(t, told(o, xpv2.TypeSynced), "False: ")
				}
				c.mend(w)
				time.Sleep(c.within + soon)
				w.requireServing()
			})
		})
	}
}

func TestTheConnectorsOfANewTunnelAreShownSoon(t *testing.T) {
	alive(t, func(w *world) {
		w.create(newTunnel())
		time.Sleep(time.Minute)
		require.NoError(t, w.sim.Connect(string(w.connectionSecret()["token"]), connectorID, "2026.4.0", "fra03"))
		time.Sleep(freshness + soon)
		require.Equal(t, "healthy", see(w, newTunnel()).Status.AtProvider.Status)
	})
}

func TestAConnectionSecretThatIsDeletedOrChangedIsRepairedAtOnce(t *testing.T) {
	spoilt := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secret}}
	for name, spoil := range map[string]func(*world){
		"deleted": func(w *world) { w.delete(spoilt) },
		"changed": func(w *world) { change(w, spoilt, func(s *corev1.Secret) { s.Data["token"] = []byte("x") }) },
	} {
		t.Run(name, func(t *testing.T) {
			alive(t, func(w *world) {
				w.create(newTunnel())
				w.create(newRecord())
				time.Sleep(time.Minute)
				spoil(w)
				time.Sleep(soon)
				w.requireServing()

				w.sim.ResetCalls()
				time.Sleep(time.Minute)
				require.Empty(t, w.sim.Calls(), "its repair starts nothing more")
			})
		})
	}
}
