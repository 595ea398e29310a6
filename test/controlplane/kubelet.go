package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

const (
	functionLabel = "pkg.crossplane.io/function"
	providerLabel = "pkg.crossplane.io/provider"

	// restartDelay is how long a program that ended is left alone.
	restartDelay = time.Second
	// tokenLife is longer than a control plane runs; a kubelet would renew tokens.
	tokenLife = 24 * time.Hour
)

// kubelet plays what runs the pods of installed packages: it pulls a pod's image
// from the registry that the image names, unpacks it, and runs its program with
// the pod's arguments, variables and secrets and a token of its service account.
//
// It is a stand-in: the program is a plain process that is told to listen on
// loopback, and KWOK says when a pod is ready, not its program.
type kubelet struct {
	*standIn
	cluster *ControlPlane

	mu      sync.Mutex
	running map[item]*process
}

// kubeletRules are what the stand-in needs.
const kubeletRules = `
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
`

// startPods runs the pods of packages from now on, and returns the proxy by
// which Crossplane reaches their Services.
func (c *ControlPlane) startPods(ctx context.Context) (proxy string, err error) {
	s, err := c.newStandIn(ctx, "aphex:kubelet-stand-in", kubeletRules)
	if err != nil {
		return "", err
	}
	k := &kubelet{standIn: s, cluster: c, running: map[item]*process{}}
	s.gone = k.end
	if err := errors.Join(k.play(pods, k.run), k.start(ctx)); err != nil {
		k.stop()
		return "", err
	}
	c.neighbour.Lock()
	c.standIns = append(c.standIns, s)
	c.neighbour.Unlock()
	return k.serveServices(ctx)
}

// run makes sure that the program of a package's pod runs.
func (k *kubelet) run(ctx context.Context, live *unstructured.Unstructured) error {
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, pod); err != nil {
		return err
	}
	flags := listenFlags(pod)
	if flags == nil || pod.Namespace != crossplaneNamespace || pod.Spec.NodeName == "" {
		return nil
	}
	me := item{pods, pod.Namespace, pod.Name}
	k.mu.Lock()
	known := k.running[me]
	k.mu.Unlock()
	switch {
	case known != nil && known.pid() != 0:
		return nil
	case known != nil:
		return known.start(ctx)
	}

	p, err := k.prepare(ctx, pod, flags)
	if apierrors.IsNotFound(err) {
		// Crossplane makes the secrets of a package about when it makes its pod.
		return errNotYet
	}
	if err != nil {
		return err
	}
	p.died = func(p *process, err error) {
		k.log("%s ended (%v) and is started again; the end of %s:\n%s", p.name, err, p.log, p.tail())
		k.queue.AddAfter(me, restartDelay)
	}
	if err := k.cluster.run(ctx, p); err != nil {
		return err
	}
	k.mu.Lock()
	k.running[me] = p
	k.mu.Unlock()
	return nil
}

// end stops the program of a pod that is gone or going.
func (k *kubelet) end(_ context.Context, pod item) error {
	k.mu.Lock()
	p := k.running[pod]
	delete(k.running, pod)
	k.mu.Unlock()
	if p == nil {
		return nil
	}
	return k.cluster.remove(p)
}

// listenFlags are the flags with which a package's program is told where to
// listen. The first is what its Service leads to.
func listenFlags(pod *corev1.Pod) []string {
	switch {
	case pod.Labels[functionLabel] != "":
		return []string{"--address", "--metrics-address", "--health-address"}
	case pod.Labels[providerLabel] != "":
		return []string{"--health-address", "--metrics-address"}
	default:
		return nil
	}
}

// prepare does what comes before a container starts.
func (k *kubelet) prepare(ctx context.Context, pod *corev1.Pod, listen []string) (*process, error) {
	container := pod.Spec.Containers[0]
	image, err := k.pull(ctx, container.Image)
	if err != nil {
		return nil, err
	}
	mounts, err := k.mount(ctx, pod, container)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := k.logIn(ctx, pod)
	if err != nil {
		return nil, err
	}
	command := container.Command
	if len(command) == 0 {
		command = image.entrypoint
	}
	args := container.Args
	if len(args) == 0 {
		args = image.args
	}
	if len(command) == 0 {
		return nil, fmt.Errorf("image %s has no entrypoint", container.Image)
	}
	return &process{
		name:   pod.Name,
		binary: filepath.Join(image.root, command[0]),
		env:    slices.Concat(image.authorities(), variables(pod, container, mounts), []string{"KUBECONFIG=" + kubeconfig}),
		ports:  len(listen),
		args: func(port []int) []string {
			all := slices.Concat(command[1:], args)
			for i, flag := range listen {
				all = append(all, flag+"="+loopback(port[i]))
			}
			return all
		},
	}, nil
}

// mount lays the secrets of a pod down as files and returns where, by the path
// in the container.
func (k *kubelet) mount(ctx context.Context, pod *corev1.Pod, container corev1.Container) (map[string]string, error) {
	mounts := map[string]string{}
	for _, m := range container.VolumeMounts {
		i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 || pod.Spec.Volumes[i].Secret == nil {
			continue
		}
		volume := pod.Spec.Volumes[i].Secret
		secret, err := k.typed.CoreV1().Secrets(pod.Namespace).Get(ctx, volume.SecretName, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(k.cluster.dir, "pods", pod.Name, m.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		files := volume.Items
		if len(files) == 0 {
			for key := range secret.Data {
				files = append(files, corev1.KeyToPath{Key: key, Path: key})
			}
		}
		for _, f := range files {
			data, ok := secret.Data[f.Key]
			if !ok {
				return nil, errNotYet
			}
			if err := os.WriteFile(filepath.Join(dir, f.Path), data, 0o600); err != nil {
				return nil, err
			}
		}
		mounts[m.MountPath] = dir
	}
	return mounts, nil
}

// logIn writes the access of a pod's service account.
func (k *kubelet) logIn(ctx context.Context, pod *corev1.Pod) (string, error) {
	life := int64(tokenLife.Seconds())
	request, err := k.typed.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &life,
			// It ends with the pod.
			BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return k.cluster.writeKubeconfig(pod.Name, &rest.Config{
		Host:            k.cluster.admin.Host,
		BearerToken:     request.Status.Token,
		TLSClientConfig: rest.TLSClientConfig{CAData: k.cluster.admin.CAData},
	})
}

// variables are a container's environment, in which paths of mounted secrets are
// where they are on this machine.
func variables(pod *corev1.Pod, container corev1.Container, mounts map[string]string) []string {
	values := map[string]string{}
	var env []string
	for _, v := range container.Env {
		value := v.Value
		if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil {
			value = podField(pod, v.ValueFrom.FieldRef.FieldPath)
		}
		for name, earlier := range values {
			value = strings.ReplaceAll(value, "$("+name+")", earlier)
		}
		for path, dir := range mounts {
			if value == path || strings.HasPrefix(value, path+"/") {
				value = dir + strings.TrimPrefix(value, path)
				break
			}
		}
		values[v.Name] = value
		env = append(env, v.Name+"="+value)
	}
	return env
}

// podField is one of the fields that a container may ask for.
func podField(pod *corev1.Pod, path string) string {
	if key, ok := strings.CutPrefix(path, "metadata.labels['"); ok {
		return pod.Labels[strings.TrimSuffix(key, "']")]
	}
	switch path {
	case "metadata.name":
		return pod.Name
	case "metadata.namespace":
		return pod.Namespace
	default:
		return ""
	}
}
