package controlplane

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
)

// The processes of a control plane without functions.
var everything = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok",
	"crossplane", "crossplane-rbac", "tekton-triggers-controller", "tekton-triggers-interceptors",
	"cloudflare-simulator", "provider-cloudflare-tunnel",
}

// start starts a control plane that ends with the test.
func start(t *testing.T, o Options) *ControlPlane {
	t.Helper()
	o.Log = t.Logf
	c, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Stop()) })
	return c
}

// One control plane serves all but the last of these, which takes it down.
func TestControlPlane(t *testing.T) {
	c := start(t, Options{})
	t.Run("runs everything", func(t *testing.T) {
		require.ElementsMatch(t, everything, c.Processes())
		for _, name := range everything {
			require.NotZero(t, c.PID(name), name)
			require.FileExists(t, c.Logs(name))
		}
	})
	t.Run("gives each part its own rights", func(t *testing.T) { testRights(t, c) })
	t.Run("listens on loopback only", func(t *testing.T) { testLoopback(t, c) })
	t.Run("starts a killed process again", func(t *testing.T) { testRestart(t, c) })
	t.Run("has a Cloudflare that the provider reaches once it has a token", func(t *testing.T) { testCloudflare(t, c) })
	t.Run("says whether External Secrets could use a store", func(t *testing.T) { testStore(t, c) })
	t.Run("runs an organization's listener with the rights that it has", func(t *testing.T) { testListener(t, c) })
	t.Run("stands beside another one", func(t *testing.T) {
		other := start(t, Options{Without: Neighbours()})
		require.NotEqual(t, c.RESTConfig().Host, other.RESTConfig().Host)
		require.NotContains(t, other.Processes(), "tekton-triggers-controller")
		require.NoError(t, other.Install(t.Context(), TektonTriggers))
		for _, name := range []string{"tekton-triggers-controller", "tekton-triggers-interceptors"} {
			require.Contains(t, other.Processes(), name)
			require.NotZero(t, c.PID(name), name)
		}
	})
	t.Run("takes everything with it", func(t *testing.T) {
		pids := make([]int, 0, len(c.Processes()))
		for _, name := range c.Processes() {
			pids = append(pids, c.PID(name))
		}
		require.NoError(t, c.Stop())
		for _, pid := range pids {
			require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
		}
		require.NoDirExists(t, c.Dir())
		require.NoError(t, c.Stop())
	})
}

func testRights(t *testing.T, c *ControlPlane) {
	t.Helper()
	core := serviceAccountUser("crossplane-system", "crossplane")
	manager := serviceAccountUser("crossplane-system", "rbac-manager")
	triggers := serviceAccountUser("tekton-pipelines", "tekton-triggers-controller")
	interceptors := serviceAccountUser("tekton-pipelines", "tekton-triggers-core-interceptors")
	provider := serviceAccountUser("crossplane-system", "provider-cloudflare-tunnel")
	for name, r := range map[string]struct {
		user                            string
		verb, group, resource, instance string
		want                            bool
	}{
		"Crossplane manages secrets":                          {core, "create", "", "secrets", "", true},
		"Crossplane manages namespaces":                       {core, "create", "", "namespaces", "", true},
		"Crossplane serves our XRs":                           {core, "update", "aphex.io", "xorganizations", "", true},
		"Crossplane is no administrator":                      {core, "*", "*", "*", "", false},
		"Crossplane cannot grant what it does not hold":       {core, "escalate", "rbac.authorization.k8s.io", "clusterroles", "", false},
		"Crossplane cannot bind a role it does not hold":      {core, "bind", "rbac.authorization.k8s.io", "clusterroles", "cluster-admin", false},
		"Crossplane cannot impersonate":                       {core, "impersonate", "", "users", "", false},
		"Crossplane cannot touch nodes":                       {core, "get", "", "nodes", "", false},
		"Crossplane's RBAC manager makes roles":               {manager, "escalate", "rbac.authorization.k8s.io", "clusterroles", "", true},
		"Crossplane's RBAC manager reads no secrets":          {manager, "get", "", "secrets", "", false},
		"the Triggers controller makes Deployments":           {triggers, "create", "apps", "deployments", "", true},
		"the Triggers controller reads no secrets":            {triggers, "get", "", "secrets", "", false},
		"the interceptors read secrets":                       {interceptors, "get", "", "secrets", "", true},
		"the interceptors write no secrets":                   {interceptors, "update", "", "secrets", "", false},
		"the interceptors start no runs":                      {interceptors, "create", "tekton.dev", "pipelineruns", "", false},
		"the scheduler is no administrator":                   {"system:kube-scheduler", "get", "", "secrets", "", false},
		"the controller manager does not hold what others do": {"system:kube-controller-manager", "create", "", "pods", "", false},
		"the provider writes connection secrets":              {provider, "create", "", "secrets", "", true},
		"the provider makes no tunnels of its own":            {provider, "create", "cloudflare.aphex.io", "tunnels", "", false},
		"the provider deletes no secrets":                     {provider, "delete", "", "secrets", "", false},
		"KWOK reads no secrets":                               {"aphex:kwok", "get", "", "secrets", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: r.user,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: r.verb, Group: r.group, Resource: r.resource, Name: r.instance,
				},
			}}
			if parts := strings.Split(r.user, ":"); parts[1] == "serviceaccount" {
				review.Spec.Groups = append(serviceAccountGroups(parts[2]), "system:authenticated")
			}
			answer, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
			require.NoError(t, err)
			require.Equal(t, r.want, answer.Status.Allowed, answer.Status.Reason)
		})
	}

	// Who they say they are is who the API server takes them for.
	access, err := c.ServiceAccountConfig("crossplane-system", "crossplane")
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(access)
	require.NoError(t, err)
	self, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, "system:serviceaccount:crossplane-system:crossplane", self.Status.UserInfo.Username)
	require.ElementsMatch(t,
		[]string{"system:serviceaccounts", "system:serviceaccounts:crossplane-system", "system:authenticated"},
		self.Status.UserInfo.Groups)
	for _, name := range []string{
		"crossplane", "crossplane-rbac", "tekton-triggers-controller", "tekton-triggers-interceptors", "provider-cloudflare-tunnel",
	} {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.PID(name)))
		require.NoError(t, err)
		arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID(name)))
		require.NoError(t, err)
		require.NotContains(t, string(environment)+string(arguments), "admin.kubeconfig")
	}
}

