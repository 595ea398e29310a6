package cloudflare

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// minSecret is the least that cloudflared accepts, in bytes.
const minSecret = 32

// Secret is a tunnel's secret. It prints as nothing that could leak.
type Secret []byte

// Format hides the secret from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// MarshalText refuses, so that no encoder can put the secret somewhere by accident.
func (Secret) MarshalText() ([]byte, error) { return nil, errors.New("a tunnel secret is not printed") }

func (s Secret) base64() string { return base64.StdEncoding.EncodeToString(s) }

// Credentials are what a connector needs to serve a tunnel.
type Credentials struct {
	AccountTag, TunnelID string
	TunnelSecret         Secret
	// Endpoint is empty, or the name of the part of Cloudflare's network to connect to, such as fed.
	Endpoint string
}

// credentialsFile has cloudflared's field names and order (connection.Credentials).
type credentialsFile struct {
	AccountTag   string
	TunnelSecret []byte
	TunnelID     string
	Endpoint     string
	// TunnelName is in files that old versions of cloudflared wrote; it means nothing.
	TunnelName string `json:",omitempty"`
}

// tokenFields are cloudflared's (connection.TunnelToken).
type tokenFields struct {
	AccountTag   string `json:"a"`
	TunnelSecret []byte `json:"s"`
	TunnelID     string `json:"t"`
	Endpoint     string `json:"e,omitempty"`
}

// File is the credentials as cloudflared reads them with --credentials-file.
func (c Credentials) File() []byte {
	return encode(credentialsFile{
		AccountTag: c.AccountTag, TunnelSecret: c.TunnelSecret, TunnelID: c.TunnelID, Endpoint: c.Endpoint,
	})
}

// Token is the credentials as cloudflared reads them with --token-file.
func (c Credentials) Token() string {
	return base64.StdEncoding.EncodeToString(encode(tokenFields{
		AccountTag: c.AccountTag, TunnelSecret: c.TunnelSecret, TunnelID: c.TunnelID, Endpoint: c.Endpoint,
	}))
}

// encode cannot fail: the structs above hold only strings and bytes.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// ParseCredentialsFile reads a credentials.json. It refuses what cloudflared would, and unknown fields too.
func ParseCredentialsFile(file []byte) (Credentials, error) {
	var f credentialsFile
	if err := decodeStrictly(file, &f); err != nil {
		return Credentials{}, fmt.Errorf("credentials.json: %w", err)
	}
	c := Credentials{AccountTag: f.AccountTag, TunnelID: f.TunnelID, TunnelSecret: f.TunnelSecret, Endpoint: f.Endpoint}
	if err := c.validate(); err != nil {
		return Credentials{}, fmt.Errorf("credentials.json: %w", err)
	}
	return c, nil
}

// ParseToken reads a tunnel's token.
func ParseToken(token string) (Credentials, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(token))
	if err != nil {
		return Credentials{}, errors.New("tunnel token: not base64")
	}
	var f tokenFields
	if err := decodeStrictly(raw, &f); err != nil {
		return Credentials{}, fmt.Errorf("tunnel token: %w", err)
	}
	c := Credentials{AccountTag: f.AccountTag, TunnelID: f.TunnelID, TunnelSecret: f.TunnelSecret, Endpoint: f.Endpoint}
	if err := c.validate(); err != nil {
		return Credentials{}, fmt.Errorf("tunnel token: %w", err)
	}
	return c, nil
}

// decodeStrictly does not repeat what it read, since that may be a secret.
func decodeStrictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New("not a JSON object with exactly the expected fields")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

var (
	uuidPattern     = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	hexPattern      = regexp.MustCompile(`^[0-9a-f]{32}$`)
	endpointPattern = regexp.MustCompile(`^[a-zA-Z0-9.-]{0,63}$`)
)

func (c Credentials) validate() error {
	switch {
	case !hexPattern.MatchString(c.AccountTag):
		return errors.New("the account tag is not 32 hexadecimal digits")
	case !uuidPattern.MatchString(c.TunnelID):
		return errors.New("the tunnel id is not a UUID")
	case len(c.TunnelSecret) < minSecret:
		return fmt.Errorf("the tunnel secret has %d bytes instead of at least %d", len(c.TunnelSecret), minSecret)
	case !endpointPattern.MatchString(c.Endpoint):
		return errors.New("the endpoint is not a short name")
	}
	return nil
}
