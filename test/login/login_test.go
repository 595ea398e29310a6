// Package login shows that the composed configuration of logins does on a real API server what it is meant to: tokens of an
// issuer over TLS are let in or refused by the composed AuthenticationConfiguration, and those who get in may do what the
// composed rights of their groups say, and nothing else. The API server is one of its own, since the configuration of the one
// that other tests share must not change.
package login

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/test/controlplane"
)

// cluster is an API server with the composed configuration and rights.
type cluster struct {
	*issuer
	access *rest.Config
	// log is that of the API server.
	log string
}

// as is what somebody with a token may reach.
func (c *cluster) as(t *testing.T, token string) *kubernetes.Clientset {
	t.Helper()
	access := rest.AnonymousClientConfig(c.access)
	access.BearerToken = token
	client, err := kubernetes.NewForConfig(access)
	require.NoError(t, err)
	return client
}

// who is who the API server takes somebody with a token for.
func (c *cluster) who(t *testing.T, token string) (authenticationv1.UserInfo, error) {
	t.Helper()
	review, err := c.as(t, token).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	return review.Status.UserInfo, nil
}

// start starts an API server with what a golden case composes.
func start(t *testing.T) *cluster {
	t.Helper()
	composed := readGolden(t, loginGolden)
	configuration := composed.configuration(t)
	i := startIssuer(t, configuration.issuerURL(t))
	configuration.trust(t, i.ca)
	file := filepath.Join(t.TempDir(), "authentication.yaml")
	require.NoError(t, os.WriteFile(file, configuration.yaml(t), 0o600))

	dir := t.TempDir()
	server, err := controlplane.StartAPIServer(t.Context(), controlplane.Options{Dir: dir, Log: t.Logf},
		[]string{"--authentication-config=" + file}, []string{"HTTPS_PROXY=" + i.proxy})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	for _, manifest := range composed.rights(t) {
		require.NoError(t, server.Apply(t.Context(), manifest))
	}
	c := &cluster{issuer: i, access: server.RESTConfig(), log: server.Logs("kube-apiserver")}
	c.awaitIssuer(t)
	return c
}

