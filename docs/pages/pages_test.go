package pages_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/docs/pages"
)

const page = `# A page

<!-- run: use -->
` + "```sh" + `
one
two
` + "```" + `

<!-- needs: a cluster -->

` + "```console" + `
$ three
what three says
` + "```" + `

<!-- run: use -->
A sentence, which the comment is not for a block.

` + "```yaml" + `
kind: none of the shell's
` + "```" + `

1. In a list:

   <!-- run: other -->
   ` + "```bash" + `
   four
   ` + "```" + `
`

func write(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "docs"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(root, "docs", "page.md"), []byte(text), 0o600))
	return root
}

func TestBlocksAreReadWithTheirMarks(t *testing.T) {
	blocks, err := pages.Blocks(write(t, page), "docs/page.md")
	require.NoError(t, err)
	require.Equal(t, []pages.Block{
		{Page: "docs/page.md", Line: 5, Text: "one\ntwo\n", Run: "use"},
		{Page: "docs/page.md", Line: 12, Text: "three\n", Needs: "a cluster"},
		{Page: "docs/page.md", Line: 27, Text: "   four\n", Run: "other"},
	}, blocks)
}

func TestABlockWithoutAnEndIsRefused(t *testing.T) {
	_, err := pages.Blocks(write(t, "```sh\nrm\n"), "docs/page.md")
	require.EqualError(t, err, "docs/page.md ends within a block")
}

func TestAStageHasItsBlocksAlone(t *testing.T) {
	root := write(t, page)
	blocks, err := pages.Stage(root, "use")
	require.NoError(t, err)
	require.Len(t, blocks, 1)
	require.Equal(t, "docs/page.md:5", blocks[0].String())
	_, err = pages.Stage(root, "nothing")
	require.EqualError(t, err, `no page has a block that is run as "nothing"`)
}

func TestMetricsAreThoseOfASection(t *testing.T) {
	root := write(t, page)
	text := "# Metrics\n\n## One\n\n| metric | labels | meaning |\n|---|---|---|\n| `a_total`, `b_total` | `c` | `d` |\n| `go_*` | | e |\n\n## Two\n\n| `f` | | g |\n"
	require.NoError(t, os.WriteFile(filepath.Join(root, "docs", "observability.md"), []byte(text), 0o600))
	names, err := pages.Metrics(root, "One")
	require.NoError(t, err)
	require.Equal(t, []string{"a_total", "b_total", "go_*"}, names)
	_, err = pages.Metrics(root, "Three")
	require.EqualError(t, err, "docs/observability.md has no section Three")
}
