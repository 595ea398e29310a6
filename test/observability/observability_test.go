// Package observability holds what is shipped for Prometheus and Grafana against the sources of its metrics: Prometheus' own
// parser reads the expressions, and kube-state-metrics' own code makes the metrics that its configuration describes. promtool
// judges the alerts themselves, by alerts_test.yaml.
package observability

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	promql "github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/kube-state-metrics/v2/pkg/customresourcestate"
	"sigs.k8s.io/yaml"
)

const root = "../.."

var (
	// row is a row of a table of metrics: names, labels and meaning. A name that ends with * stands for all that begin so.
	row = regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|([^|]*)\\|([^|]+)\\|$")
	// quoted is a word in backquotes.
	quoted = regexp.MustCompile("`([^`]+)`")
	// suffix is what Prometheus adds to the name of a histogram.
	suffix = regexp.MustCompile(`_(bucket|count|sum)$`)
)

// documented are the labels of each metric that a section of docs/observability.md has, all sections if none is named.
func documented(t *testing.T, section string) map[string][]string {
	t.Helper()
	text := read(t, "docs/observability.md")
	if section != "" {
		_, after, found := strings.Cut(text, "\n## "+section+"\n")
		require.True(t, found, "docs/observability.md has no section %s", section)
		text, _, _ = strings.Cut(after, "\n## ")
	}
	out := map[string][]string{}
	for _, r := range row.FindAllStringSubmatch(text, -1) {
		for _, name := range words(r[1]) {
			out[name] = append(out[name], words(r[2])...)
		}
	}
	require.NotEmpty(t, out)
	return out
}

// words are those that are in backquotes.
func words(text string) []string {
	var out []string
	for _, q := range quoted.FindAllStringSubmatch(text, -1) {
		out = append(out, q[1])
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}

func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(filepath.Join(root, "package/observability/alerts.yaml"), false, model.UTF8Validation, promql.NewParser(promql.Options{}))
	require.Empty(t, errs)
	var out []rulefmt.Rule
	for _, g := range groups.Groups {
		out = append(out, g.Rules...)
	}
	require.NotEmpty(t, out)
	return out
}

// dashboard is what is checked of Grafana's model.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Datasource               *struct{ Type, UID string }
		Targets                  []struct{ RefID, Expr string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	require.NoError(t, json.Unmarshal([]byte(read(t, "package/observability/dashboard.json")), &d))
	return d
}

// expressions are all that alerts and dashboard ask for, by where that is.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, a := range alerts(t) {
		out["alert "+a.Alert] = a.Expr
	}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			out["panel "+p.Title+" "+target.RefID] = strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
		}
	}
	return out
}

// selectors are the metrics that an expression reads.
func selectors(t *testing.T, where, expr string) []*promql.VectorSelector {
	t.Helper()
	parsed, err := promql.NewParser(promql.Options{}).ParseExpr(expr)
	require.NoError(t, err, where)
	var out []*promql.VectorSelector
	promql.Inspect(parsed, func(n promql.Node, _ []promql.Node) error {
		if s, ok := n.(*promql.VectorSelector); ok {
			out = append(out, s)
		}
		return nil
	})
	require.NotEmpty(t, out, where)
	return out
}

func TestAlertsAndDashboardReadOnlyDocumentedMetricsByTheirLabels(t *testing.T) {
	known := documented(t, "")
	// What Prometheus adds when it reads a pod.
	target := []string{"namespace", "pod"}
	for where, expr := range expressions(t) {
		for _, s := range selectors(t, where, expr) {
			have, found := find(known, s.Name)
			require.True(t, found, "%s: docs/observability.md does not have %s", where, s.Name)
			for _, m := range s.LabelMatchers {
				if m.Name != model.MetricNameLabel {
					require.Contains(t, append(slices.Clone(target), have...), m.Name, "%s: %s", where, s.Name)
				}
			}
		}
	}
}

