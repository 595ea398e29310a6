package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keyFormat is raised when this program starts to build differently in a way
// that the key does not show.
const keyFormat = 1

const keyLength = 16

// key identifies the result of building a group: two groups with one key give
// the same binaries. The sums of go.sum stand for all code outside dir.
func key(g group, dir string, tool toolchain) (string, error) {
	goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	ldflags, err := g.ldflags(goMod)
	if err != nil {
		return "", err
	}

	var all bytes.Buffer
	fmt.Fprintf(&all, "format %d\n", keyFormat)
	fmt.Fprintf(&all, "toolchain %q\n", tool.identity())
	fmt.Fprintf(&all, "flags %q\n", buildFlags(ldflags, g.tags))
	for _, b := range g.binaries {
		fmt.Fprintf(&all, "binary %q %q\n", b.name, b.pkg)
	}
	if err := addFiles(&all, dir); err != nil {
		return "", err
	}
	sum := sha256.Sum256(all.Bytes())
	return hex.EncodeToString(sum[:])[:keyLength], nil
}

// addFiles adds the name, size and content of every file below dir that
// `go build` may read. Tests decide nothing.
func addFiles(all *bytes.Buffer, dir string) error {
	var names []string
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && name != dir
		switch {
		case entry.IsDir() && hidden:
			return filepath.SkipDir
		case entry.Type().IsRegular() && !hidden && !strings.HasSuffix(name, "_test.go"):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(all, "file %q %d\n", filepath.ToSlash(relative), len(content))
		all.Write(content)
	}
	return nil
}
