package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"aphex.io/platform/test/controlplane"
)

// What a platform team does on its cluster: Crossplane's package manager pulls everything from a registry, and what runs is
// what is in the images there.
func TestInstalledAsPackages(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the programs in the images run on Linux only")
	}
	registry, err := controlplane.ServeRegistry(t.Context())
	require.NoError(t, err)
	released := publish(t, registry+"/aphex", "v0.1.0")

	c := startPackaged(t)
	step := func(name string, f func(t *testing.T)) {
		require.True(t, t.Run(name, f), "what follows needs this")
	}
	step("the manifests install it", func(t *testing.T) {
		c.kubectl(t, "apply", "-f", filepath.Join(released, "install.yaml"))
		c.kubectl(t, "wait", "--for=condition=Healthy", "--timeout="+patience.String(), "--all",
			"configurations.pkg.crossplane.io,functions.pkg.crossplane.io,providers.pkg.crossplane.io")
		c.kubectl(t, "apply", "-f", filepath.Join(released, "configure.yaml"))
	})
	step("there is one of each package, in this version", func(t *testing.T) {
		require.Equal(t, map[string]string{
			"Configuration aphex":                       registry + "/aphex/aphex:v0.1.0",
			"Function aphex-function-knowledgebase":     registry + "/aphex/function-knowledgebase:v0.1.0",
			"Function aphex-function-organization":      registry + "/aphex/function-organization:v0.1.0",
			"Function aphex-function-repobinding":       registry + "/aphex/function-repobinding:v0.1.0",
			"Provider aphex-provider-cloudflare-tunnel": registry + "/aphex/provider-cloudflare-tunnel:v0.1.0",
		}, c.packages(t))
	})
	step("what runs is what is in the images", func(t *testing.T) {
		images := filepath.Join(c.Dir(), "images")
		for _, name := range []string{"function-knowledgebase", "function-organization", "function-repobinding", "provider-cloudflare-tunnel"} {
			eventually(t, func(context.Context) error {
				program, err := c.program("aphex-" + name)
				if err != nil {
					return err
				}
				below, err := filepath.Rel(images, program)
				if err != nil || filepath.Base(below) != name || !filepath.IsLocal(below) {
					return fmt.Errorf("%s runs %s, not a program in %s", name, program, images)
				}
				return nil
			})
		}
		require.NotContains(t, c.Processes(), controlplane.Provider)
	})
	step("the provider has the rights that Crossplane gives it, and no more", func(t *testing.T) {
		deployments, err := c.kube.AppsV1().Deployments("crossplane-system").List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.Len(t, deployments.Items, 4)
		for _, d := range deployments.Items {
			account := d.Spec.Template.Spec.ServiceAccountName
			require.Equal(t, strings.Contains(d.Name, "provider"), c.may(t, account, "update", "cloudflare.aphex.io", "tunnels"), d.Name)
			require.False(t, c.may(t, account, "create", "", "namespaces"), d.Name)
		}
	})
	step("the examples become ready", func(t *testing.T) {
		require.NoError(t, c.ConnectCloudflare(t.Context()))
		files, err := filepath.Glob(filepath.Join(c.Root(), "examples", "*", "claim.yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			c.kubectl(t, "apply", "-f", file)
		}
		for _, file := range files {
			claim := refOf(readObject(t, file))
			c.await(t, claim, func(o *object) error {
				if status, _, message := condition(o, "Ready"); status != "True" {
					return fmt.Errorf("%s: %s", text(o, "status.message"), message)
				}
				return nil
			})
		}
	})
}

// publish builds a version and pushes it to a registry. It returns the folder with its manifests.
func publish(t *testing.T, registry, version string) string {
	t.Helper()
	out := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "run", ".", "-push",
		"-registry", registry, "-version", version, "-platforms", "linux/"+runtime.GOARCH, "-out", out)
	command.Dir = filepath.Join(cp.Root(), "tools", "xpkg")
	command.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	said, err := command.CombinedOutput()
	require.NoError(t, err, "%s", said)
	return out
}

// startPackaged starts a control plane on which nothing of Aphex is installed.
func startPackaged(t *testing.T) *cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "aphex-packages-")
	require.NoError(t, err)
	c, err := startCluster(controlplane.Options{Dir: dir, Packages: true, Log: t.Logf})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Stop())
		if t.Failed() {
			t.Logf("the logs of the control plane are in %s/logs", dir)
			return
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	return c
}

// kubectl runs the real one as an administrator of this cluster.
func (c *cluster) kubectl(t *testing.T, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.Binary("kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
	out, err := command.CombinedOutput()
	require.NoError(t, err, "kubectl %s: %s", strings.Join(args, " "), out)
}

// packages are all installed packages, by kind and name, with what they were installed from.
func (c *cluster) packages(t *testing.T) map[string]string {
	t.Helper()
	installed := map[string]string{}
	for _, resource := range []string{"configurations", "functions", "providers"} {
		list, err := c.dynamic.Resource(schema.GroupVersionResource{Group: "pkg.crossplane.io", Version: "v1", Resource: resource}).
			List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, o := range list.Items {
			installed[o.GetKind()+" "+o.GetName()] = text(&o, "spec.package")
		}
	}
	return installed
}

// program is what the only pod of a package runs.
func (c *cluster) program(pkg string) (string, error) {
	names := slices.DeleteFunc(c.Processes(), func(name string) bool { return !strings.HasPrefix(name, pkg+"-") })
	if len(names) != 1 {
		return "", fmt.Errorf("%s runs %d times: %v", pkg, len(names), names)
	}
	return os.Readlink(fmt.Sprintf("/proc/%d/exe", c.PID(names[0])))
}

// may says whether a service account of Crossplane's namespace may do something everywhere.
func (c *cluster) may(t *testing.T, account, verb, group, resource string) bool {
	t.Helper()
	review, err := c.kube.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:crossplane-system:" + account,
			Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:crossplane-system", "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.Allowed
}
