package configsync

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParseAuthorities reads the certificates of a PEM file. There has to be one, and no block of another type, which may be a
// private key. Its errors do not repeat what they refuse.
func ParseAuthorities(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	rest := []byte(strings.TrimSpace(string(text)))
	for len(rest) > 0 {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil:
			return nil, errors.New("it is not, or not only, certificates in PEM")
		case block.Type != "CERTIFICATE":
			return nil, errors.New("it holds something else than certificates")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in it cannot be read: %w", len(all)+1, err)
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, errors.New("it is empty")
	}
	return all, nil
}
