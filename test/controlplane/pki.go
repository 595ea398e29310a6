package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// validFor is longer than anybody leaves a demo running.
const validFor = 365 * 24 * time.Hour

// pki makes the keys and certificates of one control plane.
type pki struct {
	dir string
	// cluster signs the API server and its clients.
	cluster *authority
	// crossplane signs the mutual TLS between Crossplane and functions.
	crossplane *authority
}

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// pair is a certificate and its key, PEM encoded.
type pair struct{ cert, key []byte }

// newPKI makes the cluster's authority, the API server's certificate and the
// key that signs service account tokens.
func newPKI(dir string) (*pki, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cluster, err := newAuthority("aphex-cluster", key)
	if err != nil {
		return nil, err
	}
	p := &pki{dir: dir, cluster: cluster}

	server, err := cluster.sign(pkix.Name{CommonName: "kube-apiserver"}, "127.0.0.1", "localhost", "kubernetes.default.svc")
	if err != nil {
		return nil, err
	}
	tokens, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// The API server takes the public half from the same file, which works for
	// this form only.
	tokenKey, err := x509.MarshalECPrivateKey(tokens)
	if err != nil {
		return nil, err
	}
	return p, p.write(map[string][]byte{
		"ca.crt":              cluster.pem,
		"apiserver.crt":       server.cert,
		"apiserver.key":       server.key,
		"service-account.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: tokenKey}),
	})
}

// makeCrossplaneCA makes the authority that Crossplane would make when it is
// installed. Making it here lets functions start before Crossplane does.
func (p *pki) makeCrossplaneCA() error {
	// Crossplane reads nothing but RSA keys, in the old PKCS#1 form.
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	p.crossplane, err = newAuthority("crossplane-root-ca", key)
	return err
}

func newAuthority(name string, key crypto.Signer) (*authority, error) {
	template := template(pkix.Name{CommonName: name})
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// sign makes a certificate for a server, if hosts are given, and for a client.
func (a *authority) sign(subject pkix.Name, hosts ...string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template := template(subject)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, fmt.Errorf("sign certificate for %s: %w", subject, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// keyPKCS1 returns an RSA authority's key in the form that Crossplane reads.
func (a *authority) keyPKCS1() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(a.key.(*rsa.PrivateKey))})
}

func template(subject pkix.Name) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:      subject,
		SerialNumber: big.NewInt(now.UnixNano()),
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(validFor),
	}
}

// write puts files into the state folder, readable by their owner only.
func (p *pki) write(files map[string][]byte) error {
	for name, data := range files {
		path := p.path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, "pki", name) }

// user returns the access of somebody who proves his name, and his groups, with
// a client certificate.
func (p *pki) user(host, name string, groups ...string) (*rest.Config, error) {
	client, err := p.cluster.sign(pkix.Name{CommonName: name, Organization: groups})
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host: host,
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   p.cluster.pem,
			CertData: client.cert,
			KeyData:  client.key,
		},
		// The API server limits its clients; one that limits itself only makes
		// tests slow.
		QPS: -1,
	}, nil
}

// writeKubeconfig writes access as a file in the state folder and returns its
// path.
func (c *ControlPlane) writeKubeconfig(name string, access *rest.Config) (string, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters["aphex"] = &clientcmdapi.Cluster{Server: access.Host, CertificateAuthorityData: access.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: access.CertData,
		ClientKeyData:         access.KeyData,
		Token:                 access.BearerToken,
	}
	config.Contexts["aphex"] = &clientcmdapi.Context{Cluster: "aphex", AuthInfo: name}
	config.CurrentContext = "aphex"
	path := filepath.Join(c.dir, name+".kubeconfig")
	return path, clientcmd.WriteToFile(*config, path)
}
