package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// namespaces exist before anybody claims anything, as on a real platform. The
// namespace pipeline-system is not among them: without its allowlist is the
// default case.
var namespaces = []string{"crossplane-system", "platform-system", "argocd", "tekton-pipelines", "external-secrets"}

// nodes is how many machines KWOK plays. Two zones let topology spread
// constraints mean something.
const nodes = 3

// checkBinaries says at once what is missing, and how to get it.
func (c *ControlPlane) checkBinaries(functions []Function) error {
	paths := make([]string, 0, 11+len(functions))
	for _, name := range []string{
		"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok",
		"crossplane-core", triggersController, triggersInterceptors, triggersSink, simulator,
	} {
		paths = append(paths, c.Binary(name))
	}
	if !c.packages {
		paths = append(paths, c.Binary(Provider))
	}
	for _, f := range functions {
		paths = append(paths, c.functionBinary(f))
	}
	var missing []string
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			missing = append(missing, path)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing programs %s; run `make tools build`", strings.Join(missing, ", "))
	}
	return nil
}

// Binary returns the path of a pinned tool or of a function, such as kubectl.
func (c *ControlPlane) Binary(name string) string {
	return filepath.Join(c.root, ".cache", "bin", name)
}

// startAPIServer starts etcd and the API server, with arguments and an
// environment beside its own.
func (c *ControlPlane) startAPIServer(ctx context.Context, arguments, environment []string) error {
	etcd := &process{
		name:   "etcd",
		binary: c.Binary("etcd"),
		ports:  2,
		args: func(port []int) []string {
			client, peer := loopbackURL("http", port[0]), loopbackURL("http", port[1])
			return []string{
				"--name=aphex",
				"--data-dir=" + filepath.Join(c.dir, "etcd"),
				"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
				"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
				"--initial-cluster=aphex=" + peer,
				// Nothing here has to survive a power cut.
				"--unsafe-no-fsync",
				"--log-level=warn",
			}
		},
		ready: func(ctx context.Context, port []int) (bool, string) {
			return get(ctx, nil, loopbackURL("http", port[0])+"/health")
		},
	}
	if err := c.run(ctx, etcd); err != nil {
		return err
	}

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.pki.cluster.pem)
	admin, err := c.pki.user("", "aphex-admin", "system:masters")
	if err != nil {
		return err
	}
	identity, err := tls.X509KeyPair(admin.CertData, admin.KeyData)
	if err != nil {
		return err
	}
	tlsConfig := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{identity}}

	apiserver := &process{
		name:   "kube-apiserver",
		binary: c.Binary("kube-apiserver"),
		env:    environment,
		ports:  1,
		args: func(port []int) []string {
			return append([]string{
				"--etcd-servers=" + loopbackURL("http", etcd.port[0]),
				"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port[0]),
				"--cert-dir=" + filepath.Join(c.dir, "apiserver"),
				"--tls-cert-file=" + c.pki.path("apiserver.crt"), "--tls-private-key-file=" + c.pki.path("apiserver.key"),
				"--client-ca-file=" + c.pki.path("ca.crt"),
				"--service-account-issuer=https://kubernetes.default.svc",
				"--service-account-key-file=" + c.pki.path("service-account.key"),
				"--service-account-signing-key-file=" + c.pki.path("service-account.key"),
				"--service-cluster-ip-range=10.96.0.0/16",
				// The default "kubernetes" Service points at a non-loopback address or
				// nothing at all; nobody here uses it.
				"--endpoint-reconciler-type=none",
				"--authorization-mode=RBAC",
				"--allow-privileged=true",
				"--profiling=false",
			}, arguments...)
		},
		ready: func(ctx context.Context, port []int) (bool, string) {
			return get(ctx, tlsConfig, loopbackURL("https", port[0])+"/readyz")
		},
	}
	if err := c.run(ctx, apiserver); err != nil {
		return err
	}

	admin.Host = loopbackURL("https", apiserver.port[0])
	c.admin = admin
	if _, err := c.writeKubeconfig("admin", admin); err != nil {
		return err
	}
	c.client, err = newClient(admin)
	return err
}

