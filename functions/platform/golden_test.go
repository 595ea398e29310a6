package main

import (
	"testing"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/rendertest"
)

func TestGolden(t *testing.T) {
	rendertest.Golden(t, rendertest.Options[v1alpha1.XPlatform]{
		Function: "platform", CRD: v1alpha1.CRDName, Compose: Compose,
	})
}
