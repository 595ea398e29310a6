package controlplane

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Neighbour is a product that Aphex works with and that a platform may lack.
// Its real CRDs are installed; of the products themselves only Tekton Triggers
// runs, and what judges secret stores is played.
type Neighbour string

// The neighbours, named after their folders below .cache/crds.
const (
	TektonPipelines Neighbour = "tekton-pipelines"
	TektonTriggers  Neighbour = "tekton-triggers"
	ArgoCD          Neighbour = "argocd"
	ExternalSecrets Neighbour = "external-secrets"
	CertManager     Neighbour = "cert-manager"
)

// Neighbours returns all of them.
func Neighbours() []Neighbour {
	return []Neighbour{TektonPipelines, TektonTriggers, ArgoCD, ExternalSecrets, CertManager}
}

// installNeighbours installs all neighbours but some.
func (c *ControlPlane) installNeighbours(ctx context.Context, without []Neighbour) error {
	for _, n := range without {
		if !slices.Contains(Neighbours(), n) {
			return fmt.Errorf("Options.Without: no neighbour %q; there are %v", n, Neighbours())
		}
	}
	for _, n := range Neighbours() {
		if slices.Contains(without, n) {
			continue
		}
		if err := c.Install(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// Install installs a neighbour that Options left out and waits until its kinds
// are served. To install one twice changes nothing.
func (c *ControlPlane) Install(ctx context.Context, n Neighbour) error {
	if !slices.Contains(Neighbours(), n) {
		return fmt.Errorf("no neighbour %q; there are %v", n, Neighbours())
	}
	files, err := readManifests(c.root, filepath.Join(".cache", "crds", string(n), "*.yaml"))
	if err != nil {
		return err
	}
	crds := slices.DeleteFunc(ofKind(files, "CustomResourceDefinition"), func(crd *unstructured.Unstructured) bool {
		// Nobody here makes ApplicationSets, and the CRD alone is a quarter of all.
		return crd.GetName() == "applicationsets.argoproj.io"
	})
	if err := c.installCRDs(ctx, crds); err != nil {
		return fmt.Errorf("install %s: %w", n, err)
	}
	switch n {
	case TektonTriggers:
		err = c.startTektonTriggers(ctx, files)
	case ExternalSecrets:
		err = c.playExternalSecrets(ctx)
	case TektonPipelines, ArgoCD, CertManager:
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", n, err)
	}
	return nil
}
