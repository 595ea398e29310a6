package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fake is a group without dependencies, so that building it takes a moment and
// no network.
var fake = group{
	name:     "fake",
	about:    time.Second,
	binaries: []binary{{"hello", "example.org/fake/cmd/hello"}, {"renamed", "example.org/fake/cmd/other"}},
}

const (
	helloMain = "package main\n\nfunc main() { println(\"hello\") }\n"
	fakeMod   = "module example.org/fake\n\ngo 1.26\n"
)

// clone makes a repository whose only tools are the fake ones.
func clone(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, "tools/fake/go.mod", fakeMod)
	write(t, root, "tools/fake/cmd/hello/main.go", helloMain)
	write(t, root, "tools/fake/cmd/other/main.go", helloMain)
	return root
}

func write(t *testing.T, root, name, content string) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// output is a log that a test may read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func installerOf(root, cache string) (installer, *output) {
	log := &output{}
	return installer{root: root, cache: cache, groups: []group{fake}, log: log, heartbeat: time.Minute}, log
}

func mustInstall(t *testing.T, i installer) {
	t.Helper()
	if err := i.install(t.Context(), nil); err != nil {
		t.Fatalf("install: %v\n%s", err, i.log)
	}
}

func mustContain(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Fatalf("%q is missing in:\n%s", want, text)
	}
}

// eventually waits until a log says something.
func eventually(t *testing.T, log *output, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q was not said; the log holds:\n%s", want, log)
		}
	}
}

// entries lists what the cache holds besides lock files.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range found {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			names = append(names, entry.Name())
		}
	}
	return names
}

func TestSecondRunAndSecondCloneBuildNothing(t *testing.T) {
	cache := t.TempDir()
	first, log := installerOf(clone(t), cache)
	mustInstall(t, first)
	mustContain(t, log.String(), "fake: building 2 binaries, once per machine, about 1 s on two cores\n")
	mustContain(t, log.String(), "fake: built in ")
	mustContain(t, log.String(), "tools ready: 2 binaries, 2 built, ")

	again, log := installerOf(first.root, cache)
	mustInstall(t, again)
	mustContain(t, log.String(), "tools ready: 2 binaries, 0 built, ")

	second, log := installerOf(clone(t), cache)
	mustInstall(t, second)
	mustContain(t, log.String(), "tools ready: 2 binaries, 0 built, ")
	for _, name := range []string{"hello", "renamed"} {
		if info, err := os.Stat(filepath.Join(second.root, ".cache", "bin", name)); err != nil || info.Mode()&0o111 == 0 {
			t.Fatalf("%s is not linked to a program: %v", name, err)
		}
	}
}

func TestEnvironmentOfTheCallerDoesNotReachTheBuild(t *testing.T) {
	root, cache := clone(t), t.TempDir()
	plain, _ := installerOf(root, cache)
	mustInstall(t, plain)

	t.Setenv("GOFLAGS", "-mod=vendor -tags=no_such")
	t.Setenv("GOWORK", "/nonexistent/go.work")
	t.Setenv("GOOS", "plan9")
	t.Setenv("GOARCH", "386")
	t.Setenv("CGO_ENABLED", "1")
	odd, log := installerOf(root, cache)
	mustInstall(t, odd)
	mustContain(t, log.String(), " 0 built, ")

	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	mustInstall(t, odd)
	mustContain(t, log.String(), " 2 built, ")
}

