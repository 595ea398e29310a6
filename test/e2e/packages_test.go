package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/docs/pages"
	"aphex.io/platform/test/controlplane"
)

// packaged are the programs that packages run.
var packaged = []string{"function-knowledgebase", "function-organization", "function-platform", "function-repobinding", "provider-cloudflare-tunnel"}

// What a platform team does on its cluster, for years: Crossplane's package manager pulls everything from a registry, what runs
// is what is in the images there, and a new version replaces it under living claims.
func TestInstalledAsPackages(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the programs in the images run on Linux only")
	}
	published := releases()
	require.NoError(t, published.err)
	registry, released, next := published.registry, published.first, published.next

	c := startPackaged(t)
	// Whatever does not confine itself as this level wants has no pods then.
	c.kubectl(t, "label", "namespace", "crossplane-system", "pod-security.kubernetes.io/enforce=restricted")
	var before []string
	eventually(t, func(ctx context.Context) (err error) {
		if before, err = c.inventory(ctx); err != nil {
			return err
		}
		return contains(strings.Join(before, "\n"), "ServiceAccount platform-system/default", "ConfigMap platform-system/kube-root-ca.crt")
	})
	var claims []ref
	// Each step needs the one before.
	require.True(t, t.Run("the manifests install it", func(t *testing.T) {
		c.follow(t, "install", released)
	}))
	require.True(t, t.Run("there is one of each package, in this version", func(t *testing.T) {
		c.awaitVersion(t, registry, "v0.1.0")
	}))
	require.True(t, t.Run("what runs is what is in the images", func(t *testing.T) {
		images := filepath.Join(c.Dir(), "images")
		for name, program := range c.programs(t) {
			below, err := filepath.Rel(images, program)
			require.NoError(t, err)
			require.True(t, filepath.IsLocal(below) && filepath.Base(below) == name, "%s runs %s, not a program in %s", name, program, images)
		}
		require.NotContains(t, c.Processes(), controlplane.Provider)
	}))
	require.True(t, t.Run("the provider has the rights that Crossplane gives it, and no more, and the functions have none", func(t *testing.T) {
		deployments, err := c.kube.AppsV1().Deployments("crossplane-system").List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.Len(t, deployments.Items, 5)
		for _, d := range deployments.Items {
			want := map[string]string{}
			if strings.Contains(d.Name, "provider") {
				want = providerRights()
			}
			// Crossplane's RBAC manager gives them once it has seen the service account.
			eventually(t, func(context.Context) error {
				if err := same(want, c.rights(t, d.Spec.Template.Spec.ServiceAccountName)); err != nil {
					return fmt.Errorf("%s: %w", d.Name, err)
				}
				return nil
			})
		}
	}))
	require.True(t, t.Run("the shipped PodMonitors find it", func(t *testing.T) {
		deployments, err := c.kube.AppsV1().Deployments("crossplane-system").List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		require.NotEmpty(t, deployments.Items)
		monitors := podMonitors(t, released)
		for _, d := range deployments.Items {
			require.True(t, slices.ContainsFunc(monitors, func(m podMonitor) bool { return m.finds(t, d.Spec.Template) }), d.Name)
		}
	}))
	require.True(t, t.Run("the provider gets its API token as the pages tell, and then another one", func(t *testing.T) {
		require.NoError(t, c.ConnectCloudflare(t.Context()))
		c.giveToken(t, "token", "first-token", released)
		c.requireNoRotation(t, "token-for-tunnels-alone", released)
		c.giveToken(t, "rotate", "second-token", released)
		// From here on, Cloudflare would refuse the first one.
		require.NoError(t, c.Cloudflare().SetToken(t.Context(), "first-token"))
	}))
	require.True(t, t.Run("the examples become ready", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(c.Root(), "examples", "*", "claim.yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			c.kubectl(t, "apply", "-f", file)
		}
		c.playArgoCDAndCertManager(t, platformClaim)
		for _, file := range files {
			claim := refOf(readObject(t, file))
			claims = append(claims, claim)
			c.await(t, claim, isReady)
		}
	}))
	require.True(t, t.Run("its Jobs run the programs of its functions", func(t *testing.T) {
		c.requireJobs(t, claims, registry, "v0.1.0")
	}))
	require.True(t, t.Run("what the pages tell to do with it works", func(t *testing.T) {
		c.follow(t, "use", released)
		for _, claim := range claims {
			c.await(t, claim, isReady)
		}
	}))
	require.True(t, t.Run("each rotation of a tunnel's secret that the pages tell of is awaited", func(t *testing.T) {
		const secret = ref("Secret org-acme-corp/cloudflared-credentials-acme-corp")
		for range 2 {
			before := secretValue(t, c.see(t, secret), "token")
			c.follow(t, "rotate-tunnel", released)
			require.NotEqual(t, before, secretValue(t, c.see(t, secret), "token"))
			time.Sleep(time.Second) // In the same second, one rotation is enough for both.
		}
	}))
	require.True(t, t.Run("a record whose zone was removed at Cloudflare is let go as the pages tell", func(t *testing.T) {
		const id, record = "0123456789abcdef0123456789abcdef", ref("DNSRecord platform-system/of-a-zone-that-goes")
		require.NoError(t, c.Cloudflare().AddZone(t.Context(), controlplane.CloudflareAccount, id, "removed.example"))
		require.NoError(t, c.Apply(t.Context(), `
apiVersion: cloudflare.aphex.io/v1alpha1
kind: DNSRecord
metadata: {namespace: platform-system, name: of-a-zone-that-goes}
spec: {forProvider: {type: CNAME, zone: removed.example, name: www.removed.example, content: www.example.com}}
`))
		c.await(t, record, isReady)
		require.NoError(t, c.Cloudflare().RemoveZone(t.Context(), id))
		c.kubectl(t, "delete", "--wait=false", "dnsrecord", record.name(), "-n", "platform-system")
		c.await(t, record, func(o *object) error {
			_, _, message := condition(o, "Synced")
			return contains(message, "is not at Cloudflare any more")
		})
		c.follow(t, "let-go", released)
		c.awaitGone(t, record)
	}))
	require.True(t, t.Run("an example is rendered without Docker", func(t *testing.T) {
		c.follow(t, "render", released)
	}))
	require.True(t, t.Run("what runs answers the probes of a kubelet", func(t *testing.T) {
		for _, name := range packaged {
			c.requireProbes(t, "aphex-"+name)
		}
	}))
	require.True(t, t.Run("an upgrade keeps every object, and every claim stays ready", func(t *testing.T) {
		c.replace(t, claims, func() {
			c.kubectl(t, "apply", "-f", filepath.Join(next, "install.yaml"))
			c.awaitVersion(t, registry, "v0.2.0")
			eventually(t, func(context.Context) error {
				return contains(text(c.patch(t, books, "spec: {sinceTheNextRelease: kept}"), "spec.sinceTheNextRelease"), "kept")
			})
		})
		c.requireJobs(t, claims, registry, "v0.2.0")
	}))
	require.True(t, t.Run("going back does so too", func(t *testing.T) {
		c.replace(t, claims, func() {
			c.kubectl(t, "apply", "-f", filepath.Join(released, "install.yaml"))
			c.awaitVersion(t, registry, "v0.1.0")
			c.await(t, books, func(o *object) error {
				if text(o, "spec.sinceTheNextRelease") != "" {
					return errors.New("it still has the field of the next release")
				}
				return nil
			})
		})
		c.requireJobs(t, claims, registry, "v0.1.0")
	}))
	require.True(t, t.Run("removed before its claims, it is refused, and applied again it is as it was", func(t *testing.T) {
		owned := c.owned(t, claims)
		// Twice, since what the first attempt deleted could have been what refused it.
		for range 2 {
			said := c.kubectlFails(t, "delete", "--ignore-not-found", "-f", filepath.Join(released, "install.yaml"))
			for _, refused := range []string{
				`configurations.pkg.crossplane.io "aphex"`, `providers.pkg.crossplane.io "aphex-provider-cloudflare-tunnel"`,
				`functions.pkg.crossplane.io "aphex-function-organization"`, `clusterroles.rbac.authorization.k8s.io "aphex:crossplane:tunnels"`,
			} {
				require.Contains(t, said, refused+" is forbidden: ValidatingAdmissionPolicy 'removal.aphex.io'")
			}
			require.Contains(t, said, "of a claim is still there; delete all claims first")
		}
		said := c.kubectlFails(t, "delete", "xrd", "xorganizations.aphex.io")
		require.Contains(t, said, "delete all claims first")
		c.kubectl(t, "apply", "-f", filepath.Join(released, "install.yaml"))
		c.awaitVersion(t, registry, "v0.1.0")
		require.Equal(t, owned, c.owned(t, claims))
		for _, claim := range claims {
			c.await(t, claim, isReady)
		}
	}))
	require.True(t, t.Run("an account that is deleted before its tunnels is missed, and applied again they go", func(t *testing.T) {
		account := c.dynamic.Resource(schema.GroupVersionResource{Group: "cloudflare.aphex.io", Version: "v1alpha1", Resource: "clusterproviderconfigs"})
		c.kubectl(t, "delete", "--wait=false", "-f", filepath.Join(released, "configure.yaml"))
		c.kubectl(t, "delete", "secret", "cloudflare", "-n", "crossplane-system")
		kept, err := account.Get(t.Context(), "default", metav1.GetOptions{})
		require.NoError(t, err)
		require.NotNil(t, kept.GetDeletionTimestamp(), "it is in use")
		c.kubectl(t, "delete", "repobindings,knowledgebases", "--all", "--all-namespaces")
		c.kubectl(t, "delete", "organizations", "--all", "--all-namespaces", "--wait=false")
		eventually(t, func(ctx context.Context) error {
			_, err := account.Get(ctx, "default", metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("the account is still there, or nobody knows: %w", err)
			}
			return nil
		})
		c.kubectl(t, "apply", "-f", filepath.Join(released, "configure.yaml"))
		require.NoError(t, c.ConnectCloudflare(t.Context()))
		c.kubectl(t, "delete", "organizations", "--all", "--all-namespaces")
		c.requireTunnels(t, 0)
	}))
	require.True(t, t.Run("removed in the documented order, it leaves nothing", func(t *testing.T) {
		platform := c.composed(t, platformClaim)
		require.NotEmpty(t, platform)
		c.follow(t, "remove", released)
		for _, r := range platform {
			c.awaitGone(t, r)
		}
		c.awaitInventory(t, before)
	}))
	require.True(t, t.Run("both manifests deleted under an organization leave its tunnel, and the way out is the documented one", func(t *testing.T) {
		c.follow(t, "install", released)
		require.NoError(t, c.ConnectCloudflare(t.Context()))
		const org, tunnel, record = ref("Organization platform-system/acme-corp"), ref("Tunnel org-acme-corp/acme-corp"), ref("DNSRecord org-acme-corp/acme-corp")
		c.kubectl(t, "apply", "-f", filepath.Join(c.Root(), "examples", "organization", "claim.yaml"))
		c.await(t, org, isReady)
		// Whether Crossplane lets go of the claim is a race of two of its controllers; this decides it.
		finalizers, err := json.Marshal(append(c.see(t, org).GetFinalizers(), "test.aphex.io/lost-the-race"))
		require.NoError(t, err)
		c.patch(t, org, fmt.Sprintf("metadata: {finalizers: %s}", finalizers))
		// Whether the provider could still clean up is another race.
		c.kubectl(t, "delete", "secret", "cloudflare", "-n", "crossplane-system")
		c.kubectl(t, "delete", "--wait=false", "-f", filepath.Join(released, "configure.yaml"))
		// The API server heeds a policy for a moment after it is gone, and Crossplane may install a function again for the
		// Configuration that goes beside it.
		eventually(t, func(ctx context.Context) error {
			return errors.Join(
				c.tryKubectl(ctx, "delete", "--wait=false", "--ignore-not-found", "-f", filepath.Join(released, "install.yaml")),
				same([]string{}, c.packagedProcesses()),
			)
		})
		for _, r := range []ref{org, tunnel, record} {
			kept := c.await(t, r, func(o *object) error {
				if o.GetDeletionTimestamp() == nil {
					return errors.New("it is not being deleted")
				}
				return nil
			})
			require.NotEmpty(t, kept.GetFinalizers(), r)
		}
		c.requireTunnels(t, 1)

		c.follow(t, "recover", released)
		for _, r := range []ref{
			org, tunnel, record, "Namespace org-acme-corp", "CustomResourceDefinition tunnels.cloudflare.aphex.io",
			"CustomResourceDefinition organizations.aphex.io", "CustomResourceDefinition xorganizations.aphex.io",
		} {
			c.awaitGone(t, r)
		}
		left := c.requireTunnels(t, 1)
		require.NoError(t, c.Cloudflare().RemoveTunnel(t.Context(), controlplane.CloudflareAccount, left[0].ID))
		records, err := c.Cloudflare().Records(t.Context(), controlplane.CloudflareZone)
		require.NoError(t, err)
		require.Len(t, records, 1)
		require.NoError(t, c.Cloudflare().RemoveRecord(t.Context(), controlplane.CloudflareZone, records[0].ID))

		c.follow(t, "install", released)
		require.NoError(t, c.ConnectCloudflare(t.Context()))
		c.kubectl(t, "apply", "-f", filepath.Join(c.Root(), "examples", "organization", "claim.yaml"))
		c.await(t, org, isReady)
		c.follow(t, "remove", released)
		c.requireTunnels(t, 0)
		c.awaitInventory(t, before)
	}))
}

