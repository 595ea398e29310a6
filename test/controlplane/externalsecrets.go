package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
)

var clusterSecretStores = schema.GroupVersionResource{Group: "external-secrets.io", Version: "v1", Resource: "clustersecretstores"}

// storesUser is whom the stand-in for External Secrets acts as.
const storesUser = "aphex:external-secrets-stand-in"

// stores plays the part of External Secrets that says whether a store can be
// used. It is a stand-in: of what the real controller checks it makes the one
// check that a wrong role fails, as the service account that the store names.
// It copies no secrets.
type stores struct {
	*standIn
	c *ControlPlane
}

// storesRules are what the stand-in needs.
const storesRules = `
- apiGroups: [external-secrets.io]
  resources: [clustersecretstores]
  verbs: [get, list, watch]
- apiGroups: [external-secrets.io]
  resources: [clustersecretstores/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
`

func (c *ControlPlane) playExternalSecrets(ctx context.Context) error {
	c.neighbour.Lock()
	defer c.neighbour.Unlock()
	if slices.ContainsFunc(c.standIns, func(s *standIn) bool { return s.name == storesUser }) {
		return nil
	}
	s, err := c.newStandIn(ctx, storesUser, storesRules)
	if err != nil {
		return err
	}
	p := stores{s, c}
	if err := errors.Join(p.play(clusterSecretStores, p.store), p.start(ctx)); err != nil {
		p.stop()
		return err
	}
	c.standIns = append(c.standIns, s)
	return nil
}

// store says whether a store can be used.
func (p stores) store(ctx context.Context, live *unstructured.Unstructured) error {
	ready, reason, message := "True", "Valid", "store validated"
	problem := p.validate(ctx, live)
	if problem != nil {
		ready, reason, message = "False", "InvalidProviderConfig", problem.Error()
	}
	if err := p.writeStatus(ctx, clusterSecretStores, live, map[string]any{
		"capabilities": "ReadOnly",
		"conditions":   []any{condition(live, "Ready", ready, reason, message)},
	}); err != nil {
		return err
	}
	// A role that comes later is no change of the store.
	if problem != nil {
		return errNotYet
	}
	return nil
}

// validate asks, as the store's service account, for the rules that it has where
// the secrets are. A rule for some named secrets counts, as it does upstream.
func (p stores) validate(ctx context.Context, store *unstructured.Unstructured) error {
	account := func(field string) string {
		return stringAt(store, "", "spec", "provider", "kubernetes", "auth", "serviceAccount", field)
	}
	namespace, name := account("namespace"), account("name")
	if name == "" || namespace == "" {
		return errors.New("this stand-in knows stores with a Kubernetes provider and a service account only")
	}
	if _, err := p.typed.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
		return err
	}
	access, err := p.c.ServiceAccountConfig(namespace, name)
	if err != nil {
		return err
	}
	reader, err := kubernetes.NewForConfig(access)
	if err != nil {
		return err
	}
	remote := stringAt(store, "default", "spec", "provider", "kubernetes", "remoteNamespace")
	review, err := reader.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: remote},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	for _, rule := range review.Status.ResourceRules {
		if slices.Contains(rule.Resources, "secrets") && slices.Contains(rule.Verbs, "get") {
			return nil
		}
	}
	return fmt.Errorf("service account %s/%s is not allowed to get secrets in namespace %s", namespace, name, remote)
}
