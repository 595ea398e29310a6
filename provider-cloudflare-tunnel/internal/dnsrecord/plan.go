package dnsrecord

import (
	"fmt"
	"strings"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
)

// Want is the record that is wanted, which points at content. Its comment carries the mark.
func Want(cr *v1alpha1.DNSRecord, content string) cloudflare.RecordSpec {
	p := cr.Spec.ForProvider
	want := cloudflare.RecordSpec{
		Type:    string(v1alpha1.DNSRecordTypeCNAME),
		Name:    p.Name,
		Content: content,
		Proxied: true,
		TTL:     1,
	}
	if p.Proxied != nil {
		want.Proxied = *p.Proxied
	}
	if p.TTL != nil {
		want.TTL = *p.TTL
	}
	note := ""
	if p.Comment != nil {
		note = *p.Comment
	}
	want.Comment = cloudflare.MarkFor(string(cr.UID)).Comment(note)
	return want
}

// Drift names the fields of a record that are not as wanted, with what they are and what they should be. Names and
// contents are host names, in which case does not count.
func Drift(want, seen cloudflare.RecordSpec) []string {
	var drift []string
	differ := func(field string, differs bool, seen, want any) {
		if differs {
			drift = append(drift, fmt.Sprintf("%s is %v instead of %v", field, seen, want))
		}
	}
	differ("type", seen.Type != want.Type, seen.Type, want.Type)
	differ("name", !sameHost(seen.Name, want.Name), seen.Name, want.Name)
	differ("content", !sameHost(seen.Content, want.Content), seen.Content, want.Content)
	differ("proxied", seen.Proxied != want.Proxied, seen.Proxied, want.Proxied)
	differ("ttl", seen.TTL != want.TTL, seen.TTL, want.TTL)
	differ("comment", seen.Comment != want.Comment, fmt.Sprintf("%q", seen.Comment), fmt.Sprintf("%q", want.Comment))
	return drift
}

// Leads says whether a record leads from the wanted name to the wanted place, whatever else differs. A record of a tunnel that
// is not proxied leads nowhere, so that counts too.
func Leads(want, seen cloudflare.RecordSpec) bool {
	return seen.Type == want.Type && sameHost(seen.Name, want.Name) && sameHost(seen.Content, want.Content) && seen.Proxied == want.Proxied
}

// InZone says whether a host name lies in a zone.
func InZone(name, zone string) bool {
	return sameHost(name, zone) || strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(zone))
}

// Blocks says whether a record keeps a CNAME of its name from being made.
func Blocks(r cloudflare.Record) bool {
	switch r.Type {
	case "A", "AAAA", "CNAME":
		return true
	}
	return false
}

func sameHost(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
