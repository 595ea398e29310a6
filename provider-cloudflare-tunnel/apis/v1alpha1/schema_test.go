package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
)

// crdDir holds the generated CRDs.
const crdDir = "../../../package/crds"

func TestEveryKindHasACRDThatTheAPIServerTakes(t *testing.T) {
	var kinds []string
	for _, crd := range loadCRDs(t) {
		kinds = append(kinds, crd.Spec.Names.Kind)
		t.Run(crd.Spec.Names.Kind, func(t *testing.T) {
			internal := &apiextensions.CustomResourceDefinition{}
			require.NoError(t, apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, internal, nil))
			// Refuses a schema that is not structural, a default that does not validate, and CEL that does not compile or may
			// cost too much.
			require.NoError(t, crdvalidation.ValidateCustomResourceDefinition(t.Context(), internal).ToAggregate())

			require.Contains(t, crd.Spec.Names.Categories, "crossplane")
			require.Contains(t, crd.Spec.Names.Categories, "cloudflare")
			require.NotEmpty(t, crd.Spec.Names.ShortNames)
			require.Len(t, crd.Spec.Versions, 1)
			root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
			require.Empty(t, undocumented("", *root), "fields that kubectl explain says nothing about")
		})
	}

	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	var known []string
	for kind, typ := range scheme.KnownTypes(v1alpha1.GroupVersion) {
		if strings.HasSuffix(typ.PkgPath(), "/provider-cloudflare-tunnel/apis/v1alpha1") && !strings.HasSuffix(kind, "List") {
			known = append(known, kind)
		}
	}
	require.ElementsMatch(t, []string{"ClusterProviderConfig", "DNSRecord", "ProviderConfig", "ProviderConfigUsage", "Tunnel"}, kinds)
	require.ElementsMatch(t, kinds, known)
}

