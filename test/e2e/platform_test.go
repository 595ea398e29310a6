package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"aphex.io/platform/test/publichost"
)

const platformClaim = ref("Platform platform-system/home")

// The example is claimed where Argo CD and cert-manager have only their kinds. The test plays both: it sets the status that
// they would, and the settings leave it to people to connect Authentik and Dex. Each step needs the ones before.
func TestPlatform(t *testing.T) {
	t.Parallel()
	cp.settings(t, map[string]any{"integrations": map[string]any{"configSync": false}})
	cp.create(t, readObject(t, filepath.Join(cp.Root(), "examples", "platform", "claim.yaml")))

	require.True(t, t.Run("what is not installed is what it waits for", func(t *testing.T) {
		o := cp.await(t, platformClaim, func(o *object) error {
			if err := areTrue(o, "NamespaceReady", "SecretsReady", "TektonAccessReady", "GroupsReady"); err != nil {
				return err
			}
			for awaiting, what := range map[string]string{
				"LoginReady": "Secret auth-system/dex-tls has no ca.crt yet", "ArgoCDLoginReady": "Secret auth-system/dex-tls has no ca.crt yet", "CertificatesReady": "waiting for ClusterIssuer selfsigned-issuer",
			} {
				status, _, message := condition(o, awaiting)
				if err := contains(status+": "+message, "False: ", what); err != nil {
					return fmt.Errorf("%s: %w", awaiting, err)
				}
			}
			return contains(text(o, "status.message"), "wave 0 of 30: platform-ingress-controller Unknown (Argo CD has not looked at it yet)",
				"waiting for ConfigMap auth-system/kube-apiserver-authentication")
		})
		require.Equal(t, "Pending", text(o, "status.phase"))
		require.Equal(t, "https://dex.home.local", text(o, "status.issuer"))
		cp.missing(t, "Application argocd/platform-tekton")
	}))
	require.True(t, t.Run("the phase follows the waves", followWaves))
	require.True(t, t.Run("with its certificates it is ready", func(t *testing.T) {
		for _, r := range []ref{
			"ClusterIssuer selfsigned-issuer", "Certificate auth-system/dex-tls", "Certificate auth-system/authentik-tls",
			"Certificate argocd/argocd-tls", "Certificate tekton-pipelines/tekton-tls",
		} {
			cp.certManagerReports(t, r)
		}
		for r, key := range map[ref]string{
			"ConfigMap auth-system/kube-apiserver-authentication": "authentication-configuration.yaml", "ConfigMap argocd/argocd-cm": "oidc.config",
		} {
			cp.await(t, r, func(o *object) error {
				data, _ := o.Object["data"].(map[string]any)
				return contains(fmt.Sprint(data[key]), "-----BEGIN CERTIFICATE-----")
			})
		}
		o := cp.awaitPhase(t, platformClaim, "Ready", "people log in at https://authentik.home.local, once somebody connected Authentik and Dex")
		for _, c := range list(o, "status.conditions") {
			require.Equal(t, "True", c["status"], "%v", c)
		}
		for _, a := range list(o, "status.applications") {
			require.Equal(t, "Synced Healthy", fmt.Sprint(a["sync"], " ", a["health"]), "%v", a)
		}
		require.Regexp(t, `(?m)^home +Ready +30 +True +True +\d+`, kubectl(t, "get", "platforms", "--namespace", "platform-system"))
	}))
	t.Run("Platform is what its golden file says", func(t *testing.T) { cp.requireGolden(t, platformClaim) })
	t.Run("a wave that fails later takes nothing away", func(t *testing.T) {
		cp.argoCDReports(t, "platform-tekton", "Synced", "Degraded")
		cp.awaitPhase(t, platformClaim, "Pending", "wave 1 of 30: platform-tekton Degraded")
		cp.see(t, "Application argocd/platform-ingress")
		cp.argoCDReports(t, "platform-tekton", "Synced", "Healthy")
		cp.awaitPhase(t, platformClaim, "Ready")
	})
	t.Run("what is no certificate reaches nobody, who trust the last good one", func(t *testing.T) {
		const file = ref("ConfigMap auth-system/kube-apiserver-authentication")
		trusting := cp.see(t, file).Object["data"]
		good := cp.see(t, "Secret auth-system/dex-tls").Object["data"].(map[string]any)["ca.crt"]
		cp.patch(t, "Secret auth-system/dex-tls", "stringData: {ca.crt: a certificate}")
		cp.awaitPhase(t, platformClaim, "Pending", "Secret auth-system/dex-tls, ca.crt: it is not, or not only, certificates in PEM")
		require.Equal(t, trusting, cp.see(t, file).Object["data"])
		cp.patch(t, "Secret auth-system/dex-tls", fmt.Sprintf("data: {ca.crt: %s}", good))
		cp.awaitPhase(t, platformClaim, "Ready")
	})
	t.Run("who leaves the list leaves the groups", leavesTheGroups)
	t.Run("a group of a former name is remembered, also without the blueprint", remembersFormerGroups)
	t.Run("its secrets stay, and nothing is written without need", secretsStay)
	t.Run("its secrets are in no status, event or log", secretsAreNotTold)
	t.Run("a secret that is lost is made anew alone", aLostSecretIsMadeAnewAlone)
	t.Run("each group has exactly its rights", groupsHaveTheirRights)
	t.Run("engineering follows the namespaces", engineeringFollowsNamespaces)
	t.Run("a cluster has one platform", func(t *testing.T) {
		second := cp.create(t, anotherPlatform(cp.namespace(t, "e2e-platform"), "second"))
		cp.awaitPhase(t, second, "Failed", "Namespace auth-system exists and is controlled by XPlatform home-", "a cluster has one platform")
		require.Empty(t, cp.composed(t, second))
		cp.missing(t, "ClusterIssuer acme-issuer")
		cp.remove(t, second)
		cp.awaitPhase(t, platformClaim, "Ready")
	})
	saved, before := t.TempDir(), platformSecrets(t)
	cp.runBlock(t, "> platform-secrets.yaml", saved)
	t.Run("once it is deleted, nothing is left", func(t *testing.T) {
		composed := cp.composed(t, platformClaim)
		require.Greater(t, len(composed), 40)
		cp.remove(t, platformClaim)
		for _, r := range composed {
			cp.awaitGone(t, r)
		}
		require.False(t, allowed(t, group("platform-admins"), "", "create", "namespaces"))
	})
	t.Run("of two claims at the same moment one has the cluster", oneOfTwoStays)
	t.Run("what others made is left alone", leavesOthersAlone)
	t.Run("a platform that is made again uses the namespace and the secrets that were kept", func(t *testing.T) {
		usesWhatWasKept(t, saved, before)
	})
}

