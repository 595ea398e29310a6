// Package argocd has the fields of Argo CD v3 objects that we set, with upstream's JSON names, see
// https://argo-cd.readthedocs.io/en/stable/operator-manual/project-specification/ and
// https://argo-cd.readthedocs.io/en/stable/user-guide/application-specification/.
package argocd

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The CRDs of the objects of this package.
const (
	AppProjectCRD  = "appprojects.argoproj.io"
	ApplicationCRD = "applications.argoproj.io"
	Version        = "v1alpha1"
	APIVersion     = "argoproj.io/v1alpha1"
)

// SyncWave is the annotation that orders objects, lower numbers first.
const SyncWave = "argocd.argoproj.io/sync-wave"

// InCluster is how Argo CD names the cluster that it runs in.
const InCluster = "https://kubernetes.default.svc"

// AppProject bounds what the applications of one team may deploy, and where.
type AppProject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              AppProjectSpec `json:"spec"`
}

// AppProjectSpec lists what is allowed; the blacklist goes before the whitelist. An empty ClusterResourceWhitelist allows no cluster-scoped object; it is sent
// although it is empty, so that nobody else can set it.
type AppProjectSpec struct {
	Description                string        `json:"description"`
	Destinations               []Destination `json:"destinations"`
	SourceRepos                []string      `json:"sourceRepos"`
	ClusterResourceWhitelist   []GroupKind   `json:"clusterResourceWhitelist"`
	NamespaceResourceWhitelist []GroupKind   `json:"namespaceResourceWhitelist"`
	NamespaceResourceBlacklist []GroupKind   `json:"namespaceResourceBlacklist"`
}

// Destination is a cluster and a glob of namespaces.
type Destination struct {
	Server    string `json:"server"`
	Namespace string `json:"namespace"`
}

// GroupKind is a kind of objects; * matches all.
type GroupKind struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
}

// Application is a folder of a Git repository that is deployed to a cluster.
type Application struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              ApplicationSpec `json:"spec"`
}

// ApplicationSpec says what is deployed, where, and when.
type ApplicationSpec struct {
	Project     string                 `json:"project"`
	Source      Source                 `json:"source"`
	Destination ApplicationDestination `json:"destination"`
	SyncPolicy  SyncPolicy             `json:"syncPolicy"`
	// IgnoreDifferences are fields in which a cluster may differ from Git.
	IgnoreDifferences []IgnoreDifference `json:"ignoreDifferences,omitempty"`
}

// IgnoreDifference is some fields of the objects of a kind, or of one of them. Argo CD still sets them when it makes the
// object, and with RespectIgnoreDifferences never after that.
type IgnoreDifference struct {
	Group             string   `json:"group,omitempty"`
	Kind              string   `json:"kind"`
	Namespace         string   `json:"namespace,omitempty"`
	Name              string   `json:"name,omitempty"`
	JSONPointers      []string `json:"jsonPointers,omitempty"`
	JQPathExpressions []string `json:"jqPathExpressions,omitempty"`
}

// RespectIgnoreDifferences is a sync option.
const RespectIgnoreDifferences = "RespectIgnoreDifferences=true"

// Source is a folder of a Git repository. Argo CD itself finds out whether it holds plain manifests, a kustomization or a
// chart, unless Directory or Helm is there.
type Source struct {
	RepoURL        string     `json:"repoURL"`
	TargetRevision string     `json:"targetRevision"`
	Path           string     `json:"path"`
	Directory      *Directory `json:"directory,omitempty"`
	Helm           *Helm      `json:"helm,omitempty"`
}

// Directory is for a folder of plain manifests. Recurse takes those below it too, Exclude is a glob of files to leave out.
type Directory struct {
	Recurse bool   `json:"recurse,omitempty"`
	Exclude string `json:"exclude,omitempty"`
}

// Helm is for a folder that holds a chart.
type Helm struct {
	ReleaseName  string         `json:"releaseName,omitempty"`
	ValueFiles   []string       `json:"valueFiles,omitempty"`
	ValuesObject map[string]any `json:"valuesObject,omitempty"`
}

// ApplicationDestination is a cluster, and the namespace of objects that name none.
type ApplicationDestination struct {
	Server    string `json:"server"`
	Namespace string `json:"namespace,omitempty"`
}

// SyncPolicy says when Argo CD applies what is in Git, and how often it tries.
type SyncPolicy struct {
	Automated   Automated `json:"automated"`
	SyncOptions []string  `json:"syncOptions,omitempty"`
	Retry       Retry     `json:"retry"`
}

// Automated applies what is in Git without being asked.
type Automated struct {
	Prune    bool `json:"prune"`
	SelfHeal bool `json:"selfHeal"`
}

// Retry repeats a sync that failed.
type Retry struct {
	Limit   int64   `json:"limit"`
	Backoff Backoff `json:"backoff"`
}

// Backoff waits longer from one try to the next.
type Backoff struct {
	Duration    string `json:"duration"`
	Factor      int64  `json:"factor"`
	MaxDuration string `json:"maxDuration"`
}
