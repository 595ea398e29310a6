package configsync

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// discover checks the discovery document of an OpenID Connect issuer, which is reached under a URL, see
// https://openid.net/specs/openid-connect-discovery-1_0.html. Clients refuse one that names another issuer, and need the
// endpoints that are asked for here.
func discover(ctx context.Context, web *http.Client, reached, issuer string) error {
	address := strings.TrimSuffix(reached, "/") + "/.well-known/openid-configuration"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return finalError{err}
	}
	request.Header.Set("Accept", "application/json")
	status, contentType, body, err := do(web, request)
	switch {
	case err != nil:
		return fmt.Errorf("GET %s: %w", address, err)
	case status != http.StatusOK:
		return fmt.Errorf("GET %s: HTTP %d", address, status)
	case contentType != "application/json":
		return fmt.Errorf("GET %s: it is %q, not JSON", address, contentType)
	}
	var document struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		Keys          string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return fmt.Errorf("GET %s: %w", address, err)
	}
	if document.Issuer != issuer {
		return finalError{fmt.Errorf("GET %s: the issuer is %q there, not %q", address, document.Issuer, issuer)}
	}
	for _, endpoint := range []struct{ name, url string }{
		{"authorization_endpoint", document.Authorization}, {"token_endpoint", document.Token}, {"jwks_uri", document.Keys},
	} {
		if u, err := url.Parse(endpoint.url); err != nil || !u.IsAbs() || u.Host == "" {
			return fmt.Errorf("GET %s: %s is %q, not a URL", address, endpoint.name, endpoint.url)
		}
	}
	return nil
}
