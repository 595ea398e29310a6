package docs

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// Of the runs that wait in one group, GitHub cancels all but the last, also where what runs is not cancelled.
func TestNoPushTakesTheRunOfAnother(t *testing.T) {
	for path, own := range map[string]string{
		"../.github/workflows/ci.yaml":      "github.sha",
		"../.github/workflows/release.yaml": "github.ref",
	} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var workflow struct {
			Concurrency struct {
				Group string `json:"group"`
			} `json:"concurrency"`
		}
		require.NoError(t, yaml.Unmarshal(text, &workflow))
		require.Contains(t, workflow.Concurrency.Group, own, path)
	}
}
