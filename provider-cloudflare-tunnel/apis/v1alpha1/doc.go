// Package v1alpha1 holds the API of the Cloudflare Tunnel provider: the managed resources Tunnel and DNSRecord, and the
// configurations that say with which account and token they are managed. The CRDs in package/crds are generated from it;
// what talks to Cloudflare is elsewhere.
//
// +kubebuilder:object:generate=true
// +groupName=cloudflare.aphex.io
// +versionName=v1alpha1
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "cloudflare.aphex.io", Version: "v1alpha1"}

// The kinds. A managed resource names its configuration by one of the ProviderConfig kinds.
const (
	TunnelKind                = "Tunnel"
	DNSRecordKind             = "DNSRecord"
	ProviderConfigKind        = "ProviderConfig"
	ClusterProviderConfigKind = "ClusterProviderConfig"
	ProviderConfigUsageKind   = "ProviderConfigUsage"
)

// AddToScheme makes a scheme know the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Tunnel{}, &TunnelList{},
		&DNSRecord{}, &DNSRecordList{},
		&ProviderConfig{}, &ProviderConfigList{},
		&ClusterProviderConfig{}, &ClusterProviderConfigList{},
		&ProviderConfigUsage{}, &ProviderConfigUsageList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
