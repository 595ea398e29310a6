package main

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/apis/repobinding/v1alpha1"
)

func TestTheFilterOfPushesReads(t *testing.T) {
	require.Equal(t, `header.canonical("X-GitHub-Delivery").matches("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")`+
		` && body.repository.full_name.lowerAscii() == "acme/web"`+
		` && body.repository.clone_url.lowerAscii() == "https://github.com/acme/web.git"`+
		` && header.canonical("X-GitHub-Event") == "push"`+
		` && !(has(body.deleted) && body.deleted)`+
		` && body.ref == "refs/heads/main"`+
		` && body.after.matches("^([0-9a-f]{40}|[0-9a-f]{64})$")`,
		eventFilter("acme/web", v1alpha1.RepoBindingSpec{}))
}

func TestTheFilterOfEveryEventReads(t *testing.T) {
	require.Equal(t, `header.canonical("X-GitHub-Delivery").matches("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")`+
		` && body.repository.full_name.lowerAscii() == "acme/web"`+
		` && body.repository.clone_url.lowerAscii() == "https://github.com/acme/web.git"`+
		` && (header.canonical("X-GitHub-Event") == "push"`+
		` && !(has(body.deleted) && body.deleted)`+
		` && (body.ref in ["refs/heads/main", "refs/heads/next"]`+
		` && body.after.matches("^([0-9a-f]{40}|[0-9a-f]{64})$")`+
		` || body.ref.matches("^refs/tags/(?:v[-0-9A-Za-z._+@#=,\\x{A1}-\\x{10FFFF}]*)$")`+
		` && !body.ref.matches("^$|(?:^|/)[-./]|\\.\\.|@\\{|[/.]$|\\.lock(?:/|$)|\\pC|\\pZ")`+
		` && body.head_commit.id.matches("^([0-9a-f]{40}|[0-9a-f]{64})$"))`+
		` || header.canonical("X-GitHub-Event") == "pull_request"`+
		` && body.action in ["opened", "reopened", "synchronize"]`+
		` && body.number >= 1.0 && body.number == double(int(body.number))`+
		` && body.pull_request.base.ref in ["main", "next"]`+
		` && body.pull_request.head.sha.matches("^([0-9a-f]{40}|[0-9a-f]{64})$")`+
		` && body.pull_request.head.repo.full_name.lowerAscii() == "acme/web")`,
		eventFilter("acme/web", v1alpha1.RepoBindingSpec{
			Events: []string{"push", "tag", "pull_request"}, Branches: []string{"main", "next"}, Tags: []string{"v*"},
		}))
}

const (
	testCommit = "4544205a385319fd846d5df4ed2e3b8173529d78"
	testTag    = "d2b75aa7797ec26b088fa2dd527e9d2c052fcedd"
)

// event is a delivery of a webhook, as far as a filter looks at it.
type event struct {
	name, delivery string
	body           map[string]any
}

// changed is the event with other values in some fields; nil takes a field out. The path of a field has dots.
func (e event) changed(fields map[string]any) event {
	e.body = maps.Clone(e.body)
	for path, value := range fields {
		at, parts := e.body, strings.Split(path, ".")
		for _, part := range parts[:len(parts)-1] {
			below := maps.Clone(at[part].(map[string]any))
			at[part], at = below, below
		}
		last := parts[len(parts)-1]
		if value == nil {
			delete(at, last)
		} else {
			at[last] = value
		}
	}
	return e
}

func (e event) named(name string) event        { e.name = name; return e }
func (e event) deliveredAs(id string) event    { e.delivery = id; return e }
func (e event) with(path string, v any) event  { return e.changed(map[string]any{path: v}) }
func (e event) without(path string) event      { return e.changed(map[string]any{path: nil}) }
func (e event) of(repository string) event     { return e.changed(repositoryFields(repository)) }
func commit(files ...string) map[string]any    { return commitOf(files, nil, nil) }
func repositoryFields(r string) map[string]any { return map[string]any{"repository": repositoryOf(r)} }

func repositoryOf(name string) map[string]any {
	return map[string]any{"full_name": name, "clone_url": "https://github.com/" + name + ".git"}
}

func commitOf(added, modified, removed []string) map[string]any {
	return map[string]any{"id": testCommit, "added": added, "modified": modified, "removed": removed}
}

