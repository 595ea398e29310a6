package behaviour_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
)

// killEverywhere runs a story once for each effect that it has on the outside (a write to the cluster or to Cloudflare),
// kills the process before that effect and, in another run, after it, and starts a new process that finishes the story.
func killEverywhere(t *testing.T, prepare, begin, check func(*world)) {
	t.Helper()
	cuts := 0
	for _, after := range []bool{false, true} {
		for cut := 0; ; cut++ {
			killed := false
			when := map[bool]string{false: "before", true: "after"}[after]
			t.Run(fmt.Sprintf("killed %s effect %d", when, cut), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newTimelessWorld(t)
					prepare(w)
					w.start(&life{cut: cut, after: after})
					begin(w)
					killed = w.runUntilKilled()
					w.restart()
					w.later(time.Minute)
					w.settle()
					check(w)
				})
			})
			if t.Failed() || !killed {
				break
			}
			cuts++
		}
	}
	t.Logf("%d cut points", cuts)
}

func TestACreationThatIsCutAnywhereMakesOneTunnelAndOneRecord(t *testing.T) {
	killEverywhere(t,
		func(*world) {},
		func(w *world) {
			w.create(newTunnel())
			w.create(newRecord())
		},
		(*world).requireServing)
}

func TestADeletionThatIsCutAnywhereLeavesNothing(t *testing.T) {
	killEverywhere(t,
		func(w *world) {
			w.create(newTunnel())
			w.create(newRecord())
			w.settle()
		},
		func(w *world) { w.delete(newTunnel(), newRecord()) },
		(*world).requireNothing)
}

func TestADeletionDuringACreationThatIsCutAnywhereLeavesNothing(t *testing.T) {
	killEverywhere(t,
		func(*world) {},
		func(w *world) {
			w.create(newTunnel())
			w.create(newRecord())
		},
		func(w *world) {
			w.delete(newTunnel(), newRecord())
			w.settle()
			w.requireNothing()
		})
}

func TestADeletionRightAfterACutCreationLeavesNothing(t *testing.T) {
	for cut := range 40 {
		killed := false
		synctest.Test(t, func(t *testing.T) {
			w := newTimelessWorld(t)
			w.start(&life{cut: cut, after: true})
			w.create(newTunnel())
			w.create(newRecord())
			killed = w.runUntilKilled()
			w.delete(newTunnel(), newRecord())
			w.restart()
			w.later(time.Minute)
			w.settle()
			w.requireNothing()
		})
		if !killed {
			return
		}
	}
	t.Fatal("the creation has more effects than were tried")
}

func TestARotationThatIsCutAnywhereHappensOnce(t *testing.T) {
	var old []byte
	killEverywhere(t,
		func(w *world) {
			w.create(newTunnel())
			w.create(newRecord())
			w.settle()
			old = w.sim.Tunnels(account)[0].Secret
			w.sim.ResetCalls()
		},
		func(w *world) {
			w.later(time.Hour)
			askForRotation(w, 30*time.Minute)
		},
		func(w *world) {
			w.requireServing()
			require.NotEqual(w.t, old, w.sim.Tunnels(account)[0].Secret)
			require.Equal(w.t, 1, carried(w, "tunnel.patch"), "rotations")
			require.NotZero(w.t, carried(w, "connections.delete"))
			require.NotNil(w.t, see(w, newTunnel()).Status.AtProvider.LastRotationTime)
		})
}

// askForRotation asks for one, so long after the real now.
func askForRotation(w *world, in time.Duration) {
	at := metav1.NewTime(time.Now().Add(in).Truncate(time.Second))
	change(w, newTunnel(), func(o *v1alpha1.Tunnel) { o.Spec.ForProvider.RotateSecretAt = &at })
}

// carried counts calls that Cloudflare carried out.
func carried(w *world, op string) int {
	n := 0
	for _, c := range w.sim.Calls() {
		if c.Op == op && c.Carried {
			n++
		}
	}
	return n
}

func TestACreationWhoseAnswerIsLostMakesOne(t *testing.T) {
	for _, fault := range []cloudflaretest.Fault{
		cloudflaretest.Refuse, cloudflaretest.ServerError, cloudflaretest.ServerErrorAfter,
		cloudflaretest.DropAnswer, cloudflaretest.Truncate, cloudflaretest.NotSuccess,
	} {
		t.Run(string(fault), func(t *testing.T) {
			w := newWorld(t)
			w.sim.FailNext("tunnel.create", fault, 1)
			w.sim.FailNext("record.create", fault, 1)
			w.sim.FailNext("record.batch", fault, 1)
			w.create(newTunnel())
			w.create(newRecord())
			w.settle()
			w.requireServing()
		})
	}
}

func TestEverythingConvergesWhileTheAPIMisbehaves(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t)
			w.sim.SetFaults(cloudflaretest.Faults{DropAnswer: 0.1, ServerError: 0.05, Truncate: 0.05, Refuse: 0.05}, seed)
			w.create(newTunnel())
			w.create(newRecord())
			for range 5 {
				w.rounds(4)
				w.restart()
			}
			w.later(time.Minute)
			w.delete(newTunnel(), newRecord())
			for range 10 {
				w.rounds(4)
				w.restart()
			}
			w.sim.SetFaults(cloudflaretest.Faults{}, 0)
			w.later(time.Minute)
			w.settle()
			w.requireNothing()
		})
	}
}
