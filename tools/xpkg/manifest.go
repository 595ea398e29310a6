package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// The manifests of an installation. install.yaml is applied again to upgrade, so it holds nothing that a platform team edits;
// that is in configure.yaml.
const (
	installFile   = "install.yaml"
	configureFile = "configure.yaml"
	// functionsFile is for people who render without a cluster.
	functionsFile = "functions.yaml"
	// monitorsFile is for those who run Prometheus with its operator.
	monitorsFile = "pod-monitors.yaml"
	// digestsFile is for who signs, imagesFile for who attests what is in which image.
	digestsFile = "digests.txt"
	imagesFile  = "images.txt"
)

// installedPackage is the object that makes Crossplane install a package.
type installedPackage struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels,omitempty"`
	} `json:"metadata"`
	Spec struct {
		Package          string            `json:"package"`
		RuntimeConfigRef *runtimeConfigRef `json:"runtimeConfigRef,omitempty"`
	} `json:"spec"`
}

type runtimeConfigRef struct {
	Name string `json:"name"`
}

// runtimeConfigs are the objects of package/runtime.yaml that say how packages of a kind run.
var runtimeConfigs = map[string]*runtimeConfigRef{function: {"aphex-function"}, provider: {"aphex-provider"}}

func writeManifests(o options, packages []builtPackage) error {
	for _, m := range []struct {
		file string
		make func(options, []builtPackage) ([]byte, error)
	}{
		{installFile, installManifest},
		{configureFile, configureManifest},
		{functionsFile, functionsManifest},
		{monitorsFile, monitorsManifest},
		{digestsFile, digests},
		{imagesFile, images},
	} {
		data, err := m.make(o, packages)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(o.out, m.file), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// configureManifest is the same in every version, since an upgrade leaves it as a platform team has it.
func configureManifest(o options, _ []builtPackage) ([]byte, error) {
	return os.ReadFile(filepath.Join(o.root, "package", configureFile))
}

// installManifest says what Crossplane may do before it makes Crossplane do something. Functions and the provider are in it,
// although the configuration depends on them: Crossplane installs what is missing, but leaves alone what is old.
func installManifest(o options, packages []builtPackage) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Aphex %s: what Crossplane may do for it, its admission policies, and its packages with how they run. Apply it again to upgrade.\n", o.version)
	for _, path := range []string{"package/rbac.yaml", "package/policies.yaml", "package/runtime.yaml"} {
		data, err := os.ReadFile(filepath.Join(o.root, path))
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(data)
	}
	for _, p := range packages {
		out.WriteString("---\n")
		object := newPackage(p.kind, p.installed, o.reference(p.name))
		// By the label, the policy on removal knows them.
		object.Metadata.Labels = map[string]string{"app.kubernetes.io/part-of": "aphex"}
		object.Spec.RuntimeConfigRef = runtimeConfigs[p.kind]
		if err := object.write(&out); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// functionsManifest has the names by which the Compositions of the repository call the functions.
func functionsManifest(o options, packages []builtPackage) ([]byte, error) {
	var out bytes.Buffer
	// Crossplane's tool takes a document of comments alone for a function, so the first one has no line above it.
	separator := "# The functions for `crossplane composition render`, which runs them out of their published images with Docker.\n"
	for _, p := range packages {
		if p.kind != function {
			continue
		}
		out.WriteString(separator)
		separator = "---\n"
		if err := newPackage(p.kind, p.name, o.reference(p.name)).write(&out); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// monitorsManifest finds pods by the names that their packages have once they are installed from this registry. Those of the
// repository are of one whose whole path is aphex.
func monitorsManifest(o options, packages []builtPackage) ([]byte, error) {
	path := filepath.Join(o.root, "package", "observability", monitorsFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		if p.kind == configuration {
			continue
		}
		name := []byte("aphex-" + p.name)
		if !bytes.Contains(data, name) {
			return nil, fmt.Errorf("%s does not name %s; add it, so that its metrics are read", path, name)
		}
		data = bytes.ReplaceAll(data, name, []byte(p.installed))
	}
	return data, nil
}

// digests lists the packages in the format of sha256sum, with their repositories in place of file names.
func digests(o options, packages []builtPackage) ([]byte, error) {
	var out bytes.Buffer
	for _, p := range packages {
		fmt.Fprintf(&out, "%s  %s\n", p.digest.Hex, o.source(p.name))
	}
	return out.Bytes(), nil
}

// images lists the images that have a program, each for one platform: its digest, its repository, and the file that is its bill
// of materials if there are bills.
func images(o options, packages []builtPackage) ([]byte, error) {
	var out bytes.Buffer
	for _, p := range packages {
		for _, f := range p.files {
			if p.kind != configuration {
				fmt.Fprintf(&out, "%s  %s  %s\n", f.digest.Hex, o.source(p.name), filepath.Base(f.bill()))
			}
		}
	}
	return out.Bytes(), nil
}

func newPackage(kind, name, reference string) installedPackage {
	object := installedPackage{APIVersion: "pkg.crossplane.io/v1", Kind: kind}
	object.Metadata.Name = name
	object.Spec.Package = reference
	return object
}

func (p installedPackage) write(out *bytes.Buffer) error {
	data, err := yaml.Marshal(p)
	out.Write(data)
	return err
}
