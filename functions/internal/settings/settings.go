// Package settings reads what a platform team may set for all claims: the EnvironmentConfig "aphex". Every setting is
// optional; without the object the defaults hold.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"aphex.io/platform/functions/internal/object"
)

// The EnvironmentConfig that holds the settings, see
// https://docs.crossplane.io/latest/composition/environment-configs/.
const (
	APIVersion = "apiextensions.crossplane.io/v1beta1"
	Kind       = "EnvironmentConfig"
	Name       = "aphex"
)

// Settings are the platform's settings. The JSON names are those of EnvironmentConfig aphex, below data.
type Settings struct {
	// WebhookDomain is the DNS zone, or a name below it, under which each organization gets its host.
	WebhookDomain string `json:"webhookDomain"`
	// ApprovedGitHubOrganizations are the only values that repoOrg may have; empty allows all.
	ApprovedGitHubOrganizations []string `json:"approvedGitHubOrganizations"`
	// ReservedNamespaces are refused as pipelineName, beside the built-in ones; a trailing * matches any ending.
	ReservedNamespaces []string `json:"reservedNamespaces"`
	// PodSecurity is the Pod Security level that organization and pipeline namespaces enforce.
	PodSecurity string `json:"podSecurity"`

	Listener     Listener     `json:"listener"`
	Cloudflare   Cloudflare   `json:"cloudflare"`
	Cloudflared  Cloudflared  `json:"cloudflared"`
	WebhookTest  WebhookTest  `json:"webhookTest"`
	ConfigSync   ConfigSync   `json:"configSync"`
	ArgoCD       ArgoCD       `json:"argocd"`
	Tenant       Tenant       `json:"tenant"`
	Integrations Integrations `json:"integrations"`
}

// Listener is what takes the deliveries of each organization.
type Listener struct {
	// Shards are listeners beside the one that has all of an organization's Triggers, each with a part of them and a
	// webhook URL of its own.
	Shards int32 `json:"shards"`
}

// Cloudflare says where tunnels and DNS records are made.
type Cloudflare struct {
	// AccountID and Zone override the provider config's.
	AccountID string `json:"accountID"`
	Zone      string `json:"zone"`
	// ProviderConfig names the provider config that holds the API token.
	ProviderConfig ProviderConfig `json:"providerConfig"`
	// Accounts are further accounts, each for some organizations.
	Accounts []Account `json:"accounts"`
}

// Account is where the tunnels and hosts of some organizations are instead. A tunnel serves only hosts in zones of its own
// account, so each account has a domain of its own.
type Account struct {
	// Organizations are names of organizations; a trailing * matches any ending.
	Organizations []string `json:"organizations"`
	WebhookDomain string   `json:"webhookDomain"`
	// AccountID and Zone override the provider config's.
	AccountID      string         `json:"accountID"`
	Zone           string         `json:"zone"`
	ProviderConfig ProviderConfig `json:"providerConfig"`
}

// ProviderConfig names a ClusterProviderConfig, or a ProviderConfig in each organization's namespace.
type ProviderConfig struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Cloudflared is the connector that runs in each organization's namespace.
type Cloudflared struct {
	Image    string `json:"image"`
	Replicas int32  `json:"replicas"`
}

// WebhookTest is what sends a ping to an organization's webhook on request.
type WebhookTest struct {
	// Image is that of function-organization, and by default that of the one that runs. One that was not published has none,
	// and then there are no tests.
	Image string `json:"image"`
}

// ConfigSync is what connects Authentik and Dex, and sets keys of an Argo CD that is there already.
type ConfigSync struct {
	// Image is that of function-platform, and by default that of the one that runs. One that was not published has none: a
	// Platform then waits, unless Integrations switch configSync off, and somebody else sets Argo CD's keys.
	Image string `json:"image"`
}

// ArgoCD says where Argo CD runs.
type ArgoCD struct {
	Namespace string `json:"namespace"`
}

// Tenant holds the limits of each pipeline namespace; see ResourceQuota, LimitRange and NetworkPolicy.
type Tenant struct {
	Quota          map[string]string `json:"quota"`
	DefaultLimits  map[string]string `json:"defaultLimits"`
	DefaultRequest map[string]string `json:"defaultRequests"`
	// BlockedCIDRs are addresses that pipelines may not reach, beside the built-in private and metadata ranges.
	BlockedCIDRs []string `json:"blockedCIDRs"`

	// DNSServers are addresses that pipelines may ask for names, beside the pods of kube-system, also where BlockedCIDRs has them.
	DNSServers []string `json:"dnsServers"`
}

