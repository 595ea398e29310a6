package v1alpha1

import "k8s.io/apimachinery/pkg/labels"

// Matches says whether the selector selects that Tunnel, which must be in the selector's namespace.
func (s *TunnelSelector) Matches(t *Tunnel) bool {
	return labels.SelectorFromSet(s.MatchLabels).Matches(labels.Set(t.Labels))
}
