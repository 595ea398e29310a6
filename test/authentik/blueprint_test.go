package authentik

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// references are the fields that refer to another object, and to which: the schema says only what a key looks like.
var references = map[string]string{
	"authentik_core.group users":                                   "authentik_core.user",
	"authentik_core.user groups":                                   "authentik_core.group",
	"authentik_core.application provider":                          "authentik_providers_oauth2.oauth2provider",
	"authentik_providers_oauth2.oauth2provider authorization_flow": "authentik_flows.flow",
	"authentik_providers_oauth2.oauth2provider invalidation_flow":  "authentik_flows.flow",
	"authentik_providers_oauth2.oauth2provider signing_key":        "authentik_crypto.certificatekeypair",
	"authentik_providers_oauth2.oauth2provider property_mappings":  "authentik_providers_oauth2.scopemapping",
}

// applyBlueprint is the model of an entry that has another blueprint applied first. It is no object, so none is published.
const applyBlueprint = "authentik_blueprints.metaapplyblueprint"

// defaults are Authentik's own objects, and the names of the blueprints that make them, as they are in the folders blueprints/default
// and blueprints/system of its sources. The certificate is made before any is applied (authentik/crypto/apps.py).
var defaults = map[string]string{
	"authentik_flows.flow slug default-provider-authorization-implicit-consent":                            "Default - Provider authorization flow (implicit consent)",
	"authentik_flows.flow slug default-provider-invalidation-flow":                                         "Default - Provider invalidation flow",
	"authentik_providers_oauth2.scopemapping managed goauthentik.io/providers/oauth2/scope-openid":         "System - OAuth2 Provider - Scopes",
	"authentik_providers_oauth2.scopemapping managed goauthentik.io/providers/oauth2/scope-profile":        "System - OAuth2 Provider - Scopes",
	"authentik_providers_oauth2.scopemapping managed goauthentik.io/providers/oauth2/scope-offline_access": "System - OAuth2 Provider - Scopes",
	"authentik_crypto.certificatekeypair name authentik Self-signed Certificate":                           "",
}

// states are those of an entry, see https://docs.goauthentik.io/customize/blueprints/v1/structure/.
var states = []string{"present", "created", "must_created", "absent"}

// reader reads a blueprint as Authentik's importer does, and notes what that would refuse or take no notice of.
type reader struct {
	doc *openapi3.T
	// models are those of the entries so far, by their ids.
	models map[string]string
	// applied are the names of blueprints that entries so far have applied.
	applied []string
	// context has the values that !Context stands for.
	context  map[string]*yaml.Node
	problems []string
}

// check returns what is wrong with a blueprint.
func check(t *testing.T, text string) []string {
	t.Helper()
	doc, err := schema()
	require.NoError(t, err)
	r := &reader{doc: doc, models: map[string]string{}, context: map[string]*yaml.Node{}}
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &root))
	r.file(root.Content[0])
	return r.problems
}

func (r *reader) note(at, format string, args ...any) {
	r.problems = append(r.problems, at+": "+fmt.Sprintf(format, args...))
}

// fields are those of a mapping, of which others than the known ones are noted.
func (r *reader) fields(at string, n *yaml.Node, known ...string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	if n == nil || n.Kind != yaml.MappingNode {
		r.note(at, "is no mapping")
		return out
	}
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if known != nil && !slices.Contains(known, name) {
			r.note(at, "has an unknown field %s", name)
		}
		if out[name] != nil {
			r.note(at, "has the field %s twice", name)
		}
		out[name] = n.Content[i+1]
	}
	return out
}

func (r *reader) file(n *yaml.Node) {
	top := r.fields("blueprint", n, "version", "metadata", "context", "entries")
	if top["version"] == nil || top["version"].Value != "1" {
		r.note("blueprint", "is not of version 1")
	}
	metadata := r.fields("metadata", top["metadata"], "name", "labels")
	if metadata["name"] == nil {
		r.note("metadata", "has no name")
	}
	for name, label := range r.fields("labels", metadata["labels"]) {
		if label.Tag != "!!str" {
			r.note("labels", "%s is no text", name)
		}
	}
	if top["context"] != nil {
		r.context = r.fields("context", top["context"])
	}
	if top["entries"] == nil || top["entries"].Kind != yaml.SequenceNode {
		r.note("entries", "is no list")
		return
	}
	for i, e := range top["entries"].Content {
		r.entry(fmt.Sprintf("entries[%d]", i), e)
	}
}

