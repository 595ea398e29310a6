// Package network asks a published evaluator what the composed network policies let through: kube-network-policies of
// Kubernetes' network group, which plugins use to judge packets. The control plane of the other tests has no network that
// could enforce one. It is a module of its own because the evaluator needs a newer client-go.
package network

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/network"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	"sigs.k8s.io/kube-network-policies/pkg/podinfo"
	"sigs.k8s.io/yaml"
)

// The golden files of an organization and of one of its pipelines.
const (
	organizationGolden = "../../functions/organization/testdata/everything-is-ready/want.yaml"
	pipelineGolden     = "../../functions/repobinding/testdata/fresh/settled.yaml"
	// settingsGolden is a pipeline where the settings name a DNS server that is no pod of kube-system.
	settingsGolden = "../../functions/repobinding/testdata/settings-of-the-platform/settled.yaml"
)

// composed is what the tests need of a golden file.
type composed struct {
	namespaces []*corev1.Namespace
	policies   []*networkingv1.NetworkPolicy
	connector  *appsv1.Deployment
}

func (c *composed) read(t *testing.T, text string) {
	t.Helper()
	for _, doc := range strings.Split("\n"+text, "\n---") {
		var meta metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal([]byte(doc), &meta))
		switch meta.Kind {
		case "Namespace":
			c.namespaces = append(c.namespaces, decode[corev1.Namespace](t, doc))
		case "NetworkPolicy":
			c.policies = append(c.policies, decode[networkingv1.NetworkPolicy](t, doc))
		case "Deployment":
			c.connector = decode[appsv1.Deployment](t, doc)
		}
	}
}

func decode[T any](t *testing.T, doc string) *T {
	t.Helper()
	out := new(T)
	require.NoError(t, yaml.UnmarshalStrict([]byte(doc), out))
	return out
}

func readGolden(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// world is a cluster as a network plugin sees it.
type world struct {
	factory   informers.SharedInformerFactory
	engine    *networkpolicy.PolicyEngine
	addresses map[string][]string
}

// newWorld has an organization with its listener and connector, two pipelines of different organizations, and others.
func newWorld(t *testing.T, pipelineGolden string, enforced bool) *world {
	t.Helper()
	w := &world{factory: informers.NewSharedInformerFactory(fake.NewClientset(), 0), addresses: map[string][]string{}}
	core := w.factory.Core().V1()
	w.engine = networkpolicy.NewPolicyEngine(
		podinfo.NewInformerProvider(core.Pods(), core.Namespaces(), nil, nil),
		[]api.PolicyEvaluator{networkpolicy.NewStandardNetworkPolicy("node", core.Namespaces(), core.Pods(), w.factory.Networking().V1().NetworkPolicies())},
	)

	var c composed
	pipeline := readGolden(t, pipelineGolden)
	c.read(t, readGolden(t, organizationGolden))
	c.read(t, pipeline)
	// Another organization's pipeline is the same under other names.
	c.read(t, strings.NewReplacer("acme-corp", "rival", "my-app", "their-app").Replace(pipeline))
	require.Len(t, c.policies, 3)
	require.NotNil(t, c.connector)
	for _, name := range []string{"kube-system", "default", "monitoring"} {
		c.namespaces = append(c.namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	for _, ns := range c.namespaces {
		if ns.Labels == nil {
			ns.Labels = map[string]string{}
		}
		ns.Labels[corev1.LabelMetadataName] = ns.Name // as every API server does
		require.NoError(t, core.Namespaces().Informer().GetIndexer().Add(ns))
	}
	if enforced {
		for _, p := range c.policies {
			require.NoError(t, w.factory.Networking().V1().NetworkPolicies().Informer().GetIndexer().Add(p))
		}
	}

	// Tekton labels the pods that it makes of an EventListener so, which the end-to-end tests see.
	listener := map[string]string{"app.kubernetes.io/managed-by": "EventListener", "app.kubernetes.io/part-of": "Triggers", "eventlistener": "github-listener"}
	connector := c.connector.Spec.Template.Labels
	w.add(t, "my-app/build", nil, "10.244.1.10", "fd00:10:244:1::10")
	w.add(t, "my-app/database", nil, "10.244.1.11", "fd00:10:244:1::11")
	w.add(t, "my-app/cloudflared", connector, "10.244.1.12", "fd00:10:244:1::12")
	w.add(t, "their-app/build", nil, "10.244.2.10", "fd00:10:244:2::10")
	w.add(t, "their-app/cloudflared", connector, "10.244.2.11", "fd00:10:244:2::11")
	w.add(t, "org-acme-corp/listener", listener, "10.244.3.10", "fd00:10:244:3::10")
	w.add(t, "org-acme-corp/cloudflared", connector, "10.244.3.11", "fd00:10:244:3::11")
	w.add(t, "org-acme-corp/other", nil, "10.244.3.12", "fd00:10:244:3::12")
	w.add(t, "kube-system/coredns", map[string]string{"k8s-app": "kube-dns"}, "10.244.0.10", "fd00:10:244::10")
	w.add(t, "default/cloudflared", connector, "10.244.4.10", "fd00:10:244:4::10")
	w.add(t, "monitoring/prometheus", nil, "10.244.5.10", "fd00:10:244:5::10")
	return w
}

func (w *world) add(t *testing.T, name string, labels map[string]string, addresses ...string) {
	t.Helper()
	namespace, pod, _ := strings.Cut(name, "/")
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: "node"},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: addresses[0]},
	}
	for _, a := range addresses {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a})
	}
	require.NoError(t, w.factory.Core().V1().Pods().Informer().GetIndexer().Add(p))
	w.addresses[name] = addresses
}

