package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"aphex.io/platform/apis/admission/cases"
)

// A real API server must give the same answers as package admission gives without one.
func TestAdmission(t *testing.T) {
	cp.namespace(t, cases.Namespace)
	for _, kind := range cases.Kinds() {
		base, err := cases.Base(kind)
		require.NoError(t, err)
		cp.create(t, base)
	}
	for _, c := range cases.All() {
		t.Run(c.Name, func(t *testing.T) {
			err := admissionDryRun(t.Context(), c)
			if c.Want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.Want)
			}
		})
	}
}

// admissionDryRun sends the manifest of a case as kubectl does, but keeps nothing.
func admissionDryRun(ctx context.Context, c cases.Case) error {
	o, err := c.Object()
	if err != nil {
		return err
	}
	if !c.Update {
		// Its name is taken by the object that updates are tried on.
		base, err := cases.Base(c.Kind)
		if err != nil {
			return err
		}
		if o.GetName() == base.GetName() {
			o.SetName(base.GetName() + "-new")
		}
		_, err = cp.client(refOf(o)).Create(ctx, o, metav1.CreateOptions{
			DryRun:          []string{metav1.DryRunAll},
			FieldValidation: metav1.FieldValidationStrict,
		})
		return err
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live, err := cp.get(ctx, refOf(o))
		if err != nil {
			return err
		}
		o.SetResourceVersion(live.GetResourceVersion())
		_, err = cp.client(refOf(o)).Update(ctx, o, metav1.UpdateOptions{
			DryRun:          []string{metav1.DryRunAll},
			FieldValidation: metav1.FieldValidationStrict,
		})
		return err
	})
}

// The schema is shared by claims and XRs, so a bound on a claim's name must leave room for the suffix that Crossplane
// adds to the XR's.
func TestLongestOrganizationNameGetsAnXR(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-longest")
	name := strings.Repeat("longest-organization-name-", 2) + "of-them"
	require.Len(t, name, 59)
	claim := organization(namespace, name, with("adminUsers", []any{"admin@example.com"}))
	xr := cp.xr(t, cp.create(t, claim))
	cp.await(t, xr, func(*object) error { return nil })
	cp.await(t, refTo("Namespace org-%s", name), func(*object) error { return nil })
}
