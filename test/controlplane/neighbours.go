package controlplane

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Neighbour is a product that Aphex works with and that a platform may lack.
// Its real CRDs are installed; of the products themselves only the controller
// of Tekton Triggers runs, and what judges secret stores is played.
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

// startTektonTriggers starts the controller that turns an EventListener into a
// Deployment and a Service, under its own service account with the roles of its
// release. What the release runs in pods besides, webhooks and interceptors,
// does not run.
func (c *ControlPlane) startTektonTriggers(ctx context.Context, release []*unstructured.Unstructured) error {
	const name = "tekton-triggers-controller"
	c.neighbour.Lock()
	defer c.neighbour.Unlock()
	if slices.Contains(c.Processes(), name) {
		return nil
	}
	if err := c.applyAll(ctx, ofKind(release, "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap")); err != nil {
		return err
	}
	interceptors, err := readManifests(c.root, filepath.Join(".cache", "crds", string(TektonTriggers), "interceptors", "core-interceptors.yaml"))
	if err != nil {
		return err
	}
	if err := c.applyAll(ctx, interceptors); err != nil {
		return err
	}
	kubeconfig, err := c.serviceAccountKubeconfig("tekton-pipelines", name)
	if err != nil {
		return err
	}
	// The controller takes it for its own metrics, and writes it into the listeners it makes.
	metrics, err := freePorts(1)
	if err != nil {
		return err
	}
	return c.run(ctx, &process{
		name:   name,
		binary: c.Binary(name),
		env: []string{
			"METRICS_PROMETHEUS_PORT=" + strconv.Itoa(metrics[0]),
			"SYSTEM_NAMESPACE=tekton-pipelines",
			"CONFIG_LOGGING_NAME=config-logging-triggers",
			"CONFIG_OBSERVABILITY_NAME=config-observability-triggers",
			"CONFIG_DEFAULTS_NAME=config-defaults-triggers",
			"CONFIG_LEADERELECTION_NAME=config-leader-election-triggers-controllers",
			"METRICS_DOMAIN=tekton.dev/triggers",
			// It ends up in the listeners' pods; the controller itself serves none.
			"METRICS_PROMETHEUS_PORT=9000",
			"KUBERNETES_MIN_VERSION=v1.28.0",
		},
		args: func([]int) []string { return []string{"-kubeconfig=" + kubeconfig} },
	})
}
