package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

var (
	policyCrossplane = serviceAccount("crossplane-system", "crossplane")
	policyArgoCD     = serviceAccount("argocd", "policy-argocd-application-controller")
	policyRunner     = serviceAccount("my-app", "pipeline-runner")
	policyRoot       = user{name: "policy-root", groups: []string{"system:masters", "system:authenticated"}}
	policyAdmin      = person("policy-cluster-admin@example.com")
	policyLabeller   = person("policy-labeller@example.com")
	policyEditor     = person("policy-namespace-editor@example.com")
	policyOrgAdmin   = person("policy-org-admin@example.com")
)

func TestOnlyThePlatformLabelsNamespaces(t *testing.T) {
	const refused = "the platform's: only Crossplane and people who may \"set namespacelabels.aphex.io\", such as cluster administrators, may add, change or remove them"
	admin := policyRoot.client(t)
	mayEdit := policyClusterRole(t, "namespace-editor", rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"namespaces", "namespaces/status", "namespaces/finalize"}, Verbs: []string{"*"},
	})
	maySet := policyClusterRole(t, "labeller", rbacv1.PolicyRule{
		APIGroups: []string{"aphex.io"}, Resources: []string{"namespacelabels"}, Verbs: []string{"set"},
	})
	policyBind(t, mayEdit, "patch", "/namespaces", policyEditor, policyLabeller)
	policyBind(t, maySet, "set", "aphex.io/namespacelabels", policyLabeller)
	policyBind(t, "cluster-admin", "patch", "/namespaces", policyAdmin, policyArgoCD)

	set := func(key, value string) func(context.Context, kubernetes.Interface, string) error {
		return func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			quoted := "null"
			if value != "" {
				quoted = `"` + value + `"`
			}
			patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, key, quoted)
			_, err := client.CoreV1().Namespaces().Patch(ctx, namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			return err
		}
	}
	create := func(labels map[string]string) func(context.Context, kubernetes.Interface, string) error {
		return func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			_, err := client.CoreV1().Namespaces().Create(ctx, policyNamespaceObject(namespace+"-new", labels), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		}
	}
	setThrough := func(subresource string) func(context.Context, kubernetes.Interface, string) error {
		return func(ctx context.Context, client kubernetes.Interface, namespace string) error {
			ns, err := client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
			if err != nil {
				return err
			}
			ns.Labels["aphex.dev/org"] = "acme-corp"
			if subresource == "finalize" {
				_, err = client.CoreV1().Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{})
			} else {
				_, err = client.CoreV1().Namespaces().UpdateStatus(ctx, ns, metav1.UpdateOptions{})
			}
			return err
		}
	}

	for name, c := range map[string]struct {
		as user
		do func(ctx context.Context, client kubernetes.Interface, namespace string) error
		// want are fragments of the refusal; none means that the request is accepted.
		want []string
		// labels are what the namespace carries before.
		labels map[string]string
	}{
		"Crossplane labels a namespace": {
			as: policyCrossplane, do: set("aphex.dev/org", "acme-corp")},
		"Crossplane creates a labelled namespace": {
			as: policyCrossplane, do: create(map[string]string{"aphex.dev/org": "acme-corp", "platform.aphex/pipeline": "my-app"})},
		"Crossplane takes a label away": {
			as: policyCrossplane, do: set("aphex.dev/org", ""), labels: map[string]string{"aphex.dev/org": "acme-corp"}},
		"a system:masters administrator labels a namespace": {
			as: policyRoot, do: set("aphex.dev/org", "acme-corp")},
		"somebody with the role cluster-admin labels a namespace": {
			as: policyAdmin, do: set("aphex.dev/org", "acme-corp")},
		"somebody who was given that right labels a namespace": {
			as: policyLabeller, do: set("aphex.dev/org", "acme-corp")},
		"whoever may edit namespaces sets a label of their own": {
			as: policyEditor, do: set("team", "web")},
		"whoever may edit namespaces creates one with a label of their own": {
			as: policyEditor, do: create(map[string]string{"team": "web", "example.com/platform.aphex": "x"})},
		"whoever may edit namespaces changes their own label beside the platform's": {
			as: policyEditor, do: set("team", "web"), labels: map[string]string{"aphex.dev/org": "acme-corp"}},
		"whoever may edit namespaces sets a platform label to what it is": {
			as: policyEditor, do: set("aphex.dev/org", "acme-corp"), labels: map[string]string{"aphex.dev/org": "acme-corp"}},

		"whoever may edit namespaces cannot open an organization's secrets to one": {
			as: policyEditor, do: set("aphex.dev/org", "acme-corp"),
			want: []string{"the labels aphex.dev/org of namespace policy-", refused}},
		"whoever may edit namespaces cannot create one with an organization's label": {
			as: policyEditor, do: create(map[string]string{"team": "web", "aphex.dev/org": "acme-corp"}),
			want: []string{"the labels aphex.dev/org of namespace policy-", refused}},
		"whoever may edit namespaces cannot move one to another organization": {
			as: policyEditor, do: set("aphex.dev/org", "other"), labels: map[string]string{"aphex.dev/org": "acme-corp"},
			want: []string{"the labels aphex.dev/org of namespace policy-", refused}},
		"whoever may edit namespaces cannot take one from its organization": {
			as: policyEditor, do: set("aphex.dev/org", ""), labels: map[string]string{"aphex.dev/org": "acme-corp"},
			want: []string{"the labels aphex.dev/org of namespace policy-", refused}},
		"whoever may edit namespaces cannot mark one as a tenant's": {
			as: policyEditor, do: set("aphex/tenant", "my-app"),
			want: []string{"the labels aphex/tenant of namespace policy-", refused}},
		"whoever may edit namespaces cannot mark one as a pipeline's": {
			as: policyEditor, do: set("platform.aphex/pipeline", "my-app"),
			want: []string{"the labels platform.aphex/pipeline of namespace policy-", refused}},
		"whoever may edit namespaces cannot mark one as in a pipeline's glob": {
			as: policyEditor, do: set("glob.platform.aphex/my-app", "acme-corp"),
			want: []string{"the labels glob.platform.aphex/my-app of namespace policy-", refused}},
		"whoever may edit namespaces sets the Pod Security of one that is no tenant's": {
			as: policyEditor, do: set("pod-security.kubernetes.io/enforce", "privileged")},
		"whoever may edit namespaces cannot lift the Pod Security of a tenant": {
			as: policyEditor, do: set("pod-security.kubernetes.io/enforce", "privileged"), labels: map[string]string{"aphex/tenant": "my-app"},
			want: []string{"the labels pod-security.kubernetes.io/enforce of namespace policy-", refused}},
		"Argo CD cannot lift the Pod Security of an organization, whatever it may do otherwise": {
			as: policyArgoCD, do: set("pod-security.kubernetes.io/enforce", ""),
			labels: map[string]string{"platform.aphex/organization": "acme-corp", "pod-security.kubernetes.io/enforce": "restricted"},
			want:   []string{"the labels pod-security.kubernetes.io/enforce of namespace policy-", refused}},
		"whoever may edit namespaces cannot do it through the status": {
			as: policyEditor, do: setThrough("status"),
			want: []string{"the labels aphex.dev/org of namespace policy-", refused}},
		"whoever may edit namespaces cannot do it while finalizing": {
			as: policyEditor, do: setThrough("finalize"),
			want: []string{"the labels aphex.dev/org of namespace policy-", refused}},
		"a service account that may do everything cannot label a namespace, since tenants may tell it to": {
			as: policyArgoCD, do: set("aphex.dev/org", "acme-corp"),
			want: []string{"the labels aphex.dev/org of namespace policy-", refused}},
		"a service account that may do everything may set another label": {
			as: policyArgoCD, do: set("argocd.argoproj.io/instance", "my-app")},
		"a pipeline cannot label a namespace": {
			as: policyRunner, do: set("aphex.dev/org", "acme-corp"),
			want: []string{`cannot patch resource "namespaces"`}},
		"an organization's administrator cannot label a namespace": {
			as: policyOrgAdmin, do: set("aphex.dev/org", "acme-corp"),
			want: []string{`cannot patch resource "namespaces"`}},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := policyNamespace(t, admin, c.labels)
			err := c.do(t.Context(), c.as.client(t), namespace)
			policyRequire(t, err, c.want)
		})
	}

	t.Run("a labelled namespace goes when it is deleted", func(t *testing.T) {
		namespace := policyNamespace(t, admin, map[string]string{"aphex.dev/org": "acme-corp", "aphex/tenant": "my-app"})
		require.NoError(t, admin.CoreV1().Namespaces().Delete(t.Context(), namespace, metav1.DeleteOptions{}))
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			seen, err := admin.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
			require.True(c, apierrors.IsNotFound(err), "namespace %s is still there: %v, %v", namespace, err, seen.Status)
		}, patience, 100*time.Millisecond)
	})
}

