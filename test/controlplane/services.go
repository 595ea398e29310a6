package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serveServices plays the cluster's DNS and network for Crossplane, which calls
// functions by the names of their Services: as an HTTPS proxy it leads such a
// name to a pod behind the Service. Calls to loopback addresses, such as the API
// server's, do not come here.
func (k *kubelet) serveServices(ctx context.Context) (address string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: http.HandlerFunc(k.connect), ReadHeaderTimeout: 10 * time.Second}
	k.workers.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			k.log("%s: %v", k.name, err)
		}
	})
	context.AfterFunc(k.ctx, func() { _ = server.Close() }) // Nobody is left to be told.
	return "http://" + listener.Addr().String(), nil
}

// connect answers a CONNECT and then passes on what both sides say.
func (k *kubelet) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "this proxy only connects", http.StatusMethodNotAllowed)
		return
	}
	address, err := k.resolve(r.Context(), r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	pod, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = pod.Close() }()
	caller, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		k.log("%s: %v", k.name, err)
		return
	}
	defer func() { _ = caller.Close() }()
	// By hand, since the server would announce a body, for whose end gRPC waits.
	if _, err := io.WriteString(caller, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	stop := context.AfterFunc(k.ctx, func() { _ = caller.Close() })
	defer stop()

	// Whoever ends first ends both, as a pod that goes does.
	done := make(chan struct{}, 2)
	pass := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from) // A connection that breaks is no news.
		done <- struct{}{}
	}
	go pass(pod, buffered)
	go pass(caller, pod)
	<-done
}

// resolve finds where a program behind a Service listens on this machine.
func (k *kubelet) resolve(ctx context.Context, target string) (string, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return "", err
	}
	service, namespace, _ := strings.Cut(host, ".")
	endpoints, err := k.typed.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service})
	if err != nil {
		return "", err
	}
	for _, s := range endpoints.Items {
		if !slices.ContainsFunc(s.Ports, func(p discoveryv1.EndpointPort) bool { return p.Port != nil && strconv.Itoa(int(*p.Port)) == port }) {
			continue
		}
		for _, e := range s.Endpoints {
			if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			if address, ok := k.address(e.TargetRef); ok {
				return address, nil
			}
		}
	}
	return "", fmt.Errorf("no pod is ready behind %s", target)
}

func (k *kubelet) address(pod *corev1.ObjectReference) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.running[item{pods, pod.Namespace, pod.Name}]
	if p == nil || p.pid() == 0 {
		return "", false
	}
	return loopback(p.port[0]), true
}
