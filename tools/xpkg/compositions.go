package main

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// callInstalled lets a Composition call its functions by the names that they have once they are installed. Other objects
// are left as they are.
func callInstalled(data []byte, names map[string]string) ([]byte, error) {
	var object map[string]any
	if err := yaml.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	if object["kind"] != "Composition" {
		return data, nil
	}
	spec, _ := object["spec"].(map[string]any)
	steps, _ := spec["pipeline"].([]any)
	if len(steps) == 0 {
		return nil, fmt.Errorf("a Composition without spec.pipeline")
	}
	for _, each := range steps {
		step, _ := each.(map[string]any)
		ref, _ := step["functionRef"].(map[string]any)
		name, _ := ref["name"].(string)
		installed, ok := names[name]
		if !ok {
			return nil, fmt.Errorf("step %v calls function %q, which is no package in package/meta", step["step"], name)
		}
		ref["name"] = installed
	}
	return yaml.Marshal(object)
}
