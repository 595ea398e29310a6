// Command provider manages Cloudflare Tunnels and DNS records for Crossplane.
//
// It runs anywhere that reaches the Kubernetes API server and Cloudflare: as the pod that Crossplane makes of the provider
// package, or as a plain process with --kubeconfig, KUBECONFIG or ~/.kube/config. It listens only for metrics
// (--metrics-address) and health (--health-address); it has no webhook, and keeps nothing on disk. Several replicas need
// --leader-election.
//
// Its service account needs, in all namespaces unless said otherwise:
//
//   - tunnels, dnsrecords, providerconfigs and clusterproviderconfigs of cloudflare.aphex.io: get, list, watch, update,
//     patch, and update and patch on their status; update on their finalizers where owner references are enforced
//   - providerconfigusages of cloudflare.aphex.io: get, list, watch, create, update, delete
//   - secrets: get, create, update, patch; for API tokens, and for the connection secrets of Tunnels. With list and watch
//     too, a connection secret that is deleted or changed is repaired at once, else at the next poll; only the metadata of
//     connection secrets is listed
//   - events: create, patch
//   - customresourcedefinitions of apiextensions.k8s.io: get, list, watch; then kinds may be installed or activated
//     (safe-start) after it was started. Without that right all kinds must be there when it starts
//   - leases of coordination.k8s.io in its own namespace: get, create, update; with --leader-election
//
// Crossplane grants all of it to the provider package except the deletion of providerconfigusages.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	changelogs "github.com/crossplane/crossplane-runtime/v2/apis/changelogs/proto/v1alpha1"
	xpcontroller "github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/gate"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/customresourcesgate"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/controller"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/dnsrecord"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/providerconfig"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/settings"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/tunnel"
)

// name of the provider in events, the Lease and change logs.
const name = "provider-cloudflare-tunnel"

func main() {
	o, err := parse(flag.CommandLine, os.Args[1:])
	if err == nil {
		err = start(ctrl.SetupSignalHandler(), o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func start(ctx context.Context, o options) error {
	log := zap.New(zap.UseDevMode(o.debug))
	ctrl.SetLogger(log)
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the Kubernetes API server: %w", err)
	}
	return run(ctx, config, o, logging.NewLogrLogger(log.WithName(name)))
}

// run works until the context ends.
func run(ctx context.Context, config *rest.Config, o options, log logging.Logger) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	mgr, err := manager(config, o)
	if err != nil {
		return err
	}
	controllers, err := controllerOptions(o, log)
	if err != nil {
		return err
	}
	shared, err := shared(mgr, o)
	if err != nil {
		return err
	}

	if controllers.WatchSecrets, err = may(ctx, mgr, corev1.GroupName, "secrets", "list", "watch"); err != nil {
		return err
	}
	safe, err := may(ctx, mgr, apiextensionsv1.GroupName, "customresourcedefinitions", "get", "list", "watch")
	if err != nil {
		return err
	}
	if !safe {
		log.Info("May not watch CustomResourceDefinitions, so all kinds must be there already")
		if err := setup(mgr, controllers, shared); err != nil {
			return err
		}
	} else {
		g := &gate.Gate[schema.GroupVersionKind]{}
		controllers.Gate = g
		g.Register(func() {
			if err := setup(mgr, controllers, shared); err != nil {
				stop(err)
			}
		}, kinds()...)
		if err := customresourcesgate.Setup(mgr, controllers.Options); err != nil {
			return fmt.Errorf("watch for the provider's kinds: %w", err)
		}
	}

	log.Info("Starting", "poll-interval", o.pollInterval.String(), "safe-start", safe)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run the controllers: %w", err)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// kinds are all kinds of the provider. They stand and fall together: a DNSRecord points at a Tunnel, a Tunnel goes after
// its DNSRecords, and both need a provider config.
func kinds() []schema.GroupVersionKind {
	var out []schema.GroupVersionKind
	for _, kind := range []string{
		v1alpha1.TunnelKind, v1alpha1.DNSRecordKind,
		v1alpha1.ProviderConfigKind, v1alpha1.ClusterProviderConfigKind, v1alpha1.ProviderConfigUsageKind,
	} {
		out = append(out, v1alpha1.GroupVersion.WithKind(kind))
	}
	return out
}

func setup(mgr ctrl.Manager, o controller.Options, s *controller.Shared) error {
	for _, add := range []func(ctrl.Manager, controller.Options, *controller.Shared) error{
		providerconfig.Setup, tunnel.Kind().Setup, dnsrecord.Kind().Setup,
	} {
		if err := add(mgr, o, s); err != nil {
			return err
		}
	}
	return nil
}

func manager(config *rest.Config, o options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("know the kinds: %w", err)
		}
	}
	mgr, err := ctrl.NewManager(ratelimiter.LimitRESTConfig(config, o.maxReconcileRate), ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			SyncPeriod:       &o.syncInterval,
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&apiextensionsv1.CustomResourceDefinition{}: {Transform: customresourcesgate.TransformStripCRDSchema},
				&corev1.Secret{}: {Field: fields.OneTermEqualSelector("type", string(resource.SecretTypeConnection))},
			},
		},
		// Caching Secrets would keep every Secret of the cluster in memory.
		Client:                 client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		Metrics:                metricsserver.Options{BindAddress: orNone(o.metricsAddress)},
		HealthProbeBindAddress: orNone(o.healthAddress),

		LeaderElection:                o.leaderElection,
		LeaderElectionID:              "leader-election-" + name,
		LeaderElectionNamespace:       o.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 new(60 * time.Second),
		RenewDeadline:                 new(50 * time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("make the controller manager: %w", err)
	}
	if err := errors.Join(
		mgr.AddHealthzCheck("reconciles", reconcilesEnd(metrics.Registry, hangs*o.timeout)),
		mgr.AddReadyzCheck("caches", cachesSynced(mgr)),
	); err != nil {
		return nil, fmt.Errorf("add health checks: %w", err)
	}
	return mgr, nil
}

