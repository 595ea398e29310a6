package e2e

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/test/github"
)

// everyParam is a Pipeline that declares every parameter that a run can get, also those that not every event has.
var everyParam = strings.Replace(allParams, "params: [", "params: [{name: event}, {name: git-branch}, {name: git-tag}, {name: pull-request-number}, ", 1)

// sent is what GitHub sends, and the pipelines that it shall start.
type sent struct {
	event   string
	payload github.Payload
	starts  []string
}

func (s sent) by(l listener) github.Delivery { return signed(l.secret, s.event, s.payload.Bytes()) }

// One repository that is bound for several environments, each by other events, and another one whose forks may start runs.
func TestEvents(t *testing.T) {
	t.Parallel()
	const app, lib = "example/app", "example/lib"
	namespace := cp.namespace(t, "e2e-events")
	cp.cloudflare(t)
	cp.create(t, organization(namespace, "events"))
	bind := func(pipeline, repository string, settings ...setting) ref {
		settings = append(settings, with("repoName", strings.TrimPrefix(repository, "example/")), with("pipelineSpec", everyParam))
		return cp.create(t, repoBinding(namespace, "events", pipeline, settings...))
	}
	said := map[ref]string{
		bind("ev-production", app, with("events", []any{"tag"}), with("tags", []any{"v*"})):                                  "a tag v* of https://github.com/example/app starts a run",
		bind("ev-staging", app, with("branches", []any{"main", "release/*"})):                                                "a push to main or release/* of https://github.com/example/app starts a run",
		bind("ev-review", app, with("events", []any{"push", "pull_request"}), with("branches", []any{"next", "feature/**"})): "a push to next or feature/** or a pull request (not from a fork) to next or feature/** of https://github.com/example/app starts a run",
		bind("ev-docs", app, with("paths", []any{"docs/**", "!docs/**/*.txt"})):                                              "a push to main that changes a file of spec.paths of https://github.com/example/app starts a run",
		bind("ev-open", lib, with("events", []any{"pull_request"}), with("pullRequests", map[string]any{"forks": true})):     "a pull request (also from a fork) to main of https://github.com/example/lib starts a run",
	}
	for claim := range said {
		cp.awaitReady(t, claim)
	}
	l := cp.listen(t, "events")

	t.Run("each binding says what starts a run, and what GitHub has to send", func(t *testing.T) {
		events := map[string][]any{"ev-review": {"push", "pull_request"}, "ev-open": {"pull_request"}}
		for claim, message := range said {
			o := cp.see(t, claim)
			require.Contains(t, text(o, "status.message"), "all 12 steps done; "+message+"; its webhook at GitHub: ")
			want := events[claim.name()]
			if want == nil {
				want = []any{"push"}
			}
			require.Equal(t, want, o.Object["status"].(map[string]any)["webhookConfiguration"].(map[string]any)["events"], claim)
		}
	})
	t.Run("a delivery starts exactly the runs that it is for", func(t *testing.T) {
		files := func(p github.Payload, files ...any) github.Payload {
			return p.Set("commits", []any{map[string]any{"id": p["after"], "added": files, "modified": []any{}, "removed": []any{}}})
		}
		push := func(p github.Payload, starts ...string) sent { return sent{"push", p, starts} }
		pull := func(p github.Payload, starts ...string) sent { return sent{"pull_request", p, starts} }
		own := func(base string) github.Payload { return github.PullRequest(app, base, app) }
		fork := github.PullRequest(app, "next", "mallory/app")
		l.requireStarts(t, map[string]sent{
			"a push to main":                          push(files(github.Push(app, "main"), "README.md"), "ev-staging"),
			"a push to main that changes the docs":    push(files(github.Push(app, "main"), "docs/a/b.md", "x"), "ev-docs", "ev-staging"),
			"a push to main that changes other docs":  push(files(github.Push(app, "main"), "docs/a/b.txt"), "ev-staging"),
			"a forced push, whose files nobody knows": push(files(github.Push(app, "main"), "README.md").Set("forced", true), "ev-docs", "ev-staging"),
			"a push of which no commit is new":        push(github.Push(app, "main").Set("commits", []any{}), "ev-docs", "ev-staging"),
			"a push to a release":                     push(github.Push(app, "release/1.2"), "ev-staging"),
			"a push below a release":                  push(github.Push(app, "release/1/2")),
			"a push to a feature":                     push(github.Push(app, "feature/a/b"), "ev-review"),
			"a push to a branch that nobody bound":    push(github.Push(app, "topic")),
			"a push where only pull requests count":   push(github.Push(lib, "main")),
			"a tag":                                   push(github.Tag(app, "v1.2.3"), "ev-production"),
			"another tag":                             push(github.Tag(app, "latest")),
			"a tag that is deleted":                   push(github.Tag(app, "v1.2.3").Set("deleted", true)),
			"a tag that is named like a branch":       push(github.Tag(app, "main")),
			"a branch that is named like a tag":       push(github.Push(app, "v1.2.3")),
			"a pull request":                          pull(own("next"), "ev-review"),
			"a pull request that gets commits":        pull(own("next").Set("action", "synchronize"), "ev-review"),
			"a pull request that is opened again":     pull(own("feature/x").Set("action", "reopened"), "ev-review"),
			"a pull request that is closed":           pull(own("next").Set("action", "closed")),
			"a pull request to another branch":        pull(own("main")),
			"a pull request from a fork":              pull(fork),
			"a pull request from a fork that is gone": pull(github.PullRequest(app, "next", "mallory/app").Set("pull_request.head.repo", nil)),
			"a pull request from a fork that may":     pull(github.PullRequest(lib, "main", "mallory/lib"), "ev-open"),
			"a pull request where forks may":          pull(github.PullRequest(lib, "main", lib), "ev-open"),
			"a pull request that says it is a push":   push(own("next")),
			"a push that says it is a pull request":   pull(github.Push(app, "next")),
		})
	})
	t.Run("hostile values start nothing", func(t *testing.T) {
		// A name of a branch or a tag could be that.
		names := []string{"null", "true", "ünïcödé", "😀", strings.Repeat("x", 10_000)}
		all := map[string]sent{}
		for _, value := range hostile {
			all["number "+value] = sent{"pull_request", github.PullRequest(app, "next", app).Set("number", value), nil}
			all["commit "+value] = sent{"pull_request", github.PullRequest(app, "next", app).Set("pull_request.head.sha", value), nil}
			all["tagged commit "+value] = sent{"push", github.Tag(app, "v1").Set("head_commit.id", value), nil}
			if !slices.Contains(names, value) {
				all["branch "+value] = sent{"push", github.Push(app, "feature/"+value), nil}
				all["base "+value] = sent{"pull_request", github.PullRequest(app, "feature/"+value, app), nil}
				if value != "" {
					all["tag "+value] = sent{"push", github.Tag(app, "v"+value), nil}
				}
			}
		}
		l.requireStarts(t, all)
	})
	t.Run("what an outsider writes reaches no run", func(t *testing.T) {
		all := map[string]sent{}
		for _, value := range hostile {
			p := github.PullRequest(lib, "main", "mallory/lib")
			for _, field := range []string{"title", "head.ref", "head.label", "head.repo.full_name", "head.repo.clone_url", "user.login"} {
				p.Set("pull_request."+field, value)
			}
			all[value] = sent{"pull_request", p, []string{"ev-open"}}
		}
		for value, runs := range l.requireStarts(t, all) {
			require.Equal(t, paramsOfPullRequest(lib, "main", "ev-open", all[value].payload, &runs[0]), params(&runs[0]), "%q", value)
		}
	})
	t.Run("other events and branches later replace those before", func(t *testing.T) {
		claim := refTo("RepoBinding %s/ev-production", namespace)
		for _, c := range []struct{ patch, starter string }{
			{`spec: {events: [push], tags: null, branch: stable}`, "a push to stable"},
			{`spec: {branch: null, branches: [stable, older]}`, "a push to stable or older"},
			{`spec: {events: null, branches: null, branch: stable}`, "a push to stable"},
			{`spec: {events: [tag], branch: null, tags: ["v*"]}`, "a tag v*"},
		} {
			cp.patch(t, claim, c.patch)
			cp.await(t, claim, func(o *object) error {
				return contains(text(o, "status.message"), "all 12 steps done; "+c.starter+" of https://github.com/example/app starts a run; ")
			})
		}
		eventually(t, func(context.Context) error {
			answer := l.deliver(t, sent{"push", github.Tag(app, "v1"), nil}.by(l))
			return same(done, l.settled(t, answer).byTrigger["ev-production-trigger"])
		})
	})
	t.Run("a run is told of its event", func(t *testing.T) {
		branch, tag, request := github.Push(app, "feature/a"), github.Tag(app, "v2"), github.PullRequest(app, "next", app)
		runs := l.requireStarts(t, map[string]sent{
			"push":         {"push", branch, []string{"ev-review"}},
			"tag":          {"push", tag, []string{"ev-production"}},
			"pull_request": {"pull_request", request, []string{"ev-review"}},
		})
		for event := range runs {
			require.Equal(t, event, runs[event][0].GetLabels()["platform.aphex/event"])
		}
		require.Equal(t, paramsOfPullRequest(app, "next", "ev-review", request, &runs["pull_request"][0]), params(&runs["pull_request"][0]))
		have := params(&runs["push"][0])
		require.Subset(t, have, map[string]any{
			"event": "push", "git-ref": "refs/heads/feature/a", "git-branch": "feature/a", "git-tag": "", "pull-request-number": "",
			"git-revision": branch["after"], "commit-sha": branch["after"],
		})
		have = params(&runs["tag"][0])
		require.Subset(t, have, map[string]any{
			"event": "tag", "git-ref": "refs/tags/v2", "git-branch": "", "git-tag": "v2", "pull-request-number": "",
			"git-revision": tag.Get("head_commit.id"), "commit-sha": tag.Get("head_commit.id"),
		})
	})
}

