package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"aphex.io/platform/apis/internal/rules"
)

const (
	// MaxPipelineNameLength is how long a pipeline's name may be: <pipelineName>-trigger-template has at most 63 characters.
	MaxPipelineNameLength = 46
	// MaxPipelineSpecBytes is how large a pipelineSpec may be.
	MaxPipelineSpecBytes = 256 << 10
)

var (
	githubName = regexp.MustCompile(`^[a-z0-9-]+$`)
	notBlank   = regexp.MustCompile(`\S`)
)

// ReservedPipelineName tells why a pipeline may not have this name, or nothing if it may. The name is that of a
// namespace, and <name>-* are the namespaces that Argo CD may deploy to for it; neither may be the platform's.
func ReservedPipelineName(name string) string {
	for _, prefix := range []string{"kube-", "org-", "tekton-"} {
		if strings.HasPrefix(name, prefix) {
			return reserved
		}
	}
	if slices.Contains(reservedNames, name) {
		return reserved
	}
	if slices.Contains(reservedPrefixes, name) {
		return "would open the platform's own namespaces, since a pipeline may deploy to <pipelineName>-*; choose a name other than " +
			strings.Join(reservedPrefixes, ", ")
	}
	return ""
}

var (
	reservedNames = []string{
		"default", "argocd", "auth-system", "cert-manager", "crossplane-system", "external-dns", "external-secrets",
		"gpu-operator", "ingress-controller", "pipeline-catalog", "pipeline-system", "platform-system",
	}
	// With team-* and user-*, where people have their claims.
	reservedPrefixes = []string{
		"auth", "cert", "crossplane", "external", "gpu", "ingress", "kube", "org", "pipeline", "platform", "team", "tekton", "user",
	}
	reserved = "is reserved for the platform; choose a name that does not start with kube-, org- or tekton- and is none of " +
		strings.Join(reservedNames, ", ")
)

// Validate repeats the rules of the XRD, except that fields do not change, and what only a new spec may not have: nothing if
// the spec is good, else what is wrong, sorted by path.
func (s RepoBindingSpec) Validate() []string {
	var p rules.Problems
	p.Text("spec.aphexOrg", s.AphexOrg, 59, rules.DNSLabel,
		"must be the name of an Organization: lower-case letters, digits and hyphens, starting and ending with a letter or digit")
	p.Text("spec.repoOrg", s.RepoOrg, 39, githubName,
		"must be a GitHub organization or user in lower case, without https://github.com/: letters, digits and hyphens")
	p.Text("spec.repoName", s.RepoName, 100, githubName,
		"must be a GitHub repository in lower case, without owner and without .git: letters, digits and hyphens")
	p.Text("spec.pipelineName", s.PipelineName, MaxPipelineNameLength, rules.DNSLabel,
		"must be a DNS label: lower-case letters, digits and hyphens, starting and ending with a letter or digit")
	if why := ReservedPipelineName(s.PipelineName); why != "" {
		p.Add(false, "spec.pipelineName", why)
	}
	p.Text("spec.templateRef", s.TemplateRef, 63, nil, "")
	p.Text("spec.pipelineSpec", s.PipelineSpec, MaxPipelineSpecBytes, notBlank, "must hold the YAML of one Tekton Pipeline, not only blanks")
	p.Add(len(s.PipelineSpec) <= MaxPipelineSpecBytes, "spec.pipelineSpec",
		"must have at most 262144 bytes (256 KiB); characters outside ASCII take two to four bytes")
	profiles := []string{PermissionProfileStandard, PermissionProfileElevated}
	p.Add(slices.Contains(profiles, s.PermissionProfileOrDefault()), "spec.permissionProfile", "must be "+strings.Join(profiles, " or "))
	s.validateEvents(&p)
	return p.Sorted()
}

