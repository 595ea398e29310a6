// Package e2e tests the platform as its users meet it: claims on a real API server with a real Crossplane, as the
// control plane of package controlplane starts it.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"aphex.io/platform/test/controlplane"
)

// cp is what all tests share. Each has its own namespaces and organizations there; those that disturb others, such as by
// killing Crossplane, do not run in parallel.
var cp *cluster

// releases are what is installed as packages.
var releases func() publication

func TestMain(m *testing.M) {
	flag.Parse()
	// Parallel tests wait for the control plane most of the time; there may be more of them than processors.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

// run starts the control plane, runs the tests, and waits until all that they made is gone again.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "aphex-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cp, err = startCluster(controlplane.Options{
		Dir:       dir,
		Functions: controlplane.AphexFunctions(),
		Log: func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, "%s  "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	releases = sync.OnceValue(func() publication { return publishReleases(ctx, filepath.Join(dir, "releases")) })
	// The first tests leave the machine with little to do, and the one that needs releases runs beside others that do not.
	if only := flag.Lookup("test.run").Value.String(); only == "" {
		go releases()
	}
	code := m.Run()
	if err := cp.awaitLeaving(); err != nil {
		fmt.Fprintf(os.Stderr, "cleaning up: %v\n", err)
		code = 1
	}
	if err := cp.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "the logs of the control plane are in %s/logs\n", dir)
		return code
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startCluster starts a control plane and connects an administrator to it.
func startCluster(o controlplane.Options) (*cluster, error) {
	started, err := controlplane.Start(context.Background(), o)
	if err != nil {
		return nil, err
	}
	c, err := connect(started)
	if err != nil {
		_ = started.Stop() // the first error tells more
		return nil, err
	}
	return c, nil
}
