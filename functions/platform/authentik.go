package main

import (
	"slices"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

// applicationSlug is the platform's application at Authentik, which is part of the issuer that Dex knows it by.
const applicationSlug = "platform-services"

// dexProviderName is by which the provider that Dex logs in with is found again.
const dexProviderName = "Dex OIDC Provider"

// groupModel is what Authentik calls a group, and blueprintFile the key of the blueprint in its ConfigMap.
const (
	groupModel    = "authentik_core.group"
	blueprintFile = "aphex-platform.yaml"
)

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

// blueprintEntry is one object of Authentik, found by its identifiers. Later entries refer to it by its id. It is left out
// unless all its conditions hold.
type blueprintEntry struct {
	Model       string         `yaml:"model"`
	ID          string         `yaml:"id,omitempty"`
	Conditions  []*yaml.Node   `yaml:"conditions,omitempty"`
	Identifiers map[string]any `yaml:"identifiers,omitempty"`
	Attrs       map[string]any `yaml:"attrs"`
}

// groupsExpression and emailExpression are Python, which Authentik runs for each token.
const (
	groupsExpression = `return {"groups": [group.name for group in request.user.all_groups()]}`
	emailExpression  = `return {"email": request.user.email, "email_verified": True}`
)

// authentikBlueprint has the people, the groups with those who are in them, and what Dex logs in with. The provider's client
// secret is not here: a ConfigMap is no place for it. Authentik makes one up, which is replaced through its API.
func authentikBlueprint(spec v1alpha1.PlatformSpec, retired []string) blueprint {
	b := blueprint{
		Version: 1,
		Metadata: blueprintMetadata{
			Name: "Aphex platform",
			// Apply it without being asked.
			Labels: map[string]string{"blueprints.goauthentik.io/instantiate": "true"},
		},
	}
	for _, name := range authentikDefaults() {
		b.Entries = append(b.Entries, applyFirst(name))
	}
	people := spec.Auth.Users
	for _, u := range people {
		b.Entries = append(b.Entries, authentikUser(u))
	}
	groups := spec.Groups
	b.Entries = append(b.Entries, authentikGroup(groups.Admins.Name, true, people),
		authentikGroup(groups.Operators.Name, false, people), authentikGroup(groups.Engineering.Name, false, people))
	for _, name := range retired {
		b.Entries = append(b.Entries, retiredGroup(name, people))
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

// authentikDefaults are the names of those of Authentik's own blueprints that make what dexProvider finds. Its certificate is in
// none: Authentik makes that before it applies any.
func authentikDefaults() []string {
	return []string{
		"Default - Provider authorization flow (implicit consent)",
		"Default - Provider invalidation flow",
		"System - OAuth2 Provider - Scopes",
	}
}

// applyFirst has Authentik apply another blueprint before the entries that follow. A new Authentik applies all files at once, in
// no order, and does not try one again that found nothing until it looks for files the next time. That there is no such
// blueprint is no error, since its objects may be there all the same.
func applyFirst(name string) blueprintEntry {
	return blueprintEntry{
		Model: "authentik_blueprints.metaapplyblueprint",
		Attrs: map[string]any{"identifiers": map[string]string{"name": name}, "required": false},
	}
}

// authentikGroup has exactly those people who name it. The list is the group's, not each person's, since Authentik replaces it
// as a whole: that takes out whoever is named no more. Without a list of people, nobody is put in or taken out.
func authentikGroup(name string, superuser bool, people []v1alpha1.User) blueprintEntry {
	attrs := map[string]any{"is_superuser": superuser}
	if people != nil {
		members := []*yaml.Node{}
		for _, u := range people {
			if slices.Contains(u.Groups, name) {
				members = append(members, keyOf(userID(u.Username)))
			}
		}
		attrs["users"] = members
	}
	return blueprintEntry{Model: groupModel, ID: groupID(name), Identifiers: map[string]any{"name": name}, Attrs: attrs}
}

// retiredGroup takes from a group of a former name what the platform gave it. It is not deleted, since it may have been there
// before, nor made again once somebody has deleted it.
func retiredGroup(name string, people []v1alpha1.User) blueprintEntry {
	e := authentikGroup(name, false, people)
	e.Conditions = []*yaml.Node{find(groupModel, "name", name)}
	return e
}

// toldGroups are the groups that Authentik was told to have: those of the blueprint as it is in the cluster, and those that the
// status has already, which outlives a blueprint that somebody deletes or spoils. They are sorted.
func toldGroups(already []string, blueprint object.Object) []string {
	var file struct {
		Entries []struct {
			Model       string
			Identifiers struct{ Name string }
		}
	}
	told := slices.Clone(already)
	if yaml.Unmarshal([]byte(blueprint.String("data", blueprintFile)), &file) == nil {
		for _, e := range file.Entries {
			if e.Model == groupModel && e.Identifiers.Name != "" {
				told = append(told, e.Identifiers.Name)
			}
		}
	}
	slices.Sort(told)
	return slices.Compact(told)
}

// retiredGroups are those of them whose names the spec gives no more. They stay in the blueprint, since nobody knows whether
// Authentik has read it.
func retiredGroups(groups v1alpha1.Groups, told []string) []string {
	return slices.DeleteFunc(slices.Clone(told), func(name string) bool {
		return name == groups.Admins.Name || name == groups.Operators.Name || name == groups.Engineering.Name
	})
}

// authentikUser is a person. Whether the account is active is left to Authentik's administrators.
func authentikUser(u v1alpha1.User) blueprintEntry {
	return blueprintEntry{
		Model:       "authentik_core.user",
		ID:          userID(u.Username),
		Identifiers: map[string]any{"username": u.Username},
		Attrs:       map[string]any{"name": u.Name, "email": u.Email},
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
				managedScope("openid"),
				managedScope("profile"),
				managedScope("offline_access"),
				keyOf("scope-email"),
				keyOf("scope-groups"),
			},
			// Since Authentik 2026.5 a provider of a blueprint that names none refuses every login; older ones take no notice.
			"grant_types": []string{"authorization_code", "refresh_token"},
		},
	}
}

// managedScope is one of the scope mappings that come with Authentik.
func managedScope(scope string) *yaml.Node {
	return find("authentik_providers_oauth2.scopemapping", "managed", "goauthentik.io/providers/oauth2/scope-"+scope)
}

func groupID(name string) string { return "group-" + name }

func userID(username string) string { return "user-" + username }

// keyOf refers to another entry of the file.
func keyOf(id string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!KeyOf", Value: id} }

// find refers to an object that Authentik has already. Authentik's YAML is of version 1.1, in which more plain words than here
// are no texts, such as on; so the value is quoted.
func find(model, field, value string) *yaml.Node {
	quoted := text(value)
	quoted.Style = yaml.DoubleQuotedStyle
	return &yaml.Node{
		Kind: yaml.SequenceNode, Tag: "!Find", Style: yaml.FlowStyle,
		Content: []*yaml.Node{text(model), {Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: []*yaml.Node{text(field), quoted}}},
	}
}

func text(value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: value} }

func blueprintConfigMap(spec v1alpha1.PlatformSpec, told []string) *corev1.ConfigMap {
	text := yamlText(authentikBlueprint(spec, retiredGroups(spec.Groups, told)))
	return configMap(authNamespace, blueprintName, map[string]string{blueprintFile: text})
}
