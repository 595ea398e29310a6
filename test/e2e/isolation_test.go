package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// The subjects: everybody who gets rights, and the service accounts that every pod has if it names no other.
var isolationSubjects = map[string]user{
	"the listener":                       serviceAccount("org-iso-a", "eventlistener"),
	"the reader of secrets":              serviceAccount("org-iso-a", "eso-secrets-reader"),
	"any pod of the organization":        serviceAccount("org-iso-a", "default"),
	"the pipeline, standard":             serviceAccount("iso-web", "pipeline-runner"),
	"the pipeline, elevated":             serviceAccount("iso-api", "pipeline-runner"),
	"any other pod of the pipeline":      serviceAccount("iso-web", "default"),
	"the administrator":                  person("admin@iso-a.example.com"),
	"another organization's listener":    serviceAccount("org-iso-b", "eventlistener"),
	"another organization's pipeline":    serviceAccount("iso-other", "pipeline-runner"),
	"somebody who has just logged in":    person("nobody@iso-a.example.com"),
	"a pod that is no business of Aphex": serviceAccount("default", "default"),
}

// isolationPlaces are the namespaces in which each is asked about; the whole cluster has none.
var isolationPlaces = []string{
	"org-iso-a", "iso-web", "iso-api", "org-iso-b", "iso-other",
	"e2e-isolation", "argocd", "kube-system", "crossplane-system", "tekton-pipelines", "default", "",
}

// grant is one line of the table of what is allowed.
type grant struct {
	subject string
	// place is a namespace, or everywhere.
	place, verbs, resources string
}

const everywhere = "*"

// isolationTable is all that is allowed. What it does not say has to be refused.
var isolationTable = []grant{
	{"the listener", everywhere, "get list watch", "clusterinterceptors.triggers.tekton.dev clustertriggerbindings.triggers.tekton.dev"},
	{"the listener", "org-iso-a", "get list watch", "eventlisteners.triggers.tekton.dev triggers.triggers.tekton.dev " +
		"triggerbindings.triggers.tekton.dev triggertemplates.triggers.tekton.dev interceptors.triggers.tekton.dev"},
	{"the listener", "iso-web", "create", "pipelineruns.tekton.dev"},
	{"the listener", "iso-api", "create", "pipelineruns.tekton.dev"},

	{"the reader of secrets", "org-iso-a", "get", "secrets#org-secrets"},

	{"the pipeline, standard", everywhere, "get list watch", "clusterinterceptors.triggers.tekton.dev clustertriggerbindings.triggers.tekton.dev"},
	{"the pipeline, standard", "iso-web", "get list create update delete", "pods pods/log configmaps secrets"},
	{"the pipeline, standard", "iso-web", "get list create", "pipelineruns.tekton.dev taskruns.tekton.dev"},
	{"the pipeline, standard", "iso-web", "get create update delete", "leases.coordination.k8s.io"},
	{"the pipeline, standard", "argocd", "get list watch", "applications.argoproj.io#iso-web appprojects.argoproj.io#iso-web"},

	{"the pipeline, elevated", everywhere, "get list watch", "clusterinterceptors.triggers.tekton.dev clustertriggerbindings.triggers.tekton.dev"},
	{"the pipeline, elevated", "iso-api", "get list create update delete", "pods pods/log configmaps secrets services persistentvolumeclaims"},
	{"the pipeline, elevated", "iso-api", "get list create update delete", "pipelineruns.tekton.dev taskruns.tekton.dev pipelines.tekton.dev tasks.tekton.dev"},
	{"the pipeline, elevated", "iso-api", "get list create update delete", "deployments.apps statefulsets.apps"},
	{"the pipeline, elevated", "iso-api", "get create update delete", "leases.coordination.k8s.io"},
	{"the pipeline, elevated", "argocd", "get list watch", "applications.argoproj.io#iso-api appprojects.argoproj.io#iso-api"},

	{"the administrator", "org-iso-a", "create", "secrets"},
	{"the administrator", "org-iso-a", "get update patch delete", "secrets#org-secrets"},
	{"the administrator", "org-iso-a", "get list watch create update patch delete", "repobindings.aphex.io knowledgebases.aphex.io"},
	{"the administrator", "org-iso-a", "get list watch", "configmaps services pods events"},
	{"the administrator", "org-iso-a", "get", "pods/log"},
	{"the administrator", "org-iso-a", "get list watch", "pipelines.tekton.dev pipelineruns.tekton.dev taskruns.tekton.dev"},
	{"the administrator", "org-iso-a", "get list watch", "eventlisteners.triggers.tekton.dev triggers.triggers.tekton.dev " +
		"triggerbindings.triggers.tekton.dev triggertemplates.triggers.tekton.dev interceptors.triggers.tekton.dev"},
	{"the administrator", "org-iso-a", "get list watch", "externalsecrets.external-secrets.io"},
	{"the administrator", "org-iso-a", "get list watch", "tunnels.cloudflare.aphex.io dnsrecords.cloudflare.aphex.io"},

	{"another organization's listener", everywhere, "get list watch", "clusterinterceptors.triggers.tekton.dev clustertriggerbindings.triggers.tekton.dev"},
	{"another organization's listener", "org-iso-b", "get list watch", "eventlisteners.triggers.tekton.dev triggers.triggers.tekton.dev " +
		"triggerbindings.triggers.tekton.dev triggertemplates.triggers.tekton.dev interceptors.triggers.tekton.dev"},
	{"another organization's listener", "iso-other", "create", "pipelineruns.tekton.dev"},

	{"another organization's pipeline", everywhere, "get list watch", "clusterinterceptors.triggers.tekton.dev clustertriggerbindings.triggers.tekton.dev"},
	{"another organization's pipeline", "iso-other", "get list create update delete", "pods pods/log configmaps secrets"},
	{"another organization's pipeline", "iso-other", "get list create", "pipelineruns.tekton.dev taskruns.tekton.dev"},
	{"another organization's pipeline", "iso-other", "get create update delete", "leases.coordination.k8s.io"},
	{"another organization's pipeline", "argocd", "get list watch", "applications.argoproj.io#iso-other appprojects.argoproj.io#iso-other"},
}

