package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// apiServer is a Kubernetes API server without objects. It grants the right to everything but CustomResourceDefinitions.
type apiServer struct {
	mu sync.Mutex
	// listed are the requests that list, by path.
	listed map[string]*http.Request
}

// served are the resources of the API server, as "Kind plural", by their path.
var served = map[string][]string{
	"/api/v1":                       {"Secret secrets"},
	"/apis/apiextensions.k8s.io/v1": {"CustomResourceDefinition customresourcedefinitions"},
	"/apis/authorization.k8s.io/v1": {"SelfSubjectAccessReview selfsubjectaccessreviews"},
	"/apis/cloudflare.aphex.io/v1alpha1": {
		"Tunnel tunnels", "DNSRecord dnsrecords", "ProviderConfig providerconfigs",
		"ClusterProviderConfig clusterproviderconfigs", "ProviderConfigUsage providerconfigusages"},
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	var answer any
	switch {
	case r.Method == http.MethodPost:
		review := &authorizationv1.SelfSubjectAccessReview{}
		if err := json.NewDecoder(r.Body).Decode(review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Status.Allowed = review.Spec.ResourceAttributes.Resource != "customresourcedefinitions"
		answer = review
	case r.URL.Path == "/api":
		answer = metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	case r.URL.Path == "/apis":
		answer = groups()
	case served[r.URL.Path] != nil:
		answer = resources(served[r.URL.Path])
	case query.Has("sendInitialEvents"):
		http.Error(w, "lists are not streamed here", http.StatusBadRequest)
		return
	case query.Has("watch"):
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	default:
		s.mu.Lock()
		s.listed[r.URL.Path] = r
		s.mu.Unlock()
		answer = map[string]any{"metadata": metav1.ListMeta{ResourceVersion: "1"}, "items": []any{}}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func groups() metav1.APIGroupList {
	out := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList"}}
	for path := range served {
		if name, found := strings.CutPrefix(path, "/apis/"); found {
			group, version, _ := strings.Cut(name, "/")
			v := metav1.GroupVersionForDiscovery{GroupVersion: name, Version: version}
			out.Groups = append(out.Groups, metav1.APIGroup{Name: group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
		}
	}
	return out
}

func resources(names []string) metav1.APIResourceList {
	out := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList"}}
	for _, name := range names {
		kind, plural, _ := strings.Cut(name, " ")
		out.APIResources = append(out.APIResources, metav1.APIResource{Name: plural, Kind: kind})
	}
	return out
}

func (s *apiServer) list(path string) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed[path]
}

// ran says that the controllers were started. Their names are taken for the life of a process.
var ran atomic.Bool

func TestOfSecretsTheProviderListsOnlyTheMetadataOfConnectionSecrets(t *testing.T) {
	if ran.Swap(true) {
		t.Skip("it can be run only once in a process")
	}
	api := &apiServer{listed: map[string]*http.Request{}}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	ctx, stop := context.WithCancel(t.Context())
	o, err := parseArgs("--metrics-address=", "--health-address=")
	require.NoError(t, err)
	ended := make(chan error, 1)
	config := &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	go func() {
		err := run(ctx, config, o, logging.NewNopLogger())
		t.Log("ended with", err)
		ended <- err
	}()

	const records, secrets = "/apis/cloudflare.aphex.io/v1alpha1/dnsrecords", "/api/v1/secrets"
	require.Eventually(t, func() bool { return api.list(records) != nil && api.list(secrets) != nil }, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, "type=connection.crossplane.io/v1alpha1", api.list(secrets).URL.Query().Get("fieldSelector"))
	require.Contains(t, api.list(secrets).Header.Get("Accept"), "as=PartialObjectMetadataList")
	stop()
	require.NoError(t, <-ended)
}
