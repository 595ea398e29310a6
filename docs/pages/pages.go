// Package pages reads the pages of the documentation for the tests that hold them against the program: blocks of shell
// commands, and tables of metrics.
package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Block is what a reader is told to type.
type Block struct {
	// Page is a path below the repository, Line that of the first command.
	Page string
	Line int
	Text string
	// Run is the stage of the tests that runs it, from a comment <!-- run: stage --> before the block.
	Run string
	// Needs is what it needs that tests do not have, from a comment <!-- needs: what -->.
	Needs string
}

// String tells where the block is.
func (b Block) String() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

// All are the pages of the repository that people wrote.
func All(root string) ([]string, error) {
	var out []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			page, err := filepath.Rel(root, path)
			if err != nil {
				return nil, err
			}
			out = append(out, filepath.ToSlash(page))
		}
	}
	slices.Sort(out)
	return out, nil
}

var (
	fence = regexp.MustCompile("^ *```([a-z]*)")
	mark  = regexp.MustCompile(`^ *<!-- (run|needs): (.+) -->$`)
)

// shells are the languages of blocks of commands. In a console, commands begin with the prompt, and the rest is their output.
var shells = []string{"sh", "bash", console}

const (
	console = "console"
	prompt  = "$ "
)

// Blocks are the blocks of shell commands of a page, in its order.
func Blocks(root, page string) ([]Block, error) {
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		return nil, err
	}
	var out []Block
	var marks Block
	var open *Block
	var language string
	inside := false
	for i, line := range strings.Split(string(text), "\n") {
		begins := fence.FindStringSubmatch(line)
		switch m := mark.FindStringSubmatch(line); {
		case begins != nil && inside:
			inside = false
			if open != nil {
				out, open = append(out, *open), nil
			}
		case begins != nil:
			inside = true
			if language = begins[1]; slices.Contains(shells, language) {
				open = &Block{Page: page, Line: i + 2, Run: marks.Run, Needs: marks.Needs}
			}
			marks = Block{}
		case open != nil && language == console:
			if command, typed := strings.CutPrefix(line, prompt); typed {
				open.Text += command + "\n"
			}
		case open != nil:
			open.Text += line + "\n"
		case m != nil && m[1] == "run":
			marks.Run = m[2]
		case m != nil:
			marks.Needs = m[2]
		case strings.TrimSpace(line) != "":
			marks = Block{}
		}
	}
	if inside {
		return nil, fmt.Errorf("%s ends within a block", page)
	}
	return out, nil
}

// Stage are the blocks of all pages that a stage of the tests runs.
func Stage(root, stage string) ([]Block, error) {
	all, err := All(root)
	if err != nil {
		return nil, err
	}
	var out []Block
	for _, page := range all {
		blocks, err := Blocks(root, page)
		if err != nil {
			return nil, err
		}
		out = append(out, slices.DeleteFunc(blocks, func(b Block) bool { return b.Run != stage })...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no page has a block that is run as %q", stage)
	}
	return out, nil
}

var (
	// row is the first column of a table of metrics, which may have several.
	row = regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|")
	// metric is one of them. A name that ends with * stands for all that begin so.
	metric = regexp.MustCompile("`([a-z0-9_]+\\*?)`")
)

// Metrics are the names in a section of docs/observability.md.
func Metrics(root, section string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "observability.md"))
	if err != nil {
		return nil, err
	}
	_, after, found := strings.Cut(string(text), "\n## "+section+"\n")
	if !found {
		return nil, fmt.Errorf("docs/observability.md has no section %s", section)
	}
	after, _, _ = strings.Cut(after, "\n## ")
	var out []string
	for _, r := range row.FindAllStringSubmatch(after, -1) {
		for _, m := range metric.FindAllStringSubmatch(r[1], -1) {
			out = append(out, m[1])
		}
	}
	return out, nil
}
