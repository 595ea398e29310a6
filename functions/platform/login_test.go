package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
)

func offline(t *testing.T, change ...func(*v1alpha1.PlatformSpec)) *object.Desired {
	t.Helper()
	return compose(t, platform(change...), rendertest.Cluster{Offline: true})
}

// The API server's own code reads the file, strictly, and accepts it.
func TestTheAPIServerAcceptsItsConfiguration(t *testing.T) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	load := func(t *testing.T, d *object.Desired) *apiserver.AuthenticationConfiguration {
		t.Helper()
		file := get[corev1.ConfigMap](t, d, keyAuthentication).Data["authentication-configuration.yaml"]
		o, err := runtime.Decode(codecs.UniversalDecoder(), []byte(file))
		require.NoError(t, err)
		config, ok := o.(*apiserver.AuthenticationConfiguration)
		require.True(t, ok)
		require.NoError(t, validation.ValidateAuthenticationConfiguration(authenticationcel.NewDefaultCompiler(), config, nil).ToAggregate())
		return config
	}
	jwt := load(t, offline(t)).JWT
	require.Len(t, jwt, 1)
	require.Equal(t, apiserver.Issuer{URL: "https://dex.home.local", Audiences: []string{"kubernetes"}}, jwt[0].Issuer)
	require.Equal(t, "claims.email", jwt[0].ClaimMappings.Username.Expression)
	require.Equal(t, "claims.groups", jwt[0].ClaimMappings.Groups.Expression)

	t.Run("with an issuer of its own", func(t *testing.T) {
		d := offline(t, func(s *v1alpha1.PlatformSpec) { s.Auth.Issuer = "https://127.0.0.1:5554/dex" })
		require.Equal(t, "https://127.0.0.1:5554/dex", load(t, d).JWT[0].Issuer.URL)
	})
	t.Run("with the authority of a self-signed certificate", func(t *testing.T) {
		ca := authority(t)
		secret := `{apiVersion: v1, kind: Secret, metadata: {namespace: auth-system, name: dex-tls}, data: {ca.crt: ` + base64.StdEncoding.EncodeToString(ca) + `}}`
		home := map[string]string{keyNamespace: `{apiVersion: v1, kind: Namespace, metadata: {name: auth-system}}`}
		d := compose(t, platform(), rendertest.Cluster{Composed: home, Objects: []string{secret}})
		require.Equal(t, string(ca), load(t, d).JWT[0].Issuer.CertificateAuthority)
		require.Contains(t, get[corev1.ConfigMap](t, d, keyArgoCDSettings).Data["oidc.config"], "rootCA: |\n  -----BEGIN CERTIFICATE-----\n")

		acme := func(s *v1alpha1.PlatformSpec) {
			s.Certificates = v1alpha1.Certificates{Issuer: "acme", ACME: &v1alpha1.ACME{
				Email: "ops@acme-corp.com", Solvers: []v1alpha1.Solver{{HTTP01: &v1alpha1.HTTP01{IngressClassName: "nginx"}}},
			}}
		}
		d = compose(t, platform(acme), rendertest.Cluster{Composed: home, Objects: []string{secret}})
		require.Empty(t, load(t, d).JWT[0].Issuer.CertificateAuthority, "a public authority is trusted anyway")
	})
}

func authority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"dex.home.local"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestDexFindsItsSecretsInItsEnvironment(t *testing.T) {
	d := offline(t)
	file := get[corev1.ConfigMap](t, d, keyDexConfig).Data["config.yaml"]
	var config dexConfig
	decoder := yaml.NewDecoder(bytes.NewBufferString(file))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&config))

	environment := get[corev1.Secret](t, d, keyDexEnvironment).Data
	ids := map[string]bool{}
	for _, c := range config.StaticClients {
		require.Contains(t, environment, c.SecretEnv)
		require.False(t, ids[c.ID], "two clients are named %s", c.ID)
		ids[c.ID] = true
		for _, uri := range c.RedirectURIs {
			require.True(t, strings.HasPrefix(uri, "https://"), uri)
		}
	}
	require.Equal(t, map[string]bool{"argocd": true, "tekton-dashboard": true, "kubernetes": true}, ids)
	require.Contains(t, environment, strings.TrimPrefix(config.Connectors[0].Config.ClientSecret, "$"))
	require.Len(t, environment, 4)
}

func TestDexServesHTTPSWhenAsked(t *testing.T) {
	require.Equal(t, dexWeb{HTTP: "0.0.0.0:5556"}, dexConfiguration(platform().Spec.WithDefaults()).Web)
	tls := platform(func(s *v1alpha1.PlatformSpec) { s.Auth.DexTLS = true })
	require.Equal(t, dexWeb{HTTP: "0.0.0.0:5556", HTTPS: "0.0.0.0:5554", TLSCert: "/etc/dex/tls/tls.crt", TLSKey: "/etc/dex/tls/tls.key"},
		dexConfiguration(tls.Spec.WithDefaults()).Web)
}