// at is the address of a pod, or an address, of the family of its peer.
func (w *world) at(name string, six bool) net.IP {
	if addresses, ok := w.addresses[name]; ok {
		if six {
			return net.ParseIP(addresses[1])
		}
		return net.ParseIP(addresses[0])
	}
	return net.ParseIP(name)
}

// passes tells whether the first packet of a connection gets through.
func (w *world) passes(t *testing.T, f flow, six bool) bool {
	t.Helper()
	protocol := f.protocol
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	family := corev1.IPv4Protocol
	if six {
		family = corev1.IPv6Protocol
	}
	packet := &network.Packet{Family: family, SrcIP: w.at(f.from, six), DstIP: w.at(f.to, six), Proto: protocol, SrcPort: 40000, DstPort: f.port}
	require.NotNil(t, packet.SrcIP, f.from)
	require.NotNil(t, packet.DstIP, f.to)
	allowed, err := w.engine.EvaluatePacket(t.Context(), packet)
	require.NoError(t, err)
	return allowed
}

// flow is a connection from a pod or an address to another.
type flow struct {
	from, to string
	port     int
	protocol corev1.Protocol
	passes   bool
}

// flows are by what they are. Between pods they are tried over IPv4 and IPv6.
var flows = map[string]flow{
	"a pipeline asks DNS over UDP":            {from: "my-app/build", to: "kube-system/coredns", port: 53, protocol: corev1.ProtocolUDP, passes: true},
	"a pipeline asks DNS over TCP":            {from: "my-app/build", to: "kube-system/coredns", port: 53, passes: true},
	"a pipeline's pods talk to each other":    {from: "my-app/build", to: "my-app/database", port: 5432, passes: true},
	"a pipeline reaches the internet":         {from: "my-app/build", to: "140.82.121.4", port: 443, passes: true},
	"a pipeline reaches the internet by ssh":  {from: "my-app/build", to: "140.82.121.4", port: 22, passes: true},
	"a pipeline reaches the internet of IPv6": {from: "my-app/build", to: "2606:4700::1111", port: 443, passes: true},
	"a pipeline reaches the API server":       {from: "my-app/build", to: "10.96.0.1", port: 443, passes: true},
	"a pipeline reaches the API server's own": {from: "my-app/build", to: "203.0.113.7", port: 6443, passes: true},
	"cloudflared reaches the listener":        {from: "org-acme-corp/cloudflared", to: "org-acme-corp/listener", port: 8080, passes: true},
	"cloudflared reaches Cloudflare":          {from: "org-acme-corp/cloudflared", to: "198.41.192.7", port: 7844, protocol: corev1.ProtocolUDP, passes: true},
	"the listener reaches the API server":     {from: "org-acme-corp/listener", to: "10.96.0.1", port: 443, passes: true},

	"a pipeline to another port of the cluster's DNS":          {from: "my-app/build", to: "kube-system/coredns", port: 9153},
	"a pipeline to another port of the API server":             {from: "my-app/build", to: "10.96.0.1", port: 80},
	"a pipeline to the API server over UDP":                    {from: "my-app/build", to: "10.96.0.1", port: 443, protocol: corev1.ProtocolUDP},
	"a pipeline to another Service":                            {from: "my-app/build", to: "10.96.0.2", port: 443},
	"a pipeline to 10/8":                                       {from: "my-app/build", to: "10.1.2.3", port: 443},
	"a pipeline to 172.16/12":                                  {from: "my-app/build", to: "172.31.255.255", port: 443},
	"a pipeline to 192.168/16":                                 {from: "my-app/build", to: "192.168.1.1", port: 443},
	"a pipeline to 100.64/10":                                  {from: "my-app/build", to: "100.64.0.1", port: 443},
	"a pipeline to the end of 100.64/10":                       {from: "my-app/build", to: "100.127.255.255", port: 443},
	"a pipeline to the metadata service":                       {from: "my-app/build", to: "169.254.169.254", port: 80},
	"a pipeline to another link-local address":                 {from: "my-app/build", to: "169.254.170.2", port: 80},
	"a pipeline to a DNS server that no setting names":         {from: "my-app/build", to: "169.254.20.10", port: 53, protocol: corev1.ProtocolUDP},
	"a pipeline to loopback":                                   {from: "my-app/build", to: "127.0.0.1", port: 10250},
	"a pipeline to Oracle's metadata service":                  {from: "my-app/build", to: "192.0.0.192", port: 80},
	"a pipeline to multicast":                                  {from: "my-app/build", to: "224.0.0.251", port: 5353, protocol: corev1.ProtocolUDP},
	"a pipeline to everybody":                                  {from: "my-app/build", to: "255.255.255.255", port: 67, protocol: corev1.ProtocolUDP},
	"a pipeline to fd00::/8":                                   {from: "my-app/build", to: "fd12:3456::1", port: 443},
	"a pipeline to fc00::/8":                                   {from: "my-app/build", to: "fc00::1", port: 443},
	"a pipeline to AWS's metadata service over IPv6":           {from: "my-app/build", to: "fd00:ec2::254", port: 80},
	"a pipeline to a link-local address of IPv6":               {from: "my-app/build", to: "fe80::1", port: 443},
	"a pipeline to loopback of IPv6":                           {from: "my-app/build", to: "::1", port: 443},
	"a pipeline to 10/8 through NAT64":                         {from: "my-app/build", to: "64:ff9b::a01:203", port: 443},
	"a pipeline to 10/8 through 6to4":                          {from: "my-app/build", to: "2002:a01:203::1", port: 443},
	"a pipeline to another organization's pipeline":            {from: "my-app/build", to: "their-app/build", port: 80},
	"a pipeline to its organization's listener":                {from: "my-app/build", to: "org-acme-corp/listener", port: 8080},
	"a pipeline to its organization's other pods":              {from: "my-app/build", to: "org-acme-corp/other", port: 80},
	"a pipeline to a pod of nobody":                            {from: "my-app/build", to: "monitoring/prometheus", port: 9090},
	"another organization's pipeline to a pipeline":            {from: "their-app/build", to: "my-app/build", port: 80},
	"a pod of nobody to a pipeline":                            {from: "monitoring/prometheus", to: "my-app/build", port: 80},
	"a pod of the organization to its pipeline":                {from: "org-acme-corp/other", to: "my-app/build", port: 80},
	"the internet to a pipeline":                               {from: "140.82.121.4", to: "my-app/build", port: 80},
	"the internet to the listener":                             {from: "140.82.121.4", to: "org-acme-corp/listener", port: 8080},
	"cloudflared to another port of the listener":              {from: "org-acme-corp/cloudflared", to: "org-acme-corp/listener", port: 9000},
	"cloudflared to the listener over UDP":                     {from: "org-acme-corp/cloudflared", to: "org-acme-corp/listener", port: 8080, protocol: corev1.ProtocolUDP},
	"another pod of the organization to the listener":          {from: "org-acme-corp/other", to: "org-acme-corp/listener", port: 8080},
	"a pod of nobody to the listener":                          {from: "monitoring/prometheus", to: "org-acme-corp/listener", port: 8080},
	"a pod of a namespace, labelled like cloudflared":          {from: "default/cloudflared", to: "org-acme-corp/listener", port: 8080},
	"a pod of the pipeline, labelled like cloudflared":         {from: "my-app/cloudflared", to: "org-acme-corp/listener", port: 8080},
	"a pod of another organization, labelled like cloudflared": {from: "their-app/cloudflared", to: "org-acme-corp/listener", port: 8080},
}

