// Package dex lets Dex's own connector log somebody in with the composed configuration: at an Authentik that is a Service of the
// cluster, and at one whose certificate is its own.
package dex

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dexidp/dex/connector"
	"github.com/dexidp/dex/connector/oidc"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const (
	byService   = "a-fresh-claim-makes-its-namespace-and-the-first-wave"
	byPublicTLS = "a-login-over-https-with-self-signed-certificates"
)

// configured is the composed connector of a golden case, and the client secret that its pods have in their environment.
func configured(t *testing.T, golden string) (config *oidc.Config, secret string) {
	t.Helper()
	config, secret, _ = composed(t, golden)
	return config, secret
}

// composed is that and the scopes that the composed provider of Authentik has mappings for.
func composed(t *testing.T, golden string) (config *oidc.Config, secret string, scopes []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "functions", "platform", "testdata", golden, "settled.yaml"))
	require.NoError(t, err)
	var file struct {
		Connectors []struct {
			Type   string          `json:"type"`
			Config json.RawMessage `json:"config"`
		} `json:"connectors"`
	}
	environment := map[string][]byte{}
	for _, doc := range strings.Split("\n"+string(b), "\n---") {
		var o struct {
			Kind     string
			Metadata struct{ Name string }
			Data     json.RawMessage
		}
		require.NoError(t, yaml.Unmarshal([]byte(doc), &o))
		switch o.Kind + " " + o.Metadata.Name {
		case "ConfigMap dex-config":
			files := map[string]string{}
			require.NoError(t, json.Unmarshal(o.Data, &files))
			require.NoError(t, yaml.Unmarshal([]byte(files["config.yaml"]), &file))
		case "ConfigMap authentik-blueprints":
			files := map[string]string{}
			require.NoError(t, json.Unmarshal(o.Data, &files))
			for _, mapping := range scopeMapping.FindAllStringSubmatch(files["aphex-platform.yaml"], -1) {
				scopes = append(scopes, mapping[1])
			}
		case "Secret dex-environment":
			require.NoError(t, json.Unmarshal(o.Data, &environment))
		}
	}
	require.Len(t, file.Connectors, 1)
	require.Equal(t, "oidc", file.Connectors[0].Type)
	config = &oidc.Config{}
	decoder := json.NewDecoder(bytes.NewReader(file.Connectors[0].Config))
	decoder.DisallowUnknownFields() // Dex would only ignore what it does not know.
	require.NoError(t, decoder.Decode(config))
	config.ClientSecret = os.Expand(config.ClientSecret, func(name string) string { return string(environment[name]) })
	require.NotEmpty(t, config.ClientSecret)
	require.NotEmpty(t, scopes)
	return config, config.ClientSecret, scopes
}

// scopeMapping is a reference to a scope mapping in a list of the blueprint, of which the provider has the only one.
var scopeMapping = regexp.MustCompile(`(?m)^ +- (?:!KeyOf scope-|!Find \[authentik_providers_oauth2\.scopemapping, \[managed, "goauthentik\.io/providers/oauth2/scope-)([a-z_]+)`)

// mount puts what Dex's pods mount below /etc/dex into a folder of the test.
func mount(t *testing.T, config *oidc.Config, certificate []byte) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "authentik-tls"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "authentik-tls", "ca.crt"), certificate, 0o600))
	for i, path := range config.RootCAs {
		config.RootCAs[i] = strings.Replace(path, "/etc/dex/", dir+"/", 1)
	}
}

func open(t *testing.T, config *oidc.Config) (connector.CallbackConnector, error) {
	t.Helper()
	opened, err := config.Open("authentik", slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	c, ok := opened.(connector.CallbackConnector)
	require.True(t, ok)
	return c, nil
}

func without(list []string, left string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == left })
}

// login is what a browser does whose user has logged in at Authentik, and what Dex makes of it.
func (a *authentik) login(t *testing.T, c connector.CallbackConnector, scopes connector.Scopes) (connector.Identity, error) {
	t.Helper()
	login, data, err := c.LoginURL(scopes, "https://dex.home.local/callback", "the-state")
	require.NoError(t, err)
	sent, err := url.Parse(login)
	require.NoError(t, err)
	require.Equal(t, "https://"+publicHost+"/application/o/authorize/", sent.Scheme+"://"+sent.Host+sent.Path)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, login, nil)
	require.NoError(t, err)
	response, err := a.browser(t).Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusFound, response.StatusCode)
	back, err := response.Location()
	require.NoError(t, err)
	require.Equal(t, "the-state", back.Query().Get("state"))
	return c.HandleCallback(scopes, data, httptest.NewRequestWithContext(t.Context(), http.MethodGet, back.String(), nil))
}

// refresh is what Dex makes of a refresh token of its own.
func refresh(t *testing.T, c connector.CallbackConnector, scopes connector.Scopes, identity connector.Identity) (connector.Identity, error) {
	t.Helper()
	refresher, ok := c.(connector.RefreshConnector)
	require.True(t, ok)
	return refresher.Refresh(t.Context(), scopes, identity)
}

