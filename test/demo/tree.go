package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// node is one object of a tree: a claim, the XR behind it, or what that is
// composed of.
type node struct {
	kind, namespace, name string
	phase                 string
	ready                 bool
	message               string
	children              []*node
}

func (n *node) title() string {
	if n.namespace == "" {
		return n.kind + " " + n.name
	}
	return n.kind + " " + n.namespace + "/" + n.name
}

func (n *node) state() string {
	if n.ready {
		return "ready"
	}
	return "waits"
}

// nodeOf describes a live object.
func nodeOf(obj *unstructured.Unstructured) *node {
	n := &node{kind: obj.GetKind(), namespace: obj.GetNamespace(), name: obj.GetName()}
	n.phase, _, _ = unstructured.NestedString(obj.Object, "status", "phase")
	n.ready, n.message = readiness(obj)
	return n
}

// reporting are the kinds that say so themselves when they are ready.
var reporting = []string{"Application", "Certificate", "ClusterIssuer", "ClusterSecretStore", "Deployment", "DNSRecord", "EventListener", "Tunnel"}

// readiness says whether an object does its work. Most kinds have nothing to
// tell and are ready once they exist.
func readiness(obj *unstructured.Unstructured) (bool, string) {
	if obj.GetDeletionTimestamp() != nil {
		return false, "being deleted"
	}
	phase, _, _ := unstructured.NestedString(obj.Object, "status", "phase")
	message, _, _ := unstructured.NestedString(obj.Object, "status", "message")
	if phase != "" && message != "" {
		message = phase + ": " + message
	} else {
		message = phase
	}
	// The first that says something decides.
	for _, condition := range []string{"Synced", "Ready", "Available"} {
		c := conditionOf(obj, condition)
		if c == nil || condition == "Synced" && c["status"] == "True" {
			continue
		}
		if c["status"] == "True" {
			return true, message
		}
		if message == "" {
			message = said(c)
		}
		return false, message
	}
	sync, _, _ := unstructured.NestedString(obj.Object, "status", "sync", "status")
	health, _, _ := unstructured.NestedString(obj.Object, "status", "health", "status")
	switch kind := obj.GetKind(); {
	case kind == "Application" && sync+health != "":
		return sync == "Synced" && health == "Healthy", sync + ", " + health
	case kind == "Namespace":
		return phase == "Active", ""
	case obj.GroupVersionKind().Group == "aphex.io" || slices.Contains(reporting, kind):
		return false, "nobody has looked at it yet"
	}
	return true, message
}

// said is the text of a condition.
func said(condition map[string]any) string {
	reason, _ := condition["reason"].(string)
	message, _ := condition["message"].(string)
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

func conditionsOf(obj *unstructured.Unstructured) []map[string]any {
	field, _, _ := unstructured.NestedFieldNoCopy(obj.Object, "status", "conditions")
	list, _ := field.([]any)
	var conditions []map[string]any
	for _, each := range list {
		if c, ok := each.(map[string]any); ok {
			conditions = append(conditions, c)
		}
	}
	return conditions
}

func conditionOf(obj *unstructured.Unstructured, name string) map[string]any {
	for _, c := range conditionsOf(obj) {
		if c["type"] == name {
			return c
		}
	}
	return nil
}

// waiting are the conditions of a claim that are not true but for want of anybody
// who asks, one line for all that say the same.
func waiting(obj *unstructured.Unstructured) []string {
	types := map[string][]string{}
	for _, c := range conditionsOf(obj) {
		if name, _ := c["type"].(string); c["status"] != "True" && name != "Ready" && c["reason"] != "NotRequested" {
			message, _ := c["message"].(string)
			types[message] = append(types[message], name)
		}
	}
	lines := make([]string, 0, len(types))
	for _, message := range slices.Sorted(maps.Keys(types)) {
		slices.Sort(types[message])
		lines = append(lines, strings.Join(types[message], ", ")+": "+message)
	}
	return lines
}

// sortChildren puts namespaces first, since the rest is in them, and then goes
// by kind and name.
func (n *node) sortChildren() {
	slices.SortFunc(n.children, func(a, b *node) int {
		return cmp.Or(
			cmp.Compare(boolOrder(a.kind == "Namespace"), boolOrder(b.kind == "Namespace")),
			strings.Compare(a.kind, b.kind),
			strings.Compare(a.namespace, b.namespace),
			strings.Compare(a.name, b.name),
		)
	})
}

func boolOrder(first bool) int {
	if first {
		return 0
	}
	return 1
}

// The widths of a line: the first column never grows beyond the one, a line not
// beyond the other.
const (
	widestTitle = 72
	widestLine  = 140
)

// render draws the tree, aligned: what, whether it is ready, and what it says.
func (n *node) render() []string {
	type row struct {
		title string
		node  *node
	}
	var rows []row
	var walk func(n *node, first, rest string)
	walk = func(n *node, first, rest string) {
		rows = append(rows, row{first + n.title(), n})
		for i, child := range n.children {
			if i == len(n.children)-1 {
				walk(child, rest+"└─ ", rest+"   ")
			} else {
				walk(child, rest+"├─ ", rest+"│  ")
			}
		}
	}
	walk(n, "", "")

	width := 0
	for _, r := range rows {
		width = max(width, min(length(r.title), widestTitle))
	}
	lines := make([]string, 0, len(rows))
	for _, r := range rows {
		line := pad(r.title, width) + "  " + r.node.state() + "  " + r.node.message
		lines = append(lines, cut(line, widestLine))
	}
	return lines
}

func length(s string) int { return len([]rune(s)) }

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-length(s))) }

// cut shortens a text to one line of at most width characters.
func cut(s string, width int) string {
	runes := []rune(strings.ReplaceAll(strings.TrimRight(s, " \n"), "\n", " "))
	if len(runes) <= width {
		return string(runes)
	}
	return string(runes[:width-1]) + "…"
}
