// Package triggers holds what the functions compose for Tekton Triggers against Tekton's own code: the types, the
// validation of its webhook, the CEL interceptor and the rendering of templates. The CRDs of Tekton Triggers have no
// schema, so nothing else would find a misspelt field. It is a module of its own because Tekton Triggers does not
// resolve beside the functions' dependencies.
package triggers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/triggers/pkg/apis/triggers/v1beta1"
	"github.com/tektoncd/triggers/pkg/interceptors/cel"
	"github.com/tektoncd/triggers/pkg/template"
	"knative.dev/pkg/apis"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// golden is one golden file: what a function composes in one case.
type golden struct {
	path      string
	listeners []*v1beta1.EventListener
	bindings  []*v1beta1.TriggerBinding
	templates []*v1beta1.TriggerTemplate
	triggers  []*v1beta1.Trigger
}

// object is what all these types can do.
type object interface {
	apis.Validatable
	apis.Defaultable
}

func readGoldens(t *testing.T, function string) []golden {
	t.Helper()
	var out []golden
	for _, name := range []string{"want.yaml", "settled.yaml"} {
		paths, err := filepath.Glob(filepath.Join("../../functions", function, "testdata/*", name))
		require.NoError(t, err)
		for _, path := range paths {
			out = append(out, readGolden(t, path))
		}
	}
	require.NotEmpty(t, out, "no golden files of %s", function)
	return out
}

func readGolden(t *testing.T, path string) golden {
	t.Helper()
	g := golden{path: path}
	for _, doc := range documents(t, path) {
		var meta struct{ APIVersion, Kind string }
		require.NoError(t, json.Unmarshal(doc, &meta), path)
		if !strings.HasPrefix(meta.APIVersion, "triggers.tekton.dev/") {
			continue
		}
		require.Equal(t, "triggers.tekton.dev/v1beta1", meta.APIVersion, path)
		switch meta.Kind {
		case "EventListener":
			g.listeners = append(g.listeners, accept(t, path, doc, &v1beta1.EventListener{}))
		case "TriggerBinding":
			g.bindings = append(g.bindings, accept(t, path, doc, &v1beta1.TriggerBinding{}))
		case "TriggerTemplate":
			g.templates = append(g.templates, accept(t, path, doc, &v1beta1.TriggerTemplate{}))
		case "Trigger":
			g.triggers = append(g.triggers, accept(t, path, doc, &v1beta1.Trigger{}))
		default:
			require.Fail(t, "unknown kind", "%s: %s", path, meta.Kind)
		}
	}
	return g
}

func documents(t *testing.T, path string) []json.RawMessage {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var out []json.RawMessage
	for _, doc := range strings.Split("\n"+string(b), "\n---") {
		j, err := yaml.YAMLToJSONStrict([]byte(doc))
		require.NoError(t, err, path)
		if !bytes.Equal(j, []byte("null")) {
			out = append(out, j)
		}
	}
	return out
}

// accept decodes an object as Tekton's webhook does, but with no unknown field allowed, and runs the webhook's checks.
func accept[T object](t *testing.T, path string, doc json.RawMessage, into T) T {
	t.Helper()
	require.NoError(t, decode(doc, into), path)
	ctx := apis.WithinCreate(t.Context())
	into.SetDefaults(ctx)
	if errs := into.Validate(ctx); errs != nil {
		require.NoError(t, errs, path)
	}
	return into
}

func decode(doc json.RawMessage, into any) error {
	unknown, err := kjson.UnmarshalStrict(doc, into)
	return errors.Join(append(unknown, err)...)
}

