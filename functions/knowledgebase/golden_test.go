package main

import (
	"testing"

	"aphex.io/platform/apis/knowledgebase/v1alpha1"
	"aphex.io/platform/functions/internal/rendertest"
)

func TestGolden(t *testing.T) {
	rendertest.Golden(t, rendertest.Options[v1alpha1.XKnowledgeBase]{
		Function: "knowledgebase", CRD: v1alpha1.CRDName, Compose: Compose,
	})
}
