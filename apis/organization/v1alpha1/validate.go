package v1alpha1

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"aphex.io/platform/apis/internal/rules"
)

// MaxNameLength is how long the name of an Organization claim may be: the namespace org-<name> has at most 63 characters.
const MaxNameLength = 59

var (
	displayName = regexp.MustCompile(`^[a-zA-Z0-9\s\-\.]+$`)
	email       = regexp.MustCompile(`^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$`)
	// Days, or hours.
	rotation      = regexp.MustCompile(`^([1-9][0-9]{0,2}d|(2[4-9]|[3-9][0-9]|[1-9][0-9]{2,3})h)$`)
	overlap       = regexp.MustCompile(`^(([0-9]|[12][0-9]|30)d|(0|[1-9][0-9]{0,2})h)$`)
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
	p.Add(s.WebhookSecretRotation == "" || rotation.MatchString(s.WebhookSecretRotation), "spec.webhookSecretRotation",
		`must be 1d to 999d, or 24h to 9999h, such as "90d"`)
	p.Add(s.WebhookSecretRotation == "" || s.WebhookSecret == "", "spec.webhookSecretRotation",
		"must not be set beside webhookSecret, which is rotated by giving another one")
	p.Add(s.WebhookSecretOverlap == "" || overlap.MatchString(s.WebhookSecretOverlap), "spec.webhookSecretOverlap",
		`must be 0d to 30d, or 0h to 999h, such as "12h"`)
	return p.Sorted()
}

// defaultOverlap is that of the XRD.
const defaultOverlap = 24 * time.Hour

// Rotation is how old a generated webhook secret gets before it is rotated, 0 for any age.
func (s OrganizationSpec) Rotation() time.Duration { return period(s.WebhookSecretRotation) }

// Overlap is how long the previous webhook secret stays valid after a rotation.
func (s OrganizationSpec) Overlap() time.Duration {
	if s.WebhookSecretOverlap == "" {
		return defaultOverlap
	}
	return period(s.WebhookSecretOverlap)
}

// period is what a valid text says in days or hours.
func period(text string) time.Duration {
	number, days := strings.CutSuffix(text, "d")
	n, _ := strconv.Atoi(strings.TrimSuffix(number, "h")) // 0 for what Validate refuses
	if days {
		n *= 24
	}
	return time.Duration(n) * time.Hour
}
