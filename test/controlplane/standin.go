package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// standIn plays a controller that does not run here. It is a small controller
// itself: it watches objects, writes what the real one would, and holds only
// the rights that this takes.
type standIn struct {
	name      string
	log       func(format string, args ...any)
	typed     kubernetes.Interface
	dynamic   dynamic.Interface
	informers dynamicinformer.DynamicSharedInformerFactory
	plays     map[schema.GroupVersionResource]func(ctx context.Context, live *unstructured.Unstructured) error
	// gone is told of objects that are gone or going, if it is set.
	gone    func(ctx context.Context, object item) error
	queue   workqueue.TypedRateLimitingInterface[item]
	ctx     context.Context
	cancel  context.CancelFunc
	workers sync.WaitGroup
}

// item is an object to look at.
type item struct {
	resource        schema.GroupVersionResource
	namespace, name string
}

// errNotYet asks to be called again without anything being wrong.
var errNotYet = errors.New("not yet")

// newStandIn makes a stand-in that acts as the user of this name, with the rights
// of these rules, which are YAML, in all namespaces.
func (c *ControlPlane) newStandIn(ctx context.Context, name, rules string) (*standIn, error) {
	if err := c.Apply(ctx, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: %[1]s
rules:
%[2]s
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: %[1]s
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: %[1]s
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: %[1]s
`, name, rules)); err != nil {
		return nil, err
	}
	access, err := c.pki.user(c.admin.Host, name)
	if err != nil {
		return nil, err
	}
	access.WarningHandler = rest.NoWarnings{}
	typed, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, err
	}
	untyped, err := dynamic.NewForConfig(access)
	if err != nil {
		return nil, err
	}
	s := &standIn{
		name: name, log: c.log, typed: typed, dynamic: untyped,
		informers: dynamicinformer.NewDynamicSharedInformerFactory(untyped, 0),
		plays:     map[schema.GroupVersionResource]func(context.Context, *unstructured.Unstructured) error{},
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[item](20*time.Millisecond, 2*time.Second)),
	}
	// It lives until stop, not only as long as the call that starts it.
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// play sets what happens to each object of a kind, whenever that changes. What
// fails is tried again.
func (s *standIn) play(resource schema.GroupVersionResource, handle func(ctx context.Context, live *unstructured.Unstructured) error) error {
	s.plays[resource] = handle
	return s.watch(resource, func(obj *unstructured.Unstructured) {
		s.queue.Add(item{resource, obj.GetNamespace(), obj.GetName()})
	})
}

// watch tells changed about every change of a kind.
func (s *standIn) watch(resource schema.GroupVersionResource, changed func(obj *unstructured.Unstructured)) error {
	notify := func(obj any) {
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if u, ok := obj.(*unstructured.Unstructured); ok {
			changed(u)
		}
	}
	informer := s.informers.ForResource(resource).Informer()
	// A watch that breaks is set up again; an API server that is restarted is no
	// news to whoever restarts it.
	if err := informer.SetWatchErrorHandler(func(*cache.Reflector, error) {}); err != nil {
		return err
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: notify, UpdateFunc: func(_, obj any) { notify(obj) }, DeleteFunc: notify,
	})
	return err
}

// start returns once everything that is there has been seen.
func (s *standIn) start(ctx context.Context) error {
	s.informers.Start(s.ctx.Done())
	for resource, synced := range s.informers.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("list %s: %w", resource.Resource, context.Cause(ctx))
		}
	}
	for range 4 {
		s.workers.Go(s.work)
	}
	return nil
}

func (s *standIn) stop() {
	s.cancel()
	s.queue.ShutDown()
	s.workers.Wait()
	s.informers.Shutdown()
}

// get returns an object as last seen, nil if there is none.
func (s *standIn) get(resource schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	key := name
	if namespace != "" {
		key = namespace + "/" + name
	}
	obj, ok, err := s.informers.ForResource(resource).Informer().GetStore().GetByKey(key)
	if err != nil || !ok {
		return nil
	}
	return obj.(*unstructured.Unstructured)
}

func (s *standIn) work() {
	for {
		next, shutdown := s.queue.Get()
		if shutdown {
			return
		}
		err := s.handle(next)
		switch {
		case err == nil || s.ctx.Err() != nil:
			s.queue.Forget(next)
		case errors.Is(err, errNotYet):
			s.queue.AddRateLimited(next)
		default:
			s.log("%s: %s %s/%s: %v", s.name, next.resource.Resource, next.namespace, next.name, err)
			s.queue.AddRateLimited(next)
		}
		s.queue.Done(next)
	}
}

// handle plays for one object.
func (s *standIn) handle(next item) error {
	obj := s.get(next.resource, next.namespace, next.name)
	if obj == nil || obj.GetDeletionTimestamp() != nil {
		if s.gone == nil {
			return nil
		}
		return s.gone(s.ctx, next)
	}
	err := s.plays[next.resource](s.ctx, obj.DeepCopy())
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// writeStatus stores a status, unless it is there already.
func (s *standIn) writeStatus(ctx context.Context, resource schema.GroupVersionResource, live *unstructured.Unstructured, status map[string]any) error {
	old, _, _ := unstructured.NestedMap(live.Object, "status")
	if same(old, status) {
		return nil
	}
	return s.merge(ctx, resource, live, map[string]any{"status": status}, "status")
}

func (s *standIn) merge(ctx context.Context, resource schema.GroupVersionResource, live *unstructured.Unstructured,
	patch map[string]any, subresources ...string) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = s.dynamic.Resource(resource).Namespace(live.GetNamespace()).
		Patch(ctx, live.GetName(), types.MergePatchType, data, metav1.PatchOptions{FieldManager: "aphex-stand-in"}, subresources...)
	return err
}

// condition returns a condition of the object with the time of its last change.
func condition(live *unstructured.Unstructured, kind, status, reason, message string) map[string]any {
	changed := metav1.Now().UTC().Format(time.RFC3339)
	for _, c := range conditionsOf(live) {
		if c["type"] == kind && c["status"] == status && c["reason"] == reason {
			changed, _ = c["lastTransitionTime"].(string)
		}
	}
	c := map[string]any{"type": kind, "status": status, "reason": reason, "lastTransitionTime": changed}
	if message != "" {
		c["message"] = message
	}
	return c
}

func same(a, b map[string]any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// stringAt returns a field of an object, or a default.
func stringAt(obj *unstructured.Unstructured, otherwise string, path ...string) string {
	if value, _, _ := unstructured.NestedString(obj.Object, path...); value != "" {
		return value
	}
	return otherwise
}
