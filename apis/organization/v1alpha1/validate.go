package v1alpha1

import (
	"fmt"
	"regexp"
	"strings"

	"aphex.io/platform/apis/internal/rules"
)

// MaxNameLength is how long the name of an Organization claim may be: the namespace org-<name> has at most 63 characters.
const MaxNameLength = 59

var (
	displayName   = regexp.MustCompile(`^[a-zA-Z0-9\s\-\.]+$`)
	email         = regexp.MustCompile(`^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$`)
	webhookSecret = regexp.MustCompile(`^[a-zA-Z0-9_-]{16,128}$`)
)

// Validate repeats the rules of the XRD for the claim's name and spec: nothing if they are good, else what is wrong,
// sorted by path. It never repeats the webhook secret.
func (s OrganizationSpec) Validate(name string) []string {
	var p rules.Problems
	p.Text("metadata.name", name, MaxNameLength, rules.DNSLabel,
		"must be a DNS label, since <name>.<webhook domain> becomes a public host name: lower-case letters, digits and hyphens, "+
			"starting and ending with a letter or digit")
	p.Text("spec.displayName", s.DisplayName, 128, displayName, "must contain only letters, digits, spaces, hyphens and dots")
	p.Count("spec.adminUsers", len(s.AdminUsers), 1, 100)
	seen := map[string]bool{}
	for i, user := range s.AdminUsers {
		at := fmt.Sprintf("spec.adminUsers[%d]", i)
		p.Add(len(user) <= 254, at, "must have at most 254 characters")
		p.Add(email.MatchString(user), at, `must be an e-mail address such as "admin@example.com"`)
		p.Add(!seen[strings.ToLower(user)], "spec.adminUsers", "must name each address only once; capital and small letters count as the same")
		seen[strings.ToLower(user)] = true
	}
	p.Add(s.WebhookSecret == "" || webhookSecret.MatchString(s.WebhookSecret), "spec.webhookSecret",
		"must have 16 to 128 characters, only letters, digits, underscores and hyphens")
	return p.Sorted()
}