func testLoopback(t *testing.T, c *ControlPlane) {
	t.Helper()
	for _, name := range c.Processes() {
		for _, address := range listeners(t, c.PID(name)) {
			host, _, err := net.SplitHostPort(address)
			require.NoError(t, err)
			require.True(t, net.ParseIP(host).IsLoopback(), "%s listens on %s", name, address)
		}
	}
	require.Len(t, listeners(t, c.PID("etcd")), 2)
}

func testRestart(t *testing.T, c *ControlPlane) {
	t.Helper()
	for _, name := range []string{"kube-apiserver", "crossplane", "provider-cloudflare-tunnel"} {
		before := c.PID(name)
		require.NoError(t, c.Kill(name))
		require.Zero(t, c.PID(name))
		require.NoError(t, c.Restart(t.Context(), name))
		require.NotZero(t, c.PID(name))
		require.NotEqual(t, before, c.PID(name))
	}
	_, err := c.client.CoreV1().Namespaces().Get(t.Context(), "platform-system", metav1.GetOptions{})
	require.NoError(t, err)
	require.ErrorContains(t, c.Kill("nothing"), `no process "nothing"`)
}

func testCloudflare(t *testing.T, c *ControlPlane) {
	t.Helper()
	const namespace = "platform-system"
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	require.NoError(t, c.Apply(ctx, `
apiVersion: cloudflare.aphex.io/v1alpha1
kind: Tunnel
metadata: {name: acme, namespace: platform-system}
spec:
  forProvider: {name: acme}
  writeConnectionSecretToRef: {name: acme-credentials}
---
apiVersion: cloudflare.aphex.io/v1alpha1
kind: DNSRecord
metadata: {name: acme, namespace: platform-system}
spec:
  forProvider: {name: acme.arbiter-dev.com, tunnelRef: {name: acme}}
`))
	get := func(kind string) *unstructured.Unstructured {
		obj := &unstructured.Unstructured{}
		obj.SetAPIVersion("cloudflare.aphex.io/v1alpha1")
		obj.SetKind(kind)
		obj.SetNamespace(namespace)
		resource, err := c.client.resource(obj)
		require.NoError(t, err)
		obj, err = resource.Get(ctx, "acme", metav1.GetOptions{})
		require.NoError(t, err)
		return obj
	}
	awaitStatus := func(want string) {
		t.Helper()
		require.NoError(t, await(ctx, "a tunnel that is "+want, func(context.Context) (bool, string, error) {
			status := stringAt(get("Tunnel"), "", "status", "atProvider", "status")
			return status == want, status, nil
		}))
	}
	require.NoError(t, await(ctx, "the provider to say what it lacks", func(context.Context) (bool, string, error) {
		_, said := conditionTrue(get("Tunnel"), "Authorized")
		return strings.Contains(said, "ClusterProviderConfig default"), said, nil
	}))
	nothing, err := c.Cloudflare().Tunnels(ctx, CloudflareAccount)
	require.NoError(t, err)
	require.Empty(t, nothing)

	require.NoError(t, c.ConnectCloudflare(ctx))
	for _, kind := range []string{"Tunnel", "DNSRecord"} {
		require.NoError(t, c.awaitCondition(ctx, "Ready", []*unstructured.Unstructured{get(kind)}))
	}
	tunnels, err := c.Cloudflare().Tunnels(ctx, CloudflareAccount)
	require.NoError(t, err)
	require.Len(t, tunnels, 1)
	require.Equal(t, get("Tunnel").GetAnnotations()["crossplane.io/external-name"], tunnels[0].ID)
	records, err := c.Cloudflare().Records(ctx, CloudflareZone)
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.Equal(t, "acme.arbiter-dev.com", records[0].Name)
	require.Equal(t, tunnels[0].ID+".cfargotunnel.com", records[0].Content)

	// cloudflared connects if it has the credentials.
	awaitStatus("inactive")
	require.NoError(t, c.Apply(ctx, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: cloudflared, namespace: platform-system}
spec:
  selector: {matchLabels: {app: cloudflared}}
  template:
    metadata: {labels: {app: cloudflared}}
    spec:
      containers: [{name: cloudflared, image: "example.org/cloudflared:2026.4.0"}]
      volumes:
      - name: credentials
        secret: {secretName: acme-credentials, items: [{key: credentials.json, path: credentials.json}]}
`))
	awaitStatus("healthy")
	require.NoError(t, c.client.AppsV1().Deployments(namespace).Delete(ctx, "cloudflared", metav1.DeleteOptions{}))
	awaitStatus("down")

	for _, kind := range []string{"Tunnel", "DNSRecord"} {
		resource, err := c.client.resource(get(kind))
		require.NoError(t, err)
		require.NoError(t, resource.Delete(ctx, "acme", metav1.DeleteOptions{}))
	}
	require.NoError(t, await(ctx, "nothing to be left at Cloudflare", func(ctx context.Context) (bool, string, error) {
		tunnels, err := c.Cloudflare().Tunnels(ctx, CloudflareAccount)
		if err != nil {
			return false, "", err
		}
		records, err := c.Cloudflare().Records(ctx, CloudflareZone)
		return len(tunnels)+len(records) == 0, fmt.Sprint(tunnels, records), err
	}))
}

func testStore(t *testing.T, c *ControlPlane) {
	t.Helper()
	require.NoError(t, c.Apply(t.Context(), `
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata: {name: acme}
spec:
  provider:
    kubernetes:
      remoteNamespace: platform-system
      server: {caProvider: {type: ConfigMap, name: kube-root-ca.crt, namespace: platform-system, key: ca.crt}}
      auth: {serviceAccount: {name: reader, namespace: platform-system}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: platform-system}
`))
	var said string
	ready := func(want bool, message string) {
		t.Helper()
		require.NoError(t, await(t.Context(), message, func(ctx context.Context) (bool, string, error) {
			store, err := c.client.dynamic.Resource(clusterSecretStores).Get(ctx, "acme", metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			var ok bool
			ok, said = conditionTrue(store, "Ready")
			return ok == want && strings.Contains(said, message), said, nil
		}))
	}
	ready(false, "service account platform-system/reader is not allowed to get secrets in namespace platform-system")
	require.NoError(t, c.Apply(t.Context(), `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: platform-system}
rules: [{apiGroups: [""], resources: [secrets], resourceNames: [org-secrets], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: platform-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: platform-system}]
`))
	ready(true, "store validated")
}

func testListener(t *testing.T, c *ControlPlane) {
	t.Helper()
	require.NoError(t, c.Apply(t.Context(), listenerOfAcme))
	url, err := c.Listen(t.Context(), "acme")
	require.NoError(t, err)
	again, err := c.Listen(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, url, again)
	require.Contains(t, c.Processes(), "listener-acme")
	testLoopback(t, c)

	// The real sink asks the real interceptors, and starts what it may.
	post := func() {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"answer": 42}`))
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusAccepted, response.StatusCode)
	}
	configMaps := c.client.CoreV1().ConfigMaps("org-acme")
	made := func(ctx context.Context) (bool, string, error) {
		list, err := configMaps.List(ctx, metav1.ListOptions{LabelSelector: "triggers.tekton.dev/trigger=answer"})
		return err == nil && len(list.Items) == 1, fmt.Sprint(list), err
	}
	post()
	require.NoError(t, await(t.Context(), "the sink to be refused", func(context.Context) (bool, string, error) {
		log, err := os.ReadFile(c.Logs("listener-acme"))
		return strings.Contains(string(log), `User \"system:serviceaccount:org-acme:eventlistener\" cannot create resource \"configmaps\"`), string(log), err
	}))
	require.NoError(t, c.Apply(t.Context(), `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: eventlistener, namespace: org-acme}
rules:
- {apiGroups: [triggers.tekton.dev], resources: ["*"], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [configmaps], verbs: [create]}
`))
	require.NoError(t, c.Restart(t.Context(), "listener-acme"))
	post()
	require.NoError(t, await(t.Context(), "the sink to make what the trigger says", made))
}

