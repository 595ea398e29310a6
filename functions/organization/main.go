// Command function-organization is the composition function of the Organization API: it turns one XOrganization into a
// namespace, a public webhook URL, a listener for signed webhooks, a store of secrets and the rights of its
// administrators. It leaves repositories and their pipelines to the function of RepoBinding. With the argument
// test-webhook it is what runs in the pod of a webhook test instead.
package main

import (
	"os"

	// Mozilla's CA certificates, since the image has none: the ping of a webhook test goes through a public URL.
	_ "golang.org/x/crypto/x509roots/fallback"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/ping"
	"aphex.io/platform/functions/internal/runner"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == ping.Command {
		os.Exit(ping.Main(os.Args[2:], os.Stdout))
	}
	runner.Main("function-organization", v1alpha1.CRDName, Compose)
}
