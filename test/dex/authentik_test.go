package dex

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
)

// The two names of Authentik, of which browsers reach the first and pods both.
const (
	publicHost  = "authentik.home.local"
	serviceHost = "authentik.auth-system.svc.cluster.local:9000"
)

// authentik plays Authentik's OAuth2 provider for Dex. As there, every URL, and the issuer of a token, is at the host at which
// it was asked for.
type authentik struct {
	key    *rsa.PrivateKey
	secret string
	// offered are the scopes that the provider has mappings for.
	offered []string
	// certificate is that of the public host, in PEM.
	certificate []byte
	// proxy stands for the names that DNS has.
	proxy string

	mu sync.Mutex
	// grants are the codes and refresh tokens that were given out and not taken yet, with their scopes.
	grants map[string][]string
	// groups are those of the person who logs in.
	groups any
}

func startAuthentik(t *testing.T, secret string) *authentik {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	a := &authentik{key: key, secret: secret, grants: map[string][]string{}, groups: []string{"platform-engineering"}}

	public := httptest.NewUnstartedServer(a)
	pair, certificate := selfSigned(t)
	public.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	public.Config.ErrorLog = log.New(io.Discard, "", 0) // Clients that do not trust it are expected.
	public.StartTLS()
	t.Cleanup(public.Close)
	a.certificate = certificate

	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect && r.Host == publicHost+":443":
			connect(t, w, r, public.Listener.Addr().String())
		case r.URL.Host == serviceHost:
			a.ServeHTTP(w, r)
		default:
			http.Error(w, "nobody is at "+r.Host, http.StatusBadGateway)
		}
	}))
	t.Cleanup(proxy.Close)
	a.proxy = proxy.URL
	return a
}

// connect lets the client of a proxy speak to an address.
func connect(t *testing.T, w http.ResponseWriter, r *http.Request, address string) {
	t.Helper()
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
}

// selfSigned is as cert-manager's self-signed issuer makes it: it may sign no other.
func selfSigned(t *testing.T) (pair tls.Certificate, certificate []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{publicHost}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// browser is one whose user has accepted the certificate, and that follows no redirect to Dex.
func (a *authentik) browser(t *testing.T) *http.Client {
	t.Helper()
	trusted := x509.NewCertPool()
	require.True(t, trusted.AppendCertsFromPEM(a.certificate))
	proxy, err := url.Parse(a.proxy)
	require.NoError(t, err)
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

const (
	providerPath = "/application/o/platform-services/"
	accessToken  = "an-access-token"
)

func (a *authentik) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base := "http://" + r.Host
	if r.TLS != nil {
		base = "https://" + r.Host
	}
	switch r.URL.Path {
	case providerPath + ".well-known/openid-configuration":
		answer(w, map[string]any{
			"issuer": base + providerPath, "authorization_endpoint": base + "/application/o/authorize/",
			"token_endpoint": base + "/application/o/token/", "userinfo_endpoint": base + "/application/o/userinfo/",
			"jwks_uri": base + providerPath + "jwks/", "response_types_supported": []string{"code"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case providerPath + "jwks/":
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: a.key.Public(), KeyID: "key", Algorithm: "RS256", Use: "sig"}}})
	case "/application/o/authorize/":
		a.authorize(w, r)
	case "/application/o/token/":
		a.token(w, r, base+providerPath)
	case "/application/o/userinfo/":
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			http.Error(w, "who asks?", http.StatusUnauthorized)
			return
		}
		answer(w, a.claims())
	default:
		http.NotFound(w, r)
	}
}

// authorize sends somebody who has logged in back to Dex.
func (a *authentik) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("client_id") != "dex-client" || query.Get("redirect_uri") != "https://dex.home.local/callback" || query.Get("response_type") != "code" {
		http.Error(w, "not as the provider has it", http.StatusBadRequest)
		return
	}
	code := a.grant(strings.Fields(query.Get("scope")))
	back := url.Values{"code": {code}, "state": {query.Get("state")}}
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

// grant gives out a code or a refresh token for those of the scopes that the provider has.
func (a *authentik) grant(scopes []string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	grant := rand.Text()
	a.grants[grant] = slices.DeleteFunc(scopes, func(scope string) bool { return !slices.Contains(a.offered, scope) })
	return grant
}

// take takes a grant back, which is good once.
func (a *authentik) take(grant string) (scopes []string, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	scopes, known = a.grants[grant]
	delete(a.grants, grant)
	return scopes, known
}

// deactivate is what befalls somebody whose account is deactivated: no grant is good any more.
func (a *authentik) deactivate() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.grants)
}

// token exchanges a code, or a refresh token for the scope offline_access. Only that scope gets one, and each use another.
func (a *authentik) token(w http.ResponseWriter, r *http.Request, issuer string) {
	id, secret, given := r.BasicAuth()
	if !given {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	scopes, known := a.take(r.PostFormValue(map[string]string{"authorization_code": "code", "refresh_token": "refresh_token"}[r.PostFormValue("grant_type")]))
	if id != "dex-client" || secret != a.secret || !known {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: a.key, KeyID: "key"}}, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	content := a.claims()
	content["iss"], content["aud"] = issuer, "dex-client"
	content["iat"], content["exp"] = time.Now().Unix(), time.Now().Add(time.Minute).Unix()
	signed, err := jwt.Signed(signer).Claims(content).Serialize()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body := map[string]any{"access_token": accessToken, "token_type": "Bearer", "expires_in": 300, "id_token": signed}
	if slices.Contains(scopes, "offline_access") {
		body["refresh_token"] = a.grant(scopes)
	}
	answer(w, body)
}

// isIn puts the person who logs in into these groups alone.
func (a *authentik) isIn(groups any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.groups = groups
}

// claims are what the scope mappings say of somebody.
func (a *authentik) claims() map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return map[string]any{
		"sub": "alice-at-authentik", "name": "Alice Developer", "email": "alice@platform.local", "email_verified": true, "groups": a.groups,
	}
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // A client that is gone needs no answer.
}