func (r *reader) entry(at string, n *yaml.Node) {
	e := r.fields(at, n, "model", "id", "state", "conditions", "identifiers", "attrs")
	model := ""
	if e["model"] != nil {
		model = e["model"].Value
	}
	if model == applyBlueprint {
		r.apply(at, e)
		return
	}
	request := r.shape(at, model, "Request")
	if request == nil {
		return
	}
	if s := e["state"]; s != nil && !slices.Contains(states, s.Value) {
		r.note(at, "has an unknown state %s", s.Value)
	}
	if c := e["conditions"]; c != nil {
		if c.Kind != yaml.SequenceNode {
			r.note(at, "has conditions that are no list")
		}
		for _, condition := range c.Content {
			r.value(at+".conditions", condition, "*")
		}
	}
	identifiers := r.fields(at+".identifiers", e["identifiers"])
	if len(identifiers) == 0 {
		r.note(at, "has no identifiers")
	}
	object := map[string]any{}
	for _, part := range []map[string]*yaml.Node{identifiers, r.fields(at+".attrs", e["attrs"])} {
		for name, value := range part {
			object[name] = r.value(at+"."+name, value, references[model+" "+name])
		}
	}
	r.visit(at, request, object)
	if id := e["id"]; id != nil {
		if r.models[id.Value] != "" {
			r.note(at, "has the id %s of another entry", id.Value)
		}
		r.models[id.Value] = model // Only later entries may refer to it.
	}
}

// apply reads an entry that has another blueprint applied, which has attributes alone
// (authentik/blueprints/v1/meta/apply_blueprint.py).
func (r *reader) apply(at string, e map[string]*yaml.Node) {
	for name := range e {
		if name != "model" && name != "attrs" {
			r.note(at, "applies a blueprint and has %s", name)
		}
	}
	attrs := r.fields(at+".attrs", e["attrs"], "identifiers", "required")
	identifiers := r.fields(at+".identifiers", attrs["identifiers"], "name")
	if identifiers["name"] == nil || identifiers["name"].Tag != "!!str" {
		r.note(at, "names no blueprint")
		return
	}
	if required := attrs["required"]; required != nil && required.Tag != "!!bool" {
		r.note(at, "required is no boolean")
	}
	r.applied = append(r.applied, identifiers["name"].Value)
}

// shape is the schema of a model's objects, as they are given or shown.
func (r *reader) shape(at, model, suffix string) *openapi3.Schema {
	known := r.doc.Components.Schemas["ModelEnum"]
	_, kind, _ := strings.Cut(model, ".")
	if known == nil || !slices.Contains(known.Value.Enum, any(model)) {
		r.note(at, "has an unknown model %q", model)
		return nil
	}
	for name, found := range r.doc.Components.Schemas {
		if strings.EqualFold(name, kind+suffix) {
			return found.Value
		}
	}
	r.note(at, "has a model %s of which no schema is published", model)
	return nil
}

func (r *reader) visit(at string, s *openapi3.Schema, value any) {
	err := s.VisitJSON(value, openapi3.MultiErrors(), openapi3.EnableFormatValidation(),
		openapi3.WithStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForUUIDOfRFC4122)),
		openapi3.WithStringFormatValidator("email", openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForEmail)))
	if err != nil {
		r.note(at, "%v", err)
	}
}

// value is what Authentik makes of a node. Tags stand for values that it looks up; refersTo is the model to whose objects a field
// refers, or * for any.
func (r *reader) value(at string, n *yaml.Node, refersTo string) any {
	switch {
	case n.Tag == "!KeyOf":
		return r.keyOf(at, n, refersTo)
	case n.Tag == "!Find":
		return r.find(at, n, refersTo)
	case n.Tag == "!Env":
		r.named(at, n)
		return "what the environment says"
	case n.Tag == "!Context":
		name, fallback := r.named(at, n)
		if value := r.context[name]; value != nil {
			fallback = value
		}
		if fallback == nil {
			r.note(at, "there is no %s in the context, and no default", name)
			return nil
		}
		return r.value(at, fallback, refersTo)
	case !strings.HasPrefix(n.Tag, "!!"):
		r.note(at, "has an unknown tag %s", n.Tag)
		return nil
	case n.Kind == yaml.MappingNode:
		out := map[string]any{}
		for name, value := range r.fields(at, n) {
			out[name] = r.value(at+"."+name, value, refersTo)
		}
		return out
	case n.Kind == yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, item := range n.Content {
			out[i] = r.value(fmt.Sprintf("%s[%d]", at, i), item, refersTo)
		}
		return out
	}
	var out any
	if err := n.Decode(&out); err != nil {
		r.note(at, "%v", err)
	}
	if number, ok := out.(int); ok {
		return float64(number) // as JSON has it
	}
	if n.Tag == "!!str" && n.Style == 0 && slices.Contains([]string{"y", "yes", "on", "n", "no", "off"}, strings.ToLower(n.Value)) {
		r.note(at, "%s is a boolean in YAML 1.1, which Authentik reads", n.Value)
	}
	return out
}