const books = ref("KnowledgeBase platform-system/platform-docs")

func isReady(o *object) error {
	if status, _, message := condition(o, "Ready"); status != "True" {
		return fmt.Errorf("%s: %s", text(o, "status.message"), message)
	}
	return nil
}

// replace requires of a change of all packages that other programs run then, that they answer, and that the claims and all
// that they own were the same and ready all the time.
func (c *cluster) replace(t *testing.T, claims []ref, change func()) {
	t.Helper()
	programs, owned := c.programs(t), c.owned(t, claims)
	unready := c.watchUnready(t, claims)
	change()
	eventually(t, func(context.Context) error {
		for name, program := range c.programs(t) {
			if program == programs[name] {
				return fmt.Errorf("%s still runs %s", name, program)
			}
		}
		return nil
	})
	name := fmt.Sprintf("Books at %d", time.Now().UnixNano())
	c.patch(t, books, fmt.Sprintf("spec: {displayName: %q}", name))
	c.await(t, "ConfigMap platform-system/knowledgebase-platform-docs", func(o *object) error { return contains(text(o, "data.displayName"), name) })
	for _, claim := range claims {
		c.await(t, claim, isReady)
	}
	require.Equal(t, owned, c.owned(t, claims))
	require.Empty(t, unready())
}

