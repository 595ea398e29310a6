package tunnel_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/ownership"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/tunnel"
)

// The days of these tests.
var (
	monday    = time.Date(2026, 1, 12, 9, 0, 0, 0, time.UTC)
	tuesday   = monday.AddDate(0, 0, 1)
	wednesday = monday.AddDate(0, 0, 2)
	thursday  = monday.AddDate(0, 0, 3)
)

func at(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }

func TestPlan(t *testing.T) {
	first := ownership.Mark{Owner: "me", MadeAt: monday}
	rotated := ownership.Mark{Owner: "me", MadeAt: wednesday, Rotations: 1}
	for name, c := range map[string]struct {
		name     string
		rotateAt *metav1.Time
		mark     ownership.Mark
		last     *metav1.Time
		now      time.Time
		want     tunnel.Changes
	}{
		"a tunnel as wanted needs nothing": {mark: first},
		"a tunnel of another name is renamed": {
			name: "acme-old", mark: first, want: tunnel.Changes{Rename: true}},
		"a rotation in the future waits": {
			mark: first, rotateAt: at(thursday), now: wednesday},
		"a rotation happens at its time": {
			mark: first, rotateAt: at(wednesday), now: wednesday, want: tunnel.Changes{Rotate: true}},
		"a rotation that was asked for late happens": {
			mark: first, rotateAt: at(tuesday), now: thursday, want: tunnel.Changes{Rotate: true}},
		"a secret that is younger than the time of the rotation needs none": {
			mark: first, rotateAt: at(monday.Add(-time.Hour)), now: thursday},
		"a secret that was made at the time of the rotation needs none": {
			mark: first, rotateAt: at(monday), now: thursday},
		"a rotation that was carried out and told is not repeated": {
			mark: rotated, last: at(wednesday), rotateAt: at(wednesday), now: thursday},
		"a rotation that was carried out and not told is finished, not repeated": {
			mark: rotated, rotateAt: at(wednesday), now: thursday, want: tunnel.Changes{FinishRotation: true}},
		"a second rotation that was not told is finished": {
			mark: rotated, last: at(tuesday), rotateAt: at(wednesday), now: thursday, want: tunnel.Changes{FinishRotation: true}},
		"a later time rotates again": {
			mark: rotated, last: at(wednesday), rotateAt: at(thursday), now: thursday, want: tunnel.Changes{Rotate: true}},
		"removing the time changes nothing": {
			mark: rotated, last: at(wednesday), now: thursday},
		"setting the time back changes nothing": {
			mark: rotated, last: at(wednesday), rotateAt: at(tuesday), now: thursday},
		"an imported tunnel is as old as its secret": {
			rotateAt: at(tuesday), now: thursday, want: tunnel.Changes{Rotate: true}},
		"an imported tunnel that is younger than the time of the rotation needs none": {
			rotateAt: at(monday.Add(-time.Hour)), now: thursday},
		"renaming and rotating go together": {
			name: "acme-old", mark: first, rotateAt: at(tuesday), now: thursday, want: tunnel.Changes{Rename: true, Rotate: true}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := cloudflare.Tunnel{Name: "acme", CreatedAt: monday}
			if c.name != "" {
				seen.Name = c.name
			}
			got := tunnel.Plan(v1alpha1.TunnelParameters{Name: "acme", RotateSecretAt: c.rotateAt}, seen, c.mark, c.last, c.now)
			require.Equal(t, c.want, got)
			require.Equal(t, c.want == tunnel.Changes{}, got.None())
		})
	}
}

func TestChangesAreNamed(t *testing.T) {
	require.Empty(t, tunnel.Changes{}.String())
	require.Equal(t, "rename, rotate the secret", tunnel.Changes{Rename: true, Rotate: true}.String())
	require.Equal(t, "finish the rotation of the secret", tunnel.Changes{FinishRotation: true}.String())
}

