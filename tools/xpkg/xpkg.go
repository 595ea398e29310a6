package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// A built package is one file for each platform, or a single one if it runs nothing.
type builtPackage struct {
	name, kind string
	// installed is the name of the installed package.
	installed string
	files     []builtFile
	// digest is what the registry will call the package once it is pushed.
	digest v1.Hash
}

type builtFile struct {
	path, platform string
	digest         v1.Hash
	// size is what a node downloads, in bytes.
	size int64
}

// bill is the bill of materials of the program in the file, where there are bills.
func (f builtFile) bill() string { return strings.TrimSuffix(f.path, ".xpkg") + billSuffix }

func build(ctx context.Context, o options) ([]builtPackage, error) {
	packages, err := readPackages(o)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, m := range packages {
		if names[m.Metadata.Name], err = m.installedName(o); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	var built []builtPackage
	for _, m := range packages {
		p, err := buildPackage(ctx, o, m, names)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", m.Metadata.Name, err)
		}
		built = append(built, p)
	}
	return built, nil
}

func buildPackage(ctx context.Context, o options, m *metadata, names map[string]string) (builtPackage, error) {
	p := builtPackage{name: m.Metadata.Name, kind: m.Kind, installed: names[m.Metadata.Name]}
	work, err := os.MkdirTemp(o.out, ".build-")
	if err != nil {
		return p, err
	}
	defer func() { _ = os.RemoveAll(work) }() // Only a folder of ours is left otherwise.

	folder := filepath.Join(work, "package")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return p, err
	}
	if err := m.writeFolder(o, folder, names); err != nil {
		return p, err
	}
	if m.program() == "" {
		path := filepath.Join(o.out, p.name+".xpkg")
		p.files = []builtFile{{path: path, platform: "any"}}
		if err := crossplane(ctx, o, work, "xpkg", "build", "--package-root="+folder, "--package-file="+path); err != nil {
			return p, err
		}
		return p, p.measure()
	}
	for _, platform := range o.platforms {
		fmt.Fprintf(os.Stderr, "building %s for %s\n", p.name, platform)
		runtime, err := writeRuntime(ctx, o, m, platform, work)
		if err != nil {
			return p, err
		}
		path := filepath.Join(o.out, m.fileFor(platform)+".xpkg")
		p.files = append(p.files, builtFile{path: path, platform: platform.String()})
		if err := crossplane(ctx, o, work, "xpkg", "build", "--package-root="+folder,
			"--embed-runtime-image-tarball="+runtime, "--package-file="+path); err != nil {
			return p, err
		}
	}
	return p, p.measure()
}

// crossplane runs Crossplane's own tool.
func crossplane(ctx context.Context, o options, home string, args ...string) error {
	return tool(ctx, o, home, "crossplane", args...)
}

// tool runs a pinned tool, without what a user keeps for it at home.
func tool(ctx context.Context, o options, home, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(o.root, ".cache", "bin", name), args...)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home)
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; run `make tools-crossplane-cli tools-cyclonedx-gomod`", err)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// push publishes packages with the credentials that container tools keep for the user.
func push(ctx context.Context, o options, packages []builtPackage) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	for _, p := range packages {
		var files []string
		for _, f := range p.files {
			files = append(files, f.path)
		}
		if err := crossplane(ctx, o, home, "xpkg", "push", "--package-files="+strings.Join(files, ","), o.reference(p.name)); err != nil {
			return err
		}
		fmt.Printf("pushed %s@%s\n", o.reference(p.name), p.digest)
	}
	return nil
}

// measure finds sizes, and the digests that a registry will show.
func (p *builtPackage) measure() error {
	var index v1.ImageIndex = empty.Index
	for i := range p.files {
		f := &p.files[i]
		image, err := pushedImage(f.path)
		if err != nil {
			return err
		}
		manifest, err := image.Manifest()
		if err != nil {
			return err
		}
		config, err := image.ConfigFile()
		if err != nil {
			return err
		}
		if f.digest, err = image.Digest(); err != nil {
			return err
		}
		f.size = manifest.Config.Size
		for _, layer := range manifest.Layers {
			f.size += layer.Size
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			MediaType: manifest.MediaType,
			Platform:  &v1.Platform{OS: config.OS, Architecture: config.Architecture},
		}})
	}
	if len(p.files) == 1 {
		p.digest = p.files[0].digest
		return nil
	}
	var err error
	p.digest, err = index.Digest()
	return err
}

// annotation is where Crossplane looks for the layer with the package.
const annotation = "io.crossplane.xpkg"

// pushedImage is a package as it is in a registry. In a file, what a layer holds is said by labels of the image, since the
// format of the file has no annotations of layers.
func pushedImage(path string) (v1.Image, error) {
	image, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	pushed := empty.Image
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return nil, err
		}
		addendum := mutate.Addendum{Layer: layer}
		if content, ok := config.Config.Labels[annotation+":"+digest.String()]; ok {
			addendum.Annotations = map[string]string{annotation: content}
		}
		if pushed, err = mutate.Append(pushed, addendum); err != nil {
			return nil, err
		}
	}
	return mutate.ConfigFile(pushed, config)
}
