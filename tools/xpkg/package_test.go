package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"the defaults hold":               {},
		"a release candidate":             {args: []string{"-version", "v1.2.3-rc.1"}},
		"a registry on this machine":      {args: []string{"-registry", "127.0.0.1:5000/aphex"}},
		"a version needs its v":           {args: []string{"-version", "1.2.3"}, want: `"1.2.3" is not a semantic version`},
		"a tag has no build metadata":     {args: []string{"-version", "v1.2.3+4"}, want: "is not a semantic version"},
		"Crossplane wants a dot":          {args: []string{"-registry", "localhost:5000/aphex"}, want: "has no dot"},
		"a registry is no URL":            {args: []string{"-registry", "https://example.com/aphex"}, want: "-registry:"},
		"a platform has an architecture":  {args: []string{"-platforms", "linux"}, want: `"linux" is not a platform`},
		"an argument that is not a flag":  {args: []string{"v1.2.3"}, want: `unexpected argument "v1.2.3"`},
		"one bad platform among good one": {args: []string{"-platforms", "linux/amd64,"}, want: `"" is not a platform`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(c.args)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestAnotherGoReleaseIsTold(t *testing.T) {
	for name, c := range map[string]struct{ toolchain, want string }{
		"the one that go.mod names": {toolchain: "toolchain " + runtime.Version()},
		"another release":           {"toolchain go1.26rc1", "built by " + runtime.Version() + " and not go1.26rc1"},
		"go.mod names none":         {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/a\n\ngo 1.26rc1\n\n"+c.toolchain+"\n"), 0o600))
			got, err := otherGo(t.Context(), options{root: dir})
			require.NoError(t, err)
			if c.want == "" {
				require.Empty(t, got)
				return
			}
			require.Contains(t, got, c.want)
		})
	}
}

func TestInstalledName(t *testing.T) {
	for name, c := range map[string]struct{ registry, want, err string }{
		"the path, without the host":   {registry: "registry.example.com/aphex", want: "aphex-function-organization"},
		"each part of a longer path":   {registry: "registry.example.com/some/org", want: "some-org-function-organization"},
		"neither port nor underscores": {registry: "127.0.0.1:5000/my_org", want: "myorg-function-organization"},
		"no path at all":               {registry: "registry.example.com", want: "function-organization"},
		"a name that Kubernetes refuses": {
			registry: "registry.example.com/a-path-that-goes-on/and-on-until/nobody-can-type-it",
			err:      "longer than 63 characters",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &metadata{Kind: function}
			m.Metadata.Name = "function-organization"
			got, err := m.installedName(options{registry: c.registry, version: "v1.0.0"})
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestCallInstalled(t *testing.T) {
	names := map[string]string{"function-a": "org-function-a"}
	for name, c := range map[string]struct{ data, want, err string }{
		"a Composition calls what is installed": {
			data: "kind: Composition\nspec:\n  pipeline:\n  - {step: a, functionRef: {name: function-a}}\n",
			want: "kind: Composition\nspec:\n  pipeline:\n  - {step: a, functionRef: {name: org-function-a}}\n",
		},
		"another kind is left as it is": {
			data: "kind: Other # function-a\n",
			want: "kind: Other # function-a\n",
		},
		"a function that is not packaged": {
			data: "kind: Composition\nspec:\n  pipeline:\n  - {step: b, functionRef: {name: function-b}}\n",
			err:  `step b calls function "function-b", which is no package`,
		},
		"a Composition without steps": {data: "kind: Composition\n", err: "without spec.pipeline"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := callInstalled([]byte(c.data), names)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.YAMLEq(t, c.want, string(got))
		})
	}
}

func TestEveryProgramIsPackaged(t *testing.T) {
	o := testOptions(t, root, t.TempDir())
	packages, err := readPackages(o)
	require.NoError(t, err)
	var packaged []string
	for _, m := range packages {
		if m.program() != "" {
			packaged = append(packaged, filepath.Join(root, m.program()))
		}
	}
	functions, err := filepath.Glob(filepath.Join(root, "functions", "*", "main.go"))
	require.NoError(t, err)
	providers, err := filepath.Glob(filepath.Join(root, "provider-*", "cmd", "provider", "main.go"))
	require.NoError(t, err)
	var programs []string
	for _, path := range append(functions, providers...) {
		programs = append(programs, filepath.Dir(path))
	}
	require.ElementsMatch(t, programs, packaged)
}

func TestLinter(t *testing.T) {
	o := testOptions(t, root, t.TempDir())
	packages, err := readPackages(o)
	require.NoError(t, err)
	for _, m := range packages {
		t.Run(m.Metadata.Name+" may not carry a ConfigMap", func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, m.writeFolder(o, dir, namesOf(t, o, packages)))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "more.yaml"), []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), 0o600))
			err := crossplane(t.Context(), o, t.TempDir(), "xpkg", "build", "--package-root="+dir, "--package-file="+filepath.Join(t.TempDir(), "a.xpkg"))
			require.ErrorContains(t, err, "ConfigMap")
		})
	}
}
