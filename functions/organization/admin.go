package main

import (
	rbacv1 "k8s.io/api/rbac/v1"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
)

// adminRole lets administrators fill org-secrets, claim, and see what runs. RBAC cannot tell the name of an object that
// does not exist yet, so they may create any Secret, and read or change only that one.
func adminRole(n names) *rbacv1.Role {
	read := []string{"get", "list", "watch"}
	return kube.Role(n.Meta(adminName),
		kube.Rule("", []string{"secrets"}, "create"),
		kube.NamedRule("", "secrets", customerSecrets, "get", "update", "patch", "delete"),
		kube.Rule("aphex.io", []string{"repobindings", "knowledgebases"}, "get", "list", "watch", "create", "update", "patch", "delete"),
		kube.Rule("", []string{"configmaps", "services", "pods", "events"}, read...),
		kube.Rule("", []string{"pods/log"}, "get"),
		kube.Rule(tektonGroup, []string{"pipelines", "pipelineruns", "taskruns"}, read...),
		kube.Rule(triggersGroup,
			[]string{"eventlisteners", "triggers", "triggerbindings", "triggertemplates", "interceptors"}, read...),
		kube.Rule("external-secrets.io", []string{"externalsecrets"}, read...),
		kube.Rule("cloudflare.aphex.io", []string{"tunnels", "dnsrecords"}, read...),
	)
}

func adminRoleBinding(xr *v1alpha1.XOrganization, n names) *rbacv1.RoleBinding {
	users := make([]rbacv1.Subject, len(xr.Spec.AdminUsers))
	for i, user := range xr.Spec.AdminUsers {
		users[i] = rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}
	}
	return kube.RoleBinding(n.Meta(adminName), adminName, users...)
}
