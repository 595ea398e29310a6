package main

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
)

// registry is what Authentik knows of people and groups, by their names.
type registry struct {
	users  map[string]map[string]string
	groups map[string]*registeredGroup
}

type registeredGroup struct {
	superuser bool
	members   []string
}

func newRegistry() *registry {
	return &registry{users: map[string]map[string]string{}, groups: map[string]*registeredGroup{}}
}

// file is a blueprint as Authentik reads it.
type file struct {
	Entries []struct {
		Model       string
		ID          string
		Conditions  []yaml.Node
		Identifiers map[string]string
		Attrs       map[string]yaml.Node
	}
}

func blueprintOf(t *testing.T, d *object.Desired) file {
	t.Helper()
	var f file
	require.NoError(t, yaml.Unmarshal([]byte(get[corev1.ConfigMap](t, d, keyBlueprint).Data[blueprintFile]), &f))
	return f
}

// apply does what Authentik does with the people and groups of a blueprint: in order, an entry whose conditions hold makes its
// object or changes the attributes that it names, of which a list is replaced as a whole. A reference is to an earlier entry.
func (a *registry) apply(t *testing.T, f file) {
	t.Helper()
	usernames := map[string]string{}
	for _, e := range f.Entries {
		name := e.Identifiers["name"]
		switch e.Model {
		case "authentik_core.user":
			username := e.Identifiers["username"]
			usernames[e.ID] = username
			a.users[username] = map[string]string{}
			for k, v := range e.Attrs {
				require.Equal(t, "!!str", v.Tag)
				a.users[username][k] = v.Value
			}
		case "authentik_core.group":
			if !a.holds(t, e.Conditions) {
				continue
			}
			group := a.groups[name]
			if group == nil {
				group = &registeredGroup{}
				a.groups[name] = group
			}
			superuser := e.Attrs["is_superuser"]
			require.NoError(t, superuser.Decode(&group.superuser))
			if list, given := e.Attrs["users"]; given {
				group.members = nil
				for _, n := range list.Content {
					require.Equal(t, "!KeyOf", n.Tag)
					require.Contains(t, usernames, n.Value, "a member of %s", name)
					group.members = append(group.members, usernames[n.Value])
				}
			}
		}
	}
}

// holds tells whether all conditions are true, each of which looks for a group here.
func (a *registry) holds(t *testing.T, conditions []yaml.Node) bool {
	t.Helper()
	for _, c := range conditions {
		require.Equal(t, "!Find", c.Tag)
		require.Equal(t, "authentik_core.group", c.Content[0].Value)
		require.Equal(t, "name", c.Content[1].Content[0].Value)
		require.Equal(t, yaml.DoubleQuotedStyle, c.Content[1].Content[1].Style)
		if a.groups[c.Content[1].Content[1].Value] == nil {
			return false
		}
	}
	return true
}

func (a *registry) members() map[string][]string {
	out := map[string][]string{}
	for name, g := range a.groups {
		if len(g.members) > 0 {
			out[name] = g.members
		}
	}
	return out
}

func (a *registry) superusers() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		if a.groups[name].superuser {
			out = append(out, name)
		}
	}
	return out
}

func person(username string, groups ...string) v1alpha1.User {
	return v1alpha1.User{Username: username, Name: "true", Email: username + "@platform.local", Groups: groups}
}

