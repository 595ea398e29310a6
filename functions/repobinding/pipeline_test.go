package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const header = "apiVersion: tekton.dev/v1\nkind: Pipeline\n"

func TestPipelineSpecsThatAreRefused(t *testing.T) {
	const tasks = "spec:\n  tasks: [{name: a, taskRef: {name: a}}]\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":                  {"", []string{"must hold one Pipeline; it holds no YAML document"}},
		"a comment":                {"# later", []string{"must hold one Pipeline; it holds no YAML document"}},
		"a word":                   {"later", []string{"must be a mapping with apiVersion, kind, metadata and spec"}},
		"a list":                   {"[]", []string{"must be a mapping with apiVersion, kind, metadata and spec"}},
		"an empty document before": {"---\n---\n" + header + tasks, []string{"must hold one Pipeline; it holds more than one YAML document"}},
		"two documents":            {header + tasks + "---\n" + header + tasks, []string{"must hold one Pipeline; it holds more than one YAML document"}},
		"a broken second document": {header + tasks + "---\n{", []string{"is no valid YAML: line 6: did not find expected node content"}},
		"a broken document":        {"a: [", []string{"is no valid YAML: line 1: did not find expected node content"}},
		"a tab":                    {"a:\n\tb: c", []string{"is no valid YAML: line 2: found character that cannot start any token"}},
		"another kind":             {"apiVersion: v1\nkind: Secret", []string{`apiVersion: found "v1", need tekton.dev/v1`, `kind: found "Secret", need Pipeline`}},
		"an old version":           {"apiVersion: tekton.dev/v1beta1\nkind: Pipeline\n" + tasks, []string{`apiVersion: found "tekton.dev/v1beta1", need tekton.dev/v1`}},
		"no kind":                  {"apiVersion: tekton.dev/v1", []string{"kind: is required and must be Pipeline"}},
		"a list of Pipelines":      {"apiVersion: v1\nkind: List\nitems: []", []string{`apiVersion: found "v1", need tekton.dev/v1`, `kind: found "List", need Pipeline`}},
		"no spec":                  {header, []string{"spec.tasks: must have at least one task"}},
		"no tasks":                 {header + "spec: {tasks: []}", []string{"spec.tasks: must have at least one task"}},
		"only a description":       {header + "spec: {description: later}", []string{"spec.tasks: must have at least one task"}},
		"a field in the wrong case": {
			header + "spec:\n  tasks:\n    - name: a\n      taskref: {name: a}", []string{"spec.tasks[0].taskref: unknown field"},
		},
		"unknown fields in several places": {
			header + "status: {}\nspec: {tasks: [{name: a, taskRef: {name: a, knd: Task}}], timeout: 1h}",
			[]string{"spec.tasks[0].taskRef.knd: unknown field", "spec.timeout: unknown field", "status: unknown field"},
		},
		"a field that is given twice": {
			header + "spec:\n  tasks:\n    - name: a\n      taskRef: {name: a}\n      name: b", []string{"spec.tasks[0].name: given twice (lines 5 and 7)"},
		},
		"a key that is no word": {header + "spec: {1: a}", []string{"spec: keys must be strings; put the key of line 3 in quotes"}},
		"a key that YAML takes for a boolean": {
			header + "metadata: {labels: {on: a}}\n" + tasks, []string{"metadata.labels.on: YAML reads this key as a boolean; put it in quotes (line 3)"},
		},
		"text for a number": {
			header + "spec:\n  tasks: [{name: a, taskRef: {name: a}}, {name: b, taskRef: {name: b}, retries: often}]",
			[]string{"spec.tasks[1].retries: found a string, need a number"},
		},
		"a mapping for a list":    {header + "spec: {tasks: {name: a}}", []string{"spec.tasks: found a mapping, need a list"}},
		"a list for a mapping":    {header + "spec: []", []string{"spec: found a list, need a mapping"}},
		"a number for a name":     {header + "spec: {tasks: [{name: 1}]}", []string{"spec.tasks[0].name: found a number, need a string"}},
		"an empty item of a list": {header + "spec: {tasks: [{name: a, taskRef: {name: a}}, ]}\nmetadata: {finalizers: [~]}", []string{"metadata.finalizers[0]: must not be empty"}},
		"a label that is none": {
			header + "metadata: {labels: {a: b c}}\n" + tasks,
			[]string{`metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`},
		},
		"a task without name and reference": {
			header + "spec: {tasks: [{name: ''}]}",
			[]string{
				`spec.tasks[0].name: invalid value "" (Pipeline Task name must be a valid DNS Label.For more info refer to https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#names)`,
				"spec.tasks[0].taskRef, spec.tasks[0].taskSpec: expected exactly one, got neither",
			},
		},
		"a parameter that is not declared": {
			header + "spec: {tasks: [{name: a, taskRef: {name: a}, params: [{name: b, value: $(params.c)}]}]}",
			[]string{`spec.tasks[0].params[b]: non-existent variable in "$(params.c)"`},
		},
		"tasks that wait for each other": {
			header + "spec: {tasks: [{name: a, taskRef: {name: a}, runAfter: [b]}, {name: b, taskRef: {name: b}, runAfter: [a]}]}",
			[]string{`spec.tasks: invalid value: cycle detected; task "a" depends on "b"`},
		},
		"too many tasks": {
			header + "spec: {tasks: [" + strings.Repeat("{name: a, taskRef: {name: a}},", 201) + "]}", []string{"spec.tasks: has 201 items, may have at most 200"},
		},
		"many problems": {
			header + "spec: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, tasks: [{name: a, taskRef: {name: a}}]}",
			[]string{"spec.a: unknown field", "spec.b: unknown field", "spec.c: unknown field", "spec.d: unknown field", "spec.e: unknown field", "and 2 more"},
		},
		"too much text":        {header + strings.Repeat("#", 256<<10), []string{"must have at most 262144 bytes"}},
		"a deep nest":          {header + "spec: " + strings.Repeat("[", 80) + strings.Repeat("]", 80), []string{"spec" + strings.Repeat("[0]", 64) + ": nested more than 64 levels deep (line 3)"}},
		"an alias of itself":   {"a: &a [*a]", []string{"a[0]: the alias *a contains itself (line 1)"}},
		"an alias of nothing":  {"a: *b", []string{"is no valid YAML: unknown anchor 'b' referenced"}},
		"a small YAML bomb":    {bomb(9, 9), []string{"a4: has more than 10000 keys and values (line 5)"}},
		"a few long aliases":   {"a: &a " + strings.Repeat("x", 1000) + "\nb: {c: [" + strings.Repeat("*a,", 200) + "], d: [" + strings.Repeat("*a,", 200) + "], e: [" + strings.Repeat("*a,", 200) + "]}", []string{"b: its aliases expand to more than 512 KiB (line 2)"}},
		"aliases that go deep": {bomb(150, 1), []string{"a64[0]: its aliases nest more than 128 levels deep (line 65)"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, problems := parsePipeline(c.text)
			require.Nil(t, p)
			require.Equal(t, c.want, problems)
		})
	}
}

