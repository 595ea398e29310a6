package controlplane

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"net"
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
	"k8s.io/client-go/kubernetes"
)

// The processes of a control plane without functions.
var everything = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok",
	"crossplane", "crossplane-rbac", "tekton-triggers-controller",
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
	t.Run("stands beside another one", func(t *testing.T) {
		other := start(t, Options{Without: Neighbours()})
		require.NotEqual(t, c.RESTConfig().Host, other.RESTConfig().Host)
		require.NotContains(t, other.Processes(), "tekton-triggers-controller")
		require.NoError(t, other.Install(t.Context(), TektonTriggers))
		require.Contains(t, other.Processes(), "tekton-triggers-controller")
	})
	t.Run("takes everything with it", func(t *testing.T) {
		var pids []int
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
	core := serviceAccountUser("crossplane-system", "crossplane")
	manager := serviceAccountUser("crossplane-system", "rbac-manager")
	triggers := serviceAccountUser("tekton-pipelines", "tekton-triggers-controller")
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
		"the scheduler is no administrator":                   {"system:kube-scheduler", "get", "", "secrets", "", false},
		"the controller manager does not hold what others do": {"system:kube-controller-manager", "create", "", "pods", "", false},
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
	for _, name := range []string{"crossplane", "crossplane-rbac", "tekton-triggers-controller"} {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.PID(name)))
		require.NoError(t, err)
		arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.PID(name)))
		require.NoError(t, err)
		require.NotContains(t, string(environment)+string(arguments), "admin.kubeconfig")
	}
}

func testLoopback(t *testing.T, c *ControlPlane) {
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
	for _, name := range []string{"kube-apiserver", "crossplane"} {
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
		defer file.Close()
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