func TestListenersAndBindingsAreWhatTektonTakes(t *testing.T) {
	var listeners, bindings int
	for _, g := range readGoldens(t, "organization") {
		listeners += len(g.listeners)
		bindings += len(g.bindings)
		for _, l := range g.listeners {
			require.NotEmpty(t, l.Spec.TriggerGroups, g.path)
			require.Empty(t, l.Spec.NamespaceSelector.MatchNames, "%s: Triggers that it selects run without the group's signature check", g.path)
			require.Nil(t, l.Spec.LabelSelector, g.path)
			require.Empty(t, l.Spec.Triggers, g.path)
			for _, group := range l.Spec.TriggerGroups {
				require.NotEmpty(t, group.Interceptors, g.path)
				require.Equal(t, "github", group.Interceptors[0].GetName(), "%s: the signature is checked first", g.path)
				require.Empty(t, group.TriggerSelector.NamespaceSelector.MatchNames, g.path)
			}
		}
	}
	require.NotZero(t, listeners)
	require.NotZero(t, bindings)
}

// binding is what an XRepoBinding asks for.
type binding struct {
	Spec struct {
		RepoOrg      string   `json:"repoOrg"`
		RepoName     string   `json:"repoName"`
		PipelineName string   `json:"pipelineName"`
		Events       []string `json:"events"`
		Branch       string   `json:"branch"`
		Branches     []string `json:"branches"`
		PullRequests struct {
			Forks bool `json:"forks"`
		} `json:"pullRequests"`
	} `json:"spec"`
}

func readBinding(t *testing.T, path string) binding {
	t.Helper()
	docs := documents(t, path)
	require.Len(t, docs, 1)
	var b binding
	require.NoError(t, json.Unmarshal(docs[0], &b))
	if len(b.Spec.Branches) > 0 {
		b.Spec.Branch = b.Spec.Branches[0]
	}
	if b.Spec.Branch == "" {
		b.Spec.Branch = "main"
	}
	if len(b.Spec.Events) == 0 {
		b.Spec.Events = []string{"push"}
	}
	return b
}

func (b binding) repository() string         { return b.Spec.RepoOrg + "/" + b.Spec.RepoName }
func (b binding) startsOn(event string) bool { return slices.Contains(b.Spec.Events, event) }
func (b binding) push() event                { return push(b.repository(), "refs/heads/"+b.Spec.Branch) }
func (b binding) tag() event                 { return push(b.repository(), "refs/tags/v1.2") }
func (b binding) pullRequest(head string) event {
	return pullRequest(b.repository(), b.Spec.Branch, head)
}

const (
	after      = "4544205a385319fd846d5df4ed2e3b8173529d78"
	headCommit = "d2b75aa7797ec26b088fa2dd527e9d2c052fcedd"
)

// event is the part of a delivery that counts here.
type event struct {
	name string
	body map[string]any
}

func (e event) with(field string, value any) event {
	e.body = maps.Clone(e.body)
	e.body[field] = value
	return e
}

func repositoryOf(name string) map[string]any {
	return map[string]any{"full_name": name, "clone_url": "https://github.com/" + name + ".git"}
}

// push is a push of a branch, or of an annotated tag.
func push(repository, ref string) event {
	return event{"push", map[string]any{
		"ref": ref, "after": after, "created": false, "deleted": false, "forced": false, "head_commit": map[string]any{"id": headCommit},
		"repository": repositoryOf(repository),
		"commits":    []any{map[string]any{"added": []any{"src/x.go", "x"}, "modified": []any{}, "removed": []any{}}},
	}}
}

func pullRequest(repository, base, head string) event {
	return event{"pull_request", map[string]any{
		"action": "opened", "number": 1234567, "repository": repositoryOf(repository), "pull_request": map[string]any{
			"base": map[string]any{"ref": base}, "head": map[string]any{"ref": "$(id)", "sha": headCommit, "repo": repositoryOf(head)},
		},
	}}
}

func (e event) bytes(t *testing.T) []byte {
	t.Helper()
	body, err := json.Marshal(e.body)
	require.NoError(t, err)
	return body
}

func (e event) headers() http.Header {
	h := http.Header{}
	h.Set("X-GitHub-Event", e.name)
	h.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	// Tekton matches the names of headers letter by letter, and Go's server canonicalizes them.
	return h
}

