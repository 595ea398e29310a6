package cases

import (
	"fmt"
	"strings"
)

func repoBindings() []Case {
	const (
		organization = "must be the name of an Organization: lower-case letters, digits and hyphens, starting and ending with a letter or digit"
		owner        = "must be a GitHub organization or user in lower case, without https://github.com/: letters, digits and hyphens"
		repository   = "must be a GitHub repository in lower case, without owner and without .git: letters, digits and hyphens"
		label        = "must be a DNS label: lower-case letters, digits and hyphens, starting and ending with a letter or digit"
		changed      = "cannot be changed; delete this RepoBinding and create another, but save Terraform's state first: it goes with the " +
			"namespace, see docs/operations.md"
	)
	claims := []Case{
		{Name: "a binding as its documentation has it"},
		{Name: "a binding with every optional field", Patch: "spec: {permissionProfile: elevated, branch: release/1.2, suspend: true}"},
		{Name: "a binding of every event", Patch: "spec: {events: [push, tag, pull_request], branches: [main, 'release/**'], tags: ['v*'], paths: ['src/**', '!**/*.md'], pullRequests: {forks: true}}"},
		{Name: "a binding whose claim asks for its connection secret", Patch: "spec: {writeConnectionSecretToRef: {name: my-application-webhook}}"},
		{Name: "an owner of 39 and a repository of 100 characters", Patch: fmt.Sprintf("spec: {repoOrg: %s, repoName: %s}", strings.Repeat("o", 39), strings.Repeat("r", 100))},
		{Name: "an organization of 59 characters", Patch: spec("aphexOrg", strings.Repeat("a", 59))},
		{Name: "a pipeline name of one letter", Patch: spec("pipelineName", "p")},
		{Name: "a pipeline name of 46 characters", Patch: spec("pipelineName", strings.Repeat("p", 46))},
		{Name: "a pipeline name that only looks like the platform's kube- names", Patch: spec("pipelineName", "kubeflow")},
		{Name: "a pipeline name that only looks like the platform's org- names", Patch: spec("pipelineName", "organizer")},
		{Name: "a pipeline name that only looks like those of people's namespaces", Patch: spec("pipelineName", "teams-of-users")},
		{Name: "a pipeline name below a reserved one", Patch: spec("pipelineName", "argocd-demo")},
		{Name: "a pipeline name that starts with platform", Patch: spec("pipelineName", "platform-docs")},
		{Name: "a template of the catalog that admission cannot know", Patch: spec("templateRef", "run-pipeline-v9")},
		{Name: "a pipelineSpec of exactly 256 KiB", Patch: spec("pipelineSpec", strings.Repeat("a", 262144))},
		{Name: "a pipelineSpec of exactly 256 KiB in two-byte characters", Patch: spec("pipelineSpec", strings.Repeat("é", 131072))},
		{Name: "another branch, profile, template and pipelineSpec later", Update: true, Patch: "spec: {branch: develop, permissionProfile: elevated, templateRef: run-pipeline-v2, pipelineSpec: 'kind: Pipeline', suspend: true}"},

		{Name: "a binding with a field that does not exist", Patch: spec("repository", "my-application"), Want: `unknown field "spec.repository"`},
		{Name: "no organization", Patch: without("aphexOrg"), Want: "spec.aphexOrg: Required value"},
		{Name: "an empty organization", Patch: spec("aphexOrg", ""), Want: "spec.aphexOrg in body should be at least 1 chars long"},
		{Name: "an organization in capital letters", Patch: spec("aphexOrg", "ACME"), Want: organization},
		{Name: "an organization that ends with a hyphen", Patch: spec("aphexOrg", "acme-"), Want: organization},
		{Name: "an organization of 60 characters", Patch: spec("aphexOrg", strings.Repeat("a", 60)), Want: "spec.aphexOrg: Too long: may not be more than 59"},
		{Name: "no owner", Patch: without("repoOrg"), Want: "spec.repoOrg: Required value"},
		{Name: "an owner in capital letters", Patch: spec("repoOrg", "ACME"), Want: owner},
		{Name: "an owner with the repository", Patch: spec("repoOrg", "acme-corp/my-application"), Want: owner},
		{Name: "an owner with a quote", Patch: spec("repoOrg", "acme'corp"), Want: owner},
		{Name: "an owner of 40 characters", Patch: spec("repoOrg", strings.Repeat("o", 40)), Want: "spec.repoOrg: Too long: may not be more than 39"},
		{Name: "no repository", Patch: without("repoName"), Want: "spec.repoName: Required value"},
		{Name: "an empty repository", Patch: spec("repoName", ""), Want: "spec.repoName in body should be at least 1 chars long"},
		{Name: "a repository with .git", Patch: spec("repoName", "my-application.git"), Want: repository},
		{Name: "a repository with an underscore", Patch: spec("repoName", "my_application"), Want: repository},
		{Name: "a repository with a line break at the end", Patch: spec("repoName", "my-application\n"), Want: repository},
		{Name: "a repository of 101 characters", Patch: spec("repoName", strings.Repeat("r", 101)), Want: "spec.repoName: Too long: may not be more than 100"},
		{Name: "no pipeline name", Patch: without("pipelineName"), Want: "spec.pipelineName: Required value"},
		{Name: "a pipeline name in capital letters", Patch: spec("pipelineName", "Deploy"), Want: label},
		{Name: "a pipeline name with a dot", Patch: spec("pipelineName", "deploy.v1"), Want: label},
		{Name: "a pipeline name that starts with a hyphen", Patch: spec("pipelineName", "-deploy"), Want: label},
		{Name: "a pipeline name that ends with a hyphen", Patch: spec("pipelineName", "deploy-"), Want: label},
		{Name: "a pipeline name with a glob", Patch: spec("pipelineName", "deploy-*"), Want: label},
		{Name: "a pipeline name of 47 characters", Patch: spec("pipelineName", strings.Repeat("p", 47)), Want: "spec.pipelineName: Too long: may not be more than 46"},
		{Name: "no template", Patch: without("templateRef"), Want: "spec.templateRef: Required value"},
		{Name: "an empty template", Patch: spec("templateRef", ""), Want: "spec.templateRef in body should be at least 1 chars long"},
		{Name: "a template of 64 characters", Patch: spec("templateRef", strings.Repeat("t", 64)), Want: "spec.templateRef: Too long: may not be more than 63"},
		{Name: "no pipelineSpec", Patch: without("pipelineSpec"), Want: "spec.pipelineSpec: Required value"},
		{Name: "an empty pipelineSpec", Patch: spec("pipelineSpec", ""), Want: "spec.pipelineSpec in body should be at least 1 chars long"},
		{Name: "a pipelineSpec of blanks", Patch: spec("pipelineSpec", " \n\t\n"), Want: "spec.pipelineSpec: Invalid value: must hold the YAML of one Tekton Pipeline, not only blanks"},
		{Name: "a pipelineSpec that is a list", Patch: "spec: {pipelineSpec: [a]}", Want: "spec.pipelineSpec in body must be of type string"},
		{Name: "a pipelineSpec that is YAML and not text", Patch: "spec: {pipelineSpec: {kind: Pipeline}}", Want: `unknown field "spec.pipelineSpec.kind"`},
		{Name: "a pipelineSpec of one character over 256 KiB", Patch: spec("pipelineSpec", strings.Repeat("a", 262145)), Want: "spec.pipelineSpec: Too long: may not be more than 262144"},
		{Name: "a pipelineSpec of one two-byte character over 256 KiB", Patch: spec("pipelineSpec", strings.Repeat("é", 131073)), Want: "spec.pipelineSpec: Invalid value: must have at most 262144 bytes (256 KiB)"},
		{Name: "a permission profile that does not exist", Patch: spec("permissionProfile", "admin"), Want: `spec.permissionProfile: Unsupported value: "admin": supported values: "standard", "elevated"`},
		{Name: "another organization later", Update: true, Patch: spec("aphexOrg", "other"), Want: "spec.aphexOrg: Forbidden: " + changed},
		{Name: "another owner later", Update: true, Patch: spec("repoOrg", "other"), Want: "spec.repoOrg: Forbidden: " + changed},
		{Name: "another repository later", Update: true, Patch: spec("repoName", "other"), Want: "spec.repoName: Forbidden: " + changed},
		{Name: "another pipeline name later", Update: true, Patch: spec("pipelineName", "other"), Want: "spec.pipelineName: Forbidden: " + changed},
	}
	claims = append(claims, events()...)
	for _, reserved := range []string{
		"argocd", "auth-system", "cert-manager", "crossplane-system", "default", "external-dns", "external-secrets", "gpu-operator",
		"ingress-controller", "kube-node-lease", "kube-public", "kube-system", "org-acme-corp", "org-", "pipeline-catalog", "pipeline-system", "platform-system",
		"tekton-pipelines", "tekton-pipelines-resolvers",
	} {
		claims = append(claims, Case{
			Name:  "the reserved pipeline name " + reserved,
			Patch: spec("pipelineName", reserved),
			Want:  "is reserved for the platform; choose a name that does not start with kube-, org- or tekton-",
		})
	}
	for _, prefix := range []string{
		"auth", "cert", "crossplane", "external", "gpu", "ingress", "kube", "org", "pipeline", "platform", "team", "tekton", "user",
	} {
		claims = append(claims, Case{
			Name:  fmt.Sprintf("the pipeline name %s, whose destinations %s-* are others'", prefix, prefix),
			Patch: spec("pipelineName", prefix),
			Want:  "would open the platform's own namespaces, since a pipeline may deploy to <pipelineName>-*; choose a name other than auth,",
		})
	}
	for _, name := range []string{"team-red", "user-alice"} {
		claims = append(claims, Case{
			Name:  fmt.Sprintf("the pipeline name %s, which is like the namespaces that people claim in", name),
			Patch: spec("pipelineName", name),
			Want:  "is where people have their claims; choose a name that does not start with team- or user-",
		})
	}
	composites := []Case{
		{Name: "an XRepoBinding of a claim"},
		{Name: "an XRepoBinding with a reserved pipeline name", Patch: spec("pipelineName", "kube-system"), Want: "is reserved for the platform"},
		{Name: "an XRepoBinding with another pipeline name later", Update: true, Patch: spec("pipelineName", "other"), Want: "spec.pipelineName: Forbidden: " + changed},
	}
	return append(of("RepoBinding", claims), of("XRepoBinding", composites)...)
}

