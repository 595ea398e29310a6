package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// attempts is how often a process is started anew on other ports when one of
// its ports was taken between being picked and being used.
const attempts = 5

// process is one program that runs beside us.
type process struct {
	name   string
	binary string
	env    []string
	// ports is how many free ports the program needs; args gets them.
	ports int
	args  func(port []int) []string
	// extra are arguments that Restart added.
	extra []string
	// ready says whether the program serves and, if not, what was seen. A
	// program without it counts as ready once it runs.
	ready func(ctx context.Context, port []int) (ok bool, seen string)
	// died is told when the program ends without having been killed; by default,
	// that is an error of the control plane.
	died func(p *process, err error)

	dir, log string

	port  []int
	began int64 // where the log of the latest start begins

	mu  sync.Mutex
	now *life
}

// life is one run of a program, from its start to its end.
type life struct {
	cmd *exec.Cmd
	// ended is closed at the end, and then err says how it came.
	ended chan struct{}
	err   error
	// killed says that the end was asked for.
	killed atomic.Bool
}

// run starts p as part of the control plane and waits until it serves.
func (c *ControlPlane) run(ctx context.Context, p *process) error {
	p.dir, p.log = c.dir, c.Logs(p.name)
	if p.died == nil {
		p.died = func(p *process, err error) {
			err = fmt.Errorf("%s ended by itself (%w); the end of %s:\n%s", p.name, err, p.log, p.tail())
			c.log("%v", err)
			c.failed(err)
		}
	}
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		return errors.New("the control plane was stopped")
	}
	c.processes = append(c.processes, p)
	c.mu.Unlock()
	return p.start(ctx)
}

// remove ends p for good.
func (c *ControlPlane) remove(p *process) error {
	c.mu.Lock()
	c.processes = slices.DeleteFunc(c.processes, func(other *process) bool { return other == p })
	c.mu.Unlock()
	return p.kill()
}

// runToEnd runs p as part of the control plane until it ends by itself.
func (c *ControlPlane) runToEnd(ctx context.Context, p *process) error {
	p.dir, p.log = c.dir, c.Logs(p.name)
	l, err := p.spawn()
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	select {
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s did not end: %w; the end of %s:\n%s", p.name, context.Cause(ctx), p.log, p.tail()), p.kill())
	case <-l.ended:
	}
	if !l.cmd.ProcessState.Success() {
		return fmt.Errorf("%s failed (%w); the end of %s:\n%s", p.name, l.err, p.log, p.tail())
	}
	return nil
}

// start starts the program and waits until it serves. Ports are picked the
// first time and kept after that, because others know them.
func (p *process) start(ctx context.Context) error {
	first := p.port == nil
	for attempt := 1; ; attempt++ {
		if first {
			var err error
			if p.port, err = freePorts(p.ports); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		l, err := p.spawn()
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err = p.awaitReady(ctx, l); err == nil {
			// From now on an end is unexpected and somebody has to be told.
			go p.watch(l)
			return nil
		}
		taken := strings.Contains(p.tail(), "address already in use")
		if !taken || attempt == attempts || ctx.Err() != nil {
			return err
		}
	}
}

func (p *process) awaitReady(ctx context.Context, l *life) error {
	return await(ctx, p.name+" to serve", func(ctx context.Context) (bool, string, error) {
		select {
		case <-l.ended:
			return false, "", fmt.Errorf("%s ended at once (%w); the end of %s:\n%s", p.name, l.err, p.log, p.tail())
		default:
		}
		ok, seen := true, ""
		if p.ready != nil {
			ok, seen = p.ready(ctx, p.port)
		}
		return ok, seen, nil
	})
}

// watch reports an end that nobody asked for.
func (p *process) watch(l *life) {
	<-l.ended
	if !l.killed.Load() {
		p.died(p, l.err)
	}
}

// spawn starts the program in a process group of its own, so that Ctrl-C in a
// terminal reaches us alone and we end the others in order.
func (p *process) spawn() (*life, error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // The program has its own handle.
	if p.began, err = log.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}

	cmd := exec.Command(p.binary, append(p.args(p.port), p.extra...)...) //nolint:noctx // It outlives the call that starts it; kill ends it.
	cmd.Dir = p.dir
	cmd.Env = append(environment(p.dir), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = processAttributes()
	if _, err := fmt.Fprintf(log, "--- %s\n", strings.Join(cmd.Args, " ")); err != nil {
		return nil, err
	}
	if err := fork(cmd); err != nil {
		return nil, err
	}
	l := &life{cmd: cmd, ended: make(chan struct{})}
	p.mu.Lock()
	p.now = l
	p.mu.Unlock()
	go func() {
		if l.err = cmd.Wait(); l.err == nil {
			l.err = errors.New("exit status 0")
		}
		close(l.ended)
	}()
	return l, nil
}

// latest is what was started last, nil if nothing was.
func (p *process) latest() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// kill ends the program and waits until it is gone. Nothing here has anything
// to save, so nobody is asked politely.
func (p *process) kill() error {
	l := p.latest()
	if l == nil {
		return nil
	}
	l.killed.Store(true)
	select {
	case <-l.ended:
		return nil
	default:
	}
	if err := syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s (process %d): %w", p.name, l.cmd.Process.Pid, err)
	}
	<-l.ended
	return nil
}

// pid is 0 while the program does not run.
func (p *process) pid() int {
	l := p.latest()
	if l == nil {
		return 0
	}
	select {
	case <-l.ended:
		return 0
	default:
		return l.cmd.Process.Pid
	}
}

// environment keeps what a program inherits small: a proxy or a kubeconfig of
// the user's must not reach in here.
func environment(dir string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + filepath.Join(dir, "tmp")}
	if cover := os.Getenv("GOCOVERDIR"); cover != "" {
		env = append(env, "GOCOVERDIR="+cover)
	}
	return env
}

var (
	forks    = make(chan func())
	forkOnce sync.Once
)

// fork starts cmd from a thread that lives as long as we do. Linux ends a child
// that asked for it when the thread that started it ends, not the process, and
// a goroutine may be moved off its thread at any time.
func fork(cmd *exec.Cmd) error {
	forkOnce.Do(func() {
		go func() {
			runtime.LockOSThread()
			for f := range forks {
				f()
			}
		}()
	})
	done := make(chan error)
	forks <- func() { done <- cmd.Start() }
	return <-done
}

var (
	handedOut   = map[int]bool{}
	handedOutMu sync.Mutex
)

// freePorts picks loopback ports that nobody listens on, never the same one
// twice in one program, so that two control planes in it do not collide.
func freePorts(n int) ([]int, error) {
	handedOutMu.Lock()
	defer handedOutMu.Unlock()
	ports := make([]int, 0, n)
	for len(ports) < n {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It does not wait for anything.
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }() // Kept until all are picked, so that no two are the same.
		if port := l.Addr().(*net.TCPAddr).Port; !handedOut[port] {
			handedOut[port] = true
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// tail returns the end of what the program logged since it was last started.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	data = data[min(p.began, int64(len(data))):]
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	const most = 30
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// await polls until check is done. If ctx ends first, the error says what was
// awaited and what was seen last.
func await(ctx context.Context, what string, check func(context.Context) (done bool, seen string, err error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := "nothing"
	for {
		done, seen, err := check(ctx)
		if err != nil {
			return err
		}
		if done {
			return nil
		}
		if seen != "" && ctx.Err() == nil {
			last = seen
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s, last seen: %s: %w", what, last, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// later makes await try once more after an error that may pass.
func later(err error) (done bool, seen string, _ error) { return false, err.Error(), nil }