// isolationQuestions are what the API server is asked about, by verbs. A name after # asks about one object.
var isolationQuestions = map[string][]string{
	"get list create update delete": {
		"secrets", "pods", "configmaps", "serviceaccounts", "namespaces",
		"pipelineruns.tekton.dev", "repobindings.aphex.io", "organizations.aphex.io",
		"roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
		"clusterroles.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io",
		"applications.argoproj.io", "appprojects.argoproj.io",
		"secrets#org-secrets", "secrets#github-webhook-secret", "secrets#cloudflared-credentials-iso-a",
		"applications.argoproj.io#iso-web", "appprojects.argoproj.io#iso-web",
	},
	"list create": {
		"services", "persistentvolumeclaims", "events", "endpoints", "resourcequotas", "limitranges", "nodes", "persistentvolumes",
		"deployments.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch", "cronjobs.batch",
		"networkpolicies.networking.k8s.io", "ingresses.networking.k8s.io", "leases.coordination.k8s.io",
		"poddisruptionbudgets.policy", "customresourcedefinitions.apiextensions.k8s.io",
		"validatingadmissionpolicies.admissionregistration.k8s.io", "validatingadmissionpolicybindings.admissionregistration.k8s.io",
		"mutatingwebhookconfigurations.admissionregistration.k8s.io", "certificatesigningrequests.certificates.k8s.io",
		"pipelines.tekton.dev", "tasks.tekton.dev", "taskruns.tekton.dev",
		"eventlisteners.triggers.tekton.dev", "triggers.triggers.tekton.dev", "triggerbindings.triggers.tekton.dev",
		"triggertemplates.triggers.tekton.dev", "interceptors.triggers.tekton.dev",
		"clusterinterceptors.triggers.tekton.dev", "clustertriggerbindings.triggers.tekton.dev",
		"externalsecrets.external-secrets.io", "secretstores.external-secrets.io", "clustersecretstores.external-secrets.io",
		"clusterexternalsecrets.external-secrets.io", "pushsecrets.external-secrets.io", "certificates.cert-manager.io",
		"knowledgebases.aphex.io", "xorganizations.aphex.io", "xrepobindings.aphex.io",
		"tunnels.cloudflare.aphex.io", "dnsrecords.cloudflare.aphex.io", "clusterproviderconfigs.cloudflare.aphex.io",
		"compositions.apiextensions.crossplane.io", "environmentconfigs.apiextensions.crossplane.io", "functions.pkg.crossplane.io",
	},
	"create": {
		"pods/log", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "pods/eviction", "services/proxy", "nodes/proxy",
		"serviceaccounts/token", "namespaces/status", "namespaces/finalize", "deployments.apps/scale", "repobindings.aphex.io/status",
	},
	"impersonate":   {"users", "groups", "serviceaccounts", "serviceaccounts#pipeline-runner", "serviceaccounts#eventlistener"},
	"bind escalate": {"roles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io#cluster-admin"},
	"set":           {"namespacelabels.aphex.io"},
	"approve sign":  {"signers.certificates.k8s.io"},
}

