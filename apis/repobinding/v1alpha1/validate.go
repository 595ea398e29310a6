package v1alpha1

import (
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
		"default", "argocd", "auth-system", "cert-manager", "crossplane-system", "external-secrets", "pipeline-catalog",
		"pipeline-system", "platform-system",
	}
	reservedPrefixes = []string{"auth", "cert", "crossplane", "external", "kube", "org", "pipeline", "platform", "tekton"}
	reserved         = "is reserved for the platform; choose a name that does not start with kube-, org- or tekton- and is none of " +
		strings.Join(reservedNames, ", ")
)

// Validate repeats the rules of the XRD, except that fields do not change: nothing if the spec is good, else what is
// wrong, sorted by path.
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
	p.Branch("spec.branch", s.BranchOrDefault())
	return p.Sorted()
}
