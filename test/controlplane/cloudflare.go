package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
)

const (
	// Provider is the name of the Cloudflare provider's process and service account.
	Provider = "provider-cloudflare-tunnel"
	// simulator is the name of the process that plays Cloudflare's API.
	simulator = "cloudflare-simulator"
)

// The Cloudflare account and zone that are there from the start.
const (
	CloudflareAccount  = "0123456789abcdef0123456789abcdef"
	CloudflareZone     = "fedcba9876543210fedcba9876543210"
	CloudflareZoneName = "arbiter-dev.com"
)

// budget is how many calls of Cloudflare's API may be made in five minutes: by a
// user before Cloudflare refuses, and by the provider.
type budget struct{ cloudflare, provider int }

var (
	realBudget = budget{cloudflare: 1200, provider: 1000}
	plenty     = budget{cloudflare: 20000, provider: 1200}
)

// startCloudflare starts the simulator of Cloudflare's API, in which nobody has
// a token yet, and plays the connectors that reach it.
func (c *ControlPlane) startCloudflare(ctx context.Context) error {
	p := &process{
		name:   simulator,
		binary: c.Binary(simulator),
		ports:  2,
		args: func(port []int) []string {
			return []string{
				"--address=" + loopback(port[0]), "--control-address=" + loopback(port[1]),
				"--budget=" + strconv.Itoa(c.budget.cloudflare),
			}
		},
		ready: func(ctx context.Context, port []int) (bool, string) {
			return get(ctx, nil, loopbackURL("http", port[1])+"/calls")
		},
	}
	if err := c.run(ctx, p); err != nil {
		return err
	}
	// The path is that of the real API.
	c.cloudflare = &Cloudflare{api: loopbackURL("http", p.port[0]) + "/client/v4", control: loopbackURL("http", p.port[1])}
	if err := c.cloudflare.AddAccount(ctx, CloudflareAccount); err != nil {
		return err
	}
	if err := c.cloudflare.AddZone(ctx, CloudflareAccount, CloudflareZone, CloudflareZoneName); err != nil {
		return err
	}
	return c.playConnectors(ctx)
}

// startProvider starts the Cloudflare provider under its own service account.
// It may start before its kinds are installed, as it may in a cluster.
func (c *ControlPlane) startProvider(ctx context.Context) error {
	manifests, err := readManifests(c.root, "package/provider.yaml")
	if err != nil {
		return err
	}
	if err := c.applyAll(ctx, manifests); err != nil {
		return err
	}
	kubeconfig, err := c.serviceAccountKubeconfig(crossplaneNamespace, Provider)
	if err != nil {
		return err
	}
	return c.run(ctx, &process{
		name:   Provider,
		binary: c.Binary(Provider),
		ports:  2,
		args: func(port []int) []string {
			return []string{
				"--kubeconfig=" + kubeconfig,
				"--metrics-address=" + loopback(port[0]),
				"--health-address=" + loopback(port[1]),
				// What nobody tells the provider shows within seconds instead of minutes.
				"--poll-interval=20s", "--poll-jitter=2s", "--min-poll-interval=1s", "--list-freshness=2s",
			}
		},
		ready: func(ctx context.Context, port []int) (bool, string) {
			return get(ctx, nil, loopbackURL("http", port[1])+"/readyz")
		},
	})
}

// Cloudflare returns the simulator of Cloudflare's API.
func (c *ControlPlane) Cloudflare() *Cloudflare { return c.cloudflare }

// ConnectCloudflare does what a platform team does to let Aphex use its
// Cloudflare account: it stores an API token, a new one each time, and names it
// in the ClusterProviderConfig that organizations use.
func (c *ControlPlane) ConnectCloudflare(ctx context.Context, permissions ...string) error {
	if len(permissions) == 0 {
		permissions = CloudflarePermissions()
	}
	random := make([]byte, 20)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	token := hex.EncodeToString(random)
	if err := c.cloudflare.SetToken(ctx, token, permissions...); err != nil {
		return err
	}
	return c.Apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {namespace: %[1]s, name: cloudflare}
stringData: {token: %[2]q}
---
apiVersion: cloudflare.aphex.io/v1alpha1
kind: ClusterProviderConfig
metadata: {name: default}
spec:
  credentials: {secretRef: {namespace: %[1]s, name: cloudflare}}
  accountID: %[3]q
  zone: %[4]s
  baseURL: %[5]s
  requestsPer5Minutes: %[6]d
`, crossplaneNamespace, token, CloudflareAccount, CloudflareZoneName, c.cloudflare.api, c.budget.provider))
}