// events checks which events may start a run, and what narrows them.
func events() []Case {
	const (
		branch    = "must be a branch that git accepts, or a pattern of such"
		tag       = "must be a tag that git accepts, or a pattern of such"
		path      = "must be a pattern of files from the root of the repository"
		wildcards = "must have at most 8 wildcards, each of which is * or **"
	)
	branches := func(list ...string) string { return fmt.Sprintf("spec: {branches: [%s]}", quoted(list)) }
	tags := func(list ...string) string { return fmt.Sprintf("spec: {events: [tag], tags: [%s]}", quoted(list)) }
	paths := func(list ...string) string { return fmt.Sprintf("spec: {paths: [%s]}", quoted(list)) }
	all := []Case{
		{Name: "tags only", Patch: "spec: {events: [tag]}"},
		{Name: "pull requests of some branches only", Patch: "spec: {events: [pull_request], branches: [main, next]}"},
		{Name: "pull requests of one branch", Patch: "spec: {events: [pull_request], branch: next}"},
		{Name: "pull requests from forks in so many words not", Patch: "spec: {events: [pull_request], pullRequests: {forks: false}}"},
		{Name: "20 branches", Patch: branches(many(20, "release/%d")...)},
		{Name: "a branch of 244 characters in the list", Patch: branches(strings.Repeat("b", 244))},
		{Name: "a pattern of 8 wildcards", Patch: branches("*a**b*c**d*e**f*g**")},
		{Name: "every branch", Patch: branches("**")},
		{Name: "a branch that is written with quotes and one outside ASCII", Patch: branches(`it's-"quoted"/*`, "機能/**")},
		{Name: "tags by name and by pattern", Patch: tags("latest", "v*", "release/**")},
		{Name: "20 patterns of paths", Patch: paths(many(20, "src/%d/**")...)},
		{Name: "paths of which some are taken out and in again", Patch: paths("src/**", "!src/**/*.md", "src/README.md")},
		{Name: "a pattern of paths with blanks, quotes and hidden parts", Patch: paths(`.github/it's "new" (1)/*.yml`)},
		{Name: "a pattern of paths of 256 characters", Patch: paths(strings.Repeat("p", 256))},
		{Name: "other events later", Update: true, Patch: "spec: {events: [tag, pull_request], branches: ['*'], tags: ['v*']}"},

		{Name: "no event", Patch: "spec: {events: []}", Want: "spec.events in body should have at least 1 items"},
		{Name: "an event that starts nothing", Patch: "spec: {events: [release]}", Want: `spec.events[0]: Unsupported value: "release": supported values: "push", "tag", "pull_request"`},
		{Name: "an event in capital letters", Patch: "spec: {events: [Push]}", Want: `spec.events[0]: Unsupported value: "Push"`},
		{Name: "an event named twice", Patch: "spec: {events: [push, push]}", Want: "must name each event only once"},
		{Name: "four events", Patch: "spec: {events: [push, tag, pull_request, push]}", Want: "spec.events: Too many: 4: must have at most 3 items"},
		{Name: "branch beside branches", Patch: "spec: {branch: main, branches: [next]}", Want: "spec.branches: Invalid value: must not be given beside branch"},
		{Name: "branches without an event that has one", Patch: "spec: {events: [tag], branches: [main]}", Want: "spec.events: Invalid value: must have push or pull_request where branch or branches is given"},
		{Name: "branch without an event that has one", Patch: "spec: {events: [tag], branch: main}", Want: "spec.events: Invalid value: must have push or pull_request where branch or branches is given"},
		{Name: "tags without the event", Patch: "spec: {tags: ['v*']}", Want: "spec.events: Invalid value: must have tag where tags is given"},
		{Name: "paths without pushes", Patch: "spec: {events: [tag, pull_request], paths: ['src/**']}", Want: "spec.events: Invalid value: must have push where paths is given, since GitHub names changed files in no other event"},
		{Name: "forks without pull requests", Patch: "spec: {pullRequests: {forks: true}}", Want: "spec.events: Invalid value: must have pull_request where pullRequests is given"},
		{Name: "a pull request setting that does not exist", Patch: "spec: {events: [pull_request], pullRequests: {drafts: true}}", Want: `unknown field "spec.pullRequests.drafts"`},
		{Name: "no branches", Patch: branches(), Want: "spec.branches in body should have at least 1 items"},
		{Name: "21 branches", Patch: branches(many(21, "release/%d")...), Want: "spec.branches: Too many: 21: must have at most 20 items"},
		{Name: "a branch named twice", Patch: branches("main", "main"), Want: "must name each branch only once"},
		{Name: "an empty branch in the list", Patch: branches(""), Want: "spec.branches[0] in body should be at least 1 chars long"},
		{Name: "a branch of 245 characters in the list", Patch: branches(strings.Repeat("b", 245)), Want: "spec.branches[0]: Too long: may not be more than 244"},
		{Name: "a pattern of 9 wildcards", Patch: branches("*a*b*c*d*e*f*g*h*"), Want: wildcards},
		{Name: "a pattern of three stars", Patch: branches("release/***"), Want: wildcards},
		{Name: "no tags", Patch: tags(), Want: "spec.tags in body should have at least 1 items"},
		{Name: "21 tags", Patch: tags(many(21, "v%d")...), Want: "spec.tags: Too many: 21: must have at most 20 items"},
		{Name: "a tag named twice", Patch: tags("v*", "v*"), Want: "must name each tag only once"},
		{Name: "a tag with refs/tags/", Patch: tags("refs/tags/v1"), Want: tag},
		{Name: "a tag with a set of characters", Patch: tags("v[0-9]*"), Want: tag},
		{Name: "no patterns of paths", Patch: paths(), Want: "spec.paths in body should have at least 1 items"},
		{Name: "21 patterns of paths", Patch: paths(many(21, "src/%d/**")...), Want: "spec.paths: Too many: 21: must have at most 20 items"},
		{Name: "paths that begin with one that is taken out", Patch: paths("!docs/**", "**"), Want: "spec.paths: Invalid value: must begin with a pattern without !"},
		{Name: "an empty pattern of paths", Patch: paths(""), Want: "spec.paths[0] in body should be at least 1 chars long"},
		{Name: "a pattern of paths of 257 characters", Patch: paths(strings.Repeat("p", 257)), Want: "spec.paths[0]: Too long: may not be more than 256"},
		{Name: "a pattern of paths with 9 wildcards", Patch: paths("*a*b*c*d*e*f*g*h*"), Want: wildcards},
	}
	for what, b := range map[string]string{
		"a blank": "my *", "a line break": "release/*\n", "two dots": "a..*", "a question mark": "v?", "a set": "[ab]*", "@{": "*@{1}",
		"a backslash": `a\*`, "refs/heads/": "refs/heads/*", "a slash first": "/*", "a slash last": "*/", "two slashes": "*//x",
		"a hidden part": "*/.x", ".lock": "*.lock", "a hyphen first": "-*", "an exclamation mark first": "!main", "HEAD": "HEAD", "@": "@",
	} {
		all = append(all, Case{Name: "a pattern of branches with " + what, Patch: branches(b), Want: branch})
	}
	for what, p := range map[string]string{
		"a slash first": "/src/**", "a slash first and an exclamation mark": "!/src/**", "a slash last": "src/", "two slashes": "src//x",
		"the folder itself": "./src", "the folder above": "src/../x", "a question mark": "a?.go", "a set": "[ab].go", "a backslash": `src\x`,
		"a line break": "src/\n", "a NUL": "a\x00b", "two exclamation marks": "!!src",
	} {
		all = append(all, Case{Name: "a pattern of paths with " + what, Patch: paths("**", p), Want: path})
	}
	return append(all, Case{Name: "a pattern of paths that is an exclamation mark", Patch: paths("**", "!"), Want: path})
}

