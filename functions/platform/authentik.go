package main

import (
	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
)

// applicationSlug is the platform's application at Authentik, which is part of the issuer that Dex knows it by.
const applicationSlug = "platform-services"

// dexProviderName is by which the provider that Dex logs in with is found again.
const dexProviderName = "Dex OIDC Provider"

// blueprint is a file from which Authentik sets itself up, see https://docs.goauthentik.io/customize/blueprints/v1/structure/.
type blueprint struct {
	Version  int               `yaml:"version"`
	Metadata blueprintMetadata `yaml:"metadata"`
	Entries  []blueprintEntry  `yaml:"entries"`
}

type blueprintMetadata struct {
	Name   string            `yaml:"name"`
	Labels map[string]string `yaml:"labels"`
}

// blueprintEntry is one object of Authentik, found by its identifiers. Later entries refer to it by its id.
type blueprintEntry struct {
	Model       string         `yaml:"model"`
	ID          string         `yaml:"id"`
	Identifiers map[string]any `yaml:"identifiers"`
	Attrs       map[string]any `yaml:"attrs"`
}

// groupsExpression and emailExpression are Python, which Authentik runs for each token.
const (
	groupsExpression = `return {"groups": [group.name for group in request.user.all_groups()]}`
	emailExpression  = `return {"email": request.user.email, "email_verified": True}`
)

// authentikBlueprint has the groups, the people in them, and what Dex logs in with. The provider's client secret is not here: a
// ConfigMap is no place for it. Authentik makes one up, which is replaced through its API.
func authentikBlueprint(spec v1alpha1.PlatformSpec) blueprint {
	b := blueprint{
		Version: 1,
		Metadata: blueprintMetadata{
			Name: "Aphex platform",
			// Apply it without being asked.
			Labels: map[string]string{"blueprints.goauthentik.io/instantiate": "true"},
		},
	}
	groups := spec.Groups
	b.Entries = append(b.Entries, authentikGroup(groups.Admins, true), authentikGroup(groups.Operators, false), authentikGroup(groups.Engineering, false))
	for _, u := range spec.Auth.Users {
		b.Entries = append(b.Entries, authentikUser(u))
	}
	b.Entries = append(b.Entries,
		scopeMapping("groups", "The names of a person's groups", groupsExpression),
		// Authentik's own mapping says that no address is verified, which the API server would refuse; here those are set by
		// administrators and by this file.
		scopeMapping("email", "A person's e-mail address", emailExpression),
		dexProvider(spec),
		blueprintEntry{
			Model:       "authentik_core.application",
			ID:          "application",
			Identifiers: map[string]any{"slug": applicationSlug},
			Attrs:       map[string]any{"name": "Platform services", "provider": keyOf("provider")},
		},
	)
	return b
}

func authentikGroup(g v1alpha1.Group, superuser bool) blueprintEntry {
	return blueprintEntry{
		Model:       "authentik_core.group",
		ID:          groupID(g.Name),
		Identifiers: map[string]any{"name": g.Name},
		Attrs:       map[string]any{"is_superuser": superuser},
	}
}

// authentikUser is in these groups and no others. Whether the account is active is left to Authentik's administrators.
func authentikUser(u v1alpha1.User) blueprintEntry {
	groups := make([]*yaml.Node, len(u.Groups))
	for i, name := range u.Groups {
		groups[i] = keyOf(groupID(name))
	}
	return blueprintEntry{
		Model:       "authentik_core.user",
		ID:          "user-" + u.Username,
		Identifiers: map[string]any{"username": u.Username},
		Attrs:       map[string]any{"name": u.Name, "email": u.Email, "groups": groups},
	}
}

func scopeMapping(scope, description, expression string) blueprintEntry {
	return blueprintEntry{
		Model:       "authentik_providers_oauth2.scopemapping",
		ID:          "scope-" + scope,
		Identifiers: map[string]any{"name": "Aphex platform: " + scope},
		Attrs:       map[string]any{"scope_name": scope, "description": description, "expression": expression},
	}
}

// dexProvider is the OAuth2 provider that Dex is a client of.
func dexProvider(spec v1alpha1.PlatformSpec) blueprintEntry {
	return blueprintEntry{
		Model:       "authentik_providers_oauth2.oauth2provider",
		ID:          "provider",
		Identifiers: map[string]any{"name": dexProviderName},
		Attrs: map[string]any{
			"authorization_flow":         find("authentik_flows.flow", "slug", "default-provider-authorization-implicit-consent"),
			"invalidation_flow":          find("authentik_flows.flow", "slug", "default-provider-invalidation-flow"),
			"client_type":                "confidential",
			"client_id":                  dexClientID,
			"redirect_uris":              []map[string]string{{"matching_mode": "strict", "url": callbackURL(spec)}},
			"signing_key":                find("authentik_crypto.certificatekeypair", "name", "authentik Self-signed Certificate"),
			"access_code_validity":       "minutes=1",
			"access_token_validity":      "minutes=5",
			"refresh_token_validity":     "days=30",
			"include_claims_in_id_token": true,
			"issuer_mode":                "per_provider",
			"sub_mode":                   "hashed_user_id",
			"property_mappings": []*yaml.Node{
				find("authentik_providers_oauth2.scopemapping", "managed", "goauthentik.io/providers/oauth2/scope-openid"),
				find("authentik_providers_oauth2.scopemapping", "managed", "goauthentik.io/providers/oauth2/scope-profile"),
				keyOf("scope-email"),
				keyOf("scope-groups"),
			},
		},
	}
}

func groupID(name string) string { return "group-" + name }

// keyOf refers to another entry of the file.
func keyOf(id string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!KeyOf", Value: id} }

// find refers to an object that Authentik has already.
func find(model, field, value string) *yaml.Node {
	return &yaml.Node{
		Kind: yaml.SequenceNode, Tag: "!Find", Style: yaml.FlowStyle,
		Content: []*yaml.Node{text(model), {Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: []*yaml.Node{text(field), text(value)}}},
	}
}

func text(value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: value} }

func blueprintConfigMap(spec v1alpha1.PlatformSpec) *corev1.ConfigMap {
	return configMap(authNamespace, blueprintName, map[string]string{"aphex-platform.yaml": yamlText(authentikBlueprint(spec))})
}