// requireJobs requires that new Jobs of the claims run programs of this version. Those that have done their work stay as they
// are until somebody asks for others.
func (c *cluster) requireJobs(t *testing.T, claims []ref, registry, version string) {
	t.Helper()
	c.kubectl(t, "annotate", "--overwrite", "organization", "acme-corp", "-n", "platform-system",
		fmt.Sprintf("platform.aphex/test-webhook=%s at %d", version, time.Now().UnixNano()))
	eventually(t, func(ctx context.Context) error {
		return c.runsJob(ctx, "org-acme-corp", registry+"/function-organization:"+version)
	})
	c.replaceJobs(t, "auth-system", registry+"/function-platform:"+version)
	jobs, err := c.kube.BatchV1().Jobs("auth-system").List(t.Context(), everything)
	require.NoError(t, err)
	// The claim waits for the new Job, and may still say that it is ready from before.
	c.await(t, platformClaim, func(o *object) error {
		for _, synced := range list(o, "status.conditions") {
			at, err := time.Parse(time.RFC3339, fmt.Sprint(synced["lastTransitionTime"]))
			if synced["type"] == "ConfigSynced" && synced["status"] == "True" && err == nil && !at.Before(jobs.Items[0].CreationTimestamp.Time) {
				return nil
			}
		}
		return fmt.Errorf("it has not heard of Job %s", jobs.Items[0].Name)
	})
	// Crossplane may write once more what an older copy of the claim's XR said.
	c.settled(t, claims)
	for _, claim := range claims {
		c.await(t, claim, isReady)
	}
}

