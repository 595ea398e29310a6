package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// maxSize keeps an image small enough that a node has it within seconds.
const maxSize = 25 << 20

// printTable says what was built, and fails if an image is too large.
func printTable(w io.Writer, packages []builtPackage) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "package\tplatform\tdigest\tMiB") // Flush tells of errors.
	var tooLarge error
	for _, p := range packages {
		if len(p.files) > 1 {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t\n", p.name, "all", p.digest)
		}
		for _, f := range p.files {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\n", p.name, f.platform, f.digest, float64(f.size)/(1<<20))
			if f.size > maxSize {
				tooLarge = fmt.Errorf("%s for %s has %d bytes; at most %d are allowed", p.name, f.platform, f.size, maxSize)
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return tooLarge
}
