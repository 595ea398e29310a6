package main

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/apis/knowledgebase/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
)

// maxConfigMap is how many bytes an API server takes as the data of one ConfigMap, keys and values.
const maxConfigMap = 1 << 20

// repository is one entry of repositories.json.
type repository struct {
	URL    string   `json:"url"`
	Branch string   `json:"branch"`
	Paths  []string `json:"paths"`
}

// configMap holds the resolved list for consumers.
func configMap(spec v1alpha1.KnowledgeBaseSpec, n names) *corev1.ConfigMap {
	data := map[string]string{
		dataDisplayName:  spec.DisplayName,
		dataRepositories: repositoriesJSON(spec.Repositories),
	}
	if spec.Description != "" {
		data[dataDescription] = spec.Description
	}
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: kube.Meta(n.Namespace, n.ConfigMap, n.labels()),
		Data:       data,
	}
}

func repositoriesJSON(repositories []v1alpha1.Repository) string {
	list := make([]repository, len(repositories))
	for i, r := range repositories {
		list[i] = repository{URL: r.URL, Branch: r.BranchOrDefault(), Paths: r.PathsOrDefault()}
	}
	b, _ := json.MarshalIndent(list, "", "  ") // strings only: cannot fail
	return string(b) + "\n"
}

// problems are what is wrong with a spec: what the schema refuses, and a list that no ConfigMap holds.
func problems(spec v1alpha1.KnowledgeBaseSpec, n names) []string {
	if found := spec.Validate(); len(found) > 0 {
		return found
	}
	size := 0
	for k, v := range configMap(spec, n).Data {
		size += len(k) + len(v)
	}
	if size > maxConfigMap {
		return []string{fmt.Sprintf("spec.repositories: the list takes %d bytes, and a ConfigMap holds %d; "+
			"list folders instead of their files, or split it into several KnowledgeBases", size, maxConfigMap)}
	}
	return nil
}
