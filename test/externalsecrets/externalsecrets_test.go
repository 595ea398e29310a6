// Package externalsecrets holds the composed secret stores and the example that teams copy against External Secrets' own
// code: the types, and the rules of its webhook, which its CRDs do not have. It is a module of its own, at the last version
// that has its providers in one module, since later ones replace parts of themselves. The API is the v1 that they serve too,
// and the golden files are held against their CRDs.
package externalsecrets

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	_ "github.com/external-secrets/external-secrets/pkg/provider/kubernetes" // registers what validates such stores
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
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

// External Secrets lets a namespace use a store if the selector of one condition matches its labels, see
// https://github.com/external-secrets/external-secrets/blob/v0.19.2/pkg/controllers/secretstore/client_manager.go. The package
// of that decision needs the clients of all clouds; this is the same decision.
func TestAStoreServesItsOrganizationAlone(t *testing.T) {
	store := composedStore(t)
	require.Len(t, store.Spec.Conditions, 1, "any one that matches would do, and none would serve everybody")
	condition := store.Spec.Conditions[0]
	require.Empty(t, condition.Namespaces)
	require.Empty(t, condition.NamespaceRegexes)
	selector, err := metav1.LabelSelectorAsSelector(condition.NamespaceSelector)
	require.NoError(t, err)

	own := append(read[corev1.Namespace](t, organizationGolden, "Namespace"), read[corev1.Namespace](t, pipelineGolden, "Namespace")...)
	require.Len(t, own, 2)
	for _, ns := range own {
		require.True(t, selector.Matches(labels.Set(ns.Labels)), ns.Name)
	}
	for name, other := range map[string]labels.Set{
		"a namespace of nobody":                    nil,
		"another organization's":                   {"aphex.dev/org": "rival", "platform.aphex/organization": "rival"},
		"one without the label that is a right":    {"platform.aphex/organization": "acme-corp", "aphex/tenant": "my-app"},
		"an organization's whose name begins so":   {"aphex.dev/org": "acme-corp-2"},
		"an organization's name in other letters":  {"aphex.dev/org": "ACME-CORP"},
		"one that has the name as its own":         {"kubernetes.io/metadata.name": "acme-corp"},
		"one that has the label with another name": {"aphex/org": "acme-corp"},
	} {
		t.Run(name+" is refused", func(t *testing.T) { require.False(t, selector.Matches(other)) })
	}
}