// Integrations switches off what a platform does without. One that is on but not installed is reported.
type Integrations struct {
	Tekton          bool `json:"tekton"`
	ArgoCD          bool `json:"argocd"`
	ExternalSecrets bool `json:"externalSecrets"`
	Cloudflare      bool `json:"cloudflare"`
	// ConfigSync is off where somebody else connects Authentik and Dex.
	ConfigSync bool `json:"configSync"`
}

// cloudflaredImage is the release that connectors run by default.
const cloudflaredImage = "docker.io/cloudflare/cloudflared:2026.4.0"

// Defaults are the settings of a platform that sets none.
func Defaults() *Settings {
	return &Settings{
		WebhookDomain: "arbiter-dev.com",
		PodSecurity:   "baseline",
		Cloudflare:    Cloudflare{ProviderConfig: ProviderConfig{Kind: "ClusterProviderConfig", Name: "default"}},
		Cloudflared:   Cloudflared{Image: cloudflaredImage, Replicas: 2},
		ArgoCD:        ArgoCD{Namespace: "argocd"},
		Tenant: Tenant{
			Quota: map[string]string{
				"requests.cpu": "4", "requests.memory": "8Gi", "limits.cpu": "8", "limits.memory": "16Gi",
				"persistentvolumeclaims": "5", "pods": "20",
			},
			DefaultLimits:  map[string]string{"cpu": "500m", "memory": "512Mi"},
			DefaultRequest: map[string]string{"cpu": "100m", "memory": "128Mi"},
		},
		Integrations: Integrations{Tekton: true, ArgoCD: true, ExternalSecrets: true, Cloudflare: true, ConfigSync: true},
	}
}

// Read looks the settings up. An unknown or bad setting is an error that names its path, since going on with a default
// instead would change what exists.
func Read(seen *object.Observed) (*Settings, error) {
	data := seen.Get(APIVersion, Kind, "", Name).Field("data")
	if !data.Exists() {
		return Defaults(), nil
	}
	s, err := Parse(data.Map())
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", Kind, Name, err)
	}
	return s, nil
}

// Parse reads settings from the data of an EnvironmentConfig; what is not there has its default.
func Parse(data map[string]any) (*Settings, error) {
	s := Defaults()
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	unknown, err := kjson.UnmarshalStrict(raw, s)
	if err != nil {
		return nil, fmt.Errorf("data: %w", typeError(err))
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("data: %w; the settings are %s", errors.Join(unknown...), strings.Join(known(), ", "))
	}
	if errs := s.validate(); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	return s, nil
}

func typeError(err error) error {
	if te := (*json.UnmarshalTypeError)(nil); errors.As(err, &te) {
		return fmt.Errorf("%s: found a %s, need a %s", te.Field, te.Value, te.Type)
	}
	return err
}

func known() []string {
	raw, _ := json.Marshal(Defaults()) // plain data: cannot fail
	var m map[string]any
	_ = json.Unmarshal(raw, &m) // our own output: cannot fail
	return slices.Sorted(maps.Keys(m))
}

func (s *Settings) validate() field.ErrorList {
	var errs field.ErrorList
	data := field.NewPath("data")
	bad := func(p *field.Path, value any, problems ...string) {
		for _, problem := range problems {
			errs = append(errs, field.Invalid(p, value, problem))
		}
	}
	bad(data.Child("webhookDomain"), s.WebhookDomain, domainProblems(s.WebhookDomain)...)
	if levels := []string{"privileged", "baseline", "restricted"}; !slices.Contains(levels, s.PodSecurity) {
		errs = append(errs, field.NotSupported(data.Child("podSecurity"), s.PodSecurity, levels))
	}
	for i, ns := range s.ReservedNamespaces {
		name := strings.TrimSuffix(strings.TrimSuffix(ns, "*"), "-")
		bad(data.Child("reservedNamespaces").Index(i), ns, validation.IsDNS1123Label(name)...)
	}
	if n := s.Listener.Shards; n < 0 || n > maxShards {
		bad(data.Child("listener", "shards"), n, fmt.Sprintf("must be 0 to %d; each is a listener with two pods in every organization", maxShards))
	}
	errs = append(errs, s.Cloudflare.validate(data.Child("cloudflare"))...)
	if s.Cloudflared.Image == "" || strings.ContainsAny(s.Cloudflared.Image, " \t\n") {
		bad(data.Child("cloudflared", "image"), s.Cloudflared.Image, "must be an image reference such as "+cloudflaredImage)
	}
	if strings.ContainsAny(s.WebhookTest.Image, " \t\n") {
		bad(data.Child("webhookTest", "image"), s.WebhookTest.Image, "must be the image reference of function-organization")
	}
	if strings.ContainsAny(s.ConfigSync.Image, " \t\n") {
		bad(data.Child("configSync", "image"), s.ConfigSync.Image, "must be the image reference of function-platform")
	}
	if r := s.Cloudflared.Replicas; r < 1 || r > 25 {
		bad(data.Child("cloudflared", "replicas"), r, "must be 1 to 25, the most connectors that one tunnel may have")
	}
	bad(data.Child("argocd", "namespace"), s.ArgoCD.Namespace, validation.IsDNS1123Label(s.ArgoCD.Namespace)...)
	errs = append(errs, s.Tenant.validate(data.Child("tenant"))...)
	return errs
}

