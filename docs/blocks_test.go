package docs

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/docs/pages"
)

const root = ".."

func allBlocks(t *testing.T) []pages.Block {
	t.Helper()
	all, err := pages.All(root)
	require.NoError(t, err)
	var out []pages.Block
	for _, page := range all {
		blocks, err := pages.Blocks(root, page)
		require.NoError(t, err)
		out = append(out, blocks...)
	}
	require.NotEmpty(t, out)
	return out
}

// needed is all that a block may need for which no test runs it.
var needed = []string{
	"Docker",
	"a change to try",
	// The block runs tests, or what tests run.
	"a run of its own",
	// TestPlatform and TestAnArgoCDThatIsThereAlready take these from the page, each where it belongs.
	"a Platform",
	"the Secrets of a Platform",
	"an Argo CD",
	// TestTerraformsStateIsTakenAlong takes it from the page, with names of its own.
	"Terraform's state",
	// TestMovingToAnotherAccount makes one.
	"a second account",
	// In the embedded control plane, nothing but packages runs.
	"a cluster",
	"pods that run",
}

func TestEveryBlockOfCommandsIsRunOrSaysWhatItNeeds(t *testing.T) {
	tests, err := os.ReadFile("../test/e2e/packages_test.go")
	require.NoError(t, err)
	for _, b := range allBlocks(t) {
		require.NotEqual(t, b.Run == "", b.Needs == "",
			"%s: write <!-- run: stage --> before the block, for a test to run it, or <!-- needs: what it needs -->", b)
		if b.Run != "" {
			require.Regexp(t, `\.(follow|giveToken)\(t, "`+regexp.QuoteMeta(b.Run)+`"`, string(tests), "%s: TestInstalledAsPackages has no such stage", b)
			continue
		}
		require.True(t, slices.ContainsFunc(needed, func(reason string) bool {
			rest, found := strings.CutPrefix(b.Needs, reason)
			return found && (rest == "" || strings.ContainsAny(rest[:1], ", "))
		}), "%s: needs %q, which does not begin with any of %q", b, b.Needs, needed)
	}
}

func TestEveryBlockIsOneThatBashReads(t *testing.T) {
	for _, b := range allBlocks(t) {
		command := exec.CommandContext(t.Context(), "bash", "-n")
		command.Stdin = strings.NewReader(b.Text)
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s: %s", b, out)
	}
}

var (
	// makes is a target of make that a command names; REGISTRY=… and the like may come before it.
	makes = regexp.MustCompile(`\bmake (?:[A-Z_]+=\S+ )*([a-z][a-z0-9-]*)`)
	// code is what a page shows as typed within a sentence.
	code = regexp.MustCompile("`([^`\n]+)`")
)

func TestEveryMakeCommandHasATarget(t *testing.T) {
	var rules string
	for _, path := range []string{"../Makefile", "../tools/tools.mk"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		rules += string(text)
	}
	all, err := pages.All(root)
	require.NoError(t, err)
	check := func(where, text string) {
		for _, m := range makes.FindAllStringSubmatch(text, -1) {
			require.Regexp(t, `(?m)^`+regexp.QuoteMeta(m[1])+`:`, rules, "%s: make has no %s", where, m[1])
		}
	}
	for _, page := range all {
		text, err := os.ReadFile("../" + page)
		require.NoError(t, err)
		for _, c := range code.FindAllStringSubmatch(string(text), -1) {
			check(page, c[1])
		}
	}
	for _, b := range allBlocks(t) {
		check(b.String(), regexp.MustCompile(`#.*`).ReplaceAllString(b.Text, ""))
	}
}

// reference is a link of Markdown to a file of the repository.
var reference = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestEveryLinkLeadsToAFile(t *testing.T) {
	all, err := pages.All(root)
	require.NoError(t, err)
	for _, page := range all {
		text, err := os.ReadFile("../" + page)
		require.NoError(t, err)
		folder := page[:strings.LastIndexByte(page, '/')+1]
		for _, r := range reference.FindAllStringSubmatch(string(text), -1) {
			path, anchor, _ := strings.Cut(r[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := "../" + page
			if path != "" {
				target = "../" + folder + path
			}
			_, err := os.Stat(target)
			require.NoError(t, err, "%s: %s", page, r[1])
			if anchor != "" {
				linked, err := os.ReadFile(target)
				require.NoError(t, err)
				require.Contains(t, anchors(string(linked)), anchor, "%s: %s", page, r[1])
			}
		}
	}
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchors are what the headings of a page are linked by.
func anchors(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if title := strings.TrimLeft(line, "#"); len(title) < len(line) && strings.HasPrefix(title, " ") {
			title = notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			out = append(out, strings.ReplaceAll(title, " ", "-"))
		}
	}
	return out
}