func TestOrganizationsWithRepoBindingsStay(t *testing.T) {
	admin := policyRoot.client(t)
	namespace := policyNamespace(t, admin, nil)
	editor := policyClusterRole(t, "organization-editor", rbacv1.PolicyRule{
		APIGroups: []string{"aphex.io"}, Resources: []string{"organizations", "xorganizations"}, Verbs: []string{"get", "delete", "deletecollection"},
	})
	policyBind(t, editor, "deletecollection", "aphex.io/organizations", policyOrgAdmin)

	remove := func(client dynamic.Interface, o *unstructured.Unstructured, dryRun ...string) error {
		options := metav1.DeleteOptions{DryRun: dryRun}
		if o.GetKind() == "XOrganization" {
			return client.Resource(kinds["XOrganization"]).Delete(t.Context(), o.GetName(), options)
		}
		return client.Resource(kinds["Organization"]).Namespace(o.GetNamespace()).Delete(t.Context(), o.GetName(), options)
	}

	for name, c := range map[string]struct {
		as       user
		claim    bool
		claimRef string
		// loser is an organization whose name another one had first.
		loser    bool
		pipeline bool
		want     string
	}{
		"a claim without pipelines goes": {
			as: policyOrgAdmin, claim: true},
		"a claim with a pipeline stays, and the pipeline is named": {
			as: policyOrgAdmin, claim: true, pipeline: true,
			want: "still has RepoBindings, such as the one of pipeline"},
		"a claim with a pipeline stays for a cluster administrator too": {
			as: policyRoot, claim: true, pipeline: true,
			want: "delete those first"},
		"a claim with a pipeline stays for Crossplane too": {
			as: policyCrossplane, claim: true, pipeline: true,
			want: "delete those first"},
		"a claim that never got its name goes, whatever the owner of the name has": {
			as: policyOrgAdmin, claim: true, loser: true, pipeline: true},
		"an XR without a claim and without pipelines goes": {
			as: policyOrgAdmin},
		"an XR without a claim but with a pipeline stays": {
			as: policyOrgAdmin, pipeline: true,
			want: "delete those first"},
		"an XR without a claim but with a pipeline stays for Crossplane too": {
			as: policyCrossplane, pipeline: true,
			want: "delete those first"},
		"an XR of a claim is not deleted behind its back": {
			as: policyOrgAdmin, claimRef: "policy-claimed", pipeline: true,
			want: "Organization policy-claimed still has RepoBindings"},
		"an XR goes when Crossplane deletes it for a claim that went": {
			as: policyCrossplane, claimRef: "policy-claimed", pipeline: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := policyOrganization(t, namespace, c.claim, c.claimRef, c.loser)
			organization := cmp.Or(c.claimRef, o.GetName())
			if !c.pipeline {
				policyRequire(t, remove(c.as.dynamic(t), o), nil)
				return
			}
			tenant := policyNamespace(t, admin, map[string]string{
				"aphex/managed-by": "platform-controller", "aphex/tenant": "x", "aphex.dev/org": organization,
			})
			if c.want == "" {
				policyRequire(t, remove(c.as.dynamic(t), o), nil)
				return
			}
			// The API server's policies see a new namespace a moment later. Until then the organization may go: only
			// ask, do not delete.
			require.EventuallyWithT(t, func(e *assert.CollectT) {
				err := remove(c.as.dynamic(t), o, metav1.DryRunAll)
				require.ErrorContains(e, err, "such as the one of pipeline "+tenant)
			}, patience, 50*time.Millisecond)
			policyRequire(t, remove(c.as.dynamic(t), o), []string{"Organization " + organization + " still has RepoBindings", c.want})
		})
	}
}

