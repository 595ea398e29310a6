package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/config"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"go.yaml.in/yaml/v3"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"knative.dev/pkg/apis"
	kjson "sigs.k8s.io/json"
	kyaml "sigs.k8s.io/yaml"

	"aphex.io/platform/apis/repobinding/v1alpha1"
)

const (
	pipelineAPIVersion = "tekton.dev/v1"
	pipelineKind       = "Pipeline"

	// maxNodes and maxItems bound the work of Tekton's validation, which grows with the square of what it finds wrong.
	maxNodes = 10_000
	maxItems = 200
	// maxDepth and maxExpandedBytes bound what a document becomes once its aliases are followed.
	maxDepth         = 64
	maxExpandedBytes = 2 * v1alpha1.MaxPipelineSpecBytes
	// maxProblems is how many problems a message names.
	maxProblems = 5
)

// pipeline is what a pipelineSpec says.
type pipeline struct {
	// spec is the user's own spec. It is sent as written, without null values: Tekton's defaults would become ours by
	// server-side apply, and change with each version of Tekton.
	spec                map[string]any
	labels, annotations map[string]string
	// params and workspaces are what the pipeline declares.
	params     []pipelinev1.ParamSpec
	workspaces []pipelinev1.PipelineWorkspaceDeclaration
}

// object is the Pipeline under the name that the binding gives it. It is a copy: a parsed pipeline is shared between runs.
func (p *pipeline) object(n names) map[string]any {
	labels := maps.Clone(p.labels)
	if labels == nil {
		labels = make(map[string]string, 3)
	}
	maps.Copy(labels, n.Labels())
	metadata := map[string]any{"namespace": n.Namespace, "name": n.Pipeline, "labels": stringMap(labels)}
	if len(p.annotations) > 0 {
		metadata["annotations"] = stringMap(p.annotations)
	}
	return map[string]any{
		"apiVersion": pipelineAPIVersion,
		"kind":       pipelineKind,
		"metadata":   metadata,
		"spec":       runtime.DeepCopyJSON(p.spec),
	}
}

func stringMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// parsePipeline reads exactly one Tekton Pipeline, strictly. Problems start with the path in the YAML.
func parsePipeline(text string) (p *pipeline, problems []string) {
	// What reads the document here was made by others for documents of friends.
	defer func() {
		if r := recover(); r != nil {
			p, problems = nil, []string{fmt.Sprintf("cannot be read: %v", r)}
		}
	}()
	if len(text) > v1alpha1.MaxPipelineSpecBytes {
		return nil, []string{fmt.Sprintf("must have at most %d bytes", v1alpha1.MaxPipelineSpecBytes)}
	}
	if problem := checkYAML(text); problem != "" {
		return nil, []string{problem}
	}
	// The same conversion as kubectl's, so that the document means here what it means there.
	raw, err := kyaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, []string{yamlProblem(err)}
	}
	var doc map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &doc); err != nil {
		return nil, []string{"must be a mapping with apiVersion, kind, metadata and spec"}
	}
	if problems := checkKind(doc); problems != nil {
		return nil, problems
	}
	var typed pipelinev1.Pipeline
	unknown, err := kjson.UnmarshalStrict(raw, &typed)
	if err != nil {
		return nil, []string{typeProblem(raw, err)}
	}
	for _, u := range unknown {
		problems = append(problems, unknownProblem(u))
	}
	problems = append(problems, dropNulls("", doc)...)
	problems = append(problems, checkMetadata(&typed)...)
	if len(problems) == 0 {
		problems = checkPipeline(&typed)
	}
	if len(problems) > 0 {
		return nil, firstProblems(problems)
	}
	spec, _ := doc["spec"].(map[string]any)
	return &pipeline{
		spec: spec, labels: typed.Labels, annotations: typed.Annotations,
		params: typed.Spec.Params, workspaces: typed.Spec.Workspaces,
	}, nil
}

// firstProblems sorts them, and keeps a message readable.
func firstProblems(problems []string) []string {
	problems = slices.Compact(slices.Sorted(slices.Values(problems)))
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems:maxProblems], fmt.Sprintf("and %d more", more))
	}
	return problems
}

// checkYAML refuses what the conversion to JSON would hide (a second document, keys that are given twice or are no
// strings) or what would cost too much to convert.
func checkYAML(text string) string {
	dec := yaml.NewDecoder(strings.NewReader(text))
	var doc, next yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return "must hold one Pipeline; it holds no YAML document"
	case err != nil:
		return yamlProblem(err)
	}
	for {
		err := dec.Decode(&next)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return yamlProblem(err)
		}
		if len(next.Content) != 1 || next.Content[0].ShortTag() != "!!null" {
			return "must hold one Pipeline; it holds more than one YAML document"
		}
	}
	w := walker{anchors: make(map[*yaml.Node]extent)}
	w.walk("", &doc, 0)
	return w.problem
}

// walker judges a YAML tree before its aliases are followed.
type walker struct {
	// anchors holds what each anchored node expands to; a node that is not there when it is used contains itself.
	anchors map[*yaml.Node]extent
	problem string
}

