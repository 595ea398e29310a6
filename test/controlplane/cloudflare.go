package controlplane

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	tunnels     = schema.GroupVersionResource{Group: "cloudflare.aphex.io", Version: "v1alpha1", Resource: "tunnels"}
	dnsRecords  = schema.GroupVersionResource{Group: "cloudflare.aphex.io", Version: "v1alpha1", Resource: "dnsrecords"}
	deployments = appsv1.SchemeGroupVersion.WithResource("deployments")
)

// The account and zone that the stand-in says everything is in, unless a spec
// names others.
const (
	standInAccount = "0123456789abcdef0123456789abcdef"
	standInZone    = "fedcba9876543210fedcba9876543210"
)

// connector is how the names of Deployments begin that run cloudflared.
const connector = "cloudflared"

// PlayCloudflare starts to play the part of the Cloudflare provider, for
// everything that is there and that comes, until StopCloudflare or Stop. It is
// a stand-in: it makes Tunnels and DNSRecords look the way the provider would
// leave them, with an id, a connection Secret and a healthy state once
// cloudflared is available in that namespace, so that what waits for them goes
// on.
//
// It calls no API, and nothing becomes reachable. It does not validate names,
// notice conflicts, rename, rotate secrets, honour management policies or
// resolve selectors and provider configs, and it sets no finalizer: deletion
// waits for nothing and has nothing to clean up.
func (c *ControlPlane) PlayCloudflare(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return fmt.Errorf("play Cloudflare: the control plane was stopped")
	}
	if c.cloudflare != nil {
		return nil
	}
	if err := c.Apply(ctx, standInRBAC); err != nil {
		return fmt.Errorf("play Cloudflare: %w", err)
	}
	p, err := c.newProvider()
	if err != nil {
		return fmt.Errorf("play Cloudflare: %w", err)
	}
	if err := p.start(ctx); err != nil {
		p.stop()
		return fmt.Errorf("play Cloudflare: %w", err)
	}
	c.cloudflare = p.standIn
	return nil
}

// StopCloudflare ends PlayCloudflare. What it made ready stays as it is.
func (c *ControlPlane) StopCloudflare() {
	c.mu.Lock()
	s := c.cloudflare
	c.cloudflare = nil
	c.mu.Unlock()
	if s != nil {
		s.stop()
	}
}

// standInRBAC is what the stand-in needs.
const standInRBAC = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: aphex:cloudflare-stand-in
rules:
- apiGroups: [cloudflare.aphex.io]
  resources: [tunnels, dnsrecords]
  verbs: [get, list, watch, patch]
