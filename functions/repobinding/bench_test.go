package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/functions/internal/object"
)

// BenchmarkCompose is a run of a binding that is ready, which is what most runs are.
func BenchmarkCompose(b *testing.B) {
	c := newCluster(b)
	require.True(b, c.settle(binding()).Ready)
	xr := binding()
	id := object.Identity{Kind: "RepoBinding", Name: "my-app", Namespace: "platform-system", XR: "my-app-4m9qd", UID: "the-binding"}
	required := map[string][]object.Object{}
	for range 3 {
		seen := object.NewObserved(id, c.composed, required, nil)
		_, err := Compose(xr, seen)
		require.NoError(b, err)
		for key, s := range seen.Lookups() {
			required[key] = c.answer(s)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compose(xr, object.NewObserved(id, c.composed, required, nil)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParsePipeline is what a run costs more when its pipelineSpec is new.
func BenchmarkParsePipeline(b *testing.B) {
	for _, tasks := range []int{1, 20, maxItems} {
		spec := header + "spec:\n  params: [{name: git-url}]\n  tasks:\n"
		for i := range tasks {
			spec += fmt.Sprintf("    - {name: t%d, taskRef: {name: a}, params: [{name: url, value: $(params.git-url)}]}\n", i)
		}
		b.Run(fmt.Sprint(tasks, " tasks"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, problems := parsePipeline(spec); problems != nil {
					b.Fatal(problems)
				}
			}
		})
	}
}
