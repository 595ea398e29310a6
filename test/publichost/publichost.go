// Package publichost plays hosts of the internet on loopback, for programs that take a proxy.
package publichost

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
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Serve serves a host over HTTPS until the test ends. A program reaches it by the proxy, a URL, which connects everything
// to it, and trusts it by ca, its self-signed certificate in PEM.
func Serve(t *testing.T, host string, handler http.Handler) (proxy string, ca []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	certificate, ca := SelfSigned(t, host)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return startProxy(t, server.Listener.Addr().String()), ca
}

// startProxy starts a proxy that connects everything to one address.
func startProxy(t *testing.T, address string) string {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		origin, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		client, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, err = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		}
		if err != nil {
			t.Error(err)
			return
		}
		go func() { _, _ = io.Copy(origin, client); _ = origin.Close() }() // Either end may hang up.
		_, _ = io.Copy(client, origin)
		_ = client.Close()
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// SelfSigned is a certificate of a host as cert-manager's self-signed issuer makes one: it is its own authority, and may
// sign no other.
func SelfSigned(t *testing.T, host string) (certificate tls.Certificate, ca []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