func TestServiceAccountTokensOfAnOrganizationAreNotForItsAdministrators(t *testing.T) {
	admin := policyRoot.client(t)
	organization := policyNamespace(t, admin, map[string]string{"platform.aphex/organization": "acme-corp"})
	elsewhere := policyNamespace(t, admin, nil)
	role := policyClusterRole(t, "secret-creator", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}})
	policyBind(t, role, "create", "/secrets", policyOrgAdmin)
	create := func(as user, namespace string, kind corev1.SecretType) error {
		_, err := as.client(t).CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "org-secrets", Annotations: map[string]string{corev1.ServiceAccountNameKey: "default"}},
			Type:       kind,
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	policyBind(t, "cluster-admin", "patch", "/namespaces", policyArgoCD)
	policyRequire(t, create(policyArgoCD, organization, corev1.SecretTypeServiceAccountToken), []string{"only cluster administrators may create one here"})
	policyRequire(t, create(policyArgoCD, organization, corev1.SecretTypeOpaque), nil)
	policyRequire(t, create(policyOrgAdmin, organization, corev1.SecretTypeServiceAccountToken), []string{"only cluster administrators may create one here"})
	policyRequire(t, create(policyOrgAdmin, organization, corev1.SecretTypeOpaque), nil)
	policyRequire(t, create(policyOrgAdmin, elsewhere, corev1.SecretTypeServiceAccountToken), nil)
	policyRequire(t, create(policyRoot, organization, corev1.SecretTypeServiceAccountToken), nil)
}

