package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"
)

// tinyRepository has one function, which does nothing.
func tinyRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range map[string]string{
		"go.mod":                 "module example.com/tiny\n\ngo 1.26\n",
		"functions/tiny/main.go": "package main\n\nfunc main() {}\n",
		"package/icon.svg":       "<svg/>",
		"package/meta/function-tiny.yaml": "apiVersion: meta.pkg.crossplane.io/v1\nkind: Function\n" +
			"metadata:\n  name: function-tiny\n  annotations: {meta.crossplane.io/description: Nothing.}\nspec: {}\n",
	} {
		path = filepath.Join(dir, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	linkCrossplane(t, dir)
	return dir
}

// What is signed and attested is known before it is pushed, and Crossplane's tool makes of the files what it likes.
func TestARegistryShowsTheDigestsThatWereTold(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	for title, platforms := range map[string][]string{
		"of a package for two platforms": {"linux/amd64", "linux/arm64"},
		"of a package for one platform":  {"linux/arm64"},
	} {
		t.Run(title, func(t *testing.T) {
			o, err := parse([]string{
				"-root", tinyRepository(t), "-registry", strings.TrimPrefix(server.URL, "http://") + "/aphex",
				"-platforms", strings.Join(platforms, ","),
			})
			require.NoError(t, err)
			built, err := build(t.Context(), o)
			require.NoError(t, err)
			require.NoError(t, push(t.Context(), o, built))

			tag, err := name.NewTag(o.reference("function-tiny"), name.StrictValidation)
			require.NoError(t, err)
			pushed, err := remote.Head(tag)
			require.NoError(t, err)
			told, err := digests(o, built)
			require.NoError(t, err)
			require.Equal(t, pushed.Digest.Hex+"  "+tag.Repository.Name()+"\n", string(told))

			told, err = images(o, built)
			require.NoError(t, err)
			lines := strings.Split(strings.TrimSpace(string(told)), "\n")
			require.Len(t, lines, len(platforms))
			for _, line := range lines {
				digest, _, _ := strings.Cut(line, "  ")
				_, err := remote.Head(tag.Digest("sha256:" + digest))
				require.NoError(t, err, line)
			}
			if len(platforms) == 1 {
				return
			}
			index, err := remote.Index(tag)
			require.NoError(t, err)
			manifest, err := index.IndexManifest()
			require.NoError(t, err)
			require.Len(t, manifest.Manifests, len(platforms))
			for i, m := range manifest.Manifests {
				require.Equal(t, built[0].files[i].digest, m.Digest)
				require.Equal(t, platforms[i], m.Platform.String())
			}
		})
	}
}
