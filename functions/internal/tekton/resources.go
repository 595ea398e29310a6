package tekton

import (
	corev1 "k8s.io/api/core/v1"
)

// Resources say what Tekton makes for a listener.
type Resources struct {
	KubernetesResource KubernetesResource `json:"kubernetesResource"`
}

// KubernetesResource is the listener's Deployment, in the shape of https://tekton.dev/docs/triggers/eventlisteners/.
type KubernetesResource struct {
	Replicas int32                  `json:"replicas"`
	Spec     KubernetesResourceSpec `json:"spec"`
}

// KubernetesResourceSpec holds the listener's pod template.
type KubernetesResourceSpec struct {
	Template PodTemplate `json:"template"`
}

// PodTemplate is the template of the listener's pods.
type PodTemplate struct {
	Spec PodSpec `json:"spec"`
}

// PodSpec has the few fields of a pod that Tekton lets its user set.
type PodSpec struct {
	Containers                []Container                       `json:"containers"`
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
}

// Container is the listener's only container, which has neither name nor image here. Tekton takes its environment only
// from Secrets.
type Container struct {
	Env       []corev1.EnvVar             `json:"env,omitempty"`
	Resources corev1.ResourceRequirements `json:"resources"`
}
