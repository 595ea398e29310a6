// Package certmanager has the fields of cert-manager v1.21 objects that we set, with upstream's JSON names, see
// https://cert-manager.io/docs/reference/api-docs/. The upstream module asks for newer Kubernetes libraries than ours; its
// pinned CRDs catch a wrong field.
package certmanager

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The CRDs of the objects of this package.
const (
	CertificateCRD   = "certificates.cert-manager.io"
	ClusterIssuerCRD = "clusterissuers.cert-manager.io"
	Version          = "v1"
	APIVersion       = "cert-manager.io/v1"
)

// ClusterIssuer signs certificates of all namespaces.
type ClusterIssuer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              IssuerSpec `json:"spec"`
}

// IssuerSpec has one kind of issuer.
type IssuerSpec struct {
	SelfSigned *SelfSigned `json:"selfSigned,omitempty"`
	ACME       *ACME       `json:"acme,omitempty"`
}

// SelfSigned signs each certificate with its own key.
type SelfSigned struct{}

// ACME is an account at an ACME server.
type ACME struct {
	Server              string    `json:"server"`
	Email               string    `json:"email"`
	PrivateKeySecretRef SecretRef `json:"privateKeySecretRef"`
	Solvers             []Solver  `json:"solvers"`
}

// SecretRef names a Secret, in cert-manager's own namespace for a ClusterIssuer.
type SecretRef struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty"`
}

// Solver is one way to answer an ACME server's challenges.
type Solver struct {
	Selector *Selector `json:"selector,omitempty"`
	HTTP01   *HTTP01   `json:"http01,omitempty"`
	DNS01    *DNS01    `json:"dns01,omitempty"`
}

// Selector says which hosts a solver is for.
type Selector struct {
	DNSZones []string `json:"dnsZones"`
}

// HTTP01 answers on the host itself, which is reached in one of these ways.
type HTTP01 struct {
	Ingress          *Ingress          `json:"ingress,omitempty"`
	GatewayHTTPRoute *GatewayHTTPRoute `json:"gatewayHTTPRoute,omitempty"`
}

// Ingress is a class of ingresses.
type Ingress struct {
	IngressClassName string `json:"ingressClassName"`
}

// GatewayHTTPRoute makes an HTTPRoute at Gateways, beside the certificate.
type GatewayHTTPRoute struct {
	ParentRefs []ParentRef `json:"parentRefs"`
}

// ParentRef is a Gateway, or one listener of it.
type ParentRef struct {
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName,omitempty"`
}

// DNS01 answers with a DNS record.
type DNS01 struct {
	Cloudflare Cloudflare `json:"cloudflare"`
}

// Cloudflare makes the record there.
type Cloudflare struct {
	APITokenSecretRef SecretRef `json:"apiTokenSecretRef"`
}

// Certificate is a certificate in a Secret of its namespace.
type Certificate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              CertificateSpec `json:"spec"`
}

// CertificateSpec says for which hosts, by whom and for how long.
type CertificateSpec struct {
	SecretName  string    `json:"secretName"`
	IssuerRef   IssuerRef `json:"issuerRef"`
	DNSNames    []string  `json:"dnsNames"`
	Duration    string    `json:"duration,omitempty"`
	RenewBefore string    `json:"renewBefore,omitempty"`
}

// IssuerRef names an issuer.
type IssuerRef struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}