// Argo CD may do everything, and makes in a pipeline's namespace what the pipeline's repository says.
func TestWhatBoundsAPipelineIsThePlatforms(t *testing.T) {
	const (
		bounds = "are the platform's: only Crossplane and cluster administrators may make, change or delete them"
		ours   = "the network policy tenant-isolation is the platform's"
		egress = "spec.egress would let out what tenant-isolation keeps in"
	)
	admin := policyRoot.client(t)
	policyBind(t, "cluster-admin", "patch", "/namespaces", policyAdmin, policyArgoCD)
	tenant := policyNamespace(t, admin, map[string]string{"aphex/tenant": "x", "platform.aphex/organization": "acme-corp"})
	elsewhere := policyNamespace(t, admin, nil)
	quota := newObject("v1", "ResourceQuota") + "spec: {hard: {pods: 1k}}"
	letsOut := newObject("networking.k8s.io/v1", "NetworkPolicy") + "spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}"
	letsIn := newObject("networking.k8s.io/v1", "NetworkPolicy") + "spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}"
	isolation := strings.Replace(letsIn, loot, "tenant-isolation", 1)
	organization := newObject("aphex.io/v1alpha1", "Organization") + "spec: {displayName: Mine, adminUsers: [mallory@example.com]}"
	platform := newObject("aphex.io/v1alpha1", "Platform") + "spec: {gitops: {repoURL: https://github.com/mallory/platform}}"
	record := newObject("cloudflare.aphex.io/v1alpha1", "DNSRecord") +
		"spec: {providerConfigRef: {kind: ClusterProviderConfig, name: default}, forProvider: {zone: example.com, type: CNAME, name: www.example.com, tunnelRef: {name: mine}}}"

	for name, c := range map[string]struct {
		as        user
		namespace string
		manifest  string
		want      string
	}{
		"a repository makes a quota":                             {policyArgoCD, tenant, quota, bounds},
		"a repository makes limits":                              {policyArgoCD, tenant, newObject("v1", "LimitRange") + "spec: {limits: []}", bounds},
		"a repository makes an organization":                     {policyArgoCD, tenant, organization, bounds},
		"a repository makes a host name":                         {policyArgoCD, tenant, record, bounds},
		"a repository makes a platform":                          {policyArgoCD, elsewhere, platform, "a Platform decides who may do what in the cluster"},
		"a repository of the platform team makes a platform":     {policyArgoCD, "platform-system", platform, ""},
		"a cluster administrator makes a platform":               {policyAdmin, elsewhere, platform, ""},
		"a repository replaces the network policy":               {policyArgoCD, tenant, isolation, ours},
		"a repository lets its pods out":                         {policyArgoCD, tenant, letsOut, egress},
		"a repository says who may reach its pods":               {policyArgoCD, tenant, letsIn, ""},
		"a repository makes a quota where no pipeline is":        {policyArgoCD, elsewhere, quota, ""},
		"a repository lets its pods out where no pipeline is":    {policyArgoCD, elsewhere, letsOut, ""},
		"a cluster administrator makes a quota":                  {policyAdmin, tenant, quota, ""},
		"a cluster administrator lets pods out":                  {policyAdmin, tenant, letsOut, ""},
		"a cluster administrator replaces the network policy":    {policyAdmin, tenant, isolation, ""},
		"Crossplane makes a quota":                               {policyCrossplane, tenant, quota, ""},
		"Crossplane makes the network policy with its egress":    {policyCrossplane, tenant, strings.Replace(letsOut, loot, "tenant-isolation", 1), ""},
		"a cluster administrator makes an organization in there": {policyAdmin, tenant, organization, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := &object{}
			require.NoError(t, yaml.Unmarshal([]byte(c.manifest), &o.Object))
			_, err := c.as.dynamic(t).Resource(kinds[o.GetKind()]).Namespace(c.namespace).
				Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if c.want == "" {
				policyRequire(t, err, nil)
				return
			}
			policyRequire(t, err, []string{c.want})
		})
	}

	t.Run("what is there is neither changed nor deleted", func(t *testing.T) {
		o := &object{}
		require.NoError(t, yaml.Unmarshal([]byte(isolation), &o.Object))
		mine := policyRoot.dynamic(t).Resource(kinds["NetworkPolicy"]).Namespace(tenant)
		_, err := mine.Create(t.Context(), o, metav1.CreateOptions{})
		require.NoError(t, err)
		argocd := policyArgoCD.dynamic(t).Resource(kinds["NetworkPolicy"]).Namespace(tenant)
		_, err = argocd.Patch(t.Context(), "tenant-isolation", types.MergePatchType, []byte(`{"spec":{"ingress":[]}}`), metav1.PatchOptions{})
		policyRequire(t, err, []string{ours})
		policyRequire(t, argocd.Delete(t.Context(), "tenant-isolation", metav1.DeleteOptions{}), []string{ours})
		policyRequire(t, argocd.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}), []string{ours})
	})
	t.Run("a pipeline's namespace that goes takes them along", func(t *testing.T) {
		require.NoError(t, admin.CoreV1().Namespaces().Delete(t.Context(), tenant, metav1.DeleteOptions{}))
		cp.awaitGone(t, refTo("Namespace %s", tenant))
	})
}

