package controlplane

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

var pods = corev1.SchemeGroupVersion.WithResource("pods")

const (
	// connector is the name of the container that runs cloudflared.
	connector = "cloudflared"
	// reconnect is how often a connector makes sure that it is connected.
	// cloudflared notices a lost connection about as fast.
	reconnect = 3 * time.Second
)

// connectors plays the processes in cloudflared's pods, which do not run: while
// a pod is ready it is connected to the simulator with the credentials that the
// pod had mounted when it started, as cloudflared would be, and requests from
// Internet go where its configuration sends them. It is a stand-in: a pod is
// ready whether it can connect or not.
type connectors struct {
	*standIn
	cloudflare *Cloudflare

	mu sync.Mutex
	// running is what was started in the pods, by their names.
	running map[item]connectorProcess
}

// connectorProcess is a cloudflared that runs.
type connectorProcess struct {
	id, token, version string
	ingress            []ingressRule
}

// ingressRule is one of cloudflared's configuration, see
// https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/do-more-with-tunnels/local-management/configuration-file/.
type ingressRule struct{ Hostname, Path, Service string }

// connectorsRules are what the stand-in needs.
const connectorsRules = `
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get]
`

func (c *ControlPlane) playConnectors(ctx context.Context) error {
	s, err := c.newStandIn(ctx, "aphex:connector-stand-in", connectorsRules)
	if err != nil {
		return err
	}
	p := &connectors{standIn: s, cloudflare: c.cloudflare, running: map[item]connectorProcess{}}
	s.gone = p.end
	if err := errors.Join(p.play(pods, p.run), p.start(ctx)); err != nil {
		p.stop()
		return err
	}
	c.neighbour.Lock()
	defer c.neighbour.Unlock()
	c.standIns = append(c.standIns, s)
	c.connectors = p
	return nil
}

// run keeps a ready pod of cloudflared connected.
func (p *connectors) run(ctx context.Context, live *unstructured.Unstructured) error {
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, pod); err != nil {
		return err
	}
	if len(pod.Spec.Containers) != 1 || pod.Spec.Containers[0].Name != connector || !isReady(pod) {
		return nil
	}
	me := item{pods, pod.Namespace, pod.Name}
	process, err := p.process(ctx, me, pod)
	if err != nil {
		return err
	}
	p.queue.AddAfter(me, reconnect)
	err = p.cloudflare.connect(ctx, process.id, process.token, process.version)
	if errors.Is(err, errRefused) {
		// A real one would log this and try again for ever.
		return nil
	}
	return err
}

// end disconnects a pod that is gone or going.
func (p *connectors) end(ctx context.Context, pod item) error {
	p.mu.Lock()
	process, ok := p.running[pod]
	delete(p.running, pod)
	p.mu.Unlock()
	if !ok {
		return nil
	}
	return p.cloudflare.disconnect(ctx, process.id)
}

// process is what runs in a pod. It reads its credentials once, as cloudflared
// does: what the Secret holds later is known only to pods that start later.
func (p *connectors) process(ctx context.Context, me item, pod *corev1.Pod) (connectorProcess, error) {
	p.mu.Lock()
	process := p.running[me]
	p.mu.Unlock()
	if process.id == string(pod.UID) {
		return process, nil
	}
	token, err := p.token(ctx, pod)
	if err != nil {
		return process, err
	}
	ingress, err := p.ingress(ctx, pod)
	if err != nil {
		return process, err
	}
	_, version, _ := strings.Cut(path.Base(pod.Spec.Containers[0].Image), ":")
	process = connectorProcess{id: string(pod.UID), token: token, version: version, ingress: ingress}
	p.mu.Lock()
	p.running[me] = process
	p.mu.Unlock()
	return process, nil
}

// connected are those of the running processes that have one of the ids.
func (p *connectors) connected(ids []string) []connectorProcess {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []connectorProcess
	for _, process := range p.running {
		if slices.Contains(ids, process.id) {
			out = append(out, process)
		}
	}
	return out
}

// ingress reads the configuration that a pod mounts. Like the credentials, it is
// read once.
func (p *connectors) ingress(ctx context.Context, pod *corev1.Pod) ([]ingressRule, error) {
	for _, volume := range pod.Spec.Volumes {
		if volume.ConfigMap == nil {
			continue
		}
		mounted, err := p.typed.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, volume.ConfigMap.Name, metav1.GetOptions{})
		if err != nil {
			return nil, volumeError(err)
		}
		for file, text := range mounted.Data {
			var configuration struct{ Ingress []ingressRule }
			if err := yaml.Unmarshal([]byte(text), &configuration); err != nil {
				return nil, fmt.Errorf("the ConfigMap %s/%s, key %s: %w", pod.Namespace, mounted.Name, file, err)
			}
			return configuration.Ingress, nil
		}
	}
	return nil, nil // It connects, and knows no host.
}

// volumeError makes a pod wait for what it mounts, as a kubelet does.
func volumeError(err error) error {
	if apierrors.IsNotFound(err) {
		return errNotYet
	}
	return err
}

// token reads the credentials file that a pod mounts, and writes it in the form
// in which a connector shows it to Cloudflare.
func (p *connectors) token(ctx context.Context, pod *corev1.Pod) (string, error) {
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret == nil {
			continue
		}
		secret, err := p.typed.CoreV1().Secrets(pod.Namespace).Get(ctx, volume.Secret.SecretName, metav1.GetOptions{})
		if err != nil {
			return "", volumeError(err)
		}
		for _, file := range volume.Secret.Items {
			var credentials struct{ AccountTag, TunnelSecret, TunnelID string }
			if err := json.Unmarshal(secret.Data[file.Key], &credentials); err != nil {
				return "", fmt.Errorf("the Secret %s/%s, key %s: %w", pod.Namespace, secret.Name, file.Key, err)
			}
			token, err := json.Marshal(map[string]string{
				"a": credentials.AccountTag, "s": credentials.TunnelSecret, "t": credentials.TunnelID,
			})
			return base64.StdEncoding.EncodeToString(token), err
		}
	}
	return "", fmt.Errorf("the Pod %s/%s mounts no credentials", pod.Namespace, pod.Name)
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
