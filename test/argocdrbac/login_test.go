package argocdrbac

import (
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"testing"

	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

// composedLogin is what a golden case tells Argo CD of Dex, and Dex of Argo CD.
type composedLogin struct {
	config *corev1.ConfigMap
	secret *corev1.Secret
	dex    struct {
		Issuer        string
		StaticClients []struct {
			ID           string
			SecretEnv    string
			RedirectURIs []string
		}
	}
	environment map[string][]byte
	// authentication is the API server's file, which has the certificate of Dex if that is its own.
	authentication struct {
		JWT []struct {
			Issuer struct{ CertificateAuthority string }
		}
	}
}

// logins are those of all golden cases in which the platform makes both ConfigMap and Secret.
func logins(t *testing.T) map[string]*composedLogin {
	t.Helper()
	found := map[string]*composedLogin{}
	for path, docs := range goldenFiles(t, golden+"/settled.yaml") {
		login := &composedLogin{config: find[corev1.ConfigMap](t, docs, "ConfigMap", "argocd-cm"), secret: find[corev1.Secret](t, docs, "Secret", "argocd-oidc")}
		if login.config == nil || login.secret == nil {
			continue
		}
		unmarshal(t, docs, "dex-config", "config.yaml", &login.dex)
		unmarshal(t, docs, "kube-apiserver-authentication", "authentication-configuration.yaml", &login.authentication)
		login.environment = find[corev1.Secret](t, docs, "Secret", "dex-environment").Data
		found[filepath.Base(filepath.Dir(path))] = login
	}
	require.NotEmpty(t, found, "no golden case has both")
	return found
}

// unmarshal reads a file in a ConfigMap.
func unmarshal(t *testing.T, docs []string, name, file string, into any) {
	t.Helper()
	cm := find[corev1.ConfigMap](t, docs, "ConfigMap", name)
	require.NotNil(t, cm, name)
	require.NoError(t, yaml.Unmarshal([]byte(cm.Data[file]), into), name)
}

// read is what Argo CD's own code makes of the ConfigMap and the Secret.
func (l *composedLogin) read(t *testing.T) (*settings.ArgoCDSettings, error) {
	t.Helper()
	own := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.config.Namespace, Name: "argocd-secret", Labels: map[string]string{"app.kubernetes.io/part-of": "argocd"}},
		Data:       map[string][]byte{"server.secretkey": []byte("of its own")},
	}
	return settings.NewSettingsManager(t.Context(), fake.NewClientset(own, l.config, l.secret), l.config.Namespace).GetSettings()
}

func TestArgoCDReadsItsLogin(t *testing.T) {
	for name, login := range logins(t) {
		t.Run(name, func(t *testing.T) {
			read, err := login.read(t)
			require.NoError(t, err)
			require.True(t, read.IsSSOConfigured())
			require.Equal(t, login.dex.Issuer, read.IssuerURL())
			require.Equal(t, "argocd", read.OAuth2ClientID())
			require.Equal(t, []string{"openid", "profile", "email", "groups"}, read.OIDCConfig().RequestedScopes)

			client := login.dex.StaticClients[0]
			require.Equal(t, "argocd", client.ID)
			require.NotEmpty(t, login.environment[client.SecretEnv])
			require.Equal(t, string(login.environment[client.SecretEnv]), read.OAuth2ClientSecret(), "what Dex expects")
			redirect, err := read.RedirectURL()
			require.NoError(t, err)
			require.Equal(t, []string{redirect}, client.RedirectURIs, "where Dex may send people back to")
		})
	}
}

// One of its own is trusted by what the ConfigMap says alone, a public one as any other.
func TestArgoCDTrustsTheCertificateOfDex(t *testing.T) {
	all := logins(t)
	for name, selfSigned := range map[string]bool{
		"a-fresh-claim-makes-its-namespace-and-the-first-wave": true,
		"certificates-from-an-acme-server":                     false,
	} {
		t.Run(name, func(t *testing.T) {
			login, ok := all[name]
			require.True(t, ok, "there is no such golden case")
			read, err := login.read(t)
			require.NoError(t, err)
			client := read.OIDCTLSConfig()
			require.False(t, client.InsecureSkipVerify)
			if !selfSigned {
				require.Nil(t, client.RootCAs)
				return
			}
			block, rest := pem.Decode([]byte(login.authentication.JWT[0].Issuer.CertificateAuthority))
			require.NotNil(t, block)
			require.Empty(t, rest)
			certificate, err := x509.ParseCertificate(block.Bytes)
			require.NoError(t, err)
			_, err = certificate.Verify(x509.VerifyOptions{Roots: client.RootCAs, CurrentTime: certificate.NotBefore})
			require.NoError(t, err)
		})
	}
}

// So the platform does not take such a Secret or ConfigMap of somebody else for one that serves.
func TestArgoCDReadsNothingWithoutItsLabel(t *testing.T) {
	const label = "app.kubernetes.io/part-of"
	for name, login := range logins(t) {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "argocd", login.secret.Labels[label])
			delete(login.secret.Labels, label)
			read, err := login.read(t)
			require.NoError(t, err)
			require.Equal(t, "$argocd-oidc:clientSecret", read.OAuth2ClientSecret())

			require.Equal(t, "argocd", login.config.Labels[label])
			delete(login.config.Labels, label)
			_, err = login.read(t)
			require.ErrorContains(t, err, `"argocd-cm" not found`)
		})
	}
}
