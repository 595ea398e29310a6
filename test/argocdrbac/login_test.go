package argocdrbac

import (
	"crypto/x509"
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
}

// logins are those of all golden cases in which the platform makes both ConfigMap and Secret.
func logins(t *testing.T) map[string]*composedLogin {
	t.Helper()
	found := map[string]*composedLogin{}
	for path, docs := range goldenFiles(t, "settled.yaml") {
		login := &composedLogin{config: find[corev1.ConfigMap](t, docs, "ConfigMap", "argocd-cm"), secret: find[corev1.Secret](t, docs, "Secret", "argocd-oidc")}
		if login.config == nil || login.secret == nil {
			continue
		}
		require.NoError(t, yaml.Unmarshal([]byte(find[corev1.ConfigMap](t, docs, "ConfigMap", "dex-config").Data["config.yaml"]), &login.dex))
		login.environment = find[corev1.Secret](t, docs, "Secret", "dex-environment").Data
		found[filepath.Base(filepath.Dir(path))] = login
	}
	require.NotEmpty(t, found, "no golden case has both")
	return found
}

// read is what Argo CD's own code makes of the ConfigMap and the Secret.
func (l *composedLogin) read(t *testing.T) *settings.ArgoCDSettings {
	t.Helper()
	own := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.config.Namespace, Name: "argocd-secret", Labels: map[string]string{"app.kubernetes.io/part-of": "argocd"}},
		Data:       map[string][]byte{"server.secretkey": []byte("of its own")},
	}
	read, err := settings.NewSettingsManager(t.Context(), fake.NewClientset(own, l.config, l.secret), l.config.Namespace).GetSettings()
	require.NoError(t, err)
	return read
}

func TestArgoCDReadsItsLogin(t *testing.T) {
	for name, login := range logins(t) {
		t.Run(name, func(t *testing.T) {
			read := login.read(t)
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
			require.Equal(t, client.RedirectURIs, []string{redirect}, "where Dex may send people back to")
		})
	}
}

// A public certificate is trusted as any other; one of its own by what the ConfigMap says alone.
func TestArgoCDTrustsDex(t *testing.T) {
	for name, selfSigned := range map[string]bool{
		"a-fresh-claim-makes-its-namespace-and-the-first-wave": true,
		"certificates-from-an-acme-server":                     false,
	} {
		t.Run(name, func(t *testing.T) {
			trusted := logins(t)[name].read(t)
			if !selfSigned {
				require.Empty(t, trusted.OIDCConfig().RootCA)
				require.Nil(t, trusted.OIDCTLSConfig().RootCAs)
				return
			}
			own := x509.NewCertPool()
			require.True(t, own.AppendCertsFromPEM([]byte(trusted.OIDCConfig().RootCA)))
			require.True(t, own.Equal(trusted.OIDCTLSConfig().RootCAs))
			require.False(t, trusted.OIDCTLSConfig().InsecureSkipVerify)
		})
	}
}

// So the platform does not take such a Secret or ConfigMap of somebody else for one that serves.
func TestArgoCDReadsNothingWithoutTheLabel(t *testing.T) {
	for name, login := range logins(t) {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "argocd", login.secret.Labels["app.kubernetes.io/part-of"])
			login.secret.Labels = nil
			require.Equal(t, "$argocd-oidc:clientSecret", login.read(t).OAuth2ClientSecret())
		})
	}
	for name, login := range logins(t) {
		t.Run(name+": nor the ConfigMap", func(t *testing.T) {
			client := fake.NewClientset(login.secret)
			login.config.Labels = nil
			require.NoError(t, client.Tracker().Add(login.config))
			_, err := settings.NewSettingsManager(t.Context(), client, login.config.Namespace).GetSettings()
			require.ErrorContains(t, err, `"argocd-cm" not found`)
		})
	}
}