func (c Cloudflare) validate(at *field.Path) field.ErrorList {
	errs := validatePlace(at, c.AccountID, c.Zone, c.ProviderConfig)
	for i, a := range c.Accounts {
		at := at.Child("accounts").Index(i)
		if len(a.Organizations) == 0 {
			errs = append(errs, field.Required(at.Child("organizations"), "name the organizations that are in this account; a trailing * matches any ending"))
		}
		for j, pattern := range a.Organizations {
			if name := strings.TrimSuffix(strings.TrimSuffix(pattern, "*"), "-"); pattern != "*" && len(validation.IsDNS1123Label(name)) > 0 {
				errs = append(errs, field.Invalid(at.Child("organizations").Index(j), pattern, "must be the name of an organization, or the beginning of one and a *"))
			}
		}
		for _, problem := range domainProblems(a.WebhookDomain) {
			errs = append(errs, field.Invalid(at.Child("webhookDomain"), a.WebhookDomain, problem))
		}
		errs = append(errs, validatePlace(at, a.AccountID, a.Zone, a.ProviderConfig)...)
	}
	return errs
}

func validatePlace(at *field.Path, accountID, zone string, pc ProviderConfig) field.ErrorList {
	var errs field.ErrorList
	if accountID != "" && !cloudflareID.MatchString(accountID) {
		errs = append(errs, field.Invalid(at.Child("accountID"), accountID, "must be the 32 lower-case hexadecimal digits that Cloudflare shows as Account ID"))
	}
	if zone != "" && !cloudflareID.MatchString(zone) {
		for _, problem := range domainProblems(zone) {
			errs = append(errs, field.Invalid(at.Child("zone"), zone, problem))
		}
	}
	if kinds := []string{"ClusterProviderConfig", "ProviderConfig"}; !slices.Contains(kinds, pc.Kind) {
		errs = append(errs, field.NotSupported(at.Child("providerConfig", "kind"), pc.Kind, kinds))
	}
	for _, problem := range validation.IsDNS1123Subdomain(pc.Name) {
		errs = append(errs, field.Invalid(at.Child("providerConfig", "name"), pc.Name, problem))
	}
	return errs
}

// For are the settings that hold for an organization: those of the first of Cloudflare.Accounts that has it, if any does.
func (s *Settings) For(organization string) *Settings {
	for _, a := range s.Cloudflare.Accounts {
		if !slices.ContainsFunc(a.Organizations, func(pattern string) bool { return Matches(pattern, organization) }) {
			continue
		}
		out := *s
		out.WebhookDomain = a.WebhookDomain
		out.Cloudflare = Cloudflare{AccountID: a.AccountID, Zone: a.Zone, ProviderConfig: a.ProviderConfig}
		return &out
	}
	return s
}

// Matches says whether a name is meant by a pattern of the settings: the name itself, or its beginning and a trailing *.
func Matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// maxShards is what 200 repositories with 50 deliveries a second take on two cores, see docs/webhooks.md. Each shard is two
// pods in every organization.
const maxShards = 32

// cloudflareID is an id of an account or a zone.
var cloudflareID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// maxDomain leaves room for the longest name of an organization (59, see its namespace) and a dot in a host name (253).
const maxDomain = 253 - 59 - 1

func domainProblems(domain string) []string {
	var problems []string
	if len(domain) > maxDomain {
		problems = append(problems, fmt.Sprintf("must have at most %d characters", maxDomain))
	}
	for part := range strings.SplitSeq(domain, ".") {
		if len(validation.IsDNS1123Label(part)) > 0 {
			return append(problems, "must be a domain such as example.org: lower-case letters, digits and hyphens in parts of at most 63 characters, joined by dots")
		}
	}
	return problems
}

// WebhookHost is the public host of an organization's webhook.
func (s *Settings) WebhookHost(organization string) string {
	return organization + "." + s.WebhookDomain
}

// WebhookURL is the public URL of an organization's webhook.
func (s *Settings) WebhookURL(organization string) string {
	return "https://" + s.WebhookHost(organization)
}