// replaceJobs deletes Jobs that have ended well until the only one in a namespace runs this image. Once may not be enough, since a
// reconcile that is under way makes again what it saw before.
func (c *cluster) replaceJobs(t *testing.T, namespace, image string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		err := c.runsJob(ctx, namespace, image)
		if err == nil {
			return nil
		}
		return errors.Join(err, c.tryKubectl(ctx, "delete", "jobs", "-n", namespace, "--field-selector=status.successful=1"))
	})
}

// runsJob requires that the only Job in a namespace runs this image and has ended well.
func (c *cluster) runsJob(ctx context.Context, namespace, image string) error {
	jobs, err := c.kube.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var images []string
	for _, job := range jobs.Items {
		images = append(images, fmt.Sprintf("%s, %d succeeded", job.Spec.Template.Spec.Containers[0].Image, job.Status.Succeeded))
	}
	return same([]string{image + ", 1 succeeded"}, images)
}

// owned are the claims and all that was made of them, by their unique ids.
func (c *cluster) owned(t *testing.T, claims []ref) map[ref]types.UID {
	t.Helper()
	ids := map[ref]types.UID{}
	for _, claim := range claims {
		for _, r := range append(c.composed(t, claim), claim, c.xr(t, claim)) {
			ids[r] = c.see(t, r).GetUID()
		}
	}
	return ids
}

