package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/yaml"

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
	// hookShards are the organization's shards. A webhook URL without a path reaches its listener that has all Triggers.
	hookShards = 32
	// stall is for how long nothing may happen, and longest how long it may take in all, before the rest counts as lost.
	stall   = 30 * time.Second
	longest = 2 * time.Minute
	// settle is for how long a second run may follow the last first one.
	settle = 3 * time.Second
)

// bindingsGrow is how many bindings the listener has while the cost of a delivery is measured.
var bindingsGrow = []int{10, 100, 500}

var (
	pipelineRuns = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "pipelineruns"}
	triggers     = schema.GroupVersionResource{Group: "triggers.tekton.dev", Version: "v1beta1", Resource: "triggers"}
)

// deliveryNeeds are the objects that a delivery needs of a binding, by their keys in its composition and in the order in
// which they can be made. The rest of what a RepoBinding composes costs the listener nothing.
var deliveryNeeds = []struct {
	key      string
	resource schema.GroupVersionResource
}{
	{"namespace", schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}},
	{"listener-role", schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}},
	{"listener-role-binding", schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}},
	{"trigger-template", schema.GroupVersionResource{Group: "triggers.tekton.dev", Version: "v1beta1", Resource: "triggertemplates"}},
	{"trigger", triggers},
}

// hooks is an organization, its listeners and its bindings.
type hooks struct {
	*live

	secret string
	// settings is EnvironmentConfig aphex.
	settings *unstructured.Unstructured
	// urls are where listeners are reached on this machine, by their path in the webhook URL.
	urls map[string]string
	// paths are the paths of the bindings' webhook URLs.
	paths []string
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
	h := &hooks{live: &live{ControlPlane: plane, o: o, client: client}, urls: map[string]string{}}
	if err := h.listen(ctx); err != nil {
		return err
	}

	if err := h.bind(ctx, o.bindings); err != nil {
		return err
	}
	floor, err := h.send(ctx, o.deliveries, deliveryRate, h.createRun, "kube-apiserver", "etcd")
	if err != nil {
		return err
	}
	sharded, err := h.send(ctx, o.deliveries, deliveryRate, h.toShard, h.listeners()...)
	if err != nil {
		return err
	}
	costs := map[int]burst{}
	for _, n := range bindingsGrow {
		if err := h.bind(ctx, n); err != nil {
			return err
		}
		if costs[n], err = h.send(ctx, growthDeliveries, growthRate, h.toWhole, h.listeners()...); err != nil {
			return err
		}
	}
	// The last, since a listener that is overloaded goes on for minutes with what is given up already.
	if err := h.bind(ctx, o.bindings); err != nil {
		return err
	}
	whole, err := h.send(ctx, o.deliveries, deliveryRate, h.toWhole, h.listeners()...)
	if err != nil {
		return err
	}

	t := &table{header: line{"", "floor", "one listener", "ratio", fmt.Sprintf("%d shards", hookShards), "ratio", "target", ""}}
	t.group(fmt.Sprintf("%s signed deliveries, %d a second, %d bindings", number(float64(o.deliveries)), deliveryRate, o.bindings))
	count := func(what string, of func(burst) int) {
		t.add(what, number(float64(of(floor))), number(float64(of(whole))), "", number(float64(of(sharded))), "", "none", met(of(sharded) == 0))
	}
	count("deliveries that were refused", func(b burst) int { return b.refused })
	count("deliveries that started no run", func(b burst) int { return b.lost })
	count("deliveries that started more than one", func(b burst) int { return b.doubled })
	for _, q := range []float64{0.5, 0.99, 1} {
		f, a, b := floor.took.quantile(q), whole.took.quantile(q), sharded.took.quantile(q)
		t.add(fmt.Sprintf("sent to run exists, p%g", 100*q), duration(f), duration(a), ratio(float64(a), float64(f)), duration(b), ratio(float64(b), float64(f)))
	}
	t.add("processor time per delivery", duration(floor.processor), duration(whole.processor), ratio(float64(whole.processor), float64(floor.processor)),
		duration(sharded.processor), ratio(float64(sharded.processor), float64(floor.processor)))
	t.add("memory of the largest listener", "", mebibytes(whole.listener), "", mebibytes(sharded.listener), "",
		"< "+mebibytes(mostListenerMemory), met(sharded.listener < mostListenerMemory))
	t.add("memory of the interceptors", "", mebibytes(whole.interceptors), "", mebibytes(sharded.interceptors))
	t.group(fmt.Sprintf("%d deliveries, %d a second, as the number of bindings of one listener grows", growthDeliveries, growthRate))
	for _, n := range bindingsGrow {
		c := costs[n]
		t.add(fmt.Sprintf("%d bindings: sent to run exists, p50", n), "", duration(c.took.quantile(0.5)))
		t.add(fmt.Sprintf("%d bindings: sent to run exists, p99", n), "", duration(c.took.quantile(0.99)))
		t.add(fmt.Sprintf("%d bindings: processor time per delivery", n), "", duration(c.processor))
		t.add(fmt.Sprintf("%d bindings: deliveries refused, lost or doubled", n), "", number(float64(c.refused+c.lost+c.doubled)))
	}
	fmt.Printf("\nWebhooks: from a signed delivery to the PipelineRun. The floor creates the same runs itself. Processor time is that of\n")
	fmt.Printf("listeners and interceptors; for the floor, that of the API server and etcd. All share this machine's cores.\n\n")
	return t.print(os.Stdout)
}

