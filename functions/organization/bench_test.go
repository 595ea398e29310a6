package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/functions/internal/object"
)

// BenchmarkCompose is a run on a complete organization: what every event in the cluster costs.
func BenchmarkCompose(b *testing.B) {
	xr := organization()
	w := settled(b, xr)
	composed := make(map[string]object.Object, len(w.composed))
	for key, o := range w.composed {
		composed[key] = wrap(b, o)
	}
	id := object.Identity{Kind: "Organization", Namespace: "platform-system", Name: "acme-corp", XR: "acme-corp-x7k2p", UID: testUID}
	required := map[string][]object.Object{}
	run := func() (*object.Desired, bool) {
		seen := object.NewObserved(id, composed, required, bytes.NewReader(make([]byte, 32)))
		d, err := Compose(xr, seen)
		require.NoError(b, err)
		for key, s := range seen.Lookups() {
			if _, ok := required[key]; !ok {
				required[key] = w.find(b, s)
			}
		}
		return d, seen.Pending()
	}
	for pending := true; pending; {
		_, pending = run()
	}
	for b.Loop() {
		d, _ := run()
		require.True(b, d.Ready)
	}
}
