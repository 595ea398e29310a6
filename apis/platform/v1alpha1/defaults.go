package v1alpha1

import "cmp"

// WithDefaults is the spec with the XRD's defaults, for objects that no API server has seen.
func (s PlatformSpec) WithDefaults() PlatformSpec {
	s.Domain.Dex = cmp.Or(s.Domain.Dex, "dex.home.local")
	s.Domain.Authentik = cmp.Or(s.Domain.Authentik, "authentik.home.local")
	s.Domain.ArgoCD = cmp.Or(s.Domain.ArgoCD, "argocd.home.local")
	s.Domain.Tekton = cmp.Or(s.Domain.Tekton, "tekton.home.local")
	s.Distribution = cmp.Or(s.Distribution, DistributionGeneric)
	s.GitOps.TargetRevision = cmp.Or(s.GitOps.TargetRevision, "HEAD")
	s.GitOps.Path = cmp.Or(s.GitOps.Path, "platform")
	s.GitOps.Project = cmp.Or(s.GitOps.Project, "default")
	s.GitOps.SyncOptions = defaultList(s.GitOps.SyncOptions, "CreateNamespace=true")
	s.Auth.AuthentikIssuer = cmp.Or(s.Auth.AuthentikIssuer,
		"http://authentik.auth-system.svc.cluster.local:9000/application/o/platform-services/")
	s.Auth.KubernetesRedirectURIs = defaultList(s.Auth.KubernetesRedirectURIs, "https://localhost:8000")
	s.Certificates.Issuer = cmp.Or(s.Certificates.Issuer, IssuerSelfSigned)
	if s.Certificates.ACME != nil {
		acme := *s.Certificates.ACME
		acme.Server = cmp.Or(acme.Server, "https://acme-v02.api.letsencrypt.org/directory")
		s.Certificates.ACME = &acme
	}
	s.Groups.Admins.Name = cmp.Or(s.Groups.Admins.Name, "platform-admins")
	s.Groups.Admins.Aliases = defaultList(s.Groups.Admins.Aliases, "admins")
	s.Groups.Operators.Name = cmp.Or(s.Groups.Operators.Name, "platform-operators")
	s.Groups.Engineering.Name = cmp.Or(s.Groups.Engineering.Name, "platform-engineering")
	s.Groups.Engineering.Aliases = defaultList(s.Groups.Engineering.Aliases, "engineering")
	return s
}

// defaultList is the list, or the default where there is none. An empty list is one.
func defaultList(list []string, value string) []string {
	if list == nil {
		return []string{value}
	}
	return list
}

// IssuerURL is the issuer of all tokens, once defaults are filled in.
func (s PlatformSpec) IssuerURL() string { return cmp.Or(s.Auth.Issuer, "https://"+s.Domain.Dex) }
