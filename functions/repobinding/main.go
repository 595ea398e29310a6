// Command function-repobinding is the composition function of RepoBinding: one GitHub repository wired to one Tekton
// pipeline, in a namespace of its own.
package main

import (
	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/runner"
)

func main() { runner.Main("function-repobinding", v1alpha1.CRDName, Compose) }
