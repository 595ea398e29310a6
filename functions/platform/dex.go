package main

import (
	"bytes"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
)

// The ids of Dex's clients, which are the audiences of their tokens, and of Dex at Authentik.
const (
	argoCDClientID     = "argocd"
	tektonClientID     = "tekton-dashboard"
	kubernetesClientID = "kubernetes"
	dexClientID        = "dex-client"
)

// tokenHours is for how long a token of Dex is good; the API server lets in none that lasts longer.
const tokenHours = 24

// The variables from which Dex takes its secrets.
const (
	authentikSecretEnv  = "AUTHENTIK_CLIENT_SECRET"
	argoCDSecretEnv     = "ARGOCD_CLIENT_SECRET"
	tektonSecretEnv     = "TEKTON_CLIENT_SECRET"
	kubernetesSecretEnv = "KUBERNETES_CLIENT_SECRET"
)

// environmentSources are the Secrets that dexEnvironment repeats.
func environmentSources() []string {
	return []string{dexSecrets, argoCDClient, tektonClient, kubernetesClient}
}

// dexEnvironment is the environment of Dex's pods, for envFrom.
func dexEnvironment(v *vault) *corev1.Secret {
	return secret(authNamespace, dexEnvironmentName, map[string]string{
		authentikSecretEnv:  v.client(dexSecrets),
		argoCDSecretEnv:     v.client(argoCDClient),
		tektonSecretEnv:     v.client(tektonClient),
		kubernetesSecretEnv: v.client(kubernetesClient),
	})
}

// dexConfig is Dex's configuration file, see https://dexidp.io/docs/configuration/. Its secrets are references to the environment.
type dexConfig struct {
	Issuer        string         `yaml:"issuer"`
	Storage       dexStorage     `yaml:"storage"`
	Web           dexWeb         `yaml:"web"`
	Logger        dexLogger      `yaml:"logger"`
	OAuth2        dexOAuth2      `yaml:"oauth2"`
	StaticClients []dexClient    `yaml:"staticClients"`
	Connectors    []dexConnector `yaml:"connectors"`
	Expiry        dexExpiry      `yaml:"expiry"`
}

type dexStorage struct {
	Type   string           `yaml:"type"`
	Config dexStorageConfig `yaml:"config"`
}

type dexStorageConfig struct {
	InCluster bool `yaml:"inCluster"`
}

type dexWeb struct {
	HTTP    string `yaml:"http"`
	HTTPS   string `yaml:"https,omitempty"`
	TLSCert string `yaml:"tlsCert,omitempty"`
	TLSKey  string `yaml:"tlsKey,omitempty"`
}

type dexLogger struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

type dexOAuth2 struct {
	SkipApprovalScreen bool `yaml:"skipApprovalScreen"`
}

type dexClient struct {
	ID           string   `yaml:"id"`
	Name         string   `yaml:"name"`
	SecretEnv    string   `yaml:"secretEnv"`
	RedirectURIs []string `yaml:"redirectURIs"`
}

type dexConnector struct {
	Type   string             `yaml:"type"`
	ID     string             `yaml:"id"`
	Name   string             `yaml:"name"`
	Config dexConnectorConfig `yaml:"config"`
}

type dexConnectorConfig struct {
	Issuer                    string          `yaml:"issuer"`
	DiscoveryOverrides        *dexOverrides   `yaml:"providerDiscoveryOverrides,omitempty"`
	RootCAs                   []string        `yaml:"rootCAs,omitempty"`
	ClientID                  string          `yaml:"clientID"`
	ClientSecret              string          `yaml:"clientSecret"`
	RedirectURI               string          `yaml:"redirectURI"`
	Scopes                    []string        `yaml:"scopes"`
	GetUserInfo               bool            `yaml:"getUserInfo"`
	InsecureSkipEmailVerified bool            `yaml:"insecureSkipEmailVerified"`
	InsecureEnableGroups      bool            `yaml:"insecureEnableGroups"`
	AllowedGroups             []string        `yaml:"allowedGroups"`
	ClaimMapping              dexClaimMapping `yaml:"claimMapping"`
}

type dexOverrides struct {
	AuthURL string `yaml:"authURL"`
}

type dexClaimMapping struct {
	Groups string `yaml:"groups"`
}

type dexExpiry struct {
	SigningKeys   string           `yaml:"signingKeys"`
	IDTokens      string           `yaml:"idTokens"`
	RefreshTokens dexRefreshTokens `yaml:"refreshTokens"`
}

