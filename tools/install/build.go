package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// provide returns the folder with the binaries of a group, and whether they had
// to be built. A folder appears under its name only when it is complete.
func (i installer) provide(ctx context.Context, g group, tool toolchain) (dir string, built bool, err error) {
	source := filepath.Join(i.root, "tools", g.name)
	k, err := key(g, source, tool)
	if err != nil {
		return "", false, err
	}
	dir = filepath.Join(i.cache, g.name+"-"+k)
	if complete(dir, g) {
		return dir, false, nil
	}

	waited := time.Now()
	unlock, err := lock(ctx, filepath.Join(i.cache, g.name+".lock"), func() {
		i.say("%s: another build of it runs on this machine; waiting for that one", g.name)
	})
	if err != nil {
		return "", false, err
	}
	defer unlock()
	if complete(dir, g) {
		i.say("%s: the other build is done, waited %s", g.name, short(time.Since(waited)))
		return dir, false, nil
	}
	if err := i.build(ctx, g, source, dir, tool); err != nil {
		return "", false, err
	}
	return dir, true, nil
}

func complete(dir string, g group) bool {
	for _, b := range g.binaries {
		if info, err := os.Stat(filepath.Join(dir, b.name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// build fills dir. The caller holds the lock of the group.
func (i installer) build(ctx context.Context, g group, source, dir string, tool toolchain) error {
	start := time.Now()
	i.say("%s: building %s, once per machine, about %s on two cores",
		g.name, count(len(g.binaries), "binary", "binaries"), about(g.about))

	// What a killed build left behind is nobody's, since the lock is ours.
	left, err := filepath.Glob(filepath.Join(i.cache, g.name+"-"+strings.Repeat("[0-9a-f]", keyLength)+".part"))
	if err != nil {
		return err
	}
	for _, path := range append(left, dir) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	part := dir + ".part"
	// Gone by now after a success; what cannot be removed is the next build's to remove.
	defer func() { _ = os.RemoveAll(part) }()
	if err := os.Mkdir(part, 0o755); err != nil {
		return err
	}

	goMod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return err
	}
	ldflags, err := g.ldflags(goMod)
	if err != nil {
		return err
	}
	// -v names each package as it is compiled, the only sign of progress there is.
	args := append([]string{"build", "-v", "-o", part + string(filepath.Separator)}, buildFlags(ldflags, g.tags)...)
	for _, b := range g.binaries {
		args = append(args, b.pkg)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = source
	cmd.Env = environment("GOOS="+tool.GOHOSTOS, "GOARCH="+tool.GOHOSTARCH)
	// Interrupted, the Go command removes its temporary files; killed, it does not.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	if err := i.watch(ctx, cmd, g, start); err != nil {
		return err
	}

	for _, b := range g.binaries {
		if b.output() == b.name {
			continue
		}
		if err := os.Rename(filepath.Join(part, b.output()), filepath.Join(part, b.name)); err != nil {
			return err
		}
	}
	if !complete(part, g) {
		return fmt.Errorf("%s: go build left out a binary; each package of the group in tools/install/table.go must be a main package", g.name)
	}
	if err := os.Rename(part, dir); err != nil {
		return err
	}
	i.say("%s: built in %s", g.name, short(time.Since(start)))
	return nil
}

// watch runs a build and tells regularly how far it is.
func (i installer) watch(ctx context.Context, cmd *exec.Cmd, g group, start time.Time) error {
	seen := &progress{}
	cmd.Stdout, cmd.Stderr = seen, seen
	stop := every(i.heartbeat, func() {
		i.say("%s: %s, %s so far", g.name, seen, short(time.Since(start)))
	})
	err := cmd.Run()
	stop()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	i.say("%s", seen.messages())
	return fmt.Errorf("%s: go build failed (%w); what it said is above", g.name, err)
}

// every calls tell at each interval until stop returns.
func every(interval time.Duration, tell func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				tell()
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// progress takes what `go build -v` prints, and counts the lines that only tell
// how far it is.
type progress struct {
	mu         sync.Mutex
	rest       []byte
	packages   int
	downloaded int
	other      []string
}

func (p *progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, text...)
	for {
		line, rest, found := bytes.Cut(p.rest, []byte("\n"))
		if !found {
			return len(text), nil
		}
		p.rest = rest
		p.add(string(line))
	}
}

func (p *progress) add(line string) {
	switch {
	case line == "":
	case strings.HasPrefix(line, "go: downloading "):
		p.downloaded++
	case !strings.ContainsAny(line, " \t:"):
		p.packages++
	default:
		p.other = append(p.other, line)
	}
}

func (p *progress) messages() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(append(p.other, string(p.rest)), "\n")
}

func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	parts := []string{"still building"}
	if p.downloaded > 0 {
		parts = append(parts, count(p.downloaded, "module", "modules")+" downloaded")
	}
	if p.packages > 0 {
		parts = append(parts, count(p.packages, "package", "packages")+" compiled")
	}
	return strings.Join(parts, ", ")
}