// watchUnready notes from now on whenever a claim is not ready, and says what it noted when it is called.
func (c *cluster) watchUnready(t *testing.T, claims []ref) (stop func() []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	var mu sync.Mutex
	var seen []string
	for _, claim := range claims {
		watching.Go(func() {
			// A watch ends whenever the kind's definition changes.
			wait.UntilWithContext(ctx, func(ctx context.Context) {
				w, err := c.client(claim).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + claim.name()})
				if err != nil {
					return
				}
				for event := range w.ResultChan() {
					o, ok := event.Object.(*object)
					if !ok {
						continue
					}
					if err := isReady(o); err != nil || event.Type == watch.Deleted {
						mu.Lock()
						seen = append(seen, fmt.Sprintf("%s %s: %v", event.Type, claim, err))
						mu.Unlock()
					}
				}
			}, often)
		})
	}
	return func() []string {
		cancel()
		watching.Wait()
		return seen
	}
}

// publication is a registry with two releases: this repository, and the next one, in which the KnowledgeBase has one more field.
type publication struct {
	registry string
	// first and next are the folders with their manifests.
	first, next string
	err         error
}

// publishReleases builds both releases in a folder, and serves them until the context ends.
func publishReleases(ctx context.Context, dir string) (p publication) {
	host, err := controlplane.ServeRegistry(ctx)
	if err != nil {
		return publication{err: err}
	}
	p = publication{registry: host + "/aphex", first: filepath.Join(dir, "first"), next: filepath.Join(dir, "next")}
	if p.err = publish(ctx, cp.Root(), p.registry, "v0.1.0", p.first); p.err != nil {
		return p
	}
	source := filepath.Join(dir, "next-source")
	if p.err = nextRelease(ctx, source); p.err == nil {
		p.err = publish(ctx, source, p.registry, "v0.2.0", p.next)
	}
	return p
}

