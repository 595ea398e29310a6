package object_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"aphex.io/platform/functions/internal/object"
)

// What From sends, server-side apply makes ours, so each expectation is the whole object.
func TestFromSendsWhatABuilderSetsAndNothingElse(t *testing.T) {
	pods := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "c", Image: "i",
			SecurityContext: &corev1.SecurityContext{Privileged: new(false), AllowPrivilegeEscalation: new(false), RunAsUser: new(int64(0))},
		}},
		Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}}
	cases := map[string]struct {
		typed any
		want  map[string]any
	}{
		"status, timestamps, strategy and resources that nobody set are left out": {
			typed: &appsv1.Deployment{
				TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
				ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "d"},
				Spec:       appsv1.DeploymentSpec{Replicas: new(int32(0)), Selector: &metav1.LabelSelector{}, Template: pods},
				Status:     appsv1.DeploymentStatus{Replicas: 3, ObservedGeneration: 7},
			},
			want: map[string]any{
				"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"namespace": "n", "name": "d"},
				"spec": map[string]any{
					"replicas": int64(0), "selector": map[string]any{},
					"template": map[string]any{"metadata": map[string]any{}, "spec": map[string]any{
						"containers": []any{map[string]any{
							"name": "c", "image": "i",
							"securityContext": map[string]any{"privileged": false, "allowPrivilegeEscalation": false, "runAsUser": int64(0)},
						}},
						"volumes": []any{map[string]any{"name": "tmp", "emptyDir": map[string]any{}}},
					}},
				},
			},
		},
		"strategy and resources that somebody set are kept": {
			typed: &appsv1.Deployment{
				Spec: appsv1.DeploymentSpec{
					Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
					Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
						Name:      "c",
						Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("1Gi")}},
					}}}},
				},
			},
			want: map[string]any{
				"metadata": map[string]any{},
				"spec": map[string]any{
					"selector": nil, "strategy": map[string]any{"type": "Recreate"},
					"template": map[string]any{"metadata": map[string]any{}, "spec": map[string]any{"containers": []any{map[string]any{
						"name": "c", "resources": map[string]any{"limits": map[string]any{"cpu": "500m", "memory": "1Gi"}},
					}}}},
				},
			},
		},
		"an empty podSelector, which selects every pod, is kept": {
			typed: &networkingv1.NetworkPolicy{
				TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
				Spec: networkingv1.NetworkPolicySpec{
					PolicyTypes: []networkingv1.PolicyType{"Ingress", "Egress"},
					Ingress:     []networkingv1.NetworkPolicyIngressRule{{}},
					Egress: []networkingv1.NetworkPolicyEgressRule{{
						To:    []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}},
						Ports: []networkingv1.NetworkPolicyPort{{Port: new(intstr.FromInt32(53))}},
					}},
				},
			},
			want: map[string]any{
				"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{},
				"spec": map[string]any{
					"podSelector": map[string]any{}, "policyTypes": []any{"Ingress", "Egress"}, "ingress": []any{map[string]any{}},
					"egress": []any{map[string]any{
						"to":    []any{map[string]any{"namespaceSelector": map[string]any{}}},
						"ports": []any{map[string]any{"port": int64(53)}},
					}},
				},
			},
		},
		"bytes become base64": {
			typed: &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, Data: map[string][]byte{"k": []byte("value"), "none": {}}},
			want: map[string]any{
				"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{}, "data": map[string]any{"k": "dmFsdWU=", "none": ""},
			},
		},
		"an empty list that is not nil is kept": {
			typed: &rbacv1.Role{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"}, Rules: []rbacv1.PolicyRule{}},
			want: map[string]any{
				"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": map[string]any{}, "rules": []any{},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := object.From(c.typed)
			require.NoError(t, err)
			require.Equal(t, c.want, object.NewObject(s).Map())
		})
	}
}

func TestFromTakesUnstructuredContentAsItIs(t *testing.T) {
	s, err := object.From(map[string]any{
		"kind": "Thing", "status": map[string]any{"id": "x"}, "list": []any{int64(1), 2.5, true, nil, "s"}, "empty": map[string]any{},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"kind": "Thing", "status": map[string]any{"id": "x"}, "list": []any{int64(1), 2.5, true, nil, "s"}, "empty": map[string]any{},
	}, object.NewObject(s).Map())
}

func TestFromNamesWhatCannotBeSent(t *testing.T) {
	_, err := object.From(map[string]any{"spec": map[string]any{"list": []any{"good", "\xff"}}})
	require.ErrorContains(t, err, "spec: list: [1]: ")
	_, err = object.From(7)
	require.ErrorContains(t, err, "convert int to its wire form")
}

func TestFromStatusKeepsEverything(t *testing.T) {
	type status struct {
		Phase string `json:"phase,omitempty"`
		Count int64  `json:"count"`
	}
	s, err := object.FromStatus(&status{})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"count": int64(0)}, object.NewObject(s).Map())
}

func TestWholeNumbersStayWhole(t *testing.T) {
	s, err := object.From(map[string]any{"port": int64(8080), "half": 0.5, "negative": int64(-3), "large": float64(1 << 60), "huge": math.MaxFloat64})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"port": int64(8080), "half": 0.5, "negative": int64(-3), "large": float64(1 << 60), "huge": math.MaxFloat64},
		object.NewObject(s).Map())
}