// policyResources are all that the API server serves of a group, in all versions.
func policyResources(t *testing.T, client kubernetes.Interface, group string) string {
	t.Helper()
	_, lists, err := client.Discovery().ServerGroupsAndResources()
	require.NoError(t, err)
	var all []string
	for _, list := range lists {
		for _, r := range list.APIResources {
			if strings.HasPrefix(list.GroupVersion, group+"/") && !strings.Contains(r.Name, "/") {
				all = append(all, r.Name)
			}
		}
	}
	slices.Sort(all)
	require.NotEmpty(t, all)
	return strings.Join(slices.Compact(all), ",")
}

// Whoever manages bindings in a namespace of a team could otherwise keep Crossplane from reconciling the platform.
func TestTheBindingsOfTeamsAreThePlatforms(t *testing.T) {
	const refused = "the binding platform-engineering is the platform's"
	policyBind(t, "cluster-admin", "patch", "/namespaces", policyAdmin, policyArgoCD)
	team := cp.namespace(t, "team-policy")
	elsewhere := cp.namespace(t, "policy-team")
	binding := func(name string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"crossplane.io/composition-resource-name": "engineering-in-team-policy"}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		}
	}
	for name, c := range map[string]struct {
		as              user
		namespace, name string
		want            []string
	}{
		"a service account makes it":                  {policyArgoCD, team, "platform-engineering", []string{refused}},
		"a service account makes another one":         {policyArgoCD, team, "engineering", nil},
		"a service account makes it where no team is": {policyArgoCD, elsewhere, "platform-engineering", nil},
		"a cluster administrator makes it":            {policyAdmin, team, "platform-engineering", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.as.client(t).RbacV1().RoleBindings(c.namespace).Create(t.Context(), binding(c.name), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			policyRequire(t, err, c.want)
		})
	}
	t.Run("it is neither changed nor deleted", func(t *testing.T) {
		_, err := policyRoot.client(t).RbacV1().RoleBindings(team).Create(t.Context(), binding("platform-engineering"), metav1.CreateOptions{})
		require.NoError(t, err)
		bindings := policyArgoCD.client(t).RbacV1().RoleBindings(team)
		_, err = bindings.Patch(t.Context(), "platform-engineering", types.MergePatchType, []byte(`{"metadata":{"annotations":null}}`), metav1.PatchOptions{})
		policyRequire(t, err, []string{refused})
		policyRequire(t, bindings.Delete(t.Context(), "platform-engineering", metav1.DeleteOptions{}), []string{refused})
		policyRequire(t, bindings.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}), []string{refused})
	})
	t.Run("a namespace that goes takes it along", func(t *testing.T) { cp.remove(t, refTo("Namespace %s", team)) })
}