func TestTenantsAreIsolated(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-isolation")
	cp.cloudflare(t)
	for _, claim := range []ref{
		cp.create(t, organization(namespace, "iso-a", with("webhookSecret", "iso-a-webhook-secret"))),
		cp.create(t, organization(namespace, "iso-b")),
		cp.create(t, repoBinding(namespace, "iso-a", "iso-web")),
		cp.create(t, repoBinding(namespace, "iso-a", "iso-api", with("permissionProfile", "elevated"))),
		cp.create(t, repoBinding(namespace, "iso-b", "iso-other")),
	} {
		cp.awaitReady(t, claim)
	}

	allowed := map[string]map[string]bool{}
	for subject := range isolationSubjects {
		allowed[subject] = map[string]bool{}
	}
	for _, g := range isolationTable {
		require.Contains(t, allowed, g.subject)
		for _, verb := range strings.Fields(g.verbs) {
			for _, resource := range strings.Fields(g.resources) {
				allowed[g.subject][right(g.place, verb, resource)] = true
			}
		}
	}
	t.Run("the API server refuses what the table does not say", func(t *testing.T) {
		t.Parallel()
		requireAnswers(t, allowed)
	})
	t.Run("the API server knows of no other right", func(t *testing.T) {
		t.Parallel()
		requireRules(t, allowed)
	})
	t.Run("real requests with real tokens", func(t *testing.T) {
		t.Parallel()
		requireRequests(t)
	})
}

// right is one right in writing, such as "get secrets#org-secrets in org-iso-a".
func right(place, verb, resource string) string { return verb + " " + resource + " in " + place }

