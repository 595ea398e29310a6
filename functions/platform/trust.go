package main

import (
	"encoding/pem"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/platform/configsync"
)

// authorityKey is where cert-manager writes whom a certificate is trusted by: itself, if it is self-signed.
const authorityKey = "ca.crt"

// serviceHost are the names that a Service has for pods in auth-system: its own, with the namespace, or in full.
var serviceHost = regexp.MustCompile(`^[^.]+(\.` + authNamespace + `|\.[^.]+\.svc(\..+)?)?$`)

// authentikInCluster tells whether Dex reaches Authentik under a name that the cluster alone knows.
func authentikInCluster(spec v1alpha1.PlatformSpec) bool {
	u, err := url.Parse(spec.Auth.AuthentikIssuer)
	return err == nil && serviceHost.MatchString(u.Hostname())
}

// dexSelfSigned and authentikSelfSigned tell whether their clients meet a certificate that nobody trusts unless told to.
func dexSelfSigned(spec v1alpha1.PlatformSpec) bool {
	return selfSigned(spec.Certificates, spec.IssuerURL(), spec.Domain.Dex)
}

func authentikSelfSigned(spec v1alpha1.PlatformSpec) bool {
	return selfSigned(spec.Certificates, spec.Auth.AuthentikIssuer, spec.Domain.Authentik)
}

// selfSigned is false for an address at another host: the certificate is for that one alone.
func selfSigned(certs v1alpha1.Certificates, address, host string) bool {
	u, err := url.Parse(address)
	return err == nil && certs.Issuer == v1alpha1.IssuerSelfSigned && u.Scheme == "https" && strings.EqualFold(u.Hostname(), host)
}

// authority is the certificate authority that clients of Dex have to trust, PEM encoded. It is empty where they trust Dex
// anyway, and until it is known.
func (c *composer) authority() string {
	text, _ := c.dexAuthority()
	return text
}

// dexAuthority is that and, while it is needed and not known, why.
func (c *composer) dexAuthority() (text, lacking string) {
	if !dexSelfSigned(c.spec) {
		return "", ""
	}
	return c.authorityOf(dexCertificate)
}

// holdsAuthority tells whether a file says whom to trust. It then stays as it is while a certificate's Secret is lost, since
// whoever reads the file would trust nobody.
func holdsAuthority(o object.Object) bool {
	return slices.ContainsFunc(o.Field("data").Keys(), func(key string) bool {
		return strings.Contains(o.String("data", key), "-----BEGIN CERTIFICATE-----")
	})
}

// authorityOf reads it from the Secret of a certificate. Its certificates are written anew, and nothing that stands beside them.
func (c *composer) authorityOf(certificate string) (text, lacking string) {
	ref := object.Ref("Secret", authNamespace, certificate)
	data := c.seen.Get("v1", "Secret", authNamespace, certificate).SecretData(authorityKey)
	if data == nil {
		return "", ref + " has no " + authorityKey + " yet"
	}
	authorities, err := configsync.ParseAuthorities(data)
	if err != nil {
		return "", fmt.Sprintf("%s, %s: %v", ref, authorityKey, err)
	}
	var out strings.Builder
	for _, a := range authorities {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: a.Raw}) // into memory, without headers: cannot fail
	}
	return out.String(), ""
}