func TestManifestsThatAreAccepted(t *testing.T) {
	v := newValidators(t)
	for name, manifest := range map[string]string{
		"a tunnel with a name alone": `
kind: Tunnel
spec: {forProvider: {name: acme-corp}}`,
		"a tunnel with everything": `
kind: Tunnel
spec:
  forProvider:
    name: ACME Corporation, primary
    accountID: 65671c123fa015f89bfb9f110d0000fd
    configSource: local
    rotateSecretAt: "2026-05-31T22:00:00Z"
  providerConfigRef: {kind: ProviderConfig, name: own}
  managementPolicies: [Observe]
  writeConnectionSecretToRef: {name: cloudflared-credentials-acme-corp}`,
		"a tunnel with a name of 100 characters": `
kind: Tunnel
spec: {forProvider: {name: ` + strings.Repeat("a", 100) + `}}`,
		"a record that points at a host": `
kind: DNSRecord
spec: {forProvider: {name: acme-corp.example.com, content: 1280a396-767b-4e77-9425-735765b5f1ae.cfargotunnel.com}}`,
		"a record that points at a tunnel by name": `
kind: DNSRecord
spec: {forProvider: {name: acme-corp.example.com, tunnelRef: {name: acme-corp}}}`,
		"a record that points at a tunnel by labels": `
kind: DNSRecord
spec: {forProvider: {name: acme-corp.example.com, tunnelSelector: {matchLabels: {platform.aphex/organization: acme-corp}}}}`,
		"a record in a zone named by its domain, with everything": `
kind: DNSRecord
spec:
  forProvider:
    zone: example.com
    type: CNAME
    name: acme-corp.example.com
    tunnelRef: {name: acme-corp}
    proxied: true
    ttl: 1
    comment: "webhooks of ACME, see the wiki"`,
		"a record in a zone named by its id": `
kind: DNSRecord
spec: {forProvider: {zone: 023e105f4ecef8ad9ca31a8372d0c353, name: a.example.com, content: b.example.com}}`,
		"a record that is not proxied and may be kept for an hour": `
kind: DNSRecord
spec: {forProvider: {name: a.example.com, content: b.example.com, proxied: false, ttl: 3600}}`,
		"an observed record that says nothing about its content": `
kind: DNSRecord
spec: {forProvider: {name: a.example.com}, managementPolicies: [Observe, Delete]}`,
		"a provider config with a secret alone": `
kind: ProviderConfig
spec: {credentials: {secretRef: {name: cloudflare}}}`,
		"a cluster provider config with everything": `
kind: ClusterProviderConfig
spec:
  credentials: {source: Secret, secretRef: {namespace: crossplane-system, name: cloudflare, key: api-token}}
  accountID: 65671c123fa015f89bfb9f110d0000fd
  zone: example.com
  baseURL: https://api.cloudflare.com/client/v4
  requestsPer5Minutes: 1200`,
		"a provider config for a test server on loopback": `
kind: ProviderConfig
spec: {credentials: {secretRef: {name: cloudflare}}, baseURL: "http://127.0.0.1:8787/client/v4"}`,
		"the usage of a provider config": `
kind: ProviderConfigUsage
providerConfigRef: {kind: ClusterProviderConfig, name: default}
resourceRef: {apiVersion: cloudflare.aphex.io/v1alpha1, kind: Tunnel, name: acme-corp}`,
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, v.create(t, manifest))
		})
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	v := newValidators(t)
	for name, c := range map[string]struct {
		manifest string
		// want are fragments of the message that the user sees.
		want []string
	}{
		"a tunnel without a name": {
			"{kind: Tunnel, spec: {forProvider: {}}}",
			[]string{"spec.forProvider.name: Required value"}},
		"a tunnel without settings": {
			"{kind: Tunnel, spec: {}}",
			[]string{"spec.forProvider: Required value"}},
		"a tunnel with an empty name": {
			`{kind: Tunnel, spec: {forProvider: {name: ""}}}`,
			[]string{"spec.forProvider.name", "should be at least 1 chars long"}},
		"a tunnel with a name of 101 characters": {
			"{kind: Tunnel, spec: {forProvider: {name: " + strings.Repeat("a", 101) + "}}}",
			[]string{"spec.forProvider.name: Too long"}},
		"a tunnel with a name of two lines": {
			`{kind: Tunnel, spec: {forProvider: {name: "acme\ncorp"}}}`,
			[]string{"spec.forProvider.name", "must neither start nor end with a space, nor hold control characters"}},
		"a tunnel with a space after its name": {
			`{kind: Tunnel, spec: {forProvider: {name: "acme "}}}`,
			[]string{"must neither start nor end with a space"}},
		"a tunnel with the account's name instead of its id": {
			"{kind: Tunnel, spec: {forProvider: {name: a, accountID: ACME}}}",
			[]string{"spec.forProvider.accountID", "must be the 32 lower-case hexadecimal digits that Cloudflare shows as Account ID"}},
		"a tunnel that the dashboard configures": {
			"{kind: Tunnel, spec: {forProvider: {name: a, configSource: cloudflare}}}",
			[]string{`spec.forProvider.configSource: Unsupported value: "cloudflare": supported values: "local"`}},
		"a rotation at a time that is none": {
			"{kind: Tunnel, spec: {forProvider: {name: a, rotateSecretAt: now}}}",
			[]string{"spec.forProvider.rotateSecretAt", "must be of type date-time"}},
		"a rotation at no time at all": {
			`{kind: Tunnel, spec: {forProvider: {name: a, rotateSecretAt: "0001-01-01T00:00:00Z"}}}`,
			[]string{"spec.forProvider.rotateSecretAt", "must be a time between the years 2020 and 2099"}},
		"a rotation with a slip in the year": {
			`{kind: Tunnel, spec: {forProvider: {name: a, rotateSecretAt: "2206-01-01T00:00:00Z"}}}`,
			[]string{"must be a time between the years 2020 and 2099"}},
		"a tunnel with a provider config of an unknown kind": {
			"{kind: Tunnel, spec: {forProvider: {name: a}, providerConfigRef: {kind: Secret, name: a}}}",
			[]string{"providerConfigRef.kind must be ProviderConfig or ClusterProviderConfig"}},
		"a tunnel with an unknown management policy": {
			"{kind: Tunnel, spec: {forProvider: {name: a}, managementPolicies: [Read]}}",
			[]string{`spec.managementPolicies[0]: Unsupported value: "Read"`}},

		"a record without a name": {
			"{kind: DNSRecord, spec: {forProvider: {content: b.example.com}}}",
			[]string{"spec.forProvider.name: Required value"}},
		"a record that points nowhere": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com}}}",
			[]string{"one of content, tunnelRef and tunnelSelector must be set"}},
		"a record that points nowhere and may be updated": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com}, managementPolicies: [Observe, Update]}}",
			[]string{"one of content, tunnelRef and tunnelSelector must be set"}},
		"a record that points at a host and a tunnel": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, tunnelRef: {name: t}}}}",
			[]string{"only one of content, tunnelRef and tunnelSelector may be set"}},
		"a record that points at a tunnel by name and by labels": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, tunnelRef: {name: t}, tunnelSelector: {matchLabels: {a: b}}}}}",
			[]string{"only one of content, tunnelRef and tunnelSelector may be set"}},
		"a record that selects a tunnel by no label": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, tunnelSelector: {matchLabels: {}}}}}",
			[]string{"spec.forProvider.tunnelSelector.matchLabels", "should have at least 1 properties"}},
		"a record with a name of one part": {
			"{kind: DNSRecord, spec: {forProvider: {name: acme, content: b.example.com}}}",
			[]string{"spec.forProvider.name", "must be a full host name such as acme-corp.example.com"}},
		"a record with a name in capitals": {
			"{kind: DNSRecord, spec: {forProvider: {name: Acme.example.com, content: b.example.com}}}",
			[]string{"must be a full host name such as acme-corp.example.com"}},
		"a record with a name that is a wildcard": {
			`{kind: DNSRecord, spec: {forProvider: {name: "*.example.com", content: b.example.com}}}`,
			[]string{"must be a full host name such as acme-corp.example.com"}},
		"a record with a name that is a URL": {
			`{kind: DNSRecord, spec: {forProvider: {name: "https://acme.example.com", content: b.example.com}}}`,
			[]string{"must be a full host name such as acme-corp.example.com"}},
		"a record with a name part of 64 characters": {
			"{kind: DNSRecord, spec: {forProvider: {name: " + strings.Repeat("a", 64) + ".example.com, content: b.example.com}}}",
			[]string{"in parts of at most 63 characters"}},
		"a record with a name of 254 characters": {
			"{kind: DNSRecord, spec: {forProvider: {name: " + strings.Repeat("a.", 125) + "comm, content: b.example.com}}}",
			[]string{"spec.forProvider.name: Too long"}},
		"a record that points at an address": {
			`{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: "2001:db8::1"}}}`,
			[]string{"spec.forProvider.content", "must be a full host name"}},
		"a record of another type": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, type: TXT}}}",
			[]string{`spec.forProvider.type: Unsupported value: "TXT": supported values: "CNAME"`}},
		"a record in a zone that is a URL": {
			`{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, zone: "https://example.com"}}}`,
			[]string{"spec.forProvider.zone", "must be a zone name such as example.com in lower case"}},
		"a record that may be kept for 59 seconds": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, proxied: false, ttl: 59}}}",
			[]string{"spec.forProvider.ttl", "must be 1 (automatic) or 60 to 86400 seconds"}},
		"a record that may be kept for two days": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, proxied: false, ttl: 172800}}}",
			[]string{"spec.forProvider.ttl", "should be less than or equal to 86400"}},
		"a proxied record with a time of its own": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, ttl: 300}}}",
			[]string{"ttl must be 1 (automatic) while proxied is true"}},
		"a record with a comment of two lines": {
			`{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, comment: "a\nb"}}}`,
			[]string{"spec.forProvider.comment", "must be one line without control characters"}},
		"a record with a comment of 101 characters": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, comment: " + strings.Repeat("a", 101) + "}}}",
			[]string{"spec.forProvider.comment: Too long"}},

		"a provider config without credentials": {
			"{kind: ProviderConfig, spec: {}}",
			[]string{"spec.credentials: Required value"}},
		"a provider config with a secret of another namespace": {
			"{kind: ProviderConfig, spec: {credentials: {secretRef: {namespace: crossplane-system, name: cloudflare}}}}",
			[]string{`unknown field "spec.credentials.secretRef.namespace"`}},
		"a cluster provider config with a secret of no namespace": {
			"{kind: ClusterProviderConfig, spec: {credentials: {secretRef: {name: cloudflare}}}}",
			[]string{"spec.credentials.secretRef.namespace: Required value"}},
		"a provider config with a token from the environment": {
			"{kind: ProviderConfig, spec: {credentials: {source: Environment, secretRef: {name: cloudflare}}}}",
			[]string{`spec.credentials.source: Unsupported value: "Environment": supported values: "Secret"`}},
		"a provider config that sends the token in the clear": {
			`{kind: ProviderConfig, spec: {credentials: {secretRef: {name: c}}, baseURL: "http://api.cloudflare.com/client/v4"}}`,
			[]string{"spec.baseURL", "must be an https URL such as https://api.cloudflare.com/client/v4, or http to 127.0.0.1 for tests"}},
		"a provider config that hides another host behind 127.0.0.1": {
			`{kind: ProviderConfig, spec: {credentials: {secretRef: {name: c}}, baseURL: "http://127.0.0.1@example.com/"}}`,
			[]string{"must be an https URL", "must not hold a user, a query or a fragment"}},
		"a provider config with a host that only begins like 127.0.0.1": {
			`{kind: ProviderConfig, spec: {credentials: {secretRef: {name: c}}, baseURL: "http://127.0.0.1.example.com/"}}`,
			[]string{"must be an https URL"}},
		"a provider config with a path instead of a URL": {
			`{kind: ProviderConfig, spec: {credentials: {secretRef: {name: c}}, baseURL: "/client/v4"}}`,
			[]string{"must be an https URL"}},
		"a provider config with a query in its URL": {
			`{kind: ProviderConfig, spec: {credentials: {secretRef: {name: c}}, baseURL: "https://example.com/?a=b"}}`,
			[]string{"must not hold a user, a query or a fragment"}},
		"a provider config that wants more requests than Cloudflare allows": {
			"{kind: ProviderConfig, spec: {credentials: {secretRef: {name: c}}, requestsPer5Minutes: 1201}}",
			[]string{"spec.requestsPer5Minutes", "should be less than or equal to 1200"}},
		"a provider config that wants no requests": {
			"{kind: ProviderConfig, spec: {credentials: {secretRef: {name: c}}, requestsPer5Minutes: 0}}",
			[]string{"spec.requestsPer5Minutes", "should be greater than or equal to 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := v.create(t, c.manifest)
			require.Error(t, err)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	const account, otherAccount = "65671c123fa015f89bfb9f110d0000fd", "00000000000000000000000000000001"
	v := newValidators(t)
	for name, c := range map[string]struct {
		before, after string
		// want is a fragment of the message; empty means that the change is accepted.
		want string
	}{
		"a tunnel may be renamed": {
			"{kind: Tunnel, spec: {forProvider: {name: a}}}",
			"{kind: Tunnel, spec: {forProvider: {name: b}}}", ""},
		"a rotation may be asked for again, and taken back": {
			`{kind: Tunnel, spec: {forProvider: {name: a, rotateSecretAt: "2026-05-31T22:00:00Z"}}}`,
			`{kind: Tunnel, spec: {forProvider: {name: a, rotateSecretAt: "2025-01-01T00:00:00Z"}}}`, ""},
		"a tunnel cannot move to another account": {
			"{kind: Tunnel, spec: {forProvider: {name: a, accountID: " + account + "}}}",
			`{kind: Tunnel, spec: {forProvider: {name: a, accountID: "` + otherAccount + `"}}}`,
			"accountID cannot be changed or removed: a tunnel does not move between accounts"},
		"a tunnel cannot fall back to the account of its provider config": {
			"{kind: Tunnel, spec: {forProvider: {name: a, accountID: " + account + "}}}",
			"{kind: Tunnel, spec: {forProvider: {name: a}}}",
			"accountID cannot be changed or removed: a tunnel does not move between accounts"},
		"a tunnel may say in which account it is": {
			"{kind: Tunnel, spec: {forProvider: {name: a}}, status: {atProvider: {accountID: " + account + "}}}",
			"{kind: Tunnel, spec: {forProvider: {name: a, accountID: " + account + "}}, status: {atProvider: {accountID: " + account + "}}}", ""},
		"a tunnel that exists nowhere yet may say in which account it is to be": {
			"{kind: Tunnel, spec: {forProvider: {name: a}}}",
			"{kind: Tunnel, spec: {forProvider: {name: a, accountID: " + account + "}}}", ""},
		"a tunnel cannot say that it is in another account": {
			"{kind: Tunnel, spec: {forProvider: {name: a}}, status: {atProvider: {accountID: " + account + "}}}",
			`{kind: Tunnel, spec: {forProvider: {name: a, accountID: "` + otherAccount + `"}}, status: {atProvider: {accountID: ` + account + "}}}",
			"must be the account that the tunnel already is in, status.atProvider.accountID"},
		"the first status of a tunnel may name its account": {
			"{kind: Tunnel, spec: {forProvider: {name: a, accountID: " + account + "}}}",
			"{kind: Tunnel, spec: {forProvider: {name: a, accountID: " + account + "}}, status: {atProvider: {accountID: " + account + "}}}", ""},
		"a record may point elsewhere and get another name": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com}}}",
			"{kind: DNSRecord, spec: {forProvider: {name: b.example.com, tunnelRef: {name: t}}}}", ""},
		"a record cannot move to another zone": {
			"{kind: DNSRecord, spec: {forProvider: {zone: example.com, name: a.example.com, content: b.example.com}}}",
			"{kind: DNSRecord, spec: {forProvider: {zone: example.org, name: a.example.com, content: b.example.com}}}",
			"zone cannot be set, changed or removed later: a record does not move between zones"},
		"a record cannot fall back to the zone of its provider config": {
			"{kind: DNSRecord, spec: {forProvider: {zone: example.com, name: a.example.com, content: b.example.com}}}",
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com}}}",
			"zone cannot be set, changed or removed later"},
		"a record cannot be given a zone later": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com}}}",
			"{kind: DNSRecord, spec: {forProvider: {zone: example.com, name: a.example.com, content: b.example.com}}}",
			"zone cannot be set, changed or removed later"},
		"a record cannot become one of another type": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com}}}",
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, type: TXT}}}",
			"cannot be changed; delete this DNSRecord and create one of the other type"},
	} {
		t.Run(name, func(t *testing.T) {
			err := v.update(t, c.before, c.after)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestDefaults(t *testing.T) {
	v := newValidators(t)
	for name, c := range map[string]struct{ manifest, want string }{
		"a tunnel is configured locally, with the default config of the cluster": {
			"{kind: Tunnel, spec: {forProvider: {name: a}}}",
			`{kind: Tunnel, spec: {forProvider: {name: a, configSource: local}, managementPolicies: ["*"], providerConfigRef: {kind: ClusterProviderConfig, name: default}}}`},
		"a record is a proxied CNAME": {
			"{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com}}}",
			`{kind: DNSRecord, spec: {forProvider: {name: a.example.com, content: b.example.com, type: CNAME, proxied: true, ttl: 1}, managementPolicies: ["*"], providerConfigRef: {kind: ClusterProviderConfig, name: default}}}`},
		"a provider config reads the key token and leaves some of Cloudflare's budget to others": {
			"{kind: ProviderConfig, spec: {credentials: {secretRef: {name: c}}}}",
			"{kind: ProviderConfig, spec: {credentials: {source: Secret, secretRef: {name: c, key: token}}, requestsPer5Minutes: 1000}}"},
		"a cluster provider config does too": {
			"{kind: ClusterProviderConfig, spec: {credentials: {secretRef: {namespace: n, name: c}}}}",
			"{kind: ClusterProviderConfig, spec: {credentials: {source: Secret, secretRef: {namespace: n, name: c, key: token}}, requestsPer5Minutes: 1000}}"},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := parse(t, c.manifest), parse(t, c.want)
			k := v.of(t, got)
			defaulting.Default(got, k.structural)
			require.Equal(t, want, got)
		})
	}
}

// validators hold, by kind, what the API server makes of a CRD.
type validators map[string]validator

type validator struct {
	structural *schema.Structural
	schema     validation.SchemaValidator
	cel        *cel.Validator
}

func newValidators(t *testing.T) validators {
	t.Helper()
	all := validators{}
	for _, crd := range loadCRDs(t) {
		props := &apiextensions.JSONSchemaProps{}
		require.NoError(t, apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, props, nil))
		structural, err := schema.NewStructural(props)
		require.NoError(t, err)
		sv, _, err := validation.NewSchemaValidator(props)
		require.NoError(t, err)
		all[crd.Spec.Names.Kind] = validator{structural: structural, schema: sv, cel: cel.NewValidator(structural, true, celconfig.PerCallLimit)}
	}
	return all
}