// intercept runs a Trigger's interceptors on an event, and returns what they add to it.
func intercept(t *testing.T, trigger *v1beta1.Trigger, e event) (extensions map[string]any, passes bool) {
	t.Helper()
	require.Len(t, trigger.Spec.Interceptors, 1)
	i := trigger.Spec.Interceptors[0]
	require.Equal(t, "cel", i.GetName())
	params := map[string]any{}
	for _, p := range i.Params {
		var value any
		require.NoError(t, json.Unmarshal(p.Value.Raw, &value))
		params[p.Name] = value
	}
	rsp := cel.NewInterceptor(nil).Process(context.Background(), &v1beta1.InterceptorRequest{
		Body: string(e.bytes(t)), Header: e.headers(), InterceptorParams: params,
		Context: &v1beta1.TriggerContext{TriggerID: fmt.Sprintf("namespaces/%s/triggers/%s", trigger.Namespace, trigger.Name)},
	})
	for _, wrong := range []string{"check failed", "failed to parse", "failed to create a Program", "failed to convert"} {
		require.NotContains(t, rsp.Status.Message, wrong, "%s: %s", trigger.Name, params)
	}
	return rsp.Extensions, rsp.Continue
}

func TestTriggersPassOnlyTheEventsOfTheirBinding(t *testing.T) {
	tested := 0
	for _, g := range readGoldens(t, "repobinding") {
		b := readBinding(t, filepath.Join(filepath.Dir(g.path), "xr.yaml"))
		branch, repository := b.Spec.Branch, b.repository()
		for _, trigger := range g.triggers {
			t.Run(g.path, func(t *testing.T) {
				requirePasses := func(want bool, e event, why string) {
					t.Helper()
					_, passes := intercept(t, trigger, e)
					require.Equal(t, want, passes, why)
				}
				pushes, tags, pulls := b.startsOn("push"), b.startsOn("tag"), b.startsOn("pull_request")
				requirePasses(pushes, b.push(), "a push")
				requirePasses(pushes, push(strings.ToUpper(repository), "refs/heads/"+branch), "GitHub's names are the same in other letters")
				requirePasses(tags, b.tag(), "a tag")
				requirePasses(pulls, b.pullRequest(repository), "a pull request")
				requirePasses(pulls, b.pullRequest(repository).with("action", "synchronize"), "a pull request that gets commits")
				requirePasses(pulls && b.Spec.PullRequests.Forks, b.pullRequest("mallory/fork"), "a pull request from a fork")
				for why, e := range map[string]event{
					"a deleted branch":                 b.push().with("deleted", true),
					"a deleted tag":                    b.tag().with("deleted", true),
					"another branch":                   push(repository, "refs/heads/"+branch+"-2"),
					"another branch that ends alike":   push(repository, "refs/heads/x/"+branch),
					"another repository":               push(repository+"2", "refs/heads/"+branch),
					"another owner":                    push("evil/"+b.Spec.RepoName, "refs/heads/"+branch),
					"a pull request to another branch": pullRequest(repository, branch+"-2", repository),
					"a pull request elsewhere":         pullRequest("evil/"+b.Spec.RepoName, branch, repository),
					"a pull request that is closed":    b.pullRequest(repository).with("action", "closed"),
					"a pull request with no number":    b.pullRequest(repository).with("number", "7"),
					"half a pull request":              {"pull_request", map[string]any{"action": "opened", "repository": repositoryOf(repository)}},
					"a push that says it is another":   {"pull_request", b.push().body},
					"a pull request that says so too":  {"push", b.pullRequest(repository).body},
					"GitHub's ping":                    {"push", map[string]any{"zen": "Design for failure.", "repository": repositoryOf(repository)}},
				} {
					requirePasses(false, e, why)
				}
			})
			tested++
		}
	}
	require.NotZero(t, tested)
}

