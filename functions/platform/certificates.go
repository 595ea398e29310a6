package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/certmanager"
	"aphex.io/platform/functions/internal/settings"
)

func issuerName(certs v1alpha1.Certificates) string {
	switch certs.Issuer {
	case v1alpha1.IssuerExisting:
		return certs.ClusterIssuer
	case v1alpha1.IssuerACME:
		return acmeIssuer
	default:
		return selfSignedIssuer
	}
}

func clusterIssuer(certs v1alpha1.Certificates) *certmanager.ClusterIssuer {
	issuer := &certmanager.ClusterIssuer{
		TypeMeta:   metav1.TypeMeta{APIVersion: certmanager.APIVersion, Kind: "ClusterIssuer"},
		ObjectMeta: meta("", issuerName(certs)),
	}
	if certs.ACME == nil {
		issuer.Spec.SelfSigned = &certmanager.SelfSigned{}
		return issuer
	}
	issuer.Spec.ACME = &certmanager.ACME{
		Server:              certs.ACME.Server,
		Email:               certs.ACME.Email,
		PrivateKeySecretRef: certmanager.SecretRef{Name: acmeAccountKey},
	}
	for _, s := range certs.ACME.Solvers {
		issuer.Spec.ACME.Solvers = append(issuer.Spec.ACME.Solvers, solver(s))
	}
	return issuer
}

func solver(s v1alpha1.Solver) certmanager.Solver {
	out := certmanager.Solver{}
	if len(s.DNSZones) > 0 {
		out.Selector = &certmanager.Selector{DNSZones: s.DNSZones}
	}
	if s.HTTP01 != nil {
		out.HTTP01 = http01(*s.HTTP01)
	}
	if s.DNS01 != nil {
		token := s.DNS01.APITokenSecretRef
		out.DNS01 = &certmanager.DNS01{Cloudflare: certmanager.Cloudflare{
			APITokenSecretRef: certmanager.SecretRef{Name: token.Name, Key: token.Key},
		}}
	}
	return out
}

func http01(h v1alpha1.HTTP01) *certmanager.HTTP01 {
	if h.GatewayHTTPRoute == nil {
		return &certmanager.HTTP01{Ingress: &certmanager.Ingress{IngressClassName: h.IngressClassName}}
	}
	route := &certmanager.GatewayHTTPRoute{}
	for _, parent := range h.GatewayHTTPRoute.ParentRefs {
		route.ParentRefs = append(route.ParentRefs, certmanager.ParentRef(parent))
	}
	return &certmanager.HTTP01{GatewayHTTPRoute: route}
}

// platformCertificate is one of the platform's certificates, and the Secret of that name.
type platformCertificate struct {
	namespace, name, host string
	// gate is shut where what the certificate is for is switched off.
	gate gate
}

func platformCertificates(domain v1alpha1.Domain, set *settings.Settings) []platformCertificate {
	return []platformCertificate{
		{authNamespace, dexCertificate, domain.Dex, always},
		{authNamespace, authentikCertificate, domain.Authentik, always},
		{set.ArgoCD.Namespace, "argocd-tls", domain.ArgoCD, switchedOn(set.Integrations.ArgoCD, "argocd")},
		{tektonNamespace, "tekton-tls", domain.Tekton, switchedOn(set.Integrations.Tekton, "tekton")},
	}
}

func certificate(p platformCertificate, certs v1alpha1.Certificates) *certmanager.Certificate {
	return &certmanager.Certificate{
		TypeMeta:   metav1.TypeMeta{APIVersion: certmanager.APIVersion, Kind: "Certificate"},
		ObjectMeta: meta(p.namespace, p.name),
		Spec: certmanager.CertificateSpec{
			SecretName:  p.name,
			IssuerRef:   certmanager.IssuerRef{Name: issuerName(certs), Kind: "ClusterIssuer"},
			DNSNames:    []string{p.host},
			Duration:    certs.Duration,
			RenewBefore: certs.RenewBefore,
		},
	}
}
