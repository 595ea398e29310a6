// Package controlplane starts a whole platform as plain processes on loopback:
// a Kubernetes API server with its controllers, KWOK for nodes and pods,
// Crossplane with its RBAC manager, Tekton Triggers, and composition functions.
// Nothing is mocked and nothing is an administrator that would not be one in a
// real cluster: Crossplane acts as its own service account with the roles of
// its chart and those that this repository ships.
//
// The end-to-end tests, the benchmarks and `make demo` share it. What it does
// not do is run containers: pods exist, are scheduled and become ready, but no
// process stands behind them.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
)

// startTimeout bounds Start when its context has no deadline. A cold file
// cache on two busy cores took a quarter of it.
const startTimeout = 10 * time.Minute

// Options say what to start. The zero value is the whole control plane without
// functions.
type Options struct {
	// Root is the repository; by default it is found from the working directory.
	Root string
	// Dir holds state and logs. By default it is a fresh temporary folder that
	// Stop removes; a folder given here is kept.
	Dir string
	// Log receives progress, one line a call. By default nothing is logged.
	Log func(format string, args ...any)
	// Functions are the composition functions to run.
	Functions []Function
	// Packages leaves all of Aphex to Crossplane's package manager: there are no
	// APIs, functions, provider or rights until packages and manifests are
	// applied, and then the pods of packages run what is in their images.
	Packages bool
	// RealBudget holds the provider and Cloudflare's simulator to the number of
	// calls that they have by default. Without it they allow more, since tests do
	// within minutes what a platform does in a day.
	RealBudget bool
	// Without lists neighbours whose CRDs are not installed; see Install.
	Without []Neighbour
}

// Function is one composition function to run as a process. The binary takes
// the flags that every function of this repository takes.
type Function struct {
	// Name is what a Composition's functionRef says.
	Name string
	// Binary is a path; by default .cache/bin/<Name> of the repository.
	Binary string
}

// ControlPlane is a running control plane. Its methods may be used from
// several goroutines.
type ControlPlane struct {
	root, dir string
	keepDir   bool
	packages  bool
	budget    budget
	log       func(format string, args ...any)

	pki    *pki
	admin  *rest.Config
	client *client

	// failed ends Start with the reason when a process dies on its own.
	failed context.CancelCauseFunc

	mu        sync.Mutex
	processes []*process
	stopped   bool

	// neighbour lets only one caller of Install start what runs of a neighbour.
	neighbour sync.Mutex
	standIns  []*standIn

	cloudflare *Cloudflare
	connectors *connectors
}

// Start starts a control plane and returns when a claim can be applied. On
// failure nothing is left running.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	return begin(ctx, o, func(ctx context.Context, c *ControlPlane) error { return c.start(ctx, o) })
}

// StartAPIServer starts an API server alone, with arguments and an environment
// beside its own, for what Start must not be configured with. There are no
// controllers: what is applied stays as it is.
func StartAPIServer(ctx context.Context, o Options, arguments, environment []string) (*ControlPlane, error) {
	return begin(ctx, o, func(ctx context.Context, c *ControlPlane) error {
		return c.startAPIServer(ctx, arguments, environment)
	})
}

func begin(ctx context.Context, o Options, start func(context.Context, *ControlPlane) error) (_ *ControlPlane, err error) {
	began := time.Now()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the control plane did not start within %s", startTimeout))
		defer cancel()
	}

	c, err := prepare(o)
	if err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	ctx, c.failed = context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
				err = errors.Join(cause, err)
			}
			err = errors.Join(fmt.Errorf("start control plane: %w", err), c.Stop())
		}
		c.failed(nil)
	}()

	if err := start(ctx, c); err != nil {
		return nil, err
	}
	c.log("control plane ready after %s: %s", since(began), c.admin.Host)
	return c, nil
}

// prepare finds the repository, checks that everything Start needs is there
// and lays out the state folder.
func prepare(o Options) (*ControlPlane, error) {
	c := &ControlPlane{root: o.Root, dir: o.Dir, keepDir: o.Dir != "", packages: o.Packages, budget: plenty, log: o.Log, failed: func(error) {}}
	if o.RealBudget {
		c.budget = realBudget
	}
	if c.log == nil {
		c.log = func(string, ...any) {}
	}
	var err error
	if c.root == "" {
		if c.root, err = FindRoot(); err != nil {
			return nil, err
		}
	}
	if c.root, err = filepath.Abs(c.root); err != nil {
		return nil, err
	}
	if err := c.checkBinaries(o.Functions); err != nil {
		return nil, err
	}
	if c.dir == "" {
		c.dir, err = os.MkdirTemp("", "aphex-controlplane-")
	} else {
		c.dir, err = filepath.Abs(c.dir)
	}
	if err != nil {
		return nil, err
	}
	for _, folder := range []string{"logs", "tmp", "xpkg"} {
		if err := os.MkdirAll(filepath.Join(c.dir, folder), 0o700); err != nil {
			return nil, err
		}
	}
	c.pki, err = newPKI(c.dir)
	return c, err
}