// requireAnswers asks about subjects, places, verbs and resources one by one; requireRules has the others.
func requireAnswers(t *testing.T, allowed map[string]map[string]bool) {
	t.Helper()
	config := cp.RESTConfig()
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	ask := func(ctx context.Context, subject, place, verb, resource string) error {
		attributes := &authorizationv1.ResourceAttributes{Namespace: place, Verb: verb}
		resource, attributes.Name, _ = strings.Cut(resource, "#")
		resource, attributes.Subresource, _ = strings.Cut(resource, "/")
		attributes.Resource, attributes.Group, _ = strings.Cut(resource, ".")
		who := isolationSubjects[subject]
		answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: who.name, Groups: who.groups, ResourceAttributes: attributes},
		}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		question := resource
		if attributes.Subresource != "" {
			question += "/" + attributes.Subresource
		}
		want := may(allowed[subject], place, verb, question)
		if attributes.Name != "" {
			want = want || may(allowed[subject], place, verb, question+"#"+attributes.Name)
		}
		if answer.Status.Allowed != want {
			return fmt.Errorf("%s: allowed is %t, want %t: %s", subject, answer.Status.Allowed, want,
				right(place, verb, question+" "+attributes.Name))
		}
		return nil
	}

	wrong := make(chan error, 1000)
	all, ctx := errgroup.WithContext(t.Context())
	all.SetLimit(8)
	questions := 0
	for subject := range isolationSubjects {
		if !strings.HasPrefix(subject, "the ") && !strings.HasPrefix(subject, "any ") {
			continue // The others are the same again from the other side.
		}
		for _, place := range isolationPlaces {
			for verbs, resources := range isolationQuestions {
				for _, resource := range resources {
					questions += len(strings.Fields(verbs))
					all.Go(func() error {
						for _, verb := range strings.Fields(verbs) {
							if err := ask(ctx, subject, place, verb, resource); err != nil {
								select {
								case wrong <- err:
								default:
									return err // enough
								}
							}
						}
						return nil
					})
				}
			}
		}
	}
	err = all.Wait()
	close(wrong)
	var list []string
	for e := range wrong {
		list = append(list, e.Error())
	}
	slices.Sort(list)
	require.Empty(t, list, "%d of %d answers", len(list), questions)
	require.NoError(t, err)
}

// may tells what the table says of a place, or of everywhere.
func may(allowed map[string]bool, place, verb, resource string) bool {
	return allowed[right(place, verb, resource)] || allowed[right(everywhere, verb, resource)]
}

// requireRules asks for all that each may do in a namespace, so that no right on a kind is forgotten that nobody thought
// of asking about.
func requireRules(t *testing.T, allowed map[string]map[string]bool) {
	t.Helper()
	// What everybody who has logged in may do: ask about themselves.
	common := []string{
		"create selfsubjectaccessreviews.authorization.k8s.io", "create selfsubjectrulesreviews.authorization.k8s.io",
		"create selfsubjectreviews.authentication.k8s.io",
	}
	for subject, who := range isolationSubjects {
		for _, place := range isolationPlaces {
			if place == "" {
				continue // Rules are told per namespace, those of the whole cluster with each.
			}
			answer, err := who.client(t).AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), &authorizationv1.SelfSubjectRulesReview{
				Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: place},
			}, metav1.CreateOptions{})
			require.NoError(t, err)
			require.False(t, answer.Status.Incomplete)
			have := map[string]bool{}
			for _, rule := range answer.Status.ResourceRules {
				for _, verb := range rule.Verbs {
					for _, resource := range qualified(rule) {
						have[verb+" "+resource] = true
					}
				}
			}
			want := map[string]bool{}
			for _, r := range common {
				want[r] = true
			}
			if place == "tekton-pipelines" {
				want["get configmaps#triggers-info"] = true // Tekton tells everybody its version.
			}
			for r := range allowed[subject] {
				what, where, _ := strings.Cut(r, " in ")
				if where == place || where == everywhere {
					want[what] = true
				}
			}
			require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(have)), "%s in %s", subject, place)
			for _, rule := range answer.Status.NonResourceRules {
				require.Equal(t, []string{"get"}, rule.Verbs)
				require.NotContains(t, rule.NonResourceURLs, "*")
			}
		}
	}
}

// qualified are the resources of a rule as the table writes them.
func qualified(rule authorizationv1.ResourceRule) []string {
	var out []string
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			resource, sub, _ := strings.Cut(resource, "/")
			if group != "" {
				resource += "." + group
			}
			if sub != "" {
				resource += "/" + sub
			}
			if len(rule.ResourceNames) == 0 {
				out = append(out, resource)
			}
			for _, name := range rule.ResourceNames {
				out = append(out, resource+"#"+name)
			}
		}
	}
	return out
}

