package main

import (
	"regexp"
	"slices"
	"strings"
)

// wildcards are the regular expressions that * and ** stand for.
type wildcards struct{ one, many string }

// Whoever may push chooses what a wildcard of a ref stands for, and it reaches the run. So it has no blank, no quote and
// nothing else that means something to Tekton or a shell; unusualRef refuses what that leaves.
var (
	refWildcards  = wildcards{one: refCharacters + `]*`, many: refCharacters + `/]*`}
	pathWildcards = wildcards{one: `[^/]*`, many: `(?s:.*)`}
)

const (
	refCharacters = `[-0-9A-Za-z._+@#=,\x{A1}-\x{10FFFF}`
	// unusualRef matches what git or GitHub would refuse, what looks like an option, and what cannot be seen.
	unusualRef = `^$|(?:^|/)[-./]|\.\.|@\{|[/.]$|\.lock(?:/|$)|\pC|\pZ`
)

// regexp is a regular expression (RE2) of what a pattern matches, as GitHub's workflow filters define * and **, see
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#filter-pattern-cheat-sheet.
func (w wildcards) regexp(pattern string) string {
	var out strings.Builder
	for rest := pattern; rest != ""; {
		text, _, _ := strings.Cut(rest, "*")
		out.WriteString(regexp.QuoteMeta(text))
		partBegins := text == "" && rest == pattern || strings.HasSuffix(text, "/")
		rest = rest[len(text):]
		switch {
		case partBegins && strings.HasPrefix(rest, "**/"):
			out.WriteString("(?:" + w.many + "/)?")
			rest = rest[len("**/"):]
		case strings.HasPrefix(rest, "**"):
			out.WriteString(w.many)
			rest = rest[len("**"):]
		case rest != "":
			out.WriteString(w.one)
			rest = rest[len("*"):]
		}
	}
	return out.String()
}

// anyRegexp matches what one of the patterns matches, from its beginning to its end.
func (w wildcards) anyRegexp(prefix string, patterns []string) string {
	alternatives := make([]string, len(patterns))
	for i, pattern := range patterns {
		alternatives[i] = w.regexp(pattern)
	}
	return "^" + prefix + "(?:" + strings.Join(alternatives, "|") + ")$"
}

// splitPatterns tells names from patterns.
func splitPatterns(all []string) (exact, patterns []string) {
	hasWildcard := func(s string) bool { return strings.Contains(s, "*") }
	return slices.DeleteFunc(slices.Clone(all), hasWildcard),
		slices.DeleteFunc(slices.Clone(all), func(s string) bool { return !hasWildcard(s) })
}
