package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
`

// PlayArgoCDAndCertManager makes a stand-in say, from now on, that every
// application is synced and healthy and that every issuer and certificate is
// ready. Nothing is deployed. A certificate is there, but nobody serves with it.
func (c *ControlPlane) PlayArgoCDAndCertManager(ctx context.Context) error {
	s, err := c.newStandIn(ctx, "aphex:platform-stand-in", platformRules)
	if err != nil {
		return err
	}
	ready := func(resource schema.GroupVersionResource) func(context.Context, *unstructured.Unstructured) error {
		return func(ctx context.Context, live *unstructured.Unstructured) error {
			return s.writeStatus(ctx, resource, live, map[string]any{
				"conditions": []any{condition(live, "Ready", "True", "StandIn", "no authority was asked")},
			})
		}
	}
	issued := ready(certificates)
	if err := errors.Join(
		s.play(applications, s.sync),
		s.play(clusterIssuers, ready(clusterIssuers)),
		s.play(certificates, func(ctx context.Context, live *unstructured.Unstructured) error {
			return errors.Join(s.issue(ctx, live), issued(ctx, live))
		}),
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

// issue writes the Secret of a certificate, which is its own authority, unless
// there is one.
func (s *standIn) issue(ctx context.Context, live *unstructured.Unstructured) error {
	if len(conditionsOf(live)) > 0 {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	certificate, err := newAuthority(stringAt(live, "", "spec", "secretName"), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	_, err = s.typed.CoreV1().Secrets(live.GetNamespace()).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: stringAt(live, "", "spec", "secretName")},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			"ca.crt":                certificate.pem,
			corev1.TLSCertKey:       certificate.pem,
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		},
	}, metav1.CreateOptions{FieldManager: "aphex-stand-in"})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
