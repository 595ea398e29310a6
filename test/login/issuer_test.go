package login

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"aphex.io/platform/test/publichost"
)

// keyID names the key that signs tokens.
const keyID = "the-key-of-the-issuer"

// issuer plays Dex towards an API server: it serves the discovery document and the keys over TLS under Dex's own host name,
// which the API server reaches through a proxy.
type issuer struct {
	url string
	// ca is what its certificate is trusted by, PEM encoded.
	ca []byte
	// proxy is the URL of a proxy that connects everything to the issuer.
	proxy string
	key   *rsa.PrivateKey
}

func startIssuer(t *testing.T, issuerURL string) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	i := &issuer{url: issuerURL, key: key}
	at, err := url.Parse(issuerURL)
	require.NoError(t, err)

	i.proxy, i.ca = publichost.Serve(t, at.Hostname(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Host != at.Host:
			http.Error(w, "this is "+at.Host, http.StatusMisdirectedRequest)
		case r.URL.Path == at.Path+"/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{
				"issuer": i.url, "authorization_endpoint": i.url + "/auth", "token_endpoint": i.url + "/token", "jwks_uri": i.url + "/keys",
				"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
				"id_token_signing_alg_values_supported": []string{"RS256"},
			})
		case r.URL.Path == at.Path+"/keys":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
				Key: key.Public(), KeyID: keyID, Algorithm: string(jose.RS256), Use: "sig",
			}}})
		default:
			http.NotFound(w, r)
		}
	}))
	return i
}

// claims are what a token says.
type claims map[string]any

// claims are those that Dex gives to somebody in these groups who has logged in just now.
func (i *issuer) claims(groups ...string) claims {
	return claims{
		"iss": i.url, "sub": "CgVhbGljZRIEbW9jaw", "aud": "kubernetes",
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Add(-time.Minute).Unix(),
		"email": "alice@platform.local", "email_verified": true, "name": "Alice Developer", "groups": groups,
	}
}

// with is the same with other claims; nil takes one out.
func (c claims) with(changes claims) claims {
	out := claims{}
	for name, value := range c {
		out[name] = value
	}
	for name, value := range changes {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

// sign makes a token of claims, as Dex does.
func (i *issuer) sign(t *testing.T, c claims) string {
	t.Helper()
	return signed(t, jose.RS256, jose.JSONWebKey{Key: i.key, KeyID: keyID}, c)
}

func signed(t *testing.T, algorithm jose.SignatureAlgorithm, key any, c claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	require.NoError(t, err)
	token, err := jwt.Signed(signer).Claims(map[string]any(c)).Serialize()
	require.NoError(t, err)
	return token
}

// publicPEM is the public key as a text that anybody may have.
func (i *issuer) publicPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(i.key.Public())
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func (c claims) json(t *testing.T) []byte {
	t.Helper()
	data, err := json.Marshal(c)
	require.NoError(t, err, fmt.Sprint(c))
	return data
}
