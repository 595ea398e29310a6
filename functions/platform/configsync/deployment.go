package configsync

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// deployment is the Deployment of Dex on the API server.
type deployment struct {
	api             rest.Interface
	namespace, name string
}

func newDeployment(cluster *rest.Config, namespace, name string) (*deployment, error) {
	api, err := newClient(cluster, "/apis", appsv1.SchemeGroupVersion, appsv1.AddToScheme)
	if err != nil {
		return nil, err
	}
	return &deployment{api: api, namespace: namespace, name: name}, nil
}

// newClient uses the client's lower half: typed clients of all groups would make the function's image much larger.
func newClient(cluster *rest.Config, path string, group schema.GroupVersion, add func(*runtime.Scheme) error) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := add(scheme); err != nil {
		return nil, err
	}
	config := rest.CopyConfig(cluster)
	config.APIPath = path
	config.GroupVersion = &group
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.QPS = -1 // Each step has its pauses.
	api, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	return api, nil
}

func (d *deployment) ref() string { return "Deployment " + d.namespace + "/" + d.name }

func (d *deployment) get(ctx context.Context) (*appsv1.Deployment, error) {
	seen := &appsv1.Deployment{}
	return seen, d.api.Get().Namespace(d.namespace).Resource("deployments").Name(d.name).Do(ctx).Into(seen)
}

// scaleUp gives the Deployment one replica if it has none. One that somebody scaled further stays as it is: the version makes
// the API server refuse the change if it was changed meanwhile.
func (d *deployment) scaleUp(ctx context.Context) error {
	seen, err := d.get(ctx)
	if err != nil || seen.Spec.Replicas == nil || *seen.Spec.Replicas > 0 {
		return err
	}
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"spec":{"replicas":1}}`, seen.ResourceVersion)
	return d.api.Patch(types.MergePatchType).Namespace(d.namespace).Resource("deployments").Name(d.name).SubResource("scale").
		Body(patch).Do(ctx).Error()
}

// available says whether the Deployment's latest form is rolled out and takes requests, as kubectl rollout status does: replicas
// of an earlier form are available too, and one of them may be all that answers.
func (d *deployment) available(ctx context.Context) error {
	seen, err := d.get(ctx)
	if err != nil {
		return err
	}
	want := int32(1)
	if seen.Spec.Replicas != nil {
		want = *seen.Spec.Replicas
	}
	is := seen.Status
	switch {
	case want == 0:
		return fmt.Errorf("it was scaled to 0 again")
	case is.ObservedGeneration < seen.Generation:
		return fmt.Errorf("its latest change is not rolled out yet")
	case is.UpdatedReplicas < want || is.AvailableReplicas < is.UpdatedReplicas:
		return fmt.Errorf("%d of %d replicas are updated and %d are available", is.UpdatedReplicas, want, is.AvailableReplicas)
	case is.Replicas > is.UpdatedReplicas:
		return fmt.Errorf("%d replicas of an earlier form are left", is.Replicas-is.UpdatedReplicas)
	}
	return nil
}
