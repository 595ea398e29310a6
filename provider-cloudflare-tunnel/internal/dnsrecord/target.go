package dnsrecord

import (
	"context"
	"fmt"
	"slices"
	"strings"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
)

// target is the host name that the record points at. An error says which Tunnel is awaited; the controller hears of it as
// soon as that one has an id.
func target(ctx context.Context, kube client.Reader, cr *v1alpha1.DNSRecord) (string, error) {
	p := cr.Spec.ForProvider
	switch {
	case p.Content != nil:
		return *p.Content, nil
	case p.TunnelRef != nil:
		t := &v1alpha1.Tunnel{}
		err := kube.Get(ctx, types.NamespacedName{Namespace: cr.Namespace, Name: p.TunnelRef.Name}, t)
		if kerrors.IsNotFound(err) {
			return "", fmt.Errorf("waiting for Tunnel %s, which does not exist", p.TunnelRef.Name)
		}
		if err != nil {
			return "", fmt.Errorf("read Tunnel %s: %w", p.TunnelRef.Name, err)
		}
		return cname(t)
	case p.TunnelSelector != nil:
		list := &v1alpha1.TunnelList{}
		if err := kube.List(ctx, list, client.InNamespace(cr.Namespace), client.MatchingLabels(p.TunnelSelector.MatchLabels)); err != nil {
			return "", fmt.Errorf("list Tunnels: %w", err)
		}
		return selected(list.Items)
	}
	return "", fmt.Errorf("nothing to point at; set one of content, tunnelRef and tunnelSelector")
}

// selected is the host name of the one Tunnel that a selector selects.
func selected(tunnels []v1alpha1.Tunnel) (string, error) {
	switch len(tunnels) {
	case 0:
		return "", fmt.Errorf("waiting for a Tunnel with the labels of tunnelSelector; none has them")
	case 1:
		return cname(&tunnels[0])
	}
	var names []string
	for _, t := range tunnels {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return "", fmt.Errorf("tunnelSelector selects Tunnels %s; it must select one", strings.Join(names, ", "))
}

func cname(t *v1alpha1.Tunnel) (string, error) {
	if t.Status.AtProvider.CNAME == "" {
		return "", fmt.Errorf("waiting for Tunnel %s, which does not exist at Cloudflare yet", t.Name)
	}
	return t.Status.AtProvider.CNAME, nil
}

// pointsAt says whether the record's target depends on that Tunnel.
func pointsAt(cr *v1alpha1.DNSRecord, t *v1alpha1.Tunnel) bool {
	p := cr.Spec.ForProvider
	switch {
	case cr.Namespace != t.Namespace:
		return false
	case p.TunnelRef != nil:
		return p.TunnelRef.Name == t.Name
	case p.TunnelSelector != nil:
		return p.TunnelSelector.Matches(t)
	}
	return false
}
