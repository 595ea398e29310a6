package dnsrecord_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/dnsrecord"
)

func record(p v1alpha1.DNSRecordParameters) *v1alpha1.DNSRecord {
	return &v1alpha1.DNSRecord{
		ObjectMeta: metav1.ObjectMeta{UID: "0f0c8a1e-6d3b-4a58-9a0e-3b1d8f1f2c11"},
		Spec:       v1alpha1.DNSRecordSpec{ForProvider: p},
	}
}

func TestTheWantedRecord(t *testing.T) {
	for name, c := range map[string]struct {
		parameters v1alpha1.DNSRecordParameters
		want       cloudflare.RecordSpec
	}{
		"defaults are filled in": {
			v1alpha1.DNSRecordParameters{Name: "acme.example.com"},
			cloudflare.RecordSpec{Type: "CNAME", Name: "acme.example.com", Content: "x.example.net", Proxied: true, TTL: 1,
				Comment: "aphex:0f0c8a1e6d3b4a589a0e3b1d8f1f2c11"}},
		"everything is taken over": {
			v1alpha1.DNSRecordParameters{Name: "acme.example.com", Proxied: new(false), TTL: new(int64(300)), Comment: new("webhooks of ACME")},
			cloudflare.RecordSpec{Type: "CNAME", Name: "acme.example.com", Content: "x.example.net", TTL: 300,
				Comment: "aphex:0f0c8a1e6d3b4a589a0e3b1d8f1f2c11 webhooks of ACME"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, dnsrecord.Want(record(c.parameters), "x.example.net"))
		})
	}
}

func TestDrift(t *testing.T) {
	want := cloudflare.RecordSpec{Type: "CNAME", Name: "acme.example.com", Content: "x.cfargotunnel.com", Proxied: true, TTL: 1, Comment: "aphex:1"}
	for name, c := range map[string]struct {
		change func(*cloudflare.RecordSpec)
		want   []string
	}{
		"a record as wanted has none":           {func(*cloudflare.RecordSpec) {}, nil},
		"the case of host names does not count": {func(r *cloudflare.RecordSpec) { r.Name, r.Content = "ACME.example.com", "X.cfargotunnel.com" }, nil},
		"neither does a dot at their end":       {func(r *cloudflare.RecordSpec) { r.Content = "x.cfargotunnel.com." }, nil},
		"another content is drift":              {func(r *cloudflare.RecordSpec) { r.Content = "evil.example.net" }, []string{"content is evil.example.net instead of x.cfargotunnel.com"}},
		"another name is drift":                 {func(r *cloudflare.RecordSpec) { r.Name = "old.example.com" }, []string{"name is old.example.com instead of acme.example.com"}},
		"another type is drift":                 {func(r *cloudflare.RecordSpec) { r.Type = "A" }, []string{"type is A instead of CNAME"}},
		"no longer proxied is drift":            {func(r *cloudflare.RecordSpec) { r.Proxied = false }, []string{"proxied is false instead of true"}},
		"another ttl is drift":                  {func(r *cloudflare.RecordSpec) { r.TTL = 60 }, []string{"ttl is 60 instead of 1"}},
		"a lost mark is drift":                  {func(r *cloudflare.RecordSpec) { r.Comment = "" }, []string{`comment is "" instead of "aphex:1"`}},
		"the case of the comment counts":        {func(r *cloudflare.RecordSpec) { r.Comment = "APHEX:1" }, []string{`comment is "APHEX:1" instead of "aphex:1"`}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := want
			c.change(&seen)
			require.Equal(t, c.want, dnsrecord.Drift(want, seen))
		})
	}
}

func TestWhatMattersToThoseWhoFollowARecord(t *testing.T) {
	want := cloudflare.RecordSpec{Type: "CNAME", Name: "acme.example.com", Content: "x.cfargotunnel.com", Proxied: true, TTL: 1, Comment: "aphex:1"}
	for name, c := range map[string]struct {
		change func(*cloudflare.RecordSpec)
		leads  bool
	}{
		"a record as wanted leads":              {func(*cloudflare.RecordSpec) {}, true},
		"with another comment and ttl it does":  {func(r *cloudflare.RecordSpec) { r.Comment, r.TTL = "", 60 }, true},
		"with another spelling it does":         {func(r *cloudflare.RecordSpec) { r.Name = "ACME.example.com." }, true},
		"with another name it does not":         {func(r *cloudflare.RecordSpec) { r.Name = "old.example.com" }, false},
		"with another content it does not":      {func(r *cloudflare.RecordSpec) { r.Content = "y.cfargotunnel.com" }, false},
		"with another type it does not":         {func(r *cloudflare.RecordSpec) { r.Type = "TXT" }, false},
		"to a tunnel without proxy it does not": {func(r *cloudflare.RecordSpec) { r.Proxied = false }, false},
	} {
		t.Run(name, func(t *testing.T) {
			seen := want
			c.change(&seen)
			require.Equal(t, c.leads, dnsrecord.Leads(want, seen))
		})
	}
}

func TestInZone(t *testing.T) {
	require.True(t, dnsrecord.InZone("acme.example.com", "example.com"))
	require.True(t, dnsrecord.InZone("a.b.Example.com", "example.com"))
	require.True(t, dnsrecord.InZone("example.com", "example.com"))
	require.False(t, dnsrecord.InZone("acme-example.com", "example.com"))
	require.False(t, dnsrecord.InZone("acme.example.org", "example.com"))
}

func TestRecordsThatKeepACNAMEFromBeingMade(t *testing.T) {
	for kind, want := range map[string]bool{"A": true, "AAAA": true, "CNAME": true, "TXT": false, "MX": false, "CAA": false} {
		require.Equal(t, want, dnsrecord.Blocks(cloudflare.Record{RecordSpec: cloudflare.RecordSpec{Type: kind}}), kind)
	}
}
