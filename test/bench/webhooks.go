package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"aphex.io/platform/test/controlplane"
	"aphex.io/platform/test/github"
)

const (
	hooksOrganization = "hooks"
	hooksListener     = "listener-" + hooksOrganization
	hooksInterceptors = "tekton-triggers-interceptors"
	// deliveryLabel traces a run back to its delivery.
	deliveryLabel = "platform.aphex/delivery"
	// deliveryRate is how many deliveries a second the listener is to bear.
	deliveryRate = 50
	// growthRate and growthDeliveries are for the comparison of listeners with few and with many bindings. Little enough
	// that each answers as quickly as it can.
	growthRate       = 5
	growthDeliveries = 150
	// stall is for how long nothing may happen before the rest counts as lost.
	stall = 30 * time.Second
	// settle is for how long a second run may follow the last first one.
	settle = 3 * time.Second
)

// bindingsGrow is how many bindings the listener has while the cost of a delivery is measured.
var bindingsGrow = []int{10, 100, 500}

var (
	pipelineRuns = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}
	// tenantKinds are what a delivery needs of a binding. The rest of what a RepoBinding composes costs the listener nothing.
	tenantKinds = map[string]schema.GroupVersionResource{
		"namespace":             {Version: "v1", Resource: "namespaces"},
		"listener-role":         {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
		"listener-role-binding": {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
		"trigger-template":      {Group: "triggers.tekton.dev", Version: "v1beta1", Resource: "triggertemplates"},
		"trigger":               {Group: "triggers.tekton.dev", Version: "v1beta1", Resource: "triggers"},
	}
)

// hooks is an organization's listener and its bindings.
type hooks struct {
	*live

	url, secret string
	bindings    int
}

// benchWebhooks measures the way from a signed delivery to a PipelineRun through Tekton's own sink and interceptors. The
// floor is a client that creates the same runs by itself, at the same rate.
func benchWebhooks(ctx context.Context, o options) (err error) {
	plane, err := controlplane.Start(ctx, controlplane.Options{Root: o.root, Log: o.log, Functions: controlplane.AphexFunctions()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	access := plane.RESTConfig()
	access.QPS = -1
	client, err := dynamic.NewForConfig(access)
	if err != nil {
		return err
	}
	h := &hooks{live: &live{ControlPlane: plane, o: o, client: client}}
	if err := h.listen(ctx); err != nil {
		return err
	}

	levels := slices.Sorted(slices.Values(append([]int{o.bindings}, bindingsGrow...)))
	costs := map[int]burst{}
	var full, floor burst
	for _, n := range slices.Compact(levels) {
		if err := h.bind(ctx, n); err != nil {
			return err
		}
		if n == o.bindings {
			if floor, err = h.send(ctx, o.deliveries, deliveryRate, h.createRun, "kube-apiserver", "etcd"); err != nil {
				return err
			}
			if full, err = h.send(ctx, o.deliveries, deliveryRate, h.deliver, hooksListener, hooksInterceptors); err != nil {
				return err
			}
		}
		if slices.Contains(bindingsGrow, n) {
			if costs[n], err = h.send(ctx, growthDeliveries, growthRate, h.deliver, hooksListener, hooksInterceptors); err != nil {
				return err
			}
		}
	}

	t := &table{header: line{"", "listener", "floor", "ratio", "target", ""}}
	t.group(fmt.Sprintf("%s signed deliveries, %d a second, %d bindings", number(float64(o.deliveries)), deliveryRate, o.bindings))
	t.add("deliveries that started no run", number(float64(full.lost)), number(float64(floor.lost)), "", "none", met(full.lost == 0))
	t.add("deliveries that started more than one", number(float64(full.doubled)), number(float64(floor.doubled)), "", "none", met(full.doubled == 0))
	for _, q := range []float64{0.5, 0.99, 1} {
		a, b := full.took.quantile(q), floor.took.quantile(q)
		t.add(fmt.Sprintf("sent to run exists, p%g", 100*q), duration(a), duration(b), ratio(float64(a), float64(b)))
	}
	t.add("listener's memory", mebibytes(full.listener), "", "", "< "+mebibytes(mostListenerMemory), met(full.listener < mostListenerMemory))
	t.add("interceptors' memory", mebibytes(full.interceptors))
	t.add("processor time per delivery", duration(full.processor), duration(floor.processor), ratio(float64(full.processor), float64(floor.processor)))
	t.group(fmt.Sprintf("%d deliveries, %d a second, as the number of bindings grows", growthDeliveries, growthRate))
	for _, n := range bindingsGrow {
		c := costs[n]
		t.add(fmt.Sprintf("%d bindings: sent to run exists, p50", n), duration(c.took.quantile(0.5)))
		t.add(fmt.Sprintf("%d bindings: sent to run exists, p99", n), duration(c.took.quantile(0.99)))
		t.add(fmt.Sprintf("%d bindings: processor time per delivery", n), duration(c.processor))
		if c.lost+c.doubled > 0 {
			t.add(fmt.Sprintf("%d bindings: lost or doubled", n), number(float64(c.lost+c.doubled)))
		}
	}
	fmt.Printf("\nWebhooks: from a signed delivery to the PipelineRun. The floor creates the same runs itself. Processor time is that of\nlistener and interceptors; for the floor, that of the API server and etcd.\n\n")
	return t.print(os.Stdout)
}

// mostListenerMemory is the limit of its container.
const mostListenerMemory = 512 << 20

// listen makes the organization, with all it needs, and runs its listener.
func (h *hooks) listen(ctx context.Context) error {
	if err := h.Apply(ctx, `{apiVersion: v1, kind: Namespace, metadata: {name: `+claimNamespace+`}}`); err != nil {
		return err
	}
	if err := h.ConnectCloudflare(ctx); err != nil {
		return err
	}
	if _, err := h.create(ctx, organizations, []string{hooksOrganization}); err != nil {
		return err
	}
	secret, err := h.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).
		Namespace("org-"+hooksOrganization).Get(ctx, "github-webhook-secret", metav1.GetOptions{})
	if err != nil {
		return err
	}
	encoded, _, _ := unstructured.NestedString(secret.Object, "data", "secret")
	value, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	h.secret = string(value)
	h.url, err = h.Listen(ctx, hooksOrganization)
	return err
}

// bind adds bindings until there are n. What each is made of comes from function-repobinding itself; it is applied
// directly, since here only the listener is measured.
func (h *hooks) bind(ctx context.Context, n int) error {
	fn, err := start(ctx, filepath.Join(h.o.root, ".cache", "bin", "function-repobinding"), 1)
	if err != nil {
		return err
	}
	defer fn.stop()
	h.o.log("making %d bindings", n-h.bindings)
	all, applying := errgroup.WithContext(ctx)
	all.SetLimit(hands)
	for ; h.bindings < n; h.bindings++ {
		s := &situation{root: h.o.root, xr: bindingXR(h.bindings)}
		_, rsp, err := s.settle(ctx, fn.client(0))
		if err != nil {
			return err
		}
		objects := map[string]*unstructured.Unstructured{}
		for key := range tenantKinds {
			r := rsp.GetDesired().GetResources()[key]
			if r == nil {
				return fmt.Errorf("function-repobinding composes no %s", key)
			}
			objects[key] = &unstructured.Unstructured{Object: r.GetResource().AsMap()}
		}
		all.Go(func() error {
			for _, key := range []string{"namespace", "listener-role", "listener-role-binding", "trigger-template", "trigger"} {
				o := objects[key]
				if _, err := h.client.Resource(tenantKinds[key]).Namespace(o.GetNamespace()).
					Apply(applying, o.GetName(), o, metav1.ApplyOptions{FieldManager: "bench"}); err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
			}
			return nil
		})
	}
	return all.Wait()
}

func bindingName(i int) string { return fmt.Sprintf("hooks-%04d", i) }

func bindingXR(i int) *unstructured.Unstructured {
	name := bindingName(i)
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "aphex.io/v1alpha1", "kind": "XRepoBinding",
		"metadata": map[string]any{"name": name, "uid": "00000000-0000-0000-0000-" + fmt.Sprintf("%012d", i)},
		"spec": map[string]any{
			"claimRef":     map[string]any{"apiVersion": "aphex.io/v1alpha1", "kind": "RepoBinding", "namespace": claimNamespace, "name": name},
			"aphexOrg":     hooksOrganization,
			"repoOrg":      "example",
			"repoName":     name,
			"pipelineName": name,
			"templateRef":  "run-pipeline-v1",
			"pipelineSpec": "{apiVersion: tekton.dev/v1, kind: Pipeline, metadata: {name: any}, " +
				"spec: {params: [{name: git-revision}], tasks: [{name: build, taskRef: {name: build}}]}}",
		},
	}}
}

