package rendertest

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // for the certificate
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	cloudflare "aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
)

// playOn applies the answers until they stand still, each round with a later clock and other randomness.
func (h *harness) playOn(t *testing.T, dir string, w *world, got *fnv1.RunFunctionResponse) {
	t.Helper()
	if w.xr.GetUID() == "" {
		w.xr = w.xr.DeepCopy()
		w.xr.SetUID(uid(w.xr))
	}
	first := got
	for round := 1; ; round++ {
		require.LessOrEqual(t, round, rounds, "the answer still changes after %d rounds; the last:\n%s", rounds, printAnswer(t, w, got))
		now := start.Add(time.Duration(round) * time.Minute)
		w = w.apply(t, got, now)
		next := h.render(t, w, round)
		require.False(t, isFatal(next), "round %d ended in %v", round, next.GetResults())
		h.requireValid(t, w, next)
		requireNoSecrets(t, w, next)
		stands := sameAnswer(next, got)
		got = next
		if stands {
			break
		}
	}
	require.Subset(t, slices.Collect(maps.Keys(got.GetDesired().GetResources())),
		slices.Collect(maps.Keys(first.GetDesired().GetResources())), "objects were given up on the way")
	compare(t, filepath.Join(dir, "settled.yaml"), printAnswer(t, w, got), false)

	ready := got.GetDesired().GetComposite().GetReady() == fnv1.Ready_READY_TRUE
	if exists(dir, "waits") {
		require.False(t, ready, "the XR becomes ready; remove the file waits")
		return
	}
	if !ready {
		t.Fatalf("the XR does not become ready when everything that it asks for is there; if that is right, add an empty file waits. "+
			"The last answer:\n%s", printAnswer(t, w, got))
	}
}

// sameAnswer compares all but the time to the next run, which gets shorter while something is due.
func sameAnswer(a, b *fnv1.RunFunctionResponse) bool {
	withoutTTL := func(rsp *fnv1.RunFunctionResponse) *fnv1.RunFunctionResponse {
		rsp = proto.CloneOf(rsp)
		rsp.Meta.Ttl = nil
		return rsp
	}
	return proto.Equal(withoutTTL(a), withoutTTL(b))
}

func condition(conditionType string) map[string]any {
	return map[string]any{
		"type": conditionType, "status": "True", "reason": "Rendertest", "lastTransitionTime": start.Format(time.RFC3339),
	}
}

func conditions(conditionTypes ...string) []any {
	out := make([]any, len(conditionTypes))
	for i, c := range conditionTypes {
		out[i] = condition(c)
	}
	return out
}

// tunnelID is the id of every tunnel here.
const tunnelID = "1280a396-767b-4e77-9425-735765b5f1ae"

// account is the Cloudflare account of tunnels that name none.
const account = "0123456789abcdef0123456789abcdef"

// accountOf is where a tunnel is: where it was before, else where it shall be.
func accountOf(tunnel, before *unstructured.Unstructured) string {
	was, wanted := "", ""
	if before != nil {
		was, _, _ = unstructured.NestedString(before.Object, "status", "atProvider", "accountID")
	}
	wanted, _, _ = unstructured.NestedString(tunnel.Object, "spec", "forProvider", "accountID")
	return cmp.Or(was, wanted, account)
}

