package configsync

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// cluster plays the part of an API server that the job may use: reading one Deployment, and its scale. The end-to-end tests
// use a real one.
type cluster struct {
	url string
	ca  []byte

	mu         sync.Mutex
	deployment *appsv1.Deployment
	// fresh are the available replicas of the Deployment's latest form, and old those of an earlier one, which are available too
	// and go once the others are.
	fresh, old int32
	// stuck keeps those of the latest form from becoming available.
	stuck bool
	// conflicts is how often another one is faster.
	conflicts int
	scaled    []int32
}

const deploymentPath = "/apis/apps/v1/namespaces/auth-system/deployments/dex"

// startCluster has a Deployment of Dex with so many replicas, or none at all.
func startCluster(t *testing.T, replicas int32) *cluster {
	t.Helper()
	c := &cluster{fresh: max(replicas, 0)}
	if replicas >= 0 {
		c.deployment = &appsv1.Deployment{
			TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "auth-system", Name: "dex", ResourceVersion: "1", Generation: 1},
			Spec:       appsv1.DeploymentSpec{Replicas: new(replicas)},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: replicas, UpdatedReplicas: replicas, AvailableReplicas: replicas},
		}
	}
	server := httptest.NewTLSServer(c)
	t.Cleanup(server.Close)
	c.url, c.ca = server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return c
}

func (c *cluster) access() *rest.Config {
	return &rest.Config{Host: c.url, BearerToken: "of-the-service-account", TLSClientConfig: rest.TLSClientConfig{CAData: c.ca}}
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch call := r.Method + " " + r.URL.Path; {
	case r.Header.Get("Authorization") != "Bearer of-the-service-account":
		status(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized)
	case call == "GET "+deploymentPath && c.deployment == nil:
		status(w, http.StatusNotFound, metav1.StatusReasonNotFound)
	case call == "GET "+deploymentPath:
		c.settle()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(c.deployment)
	case call == "PATCH "+deploymentPath+"/scale" && r.Header.Get("Content-Type") == "application/merge-patch+json":
		c.scale(w, r)
	default:
		status(w, http.StatusForbidden, metav1.StatusReasonForbidden)
	}
}

func (c *cluster) scale(w http.ResponseWriter, r *http.Request) {
	var patch struct {
		Metadata struct{ ResourceVersion string }
		Spec     struct{ Replicas int32 }
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	version, _ := strconv.Atoi(c.deployment.ResourceVersion) // It is ours.
	switch err := decoder.Decode(&patch); {
	case err != nil:
		status(w, http.StatusBadRequest, metav1.StatusReasonBadRequest)
		return
	case c.conflicts > 0:
		c.conflicts--
		status(w, http.StatusConflict, metav1.StatusReasonConflict)
		return
	case patch.Metadata.ResourceVersion != c.deployment.ResourceVersion:
		status(w, http.StatusConflict, metav1.StatusReasonConflict)
		return
	}
	c.scaled = append(c.scaled, patch.Spec.Replicas)
	c.deployment.Spec.Replicas = &patch.Spec.Replicas
	c.deployment.Generation++
	c.deployment.ResourceVersion = strconv.Itoa(version + 1)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"apiVersion":"autoscaling/v1","kind":"Scale","spec":{"replicas":%d}}`, patch.Spec.Replicas)
}

// rollOut gives the Deployment another form.
func (c *cluster) rollOut() {
	c.deployment.Generation++
	c.fresh, c.old = 0, *c.deployment.Spec.Replicas
}

// settle does what controllers do between two reads.
func (c *cluster) settle() {
	is := &c.deployment.Status
	want := *c.deployment.Spec.Replicas
	switch {
	case is.ObservedGeneration < c.deployment.Generation:
		is.ObservedGeneration = c.deployment.Generation
		is.UpdatedReplicas = c.fresh
	case is.UpdatedReplicas != want:
		is.UpdatedReplicas = want
	case c.stuck:
	case c.fresh != want:
		c.fresh = want
	case c.old > 0:
		c.old--
	}
	is.Replicas, is.AvailableReplicas = is.UpdatedReplicas+c.old, c.fresh+c.old
}

func (c *cluster) replicas(t *testing.T) int32 {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	require.NotNil(t, c.deployment)
	return *c.deployment.Spec.Replicas
}

func status(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: "deployments.apps dex: " + string(reason),
	})
}
