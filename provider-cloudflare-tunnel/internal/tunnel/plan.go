package tunnel

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/ownership"
)

// Changes are what an existing tunnel needs to be as wanted.
type Changes struct {
	// Rename gives it its name.
	Rename bool
	// Rotate replaces its secret.
	Rotate bool
	// FinishRotation drops the connections of a secret that was replaced by a process that got no further.
	FinishRotation bool
}

// None says that the tunnel is as wanted.
func (c Changes) None() bool { return c == Changes{} }

// String names the changes.
func (c Changes) String() string {
	var names []string
	for _, n := range []struct {
		on   bool
		name string
	}{{c.Rename, "rename"}, {c.Rotate, "rotate the secret"}, {c.FinishRotation, "finish the rotation of the secret"}} {
		if n.on {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

// Plan compares a tunnel with what is wanted of it. The mark is that of its secret; an imported tunnel has none until its
// secret is replaced. Last is the rotation that the status tells of.
func Plan(want v1alpha1.TunnelParameters, seen cloudflare.Tunnel, mark ownership.Mark, last *metav1.Time, now time.Time) Changes {
	c := Changes{Rename: seen.Name != want.Name}
	madeAt := mark.MadeAt
	if madeAt.IsZero() {
		madeAt = seen.CreatedAt
		if last != nil && last.After(madeAt) {
			madeAt = last.Time
		}
	}
	if at := want.RotateSecretAt; at != nil && !now.Before(at.Time) && madeAt.Before(at.Time) {
		c.Rotate = true
		return c
	}
	c.FinishRotation = mark.Rotations > 0 && (last == nil || last.Time.Before(mark.MadeAt))
	return c
}

// Due is when a tunnel must be looked at although nothing happened: when its secret is to be replaced, and as soon as the
// list of tunnels is a new one while its connectors are not as they should be, which is so until the first have connected.
func Due(t *v1alpha1.Tunnel, now time.Time, freshness time.Duration) []time.Time {
	var due []time.Time
	if at := t.Spec.ForProvider.RotateSecretAt; at != nil {
		due = append(due, at.Time)
	}
	if t.Status.AtProvider.Status != v1alpha1.TunnelHealthy {
		due = append(due, now.Add(freshness))
	}
	return due
}

// recordsTime is how long a deleted tunnel waits for the DNS records that point at it to be deleted too. Who deletes an
// Organization or a namespace deletes both, in no order.
const recordsTime = 10 * time.Second

// Before names the DNSRecords that have to go before the tunnel does: those that are going, and for a short time those that
// may be about to. Without this a public name would for a while lead to a tunnel that is no more.
func Before(t *v1alpha1.Tunnel, records []v1alpha1.DNSRecord, now time.Time) []string {
	var names []string
	early := t.DeletionTimestamp == nil || now.Sub(t.DeletionTimestamp.Time) < recordsTime
	for _, r := range records {
		if pointsAt(r, t) && (r.DeletionTimestamp != nil || early) {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}

func pointsAt(r v1alpha1.DNSRecord, t *v1alpha1.Tunnel) bool {
	p := r.Spec.ForProvider
	switch {
	case r.Namespace != t.Namespace:
		return false
	case p.TunnelRef != nil:
		return p.TunnelRef.Name == t.Name
	case p.TunnelSelector != nil:
		return p.TunnelSelector.Matches(t)
	}
	return p.Content != nil && *p.Content == t.Status.AtProvider.CNAME
}
