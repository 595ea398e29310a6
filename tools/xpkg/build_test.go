package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// root is the repository.
var root, _ = filepath.Abs("../..")

// testOptions are for the platform of this machine, whose compiled packages other builds share.
func testOptions(t *testing.T, root, out string) options {
	t.Helper()
	o, err := parse([]string{"-root", root, "-out", out, "-registry", "registry.example.com/some/org", "-version", "v1.2.3", "-platforms", "linux/" + runtime.GOARCH})
	require.NoError(t, err)
	return o
}

func namesOf(t *testing.T, o options, packages []*metadata) map[string]string {
	t.Helper()
	names := map[string]string{}
	for _, m := range packages {
		var err error
		names[m.Metadata.Name], err = m.installedName(o)
		require.NoError(t, err)
	}
	return names
}

var (
	once  sync.Once
	first []builtPackage
	where string
)

func TestMain(m *testing.M) {
	code := m.Run()
	if where != "" {
		_ = os.RemoveAll(where) // a temporary folder
	}
	os.Exit(code)
}

// packages are all packages, built once for all tests.
func packages(t *testing.T) []builtPackage {
	t.Helper()
	once.Do(func() {
		var err error
		where, err = os.MkdirTemp("", "aphex-xpkg-")
		require.NoError(t, err)
		o := testOptions(t, root, where)
		o.bills = true
		first, err = build(t.Context(), o)
		require.NoError(t, err)
		require.NoError(t, writeManifests(o, first))
	})
	require.NotEmpty(t, first, "the packages were not built; an earlier test says why")
	return first
}

// The second build takes compiled packages from the same cache of Go as the first, and compiles only what differs: it shows that
// neither the place, the times nor the linker get into what is built. That the compiler gives the same twice is Go's promise.
// linkCrossplane gives another folder the tool that packs.
func linkCrossplane(t *testing.T, folder string) {
	t.Helper()
	bin := filepath.Join(folder, ".cache", "bin")
	require.NoError(t, os.MkdirAll(bin, 0o755))
	require.NoError(t, os.Symlink(filepath.Join(root, ".cache", "bin", "crossplane"), filepath.Join(bin, "crossplane")))
}

func TestTheSameCommitGivesTheSameDigests(t *testing.T) {
	want := packages(t)

	// Another folder with other times, as in another clone.
	clone := t.TempDir()
	files, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard").Output()
	require.NoError(t, err)
	for file := range strings.Lines(string(files)) {
		from, to := filepath.Join(root, strings.TrimSpace(file)), filepath.Join(clone, strings.TrimSpace(file))
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		require.NoError(t, os.WriteFile(to, data, 0o600))
	}
	linkCrossplane(t, clone)

	// All that it is made of was fetched for the first.
	t.Setenv("GOPROXY", "off")
	out := t.TempDir()
	got, err := build(t.Context(), testOptions(t, clone, out))
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].digest, got[i].digest, want[i].name)
		for j, f := range want[i].files {
			a, err := os.ReadFile(f.path)
			require.NoError(t, err)
			b, err := os.ReadFile(got[i].files[j].path)
			require.NoError(t, err)
			require.True(t, bytes.Equal(a, b), "%s differs", filepath.Base(f.path))
		}
	}
}

// contents are the documents of a package, as Crossplane reads them.
func contents(t *testing.T, f builtFile) []map[string]any {
	t.Helper()
	image, err := pushedImage(f.path)
	require.NoError(t, err)
	manifest, err := image.Manifest()
	require.NoError(t, err)
	var base []v1.Hash
	for _, layer := range manifest.Layers {
		if layer.Annotations["io.crossplane.xpkg"] == "base" {
			base = append(base, layer.Digest)
		}
	}
	require.Len(t, base, 1, "Crossplane reads exactly one layer")
	layer, err := image.LayerByDigest(base[0])
	require.NoError(t, err)
	files := filesOf(t, layer)
	require.Equal(t, []string{"package.yaml"}, slices.Collect(maps.Keys(files)))
	return decode(t, files["package.yaml"])
}

func filesOf(t *testing.T, layer v1.Layer) map[string][]byte {
	t.Helper()
	r, err := layer.Uncompressed()
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	files := map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		data, err := io.ReadAll(archive)
		require.NoError(t, err)
		files[header.Name] = data
	}
}

