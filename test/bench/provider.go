package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"aphex.io/platform/test/controlplane"
)

// What the provider is to reach.
const (
	mostCallsToMake    = 2.2
	mostCallsToObserve = 0.02
	mostOfBound        = 1.1
	mostProviderMemory = 128 << 20
)

const (
	// budget is how many calls in budgetWindow the provider allows itself by default, budgetBatch how many record changes
	// one call may hold.
	budget       = 1000
	budgetWindow = 5 * time.Minute
	budgetBatch  = 200
	// sampled is how many objects the baseline reads: each takes a call, however many there are.
	sampled = 100
)

var cloudflareKinds = map[string]schema.GroupVersionResource{
	"Tunnel":    {Group: "cloudflare.aphex.io", Version: "v1alpha1", Resource: "tunnels"},
	"DNSRecord": {Group: "cloudflare.aphex.io", Version: "v1alpha1", Resource: "dnsrecords"},
}

// benchProvider measures how the provider spends Cloudflare's budget: while it makes as many tunnels and records as an
// account may have, and while it looks at them all once. Beside it are the calls of a design that reads each object by
// itself, made in the same run against the same simulator.
func benchProvider(ctx context.Context, o options) (err error) {
	plane, err := controlplane.Start(ctx, controlplane.Options{Root: o.root, Log: o.log, RealBudget: true, Without: controlplane.Neighbours()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	access := plane.RESTConfig()
	access.QPS, access.Burst = -1, 0
	client, err := dynamic.NewForConfig(access)
	if err != nil {
		return err
	}
	l := &live{ControlPlane: plane, o: o, client: client}
	if err := l.Restart(ctx, controlplane.Provider, providerDefaults...); err != nil {
		return err
	}
	if err := l.ConnectCloudflare(ctx); err != nil {
		return err
	}

	made, err := l.makeObjects(ctx)
	if err != nil {
		return err
	}
	observed, err := l.observeObjects(ctx)
	if err != nil {
		return err
	}
	alone, err := l.observeAlone(ctx)
	if err != nil {
		return err
	}

	n := float64(o.objects)
	t := &table{header: line{"", "provider", "each by itself", "target", ""}}
	t.group(fmt.Sprintf("%d tunnels and %d records are made", o.objects, o.objects))
	// A provider that reads each object by itself makes two calls that create, and reads what came of each.
	t.add("calls for a tunnel and its record", number(made.calls/n), number(2+2*alone), most(mostCallsToMake), met(made.calls/n <= mostCallsToMake))
	least := o.objects + (o.objects+budgetBatch-1)/budgetBatch
	if bound := time.Duration((least-1)/budget) * budgetWindow; bound > 0 {
		t.add("time until all are ready", duration(made.took), "", fmt.Sprintf("≤ %.1f × %s, which the budget takes", mostOfBound, duration(bound)),
			met(made.took.Seconds() <= mostOfBound*bound.Seconds()))
	} else {
		t.add("time until all are ready", duration(made.took), "", "", "")
	}
	t.group("all are looked at once, after a restart")
	t.add("calls for each object", number(observed.calls/(2*n)), number(alone), most(mostCallsToObserve), met(observed.calls/(2*n) <= mostCallsToObserve))
	t.add("budget that a round takes", percent(observed.calls/budget), percent(2*n*alone/budget), "", "")
	t.add("reconciles per second", number(observed.reconciles/observed.took.Seconds()), "", "", "")
	t.add("provider's memory", mebibytes(observed.memory), "", "≤ "+mebibytes(mostProviderMemory), met(observed.memory <= mostProviderMemory))
	fmt.Printf("\nProvider: %d tunnels and as many records, against the simulator with Cloudflare's budget of %d calls in %s.\n\n",
		o.objects, 1200, budgetWindow)
	return t.print(os.Stdout)
}

// providerDefaults undo what makes the control plane's provider quicker than one in a cluster.
var providerDefaults = []string{"--poll-interval=15m", "--poll-jitter=90s", "--min-poll-interval=1m", "--list-freshness=1m"}

// spent is what something took.
type spent struct {
	took              time.Duration
	calls, reconciles float64
	memory            float64
}

// makeObjects creates all objects, and returns once each is ready.
func (l *live) makeObjects(ctx context.Context) (spent, error) {
	if err := l.Apply(ctx, `{apiVersion: v1, kind: Namespace, metadata: {name: bench}}`); err != nil {
		return spent{}, err
	}
	began := time.Now()
	all, sending := errgroup.WithContext(ctx)
	all.SetLimit(hands)
	for i := range l.o.objects {
		all.Go(func() error {
			name := fmt.Sprintf("bench-%04d", i)
			return errors.Join(
				l.createObject(sending, "Tunnel", name, map[string]any{
					"forProvider": map[string]any{"name": name}, "writeConnectionSecretToRef": map[string]any{"name": name},
				}),
				l.createObject(sending, "DNSRecord", name, map[string]any{"forProvider": map[string]any{
					"name": name + "." + controlplane.CloudflareZoneName, "tunnelRef": map[string]any{"name": name},
				}}),
			)
		})
	}
	if err := all.Wait(); err != nil {
		return spent{}, err
	}
	l.o.log("created %d tunnels and records after %s", l.o.objects, duration(time.Since(began)))
	return l.spend(ctx, began, func(ctx context.Context) (bool, error) {
		for kind := range cloudflareKinds {
			list, err := l.client.Resource(cloudflareKinds[kind]).Namespace(claimNamespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, err
			}
			for i := range list.Items {
				if !isTrue(&list.Items[i], "Ready") {
					return false, nil
				}
			}
		}
		return true, nil
	})
}

func (l *live) createObject(ctx context.Context, kind, name string, spec map[string]any) error {
	_, err := l.client.Resource(cloudflareKinds[kind]).Namespace(claimNamespace).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cloudflare.aphex.io/v1alpha1",
		"kind":       kind,
		"metadata":   map[string]any{"namespace": claimNamespace, "name": name},
		"spec":       spec,
	}}, metav1.CreateOptions{})
	return err
}

