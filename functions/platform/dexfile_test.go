package main

import (
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// dexFile is the whole configuration file of Dex 2.45, as https://dexidp.io/docs/configuration/ and the pages of its OpenID
// Connect connector and its storages say, with the names that its JSON decoder takes. It shares nothing with the types that
// the file is written from.
type dexFile struct {
	Issuer  string `json:"issuer"`
	Storage struct {
		Type   string `json:"type"`
		Config struct {
			InCluster      bool   `json:"inCluster"`
			KubeConfigFile string `json:"kubeConfigFile"`
			CRDHandling    string `json:"crdHandling"`
		} `json:"config"`
	} `json:"storage"`
	Web struct {
		HTTP           string            `json:"http"`
		HTTPS          string            `json:"https"`
		Headers        map[string]string `json:"headers"`
		TLSCert        string            `json:"tlsCert"`
		TLSKey         string            `json:"tlsKey"`
		TLSMinVersion  string            `json:"tlsMinVersion"`
		TLSMaxVersion  string            `json:"tlsMaxVersion"`
		AllowedOrigins []string          `json:"allowedOrigins"`
		AllowedHeaders []string          `json:"allowedHeaders"`
	} `json:"web"`
	Telemetry struct {
		HTTP            string `json:"http"`
		EnableProfiling bool   `json:"enableProfiling"`
	} `json:"telemetry"`
	Logger struct {
		Level  slog.Level `json:"level"`
		Format string     `json:"format"`
	} `json:"logger"`
	OAuth2 struct {
		GrantTypes            []string `json:"grantTypes"`
		ResponseTypes         []string `json:"responseTypes"`
		SkipApprovalScreen    bool     `json:"skipApprovalScreen"`
		AlwaysShowLoginScreen bool     `json:"alwaysShowLoginScreen"`
		PasswordConnector     string   `json:"passwordConnector"`
	} `json:"oauth2"`
	StaticClients []struct {
		ID           string   `json:"id"`
		IDEnv        string   `json:"idEnv"`
		Secret       string   `json:"secret"`
		SecretEnv    string   `json:"secretEnv"`
		RedirectURIs []string `json:"redirectURIs"`
		TrustedPeers []string `json:"trustedPeers"`
		Public       bool     `json:"public"`
		Name         string   `json:"name"`
		LogoURL      string   `json:"logoURL"`
	} `json:"staticClients"`
	Connectors []struct {
		Type   string `json:"type"`
		ID     string `json:"id"`
		Name   string `json:"name"`
		Config struct {
			Issuer             string `json:"issuer"`
			IssuerAlias        string `json:"issuerAlias"`
			DiscoveryOverrides struct {
				TokenURL string `json:"tokenURL"`
				AuthURL  string `json:"authURL"`
				JWKSURL  string `json:"jwksURL"`
			} `json:"providerDiscoveryOverrides"`
			ClientID                  string   `json:"clientID"`
			ClientSecret              string   `json:"clientSecret"`
			RedirectURI               string   `json:"redirectURI"`
			BasicAuthUnsupported      *bool    `json:"basicAuthUnsupported"`
			Scopes                    []string `json:"scopes"`
			RootCAs                   []string `json:"rootCAs"`
			InsecureSkipEmailVerified bool     `json:"insecureSkipEmailVerified"`
			InsecureEnableGroups      bool     `json:"insecureEnableGroups"`
			AllowedGroups             []string `json:"allowedGroups"`
			AcrValues                 []string `json:"acrValues"`
			InsecureSkipVerify        bool     `json:"insecureSkipVerify"`
			GetUserInfo               bool     `json:"getUserInfo"`
			UserIDKey                 string   `json:"userIDKey"`
			UserNameKey               string   `json:"userNameKey"`
			PromptType                *string  `json:"promptType"`
			OverrideClaimMapping      bool     `json:"overrideClaimMapping"`
			ClaimMapping              struct {
				PreferredUsername string `json:"preferred_username"`
				Email             string `json:"email"`
				Groups            string `json:"groups"`
			} `json:"claimMapping"`
		} `json:"config"`
	} `json:"connectors"`
	Expiry struct {
		SigningKeys    string `json:"signingKeys"`
		IDTokens       string `json:"idTokens"`
		AuthRequests   string `json:"authRequests"`
		DeviceRequests string `json:"deviceRequests"`
		RefreshTokens  struct {
			DisableRotation   bool   `json:"disableRotation"`
			ReuseInterval     string `json:"reuseInterval"`
			AbsoluteLifetime  string `json:"absoluteLifetime"`
			ValidIfNotUsedFor string `json:"validIfNotUsedFor"`
		} `json:"refreshTokens"`
	} `json:"expiry"`
	EnablePasswordDB bool `json:"enablePasswordDB"`
}

// readDexCase is what a golden case ends with: Dex's file, and the Secrets of its namespace, composed or there before.
func readDexCase(t *testing.T, dir string) (file string, secrets map[string]map[string][]byte) {
	t.Helper()
	secrets = map[string]map[string][]byte{}
	for _, name := range []string{"cluster.yaml", "settled.yaml"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		for _, doc := range strings.Split("\n"+string(b), "\n---") {
			var meta metav1.PartialObjectMetadata
			require.NoError(t, yaml.Unmarshal([]byte(doc), &meta))
			switch {
			case meta.Kind == "ConfigMap" && meta.Name == dexConfigName:
				var cm corev1.ConfigMap
				require.NoError(t, yaml.Unmarshal([]byte(doc), &cm))
				file = cm.Data["config.yaml"]
			case meta.Kind == "Secret" && meta.Namespace == authNamespace:
				var s corev1.Secret
				require.NoError(t, yaml.Unmarshal([]byte(doc), &s))
				secrets[s.Name] = s.Data
			}
		}
	}
	return file, secrets
}

// Dex reads secretEnv from its environment, and expands references in the configuration of connectors and storages alone.
func TestDexTakesItsConfigurationAndFindsWhatItRefersTo(t *testing.T) {
	paths, err := filepath.Glob("testdata/*/settled.yaml")
	require.NoError(t, err)
	tested := 0
	for _, path := range paths {
		dir := filepath.Dir(path)
		text, secrets := readDexCase(t, dir)
		if secrets["dex-environment"] == nil {
			continue // It waits for a Secret that is incomplete.
		}
		tested++
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var file dexFile
			require.NoError(t, yaml.UnmarshalStrict([]byte(text), &file))
			environment := func(name string) string {
				value, ok := secrets["dex-environment"][name]
				require.True(t, ok, "Secret dex-environment has no %s", name)
				return string(value)
			}
			secretOf := func(name string) string {
				value := string(secrets[name]["client-secret"])
				require.NotEmpty(t, value, name)
				return value
			}
			requireHTTPS := func(addresses ...string) {
				require.NotEmpty(t, addresses)
				for _, address := range addresses {
					u, err := url.Parse(address)
					require.NoError(t, err)
					require.Equal(t, "https", u.Scheme, address)
					require.NotEmpty(t, u.Host, address)
				}
			}

			requireHTTPS(file.Issuer)
			require.Equal(t, "kubernetes", file.Storage.Type)
			require.True(t, file.Storage.Config.InCluster)
			require.NotEmpty(t, file.Web.HTTP)
			require.Contains(t, []string{"json", "text"}, file.Logger.Format)

			ids := map[string]string{}
			for _, c := range file.StaticClients {
				require.Empty(t, c.Secret, "a ConfigMap holds no secret")
				require.False(t, c.Public)
				require.NotContains(t, ids, c.ID)
				ids[c.ID] = environment(c.SecretEnv)
				requireHTTPS(c.RedirectURIs...)
			}
			require.Equal(t, map[string]string{
				"argocd": secretOf("dex-client-argocd"), "tekton-dashboard": secretOf("dex-client-tekton-dashboard"), "kubernetes": secretOf("dex-client-kubernetes"),
			}, ids)

			require.Len(t, file.Connectors, 1)
			require.Equal(t, "oidc", file.Connectors[0].Type)
			config := file.Connectors[0].Config
			require.True(t, strings.HasPrefix(config.ClientSecret, "$"), "a ConfigMap holds no secret")
			require.Equal(t, secretOf(dexSecrets), os.Expand(config.ClientSecret, environment))
			require.Equal(t, "dex-client", config.ClientID)
			require.Equal(t, file.Issuer+"/callback", config.RedirectURI)
			require.Equal(t, "groups", config.ClaimMapping.Groups)
			require.True(t, config.InsecureEnableGroups, "Dex passes no groups on without")
			require.False(t, config.InsecureSkipVerify)
			require.Equal(t, 1, strings.Count(text, "$"), "what is expanded is the secret alone")

			require.Equal(t, []string{"openid", "profile", "email", "groups", "offline_access"}, config.Scopes)

			for what, c := range map[string]struct{ want, have string }{
				"keys that sign":              {"6h", file.Expiry.SigningKeys},
				"tokens":                      {"24h", file.Expiry.IDTokens},
				"refresh tokens without use":  {"2160h", file.Expiry.RefreshTokens.ValidIfNotUsedFor},
				"refresh tokens, used or not": {"3960h", file.Expiry.RefreshTokens.AbsoluteLifetime},
				"logins that are not ended":   {"", file.Expiry.AuthRequests},
				"a refresh token used twice":  {"", file.Expiry.RefreshTokens.ReuseInterval},
			} {
				require.Equal(t, c.want, c.have, what)
			}
		})
	}
	require.NotZero(t, tested)
}
