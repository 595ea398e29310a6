package main

import (
	"bytes"
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
	"aphex.io/platform/functions/internal/settings"
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
		d := compose(t, platform(), running(t, nil))
		require.Equal(t, rendertest.SelfSigned, load(t, d).JWT[0].Issuer.CertificateAuthority)
		require.Contains(t, get[corev1.ConfigMap](t, d, keyArgoCDSettings).Data["oidc.config"], "rootCA: |\n  -----BEGIN CERTIFICATE-----\n")
	})
	for name, change := range map[string]func(*v1alpha1.PlatformSpec){
		"without one where a public authority signs": func(s *v1alpha1.PlatformSpec) {
			s.Certificates = v1alpha1.Certificates{Issuer: "acme", ACME: &v1alpha1.ACME{
				Email: "ops@acme-corp.com", Solvers: []v1alpha1.Solver{{HTTP01: &v1alpha1.HTTP01{IngressClassName: "nginx"}}},
			}}
		},
		"without one where the issuer is another host": func(s *v1alpha1.PlatformSpec) { s.Auth.Issuer = "https://login.acme-corp.com/dex" },
	} {
		t.Run(name, func(t *testing.T) {
			d := compose(t, platform(change), running(t, nil))
			require.Empty(t, load(t, d).JWT[0].Issuer.CertificateAuthority)
			require.NotContains(t, get[corev1.ConfigMap](t, d, keyArgoCDSettings).Data["oidc.config"], "rootCA")
		})
	}
}

func TestLoginIsReadyOnceTheAPIServerCanTrustDex(t *testing.T) {
	const file = "waiting for ConfigMap auth-system/kube-apiserver-authentication ("
	only := func(s *v1alpha1.PlatformSpec) { s.Auth.Issuer = "https://login.acme-corp.com/dex" }
	private := "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
	cases := map[string]struct {
		change  []func(*v1alpha1.PlatformSpec)
		objects []string
		// stale is whether the file is the one from before there was a certificate.
		stale   bool
		message string
	}{
		"it has the certificate": {objects: []string{tlsSecret("dex-tls", rendertest.SelfSigned)}},
		"cert-manager has not made it": {
			message: file + "it lacks whom Dex is trusted by: Secret auth-system/dex-tls has no ca.crt yet)",
		},
		"it has the certificate in this run": {
			objects: []string{tlsSecret("dex-tls", rendertest.SelfSigned)}, stale: true, message: file + "it is being updated)",
		},
		"what is there is some text": {
			objects: []string{tlsSecret("dex-tls", "an authority")},
			message: file + "it lacks whom Dex is trusted by: Secret auth-system/dex-tls, ca.crt: it is not, or not only, certificates in PEM)",
		},
		"what is there is a private key": {
			objects: []string{tlsSecret("dex-tls", rendertest.SelfSigned+private)},
			message: file + "it lacks whom Dex is trusted by: Secret auth-system/dex-tls, ca.crt: it holds something else than certificates)",
		},
		"no certificate of the platform's is at the issuer": {change: []func(*v1alpha1.PlatformSpec){only}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			xr, before := platform(c.change...), rendertest.Cluster{Offline: true}
			d := compose(t, xr, before)
			for range 2 {
				before = applied(t, d, nil)
				before.Objects = c.objects
				if c.stale {
					before.Objects = nil
				}
				d = compose(t, xr, before)
			}
			before.Objects = c.objects
			d = compose(t, xr, before)
			for _, o := range d.Resources() {
				require.NotContains(t, o.Object.String(), "PRIVATE KEY")
			}
			got := condition(t, d, "LoginReady")
			require.Equal(t, c.message, got.Message)
			require.Equal(t, c.message == "", got.Status == object.True)
		})
	}
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

