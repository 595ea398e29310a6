package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/test/github"
)

// cacheTime is how long Tekton's interceptors remember a secret.
const cacheTime = 5 * time.Second

// One organization whose webhook secret is rotated in every way. All deliveries go through Tekton's own listener.
func TestRotationOfTheWebhookSecret(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-rotation")
	cp.cloudflare(t)
	org := cp.create(t, organization(namespace, "turn", withSecret("turn-webhook")))
	binding := cp.create(t, repoBinding(namespace, "turn", "turn-web", withSecret("turn-web-webhook")))
	cp.awaitReady(t, org)
	cp.awaitReady(t, binding)
	const (
		secret   = ref("Secret org-turn/github-webhook-secret")
		eventing = ref("EventListener org-turn/github-listener")
	)
	l := cp.listen(t, "turn")
	push := func(secret string) github.Delivery {
		return signed(secret, "push", github.Push("example/turn-web", "main").Bytes())
	}
	// announced is the secret that both claims tell, once it is another one.
	announced := func(t *testing.T, before string) (value string) {
		t.Helper()
		for _, name := range []string{"turn-webhook", "turn-web-webhook"} {
			cp.await(t, refTo("Secret %s/%s", namespace, name), func(o *object) error {
				if value = secretValue(t, o, "webhookSecret"); value == before {
					return errors.New("it still has the secret of before")
				}
				return nil
			})
			require.Equal(t, secretValue(t, cp.see(t, secret), "secret"), value, name)
		}
		return value
	}
	awaitKeys := func(t *testing.T, count int) {
		t.Helper()
		cp.await(t, eventing, func(o *object) error { return same(count, len(list(o, "spec.triggerGroups"))) })
		l.keys = count
	}
	// awaitRefusal returns once the listener has heard that a secret is not good any more.
	awaitRefusal := func(t *testing.T, secret string) {
		t.Helper()
		refused := 0
		eventually(t, func(ctx context.Context) error {
			a := l.deliver(t, push(secret))
			l.settled(t, a)
			runs, err := runsOf(ctx, a)
			if refused++; err != nil || len(runs) > 0 {
				refused = 0
			}
			// A run of the first may come late.
			return errors.Join(err, same(2, refused))
		})
		require.Contains(t, l.refused(t, push(secret)).whole, "payload signature check failed")
	}
	rotations := func(t *testing.T, count int) {
		t.Helper()
		eventually(t, func(ctx context.Context) error {
			events, err := cp.kube.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=Organization,involvedObject.name=turn"})
			if err != nil {
				return err
			}
			var said []string
			for _, e := range events.Items {
				if e.Reason == "WebhookSecretRotated" {
					said = append(said, e.Message)
				}
			}
			return same(count, len(said))
		})
	}
	// rotatedAt makes the platform believe that the last rotation was then. A run that was under way may write the old time
	// once more.
	rotatedAt := func(t *testing.T, at time.Time) {
		t.Helper()
		want := at.UTC().Format(time.RFC3339)
		eventually(t, func(ctx context.Context) error {
			if cp.see(t, secret).GetAnnotations()["platform.aphex/rotated-at"] != want {
				cp.patch(t, secret, `metadata: {annotations: {platform.aphex/rotated-at: "`+want+`"}}`)
			}
			o, err := cp.get(ctx, org)
			if err != nil {
				return err
			}
			return same(want, text(o, "status.webhookSecret.lastRotated"))
		})
	}
	first := l.secret

	t.Run("every delivery starts one run while an annotation of the claim rotates", func(t *testing.T) {
		kubectl(t, "annotate", "organization", "turn", "-n", namespace, "platform.aphex/rotate-webhook-secret=one")
		var sent []answer
		// Until nothing of before can be in a cache any more.
		var changed time.Time
		within(t, patience, func(context.Context) error {
			sent = append(sent, l.deliver(t, push(first)))
			if changed.IsZero() && len(list(cp.see(t, eventing), "spec.triggerGroups")) == 2 {
				changed = time.Now()
			}
			if changed.IsZero() || time.Since(changed) < 2*cacheTime {
				return fmt.Errorf("the listener changed at %s", changed)
			}
			return nil
		})
		require.Greater(t, len(sent), 10)
		awaitKeys(t, 2)
		for _, a := range sent {
			require.Equal(t, http.StatusAccepted, a.Status)
			eventually(t, func(ctx context.Context) error {
				runs, err := runsOf(ctx, a)
				return errors.Join(err, same(1, len(runs)))
			})
		}
	})
	second := announced(t, first)
	t.Run("while they overlap both secrets start one run each", func(t *testing.T) {
		require.Regexp(t, `^[0-9a-f]{64}$`, second)
		for _, secret := range []string{second, first, second, first} {
			l.started(t, push(secret))
		}
		o := l.refused(t, push("another-secret-entirely"))
		require.Equal(t, 2, o.refusals)
		status := cp.see(t, org)
		rotated, err := time.Parse(time.RFC3339, text(status, "status.webhookSecret.lastRotated"))
		require.NoError(t, err)
		until, err := time.Parse(time.RFC3339, text(status, "status.webhookSecret.previousValidUntil"))
		require.NoError(t, err)
		require.Equal(t, 24*time.Hour, until.Sub(rotated))
		require.Equal(t, "Active", text(status, "status.phase"))
		rotations(t, 1)
	})
	t.Run("the same value of the annotation does not rotate again", func(t *testing.T) {
		before := cp.see(t, secret)
		cp.patch(t, org, `metadata: {annotations: {platform.aphex/rotate-webhook-secret: null}}`)
		xr := cp.xr(t, org)
		cp.await(t, xr, func(o *object) error { return same("", o.GetAnnotations()["platform.aphex/rotate-webhook-secret"]) })
		cp.patch(t, org, `metadata: {annotations: {platform.aphex/rotate-webhook-secret: one}}`)
		cp.await(t, xr, func(o *object) error { return same("one", o.GetAnnotations()["platform.aphex/rotate-webhook-secret"]) })
		cp.reconcile(t, xr)
		require.Equal(t, before.GetResourceVersion(), cp.see(t, secret).GetResourceVersion())
	})
	t.Run("the overlap ends by itself, and then the old secret is refused", func(t *testing.T) {
		until := time.Now().Add(time.Minute).Truncate(time.Second)
		rotatedAt(t, until.Add(-24*time.Hour))
		require.Equal(t, until.UTC().Format(time.RFC3339), text(cp.see(t, org), "status.webhookSecret.previousValidUntil"))
		l.started(t, push(first))
		// Nothing changes from here on but the time.
		awaitKeys(t, 1)
		require.False(t, time.Now().Before(until), "it ended early")
		t.Logf("the overlap ended %s after its time", time.Since(until))
		awaitRefusal(t, first)
		l.started(t, push(second))
		cp.await(t, org, func(o *object) error { return same("", text(o, "status.webhookSecret.previousValidUntil")) })
		require.NotContains(t, fmt.Sprint(cp.see(t, secret).Object["data"]), "key-1:")
		rotations(t, 1)
	})
	third := "turn-turn-turn-turn-3"
	t.Run("without an overlap the old secret is refused at once", func(t *testing.T) {
		cp.patch(t, org, `spec: {webhookSecretOverlap: 0h, webhookSecret: `+third+`}`)
		require.Equal(t, third, announced(t, second))
		awaitKeys(t, 1)
		awaitRefusal(t, second)
		l.started(t, push(third))
		rotations(t, 2)
	})
	t.Run("a secret that is old enough is rotated", func(t *testing.T) {
		cp.patch(t, org, `spec: {webhookSecretOverlap: 2h, webhookSecret: null, webhookSecretRotation: 30d}`)
		cp.await(t, org, func(o *object) error {
			rotated, err := time.Parse(time.RFC3339, text(o, "status.webhookSecret.lastRotated"))
			return errors.Join(err, same(rotated.Add(30*24*time.Hour).Format(time.RFC3339), text(o, "status.webhookSecret.nextRotation")))
		})
		require.Equal(t, third, secretValue(t, cp.see(t, secret), "secret"), "what was given stays")
		due := time.Now().Add(time.Minute).Truncate(time.Second)
		rotatedAt(t, due.Add(-30*24*time.Hour))
		fourth := announced(t, third)
		require.False(t, time.Now().Before(due), "it was rotated early")
		awaitKeys(t, 2)
		for _, secret := range []string{third, fourth} {
			l.started(t, push(secret))
		}
		rotations(t, 3)
		l.secret = fourth
	})
	t.Run("a suspended organization starts nothing, whichever secret a delivery is signed with", func(t *testing.T) {
		cp.patch(t, org, `spec: {suspend: true}`)
		for _, secret := range []string{third, l.secret} {
			eventually(t, func(context.Context) error {
				o := l.settled(t, l.deliver(t, push(secret)))
				return errors.Join(same(2, o.refusals), same(0, len(o.byTrigger)))
			})
			l.refused(t, push(secret))
		}
	})
	t.Run("the secrets are in the Secret and in connection secrets alone", func(t *testing.T) {
		for _, r := range []ref{org, binding, cp.xr(t, org), cp.xr(t, binding), eventing} {
			shown := fmt.Sprint(cp.see(t, r).Object)
			for _, secret := range []string{first, second, l.secret} {
				require.NotContains(t, shown, secret, r)
			}
		}
	})
}