func pushOf(ref string, commits ...any) event {
	return event{name: "push", delivery: "72d3162e-cc78-11e3-81ab-4c9367dc0958", body: map[string]any{
		"ref": ref, "after": testCommit, "created": false, "deleted": false, "forced": false, "commits": commits,
		"head_commit": map[string]any{"id": testCommit}, "repository": repositoryOf("acme/web"),
	}}
}

// tagOf is an annotated tag, as GitHub tells of it.
func tagOf(ref string) event {
	return pushOf(ref).changed(map[string]any{"after": testTag, "created": true})
}

func pullRequestTo(base string) event {
	return event{name: "pull_request", delivery: "72d3162e-cc78-11e3-81ab-4c9367dc0958", body: map[string]any{
		"action": "opened", "number": 7.0, "repository": repositoryOf("acme/web"),
		"pull_request": map[string]any{
			"number": 7.0,
			"base":   map[string]any{"ref": base, "sha": testTag, "repo": repositoryOf("acme/web")},
			"head":   map[string]any{"ref": "feature", "sha": testCommit, "repo": repositoryOf("acme/web")},
		},
	}}
}

func fromFork(e event) event { return e.with("pull_request.head.repo", repositoryOf("mallory/web")) }

// evaluate is what CEL itself says, with the extensions and the function for headers that Tekton's interceptor has.
func evaluate(t *testing.T, expression string, e event) (any, error) {
	t.Helper()
	header := cel.MapType(cel.StringType, cel.StringType)
	canonical := cel.MemberOverload("canonical", []*cel.Type{header, cel.StringType}, cel.StringType,
		cel.BinaryBinding(func(header, name ref.Val) ref.Val { return header.(traits.Mapper).Get(name) }))
	env, err := cel.NewEnv(cel.Variable("body", cel.MapType(cel.StringType, cel.DynType)), cel.Variable("header", header),
		cel.Function("canonical", canonical), ext.Strings())
	require.NoError(t, err)
	ast, issues := env.Compile(expression)
	require.NoError(t, issues.Err(), expression)
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize))
	require.NoError(t, err, expression)
	out, _, err := program.Eval(map[string]any{
		"body": e.body, "header": map[string]string{"X-GitHub-Event": e.name, "X-GitHub-Delivery": e.delivery},
	})
	if err != nil {
		return nil, err
	}
	return out.Value(), nil
}

// starts tells whether a filter holds; one that fails stops the event too.
func starts(t *testing.T, spec v1alpha1.RepoBindingSpec, e event) bool {
	t.Helper()
	out, err := evaluate(t, eventFilter("acme/web", spec), e)
	return err == nil && out == true
}

func TestPushesThatStartARun(t *testing.T) {
	main := pushOf("refs/heads/main")
	for name, c := range map[string]struct {
		event event
		want  bool
	}{
		"the branch": {main, true},
		"GitHub keeps the case that the owner chose": {main.of("ACME/Web"), true},
		"a SHA-256 repository":                       {main.with("after", strings.Repeat("0a", 32)), true},
		"a push that does not say it deletes":        {main.without("deleted"), true},
		"another repository":                         {main.of("acme/web2"), false},
		"a tag":                                      {tagOf("refs/tags/main"), false},
		"a longer branch":                            {pushOf("refs/heads/main2"), false},
		"a branch in a folder":                       {pushOf("refs/heads/x/main"), false},
		"a branch and a line":                        {pushOf("refs/heads/main\n"), false},
		"a deletion":                                 {main.with("deleted", true), false},
		"a deletion in other words":                  {main.with("deleted", "no"), false},
		"another place to clone":                     {main.with("repository.clone_url", "https://github.com/acme/web2.git"), false},
		"a place to clone by HTTP":                   {main.with("repository.clone_url", "http://github.com/acme/web.git"), false},
		"no place to clone":                          {main.without("repository.clone_url"), false},
		"no revision":                                {main.without("after"), false},
		"an empty revision":                          {main.with("after", ""), false},
		"a parameter as a revision":                  {main.with("after", "$(tt.params.git-url)"), false},
		"a revision and a line":                      {main.with("after", testCommit+"\n"), false},
		"another event":                              {main.named("pull_request"), false},
		"no delivery id":                             {main.deliveredAs(""), false},
		"a delivery id of others":                    {main.deliveredAs("$(tt.params.git-url)"), false},
		"a ping":                                     {event{name: "push", delivery: main.delivery, body: map[string]any{"zen": "ping"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, starts(t, v1alpha1.RepoBindingSpec{}, c.event))
		})
	}
}