// decode reads documents and leaves out what only says that something is empty.
func decode(t *testing.T, data []byte) []map[string]any {
	t.Helper()
	var objects []map[string]any
	for document := range strings.SplitSeq("\n"+string(data), "\n---") {
		var object map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(document), &object))
		if len(object) == 0 {
			continue
		}
		delete(object, "status")
		if m, ok := object["metadata"].(map[string]any); ok && m["creationTimestamp"] == nil {
			delete(m, "creationTimestamp")
		}
		objects = append(objects, object)
	}
	return objects
}

func TestContents(t *testing.T) {
	o := testOptions(t, root, where)
	for _, p := range packages(t) {
		for _, f := range p.files {
			t.Run(p.name, func(t *testing.T) {
				objects := contents(t, f)
				meta := objects[0]
				require.Equal(t, "meta.pkg.crossplane.io/v1", meta["apiVersion"])
				require.Equal(t, p.kind, meta["kind"])
				annotations := meta["metadata"].(map[string]any)["annotations"].(map[string]any)
				for _, key := range []string{"description", "readme", "source", "license", "maintainer", "iconURI"} {
					require.NotEmpty(t, annotations["meta.crossplane.io/"+key], key)
				}
				spec := meta["spec"].(map[string]any)
				require.Equal(t, map[string]any{"version": ">=v2.4.0-0"}, spec["crossplane"])

				var want []string
				switch p.kind {
				case "Function":
					require.Equal(t, []any{"composition"}, spec["capabilities"])
				case "Provider":
					require.Equal(t, []any{"safe-start"}, spec["capabilities"])
					want = []string{"package/crds/*.yaml"}
				case "Configuration":
					require.ElementsMatch(t, []any{
						need("Function", "function-knowledgebase"), need("Function", "function-organization"),
						need("Function", "function-platform"), need("Function", "function-repobinding"),
						need("Provider", "provider-cloudflare-tunnel"),
					}, spec["dependsOn"])
					want = []string{"apis/*/definition.yaml", "compositions/*.yaml", "package/activation.yaml"}
				}
				require.ElementsMatch(t, sources(t, want), withoutInstalledNames(objects[1:]))
			})
			t.Run("Crossplane's tool reads the same from "+p.name, func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "out.gz")
				require.NoError(t, crossplane(t.Context(), o, t.TempDir(), "xpkg", "extract", "--from-xpkg", f.path, "--output="+out))
				file, err := os.Open(out)
				require.NoError(t, err)
				defer func() { require.NoError(t, file.Close()) }()
				r, err := gzip.NewReader(file)
				require.NoError(t, err)
				data, err := io.ReadAll(r)
				require.NoError(t, err)
				require.Equal(t, contents(t, f), decode(t, data))
			})
		}
	}
}

func need(kind, name string) map[string]any {
	return map[string]any{
		"apiVersion": "pkg.crossplane.io/v1", "kind": kind, "package": "registry.example.com/some/org/" + name, "version": "=v1.2.3",
	}
}

// sources are the objects of files in the repository.
func sources(t *testing.T, patterns []string) []map[string]any {
	t.Helper()
	objects := []map[string]any{}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths, pattern)
		for _, path := range paths {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			objects = append(objects, decode(t, data)...)
		}
	}
	return objects
}

// withoutInstalledNames undoes the one thing in which a package differs from the sources.
func withoutInstalledNames(objects []map[string]any) []map[string]any {
	for _, object := range objects {
		if object["kind"] != "Composition" {
			continue
		}
		for _, step := range object["spec"].(map[string]any)["pipeline"].([]any) {
			ref := step.(map[string]any)["functionRef"].(map[string]any)
			ref["name"] = strings.TrimPrefix(ref["name"].(string), "some-org-")
		}
	}
	return objects
}

func TestBills(t *testing.T) {
	for _, p := range packages(t) {
		if p.kind == configuration {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			data, err := os.ReadFile(strings.TrimSuffix(p.files[0].path, ".xpkg") + ".cdx.json")
			require.NoError(t, err)
			var bill struct {
				Metadata struct {
					Component struct{ Name, Version string }
				}
				Components []struct{ Name, Version string }
			}
			require.NoError(t, yaml.Unmarshal(data, &bill))
			require.Equal(t, "aphex.io/platform", bill.Metadata.Component.Name)
			require.Equal(t, "v1.2.3", bill.Metadata.Component.Version)

			// What the program itself says.
			image, err := pushedImage(p.files[0].path)
			require.NoError(t, err)
			layers, err := image.Layers()
			require.NoError(t, err)
			info, err := buildinfo.Read(bytes.NewReader(filesOf(t, layers[0])[p.name]))
			require.NoError(t, err)
			want := []string{"std " + info.GoVersion}
			for _, m := range info.Deps {
				want = append(want, m.Path+" "+m.Version)
			}
			var have []string
			for _, c := range bill.Components {
				have = append(have, c.Name+" "+c.Version)
			}
			require.ElementsMatch(t, want, have)
		})
	}
}

