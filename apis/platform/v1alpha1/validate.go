package v1alpha1

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"aphex.io/platform/apis/internal/rules"
)

var (
	host        = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$`)
	subdomain   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	repository  = regexp.MustCompile(`^(https://|ssh://|git@)[!-~]+$`)
	revision    = regexp.MustCompile(`^[A-Za-z0-9][!-~]*$`)
	path        = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)
	parentPath  = regexp.MustCompile(`(^|/)\.\.(/|$)`)
	noBlanks    = regexp.MustCompile(`^[!-~]+$`)
	apiGroup    = regexp.MustCompile(`^(\*|[a-z0-9]([-a-z0-9.]*[a-z0-9])?)$`)
	kind        = regexp.MustCompile(`^(\*|[A-Z][A-Za-z0-9]*)$`)
	jsonPointer = regexp.MustCompile(`^(/([^~/\x00-\x1f\x7f]|~[01])+)+$`)
	jqPath      = regexp.MustCompile(`^\.[^\x00-\x1f\x7f]+$`)
	issuer      = regexp.MustCompile(`^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*$`)
	upstream    = regexp.MustCompile(`^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?$`)
	directory   = regexp.MustCompile(`^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?$`)
	redirectURI = regexp.MustCompile(`^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]*)*$`)
	email       = regexp.MustCompile(`^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$`)
	hours       = regexp.MustCompile(`^[1-9][0-9]{0,4}h$`)
	secretKey   = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)
	groupName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// dnsSubdomain says how Kubernetes names most objects.
const dnsSubdomain = "lower-case letters, digits and hyphens, in parts joined by dots"

// syncOption matches what Argo CD documents for whole applications, see
// https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/. It ignores everything else without a word.
var syncOption = regexp.MustCompile(`^((ApplyOutOfSyncOnly|ClientSideApplyMigration|CreateNamespace|FailOnSharedResource|PruneLast|Replace|` +
	`RespectIgnoreDifferences|ServerSideApply|SkipDryRunOnMissingResource|Validate)=(true|false)|(Delete|Prune)=(true|false|confirm)|` +
	`PrunePropagationPolicy=(background|foreground|orphan))$`)

// applications are the names of all applications of a platform, and whether k3s alone has each.
var applications = map[string]bool{
	"platform-ingress-controller": false, "platform-tekton": false, "platform-gpu": true, "platform-crds": false,
	"platform-rbac": false, "platform-cert-manager": false, "platform-external-secrets": false,
	"platform-cert-foundation": false, "platform-auth": false, "platform-controllers": false, "platform-catalog": false,
	"platform-ingress": false, "platform-gateway": true, "platform-external-dns": true,
}

// Validate repeats the rules of the XRD for the spec, once its defaults are filled in: nothing if they are good, else what
// is wrong, sorted by path. What is in Settings is for the function to judge.
func (s PlatformSpec) Validate() []string {
	s = s.WithDefaults()
	var p rules.Problems
	s.Domain.validate(&p)
	p.Add(slices.Contains([]string{DistributionGeneric, DistributionK3s}, s.Distribution), "spec.distribution", "must be generic or k3s")
	s.GitOps.validate(&p, s.Distribution)
	s.Groups.validate(&p)
	s.Auth.validate(&p, s.Groups)
	s.Certificates.validate(&p)
	return p.Sorted()
}

func (d Domain) validate(p *rules.Problems) {
	hosts := []string{d.Dex, d.Authentik, d.ArgoCD, d.Tekton}
	for i, field := range []string{"dex", "authentik", "argocd", "tekton"} {
		p.Text("spec.domain."+field, hosts[i], 253, host, `must be a host name such as "dex.home.local": lower-case letters, digits and hyphens `+
			"in parts of at most 63 characters, joined by dots")
	}
	p.Add(distinct(hosts), "spec.domain", "must name each host only once")
}

const (
	isRepository = "must be the https:// or ssh:// address of a Git repository, or git@<host>:<path>, without blanks"
	isRevision   = "must be a branch, a tag, a commit or HEAD, without blanks, and start with a letter or digit"
	isPath       = `must be a relative path such as "platform/auth": parts of letters, digits, dots, underscores and hyphens, ` +
		`joined by slashes, none of them ".."`
	isProject = "must be a DNS label, the name of an AppProject"
)

func checkPath(p *rules.Problems, at, value string) {
	p.Text(at, value, 255, path, isPath)
	p.Add(!parentPath.MatchString(value), at, isPath)
}