// bomb is a chain of lists, each with so many aliases of the one before.
func bomb(levels, width int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [lol]\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), width), ","))
	}
	return b.String()
}

func TestThePipelineIsSentAsWritten(t *testing.T) {
	p, problems := parsePipeline(`
# Tekton would add kinds and types here; they are its own to add.
apiVersion: tekton.dev/v1
kind: Pipeline
metadata:
  name: another
  namespace: kube-system
  creationTimestamp: null
  ownerReferences: [{apiVersion: v1, kind: Node, name: a, uid: b}]
  finalizers: [a.b/c]
  labels: {team: web, platform.aphex/organization: globex}
  annotations: {note: "yes"}
spec:
  params:
    - name: git-url
    - name: flags
      type: array
      default: [a, "b"]
    - name: when
      default: yes
  tasks:
    - &task
      name: build
      timeout: 1h0m0s
      retries: 2
      taskRef: {name: build}
      when: [{input: $(params.git-url), operator: in, values: [a]}]
    - <<: *task
      name: test
      retries: ~
      runAfter: [build]
    - name: inline
      taskSpec:
        steps: [{name: run, image: docker.io/library/alpine:3.22, script: "echo 'a'\n", computeResources: {}}]
---
`)
	require.Empty(t, problems)
	requireYAML(t, `
apiVersion: tekton.dev/v1
kind: Pipeline
metadata:
  annotations:
    note: "yes"
  labels:
    platform.aphex/managed-by: platform-controller
    platform.aphex/organization: acme-corp
    platform.aphex/pipeline: my-app
    team: web
  name: my-app
  namespace: my-app
spec:
  params:
  - name: git-url
  - default:
    - a
    - b
    name: flags
    type: array
  - default: true
    name: when
  tasks:
  - name: build
    retries: 2
    taskRef:
      name: build
    timeout: 1h0m0s
    when:
    - input: $(params.git-url)
      operator: in
      values:
      - a
  - name: test
    runAfter:
    - build
    taskRef:
      name: build
    timeout: 1h0m0s
    when:
    - input: $(params.git-url)
      operator: in
      values:
      - a
  - name: inline
    taskSpec:
      steps:
      - computeResources: {}
        image: docker.io/library/alpine:3.22
        name: run
        script: |
          echo 'a'
`, p.object(testNames()))
}

