package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

func TestCertificatesAndTheirIssuer(t *testing.T) {
	const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"
	for name, c := range map[string]struct {
		change func(*v1alpha1.PlatformSpec)
		// want has the spec of each object, by its kind, namespace and name.
		want map[string]string
	}{
		"by default each is its own authority": {func(*v1alpha1.PlatformSpec) {}, map[string]string{
			"ClusterIssuer selfsigned-issuer":         `{selfSigned: {}}`,
			"Certificate auth-system/dex-tls":         `{secretName: dex-tls, issuerRef: {name: selfsigned-issuer, kind: ClusterIssuer}, dnsNames: [dex.home.local]}`,
			"Certificate auth-system/authentik-tls":   `{secretName: authentik-tls, issuerRef: {name: selfsigned-issuer, kind: ClusterIssuer}, dnsNames: [authentik.home.local]}`,
			"Certificate argocd/argocd-tls":           `{secretName: argocd-tls, issuerRef: {name: selfsigned-issuer, kind: ClusterIssuer}, dnsNames: [argocd.home.local]}`,
			"Certificate tekton-pipelines/tekton-tls": `{secretName: tekton-tls, issuerRef: {name: selfsigned-issuer, kind: ClusterIssuer}, dnsNames: [tekton.home.local]}`,
		}},
		"those of an ACME server are for the claim's hosts and times": {func(s *v1alpha1.PlatformSpec) {
			s.Domain = v1alpha1.Domain{Dex: "dex.acme-corp.com", Authentik: "login.acme-corp.com", ArgoCD: "cd.acme-corp.com", Tekton: "ci.acme-corp.com"}
			s.Certificates = v1alpha1.Certificates{Issuer: "acme", Duration: "2160h", RenewBefore: "360h", ACME: &v1alpha1.ACME{
				Email: "ops@acme-corp.com",
				Solvers: []v1alpha1.Solver{
					{DNSZones: []string{"acme-corp.com"}, DNS01: &v1alpha1.DNS01{APITokenSecretRef: v1alpha1.SecretKey{Name: "cloudflare", Key: "token"}}},
					{HTTP01: &v1alpha1.HTTP01{IngressClassName: "nginx"}},
				},
			}}
		}, map[string]string{
			"ClusterIssuer acme-issuer": `{acme: {server: "` + letsEncrypt + `", email: ops@acme-corp.com, privateKeySecretRef: {name: acme-issuer-account-key}, solvers: [
				{selector: {dnsZones: [acme-corp.com]}, dns01: {cloudflare: {apiTokenSecretRef: {name: cloudflare, key: token}}}},
				{http01: {ingress: {ingressClassName: nginx}}}]}}`,
			"Certificate auth-system/dex-tls": `{secretName: dex-tls, issuerRef: {name: acme-issuer, kind: ClusterIssuer}, dnsNames: [dex.acme-corp.com],
				duration: 2160h, renewBefore: 360h}`,
			"Certificate auth-system/authentik-tls": `{secretName: authentik-tls, issuerRef: {name: acme-issuer, kind: ClusterIssuer}, dnsNames: [login.acme-corp.com],
				duration: 2160h, renewBefore: 360h}`,
			"Certificate argocd/argocd-tls": `{secretName: argocd-tls, issuerRef: {name: acme-issuer, kind: ClusterIssuer}, dnsNames: [cd.acme-corp.com],
				duration: 2160h, renewBefore: 360h}`,
			"Certificate tekton-pipelines/tekton-tls": `{secretName: tekton-tls, issuerRef: {name: acme-issuer, kind: ClusterIssuer}, dnsNames: [ci.acme-corp.com],
				duration: 2160h, renewBefore: 360h}`,
		}},
		"another ACME server": {func(s *v1alpha1.PlatformSpec) {
			s.Certificates = v1alpha1.Certificates{Issuer: "acme", ACME: &v1alpha1.ACME{
				Server: "https://ca.acme-corp.com/acme/directory", Email: "ops@acme-corp.com",
				Solvers: []v1alpha1.Solver{{HTTP01: &v1alpha1.HTTP01{IngressClassName: "traefik"}}},
			}}
		}, map[string]string{
			"ClusterIssuer acme-issuer": `{acme: {server: "https://ca.acme-corp.com/acme/directory", email: ops@acme-corp.com,
				privateKeySecretRef: {name: acme-issuer-account-key}, solvers: [{http01: {ingress: {ingressClassName: traefik}}}]}}`,
			"Certificate auth-system/dex-tls":         `{secretName: dex-tls, issuerRef: {name: acme-issuer, kind: ClusterIssuer}, dnsNames: [dex.home.local]}`,
			"Certificate auth-system/authentik-tls":   `{secretName: authentik-tls, issuerRef: {name: acme-issuer, kind: ClusterIssuer}, dnsNames: [authentik.home.local]}`,
			"Certificate argocd/argocd-tls":           `{secretName: argocd-tls, issuerRef: {name: acme-issuer, kind: ClusterIssuer}, dnsNames: [argocd.home.local]}`,
			"Certificate tekton-pipelines/tekton-tls": `{secretName: tekton-tls, issuerRef: {name: acme-issuer, kind: ClusterIssuer}, dnsNames: [tekton.home.local]}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := map[string]any{}, map[string]any{}
			for _, r := range offline(t, c.change).Resources() {
				if o := object.NewObject(r.Object); o.Kind() == "ClusterIssuer" || o.Kind() == "Certificate" {
					got[object.Ref(o.Kind(), o.Namespace(), o.Name())] = o.Map()["spec"]
				}
			}
			for ref, text := range c.want {
				var spec any
				require.NoError(t, yaml.Unmarshal([]byte(text), &spec))
				want[ref] = spec
			}
			require.Equal(t, want, got)
		})
	}
}