// argoCDReports sets what Argo CD would report of an application.
func (c *cluster) argoCDReports(t *testing.T, application, sync, health string) {
	t.Helper()
	c.patch(t, refTo("Application argocd/%s", application), fmt.Sprintf("status: {sync: {status: %s}, health: {status: %s}}", sync, health))
}

// certManagerReports sets what cert-manager would report of a certificate or an issuer that is good. It writes the only Secret
// of a certificate that the platform reads.
func (c *cluster) certManagerReports(t *testing.T, r ref) {
	t.Helper()
	if r == "Certificate auth-system/dex-tls" {
		_, ca := publichost.SelfSigned(t, "dex.home.local")
		_, err := c.kube.CoreV1().Secrets(r.namespace()).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: r.name()}, Data: map[string][]byte{"ca.crt": ca},
		}, metav1.CreateOptions{FieldManager: "e2e"})
		require.NoError(t, err)
	}
	_, err := c.client(r).Patch(t.Context(), r.name(), types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`),
		metav1.PatchOptions{FieldManager: "e2e"}, "status")
	require.NoError(t, err, r)
}

// playArgoCDAndCertManager returns once a platform has everything that waits for them.
func (c *cluster) playArgoCDAndCertManager(t *testing.T, claim ref) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		c.reportForNeighbours(ctx, t, claim)
		return isReady(c.see(t, claim))
	})
}

// reportForNeighbours sets what Argo CD and cert-manager would report of what a platform has made so far.
func (c *cluster) reportForNeighbours(ctx context.Context, t *testing.T, claim ref) {
	t.Helper()
	xr := c.xr(t, claim)
	c.await(t, xr, func(*object) error { return nil })
	for _, r := range c.composed(t, xr) {
		o, err := c.get(ctx, r)
		switch {
		case err != nil, o.Object["status"] != nil: // Crossplane names an object before it makes it.
		case r.kind() == "Application":
			c.argoCDReports(t, r.name(), "Synced", "Healthy")
		case r.kind() == "Certificate", r.kind() == "ClusterIssuer":
			c.certManagerReports(t, r)
		}
	}
}

// removePlatform returns once there can be another one.
func (c *cluster) removePlatform(t *testing.T, claim ref) {
	t.Helper()
	c.remove(t, claim)
	c.awaitGone(t, "Namespace auth-system")
}

func followWaves(t *testing.T) {
	waves := []struct {
		number       int
		applications []string
	}{
		{0, []string{"platform-ingress-controller"}},
		{1, []string{"platform-tekton"}},
		{5, []string{"platform-crds", "platform-rbac"}},
		{10, []string{"platform-cert-manager"}},
		{15, []string{"platform-external-secrets"}},
		{20, []string{"platform-cert-foundation", "platform-auth", "platform-controllers", "platform-catalog"}},
		{30, []string{"platform-ingress", "platform-gateway", "platform-external-dns"}},
	}
	for i, w := range waves {
		first := w.applications[0]
		cp.awaitPhase(t, platformClaim, "Pending", fmt.Sprintf("wave %d of 30: ", w.number), first)
		for _, a := range w.applications {
			o := cp.see(t, refTo("Application argocd/%s", a))
			require.Equal(t, fmt.Sprint(w.number), o.GetAnnotations()["argocd.argoproj.io/sync-wave"])
			cp.argoCDReports(t, a, "OutOfSync", "Progressing")
		}
		cp.awaitPhase(t, platformClaim, "Pending", fmt.Sprintf("wave %d of 30: %s Progressing", w.number, first))
		if i+1 < len(waves) {
			cp.missing(t, refTo("Application argocd/%s", waves[i+1].applications[0]))
		}
		for _, a := range w.applications {
			cp.argoCDReports(t, a, "Synced", "Healthy")
		}
	}
	cp.await(t, platformClaim, func(o *object) error { return areTrue(o, "ApplicationsReady") })
	cp.missing(t, "Application argocd/platform-gpu")
}

func leavesTheGroups(t *testing.T) {
	const blueprint = ref("ConfigMap auth-system/authentik-blueprints")
	people := cp.see(t, platformClaim).Object["spec"].(map[string]any)["auth"].(map[string]any)["users"]
	kept, err := json.Marshal(map[string]any{"spec": map[string]any{"auth": map[string]any{"users": people}}})
	require.NoError(t, err)
	for _, step := range []struct {
		patch string
		// empty is how many groups are said to have nobody, some how many have Alice.
		empty, some int
	}{
		{"spec: {auth: {users: []}}", 3, 0},
		{"spec: {auth: {users: null}}", 0, 0},
		{string(kept), 2, 1},
	} {
		cp.patch(t, platformClaim, step.patch)
		cp.await(t, blueprint, func(o *object) error {
			file := fmt.Sprint(o.Object["data"])
			if empty, some := strings.Count(file, "users: []"), strings.Count(file, "!KeyOf user-alice"); empty != step.empty || some != step.some {
				return fmt.Errorf("%d groups have nobody and %d have Alice after %s", empty, some, step.patch)
			}
			return nil
		})
	}
	_, err = cp.client(platformClaim).Patch(t.Context(), platformClaim.name(), types.MergePatchType, []byte(`{"spec":{"auth":{"users":null}}}`), metav1.PatchOptions{})
	require.ErrorContains(t, err, "must be an empty list, which takes everybody out of the groups, before it is left out")
	cp.awaitPhase(t, platformClaim, "Ready")
}

func remembersFormerGroups(t *testing.T) {
	const blueprint = ref("ConfigMap auth-system/authentik-blueprints")
	has := func(o *object, former string) error {
		return contains(fmt.Sprint(o.Object["data"]), fmt.Sprintf("conditions:\n      - !Find [authentik_core.group, [name, %q]]", former))
	}
	cp.patch(t, platformClaim, "spec: {groups: {admins: {name: root}}}")
	before := cp.await(t, blueprint, func(o *object) error { return has(o, "platform-admins") })
	// A run that began before would write again what it saw.
	cp.await(t, platformClaim, func(o *object) error {
		return same([]any{"platform-admins", "platform-engineering", "platform-operators", "root"}, o.Object["status"].(map[string]any)["authentikGroups"])
	})
	cp.settled(t, []ref{platformClaim})
	require.NoError(t, cp.client(blueprint).Delete(t.Context(), blueprint.name(), metav1.DeleteOptions{}))
	cp.await(t, blueprint, func(o *object) error {
		if o.GetUID() == before.GetUID() {
			return errors.New("it is not deleted yet")
		}
		return has(o, "platform-admins")
	})
	cp.patch(t, platformClaim, "spec: {groups: {admins: {name: platform-admins}}}")
	cp.await(t, blueprint, func(o *object) error { return has(o, "root") })
	cp.awaitPhase(t, platformClaim, "Ready")
}

// platformSecrets are the values of all Secrets of the platform.
func platformSecrets(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range cp.composed(t, platformClaim) {
		if r.kind() != "Secret" {
			continue
		}
		o := cp.see(t, r)
		data, _ := o.Object["data"].(map[string]any)
		for key := range data {
			out[r.namespace()+"/"+r.name()+"#"+key] = secretValue(t, o, key)
		}
	}
	return out
}

func secretsStay(t *testing.T) {
	claims := []ref{platformClaim}
	versions := cp.settled(t, claims)
	for range 2 {
		cp.reconcile(t, cp.xr(t, platformClaim))
	}
	require.Equal(t, versions, cp.versions(t, claims))

	before := platformSecrets(t)
	require.Len(t, before, 15)
	for i, revision := range []string{"main", "v1", "HEAD"} {
		if i == 1 {
			require.NoError(t, cp.Restart(t.Context(), "function-platform"))
		}
		// Every object is applied again once this one is.
		cp.patch(t, platformClaim, "spec: {gitops: {targetRevision: "+revision+"}}")
		cp.await(t, "Application argocd/platform-auth", func(o *object) error {
			return same(revision, text(o, "spec.source.targetRevision"))
		})
		cp.awaitPhase(t, platformClaim, "Ready")
		require.Equal(t, before, platformSecrets(t))
	}
}

func secretsAreNotTold(t *testing.T) {
	events, err := cp.kube.CoreV1().Events("").List(t.Context(), everything)
	require.NoError(t, err)
	told := fmt.Sprint(events.Items, cp.see(t, platformClaim).Object, cp.see(t, cp.xr(t, platformClaim)).Object)
	for _, process := range []string{"function-platform", "crossplane"} {
		log, err := os.ReadFile(cp.Logs(process))
		require.NoError(t, err)
		told += string(log)
	}
	for name, value := range platformSecrets(t) {
		require.NotContains(t, told, value, name)
	}
}

func aLostSecretIsMadeAnewAlone(t *testing.T) {
	before := platformSecrets(t)
	// A run that began before would write again what it saw.
	cp.settled(t, []ref{platformClaim})
	lose := func() error {
		return cp.client("Secret auth-system/dex-client-argocd").Delete(t.Context(), "dex-client-argocd", metav1.DeleteOptions{})
	}
	require.NoError(t, lose())
	follow := map[string]bool{
		"auth-system/dex-client-argocd#client-secret": true, "auth-system/dex-environment#ARGOCD_CLIENT_SECRET": true, "argocd/argocd-oidc#clientSecret": true,
	}
	eventually(t, func(context.Context) error {
		o, err := cp.get(t.Context(), "Secret auth-system/dex-client-argocd")
		if err != nil {
			return err
		}
		now := secretValue(t, o, "client-secret")
		if now == before["auth-system/dex-client-argocd#client-secret"] {
			// Something began such a run meanwhile.
			return errors.Join(errors.New("it has the old value again"), lose())
		}
		for name, value := range platformSecrets(t) {
			switch {
			case follow[name] && value != now:
				return fmt.Errorf("%s does not follow", name)
			case !follow[name]:
				require.Equal(t, before[name], value, name)
			}
		}
		return nil
	})
}

// anotherPlatform is a claim whose issuer and applications differ from the example's.
func anotherPlatform(namespace, name string) *object {
	return claimOf("Platform", namespace, name, map[string]any{
		"gitops": map[string]any{"repoURL": "https://github.com/acme-corp/" + name},
		"certificates": map[string]any{"issuer": "acme", "acme": map[string]any{
			"email": "admin@example.com", "solvers": []any{map[string]any{"http01": map[string]any{"ingressClassName": "nginx"}}},
		}},
	}, nil)
}

// Where the namespace was made by hand, that does not tell who has the cluster.
func oneOfTwoStays(t *testing.T) {
	const namespace = ref("Namespace auth-system")
	cp.awaitGone(t, namespace)
	cp.create(t, &object{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace.name()}}})
	claims := cp.namespace(t, "e2e-two-platforms")
	red, blue := anotherPlatform(claims, "red"), anotherPlatform(claims, "blue")
	two := []ref{cp.create(t, red), cp.create(t, blue)}

	var has, second ref
	eventually(t, func(ctx context.Context) error {
		has, second = "", ""
		for _, r := range two {
			o, err := cp.get(ctx, r)
			if err != nil {
				return err
			}
			if message := text(o, "status.message"); strings.Contains(message, "; a cluster has one platform") {
				second = r
			} else if areTrue(o, "NamespaceReady", "SecretsReady", "GroupsReady") == nil {
				has = r
			}
		}
		if has == "" || second == "" {
			return fmt.Errorf("%q has the cluster, %q is the second one; red: %v; blue: %v", has, second, cp.see(t, two[0]).Object["status"], cp.see(t, two[1]).Object["status"])
		}
		return nil
	})
	cp.awaitPhase(t, second, "Failed", "exists and is controlled by XPlatform "+has.name()+"-")
	require.Empty(t, cp.composed(t, second))
	for _, r := range cp.composed(t, has) {
		// Crossplane names an object before it makes it.
		o := cp.await(t, r, func(*object) error { return nil })
		owner := metav1.GetControllerOf(o)
		require.NotNil(t, owner, r)
		require.Equal(t, cp.xr(t, has), refTo("%s %s", owner.Kind, owner.Name), r)
	}

	cp.remove(t, has)
	cp.await(t, second, func(o *object) error { return areTrue(o, "NamespaceReady", "SecretsReady", "GroupsReady") })
	require.NotEmpty(t, cp.composed(t, second))
	cp.remove(t, second)
	cp.see(t, namespace)
	cp.remove(t, namespace)
}

func leavesOthersAlone(t *testing.T) {
	theirs := []ref{
		cp.create(t, &object{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "tekton-admin"},
			"rules": []any{map[string]any{"apiGroups": []any{"tekton.dev"}, "resources": []any{"tasks"}, "verbs": []any{"get"}}},
		}}),
		cp.create(t, &object{Object: map[string]any{
			"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": map[string]any{"namespace": "argocd", "name": "platform-ingress-controller"},
			"spec": map[string]any{"project": "default", "destination": map[string]any{"server": "https://kubernetes.default.svc"},
				"source": map[string]any{"repoURL": "https://github.com/others/platform", "path": "."}},
		}}),
	}
	var before []*object
	for _, r := range theirs {
		before = append(before, cp.see(t, r))
	}
	claim := cp.create(t, anotherPlatform(cp.namespace(t, "e2e-platform-others"), "others"))
	cp.awaitPhase(t, claim, "Failed", string(theirs[0])+" exists and is not managed by Aphex", string(theirs[1])+" exists and is not managed by Aphex", "delete or rename what is in the way")
	cp.await(t, claim, func(o *object) error { return areTrue(o, "NamespaceReady", "SecretsReady", "GroupsReady") })
	for _, r := range theirs {
		require.NotContains(t, cp.composed(t, claim), r)
	}
	cp.removePlatform(t, claim)
	for i, r := range theirs {
		require.Equal(t, before[i], cp.see(t, r))
	}
}

// areTrue is a check of conditions.
func areTrue(o *object, conditions ...string) error {
	for _, c := range conditions {
		if status, _, message := condition(o, c); status != "True" {
			return fmt.Errorf("%s is %q: %s", c, status, message)
		}
	}
	return nil
}

// usesWhatWasKept restores what was saved of a platform that is gone, as docs/platform.md says. The values were its own.
func usesWhatWasKept(t *testing.T, saved string, values map[string]string) {
	t.Helper()
	const namespace = ref("Namespace auth-system")
	cp.awaitGone(t, namespace)
	cp.runBlock(t, "kubectl apply -f platform-secrets.yaml", saved)
	cp.cleanUp(t, namespace)
	kept := []ref{namespace}
	for _, name := range []string{
		"authentik-postgresql", "authentik-secrets", "authentik-api-token", "dex-secrets",
		"dex-client-argocd", "dex-client-tekton-dashboard", "dex-client-kubernetes",
	} {
		kept = append(kept, refTo("Secret auth-system/%s", name))
	}
	versions := func() map[ref]string {
		out := map[ref]string{}
		for _, r := range kept {
			o := cp.see(t, r)
			require.Empty(t, o.GetOwnerReferences(), r)
			out[r] = o.GetResourceVersion()
		}
		return out
	}
	before := versions()
	cp.create(t, readObject(t, filepath.Join(cp.Root(), "examples", "platform", "claim.yaml")))
	cp.await(t, platformClaim, func(o *object) error { return areTrue(o, "NamespaceReady", "SecretsReady", "TektonAccessReady") })
	cp.await(t, "Secret argocd/argocd-oidc", func(*object) error { return nil })
	require.Len(t, values, 15)
	for at, value := range values {
		name, key, _ := strings.Cut(at, "#")
		require.Equal(t, value, secretValue(t, cp.see(t, refTo("Secret %s", name)), key), at)
	}
	for _, r := range kept {
		require.NotContains(t, cp.composed(t, platformClaim), r)
	}
	cp.remove(t, platformClaim)
	for _, r := range []ref{"Secret auth-system/dex-environment", "Secret argocd/argocd-oidc", "Secret tekton-pipelines/tekton-oidc"} {
		cp.awaitGone(t, r)
	}
	require.Equal(t, before, versions())
}

func group(name string) user {
	return user{name: name + "@acme-corp.com", groups: []string{name, "system:authenticated"}}
}

// allowed asks the API server about a right, such as delete organizations.aphex.io.
func allowed(t *testing.T, who user, namespace, verb, resource string) bool {
	t.Helper()
	attributes := &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb}
	resource, attributes.Subresource, _ = strings.Cut(resource, "/")
	attributes.Resource, attributes.Group, _ = strings.Cut(resource, ".")
	answer, err := cp.kube.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: who.name, Groups: who.groups, ResourceAttributes: attributes},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return answer.Status.Allowed
}

func groupsHaveTheirRights(t *testing.T) {
	const (
		admins      = "platform-admins admins"
		operators   = "platform-operators"
		engineering = "platform-engineering engineering"
	)
	table := []struct{ groups, verbs, resources string }{
		{admins, "get list watch create update patch delete", "organizations.aphex.io repobindings.aphex.io knowledgebases.aphex.io platforms.aphex.io"},
		{admins, "get list watch create delete", "namespaces"},
		{admins, "get list watch create update patch delete", "pipelineruns.tekton.dev tasks.tekton.dev"},
		{operators, "get list watch create update patch delete", "organizations.aphex.io repobindings.aphex.io knowledgebases.aphex.io"},
		{admins + " " + operators, "get list watch", "events events.events.k8s.io"},
		// Whoever reads Tekton sees the pods and logs of its runs, in all namespaces.
		{admins + " " + operators + " " + engineering, "get list watch", "pods pods/log"},
		{operators + " " + engineering, "get list watch", "pipelineruns.tekton.dev tasks.tekton.dev"},
	}
	want := map[string]bool{}
	for _, row := range table {
		for g := range strings.FieldsSeq(row.groups) {
			for v := range strings.FieldsSeq(row.verbs) {
				for r := range strings.FieldsSeq(row.resources) {
					want[g+" "+v+" "+r] = true
				}
			}
		}
	}
	for g := range strings.FieldsSeq(admins + " " + operators + " " + engineering + " strangers") {
		for v := range strings.FieldsSeq("get list watch create update patch delete deletecollection") {
			for r := range strings.FieldsSeq("organizations.aphex.io repobindings.aphex.io knowledgebases.aphex.io platforms.aphex.io xplatforms.aphex.io " +
				"namespaces pods pods/log pods/exec events events.events.k8s.io secrets configmaps pipelineruns.tekton.dev tasks.tekton.dev " +
				"applications.argoproj.io clusterroles.rbac.authorization.k8s.io rolebindings.rbac.authorization.k8s.io") {
				require.Equal(t, want[g+" "+v+" "+r], allowed(t, group(g), "kube-system", v, r), "%s may %s %s", g, v, r)
			}
		}
	}
}

func engineeringFollowsNamespaces(t *testing.T) {
	may := func(namespace string) bool {
		return allowed(t, group("platform-engineering"), namespace, "create", "repobindings.aphex.io") &&
			allowed(t, group("engineering"), namespace, "update", "organizations.aphex.io")
	}
	reach := func(t *testing.T, want map[string]bool) {
		t.Helper()
		eventually(t, func(context.Context) error {
			for namespace, yes := range want {
				if may(namespace) != yes {
					return fmt.Errorf("in %s: %t, want %t", namespace, !yes, yes)
				}
			}
			return nil
		})
	}
	for _, name := range []string{"team-plat-blue", "user-plat-bob", "teamplat", "my-team-plat"} {
		cp.namespace(t, name)
	}
	reach(t, map[string]bool{"team-plat-blue": true, "user-plat-bob": true, "teamplat": false, "my-team-plat": false, "auth-system": false, "argocd": false, "": false})
	for _, verb := range []string{"delete", "deletecollection"} {
		require.False(t, allowed(t, group("platform-engineering"), "team-plat-blue", verb, "repobindings.aphex.io"))
	}
	require.False(t, allowed(t, group("platform-engineering"), "team-plat-blue", "create", "platforms.aphex.io"))
	require.False(t, allowed(t, group("platform-engineering"), "team-plat-blue", "get", "secrets"))

	cp.remove(t, "Namespace team-plat-blue")
	cp.await(t, platformClaim, func(o *object) error {
		status, _ := o.Object["status"].(map[string]any)
		return same("[user-plat-bob]", fmt.Sprint(status["engineeringNamespaces"]))
	})
	cp.awaitPhase(t, platformClaim, "Ready")
	reach(t, map[string]bool{"team-plat-blue": false, "user-plat-bob": true})

	cp.namespace(t, "team-plat-blue")
	reach(t, map[string]bool{"team-plat-blue": true, "user-plat-bob": true})

	t.Run("a binding of somebody else keeps nobody else from theirs", func(t *testing.T) {
		// As the namespace of a pipeline it is nobody's concern, so that the binding is there first.
		_, err := cp.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: "team-plat-red", Labels: map[string]string{"aphex/tenant": "team-plat-red"}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		cp.cleanUp(t, "Namespace team-plat-red")
		theirs := cp.create(t, &object{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": map[string]any{"namespace": "team-plat-red", "name": "platform-engineering"},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
			"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "red"}},
		}})
		before := cp.see(t, theirs)
		cp.patch(t, "Namespace team-plat-red", "metadata: {labels: {aphex/tenant: null}}")
		const inTheWay = "waiting for RoleBinding team-plat-red/platform-engineering (it exists and is not managed by Aphex"
		cp.awaitCondition(t, platformClaim, "GroupsReady", "False NameTaken", inTheWay)
		cp.awaitPhase(t, platformClaim, "Pending", inTheWay)

		cp.namespace(t, "team-plat-green")
		reach(t, map[string]bool{"team-plat-green": true, "team-plat-blue": true, "team-plat-red": false})
		require.Equal(t, before, cp.see(t, theirs))

		cp.remove(t, theirs)
		reach(t, map[string]bool{"team-plat-red": true})
		cp.awaitPhase(t, platformClaim, "Ready")
	})
}
