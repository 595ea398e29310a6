package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"aphex.io/platform/test/controlplane"
	"aphex.io/platform/test/github"
)

func TestAnOrganizationGetsAPublicName(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-tunneled")
	claim, _ := cp.tenant(t, namespace, "tunneled")
	const tunnel = ref("Tunnel org-tunneled/tunneled")
	id := text(cp.see(t, tunnel), "status.atProvider.id")

	t.Run("its tunnel and its record are at Cloudflare", func(t *testing.T) {
		require.Equal(t, map[string]string{"org-tunneled": id}, tunnelsOf(t, "tunneled"))
		record := recordOf(t, "tunneled.arbiter-dev.com")
		require.Equal(t, id+".cfargotunnel.com", record.Content)
		require.True(t, record.Proxied)
	})
	t.Run("its connectors have the credentials that Cloudflare takes", func(t *testing.T) {
		secret := cp.see(t, "Secret org-tunneled/cloudflared-credentials-tunneled")
		var credentials map[string]string
		require.NoError(t, json.Unmarshal([]byte(secretValue(t, secret, "credentials.json")), &credentials))
		require.Equal(t, id, credentials["TunnelID"])
		require.Equal(t, controlplane.CloudflareAccount, credentials["AccountTag"])
		cp.await(t, tunnel, connected(2))
	})
	t.Run("what is sent to its URL reaches its listener, and under another name nothing does", func(t *testing.T) {
		listener := cp.listen(t, "tunneled")
		ping := signed(listener.secret, "ping", github.Payload{"zen": "Practicality beats purity."}.Bytes())
		received, err := ping.Send(t.Context(), cp.Internet(), text(cp.see(t, claim), "status.webhookURL"))
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, received.Status)
		require.Contains(t, listener.settled(t, answer{Answer: received}).whole, "event type ping is not allowed")

		_, err = ping.Send(t.Context(), cp.Internet(), "https://nobody.arbiter-dev.com")
		require.ErrorContains(t, err, "no such host")
		other, err := cp.Cloudflare().AddRecord(t.Context(), controlplane.CloudflareZone, controlplane.CloudflareRecord{
			Type: "CNAME", Name: "alias.arbiter-dev.com", Content: id + ".cfargotunnel.com", Proxied: true,
		})
		require.NoError(t, err)
		received, err = ping.Send(t.Context(), cp.Internet(), "https://alias.arbiter-dev.com")
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, received.Status)
		require.NoError(t, cp.Cloudflare().RemoveRecord(t.Context(), controlplane.CloudflareZone, other))
	})
	t.Run("a rotation replaces the secret and nothing else", func(t *testing.T) {
		before := cp.see(t, "Secret org-tunneled/cloudflared-credentials-tunneled")
		pods := credentialsHash(cp.see(t, "Deployment org-tunneled/cloudflared"))
		cp.patch(t, tunnel, fmt.Sprintf(`spec: {forProvider: {rotateSecretAt: %q}}`, time.Now().UTC().Format(time.RFC3339)))
		cp.await(t, tunnel, func(o *object) error {
			if text(o, "status.atProvider.lastRotationTime") == "" {
				return errors.New("it was not rotated")
			}
			return nil
		})
		cp.await(t, "Secret org-tunneled/cloudflared-credentials-tunneled", func(o *object) error {
			if secretValue(t, o, "token") == secretValue(t, before, "token") {
				return errors.New("it holds the old secret")
			}
			return nil
		})
		cp.await(t, "Deployment org-tunneled/cloudflared", func(o *object) error {
			if credentialsHash(o) == pods {
				return errors.New("its pods were not replaced")
			}
			return nil
		})
		cp.awaitPhase(t, claim, "Active")
		cp.await(t, tunnel, connected(2))
		require.Equal(t, map[string]string{"org-tunneled": id}, tunnelsOf(t, "tunneled"), "it is the same tunnel")
	})
	t.Run("both go with the claim", func(t *testing.T) {
		cp.remove(t, claim)
		require.Empty(t, tunnelsOf(t, "tunneled"))
		require.Empty(t, recordsOf(t, "tunneled.arbiter-dev.com"))
	})
}

