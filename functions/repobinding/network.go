package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// What is not the internet, see https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry.
var (
	notInternet4 = []string{
		"0.0.0.0/8",      // this host
		"10.0.0.0/8",     // private
		"100.64.0.0/10",  // carrier-grade NAT, which clouds use for pods and nodes
		"127.0.0.0/8",    // loopback
		"169.254.0.0/16", // link-local, with the metadata service of every cloud
		"172.16.0.0/12",  // private
		"192.0.0.0/24",   // IETF protocols, with a metadata service
		"192.168.0.0/16", // private
		"198.18.0.0/15",  // benchmarks
		"224.0.0.0/4",    // multicast
		"240.0.0.0/4",    // reserved, and broadcast
	}
	notInternet6 = []string{
		"::/127",         // unspecified and loopback
		"64:ff9b::/96",   // NAT64, which leads to the IPv4 addresses above
		"64:ff9b:1::/48", // local NAT64
		"2002::/16",      // 6to4, likewise
		"fc00::/7",       // private, with AWS's metadata service
		"fe80::/10",      // link-local
		"ff00::/8",       // multicast
	}
)

// endpoint is an address and port of the API server.
type endpoint struct {
	address string
	port    int64
}

// apiServer finds the API server's addresses: it is neither a pod nor on the internet, and pipelines need it, not least
// for Terraform's state. Network plugins differ in whether they see the Service's address or the endpoint behind it.
func apiServer(seen *object.Observed) []endpoint {
	var found []endpoint
	service := seen.Get("v1", "Service", "default", "kubernetes")
	for _, port := range service.List("spec", "ports") {
		for _, ip := range service.Strings("spec", "clusterIPs") {
			found = append(found, endpoint{ip, port.Int("port")})
		}
	}
	behind := seen.Get("discovery.k8s.io/v1", "EndpointSlice", "default", "kubernetes")
	for _, port := range behind.List("ports") {
		for _, e := range behind.List("endpoints") {
			for _, ip := range e.Strings("addresses") {
				found = append(found, endpoint{ip, port.Int("port")})
			}
		}
	}
	return found
}

// isolation lets the pipeline's pods talk to each other, DNS, the API server and the internet, and nobody else to them.
func isolation(n names, api []endpoint, tenant settings.Tenant) *networkingv1.NetworkPolicy {
	egress := []networkingv1.NetworkPolicyEgressRule{
		{To: []networkingv1.NetworkPolicyPeer{samePods()}},
		{
			To:    nameServers(tenant.DNSServers),
			Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP, 53), port(corev1.ProtocolTCP, 53)},
		},
	}
	egress = append(egress, apiServerRules(api)...)
	if internet := internet(tenant.BlockedCIDRs); len(internet) > 0 {
		egress = append(egress, networkingv1.NetworkPolicyEgressRule{To: internet})
	}
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: kube.Meta(n.Namespace, networkPolicy, n.Labels()),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{samePods()}}},
			Egress:      egress,
		},
	}
}

// nameServers are the pods of kube-system, and what else the platform's settings name. A rule that allows stands beside
// whatever another one leaves out.
func nameServers(cidrs []string) []networkingv1.NetworkPolicyPeer {
	peers := []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{
		MatchLabels: map[string]string{corev1.LabelMetadataName: metav1.NamespaceSystem},
	}}}
	var blocks []string
	for _, c := range cidrs {
		if _, network, err := net.ParseCIDR(c); err == nil { // settings.Read has checked it
			blocks = append(blocks, network.String())
		}
	}
	slices.Sort(blocks)
	for _, cidr := range slices.Compact(blocks) {
		peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}})
	}
	return peers
}

// samePods are all pods of the policy's own namespace.
func samePods() networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}}
}

func port(protocol corev1.Protocol, number int) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: new(intstr.FromInt(number))}
}

// apiServerRules has one rule per port, sorted.
func apiServerRules(api []endpoint) []networkingv1.NetworkPolicyEgressRule {
	peers := make(map[int64][]string)
	var ports []int64
	for _, e := range api {
		address, err := netip.ParseAddr(e.address)
		if err != nil || e.port < 1 || e.port > 65535 {
			continue
		}
		if _, ok := peers[e.port]; !ok {
			ports = append(ports, e.port)
		}
		peers[e.port] = append(peers[e.port], netip.PrefixFrom(address, address.BitLen()).String())
	}
	slices.Sort(ports)
	var rules []networkingv1.NetworkPolicyEgressRule
	for _, p := range ports {
		rule := networkingv1.NetworkPolicyEgressRule{
			Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, int(p))},
		}
		slices.Sort(peers[p])
		for _, cidr := range slices.Compact(peers[p]) {
			rule.To = append(rule.To, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}})
		}
		rules = append(rules, rule)
	}
	return rules
}

// internet is all of it but what is blocked. The API server takes an exception only if it is smaller than the whole, so
// that blocking a whole family leaves it out.
func internet(blocked []string) []networkingv1.NetworkPolicyPeer {
	except4, except6 := slices.Clone(notInternet4), slices.Clone(notInternet6)
	for _, b := range blocked {
		_, network, err := net.ParseCIDR(b)
		if err != nil {
			continue // settings.Read has checked it
		}
		if cidr := network.String(); strings.Contains(cidr, ":") {
			except6 = append(except6, cidr)
		} else {
			except4 = append(except4, cidr)
		}
	}
	var peers []networkingv1.NetworkPolicyPeer
	for _, family := range []networkingv1.IPBlock{{CIDR: "0.0.0.0/0", Except: except4}, {CIDR: "::/0", Except: except6}} {
		if !slices.Contains(family.Except, family.CIDR) {
			slices.Sort(family.Except)
			family.Except = slices.Compact(family.Except)
			peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: &family})
		}
	}
	return peers
}
