// Command tekton-triggers-interceptors serves Tekton Triggers' own core
// interceptors, which check signatures and filter events, on one address.
//
// Upstream's command listens on the fixed port 8443 of every address, so that
// two control planes would fight for it. The interceptors, where they find their
// certificate and how they read secrets are upstream's, unchanged.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"time"

	triggersclientset "github.com/tektoncd/triggers/pkg/client/clientset/versioned"
	"github.com/tektoncd/triggers/pkg/interceptors"
	"github.com/tektoncd/triggers/pkg/interceptors/server"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/signals"
)

// Upstream's limits of a request.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 20 * time.Second
	idleTimeout  = 60 * time.Second
)

func main() {
	address := flag.String("address", "127.0.0.1:8443", "host:port to listen on")
	cfg := injection.ParseAndGetRESTConfigOrDie()
	logger, err := zap.NewProduction()
	if err == nil {
		err = run(cfg, logger.Sugar(), *address)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(cfg *rest.Config, logger *zap.SugaredLogger, address string) error {
	ctx, startInformers := injection.EnableInjectionOrDie(logging.WithLogger(signals.NewContext(), logger), cfg)
	core := kubeclient.Get(ctx).CoreV1()
	service, err := server.NewWithCoreInterceptors(interceptors.DefaultSecretGetter(core), logger)
	if err != nil {
		return err
	}
	triggers, err := triggersclientset.NewForConfig(cfg)
	if err != nil {
		return err
	}
	startInformers()
	server.CreateAndValidateCerts(ctx, core, logger, service, triggers.TriggersV1alpha1())
	stop := server.UpdateCACertToClusterInterceptorCRD(ctx, service, triggers.TriggersV1alpha1(), logger, time.Minute)
	defer stop()

	mux := http.NewServeMux()
	mux.Handle("/", service)
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	https := &http.Server{
		Addr:              address,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		Handler:           mux,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return server.GetTLSData(ctx, logger)
			},
		},
	}
	go func() {
		<-ctx.Done()
		_ = https.Close()
	}()
	if err := https.ListenAndServeTLS("", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
