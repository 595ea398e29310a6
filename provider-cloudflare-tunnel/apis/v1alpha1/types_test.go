package v1alpha1_test

import (
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
)

// The shapes that crossplane-runtime wants.
var (
	_ resource.ModernManaged            = &v1alpha1.Tunnel{}
	_ resource.ManagedList              = &v1alpha1.TunnelList{}
	_ resource.ModernManaged            = &v1alpha1.DNSRecord{}
	_ resource.ManagedList              = &v1alpha1.DNSRecordList{}
	_ resource.ProviderConfig           = &v1alpha1.ProviderConfig{}
	_ resource.ProviderConfig           = &v1alpha1.ClusterProviderConfig{}
	_ resource.TypedProviderConfigUsage = &v1alpha1.ProviderConfigUsage{}
	_ resource.ProviderConfigUsageList  = &v1alpha1.ProviderConfigUsageList{}
)