func checkSyncOptions(p *rules.Problems, at string, options []string) {
	p.Count(at, len(options), 0, 20)
	names := make([]string, len(options))
	for i, o := range options {
		names[i], _, _ = strings.Cut(o, "=")
		p.Text(fmt.Sprintf("%s[%d]", at, i), o, 63, syncOption,
			`must be a sync option that Argo CD has for applications, written as it documents it, such as "ServerSideApply=true"`)
	}
	p.Add(distinct(names), at, "must give each option only once")
}

func (g GitOps) validate(p *rules.Problems, distribution string) {
	p.Text("spec.gitops.repoURL", g.RepoURL, 512, repository, isRepository)
	p.Text("spec.gitops.targetRevision", g.TargetRevision, 255, revision, isRevision)
	checkPath(p, "spec.gitops.path", g.Path)
	p.Text("spec.gitops.project", g.Project, 63, rules.DNSLabel, isProject)
	checkSyncOptions(p, "spec.gitops.syncOptions", g.SyncOptions)
	names := make([]string, len(g.Applications))
	for i, a := range g.Applications {
		at := fmt.Sprintf("spec.gitops.applications[%d]", i)
		names[i] = a.Name
		k3s, known := applications[a.Name]
		p.Add(known, at+".name", "must be an application of the platform")
		p.Add(!k3s || distribution == DistributionK3s, "spec.gitops.applications",
			"must name platform-gpu, platform-gateway and platform-external-dns only where distribution is k3s, which alone has them")
		a.validate(p, at)
	}
	p.Add(distinct(names), "spec.gitops.applications", "must name each application only once")
}

func (a Application) validate(p *rules.Problems, at string) {
	if a.RepoURL != "" {
		p.Text(at+".repoURL", a.RepoURL, 512, repository, isRepository)
	}
	if a.TargetRevision != "" {
		p.Text(at+".targetRevision", a.TargetRevision, 255, revision, isRevision)
	}
	if a.Path != "" {
		checkPath(p, at+".path", a.Path)
	}
	if a.Namespace != "" {
		p.Text(at+".namespace", a.Namespace, 63, rules.DNSLabel, "must be a DNS label, the name of a namespace")
	}
	if a.Project != "" {
		p.Text(at+".project", a.Project, 63, rules.DNSLabel, isProject)
	}
	checkSyncOptions(p, at+".syncOptions", a.SyncOptions)
	if a.Directory.Exclude != "" {
		p.Text(at+".directory.exclude", a.Directory.Exclude, 255, noBlanks, `must be a glob such as "{values.yaml,examples/*}", without blanks`)
	}
	p.Add(a.Directory == (Directory{}) || a.Helm.Empty(), at, "must have directory or helm, not both: a folder holds plain manifests or a chart")
	a.Helm.validate(p, at+".helm")
	p.Count(at+".ignoreDifferences", len(a.IgnoreDifferences), 0, 20)
	for i, d := range a.IgnoreDifferences {
		d.validate(p, fmt.Sprintf("%s.ignoreDifferences[%d]", at, i))
	}
}

func (h Helm) validate(p *rules.Problems, at string) {
	if h.ReleaseName != "" {
		p.Text(at+".releaseName", h.ReleaseName, 53, rules.DNSLabel, "must have only lower-case letters, digits and hyphens, and start and end with a letter or digit")
	}
	p.Count(at+".valueFiles", len(h.ValueFiles), 0, 10)
	for i, file := range h.ValueFiles {
		p.Text(fmt.Sprintf("%s.valueFiles[%d]", at, i), file, 255, path,
			`must be a relative path such as "values-home.yaml": parts of letters, digits, dots, underscores and hyphens, joined by slashes`)
	}
}

func (d IgnoreDifference) validate(p *rules.Problems, at string) {
	if d.Group != "" {
		p.Text(at+".group", d.Group, 253, apiGroup, `must be an API group without a version, such as "apps", or *`)
	}
	p.Text(at+".kind", d.Kind, 63, kind, `must be a kind such as "Deployment", or *`)
	if d.Namespace != "" {
		p.Text(at+".namespace", d.Namespace, 63, rules.DNSLabel, "must be a DNS label, the name of a namespace")
	}
	if d.Name != "" {
		p.Text(at+".name", d.Name, 253, noBlanks, "must be the name of an object, without blanks")
	}
	p.Add(len(d.JSONPointers)+len(d.JQPathExpressions) > 0, at, "must name fields, by jsonPointers or jqPathExpressions")
	p.Count(at+".jsonPointers", len(d.JSONPointers), 0, 10)
	for i, pointer := range d.JSONPointers {
		p.Text(fmt.Sprintf("%s.jsonPointers[%d]", at, i), pointer, 253, jsonPointer, `must be a JSON pointer such as "/spec/replicas", with ~1 for a slash in a name`)
	}
	p.Count(at+".jqPathExpressions", len(d.JQPathExpressions), 0, 10)
	for i, expression := range d.JQPathExpressions {
		p.Text(fmt.Sprintf("%s.jqPathExpressions[%d]", at, i), expression, 253, jqPath,
			`must be a path of jq such as ".webhooks[]?.clientConfig.caBundle", in one line`)
	}
}