// nextRelease copies the repository to a folder, and adds a field there.
func nextRelease(ctx context.Context, root string) error {
	files, err := exec.CommandContext(ctx, "git", "-C", cp.Root(), "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return err
	}
	for file := range strings.Lines(string(files)) {
		file = strings.TrimSpace(file)
		data, err := os.ReadFile(filepath.Join(cp.Root(), file))
		if err != nil {
			return err
		}
		if file == "apis/knowledgebase/definition.yaml" {
			const field = "                displayName:\n"
			if err := same(1, bytes.Count(data, []byte(field))); err != nil {
				return fmt.Errorf("%s: its fields: %w", file, err)
			}
			data = bytes.Replace(data, []byte(field), []byte("                sinceTheNextRelease: {type: string}\n"+field), 1)
		}
		err = errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755), os.WriteFile(filepath.Join(root, file), data, 0o600))
		if err != nil {
			return err
		}
	}
	bin := filepath.Join(root, ".cache", "bin")
	return errors.Join(os.MkdirAll(bin, 0o755), os.Symlink(cp.Binary("crossplane"), filepath.Join(bin, "crossplane")))
}

// publish builds a version of a repository, pushes it to a registry, and writes its manifests to a folder. What the Makefile
// compiled is not compiled again with these flags.
func publish(ctx context.Context, root, registry, version, out string) error {
	command := exec.CommandContext(ctx, "go", "run", ".", "-push",
		"-root", root, "-registry", registry, "-version", version, "-platforms", "linux/"+runtime.GOARCH, "-out", out)
	command.Dir = filepath.Join(cp.Root(), "tools", "xpkg")
	command.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -trimpath", "GOWORK=off", "CGO_ENABLED=0")
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("release %s: %w: %s", version, err, said)
	}
	return nil
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

// follow does what the pages of the documentation tell, in a folder that holds the manifests of a release, an API token, and of
// the repository what is rendered and renders.
func (c *cluster) follow(t *testing.T, stage, release string) {
	t.Helper()
	dir := c.workingFolder(t, release)
	for _, b := range c.blocks(t, stage) {
		c.runCommands(t, b, dir)
	}
}

// blocks are those of a stage of the pages.
func (c *cluster) blocks(t *testing.T, stage string) []pages.Block {
	t.Helper()
	blocks, err := pages.Stage(c.Root(), stage)
	require.NoError(t, err)
	return blocks
}

// workingFolder is one in which the blocks of the pages find what they name.
func (c *cluster) workingFolder(t *testing.T, release string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"install.yaml", "configure.yaml", tokenFile} {
		require.NoError(t, os.Symlink(filepath.Join(release, name), filepath.Join(dir, name)))
	}
	for _, name := range []string{"apis", "compositions", "examples", ".cache"} {
		require.NoError(t, os.Symlink(filepath.Join(c.Root(), name), filepath.Join(dir, name)))
	}
	return dir
}

// runCommands runs a block of commands in a folder, as an administrator of this cluster.
func (c *cluster) runCommands(t *testing.T, b pages.Block, dir string) {
	t.Helper()
	out, err := c.tryCommands(t, b, dir)
	require.NoError(t, err, "%s: %s", b, out)
}

