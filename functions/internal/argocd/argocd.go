// Package argocd has the fields of Argo CD v3 objects that we set, with upstream's JSON names, see
// https://argo-cd.readthedocs.io/en/stable/operator-manual/project-specification/.
package argocd

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The CRD of the objects of this package.
const (
	AppProjectCRD = "appprojects.argoproj.io"
	Version       = "v1alpha1"
	APIVersion    = "argoproj.io/v1alpha1"
)

// InCluster is how Argo CD names the cluster that it runs in.
const InCluster = "https://kubernetes.default.svc"

// AppProject bounds what the applications of one team may deploy, and where.
type AppProject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              AppProjectSpec `json:"spec"`
}

// AppProjectSpec lists what is allowed. An empty ClusterResourceWhitelist allows no cluster-scoped object; it is sent
// although it is empty, so that nobody else can set it.
type AppProjectSpec struct {
	Description                string        `json:"description"`
	Destinations               []Destination `json:"destinations"`
	SourceRepos                []string      `json:"sourceRepos"`
	ClusterResourceWhitelist   []GroupKind   `json:"clusterResourceWhitelist"`
	NamespaceResourceWhitelist []GroupKind   `json:"namespaceResourceWhitelist"`
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
