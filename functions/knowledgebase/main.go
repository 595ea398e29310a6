// Command function-knowledgebase composes KnowledgeBases: a validated list of documentation in GitHub repositories.
//
// Consumers read it from the ConfigMap knowledgebase-<name> in the claim's namespace, mounted or through the API. Its
// keys are a promise:
//
//   - displayName and description: text, as in the claim; description is left out if there is none.
//   - repositories.json: an array in the claim's order of {"url": "https://github.com/<org>/<repo>", "branch": "main",
//     "paths": [".kiro/docs"]}, with every default filled in. Consumers have to ignore fields that they do not know.
//
// While a claim is invalid, the ConfigMap keeps the last valid list. An XKnowledgeBase that was made directly has no
// namespace for the ConfigMap, so it fails and says to create a claim.
package main

import (
	"aphex.io/platform/apis/knowledgebase/v1alpha1"
	"aphex.io/platform/functions/internal/runner"
)

func main() { runner.Main("function-knowledgebase", v1alpha1.CRDName, Compose) }