func TestManifests(t *testing.T) {
	built := packages(t)
	data, err := os.ReadFile(filepath.Join(where, "install.yaml"))
	require.NoError(t, err)
	objects := decode(t, data)

	t.Run("the rights, the policies and how packages run come first, as they are", func(t *testing.T) {
		want := slices.Concat(sources(t, []string{"package/rbac.yaml"}), sources(t, []string{"package/policies.yaml"}), sources(t, []string{"package/runtime.yaml"}))
		require.Equal(t, want, objects[:len(want)])
	})
	t.Run("every package is installed in this version", func(t *testing.T) {
		got := map[string]string{}
		for _, object := range objects[len(objects)-len(built):] {
			require.Equal(t, "pkg.crossplane.io/v1", object["apiVersion"])
			require.Equal(t, map[string]any{"app.kubernetes.io/part-of": "aphex"}, object["metadata"].(map[string]any)["labels"])
			name := object["kind"].(string) + " " + object["metadata"].(map[string]any)["name"].(string)
			got[name] = object["spec"].(map[string]any)["package"].(string)
		}
		const registry = "registry.example.com/some/org/"
		require.Equal(t, map[string]string{
			"Configuration aphex":                          registry + "aphex:v1.2.3",
			"Function some-org-function-knowledgebase":     registry + "function-knowledgebase:v1.2.3",
			"Function some-org-function-organization":      registry + "function-organization:v1.2.3",
			"Function some-org-function-platform":          registry + "function-platform:v1.2.3",
			"Function some-org-function-repobinding":       registry + "function-repobinding:v1.2.3",
			"Provider some-org-provider-cloudflare-tunnel": registry + "provider-cloudflare-tunnel:v1.2.3",
		}, got)
	})
	t.Run("every function and provider names how it runs", func(t *testing.T) {
		for _, object := range objects[len(objects)-len(built):] {
			ref, runs := object["spec"].(map[string]any)["runtimeConfigRef"].(map[string]any)
			require.Equal(t, object["kind"] != "Configuration", runs)
			require.True(t, !runs || slices.ContainsFunc(objects, func(o map[string]any) bool {
				return o["kind"] == "DeploymentRuntimeConfig" && o["metadata"].(map[string]any)["name"] == ref["name"]
			}), "no DeploymentRuntimeConfig %v", ref["name"])
		}
	})
	t.Run("the Compositions call the functions by these names", func(t *testing.T) {
		for _, p := range built {
			if p.kind != "Configuration" {
				continue
			}
			for _, object := range contents(t, p.files[0]) {
				if object["kind"] != "Composition" {
					continue
				}
				step := object["spec"].(map[string]any)["pipeline"].([]any)[0].(map[string]any)
				name := step["functionRef"].(map[string]any)["name"]
				require.True(t, slices.ContainsFunc(objects, func(o map[string]any) bool {
					return o["kind"] == "Function" && o["metadata"].(map[string]any)["name"] == name
				}), "no Function %s", name)
			}
		}
	})
	t.Run("the settings are those of the repository, so that they may stay through upgrades", func(t *testing.T) {
		want, err := os.ReadFile(filepath.Join(root, "package", "configure.yaml"))
		require.NoError(t, err)
		have, err := os.ReadFile(filepath.Join(where, "configure.yaml"))
		require.NoError(t, err)
		require.Equal(t, string(want), string(have))
	})
	t.Run("the PodMonitors name what is installed", func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join(where, "pod-monitors.yaml"))
		require.NoError(t, err)
		require.ElementsMatch(t, installed(built), monitored(t, data))
	})
	t.Run("the digests are those of the packages", func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join(where, "digests.txt"))
		require.NoError(t, err)
		have := map[string]string{}
		for line := range strings.Lines(string(data)) {
			digest, source, ok := strings.Cut(strings.TrimSpace(line), "  ")
			require.True(t, ok, line)
			have[source] = "sha256:" + digest
		}
		want := map[string]string{}
		for _, p := range built {
			want["registry.example.com/some/org/"+p.name] = p.digest.String()
		}
		require.Equal(t, want, have)
	})
	t.Run("each image is listed with its own bill of materials", func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join(where, "images.txt"))
		require.NoError(t, err)
		have := map[string]string{}
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			require.Len(t, fields, 3, line)
			require.FileExists(t, filepath.Join(where, fields[2]))
			have[fields[1]+"@sha256:"+fields[0]] = fields[2]
		}
		want := map[string]string{}
		for _, p := range programs(t) {
			for _, f := range p.files {
				want["registry.example.com/some/org/"+p.name+"@"+f.digest.String()] = p.name + "-linux-" + runtime.GOARCH + ".cdx.json"
			}
		}
		require.Equal(t, want, have)
	})
	t.Run("what a platform team edits is not applied again", func(t *testing.T) {
		for _, object := range objects {
			require.NotContains(t, []any{"EnvironmentConfig", "ClusterProviderConfig", "Secret"}, object["kind"])
		}
	})
}

