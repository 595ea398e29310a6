package main

import (
	"bytes"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"aphex.io/platform/apis/composite"
	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/cloudflare"
	"aphex.io/platform/functions/internal/externalsecrets"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/tekton"
)

// world is a cluster as Compose sees it. The zero value has all neighbours installed and nothing else in it.
type world struct {
	// composed are the observed objects by key, objects everything else that exists.
	composed map[string]map[string]any
	objects  []map[string]any
	// without are CRDs that are not installed.
	without []string
	// entropy is the byte that all randomness of this run is made of.
	entropy byte
	// passed is the time since noon, when everything was made.
	passed time.Duration
	// image is where the function is published.
	image string
	// connection is what Crossplane keeps in the XR's connection secret.
	connection map[string][]byte
}

var noon = time.Date(2026, 1, 16, 12, 0, 0, 0, time.UTC)

// testAccount is where Cloudflare makes tunnels.
const testAccount = "65671c123fa015f89bfb9f110d0000fd"

const testUID = "0b1c6c1e-6f0a-4d39-9d1c-2f3f8a8f0001"

// organization is the XR of the claim platform-system/acme-corp.
func organization(change ...func(*v1alpha1.XOrganization)) *v1alpha1.XOrganization {
	xr := &v1alpha1.XOrganization{Spec: v1alpha1.XOrganizationSpec{
		OrganizationSpec: v1alpha1.OrganizationSpec{
			DisplayName: "ACME Corporation", AdminUsers: []string{"admin@acme-corp.com", "ops@acme-corp.com"},
		},
		Machinery: composite.Machinery{ClaimRef: &composite.ClaimReference{Namespace: "platform-system", Name: "acme-corp"}},
	}}
	for _, c := range change {
		c(xr)
	}
	return xr
}

// compose answers lookups until there are no new ones, as Crossplane does.
func (w world) compose(t testing.TB, xr *v1alpha1.XOrganization) (*object.Desired, error) {
	t.Helper()
	id := object.Identity{
		Kind: v1alpha1.ClaimKind, Namespace: "platform-system", Name: xr.Spec.ClaimRef.Name,
		XR: xr.Spec.ClaimRef.Name + "-x7k2p", UID: testUID,
	}
	required := map[string][]object.Object{}
	for range 5 {
		composed := make(map[string]object.Object, len(w.composed))
		for key, o := range w.composed {
			composed[key] = wrap(t, o)
		}
		seen := object.NewObserved(id, composed, required, bytes.NewReader(bytes.Repeat([]byte{w.entropy}, 64)))
		seen.Now, seen.Image, seen.Connection = noon.Add(w.passed), w.image, w.connection
		d, err := Compose(xr, seen)
		if !seen.Pending() {
			return d, err
		}
		for key, s := range seen.Lookups() {
			required[key] = w.find(t, s)
		}
	}
	t.Fatal("the lookups do not come to an end")
	return nil, nil
}

func (w world) find(t testing.TB, s object.Selector) []object.Object {
	t.Helper()
	found := []object.Object{}
	if s.Kind == "CustomResourceDefinition" && !slices.Contains(w.without, s.Name) {
		found = append(found, wrap(t, crd(s.Name)))
	}
	require.NotContains(t, w.without, strings.ToLower(s.Kind)+"s."+strings.Split(s.APIVersion, "/")[0], "looked up, but not served")
	for _, o := range slices.Concat(w.objects, slices.Collect(maps.Values(w.composed))) {
		have := wrap(t, o)
		if have.Kind() == s.Kind && have.String("apiVersion") == s.APIVersion && have.Namespace() == s.Namespace && have.Name() == s.Name {
			found = append(found, have)
		}
	}
	return found
}

func crd(name string) map[string]any {
	version := map[string]string{
		tekton.EventListenerCRD: "v1beta1", tekton.TriggerBindingCRD: "v1beta1",
		externalsecrets.ClusterSecretStoreCRD: "v1", cloudflare.TunnelCRD: "v1alpha1", cloudflare.DNSRecordCRD: "v1alpha1",
	}[name]
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": name},
		"spec":   map[string]any{"versions": []any{map[string]any{"name": version, "served": true}}},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}},
	}
}

