package main

import "aphex.io/platform/functions/internal/settings"

// environmentConfig holds the settings that all functions share, as the claim gives them.
func environmentConfig(data map[string]any) map[string]any {
	return map[string]any{
		"apiVersion": settings.APIVersion,
		"kind":       settings.Kind,
		"metadata":   map[string]any{"name": settings.Name, "labels": map[string]any{"platform.aphex/managed-by": managedBy}},
		"data":       data,
	}
}