// Such names are the choice of whoever claims the binding.
func TestABranchIsMatchedLiterally(t *testing.T) {
	for _, branch := range []string{
		"main", "release/1.2", `it's`, `say-"hi"`, "`tick`", "$(rm)", `a'||'b`, `x"||true||"`, "grün", "日本", "\u2028", "\u00ad", "emoji-😀", "a%b&c=d;e#f{g}", "a.b+c|d(e)",
	} {
		for _, spec := range []v1alpha1.RepoBindingSpec{{Branch: branch}, {Branches: []string{branch, "next"}}, {Branches: []string{"x/*", branch}}} {
			require.True(t, starts(t, spec, pushOf("refs/heads/"+branch)), branch)
			require.False(t, starts(t, spec, pushOf("refs/heads/other")), branch)
			require.False(t, starts(t, spec, pushOf("refs/heads/aXb+c|d(e)")), branch)
		}
		spec := v1alpha1.RepoBindingSpec{Branches: []string{branch + "/*"}}
		if strings.ContainsAny(branch, "\u2028\u00ad") {
			require.False(t, starts(t, spec, pushOf("refs/heads/"+branch+"/x")), "%q cannot be seen", branch)
			continue
		}
		require.True(t, starts(t, spec, pushOf("refs/heads/"+branch+"/x")), branch)
		require.False(t, starts(t, spec, pushOf("refs/heads/"+branch)), branch)
	}
}

func TestPatternsOfBranches(t *testing.T) {
	for pattern, c := range map[string]struct{ in, out []string }{
		"*":               {in: []string{"main", "a-b_c.1+2@3#4=5,6", "機能", "grün"}, out: []string{"a/b"}},
		"**":              {in: []string{"main", "a/b", "a/b/c"}},
		"release/*":       {in: []string{"release/1.2", "release/x"}, out: []string{"release", "release/1/2", "xrelease/1", "release/"}},
		"release/**":      {in: []string{"release/1", "release/1/2"}, out: []string{"release", "releases/1"}},
		"v2*":             {in: []string{"v2", "v2.0", "v20"}, out: []string{"v1", "av2", "v2/x"}},
		"*-fix":           {in: []string{"a-fix", "b.c-fix"}, out: []string{"a/b-fix", "a-fixed", "-fix"}},
		"**-fix":          {in: []string{"a-fix", "a/b-fix"}, out: []string{"a/b-fix/c"}},
		"**/next":         {in: []string{"next", "a/next", "a/b/next"}, out: []string{"anext", "next/a"}},
		"a/**/z":          {in: []string{"a/z", "a/b/z", "a/b/c/z"}, out: []string{"az", "a/bz"}},
		"a**/z":           {in: []string{"a/z", "ab/z", "a/b/z"}, out: []string{"az"}},
		"a.c/*":           {in: []string{"a.c/x"}, out: []string{"abc/x"}},
		"users/*/topic-*": {in: []string{"users/mona/topic-1", "users/mona/topic-"}, out: []string{"users/a/b/topic-1", "users/mona/topic"}},
	} {
		spec := v1alpha1.RepoBindingSpec{Branches: []string{"never", pattern}}
		for _, branch := range c.in {
			require.True(t, starts(t, spec, pushOf("refs/heads/"+branch)), "%s is a %s", branch, pattern)
		}
		for _, branch := range append(c.out, "") {
			require.False(t, starts(t, spec, pushOf("refs/heads/"+branch)), "%s is no %s", branch, pattern)
			require.False(t, starts(t, spec, pushOf(branch)), "%s is no %s", branch, pattern)
		}
		require.True(t, starts(t, spec, pushOf("refs/heads/never")))
	}
}