// branches checks each branch name in both kinds that have one.
func branches() []Case {
	good := map[string]string{
		"a plain branch":                 "main",
		"a branch in a folder":           "feature/JIRA-1_add-x",
		"a branch with a version":        "release/1.2.3",
		"a branch with an at sign":       "users/me@acme",
		"a branch with a hash":           "fix#12",
		"a branch with quotes":           `it's-"quoted"`,
		"a branch outside ASCII":         "機能/日本",
		"a branch of 244 characters":     strings.Repeat("b", 244),
		"a branch that ends with locked": "a.locked",
		"a branch in a folder refsx":     "refsx/a",
	}
	bad := map[string]string{
		"a branch with a blank":                "my branch",
		"a branch with a tab":                  "my\tbranch",
		"a branch with a line break":           "main\n",
		"a branch with a DEL character":        "ma\x7fin",
		"a branch with two dots":               "main..dev",
		"a branch with a tilde":                "main~1",
		"a branch with a caret":                "main^",
		"a branch with a colon":                "main:dev",
		"a branch with a question mark":        "mai?",
		"a branch with a star":                 "release/*",
		"a branch with a bracket":              "mai[n",
		"a branch with a backslash":            `main\dev`,
		"a branch with @{":                     "main@{1}",
		"a branch that is @":                   "@",
		"a branch that is HEAD":                "HEAD",
		"a branch with refs/heads/":            "refs/heads/main",
		"a branch that starts with a slash":    "/main",
		"a branch that ends with a slash":      "main/",
		"a branch with two slashes":            "feature//x",
		"a branch that starts with a dot":      ".main",
		"a branch with a part that is hidden":  "feature/.x",
		"a branch that ends with a dot":        "main.",
		"a branch that ends with .lock":        "main.lock",
		"a branch with a part that is a .lock": "main.lock/x",
		"a branch that starts with a hyphen":   "-main",
	}
	long := strings.Repeat("b", 245)

	var all []Case
	for kind, patch := range map[string]func(string) string{
		"RepoBinding": func(b string) string { return spec("branch", b) },
		"KnowledgeBase": func(b string) string {
			return repositories(fmt.Sprintf("{url: https://github.com/acme-corp/docs, branch: %q}", b))
		},
	} {
		for what, b := range good {
			all = append(all, Case{Name: kind + " with " + what, Kind: kind, Patch: patch(b)})
		}
		for what, b := range bad {
			all = append(all, Case{Name: kind + " with " + what, Kind: kind, Patch: patch(b), Want: `must be a branch name that git accepts, such as "main" or "release/1.2"`})
		}
		all = append(all,
			Case{Name: kind + " with an empty branch", Kind: kind, Patch: patch(""), Want: "branch in body should be at least 1 chars long"},
			Case{Name: kind + " with a branch of 245 characters", Kind: kind, Patch: patch(long), Want: "branch: Too long: may not be more than 244"},
		)
	}
	return all
}
