package configsync

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"aphex.io/platform/functions/platform/configsync/authentiktest"
)

// arguments are what the program is started with in this world.
func (w *world) arguments(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["it"] = &clientcmdapi.Cluster{Server: w.url, CertificateAuthorityData: w.ca}
	config.AuthInfos["it"] = &clientcmdapi.AuthInfo{Token: w.access().BearerToken}
	config.Contexts["it"] = &clientcmdapi.Context{Cluster: "it", AuthInfo: "it"}
	config.CurrentContext = "it"
	kubeconfig := filepath.Join(dir, "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, kubeconfig))
	to := w.target
	return []string{
		"--authentik-url=" + to.Authentik, "--authentik-token-file=" + file("token", to.Token+"\n"), "--authentik-issuer=" + to.AuthentikIssuer,
		"--provider-name=" + to.Provider.Name, "--client-id=" + to.Provider.ClientID, "--redirect-uri=" + to.Provider.RedirectURI,
		"--client-secret-file=" + file("secret", to.Provider.ClientSecret), "--dex-url=" + to.Dex, "--dex-issuer=" + to.DexIssuer,
		"--dex-namespace=" + to.Namespace, "--dex-deployment=" + to.Deployment, "--kubeconfig=" + kubeconfig, "--timeout=1m",
	}
}

func TestTheProgramEndsWithTheOutcomeAndKeepsItsSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(*world)
		more    []string
		want    Outcome
		log     string
	}{
		"all is well":                    {nil, nil, Synced, "done: Authentik and Dex are connected\n"},
		"a token that is refused":        {func(w *world) { w.target.Token = "refused-token" }, []string{"--timeout=2s"}, TokenRefused, "failed: Authentik refuses the API token; not done: Authentik has an OAuth2 provider for Dex: not within 2s"},
		"a secret that is empty":         {func(w *world) { w.target.Provider.ClientSecret = "\n" }, nil, CannotStart, "--client-secret-file: "},
		"a token that is not there":      {nil, []string{"--authentik-token-file=/nowhere"}, CannotStart, "--authentik-token-file: open /nowhere"},
		"no name":                        {nil, []string{"--provider-name="}, CannotStart, "--provider-name is required: the name of Authentik's OAuth2 provider for Dex"},
		"a URL without a host":           {nil, []string{"--dex-url=dex.home.local"}, CannotStart, "--dex-url: it is not a URL with http:// or https:// and a host"},
		"a URL with a password":          {nil, []string{"--authentik-url=http://me:hunter2@authentik"}, CannotStart, "--authentik-url: it may not hold a user"},
		"an argument that is unknown":    {nil, []string{"--else"}, CannotStart, "flag provided but not defined: -else"},
		"no access outside of a cluster": {nil, []string{"--kubeconfig="}, CannotStart, "no access to the cluster: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "") // The test may run in a pod.
			w := newWorld(t)
			w.addDex()
			if c.arrange != nil {
				c.arrange(w)
			}
			log := &bytes.Buffer{}
			require.Equal(t, int(c.want), Main(slices.Concat(w.arguments(t), c.more), log), log)
			require.Contains(t, log.String(), c.log)
			for _, hidden := range []string{apiToken, "refused-token", secret, "hunter2"} {
				require.NotContains(t, log.String(), hidden)
			}
		})
	}
}

// selfSigned is a certificate as cert-manager's self-signed issuer makes it, and the same in PEM: it may sign no other.
func selfSigned(t *testing.T) (pair tls.Certificate, certificate []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestAuthentikIsTrustedByTheGivenFileAlone(t *testing.T) {
	t.Parallel()
	pair, certificate := selfSigned(t)
	server, stop := authentiktest.StartTLS(apiToken, pair)
	t.Cleanup(stop)
	w := worldWith(t, server)
	w.addDex()
	another := startCluster(t, 0).ca
	file := func(content []byte) string {
		path := filepath.Join(t.TempDir(), "ca.crt")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	for name, c := range map[string]struct {
		more []string
		want Outcome
		log  string
	}{
		"its own certificate":      {[]string{"--authentik-ca-file=" + file(certificate)}, Synced, "done: "},
		"it is among others":       {[]string{"--authentik-ca-file=" + file(slices.Concat(another, certificate))}, Synced, "done: "},
		"another's":                {[]string{"--authentik-ca-file=" + file(another), "--timeout=2s"}, NoAuthentik, "x509: "},
		"none":                     {[]string{"--timeout=2s"}, NoAuthentik, "x509: certificate signed by unknown authority"},
		"a file that is not there": {[]string{"--authentik-ca-file=/nowhere/ca.crt"}, CannotStart, "--authentik-ca-file: open /nowhere/ca.crt: no such file"},
		"a file that is empty":     {[]string{"--authentik-ca-file=" + file(nil)}, CannotStart, "ca.crt: it is empty"},
		"a file of something else": {[]string{"--authentik-ca-file=" + file([]byte(secret))}, CannotStart, "ca.crt: it is not, or not only, certificates in PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			log := &bytes.Buffer{}
			require.Equal(t, int(c.want), Main(slices.Concat(w.arguments(t), c.more), log), log)
			require.Contains(t, log.String(), c.log)
			require.NotContains(t, log.String(), secret)
		})
	}
}

func TestAllThatIsMissingIsToldAtOnce(t *testing.T) {
	log := &bytes.Buffer{}
	require.Equal(t, int(CannotStart), Main(nil, log))
	for _, name := range []string{
		"authentik-url", "authentik-token-file", "authentik-issuer", "provider-name", "client-id", "redirect-uri", "client-secret-file",
		"dex-url", "dex-issuer", "dex-namespace", "dex-deployment",
	} {
		require.Contains(t, log.String(), "--"+name+" is required: ")
	}
}