// start brings everything up. What does not depend on each other runs at the
// same time.
func (c *ControlPlane) start(ctx context.Context, o Options) error {
	// Crossplane's certificates need an RSA key, which takes longer than the API
	// server may be kept waiting for.
	mtls := make(chan error, 1)
	go func() { mtls <- c.pki.makeCrossplaneCA() }()

	if err := c.stage("API server", func() error { return c.startAPIServer(ctx, nil, nil) }); err != nil {
		return err
	}
	if err := <-mtls; err != nil {
		return err
	}
	if err := c.createNamespaces(ctx); err != nil {
		return err
	}

	all, ctx := errgroup.WithContext(ctx)
	roles, crossplane := make(chan struct{}), make(chan struct{})
	all.Go(func() error {
		return c.stage("Kubernetes controllers, scheduler and nodes", func() error { return c.startKubernetes(ctx) })
	})
	all.Go(func() error {
		defer close(roles)
		return c.stage("RBAC", func() error { return c.applyRBAC(ctx) })
	})
	all.Go(func() error {
		<-roles
		err := c.stage("Crossplane", func() error { return c.startCrossplane(ctx) })
		close(crossplane)
		if err != nil {
			return err
		}
		if o.Packages {
			return nil
		}
		if err := c.stage(fmt.Sprintf("%d functions", len(o.Functions)), func() error { return c.startFunctions(ctx, o.Functions) }); err != nil {
			return err
		}
		return c.stage("Aphex APIs", func() error { return c.installAPIs(ctx) })
	})
	all.Go(func() error {
		if o.Packages {
			return c.stage("Cloudflare simulator", func() error { return c.startCloudflare(ctx) })
		}
		return c.stage("Cloudflare provider and simulator", func() error {
			return errors.Join(c.startCloudflare(ctx), c.startProvider(ctx))
		})
	})
	all.Go(func() error {
		// The API server spends much time on each CRD, and twice as much if many come
		// at once.
		<-crossplane
		return c.stage("CRDs of the neighbours", func() error { return c.installNeighbours(ctx, o.Without) })
	})
	return all.Wait()
}

// stage runs one part of Start and says how long it took.
func (c *ControlPlane) stage(name string, run func() error) error {
	began := time.Now()
	if err := run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.log("%-44s %s", name, since(began))
	return nil
}

func since(began time.Time) string {
	return fmt.Sprintf("%.1fs", time.Since(began).Seconds())
}

// RESTConfig returns an administrator's access.
func (c *ControlPlane) RESTConfig() *rest.Config { return rest.CopyConfig(c.admin) }

// Kubeconfig returns the path of an administrator's kubeconfig file.
func (c *ControlPlane) Kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

// Dir returns the folder with state and logs.
func (c *ControlPlane) Dir() string { return c.dir }

// Root returns the repository that the control plane was started from.
func (c *ControlPlane) Root() string { return c.root }

// Logs returns the path of a process's log. It exists once the process was
// started.
func (c *ControlPlane) Logs(name string) string {
	return filepath.Join(c.dir, "logs", name+".log")
}

// Processes returns the names of everything that was started, in that order.
func (c *ControlPlane) Processes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, len(c.processes))
	for _, p := range c.processes {
		names = append(names, p.name)
	}
	return names
}

// PID returns the process id of a running process, 0 if it does not run.
func (c *ControlPlane) PID(name string) int {
	p, err := c.process(name)
	if err != nil {
		return 0
	}
	return p.pid()
}

// Kill ends a process at once, as a crash would. It stays down until Restart.
func (c *ControlPlane) Kill(name string) error {
	p, err := c.process(name)
	if err != nil {
		return err
	}
	return p.kill()
}

// Restart starts a process again, on the same ports, and waits until it serves.
// A process that still runs is killed first. Extra arguments hold until the next
// Restart.
func (c *ControlPlane) Restart(ctx context.Context, name string, extra ...string) error {
	p, err := c.process(name)
	if err != nil {
		return err
	}
	if err := p.kill(); err != nil {
		return err
	}
	p.extra = extra
	return p.start(ctx)
}

// Stop ends every process, the last one started first, and removes the state
// folder unless Options named one. It may be called more than once.
func (c *ControlPlane) Stop() error {
	c.neighbour.Lock()
	for _, s := range c.standIns {
		s.stop()
	}
	c.standIns = nil
	c.neighbour.Unlock()
	c.mu.Lock()
	c.stopped = true
	processes := c.processes
	c.processes = nil
	c.mu.Unlock()

	var errs []error
	for i := len(processes) - 1; i >= 0; i-- {
		errs = append(errs, processes[i].kill())
	}
	if !c.keepDir && c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

func (c *ControlPlane) process(name string) (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.processes {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no process %q in this control plane", name)
}

// FindRoot walks up from the working directory to the repository.
func FindRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "apis")); err == nil {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				return dir, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no repository above %s; set Options.Root", wd)
		}
	}
}
