package runner

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// probeTimeout is below the second that a kubelet waits.
const probeTimeout = 800 * time.Millisecond

// probes answer a kubelet, which has no client certificate and so cannot ask the gRPC server itself. It connects to that
// server as Crossplane would, up to the point where the server asks who calls.
type probes struct {
	network, address string
	// certs is the directory that the server's certificate was read from, empty without TLS.
	certs string
	now   func() time.Time
}

// serve answers probes in the background.
func (p *probes) serve(address string) error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return fmt.Errorf("--health-address: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /readyz", probe(p.ready))
	mux.Handle("GET /healthz", probe(p.alive))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }() // It ends with the process; if it ends before, probes fail.
	return nil
}

func probe(check func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
		defer cancel()
		if err := check(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
}

// ready tells whether Crossplane can call the function: it answers, with a certificate that is valid now.
func (p *probes) ready(ctx context.Context) error {
	served, err := p.connect(ctx)
	if err != nil || len(served.PeerCertificates) == 0 {
		return err
	}
	leaf := served.PeerCertificates[0]
	if now := p.now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("the certificate is valid from %s to %s", leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// alive tells whether a restart would help: the server answers no more, or a renewed certificate waits, which is only read
// at the start.
func (p *probes) alive(ctx context.Context) error {
	served, err := p.connect(ctx)
	if err != nil || len(served.PeerCertificates) == 0 {
		return err
	}
	text, err := os.ReadFile(filepath.Join(p.certs, "tls.crt"))
	if err != nil {
		return nil //nolint:nilerr // A restart would not find it either.
	}
	if block, _ := pem.Decode(text); block != nil && !bytes.Equal(block.Bytes, served.PeerCertificates[0].Raw) {
		return errors.New("the certificate was renewed; a restart reads it")
	}
	return nil
}

// connect is what the server shows to whoever connects.
func (p *probes) connect(ctx context.Context) (tls.ConnectionState, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, p.network, p.address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close() }()
	if p.certs == "" {
		return tls.ConnectionState{}, nil
	}
	// Its names are those of a Service, and what it says is not used: the certificate is compared, not trusted.
	client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	err = client.HandshakeContext(ctx)
	return client.ConnectionState(), err
}
