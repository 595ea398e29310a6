package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/argocd"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// wave is a number of applications that are deployed together.
type wave struct {
	number       int64
	applications []platformApplication
}

// platformApplication is one application of the platform.
type platformApplication struct {
	name string
	wave int64
	// folder is where it is below gitops.path; namespace is for objects that name none, empty if all do.
	folder, namespace string
	// k3s is for what k3s alone has.
	k3s bool
	// change is what the claim wants differently.
	change v1alpha1.Application
}

func allApplications() []platformApplication {
	return []platformApplication{
		{name: "platform-ingress-controller", wave: 0, folder: "base/ingress-controller", namespace: "ingress-controller"},
		{name: "platform-tekton", wave: 1, folder: "base/tekton", namespace: tektonNamespace},
		{name: "platform-gpu", wave: 3, folder: "base/gpu", namespace: "gpu-operator", k3s: true},
		{name: "platform-crds", wave: 5, folder: "crds"},
		{name: "platform-rbac", wave: 5, folder: "rbac"},
		{name: "platform-cert-manager", wave: 10, folder: "base/cert-manager", namespace: "cert-manager"},
		{name: "platform-external-secrets", wave: 15, folder: "base/external-secrets", namespace: "external-secrets"},
		{name: "platform-cert-foundation", wave: 20, folder: "cert-foundation"},
		{name: "platform-auth", wave: 20, folder: "auth", namespace: authNamespace},
		{name: "platform-controllers", wave: 20, folder: "controllers", namespace: "platform-system"},
		{name: "platform-catalog", wave: 20, folder: "catalog", namespace: "pipeline-catalog"},
		{name: "platform-ingress", wave: 30, folder: "ingress"},
		{name: "platform-gateway", wave: 30, folder: "gateway", k3s: true},
		{name: "platform-external-dns", wave: 30, folder: "external-dns", namespace: "external-dns", k3s: true},
	}
}

// waves are the applications that this platform has, in the order in which they are deployed.
func waves(spec v1alpha1.PlatformSpec) []wave {
	changes := map[string]v1alpha1.Application{}
	for _, a := range spec.GitOps.Applications {
		changes[a.Name] = a
	}
	var out []wave
	for _, a := range allApplications() {
		a.change = changes[a.name]
		off := a.change.Enabled != nil && !*a.change.Enabled
		if off || a.k3s && spec.Distribution != v1alpha1.DistributionK3s {
			continue
		}
		if len(out) == 0 || out[len(out)-1].number != a.wave {
			out = append(out, wave{number: a.wave})
		}
		last := &out[len(out)-1]
		last.applications = append(last.applications, a)
	}
	return out
}

// application has no finalizer: if it goes, what it deployed stays, since that is what the whole cluster stands on.
func application(a platformApplication, git v1alpha1.GitOps, set *settings.Settings) *argocd.Application {
	meta := meta(set.ArgoCD.Namespace, a.name)
	meta.Annotations = map[string]string{argocd.SyncWave: strconv.FormatInt(a.wave, 10)}
	app := &argocd.Application{
		TypeMeta:   metav1.TypeMeta{APIVersion: argocd.APIVersion, Kind: "Application"},
		ObjectMeta: meta,
		Spec: argocd.ApplicationSpec{
			Project: cmp.Or(a.change.Project, git.Project),
			Source: argocd.Source{
				RepoURL:        cmp.Or(a.change.RepoURL, git.RepoURL),
				TargetRevision: cmp.Or(a.change.TargetRevision, git.TargetRevision),
				Path:           cmp.Or(a.change.Path, git.Path+"/"+a.folder),
				Directory:      directory(a.change.Directory),
				Helm:           helm(a.change.Helm),
			},
			Destination: argocd.ApplicationDestination{Server: argocd.InCluster, Namespace: cmp.Or(a.change.Namespace, a.namespace)},
			SyncPolicy: argocd.SyncPolicy{
				Automated:   argocd.Automated{Prune: true, SelfHeal: true},
				SyncOptions: withOptions(git.SyncOptions, a.change.SyncOptions...),
				Retry:       argocd.Retry{Limit: 5, Backoff: argocd.Backoff{Duration: "5s", Factor: 2, MaxDuration: "3m"}},
			},
			IgnoreDifferences: ignoreDifferences(a.change.IgnoreDifferences),
		},
	}
	if a.name == authApplication {
		keepScale(app)
	}
	return app
}

// directory is nil unless it says something: an empty one already makes Argo CD take a chart or a kustomization for plain
// manifests.
func directory(d v1alpha1.Directory) *argocd.Directory {
	if !d.Recurse && d.Exclude == "" {
		return nil
	}
	return &argocd.Directory{Recurse: d.Recurse, Exclude: d.Exclude}
}

// helm is nil unless it says something, for the same reason.
func helm(h v1alpha1.Helm) *argocd.Helm {
	if h.Empty() {
		return nil
	}
	return &argocd.Helm{ReleaseName: h.ReleaseName, ValueFiles: h.ValueFiles, ValuesObject: h.Values}
}

func ignoreDifferences(differences []v1alpha1.IgnoreDifference) []argocd.IgnoreDifference {
	var out []argocd.IgnoreDifference
	for _, d := range differences {
		out = append(out, argocd.IgnoreDifference(d))
	}
	return out
}

// withOptions adds sync options to others, and takes away those of the same names: Argo CD heeds CreateNamespace=true even
// beside CreateNamespace=false.
func withOptions(options []string, more ...string) []string {
	kept := slices.DeleteFunc(slices.Clone(options), func(option string) bool {
		return slices.ContainsFunc(more, func(other string) bool { return optionName(option) == optionName(other) })
	})
	return append(kept, more...)
}

func optionName(option string) string {
	name, _, _ := strings.Cut(option, "=")
	return name
}

// The words of Argo CD.
const (
	syncSynced    = "Synced"
	healthHealthy = "Healthy"
	healthMissing = "Missing"
	unknown       = "Unknown"
)

// readyApplication is for an Application that is as in Git, and works.
func readyApplication(o object.Object) (bool, string) {
	sync, health := o.String("status", "sync", "status"), o.String("status", "health", "status")
	switch {
	case o.Deleting():
		return false, "being deleted"
	case sync == "" && health == "":
		return false, unknown + " (Argo CD has not looked at it yet)"
	case health != healthHealthy:
		return false, cmp.Or(health, unknown)
	case sync != syncSynced:
		return false, cmp.Or(sync, unknown)
	}
	return true, ""
}

func applicationStatus(a platformApplication, seen object.Object) v1alpha1.ApplicationStatus {
	status := v1alpha1.ApplicationStatus{Name: a.name, Wave: a.wave, Sync: unknown, Health: healthMissing}
	if seen.Exists() {
		status.Sync = cmp.Or(seen.String("status", "sync", "status"), unknown)
		status.Health = cmp.Or(seen.String("status", "health", "status"), unknown)
	}
	return status
}

// awaitedOf says what a wave waits for, such as "platform-crds Progressing, platform-rbac OutOfSync".
func (c *composer) awaitedOf(w wave) string {
	var awaited []string
	for _, a := range w.applications {
		o := c.seen.Composed(keyApplication + a.name)
		if !o.Exists() {
			awaited = append(awaited, a.name+" "+healthMissing)
			continue
		}
		if ready, why := readyApplication(o); !ready {
			awaited = append(awaited, a.name+" "+why)
		}
	}
	return strings.Join(awaited, ", ")
}
