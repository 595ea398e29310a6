package settings_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

const lookup = "apiextensions.crossplane.io/v1beta1/EnvironmentConfig//aphex"

// with is a cluster whose EnvironmentConfig aphex has this data, in YAML.
func with(t *testing.T, data string) *object.Observed {
	t.Helper()
	indented := "{}"
	if data != "" {
		indented = "\n  " + strings.ReplaceAll(strings.TrimSpace(data), "\n", "\n  ")
	}
	b, err := yaml.YAMLToJSON([]byte("kind: EnvironmentConfig\nmetadata: {name: aphex}\ndata: " + indented))
	require.NoError(t, err)
	s := &structpb.Struct{}
	require.NoError(t, s.UnmarshalJSON(b))
	return object.NewObserved(object.Identity{}, nil, map[string][]object.Object{lookup: {object.NewObject(s)}}, nil)
}

func TestDefaults(t *testing.T) {
	want := `
webhookDomain: arbiter-dev.com
approvedGitHubOrganizations: null
reservedNamespaces: null
podSecurity: baseline
listener: {shards: 0}
cloudflare: {accountID: "", zone: "", providerConfig: {kind: ClusterProviderConfig, name: default}, accounts: null}
cloudflared: {image: "docker.io/cloudflare/cloudflared:2026.4.0", replicas: 2}
webhookTest: {image: ""}
configSync: {image: ""}
argocd: {namespace: argocd}
tenant:
  quota: {requests.cpu: "4", requests.memory: 8Gi, limits.cpu: "8", limits.memory: 16Gi, persistentvolumeclaims: "5", pods: "20"}
  defaultLimits: {cpu: 500m, memory: 512Mi}
  defaultRequests: {cpu: 100m, memory: 128Mi}
  blockedCIDRs: null
  dnsServers: null
integrations: {tekton: true, argocd: true, externalSecrets: true, cloudflare: true, configSync: true}
`
	wantJSON, err := yaml.YAMLToJSON([]byte(want))
	require.NoError(t, err)
	for name, seen := range map[string]*object.Observed{
		"without the EnvironmentConfig": object.NewObserved(object.Identity{}, nil, map[string][]object.Object{lookup: nil}, nil),
		"while it is looked up":         object.NewObserved(object.Identity{}, nil, nil, nil),
		"with an empty one":             with(t, ""),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := settings.Read(seen)
			require.NoError(t, err)
			got, err := json.Marshal(s)
			require.NoError(t, err)
			require.JSONEq(t, string(wantJSON), string(got))
			require.Contains(t, seen.Lookups(), lookup)
		})
	}
}

func TestEverySettingCanBeSet(t *testing.T) {
	s, err := settings.Read(with(t, `
webhookDomain: hooks.example.org
approvedGitHubOrganizations: [acme-corp]
reservedNamespaces: [billing, team-*]
podSecurity: restricted
listener: {shards: 8}
cloudflare: {accountID: 0123456789abcdef0123456789abcdef, zone: example.org, providerConfig: {kind: ProviderConfig, name: cf}}
cloudflared: {image: "registry.example.org/cloudflared:1", replicas: 3}
configSync: {image: "registry.example.org/function-platform:v1"}
argocd: {namespace: gitops}
tenant:
  quota: {pods: "7"}
  defaultLimits: {cpu: "1"}
  defaultRequests: {memory: 256Mi}
  blockedCIDRs: [203.0.113.0/24, "2001:db8::/32"]
  dnsServers: [169.254.20.10/32]
integrations: {tekton: false, argocd: false, externalSecrets: false, cloudflare: false, configSync: false}`))
	require.NoError(t, err)
	require.Equal(t, &settings.Settings{
		WebhookDomain:               "hooks.example.org",
		ApprovedGitHubOrganizations: []string{"acme-corp"},
		ReservedNamespaces:          []string{"billing", "team-*"},
		PodSecurity:                 "restricted",
		Listener:                    settings.Listener{Shards: 8},
		Cloudflare: settings.Cloudflare{
			AccountID: "0123456789abcdef0123456789abcdef", Zone: "example.org",
			ProviderConfig: settings.ProviderConfig{Kind: "ProviderConfig", Name: "cf"},
		},
		Cloudflared: settings.Cloudflared{Image: "registry.example.org/cloudflared:1", Replicas: 3},
		ConfigSync:  settings.ConfigSync{Image: "registry.example.org/function-platform:v1"},
		ArgoCD:      settings.ArgoCD{Namespace: "gitops"},
		Tenant: settings.Tenant{
			Quota: map[string]string{
				"requests.cpu": "4", "requests.memory": "8Gi", "limits.cpu": "8", "limits.memory": "16Gi",
				"persistentvolumeclaims": "5", "pods": "7",
			},
			DefaultLimits:  map[string]string{"cpu": "1", "memory": "512Mi"},
			DefaultRequest: map[string]string{"cpu": "100m", "memory": "256Mi"},
			BlockedCIDRs:   []string{"203.0.113.0/24", "2001:db8::/32"},
			DNSServers:     []string{"169.254.20.10/32"},
		},
	}, s)
}

