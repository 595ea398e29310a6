// Command tekton-triggers-controller runs Tekton Triggers' own reconcilers, and
// nothing that listens on a port.
//
// Upstream's command serves metrics, profiling data and, on the fixed port
// 8080, health probes to every address. That is right in a pod and wrong on a
// developer's machine, where two control planes must not fight for a port and
// nothing may be reachable from outside. The reconcilers and their
// configuration are upstream's, unchanged.
package main

import (
	"flag"
	"log"
	"os"

	"github.com/tektoncd/triggers/pkg/reconciler/clusterinterceptor"
	"github.com/tektoncd/triggers/pkg/reconciler/eventlistener"
	elresources "github.com/tektoncd/triggers/pkg/reconciler/eventlistener/resources"
	"github.com/tektoncd/triggers/pkg/reconciler/interceptor"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	filteredinformerfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/injection/sharedmain"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/signals"
)

func main() {
	image := flag.String("el-image", elresources.DefaultImage, "image of the listener's pods")
	port := flag.Int("el-port", elresources.DefaultPort, "port that a listener's pod listens on")
	cfg := injection.ParseAndGetRESTConfigOrDie()

	// With the client's default of a few requests a second, two hundred
	// listeners would take minutes.
	cfg.QPS, cfg.Burst = 100, 200

	if err := run(cfg, image, port); err != nil {
		log.Fatal(err)
	}
}

func run(cfg *rest.Config, image *string, port *int) error {
	ctx := injection.WithNamespaceScope(signals.NewContext(), corev1.NamespaceAll)
	ctx = filteredinformerfactory.WithSelectors(ctx, labels.FormatLabels(elresources.DefaultStaticResourceLabels))

	ctx, startInformers := injection.EnableInjectionOrDie(ctx, cfg)
	logger, _ := sharedmain.SetupLoggerOrDie(ctx, "controller")
	ctx = logging.WithLogger(ctx, logger)
	sharedmain.CheckK8sClientMinimumVersionOrDie(ctx, logger)
	config := sharedmain.SetupConfigMapWatchOrDie(ctx, logger)

	// No leader election is set up in ctx: one process leads unopposed.
	controllers, _ := sharedmain.ControllersAndWebhooksFromCtors(ctx, config,
		eventlistener.NewController(listeners(image, port)),
		clusterinterceptor.NewController(),
		interceptor.NewController(),
	)
	if err := config.Start(ctx.Done()); err != nil {
		return err
	}
	startInformers()
	return controller.StartAll(ctx, controllers...)
}

// listeners holds what upstream's manifest passes as flags: a hardened pod and
// upstream's default timeouts.
func listeners(image *string, port *int) elresources.Config {
	return elresources.Config{
		Image:                           image,
		Port:                            port,
		SetSecurityContext:              new(true),
		SetReadOnlyRootFilesystem:       new(true),
		SetEventListenerEvent:           new(elresources.DefaultEventListenerEvent),
		ReadTimeOut:                     new(elresources.DefaultReadTimeout),
		WriteTimeOut:                    new(elresources.DefaultWriteTimeout),
		IdleTimeOut:                     new(elresources.DefaultIdleTimeout),
		TimeOutHandler:                  new(elresources.DefaultTimeOutHandler),
		HTTPClientReadTimeOut:           new(elresources.DefaultHTTPClientReadTimeOut),
		HTTPClientKeepAlive:             new(elresources.DefaultHTTPClientKeepAlive),
		HTTPClientTLSHandshakeTimeout:   new(elresources.DefaultHTTPClientTLSHandshakeTimeout),
		HTTPClientResponseHeaderTimeout: new(elresources.DefaultHTTPClientResponseHeaderTimeout),
		HTTPClientExpectContinueTimeout: new(elresources.DefaultHTTPClientExpectContinueTimeout),
		PeriodSeconds:                   new(elresources.DefaultPeriodSeconds),
		FailureThreshold:                new(elresources.DefaultFailureThreshold),
		StaticResourceLabels:            elresources.DefaultStaticResourceLabels,
		SystemNamespace:                 os.Getenv("SYSTEM_NAMESPACE"),
	}
}