// checkGroup checks a name of a group. Argo CD's own policy makes the user admin its administrator, and it takes a group of that
// name for the user.
func checkGroup(p *rules.Problems, at, name string, administers bool) {
	p.Text(at, name, 63, groupName, "must have only letters, digits, dots, underscores and hyphens, and start with a letter or digit")
	p.Add(administers || name != "admin", at, "must not be admin, which is an administrator by Argo CD's own policy")
}

func (g Groups) validate(p *rules.Problems) {
	var names []string
	for _, group := range []struct {
		field string
		Group
	}{{"admins", g.Admins}, {"operators", g.Operators}, {"engineering", g.Engineering}} {
		at := "spec.groups." + group.field
		p.Count(at+".aliases", len(group.Aliases), 0, 5)
		for i, name := range group.Names() {
			at := at + ".name"
			if i > 0 {
				at = fmt.Sprintf("spec.groups.%s.aliases[%d]", group.field, i-1)
			}
			checkGroup(p, at, name, group.field == "admins")
		}
		names = append(names, group.Names()...)
	}
	p.Add(distinct(names), "spec.groups", "must give each name and alias to one group only")
	p.Count("spec.groups.others", len(g.Others), 0, 20)
	p.Add(distinct(g.Others), "spec.groups.others", "must name each group only once")
	for i, name := range g.Others {
		checkGroup(p, fmt.Sprintf("spec.groups.others[%d]", i), name, false)
	}
}

func (a Auth) validate(p *rules.Problems, groups Groups) {
	if a.Issuer != "" {
		p.Text("spec.auth.issuer", a.Issuer, 512, issuer, "must be an https:// URL without a query, a fragment or a slash at the end")
	}
	p.Text("spec.auth.authentikIssuer", a.AuthentikIssuer, 512, upstream, "must be an http:// or https:// URL without a query or a fragment")
	p.Count("spec.auth.kubernetesRedirectURIs", len(a.KubernetesRedirectURIs), 1, 10)
	for i, uri := range a.KubernetesRedirectURIs {
		p.Text(fmt.Sprintf("spec.auth.kubernetesRedirectURIs[%d]", i), uri, 512, redirectURI, `must be an https:// URL such as "https://localhost:8000"`)
	}
	p.Add(distinct(a.KubernetesRedirectURIs), "spec.auth.kubernetesRedirectURIs", "must name each address only once")

	p.Count("spec.auth.users", len(a.Users), 0, 100)
	known := []string{groups.Admins.Name, groups.Operators.Name, groups.Engineering.Name}
	usernames, addresses := make([]string, len(a.Users)), make([]string, len(a.Users))
	for i, u := range a.Users {
		at := fmt.Sprintf("spec.auth.users[%d]", i)
		usernames[i], addresses[i] = u.Username, strings.ToLower(u.Email)
		p.Text(at+".username", u.Username, 63, rules.DNSLabel,
			"must have only lower-case letters, digits and hyphens, and start and end with a letter or digit")
		p.Text(at+".name", u.Name, 128, nil, "")
		p.Add(!strings.ContainsFunc(u.Name, func(r rune) bool { return r < 0x80 && unicode.IsControl(r) }), at+".name", "must have no control characters")
		p.Text(at+".email", u.Email, 254, email, `must be an e-mail address such as "admin@example.com"`)
		p.Count(at+".groups", len(u.Groups), 1, 3)
		p.Add(distinct(u.Groups), at+".groups", "must name each group only once")
		for _, g := range u.Groups {
			p.Add(slices.Contains(known, g), "spec.auth.users", "must name only the groups of this platform, by spec.groups.*.name")
		}
	}
	p.Add(distinct(usernames), "spec.auth.users", "must name each user name only once")
	p.Add(distinct(addresses), "spec.auth.users", "must name each e-mail address only once; capital and small letters count as the same")
}