// mostListenerMemory is the limit of its container.
const mostListenerMemory = 512 << 20

// listen makes the organization, with all it needs, and runs its listener and its shards.
func (h *hooks) listen(ctx context.Context) error {
	if err := h.Apply(ctx, `{apiVersion: v1, kind: Namespace, metadata: {name: `+claimNamespace+`}}`); err != nil {
		return err
	}
	settings := fmt.Sprintf(`{apiVersion: apiextensions.crossplane.io/v1beta1, kind: EnvironmentConfig, metadata: {name: aphex}, data: {listener: {shards: %d}}}`, hookShards)
	if err := h.Apply(ctx, settings); err != nil {
		return err
	}
	h.settings = &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(settings), &h.settings.Object); err != nil {
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
	if h.urls[""], err = h.Listen(ctx, hooksOrganization); err != nil {
		return err
	}
	for shard := 1; shard <= hookShards; shard++ {
		url, err := h.ListenShard(ctx, hooksOrganization, shard)
		if err != nil {
			return err
		}
		h.urls["/"+strconv.Itoa(shard)] = url
	}
	return nil
}

// listeners are the processes that a delivery passes.
func (h *hooks) listeners() []string {
	return slices.DeleteFunc(h.Processes(), func(name string) bool {
		return name != hooksInterceptors && !strings.HasPrefix(name, hooksListener)
	})
}

// bind makes there be n bindings. What each is made of comes from function-repobinding itself; it is applied
// directly, since here only the listener is measured.
func (h *hooks) bind(ctx context.Context, n int) error {
	fn, err := start(ctx, filepath.Join(h.o.root, ".cache", "bin", "function-repobinding"), 1)
	if err != nil {
		return err
	}
	defer fn.stop()
	h.o.log("%d bindings are to become %d", len(h.paths), n)
	all, applying := errgroup.WithContext(ctx)
	all.SetLimit(hands)
	for i := n; i < len(h.paths); i++ {
		all.Go(func() error {
			return h.client.Resource(triggers).Namespace("org-"+hooksOrganization).
				Delete(applying, bindingName(i)+"-trigger", metav1.DeleteOptions{})
		})
	}
	h.paths = h.paths[:min(n, len(h.paths))]
	for i := len(h.paths); i < n; i++ {
		s := &situation{root: h.o.root, xr: bindingXR(i), cluster: []*unstructured.Unstructured{h.settings}}
		_, rsp, err := s.settle(ctx, fn.client(0))
		if err != nil {
			return errors.Join(err, all.Wait())
		}
		path, err := webhookPath(rsp)
		if err != nil {
			return errors.Join(err, all.Wait())
		}
		h.paths = append(h.paths, path)
		all.Go(func() error { return h.apply(applying, rsp) })
	}
	return all.Wait()
}

