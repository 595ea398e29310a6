package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/test/controlplane"
)

// release is what `make demo` built: packages as files, and the manifests that
// install them.
type release struct {
	dir string
	// packages are the objects of the install manifest that name packages.
	packages []*unstructured.Unstructured
}

func readRelease(dir string) (*release, error) {
	manifest, err := os.ReadFile(filepath.Join(dir, "install.yaml"))
	if err != nil {
		return nil, fmt.Errorf("%w; run `make demo`", err)
	}
	r := &release{dir: dir}
	for document := range strings.SplitSeq(string(manifest), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			return nil, fmt.Errorf("install.yaml: %w", err)
		}
		// The group has how packages run, too.
		if o.GroupVersionKind().Group == "pkg.crossplane.io" && text(o, "package") != "" {
			r.packages = append(r.packages, o)
		}
	}
	if len(r.packages) == 0 {
		return nil, fmt.Errorf("%s installs no package", dir)
	}
	return r, nil
}

func (r *release) manifest(name string) string { return filepath.Join(r.dir, name) }

// registry is where the packages say that they are published.
func (r *release) registry() string { return path.Dir(text(r.packages[0], "package")) }

// serve runs a registry until the context ends and returns where the packages
// will be in it, once pushed has told that all went well.
func (r *release) serve(ctx context.Context, crossplane string) (mirror string, pushed <-chan error, err error) {
	address, err := controlplane.ServeRegistry(ctx)
	if err != nil {
		return "", nil, err
	}
	mirror = address + "/aphex"
	done := make(chan error, 1)
	go func() { done <- r.publish(ctx, crossplane, mirror) }()
	return mirror, done, nil
}

// publish pushes the packages to a registry, with Crossplane's own tool.
func (r *release) publish(ctx context.Context, crossplane, registry string) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, pkg := range r.packages {
		all.Go(func() error {
			tagged := path.Base(text(pkg, "package"))
			name, _, _ := strings.Cut(tagged, ":")
			files, err := filepath.Glob(r.manifest(name + "*.xpkg"))
			if err != nil || len(files) == 0 {
				return errors.Join(err, fmt.Errorf("there is no %s; run `make demo`", r.manifest(name+"*.xpkg")))
			}
			_, err = command(ctx, crossplane, "xpkg", "push", "--package-files="+strings.Join(files, ","), registry+"/"+tagged)
			return err
		})
	}
	return all.Wait()
}

// install does what docs/install.md says. The packages name the registry of a
// release; as for a mirror, Crossplane is told where they are instead.
func (r *release) install(ctx context.Context, p *printer, cp *controlplane.ControlPlane, mirror string) error {
	if err := cp.Apply(ctx, fmt.Sprintf(`
apiVersion: pkg.crossplane.io/v1beta1
kind: ImageConfig
metadata: {name: mirror}
spec:
  matchImages: [{prefix: %s}]
  rewriteImage: {prefix: %s}
`, r.registry(), mirror)); err != nil {
		return err
	}
	if _, err := kubectl(ctx, p, cp, "apply", "-f", r.manifest("install.yaml")); err != nil {
		return err
	}
	said, err := kubectl(ctx, p, cp, "wait", "--for=condition=Healthy", "--timeout="+patience.String(), "-l", "app.kubernetes.io/part-of=aphex",
		"configurations.pkg.crossplane.io,functions.pkg.crossplane.io,providers.pkg.crossplane.io")
	p.details(said)
	if err != nil {
		return err
	}
	// A kind is served a moment after the package that has it is healthy.
	_, err = kubectl(ctx, p, cp, "wait", "--for=condition=Offered", "--timeout="+patience.String(), "xrds",
		"xorganizations.aphex.io", "xrepobindings.aphex.io", "xknowledgebases.aphex.io", "xplatforms.aphex.io")
	return err
}

// configure applies the release's configure.yaml as a platform team edits it: with the account.
func (r *release) configure(ctx context.Context, p *printer, cp *controlplane.ControlPlane) error {
	data, err := os.ReadFile(r.manifest("configure.yaml"))
	if err != nil {
		return err
	}
	account := []byte(`accountID: "00000000000000000000000000000000"`)
	if !bytes.Contains(data, account) {
		return fmt.Errorf("configure.yaml has no %s to edit", account)
	}
	data = bytes.Replace(data, account, []byte("accountID: "+strconv.Quote(controlplane.CloudflareAccount)), 1)
	edited := filepath.Join(cp.Dir(), "configure.yaml")
	if err := os.WriteFile(edited, data, 0o600); err != nil {
		return err
	}
	said, err := kubectl(ctx, p, cp, "apply", "--server-side", "-f", edited)
	p.details(said)
	return err
}

// kubectl runs the real one, and shows what it is told.
func kubectl(ctx context.Context, p *printer, cp *controlplane.ControlPlane, args ...string) (string, error) {
	p.detail("$ kubectl %s", strings.ReplaceAll(strings.Join(args, " "), cp.Root()+"/", ""))
	return command(ctx, cp.Binary("kubectl"), append([]string{"--kubeconfig=" + cp.Kubeconfig()}, args...)...)
}