// What is in the way is left alone, and named; once it is gone, nobody has to touch the claim.
func TestStrangersAtCloudflareAreLeftAlone(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-strangers")
	cp.cloudflare(t)
	cloudflare := cp.Cloudflare()

	t.Run("a record of the host's name", func(t *testing.T) {
		record := controlplane.CloudflareRecord{Type: "CNAME", Name: "hosted.arbiter-dev.com", Content: "elsewhere.example.com", Comment: "not ours"}
		id, err := cloudflare.AddRecord(t.Context(), controlplane.CloudflareZone, record)
		require.NoError(t, err)
		claim := cp.create(t, organization(namespace, "hosted"))
		cp.await(t, claim, func(o *object) error {
			status, _, message := condition(o, "DNSReady")
			return errors.Join(same("False", status), contains(message, "DNSRecord org-hosted/hosted", id, "neither changed nor deleted"))
		})
		cp.awaitConditions(t, claim, map[string]string{"TunnelReady": "True", "ConnectorReady": "True", "DNSReady": "False", "WebhookReady": "False"})
		require.Equal(t, "not ours", recordOf(t, "hosted.arbiter-dev.com").Comment)
		require.Equal(t, "elsewhere.example.com", recordOf(t, "hosted.arbiter-dev.com").Content)

		require.NoError(t, cloudflare.RemoveRecord(t.Context(), controlplane.CloudflareZone, id))
		cp.awaitPhase(t, claim, "Active")
		require.Contains(t, recordOf(t, "hosted.arbiter-dev.com").Content, ".cfargotunnel.com")
	})
	t.Run("a tunnel of the organization's name", func(t *testing.T) {
		id, err := cloudflare.AddTunnel(t.Context(), controlplane.CloudflareAccount, "org-tunnelled")
		require.NoError(t, err)
		claim := cp.create(t, organization(namespace, "tunnelled"))
		cp.await(t, claim, func(o *object) error {
			status, _, message := condition(o, "TunnelReady")
			return errors.Join(same("False", status), contains(message, "Tunnel org-tunnelled/tunnelled", id, "neither changed nor deleted"))
		})
		cp.awaitConditions(t, claim, map[string]string{
			"ListenerReady": "True", "TunnelReady": "False", "ConnectorReady": "False", "DNSReady": "False", "WebhookReady": "False",
		})
		require.Empty(t, recordsOf(t, "tunnelled.arbiter-dev.com"), "no name for a tunnel that is not there")
		require.Equal(t, map[string]string{"org-tunnelled": id}, tunnelsOf(t, "tunnelled"))

		require.NoError(t, cloudflare.RemoveTunnel(t.Context(), controlplane.CloudflareAccount, id))
		cp.awaitPhase(t, claim, "Active")
		require.NotEqual(t, id, tunnelsOf(t, "tunnelled")["org-tunnelled"])
	})
}

// A token that may not do everything is not used for half of it.
func TestATokenWithoutPermissionMakesNothing(t *testing.T) {
	cp.leaving.Wait() // What others made at Cloudflare goes with a token that may.
	namespace := cp.namespace(t, "e2e-permission")
	require.NoError(t, cp.ConnectCloudflare(t.Context(), "Account / Cloudflare Tunnel / Edit", "Zone / Zone / Read"))
	t.Cleanup(func() { require.NoError(t, cp.ConnectCloudflare(context.Background())) })
	claim := cp.create(t, organization(namespace, "permitted"))
	for _, part := range []string{"TunnelReady", "DNSReady"} {
		cp.await(t, claim, func(o *object) error {
			status, _, message := condition(o, part)
			return errors.Join(same("False", status), contains(message, "Zone / DNS / Edit"))
		})
	}
	require.Empty(t, tunnelsOf(t, "permitted"))
	require.Empty(t, recordsOf(t, "permitted.arbiter-dev.com"))

	require.NoError(t, cp.ConnectCloudflare(t.Context()))
	cp.awaitPhase(t, claim, "Active")
}

// The provider dies every two seconds, and one call in seven goes wrong. No tunnel may be made twice, and none be lost.
func TestFiftyOrganizationsUnderFire(t *testing.T) {
	const count = 50
	namespace := cp.namespace(t, "e2e-fire")
	// A new token has a budget of its own.
	require.NoError(t, cp.ConnectCloudflare(t.Context()))
	names := make(map[string]bool, count)
	claims := make([]ref, count)
	fire := startFire(t)
	for i := range claims {
		name := fmt.Sprintf("fire-%02d", i)
		names["org-"+name] = true
		claims[i] = cp.create(t, organization(namespace, name))
	}
	awaitAll(t, claims, func(ctx context.Context, claim ref) error {
		o, err := cp.get(ctx, claim)
		if err != nil {
			return err
		}
		return ready(o)
	})
	require.Positive(t, fire.deaths(), "the provider did not die once")
	fire.stop()

	made := tunnelsOf(t, "fire")
	require.Len(t, made, count)
	for name, id := range made {
		require.True(t, names[name], name)
		organization := strings.TrimPrefix(name, "org-")
		require.Equal(t, id, cp.see(t, refTo("Tunnel %s/%s", name, organization)).GetAnnotations()["crossplane.io/external-name"])
		record := recordOf(t, organization+".arbiter-dev.com")
		require.Equal(t, id+".cfargotunnel.com", record.Content)
	}

	require.NoError(t, cp.ConnectCloudflare(t.Context()))
	fire = startFire(t)
	for _, claim := range claims {
		require.NoError(t, cp.client(claim).Delete(t.Context(), claim.name(), metav1.DeleteOptions{}))
	}
	awaitAll(t, claims, cp.gone)
	require.Positive(t, fire.deaths(), "the provider did not die once")
	fire.stop()
	require.Empty(t, tunnelsOf(t, "fire"))
	require.Empty(t, recordsOf(t, "fire-"))
	require.Empty(t, cp.named(t, "org-fire-"))
}

