package main

import (
	"testing"
	"time"
)

func TestKeyChangesWithEverythingThatDecidesTheBuildAndNothingElse(t *testing.T) {
	plain := toolchain{GOVERSION: "go1.26.8", GOHOSTOS: "linux", GOHOSTARCH: "amd64", GOAMD64: "v1"}
	cases := map[string]struct {
		change func(root string, g *group, tool *toolchain)
		same   bool
	}{
		"nothing":           {change: func(string, *group, *toolchain) {}, same: true},
		"the expected time": {change: func(_ string, g *group, _ *toolchain) { g.about = time.Hour }, same: true},
		"a test file": {change: func(root string, _ *group, _ *toolchain) {
			write(t, root, "tools/fake/cmd/hello/main_test.go", "package main\n")
		}, same: true},
		"a hidden file": {change: func(root string, _ *group, _ *toolchain) {
			write(t, root, "tools/fake/.swp", "x")
		}, same: true},
		"go.mod": {change: func(root string, _ *group, _ *toolchain) {
			write(t, root, "tools/fake/go.mod", fakeMod+"\n")
		}},
		"go.sum": {change: func(root string, _ *group, _ *toolchain) {
			write(t, root, "tools/fake/go.sum", "example.org/far v1.0.0 h1:x=\n")
		}},
		"a source": {change: func(root string, _ *group, _ *toolchain) {
			write(t, root, "tools/fake/cmd/hello/main.go", helloMain+"\n")
		}},
		"a moved source": {change: func(root string, _ *group, _ *toolchain) {
			write(t, root, "tools/fake/cmd/third/main.go", helloMain)
		}},
		"the name of a binary": {change: func(_ string, g *group, _ *toolchain) {
			g.binaries = []binary{{"hallo", "example.org/fake/cmd/hello"}, g.binaries[1]}
		}},
		"the package of a binary": {change: func(_ string, g *group, _ *toolchain) {
			g.binaries = []binary{{"hello", "example.org/fake/cmd/third"}, g.binaries[1]}
		}},
		"a stamped version": {change: func(root string, g *group, _ *toolchain) {
			g.stamps = []stamp{{"main.version", "example.org/far", whole}}
			write(t, root, "tools/fake/go.mod", fakeMod+"require example.org/far v1.0.0\n")
		}},
		"the Go version":   {change: func(_ string, _ *group, tool *toolchain) { tool.GOVERSION = "go1.26.9" }},
		"the system":       {change: func(_ string, _ *group, tool *toolchain) { tool.GOHOSTOS = "darwin" }},
		"the architecture": {change: func(_ string, _ *group, tool *toolchain) { tool.GOHOSTARCH = "arm64" }},
		"the processor":    {change: func(_ string, _ *group, tool *toolchain) { tool.GOAMD64 = "v3" }},
	}
	before := keyOf(t, clone(t), fake, plain)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			root, g, tool := clone(t), fake, plain
			c.change(root, &g, &tool)
			if after := keyOf(t, root, g, tool); (after == before) != c.same {
				t.Fatalf("key before %s, after %s; want the same: %t", before, after, c.same)
			}
		})
	}
}

func keyOf(t *testing.T, root string, g group, tool toolchain) string {
	t.Helper()
	k, err := key(g, root+"/tools/fake", tool)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestStampsTakeTheirVersionFromThePins(t *testing.T) {
	goMod := []byte("module m\n\nrequire example.org/one v1.2.3\n\nrequire (\n\texample.org/two/v2 v2.30.4 // indirect\n)\n")
	g := group{name: "g", stamps: []stamp{
		{"a.version", "example.org/one", whole},
		{"b.major", "example.org/two/v2", major},
		{"b.minor", "example.org/two/v2", minor},
	}}
	got, err := g.ldflags(goMod)
	if want := "-s -w -X a.version=v1.2.3 -X b.major=2 -X b.minor=30"; err != nil || got != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}

	g.stamps = []stamp{{"c.version", "example.org/three", whole}}
	_, err = g.ldflags(goMod)
	if want := "tools/g/go.mod does not pin example.org/three, whose version is stamped into the binaries; require it there"; err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

func TestOutputIsTheNameThatGoBuildGives(t *testing.T) {
	for pkg, want := range map[string]string{
		"go.etcd.io/etcd/server/v3":         "server",
		"k8s.io/kubernetes/cmd/kubectl":     "kubectl",
		"github.com/hashicorp/terraform":    "terraform",
		"example.org/cli/v2/cmd/crossplane": "crossplane",
	} {
		if got := (binary{pkg: pkg}).output(); got != want {
			t.Errorf("%s: got %q, want %q", pkg, got, want)
		}
	}
}

func TestDurationsReadAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		40 * time.Millisecond:  "0.0s",
		340 * time.Millisecond: "0.3s",
		42 * time.Second:       "42s",
		310 * time.Second:      "5m10s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v): got %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{20 * time.Second: "20 s", 90 * time.Second: "90 s", 8 * time.Minute: "8 min"} {
		if got := about(d); got != want {
			t.Errorf("about(%v): got %q, want %q", d, got, want)
		}
	}
}