// awaitIssuer returns once the API server has the issuer's keys, which it fetches after it is ready.
func (c *cluster) awaitIssuer(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	token := c.sign(t, c.claims("platform-admins"))
	for {
		_, err := c.who(t, token)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("a good token is not taken within a minute; seen last: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// The cases whose output is used.
const (
	loginGolden = "../../functions/platform/testdata/a-fresh-claim-makes-its-namespace-and-the-first-wave/settled.yaml"
	syncGolden  = "../../functions/platform/testdata/a-job-connects-authentik-and-dex/settled.yaml"
	// secureGolden has an Authentik that is reached over HTTPS.
	secureGolden = "../../functions/platform/testdata/a-login-over-https-with-self-signed-certificates/settled.yaml"
)

// composition is what a golden case composes.
type composition []*unstructured.Unstructured

func readGolden(t *testing.T, path string) composition {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var all composition
	for _, doc := range strings.Split("\n"+string(b), "\n---") {
		o := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(doc), &o.Object))
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
	return all
}

// rights are the composed objects of RBAC, with service accounts, and the namespaces that they are in, as manifests.
func (c composition) rights(t *testing.T) []string {
	t.Helper()
	var namespaces, roles, bindings []string
	seen := map[string]bool{}
	for _, o := range c {
		if o.GroupVersionKind().Group != "rbac.authorization.k8s.io" && o.GetKind() != "ServiceAccount" {
			continue
		}
		plain := o.DeepCopy()
		for _, field := range []string{"ownerReferences", "generateName"} {
			unstructured.RemoveNestedField(plain.Object, "metadata", field)
		}
		manifest, err := yaml.Marshal(plain.Object)
		require.NoError(t, err)
		if strings.HasSuffix(o.GetKind(), "Binding") {
			bindings = append(bindings, string(manifest))
		} else {
			roles = append(roles, string(manifest))
		}
		if ns := o.GetNamespace(); ns != "" && !seen[ns] {
			seen[ns] = true
			namespaces = append(namespaces, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", ns))
		}
	}
	require.NotEmpty(t, roles)
	require.NotEmpty(t, bindings)
	return append(append(namespaces, roles...), bindings...)
}

// configuration is the composed AuthenticationConfiguration.
type configuration map[string]any

func (c composition) configuration(t *testing.T) configuration {
	t.Helper()
	var found []configuration
	for _, o := range c {
		if o.GetKind() != "ConfigMap" {
			continue
		}
		data, _, err := unstructured.NestedStringMap(o.Object, "data")
		require.NoError(t, err)
		for _, text := range data {
			var it configuration
			if strings.Contains(text, "AuthenticationConfiguration") && yaml.UnmarshalStrict([]byte(text), &it) == nil {
				found = append(found, it)
			}
		}
	}
	require.Len(t, found, 1)
	require.Equal(t, "apiserver.config.k8s.io/v1", found[0]["apiVersion"])
	return found[0]
}

// issuerOf is the part about the only issuer.
func (c configuration) issuerOf(t *testing.T) map[string]any {
	t.Helper()
	authenticators, _, err := unstructured.NestedSlice(c, "jwt")
	require.NoError(t, err)
	require.Len(t, authenticators, 1)
	issuer, ok := c["jwt"].([]any)[0].(map[string]any)["issuer"].(map[string]any)
	require.True(t, ok)
	return issuer
}

func (c configuration) issuerURL(t *testing.T) string {
	t.Helper()
	address, ok := c.issuerOf(t)["url"].(string)
	require.True(t, ok)
	return address
}

// trust replaces whom the certificate of the issuer is trusted by, the only thing that is not as composed: nobody else has
// the key of the certificate in a golden case.
func (c configuration) trust(t *testing.T, ca []byte) {
	t.Helper()
	c.issuerOf(t)["certificateAuthority"] = string(ca)
}

func (c configuration) yaml(t *testing.T) []byte {
	t.Helper()
	out, err := yaml.Marshal(map[string]any(c))
	require.NoError(t, err)
	return out
}

func TestTokens(t *testing.T) {
	c := start(t)
	t.Run("those who are let in", func(t *testing.T) { c.testLetIn(t) })
	t.Run("those who are refused", func(t *testing.T) { c.testRefused(t) })
	t.Run("what each group may do", func(t *testing.T) { c.testRights(t) })
	t.Run("what they do", func(t *testing.T) { c.testRequests(t) })
}

func (c *cluster) testLetIn(t *testing.T) {
	t.Helper()
	good := c.claims("platform-engineering", "another-group")
	issued := time.Now().Add(-time.Minute)
	for name, changes := range map[string]claims{
		"a token":                           nil,
		"one of a day, as Dex makes it":     {"iat": issued.Unix(), "exp": issued.Add(24 * time.Hour).Unix()},
		"one issued in the future":          {"iat": time.Now().Add(30 * time.Minute).Unix()},
		"one without a display name":        {"name": nil},
		"an address with all that may be":   {"email": "a.l_i%c+e-1@sub-domain.platform.local"},
		"one that is valid since long":      {"nbf": time.Now().Add(-time.Hour).Unix()},
		"one that runs out within a minute": {"exp": time.Now().Add(30 * time.Second).Unix()},
	} {
		t.Run(name, func(t *testing.T) {
			token := good.with(changes)
			user, err := c.who(t, c.sign(t, token))
			require.NoError(t, err)
			require.Equal(t, token["email"], user.Username)
			require.ElementsMatch(t, []string{"platform-engineering", "another-group", "system:authenticated"}, user.Groups)
		})
	}
}

func (c *cluster) testRefused(t *testing.T) {
	t.Helper()
	good := c.claims("platform-admins")
	changed := func(changes claims) string { return c.sign(t, good.with(changes)) }
	part := func(token string, i int) string { return strings.Split(token, ".")[i] }
	encode := func(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	token := c.sign(t, good)
	issued := time.Now().Add(-time.Minute)
	for name, token := range map[string]string{
		"an expired one":                          changed(claims{"exp": time.Now().Add(-time.Minute).Unix()}),
		"one without an end":                      changed(claims{"exp": nil}),
		"one that is not valid yet":               changed(claims{"nbf": time.Now().Add(time.Hour).Unix()}),
		"another issuer's":                        changed(claims{"iss": "https://dex.example.org"}),
		"an issuer's that differs by a slash":     changed(claims{"iss": c.url + "/"}),
		"one for Argo CD":                         changed(claims{"aud": "argocd"}),
		"one for nobody":                          changed(claims{"aud": nil}),
		"one that was never issued":               changed(claims{"iat": nil}),
		"one issued after its end":                changed(claims{"iat": time.Now().Add(2 * time.Hour).Unix()}),
		"one that lasts a second more than a day": changed(claims{"iat": issued.Unix(), "exp": issued.Add(24*time.Hour + time.Second).Unix()}),
		"an address that is not verified":         changed(claims{"email_verified": false}),
		"an address of which that is not said":    changed(claims{"email_verified": nil}),
		"an address verified by a text":           changed(claims{"email_verified": "true"}),
		"no address":                              changed(claims{"email": nil}),
		"an empty address":                        changed(claims{"email": ""}),
		"an address that is a list":               changed(claims{"email": []string{"alice@platform.local"}}),
		"an address without a host":               changed(claims{"email": "alice@"}),
		"an address without an @":                 changed(claims{"email": "alice"}),
		"an address without a dot in its host":    changed(claims{"email": "alice@local"}),
		"two addresses":                           changed(claims{"email": "alice@platform.local,bob@platform.local"}),
		"an address with a line after it":         changed(claims{"email": "alice@platform.local\nsystem:admin"}),
		"a name of Kubernetes":                    changed(claims{"email": "system:admin"}),
		"no groups":                               changed(claims{"groups": nil}),
		"groups that are a text":                  changed(claims{"groups": "platform-admins"}),
		"groups that are an object":               changed(claims{"groups": claims{"platform-admins": true}}),
		"groups of which one is a number":         changed(claims{"groups": []any{"platform-admins", 1}}),
		"a group of Kubernetes":                   changed(claims{"groups": []string{"platform-admins", "system:masters"}}),
		"a group of a distribution":               changed(claims{"groups": []string{"platform-admins", "kubeadm:cluster-admins"}}),
		"one with another content under its seal": part(token, 0) + "." + encode(good.with(claims{"email": "mallory@platform.local"}).json(t)) + "." + part(token, 2),
		"one with another seal":                   part(token, 0) + "." + part(token, 1) + "." + part(changed(claims{"email": "mallory@platform.local"}), 2),
		"one without a seal":                      part(token, 0) + "." + part(token, 1) + ".",
		"one that says it needs none":             encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + part(token, 1) + ".",
		"one sealed with the public key":          signed(t, jose.HS256, jose.JSONWebKey{Key: c.publicPEM(t), KeyID: keyID}, good),
		"a stranger's under the issuer's key id":  signed(t, jose.RS256, jose.JSONWebKey{Key: stranger, KeyID: keyID}, good),
		"a stranger's":                            signed(t, jose.RS256, jose.JSONWebKey{Key: stranger, KeyID: "of-a-stranger"}, good),
		"a stranger's who brings his key":         signedWithKey(t, stranger, good),
		"one that is none":                        "platform-admins",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.who(t, token)
			require.True(t, apierrors.IsUnauthorized(err), "%v", err)
		})
	}
	t.Run("each rule refuses some of them", func(t *testing.T) {
		log, err := os.ReadFile(c.log)
		require.NoError(t, err)
		for _, message := range []string{
			"the claim email must be an e-mail address", "the claim email_verified must be true", "the claim groups must be a list of names",
			"the claims iat and exp must be at most 24 hours apart", "no group may have a colon in its name",
			"oidc: verify token: oidc: token is expired", "failed to verify signature",
		} {
			require.Contains(t, string(log), message)
		}
	})
}

// signedWithKey carries the key that checks it.
func signedWithKey(t *testing.T, key *rsa.PrivateKey, c claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("JWT"))
	require.NoError(t, err)
	sealed, err := signer.Sign(c.json(t))
	require.NoError(t, err)
	token, err := sealed.CompactSerialize()
	require.NoError(t, err)
	return token
}

// grants are the verbs that somebody has, by resource.
type grants map[string]string

const (
	reads      = "get list watch"
	writes     = "get list watch create update patch"
	everything = "get list watch create update patch delete deletecollection"
	manages    = "get list watch create update patch delete"
)

// namespaces are where is asked: everywhere, two of the engineering group's, and others that look a bit like those.
var namespaces = []string{"", "team-red", "user-alice", "teams", "team-blue", "auth-system", "kube-system"}

// resources are what is asked about, those that matter and those that nobody may touch.
var resources = []string{
	"organizations.aphex.io", "repobindings.aphex.io", "knowledgebases.aphex.io", "platforms.aphex.io", "xplatforms.aphex.io",
	"namespaces", "pods", "pods/log", "pods/exec", "events", "events.events.k8s.io", "secrets", "configmaps", "serviceaccounts", "nodes",
	"deployments.apps", "clusterroles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
	"pipelines.tekton.dev", "pipelineruns.tekton.dev", "taskruns.tekton.dev", "eventlisteners.triggers.tekton.dev",
	"applications.argoproj.io", "users",
}

// testRights asks for everything that somebody of each group might want.
func (c *cluster) testRights(t *testing.T) {
	t.Helper()
	teamAPIs := func(verbs string, more grants) grants {
		all := grants{"organizations.aphex.io": verbs, "repobindings.aphex.io": verbs, "knowledgebases.aphex.io": verbs}
		maps.Copy(all, more)
		return all
	}
	tekton := func(verbs string, more grants) grants {
		all := grants{"pipelines.tekton.dev": verbs, "pipelineruns.tekton.dev": verbs, "taskruns.tekton.dev": verbs, "pods": reads, "pods/log": reads}
		maps.Copy(all, more)
		return all
	}
	admins := teamAPIs(manages, tekton(manages, grants{
		"platforms.aphex.io": manages, "namespaces": "get list watch create delete", "events": reads, "events.events.k8s.io": reads,
	}))
	operators := teamAPIs(manages, tekton(reads, grants{"events": reads, "events.events.k8s.io": reads}))
	engineering := tekton(reads, nil)
	for name, who := range map[string]struct {
		groups []string
		// everywhere is what they may do in every namespace, teams what else in those of teams and users.
		everywhere, teams grants
	}{
		"administrators":                   {[]string{"platform-admins"}, admins, nil},
		"administrators by their alias":    {[]string{"admins"}, admins, nil},
		"operators":                        {[]string{"platform-operators"}, operators, nil},
		"engineers":                        {[]string{"platform-engineering"}, engineering, teamAPIs(writes, nil)},
		"engineers by their alias":         {[]string{"engineering"}, engineering, teamAPIs(writes, nil)},
		"engineers who are in more groups": {[]string{"coffee", "platform-engineering"}, engineering, teamAPIs(writes, nil)},
		"people in no group":               {[]string{}, nil, nil},
		"people in other groups":           {[]string{"platform", "platform-admin", "Platform-Admins", "operators"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			client := c.as(t, c.sign(t, c.claims(who.groups...)))
			var wrong []string
			for _, namespace := range namespaces {
				for _, resource := range resources {
					allowed := strings.Fields(who.everywhere[resource])
					if namespace == "team-red" || namespace == "user-alice" {
						allowed = append(allowed, strings.Fields(who.teams[resource])...)
					}
					for _, verb := range strings.Fields(everything + " escalate bind impersonate") {
						if want, have := slices.Contains(allowed, verb), may(t, client, verb, resource, namespace); want != have {
							wrong = append(wrong, fmt.Sprintf("%s %s in %q: %t", verb, resource, namespace, have))
						}
					}
				}
			}
			require.Empty(t, wrong)
		})
	}
}

// may asks the API server whether somebody may do something.
func may(t *testing.T, client *kubernetes.Clientset, verb, resource, namespace string) bool {
	t.Helper()
	resource, subresource, _ := strings.Cut(resource, "/")
	resource, group, _ := strings.Cut(resource, ".")
	review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource,
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.Allowed
}

// testRequests does some of it, since a review is only an answer.
func (c *cluster) testRequests(t *testing.T) {
	t.Helper()
	client := func(group string) *kubernetes.Clientset { return c.as(t, c.sign(t, c.claims(group))) }
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "made-by-an-administrator"}}
	for _, group := range []string{"platform-operators", "platform-engineering", "engineering", "coffee"} {
		_, err := client(group).CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
		require.True(t, apierrors.IsForbidden(err), "%s: %v", group, err)
		require.ErrorContains(t, err, `User "alice@platform.local" cannot create resource "namespaces"`)
	}
	_, err := client("platform-admins").CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client("platform-operators").CoreV1().Events(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	_, err = client("platform-admins").CoreV1().Secrets("auth-system").List(t.Context(), metav1.ListOptions{})
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	require.NoError(t, client("platform-admins").CoreV1().Namespaces().Delete(t.Context(), namespace.Name, metav1.DeleteOptions{}))
}