// fire is a time in which nothing that concerns Cloudflare can be relied on.
type fire struct {
	stop func()

	mu   sync.Mutex
	died int
}

func (f *fire) deaths() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.died
}

// startFire drops a tenth of all answers of Cloudflare after what was asked was done, answers a twentieth with an error,
// and kills the provider two seconds after each of its starts.
func startFire(t *testing.T) *fire {
	t.Helper()
	require.NoError(t, cp.Cloudflare().SetFaults(t.Context(), controlplane.CloudflareFaults{DropAnswer: 0.1, ServerError: 0.05}, 7))
	f := &fire{}
	ctx, cancel := context.WithCancel(t.Context())
	var killer sync.WaitGroup
	var failed error
	killer.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(2 * time.Second):
			}
			if failed = errors.Join(cp.Kill(controlplane.Provider), cp.Restart(t.Context(), controlplane.Provider)); failed != nil {
				return
			}
			f.mu.Lock()
			f.died++
			f.mu.Unlock()
		}
	})
	f.stop = sync.OnceFunc(func() {
		cancel()
		killer.Wait()
		require.NoError(t, failed)
		require.NoError(t, cp.Cloudflare().SetFaults(context.Background(), controlplane.CloudflareFaults{}, 0))
	})
	t.Cleanup(f.stop)
	return f
}

// awaitAll returns once a check finds nothing wrong with any of the claims.
func awaitAll(t *testing.T, claims []ref, check func(context.Context, ref) error) {
	t.Helper()
	within(t, 4*patience, func(ctx context.Context) error {
		wrong := 0
		var first error
		for _, claim := range claims {
			if err := check(ctx, claim); err != nil {
				if wrong++; first == nil {
					first = err
				}
			}
		}
		if wrong > 0 {
			return fmt.Errorf("%d of %d claims: %w", wrong, len(claims), first)
		}
		return nil
	})
}

// connected is a check that so many connectors of a tunnel are connected.
func connected(count int) func(*object) error {
	return func(o *object) error {
		return errors.Join(same("healthy", text(o, "status.atProvider.status")), same(count, len(list(o, "status.atProvider.connectors"))))
	}
}

// credentialsHash is how a Deployment notes which credentials its pods mount.
func credentialsHash(deployment *object) string {
	hash, _, _ := unstructured.NestedString(deployment.Object,
		"spec", "template", "metadata", "annotations", "platform.aphex/credentials-hash")
	return hash
}

// tunnelsOf are the ids of the tunnels at Cloudflare whose names have a word, by their names. No two have the same name.
func tunnelsOf(t *testing.T, word string) map[string]string {
	t.Helper()
	tunnels, err := cp.Cloudflare().Tunnels(t.Context(), controlplane.CloudflareAccount)
	require.NoError(t, err)
	out := map[string]string{}
	for _, tunnel := range tunnels {
		if strings.Contains(tunnel.Name, word) {
			require.NotContains(t, out, tunnel.Name)
			out[tunnel.Name] = tunnel.ID
		}
	}
	return out
}

// recordsOf are the records at Cloudflare whose names begin so.
func recordsOf(t *testing.T, prefix string) []controlplane.CloudflareRecord {
	t.Helper()
	all, err := cp.Cloudflare().Records(t.Context(), controlplane.CloudflareZone)
	require.NoError(t, err)
	var out []controlplane.CloudflareRecord
	for _, r := range all {
		if strings.HasPrefix(r.Name, prefix) {
			out = append(out, r)
		}
	}
	return out
}

// recordOf is the one record of a name.
func recordOf(t *testing.T, name string) controlplane.CloudflareRecord {
	t.Helper()
	records := recordsOf(t, name)
	require.Len(t, records, 1, name)
	return records[0]
}
