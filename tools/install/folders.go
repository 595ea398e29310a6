package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// findFolders returns a link to each folder of the table inside the module
// cache. Naming exact versions keeps the Go command from loading what those
// modules depend on, which do not fit together in one graph; it downloads what
// is missing and checks everything against go.sum.
func (i installer) findFolders(ctx context.Context) ([]link, error) {
	source := filepath.Join(i.root, "tools", foldersGroup)
	goMod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return nil, err
	}
	var modules []string
	for _, f := range i.folders {
		version := pinned(goMod, f.module)
		if version == "" {
			return nil, fmt.Errorf("tools/%s/go.mod does not pin %s, where .cache/%s comes from; require it there", foldersGroup, f.module, f.link)
		}
		modules = append(modules, f.module+"@"+version)
	}
	slices.Sort(modules)

	cmd := exec.CommandContext(ctx, "go", append([]string{"mod", "download", "-json"}, slices.Compact(modules)...)...)
	cmd.Dir = source
	cmd.Env = environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	start := time.Now()
	stop := every(i.heartbeat, func() {
		i.say("%s: still downloading modules, %s so far", foldersGroup, short(time.Since(start)))
	})
	out, failed := cmd.Output()
	stop()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	dirs := map[string]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var module struct{ Path, Version, Dir, Error string }
		err := decoder.Decode(&module)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: go mod download: %w", foldersGroup, err)
		}
		if module.Error != "" {
			return nil, fmt.Errorf("%s: %s %s: %s", foldersGroup, module.Path, module.Version, module.Error)
		}
		dirs[module.Path] = module.Dir
	}
	if failed != nil {
		return nil, fmt.Errorf("%s: go mod download: %w%s", foldersGroup, failed, stderrOf(failed))
	}

	var links []link
	for _, f := range i.folders {
		target := filepath.Join(dirs[f.module], filepath.FromSlash(f.path))
		if info, err := os.Stat(target); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s: %s %s has no folder %s; correct it in tools/install/table.go", foldersGroup, f.module, pinned(goMod, f.module), f.path)
		}
		links = append(links, link{name: filepath.FromSlash(f.link), target: target})
	}
	return links, nil
}