type dexRefreshTokens struct {
	ValidIfNotUsedFor string `yaml:"validIfNotUsedFor"`
	AbsoluteLifetime  string `yaml:"absoluteLifetime"`
}

func dexConfiguration(spec v1alpha1.PlatformSpec) dexConfig {
	web := dexWeb{HTTP: "0.0.0.0:5556"}
	if spec.Auth.DexTLS {
		web.HTTPS, web.TLSCert, web.TLSKey = "0.0.0.0:5554", "/etc/dex/tls/tls.crt", "/etc/dex/tls/tls.key"
	}
	return dexConfig{
		Issuer:  spec.IssuerURL(),
		Storage: dexStorage{Type: "kubernetes", Config: dexStorageConfig{InCluster: true}},
		Web:     web,
		Logger:  dexLogger{Level: "info", Format: "json"},
		OAuth2:  dexOAuth2{SkipApprovalScreen: true},
		StaticClients: []dexClient{
			{ID: argoCDClientID, Name: "ArgoCD", SecretEnv: argoCDSecretEnv, RedirectURIs: []string{"https://" + spec.Domain.ArgoCD + "/auth/callback"}},
			{ID: tektonClientID, Name: "Tekton Dashboard", SecretEnv: tektonSecretEnv, RedirectURIs: []string{"https://" + spec.Domain.Tekton + "/auth/callback"}},
			{ID: kubernetesClientID, Name: "Kubernetes", SecretEnv: kubernetesSecretEnv, RedirectURIs: spec.Auth.KubernetesRedirectURIs},
		},
		Connectors: []dexConnector{{
			Type: "oidc", ID: "authentik", Name: "Authentik",
			Config: dexConnectorConfig{
				Issuer:             spec.Auth.AuthentikIssuer,
				DiscoveryOverrides: discoveryOverrides(spec),
				RootCAs:            rootCAs(spec),
				ClientID:           dexClientID,
				ClientSecret:       "$" + authentikSecretEnv,
				RedirectURI:        callbackURL(spec),
				// Without offline_access Authentik gives Dex no refresh token, and Dex could refresh nobody's.
				Scopes:      []string{"openid", "profile", "email", "groups", "offline_access"},
				GetUserInfo: true,
				// Authentik does not verify addresses: its administrators set them.
				InsecureSkipEmailVerified: true,
				// Insecure, as Dex says, since groups are as old as the last login.
				InsecureEnableGroups: true,
				// A name that means something elsewhere, such as Argo CD's admin, is in no token. Authentik cannot see to that: its
				// own mapping of the scope profile lists all groups too, and Authentik joins the lists.
				AllowedGroups: slices.Compact(slices.Sorted(slices.Values(spec.Groups.Names()))),
				ClaimMapping:  dexClaimMapping{Groups: "groups"},
			},
		}},
		Expiry: dexExpiry{
			SigningKeys: "6h", IDTokens: fmt.Sprintf("%dh", tokenHours),
			RefreshTokens: dexRefreshTokens{ValidIfNotUsedFor: "2160h", AbsoluteLifetime: "3960h"},
		},
	}
}

// discoveryOverrides send people to the host of Authentik that browsers reach. Authentik itself names the host at which Dex asks
// it, which may be a Service of the cluster; its tokens, keys and issuer are got there.
func discoveryOverrides(spec v1alpha1.PlatformSpec) *dexOverrides {
	if !authentikInCluster(spec) {
		return nil
	}
	return &dexOverrides{AuthURL: "https://" + spec.Domain.Authentik + "/application/o/authorize/"}
}

// rootCAs are files in Dex's pods, which mount the Secret authentik-tls there.
func rootCAs(spec v1alpha1.PlatformSpec) []string {
	if !authentikSelfSigned(spec) {
		return nil
	}
	return []string{"/etc/dex/" + authentikCertificate + "/" + authorityKey}
}

// callbackURL is where Authentik sends people back to Dex.
func callbackURL(spec v1alpha1.PlatformSpec) string { return spec.IssuerURL() + "/callback" }

func dexConfigMap(spec v1alpha1.PlatformSpec) *corev1.ConfigMap {
	return configMap(authNamespace, dexConfigName, map[string]string{"config.yaml": yamlText(dexConfiguration(spec))})
}

func configMap(namespace, name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: meta(namespace, name),
		Data:       data,
	}
}

// yamlText writes a configuration file, fields in the order of the Go type.
func yamlText(content any) string {
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	_ = e.Encode(content) // plain data of our own into a buffer: cannot fail
	return out.String()
}
