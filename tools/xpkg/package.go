package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"
)

// The kinds of packages, as their metadata has them.
const (
	function      = "Function"
	provider      = "Provider"
	configuration = "Configuration"
)

// metadata is the crossplane.yaml of a package.
type metadata struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Capabilities []string     `json:"capabilities,omitempty"`
		Crossplane   *constraint  `json:"crossplane,omitempty"`
		DependsOn    []dependency `json:"dependsOn,omitempty"`
	} `json:"spec"`
}

type constraint struct {
	Version string `json:"version"`
}

type dependency struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Package    string `json:"package"`
	Version    string `json:"version"`
}

// What every package says.
const (
	// The functions rely on Crossplane to watch what they look up, which it does since then.
	crossplaneVersion = ">=v2.4.0-0"
	sourceURL         = "https://aphex.io/platform"
	license           = "Apache-2.0"
)

// readPackages reads the metadata of all packages, in the order of their files.
func readPackages(o options) ([]*metadata, error) {
	paths, err := filepath.Glob(filepath.Join(o.root, "package", "meta", "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no packages in %s", filepath.Join(o.root, "package", "meta"))
	}
	icon, err := os.ReadFile(filepath.Join(o.root, "package", "icon.svg"))
	if err != nil {
		return nil, err
	}
	var packages []*metadata
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m := &metadata{}
		if err := yaml.UnmarshalStrict(data, m); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if want := strings.TrimSuffix(filepath.Base(path), ".yaml"); m.Metadata.Name != want {
			return nil, fmt.Errorf("%s: metadata.name is %q; name the package as its file, %q", path, m.Metadata.Name, want)
		}
		m.describe(icon)
		packages = append(packages, m)
	}
	for _, m := range packages {
		if m.Kind == configuration {
			m.dependOn(packages, o)
		}
	}
	return packages, nil
}

// describe adds what all packages have in common.
func (m *metadata) describe(icon []byte) {
	for key, value := range map[string]string{
		"maintainer": "Aphex maintainers",
		"source":     sourceURL,
		"license":    license,
		"iconURI":    "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(icon),
	} {
		m.Metadata.Annotations["meta.crossplane.io/"+key] = value
	}
	m.Spec.Crossplane = &constraint{Version: crossplaneVersion}
}

// dependOn makes a configuration need every function and provider, at its own version.
func (m *metadata) dependOn(packages []*metadata, o options) {
	for _, p := range packages {
		if p.Kind == configuration {
			continue
		}
		m.Spec.DependsOn = append(m.Spec.DependsOn, dependency{
			APIVersion: "pkg.crossplane.io/v1", Kind: p.Kind, Package: o.source(p.Metadata.Name), Version: "=" + o.version,
		})
	}
}

// program is the main package of a function or provider, "" if the package runs nothing.
func (m *metadata) program() string {
	switch m.Kind {
	case function:
		return "./functions/" + strings.TrimPrefix(m.Metadata.Name, "function-")
	case provider:
		return "./" + m.Metadata.Name + "/cmd/provider"
	default:
		return ""
	}
}

// fileFor is how files for a platform begin.
func (m *metadata) fileFor(platform v1.Platform) string {
	return m.Metadata.Name + "-" + strings.ReplaceAll(platform.String(), "/", "-")
}

// objects are the files that a package installs, below the repository.
func (m *metadata) objects() []string {
	switch m.Kind {
	case provider:
		return []string{"package/crds/*.yaml"}
	case configuration:
		return []string{"apis/*/definition.yaml", "compositions/*.yaml", "package/activation.yaml"}
	default:
		return nil
	}
}

// installedName is the name of an installed package. Crossplane gives it to a package that it installs because another
// depends on it; whoever applies the package first, there is then only one. Nothing depends on a configuration.
func (m *metadata) installedName(o options) (string, error) {
	if m.Kind == configuration {
		return m.Metadata.Name, nil
	}
	tag, err := name.NewTag(o.reference(m.Metadata.Name), name.StrictValidation)
	if err != nil {
		return "", err
	}
	label := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case r == '.', r == '/', r == '-':
			return '-'
		default:
			return -1
		}
	}, tag.RepositoryStr()), "-")
	if len(label) > 63 {
		return "", fmt.Errorf("-registry: a package in %s would be called %s, which is longer than 63 characters; use a shorter path", o.registry, label)
	}
	return label, nil
}

// writeFolder writes a package as Crossplane's tool reads it.
func (m *metadata) writeFolder(o options, dir string, names map[string]string) error {
	meta, err := yaml.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "crossplane.yaml"), meta, 0o644); err != nil {
		return err
	}
	for _, pattern := range m.objects() {
		paths, err := filepath.Glob(filepath.Join(o.root, pattern))
		if err != nil {
			return err
		}
		if len(paths) == 0 {
			return fmt.Errorf("package %s: nothing matches %s", m.Metadata.Name, pattern)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			below, err := filepath.Rel(o.root, path)
			if err != nil {
				return err
			}
			data, err = callInstalled(data, names)
			if err != nil {
				return fmt.Errorf("%s: %w", below, err)
			}
			// One folder, since files of one name in several would do the same.
			if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(below, string(filepath.Separator), "-")), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
