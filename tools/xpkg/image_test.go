package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"io"
	"runtime"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"
)

// programs are the built packages that run something.
func programs(t *testing.T) []builtPackage {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(packages(t)), func(p builtPackage) bool { return p.kind == configuration })
}

// programLayerOf is the layer of an image that has its files; the other one is for Crossplane.
func programLayerOf(t *testing.T, p builtPackage) v1.Layer {
	t.Helper()
	image, err := pushedImage(p.files[0].path)
	require.NoError(t, err)
	layers, err := image.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 2, "the program and the package")
	return layers[0]
}

func TestImages(t *testing.T) {
	for _, p := range programs(t) {
		t.Run(p.name, func(t *testing.T) {
			require.Less(t, p.files[0].size, int64(25<<20))
			image, err := pushedImage(p.files[0].path)
			require.NoError(t, err)
			config, err := image.ConfigFile()
			require.NoError(t, err)
			require.Equal(t, "linux/"+runtime.GOARCH, config.OS+"/"+config.Architecture)
			require.Equal(t, "65532:65532", config.Config.User)
			require.Equal(t, []string{"/" + p.name}, config.Config.Entrypoint)
			require.Equal(t, "v1.2.3", config.Config.Labels["org.opencontainers.image.version"])
		})
		t.Run(p.name+" is one file that everybody may read and run", func(t *testing.T) {
			r, err := programLayerOf(t, p).Uncompressed()
			require.NoError(t, err)
			defer func() { require.NoError(t, r.Close()) }()
			archive := tar.NewReader(r)
			header, err := archive.Next()
			require.NoError(t, err)
			require.Equal(t, p.name, header.Name)
			require.Equal(t, byte(tar.TypeReg), header.Typeflag)
			require.Equal(t, int64(0o555), header.Mode)
			require.Zero(t, header.Uid)
			require.Zero(t, header.Gid)
			_, err = archive.Next()
			require.Equal(t, io.EOF, err)
		})
		t.Run(p.name+" needs no file to start", func(t *testing.T) {
			program, err := elf.NewFile(bytes.NewReader(filesOf(t, programLayerOf(t, p))[p.name]))
			require.NoError(t, err)
			for _, s := range program.Progs {
				require.NotEqual(t, elf.PT_INTERP, s.Type, "there is no dynamic linker in the image")
			}
			libraries, err := program.ImportedLibraries()
			require.NoError(t, err)
			require.Empty(t, libraries)
		})
	}
}

// The Jobs of a function run its own image, wherever it is published.
func TestAFunctionKnowsItsOwnImage(t *testing.T) {
	for _, p := range programs(t) {
		t.Run(p.name, func(t *testing.T) {
			program := filesOf(t, programLayerOf(t, p))[p.name]
			require.Equal(t, p.kind == function, bytes.Contains(program, []byte("registry.example.com/some/org/"+p.name+":v1.2.3")))
		})
	}
}

// An image from scratch has no CA certificates, so what speaks to the world brings some along.
func TestWhoSpeaksToTheWorldHasCACertificates(t *testing.T) {
	var trusting []string
	for _, p := range programs(t) {
		info, err := buildinfo.Read(bytes.NewReader(filesOf(t, programLayerOf(t, p))[p.name]))
		require.NoError(t, err)
		for _, module := range info.Deps {
			if module.Path == "golang.org/x/crypto/x509roots/fallback" {
				trusting = append(trusting, p.name)
			}
		}
	}
	require.Equal(t, []string{"function-organization", "function-platform", "provider-cloudflare-tunnel"}, trusting)
}
