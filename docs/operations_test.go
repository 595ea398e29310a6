package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

func readOperations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("operations.md")
	require.NoError(t, err)
	return string(text)
}

// listed tells whether a word is in the first two columns of a table.
func listed(text, word string) bool {
	return regexp.MustCompile("(?m)^\\|[^|]*(?:\\|[^|]*)?`" + regexp.QuoteMeta(word) + "`").MatchString(text)
}

func TestEveryReasonIsExplained(t *testing.T) {
	text := readOperations(t)
	found := map[string]string{}
	for _, dir := range []string{"../functions", "../provider-cloudflare-tunnel"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, reason := range reasons(t, file) {
				found[reason] = path
			}
			return nil
		}))
	}
	require.Greater(t, len(found), 30, "the code has more reasons: %v", found)
	for _, reason := range slices.Sorted(maps.Keys(found)) {
		require.True(t, listed(text, reason), "no table of operations.md has the reason %s of %s", reason, found[reason])
	}
}

// reasons are the strings that a file gives to a condition or an event as its reason: constants called so, and what is
// assigned to, or set as, a field of that name.
func reasons(t *testing.T, file *ast.File) []string {
	t.Helper()
	var out []string
	add := func(name string, value ast.Expr) {
		l, ok := value.(*ast.BasicLit)
		if !ok || l.Kind != token.STRING || !strings.HasPrefix(strings.ToLower(name), "reason") {
			return
		}
		text, err := strconv.Unquote(l.Value)
		require.NoError(t, err)
		out = append(out, text)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, value := range n.Values {
				add(n.Names[i].Name, value)
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok {
				add(key.Name, n.Value)
			}
		case *ast.AssignStmt:
			for i, target := range n.Lhs {
				if s, ok := target.(*ast.SelectorExpr); ok && len(n.Lhs) == len(n.Rhs) {
					add(s.Sel.Name, unwrap(n.Rhs[i]))
				}
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Event" && len(n.Args) == 2 {
				add("reason", n.Args[0])
			}
		}
		return true
	})
	return out
}

// unwrap is what new() is given.
func unwrap(value ast.Expr) ast.Expr {
	if call, ok := value.(*ast.CallExpr); ok && len(call.Args) == 1 {
		if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "new" {
			return call.Args[0]
		}
	}
	return value
}

// All condition types are set on every run, so every golden file has those of its kind.
func TestEveryConditionIsExplained(t *testing.T) {
	text := readOperations(t)
	paths, err := filepath.Glob("../functions/*/testdata/*/want.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		first, _, _ := strings.Cut(strings.TrimPrefix(string(content), "---\n"), "\n---\n")
		var xr struct {
			Kind   string `json:"kind"`
			Status struct {
				Conditions []struct{ Type string } `json:"conditions"`
			} `json:"status"`
		}
		require.NoError(t, yaml.Unmarshal([]byte(first), &xr), path)
		if !strings.HasPrefix(xr.Kind, "X") {
			continue
		}
		_, section, found := strings.Cut(text, "### Conditions of a"+article(xr.Kind)+strings.TrimPrefix(xr.Kind, "X")+"\n")
		require.True(t, found, "operations.md does not explain the conditions of %s", xr.Kind)
		section, _, _ = strings.Cut(section, "\n### ")
		for _, c := range xr.Status.Conditions {
			require.True(t, listed(section, c.Type) || listed(text, c.Type) && (c.Type == "Ready" || c.Type == "Synced"), "%s: %s of %s", path, c.Type, xr.Kind)
		}
	}
}

// article is what comes between "a" and a kind.
func article(kind string) string {
	if strings.ContainsAny(kind[1:2], "AEIO") {
		return "n "
	}
	return " "
}

func TestEveryConditionOfTheProviderIsExplained(t *testing.T) {
	text := readOperations(t)
	source, err := os.ReadFile("../provider-cloudflare-tunnel/internal/condition/condition.go")
	require.NoError(t, err)
	types := regexp.MustCompile(`ConditionType = "([A-Za-z]+)"`).FindAllStringSubmatch(string(source), -1)
	require.NotEmpty(t, types)
	for _, c := range types {
		require.True(t, listed(text, c[1]), "operations.md does not have the condition %s", c[1])
	}
}
