package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// printer writes what the reader of the demo sees. The control plane reports
// from several goroutines.
type printer struct {
	mu     sync.Mutex
	out    io.Writer
	stages int
}

func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

func (p *printer) stage(title string) {
	p.stages++
	p.line("\n%d. %s", p.stages, title)
}

// detail is one line of a stage.
func (p *printer) detail(format string, args ...any) { p.line("   "+format, args...) }

// details are the lines of a text.
func (p *printer) details(text string) {
	for line := range strings.Lines(text) {
		p.detail("%s", strings.TrimRight(line, "\n"))
	}
}

// command runs a program and returns what it prints.
func command(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

func short(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
