// Command bench measures the functions, a control plane that runs them, the Cloudflare provider, and the way from a webhook
// to a run, beside floors of the same run: a server that only returns the same answer, a function that only composes as
// many ConfigMaps, a client that reads each object by itself, and one that creates runs by itself. It prints what is to be
// reached and whether it was, and fails only if something could not be measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options say what to measure.
type options struct {
	root, dir string
	part      string
	requests  int
	claims    int
	teams     int
	objects   int
	// deliveries are sent to a listener that has that many bindings.
	deliveries, bindings int

	idle    time.Duration
	verbose bool
	began   time.Time
}

// log tells of progress, on standard error: the tables are all that standard output gets.
func (o options) log(format string, args ...any) {
	if o.verbose {
		fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(o.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case floorName, trivialName:
		exitOn(serve(name))
	default:
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err := run(ctx)
		stop()
		exitOn(err)
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	o := options{began: time.Now()}
	flag.StringVar(&o.part, "part", "all", "what to measure: functions, e2e, platform (a part of e2e), provider, webhooks or all")
	flag.IntVar(&o.requests, "requests", 10_000, "requests to each function")
	flag.IntVar(&o.claims, "claims", 200, "claims at once")
	flag.IntVar(&o.teams, "teams", 100, "namespaces of teams beside which another one is made")
	flag.IntVar(&o.objects, "objects", 1000, "tunnels, and records, of the provider")
	flag.IntVar(&o.deliveries, "deliveries", 2000, "deliveries to one listener")
	flag.IntVar(&o.bindings, "bindings", 200, "bindings of that listener")
	flag.DurationVar(&o.idle, "idle", 3*time.Minute, "how long to watch an idle control plane")
	flag.BoolVar(&o.verbose, "v", true, "tell of progress on standard error")
	flag.Parse()
	if !slices.Contains([]string{"all", "functions", "e2e", "platform", "provider", "webhooks"}, o.part) {
		return fmt.Errorf("-part %s: must be functions, e2e, platform, provider, webhooks or all", o.part)
	}
	if o.requests < rounds*2*streams || min(o.claims, o.objects, o.deliveries, o.bindings) < 1 {
		return fmt.Errorf("too little to measure: at least %d requests, and one of everything else", rounds*2*streams)
	}
	if o.root, err = filepath.Abs(".."); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.root, "compositions")); err != nil {
		return errors.New("run it in the folder test: cd test && go run ./bench")
	}
	if o.dir, err = os.MkdirTemp("", "aphex-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	for _, name := range []string{floorName, trivialName} {
		if err := linkTo(o.dir, name); err != nil {
			return err
		}
	}

	fmt.Println(machine(ctx, o.root))
	if o.part == "functions" || o.part == "all" {
		t, err := benchFunctions(ctx, o)
		if err != nil {
			return err
		}
		fmt.Printf("\nFunctions: one run over gRPC on loopback. The floor is the same server with the same answer, decoded once.\n\n")
		if err := t.print(os.Stdout); err != nil {
			return err
		}
	}
	if o.part == "e2e" || o.part == "platform" || o.part == "all" {
		if err := benchLive(ctx, o); err != nil {
			return err
		}
	}
	if o.part == "provider" || o.part == "all" {
		if err := benchProvider(ctx, o); err != nil {
			return err
		}
	}
	if o.part == "webhooks" || o.part == "all" {
		if err := benchWebhooks(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// machine says where the figures are from.
func machine(ctx context.Context, root string) string {
	commit := "unknown"
	if out, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--dirty").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("%s/%s, %d cores, %s, commit %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), commit)
}
