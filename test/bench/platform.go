package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// mostForTeam is how long a new namespace of a team may wait for its binding.
	mostForTeam = 5 * time.Second
	// newTeams is how many more namespaces are made, one after the other, beside those that are there.
	newTeams = 20
)

// platforms are claims of which a cluster has one.
var platforms = api{
	function: "function-platform", claims: resource("platforms"), composites: resource("xplatforms"), kind: "Platform",
	spec: func(string) map[string]any {
		return map[string]any{
			"gitops": map[string]any{"repoURL": "https://github.com/bench/platform"},
			// Nobody has to be told whom to trust, so that nothing of login waits for a certificate.
			"certificates": map[string]any{"issuer": "acme", "acme": map[string]any{
				"email": "admin@example.org", "solvers": []any{map[string]any{"http01": map[string]any{"ingressClassName": "nginx"}}},
			}},
			"settings": map[string]any{"integrations": map[string]any{"configSync": false}},
		}
	},
	conditions: []string{"SettingsReady", "NamespaceReady", "SecretsReady", "LoginReady", "ArgoCDLoginReady", "TektonAccessReady", "GroupsReady"},
	namespaced: true,
	single:     true,
	neighbours: []neighbour{
		{schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}, nil, applied},
		{schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "clusterissuers"}, []string{"status"}, ready},
		{schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "certificates"}, []string{"status"}, ready},
	},
}

const (
	applied = `{"status":{"sync":{"status":"Synced"},"health":{"status":"Healthy"}}}`
	ready   = `{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`
)

// neighbour is software that is not installed and reports of objects of a kind that it works.
type neighbour struct {
	of          schema.GroupVersionResource
	subresource []string
	status      string
}

// play reports of all objects of which nothing is reported yet.
func (n neighbour) play(ctx context.Context, l *live) error {
	list, err := l.client.Resource(n.of).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, o := range list.Items {
		if o.Object["status"] != nil {
			continue
		}
		if _, err := l.client.Resource(n.of).Namespace(o.GetNamespace()).Patch(ctx, o.GetName(), types.MergePatchType, []byte(n.status),
			metav1.PatchOptions{FieldManager: "bench"}, n.subresource...); err != nil {
			return fmt.Errorf("%s %s: %w", n.of.Resource, o.GetName(), err)
		}
	}
	return nil
}

// benchTeams measures how soon the engineering group has its rights in a new namespace of a team, without others and beside
// many. There is no floor: nothing else of Crossplane's follows the namespaces of a cluster.
func (l *live) benchTeams(ctx context.Context) error {
	names := []string{"teams"}
	if _, err := l.create(ctx, platforms, names); err != nil {
		return err
	}
	t := &table{header: line{"", "median", "the last", "target", ""}}
	t.group("a namespace of a team: created to bound")
	if err := l.bindTeams(ctx, t, "without others", "first", newTeams); err != nil {
		return err
	}
	all, err := l.bindAtOnce(ctx, l.o.teams)
	if err != nil {
		return err
	}
	t.add(fmt.Sprintf("%d at once", l.o.teams), duration(all.quantile(0.5)), duration(all.quantile(1)))
	before, err := l.activity(ctx, platforms)
	if err != nil {
		return err
	}
	if err := l.bindTeams(ctx, t, fmt.Sprintf("beside %d", l.o.teams+newTeams), "later", newTeams); err != nil {
		return err
	}
	after, err := l.activity(ctx, platforms)
	if err != nil {
		return err
	}
	work := after.since(before, newTeams)
	t.group("each of these")
	t.add("function runs", number(work.runs))
	t.add("Crossplane's API writes", number(work.writes))
	t.add("processor seconds", number(work.processor))
	if _, err := l.remove(ctx, platforms, names); err != nil {
		return err
	}
	fmt.Printf("\nLive: a Platform follows the namespaces of teams.\n\n")
	return t.print(os.Stdout)
}

// bindTeams makes namespaces one after the other, each once the one before is bound.
func (l *live) bindTeams(ctx context.Context, t *table, what, name string, n int) error {
	var took samples
	for i := range n {
		one, err := l.bind(ctx, fmt.Sprintf("team-%s-%03d", name, i))
		if err != nil {
			return err
		}
		took = append(took, one)
	}
	last := took.quantile(1)
	t.add(what, duration(took.quantile(0.5)), duration(last), "< "+duration(mostForTeam), met(last < mostForTeam))
	return nil
}

func (l *live) bindAtOnce(ctx context.Context, n int) (samples, error) {
	type bound struct {
		after time.Duration
		err   error
	}
	results := make(chan bound)
	for i := range n {
		go func() {
			after, err := l.bind(ctx, fmt.Sprintf("team-many-%03d", i))
			results <- bound{after, err}
		}()
	}
	var took samples
	var errs []error
	for range n {
		b := <-results
		took, errs = append(took, b.after), append(errs, b.err)
	}
	return took, errors.Join(errs...)
}

// bind makes a namespace and waits for the engineering group's binding in it.
func (l *live) bind(ctx context.Context, namespace string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	namespaces := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	bindings := schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	began := time.Now()
	_, err := l.client.Resource(namespaces).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace},
	}}, metav1.CreateOptions{FieldManager: "bench"})
	if err != nil {
		return 0, err
	}
	events, err := l.client.Resource(bindings).Namespace(namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=platform-engineering"})
	if err != nil {
		return 0, err
	}
	defer events.Stop()
	select {
	case e := <-events.ResultChan():
		if e.Type != watch.Added {
			return 0, fmt.Errorf("the watch of bindings in %s ended: %v", namespace, e.Object)
		}
		return time.Since(began), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s has no binding: %w", namespace, ctx.Err())
	}
}