// find are the labels of a metric, or of the histogram that it is a part of.
func find(known map[string][]string, name string) (have []string, found bool) {
	for _, documented := range []string{name, suffix.ReplaceAllString(name, "")} {
		if have, found = known[documented]; found {
			return have, true
		}
	}
	for documented := range known {
		if prefix, all := strings.CutSuffix(documented, "*"); all && strings.HasPrefix(name, prefix) {
			return nil, true
		}
	}
	return nil, false
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	operations := read(t, "docs/operations.md")
	for _, a := range alerts(t) {
		require.Contains(t, []string{"warning", "critical"}, a.Labels["severity"], a.Alert)
		require.Regexp(t, `\.$`, a.Annotations["summary"], a.Alert)
		require.Regexp(t, `\.$`, a.Annotations["description"], a.Alert)
		page, anchor, _ := strings.Cut(a.Annotations["runbook_url"], "#")
		require.Equal(t, "https://aphex.io/platform/docs/operations.md", page, a.Alert)
		require.True(t, slices.ContainsFunc(headings(operations), func(h string) bool { return h == anchor }),
			"%s: docs/operations.md has no section #%s", a.Alert, anchor)
		require.Contains(t, operations, "`"+a.Alert+"`", "docs/operations.md does not name the alert")
	}
}

// headings are the anchors of the headings of a page.
func headings(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			title = regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			out = append(out, strings.ReplaceAll(title, " ", "-"))
		}
	}
	return out
}

// The alerts on certificates name those of a Platform, of which there are examples wherever one is composed.
func TestTheAlertsOnCertificatesAreAboutThoseOfAPlatform(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root, "functions/platform/testdata/*/want.yaml"))
	require.NoError(t, err)
	composed := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var o struct {
				Kind     string `json:"kind"`
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
				Spec struct {
					IssuerRef struct {
						Name string `json:"name"`
					} `json:"issuerRef"`
				} `json:"spec"`
			}
			require.NoError(t, yaml.Unmarshal([]byte(document), &o), path)
			if o.Kind == "Certificate" {
				composed[o.Metadata.Name+" of "+o.Spec.IssuerRef.Name] = path
				for _, alert := range []string{"AphexCertificateExpiresSoon", "AphexCertificateNotReady"} {
					require.True(t, selects(t, alert, map[string]string{"name": o.Metadata.Name}),
						"%s leaves out %s of %s", alert, o.Metadata.Name, path)
				}
			}
		}
	}
	require.Greater(t, len(composed), 4, "certificates of both issuers: %v", composed)
}

// selects tells whether what an alert reads may have these labels.
func selects(t *testing.T, alert string, have map[string]string) bool {
	t.Helper()
	for _, s := range selectors(t, alert, expressions(t)["alert "+alert]) {
		for _, m := range s.LabelMatchers {
			if value, known := have[m.Name]; known && !m.Matches(value) {
				return false
			}
		}
	}
	return true
}

func TestEveryAlertIsSeenToFireAndToBeSilent(t *testing.T) {
	var file struct {
		Tests []struct {
			Cases []struct {
				Alert    string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	text, err := os.ReadFile("alerts_test.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &file))
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			fires[c.Alert] = fires[c.Alert] || len(c.Expected) > 0
			silent[c.Alert] = silent[c.Alert] || len(c.Expected) == 0
		}
	}
	for _, a := range alerts(t) {
		require.True(t, fires[a.Alert], "no case in which %s fires", a.Alert)
		require.True(t, silent[a.Alert], "no case in which %s is silent", a.Alert)
	}
}

func TestTheDashboardIsOneThatGrafanaReads(t *testing.T) {
	d := readDashboard(t)
	require.Equal(t, "aphex", d.UID)
	require.NotEmpty(t, d.Title)
	require.Positive(t, d.SchemaVersion)
	require.Len(t, d.Templating.List, 1)
	require.Equal(t, "datasource", d.Templating.List[0].Type)
	require.Equal(t, "prometheus", d.Templating.List[0].Query)
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		require.NotEmpty(t, p.Title)
		require.False(t, ids[p.ID], "%s: another panel has the id %d", p.Title, p.ID)
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s lies over another panel", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type == "row" {
			continue
		}
		require.Contains(t, []string{"timeseries", "table"}, p.Type, p.Title)
		require.NotEmpty(t, p.Description, p.Title)
		require.NotNil(t, p.Datasource, p.Title)
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
	}
}

