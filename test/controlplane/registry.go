package controlplane

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// ServeRegistry serves an empty OCI registry on loopback until the context ends,
// and returns its host and port. Crossplane and the tools for images talk plain
// HTTP to it, as they do to every registry at a loopback address.
func ServeRegistry(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{
		Handler:           registry.New(registry.Logger(log.New(io.Discard, "", 0))),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Printf("registry: %v", err)
		}
	}()
	context.AfterFunc(ctx, func() { _ = server.Close() }) // Nothing is kept.
	return listener.Addr().String(), nil
}
