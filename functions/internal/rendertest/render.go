package rendertest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

// iterations is how often Crossplane calls a function again because it asks for more objects.
const iterations = 5

// render runs the function like Crossplane: again and again until it asks for no other objects.
func (h *harness) render(t *testing.T, w *world, round int) *fnv1.RunFunctionResponse {
	t.Helper()
	req := w.request(t)
	var before *fnv1.Requirements
	for range iterations + 1 {
		rsp := h.overTheWire(t, round, req)
		if isFatal(rsp) || proto.Equal(rsp.GetRequirements(), before) {
			return rsp
		}
		before = rsp.GetRequirements()
		req.Context = rsp.GetContext()
		req.RequiredResources = make(map[string]*fnv1.Resources, len(before.GetResources()))
		for key, selector := range before.GetResources() {
			found, err := w.fetch(selector)
			require.NoError(t, err, "lookup %s", key)
			req.RequiredResources[key] = found
		}
	}
	t.Fatalf("after %d calls the function still asks for other objects: %v", iterations, slices.Sorted(maps.Keys(before.GetResources())))
	return nil
}

// overTheWire calls the function with what gRPC would carry, so that what cannot be encoded is found.
func (h *harness) overTheWire(t *testing.T, round int, req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
	t.Helper()
	sent := &fnv1.RunFunctionRequest{}
	pass(t, req, sent)
	rsp, err := h.call(context.Background(), round, sent)
	require.NoError(t, err)
	got := &fnv1.RunFunctionResponse{}
	pass(t, rsp, got)
	return got
}

func pass(t *testing.T, from, to proto.Message) {
	t.Helper()
	b, err := proto.Marshal(from)
	require.NoError(t, err)
	require.NoError(t, proto.Unmarshal(b, to))
}

// printAnswer prints an answer in the order of "crossplane composition render".
func printAnswer(t *testing.T, w *world, rsp *fnv1.RunFunctionResponse) string {
	t.Helper()
	var docs []map[string]any
	if !isFatal(rsp) {
		docs = append(docs, printXR(t, w, rsp))
		docs = append(docs, printResources(t, w, rsp)...)
	}
	for _, r := range rsp.GetResults() {
		doc := map[string]any{
			"kind":     "Result",
			"severity": strings.TrimPrefix(r.GetSeverity().String(), "SEVERITY_"),
			"message":  r.GetMessage(),
		}
		if r.Reason != nil {
			doc["reason"] = r.GetReason()
		}
		docs = append(docs, doc)
	}
	var out strings.Builder
	for i, doc := range docs {
		b, err := yaml.Marshal(doc)
		require.NoError(t, err)
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(b)
	}
	return out.String()
}

func printXR(t *testing.T, w *world, rsp *fnv1.RunFunctionResponse) map[string]any {
	t.Helper()
	c := rsp.GetDesired().GetComposite()
	status, _ := toUnstructured(t, c.GetResource()).Object["status"].(map[string]any)
	require.NotNil(t, status, "the answer has no status")
	sorted := slices.SortedFunc(slices.Values(rsp.GetConditions()), func(a, b *fnv1.Condition) int {
		return strings.Compare(a.GetType(), b.GetType())
	})
	conditions := make([]any, 0, len(sorted))
	for _, c := range sorted {
		cond := map[string]any{"type": c.GetType(), "status": statusText(c.GetStatus()), "reason": c.GetReason()}
		if c.GetMessage() != "" {
			cond["message"] = c.GetMessage()
		}
		conditions = append(conditions, cond)
	}
	status["conditions"] = conditions
	doc := map[string]any{
		"apiVersion": w.xr.GetAPIVersion(),
		"kind":       w.xr.GetKind(),
		"metadata":   map[string]any{"name": w.xr.GetName(), "annotations": map[string]any{"render/ready": readyText(c.GetReady())}},
		"status":     status,
	}
	if len(c.GetConnectionDetails()) > 0 {
		details := map[string]any{}
		for k, v := range c.GetConnectionDetails() {
			details[k] = string(v)
		}
		doc["connectionDetails"] = details
	}
	return doc
}

func printResources(t *testing.T, w *world, rsp *fnv1.RunFunctionResponse) []map[string]any {
	t.Helper()
	var docs []map[string]any
	desired := rsp.GetDesired().GetResources()
	for _, key := range slices.Sorted(maps.Keys(desired)) {
		o := toUnstructured(t, desired[key].GetResource())
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[keyAnnotation] = key
		annotations["render/ready"] = readyText(desired[key].GetReady())
		o.SetAnnotations(annotations)
		docs = append(docs, o.Object)
	}
	for _, key := range slices.Sorted(maps.Keys(w.composed)) {
		if _, ok := desired[key]; !ok {
			o := w.composed[key]
			docs = append(docs, map[string]any{"kind": "Deleted", "key": key, "object": map[string]any{
				"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "namespace": o.GetNamespace(), "name": o.GetName(),
			}})
		}
	}
	return docs
}

func statusText(s fnv1.Status) string {
	switch s {
	case fnv1.Status_STATUS_CONDITION_TRUE:
		return "True"
	case fnv1.Status_STATUS_CONDITION_FALSE:
		return "False"
	default:
		return "Unknown"
	}
}

func readyText(r fnv1.Ready) string {
	switch r {
	case fnv1.Ready_READY_TRUE:
		return "true"
	case fnv1.Ready_READY_FALSE:
		return "false"
	default:
		return "unspecified"
	}
}

func isFatal(rsp *fnv1.RunFunctionResponse) bool {
	return slices.ContainsFunc(rsp.GetResults(), func(r *fnv1.Result) bool { return r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL })
}

func statusField(rsp *fnv1.RunFunctionResponse, name string) string {
	return rsp.GetDesired().GetComposite().GetResource().GetFields()["status"].GetStructValue().GetFields()[name].GetStringValue()
}

func phase(rsp *fnv1.RunFunctionResponse) string { return statusField(rsp, "phase") }
