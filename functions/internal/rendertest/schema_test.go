package rendertest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func parseOne(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	docs := parseYAML(t, text)
	require.Len(t, docs, 1)
	return docs[0]
}

func TestObjectsAreCheckedAgainstTheirRealSchema(t *testing.T) {
	cases := map[string]struct{ object, want string }{
		"a good Role": {object: `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {namespace: a, name: "a:b"}, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}`},
		"a Role with an unknown field": {
			object: `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {namespace: a, name: b}, rules: [{apiGroup: [""], resources: [pods], verbs: [get]}]}`,
			want:   `unknown field "rules[0].apiGroup"`,
		},
		"a Role with a field in other letters": {
			object: `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {namespace: a, name: b}, Rules: []}`,
			want:   `unknown field "Rules"`,
		},
		"a ConfigMap with a number": {
			object: `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: a, name: b}, data: {replicas: 2}}`,
			want:   "cannot unmarshal number",
		},
		"a ConfigMap without a namespace": {
			object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}`,
			want:   "metadata.namespace: Required value",
		},
		"a Namespace in a namespace": {
			object: `{apiVersion: v1, kind: Namespace, metadata: {namespace: a, name: b}}`,
			want:   "metadata.namespace: Forbidden",
		},
		"a Namespace with a dot": {
			object: `{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}`,
			want:   "metadata.name: Invalid value",
		},
		"a label value with a slash": {
			object: `{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {aphex/repo: acme-corp/app}}}`,
			want:   "metadata.labels: Invalid value",
		},
		"an object with a status": {
			object: `{apiVersion: v1, kind: Namespace, metadata: {name: a}, status: {phase: Active}}`,
			want:   "has a status",
		},
		"an object with a uid": {
			object: `{apiVersion: v1, kind: Namespace, metadata: {name: a, uid: "1"}}`,
			want:   "has metadata that the API server or Crossplane sets",
		},
		"a good AppProject": {object: `{apiVersion: argoproj.io/v1alpha1, kind: AppProject, metadata: {namespace: argocd, name: a}, spec: {sourceRepos: ["*"], clusterResourceWhitelist: []}}`},
		"an AppProject with an unknown field": {
			object: `{apiVersion: argoproj.io/v1alpha1, kind: AppProject, metadata: {namespace: argocd, name: a}, spec: {sourceRepositories: []}}`,
			want:   `unknown field "spec.sourceRepositories"`,
		},
		"a good ClusterSecretStore": {object: `{apiVersion: external-secrets.io/v1, kind: ClusterSecretStore, metadata: {name: a}, spec: {provider: {kubernetes: {remoteNamespace: org-a}}}}`},
		"a ClusterSecretStore without a provider": {
			object: `{apiVersion: external-secrets.io/v1, kind: ClusterSecretStore, metadata: {name: a}, spec: {}}`,
			want:   "spec.provider: Required value",
		},
		"a version that is not served": {
			object: `{apiVersion: argoproj.io/v1, kind: AppProject, metadata: {namespace: argocd, name: a}, spec: {}}`,
			want:   "CRD appprojects.argoproj.io does not serve version v1",
		},
		"a kind that nobody knows": {
			object: `{apiVersion: example.org/v1, kind: Thing, metadata: {name: a}}`,
			want:   "no CRD of example.org/v1, Kind=Thing is known",
		},
		"a Tunnel without a name at Cloudflare": {
			object: `{apiVersion: cloudflare.aphex.io/v1alpha1, kind: Tunnel, metadata: {namespace: a, name: b}, spec: {forProvider: {}}}`,
			want:   "spec.forProvider.name: Required value",
		},
		// Tekton Triggers' CRDs have no schema; test/triggers decodes those objects into upstream's types.
		"an EventListener": {object: `{apiVersion: triggers.tekton.dev/v1beta1, kind: EventListener, metadata: {namespace: a, name: b}, spec: {}}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := sharedSchemas(t).check(t.Context(), parseOne(t, c.object))
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

func TestSettledObjectsAreValidInTheirSchema(t *testing.T) {
	for _, text := range []string{
		`{apiVersion: cloudflare.aphex.io/v1alpha1, kind: Tunnel, metadata: {namespace: a, name: b}, spec: {forProvider: {name: b}, writeConnectionSecretToRef: {name: c}}}`,
		`{apiVersion: cloudflare.aphex.io/v1alpha1, kind: DNSRecord, metadata: {namespace: a, name: b}, spec: {forProvider: {name: b.example.org, tunnelRef: {name: b}}}}`,
		`{apiVersion: external-secrets.io/v1, kind: ClusterSecretStore, metadata: {name: a}, spec: {provider: {kubernetes: {}}}}`,
		`{apiVersion: triggers.tekton.dev/v1beta1, kind: EventListener, metadata: {namespace: a, name: b}, spec: {}}`,
	} {
		o := parseOne(t, text)
		settle(o, nil)
		require.NotEmpty(t, o.Object["status"])
		s := sharedSchemas(t)
		k, err := s.kind(o.GroupVersionKind())
		require.NoError(t, err)
		k.Default(o)
		require.NoError(t, k.ValidateCreate(t.Context(), o))
	}
}

func TestOwnKindsAreFoundInOurXRDs(t *testing.T) {
	s := sharedSchemas(t)
	crd, err := s.crdOf(schema.GroupVersionKind{Group: "aphex.io", Version: "v1alpha1", Kind: "RepoBinding"})
	require.NoError(t, err)
	require.Equal(t, "repobindings.aphex.io", crd.Name)
	crd, err = s.crdNamed("xorganizations.aphex.io")
	require.NoError(t, err)
	require.Equal(t, "XOrganization", crd.Spec.Names.Kind)
	crd, err = s.crdNamed("things.example.org")
	require.NoError(t, err)
	require.Nil(t, crd)
}
