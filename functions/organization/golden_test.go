package main

import (
	"testing"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/rendertest"
)

func TestGolden(t *testing.T) {
	rendertest.Golden(t, rendertest.Options[v1alpha1.XOrganization]{
		Function: "organization", CRD: v1alpha1.CRDName, Compose: Compose,
	})
}