// What a wildcard stands for is the choice of whoever may push or open a pull request.
func TestAWildcardStandsForNothingThatHarms(t *testing.T) {
	spec := v1alpha1.RepoBindingSpec{Events: []string{"push", "tag", "pull_request"}, Branches: []string{"**"}}
	for _, name := range []string{
		"", " ", "a b", "a\tb", "a\nb", "a\n", "\na", "a\x00b", `a"b`, "a'b", "a`b", `a\b`, "$(id)", "a$(tt.params.git-url)", "${HOME}", "$x", "a;b", "a|b", "a&b", "a<b", "a>b",
		"a(b", "a)b", "{{x}}", "@{1}", "a?", "a*", "a[b", "a~1", "a^", "a:b", "a!b", "a%b", "..", "a..b", "../x", "a/../b", "a//b", "/a", "a/", ".a", "a/.b", "a.", "a.lock", "a.lock/b",
		"-a", "--upload-pack=x", "a/-b", "a\u2028b", "a\u00a0b", "a\u00adb", "\u202egnp", "a\u200bb", "a\ufeffb", "a\u0085b",
	} {
		require.False(t, starts(t, spec, pushOf("refs/heads/"+name)), "branch %q", name)
		require.False(t, starts(t, spec, tagOf("refs/tags/"+name)), "tag %q", name)
		require.False(t, starts(t, spec, pullRequestTo(name)), "base %q", name)
	}
}

func TestTagsThatStartARun(t *testing.T) {
	every := v1alpha1.RepoBindingSpec{Events: []string{"tag"}}
	some := v1alpha1.RepoBindingSpec{Events: []string{"tag"}, Tags: []string{"v*", "release/**", "latest"}}
	both := v1alpha1.RepoBindingSpec{Events: []string{"tag", "push"}, Tags: []string{"v*"}, Paths: []string{"src/**"}}
	v1 := tagOf("refs/tags/v1")
	for name, c := range map[string]struct {
		spec  v1alpha1.RepoBindingSpec
		event event
		want  bool
	}{
		"any tag":                                {every, tagOf("refs/tags/anything/at-all"), true},
		"a tag by pattern":                       {some, v1, true},
		"a tag by the other pattern":             {some, tagOf("refs/tags/release/1/2"), true},
		"a tag by name":                          {some, tagOf("refs/tags/latest"), true},
		"a tag of a SHA-256 repository":          {some, v1.with("head_commit.id", strings.Repeat("0a", 32)), true},
		"a tag that was moved":                   {some, v1.changed(map[string]any{"created": false, "forced": true}), true},
		"a tag is not filtered by paths":         {both, v1, true},
		"a branch beside tags":                   {both, pushOf("refs/heads/main", commit("src/x")), true},
		"a branch beside tags, of other paths":   {both, pushOf("refs/heads/main", commit("x")), false},
		"another tag":                            {some, tagOf("refs/tags/w1"), false},
		"a tag in a folder":                      {some, tagOf("refs/tags/v/1"), false},
		"a branch that is named like a tag":      {some, pushOf("refs/heads/v1"), false},
		"a tag that is named like the branch":    {v1alpha1.RepoBindingSpec{Branches: []string{"**"}}, tagOf("refs/tags/main"), false},
		"a branch where only tags count":         {every, pushOf("refs/heads/main"), false},
		"a tag that is deleted":                  {some, v1.with("deleted", true), false},
		"a tag of no commit":                     {some, v1.without("head_commit"), false},
		"a tag of a commit without a name":       {some, v1.without("head_commit.id"), false},
		"a tag of a commit with a hostile name":  {some, v1.with("head_commit.id", "$(tt.params.git-url)"), false},
		"a tag of another repository":            {some, v1.of("acme/other"), false},
		"a tag that says it is a pull request":   {some, v1.named("pull_request"), false},
		"a pull request where only tags count":   {every, pullRequestTo("main"), false},
		"a ref that is neither a branch nor tag": {every, tagOf("refs/notes/v1"), false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, starts(t, c.spec, c.event)) })
	}
}

