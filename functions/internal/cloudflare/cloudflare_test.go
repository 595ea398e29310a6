package cloudflare_test

import (
	"encoding/json"
	"testing"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"aphex.io/platform/functions/internal/cloudflare"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
)

func TestNamesAreTheProviders(t *testing.T) {
	require.Equal(t, cloudflare.APIVersion, v1alpha1.GroupVersion.String())
	require.Equal(t, cloudflare.Version, v1alpha1.GroupVersion.Version)
	require.Equal(t, cloudflare.TunnelCRD, "tunnels."+v1alpha1.GroupVersion.Group)
	require.Equal(t, cloudflare.DNSRecordCRD, "dnsrecords."+v1alpha1.GroupVersion.Group)
	require.Equal(t, v1alpha1.TunnelKind, cloudflare.TunnelKind)
	require.Equal(t, v1alpha1.DNSRecordKind, cloudflare.DNSRecordKind)
	require.Equal(t, v1alpha1.ConnectionKeyCredentials, cloudflare.CredentialsKey)
}

func TestATunnelIsWhatTheProviderReads(t *testing.T) {
	pc := cloudflare.ProviderConfigReference{Kind: "ProviderConfig", Name: "pc"}
	ours := &cloudflare.Tunnel{
		TypeMeta:   metav1.TypeMeta{APIVersion: cloudflare.APIVersion, Kind: cloudflare.TunnelKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "x"},
		Spec: cloudflare.TunnelSpec{
			WriteConnectionSecretTo: cloudflare.SecretReference{Name: "s"}, ProviderConfig: pc,
			ForProvider: cloudflare.TunnelParameters{Name: "t", AccountID: "a", ConfigSource: cloudflare.ConfigSourceLocal},
		},
	}
	require.Equal(t, v1alpha1.TunnelSpec{
		ManagedResourceSpec: xpv2.ManagedResourceSpec{
			WriteConnectionSecretToReference: &xpv2.LocalSecretReference{Name: "s"},
			ProviderConfigReference:          &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "pc"},
		},
		ForProvider: v1alpha1.TunnelParameters{Name: "t", AccountID: new("a"), ConfigSource: v1alpha1.TunnelConfigSourceLocal},
	}, read[v1alpha1.Tunnel](t, ours).Spec)

	ours.Spec.ForProvider.AccountID = ""
	require.Nil(t, read[v1alpha1.Tunnel](t, ours).Spec.ForProvider.AccountID)
}

func TestARecordIsWhatTheProviderReads(t *testing.T) {
	ours := &cloudflare.DNSRecord{
		TypeMeta:   metav1.TypeMeta{APIVersion: cloudflare.APIVersion, Kind: cloudflare.DNSRecordKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "x"},
		Spec: cloudflare.DNSRecordSpec{
			ProviderConfig: cloudflare.ProviderConfigReference{Kind: "ProviderConfig", Name: "pc"},
			ForProvider: cloudflare.DNSRecordParameters{
				Zone: "example.org", Type: cloudflare.TypeCNAME, Name: "x.example.org", Tunnel: cloudflare.TunnelReference{Name: "t"}, TTL: 1,
			},
		},
	}
	require.Equal(t, v1alpha1.DNSRecordSpec{
		ManagedResourceSpec: xpv2.ManagedResourceSpec{
			ProviderConfigReference: &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "pc"},
		},
		ForProvider: v1alpha1.DNSRecordParameters{
			Zone: new("example.org"), Type: v1alpha1.DNSRecordTypeCNAME, Name: "x.example.org",
			TunnelRef: &v1alpha1.TunnelReference{Name: "t"}, Proxied: new(false), TTL: new(int64(1)),
		},
	}, read[v1alpha1.DNSRecord](t, ours).Spec)

	ours.Spec.ForProvider.Zone = ""
	require.Nil(t, read[v1alpha1.DNSRecord](t, ours).Spec.ForProvider.Zone)
}

// read takes an object as the provider does, and refuses fields that the provider does not know.
func read[T any](t *testing.T, ours any) T {
	t.Helper()
	s, err := object.From(ours)
	require.NoError(t, err)
	raw, err := json.Marshal(object.NewObject(s).Map())
	require.NoError(t, err)
	var theirs T
	unknown, err := kjson.UnmarshalStrict(raw, &theirs)
	require.NoError(t, err)
	require.Empty(t, unknown)
	return theirs
}