func (c Certificates) validate(p *rules.Problems) {
	p.Add(slices.Contains([]string{IssuerSelfSigned, IssuerACME, IssuerExisting}, c.Issuer), "spec.certificates.issuer", "must be selfSigned, acme or existing")
	p.Add((c.Issuer == IssuerACME) == (c.ACME != nil), "spec.certificates.acme", "must be given where issuer is acme, and only there")
	p.Add((c.Issuer == IssuerExisting) == (c.ClusterIssuer != ""), "spec.certificates.clusterIssuer", "must be given where issuer is existing, and only there")
	if c.ClusterIssuer != "" {
		p.Text("spec.certificates.clusterIssuer", c.ClusterIssuer, 253, subdomain, "must be the name of a ClusterIssuer: "+dnsSubdomain)
	}
	for field, value := range map[string]string{"duration": c.Duration, "renewBefore": c.RenewBefore} {
		p.Add(value == "" || hours.MatchString(value), "spec.certificates."+field, `must be hours such as "2160h"`)
	}
	p.Add(c.renewsInTime(), "spec.certificates.renewBefore", "must be shorter than duration, which is 2160h where it is not given")
	if c.ACME == nil {
		return
	}
	const at = "spec.certificates.acme"
	p.Text(at+".server", c.ACME.Server, 512, directory, "must be the https:// URL of an ACME directory")
	p.Text(at+".email", c.ACME.Email, 254, email, `must be an e-mail address such as "admin@example.com"`)
	p.Count(at+".solvers", len(c.ACME.Solvers), 1, 10)
	for i, solver := range c.ACME.Solvers {
		solver.validate(p, fmt.Sprintf("%s.solvers[%d]", at, i))
	}
}

// renewsInTime tells whether a certificate is valid for a while before it is renewed. Without renewBefore, cert-manager sees
// to that; what are no hours is told elsewhere.
func (c Certificates) renewsInTime() bool {
	long := cmp.Or(c.Duration, "2160h") // as cert-manager has it
	if !hours.MatchString(c.RenewBefore) || !hours.MatchString(long) {
		return true
	}
	before, _ := time.ParseDuration(c.RenewBefore) // hours: neither can fail
	all, _ := time.ParseDuration(long)
	return before < all
}

func (s Solver) validate(p *rules.Problems, at string) {
	p.Add((s.HTTP01 != nil) != (s.DNS01 != nil), at, "must have either http01 or dns01")
	p.Count(at+".dnsZones", len(s.DNSZones), 0, 20)
	for i, zone := range s.DNSZones {
		p.Text(fmt.Sprintf("%s.dnsZones[%d]", at, i), zone, 253, host, `must be a host name such as "dex.home.local": lower-case letters, digits and hyphens `+
			"in parts of at most 63 characters, joined by dots")
	}
	p.Add(distinct(s.DNSZones), at+".dnsZones", "must name each zone only once")
	if s.HTTP01 != nil {
		s.HTTP01.validate(p, at+".http01")
	}
	if s.DNS01 != nil {
		p.Text(at+".dns01.apiTokenSecretRef.name", s.DNS01.APITokenSecretRef.Name, 63, rules.DNSLabel, "must be a DNS label, the name of a Secret")
		p.Text(at+".dns01.apiTokenSecretRef.key", s.DNS01.APITokenSecretRef.Key, 63, secretKey, "must be a key of a Secret")
	}
}

func (h HTTP01) validate(p *rules.Problems, at string) {
	p.Add((h.IngressClassName != "") != (h.GatewayHTTPRoute != nil), at, "must have either ingressClassName or gatewayHTTPRoute")
	if h.IngressClassName != "" {
		p.Text(at+".ingressClassName", h.IngressClassName, 63, rules.DNSLabel, "must be a DNS label, the name of an IngressClass")
	}
	if h.GatewayHTTPRoute == nil {
		return
	}
	at += ".gatewayHTTPRoute.parentRefs"
	p.Count(at, len(h.GatewayHTTPRoute.ParentRefs), 1, 10)
	for i, parent := range h.GatewayHTTPRoute.ParentRefs {
		at := fmt.Sprintf("%s[%d]", at, i)
		p.Text(at+".namespace", parent.Namespace, 63, rules.DNSLabel, "must be a DNS label, the namespace of a Gateway")
		p.Text(at+".name", parent.Name, 253, subdomain, "must be the name of a Gateway: "+dnsSubdomain)
		if parent.SectionName != "" {
			p.Text(at+".sectionName", parent.SectionName, 253, subdomain, "must be the name of a listener: "+dnsSubdomain)
		}
	}
}

// distinct tells whether no value is there twice.
func distinct(values []string) bool {
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		if seen[v] {
			return false
		}
		seen[v] = true
	}
	return true
}