// orNone is an address as controller-runtime has it, for which "" means its default.
func orNone(address string) string {
	if address == "" {
		return "0"
	}
	return address
}

func controllerOptions(o options, log logging.Logger) (controller.Options, error) {
	recorder, state := managed.NewMRMetricRecorder(), statemetrics.NewMRStateMetrics()
	for _, c := range []prometheus.Collector{recorder, state} {
		if err := metrics.Registry.Register(c); err != nil {
			return controller.Options{}, fmt.Errorf("register metrics: %w", err)
		}
	}
	out := controller.Options{
		Options: xpcontroller.Options{
			Logger:                  log,
			MaxConcurrentReconciles: o.maxReconcileRate,
			PollInterval:            o.pollInterval,
			GlobalRateLimiter:       ratelimiter.NewGlobal(o.maxReconcileRate),
			Features:                o.features(),
			MetricOptions: &xpcontroller.MetricOptions{
				PollStateMetricInterval: time.Minute, MRMetrics: recorder, MRStateMetrics: state,
			},
		},
		PollJitter:      o.pollJitter,
		MinPollInterval: o.minPollInterval,
		Freshness:       o.freshness,
		Timeout:         o.timeout,
	}
	if o.changeLogs {
		conn, err := grpc.NewClient("unix://"+o.changeLogsSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return controller.Options{}, fmt.Errorf("reach the change logs sidecar: %w", err)
		}
		out.ChangeLogOptions = &xpcontroller.ChangeLogOptions{ChangeLogger: managed.NewGRPCChangeLogger(
			changelogs.NewChangeLogServiceClient(conn), managed.WithProviderVersion(name))}
	}
	return out, nil
}

func shared(mgr ctrl.Manager, o options) (*controller.Shared, error) {
	requests := newRequestMetric()
	registry := cloudflare.NewRegistry(cloudflare.Options{
		Freshness: o.freshness, MaxBatch: o.maxReconcileRate, Transport: &measured{next: cloudflare.NewTransport(), requests: requests},
	})
	for _, c := range []prometheus.Collector{requests, newBudgetMetric(registry.BudgetUsed)} {
		if err := metrics.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return &controller.Shared{
		Kube: mgr.GetClient(),
		Resolver: &settings.Resolver{Kube: mgr.GetClient(), Session: func(c cloudflare.Config) (cloudflare.API, error) {
			s, err := registry.Session(c)
			if err != nil {
				return nil, err
			}
			return s, nil
		}},
		Usage:    resource.NewProviderConfigUsageTracker(mgr.GetClient(), &v1alpha1.ProviderConfigUsage{}),
		Recorder: event.NewAPIRecorder(mgr.GetEventRecorderFor(name)), //nolint:staticcheck // Crossplane's recorder takes only this one.
		Now:      time.Now,
		Random:   rand.Reader,
	}, nil
}

// may says whether the provider may do all of that with a resource in all namespaces.
func may(ctx context.Context, mgr ctrl.Manager, group, resource string, verbs ...string) (bool, error) {
	for _, verb := range verbs {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: group, Resource: resource, Verb: verb},
		}}
		if err := mgr.GetClient().Create(ctx, review); err != nil {
			return false, fmt.Errorf("ask whether the provider may %s %s: %w", verb, resource, err)
		}
		if !review.Status.Allowed {
			return false, nil
		}
	}
	return true, nil
}
