package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// nonRoot is what distroless images call nonroot. Crossplane sets another one; both are nobody.
const nonRoot = "65532:65532"

// billSuffix is the ending by which readers of CycloneDX know a file.
const billSuffix = ".cdx.json"

// imageVariable is where a function looks up its own image, for the Jobs that run the same program. In a setting, an upgrade
// would leave the image of another release, which may not understand what it is told.
const imageVariable = "aphex.io/platform/functions/internal/runner.image"

// buildProgram builds a static program that depends on nothing but the sources, the Go release, and where it is published.
func buildProgram(ctx context.Context, o options, m *metadata, platform v1.Platform, path string) error {
	flags := "-s -w"
	if m.Kind == function {
		flags += " -X=" + imageVariable + "=" + o.reference(m.Metadata.Name)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags="+flags, "-o", path, m.program())
	cmd.Dir = o.root
	cmd.Env = append(environment(), "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s for %s: %w", m.program(), platform, err)
	}
	return nil
}

// otherGo says so if another Go release builds here than go.mod names, by which a package can be built again bit for bit.
func otherGo(ctx context.Context, o options) (warning string, err error) {
	var module struct{ Toolchain string }
	described, err := goSays(ctx, o, "mod", "edit", "-json")
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(described, &module); err != nil {
		return "", fmt.Errorf("go mod edit -json: %w", err)
	}
	version, err := goSays(ctx, o, "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	if used := strings.TrimSpace(string(version)); module.Toolchain != "" && used != module.Toolchain {
		warning = fmt.Sprintf("built by %s and not %s, so the digests are not those that others get; set GOTOOLCHAIN=%[2]s", used, module.Toolchain)
	}
	return warning, nil
}

func goSays(ctx context.Context, o options, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env, cmd.Stderr = o.root, environment(), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// writeBill lists the modules that a program was linked from, and the Go release, as a bill of materials in the format
// CycloneDX.
func writeBill(ctx context.Context, o options, m *metadata, platform v1.Platform, program string) error {
	out := filepath.Join(o.out, m.fileFor(platform)+billSuffix)
	return tool(ctx, o, filepath.Dir(program), "cyclonedx-gomod", "bin", "-json", "-std", "-noserial", "-version", o.version, "-output", out, program)
}

// environment is the caller's, less what would change a build. GOFLAGS is set and not emptied, since the Go command reads
// its own configuration file in place of an empty variable.
func environment() []string {
	var env []string
	for _, pair := range os.Environ() {
		switch key, _, _ := strings.Cut(pair, "="); key {
		case "GOFLAGS", "GOWORK", "GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GOFIPS140", "CGO_ENABLED", "PWD":
		default:
			env = append(env, pair)
		}
	}
	return append(env, "GOFLAGS=-mod=readonly", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "CGO_ENABLED=0")
}

// runtimeImage is an image from scratch with one program. It has no file that changes, so that its root may be read-only,
// and no CA certificates: the programs that need some have them built in.
func runtimeImage(o options, m *metadata, platform v1.Platform, program string) (v1.Image, error) {
	layer, err := programLayer(program, m.Metadata.Name)
	if err != nil {
		return nil, err
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS:           platform.OS,
		Architecture: platform.Architecture,
		Created:      v1.Time{Time: time.Unix(0, 0).UTC()},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: []string{"/" + m.Metadata.Name},
			User:       nonRoot,
			WorkingDir: "/",
			Labels: map[string]string{
				"org.opencontainers.image.title":    m.Metadata.Name,
				"org.opencontainers.image.version":  o.version,
				"org.opencontainers.image.source":   sourceURL,
				"org.opencontainers.image.licenses": license,
			},
		},
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, layer)
}

func programLayer(path, name string) (v1.Layer, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o555, Size: int64(len(program)), ModTime: time.Unix(0, 0)}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
}

// writeRuntime builds the runtime image of a package for a platform, as a file that Crossplane's tool embeds.
func writeRuntime(ctx context.Context, o options, m *metadata, platform v1.Platform, dir string) (string, error) {
	program := filepath.Join(dir, m.Metadata.Name)
	if err := buildProgram(ctx, o, m, platform, program); err != nil {
		return "", err
	}
	if o.bills {
		if err := writeBill(ctx, o, m, platform, program); err != nil {
			return "", err
		}
	}
	image, err := runtimeImage(o, m, platform, program)
	if err != nil {
		return "", fmt.Errorf("image of %s: %w", m.Metadata.Name, err)
	}
	tag, err := name.NewTag(m.Metadata.Name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "runtime.tar")
	return path, tarball.WriteToFile(path, tag, image)
}
