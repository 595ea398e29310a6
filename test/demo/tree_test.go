package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func object(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(manifest), &obj.Object))
	return obj
}

func TestReadiness(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		ready    bool
		message  string
	}{
		"a kind that reports nothing is ready once it exists": {
			manifest: `{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}`,
			ready:    true,
		},
		"a kind that reports is not ready before it did": {
			manifest: `{apiVersion: cloudflare.aphex.io/v1alpha1, kind: Tunnel, metadata: {name: a}}`,
			message:  "nobody has looked at it yet",
		},
		"an Application is not ready before Argo CD saw it": {
			manifest: `{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: a}}`,
			message:  "nobody has looked at it yet",
		},
		"an Application is ready when it is as in Git and works": {
			manifest: `{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: a}, status: {sync: {status: Synced}, health: {status: Healthy}}}`,
			ready:    true,
			message:  "Synced, Healthy",
		},
		"an Application that is on its way is not": {
			manifest: `{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: a}, status: {sync: {status: Synced}, health: {status: Progressing}}}`,
			message:  "Synced, Progressing",
		},
		"a claim is not ready before Crossplane saw it": {
			manifest: `{apiVersion: aphex.io/v1alpha1, kind: Organization, metadata: {name: a}}`,
			message:  "nobody has looked at it yet",
		},
		"a claim says what its phase and message say": {
			manifest: `{apiVersion: aphex.io/v1alpha1, kind: Organization, metadata: {name: a}, status: {phase: Pending, message: waiting for a Tunnel,
				conditions: [{type: Synced, status: "True"}, {type: Ready, status: "False", reason: Waiting}]}}`,
			message: "Pending: waiting for a Tunnel",
		},
		"a claim is ready when its condition Ready is true": {
			manifest: `{apiVersion: aphex.io/v1alpha1, kind: Organization, metadata: {name: a}, status: {phase: Active,
				conditions: [{type: Ready, status: "True"}]}}`,
			ready:   true,
			message: "Active",
		},
		"what could not be synced is not ready": {
			manifest: `{apiVersion: aphex.io/v1alpha1, kind: XOrganization, metadata: {name: a}, status: {
				conditions: [{type: Ready, status: "True"}, {type: Synced, status: "False", reason: ReconcileError, message: no such kind}]}}`,
			message: "ReconcileError: no such kind",
		},
		"a Deployment is ready when it is available": {
			manifest: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, status: {
				conditions: [{type: Progressing, status: "True"}, {type: Available, status: "True"}]}}`,
			ready: true,
		},
		"a Deployment without pods is not": {
			manifest: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, status: {
				conditions: [{type: Available, status: "False", reason: MinimumReplicasUnavailable}]}}`,
			message: "MinimumReplicasUnavailable",
		},
		"a namespace is ready while it is active": {
			manifest: `{apiVersion: v1, kind: Namespace, metadata: {name: a}, status: {phase: Active}}`,
			ready:    true,
		},
		"what is being deleted is not ready": {
			manifest: `{apiVersion: v1, kind: Namespace, metadata: {name: a, deletionTimestamp: "2026-01-16T23:15:00Z"}, status: {phase: Terminating}}`,
			message:  "being deleted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			ready, message := readiness(object(t, c.manifest))
			require.Equal(t, c.ready, ready)
			require.Equal(t, c.message, message)
		})
	}
}

func TestTreeIsAligned(t *testing.T) {
	tree := &node{kind: "Organization", namespace: "platform-system", name: "acme", message: "Pending: waiting", children: []*node{{
		kind: "XOrganization", name: "acme-x7k2p", children: []*node{
			{kind: "Tunnel", namespace: "org-acme", name: "acme", message: "nobody has looked at it yet"},
			{kind: "Role", namespace: "org-acme", name: "eventlistener", ready: true},
			{kind: "Namespace", name: "org-acme", ready: true},
		},
	}}}
	tree.children[0].sortChildren()
	require.Equal(t, strings.Join([]string{
		"Organization platform-system/acme  waits  Pending: waiting",
		"└─ XOrganization acme-x7k2p        waits",
		"   ├─ Namespace org-acme           ready",
		"   ├─ Role org-acme/eventlistener  ready",
		"   └─ Tunnel org-acme/acme         waits  nobody has looked at it yet",
	}, "\n"), strings.Join(tree.render(), "\n"))
}

func TestBranchesAreConnected(t *testing.T) {
	tree := &node{kind: "A", name: "a", ready: true, children: []*node{
		{kind: "B", name: "b", ready: true, children: []*node{{kind: "C", name: "c", ready: true}}},
		{kind: "D", name: "d", ready: true},
	}}
	require.Equal(t, []string{
		"A a        ready",
		"├─ B b     ready",
		"│  └─ C c  ready",
		"└─ D d     ready",
	}, tree.render())
}

func TestLongMessagesAreCutToOneLine(t *testing.T) {
	tree := &node{kind: "A", name: "a", message: "first\nsecond " + strings.Repeat("ä", 200)}
	lines := tree.render()
	require.Len(t, lines, 1)
	require.Len(t, []rune(lines[0]), widestLine)
	require.True(t, strings.HasPrefix(lines[0], "A a  waits  first second ää"))
	require.True(t, strings.HasSuffix(lines[0], "ä…"))
}

func TestWaitingSaysTheSameOnce(t *testing.T) {
	require.Equal(t, []string{
		"DNSReady: waiting for a DNSRecord",
		"ConnectorReady, TunnelReady: waiting for a Tunnel",
	}, waiting(object(t, `{status: {conditions: [
		{type: TunnelReady, status: "False", message: waiting for a Tunnel},
		{type: Ready, status: "False", message: not ready},
		{type: DNSReady, status: Unknown, message: waiting for a DNSRecord},
		{type: NamespaceReady, status: "True"},
		{type: WebhookTested, status: Unknown, reason: NotRequested, message: the annotation asks for a test},
		{type: ConnectorReady, status: "False", message: waiting for a Tunnel}]}}`)))
}

func TestReferences(t *testing.T) {
	xr := object(t, `{spec: {resourceRef: {apiVersion: aphex.io/v1alpha1, kind: XOrganization, name: a}, resourceRefs: [
		{apiVersion: v1, kind: Secret, namespace: org-acme, name: b}, {apiVersion: v1, kind: Namespace, name: org-acme}]}}`)
	one := references(xr, "resourceRef")
	require.Len(t, one, 1)
	require.Equal(t, "XOrganization", one[0].gvk.Kind)
	require.Equal(t, "aphex.io", one[0].gvk.Group)
	many := references(xr, "resourceRefs")
	require.Len(t, many, 2)
	require.Equal(t, "org-acme", many[0].namespace)
	require.Empty(t, many[1].namespace)
	require.Empty(t, references(xr, "claimRef"))
}
