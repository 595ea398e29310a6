package main

import (
	"fmt"
	"slices"
	"strings"

	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// verdict is whether anything new may be made for a binding, and why not.
type verdict struct {
	// Reason is empty if all is well.
	Reason, Message string
	// Failed means that a user has to change something, rather than wait.
	Failed bool
	// Lost means that what others could be harmed by is withdrawn: the AppProject and the access to it, the Trigger and the
	// listener's access.
	Lost bool
}

func (v verdict) proceeds() bool { return v.Reason == "" }

// misnamed means that the pipeline may not have its name.
func (v verdict) misnamed() bool { return v.Reason == reasonReserved || v.Reason == reasonNameConflict }

const (
	reasonInvalidSpec  = "InvalidSpec"
	reasonReserved     = "NameReserved"
	reasonNameConflict = "NameConflict"
	reasonNotApproved  = "RepositoryNotApproved"
	reasonForeign      = "OrganizationNotAllowed"
	reasonOrganization = "OrganizationNotReady"
)

// judgeBinding looks for the first thing that is wrong.
func judgeBinding(seen *object.Observed, cfg *settings.Settings, spec v1alpha1.RepoBindingSpec, n names,
	org organization, problems []string,
) verdict {
	reserved := reservedBy(cfg, spec.PipelineName)
	conflict := globConflict(seen, n)
	switch {
	case reserved != "":
		return verdict{Reason: reasonReserved, Message: reserved, Failed: true, Lost: true}
	case !approved(cfg, spec.RepoOrg):
		return verdict{
			Reason: reasonNotApproved, Failed: true, Lost: true,
			Message: fmt.Sprintf("spec.repoOrg: %s is not in setting approvedGitHubOrganizations, which has %s",
				spec.RepoOrg, strings.Join(cfg.ApprovedGitHubOrganizations, ", ")),
		}
	case org.Refusal != "":
		return verdict{Reason: reasonForeign, Message: org.Refusal, Failed: true}
	case conflict != "":
		return verdict{Reason: reasonNameConflict, Message: conflict, Failed: true, Lost: true}
	case len(problems) > 0:
		return verdict{Reason: reasonInvalidSpec, Message: strings.Join(problems, "; "), Failed: true}
	case org.Waiting != "":
		return verdict{Reason: reasonOrganization, Message: "waiting for " + org.Waiting}
	}
	// Asked last, and so only in the run that would make the first object.
	if taken := covered(seen, n); taken != "" {
		return verdict{Reason: reasonNameConflict, Message: taken, Failed: true}
	}
	return verdict{}
}

// reservedBy tells which setting reserves a name, or a name that the pipeline could deploy to.
func reservedBy(cfg *settings.Settings, name string) string {
	type reservation struct{ setting, pattern string }
	reservations := []reservation{{"argocd.namespace", cfg.ArgoCD.Namespace}}
	for _, r := range cfg.ReservedNamespaces {
		reservations = append(reservations, reservation{"reservedNamespaces", r})
	}
	for _, r := range reservations {
		switch {
		case settings.Matches(r.pattern, name):
			return fmt.Sprintf("spec.pipelineName: %s is reserved by setting %s (%s); choose another name", name, r.setting, r.pattern)
		case strings.HasPrefix(strings.TrimSuffix(r.pattern, "*"), name+"-"):
			return fmt.Sprintf("spec.pipelineName: %s could deploy to %s, which setting %s reserves; choose another name", name, r.pattern, r.setting)
		}
	}
	return ""
}

// approved compares without case, as GitHub does.
func approved(cfg *settings.Settings, repoOrg string) bool {
	return len(cfg.ApprovedGitHubOrganizations) == 0 ||
		slices.ContainsFunc(cfg.ApprovedGitHubOrganizations, func(a string) bool { return strings.EqualFold(a, repoOrg) })
}