// paramsOfPullRequest are the parameters of a run that a pull request with the number 7 starts.
func paramsOfPullRequest(repository, base, pipeline string, p github.Payload, run *object) map[string]any {
	url, commit := "https://github.com/"+repository+".git", p.Get("pull_request.head.sha")
	return map[string]any{
		"event": "pull_request", "git-ref": "refs/pull/7/head", "git-branch": base, "git-tag": "", "pull-request-number": "7",
		"git-revision": commit, "commit-sha": commit, "git-url": url, "repo-url": url, "tenant-name": pipeline,
		"delivery-id": run.GetLabels()["platform.aphex/delivery"],
	}
}

// atOnce is how many deliveries are under way together: for each, Tekton's interceptors may ask for the secret, which
// they remember for seconds only, and their client lets ten requests through before it slows down and then gives up.
const atOnce = 8

// requireStarts sends deliveries and returns the runs that each of them starts, by the deliveries' names.
func (l listener) requireStarts(t *testing.T, all map[string]sent) map[string][]object {
	t.Helper()
	runs := map[string][]object{}
	for names := range slices.Chunk(slices.Sorted(maps.Keys(all)), atOnce) {
		answers := map[string]answer{}
		for _, name := range names {
			answers[name] = l.deliver(t, all[name].by(l))
		}
		for _, name := range names {
			o := l.settled(t, answers[name])
			require.Empty(t, o.whole, "%.200s reaches the triggers", name)
			found, err := runsOf(t.Context(), answers[name])
			require.NoError(t, err)
			started := []string{}
			for _, run := range found {
				started = append(started, run.GetNamespace())
			}
			require.ElementsMatch(t, all[name].starts, started, "%.200s: %v", name, o)
			runs[name] = found
		}
	}
	return runs
}
