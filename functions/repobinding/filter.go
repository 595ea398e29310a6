package main

import (
	"strconv"
	"strings"

	"aphex.io/platform/apis/repobinding/v1alpha1"
)

const (
	branchPrefix = "refs/heads/"
	tagPrefix    = "refs/tags/"

	isPush        = `header.canonical("X-GitHub-Event") == "push"`
	isPullRequest = `header.canonical("X-GitHub-Event") == "pull_request"`
)

// eventFilter is a CEL expression that holds for the events that start a run. GitHub sends the name of the repository in
// the case that its owner chose; repo is in lower case. A field that an event does not have makes the expression fail,
// which stops the event too.
//
// Whatever else of an event reaches a run has to look as GitHub writes it: Tekton would replace $(tt.params.…) in one
// value by another, and GitHub's signature does not cover the headers.
func eventFilter(repo string, spec v1alpha1.RepoBindingSpec) string {
	var events []string
	if spec.StartsOn(v1alpha1.EventPush) || spec.StartsOn(v1alpha1.EventTag) {
		events = append(events, pushFilter(spec))
	}
	if spec.StartsOn(v1alpha1.EventPullRequest) {
		events = append(events, pullRequestFilter(repo, spec))
	}
	return allOf(
		`header.canonical("X-GitHub-Delivery").matches("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")`,
		"body.repository.full_name.lowerAscii() == "+celString(repo),
		"body.repository.clone_url.lowerAscii() == "+celString("https://github.com/"+repo+".git"),
		anyOf(events...),
	)
}

// pushFilter holds for pushes of branches and tags that count, but not for their deletion.
func pushFilter(spec v1alpha1.RepoBindingSpec) string {
	var refs []string
	if spec.StartsOn(v1alpha1.EventPush) {
		branch := allOf(refFilter("body.ref", branchPrefix, spec.BranchesOrDefault()), isCommit("body.after"))
		if len(spec.Paths) > 0 {
			branch = allOf(branch, pathsFilter(spec.Paths))
		}
		refs = append(refs, branch)
	}
	if spec.StartsOn(v1alpha1.EventTag) {
		refs = append(refs, allOf(refFilter("body.ref", tagPrefix, spec.TagsOrDefault()), isCommit(taggedCommit)))
	}
	return allOf(isPush, "!(has(body.deleted) && body.deleted)", anyOf(refs...))
}

// taggedCommit is the commit also of an annotated tag, whose body.after is the tag's own object.
const taggedCommit = "body.head_commit.id"

// pullRequestFilter holds for pull requests that are new or have new commits. The number becomes a part of the ref.
func pullRequestFilter(repo string, spec v1alpha1.RepoBindingSpec) string {
	filter := allOf(
		isPullRequest,
		`body.action in ["opened", "reopened", "synchronize"]`,
		"body.number >= 1.0 && body.number == double(int(body.number))",
		refFilter("body.pull_request.base.ref", "", spec.BranchesOrDefault()),
		isCommit("body.pull_request.head.sha"),
	)
	if spec.PullRequests.Forks {
		return filter
	}
	// A fork that is gone has no repository, which stops the event.
	return allOf(filter, "body.pull_request.head.repo.full_name.lowerAscii() == "+celString(repo))
}

// refFilter holds where ref has a name, or matches a pattern, after the prefix.
func refFilter(ref, prefix string, all []string) string {
	exact, patterns := splitPatterns(all)
	var filters []string
	for i, name := range exact {
		exact[i] = celString(prefix + name)
	}
	switch len(exact) {
	case 0:
	case 1:
		filters = append(filters, ref+" == "+exact[0])
	default:
		filters = append(filters, ref+" in ["+strings.Join(exact, ", ")+"]")
	}
	if len(patterns) > 0 {
		filters = append(filters, allOf(matches(ref, refWildcards.anyRegexp(prefix, patterns)), "!"+matches(ref, unusualRef)))
	}
	return anyOf(filters...)
}

// pathsFilter holds for pushes that change a file that counts, and for those of which GitHub does not tell all files, see
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#push: the commits are those that the push adds, so
// nothing tells what a forced push takes away, or how a new branch differs from the others.
func pathsFilter(paths []string) string {
	return anyOf(
		"body.created",
		"body.forced",
		"body.commits.size() == 0",
		"body.commits.size() >= 2048",
		"body.commits.exists(commit, "+strings.Join([]string{
			"!has(commit.added)",
			"!has(commit.modified)",
			"!has(commit.removed)",
			"commit.added.size() + commit.modified.size() + commit.removed.size() >= 3000",
			"[commit.added, commit.modified, commit.removed].exists(files, files.exists(file, " + fileFilter("file", paths) + "))",
		}, " || ")+")",
	)
}

// fileFilter holds where the last pattern that matches a file does not begin with an exclamation mark.
func fileFilter(file string, paths []string) string {
	var filter string
	for rest := paths; len(rest) > 0; {
		run := 1
		for run < len(rest) && excludes(rest[run]) == excludes(rest[0]) {
			run++
		}
		patterns := make([]string, run)
		for i, path := range rest[:run] {
			patterns[i] = strings.TrimPrefix(path, "!")
		}
		matched := matches(file, pathWildcards.anyRegexp("", patterns))
		switch {
		case filter == "":
			filter = matched
		case excludes(rest[0]):
			filter = "(" + filter + ") && !" + matched
		default:
			filter += " || " + matched
		}
		rest = rest[run:]
	}
	return filter
}

func excludes(path string) bool { return strings.HasPrefix(path, "!") }

// isCommit holds where a field is the name of a commit, by SHA-1 or SHA-256.
func isCommit(field string) string { return matches(field, "^([0-9a-f]{40}|[0-9a-f]{64})$") }

func matches(value, expression string) string {
	return value + ".matches(" + celString(expression) + ")"
}

func allOf(terms ...string) string { return strings.Join(terms, " && ") }

// anyOf may be a term of allOf.
func anyOf(terms ...string) string {
	if len(terms) == 1 {
		return terms[0]
	}
	return "(" + strings.Join(terms, " || ") + ")"
}

// celString is a CEL string literal. CEL knows all escapes that Go uses, see
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#string-and-bytes-values.
func celString(s string) string { return strconv.Quote(s) }
