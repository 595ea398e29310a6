package main

import "time"

// A group is one nested module under tools/ whose binaries are built together,
// because they share most of their packages.
type group struct {
	name     string
	about    time.Duration // a cold build on two cores, so that nobody waits without knowing how long
	binaries []binary
	stamps   []stamp
	tags     string // build tags, separated by commas
}

// A binary is one main package and the name under which it is linked.
type binary struct {
	name string
	pkg  string
}

// A stamp is a string variable that the linker sets. The value is a part of the
// version of a module that the group pins, so that raising a pin restamps too.
type stamp struct {
	symbol string
	module string
	part   part
}

// A folder is a directory inside a module that is read, not built.
type folder struct {
	link   string // below .cache
	module string
	path   string
}

const foldersGroup = "crds"

var groups = []group{
	{
		name:  "kubernetes",
		about: 8 * time.Minute,
		binaries: []binary{
			{"etcd", "go.etcd.io/etcd/server/v3"},
			{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
			{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
			{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
			{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
		},
		// Unstamped, the server reports a version that Tekton refuses to parse.
		stamps: []stamp{
			{"k8s.io/component-base/version.gitVersion", "k8s.io/kubernetes", whole},
			{"k8s.io/component-base/version.gitMajor", "k8s.io/kubernetes", major},
			{"k8s.io/component-base/version.gitMinor", "k8s.io/kubernetes", minor},
			{"k8s.io/client-go/pkg/version.gitVersion", "k8s.io/kubernetes", whole},
		},
	},
	{
		name:     "kwok",
		about:    90 * time.Second,
		binaries: []binary{{"kwok", "sigs.k8s.io/kwok/cmd/kwok"}},
	},
	{
		name:  "crossplane",
		about: time.Minute,
		// A main of our own, since upstream's listens on every address.
		binaries: []binary{{"crossplane-core", "aphex.io/platform/tools/crossplane/cmd/crossplane-core"}},
		stamps: []stamp{
			{"github.com/crossplane/crossplane-runtime/v2/pkg/version.version", "github.com/crossplane/crossplane/v2", whole},
		},
	},
	{
		name:  "tekton",
		about: 2 * time.Minute,
		// Mains of our own, for the same reason.
		binaries: []binary{
			{"eventlistenersink", "aphex.io/platform/tools/tekton/cmd/eventlistenersink"},
			{"tekton-triggers-controller", "aphex.io/platform/tools/tekton/cmd/tekton-triggers-controller"},
			{"tekton-triggers-interceptors", "aphex.io/platform/tools/tekton/cmd/tekton-triggers-interceptors"},
		},
	},
	{
		name:     "crossplane-cli",
		about:    time.Minute,
		binaries: []binary{{"crossplane", "github.com/crossplane/cli/v2/cmd/crossplane"}},
		stamps: []stamp{
			{"github.com/crossplane/crossplane-runtime/v2/pkg/version.version", "github.com/crossplane/cli/v2", whole},
		},
	},
	{
		name:     "golangci-lint",
		about:    time.Minute,
		binaries: []binary{{"golangci-lint", "github.com/golangci/golangci-lint/v2/cmd/golangci-lint"}},
	},
	{
		name:     "actionlint",
		about:    10 * time.Second,
		binaries: []binary{{"actionlint", "github.com/rhysd/actionlint/cmd/actionlint"}},
	},
	{
		name:     "cyclonedx-gomod",
		about:    20 * time.Second,
		binaries: []binary{{"cyclonedx-gomod", "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod"}},
	},
	{
		name:  "codegen",
		about: 20 * time.Second,
		binaries: []binary{
			{"angryjet", "github.com/crossplane/crossplane-tools/cmd/angryjet"},
			{"controller-gen", "sigs.k8s.io/controller-tools/cmd/controller-gen"},
		},
	},
	{
		name:     "promtool",
		about:    2 * time.Minute,
		binaries: []binary{{"promtool", "github.com/prometheus/prometheus/cmd/promtool"}},
		// It asks no cloud what to scrape, so it needs no cloud's client.
		tags: "remove_all_sd",
	},
	{
		name:     "terraform",
		about:    3 * time.Minute,
		binaries: []binary{{"terraform", "github.com/hashicorp/terraform"}},
	},
}

var folders = []folder{
	{"charts/crossplane", "github.com/crossplane/crossplane/v2", "cluster/charts/crossplane"},
	{"crds/argocd", "github.com/argoproj/argo-cd/v3", "manifests/crds"},
	{"crds/cert-manager", "github.com/cert-manager/cert-manager", "deploy/crds"},
	{"crds/crossplane", "github.com/crossplane/crossplane/v2", "cluster/crds"},
	{"crds/external-secrets", "github.com/external-secrets/external-secrets", "config/crds/bases"},
	{"crds/tekton-pipelines", "github.com/tektoncd/pipeline", "config/300-crds"},
	{"crds/tekton-triggers", "github.com/tektoncd/triggers", "config"},
}
