// Nothing is built here. The file pins the modules whose CRDs and charts are
// read from the module cache. What they depend on is never loaded, so `go mod
// tidy` does not apply: change a version by hand and run `make crds`, which adds
// the sums to go.sum.
module aphex.io/platform/tools/crds

go 1.26

require (
	github.com/argoproj/argo-cd/v3 v3.5.7
	github.com/cert-manager/cert-manager v1.21.2
	github.com/crossplane/crossplane/v2 v2.4.0
	github.com/external-secrets/external-secrets v1.3.2
	github.com/tektoncd/pipeline v1.10.0
	github.com/tektoncd/triggers v0.35.0
)