// requireRequests does what tenants do, and what they might try.
func requireRequests(t *testing.T) {
	t.Helper()
	as := func(config *rest.Config) dynamic.Interface {
		client, err := dynamic.NewForConfig(config)
		require.NoError(t, err)
		return client
	}
	listener := as(cp.token(t, "org-iso-a", "eventlistener"))
	reader := as(cp.token(t, "org-iso-a", "eso-secrets-reader"))
	runner := as(cp.token(t, "iso-web", "pipeline-runner"))
	admin := as(isolationSubjects["the administrator"].config())

	secret := func(name string) *object {
		return &object{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name}}}
	}
	run := &object{Object: map[string]any{
		"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": map[string]any{"generateName": "iso-"},
		"spec": map[string]any{"pipelineRef": map[string]any{"name": "iso-web"}},
	}}
	tokenSecret := secret("iso-token")
	tokenSecret.SetAnnotations(map[string]string{"kubernetes.io/service-account.name": "eventlistener"})
	tokenSecret.Object["type"] = "kubernetes.io/service-account-token"
	clusterAdmin := &object{Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": map[string]any{"name": "iso-grab"},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "admin@iso-a.example.com"}},
	}}
	application := &object{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": map[string]any{"name": "iso-web"},
		"spec": map[string]any{"project": "iso-other", "destination": map[string]any{"namespace": "iso-other"}},
	}}
	_, err := cp.dynamic.Resource(kinds["Secret"]).Namespace("org-iso-a").Create(t.Context(), secret("org-secrets"), metav1.CreateOptions{})
	require.NoError(t, err)

	get := func(kind, namespace, name string) func(dynamic.Interface) error {
		return func(c dynamic.Interface) error {
			_, err := c.Resource(kinds[kind]).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
			return err
		}
	}
	list := func(kind, namespace string) func(dynamic.Interface) error {
		return func(c dynamic.Interface) error {
			_, err := c.Resource(kinds[kind]).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
			return err
		}
	}
	create := func(kind, namespace string, o *object) func(dynamic.Interface) error {
		return func(c dynamic.Interface) error {
			_, err := c.Resource(kinds[kind]).Namespace(namespace).Create(t.Context(), o.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		}
	}
	label := func(namespace string) func(dynamic.Interface) error {
		return func(c dynamic.Interface) error {
			_, err := c.Resource(kinds["Namespace"]).Patch(t.Context(), namespace, types.MergePatchType,
				[]byte(`{"metadata":{"labels":{"aphex.dev/org":"iso-b"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		}
	}
	for name, c := range map[string]struct {
		as dynamic.Interface
		do func(dynamic.Interface) error
		ok bool
	}{
		"the listener starts a run in its pipeline":                    {as: listener, do: create("PipelineRun", "iso-web", run), ok: true},
		"the listener starts a run in its other pipeline":              {as: listener, do: create("PipelineRun", "iso-api", run), ok: true},
		"the listener starts none in another organization":             {as: listener, do: create("PipelineRun", "iso-other", run)},
		"the listener starts none in its own namespace":                {as: listener, do: create("PipelineRun", "org-iso-a", run)},
		"the listener starts none in Argo CD's namespace":              {as: listener, do: create("PipelineRun", "argocd", run)},
		"the listener does not see runs":                               {as: listener, do: list("PipelineRun", "iso-web")},
		"the listener lists its triggers":                              {as: listener, do: list("Trigger", "org-iso-a"), ok: true},
		"the listener does not list another organization's triggers":   {as: listener, do: list("Trigger", "org-iso-b")},
		"the listener does not read the webhook secret":                {as: listener, do: get("Secret", "org-iso-a", "github-webhook-secret")},
		"the store reads the customer's secrets":                       {as: reader, do: get("Secret", "org-iso-a", "org-secrets"), ok: true},
		"the store does not read the webhook secret":                   {as: reader, do: get("Secret", "org-iso-a", "github-webhook-secret")},
		"the store does not read the tunnel's credentials":             {as: reader, do: get("Secret", "org-iso-a", "cloudflared-credentials-iso-a")},
		"the store does not list secrets":                              {as: reader, do: list("Secret", "org-iso-a")},
		"the store does not read another organization's secrets":       {as: reader, do: get("Secret", "org-iso-b", "org-secrets")},
		"a pipeline reads its secrets":                                 {as: runner, do: list("Secret", "iso-web"), ok: true},
		"a pipeline makes secrets":                                     {as: runner, do: create("Secret", "iso-web", secret("iso-made")), ok: true},
		"a pipeline does not read its sibling's secrets":               {as: runner, do: list("Secret", "iso-api")},
		"a pipeline does not read one of its sibling's secrets":        {as: runner, do: get("Secret", "iso-api", "terraform-backend-config")},
		"a pipeline does not read its organization's secrets":          {as: runner, do: get("Secret", "org-iso-a", "org-secrets")},
		"a pipeline does not read the secrets of the cluster":          {as: runner, do: list("Secret", "kube-system")},
		"a pipeline does not read all secrets":                         {as: runner, do: list("Secret", "")},
		"a pipeline does not start its sibling":                        {as: runner, do: create("PipelineRun", "iso-api", run)},
		"a pipeline sees its Argo CD project":                          {as: runner, do: get("AppProject", "argocd", "iso-web"), ok: true},
		"a pipeline does not see its sibling's Argo CD project":        {as: runner, do: get("AppProject", "argocd", "iso-api")},
		"a pipeline does not deploy with another's project":            {as: runner, do: create("Application", "argocd", application)},
		"a pipeline does not grant itself more":                        {as: runner, do: create("RoleBinding", "iso-web", clusterAdmin)},
		"a pipeline does not move its namespace":                       {as: runner, do: label("iso-web")},
		"an administrator makes org-secrets":                           {as: admin, do: create("Secret", "org-iso-a", secret("org-secrets-2")), ok: true},
		"an administrator reads org-secrets":                           {as: admin, do: get("Secret", "org-iso-a", "org-secrets"), ok: true},
		"an administrator does not read the webhook secret":            {as: admin, do: get("Secret", "org-iso-a", "github-webhook-secret")},
		"an administrator does not read the tunnel's credentials":      {as: admin, do: get("Secret", "org-iso-a", "cloudflared-credentials-iso-a")},
		"an administrator does not list secrets":                       {as: admin, do: list("Secret", "org-iso-a")},
		"an administrator does not get the listener's token":           {as: admin, do: create("Secret", "org-iso-a", tokenSecret)},
		"an administrator binds a repository":                          {as: admin, do: create("RepoBinding", "org-iso-a", repoBinding("org-iso-a", "iso-a", "iso-new")), ok: true},
		"an administrator does not bind one in the platform's":         {as: admin, do: create("RepoBinding", "platform-system", repoBinding("platform-system", "iso-a", "iso-new"))},
		"an administrator does not grant more":                         {as: admin, do: create("RoleBinding", "org-iso-a", clusterAdmin)},
		"an administrator does not read a pipeline's secrets":          {as: admin, do: list("Secret", "iso-web")},
		"an administrator does not read another organization's config": {as: admin, do: list("ConfigMap", "org-iso-b")},
		"an administrator does not move a namespace":                   {as: admin, do: label("iso-web")},
		"an administrator does not see the organization's claim":       {as: admin, do: get("Organization", "e2e-isolation", "iso-a")},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.do(c.as)
			if c.ok {
				require.NoError(t, err)
				return
			}
			require.True(t, apierrors.IsForbidden(err), "%v", err)
		})
	}
}

// token is the access of a pod that runs as a service account: a token of it, and nothing else.
func (c *cluster) token(t *testing.T, namespace, name string) *rest.Config {
	t.Helper()
	answer, err := c.kube.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(c.RESTConfig())
	config.BearerToken = answer.Status.Token
	return config
}