// listenerOfAcme is the least that a listener needs, and a trigger that answers 42.
const listenerOfAcme = `
apiVersion: v1
kind: Namespace
metadata: {name: org-acme}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: eventlistener, namespace: org-acme}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: eventlistener-acme}
rules: [{apiGroups: [triggers.tekton.dev], resources: [clusterinterceptors, clustertriggerbindings], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: eventlistener-acme}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: eventlistener-acme}
subjects: [{kind: ServiceAccount, name: eventlistener, namespace: org-acme}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: eventlistener, namespace: org-acme}
rules: [{apiGroups: [triggers.tekton.dev], resources: ["*"], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: eventlistener, namespace: org-acme}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: eventlistener}
subjects: [{kind: ServiceAccount, name: eventlistener, namespace: org-acme}]
---
apiVersion: triggers.tekton.dev/v1beta1
kind: EventListener
metadata: {name: github-listener, namespace: org-acme}
spec:
  serviceAccountName: eventlistener
  triggerGroups:
  - name: all
    interceptors: [{ref: {name: cel, kind: ClusterInterceptor}, params: [{name: filter, value: body.answer == 42}]}]
    triggerSelector: {labelSelector: {matchLabels: {answers: "true"}}}
---
apiVersion: triggers.tekton.dev/v1beta1
kind: Trigger
metadata: {name: answer, namespace: org-acme, labels: {answers: "true"}}
spec:
  template:
    spec:
      resourcetemplates:
      - apiVersion: v1
        kind: ConfigMap
        metadata: {generateName: answer-}
`

