// Command apidocs writes the reference of the APIs, one page for each kind, from what the API server checks objects with:
// the XRDs in apis/ and the CRDs in package/crds. It knows no kind by name. A keyword of a schema that it does not know is an
// error, so that no rule is left out.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "folder of the repository")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "apidocs:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	apis, err := load(root)
	if err != nil {
		return err
	}
	pages := map[string]string{"README.md": index(apis)}
	for _, a := range apis {
		text, err := page(a)
		if err != nil {
			return fmt.Errorf("%s: %w", a.Source, err)
		}
		if _, twice := pages[a.file()]; twice {
			return fmt.Errorf("%s: another kind has the page %s", a.Source, a.file())
		}
		pages[a.file()] = text
	}
	return write(filepath.Join(root, "docs", "api"), pages)
}

// write makes the folder hold the pages and no others.
func write(folder string, pages map[string]string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range old {
		if _, kept := pages[filepath.Base(path)]; !kept {
			errs = append(errs, os.Remove(path))
		}
	}
	for name, text := range pages {
		errs = append(errs, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	}
	return errors.Join(errs...)
}