// burst is what was seen of many deliveries.
type burst struct {
	took                   samples
	lost, doubled          int
	listener, interceptors float64
	// processor is what each delivery took.
	processor time.Duration
}

// send sends deliveries at a rate, and returns once each has started a run or nothing happens any more. The processes are
// those whose processor time counts.
func (h *hooks) send(ctx context.Context, n int, rate float64, send sender, processes ...string) (burst, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen, err := h.watchRuns(ctx)
	if err != nil {
		return burst{}, err
	}
	before, err := h.used(ctx, processes)
	if err != nil {
		return burst{}, err
	}
	sent := make([]time.Time, n)
	ids := make([]string, n)
	all, sending := errgroup.WithContext(ctx)
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for i := range n {
		select {
		case <-sending.Done():
			return burst{}, all.Wait()
		case <-tick.C:
		}
		all.Go(func() (err error) {
			sent[i] = time.Now()
			ids[i], err = send(sending, i)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return burst{}, err
	}
	runs, err := seen.await(ctx, n)
	if err != nil {
		return burst{}, err
	}
	var out burst
	for i, id := range ids {
		switch at := runs[id]; len(at) {
		case 0:
			out.lost++
		case 1:
			out.took = append(out.took, at[0].Sub(sent[i]))
		default:
			out.doubled++
		}
	}
	after, err := h.used(ctx, processes)
	if err != nil {
		return burst{}, err
	}
	out.processor = (after - before) / time.Duration(n)
	if out.listener, err = resident(ctx, h.PID(hooksListener)); err != nil {
		return burst{}, err
	}
	out.interceptors, err = resident(ctx, h.PID(hooksInterceptors))
	h.o.log("%d bindings, %d deliveries: %d lost, p50 %s, p99 %s", h.bindings, n, out.lost,
		duration(out.took.quantile(0.5)), duration(out.took.quantile(0.99)))
	return out, err
}

// sender sends one delivery and returns its id.
type sender func(ctx context.Context, i int) (id string, err error)

// deliver sends a push to one repository after the other.
func (h *hooks) deliver(ctx context.Context, i int) (string, error) {
	d := github.Signed(h.secret, "push", github.Push("example/"+bindingName(i%h.bindings), "main").Bytes())
	answer, err := d.Send(ctx, http.DefaultClient, h.url)
	if err == nil && answer.Status != http.StatusAccepted {
		err = fmt.Errorf("the listener answered %d", answer.Status)
	}
	return d.ID, err
}

// createRun creates what a delivery would have started.
func (h *hooks) createRun(ctx context.Context, i int) (string, error) {
	name, id := bindingName(i%h.bindings), string(uuid.NewUUID())
	_, err := h.client.Resource(pipelineRuns).Namespace(name).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
		"metadata": map[string]any{"generateName": name + "-", "labels": map[string]any{deliveryLabel: id}},
		"spec": map[string]any{
			"pipelineRef":     map[string]any{"name": name},
			"params":          []any{map[string]any{"name": "git-revision", "value": id}},
			"taskRunTemplate": map[string]any{"serviceAccountName": "pipeline-runner"},
		},
	}}, metav1.CreateOptions{})
	return id, err
}