// All is one test, since a process looks for its proxy only once.
func TestDexLogsPeopleInAtAuthentik(t *testing.T) {
	_, secret, offered := composed(t, byService)
	a := startAuthentik(t, secret)
	a.offered = offered
	t.Setenv("HTTP_PROXY", a.proxy)
	t.Setenv("HTTPS_PROXY", a.proxy)
	t.Setenv("NO_PROXY", "")
	_, another := selfSigned(t)

	for name, golden := range map[string]string{
		"that is a Service of the cluster":     byService,
		"whose certificate nobody else trusts": byPublicTLS,
	} {
		t.Run(name, func(t *testing.T) {
			config, secret := configured(t, golden)
			a.secret = secret
			mount(t, config, a.certificate)
			c, err := open(t, config)
			require.NoError(t, err)
			scopes := connector.Scopes{Groups: true}
			identity, err := a.login(t, c, scopes)
			require.NoError(t, err)
			require.Equal(t, connector.Identity{
				UserID: "alice-at-authentik", Username: "Alice Developer", Email: "alice@platform.local", EmailVerified: true,
				Groups: []string{"platform-engineering"}, ConnectorData: identity.ConnectorData,
			}, identity)
		})
	}
	t.Run("and refreshes who they are until Authentik says no", func(t *testing.T) {
		config, secret := configured(t, byService)
		a.secret = secret
		c, err := open(t, config)
		require.NoError(t, err)
		scopes := connector.Scopes{Groups: true, OfflineAccess: true}
		identity, err := a.login(t, c, scopes)
		require.NoError(t, err)
		for _, group := range []string{"platform-operators", "platform-admins"} {
			a.isIn([]string{group})
			identity, err = refresh(t, c, scopes, identity)
			require.NoError(t, err)
			require.Equal(t, []string{group}, identity.Groups)
		}
		a.deactivate()
		_, err = refresh(t, c, scopes, identity)
		require.ErrorContains(t, err, "invalid_grant")
	})
	for name, change := range map[string]func(*oidc.Config){
		"but not where Dex does not ask for that":       func(config *oidc.Config) { config.Scopes = without(config.Scopes, "offline_access") },
		"but not where Authentik has no mapping for it": func(*oidc.Config) { a.offered = without(offered, "offline_access") },
	} {
		t.Run(name, func(t *testing.T) {
			config, secret := configured(t, byService)
			a.secret, a.offered = secret, offered
			change(config)
			c, err := open(t, config)
			require.NoError(t, err)
			scopes := connector.Scopes{Groups: true, OfflineAccess: true}
			identity, err := a.login(t, c, scopes)
			require.NoError(t, err)
			_, err = refresh(t, c, scopes, identity)
			require.ErrorContains(t, err, "refresh token is not set")
		})
	}
	for name, c := range map[string]struct{ groups, want any }{
		"who are in more groups than it passes on": {[]string{"coffee", "platform-engineering", "admin", "role:admin", "role:readonly", "Admins", "admins2"}, []string{"platform-engineering"}},
		"by aliases":                           {[]string{"engineering", "admins", "coffee"}, []string{"engineering", "admins"}},
		"not by other groups":                  {[]string{"admin", "role:admin", "coffee"}, nil},
		"not by another group that is no list": {"admin", nil},
		"not by names that begin alike":        {[]string{"platform-admins-2", "platform"}, nil},
		"not by names with blanks":             {[]string{"platform-admins ", " admins", "admins\n"}, nil},
		"not in no group":                      {[]string{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			config, secret := configured(t, byService)
			a.secret = secret
			a.isIn(c.groups)
			opened, err := open(t, config)
			require.NoError(t, err)
			identity, err := a.login(t, opened, connector.Scopes{Groups: true})
			if c.want == nil {
				require.ErrorContains(t, err, "user not a member of allowed groups")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, identity.Groups)
		})
	}
	t.Run("not with the certificate of another", func(t *testing.T) {
		config, _ := configured(t, byPublicTLS)
		mount(t, config, another)
		_, err := open(t, config)
		require.ErrorContains(t, err, "x509: ")
	})
	t.Run("not without the file", func(t *testing.T) {
		config, _ := configured(t, byPublicTLS)
		_, err := open(t, config)
		require.ErrorContains(t, err, "rootCAs.0 is not in PEM format")
	})
	t.Run("not without being told where browsers reach it", func(t *testing.T) {
		config, _ := configured(t, byService)
		config.ProviderDiscoveryOverrides = oidc.ProviderDiscoveryOverrides{}
		c, err := open(t, config)
		require.NoError(t, err)
		login, _, err := c.LoginURL(connector.Scopes{}, "https://dex.home.local/callback", "the-state")
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(login, "http://"+serviceHost+"/"), login)
	})
}
