// Package docs holds what the documentation says against the repository.
package docs

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	// link is [a case of a test][file].
	link = regexp.MustCompile(`\[([^\]]+)\]\[([^\]]+)\]`)
	// file is where a name leads to.
	file = regexp.MustCompile(`(?m)^\[([^\]]+)\]: (\S+)$`)
	// row is a row of the table of threats.
	row = regexp.MustCompile(`(?m)^\|([^|]+)\|([^|]+)\|([^|]+)\|([^|]+)\|$`)
)

func readSecurity(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("security.md")
	require.NoError(t, err)
	return string(text)
}

func TestEveryTestThatSecurityNamesExists(t *testing.T) {
	text := readSecurity(t)
	sources := map[string]string{}
	for _, f := range file.FindAllStringSubmatch(text, -1) {
		source, err := os.ReadFile(f[2])
		require.NoError(t, err)
		require.Regexp(t, `_test\.go$`, f[2])
		sources[f[1]] = string(source)
	}
	links := link.FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, links)
	used := map[string]bool{}
	for _, l := range links {
		name, source := l[1], l[2]
		require.Contains(t, sources, source, name)
		used[source] = true
		isTest := strings.Contains(sources[source], "\nfunc "+name+"(t *testing.T)")
		isCase := strings.Contains(sources[source], `"`+name+`"`)
		require.True(t, isTest || isCase, "%s has neither a test nor a case %q", source, name)
	}
	require.Len(t, used, len(sources), "a file that no link leads to")
}

func TestEveryThreatIsShownByATest(t *testing.T) {
	_, table, found := strings.Cut(readSecurity(t), "## Who may try what")
	require.True(t, found)
	rows := row.FindAllStringSubmatch(table, -1)
	require.Greater(t, len(rows), 2, "the head of the table, and a row")
	for _, r := range rows[2:] {
		require.Regexp(t, link, r[4], "nothing shows what stops %s", strings.TrimSpace(r[2]))
	}
}
