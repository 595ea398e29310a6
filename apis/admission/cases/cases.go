// Package cases lists manifests that our APIs accept or refuse, and why. Package admission is tested with them in
// seconds, and a real API server in the end-to-end tests; both must give the same answer.
package cases

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Case is one manifest: a good one of its kind with one change.
type Case struct {
	// Name is a sentence.
	Name string
	// Kind is a key of base.
	Kind string
	// Update says that the manifest replaces the good one; otherwise it is created.
	Update bool
	// Patch is the change, a JSON merge patch in YAML: null takes a field out.
	Patch string
	// Want is part of the refusal; empty when the manifest is accepted.
	Want string
}

// Namespace is where the claims of all cases are.
const Namespace = "admission-test"

// base has a good manifest of each kind. The claims are paused, so that a running Crossplane leaves them alone.
var base = map[string]string{
	"Organization": `
apiVersion: aphex.io/v1alpha1
kind: Organization
metadata:
  name: acme-corp
  namespace: admission-test
  annotations: {crossplane.io/paused: "true"}
spec:
  displayName: ACME Corporation
  adminUsers: [admin@acme-corp.com, ops@acme-corp.com]
`,
	"XOrganization": `
apiVersion: aphex.io/v1alpha1
kind: XOrganization
metadata:
  name: acme-corp-x7k2p
  annotations: {crossplane.io/paused: "true"}
spec:
  claimRef: {apiVersion: aphex.io/v1alpha1, kind: Organization, namespace: admission-test, name: acme-corp}
  displayName: ACME Corporation
  adminUsers: [admin@acme-corp.com]
`,
	"RepoBinding": `
apiVersion: aphex.io/v1alpha1
kind: RepoBinding
metadata:
  name: my-application
  namespace: admission-test
  annotations: {crossplane.io/paused: "true"}
spec:
  aphexOrg: acme-corp
  repoOrg: acme-corp
  repoName: my-application
  pipelineName: cdktf-deploy-pipeline
  templateRef: run-pipeline-v1
  pipelineSpec: |
    apiVersion: tekton.dev/v1
    kind: Pipeline
    metadata:
      name: cdktf-deploy-pipeline
    spec:
      tasks:
        - name: deploy
          taskRef:
            name: cdktf-deploy
`,
	"XRepoBinding": `
apiVersion: aphex.io/v1alpha1
kind: XRepoBinding
metadata:
  name: my-application-4m9qd
  annotations: {crossplane.io/paused: "true"}
spec:
  claimRef: {apiVersion: aphex.io/v1alpha1, kind: RepoBinding, namespace: admission-test, name: my-application}
  aphexOrg: acme-corp
  repoOrg: acme-corp
  repoName: my-application
  pipelineName: cdktf-deploy-pipeline
  templateRef: run-pipeline-v1
  pipelineSpec: "{apiVersion: tekton.dev/v1, kind: Pipeline, metadata: {name: p}, spec: {tasks: []}}"
`,
	"KnowledgeBase": `
apiVersion: aphex.io/v1alpha1
kind: KnowledgeBase
metadata:
  name: platform-docs
  namespace: admission-test
  annotations: {crossplane.io/paused: "true"}
spec:
  displayName: Platform Documentation
  description: Archon knowledge base for platform infrastructure and tooling
  repositories:
    - url: https://github.com/bdchatham/AphexPlatformInfrastructure
      branch: main
      paths: [.kiro/docs]
    - url: https://github.com/bdchatham/AphexCLI
`,
	"XKnowledgeBase": `
apiVersion: aphex.io/v1alpha1
kind: XKnowledgeBase
metadata:
  name: platform-docs-t5c8z
  annotations: {crossplane.io/paused: "true"}
spec:
  claimRef: {apiVersion: aphex.io/v1alpha1, kind: KnowledgeBase, namespace: admission-test, name: platform-docs}
  displayName: Platform Documentation
  repositories:
    - url: https://github.com/bdchatham/AphexCLI
`,
	"Platform": `
apiVersion: aphex.io/v1alpha1
kind: Platform
metadata:
  name: home
  namespace: admission-test
  annotations: {crossplane.io/paused: "true"}
spec:
  gitops:
    repoURL: https://github.com/acme-corp/platform
`,
	"XPlatform": `
apiVersion: aphex.io/v1alpha1
kind: XPlatform
metadata:
  name: home-x7k2p
  annotations: {crossplane.io/paused: "true"}
spec:
  claimRef: {apiVersion: aphex.io/v1alpha1, kind: Platform, namespace: admission-test, name: home}
  gitops:
    repoURL: https://github.com/acme-corp/platform
  auth:
    users:
      - {username: alice, name: Alice Developer, email: alice@acme-corp.com, groups: [platform-engineering]}
`,
}

// Kinds are the kinds that have cases.
func Kinds() []string {
	return slices.Sorted(maps.Keys(base))
}

// Base is a fresh copy of the good manifest of a kind.
func Base(kind string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(base[kind]), &u.Object); err != nil {
		return nil, fmt.Errorf("good manifest of %q: %w", kind, err)
	}
	return u, nil
}

// Object is the manifest of the case.
func (c Case) Object() (*unstructured.Unstructured, error) {
	u, err := Base(c.Kind)
	if err != nil {
		return nil, err
	}
	patch := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(c.Patch), &patch); err != nil {
		return nil, fmt.Errorf("patch of %q: %w", c.Name, err)
	}
	merge(u.Object, patch)
	return u, nil
}

// merge applies a JSON merge patch (RFC 7386).
func merge(into, patch map[string]any) {
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(into, key)
		case map[string]any:
			below, ok := into[key].(map[string]any)
			if !ok {
				below = map[string]any{}
				into[key] = below
			}
			merge(below, value)
		default:
			into[key] = value
		}
	}
}

// All are the cases, each with a name of its own.
func All() []Case {
	return slices.Concat(organizations(), repoBindings(), branches(), knowledgeBases(), platforms())
}

func name(n string) string         { return fmt.Sprintf("metadata: {name: %q}", n) }
func spec(field, v string) string  { return fmt.Sprintf("spec: {%s: %q}", field, v) }
func without(field string) string  { return fmt.Sprintf("spec: {%s: null}", field) }
func admins(list ...string) string { return fmt.Sprintf("spec: {adminUsers: [%s]}", quoted(list)) }

func repositories(list ...string) string {
	return fmt.Sprintf("spec: {repositories: [%s]}", strings.Join(list, ", "))
}
func url(u string) string { return fmt.Sprintf("{url: %q}", u) }
func paths(list ...string) string {
	return repositories(fmt.Sprintf("{url: https://github.com/acme-corp/docs, paths: [%s]}", quoted(list)))
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}

// many is n strings of which each has its number in it.
func many(n int, format string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(format, i)
	}
	return out
}
