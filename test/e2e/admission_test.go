package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"

	"aphex.io/platform/apis/admission/cases"
)

// A real API server must give the same answers as package admission gives without one.
func TestAdmission(t *testing.T) {
	config := admissionConfig(cp.RESTConfig())
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	admissionAwaitAPIs(t, client)
	admissionNamespace(t, config, cases.Namespace)

	for _, kind := range cases.Kinds() {
		base, err := cases.Base(kind)
		require.NoError(t, err)
		admissionCreate(t, client, base)
	}
	for _, c := range cases.All() {
		t.Run(c.Name, func(t *testing.T) {
			err := admissionDryRun(t.Context(), client, c)
			if c.Want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.Want)
			}
		})
	}
}

// admissionDryRun sends the manifest of a case as kubectl does, but keeps nothing.
func admissionDryRun(ctx context.Context, client dynamic.Interface, c cases.Case) error {
	obj, err := c.Object()
	if err != nil {
		return err
	}
	if !c.Update {
		// Its name is taken by the object that updates are tried on.
		base, err := cases.Base(c.Kind)
		if err != nil {
			return err
		}
		if obj.GetName() == base.GetName() {
			obj.SetName(base.GetName() + "-new")
		}
		_, err = admissionResource(client, obj).Create(ctx, obj, metav1.CreateOptions{
			DryRun:          []string{metav1.DryRunAll},
			FieldValidation: metav1.FieldValidationStrict,
		})
		return err
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live, err := admissionResource(client, obj).Get(ctx, obj.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		obj.SetResourceVersion(live.GetResourceVersion())
		_, err = admissionResource(client, obj).Update(ctx, obj, metav1.UpdateOptions{
			DryRun:          []string{metav1.DryRunAll},
			FieldValidation: metav1.FieldValidationStrict,
		})
		return err
	})
}

// The schema is shared by claims and XRs, so a bound on a claim's name must leave room for the suffix that Crossplane
// adds to the XR's.
func TestLongestOrganizationNameGetsAnXR(t *testing.T) {
	config := admissionConfig(cp.RESTConfig())
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	admissionAwaitAPIs(t, client)
	admissionNamespace(t, config, "admission-longest")

	claim, err := cases.Base("Organization")
	require.NoError(t, err)
	claim.SetAnnotations(nil)
	claim.SetNamespace("admission-longest")
	claim.SetName(strings.Repeat("longest-organization-name-", 2) + "of-them")
	require.Len(t, claim.GetName(), 59)
	admissionCreate(t, client, claim)

	var seen string
	err = wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		live, err := admissionResource(client, claim).Get(ctx, claim.GetName(), metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		seen = fmt.Sprint(live.Object["status"])
		name, _, _ := unstructured.NestedString(live.Object, "spec", "resourceRef", "name")
		if name == "" {
			return false, nil
		}
		xr := &unstructured.Unstructured{}
		xr.SetAPIVersion(claim.GetAPIVersion())
		xr.SetKind("XOrganization")
		_, err = admissionResource(client, xr).Get(ctx, name, metav1.GetOptions{})
		seen = fmt.Sprintf("XOrganization %q: %v", name, err)
		return err == nil, nil
	})
	require.NoError(t, err, "last seen: %s", seen)
}

// admissionConfig lifts the client's own rate limit, which would double the time of some hundred requests.
func admissionConfig(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS = -1
	return config
}

// admissionResource is the client for the kind and namespace of an object of our group.
func admissionResource(client dynamic.Interface, obj *unstructured.Unstructured) dynamic.ResourceInterface {
	return client.Resource(schema.GroupVersionResource{
		Group:    "aphex.io",
		Version:  "v1alpha1",
		Resource: strings.ToLower(obj.GetKind()) + "s",
	}).Namespace(obj.GetNamespace())
}

// admissionAwaitAPIs waits until every kind is served.
func admissionAwaitAPIs(t *testing.T, client dynamic.Interface) {
	t.Helper()
	for _, kind := range cases.Kinds() {
		obj := &unstructured.Unstructured{}
		obj.SetKind(kind)
		var seen error
		err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			_, seen = admissionResource(client, obj).List(ctx, metav1.ListOptions{Limit: 1})
			return seen == nil, nil
		})
		require.NoError(t, err, "%s is not served; last seen: %v", kind, seen)
	}
}

// admissionCreate makes an object that lasts until the end of the test.
func admissionCreate(t *testing.T, client dynamic.Interface, obj *unstructured.Unstructured) {
	t.Helper()
	_, err := admissionResource(client, obj).Create(t.Context(), obj, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		require.NoError(t, admissionResource(client, obj).Delete(ctx, obj.GetName(), metav1.DeleteOptions{}))
		var seen any
		err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			live, err := admissionResource(client, obj).Get(ctx, obj.GetName(), metav1.GetOptions{})
			if kerrors.IsNotFound(err) {
				return true, nil
			}
			if err == nil {
				seen = live.Object["status"]
			}
			return false, err
		})
		require.NoError(t, err, "%s %s is still there; last seen: %v", obj.GetKind(), obj.GetName(), seen)
	})
}

func admissionNamespace(t *testing.T, config *rest.Config, name string) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	_, err = client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, client.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}))
	})
}