// Crossplane holds neither escalate nor bind, so the API server itself keeps it from granting what it does not hold.
func TestCrossplaneGrantsWhatTenantsNeedAndNoMore(t *testing.T) {
	admin, crossplane := policyRoot.client(t), policyCrossplane.client(t)
	namespace := policyNamespace(t, admin, nil)
	dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	rule := func(group, resources, verbs string, names ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Split(resources, ","), Verbs: strings.Split(verbs, ","), ResourceNames: names}
	}

	for name, c := range map[string]struct {
		rules   []rbacv1.PolicyRule
		cluster bool
		// want is a fragment of the refusal; empty means that Crossplane may create such a Role.
		want string
	}{
		"the standard profile": {rules: []rbacv1.PolicyRule{
			rule("", "pods,pods/log,configmaps,secrets", "get,list,create,update,delete"),
			rule("tekton.dev", "pipelineruns,taskruns", "get,list,create"),
			rule("coordination.k8s.io", "leases", "get,create,update,delete"),
		}},
		"the elevated profile": {rules: []rbacv1.PolicyRule{
			rule("", "pods,pods/log,configmaps,secrets,services,persistentvolumeclaims", "get,list,create,update,delete"),
			rule("tekton.dev", "pipelineruns,taskruns,pipelines,tasks", "get,list,create,update,delete"),
			rule("apps", "deployments,statefulsets", "get,list,create,update,delete"),
			rule("coordination.k8s.io", "leases", "get,create,update,delete"),
		}},
		"what triggers share, to listeners and pipelines": {cluster: true, rules: []rbacv1.PolicyRule{
			rule("triggers.tekton.dev", "clusterinterceptors,clustertriggerbindings", "get,list,watch"),
		}},
		"a listener's own namespace": {rules: []rbacv1.PolicyRule{
			rule("triggers.tekton.dev", "eventlisteners,triggers,triggerbindings,triggertemplates,interceptors", "get,list,watch"),
		}},
		"runs in a tenant's namespace": {rules: []rbacv1.PolicyRule{
			rule("tekton.dev", "pipelineruns", "create"),
		}},
		"an organization's secrets": {rules: []rbacv1.PolicyRule{
			rule("", "secrets", "get", "org-secrets"),
		}},
		"a pipeline's own application in Argo CD's namespace": {rules: []rbacv1.PolicyRule{
			rule("argoproj.io", "applications,appprojects", "get,list,watch", "my-app"),
		}},
		"an organization's administrator": {rules: []rbacv1.PolicyRule{
			rule("", "secrets", "create"),
			rule("", "secrets", "get,update,patch,delete", "org-secrets"),
			rule("aphex.io", "repobindings,knowledgebases", "get,list,watch,create,update,patch,delete"),
			rule("tekton.dev", "pipelines,pipelineruns,taskruns", "get,list,watch"),
			rule("triggers.tekton.dev", "eventlisteners,triggers,triggerbindings,triggertemplates,interceptors", "get,list,watch"),
			rule("", "configmaps,services,pods,events", "get,list,watch"),
			rule("", "pods/log", "get"),
			rule("external-secrets.io", "externalsecrets", "get,list,watch"),
			rule("cloudflare.aphex.io", "tunnels,dnsrecords", "get,list,watch"),
		}},
		"the platform's groups": {cluster: true, rules: []rbacv1.PolicyRule{
			rule("aphex.io", "organizations,repobindings,knowledgebases,platforms", "get,list,watch,create,update,patch,delete"),
			rule("", "namespaces", "get,list,watch,create,delete"),
			rule("", "pods,events", "get,list,watch"),
			rule("", "pods/log", "get"),
			rule("events.k8s.io", "events", "get,list,watch"),
		}},
		"Tekton, to those who administer it": {cluster: true, rules: []rbacv1.PolicyRule{
			rule("tekton.dev", policyResources(t, admin, "tekton.dev"), "get,list,watch,create,update,patch,delete"),
			rule("", "pods,pods/log", "get,list,watch"),
		}},
		"not all of Tekton": {
			cluster: true,
			rules:   []rbacv1.PolicyRule{rule("tekton.dev", "*", "*")},
			want:    "attempting to grant RBAC permissions not currently held"},
		"not everything": {
			rules: []rbacv1.PolicyRule{rule("*", "*", "*")},
			want:  "attempting to grant RBAC permissions not currently held"},
		"not nodes": {
			cluster: true,
			rules:   []rbacv1.PolicyRule{rule("", "nodes", "get")},
			want:    "attempting to grant RBAC permissions not currently held"},
		"not impersonation of people": {
			cluster: true,
			rules:   []rbacv1.PolicyRule{rule("", "users", "impersonate")},
			want:    "attempting to grant RBAC permissions not currently held"},
		"not the right to label namespaces": {
			cluster: true,
			rules:   []rbacv1.PolicyRule{rule("aphex.io", "namespacelabels", "set")},
			want:    "attempting to grant RBAC permissions not currently held"},
		"not a shell in a pod": {
			rules: []rbacv1.PolicyRule{rule("", "pods/exec", "create")},
			want:  "attempting to grant RBAC permissions not currently held"},
		"not the right to grant more": {
			rules: []rbacv1.PolicyRule{rule("rbac.authorization.k8s.io", "roles", "escalate")},
			want:  "attempting to grant RBAC permissions not currently held"},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if c.cluster {
				_, err = crossplane.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
					ObjectMeta: metav1.ObjectMeta{Name: namespace}, Rules: c.rules}, dryRun)
			} else {
				_, err = crossplane.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{
					ObjectMeta: metav1.ObjectMeta{Name: "granted", Namespace: namespace}, Rules: c.rules}, dryRun)
			}
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}

	t.Run("a role that Crossplane holds can be bound once it exists", func(t *testing.T) {
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "eso-secrets-reader", Namespace: namespace},
			Rules: []rbacv1.PolicyRule{rule("", "secrets", "get", "org-secrets")}}
		binding := &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta,
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "eso-secrets-reader"}}}
		_, err := crossplane.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{})
		require.ErrorContains(t, err, `"eso-secrets-reader" not found`)
		_, err = crossplane.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{})
		require.NoError(t, err)
		// The API server sees its own new Role a moment later.
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			_, err := crossplane.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{})
			require.NoError(c, err)
		}, patience, 50*time.Millisecond)
	})

	t.Run("cluster-admin cannot be bound", func(t *testing.T) {
		_, err := crossplane.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "all", Namespace: namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "mallory"}},
		}, dryRun)
		require.ErrorContains(t, err, "attempting to grant RBAC permissions not currently held")
	})
}