// named is a tag with the name of something, and perhaps a default.
func (r *reader) named(at string, n *yaml.Node) (name string, fallback *yaml.Node) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Value != "":
		return n.Value, nil
	case n.Kind == yaml.SequenceNode && len(n.Content) == 2 && n.Content[0].Kind == yaml.ScalarNode:
		return n.Content[0].Value, n.Content[1]
	}
	r.note(at, "%s takes a name, or a name and a default", n.Tag)
	return "", nil
}

func (r *reader) keyOf(at string, n *yaml.Node, refersTo string) any {
	model := r.models[n.Value]
	if n.Kind != yaml.ScalarNode || model == "" {
		r.note(at, "no entry before has the id %q", n.Value)
		return nil
	}
	return r.key(at, model, refersTo)
}

// find looks for an object by fields of its model.
func (r *reader) find(at string, n *yaml.Node, refersTo string) any {
	if n.Kind != yaml.SequenceNode || len(n.Content) < 2 {
		r.note(at, "!Find takes a model, and fields with their values")
		return nil
	}
	model := n.Content[0].Value
	shown := r.shape(at, model, "")
	if shown == nil {
		return nil
	}
	for _, condition := range n.Content[1:] {
		if condition.Kind != yaml.SequenceNode || len(condition.Content) != 2 {
			r.note(at, "!Find takes pairs of a field and a value")
			continue
		}
		name := condition.Content[0].Value
		field := shown.Properties[name]
		if field == nil {
			r.note(at, "%s has no field %s", model, name)
			continue
		}
		r.visit(at+"."+name, field.Value, r.value(at, condition.Content[1], references[model+" "+name]))
		if refersTo != "*" {
			r.needs(at, model+" "+name+" "+condition.Content[1].Value)
		}
	}
	return r.key(at, model, refersTo)
}

// needs notes a default object that is looked up before its blueprint was applied: a new Authentik may not have it yet, and then
// refuses the whole file. A condition may find nothing.
func (r *reader) needs(at, object string) {
	blueprint, known := defaults[object]
	switch {
	case !known:
		r.note(at, "%s is no default object of Authentik", object)
	case blueprint != "" && !slices.Contains(r.applied, blueprint):
		r.note(at, "no entry before applies the blueprint %q of %s", blueprint, object)
	}
}

// key looks like the key of an object of this model.
func (r *reader) key(at, model, refersTo string) any {
	if refersTo != "*" && refersTo != model {
		r.note(at, "does not refer to %s", model)
	}
	shown := r.shape(at, model, "")
	if shown == nil {
		return nil
	}
	pk := shown.Properties["pk"]
	switch {
	case pk == nil:
		r.note(at, "%s has no key", model)
	case pk.Value.Type.Is("integer"):
		return float64(7)
	case pk.Value.Format == "uuid":
		return "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	default:
		r.note(at, "the key of %s is of an unknown form", model)
	}
	return nil
}