- apiGroups: [cloudflare.aphex.io]
  resources: [tunnels/status, dnsrecords/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: aphex:cloudflare-stand-in
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: aphex:cloudflare-stand-in
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: aphex:cloudflare-stand-in
`

// provider plays the Cloudflare provider; see PlayCloudflare.
type provider struct{ *standIn }

func (c *ControlPlane) newProvider() (provider, error) {
	s, err := c.newStandIn("aphex:cloudflare-stand-in")
	if err != nil {
		return provider{}, err
	}
	p := provider{s}
	return p, errors.Join(
		p.play(tunnels, p.tunnel),
		p.play(dnsRecords, p.dnsRecord),
		p.watch(tunnels, func(obj *unstructured.Unstructured) { p.again(dnsRecords, obj.GetNamespace()) }),
		p.watch(deployments, func(obj *unstructured.Unstructured) {
			if strings.HasPrefix(obj.GetName(), connector) {
				p.again(tunnels, obj.GetNamespace())
			}
		}),
	)
}

func (p provider) tunnel(ctx context.Context, live *unstructured.Unstructured) error {
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(live.GetUID())).String()
	account := stringAt(live, standInAccount, "spec", "forProvider", "accountID")
	if err := p.writeConnection(ctx, live, id, account); err != nil {
		return err
	}
	return p.write(ctx, tunnels, live, id, map[string]any{
		"id":        id,
		"accountID": account,
		"status":    p.connections(live),
		"cname":     id + ".cfargotunnel.com",
		"createdAt": live.GetCreationTimestamp().UTC().Format(time.RFC3339),
	}, available())
}

// connections says what Cloudflare would say about a tunnel's connectors.
func (p provider) connections(tunnel *unstructured.Unstructured) string {
	for _, deployment := range p.list(deployments, tunnel.GetNamespace()) {
		if !strings.HasPrefix(deployment.GetName(), connector) {
			continue
		}
		if ok, _ := conditionTrue(deployment, string(appsv1.DeploymentAvailable)); ok {
			return "healthy"
		}
	}
	switch stringAt(tunnel, "", "status", "atProvider", "status") {
	case "healthy", "down":
		return "down"
	default:
		return "inactive"
	}
}

// dnsRecord points a record at what its spec says, once that exists.
func (p provider) dnsRecord(ctx context.Context, live *unstructured.Unstructured) error {
	hash := sha256.Sum256([]byte(live.GetUID()))
	id := hex.EncodeToString(hash[:16])
	content := stringAt(live, "", "spec", "forProvider", "content")
	if name := stringAt(live, "", "spec", "forProvider", "tunnelRef", "name"); name != "" {
		if tunnel := p.get(tunnels, live.GetNamespace(), name); tunnel != nil {
			content = stringAt(tunnel, "", "status", "atProvider", "cname")
		}
		if content == "" {
			return p.write(ctx, dnsRecords, live, "", nil, waiting("Tunnel "+name+" has no id yet"))
		}
	}
	return p.write(ctx, dnsRecords, live, id, map[string]any{
		"id":      id,
		"fqdn":    stringAt(live, "", "spec", "forProvider", "name"),
		"zoneID":  standInZone,
		"content": content,
	}, available())
}

// writeConnection makes the connection Secret. One that is there stays: its
// tunnel secret must not change under a running cloudflared.
func (p provider) writeConnection(ctx context.Context, tunnel *unstructured.Unstructured, id, account string) error {
	name := stringAt(tunnel, "", "spec", "writeConnectionSecretToRef", "name")
	if name == "" {
		return nil
	}
	secrets := p.typed.CoreV1().Secrets(tunnel.GetNamespace())
	have, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if err == nil && !metav1.IsControlledBy(have, tunnel) {
		return fmt.Errorf("the Secret %s is there already, and not this tunnel's", name)
	}
	if !apierrors.IsNotFound(err) {
		return err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	data, err := connection(id, account, secret)
	if err != nil {
		return err
	}
	_, err = secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:            name,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(tunnel, tunnel.GroupVersionKind())},
		},
		Type: "connection.crossplane.io/v1alpha1",
		Data: data,
	}, metav1.CreateOptions{})
	return err
}

// connection writes a tunnel's credentials in both forms that cloudflared reads.
func connection(id, account string, secret []byte) (map[string][]byte, error) {
	encoded := base64.StdEncoding.EncodeToString(secret)
	credentials, err := json.Marshal(struct{ AccountTag, TunnelSecret, TunnelID string }{account, encoded, id})
	if err != nil {
		return nil, err
	}
	token, err := json.Marshal(map[string]string{"a": account, "s": encoded, "t": id})
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"credentials.json": credentials,
		"token":            []byte(base64.StdEncoding.EncodeToString(token)),
		"tunnelID":         []byte(id),
		"accountTag":       []byte(account),
	}, nil
}

// state is what the provider says in its conditions.
type state struct{ ready, reason, message string }

func available() state             { return state{"True", "Available", ""} }
func waiting(message string) state { return state{"False", "Creating", message} }

// write stores what is not there yet, so that nothing is written twice.
func (p provider) write(ctx context.Context, resource schema.GroupVersionResource, live *unstructured.Unstructured,
	id string, seen map[string]any, now state) error {
	const externalName = "crossplane.io/external-name"
	if id != "" && live.GetAnnotations()[externalName] != id {
		patch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{externalName: id}}}
		if err := p.merge(ctx, resource, live, patch); err != nil {
			return err
		}
	}
	status := map[string]any{
		"conditions": []any{
			condition(live, "Ready", now.ready, now.reason, now.message),
			condition(live, "Synced", "True", "ReconcileSuccess", ""),
		},
		"observedGeneration": live.GetGeneration(),
	}
	if seen != nil {
		status["atProvider"] = seen
	}
	return p.writeStatus(ctx, resource, live, status)
}
