package controlplane

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	applications   = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}
	clusterIssuers = schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "clusterissuers"}
	certificates   = schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "certificates"}
)

// platformRules are what the stand-in needs. The status of an Application is no
// subresource.
const platformRules = `
- apiGroups: [argoproj.io]
  resources: [applications]
  verbs: [get, list, watch, patch]
- apiGroups: [cert-manager.io]
  resources: [clusterissuers, certificates]
  verbs: [get, list, watch]
- apiGroups: [cert-manager.io]
  resources: [clusterissuers/status, certificates/status]
  verbs: [patch]
`

// PlayArgoCDAndCertManager makes a stand-in say, from now on, that every
// application is synced and healthy and that every issuer and certificate is
// ready. Nothing is deployed, and nothing is signed.
func (c *ControlPlane) PlayArgoCDAndCertManager(ctx context.Context) error {
	s, err := c.newStandIn(ctx, "aphex:platform-stand-in", platformRules)
	if err != nil {
		return err
	}
	ready := func(resource schema.GroupVersionResource) func(context.Context, *unstructured.Unstructured) error {
		return func(ctx context.Context, live *unstructured.Unstructured) error {
			return s.writeStatus(ctx, resource, live, map[string]any{
				"conditions": []any{condition(live, "Ready", "True", "StandIn", "nothing was signed")},
			})
		}
	}
	if err := errors.Join(
		s.play(applications, s.sync),
		s.play(clusterIssuers, ready(clusterIssuers)),
		s.play(certificates, ready(certificates)),
		s.start(ctx),
	); err != nil {
		s.stop()
		return err
	}
	c.neighbour.Lock()
	defer c.neighbour.Unlock()
	c.standIns = append(c.standIns, s)
	return nil
}

// sync says that an application is as Git has it.
func (s *standIn) sync(ctx context.Context, live *unstructured.Unstructured) error {
	if stringAt(live, "", "status", "health", "status") == "Healthy" {
		return nil
	}
	return s.merge(ctx, applications, live, map[string]any{"status": map[string]any{
		"sync":   map[string]any{"status": "Synced"},
		"health": map[string]any{"status": "Healthy"},
	}})
}