func (v validators) of(t *testing.T, object map[string]any) validator {
	t.Helper()
	kind, _ := object["kind"].(string)
	require.Contains(t, v, kind)
	return v[kind]
}

// create does what the API server does with a new object, with unknown fields refused as kubectl asks for.
func (v validators) create(t *testing.T, manifest string) error {
	t.Helper()
	object := parse(t, manifest)
	k := v.of(t, object)
	errs := k.prepare(object)
	errs = append(errs, validation.ValidateCustomResource(nil, object, k.schema)...)
	errs = append(errs, k.rules(t.Context(), object, nil)...)
	return errs.ToAggregate()
}

// update does the same with a change. Both CEL and schema errors are told, where the API server stops at the latter.
func (v validators) update(t *testing.T, before, after string) error {
	t.Helper()
	o, n := parse(t, before), parse(t, after)
	k := v.of(t, n)
	require.NoError(t, k.prepare(o).ToAggregate())
	errs := k.prepare(n)
	errs = append(errs, validation.ValidateCustomResourceUpdate(nil, n, o, k.schema)...)
	errs = append(errs, k.rules(t.Context(), n, o)...)
	return errs.ToAggregate()
}

// prepare sets defaults and tells which fields the schema does not know.
func (k validator) prepare(object map[string]any) field.ErrorList {
	defaulting.Default(object, k.structural)
	var errs field.ErrorList
	for _, path := range pruning.PruneWithOptions(object, k.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		errs = append(errs, field.Invalid(nil, nil, fmt.Sprintf("unknown field %q", path)))
	}
	return errs
}

