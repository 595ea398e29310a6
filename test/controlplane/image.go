package controlplane

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// image is an unpacked image.
type image struct {
	root             string
	entrypoint, args []string
}

// authorities have a program look for CA certificates where it would in a
// container: among the files of its image, and not in this machine's.
func (i *image) authorities() []string {
	const usual = "etc/ssl/certs"
	return []string{
		"SSL_CERT_FILE=" + filepath.Join(i.root, usual, "ca-certificates.crt"),
		"SSL_CERT_DIR=" + filepath.Join(i.root, usual),
	}
}

// pull downloads and unpacks an image for this machine, unless it is there.
func (k *kubelet) pull(ctx context.Context, reference string) (*image, error) {
	ref, err := name.ParseReference(reference, name.StrictValidation)
	if err != nil {
		return nil, err
	}
	pulled, err := remote.Image(ref, remote.WithContext(ctx), remote.WithPlatform(v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}))
	if err != nil {
		return nil, fmt.Errorf("pull %s: %w", reference, err)
	}
	digest, err := pulled.Digest()
	if err != nil {
		return nil, err
	}
	config, err := pulled.ConfigFile()
	if err != nil {
		return nil, err
	}
	i := &image{
		root:       filepath.Join(k.cluster.dir, "images", digest.Hex),
		entrypoint: config.Config.Entrypoint,
		args:       config.Config.Cmd,
	}
	if _, err := os.Stat(i.root); err == nil {
		return i, nil
	}
	return i, unpack(pulled, i.root)
}

// unpack writes the files of an image. Others see all of them or none.
func unpack(pulled v1.Image, root string) (err error) {
	if err := os.MkdirAll(filepath.Dir(root), 0o700); err != nil {
		return err
	}
	part, err := os.MkdirTemp(filepath.Dir(root), ".part-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	content := mutate.Extract(pulled)
	defer func() { err = errors.Join(err, content.Close()) }()
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("%s leads out of the image", header.Name)
		}
		if err := writeFile(filepath.Join(part, header.Name), archive, header.FileInfo().Mode().Perm()); err != nil {
			return err
		}
	}
	err = os.Rename(part, root)
	if errors.Is(err, os.ErrExist) {
		// Somebody else was faster.
		return os.RemoveAll(part)
	}
	return err
}

func writeFile(path string, content io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
