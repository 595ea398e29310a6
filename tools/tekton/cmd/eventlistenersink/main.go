// Command eventlistenersink runs Tekton Triggers' own sink, which takes the
// deliveries of one EventListener, on one address.
//
// Upstream's command listens on every address, which is right in a pod and wrong
// on a developer's machine. The sink, its flags, its timeouts and what it reads
// from the API server are upstream's, unchanged. Left out is what nobody reads
// here: exported metrics, cloud events, and events about the EventListener.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tektoncd/triggers/pkg/client/injection/client"
	"github.com/tektoncd/triggers/pkg/client/injection/informers/triggers/v1alpha1/clusterinterceptor"
	"github.com/tektoncd/triggers/pkg/client/injection/informers/triggers/v1alpha1/interceptor"
	"github.com/tektoncd/triggers/pkg/client/injection/informers/triggers/v1beta1/clustertriggerbinding"
	"github.com/tektoncd/triggers/pkg/client/injection/informers/triggers/v1beta1/eventlistener"
	"github.com/tektoncd/triggers/pkg/client/injection/informers/triggers/v1beta1/trigger"
	"github.com/tektoncd/triggers/pkg/client/injection/informers/triggers/v1beta1/triggerbinding"
	"github.com/tektoncd/triggers/pkg/client/injection/informers/triggers/v1beta1/triggertemplate"
	"github.com/tektoncd/triggers/pkg/sink"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/signals"
)

func main() {
	host := flag.String("host", "127.0.0.1", "the address to listen on")
	level := flag.String("log-level", "info", "at debug, the sink says why it passed over a delivery")
	cfg := injection.ParseAndGetRESTConfigOrDie()
	args, err := sink.GetArgs()
	if err != nil {
		log.Fatal(err)
	}
	logger, _ := logging.NewLogger("", *level)
	ctx := logging.WithLogger(injection.WithConfig(signals.NewContext(), cfg), logger)
	if !args.IsMultiNS {
		ctx = injection.WithNamespaceScope(ctx, args.ElNamespace)
	}
	ctx, informers := injection.Default.SetupInformers(ctx, cfg)
	if err := controller.StartInformers(ctx.Done(), informers...); err != nil {
		log.Fatal(err)
	}
	if err := serve(ctx, dynamic.NewForConfigOrDie(cfg), args, net.JoinHostPort(*host, args.Port)); err != nil {
		log.Fatal(err)
	}
}

// serve does what upstream's adapter does, but for the address.
func serve(ctx context.Context, objects dynamic.Interface, args sink.Args, address string) error {
	interceptors, err := interceptorClient(ctx, args)
	if err != nil {
		return err
	}
	recorder, err := sink.NewRecorder()
	if err != nil {
		return err
	}
	s := sink.Sink{
		KubeClientSet:          kubeclient.Get(ctx),
		TriggersClient:         client.Get(ctx),
		DiscoveryClient:        kubeclient.Get(ctx).Discovery(),
		DynamicClient:          objects,
		HTTPClient:             interceptors,
		EventListenerName:      args.ElName,
		EventListenerNamespace: args.ElNamespace,
		Logger:                 logging.FromContext(ctx),
		Recorder:               recorder,
		Auth:                   sink.DefaultAuthOverride{},
		PayloadValidation:      args.PayloadValidation,
		WGProcessTriggers:      &sync.WaitGroup{},

		EventListenerLister:         eventlistener.Get(ctx).Lister(),
		TriggerLister:               trigger.Get(ctx).Lister(),
		TriggerBindingLister:        triggerbinding.Get(ctx).Lister(),
		ClusterTriggerBindingLister: clustertriggerbinding.Get(ctx).Lister(),
		TriggerTemplateLister:       triggertemplate.Get(ctx).Lister(),
		ClusterInterceptorLister:    clusterinterceptor.Get(ctx).Lister(),
		InterceptorLister:           interceptor.Get(ctx).Lister(),
	}
	events := &sink.MetricsHandler{Handler: s.IsValidPayload(http.HandlerFunc(s.HandleEvent))}
	mux := http.NewServeMux()
	mux.HandleFunc("/", events.Intercept(s.NewMetricsRecorderInterceptor()))
	mux.HandleFunc("/live", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "ok") })

	server := &http.Server{
		Addr:              address,
		ReadHeaderTimeout: seconds(args.ELReadTimeOut),
		ReadTimeout:       seconds(args.ELReadTimeOut),
		WriteTimeout:      seconds(args.ELWriteTimeOut),
		IdleTimeout:       seconds(args.ELIdleTimeOut),
		Handler:           http.TimeoutHandler(mux, seconds(args.ELTimeOutHandler), "EventListener Timeout!\n"),
	}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// seconds turns what upstream keeps as a bare number into a duration.
func seconds(n time.Duration) time.Duration { return n * time.Second }

// interceptorClient trusts whom the ClusterInterceptors name. Like upstream's it
// waits until each has a CA, and sets the same timeouts.
func interceptorClient(ctx context.Context, args sink.Args) (*http.Client, error) {
	trusted := x509.NewCertPool()
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		all, err := clusterinterceptor.Get(ctx).Lister().List(labels.SelectorFromSet(labels.Set{"server/type": "https"}))
		for _, i := range all {
			if !trusted.AppendCertsFromPEM(i.Spec.ClientConfig.CaBundle) {
				return false, nil
			}
		}
		return len(all) > 0, err
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for ClusterInterceptors with a caBundle: %w", err)
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		DialContext: (&net.Dialer{
			Timeout:   seconds(args.ElHTTPClientReadTimeOut),
			KeepAlive: seconds(args.ElHTTPClientKeepAlive),
		}).DialContext,
		TLSHandshakeTimeout:   seconds(args.ElHTTPClientTLSHandshakeTimeout),
		ResponseHeaderTimeout: seconds(args.ElHTTPClientResponseHeaderTimeout),
		ExpectContinueTimeout: seconds(args.ElHTTPClientExpectContinueTimeout),
	}}, nil
}
