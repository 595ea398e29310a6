package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// row is one line of a table: what was measured, of ours and of the floor beside it.
type row struct {
	group, measure, ours, floor, ratio, target, met string
}

// table collects rows and prints them aligned.
type table struct {
	ours, floor string
	rows        []row
}

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// compared adds a row with the ratio of ours to the floor. A most of 0 is no target.
func (t *table) compared(r row, ours, floor, most float64) {
	if floor > 0 {
		r.ratio = fmt.Sprintf("%.2f", ours/floor)
		if most > 0 {
			r.target, r.met = fmt.Sprintf("≤ %.1f × floor", most), met(ours <= most*floor)
		}
	}
	t.add(r)
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "MISSED"
}

// print names a group once, on its first line.
func (t *table) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join([]string{"", "", t.ours, t.floor, "ratio", "target", ""}, "\t"))
	last := ""
	for _, r := range t.rows {
		group := r.group
		if group == last {
			group = ""
		}
		last = r.group
		fmt.Fprintln(w, strings.Join([]string{group, r.measure, r.ours, r.floor, r.ratio, r.target, r.met}, "\t"))
	}
	return w.Flush()
}
