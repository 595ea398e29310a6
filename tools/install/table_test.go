package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// These hold the table against the go.mod files beside it, without a build.

func TestEveryBinaryOfTheTableIsAToolOfItsGroup(t *testing.T) {
	seen := map[string]string{}
	for _, g := range groups {
		goMod := read(t, "..", g.name, "go.mod")
		outputs := map[string]bool{}
		for _, b := range g.binaries {
			if !strings.Contains(goMod, "tool "+b.pkg+"\n") && !strings.Contains(goMod, "\t"+b.pkg+"\n") {
				t.Errorf("tools/%s/go.mod has no tool directive for %s; add it with: go get -tool %s", g.name, b.pkg, b.pkg)
			}
			if other, twice := seen[b.name]; twice {
				t.Errorf("%s is a binary of both %s and %s", b.name, other, g.name)
			}
			seen[b.name] = g.name
			if outputs[b.output()] {
				t.Errorf("two packages of %s are both built as %s; put one into a group of its own", g.name, b.output())
			}
			outputs[b.output()] = true
		}
		if g.about <= 0 {
			t.Errorf("%s says nothing about how long it takes", g.name)
		}
		if _, err := g.ldflags([]byte(goMod)); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryFolderOfTheTableIsPinnedWithItsSums(t *testing.T) {
	goMod, goSum := read(t, "..", foldersGroup, "go.mod"), read(t, "..", foldersGroup, "go.sum")
	for _, f := range folders {
		version := pinned([]byte(goMod), f.module)
		if version == "" {
			t.Errorf("tools/%s/go.mod does not pin %s", foldersGroup, f.module)
			continue
		}
		for _, sum := range []string{f.module + " " + version + " h1:", f.module + " " + version + "/go.mod h1:"} {
			if !strings.Contains(goSum, sum) {
				t.Errorf("tools/%s/go.sum lacks %q; run make crds and commit what it adds", foldersGroup, sum)
			}
		}
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
