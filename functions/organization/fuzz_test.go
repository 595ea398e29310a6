package main

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"
	"k8s.io/apimachinery/pkg/util/validation"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
)

// FuzzCompose sends any spec to any part of an organization that exists. Nothing that exists is ever given up, apart from
// the objects of an integration that was switched off and a record that has to change its zone.
func FuzzCompose(f *testing.F) {
	complete := settled(f, organization())
	keys := compose(f, complete, organization()).Keys()
	all := uint32(1<<len(keys) - 1)

	f.Add("acme-corp", "ACME Corporation", "admin@acme-corp.com", "", false, uint32(0), uint32(0), "", byte(0))
	f.Add("acme-corp", "ACME Corporation", "admin@acme-corp.com,ops@acme-corp.com", "a-secret-of-mine-0", true, all, uint32(0), "", byte(0))
	f.Add("acme-corp", "ACME Corporation", "admin@acme-corp.com", "short", false, all, uint32(0), "", byte(0))
	f.Add("acme-corp", "ACME Corporation", "admin@acme-corp.com", "", false, all/3, all, "hooks.example.org", byte(0))
	f.Add("acme-corp", "ACME Corporation", "admin@acme-corp.com", "", false, all, uint32(5), "example.org", byte(7))
	f.Add("acme-corp", "ACME Corporation", "admin@acme-corp.com", "", false, all, uint32(0), "not a domain", byte(8))
	f.Add(strings.Repeat("a", 60), "\x00<b>", ",,", "$(rm)", true, uint32(1), uint32(1), "", byte(15))

	f.Fuzz(func(t *testing.T, name, display, admins, secret string, suspend bool, exists, deleting uint32, domain string, switches byte) {
		if !utf8.ValidString(name + display + admins + secret + domain) {
			t.Skip("no request holds such a string")
		}
		xr := organization(func(xr *v1alpha1.XOrganization) {
			xr.Spec.ClaimRef.Name = name
			xr.Spec.DisplayName, xr.Spec.AdminUsers = display, strings.Split(admins, ",")
			xr.Spec.WebhookSecret, xr.Spec.Suspend = secret, suspend
		})
		w := complete.keep(func(k string) bool { return exists>>slices.Index(keys, k)&1 == 1 })
		for i, key := range keys {
			if o, ok := w.composed[key]; ok && deleting>>i&1 == 1 {
				w.composed[key] = beingDeleted(t, o)
			}
		}
		w.objects = append(slices.Clone(w.objects), environment(fuzzedSettings(domain, switches)))

		d, err := w.compose(t, xr)
		again, errAgain := w.compose(t, xr)
		if err != nil {
			require.EqualError(t, errAgain, err.Error())
			return
		}
		require.NoError(t, d.Err())
		require.Empty(t, cmp.Diff(d.Resources(), again.Resources(), protocmp.Transform()), "another run gave other objects")
		require.Equal(t, d.Conditions, again.Conditions)
		require.Equal(t, status(t, d), status(t, again))

		require.Len(t, d.Conditions, 8)
		require.Contains(t, []string{"Pending", "Active", "Failed"}, d.Phase)
		require.Equal(t, d.Phase == "Active", d.Ready)
		if len(secret) >= minWebhookSecret && !strings.Contains(name+display+admins+domain, secret) {
			require.NotContains(t, d.Message, secret)
			for _, c := range d.Conditions {
				require.NotContains(t, c.Message, secret)
			}
		}
		for key := range w.composed {
			if switches == 0 {
				require.Contains(t, d.Keys(), key)
			}
		}
		for key, r := range d.Resources() {
			requireWellFormed(t, key, object.NewObject(r.Object))
		}
	})
}