// webhookPath is what the webhook URL of a binding has after the host.
func webhookPath(rsp *fnv1.RunFunctionResponse) (string, error) {
	xr := rsp.GetDesired().GetComposite().GetResource().AsMap()
	text, _, _ := unstructured.NestedString(xr, "status", "webhookConfiguration", "url")
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("function-repobinding tells the webhook URL %q: %w", text, err)
	}
	return u.Path, nil
}

// apply makes what a delivery needs of a binding.
func (h *hooks) apply(ctx context.Context, rsp *fnv1.RunFunctionResponse) error {
	for _, need := range deliveryNeeds {
		r := rsp.GetDesired().GetResources()[need.key]
		if r == nil {
			return fmt.Errorf("function-repobinding composes no %s", need.key)
		}
		o := &unstructured.Unstructured{Object: r.GetResource().AsMap()}
		if _, err := h.client.Resource(need.resource).Namespace(o.GetNamespace()).
			Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "bench"}); err != nil {
			return fmt.Errorf("%s: %w", need.key, err)
		}
	}
	return nil
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
	took samples
	// refused are those that GitHub would show as failed; lost are those that the listener took, and that came to nothing.
	refused, lost, doubled int
	// listener and interceptors are what the largest process held at the end, in bytes.
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
	runs, err := seen.await(ctx, len(slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })))
	if err != nil {
		return burst{}, err
	}
	var out burst
	for i, id := range ids {
		switch at := runs[id]; {
		case id == "":
			out.refused++
		case len(at) == 0:
			out.lost++
		case len(at) == 1:
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
	for _, name := range h.listeners() {
		held, err := resident(ctx, h.PID(name))
		if err != nil {
			return burst{}, err
		}
		if name == hooksInterceptors {
			out.interceptors = held
		} else {
			out.listener = max(out.listener, held)
		}
	}
	h.o.log("%d bindings, %d deliveries: %d refused, %d lost, p50 %s, p99 %s", len(h.paths), n, out.refused, out.lost,
		duration(out.took.quantile(0.5)), duration(out.took.quantile(0.99)))
	return out, nil
}

// sender sends one delivery and returns its id, empty if it was refused.
type sender func(ctx context.Context, i int) (id string, err error)

// toShard sends a push to one repository after the other, each where its webhook URL leads.
func (h *hooks) toShard(ctx context.Context, i int) (string, error) {
	i %= len(h.paths)
	return h.deliver(ctx, i, h.paths[i])
}

// toWhole sends them all to the listener that has all Triggers.
func (h *hooks) toWhole(ctx context.Context, i int) (string, error) {
	return h.deliver(ctx, i%len(h.paths), "")
}

// deliver sends a push to a repository.
func (h *hooks) deliver(ctx context.Context, binding int, path string) (string, error) {
	d := github.Signed(h.secret, "push", github.Push("example/"+bindingName(binding), "main").Bytes())
	answer, err := d.Send(ctx, http.DefaultClient, h.urls[path])
	// A listener that is too busy answers 503, or breaks the connection off. That counts as refused.
	if accepted := err == nil && answer.Status == http.StatusAccepted; !accepted {
		return "", ctx.Err()
	}
	return d.ID, nil
}

// createRun creates what a delivery would have started.
func (h *hooks) createRun(ctx context.Context, i int) (string, error) {
	name, id := bindingName(i%len(h.paths)), string(uuid.NewUUID())
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
// no second one, or nothing happened for long, or it took too long in all.
func (a *arrivals) await(ctx context.Context, n int) (map[string][]time.Time, error) {
	for deadline := time.Now().Add(longest); ; {
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
		case <-time.After(min(wait, time.Until(deadline))):
			a.mu.Lock()
			defer a.mu.Unlock()
			return maps.Clone(a.runs), nil
		}
	}
}