// used is the processor time of some processes.
func (h *hooks) used(ctx context.Context, processes []string) (total time.Duration, err error) {
	for _, name := range processes {
		used, err := processorTime(ctx, h.PID(name))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		total += used
	}
	return total, nil
}

// arrivals are the runs that were seen, and when.
type arrivals struct {
	mu   sync.Mutex
	runs map[string][]time.Time
	// changed is told of each.
	changed chan struct{}
}

// watchRuns sees all runs that are created from now on until the context ends.
func (h *hooks) watchRuns(ctx context.Context) (*arrivals, error) {
	runs := h.client.Resource(pipelineRuns)
	list, err := runs.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	events, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), &cache.ListWatch{WatchFuncWithContext: runs.Watch})
	if err != nil {
		return nil, err
	}
	a := &arrivals{runs: map[string][]time.Time{}, changed: make(chan struct{}, 1)}
	go func() {
		for e := range events.ResultChan() {
			run, ok := e.Object.(*unstructured.Unstructured)
			if !ok || e.Type != watch.Added {
				continue
			}
			id := run.GetLabels()[deliveryLabel]
			a.mu.Lock()
			a.runs[id] = append(a.runs[id], time.Now())
			a.mu.Unlock()
			select {
			case a.changed <- struct{}{}:
			default:
			}
		}
	}()
	return a, nil
}

// await returns what was seen, once nothing more is to be expected: n deliveries have a run, and then for a while there was
// no second one, or nothing happened for long.
func (a *arrivals) await(ctx context.Context, n int) (map[string][]time.Time, error) {
	for {
		a.mu.Lock()
		wait := stall
		if len(a.runs) >= n {
			wait = settle
		}
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-a.changed:
		case <-time.After(wait):
			a.mu.Lock()
			defer a.mu.Unlock()
			return maps.Clone(a.runs), nil
		}
	}
}
