package main

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
	"aphex.io/platform/functions/internal/tekton"
)

const (
	tektonGroup   = "tekton.dev"
	triggersGroup = "triggers.tekton.dev"
)

// listenerClusterRole lets the listener find the interceptors. Everything else it may do is in its own namespace, and,
// to start runs, in those of its organization's pipelines.
func listenerClusterRole(n names) *rbacv1.ClusterRole {
	return kube.ClusterRole(n.ClusterMeta(n.ListenerClusterRole),
		kube.Rule(triggersGroup, []string{"clusterinterceptors", "clustertriggerbindings"}, "get", "list", "watch"))
}

func listenerClusterRoleBinding(n names) *rbacv1.ClusterRoleBinding {
	return kube.ClusterRoleBinding(n.ClusterMeta(n.ListenerClusterRole), n.ListenerClusterRole,
		kube.ServiceAccountSubject(n.Namespace, listenerAccount))
}

// listenerRole has no right on Secrets: Tekton's interceptors read the webhook secret, not the listener.
func listenerRole(n names) *rbacv1.Role {
	return kube.Role(n.Meta(listenerAccount), kube.Rule(triggersGroup,
		[]string{"eventlisteners", "triggers", "triggerbindings", "triggertemplates", "interceptors"}, "get", "list", "watch"))
}

func listenerRoleBinding(n names) *rbacv1.RoleBinding {
	return kube.RoleBinding(n.Meta(listenerAccount), listenerAccount, kube.ServiceAccountSubject(n.Namespace, listenerAccount))
}

// listener is an EventListener: the one that has all Triggers of the organization, or a shard of it.
type listener struct {
	key, name string
	// path is a shard's in the webhook URL.
	path string
	// triggers are the labels of those that it has.
	triggers map[string]string
}

// listeners are all of an organization, the one that has all Triggers first.
func listeners(set *settings.Settings, n names) []listener {
	out := []listener{{key: keyListener, name: listenerName, triggers: map[string]string{kube.LabelOrganization: n.Org}}}
	for shard := 1; shard <= int(set.Listener.Shards); shard++ {
		out = append(out, listener{
			key:      keyListenerShard + tekton.ShardLabel(shard),
			name:     tekton.ShardListener(shard),
			path:     tekton.ShardPath(shard),
			triggers: map[string]string{kube.LabelOrganization: n.Org, kube.LabelShard: tekton.ShardLabel(shard)},
		})
	}
	return out
}

// Service is what Tekton makes for a listener.
func (l listener) Service() string { return "el-" + l.name }

// eventListener passes events that GitHub signed to the Triggers of this namespace that the listener has.
func eventListener(xr *v1alpha1.XOrganization, keys *keyring, l listener, n names) *tekton.EventListener {
	var groups []tekton.TriggerGroup
	for _, key := range keys.all() {
		groups = append(groups, signedWith(key, xr.Spec.Suspend, l))
	}
	return &tekton.EventListener{
		TypeMeta:   metav1.TypeMeta{APIVersion: tekton.TriggersAPIVersion, Kind: "EventListener"},
		ObjectMeta: n.Meta(l.name),
		Spec: tekton.EventListenerSpec{
			ServiceAccountName: listenerAccount,
			TriggerGroups:      groups,
			Resources: tekton.Resources{KubernetesResource: tekton.KubernetesResource{
				Replicas: 2,
				Spec: tekton.KubernetesResourceSpec{Template: tekton.PodTemplate{Spec: tekton.PodSpec{
					Containers: []tekton.Container{{
						Env: listenerEnv(n),
						Resources: corev1.ResourceRequirements{
							Requests: kube.Resources("20m", "64Mi"),
							Limits:   kube.Resources("500m", "512Mi"),
						},
					}},
					TopologySpreadConstraints: spreadOverNodes(listenerPods(l.name)),
				}}},
			}},
		},
	}
}

// listening judges a listener. Tekton calls one not ready when one of its two pods is missing, and does not say how many
// work; its Deployment does.
func listening(seen *object.Observed, l listener, n names) object.Readiness {
	return func(o object.Object) (bool, string) {
		ready, why := object.ReadyWhen("Ready")(o)
		if ready || o.Deleting() || o.Condition("Available").Status != object.False {
			return ready, why
		}
		deployment := seen.Get("apps/v1", "Deployment", n.Namespace, l.Service())
		if _, _, owner := deployment.Controller(); owner == "" || owner != o.UID() {
			return false, why
		}
		if serving, remark := object.ReadyWhenServing(deployment); serving {
			return true, remark
		}
		return false, why
	}
}

// listenerEnvironment is what the listener's process is told. By itself it would create five runs a second, and let memory
// grow with each large delivery until it is killed for it, signed or not. See https://pkg.go.dev/runtime for GOMEMLIMIT and
// https://github.com/knative/pkg/blob/main/environment/client_config.go for the others.
func listenerEnvironment(n names) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: n.Meta(listenerEnvironmentName),
		Data: map[string][]byte{
			"GOMEMLIMIT":     []byte("384MiB"),
			"KUBE_API_BURST": []byte("100"),
			"KUBE_API_QPS":   []byte("50"),
		},
		Type: corev1.SecretTypeOpaque,
	}
}

func listenerEnv(n names) []corev1.EnvVar {
	secret := listenerEnvironment(n)
	var env []corev1.EnvVar
	for _, name := range slices.Sorted(maps.Keys(secret.Data)) {
		env = append(env, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: secret.Name}, Key: name,
		}}})
	}
	return env
}

// signedWith passes on what was signed with one key. No two groups check the same one, so a delivery passes one at most.
func signedWith(key webhookKey, suspended bool, l listener) tekton.TriggerGroup {
	interceptors := []tekton.Interceptor{
		tekton.ClusterInterceptor("github",
			tekton.InterceptorParam{Name: "secretRef", Value: map[string]any{
				"secretName": webhookSecretName, "secretKey": webhookKeyName(key.version),
			}},
			tekton.InterceptorParam{Name: "eventTypes", Value: []any{"push", "pull_request"}},
		),
	}
	if suspended {
		// Deliveries are still answered, so that GitHub does not report the webhook as broken.
		interceptors = append(interceptors, tekton.ClusterInterceptor("cel", tekton.InterceptorParam{Name: "filter", Value: "false"}))
	}
	return tekton.TriggerGroup{
		Name:         triggerGroup(key.version),
		Interceptors: interceptors,
		TriggerSelector: tekton.TriggerSelector{
			LabelSelector: metav1.LabelSelector{MatchLabels: l.triggers},
		},
	}
}

func triggerBinding(n names) *tekton.TriggerBinding {
	return &tekton.TriggerBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: tekton.TriggersAPIVersion, Kind: "TriggerBinding"},
		ObjectMeta: n.Meta(tekton.EventBinding),
		Spec:       tekton.TriggerBindingSpec{Params: tekton.EventParams()},
	}
}

// listenerNetworkPolicy lets nothing but cloudflared reach any listener.
func listenerNetworkPolicy(n names) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: n.Meta(listenerPolicy),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: allListenerPods()},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: n.ConnectorPods()}}},
				Ports: []networkingv1.NetworkPolicyPort{{
					Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(listenerPort)),
				}},
			}},
		},
	}
}

// spreadOverNodes prefers different nodes, and still runs on a cluster that has only one.
func spreadOverNodes(pods map[string]string) []corev1.TopologySpreadConstraint {
	return []corev1.TopologySpreadConstraint{{
		MaxSkew:           1,
		TopologyKey:       corev1.LabelHostname,
		WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector:     &metav1.LabelSelector{MatchLabels: pods},
	}}
}