func TestTheBlueprintSaysWhoIsInWhichGroup(t *testing.T) {
	people := func(users ...v1alpha1.User) func(*v1alpha1.PlatformSpec) {
		return func(s *v1alpha1.PlatformSpec) { s.Auth.Users = append([]v1alpha1.User{}, users...) }
	}
	admins := func(name string, aliases ...string) func(*v1alpha1.PlatformSpec) {
		return func(s *v1alpha1.PlatformSpec) {
			s.Groups.Admins = v1alpha1.Group{Name: name, Aliases: append([]string{}, aliases...)}
		}
	}
	type spec []func(*v1alpha1.PlatformSpec)
	cases := map[string]struct {
		// specs follow one another. Between the last two, somebody works in Authentik.
		specs      []spec
		meanwhile  func(*registry)
		members    map[string][]string
		superusers []string
	}{
		"people are in the groups that they name": {
			specs:      []spec{{people(person("alice", "platform-engineering", "platform-operators"), person("on", "platform-admins"))}},
			members:    map[string][]string{"platform-admins": {"on"}, "platform-operators": {"alice"}, "platform-engineering": {"alice"}},
			superusers: []string{"platform-admins"},
		},
		"somebody who is taken out of the list is in no group": {
			specs:      []spec{{people(person("alice", "platform-admins"), person("bob", "platform-admins"))}, {people(person("bob", "platform-admins"))}},
			members:    map[string][]string{"platform-admins": {"bob"}},
			superusers: []string{"platform-admins"},
		},
		"the last one too": {
			specs:      []spec{{people(person("alice", "platform-admins"))}, {people()}},
			members:    map[string][]string{},
			superusers: []string{"platform-admins"},
		},
		"somebody whose groups change is in the new ones alone": {
			specs:      []spec{{people(person("alice", "platform-admins", "platform-operators"))}, {people(person("alice", "platform-engineering"))}},
			members:    map[string][]string{"platform-engineering": {"alice"}},
			superusers: []string{"platform-admins"},
		},
		"somebody whom Authentik's administrators put into a group is taken out where there is a list": {
			specs:      []spec{{people(person("alice", "platform-engineering"))}, {people(person("alice", "platform-engineering"))}},
			meanwhile:  func(a *registry) { a.groups["platform-admins"].members = []string{"mallory"} },
			members:    map[string][]string{"platform-engineering": {"alice"}},
			superusers: []string{"platform-admins"},
		},
		"and stays where there is none": {
			specs:      []spec{{}, {}},
			meanwhile:  func(a *registry) { a.groups["platform-admins"].members = []string{"carol"} },
			members:    map[string][]string{"platform-admins": {"carol"}},
			superusers: []string{"platform-admins"},
		},
		"groups of somebody that are not the platform's stay": {
			specs: []spec{{people(person("alice", "platform-admins"))}, {people()}},
			meanwhile: func(a *registry) {
				a.groups["coffee"] = &registeredGroup{members: []string{"alice"}}
			},
			members:    map[string][]string{"coffee": {"alice"}},
			superusers: []string{"platform-admins"},
		},
		"a group of a former name has nobody in it and no rights": {
			specs:      []spec{{people(person("alice", "platform-admins"))}, {admins("root"), people(person("alice", "root"))}},
			members:    map[string][]string{"root": {"alice"}},
			superusers: []string{"root"},
		},
		"a group that is an alias now has nobody in it either": {
			specs:      []spec{{people(person("alice", "platform-admins"))}, {admins("root", "platform-admins"), people()}},
			members:    map[string][]string{},
			superusers: []string{"root"},
		},
		"a group of a former name keeps those whom the claim did not put there, but no rights": {
			specs:      []spec{{}, {admins("root")}},
			meanwhile:  func(a *registry) { a.groups["platform-admins"].members = []string{"carol"} },
			members:    map[string][]string{"platform-admins": {"carol"}},
			superusers: []string{"root"},
		},
		"a former name that YAML might take for something else is found": {
			specs:      []spec{{admins("on")}, {admins("off")}},
			members:    map[string][]string{},
			superusers: []string{"off"},
		},
		"a name that comes back has its rights again": {
			specs:      []spec{{people(person("alice", "platform-admins"))}, {admins("root"), people()}, {people(person("alice", "platform-admins"))}},
			members:    map[string][]string{"platform-admins": {"alice"}},
			superusers: []string{"platform-admins"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			authentik := newRegistry()
			var before rendertest.Cluster
			for i, change := range c.specs {
				if i > 0 && i == len(c.specs)-1 && c.meanwhile != nil {
					c.meanwhile(authentik)
				}
				before.Offline = i == 0
				d := compose(t, platform(change...), before)
				authentik.apply(t, blueprintOf(t, d))
				before = applied(t, d, nil)
			}
			require.Equal(t, c.members, authentik.members())
			require.Equal(t, c.superusers, authentik.superusers())
		})
	}
}

