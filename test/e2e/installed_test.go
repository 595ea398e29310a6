package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
)

// restless are resources whose objects come and go without anybody installing or removing anything.
var restless = []schema.GroupResource{
	{Resource: "events"}, {Group: "events.k8s.io", Resource: "events"}, // They tell of the past, and expire.
	{Group: "coordination.k8s.io", Resource: "leases"}, // Controllers of the control plane elect leaders.
	{Resource: "componentstatuses"},                    // They are no objects, but what the API server makes up when it is asked.
}

// inventory lists all objects of all kinds that are served, and the packages that Crossplane's lock holds.
func (c *cluster) inventory(ctx context.Context) ([]string, error) {
	served, err := c.kube.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, list := range served {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			resource := version.WithResource(r.Name)
			if !slices.Contains(r.Verbs, "list") || slices.Contains(restless, resource.GroupResource()) {
				continue
			}
			objects, err := c.dynamic.Resource(resource).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", resource, err)
			}
			for _, o := range objects.Items {
				all = append(all, strings.TrimSuffix(fmt.Sprintf("%s of %s", refOf(&o), version.Group), " of "))
				if o.GetKind() == "Lock" {
					all = append(all, lockedPackages(&o)...)
				}
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

func lockedPackages(lock *object) []string {
	var all []string
	packages, _ := lock.Object["packages"].([]any)
	for _, p := range packages {
		all = append(all, fmt.Sprintf("package %v in the lock", p.(map[string]any)["name"]))
	}
	return all
}

// awaitInventory returns when there is what there was before, and nothing else.
func (c *cluster) awaitInventory(t *testing.T, before []string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		now, err := c.inventory(ctx)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(before, now); diff != "" {
			return fmt.Errorf("there is more (+) or less (-) than before:\n%s", diff)
		}
		return nil
	})
	require.Empty(t, c.packagedProcesses())
}

// rights are what a service account of Crossplane's namespace may do there, with verbs by group and resource, beside what
// every service account may.
func (c *cluster) rights(t *testing.T, account string) map[string]string {
	t.Helper()
	rights := c.rules(t, account)
	for what, verbs := range c.rules(t, "nobody") {
		if rights[what] == verbs {
			delete(rights, what)
		}
	}
	return rights
}

func (c *cluster) rules(t *testing.T, account string) map[string]string {
	t.Helper()
	access, err := c.ServiceAccountConfig("crossplane-system", account)
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(access)
	require.NoError(t, err)
	review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "crossplane-system"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.False(t, review.Status.Incomplete, review.Status.EvaluationError)
	verbs := map[string][]string{}
	for _, rule := range review.Status.ResourceRules {
		require.Empty(t, rule.ResourceNames)
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				verbs[group+"/"+resource] = append(verbs[group+"/"+resource], rule.Verbs...)
			}
		}
	}
	rules := map[string]string{}
	for what, of := range verbs {
		slices.Sort(of)
		rules[what] = strings.Join(slices.Compact(of), " ")
	}
	return rules
}

// providerRights are those that Crossplane gives to every provider, for the kinds of this one.
func providerRights() map[string]string {
	rights := map[string]string{
		"apiextensions.k8s.io/customresourcedefinitions": "get list watch",
		"cloudflare.aphex.io/*/finalizers":               "update",
	}
	for _, kind := range []string{"clusterproviderconfigs", "dnsrecords", "providerconfigs", "providerconfigusages", "tunnels"} {
		for _, resource := range []string{kind, kind + "/status"} {
			rights["cloudflare.aphex.io/"+resource] = "create get list patch update watch"
		}
	}
	for _, group := range []string{"", "coordination.k8s.io"} {
		for _, resource := range []string{"configmaps", "events", "leases", "secrets"} {
			rights[group+"/"+resource] = "*"
		}
	}
	return rights
}