// Authentik names the host at which it was asked, and a browser reaches none of the cluster's.
func TestPeopleAreSentToAHostThatTheyReach(t *testing.T) {
	public := &dexOverrides{AuthURL: "https://login.acme-corp.com/application/o/authorize/"}
	cases := map[string]struct {
		issuer string
		want   *dexOverrides
	}{
		"the data model's":               {"", public},
		"a Service by its short name":    {"http://authentik:9000/application/o/platform-services/", public},
		"a Service with its namespace":   {"http://authentik.auth-system/application/o/platform-services/", public},
		"a Service of another namespace": {"http://authentik.idp.svc:9000/application/o/platform-services/", public},
		"a Service of another zone":      {"https://authentik.idp.svc.acme.internal:9443/application/o/platform-services/", public},
		"the platform's own host":        {"https://login.acme-corp.com/application/o/platform-services/", nil},
		"an Authentik of somebody else":  {"https://id.example.org/application/o/acme/", nil},
		"a host in a network at home":    {"http://authentik.lan/application/o/acme/", nil},
		"an address":                     {"http://10.0.0.7:9000/application/o/acme/", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			xr := platform(func(s *v1alpha1.PlatformSpec) {
				s.Domain.Authentik, s.Auth.AuthentikIssuer = "login.acme-corp.com", c.issuer
			})
			require.Equal(t, c.want, dexConfiguration(xr.Spec.WithDefaults()).Connectors[0].Config.DiscoveryOverrides)
		})
	}
}

func TestDexAndTheJobTrustAuthentikWhereItsCertificateIsItsOwn(t *testing.T) {
	acme := v1alpha1.Certificates{Issuer: "acme"}
	const public = "https://authentik.home.local/application/o/platform-services/"
	cases := map[string]struct {
		issuer       string
		certificates v1alpha1.Certificates
		trusted      bool
	}{
		"over plain HTTP":                   {"", v1alpha1.Certificates{}, false},
		"at its host":                       {public, v1alpha1.Certificates{}, true},
		"at its host and a port":            {"https://Authentik.home.local:8443/application/o/platform-services/", v1alpha1.Certificates{}, true},
		"at its host, with a public one":    {public, acme, false},
		"at another host":                   {"https://id.example.org/application/o/acme/", v1alpha1.Certificates{}, false},
		"at a Service that has another one": {"https://authentik.auth-system.svc:9443/application/o/acme/", v1alpha1.Certificates{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			spec := v1alpha1.PlatformSpec{Auth: v1alpha1.Auth{AuthentikIssuer: c.issuer}, Certificates: c.certificates}.WithDefaults()
			pod := syncJob(spec, settings.Defaults(), &vault{}).Spec.Template.Spec
			const argument = "--authentik-ca-file=/etc/config-sync/authentik-tls/ca.crt"
			if !c.trusted {
				require.Empty(t, dexConfiguration(spec).Connectors[0].Config.RootCAs)
				require.NotContains(t, strings.Join(pod.Containers[0].Args, " "), "-ca-file")
				require.Len(t, pod.Volumes, 2)
				return
			}
			require.Equal(t, []string{"/etc/dex/authentik-tls/ca.crt"}, dexConfiguration(spec).Connectors[0].Config.RootCAs)
			require.Contains(t, pod.Containers[0].Args, argument)
			require.Contains(t, pod.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "authority", MountPath: "/etc/config-sync/authentik-tls", ReadOnly: true})
			require.Contains(t, pod.Volumes, corev1.Volume{Name: "authority", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: "authentik-tls", Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}}})
		})
	}
}

func TestDexServesHTTPSWhenAsked(t *testing.T) {
	require.Equal(t, dexWeb{HTTP: "0.0.0.0:5556"}, dexConfiguration(platform().Spec.WithDefaults()).Web)
	tls := platform(func(s *v1alpha1.PlatformSpec) { s.Auth.DexTLS = true })
	require.Equal(t, dexWeb{HTTP: "0.0.0.0:5556", HTTPS: "0.0.0.0:5554", TLSCert: "/etc/dex/tls/tls.crt", TLSKey: "/etc/dex/tls/tls.key"},
		dexConfiguration(tls.Spec.WithDefaults()).Web)
}