// extent is how many bytes, nodes and levels a node has once aliases are followed.
type extent struct{ bytes, nodes, levels int }

func (e *extent) add(inner extent) {
	e.bytes += inner.bytes
	e.nodes += inner.nodes
	e.levels = max(e.levels, inner.levels+1)
}

func (w *walker) fail(path, format string, args ...any) {
	if w.problem == "" {
		w.problem = at(path, fmt.Sprintf(format, args...))
	}
}

func (w *walker) walk(path string, n *yaml.Node, depth int) extent {
	e := extent{bytes: len(n.Value) + 1, nodes: 1}
	if w.problem != "" {
		return e
	}
	if depth > maxDepth {
		w.fail(path, "nested more than %d levels deep (line %d)", maxDepth, n.Line)
		return e
	}
	switch n.Kind {
	case yaml.AliasNode:
		target, ok := w.anchors[n.Alias]
		if !ok {
			w.fail(path, "the alias *%s contains itself (line %d)", n.Value, n.Line)
		}
		e.add(target)
	case yaml.MappingNode:
		e.add(w.mapping(path, n, depth))
	case yaml.SequenceNode:
		if len(n.Content) > maxItems {
			w.fail(path, "has %d items, may have at most %d", len(n.Content), maxItems)
		}
		for i, item := range n.Content {
			e.add(w.walk(fmt.Sprintf("%s[%d]", path, i), item, depth+1))
		}
	default:
		for _, item := range n.Content {
			e.add(w.walk(path, item, depth))
		}
	}
	switch {
	case e.bytes > maxExpandedBytes:
		w.fail(path, "its aliases expand to more than %d KiB (line %d)", maxExpandedBytes>>10, n.Line)
	case e.nodes > maxNodes:
		w.fail(path, "has more than %d keys and values (line %d)", maxNodes, n.Line)
	case depth+e.levels > 2*maxDepth:
		w.fail(path, "its aliases nest more than %d levels deep (line %d)", 2*maxDepth, n.Line)
	}
	if n.Anchor != "" {
		w.anchors[n] = e
	}
	return e
}

func (w *walker) mapping(path string, n *yaml.Node, depth int) extent {
	var e extent
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		child := join(path, key.Value)
		line, twice := lines[key.Value]
		switch tag := key.ShortTag(); {
		case tag == "!!merge":
		case key.Kind != yaml.ScalarNode || tag != "!!str":
			w.fail(path, "keys must be strings; put the key of line %d in quotes", key.Line)
		case key.Style == 0 && isYAML11Bool(key.Value):
			w.fail(child, "YAML reads this key as a boolean; put it in quotes (line %d)", key.Line)
		case twice:
			w.fail(child, "given twice (lines %d and %d)", line, key.Line)
		}
		lines[key.Value] = key.Line
		e.bytes += len(key.Value) + 1
		e.nodes++
		e.add(w.walk(child, value, depth+1))
	}
	return e
}

// isYAML11Bool tells whether YAML 1.1, which Kubernetes reads, takes a plain word for a boolean that YAML 1.2 does not.
func isYAML11Bool(word string) bool {
	switch strings.ToLower(word) {
	case "y", "n", "yes", "no", "on", "off":
		return true
	}
	return false
}

// yamlProblem shortens an error of the YAML packages, such as "yaml: line 3: did not find expected key".
func yamlProblem(err error) string {
	text := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	text = strings.TrimPrefix(text, "yaml: ")
	return "is no valid YAML: " + strings.Join(strings.Fields(text), " ")
}

func checkKind(doc map[string]any) []string {
	var problems []string
	for _, want := range []struct{ key, value string }{{"apiVersion", pipelineAPIVersion}, {"kind", pipelineKind}} {
		switch have, ok := doc[want.key]; {
		case !ok:
			problems = append(problems, at(want.key, "is required and must be "+want.value))
		case have != want.value:
			problems = append(problems, at(want.key, fmt.Sprintf("found %.80q, need %s", fmt.Sprint(have), want.value)))
		}
	}
	return problems
}

func unknownProblem(err error) string {
	if path, ok := strings.CutPrefix(err.Error(), `unknown field "`); ok {
		return at(strings.TrimSuffix(path, `"`), "unknown field")
	}
	return err.Error()
}

// typeProblem names the path of a value of the wrong type.
func typeProblem(raw []byte, err error) string {
	var te *json.UnmarshalTypeError
	if !errors.As(err, &te) {
		return strings.TrimPrefix(err.Error(), "json: ")
	}
	path := te.Field
	if exact := pathAt(raw, te.Offset); exact != "" {
		path = exact
	}
	have, _, _ := strings.Cut(te.Value, " ")
	need := te.Type.Kind().String()
	switch te.Type.Kind() {
	case reflect.Struct, reflect.Map, reflect.Pointer, reflect.Interface:
		need = "object"
	case reflect.Slice:
		need = "array"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Float64:
		need = "number"
	default:
	}
	inYAML := strings.NewReplacer("object", "mapping", "array", "list", "bool", "boolean")
	have, need = inYAML.Replace(have), inYAML.Replace(need)
	return at(path, fmt.Sprintf("found a %s, need a %s", have, need))
}