func (k validator) rules(ctx context.Context, object, old map[string]any) field.ErrorList {
	if k.cel == nil {
		return nil
	}
	var before any
	if old != nil {
		before = old
	}
	errs, _ := k.cel.Validate(ctx, nil, k.structural, object, before, celconfig.RuntimeCELCostBudget)
	return errs
}

func parse(t *testing.T, manifest string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSONStrict([]byte(manifest))
	require.NoError(t, err)
	// Unlike the standard library's, this decoder keeps whole numbers whole.
	object := map[string]any{}
	require.NoError(t, json.Unmarshal(raw, &object))
	return object
}

func loadCRDs(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(crdDir, "cloudflare.aphex.io_*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, paths, "no CRDs in %s; run make generate", crdDir)
	slices.Sort(paths)
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		crd := &apiextensionsv1.CustomResourceDefinition{}
		require.NoError(t, yaml.UnmarshalStrict(raw, crd), path)
		apiextensionsv1.SetDefaults_CustomResourceDefinition(crd)
		crds = append(crds, crd)
	}
	return crds
}

// undocumented lists the paths of fields without a description. Those of metadata come from the API server.
func undocumented(path string, s apiextensionsv1.JSONSchemaProps) []string {
	var missing []string
	for name, p := range s.Properties {
		child := path + "." + name
		if p.Description == "" && child != ".metadata" {
			missing = append(missing, child)
		}
		missing = append(missing, undocumented(child, p)...)
	}
	if s.Items != nil && s.Items.Schema != nil {
		missing = append(missing, undocumented(path+"[]", *s.Items.Schema)...)
	}
	slices.Sort(missing)
	return missing
}