func (s RepoBindingSpec) validateEvents(p *rules.Problems) {
	events := []string{EventPush, EventTag, EventPullRequest}
	if s.Events != nil {
		p.Count("spec.events", len(s.Events), 1, len(events))
	}
	for i, e := range s.Events {
		p.Add(slices.Contains(events, e), fmt.Sprintf("spec.events[%d]", i), "must be one of "+strings.Join(events, ", "))
	}
	p.Add(onlyOnce(s.Events), "spec.events", "must name each event only once")
	if s.Branch != "" {
		p.Branch("spec.branch", s.Branch)
	}
	p.Add(s.Branch == "" || s.Branches == nil, "spec.branches",
		"must not be given beside branch, which stands for a list of one; name that branch here and set branch to null")
	p.Add(s.Branch == "" && s.Branches == nil || s.StartsOn(EventPush) || s.StartsOn(EventPullRequest), "spec.events",
		"must have push or pull_request where branch or branches is given")
	p.Add(s.Tags == nil || s.StartsOn(EventTag), "spec.events", "must have tag where tags is given")
	p.Add(s.Paths == nil || s.StartsOn(EventPush), "spec.events",
		"must have push where paths is given, since GitHub names changed files in no other event")
	p.Add(s.PullRequests == PullRequests{} || s.StartsOn(EventPullRequest), "spec.events",
		"must have pull_request where pullRequests is given")
	validateRefs(p, "spec.branches", "branch", s.Branches)
	validateRefs(p, "spec.tags", "tag", s.Tags)
	s.validatePaths(p)
}

func onlyOnce(list []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(list)))) == len(list)
}

const (
	maxPatterns = 20
	// maxRefLength leaves room for refs/heads/ within 255 bytes, GitHub's limit.
	maxRefLength  = 244
	maxPathLength = 256
)

var (
	badRef    = regexp.MustCompile(`[\x00-\x20\x7f~^:?\[\\]|\.\.|@\{|//|^[-/!]|^refs/|[/.]$|(^|/)\.|\.lock(/|$)`)
	badPath   = regexp.MustCompile(`[\x00-\x1f\x7f?\[\]\\]|//|^!?/|/$|(^!?|/)\.{1,2}(/|$)|^!!|^!$`)
	wildcards = regexp.MustCompile(`^[^*]*(\*{1,2}([^*]+|$)){0,8}$`)
)

// validateRefs checks names and patterns of branches or tags by the rules of git check-ref-format.
func validateRefs(p *rules.Problems, path, what string, patterns []string) {
	if patterns == nil {
		return
	}
	p.Count(path, len(patterns), 1, maxPatterns)
	p.Add(onlyOnce(patterns), path, "must name each "+what+" only once")
	for i, pattern := range patterns {
		at := fmt.Sprintf("%s[%d]", path, i)
		p.Text(at, pattern, maxRefLength, nil, "")
		p.Add(pattern != "@" && pattern != "HEAD" && !badRef.MatchString(pattern), at,
			"must be a "+what+" that git accepts, or a pattern of such: no blanks, control characters or any of ~ ^ : ? [ \\, "+
				`no "..", "@{" or "//", no part that starts with "." or ends with ".lock", no "-", "/", "!" or "refs/" at the start, `+
				`no "/" or "." at the end, not "@" or "HEAD"`)
		p.Add(wildcards.MatchString(pattern), at, "must have at most 8 wildcards, each of which is * or **")
	}
}

func (s RepoBindingSpec) validatePaths(p *rules.Problems) {
	if s.Paths == nil {
		return
	}
	p.Count("spec.paths", len(s.Paths), 1, maxPatterns)
	p.Add(len(s.Paths) == 0 || !strings.HasPrefix(s.Paths[0], "!"), "spec.paths",
		"must begin with a pattern without !, from which those with ! take something out")
	for i, pattern := range s.Paths {
		at := fmt.Sprintf("spec.paths[%d]", i)
		p.Text(at, pattern, maxPathLength, nil, "")
		p.Add(!badPath.MatchString(pattern), at,
			`must be a pattern of files from the root of the repository, such as "src/**", "!src/**/*.md" or "go.mod": `+
				`no "/" at the start or end, no "//", no part "." or "..", no control characters or any of ? [ ] \, one "!" at most at the start`)
		p.Add(wildcards.MatchString(pattern), at, "must have at most 8 wildcards, each of which is * or **")
	}
}