func TestTheShippedRolesAreBounded(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(cp.Root(), "package", "rbac.yaml"))
	require.NoError(t, err)
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
	roles := 0
	for {
		role := &rbacv1.ClusterRole{}
		err := documents.Decode(role)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		roles++
		require.Equal(t, "ClusterRole", role.Kind, role.Name)
		require.Equal(t, map[string]string{"rbac.crossplane.io/aggregate-to-crossplane": "true"}, role.Labels, role.Name)
		require.NotEmpty(t, role.Rules, role.Name)
		for _, r := range role.Rules {
			require.Empty(t, r.NonResourceURLs, role.Name)
			for _, word := range slices.Concat(r.APIGroups, r.Resources, r.Verbs) {
				require.NotContains(t, word, "*", role.Name)
			}
			for _, verb := range []string{"escalate", "bind", "impersonate", "deletecollection"} {
				require.NotContains(t, r.Verbs, verb, role.Name)
			}
		}
	}
	require.NotZero(t, roles)
}

// policyRequire requires a request to be accepted, or refused with all fragments.
func policyRequire(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		require.NoError(t, err)
		return
	}
	require.True(t, apierrors.IsForbidden(err), "expected a refusal, got %v", err)
	for _, fragment := range want {
		require.ErrorContains(t, err, fragment)
	}
}

