package v1alpha1

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"aphex.io/platform/apis/internal/rules"
)

var (
	notBlank      = regexp.MustCompile(`\S`)
	repositoryURL = regexp.MustCompile(`^https://github\.com/[A-Za-z0-9]([A-Za-z0-9_-]{0,37}[A-Za-z0-9])?/[A-Za-z0-9._-]{1,100}$`)
	badName       = regexp.MustCompile(`(?i)/\.{1,2}$|\.git$`)
	docsPath      = regexp.MustCompile(`^\.kiro/docs(/[^/\x00-\x1f\x7f]+)*$`)
	badPath       = regexp.MustCompile(`/\.{1,2}(/|$)`)
)

// Validate repeats the rules of the XRD: nothing if the spec is good, else what is wrong, sorted by path.
func (s KnowledgeBaseSpec) Validate() []string {
	var p rules.Problems
	p.Text("spec.displayName", s.DisplayName, 128, notBlank, "must not consist of blanks only")
	p.Add(utf8.RuneCountInString(s.Description) <= 2048, "spec.description", "must have at most 2048 characters")
	p.Count("spec.repositories", len(s.Repositories), 1, 100)
	seen := map[string]bool{}
	for i, r := range s.Repositories {
		at := fmt.Sprintf("spec.repositories[%d]", i)
		p.Add(repositoryURL.MatchString(r.URL) && !badName.MatchString(r.URL), at+".url",
			"must be https://github.com/<org>/<repo> and no more: an owner of at most 39 letters, digits and hyphens, a repository of "+
				`at most 100 letters, digits, dots, hyphens and underscores, without .git or "/" at the end`)
		p.Add(!seen[strings.ToLower(r.URL)], "spec.repositories",
			"must name each repository only once; capital and small letters count as the same, and one entry may list several paths")
		seen[strings.ToLower(r.URL)] = true
		p.Branch(at+".branch", r.BranchOrDefault())
		validatePaths(&p, at+".paths", r.PathsOrDefault())
	}
	return p.Sorted()
}

func validatePaths(p *rules.Problems, at string, paths []string) {
	p.Count(at, len(paths), 1, 50)
	seen := map[string]bool{}
	for i, path := range paths {
		each := fmt.Sprintf("%s[%d]", at, i)
		p.Add(utf8.RuneCountInString(path) <= 255, each, "must have at most 255 characters")
		p.Add(docsPath.MatchString(path) && !badPath.MatchString(path), each,
			`must be .kiro/docs or a path below it, such as .kiro/docs/guides: no "." or ".." as a part, no empty part, no "/" at the end, `+
				"no control characters")
		p.Add(!seen[path], at, "must name each path only once")
		seen[path] = true
	}
}
