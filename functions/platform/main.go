// Command function-platform is the composition function of the Platform API: it turns one XPlatform into what the other APIs
// stand on, that is login, certificates, the applications that Argo CD deploys, and the rights of three groups. It leaves
// organizations, repositories and their pipelines to the other functions. With the argument sync-config or set-config-map it is
// what runs in the pods that set up Authentik, Dex and Argo CD instead.
package main

import (
	"os"

	// Mozilla's CA certificates, since the image has none: Authentik is reached by its public name.
	_ "golang.org/x/crypto/x509roots/fallback"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/runner"
	"aphex.io/platform/functions/platform/configsync"
)

func main() {
	if len(os.Args) > 1 {
		if command, ok := configsync.Commands[os.Args[1]]; ok {
			os.Exit(command(os.Args[2:], os.Stdout))
		}
	}
	runner.Main("function-platform", v1alpha1.CRDName, Compose)
}