// tryCommands is runCommands for a block that may fail.
func (c *cluster) tryCommands(t *testing.T, b pages.Block, dir string) (said []byte, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", b.Text)
	command.Dir = dir
	command.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig(), "PATH="+filepath.Dir(c.Binary("kubectl"))+":"+os.Getenv("PATH"))
	// What a block that fails leaves in the background is ended with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second
	said, err = command.CombinedOutput()
	if err != nil && command.Process != nil {
		_ = command.Cancel() // There may be nothing left.
	}
	return said, err
}

// tokenFile is what the pages call the file with an API token of Cloudflare.
const tokenFile = "cloudflare-token"

// giveToken does what a stage of the pages tells with a new API token.
func (c *cluster) giveToken(t *testing.T, stage, token, release string) {
	t.Helper()
	require.NoError(t, c.Cloudflare().SetToken(t.Context(), token, controlplane.CloudflarePermissions()...))
	require.NoError(t, os.WriteFile(filepath.Join(release, tokenFile), []byte(token+"\n"), 0o600))
	c.follow(t, stage, release)
}

// requireNoRotation does what the pages tell to rotate the API token, with one that may not change records.
func (c *cluster) requireNoRotation(t *testing.T, token, release string) {
	t.Helper()
	require.NoError(t, c.Cloudflare().SetToken(t.Context(), token, "Account / Cloudflare Tunnel / Edit", "Zone / Zone / Read"))
	require.NoError(t, os.WriteFile(filepath.Join(release, tokenFile), []byte(token+"\n"), 0o600))
	dir := c.workingFolder(t, release)
	for _, b := range c.blocks(t, "rotate") {
		said, err := c.tryCommands(t, b, dir)
		require.Error(t, err, "%s: %s", b, said)
		require.Contains(t, string(said), "its API token lacks Zone / DNS / Edit")
	}
}

// requireProbes asks the only pod of a package what its Deployment makes kubelets ask, and looks at how it is confined.
func (c *cluster) requireProbes(t *testing.T, pkg string) {
	t.Helper()
	deployments, err := c.kube.AppsV1().Deployments("crossplane-system").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	found := false
	for _, d := range deployments.Items {
		if !strings.HasPrefix(d.Name, pkg+"-") {
			continue
		}
		found = true
		container := d.Spec.Template.Spec.Containers[0]
		require.True(t, *container.SecurityContext.ReadOnlyRootFilesystem, d.Name)
		require.True(t, *container.SecurityContext.RunAsNonRoot, d.Name)
		require.Equal(t, []corev1.Capability{"ALL"}, container.SecurityContext.Capabilities.Drop, d.Name)
		require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, container.SecurityContext.SeccompProfile.Type, d.Name)
		address, err := c.flag(d.Name, "health-address")
		require.NoError(t, err)
		for _, probe := range []*corev1.Probe{container.ReadinessProbe, container.LivenessProbe} {
			require.NotNil(t, probe, d.Name)
			require.Contains(t, container.Args, fmt.Sprintf("--health-address=:%d", probe.HTTPGet.Port.IntValue()))
			eventually(t, func(ctx context.Context) error { return getOK(ctx, "http://"+address+probe.HTTPGet.Path) })
		}
	}
	require.True(t, found, "no Deployment of %s", pkg)
}

