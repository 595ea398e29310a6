package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"google.golang.org/protobuf/proto"
	kjson "sigs.k8s.io/json"

	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

var seeds = []string{
	testPipeline,
	header + "spec: {tasks: [{name: a, taskRef: {name: a}, when: [{input: a, operator: in, values: [b]}]}], finally: [{name: b, taskRef: {name: b}}]}",
	header + "spec:\n  params: [{name: a, type: array, default: [x]}]\n  tasks:\n    - &t {name: a, taskSpec: {steps: [{image: i, script: s}]}}\n    - {<<: *t, name: b}\n",
	header + "spec: {tasks: [{name: a, taskRef: {name: a}, matrix: {params: [{name: p, value: [a, b]}]}}], results: [{name: r, value: $(tasks.a.results.x)}]}",
	header + "spec: {tasks: [{name: a, taskRef: {resolver: git, params: [{name: url, value: u}]}, workspaces: [{name: w}]}], workspaces: [{name: w, optional: true}]}",
	header + "spec: {tasks: [{name: a, taskSpec: {apiVersion: x/v1, kind: Y, spec: {a: 1.5e3, b: [~]}}, timeout: 1h}]}",
	"a: &a [*a]", "? [a]\n: b", "a: !!binary aGk=", "--- |\n a", "- - - -", "<<: {a: b}", "a: .nan", "\xff", "a: 0x1F",
}

// Whatever the text, the parser answers: with problems, or with a Pipeline that Tekton decodes strictly and accepts.
func FuzzPipelineSpec(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, problems := parsePipeline(text)
		require.NotEqual(t, p == nil, len(problems) == 0, "either a pipeline or problems")
		_, again := parsePipeline(text)
		require.Equal(t, problems, again, "the same text, the same answer")
		for _, problem := range problems {
			require.NotContains(t, problem, "runtime error")
			require.NotContains(t, problem, "\n")
		}
		if p == nil {
			return
		}
		s, err := object.From(p.object(testNames()))
		require.NoError(t, err)
		raw, err := json.Marshal(object.NewObject(s).Map())
		require.NoError(t, err)
		var typed pipelinev1.Pipeline
		unknown, err := kjson.UnmarshalStrict(raw, &typed)
		require.NoError(t, err)
		require.Empty(t, unknown)
		require.Equal(t, "my-app", typed.Name)
		require.Equal(t, "my-app", typed.Namespace)
		require.Empty(t, checkPipeline(&typed))
	})
}

// Whatever the spec, the same input gives the same answer, and what was there is never given up: only a suspended
// trigger, and what a binding lost, goes.
func FuzzCompose(f *testing.F) {
	for i, s := range seeds {
		f.Add("acme-corp", "acme", "web", "my-app", "run-pipeline-v1", s, "main", "", i%2 == 0, uint8(i))
	}
	f.Add("acme-corp", "acme", "web", "my-app", "run-pipeline-v1", testPipeline, "main", "admin", true, uint8(2))
	f.Add("acme-corp", "-", "-", "a--b", "run-pipeline-v1", testPipeline, `x"'\`, "elevated", false, uint8(3))
	f.Fuzz(func(t *testing.T, org, repoOrg, repoName, pipeline, template, spec, branch, profile string, suspend bool, cluster uint8) {
		c := newCluster(t)
		c.offline = cluster&1 != 0
		if cluster&2 != 0 {
			c.settle(binding(named(pipeline)))
		}
		if cluster&4 != 0 {
			c.without = []string{"pipelines.tekton.dev", "appprojects.argoproj.io"}
		}
		xr := binding(func(xr *v1alpha1.XRepoBinding) {
			xr.Spec.RepoBindingSpec = v1alpha1.RepoBindingSpec{
				AphexOrg: org, RepoOrg: repoOrg, RepoName: repoName, PipelineName: pipeline, TemplateRef: template, PipelineSpec: spec,
				Branch: branch, PermissionProfile: profile, Suspend: suspend,
			}
		})
		d, again := c.mustCompose(xr), c.mustCompose(xr)
		require.Equal(t, d.Keys(), again.Keys())
		require.Equal(t, d.Status, again.Status)
		require.Equal(t, d.Conditions, again.Conditions)
		for key, r := range d.Resources() {
			require.True(t, proto.Equal(r.Object, again.Resources()[key].Object), key)
			require.Equal(t, r.Ready, again.Resources()[key].Ready, key)
		}
		require.Len(t, d.Conditions, 6)
		require.NotEmpty(t, d.Message)
		require.Equal(t, d.Phase == "Ready", d.Ready)
		require.Equal(t, d.Phase == "Failed", d.Failed)
		for key := range c.composed {
			if key != keyTrigger || !suspend {
				require.Contains(t, d.Keys(), key)
			}
		}
		if problems := xr.Spec.Validate(); len(problems) > 0 {
			require.Equal(t, "Failed", d.Phase)
			kept := len(c.composed)
			if _, there := c.composed[keyTrigger]; there && suspend {
				kept--
			}
			require.Len(t, d.Keys(), kept, "nothing new")
		}
		if len(strings.TrimSpace(spec)) == 0 {
			require.Equal(t, "Failed", d.Phase)
		}
	})
}

// Whatever the patterns, if they are taken, the filter is a CEL expression, and whatever the name, if a wildcard lets it
// pass, it holds nothing that Tekton or a shell takes for more than text.
func FuzzEventFilter(f *testing.F) {
	for _, s := range [][2]string{
		{"main", "main"}, {"release/**", "release/1/2"}, {"**", "$(id)"}, {"a*b**c", "a\u2028bc"}, {`it's"*`, `it's"x`}, {"{*}", "{1}"}, {"(*)|[", ")"},
		{"*@*", "x@{1}"}, {"日本/*", "日本/語"}, {"!**/x", "a/x"}, {`\pL*`, "a"}, {"**/**", "-x"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		spec := binding().Spec.RepoBindingSpec
		spec.Events = []string{"push", "tag", "pull_request"}
		spec.Branches, spec.Tags, spec.Paths = []string{"**/" + pattern}, []string{pattern}, []string{"**", pattern}
		if len(spec.Validate()) > 0 || !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			return
		}
		fits := starts(t, spec, pushOf("refs/heads/"+name))
		require.Equal(t, fits, starts(t, spec, pullRequestTo(name)), "the same branch, the same answer")
		if fits {
			harmless := strings.Map(func(r rune) rune {
				if strings.ContainsRune(pattern, r) {
					return -1
				}
				return r
			}, name)
			require.False(t, strings.ContainsAny(harmless, "\"'`$\\;&|<>(){}[]*?!~^: \t\r\n\x00"), "%q passes as %q", name, pattern)
		}
		starts(t, spec, tagOf("refs/tags/"+name))
	})
}