func TestTheNetworkPoliciesLetThroughWhatIsMeant(t *testing.T) {
	enforced, open := newWorld(t, pipelineGolden, true), newWorld(t, pipelineGolden, false)
	for name, f := range flows {
		t.Run(name, func(t *testing.T) {
			for _, six := range families(enforced, f) {
				require.Equal(t, f.passes, enforced.passes(t, f, six), "over IPv6: %t", six)
				require.True(t, open.passes(t, f, six), "it is not the policies that refuse it")
			}
		})
	}
}

func TestDNSServersOfTheSettingsAreAskedForNamesAlone(t *testing.T) {
	w := newWorld(t, settingsGolden, true)
	for name, f := range map[string]flow{
		"over UDP":                  {to: "169.254.20.10", port: 53, protocol: corev1.ProtocolUDP, passes: true},
		"over TCP":                  {to: "169.254.20.10", port: 53, passes: true},
		"beside those in pods":      {to: "kube-system/coredns", port: 53, protocol: corev1.ProtocolUDP, passes: true},
		"not at another port":       {to: "169.254.20.10", port: 80},
		"not at another address":    {to: "169.254.20.11", port: 53, protocol: corev1.ProtocolUDP},
		"not at a metadata service": {to: "169.254.169.254", port: 53, protocol: corev1.ProtocolUDP},
		"not in a blocked range":    {to: "198.51.100.9", port: 443},
	} {
		t.Run(name, func(t *testing.T) {
			f.from = "my-app/build"
			require.Equal(t, f.passes, w.passes(t, f, false))
		})
	}
}

// families are those over which two can talk: both, if both are pods.
func families(w *world, f flow) []bool {
	for _, end := range []string{f.from, f.to} {
		if _, pod := w.addresses[end]; !pod {
			return []bool{strings.Contains(end, ":")}
		}
	}
	return []bool{false, true}
}