func TestPullRequestsThatStartARun(t *testing.T) {
	var (
		only   = v1alpha1.RepoBindingSpec{Events: []string{"pull_request"}, Branches: []string{"main", "release/*"}}
		forks  = v1alpha1.RepoBindingSpec{Events: []string{"pull_request"}, PullRequests: v1alpha1.PullRequests{Forks: true}}
		pushes = v1alpha1.RepoBindingSpec{}
		all    = v1alpha1.RepoBindingSpec{Events: []string{"push", "tag", "pull_request"}, Paths: []string{"src/**"}}
		main   = pullRequestTo("main")
	)
	for name, c := range map[string]struct {
		spec  v1alpha1.RepoBindingSpec
		event event
		want  bool
	}{
		"one that is opened":                               {only, main, true},
		"one that gets commits":                            {only, main.with("action", "synchronize"), true},
		"one that is opened again":                         {only, main.with("action", "reopened"), true},
		"one to a branch of a pattern":                     {only, pullRequestTo("release/1"), true},
		"one from the repository, in other letters":        {only, main.with("pull_request.head.repo", repositoryOf("ACME/Web")), true},
		"one from a branch that is named badly":            {only, main.with("pull_request.head.ref", "$(id)"), true},
		"one beside other events, whatever files":          {all, main, true},
		"one from a fork that may":                         {forks, fromFork(main), true},
		"one from a fork that is gone, where forks may":    {forks, main.without("pull_request.head.repo"), true},
		"one of the repository where forks may":            {forks, main, true},
		"one from a fork":                                  {only, fromFork(main), false},
		"one from a fork beside other events":              {all, fromFork(main), false},
		"one from a fork of the same owner":                {only, main.with("pull_request.head.repo", repositoryOf("acme/web-fork")), false},
		"one from a fork that is gone":                     {only, main.without("pull_request.head.repo"), false},
		"one from a repository that does not say its name": {only, main.without("pull_request.head.repo.full_name"), false},
		"one to another branch":                            {only, pullRequestTo("next"), false},
		"one to another branch from a fork that may":       {forks, fromFork(pullRequestTo("next")), false},
		"one that is closed":                               {only, main.with("action", "closed"), false},
		"one that is labelled":                             {only, main.with("action", "labeled"), false},
		"one that changes its base":                        {only, main.with("action", "edited"), false},
		"one without an action":                            {only, main.without("action"), false},
		"one without a number":                             {only, main.without("number"), false},
		"one with a number of none":                        {only, main.with("number", 0.0), false},
		"one with a negative number":                       {only, main.with("number", -7.0), false},
		"one with a part of a number":                      {only, main.with("number", 7.5), false},
		"one with a number beyond all":                     {only, main.with("number", 1e300), false},
		"one with a number that is a text":                 {only, main.with("number", "7"), false},
		"one with a hostile number":                        {only, main.with("number", "7/head $(id)"), false},
		"one without a commit":                             {only, main.without("pull_request.head.sha"), false},
		"one with an empty commit":                         {only, main.with("pull_request.head.sha", ""), false},
		"one with a hostile commit":                        {only, main.with("pull_request.head.sha", "$(tt.params.git-url)"), false},
		"one without a base":                               {only, main.without("pull_request.base"), false},
		"one without a pull request":                       {only, main.without("pull_request"), false},
		"one of another repository":                        {only, main.of("acme/other"), false},
		"one that says it is a push":                       {all, main.named("push"), false},
		"one where only pushes count":                      {pushes, main, false},
		"a push where only pull requests count":            {only, pushOf("refs/heads/main"), false},
		"a push that says it is a pull request":            {all, pushOf("refs/heads/main").named("pull_request"), false},
		"one whose delivery has a hostile id":              {only, main.deliveredAs("$(id)"), false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, starts(t, c.spec, c.event)) })
	}
}