func TestRecordsThatGoBeforeTheirTunnel(t *testing.T) {
	deleted := at(monday)
	record := func(name string, change ...func(*v1alpha1.DNSRecord)) v1alpha1.DNSRecord {
		r := v1alpha1.DNSRecord{ObjectMeta: metav1.ObjectMeta{Namespace: "org-acme", Name: name}}
		r.Spec.ForProvider.TunnelRef = &v1alpha1.TunnelReference{Name: "acme"}
		for _, f := range change {
			f(&r)
		}
		return r
	}
	going := func(r *v1alpha1.DNSRecord) { r.DeletionTimestamp = deleted }
	for name, c := range map[string]struct {
		records []v1alpha1.DNSRecord
		after   time.Duration
		want    []string
	}{
		"no record, no waiting": {},
		"records that are going are awaited, however long it takes": {
			records: []v1alpha1.DNSRecord{record("b", going), record("a", going)}, after: time.Hour, want: []string{"a", "b"}},
		"a record that may be about to go is awaited at first": {
			records: []v1alpha1.DNSRecord{record("a")}, after: 9 * time.Second, want: []string{"a"}},
		"a record that stays is not awaited for long": {
			records: []v1alpha1.DNSRecord{record("a")}, after: 10 * time.Second},
		"a record of another tunnel does not matter": {
			records: []v1alpha1.DNSRecord{record("a", going, func(r *v1alpha1.DNSRecord) { r.Spec.ForProvider.TunnelRef.Name = "other" })}},
		"a record of another namespace does not matter": {
			records: []v1alpha1.DNSRecord{record("a", going, func(r *v1alpha1.DNSRecord) { r.Namespace = "org-other" })}},
		"a record that selects the tunnel is awaited": {
			records: []v1alpha1.DNSRecord{record("a", going, func(r *v1alpha1.DNSRecord) {
				r.Spec.ForProvider.TunnelRef = nil
				r.Spec.ForProvider.TunnelSelector = &v1alpha1.TunnelSelector{MatchLabels: map[string]string{"org": "acme"}}
			})}, want: []string{"a"}},
		"a record that has the tunnel's host name as content is awaited": {
			records: []v1alpha1.DNSRecord{record("a", going, func(r *v1alpha1.DNSRecord) {
				r.Spec.ForProvider.TunnelRef = nil
				r.Spec.ForProvider.Content = new("1280a396-767b-4e77-9425-735765b5f1ae.cfargotunnel.com")
			})}, want: []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			going := &v1alpha1.Tunnel{ObjectMeta: metav1.ObjectMeta{
				Namespace: "org-acme", Name: "acme", Labels: map[string]string{"org": "acme"}, DeletionTimestamp: deleted}}
			going.Status.AtProvider.CNAME = "1280a396-767b-4e77-9425-735765b5f1ae.cfargotunnel.com"
			require.Equal(t, c.want, tunnel.Before(going, c.records, monday.Add(c.after)))
		})
	}
}

func TestDue(t *testing.T) {
	for name, c := range map[string]struct {
		status   string
		rotateAt *metav1.Time
		want     []time.Time
	}{
		"a healthy tunnel is due for its poll only":          {status: "healthy"},
		"a tunnel is due when its secret is to be replaced":  {status: "healthy", rotateAt: at(thursday), want: []time.Time{thursday}},
		"a tunnel without connectors is due with a new list": {status: "inactive", want: []time.Time{monday.Add(time.Minute)}},
		"a tunnel that lost connectors is due so, too":       {status: "degraded", want: []time.Time{monday.Add(time.Minute)}},
		"a tunnel that lost all connectors is due so, too":   {status: "down", want: []time.Time{monday.Add(time.Minute)}},
		"a tunnel may be due for both":                       {status: "down", rotateAt: at(thursday), want: []time.Time{thursday, monday.Add(time.Minute)}},
	} {
		o := &v1alpha1.Tunnel{}
		o.Status.AtProvider.Status, o.Spec.ForProvider.RotateSecretAt = c.status, c.rotateAt
		require.Equal(t, c.want, tunnel.Due(o, monday, time.Minute), name)
	}
}