func TestMissingBinaryIsBuiltAgain(t *testing.T) {
	i, log := installerOf(clone(t), t.TempDir())
	mustInstall(t, i)
	target, err := filepath.EvalSymlinks(filepath.Join(i.root, ".cache", "bin", "hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	mustInstall(t, i)
	if got := strings.Count(log.String(), " 2 built, "); got != 2 {
		t.Fatalf("built %d times, want 2:\n%s", got, log)
	}
}

func TestTwoClonesAtOnceBuildOnce(t *testing.T) {
	cache := t.TempDir()
	var logs []*output
	var wg sync.WaitGroup
	for range 4 {
		i, log := installerOf(clone(t), cache)
		logs = append(logs, log)
		wg.Go(func() {
			if err := i.install(t.Context(), nil); err != nil {
				t.Errorf("install: %v\n%s", err, log)
			}
		})
	}
	wg.Wait()
	built := 0
	for _, log := range logs {
		if strings.Contains(log.String(), " 2 built, ") {
			built++
		}
	}
	if built != 1 {
		t.Fatalf("%d of 4 clones built, want 1; logs: %v", built, logs)
	}
}

func TestWaitingForAnotherBuildIsSaidAndCanBeInterrupted(t *testing.T) {
	i, log := installerOf(clone(t), t.TempDir())
	unlock, err := lock(t.Context(), filepath.Join(i.cache, "fake.lock"), func() {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.install(ctx, nil) }()
	eventually(t, log, "fake: another build of it runs on this machine; waiting for that one\n")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}

	unlock()
	mustInstall(t, i)
	mustContain(t, log.String(), " 2 built, ")
}

func TestFailedBuildShowsItsReasonAndLeavesNothing(t *testing.T) {
	i, log := installerOf(clone(t), t.TempDir())
	write(t, i.root, "tools/fake/cmd/hello/main.go", "package main\n\nfunc main() { absent() }\n")
	err := i.install(t.Context(), nil)
	if err == nil {
		t.Fatal("a build that cannot succeed succeeded")
	}
	mustContain(t, err.Error(), "fake: go build failed")
	mustContain(t, log.String(), "undefined: absent")
	if left := entries(t, i.cache); len(left) != 0 {
		t.Fatalf("left in the cache: %v", left)
	}
}

// slowGo puts a Go command first in PATH that is the real one, but builds until
// it is interrupted.
func slowGo(t *testing.T) {
	t.Helper()
	realGo, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := `#!/bin/sh
[ "$1" = build ] || exec ` + realGo + ` "$@"
trap 'exit 2' INT
echo 'go: downloading example.org/far v1.0.0' >&2
echo 'example.org/fake/near' >&2
while :; do sleep 0.05; done
`
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

func TestLongBuildTellsHowFarItIsAndInterruptedLeavesNothing(t *testing.T) {
	slowGo(t)
	i, log := installerOf(clone(t), t.TempDir())
	i.heartbeat = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.install(ctx, nil) }()
	eventually(t, log, "fake: still building, 1 module downloaded, 1 package compiled, 0.")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	if left := entries(t, i.cache); len(left) != 0 {
		t.Fatalf("left in the cache: %v", left)
	}
}

func TestNextBuildRemovesWhatAKilledOneLeft(t *testing.T) {
	i, _ := installerOf(clone(t), t.TempDir())
	write(t, i.cache, "fake-0123456789abcdef.part/hello", "half")
	write(t, i.cache, "fake-two-0123456789abcdef.part/hello", "of another group")
	mustInstall(t, i)
	left := entries(t, i.cache)
	if slices.Contains(left, "fake-0123456789abcdef.part") || !slices.Contains(left, "fake-two-0123456789abcdef.part") {
		t.Fatalf("the cache holds %v", left)
	}
}

func TestUnknownGroupIsRefusedWithTheKnownOnes(t *testing.T) {
	i, _ := installerOf(clone(t), t.TempDir())
	err := i.install(t.Context(), []string{"fake", "no-such"})
	if err == nil {
		t.Fatal("an unknown group was accepted")
	}
	mustContain(t, err.Error(), `there is no group "no-such"; name some of: fake, crds`)
}

func TestOnlyNamedGroupsAreInstalled(t *testing.T) {
	i, log := installerOf(clone(t), t.TempDir())
	i.groups = append(i.groups, group{name: "absent", binaries: []binary{{"absent", "example.org/absent"}}})
	if err := i.install(t.Context(), []string{"fake"}); err != nil {
		t.Fatalf("install: %v\n%s", err, log)
	}
	mustContain(t, log.String(), "tools ready: 2 binaries, 2 built, ")
}

func TestRaisedPinMovesTheLinks(t *testing.T) {
	i, _ := installerOf(clone(t), t.TempDir())
	mustInstall(t, i)
	link := filepath.Join(i.root, ".cache", "bin", "hello")
	before, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	write(t, i.root, "tools/fake/go.mod", fakeMod+"\ngodebug default=go1.25\n")
	mustInstall(t, i)
	after, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	if before == after {
		t.Fatalf("the link still points to %s", after)
	}
}

func TestLinksOfNoEntryAreRemovedAndFilesOfOthersStay(t *testing.T) {
	i, _ := installerOf(clone(t), t.TempDir())
	mustInstall(t, i)
	bin := filepath.Join(i.root, ".cache", "bin")
	for name, target := range map[string]string{
		"retired":      filepath.Join(i.cache, "gone-0123456789abcdef", "retired"),
		"someone-else": "/bin/sh",
	} {
		if err := os.Symlink(target, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, i.root, ".cache/bin/function-organization", "ours")
	mustInstall(t, i)
	if got, want := entries(t, bin), []string{"function-organization", "hello", "renamed", "someone-else"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestFolderInTheWayOfALinkIsNamed(t *testing.T) {
	i, _ := installerOf(clone(t), t.TempDir())
	write(t, i.root, ".cache/bin/hello/file", "")
	err := i.install(t.Context(), nil)
	if err == nil {
		t.Fatal("a folder was replaced")
	}
	mustContain(t, err.Error(), "hello is a folder where a link to ")
}

func TestLockIsFreeAgainAfterItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 2 {
		unlock, err := lock(t.Context(), path, func() { t.Error("waited for nobody") })
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatalf("the lock is still held: %v", err)
	}
}
