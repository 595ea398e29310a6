package ownership_test

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/ownership"
)

const (
	self  types.UID = "0f0c8a1e-6d3b-4a58-9a0e-3b1d8f1f2c11"
	other types.UID = "7a1b2c3d-1111-4222-8333-444455556666"
)

var made = time.Date(2026, 1, 16, 23, 15, 0, 0, time.UTC)

func TestATunnelSecretSaysForWhomAndWhenItWasMade(t *testing.T) {
	secret, err := ownership.NewTunnelSecret(self, 3, made.Add(300*time.Millisecond), rand.Reader)
	require.NoError(t, err)
	require.Len(t, []byte(secret), 64)
	require.Equal(t, ownership.Mark{Owner: "0f0c8a1e6d3b4a589a0e3b1d8f1f2c11", MadeAt: made, Rotations: 3}, ownership.OfTunnel(secret))
}

func TestTheFirst32BytesOfATunnelSecretAreRandom(t *testing.T) {
	secret, err := ownership.NewTunnelSecret(self, 0, made, strings.NewReader("0123456789abcdef0123456789abcdef and more"))
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef0123456789abcdef", string(secret[:32]))

	_, err = ownership.NewTunnelSecret(self, 0, made, strings.NewReader("too little"))
	require.EqualError(t, err, "make a tunnel secret: unexpected EOF")
}

func TestAnObjectWithoutAUUIDGetsNoSecret(t *testing.T) {
	for _, uid := range []types.UID{"", "acme", "0f0c8a1e-6d3b-4a58-9a0e-3b1d8f1f2c1"} {
		_, err := ownership.NewTunnelSecret(uid, 0, made, rand.Reader)
		require.ErrorContains(t, err, "is not a UUID")
	}
}

func TestOtherSecretsSayNothing(t *testing.T) {
	ours, err := ownership.NewTunnelSecret(self, 0, made, rand.Reader)
	require.NoError(t, err)
	for name, secret := range map[string]cloudflare.Secret{
		"none":                nil,
		"of cloudflared":      bytes.Repeat([]byte{7}, 32),
		"of the same length":  bytes.Repeat([]byte{7}, 64),
		"ours cut":            ours[:63],
		"ours with something": append(bytes.Clone(ours), 0),
	} {
		require.Zero(t, ownership.OfTunnel(secret), name)
	}
}

func TestARecordsCommentSaysForWhomItWasMade(t *testing.T) {
	comment := cloudflare.MarkFor(string(self)).Comment("webhooks of ACME")
	require.Equal(t, ownership.Mark{Owner: "0f0c8a1e6d3b4a589a0e3b1d8f1f2c11"},
		ownership.OfRecord(cloudflare.Record{RecordSpec: cloudflare.RecordSpec{Comment: comment}}))
	require.Zero(t, ownership.OfRecord(cloudflare.Record{RecordSpec: cloudflare.RecordSpec{Comment: "webhooks of ACME"}}))
}

func TestJudge(t *testing.T) {
	markOf := func(uid types.UID) ownership.Mark {
		secret, err := ownership.NewTunnelSecret(uid, 0, made, rand.Reader)
		require.NoError(t, err)
		return ownership.OfTunnel(secret)
	}
	for name, c := range map[string]struct {
		mark  ownership.Mark
		named bool
		want  ownership.Verdict
	}{
		"with our mark it is ours, also if its id was never written down": {mark: markOf(self), want: ownership.Ours},
		"with our mark and by id it is ours":                              {mark: markOf(self), named: true, want: ownership.Ours},
		"with another's mark it is not ours":                              {mark: markOf(other), want: ownership.Marked},
		"with another's mark it is not ours, even by id":                  {mark: markOf(other), named: true, want: ownership.Marked},
		"without a mark the name alone proves nothing":                    {want: ownership.Unmarked},
		"without a mark the id is enough: it was imported":                {named: true, want: ownership.Ours},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, ownership.Judge(c.mark, self, c.named))
		})
	}
}

func FuzzOfTunnel(f *testing.F) {
	secret, err := ownership.NewTunnelSecret(self, 0, made, rand.Reader)
	require.NoError(f, err)
	f.Add([]byte(secret))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, secret []byte) {
		if m := ownership.OfTunnel(secret); m.Owner != "" {
			again, err := ownership.NewTunnelSecret(types.UID(m.Owner), m.Rotations, m.MadeAt, bytes.NewReader(secret))
			require.NoError(t, err)
			require.Equal(t, secret, []byte(again))
		}
	})
}