func TestRunsGetTheParametersThatArePassed(t *testing.T) {
	for name, c := range map[string]struct {
		params, workspaces string
		pass, problems     []string
	}{
		"none":                         {},
		"what the event has":           {params: "{name: git-url}, {name: git-revision, default: main}, {name: tenant-name}", pass: []string{"git-url", "git-revision", "tenant-name"}},
		"not what has a default":       {params: "{name: image, default: alpine}, {name: flags, type: array, default: []}"},
		"not text for a list":          {params: "{name: git-url, type: array, default: [a]}"},
		"not text for an object":       {params: "{name: git-url, type: object, properties: {a: {}}, default: {a: b}}"},
		"required and unknown":         {params: "{name: image}", problems: []string{`spec.params[0]: "image" has no default and no event provides it; provided are commit-sha, delivery-id, event, git-branch, git-ref, git-revision, git-tag, git-url, pull-request-number, repo-url, tenant-name`}},
		"a required list":              {params: "{name: git-url}, {name: repo-url, type: array}", pass: []string{"git-url"}, problems: []string{`spec.params[1]: "repo-url" is an array without a default, but events provide only strings`}},
		"a required object":            {params: "{name: o, type: object, properties: {a: {}}}", problems: []string{`spec.params[0]: "o" is an object without a default, but events provide only strings`}},
		"an optional workspace":        {workspaces: "{name: cache, optional: true}"},
		"a workspace that is required": {workspaces: "{name: source}", problems: []string{`spec.workspaces[0]: "source" is not optional, but runs that an event starts have no workspaces; mark it optional, or let the tasks use a volume of their own`}},
	} {
		t.Run(name, func(t *testing.T) {
			p, problems := parsePipeline(header + "spec: {params: [" + c.params + "], workspaces: [" + c.workspaces + "], tasks: [{name: a, taskRef: {name: a}}]}")
			require.Empty(t, problems)
			pass, problems := p.runParams(knownParams())
			require.Equal(t, c.pass, pass)
			require.Equal(t, c.problems, problems)
		})
	}
}

func TestParsedPipelinesAreRemembered(t *testing.T) {
	m := newMemory()
	first, _ := m.pipeline(testPipeline)
	again, _ := m.pipeline(testPipeline)
	require.Same(t, first, again)
	_, problems := m.pipeline("a")
	_, same := m.pipeline("a")
	require.NotEmpty(t, problems)
	require.Equal(t, problems, same)
	for i := range 40 {
		m.pipeline(testPipeline + strings.Repeat("#", 100<<10) + fmt.Sprint(i))
		require.LessOrEqual(t, m.bytes, maxRemembered)
	}
	require.Less(t, len(m.entries), 12, "old ones are forgotten")
}

func TestWhatIsSentDoesNotShareTheMemory(t *testing.T) {
	p, _ := parsePipeline(testPipeline)
	sent := p.object(testNames())
	sent["spec"].(map[string]any)["tasks"].([]any)[0].(map[string]any)["name"] = "changed"
	again, err := yaml.Marshal(p.object(testNames()))
	require.NoError(t, err)
	require.NotContains(t, string(again), "changed")
}
