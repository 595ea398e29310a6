package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// A toolchain is the Go command that builds the tools, and the settings of this
// machine that change what it builds.
type toolchain struct {
	GOVERSION    string
	GOHOSTOS     string
	GOHOSTARCH   string
	GOAMD64      string
	GOARM64      string
	GOEXPERIMENT string
	GOFIPS140    string
}

// findToolchain asks the Go command in dir, where a go.mod may select a newer one.
func findToolchain(ctx context.Context, dir string) (toolchain, error) {
	names := []string{"GOVERSION", "GOHOSTOS", "GOHOSTARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GOFIPS140"}
	cmd := exec.CommandContext(ctx, "go", append([]string{"env", "-json"}, names...)...)
	cmd.Dir = dir
	cmd.Env = environment()
	out, err := cmd.Output()
	if err != nil {
		return toolchain{}, fmt.Errorf("go env: %w; is Go installed and in PATH?%s", err, stderrOf(err))
	}
	var tool toolchain
	if err := json.Unmarshal(out, &tool); err != nil {
		return toolchain{}, fmt.Errorf("go env: %w", err)
	}
	return tool, nil
}

func (t toolchain) identity() []string {
	return []string{t.GOVERSION, t.GOHOSTOS, t.GOHOSTARCH, t.GOAMD64, t.GOARM64, t.GOEXPERIMENT, t.GOFIPS140}
}

// buildFlags do not hold GOFLAGS: whatever a developer keeps there for other
// work must neither break this build nor give it another result.
func buildFlags(ldflags, tags string) []string {
	flags := []string{"-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", ldflags}
	if tags != "" {
		flags = append(flags, "-tags", tags)
	}
	return flags
}

// environment is the caller's, less what would break or change a build of tools
// for this machine. GOFLAGS is set and not emptied, since the Go command reads
// its own configuration file in place of an empty variable.
func environment(extra ...string) []string {
	var env []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		switch name {
		case "GOFLAGS", "GOWORK", "GOOS", "GOARCH", "CGO_ENABLED", "GOBIN", "PWD":
		default:
			env = append(env, pair)
		}
	}
	env = append(env, "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0")
	return append(env, extra...)
}

func stderrOf(err error) string {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		return "\n" + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}