func TestPathsThatStartARun(t *testing.T) {
	for name, c := range map[string]struct {
		paths   []string
		in, out []string
	}{
		"all below a folder":              {paths: []string{"docs/**"}, in: []string{"docs/a", "docs/a/b.md", "docs/.x"}, out: []string{"docs", "a/docs/b", "docsx/a"}},
		"all in a folder, not below":      {paths: []string{"docs/*"}, in: []string{"docs/a"}, out: []string{"docs/a/b"}},
		"one file":                        {paths: []string{"go.mod"}, in: []string{"go.mod"}, out: []string{"go_mod", "a/go.mod", "go.mod/a"}},
		"a suffix anywhere":               {paths: []string{"**.go"}, in: []string{"a.go", "a/b.go"}, out: []string{"a.gox"}},
		"a suffix anywhere, by folders":   {paths: []string{"**/*.go"}, in: []string{"a.go", "a/b.go", ".go"}, out: []string{"ago"}},
		"a suffix at the root":            {paths: []string{"*.go"}, in: []string{"a.go"}, out: []string{"a/b.go"}},
		"a suffix below a folder":         {paths: []string{"docs/**/*.md"}, in: []string{"docs/a.md", "docs/a/b.md"}, out: []string{"docs.md", "a.md"}},
		"a folder anywhere":               {paths: []string{"**/docs/**"}, in: []string{"docs/a", "x/docs/a"}, out: []string{"xdocs/a"}},
		"names outside ASCII and blanks":  {paths: []string{"ü b/*"}, in: []string{"ü b/\n 日本"}, out: []string{"u b/x"}},
		"some files taken out":            {paths: []string{"src/**", "!src/**/*.md"}, in: []string{"src/a.go", "src/x/a.go"}, out: []string{"src/a.md", "src/x/a.md", "a.md"}},
		"some taken out and in again":     {paths: []string{"**", "!docs/**", "docs/api/**"}, in: []string{"a", "docs/api/x"}, out: []string{"docs/x"}},
		"and once more out":               {paths: []string{"**", "!docs/**", "docs/api/**", "!**/*.txt"}, in: []string{"docs/api/x"}, out: []string{"docs/api/x.txt", "a.txt"}},
		"one of several":                  {paths: []string{"a/*", "b/*"}, in: []string{"a/x", "b/x"}, out: []string{"c/x"}},
		"what means something to a regex": {paths: []string{"a+(b)|c{1}^$.txt"}, in: []string{"a+(b)|c{1}^$.txt"}, out: []string{"aab"}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := v1alpha1.RepoBindingSpec{Paths: c.paths}
			for _, file := range c.in {
				for _, changed := range []any{commitOf([]string{file}, nil, nil), commitOf(nil, []string{file}, nil), commitOf(nil, nil, []string{file})} {
					require.True(t, starts(t, spec, pushOf("refs/heads/main", changed)), file)
					require.True(t, starts(t, spec, pushOf("refs/heads/main", commit(c.out...), changed)), file)
				}
				require.False(t, starts(t, spec, pushOf("refs/heads/next", commit(file))), "another branch")
			}
			require.False(t, starts(t, spec, pushOf("refs/heads/main", commit(c.out...), commit())), c.out)
			require.False(t, starts(t, spec, pushOf("refs/heads/main", commitOf(nil, c.out, c.out))), c.out)
		})
	}
}

func TestAPushOfWhichNotAllFilesAreKnownStartsARun(t *testing.T) {
	spec := v1alpha1.RepoBindingSpec{Paths: []string{"src/**"}}
	other := pushOf("refs/heads/main", commit("README.md"))
	incomplete := func(field string) event {
		c := commit("README.md")
		delete(c, field)
		return pushOf("refs/heads/main", commit("README.md"), c)
	}
	commits := func(n int) event { return pushOf("refs/heads/main", slices.Repeat([]any{commit("README.md")}, n)...) }
	files := func(added, modified, removed int) event {
		f := func(n int) []string { return slices.Repeat([]string{"README.md"}, n) }
		return pushOf("refs/heads/main", commitOf(f(added), f(modified), f(removed)))
	}
	for name, c := range map[string]struct {
		event event
		want  bool
	}{
		"all files are known":              {other, false},
		"a new branch":                     {other.with("created", true), true},
		"a forced push":                    {other.with("forced", true), true},
		"no commits":                       {pushOf("refs/heads/main"), true},
		"2047 commits":                     {commits(2047), false},
		"2048 commits, the most there are": {commits(2048), true},
		"2999 files":                       {files(1000, 1000, 999), false},
		"3000 files, the most there are":   {files(1000, 1000, 1000), true},
		"nothing of added files":           {incomplete("added"), true},
		"nothing of modified files":        {incomplete("modified"), true},
		"nothing of removed files":         {incomplete("removed"), true},
		"a new branch of another name":     {pushOf("refs/heads/next").with("created", true), false},
		"a deletion":                       {other.changed(map[string]any{"deleted": true, "forced": true}), false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, starts(t, spec, c.event)) })
	}
}