// listeners returns the addresses on which a process accepts TCP connections.
func listeners(t *testing.T, pid int) []string {
	t.Helper()
	var sockets []string
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	for _, file := range files {
		// A file that was closed meanwhile is no listener.
		if link, err := os.Readlink(file); err == nil && strings.HasPrefix(link, "socket:[") {
			sockets = append(sockets, strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]"))
		}
	}
	var addresses []string
	for _, table := range []string{"tcp", "tcp6"} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		require.NoError(t, err)
		defer func() { _ = file.Close() }()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			const listening = "0A"
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == listening && slices.Contains(sockets, fields[9]) {
				addresses = append(addresses, decodeAddress(t, fields[1]))
			}
		}
	}
	return addresses
}

// decodeAddress reads the hexadecimal form of /proc/net/tcp, whose bytes are
// reversed within each group of four.
func decodeAddress(t *testing.T, address string) string {
	t.Helper()
	host, port, _ := strings.Cut(address, ":")
	ip, err := hex.DecodeString(host)
	require.NoError(t, err)
	for group := range slices.Chunk(ip, 4) {
		slices.Reverse(group)
	}
	number, err := strconv.ParseUint(port, 16, 16)
	require.NoError(t, err)
	return net.JoinHostPort(net.IP(ip).String(), strconv.FormatUint(number, 10))
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	_, err := Start(t.Context(), Options{Functions: []Function{{Name: "function-nobody-built"}}})
	require.ErrorContains(t, err, "function-nobody-built; run `make tools build`")
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	dir := t.TempDir()
	_, err := Start(ctx, Options{Dir: dir})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	processes, err := filepath.Glob("/proc/[0-9]*/cwd")
	require.NoError(t, err)
	for _, process := range processes {
		if cwd, err := os.Readlink(process); err == nil {
			require.NotEqual(t, dir, cwd, process)
		}
	}
}
