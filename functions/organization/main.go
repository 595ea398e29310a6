// Command function-organization is the composition function of the Organization API: it turns one XOrganization into a
// namespace, a public webhook URL, a listener for signed webhooks, a store of secrets and the rights of its
// administrators. It leaves repositories and their pipelines to the function of RepoBinding.
package main

import (
	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/runner"
)

func main() { runner.Main("function-organization", v1alpha1.CRDName, Compose) }
