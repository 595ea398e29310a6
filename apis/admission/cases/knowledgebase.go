package cases

import (
	"fmt"
	"strings"
)

func knowledgeBases() []Case {
	const (
		address = "must be https://github.com/<org>/<repo> and no more"
		once    = "must name each repository only once; capital and small letters count as the same, and one entry may list several paths"
		path    = "must be .kiro/docs or a path below it, such as .kiro/docs/guides"
	)
	urls := func(list []string) string {
		out := make([]string, len(list))
		for i, u := range list {
			out[i] = url(u)
		}
		return repositories(out...)
	}
	claims := []Case{
		{Name: "a knowledge base as its documentation has it"},
		{Name: "a knowledge base without a description", Patch: without("description")},
		{Name: "a display name outside ASCII", Patch: spec("displayName", "Doku für alle")},
		{Name: "a description of 2048 characters", Patch: spec("description", strings.Repeat("d", 2048))},
		{Name: "one hundred repositories", Patch: urls(many(100, "https://github.com/acme-corp/docs-%d"))},
		{Name: "a repository with dots, hyphens and underscores", Patch: repositories(url("https://github.com/acme-corp/my_docs.github-io"))},
		{Name: "a repository whose name starts with a dot", Patch: repositories(url("https://github.com/acme-corp/.github"))},
		{Name: "a repository whose name is git", Patch: repositories(url("https://github.com/git/git"))},
		{Name: "the longest owner and repository", Patch: repositories(url("https://github.com/" + strings.Repeat("o", 39) + "/" + strings.Repeat("r", 100)))},
		{Name: "two repositories of one name and two owners", Patch: repositories(url("https://github.com/acme-corp/docs"), url("https://github.com/acme/docs"))},
		{Name: "fifty paths", Patch: paths(many(50, ".kiro/docs/%d")...)},
		{Name: "a path with blanks, dots and a deep folder", Patch: paths(".kiro/docs/user guide/v1.2/..index.md")},
		{Name: "another list of repositories later", Update: true, Patch: repositories(url("https://github.com/acme-corp/other"))},

		{Name: "a knowledge base with a field that does not exist", Patch: spec("title", "Docs"), Want: `unknown field "spec.title"`},
		{Name: "a repository with a field that does not exist", Patch: repositories("{url: https://github.com/acme-corp/docs, path: .kiro/docs}"), Want: `unknown field "spec.repositories[0].path"`},
		{Name: "a knowledge base without a display name", Patch: without("displayName"), Want: "spec.displayName: Required value"},
		{Name: "a knowledge base with an empty display name", Patch: spec("displayName", ""), Want: "spec.displayName in body should be at least 1 chars long"},
		{Name: "a display name of blanks", Patch: spec("displayName", " \t "), Want: "must not consist of blanks only"},
		{Name: "a knowledge base with a display name of 129 characters", Patch: spec("displayName", strings.Repeat("d", 129)), Want: "spec.displayName: Too long: may not be more than 128"},
		{Name: "a description of 2049 characters", Patch: spec("description", strings.Repeat("d", 2049)), Want: "spec.description: Too long: may not be more than 2048"},
		{Name: "no repositories", Patch: without("repositories"), Want: "spec.repositories: Required value"},
		{Name: "an empty list of repositories", Patch: repositories(), Want: "spec.repositories in body should have at least 1 items"},
		{Name: "one hundred and one repositories", Patch: urls(many(101, "https://github.com/acme-corp/docs-%d")), Want: "spec.repositories: Too many: 101: must have at most 100 items"},
		{Name: "a repository without a URL", Patch: repositories("{branch: main}"), Want: "spec.repositories[0].url: Required value"},
		{Name: "a repository named twice", Patch: repositories(url("https://github.com/acme-corp/docs"), url("https://github.com/acme-corp/docs")), Want: once},
		{Name: "a repository named twice in other letters", Patch: repositories(url("https://github.com/acme-corp/docs"), url("https://github.com/Acme-Corp/Docs")), Want: once},
		{Name: "a repository named twice with two branches", Patch: repositories("{url: https://github.com/acme-corp/docs, branch: main}", "{url: https://github.com/acme-corp/docs, branch: dev}"), Want: once},
		{Name: "an empty list of paths", Patch: paths(), Want: "spec.repositories[0].paths in body should have at least 1 items"},
		{Name: "a path named twice", Patch: paths(".kiro/docs", ".kiro/docs"), Want: "spec.repositories[0].paths[1]: Duplicate value"},
		{Name: "fifty-one paths", Patch: paths(many(51, ".kiro/docs/%d")...), Want: "spec.repositories[0].paths: Too many: 51: must have at most 50 items"},
		{Name: "a path of 256 characters", Patch: paths(".kiro/docs/" + strings.Repeat("d", 245)), Want: "spec.repositories[0].paths[0]: Too long: may not be more than 255"},
		{Name: "no repositories later", Update: true, Patch: repositories(), Want: "spec.repositories in body should have at least 1 items"},
	}
	for what, u := range map[string]string{
		"an empty address":                   "",
		"an address without encryption":      "http://github.com/acme-corp/docs",
		"an address in capital letters":      "HTTPS://GITHUB.COM/acme-corp/docs",
		"an address of another host":         "https://gitlab.com/acme-corp/docs",
		"an address of a look-alike host":    "https://github.com.evil.example/acme-corp/docs",
		"an address with a user":             "https://github.com@evil.example/acme-corp/docs",
		"an address with a port":             "https://github.com:443/acme-corp/docs",
		"an address for SSH":                 "git@github.com:acme-corp/docs.git",
		"an address without a repository":    "https://github.com/acme-corp",
		"an address with an empty owner":     "https://github.com//docs",
		"an address with an empty name":      "https://github.com/acme-corp/",
		"an address with a slash at the end": "https://github.com/acme-corp/docs/",
		"an address with .git":               "https://github.com/acme-corp/docs.git",
		"an address with .GIT":               "https://github.com/acme-corp/docs.GIT",
		"an address of a folder":             "https://github.com/acme-corp/docs/tree/main",
		"an address with a query":            "https://github.com/acme-corp/docs?ref=main",
		"an address with a fragment":         "https://github.com/acme-corp/docs#readme",
		"an address with a blank":            "https://github.com/acme-corp/my docs",
		"an address with a line break":       "https://github.com/acme-corp/docs\n",
		"an address whose name is a dot":     "https://github.com/acme-corp/.",
		"an address whose name is two dots":  "https://github.com/acme-corp/..",
		"an address whose owner has a dot":   "https://github.com/acme.corp/docs",
		"an owner that starts with a hyphen": "https://github.com/-acme/docs",
		"an owner of 40 characters in a URL": "https://github.com/" + strings.Repeat("o", 40) + "/docs",
		"a name of 101 characters in a URL":  "https://github.com/acme/" + strings.Repeat("r", 101),
	} {
		claims = append(claims, Case{Name: what, Patch: repositories(url(u)), Want: address})
	}
	claims = append(claims, Case{
		Name:  "an address of 160 characters",
		Patch: repositories(url("https://github.com/" + strings.Repeat("o", 39) + "/" + strings.Repeat("r", 101))),
		Want:  "spec.repositories[0].url: Too long: may not be more than 159",
	})
	for what, p := range map[string]string{
		"an empty path":                  "",
		"a path outside":                 "docs",
		"a path that only starts alike":  ".kiro/docs-internal",
		"a path above":                   ".kiro",
		"an absolute path":               "/.kiro/docs",
		"a path that climbs out":         ".kiro/docs/../../secrets",
		"a path that ends with two dots": ".kiro/docs/guides/..",
		"a path with a dot":              ".kiro/docs/./guides",
		"a path with an empty part":      ".kiro/docs//guides",
		"a path with a slash at the end": ".kiro/docs/",
		"a path with a line break":       ".kiro/docs/a\nb",
	} {
		claims = append(claims, Case{Name: what, Patch: paths(p), Want: path})
	}
	composites := []Case{
		{Name: "an XKnowledgeBase of a claim"},
		{Name: "an XKnowledgeBase without repositories", Patch: without("repositories"), Want: "spec.repositories: Required value"},
		{Name: "an XKnowledgeBase with an address of another host", Patch: repositories(fmt.Sprintf("{url: %q}", "https://gitlab.com/a/b")), Want: address},
	}
	return append(of("KnowledgeBase", claims), of("XKnowledgeBase", composites)...)
}