func TestWhatARunIsToldOfItsEvent(t *testing.T) {
	type values map[string]string
	var (
		push = values{
			"event": "push", "commit-sha": testCommit, "git-revision": testCommit, "git-ref": "refs/heads/release/1", "git-branch": "release/1",
			"git-tag": "", "pull-request-number": "",
		}
		tag = values{
			"event": "tag", "commit-sha": testCommit, "git-revision": testCommit, "git-ref": "refs/tags/v1", "git-branch": "", "git-tag": "v1",
			"pull-request-number": "",
		}
		pullRequest = values{
			"event": "pull_request", "commit-sha": testCommit, "git-revision": testCommit, "git-ref": "refs/pull/7/head", "git-branch": "release/1",
			"git-tag": "", "pull-request-number": "7",
		}
	)
	for _, events := range [][]string{
		{"push"}, {"tag"}, {"pull_request"}, {"push", "tag"}, {"push", "pull_request"}, {"tag", "pull_request"}, {"push", "tag", "pull_request"},
	} {
		spec := v1alpha1.RepoBindingSpec{Events: events}
		for name, c := range map[string]struct {
			event event
			want  values
		}{
			"push":         {pushOf("refs/heads/release/1"), push},
			"tag":          {tagOf("refs/tags/v1"), tag},
			"pull_request": {pullRequestTo("release/1"), pullRequest},
		} {
			if !spec.StartsOn(name) {
				continue
			}
			got := values{}
			for _, v := range eventValues() {
				value, err := evaluate(t, v.of(spec), c.event)
				require.NoError(t, err)
				got[v.param] = value.(string)
			}
			require.Equal(t, c.want, got, "%s of %v", name, events)
		}
	}
}

func TestBindingsGiveEachParameterOnce(t *testing.T) {
	for _, events := range [][]string{{"push"}, {"tag"}, {"pull_request"}, {"push", "tag", "pull_request"}} {
		given := []string{paramTenant}
		for _, b := range bindings(v1alpha1.RepoBindingSpec{Events: events}) {
			if b.Ref != "" {
				require.Equal(t, []string{"push"}, events, "the organization's TriggerBinding reads the fields of a push")
				given = append(given, "commit-sha", "delivery-id", "git-ref", "git-revision", "git-url", "repo-url")
				continue
			}
			given = append(given, b.Name)
		}
		require.ElementsMatch(t, knownParams(), given, events)
	}
}

func TestTheExampleOfEventsStartsTheRunsThatItSays(t *testing.T) {
	raw, err := os.ReadFile("../../examples/repobinding/events.yaml")
	require.NoError(t, err)
	claim := v1alpha1.RepoBinding{}
	require.NoError(t, yaml.UnmarshalStrict(raw, &claim))
	xr := binding()
	xr.Spec.RepoBindingSpec = claim.Spec
	d := newCluster(t).settle(xr)
	require.Contains(t, d.Message, "all 12 steps done; a push to next or release/* that changes a file of spec.paths, a tag v* or a pull request (not from a fork) "+
		"to next or release/* of https://github.com/acme-corp/my-application starts a run; its webhook at GitHub: ")
	filter, ok := eventParamsOf(t, composed(t, d, "trigger"))["filter"].(string)
	require.True(t, ok)
	for name, c := range map[string]struct {
		event event
		want  bool
	}{
		"a push that changes the source":    {pushOf("refs/heads/next", commit("src/main.go")), true},
		"a push that changes a description": {pushOf("refs/heads/next", commit("src/README.md")), false},
		"a push to another branch":          {pushOf("refs/heads/main", commit("src/main.go")), false},
		"a release tag":                     {tagOf("refs/tags/v1"), true},
		"another tag":                       {tagOf("refs/tags/nightly"), false},
		"a pull request":                    {pullRequestTo("release/1").with("pull_request.head.repo", repositoryOf("acme-corp/my-application")), true},
		"a pull request from a fork":        {fromFork(pullRequestTo("release/1")), false},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := evaluate(t, filter, c.event.of("acme-corp/my-application"))
			require.NoError(t, err)
			require.Equal(t, c.want, out)
		})
	}
}

// eventParamsOf are the parameters of a Trigger's only interceptor.
func eventParamsOf(t *testing.T, trigger map[string]any) map[string]any {
	t.Helper()
	interceptors := trigger["spec"].(map[string]any)["interceptors"].([]any)
	require.Len(t, interceptors, 1)
	out := map[string]any{}
	for _, p := range interceptors[0].(map[string]any)["params"].([]any) {
		param := p.(map[string]any)
		out[param["name"].(string)] = param["value"]
	}
	return out
}
