// Package externalsecrets holds the composed secret stores and the example that teams copy against External Secrets' own
// code: the rules of its webhook, which its CRDs do not have, and its decision who may use a store. It is a module of its
// own, at the last version whose one module has both; the API is the v1 that later versions serve, and every other test
// holds the same objects against their CRDs.
package externalsecrets

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	"github.com/external-secrets/external-secrets/pkg/controllers/secretstore"
	_ "github.com/external-secrets/external-secrets/pkg/provider/kubernetes" // registers what validates such stores
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const (
	organizationGolden = "../../functions/organization/testdata/everything-is-ready/want.yaml"
	pipelineGolden     = "../../functions/repobinding/testdata/fresh/settled.yaml"
	example            = "../../examples/organization/externalsecret.yaml"
)

// read decodes all objects of a kind in a file, with no unknown field allowed.
func read[T any](t *testing.T, path, kind string) []*T {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var out []*T
	for _, doc := range strings.Split("\n"+string(b), "\n---") {
		var meta metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal([]byte(doc), &meta), path)
		if meta.Kind != kind {
			continue
		}
		raw, err := yaml.YAMLToJSONStrict([]byte(doc))
		require.NoError(t, err, path)
		o := new(T)
		unknown, err := kjson.UnmarshalStrict(raw, o)
		require.NoError(t, errors.Join(append(unknown, err)...), path)
		out = append(out, o)
	}
	return out
}

func composedStore(t *testing.T) *esv1.ClusterSecretStore {
	t.Helper()
	stores := read[esv1.ClusterSecretStore](t, organizationGolden, "ClusterSecretStore")
	require.Len(t, stores, 1)
	return stores[0]
}

func TestComposedStoresAreWhatTheWebhookTakes(t *testing.T) {
	tested := 0
	for _, name := range []string{"want.yaml", "settled.yaml"} {
		paths, err := filepath.Glob("../../functions/organization/testdata/*/" + name)
		require.NoError(t, err)
		for _, path := range paths {
			for _, store := range read[esv1.ClusterSecretStore](t, path, "ClusterSecretStore") {
				warnings, err := (&esv1.GenericStoreValidator{}).ValidateCreate(t.Context(), store)
				require.NoError(t, err, path)
				require.Empty(t, warnings, path)
				tested++
			}
		}
	}
	require.NotZero(t, tested)
}

// What the webhook refuses shows that the rules above are those meant.
func TestTheWebhookRefusesAStoreThatIsLess(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*esv1.ClusterSecretStore)
		want   string
	}{
		"without the API server's CA": {
			func(s *esv1.ClusterSecretStore) { s.Spec.Provider.Kubernetes.Server.CAProvider = nil }, "a CABundle or CAProvider is required"},
		"with the CA of an unknown namespace": {
			func(s *esv1.ClusterSecretStore) { s.Spec.Provider.Kubernetes.Server.CAProvider.Namespace = nil }, "CAProvider.namespace must not be empty with ClusterSecretStore"},
		"of one namespace with the CA of another": {
			func(s *esv1.ClusterSecretStore) { s.Kind = esv1.SecretStoreKind }, "CAProvider.namespace must be empty with SecretStore"},
		"with two sources": {
			func(s *esv1.ClusterSecretStore) { s.Spec.Provider.Fake = &esv1.FakeProvider{} }, "exactly one backend specified, found 2"},
		"with a condition that is no expression": {
			func(s *esv1.ClusterSecretStore) { s.Spec.Conditions[0].NamespaceRegexes = []string{"("} }, "failed to compile"},
	} {
		t.Run(name, func(t *testing.T) {
			store := composedStore(t)
			c.change(store)
			_, err := (&esv1.GenericStoreValidator{}).ValidateCreate(t.Context(), store)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestTheExampleIsWhatTheWebhookTakes(t *testing.T) {
	secrets := read[esv1.ExternalSecret](t, example, "ExternalSecret")
	require.Len(t, secrets, 1)
	_, err := (&esv1.ExternalSecretValidator{}).ValidateCreate(t.Context(), secrets[0])
	require.NoError(t, err)
	require.Equal(t, esv1.SecretStoreRef{Kind: esv1.ClusterSecretStoreKind, Name: composedStore(t).Name}, secrets[0].Spec.SecretStoreRef)

	secrets[0].Spec.Data = nil
	_, err = (&esv1.ExternalSecretValidator{}).ValidateCreate(t.Context(), secrets[0])
	require.ErrorContains(t, err, "either data or dataFrom should be specified")
}

// External Secrets decides by the store's conditions before it looks whether the store is ready, which this one is not: no
// API server stands behind it.
func TestAStoreServesItsOrganizationAlone(t *testing.T) {
	const ready, denied = "is not ready", "denied by spec.condition"
	namespaces := append(
		read[corev1.Namespace](t, organizationGolden, "Namespace"),
		read[corev1.Namespace](t, pipelineGolden, "Namespace")...)
	require.Len(t, namespaces, 2)
	for name, labels := range map[string]map[string]string{
		"their-app":   {"aphex.dev/org": "rival", "platform.aphex/organization": "rival"},
		"default":     nil,
		"acme-corp":   {"platform.aphex/organization": "acme-corp"},
		"look-alike":  {"aphex.dev/org": "acme-corp-2"},
		"upper-case":  {"aphex.dev/org": "ACME-CORP"},
		"other-label": {"aphex/org": "acme-corp"},
	} {
		namespaces = append(namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	}
	store := composedStore(t)
	scheme := runtime.NewScheme()
	require.NoError(t, corev1.AddToScheme(scheme))
	require.NoError(t, esv1.AddToScheme(scheme))
	objects := []client.Object{store}
	for _, ns := range namespaces {
		objects = append(objects, ns)
	}
	manager := secretstore.NewManager(fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(), "", true)

	for namespace, want := range map[string]string{
		"org-acme-corp": ready, "my-app": ready,
		"their-app": denied, "default": denied, "acme-corp": denied, "look-alike": denied, "upper-case": denied, "other-label": denied,
	} {
		t.Run(namespace, func(t *testing.T) {
			_, err := manager.Get(t.Context(), esv1.SecretStoreRef{Kind: esv1.ClusterSecretStoreKind, Name: store.Name}, namespace, nil)
			require.ErrorContains(t, err, want)
		})
	}
}