// FuzzRotation writes anything into the Secret of a complete organization and asks for any rotation. Whatever comes of it,
// the listener checks one or two different secrets that are long enough, and people are told one of them.
func FuzzRotation(f *testing.F) {
	complete := settled(f, organization())
	const made = "0000000000000000000000000000000000000000000000000000000000000000"
	f.Add("", "", "", "", "", made, made, "", int64(0))
	f.Add("", "90d", "24h", "now", "2026-01-16T12:00:00Z", made, made, secondSecret, int64(1<<20))
	f.Add(firstSecret, "", "0h", "", "soon", secondSecret, secondSecret, firstSecret, int64(-1))
	f.Add("", "24h", "999h", "", "9999-12-31T23:59:59Z", "", firstSecret, secondSecret, int64(1<<40))
	f.Add("", "999d", "30d", "x", "0000-01-01T00:00:00Z", "short", "", "short", int64(-1<<40))
	f.Add(firstSecret, "1d", "1w", "y", "2026-01-16T12:00:00+14:00", firstSecret, firstSecret, firstSecret, int64(86400))

	f.Fuzz(func(t *testing.T, given, rotation, overlap, asked, rotatedAt, announced, first, second string, passed int64) {
		if !utf8.ValidString(given + rotation + overlap + asked + rotatedAt) {
			t.Skip("no request holds such a string")
		}
		xr := organization(asking(asked), rotatingEvery(rotation), overlapping(overlap))
		xr.Spec.WebhookSecret = given
		w := complete.edited(func(data, annotations map[string]any) {
			data["secret"], data["key-1"], data["key-2"] = encoded(announced), encoded(first), encoded(second)
			annotations["platform.aphex/rotated-at"] = rotatedAt
		})
		w.passed = time.Duration(passed%(1<<32)) * time.Second

		d := compose(t, w, xr)
		require.Equal(t, d.Phase == "Failed", len(xr.Spec.Validate("acme-corp")) > 0)
		if d.Phase == "Failed" {
			return
		}
		good := accepted(t, d)
		require.LessOrEqual(t, len(good), 2)
		require.Contains(t, good, told(t, d))
		if given != "" {
			require.Equal(t, given, good[0])
		}
		if now := noon.Add(w.passed); len(good) == 2 {
			require.True(t, d.RunsAgainAt().After(now))
			require.LessOrEqual(t, d.RunsAgainAt().Sub(now), xr.Spec.Overlap()+clockSkew)
		}
		for range 2 {
			w = w.apply(d).after(0)
			d = compose(t, w, xr)
			require.Equal(t, good, accepted(t, d), "the next run accepts the same")
			require.Empty(t, d.Events())
		}
		require.Equal(t, good[0], told(t, d))
	})
}

func beingDeleted(t *testing.T, o map[string]any) map[string]any {
	t.Helper()
	out := wrap(t, o).Map()
	out["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-16T23:15:00Z"
	return out
}

func fuzzedSettings(domain string, switches byte) map[string]any {
	data := map[string]any{"integrations": map[string]any{
		"tekton": switches&1 == 0, "externalSecrets": switches&2 == 0, "cloudflare": switches&4 == 0,
	}}
	if domain != "" {
		data["webhookDomain"] = domain
	}
	if switches&8 != 0 {
		data["cloudflare"] = map[string]any{"zone": "example.org"}
	}
	return data
}

// requireWellFormed checks what the API server checks of every object.
func requireWellFormed(t *testing.T, key string, o object.Object) {
	t.Helper()
	require.NotEmpty(t, o.Kind(), key)
	require.NotEmpty(t, o.String("apiVersion"), key)
	require.Empty(t, validation.IsDNS1123Subdomain(o.Name()), key)
	require.NotEmpty(t, o.Label(kube.LabelOrganization), key)
	for _, label := range o.Field("metadata", "labels").Keys() {
		require.Empty(t, validation.IsQualifiedName(label), key)
		require.Empty(t, validation.IsValidLabelValue(o.Label(label)), key)
	}
	require.False(t, o.Field("status").Exists(), "%s: a status of ours would fight its controller", key)
}
