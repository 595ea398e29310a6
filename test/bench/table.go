package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table prints lines below headings, all columns of all groups aligned.
type table struct {
	header []string
	lines  []line
}

// line is a heading if it has one cell.
type line []string

func (t *table) group(heading string) { t.lines = append(t.lines, line{heading}) }

func (t *table) add(cells ...string) { t.lines = append(t.lines, cells) }

func (t *table) print(out io.Writer) error {
	var widths []int
	lines := append([]line{t.header}, t.lines...)
	for _, l := range lines {
		for i, cell := range l {
			if len(l) == 1 {
				break
			}
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, l := range lines {
		text := l[0]
		if len(l) > 1 {
			text = "  "
			for i, cell := range l {
				text += cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			}
		}
		if _, err := fmt.Fprintln(out, strings.TrimRight(text, " ")); err != nil {
			return err
		}
	}
	return nil
}

// ratio compares with a floor.
func ratio(ours, floor float64) string {
	if floor <= 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", ours/floor)
}

// target says what is to be reached beside a floor, and whether it was. A most of 0 is no target.
func target(ours, floor, most float64) (what, reached string) {
	if most == 0 {
		return "", ""
	}
	return fmt.Sprintf("≤ %.1f × floor", most), met(ours <= most*floor)
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "MISSED"
}
