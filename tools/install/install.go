package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const heartbeat = 10 * time.Second

// An installer brings tools from the cache, which all clones of a user share,
// into one clone.
type installer struct {
	root      string
	cache     string
	groups    []group
	folders   []folder
	log       io.Writer
	heartbeat time.Duration
}

// install makes the named groups, or all, ready for use.
func (i installer) install(ctx context.Context, names []string) error {
	start := time.Now()
	for _, name := range names {
		if known := groupNames(i.groups); !slices.Contains(known, name) {
			return fmt.Errorf("there is no group %q; name some of: %s", name, strings.Join(known, ", "))
		}
	}
	wanted := func(name string) bool { return len(names) == 0 || slices.Contains(names, name) }

	if err := os.MkdirAll(i.cache, 0o755); err != nil {
		return err
	}
	tool, err := findToolchain(ctx, i.root)
	if err != nil {
		return err
	}

	var links []link
	var binaries, linkedFolders, built int
	for _, g := range i.groups {
		if !wanted(g.name) {
			continue
		}
		dir, fresh, err := i.provide(ctx, g, tool)
		if err != nil {
			return err
		}
		for _, b := range g.binaries {
			links = append(links, link{name: filepath.Join("bin", b.name), target: filepath.Join(dir, b.name)})
		}
		binaries += len(g.binaries)
		if fresh {
			built += len(g.binaries)
		}
	}
	if wanted(foldersGroup) && len(i.folders) > 0 {
		found, err := i.findFolders(ctx)
		if err != nil {
			return err
		}
		links = append(links, found...)
		linkedFolders = len(found)
	}
	if err := i.link(ctx, links); err != nil {
		return err
	}

	i.say("tools ready: %s, %d built, %s", amounts(binaries, linkedFolders), built, short(time.Since(start)))
	return nil
}

func (i installer) say(format string, args ...any) {
	_, _ = fmt.Fprintf(i.log, format+"\n", args...)
}

func groupNames(groups []group) []string {
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
	}
	return append(names, foldersGroup)
}

func amounts(binaries, folders int) string {
	var parts []string
	if binaries > 0 {
		parts = append(parts, count(binaries, "binary", "binaries"))
	}
	if folders > 0 {
		parts = append(parts, count(folders, "folder", "folders"))
	}
	return strings.Join(parts, " and ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// short prints a duration as people say it: "0.3s", "42s", "5m10s".
func short(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// about prints a duration of the table: "20 s", "8 min".
func about(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
}