// settle sets the status that an object's controller sets when all is well, and returns what else it makes.
func settle(o, before *unstructured.Unstructured) (made []*unstructured.Unstructured) {
	status := map[string]any(nil)
	switch o.GetKind() {
	case "Namespace":
		labels := o.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels["kubernetes.io/metadata.name"] = o.GetName()
		o.SetLabels(labels)
		status = map[string]any{"phase": "Active"}
	case "Deployment":
		o.SetGeneration(1)
		replicas, found, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
		if !found {
			replicas = 1
		}
		status = map[string]any{
			"observedGeneration": int64(1), "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
			"availableReplicas": replicas, "conditions": conditions("Available", "Progressing"),
		}
	case "EventListener":
		status = map[string]any{
			"address":       map[string]any{"url": "http://el-" + o.GetName() + "." + o.GetNamespace() + ".svc.cluster.local:8080"},
			"configuration": map[string]any{"generatedName": "el-" + o.GetName()},
			"conditions":    conditions("Available", "Deployment", "Progressing", "Ready", "Service"),
		}
	case "Job":
		status = map[string]any{"succeeded": int64(1), "conditions": conditions("Complete")}
	case "Application":
		status = map[string]any{
			"sync":   map[string]any{"status": "Synced"},
			"health": map[string]any{"status": "Healthy"},
		}
	case "ClusterIssuer":
		status = map[string]any{"conditions": conditions("Ready")}
	case "Certificate":
		status = map[string]any{"conditions": conditions("Ready")}
		made = append(made, certificateSecret(o))
	case "ClusterSecretStore":
		status = map[string]any{"capabilities": "ReadOnly", "conditions": conditions("Ready")}
	case "Tunnel":
		status = map[string]any{
			"atProvider": map[string]any{
				"accountID": accountOf(o, before), "id": tunnelID, "cname": tunnelID + ".cfargotunnel.com", "status": cloudflare.TunnelHealthy,
			},
			"conditions": conditions("Ready", "Synced"),
		}
		made = append(made, tunnelCredentials(o)...)
	case "DNSRecord":
		fqdn, _, _ := unstructured.NestedString(o.Object, "spec", "forProvider", "name")
		status = map[string]any{
			"atProvider": map[string]any{"id": "372e67954025e0ba6aaa6d586b9e0b59", "fqdn": fqdn, "content": tunnelID + ".cfargotunnel.com"},
			"conditions": conditions("Ready", "Synced"),
		}
	}
	if status != nil {
		o.Object["status"] = status
	}
	return made
}

// tunnelCredentials is the connection secret that the provider writes for a Tunnel.
func tunnelCredentials(tunnel *unstructured.Unstructured) []*unstructured.Unstructured {
	name, _, _ := unstructured.NestedString(tunnel.Object, "spec", "writeConnectionSecretToRef", "name")
	if name == "" {
		return nil
	}
	file := `{"AccountTag":"` + account + `","TunnelID":"` + tunnelID + `","TunnelSecret":"bm90IGEgcmVhbCB0dW5uZWwgc2VjcmV0IGF0IGFsbA=="}`
	data := map[string]any{}
	for k, v := range map[string]string{
		cloudflare.ConnectionKeyCredentials: file,
		cloudflare.ConnectionKeyToken:       base64.StdEncoding.EncodeToString([]byte(file)),
		cloudflare.ConnectionKeyTunnelID:    tunnelID,
		cloudflare.ConnectionKeyAccountTag:  account,
	} {
		data[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "connection.crossplane.io/v1alpha1",
		"metadata": map[string]any{"namespace": tunnel.GetNamespace(), "name": name},
		"data":     data,
	}}
	secret.SetUID(uid(secret))
	_ = unstructured.SetNestedSlice(secret.Object, []any{map[string]any{ // metadata is a map
		"apiVersion": tunnel.GetAPIVersion(), "kind": tunnel.GetKind(), "name": tunnel.GetName(), "uid": string(tunnel.GetUID()), "controller": true,
	}}, "metadata", "ownerReferences")
	return []*unstructured.Unstructured{secret}
}

// SelfSigned is a certificate in PEM that nobody signed but itself, and whose key nobody has.
//
//go:embed selfsigned.crt
var SelfSigned string

// certificateSecret is the Secret that cert-manager writes for a self-signed Certificate.
func certificateSecret(certificate *unstructured.Unstructured) *unstructured.Unstructured {
	name, _, _ := unstructured.NestedString(certificate.Object, "spec", "secretName")
	data := map[string]any{}
	for k, v := range map[string]string{
		"ca.crt":  SelfSigned,
		"tls.crt": SelfSigned,
		"tls.key": "the private key of " + name,
	} {
		data[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata": map[string]any{"namespace": certificate.GetNamespace(), "name": name},
		"data":     data,
	}}
	secret.SetUID(uid(secret))
	return secret
}

// uid is a made-up id that depends on the object's name alone.
func uid(o *unstructured.Unstructured) types.UID {
	h := sha256.Sum256([]byte(o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()))
	return types.UID(fmt.Sprintf("%x-%x-4%x-8%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])[:36])
}

func unmarshalJSON(b []byte, into *map[string]any) error {
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(b, &u.Object); err != nil {
		return err
	}
	*into = whole(u.Object).(map[string]any)
	return nil
}

// whole turns whole numbers into int64, which the unstructured helpers expect.
func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	}
	return v
}