// installed are the names of the packages that run.
func installed(packages []builtPackage) []string {
	var names []string
	for _, p := range packages {
		if p.kind != configuration {
			names = append(names, p.installed)
		}
	}
	return names
}

// monitored are the names of packages that PodMonitors select.
func monitored(t *testing.T, manifest []byte) []string {
	t.Helper()
	var names []string
	for _, object := range decode(t, manifest) {
		var monitor struct {
			Spec struct {
				Selector struct {
					MatchLabels      map[string]string
					MatchExpressions []struct{ Values []string }
				}
			}
		}
		data, err := yaml.Marshal(object)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(data, &monitor))
		for _, e := range monitor.Spec.Selector.MatchExpressions {
			names = append(names, e.Values...)
		}
		if name := monitor.Spec.Selector.MatchLabels["pkg.crossplane.io/provider"]; name != "" {
			names = append(names, name)
		}
	}
	return names
}

func TestPodMonitorsNameWhatIsInstalledFromAnyRegistry(t *testing.T) {
	for registry, prefix := range map[string]string{
		"registry.example.com/aphex": "aphex-",
		"ghcr.io/acme/aphex":         "acme-aphex-",
		"ghcr.io/acme/team/aphex":    "acme-team-aphex-",
		"registry.example.com/x":     "x-",
	} {
		t.Run(registry, func(t *testing.T) {
			o, err := parse([]string{"-root", root, "-registry", registry})
			require.NoError(t, err)
			described, err := readPackages(o)
			require.NoError(t, err)
			var all []builtPackage
			var want []string
			for _, m := range described {
				name, err := m.installedName(o)
				require.NoError(t, err)
				all = append(all, builtPackage{name: m.Metadata.Name, kind: m.Kind, installed: name})
				if m.Kind != configuration {
					want = append(want, prefix+m.Metadata.Name)
				}
			}
			data, err := monitorsManifest(o, all)
			require.NoError(t, err)
			require.ElementsMatch(t, want, monitored(t, data))
		})
	}
}

func TestExamples(t *testing.T) {
	o, err := parse([]string{"-root", root})
	require.NoError(t, err)
	described, err := readPackages(o)
	require.NoError(t, err)
	var all []builtPackage
	var names []string
	for _, m := range described {
		all = append(all, builtPackage{name: m.Metadata.Name, kind: m.Kind})
		if m.Kind == function {
			names = append(names, m.Metadata.Name)
		}
	}
	t.Run("the functions with Docker are those of a build with the defaults", func(t *testing.T) {
		want, err := functionsManifest(o, all)
		require.NoError(t, err)
		have, err := os.ReadFile(filepath.Join(root, "examples", "functions.yaml"))
		require.NoError(t, err)
		require.Equal(t, string(want), string(have))
	})
	t.Run("the functions as processes are the same ones, each at its own port of this machine", func(t *testing.T) {
		var have []string
		ports := map[string]bool{}
		for _, object := range sources(t, []string{"examples/functions-local.yaml"}) {
			metadata := object["metadata"].(map[string]any)
			have = append(have, metadata["name"].(string))
			annotations := metadata["annotations"].(map[string]any)
			require.Equal(t, "Development", annotations["render.crossplane.io/runtime"])
			host, port, err := net.SplitHostPort(annotations["render.crossplane.io/runtime-development-target"].(string))
			require.NoError(t, err)
			require.Equal(t, "127.0.0.1", host)
			require.False(t, ports[port], "two functions at port %s", port)
			ports[port] = true
		}
		require.ElementsMatch(t, names, have)
	})
}
