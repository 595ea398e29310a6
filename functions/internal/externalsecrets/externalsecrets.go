// Package externalsecrets has the fields of External Secrets v1.3 objects that we set, with upstream's JSON names, see
// https://external-secrets.io/latest/api/clustersecretstore/.
package externalsecrets

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The CRD of the objects of this package.
const (
	ClusterSecretStoreCRD = "clustersecretstores.external-secrets.io"
	Version               = "v1"
	APIVersion            = "external-secrets.io/v1"
)

// ClusterSecretStore is a source of secrets for the namespaces that its conditions name.
type ClusterSecretStore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              ClusterSecretStoreSpec `json:"spec"`
}

// ClusterSecretStoreSpec says who may use the store and where it reads.
type ClusterSecretStoreSpec struct {
	Conditions []Condition `json:"conditions"`
	Provider   Provider    `json:"provider"`
}

// Condition admits the namespaces with these labels.
type Condition struct {
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
}

// Provider is the kind of source.
type Provider struct {
	Kubernetes Kubernetes `json:"kubernetes"`
}

// Kubernetes reads Secrets of one namespace.
type Kubernetes struct {
	RemoteNamespace string `json:"remoteNamespace"`
	Server          Server `json:"server"`
	Auth            Auth   `json:"auth"`
}

// Server says how to trust the API server.
type Server struct {
	CAProvider CAProvider `json:"caProvider"`
}

// CAProvider holds a CA certificate.
type CAProvider struct {
	Type      string `json:"type"`
	Name      string `json:"name"`
	Key       string `json:"key"`
	Namespace string `json:"namespace"`
}

// Auth says who reads.
type Auth struct {
	ServiceAccount ServiceAccount `json:"serviceAccount"`
}

// ServiceAccount is the identity that reads.
type ServiceAccount struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}
