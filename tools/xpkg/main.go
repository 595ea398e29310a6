// Command xpkg builds the Crossplane packages of this repository: one for each file in package/meta, and the manifest that
// installs them. The same commit gives the same bytes: the programs are built without paths, times and version control
// stamps, and no image has a time. Nothing is downloaded but Go modules.
//
// It leaves to Crossplane's own command line tool what makes an image a package: that parses and lints every package, and
// pushes it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "xpkg:", err)
		os.Exit(1)
	}
}

// options say what to build, and where.
type options struct {
	root, out string
	// registry is a host and a path, to which the name of a package is added.
	registry, version string
	platforms         []v1.Platform
	bills, push       bool
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	warning, err := otherGo(ctx, o)
	if err != nil {
		return err
	}
	if warning != "" {
		fmt.Fprintln(os.Stderr, "xpkg:", warning)
	}
	built, err := build(ctx, o)
	if err != nil {
		return err
	}
	if err := writeManifests(o, built); err != nil {
		return err
	}
	if err := printTable(os.Stdout, built); err != nil {
		return err
	}
	if !o.push {
		return nil
	}
	return push(ctx, o, built)
}

func parse(args []string) (options, error) {
	var o options
	var platforms string
	flags := flag.NewFlagSet("xpkg", flag.ContinueOnError)
	flags.StringVar(&o.root, "root", "../..", "folder of the repository")
	flags.StringVar(&o.out, "out", "", "folder of the packages and manifests; by default .cache/package of the repository")
	flags.StringVar(&o.registry, "registry", "registry.example.com/aphex", "where the packages are published: a host, and a path in it")
	flags.StringVar(&o.version, "version", "v0.0.0-dev", "version of all packages, a semantic version that begins with v")
	flags.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "platforms of the functions and the provider")
	flags.BoolVar(&o.bills, "bills", false, "also write a bill of materials of each program")
	flags.BoolVar(&o.push, "push", false, "also push the packages to the registry")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; there are flags only", flags.Arg(0))
	}
	for platform := range strings.SplitSeq(platforms, ",") {
		p, err := v1.ParsePlatform(platform)
		if err != nil || p.OS == "" || p.Architecture == "" || p.Variant != "" {
			return o, fmt.Errorf("-platforms: %q is not a platform such as linux/amd64", platform)
		}
		o.platforms = append(o.platforms, *p)
	}
	var err error
	if o.root, err = filepath.Abs(o.root); err != nil {
		return o, err
	}
	if o.out == "" {
		o.out = filepath.Join(o.root, ".cache", "package")
	}
	if o.out, err = filepath.Abs(o.out); err != nil {
		return o, err
	}
	return o, o.validate()
}

// semantic is a version that is also a tag of an image, which has no place for build metadata.
var semantic = regexp.MustCompile(`^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$`)

func (o options) validate() error {
	if !semantic.MatchString(o.version) {
		return fmt.Errorf("-version: %q is not a semantic version such as v1.2.3 or v1.2.3-rc.1", o.version)
	}
	if _, err := name.NewTag(o.reference("any"), name.StrictValidation); err != nil {
		return fmt.Errorf("-registry: %w; use a host and a path such as registry.example.com/aphex", err)
	}
	// Crossplane refuses every other reference.
	if host, _, _ := strings.Cut(o.registry, "/"); !strings.Contains(host, ".") {
		return fmt.Errorf("-registry: the host %q has no dot, which Crossplane asks for; use 127.0.0.1:5000 for localhost:5000", host)
	}
	return nil
}

// source is where the versions of a package are.
func (o options) source(pkg string) string { return strings.TrimSuffix(o.registry, "/") + "/" + pkg }

// reference is what an installation names.
func (o options) reference(pkg string) string { return o.source(pkg) + ":" + o.version }