func TestMetricsOfOthersAreInTheirSource(t *testing.T) {
	for section, source := range map[string]string{
		"Crossplane":   linked(t, "crossplane"),
		"cert-manager": linked(t, "cert-manager"),
	} {
		found := literals(t, source)
		for name := range documented(t, section) {
			require.True(t, made(found, name), "%s: %s is not in %s", section, name, source)
		}
	}
	found := literals(t, moduleDir(t, "k8s.io/kube-state-metrics/v2"))
	for name := range documented(t, "kube-state-metrics") {
		if !strings.HasPrefix(name, "aphex_") {
			require.True(t, made(found, name), "kube-state-metrics does not have %s", name)
		}
	}
}

// linked is the source of a module whose CRDs are linked into .cache.
func linked(t *testing.T, module string) string {
	t.Helper()
	crds, err := filepath.EvalSymlinks(filepath.Join(root, ".cache", "crds", module))
	require.NoError(t, err, "run make crds")
	return filepath.Join(crds, "..", "..")
}

func moduleDir(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// literals are the strings in each package of a module.
func literals(t *testing.T, dir string) map[string]map[string]bool {
	t.Helper()
	packages := map[string]map[string]bool{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("metric")) {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		here := packages[filepath.Dir(path)]
		if here == nil {
			here = map[string]bool{}
			packages[filepath.Dir(path)] = here
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				word, err := strconv.Unquote(l.Value)
				require.NoError(t, err)
				here[word] = true
			}
			return true
		})
		return nil
	}))
	return packages
}

// made tells whether one package has the name, whole or as a subsystem and the rest.
func made(packages map[string]map[string]bool, name string) bool {
	for _, literal := range packages {
		if literal[name] {
			return true
		}
		for i, c := range name {
			if c == '_' && literal[name[:i]] && literal[name[i+1:]] {
				return true
			}
		}
	}
	return false
}

const claim = `
apiVersion: aphex.io/v1alpha1
kind: Organization
metadata: {namespace: team-a, name: acme-corp, creationTimestamp: "2026-01-16T22:15:00Z"}
status:
  conditions:
    - {type: Ready, status: "False", reason: Waiting}
    - {type: WebhookReady, status: "True", reason: Available}
    - {type: WebhookTested, status: Unknown, reason: NotRequested}
`

func TestKubeStateMetricsTellsOfClaims(t *testing.T) {
	var config struct {
		Kind string                          `json:"kind"`
		Spec customresourcestate.MetricsSpec `json:"spec"`
	}
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, "package/observability/kube-state-metrics.yaml")), &config))
	require.Len(t, config.Spec.Resources, 1)
	resource := config.Spec.Resources[0]
	require.Equal(t, customresourcestate.GroupVersionKind{Group: "aphex.io", Version: "*", Kind: "*"}, resource.GroupVersionKind)
	// kube-state-metrics does so for each kind that it finds.
	resource.GroupVersionKind.Version, resource.GroupVersionKind.Kind = "v1alpha1", "Organization"
	factory, err := customresourcestate.NewCustomResourceMetrics(resource)
	require.NoError(t, err)

	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(claim), object))
	var got []string
	known := documented(t, "kube-state-metrics")
	for _, family := range factory.MetricFamilyGenerators() {
		require.Contains(t, known, family.Name)
		got = append(got, strings.Split(strings.TrimSpace(string(family.Generate(object).ByteSlice())), "\n")...)
	}
	const names = `customresource_group="aphex.io",customresource_kind="Organization",customresource_version="v1alpha1",name="acme-corp",namespace="team-a"`
	require.Equal(t, []string{
		`aphex_object_created_timestamp_seconds{` + names + `} 1.7686017e+09`,
		`aphex_object_deleted_timestamp_seconds{` + names + `} 0`,
		`aphex_object_condition{` + names + `,reason="Available",type="WebhookReady"} 1`,
		`aphex_object_condition{` + names + `,reason="NotRequested",type="WebhookTested"} 0`,
		`aphex_object_condition{` + names + `,reason="Waiting",type="Ready"} 0`,
	}, got)
}