// composed are the blueprints of all golden cases.
func composed(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../functions/platform/testdata/*/settled.yaml")
	require.NoError(t, err)
	out := map[string]string{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, doc := range strings.Split("\n"+string(b), "\n---") {
			var o struct {
				Metadata struct{ Name string }
				Data     map[string]string
			}
			if strings.Contains(doc, "name: authentik-blueprints\n") && yaml.Unmarshal([]byte(doc), &o) == nil && o.Metadata.Name == "authentik-blueprints" {
				out[filepath.Base(filepath.Dir(path))] = o.Data["aphex-platform.yaml"]
			}
		}
	}
	return out
}

func TestBlueprintsAreAsPublished(t *testing.T) {
	all := composed(t)
	require.Greater(t, len(all), 5)
	whole := strings.Join(slices.Collect(maps.Values(all)), "\n")
	for _, part := range []string{"users:\n", "users: []", "conditions:", "!KeyOf user-", "redirect_uris:", "!Find [", "metaapplyblueprint"} {
		require.Contains(t, whole, part, "some case shows it")
	}
	for name, text := range all {
		t.Run(name, func(t *testing.T) { require.Empty(t, check(t, text)) })
	}
}

// A good blueprint with one change is refused, which shows that the schema is looked at.
func TestBlueprintsThatAreNotAsPublishedAreNoticed(t *testing.T) {
	const good = `
version: 1
metadata: {name: A test, labels: {blueprints.goauthentik.io/instantiate: "true"}}
context: {title: Platform services, number: 7}
entries:
  - {model: authentik_blueprints.metaapplyblueprint, attrs: {identifiers: {name: Default - Provider authorization flow (implicit consent)}, required: true}}
  - {model: authentik_blueprints.metaapplyblueprint, attrs: {identifiers: {name: Default - Provider invalidation flow}, required: false}}
  - {model: authentik_core.user, id: alice, identifiers: {username: alice}, attrs: {name: Alice, email: alice@platform.local}}
  - model: authentik_core.group
    id: admins
    state: present
    conditions: [!Find [authentik_core.group, [name, "admins"]]]
    identifiers: {name: admins}
    attrs: {is_superuser: true, users: [!KeyOf alice]}
  - model: authentik_providers_oauth2.oauth2provider
    id: provider
    identifiers: {name: Dex}
    attrs:
      authorization_flow: !Find [authentik_flows.flow, [slug, "default-provider-authorization-implicit-consent"]]
      invalidation_flow: !Find [authentik_flows.flow, [slug, "default-provider-invalidation-flow"]]
      client_id: !Env [CLIENT_ID, dex]
      client_type: confidential
      grant_types: [authorization_code]
      redirect_uris: [{matching_mode: strict, url: "https://dex.home.local/callback"}]
      signing_key: !Find [authentik_crypto.certificatekeypair, [name, "authentik Self-signed Certificate"]]
  - {model: authentik_core.application, identifiers: {slug: services}, attrs: {name: !Context title, provider: !KeyOf provider}}
`
	require.Empty(t, check(t, good))
	for name, c := range map[string]struct{ old, changed, problem string }{
		"another version":                        {"version: 1", "version: 2", "blueprint: is not of version 1"},
		"an unknown part":                        {"context:", "contexts:", "blueprint: has an unknown field contexts"},
		"a label that is no text":                {`"true"`, "true", "blueprints.goauthentik.io/instantiate is no text"},
		"no name":                                {"name: A test, ", "", "metadata: has no name"},
		"an unknown field of an entry":           {"state:", "status:", "entries[3]: has an unknown field status"},
		"an unknown state":                       {"state: present", "state: gone", "entries[3]: has an unknown state gone"},
		"an unknown model":                       {"model: authentik_core.group", "model: authentik_core.groups", `entries[3]: has an unknown model "authentik_core.groups"`},
		"a model of another application":         {"model: authentik_core.user", "model: authentik_users.user", `entries[2]: has an unknown model "authentik_users.user"`},
		"no identifiers":                         {"identifiers: {username: alice}", "identifiers: {}", "entries[2]: has no identifiers"},
		"an identifier that is no field":         {"identifiers: {slug: services}", "identifiers: {slug: services, label: x}", `property "label" is unsupported`},
		"an unknown attribute":                   {"is_superuser: true", "superuser: true", `property "superuser" is unsupported`},
		"an unknown attribute within a list":     {"matching_mode: strict,", "matching_mode: strict, mode: x,", `property "mode" is unsupported`},
		"an attribute that is missing":           {"name: Alice, ", "", `property "name" is missing`},
		"a text for a boolean":                   {"is_superuser: true", `is_superuser: "true"`, "value must be a boolean"},
		"a number for a text":                    {"name: Alice", "name: 1", "value must be a string"},
		"one for many":                           {"users: [!KeyOf alice]", "users: !KeyOf alice", "value must be an array"},
		"a value that is none of the enum":       {"client_type: confidential", "client_type: secret", "value is not one of the allowed values"},
		"a grant that is none of the enum":       {"grant_types: [authorization_code]", "grant_types: [code]", "value is not one of the allowed values"},
		"an address that is none":                {"email: alice@platform.local", "email: alice", `format "email"`},
		"a slug with a blank":                    {"slug: services", "slug: my services", "pattern"},
		"a field twice":                          {"is_superuser: true", "users: [], is_superuser: true", "has the field users twice"},
		"an id twice":                            {"id: admins", "id: alice", "has the id alice of another entry"},
		"a reference to a later entry":           {"users: [!KeyOf alice]", "users: [!KeyOf provider]", `no entry before has the id "provider"`},
		"a reference to another model":           {"provider: !KeyOf provider", "provider: !KeyOf alice", "does not refer to authentik_core.user"},
		"a reference where there is none":        {"name: Alice", "name: !Find [authentik_core.group, [name, x]]", "does not refer to authentik_core.group"},
		"a key of another form":                  {"users: [!KeyOf alice]", "users: [alice]", "value must be an integer"},
		"a lookup of an unknown model":           {"!Find [authentik_flows.flow, [slug, \"default-provider-authorization", "!Find [authentik_flows.flows, [slug, \"default-provider-authorization", `has an unknown model "authentik_flows.flows"`},
		"a lookup by an unknown field":           {"[slug, \"default-provider-authorization", "[label, \"default-provider-authorization", "authentik_flows.flow has no field label"},
		"a lookup by a value of another type":    {"[slug, \"default-provider-authorization-implicit-consent\"]", "[slug, 1]", "value must be a string"},
		"a lookup of another model":              {"!Find [authentik_crypto.certificatekeypair, [name,", "!Find [authentik_flows.flow, [name,", "does not refer to authentik_flows.flow"},
		"a lookup by nothing":                    {"!Find [authentik_core.group, [name, \"admins\"]]", "!Find [authentik_core.group]", "!Find takes a model, and fields with their values"},
		"a lookup of what may not be there yet":  {"{identifiers: {name: Default - Provider invalidation flow}", "{identifiers: {name: Default - Invalidation flow}", `no entry before applies the blueprint "Default - Provider invalidation flow"`},
		"a lookup of what nobody has made":       {"default-provider-invalidation-flow", "invalidation", "authentik_flows.flow slug invalidation is no default object"},
		"a blueprint to apply without a name":    {"{identifiers: {name: Default - Provider invalidation flow}", "{identifiers: {}", "entries[1]: names no blueprint"},
		"a blueprint to apply by something else": {"{identifiers: {name: Default - Provider invalidation flow}", "{identifiers: {slug: x}", "has an unknown field slug"},
		"a blueprint to apply, perhaps":          {"required: false", "required: perhaps", "entries[1]: required is no boolean"},
		"a blueprint to apply with an id":        {"{model: authentik_blueprints.metaapplyblueprint, attrs: {identifiers: {name: Default - Provider invalidation", "{model: authentik_blueprints.metaapplyblueprint, id: it, attrs: {identifiers: {name: Default - Provider invalidation", "applies a blueprint and has id"},
		"a condition of an unknown model":        {"!Find [authentik_core.group, [name, \"admins\"]]", "!Find [authentik_core.grp, [name, \"admins\"]]", `has an unknown model "authentik_core.grp"`},
		"a value that the context has not":       {"!Context title", "!Context heading", "there is no heading in the context, and no default"},
		"a value of the context of another type": {"!Context title", "!Context number", "value must be a string"},
		"a default of another type":              {"!Context title", "!Context [heading, 7]", "value must be a string"},
		"an environment for a boolean":           {"is_superuser: true", "is_superuser: !Env SUPER", "value must be a boolean"},
		"an environment without a name":          {"!Env [CLIENT_ID, dex]", "!Env [CLIENT_ID]", "!Env takes a name, or a name and a default"},
		"an unknown tag":                         {"!Context title", "!Lookup title", "has an unknown tag !Lookup"},
		"a word that YAML 1.1 knows":             {"name: Alice", "name: on", "on is a boolean in YAML 1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(good, c.old), "the change is one")
			require.Contains(t, strings.Join(check(t, strings.Replace(good, c.old, c.changed, 1)), "\n"), c.problem)
		})
	}
}