func TestAnEventBecomesAPipelineRunThatTektonTakes(t *testing.T) {
	organization := readGolden(t, firstWithBinding(t))
	tested := map[string]int{}
	for _, g := range readGoldens(t, "repobinding") {
		b := readBinding(t, filepath.Join(filepath.Dir(g.path), "xr.yaml"))
		url := "https://github.com/" + b.repository() + ".git"
		for event, c := range map[string]struct {
			event event
			want  map[string]string
		}{
			"push": {b.push(), map[string]string{
				"git-revision": after, "commit-sha": after, "git-ref": "refs/heads/" + b.Spec.Branch, "git-branch": b.Spec.Branch, "git-tag": "",
				"pull-request-number": "",
			}},
			"tag": {b.tag(), map[string]string{
				"git-revision": headCommit, "commit-sha": headCommit, "git-ref": "refs/tags/v1.2", "git-branch": "", "git-tag": "v1.2",
				"pull-request-number": "",
			}},
			"pull_request": {b.pullRequest(b.repository()), map[string]string{
				"git-revision": headCommit, "commit-sha": headCommit, "git-ref": "refs/pull/1234567/head", "git-branch": b.Spec.Branch, "git-tag": "",
				"pull-request-number": "1234567",
			}},
		} {
			for _, trigger := range g.triggers {
				if !b.startsOn(event) {
					continue
				}
				t.Run(g.path+" "+event, func(t *testing.T) {
					c.want["git-url"], c.want["repo-url"], c.want["event"], c.want["tenant-name"] = url, url, event, b.Spec.PipelineName
					c.want["delivery-id"] = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
					run := b.run(t, organization, g, trigger, c.event)
					require.Equal(t, event, run.Labels["platform.aphex/event"])
					require.Equal(t, c.want["delivery-id"], run.Labels["platform.aphex/delivery"])
					for _, p := range run.Spec.Params {
						require.Contains(t, c.want, p.Name)
						require.Equal(t, c.want[p.Name], p.Value.StringVal, p.Name)
					}
				})
				tested[event]++
			}
		}
	}
	for _, event := range []string{"push", "tag", "pull_request"} {
		require.NotZero(t, tested[event], event)
	}
}

// run is the PipelineRun that Tekton makes of an event.
func (b binding) run(t *testing.T, organization, g golden, trigger *v1beta1.Trigger, e event) *pipelinev1.PipelineRun {
	t.Helper()
	extensions, passes := intercept(t, trigger, e)
	require.True(t, passes)
	resolved, err := template.ResolveTrigger(*trigger.DeepCopy(),
		func(name string) (*v1beta1.TriggerBinding, error) {
			for _, tb := range organization.bindings {
				if tb.Name == name {
					return tb, nil
				}
			}
			return nil, fmt.Errorf("the organization has no TriggerBinding %s", name)
		},
		func(name string) (*v1beta1.ClusterTriggerBinding, error) { return nil, errors.New("not used: " + name) },
		func(name string) (*v1beta1.TriggerTemplate, error) {
			for _, tt := range g.templates {
				if tt.Name == name {
					return tt, nil
				}
			}
			return nil, fmt.Errorf("the binding has no TriggerTemplate %s", name)
		})
	require.NoError(t, err)
	params, err := template.ResolveParams(resolved, e.bytes(t), e.headers(), extensions, template.NewTriggerContext("id"))
	require.NoError(t, err)
	made := template.ResolveResources(resolved.TriggerTemplate, params)
	require.Len(t, made, 1)
	run := &pipelinev1.PipelineRun{}
	require.NoError(t, decode(made[0], run))
	require.NotContains(t, string(made[0]), "$(tt.", "every parameter has a value")
	// The API server makes the name before it asks Tekton's webhook.
	run.Name = run.GenerateName + "x7k2p"
	ctx := apis.WithinCreate(t.Context())
	run.SetDefaults(ctx)
	if errs := run.Validate(ctx); errs != nil {
		require.NoError(t, errs)
	}
	require.Equal(t, b.Spec.PipelineName, run.Namespace)
	require.Equal(t, b.Spec.PipelineName, run.Spec.PipelineRef.Name)
	require.Equal(t, "pipeline-runner", run.Spec.TaskRunTemplate.ServiceAccountName)
	return run
}

// firstWithBinding is a golden file of an organization that has its TriggerBinding.
func firstWithBinding(t *testing.T) string {
	t.Helper()
	for _, g := range readGoldens(t, "organization") {
		if len(g.bindings) > 0 {
			return g.path
		}
	}
	require.Fail(t, "no organization has a TriggerBinding")
	return ""
}