// apply is the world once an answer was applied and every controller did its work.
func (w world) apply(d *object.Desired) world {
	next := w
	next.connection = merged(w.connection, d.Connection)
	next.composed = map[string]map[string]any{}
	next.objects = slices.Clone(w.objects)
	for key, r := range d.Resources() {
		o := object.NewObject(r.Object).Map()
		meta := o["metadata"].(map[string]any)
		meta["uid"] = "uid-of-" + key
		meta["creationTimestamp"] = noon.Format(time.RFC3339)
		meta["ownerReferences"] = []any{map[string]any{"kind": v1alpha1.Kind, "name": "acme-corp-x7k2p", "uid": testUID, "controller": true}}
		status := map[string]any{"conditions": []any{
			map[string]any{"type": "Ready", "status": "True"}, map[string]any{"type": "Available", "status": "True"},
		}}
		if key == keyConnector {
			status["availableReplicas"] = o["spec"].(map[string]any)["replicas"]
		}
		if key == keyTunnel {
			status["atProvider"] = map[string]any{"id": "1280a396-767b-4e77-9425-735765b5f1ae", "accountID": testAccount}
			spec := o["spec"].(map[string]any)
			ref := spec["writeConnectionSecretToRef"].(map[string]any)
			next.objects = slices.DeleteFunc(next.objects, func(o map[string]any) bool { return o["kind"] == "Secret" })
			next.objects = append(next.objects, credentials(meta["namespace"].(string), ref["name"].(string), "uid-of-"+key, "file"))
		}
		o["status"] = status
		next.composed[key] = o
	}
	return next
}

// merged is what a connection secret holds after more was published: Crossplane takes nothing out.
func merged(have, more map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	maps.Copy(out, have)
	maps.Copy(out, more)
	return out
}

// credentials is the Secret that the provider writes for a tunnel.
func credentials(namespace, name, tunnelUID, content string) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"namespace": namespace, "name": name, "ownerReferences": []any{
			map[string]any{"kind": "Tunnel", "name": "acme-corp", "uid": tunnelUID, "controller": true},
		}},
		"data": map[string]any{"credentials.json": base64.StdEncoding.EncodeToString([]byte(content))},
	}
}

// settled is the world in which the organization is complete.
func settled(t testing.TB, xr *v1alpha1.XOrganization) world {
	t.Helper()
	w := world{}
	for range 8 {
		d, err := w.compose(t, xr)
		require.NoError(t, err)
		if d.Ready {
			return w
		}
		w = w.apply(d)
	}
	t.Fatal("the organization does not become complete")
	return w
}

// keep is the world with only some of the observed objects.
func (w world) keep(keep func(key string) bool) world {
	w.composed = maps.Clone(w.composed)
	maps.DeleteFunc(w.composed, func(key string, _ map[string]any) bool { return !keep(key) })
	return w
}

func wrap(t testing.TB, o map[string]any) object.Object {
	t.Helper()
	s, err := object.From(o)
	require.NoError(t, err)
	return object.NewObject(s)
}

// get is a desired object as the given type.
func get[T any](t testing.TB, d *object.Desired, key string) T {
	t.Helper()
	r, ok := d.Resources()[key]
	require.True(t, ok, "there is no %s, only %v", key, d.Keys())
	var typed T
	require.NoError(t, object.NewObject(r.Object).Decode(&typed))
	return typed
}

func condition(t testing.TB, d *object.Desired, conditionType string) object.Condition {
	t.Helper()
	i := slices.IndexFunc(d.Conditions, func(c object.Condition) bool { return c.Type == conditionType })
	require.GreaterOrEqual(t, i, 0, "there is no condition %s", conditionType)
	return d.Conditions[i]
}

func status(t testing.TB, d *object.Desired) v1alpha1.OrganizationStatus {
	t.Helper()
	require.NotNil(t, d.Status)
	return *d.Status.(*v1alpha1.OrganizationStatus)
}

// rules are all Roles and ClusterRoles that are composed, by key.
func rules(t testing.TB, d *object.Desired) map[string][]rbacv1.PolicyRule {
	t.Helper()
	out := map[string][]rbacv1.PolicyRule{}
	for key, r := range d.Resources() {
		if kind := object.NewObject(r.Object).Kind(); kind == "Role" || kind == "ClusterRole" {
			out[key] = get[rbacv1.ClusterRole](t, d, key).Rules
		}
	}
	return out
}