func policyNamespaceObject(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

// policyNamespace makes a namespace for one test.
func policyNamespace(t *testing.T, admin kubernetes.Interface, labels map[string]string) string {
	t.Helper()
	ns := policyNamespaceObject("", labels)
	ns.GenerateName = "policy-"
	ns, err := admin.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	require.NoError(t, err)
	policyCleanup(t, func(ctx context.Context) error {
		return admin.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{})
	})
	return ns.Name
}

// policyOrganization makes a claim or an XR with the status that the function would write. It is paused, so that Crossplane
// leaves it as it is.
func policyOrganization(t *testing.T, namespace string, claim bool, claimRef string, loser bool) *unstructured.Unstructured {
	t.Helper()
	spec := map[string]any{"displayName": "Policy test", "adminUsers": []any{"admin@example.com"}}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "aphex.io/v1alpha1",
		"kind":       "XOrganization",
		"metadata":   map[string]any{"generateName": "policy-", "annotations": map[string]any{"crossplane.io/paused": "true"}},
		"spec":       spec,
	}}
	var client dynamic.ResourceInterface = policyRoot.dynamic(t).Resource(kinds["XOrganization"])
	if claim {
		o.SetKind("Organization")
		o.SetNamespace(namespace)
		client = policyRoot.dynamic(t).Resource(kinds["Organization"]).Namespace(namespace)
	}
	if claimRef != "" {
		spec["claimRef"] = map[string]any{"apiVersion": "aphex.io/v1alpha1", "kind": "Organization", "namespace": namespace, "name": claimRef}
	}
	o, err := client.Create(t.Context(), o, metav1.CreateOptions{})
	require.NoError(t, err)
	policyCleanup(t, func(ctx context.Context) error {
		// As if it had never got its namespace, so that it goes whatever exists.
		if _, err := client.Patch(ctx, o.GetName(), types.MergePatchType, []byte(`{"status":{"namespace":null}}`), metav1.PatchOptions{}, "status"); err != nil {
			return err
		}
		return client.Delete(ctx, o.GetName(), metav1.DeleteOptions{})
	})
	if loser {
		return o
	}

	patch := fmt.Sprintf(`{"status":{"namespace":"org-%s"}}`, cmp.Or(claimRef, o.GetName()))
	o, err = client.Patch(t.Context(), o.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	return o
}

// policyClusterRole makes a role for the users of these tests.
func policyClusterRole(t *testing.T, name string, rules ...rbacv1.PolicyRule) string {
	t.Helper()
	roles := policyRoot.client(t).RbacV1().ClusterRoles()
	role, err := roles.Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "policy-" + name + "-"}, Rules: rules}, metav1.CreateOptions{})
	require.NoError(t, err)
	policyCleanup(t, func(ctx context.Context) error { return roles.Delete(ctx, role.Name, metav1.DeleteOptions{}) })
	return role.Name
}

// policyBind gives users a role and returns when the API server knows, by one right that the role has.
func policyBind(t *testing.T, role, verb, groupResource string, users ...user) {
	t.Helper()
	group, resource, _ := strings.Cut(groupResource, "/")
	bindings := policyRoot.client(t).RbacV1().ClusterRoleBindings()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "policy-" + role + "-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	}
	for _, u := range users {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: u.name})
	}
	binding, err := bindings.Create(t.Context(), binding, metav1.CreateOptions{})
	require.NoError(t, err)
	policyCleanup(t, func(ctx context.Context) error {
		return bindings.Delete(ctx, binding.Name, metav1.DeleteOptions{})
	})
	for _, u := range users {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			review, err := u.client(t).AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource}},
			}, metav1.CreateOptions{})
			require.NoError(c, err)
			require.True(c, review.Status.Allowed, "%s cannot %s %s", u.name, verb, groupResource)
		}, patience, 50*time.Millisecond)
	}
}

// policyCleanup removes what a test made; that it is gone already is fine.
func policyCleanup(t *testing.T, remove func(context.Context) error) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := remove(ctx); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("cleaning up: %v", err)
		}
	})
}