// startKubernetes starts the controllers and the scheduler under their own
// names, whose roles every API server has, and KWOK, which plays the nodes.
func (c *ControlPlane) startKubernetes(ctx context.Context) error {
	controllers, err := c.kubeconfigFor("system:kube-controller-manager", "kube-controller-manager")
	if err != nil {
		return err
	}
	scheduler, err := c.kubeconfigFor("system:kube-scheduler", "kube-scheduler")
	if err != nil {
		return err
	}
	kwok, err := c.kubeconfigFor("aphex:kwok", "kwok")
	if err != nil {
		return err
	}

	all, started := errgroup.WithContext(ctx)
	all.Go(func() error {
		return c.run(started, &process{
			name:   "kube-controller-manager",
			binary: c.Binary("kube-controller-manager"),
			args: func([]int) []string {
				return []string{
					"--kubeconfig=" + controllers,
					"--use-service-account-credentials",
					"--service-account-private-key-file=" + c.pki.path("service-account.key"),
					"--root-ca-file=" + c.pki.path("ca.crt"),
					"--leader-elect=false",
					"--secure-port=0",
					// Two hundred claims at once must measure Crossplane, not the
					// client-side limit of the garbage collector.
					"--kube-api-qps=500", "--kube-api-burst=1000",
				}
			},
		})
	})
	all.Go(func() error {
		return c.run(started, &process{
			name:   "kube-scheduler",
			binary: c.Binary("kube-scheduler"),
			args: func([]int) []string {
				return []string{
					"--kubeconfig=" + scheduler,
					"--leader-elect=false",
					"--secure-port=0",
					"--kube-api-qps=500", "--kube-api-burst=1000",
				}
			},
		})
	})
	all.Go(func() error {
		if err := c.Apply(started, kwokRBAC); err != nil {
			return err
		}
		return c.run(started, &process{
			name:   "kwok",
			binary: c.Binary("kwok"),
			ports:  1,
			args: func(port []int) []string {
				return []string{
					"--kubeconfig=" + kwok,
					"--manage-all-nodes",
					// Without a lease a node counts as lost after 40 seconds, and
					// every Deployment with it.
					"--node-lease-duration-seconds=40",
					"--server-address=" + loopback(port[0]),
				}
			},
		})
	})
	all.Go(func() error { return c.createNodes(started) })
	if err := all.Wait(); err != nil {
		return err
	}
	return c.awaitNodes(ctx)
}

// kubeconfigFor writes the access of a user who is in no group.
func (c *ControlPlane) kubeconfigFor(user, file string) (string, error) {
	access, err := c.pki.user(c.admin.Host, user)
	if err != nil {
		return "", err
	}
	return c.writeKubeconfig(file, access)
}

func (c *ControlPlane) createNamespaces(ctx context.Context) error {
	for _, name := range namespaces {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := c.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	return nil
}

func (c *ControlPlane) createNodes(ctx context.Context) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("1000"),
	}
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i+1)
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{
				Name: name,
				Labels: map[string]string{
					corev1.LabelArchStable:     "amd64",
					corev1.LabelOSStable:       "linux",
					corev1.LabelHostname:       name,
					corev1.LabelTopologyRegion: "local",
					corev1.LabelTopologyZone:   fmt.Sprintf("local-%d", i%2+1),
				},
			},
			Status: corev1.NodeStatus{Capacity: room, Allocatable: room},
		}
		if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create node %s: %w", name, err)
		}
	}
	return nil
}

func (c *ControlPlane) awaitNodes(ctx context.Context) error {
	return await(ctx, "nodes to be ready", func(ctx context.Context) (bool, string, error) {
		list, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return later(err)
		}
		ready := 0
		for _, node := range list.Items {
			for _, condition := range node.Status.Conditions {
				if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		return ready == nodes, fmt.Sprintf("%d of %d", ready, nodes), nil
	})
}

// kwokRBAC is what KWOK needs to play nodes and pods.
const kwokRBAC = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: aphex:kwok
rules:
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [nodes/status, pods/status]
  verbs: [patch, update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, update, patch, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, update, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: aphex:kwok
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: aphex:kwok
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: aphex:kwok
`

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func loopbackURL(scheme string, port int) string { return scheme + "://" + loopback(port) }

// get says whether a URL answers 200, and otherwise what came back.
func get(ctx context.Context, config *tls.Config, url string) (bool, string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err.Error()
	}
	// A transport of its own has no proxy and keeps no connection open.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return false, err.Error()
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return false, err.Error()
	}
	return response.StatusCode == http.StatusOK, response.Status + " " + string(body)
}

// dial says whether somebody listens at an address.
func dial(ctx context.Context, address string) (bool, string) {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false, err.Error()
	}
	_ = connection.Close() // Nothing was said.
	return true, ""
}
