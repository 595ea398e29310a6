package argocdrbac

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// Argo CD ignores a sync option that it does not know, so a Platform accepts those that are documented, and no others.
func TestSyncOptionsAreThoseThatArgoCDDocuments(t *testing.T) {
	definition, err := os.ReadFile("../../apis/platform/definition.yaml")
	require.NoError(t, err)
	rule := regexp.MustCompile(`self\.matches\(r'(\^[^']*CreateNamespace[^']*\$)'\)`).FindSubmatch(definition)
	require.NotNil(t, rule, "no rule for sync options")
	accepted := regexp.MustCompile(string(rule[1]))

	var names []string
	for _, option := range documentedOptions(t) {
		name, _, _ := strings.Cut(option, "=")
		names = append(names, name)
		require.Regexp(t, accepted, option)
	}
	require.Equal(t, sorted(names), sorted(regexp.MustCompile(`[A-Z][A-Za-z]+`).FindAllString(accepted.String(), -1)))
}

// documentedOptions are the sync options of whole applications in the examples of Argo CD's own page.
func documentedOptions(t *testing.T) []string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3").Output()
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "docs", "user-guide", "sync-options.md"))
	require.NoError(t, err)
	var out []string
	for _, example := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1) {
		var application struct {
			Spec struct {
				SyncPolicy struct {
					SyncOptions []string `json:"syncOptions"`
				} `json:"syncPolicy"`
			} `json:"spec"`
		}
		if yaml.Unmarshal(example[1], &application) == nil { // some are parts of a file
			out = append(out, application.Spec.SyncPolicy.SyncOptions...)
		}
	}
	require.NotEmpty(t, out)
	return out
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
