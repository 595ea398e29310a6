package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
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
	documents, err := readDocuments(filepath.Join(dir, "install.yaml"))
	if err != nil {
		return nil, fmt.Errorf("%w; run `make demo`", err)
	}
	r := &release{dir: dir}
	for _, document := range documents {
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

func readDocuments(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	return strings.Split(string(data), "\n---\n"), err
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
	kubectl := func(args ...string) (string, error) {
		return command(ctx, cp.Binary("kubectl"), append([]string{"--kubeconfig=" + cp.Kubeconfig()}, args...)...)
	}
	p.detail("$ kubectl apply -f %s", relative(cp.Root(), r.manifest("install.yaml")))
	if _, err := kubectl("apply", "-f", r.manifest("install.yaml")); err != nil {
		return err
	}
	const packages = "configurations.pkg.crossplane.io,functions.pkg.crossplane.io,providers.pkg.crossplane.io"
	p.detail("$ kubectl wait --for=condition=Healthy --all %s", packages)
	said, err := kubectl("wait", "--for=condition=Healthy", "--timeout="+patience.String(), "--all", packages)
	p.details(said)
	if err != nil {
		return err
	}
	// A kind is served a moment after the package that has it is healthy.
	_, err = kubectl("wait", "--for=condition=Offered", "--timeout="+patience.String(), "--all", "compositeresourcedefinitions")
	return err
}

// settings are those of the release's configure.yaml, as it ships them.
func (r *release) settings() (string, error) {
	documents, err := readDocuments(r.manifest("configure.yaml"))
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(documents, func(document string) bool { return strings.Contains(document, "\nkind: EnvironmentConfig\n") })
	if i < 0 {
		return "", errors.New("configure.yaml has no EnvironmentConfig")
	}
	return documents[i], nil
}
