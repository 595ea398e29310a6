package main

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"aphex.io/platform/functions/internal/cloudflare"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

const (
	connectorConfigFile = "config.yaml"
	connectorConfigDir  = "/etc/cloudflared/config"
	credentialsDir      = "/etc/cloudflared/credentials"
	// metricsPort serves /ready, which fails while there is no connection to Cloudflare.
	metricsPort = 2000

	// A change of either annotation replaces the pods: cloudflared reads both files only when it starts.
	configHashAnnotation      = "platform.aphex/config-hash"
	credentialsHashAnnotation = "platform.aphex/credentials-hash"
)

// connectorConfiguration is cloudflared's configuration file: it sends the organization's host to its listener, a shard's
// path to that, and anything else nowhere. YAML knows all escapes that Go's quotes use. See
// https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/do-more-with-tunnels/local-management/configuration-file/.
func connectorConfiguration(set *settings.Settings, tunnelID string, n names) string {
	host, ingress := strconv.Quote(set.WebhookHost(n.Org)), ""
	all := listeners(set, n)
	for _, l := range all[1:] {
		ingress += "- hostname: " + host + "\n  path: ^" + l.path + "$\n  service: " + origin(l, n) + "\n"
	}
	ingress += "- hostname: " + host + "\n  service: " + origin(all[0], n) + "\n"
	return "credentials-file: " + credentialsDir + "/" + cloudflare.CredentialsKey + `
ingress:
` + ingress + `- service: http_status:404
metrics: 0.0.0.0:` + strconv.Itoa(metricsPort) + `
no-autoupdate: true
tunnel: ` + strconv.Quote(tunnelID) + "\n"
}

// origin is where a listener's Service is. The search domains of a pod complete the name, whatever the domain of the cluster.
func origin(l listener, n names) string {
	return "http://" + l.Service() + "." + n.Namespace + ".svc:" + strconv.Itoa(listenerPort)
}

func connectorConfigMap(configuration string, n names) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: n.Meta(connectorConfig),
		Data:       map[string]string{connectorConfigFile: configuration},
	}
}

// configHash is what the pods say of their configuration. Crossplane applies objects in no particular order, and a pod that
// starts before its ConfigMap is changed would go on with the old one: pods are replaced once the new one is seen.
func configHash(seen *object.Observed, configuration string) string {
	running := seen.Composed(keyConnector).String("spec", "template", "metadata", "annotations", configHashAnnotation)
	if running == "" || seen.Composed(keyConnectorConfig).String("data", connectorConfigFile) == configuration {
		return object.Hash([]byte(configuration))
	}
	return running
}

// connector runs cloudflared. Its pods get the credentials as a file, since an environment is easier to leak, and no
// identity in the cluster.
func connector(set *settings.Settings, configHash string, credentials object.Object, n names) *appsv1.Deployment {
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: n.Meta(connectorName),
		Spec: appsv1.DeploymentSpec{
			Replicas: new(set.Cloudflared.Replicas),
			Selector: &metav1.LabelSelector{MatchLabels: n.ConnectorPods()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels: with(n.Labels(), n.ConnectorPods()),
					Annotations: map[string]string{
						configHashAnnotation:      configHash,
						credentialsHashAnnotation: object.Hash(credentials.SecretData(cloudflare.CredentialsKey)),
					},
				},
				Spec: corev1.PodSpec{
					AutomountServiceAccountToken: new(false),
					EnableServiceLinks:           new(false),
					// cloudflared takes up to 30 s to finish the requests that are under way.
					TerminationGracePeriodSeconds: new(int64(45)),
					TopologySpreadConstraints:     spreadOverNodes(n.ConnectorPods()),
					SecurityContext:               kube.UnprivilegedPod(),
					Containers:                    []corev1.Container{connectorContainer(set)},
					Volumes: []corev1.Volume{
						{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
							LocalObjectReference: corev1.LocalObjectReference{Name: connectorConfig},
						}}},
						kube.SecretVolume("credentials", n.Credentials, cloudflare.CredentialsKey),
					},
				},
			},
		},
	}
}

func connectorContainer(set *settings.Settings) corev1.Container {
	ready := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("metrics")}}
	return corev1.Container{
		Name:  connectorName,
		Image: set.Cloudflared.Image,
		Args:  []string{"tunnel", "--config", connectorConfigDir + "/" + connectorConfigFile, "run"},
		Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: metricsPort, Protocol: corev1.ProtocolTCP}},
		Resources: corev1.ResourceRequirements{
			Requests: kube.Resources("50m", "64Mi"),
			Limits:   kube.Resources("500m", "256Mi"),
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "config", MountPath: connectorConfigDir, ReadOnly: true},
			{Name: "credentials", MountPath: credentialsDir, ReadOnly: true},
		},
		ReadinessProbe: &corev1.Probe{ProbeHandler: ready, PeriodSeconds: 10, TimeoutSeconds: 5, FailureThreshold: 3},
		// Patient, because a restart does not help while Cloudflare cannot be reached.
		LivenessProbe: &corev1.Probe{
			ProbeHandler: ready, InitialDelaySeconds: 60, PeriodSeconds: 30, TimeoutSeconds: 5, FailureThreshold: 10,
		},
		SecurityContext: kube.UnprivilegedContainer(),
	}
}

// connectorDisruptionBudget lets nodes be drained one at a time, also where there is only one connector.
func connectorDisruptionBudget(n names) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: n.Meta(connectorName),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(1)),
			Selector:       &metav1.LabelSelector{MatchLabels: n.ConnectorPods()},
		},
	}
}