// pathAt is the path of the value that an offset in a JSON document lies in, empty if there is none.
func pathAt(raw []byte, offset int64) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	var open []level
	for {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		delim, isDelim := token.(json.Delim)
		if delim == '}' || delim == ']' {
			open = open[:len(open)-1]
		} else if key, ok := token.(string); ok && len(open) > 0 && open[len(open)-1].awaitsKey {
			open[len(open)-1].key, open[len(open)-1].awaitsKey = key, false
			continue
		}
		path := ""
		if len(open) > 0 {
			path = open[len(open)-1].path()
		}
		if dec.InputOffset() >= offset {
			return path
		}
		switch {
		case delim == '{':
			open = append(open, level{at: path, index: -1, awaitsKey: true})
		case delim == '[':
			open = append(open, level{at: path})
		case len(open) > 0 && (!isDelim || delim == '}' || delim == ']'):
			open[len(open)-1].next()
		}
	}
}

// level is a list or mapping that pathAt is inside of.
type level struct {
	at        string
	index     int // -1 in a mapping
	key       string
	awaitsKey bool
}

func (l *level) path() string {
	if l.index < 0 {
		return join(l.at, l.key)
	}
	return fmt.Sprintf("%s[%d]", l.at, l.index)
}

func (l *level) next() {
	if l.index < 0 {
		l.awaitsKey = true
	} else {
		l.index++
	}
}

// dropNulls takes null values out of mappings, where they mean the same as nothing, and refuses them in lists.
func dropNulls(path string, v any) []string {
	var problems []string
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			if item == nil {
				delete(v, k)
				continue
			}
			problems = append(problems, dropNulls(join(path, k), item)...)
		}
	case []any:
		for i, item := range v {
			p := fmt.Sprintf("%s[%d]", path, i)
			if item == nil {
				problems = append(problems, at(p, "must not be empty"))
				continue
			}
			problems = append(problems, dropNulls(p, item)...)
		}
	}
	return problems
}

// checkMetadata checks what of the metadata is kept: labels and annotations.
func checkMetadata(p *pipelinev1.Pipeline) []string {
	metadata := field.NewPath("metadata")
	errs := metav1validation.ValidateLabels(p.Labels, metadata.Child("labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(p.Annotations, metadata.Child("annotations"))...)
	var problems []string
	for _, err := range errs {
		problems = append(problems, at(err.Field, err.ErrorBody()))
	}
	return problems
}

// tektonDefaults is a Tekton without a configuration of its own. It is only read.
var tektonDefaults = config.ToContext(context.Background(), config.FromContextOrDefaults(context.Background()))

// checkPipeline asks Tekton, as its admission webhook would. The name stands in for the binding's.
func checkPipeline(p *pipelinev1.Pipeline) []string {
	if len(p.Spec.Tasks) == 0 {
		return []string{at("spec.tasks", "must have at least one task")}
	}
	p.Name, p.Namespace = "pipeline", "pipeline"
	p.SetDefaults(tektonDefaults)
	var problems []string
	for _, err := range p.Validate(tektonDefaults).Filter(apis.ErrorLevel).WrappedErrors() {
		text := err.Message
		if err.Details != "" {
			text += " (" + err.Details + ")"
		}
		problems = append(problems, at(strings.Join(err.Paths, ", "), strings.Join(strings.Fields(text), " ")))
	}
	return problems
}

func at(path, problem string) string {
	if path == "" {
		return problem
	}
	return path + ": " + problem
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// runParams are the parameters that a run passes: those that the pipeline declares and an event, or the platform, knows.
// Tekton refuses a run with a parameter that its pipeline does not declare, and one without a required parameter.
func (p *pipeline) runParams(known []string) (pass, problems []string) {
	for i, param := range p.params {
		isString := param.Type == "" || param.Type == pipelinev1.ParamTypeString
		path := fmt.Sprintf("spec.params[%d]", i)
		switch {
		case slices.Contains(known, param.Name) && isString:
			pass = append(pass, param.Name)
		case param.Default != nil:
		case isString:
			problems = append(problems, at(path, fmt.Sprintf("%q has no default and no event provides it; provided are %s",
				param.Name, strings.Join(known, ", "))))
		default:
			problems = append(problems, at(path, fmt.Sprintf("%q is an %s without a default, but events provide only strings",
				param.Name, param.Type)))
		}
	}
	for i, w := range p.workspaces {
		if !w.Optional {
			problems = append(problems, at(fmt.Sprintf("spec.workspaces[%d]", i),
				fmt.Sprintf("%q is not optional, but runs that an event starts have no workspaces; "+
					"mark it optional, or let the tasks use a volume of their own", w.Name)))
		}
	}
	return pass, problems
}
