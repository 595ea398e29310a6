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
	"net/http"
	"os"
	"path/filepath"
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
		RepoOrg      string `json:"repoOrg"`
		RepoName     string `json:"repoName"`
		PipelineName string `json:"pipelineName"`
		Branch       string `json:"branch"`
	} `json:"spec"`
}

func readBinding(t *testing.T, path string) binding {
	t.Helper()
	docs := documents(t, path)
	require.Len(t, docs, 1)
	var b binding
	require.NoError(t, json.Unmarshal(docs[0], &b))
	if b.Spec.Branch == "" {
		b.Spec.Branch = "main"
	}
	return b
}

// push is the part of GitHub's push event that counts here.
func push(repository, branch string, deleted bool) []byte {
	body, _ := json.Marshal(map[string]any{ // plain data: cannot fail
		"ref": "refs/heads/" + branch, "after": "4544205a385319fd846d5df4ed2e3b8173529d78", "deleted": deleted,
		"repository": map[string]any{"full_name": repository, "clone_url": "https://github.com/" + repository + ".git"},
	})
	return body
}

func headers() http.Header {
	h := http.Header{}
	h.Set("X-GitHub-Event", "push")
	h.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	// Tekton matches the names of headers letter by letter, and Go's server canonicalizes them.
	return h
}

// passes runs a Trigger's CEL filters on an event.
func passes(t *testing.T, trigger *v1beta1.Trigger, body []byte) bool {
	t.Helper()
	for _, i := range trigger.Spec.Interceptors {
		require.Equal(t, "cel", i.GetName())
		params := map[string]any{}
		for _, p := range i.Params {
			var value any
			require.NoError(t, json.Unmarshal(p.Value.Raw, &value))
			params[p.Name] = value
		}
		rsp := cel.NewInterceptor(nil).Process(context.Background(), &v1beta1.InterceptorRequest{
			Body: string(body), Header: headers(), InterceptorParams: params,
			Context: &v1beta1.TriggerContext{TriggerID: fmt.Sprintf("namespaces/%s/triggers/%s", trigger.Namespace, trigger.Name)},
		})
		require.NotContains(t, rsp.Status.Message, "expression check failed", "%s: %s", trigger.Name, params)
		if !rsp.Continue {
			return false
		}
	}
	return true
}

func TestTriggersPassOnlyPushesOfTheirRepositoryToTheirBranch(t *testing.T) {
	tested := 0
	for _, g := range readGoldens(t, "repobinding") {
		b := readBinding(t, filepath.Join(filepath.Dir(g.path), "xr.yaml"))
		repository := b.Spec.RepoOrg + "/" + b.Spec.RepoName
		for _, trigger := range g.triggers {
			t.Run(g.path, func(t *testing.T) {
				require.NotEmpty(t, trigger.Spec.Interceptors)
				require.True(t, passes(t, trigger, push(repository, b.Spec.Branch, false)))
				require.True(t, passes(t, trigger, push(strings.ToUpper(repository), b.Spec.Branch, false)), "GitHub's names are the same in other letters")
				require.False(t, passes(t, trigger, push(repository, b.Spec.Branch, true)), "a deleted branch")
				require.False(t, passes(t, trigger, push(repository, b.Spec.Branch+"-2", false)), "another branch")
				require.False(t, passes(t, trigger, push(repository, "x/"+b.Spec.Branch, false)), "another branch that ends alike")
				require.False(t, passes(t, trigger, push(repository+"2", b.Spec.Branch, false)), "another repository")
				require.False(t, passes(t, trigger, push("evil/"+b.Spec.RepoName, b.Spec.Branch, false)), "another owner")
				require.False(t, passes(t, trigger, []byte(`{"action": "opened", "repository": {"full_name": "`+repository+`"}}`)), "a pull request")
				require.False(t, passes(t, trigger, []byte(`{"zen": "Design for failure.", "repository": {"full_name": "`+repository+`"}}`)), "GitHub's ping")
			})
			tested++
		}
	}
	require.NotZero(t, tested)
}

func TestAPushBecomesAPipelineRunThatTektonTakes(t *testing.T) {
	organization := readGolden(t, firstWithBinding(t))
	tested := 0
	for _, g := range readGoldens(t, "repobinding") {
		b := readBinding(t, filepath.Join(filepath.Dir(g.path), "xr.yaml"))
		for _, trigger := range g.triggers {
			t.Run(g.path, func(t *testing.T) {
				trigger := trigger.DeepCopy()
				resolved, err := template.ResolveTrigger(*trigger,
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
				repository := b.Spec.RepoOrg + "/" + b.Spec.RepoName
				params, err := template.ResolveParams(resolved, push(repository, b.Spec.Branch, false), headers(), nil, template.NewTriggerContext("id"))
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
				values := map[string]string{}
				for _, p := range run.Spec.Params {
					values[p.Name] = p.Value.StringVal
				}
				for name, want := range map[string]string{
					"git-url": "https://github.com/" + repository + ".git", "repo-url": "https://github.com/" + repository + ".git",
					"git-revision": "4544205a385319fd846d5df4ed2e3b8173529d78", "commit-sha": "4544205a385319fd846d5df4ed2e3b8173529d78",
					"git-ref": "refs/heads/" + b.Spec.Branch, "delivery-id": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
				} {
					if got, ok := values[name]; ok {
						require.Equal(t, want, got, name)
					}
				}
			})
			tested++
		}
	}
	require.NotZero(t, tested)
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
