package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A link is one symbolic link below .cache.
type link struct {
	name   string
	target string
}

// link makes the links and removes those that an older table made.
func (i installer) link(ctx context.Context, links []link) error {
	base := filepath.Join(i.root, ".cache")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, filepath.Join(base, "tools.lock"), func() {})
	if err != nil {
		return err
	}
	defer unlock()
	for _, l := range links {
		if err := replaceLink(filepath.Join(base, l.name), l.target); err != nil {
			return err
		}
	}
	return i.removeStale(base)
}

// replaceLink leaves a right link alone. Otherwise it puts the new one in place
// in one step, so that who runs a tool meanwhile finds the old or the new.
func replaceLink(path, target string) error {
	if old, err := os.Readlink(path); err == nil && old == target {
		return nil
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder where a link to %s belongs; move it away", path, target)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Symlink(target, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return nil
}

// removeStale removes links that no entry of the table asks for any more, and
// links whose target is gone. Files of others, such as our own built functions,
// and links to places that are not ours stay.
func (i installer) removeStale(base string) error {
	var names, dirs []string
	for _, g := range i.groups {
		for _, b := range g.binaries {
			names = append(names, filepath.Join("bin", b.name))
		}
	}
	for _, f := range i.folders {
		names = append(names, filepath.FromSlash(f.link))
	}
	for _, name := range names {
		dirs = append(dirs, filepath.Dir(name))
	}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		entries, err := os.ReadDir(filepath.Join(base, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, entry := range entries {
			if entry.Type() != fs.ModeSymlink {
				continue
			}
			path := filepath.Join(base, dir, entry.Name())
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			_, err = os.Stat(path)
			known := slices.Contains(names, filepath.Join(dir, entry.Name()))
			ours := dir != "bin" || strings.HasPrefix(target, i.cache+string(filepath.Separator))
			if ours && (!known || errors.Is(err, fs.ErrNotExist)) {
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
	}
	return nil
}
