package main

import (
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
)

// keyConfigMap is the composition-resource-name of the one composed object. Renaming it replaces the object.
const keyConfigMap = "configmap"

// The keys of the ConfigMap, which consumers rely on.
const (
	dataDisplayName  = "displayName"
	dataDescription  = "description"
	dataRepositories = "repositories.json"
)

type names struct {
	// Namespace is the claim's, empty without one.
	Namespace string
	// ConfigMap has at most 77 characters, since a claim's name has at most 63.
	ConfigMap string
}

func namesFor(id object.Identity) names {
	return names{Namespace: id.Namespace, ConfigMap: "knowledgebase-" + id.Name}
}

func (n names) labels() map[string]string {
	return map[string]string{kube.LabelManagedBy: "platform-controller"}
}

func (n names) ref() string { return object.Ref("ConfigMap", n.Namespace, n.ConfigMap) }