func TestASettingAloneLeavesTheOthersAtTheirDefaults(t *testing.T) {
	s, err := settings.Read(with(t, "integrations: {argocd: false}"))
	require.NoError(t, err)
	want := settings.Defaults()
	want.Integrations.ArgoCD = false
	require.Equal(t, want, s)
}

func TestBadSettingsAreNamedByTheirPath(t *testing.T) {
	long := strings.Repeat("a", 64)
	cases := map[string]struct{ data, want string }{
		"an unknown setting": {
			"webhookdomain: example.org",
			`data: unknown field "webhookdomain"; the settings are approvedGitHubOrganizations, argocd, cloudflare, cloudflared, configSync, integrations, listener, podSecurity, reservedNamespaces, tenant, webhookDomain, webhookTest`,
		},
		"an unknown setting further down":                  {"cloudflare: {providerConfig: {nam: x}}", `data: unknown field "cloudflare.providerConfig.nam"`},
		"two unknown settings":                             {"a: 1\nb: 2", "unknown field \"a\"\nunknown field \"b\""},
		"a number for a text":                              {"webhookDomain: 7", "data: webhookDomain: found a number, need a string"},
		"a text for a number":                              {`cloudflared: {replicas: "2"}`, "data: cloudflared.replicas: found a string, need a int32"},
		"a fraction for a number":                          {"cloudflared: {replicas: 1.5}", "data: cloudflared.replicas: found a number 1.5, need a int32"},
		"a text for a switch":                              {`integrations: {tekton: "no"}`, "data: integrations.tekton: found a string, need a bool"},
		"a text for a list":                                {"reservedNamespaces: billing", "data: reservedNamespaces: found a string, need a []string"},
		"a number in a map of texts":                       {"tenant: {quota: {pods: 20}}", "data: tenant.quota: found a number, need a string"},
		"a list for a group of settings":                   {"argocd: [argocd]", "data: argocd: found a array, need a settings.ArgoCD"},
		"a domain with capital letters":                    {"webhookDomain: Example.org", `data.webhookDomain: Invalid value: "Example.org"`},
		"a domain with a part of 64 characters":            {"webhookDomain: " + long + ".org", "data.webhookDomain: Invalid value"},
		"a domain of 194 characters":                       {"webhookDomain: " + strings.Repeat("a.", 96) + "aa", "data.webhookDomain: Invalid value: \"" + strings.Repeat("a.", 96) + "aa\": must have at most 193 characters"},
		"an account id that is a name":                     {"cloudflare: {accountID: acme}", `data.cloudflare.accountID: Invalid value: "acme": must be the 32 lower-case hexadecimal digits`},
		"a zone with an underscore":                        {"cloudflare: {zone: a_b.org}", `data.cloudflare.zone: Invalid value: "a_b.org": must be a domain such as example.org`},
		"no domain":                                        {`webhookDomain: ""`, `data.webhookDomain: Invalid value: ""`},
		"an unknown Pod Security level":                    {"podSecurity: strict", `data.podSecurity: Unsupported value: "strict": supported values: "privileged", "baseline", "restricted"`},
		"a reserved namespace that is one letter too long": {"reservedNamespaces: [ok, " + long + "]", "data.reservedNamespaces[1]: Invalid value"},
		"a reserved namespace with a star inside":          {`reservedNamespaces: ["a*b"]`, `data.reservedNamespaces[0]: Invalid value: "a*b"`},
		"a star that reserves everything":                  {`reservedNamespaces: ["*"]`, `data.reservedNamespaces[0]: Invalid value: "*"`},
		"an unknown kind of provider config":               {"cloudflare: {providerConfig: {kind: Config}}", `data.cloudflare.providerConfig.kind: Unsupported value: "Config": supported values: "ClusterProviderConfig", "ProviderConfig"`},
		"a provider config without a name":                 {`cloudflare: {providerConfig: {name: ""}}`, `data.cloudflare.providerConfig.name: Invalid value: ""`},
		"an account for nobody":                            {"cloudflare: {accounts: [{webhookDomain: a.org, providerConfig: {kind: ClusterProviderConfig, name: a}}]}", "data.cloudflare.accounts[0].organizations: Required value: name the organizations"},
		"an account without a domain":                      {"cloudflare: {accounts: [{organizations: [a], providerConfig: {kind: ClusterProviderConfig, name: a}}]}", `data.cloudflare.accounts[0].webhookDomain: Invalid value: ""`},
		"an account without a provider config":             {"cloudflare: {accounts: [{organizations: [a], webhookDomain: a.org}]}", `data.cloudflare.accounts[0].providerConfig.kind: Unsupported value: ""`},
		"an account for a name with a star inside":         {`cloudflare: {accounts: [{organizations: ["a*b"], webhookDomain: a.org, providerConfig: {kind: ClusterProviderConfig, name: a}}]}`, `data.cloudflare.accounts[0].organizations[0]: Invalid value: "a*b"`},
		"an unknown setting of an account":                 {"cloudflare: {accounts: [{organization: a}]}", `data: unknown field "cloudflare.accounts[0].organization"`},
		"no image":                                         {`cloudflared: {image: ""}`, `data.cloudflared.image: Invalid value: "": must be an image reference`},
		"an image with a blank":                            {`cloudflared: {image: "a b"}`, `data.cloudflared.image: Invalid value: "a b"`},
		"an image for tests with a blank":                  {`webhookTest: {image: "a b"}`, `data.webhookTest.image: Invalid value: "a b"`},
		"an image for the config sync with a blank":        {`configSync: {image: "a b"}`, `data.configSync.image: Invalid value: "a b"`},
		"fewer than no shards":                             {"listener: {shards: -1}", "data.listener.shards: Invalid value: -1: must be 0 to 32"},
		"thirty-three shards":                              {"listener: {shards: 33}", "data.listener.shards: Invalid value: 33: must be 0 to 32"},
		"no connector":                                     {"cloudflared: {replicas: 0}", "data.cloudflared.replicas: Invalid value: 0: must be 1 to 25"},
		"twenty-six connectors":                            {"cloudflared: {replicas: 26}", "data.cloudflared.replicas: Invalid value: 26: must be 1 to 25"},
		"an Argo CD namespace with a dot":                  {"argocd: {namespace: argo.cd}", `data.argocd.namespace: Invalid value: "argo.cd"`},
		"a quota that is no quantity":                      {`tenant: {quota: {pods: many}}`, `data.tenant.quota[pods]: Invalid value: "many": must be a quantity`},
		"a default limit that is no quantity":              {`tenant: {defaultLimits: {cpu: ""}}`, `data.tenant.defaultLimits[cpu]: Invalid value: ""`},
		"a default request that is no quantity":            {`tenant: {defaultRequests: {memory: 1GB}}`, `data.tenant.defaultRequests[memory]: Invalid value: "1GB"`},
		"a quota of fewer than none":                       {`tenant: {quota: {pods: "-1"}}`, `data.tenant.quota[pods]: Invalid value: "-1": must not be negative`},
		"a quota of half a pod":                            {`tenant: {quota: {pods: 500m}}`, `data.tenant.quota[pods]: Invalid value: "500m": must be a whole number`},
		"a quota of half a device":                         {`tenant: {quota: {example.com/gpu: "0.5"}}`, `data.tenant.quota[example.com/gpu]: Invalid value: "0.5": must be a whole number`},
		"a quota for a resource without its group":         {`tenant: {quota: {gpu: "1"}}`, `data.tenant.quota[gpu]: Invalid value: "1": a quota has no such resource; use one of configmaps, cpu, `},
		"a quota for what only a claim for storage has":    {`tenant: {quota: {storage: 1Gi}}`, `data.tenant.quota[storage]: Invalid value: "1Gi": a quota has no such resource`},
		"a quota for a resource whose name has a blank":    {`tenant: {quota: {"requests. cpu": "1"}}`, `data.tenant.quota[requests. cpu]: Invalid value: "1": name part must consist of`},
		"a default limit of less than nothing":             {`tenant: {defaultLimits: {memory: "-1Gi"}}`, `data.tenant.defaultLimits[memory]: Invalid value: "-1Gi": must not be negative`},
		"a default limit for what a quota has":             {`tenant: {defaultLimits: {limits.cpu: "1"}}`, `data.tenant.defaultLimits[limits.cpu]: Invalid value: "1": no container may ask for this; use cpu, memory, ephemeral-storage or`},
		"a default request for what a quota has of others": {`tenant: {defaultRequests: {requests.nvidia.com/gpu: "1"}}`, `data.tenant.defaultRequests[requests.nvidia.com/gpu]: Invalid value: "1": no container may ask for this`},
		"a default limit below the default of the request": {`tenant: {defaultLimits: {cpu: 50m}}`, `data.tenant.defaultRequests[cpu]: Invalid value: "100m": must not be more than data.tenant.defaultLimits[cpu], which is "50m"; where that one has its default, set both`},
		"a default request above the default of the limit": {`tenant: {defaultRequests: {memory: 1Gi}}`, `data.tenant.defaultRequests[memory]: Invalid value: "1Gi": must not be more than data.tenant.defaultLimits[memory], which is "512Mi"`},
		"a device that is shared":                          {`tenant: {defaultLimits: {nvidia.com/gpu: "2"}, defaultRequests: {nvidia.com/gpu: "1"}}`, `data.tenant.defaultRequests[nvidia.com/gpu]: Invalid value: "1": must be as much as data.tenant.defaultLimits[nvidia.com/gpu], which is "2"`},
		"huge pages that are shared":                       {`tenant: {defaultLimits: {hugepages-2Mi: 4Mi}, defaultRequests: {hugepages-2Mi: 2Mi}}`, `data.tenant.defaultRequests[hugepages-2Mi]: Invalid value: "2Mi": must be as much as`},
		"an address for a range":                           {"tenant: {blockedCIDRs: [203.0.113.7]}", `data.tenant.blockedCIDRs[0]: Invalid value: "203.0.113.7": must be a range such as 203.0.113.0/24`},
		"an address for a range of DNS servers":            {"tenant: {dnsServers: [169.254.20.10]}", `data.tenant.dnsServers[0]: Invalid value: "169.254.20.10": must be a range such as 169.254.20.10/32`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := settings.Read(with(t, c.data))
			require.Nil(t, s, "going on with a default would change what exists")
			require.ErrorContains(t, err, "EnvironmentConfig aphex: ")
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestBoundsThatAreStillGood(t *testing.T) {
	for name, data := range map[string]string{
		"one connector":              "cloudflared: {replicas: 1}",
		"twenty-five connectors":     "cloudflared: {replicas: 25}",
		"the longest namespace":      "argocd: {namespace: " + strings.Repeat("a", 63) + "}",
		"a reserved prefix":          `reservedNamespaces: ["team-*", "x*", team]`,
		"a domain of 193 characters": "webhookDomain: " + strings.Repeat("a.", 96) + "a",
		"a zone by its id":           "cloudflare: {zone: 0123456789abcdef0123456789abcdef}",
		"a domain of one label":      "webhookDomain: localhost",
		"every Pod Security level":   "podSecurity: privileged",
		"a quota of zero":            `tenant: {quota: {pods: "0"}}`,
		"a quota for everything": `tenant: {quota: {cpu: 100m, limits.ephemeral-storage: 1Gi, requests.storage: 10Gi, services.loadbalancers: "0", hugepages-2Mi: 2Mi,
  requests.hugepages-1Gi: 1Gi, requests.nvidia.com/gpu: "1", count/jobs.batch: "10", gold.storageclass.storage.k8s.io/requests.storage: 5Gi, configmaps: 1k}}`,
		"limits for everything": `tenant: {defaultLimits: {cpu: 100m, memory: 128Mi, ephemeral-storage: 1Gi, hugepages-2Mi: 2Mi, nvidia.com/gpu: "1"},
  defaultRequests: {cpu: 100m, hugepages-2Mi: 2Mi, nvidia.com/gpu: "1"}}`,
		"limits and requests of zero": `tenant: {defaultLimits: {cpu: "0"}, defaultRequests: {cpu: "0"}}`,
		"a limit without a request":   `tenant: {defaultLimits: {ephemeral-storage: 1Gi}}`,
		"a request without a limit":   `tenant: {defaultRequests: {ephemeral-storage: 1Gi}}`,
		"no blocked range":            "tenant: {blockedCIDRs: []}",
		"no approved organizations":   "approvedGitHubOrganizations: []",
		"the smallest blocked ranges": "tenant: {blockedCIDRs: [203.0.113.7/32, \"2001:db8::1/128\"]}",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := settings.Read(with(t, data))
			require.NoError(t, err)
		})
	}
}

func TestAllBadSettingsAreReportedAtOnce(t *testing.T) {
	_, err := settings.Read(with(t, "webhookDomain: A\npodSecurity: b\ncloudflared: {replicas: 99}"))
	require.ErrorContains(t, err, "data.webhookDomain")
	require.ErrorContains(t, err, "data.podSecurity")
	require.ErrorContains(t, err, "data.cloudflared.replicas")
}

func TestWebhookAddresses(t *testing.T) {
	s := settings.Defaults()
	require.Equal(t, "acme-corp.arbiter-dev.com", s.WebhookHost("acme-corp"))
	require.Equal(t, "https://acme-corp.arbiter-dev.com", s.WebhookURL("acme-corp"))
}

func TestOrganizationsAreSpreadOverAccounts(t *testing.T) {
	s, err := settings.Read(with(t, `
webhookDomain: example.com
podSecurity: restricted
listener: {shards: 8}
cloudflare:
  providerConfig: {name: first}
  accounts:
  - organizations: [big, "eu-*"]
    webhookDomain: eu.example.com
    zone: example.com
    providerConfig: {kind: ClusterProviderConfig, name: second}
  - organizations: ["*"]
    webhookDomain: rest.example.org
    accountID: 0123456789abcdef0123456789abcdef
    providerConfig: {kind: ProviderConfig, name: third}`))
	require.NoError(t, err)
	for organization, want := range map[string]struct{ host, account, zone, providerConfig string }{
		"big":      {"big.eu.example.com", "", "example.com", "second"},
		"eu-north": {"eu-north.eu.example.com", "", "example.com", "second"},
		"eu":       {"eu.rest.example.org", "0123456789abcdef0123456789abcdef", "", "third"},
		"bigger":   {"bigger.rest.example.org", "0123456789abcdef0123456789abcdef", "", "third"},
	} {
		got := s.For(organization)
		require.Equal(t, want.host, got.WebhookHost(organization))
		require.Equal(t, want.account, got.Cloudflare.AccountID, organization)
		require.Equal(t, want.zone, got.Cloudflare.Zone, organization)
		require.Equal(t, want.providerConfig, got.Cloudflare.ProviderConfig.Name, organization)
		require.Equal(t, "restricted", got.PodSecurity, "all else is the same")
	}
	none := settings.Defaults()
	require.Equal(t, none, none.For("acme-corp"))
}

// manifest is the EnvironmentConfig that a platform team edits.
func manifest(t *testing.T) map[string]any {
	t.Helper()
	data, err := os.ReadFile("../../../package/configure.yaml")
	require.NoError(t, err)
	for document := range strings.SplitSeq(string(data), "\n---\n") {
		var object map[string]any
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &object))
		if object["kind"] == "EnvironmentConfig" {
			require.Equal(t, map[string]any{"name": settings.Name}, object["metadata"])
			return object["data"].(map[string]any)
		}
	}
	t.Fatal("package/configure.yaml has no EnvironmentConfig")
	return nil
}

func TestConfigureManifest(t *testing.T) {
	data := manifest(t)
	shown, err := yaml.Marshal(data)
	require.NoError(t, err)

	t.Run("every setting is read", func(t *testing.T) {
		s, err := settings.Read(with(t, string(shown)))
		require.NoError(t, err)
		got, err := yaml.Marshal(s)
		require.NoError(t, err)
		require.YAMLEq(t, string(shown), string(got), "a setting that is not in the manifest is shown here with its default")
	})
	t.Run("what it shows is what holds without it", func(t *testing.T) {
		s, err := settings.Read(with(t, string(shown)))
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(settings.Defaults(), s, cmpopts.EquateEmpty()))
	})
	t.Run("docs/settings.md shows the same", func(t *testing.T) {
		page, err := os.ReadFile("../../../docs/settings.md")
		require.NoError(t, err)
		_, block, found := strings.Cut(string(page), "```yaml\n")
		require.True(t, found)
		block, _, found = strings.Cut(block, "```")
		require.True(t, found)
		var object map[string]any
		require.NoError(t, yaml.UnmarshalStrict([]byte(block), &object))
		require.Equal(t, data, object["data"])
	})
}