// podMonitor is what is read here of what prometheus-operator reads.
type podMonitor struct {
	Metadata struct {
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Selector            metav1.LabelSelector `json:"selector"`
		PodMetricsEndpoints []struct {
			Port string `json:"port"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

// podMonitors are those in the folder of a release.
func podMonitors(t *testing.T, release string) []podMonitor {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(release, "pod-monitors.yaml"))
	require.NoError(t, err)
	var out []podMonitor
	for document := range strings.SplitSeq(string(data), "\n---\n") {
		var m podMonitor
		require.NoError(t, yaml.Unmarshal([]byte(document), &m))
		require.Equal(t, "crossplane-system", m.Metadata.Namespace)
		require.Len(t, m.Spec.PodMetricsEndpoints, 1)
		out = append(out, m)
	}
	return out
}

// finds tells whether it is about these pods, and names a port that they have.
func (m podMonitor) finds(t *testing.T, pods corev1.PodTemplateSpec) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
	require.NoError(t, err)
	return selector.Matches(labels.Set(pods.Labels)) && slices.ContainsFunc(pods.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
		return p.Name == m.Spec.PodMetricsEndpoints[0].Port
	})
}

// kubectl runs the real one as an administrator of this cluster.
func (c *cluster) kubectl(t *testing.T, args ...string) {
	t.Helper()
	require.NoError(t, c.tryKubectl(t.Context(), args...))
}

func (c *cluster) tryKubectl(ctx context.Context, args ...string) error {
	command := exec.CommandContext(ctx, c.Binary("kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// kubectlFails returns what kubectl says when it is refused.
func (c *cluster) kubectlFails(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.Binary("kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
	out, err := command.CombinedOutput()
	require.Error(t, err, "kubectl %s: %s", strings.Join(args, " "), out)
	return string(out)
}

// awaitVersion returns when every package is healthy in a version, and there are no others.
func (c *cluster) awaitVersion(t *testing.T, registry, version string) {
	t.Helper()
	want := map[string]string{
		"Configuration aphex":                       registry + "/aphex:" + version,
		"Function aphex-function-knowledgebase":     registry + "/function-knowledgebase:" + version,
		"Function aphex-function-organization":      registry + "/function-organization:" + version,
		"Function aphex-function-platform":          registry + "/function-platform:" + version,
		"Function aphex-function-repobinding":       registry + "/function-repobinding:" + version,
		"Provider aphex-provider-cloudflare-tunnel": registry + "/provider-cloudflare-tunnel:" + version,
	}
	eventually(t, func(ctx context.Context) error {
		have := map[string]string{}
		for _, resource := range []string{"configurations", "functions", "providers"} {
			list, err := c.dynamic.Resource(schema.GroupVersionResource{Group: "pkg.crossplane.io", Version: "v1", Resource: resource}).
				List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			for _, o := range list.Items {
				have[o.GetKind()+" "+o.GetName()] = text(&o, "status.currentIdentifier")
				if status, _, message := condition(&o, "Healthy"); status != "True" {
					return fmt.Errorf("%s %s is not healthy: %s", o.GetKind(), o.GetName(), message)
				}
			}
		}
		if !maps.Equal(want, have) {
			return fmt.Errorf("the packages are %v, not %v", have, want)
		}
		return nil
	})
}

// packagedProcesses are those of packages.
func (c *cluster) packagedProcesses() []string {
	return slices.DeleteFunc(c.Processes(), func(name string) bool { return !strings.HasPrefix(name, "aphex-") })
}

// requireTunnels returns the tunnels at Cloudflare, which have to be so many.
func (c *cluster) requireTunnels(t *testing.T, n int) []controlplane.CloudflareTunnel {
	t.Helper()
	tunnels, err := c.Cloudflare().Tunnels(t.Context(), controlplane.CloudflareAccount)
	require.NoError(t, err)
	require.Len(t, tunnels, n)
	return tunnels
}

// programs are what the packages run, once each runs one.
func (c *cluster) programs(t *testing.T) map[string]string {
	t.Helper()
	programs := map[string]string{}
	eventually(t, func(context.Context) error {
		for _, name := range packaged {
			program, err := c.program("aphex-" + name)
			if err != nil {
				return err
			}
			programs[name] = program
		}
		return nil
	})
	return programs
}

// program is what the only pod of a package runs.
func (c *cluster) program(pkg string) (string, error) {
	names := slices.DeleteFunc(c.Processes(), func(name string) bool { return !strings.HasPrefix(name, pkg+"-") })
	if len(names) != 1 {
		return "", fmt.Errorf("%s runs %d times: %v", pkg, len(names), names)
	}
	return os.Readlink(fmt.Sprintf("/proc/%d/exe", c.PID(names[0])))
}
