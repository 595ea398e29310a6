// Command function-platform is the composition function of the Platform API: it turns one XPlatform into what the other APIs
// stand on, that is login, certificates, the applications that Argo CD deploys, and the rights of three groups. It leaves
// organizations, repositories and their pipelines to the other functions.
package main

import (
	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/runner"
)

func main() { runner.Main("function-platform", v1alpha1.CRDName, Compose) }
