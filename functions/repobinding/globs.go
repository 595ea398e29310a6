package main

import (
	"cmp"
	"fmt"
	"strings"

	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
)

// globPrefixes are the names of all pipelines whose project may deploy to the namespace: an AppProject of app also opens
// app-*.
func globPrefixes(namespace string) []string {
	var prefixes []string
	for i := range len(namespace) {
		// A name ends in a letter or digit, so that app- is none.
		if namespace[i] == '-' && namespace[i-1] != '-' {
			prefixes = append(prefixes, namespace[:i])
		}
	}
	return prefixes
}

// globConflict finds a pipeline of another organization that could deploy here, or where this one could deploy, by the
// names alone, if this binding is the one to yield to it: one that has no namespace yet always does, of two that have
// one the younger.
func globConflict(seen *object.Observed, n names) string {
	own := seen.Composed(keyNamespace)
	for _, prefix := range globPrefixes(n.Namespace) {
		if other := seen.Get("v1", "Namespace", "", prefix); yields(own, other, n) {
			return fmt.Sprintf("spec.pipelineName: %s begins like the pipeline %s of organization %s, which may deploy to %s-*; choose another name",
				n.Pipeline, prefix, other.Label(kube.LabelTenantOrg), prefix)
		}
	}
	for _, other := range seen.List("v1", "Namespace", map[string]string{labelGlobPrefix + n.Namespace: labelGlobValue}) {
		if yields(own, other, n) {
			return fmt.Sprintf("spec.pipelineName: %s may deploy to %s-*, and the pipeline %s of organization %s is there; choose another name",
				n.Pipeline, n.Pipeline, other.Name(), other.Label(kube.LabelTenantOrg))
		}
	}
	return ""
}

// covered finds a namespace that this pipeline could deploy to and that is not its organization's. Only a binding that has
// nothing yet is asked: what Argo CD makes later for this very pipeline has no label, and no binding that works shall run
// again with every namespace of the cluster.
func covered(seen *object.Observed, n names) string {
	if len(seen.ComposedKeys()) > 0 {
		return ""
	}
	for _, ns := range seen.List("v1", "Namespace", nil) {
		if strings.HasPrefix(ns.Name(), n.Namespace+"-") && ns.Label(kube.LabelTenantOrg) != n.Organization {
			return fmt.Sprintf("spec.pipelineName: %s may deploy to %s-*, and the namespace %s is there without the label %s=%s; choose another name",
				n.Pipeline, n.Pipeline, ns.Name(), kube.LabelTenantOrg, n.Organization)
		}
	}
	return ""
}

// yields tells whether a namespace is another organization's and came first.
func yields(own, other object.Object, n names) bool {
	org := other.Label(kube.LabelTenantOrg)
	if org == "" || org == n.Organization {
		return false
	}
	return !own.Exists() || cmp.Or(
		strings.Compare(other.String("metadata", "creationTimestamp"), own.String("metadata", "creationTimestamp")),
		strings.Compare(other.Name(), own.Name())) < 0
}
