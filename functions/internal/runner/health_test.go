package runner

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var today = time.Date(2026, 1, 16, 22, 15, 0, 0, time.UTC)

// certificate is one that is valid from that time for a day.
func certificate(t *testing.T, from time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// mount writes a certificate as a kubelet does.
func mount(t *testing.T, dir string, c tls.Certificate) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.crt"), text, 0o600))
}

// serveTLS asks each caller for a certificate, as a function does, and returns where.
func serveTLS(t *testing.T, c tls.Certificate) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c}, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// closed is an address at which nothing listens.
func closed(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func TestProbesTellWhetherTheFunctionCanBeCalled(t *testing.T) {
	valid, expired := certificate(t, today.Add(-time.Hour)), certificate(t, today.Add(-48*time.Hour))
	for name, c := range map[string]struct {
		serves, mounted *tls.Certificate
		insecure        bool
		ready, alive    string
	}{
		"one that serves":                            {serves: &valid, mounted: &valid},
		"one that does not serve":                    {mounted: &valid, ready: "connection refused", alive: "connection refused"},
		"one whose certificate has expired":          {serves: &expired, mounted: &expired, ready: "valid from 2026-01-14T22:15:00Z to 2026-01-15T22:15:00Z"},
		"one whose certificate was renewed":          {serves: &expired, mounted: &valid, ready: "valid from", alive: "renewed"},
		"one whose certificate cannot be read again": {serves: &valid},
		"one without TLS":                            {serves: &valid, insecure: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &probes{network: "tcp", certs: t.TempDir(), now: func() time.Time { return today }}
			if c.mounted != nil {
				mount(t, p.certs, *c.mounted)
			}
			if p.address = closed(t); c.serves != nil {
				p.address = serveTLS(t, *c.serves)
			}
			if c.insecure {
				p.certs = ""
			}
			requireError(t, c.ready, p.ready(t.Context()))
			requireError(t, c.alive, p.alive(t.Context()))
		})
	}
}

func requireError(t *testing.T, want string, err error) {
	t.Helper()
	if want == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, want)
}

func TestProbesAreAnsweredOverHTTP(t *testing.T) {
	valid := certificate(t, today.Add(-time.Hour))
	p := &probes{network: "tcp", address: serveTLS(t, valid), certs: t.TempDir(), now: func() time.Time { return today.Add(48 * time.Hour) }}
	mount(t, p.certs, valid)
	address := closed(t)
	require.NoError(t, p.serve(address))
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/else": http.StatusNotFound} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, res.StatusCode, path)
	}
	require.ErrorContains(t, p.serve(address), "--health-address")
}
