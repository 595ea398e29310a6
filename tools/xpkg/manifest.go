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
)

// installedPackage is the object that makes Crossplane install a package.
type installedPackage struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
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
	install, err := installManifest(o, packages)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.out, installFile), install, 0o644); err != nil {
		return err
	}
	configure, err := os.ReadFile(filepath.Join(o.root, "package", configureFile))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.out, configureFile), configure, 0o644)
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
		object := installedPackage{APIVersion: "pkg.crossplane.io/v1", Kind: p.kind}
		object.Metadata.Name = p.installed
		object.Spec.Package = o.reference(p.name)
		object.Spec.RuntimeConfigRef = runtimeConfigs[p.kind]
		data, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(data)
	}
	return out.Bytes(), nil
}