// observeObjects restarts the provider, which then looks at every object, and returns once it has.
func (l *live) observeObjects(ctx context.Context) (spent, error) {
	if err := l.Cloudflare().ForgetCalls(ctx); err != nil {
		return spent{}, err
	}
	began := time.Now()
	if err := l.Restart(ctx, controlplane.Provider, providerDefaults...); err != nil {
		return spent{}, err
	}
	return l.spend(ctx, began, func(ctx context.Context) (bool, error) {
		for _, kind := range []string{"tunnel", "dnsrecord"} {
			done, err := l.reconciles(ctx, `controller="managed/`+kind+`.cloudflare.aphex.io"`)
			if err != nil || done < float64(l.o.objects) {
				return false, err
			}
		}
		return true, nil
	})
}

// reconciles are how many went well since the provider was started.
func (l *live) reconciles(ctx context.Context, labels ...string) (float64, error) {
	m, err := l.metrics(ctx, controlplane.Provider)
	if err != nil {
		return 0, err
	}
	return m.sum("controller_runtime_reconcile_total", append(labels, `result="requeue_after"`)...), nil
}

// spend waits until something is done, and says what was spent on it.
func (l *live) spend(ctx context.Context, began time.Time, done func(context.Context) (bool, error)) (spent, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*budgetWindow)
	defer cancel()
	for {
		ok, err := done(ctx)
		if err != nil {
			return spent{}, err
		}
		if ok {
			break
		}
		if err := sleep(ctx, time.Second); err != nil {
			return spent{}, err
		}
	}
	out := spent{took: time.Since(began)}
	calls, err := l.Cloudflare().Calls(ctx)
	if err != nil {
		return spent{}, err
	}
	for _, n := range calls {
		out.calls += float64(n)
	}
	if out.reconciles, err = l.reconciles(ctx); err != nil {
		return spent{}, err
	}
	out.memory, err = resident(ctx, l.PID(controlplane.Provider))
	l.o.log("%d calls: %v", int(out.calls), calls)
	return out, err
}

// observeAlone reads some objects the way a provider does that reads each by itself, and returns the calls for one.
func (l *live) observeAlone(ctx context.Context) (perObject float64, err error) {
	const token = "bench-reads-each-object-by-itself-0000000"
	if err := l.Cloudflare().SetToken(ctx, token, controlplane.CloudflarePermissions()...); err != nil {
		return 0, err
	}
	if err := l.Cloudflare().ForgetCalls(ctx); err != nil {
		return 0, err
	}
	tunnels, err := l.Cloudflare().Tunnels(ctx, controlplane.CloudflareAccount)
	if err != nil {
		return 0, err
	}
	records, err := l.Cloudflare().Records(ctx, controlplane.CloudflareZone)
	if err != nil {
		return 0, err
	}
	var paths []string
	for i := range min(sampled/2, len(tunnels), len(records)) {
		paths = append(paths,
			"/accounts/"+controlplane.CloudflareAccount+"/cfd_tunnel/"+tunnels[i].ID,
			"/zones/"+controlplane.CloudflareZone+"/dns_records/"+records[i].ID)
	}
	for _, path := range paths {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.Cloudflare().URL()+path, nil)
		if err != nil {
			return 0, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return 0, err
		}
		if response.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("GET %s: %s", path, response.Status)
		}
	}
	calls, err := l.Cloudflare().Calls(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, n := range calls {
		total += n
	}
	return float64(total) / float64(len(paths)), nil
}

func most(n float64) string { return fmt.Sprintf("≤ %g", n) }

func percent(share float64) string { return number(100*share) + " %" }