func TestAGroupThatSomebodyDeletedIsNotMadeAnew(t *testing.T) {
	authentik := newRegistry()
	d := offline(t)
	authentik.apply(t, blueprintOf(t, d))
	renamed := platform(func(s *v1alpha1.PlatformSpec) { s.Groups.Operators.Name = "sre" })
	before := applied(t, d, nil)
	for range 2 { // The former name outlives the next run.
		d = compose(t, renamed, before)
		before = applied(t, d, nil)
		authentik.apply(t, blueprintOf(t, d))
		require.Contains(t, authentik.groups, "platform-operators")
	}
	delete(authentik.groups, "platform-operators")
	authentik.apply(t, blueprintOf(t, d))
	require.Equal(t, []string{"platform-admins", "platform-engineering", "sre"}, slices.Sorted(maps.Keys(authentik.groups)))
}

// Somebody who takes the blueprint away does not keep a former group its rights by that.
func TestABlueprintThatSomebodySpoiledOrDeletedIsWrittenAnew(t *testing.T) {
	renamed := func(s *v1alpha1.PlatformSpec) { s.Groups.Admins.Name, s.Auth.Users = "root", []v1alpha1.User{} }
	for name, spoil := range map[string]func(map[string]string){
		"no YAML":        func(c map[string]string) { c[keyBlueprint] = blueprintWith("{") },
		"something else": func(c map[string]string) { c[keyBlueprint] = blueprintWith("[a, b]") },
		"a group without a name": func(c map[string]string) {
			c[keyBlueprint] = blueprintWith("entries: [{model: authentik_core.group, identifiers: {name: [a]}}]")
		},
		"entries that are numbers": func(c map[string]string) { c[keyBlueprint] = blueprintWith("entries: [1, 2]") },
		"a group of no name":       func(c map[string]string) { c[keyBlueprint] = blueprintWith("entries: [{model: authentik_core.group}]") },
		"no groups":                func(c map[string]string) { c[keyBlueprint] = blueprintWith("entries: []") },
		"no text": func(c map[string]string) {
			c[keyBlueprint] = `{apiVersion: v1, kind: ConfigMap, metadata: {name: authentik-blueprints, namespace: auth-system}}`
		},
		"no blueprint": func(c map[string]string) { delete(c, keyBlueprint) },
	} {
		t.Run(name, func(t *testing.T) {
			authentik, first := newRegistry(), offline(t)
			authentik.apply(t, blueprintOf(t, first))
			authentik.groups["platform-admins"].members = []string{"mallory"}
			before := applied(t, first, nil)
			second := compose(t, platform(), before)

			spoil(before.Composed)
			xr := platform()
			xr.Status = status(t, second)
			require.Equal(t, get[corev1.ConfigMap](t, second, keyBlueprint).Data, get[corev1.ConfigMap](t, compose(t, xr, before), keyBlueprint).Data)

			for range 2 { // The former name outlives the next run.
				xr = platform(renamed)
				xr.Status = status(t, second)
				second = compose(t, xr, before)
				before = applied(t, second, nil)
			}
			require.Equal(t, []string{"platform-admins", "platform-engineering", "platform-operators", "root"}, status(t, second).AuthentikGroups)
			authentik.apply(t, blueprintOf(t, second))
			require.Equal(t, []string{"root"}, authentik.superusers())
			require.Empty(t, authentik.members())
		})
	}
}

// blueprintWith is a ConfigMap with another blueprint.
func blueprintWith(text string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: authentik-blueprints, namespace: auth-system}, data: {%s: %q}}`, blueprintFile, text)
}

// The blueprint is read as Authentik does: in order, with its tags.
func TestTheBlueprintRefersToWhatCameBefore(t *testing.T) {
	d := offline(t, func(s *v1alpha1.PlatformSpec) {
		s.Auth.Users = []v1alpha1.User{person("alice", "platform-engineering"), person("on", "platform-admins")}
	})
	known := map[string]string{}
	for _, e := range blueprintOf(t, d).Entries {
		for name, attr := range e.Attrs {
			for _, n := range append(attr.Content, &attr) {
				if n.Tag == "!KeyOf" {
					require.Contains(t, known, n.Value, "%s of %s", name, e.ID)
				}
			}
		}
		if e.ID != "" {
			require.NotContains(t, known, e.ID)
			known[e.ID] = e.Model
		}
		if e.Model == "authentik_providers_oauth2.oauth2provider" {
			require.NotContains(t, e.Attrs, "client_secret")
			grants := e.Attrs["grant_types"]
			require.Equal(t, "authorization_code", grants.Content[0].Value, "Authentik refuses every login without")
		}
	}
	require.Equal(t, "authentik_providers_oauth2.oauth2provider", known["provider"])
}
