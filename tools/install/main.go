// Command install builds the pinned tools of this repository, once per machine,
// and links them into .cache. What decides a build (pins, sums, flags,
// toolchain) is hashed into the name of a folder in the user's cache; if that
// folder is there, nothing is built. It holds no rule about what a tool is for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case interrupted:
		fmt.Fprintln(os.Stderr, "tools: interrupted; nothing is left half done, run it again to go on")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "tools:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("install", flag.ContinueOnError)
	root := flags.String("root", "../..", "folder of the repository")
	flags.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: install [-root DIR] [GROUP...]\nWithout a group, all are installed:")
		for _, name := range groupNames(groups) {
			fmt.Fprintln(os.Stderr, "  "+name)
		}
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := filepath.Abs(*root)
	if err != nil {
		return err
	}
	cache, err := cacheFolder()
	if err != nil {
		return err
	}
	i := installer{root: dir, cache: cache, groups: groups, folders: folders, log: os.Stdout, heartbeat: heartbeat}
	return i.install(ctx, flags.Args())
}

// cacheFolder is ~/.cache on every system, unlike os.UserCacheDir, so that one
// line of documentation is true everywhere.
func cacheFolder() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no place for built tools: %w; set HOME or XDG_CACHE_HOME", err)
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "aphex", "tools"), nil
}
