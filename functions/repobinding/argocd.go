package main

import (
	"cmp"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/argocd"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
)

// appProject confines what Argo CD deploys for this pipeline: from this repository, into the pipeline's namespaces.
func appProject(n names) *argocd.AppProject {
	repo := "https://github.com/" + n.Repo
	return &argocd.AppProject{
		TypeMeta:   metav1.TypeMeta{APIVersion: argocd.APIVersion, Kind: "AppProject"},
		ObjectMeta: kube.Meta(n.ArgoCDNamespace, n.AppProject, n.Labels()),
		Spec: argocd.AppProjectSpec{
			Description: "Project for " + n.Pipeline + " pipeline",
			Destinations: []argocd.Destination{
				{Server: argocd.InCluster, Namespace: n.Namespace},
				{Server: argocd.InCluster, Namespace: n.Namespace + "-*"},
			},
			SourceRepos:                []string{repo, repo + ".git"},
			ClusterResourceWhitelist:   []argocd.GroupKind{},
			NamespaceResourceWhitelist: []argocd.GroupKind{{Group: "*", Kind: "*"}},
			// Argo CD usually may do everything; what it deploys for a repository does not claim.
			NamespaceResourceBlacklist: []argocd.GroupKind{{Group: "aphex.io", Kind: "*"}, {Group: "cloudflare.aphex.io", Kind: "*"}},
		},
	}
}

// strangersApplication tells of an Application of the pipeline's name that is not in its project, such as one of the
// platform's own; empty if there is none.
func strangersApplication(seen *object.Observed, argo gate, n names) string {
	if argo.state != open {
		return ""
	}
	app := seen.Get(argocd.APIVersion, "Application", n.ArgoCDNamespace, n.AppProject)
	project := cmp.Or(app.String("spec", "project"), "default")
	if !app.Exists() || project == n.AppProject {
		return ""
	}
	return fmt.Sprintf("%s exists and is in project %s, so the pipeline may not watch it; rename it, or move it to project %s",
		object.Ref("Application", n.ArgoCDNamespace, n.AppProject), project, n.AppProject)
}

// argoCDRole lets the pipeline watch its deployment, unless that is a stranger's. A right to create or change Applications
// in Argo CD's namespace would let it deploy with any project.
func argoCDRole(n names, stranger bool) *rbacv1.Role {
	resources := []string{"applications", "appprojects"}
	if stranger {
		resources = []string{"appprojects"}
	}
	return kube.Role(kube.Meta(n.ArgoCDNamespace, n.ArgoCDAccess, n.Labels()), rbacv1.PolicyRule{
		APIGroups:     []string{"argoproj.io"},
		Resources:     resources,
		ResourceNames: []string{n.AppProject},
		Verbs:         []string{"get", "list", "watch"},
	})
}

func argoCDBinding(n names) *rbacv1.RoleBinding {
	return kube.RoleBinding(kube.Meta(n.ArgoCDNamespace, n.ArgoCDAccess, n.Labels()), n.ArgoCDAccess,
		kube.ServiceAccountSubject(n.Namespace, pipelineRunner))
}
