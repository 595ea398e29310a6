package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// The raiders, all of the organization raid-a or its pipelines raid-web (standard) and raid-api (elevated). What they must
// not reach is the other organization, raid-b, with its pipeline raid-other, and everything above them.
//
//	web        a pod of raid-web, with its token of pipeline-runner
//	api        a pod of raid-api, likewise
//	listener   the listener's pod, with its token of eventlistener
//	reader     External Secrets, with a token of eso-secrets-reader
//	admin      an administrator of raid-a, with a client certificate
//	connector  a pod of cloudflared, which has no token
const raiders = "web api listener reader admin connector"

// raider is one of them: the name that the API server knows, and requests under it.
type raider struct {
	name   string
	client rest.Interface
}

// attempt is one row of the table. Whom it does not name is refused by RBAC.
type attempt struct {
	what string
	// request is the method and path. Whatever changes something is a dry run, which asks the same authorizers and policies.
	request string
	// body is YAML: the object, or a merge patch.
	body string
	// as is whom the request impersonates: user, or user and group.
	as string
	// succeeds are the raiders to whom it is allowed.
	succeeds string
	// barred are those who have the right, but are refused by admission, which says by.
	barred, by string
}

// loot is the name of everything that the attempts make.
const loot = "raid-loot"

var attempts = []attempt{
	// What everybody may do, so that a client that does not work cannot pass for one that is refused.
	{what: "ask for the version", request: "GET /version", succeeds: raiders},
	{what: "ask for their own rights", request: "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
		body: "spec: {namespace: raid-web}", succeeds: "web api listener reader admin"},

	// Secrets.
	{what: "list secrets of raid-web", request: "GET /api/v1/namespaces/raid-web/secrets", succeeds: "web"},
	{what: "list secrets of raid-api", request: "GET /api/v1/namespaces/raid-api/secrets", succeeds: "api"},
	{what: "list secrets of another organization's pipeline", request: "GET /api/v1/namespaces/raid-other/secrets"},
	{what: "list secrets of the organization", request: "GET /api/v1/namespaces/org-raid-a/secrets"},
	{what: "list secrets of another organization", request: "GET /api/v1/namespaces/org-raid-b/secrets"},
	{what: "list secrets of the cluster", request: "GET /api/v1/secrets"},
	{what: "watch secrets of the organization", request: "GET /api/v1/namespaces/org-raid-a/secrets?watch=1&timeoutSeconds=1"},
	{what: "read org-secrets", request: "GET /api/v1/namespaces/org-raid-a/secrets/org-secrets", succeeds: "reader admin"},
	{what: "change org-secrets", request: "PATCH /api/v1/namespaces/org-raid-a/secrets/org-secrets",
		body: "stringData: {a: b}", succeeds: "admin"},
	{what: "read another organization's org-secrets", request: "GET /api/v1/namespaces/org-raid-b/secrets/org-secrets"},
	{what: "read the webhook secret", request: "GET /api/v1/namespaces/org-raid-a/secrets/github-webhook-secret"},
	{what: "change the webhook secret", request: "PATCH /api/v1/namespaces/org-raid-a/secrets/github-webhook-secret", body: "stringData: {secret: mine}"},
	{what: "delete the webhook secret", request: "DELETE /api/v1/namespaces/org-raid-a/secrets/github-webhook-secret"},
	{what: "read another organization's webhook secret", request: "GET /api/v1/namespaces/org-raid-b/secrets/github-webhook-secret"},
	{what: "read the claim's connection secret", request: "GET /api/v1/namespaces/e2e-attack/secrets/raid-a-connection"},
	{what: "read the tunnel's credentials", request: "GET /api/v1/namespaces/org-raid-a/secrets/cloudflared-credentials-raid-a"},
	{what: "read another organization's tunnel credentials", request: "GET /api/v1/namespaces/org-raid-b/secrets/cloudflared-credentials-raid-b"},
	{what: "read the platform's Cloudflare token", request: "GET /api/v1/namespaces/crossplane-system/secrets/cloudflare"},
	{what: "read the Terraform backend of raid-web", request: "GET /api/v1/namespaces/raid-web/secrets/terraform-backend-config", succeeds: "web"},
	{what: "delete what Crossplane composed", request: "DELETE /api/v1/namespaces/raid-web/secrets/terraform-backend-config",
		barred: "web", by: "only Crossplane and cluster administrators may delete it"},
	{what: "hide from Crossplane what it composed", request: "PUT /api/v1/namespaces/raid-web/secrets/terraform-backend-config",
		body: "{apiVersion: v1, kind: Secret, metadata: {name: terraform-backend-config}}", barred: "web", by: "leave both as they are"},
	{what: "delete their composed pipeline", request: "DELETE /apis/tekton.dev/v1/namespaces/raid-api/pipelines/raid-api",
		barred: "api", by: "only Crossplane and cluster administrators may delete it"},
	{what: "make a secret in raid-web", request: "POST /api/v1/namespaces/raid-web/secrets", body: newObject("v1", "Secret"), succeeds: "web"},
	{what: "make a secret in raid-other", request: "POST /api/v1/namespaces/raid-other/secrets", body: newObject("v1", "Secret")},
	{what: "make a secret in the organization", request: "POST /api/v1/namespaces/org-raid-a/secrets", body: newObject("v1", "Secret"), succeeds: "admin"},
	{what: "make a secret in another organization", request: "POST /api/v1/namespaces/org-raid-b/secrets", body: newObject("v1", "Secret")},
	{what: "delete all secrets of raid-web", request: "DELETE /api/v1/namespaces/raid-web/secrets"},

	// Tokens of others, and tokens that last.
	{what: "ask for a token of the listener", request: "POST /api/v1/namespaces/org-raid-a/serviceaccounts/eventlistener/token", body: "spec: {}"},
	{what: "ask for a token of the reader of secrets", request: "POST /api/v1/namespaces/org-raid-a/serviceaccounts/eso-secrets-reader/token", body: "spec: {}"},
	{what: "ask for a token of their own pipeline", request: "POST /api/v1/namespaces/raid-web/serviceaccounts/pipeline-runner/token", body: "spec: {}"},
	{what: "ask for a token of another organization's pipeline", request: "POST /api/v1/namespaces/raid-other/serviceaccounts/pipeline-runner/token", body: "spec: {}"},
	{what: "ask for a token of Crossplane", request: "POST /api/v1/namespaces/crossplane-system/serviceaccounts/crossplane/token", body: "spec: {}"},
	{what: "make a secret for the listener's token", request: "POST /api/v1/namespaces/org-raid-a/secrets", body: tokenSecret("eventlistener"),
		barred: "admin", by: "only cluster administrators may create one here"},
	{what: "make a secret for a lasting token of raid-web", request: "POST /api/v1/namespaces/raid-web/secrets", body: tokenSecret("pipeline-runner"),
		barred: "web", by: "only cluster administrators may create one here"},
	{what: "make a service account", request: "POST /api/v1/namespaces/raid-web/serviceaccounts", body: newObject("v1", "ServiceAccount")},
	{what: "review somebody's token", request: "POST /apis/authentication.k8s.io/v1/tokenreviews", body: "spec: {token: x}"},

	// Runs.
	{what: "start a run in raid-web", request: "POST /apis/tekton.dev/v1/namespaces/raid-web/pipelineruns", body: newRun("pipeline-runner"), succeeds: "web listener"},
	{what: "start a run in raid-web as another account of it", request: "POST /apis/tekton.dev/v1/namespaces/raid-web/pipelineruns", body: newRun("default"), succeeds: "web listener"},
	{what: "start a run in raid-api", request: "POST /apis/tekton.dev/v1/namespaces/raid-api/pipelineruns", body: newRun("pipeline-runner"), succeeds: "api listener"},
	{what: "start a run of another organization", request: "POST /apis/tekton.dev/v1/namespaces/raid-other/pipelineruns", body: newRun("pipeline-runner")},
	{what: "start a run as the listener", request: "POST /apis/tekton.dev/v1/namespaces/org-raid-a/pipelineruns", body: newRun("eventlistener")},
	{what: "start a run in the default namespace", request: "POST /apis/tekton.dev/v1/namespaces/default/pipelineruns", body: newRun("default")},
	{what: "start a run as Argo CD", request: "POST /apis/tekton.dev/v1/namespaces/argocd/pipelineruns", body: newRun("argocd-application-controller")},
	{what: "start a task in raid-other", request: "POST /apis/tekton.dev/v1/namespaces/raid-other/taskruns", body: newObject("tekton.dev/v1", "TaskRun")},
	{what: "list runs of raid-api", request: "GET /apis/tekton.dev/v1/namespaces/raid-api/pipelineruns", succeeds: "api"},
	{what: "make a task in raid-web", request: "POST /apis/tekton.dev/v1/namespaces/raid-web/tasks", body: newObject("tekton.dev/v1", "Task")},
	{what: "make a task in raid-api", request: "POST /apis/tekton.dev/v1/namespaces/raid-api/tasks", body: newObject("tekton.dev/v1", "Task"), succeeds: "api"},
	{what: "change the pipeline of raid-web", request: "PATCH /apis/tekton.dev/v1/namespaces/raid-web/pipelines/raid-web", body: "metadata: {annotations: {a: b}}"},
	{what: "forge the result of a run", request: "PATCH /apis/tekton.dev/v1/namespaces/raid-web/pipelineruns/any/status", body: "status: {}"},

	// More rights.
	{what: "become cluster-admin in raid-web", request: "POST /apis/rbac.authorization.k8s.io/v1/namespaces/raid-web/rolebindings", body: newBinding("ClusterRole", "cluster-admin")},
	{what: "become cluster-admin in the organization", request: "POST /apis/rbac.authorization.k8s.io/v1/namespaces/org-raid-a/rolebindings", body: newBinding("ClusterRole", "cluster-admin")},
	{what: "become admin in another organization", request: "POST /apis/rbac.authorization.k8s.io/v1/namespaces/org-raid-b/rolebindings", body: newBinding("ClusterRole", "admin")},
	{what: "give their own role to others", request: "POST /apis/rbac.authorization.k8s.io/v1/namespaces/raid-web/rolebindings", body: newBinding("Role", "pipeline-runner")},
	{what: "become cluster-admin everywhere", request: "POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body: newBinding("ClusterRole", "cluster-admin")},
	{what: "make a role for everything", request: "POST /apis/rbac.authorization.k8s.io/v1/namespaces/raid-web/roles",
		body: newObject("rbac.authorization.k8s.io/v1", "Role") + `rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]`},
	{what: "make a cluster role for everything", request: "POST /apis/rbac.authorization.k8s.io/v1/clusterroles",
		body: newObject("rbac.authorization.k8s.io/v1", "ClusterRole") + `rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]`},
	{what: "widen the pipeline's role", request: "PATCH /apis/rbac.authorization.k8s.io/v1/namespaces/raid-web/roles/pipeline-runner",
		body: `rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]`},
	{what: "widen the pipeline's cluster role", request: "PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/pipeline-runner-raid-web",
		body: `rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]`},
	{what: "widen Crossplane's role through aggregation", request: "POST /apis/rbac.authorization.k8s.io/v1/clusterroles",
		body: `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: raid-loot, labels: {rbac.crossplane.io/aggregate-to-crossplane: "true"}}}`},
	{what: "join the administrators", request: "PATCH /apis/rbac.authorization.k8s.io/v1/namespaces/org-raid-a/rolebindings/organization-admin", body: "subjects: []"},
	{what: "join the listener", request: "PATCH /apis/rbac.authorization.k8s.io/v1/namespaces/raid-web/rolebindings/eventlistener", body: "subjects: []"},
	{what: "read roles", request: "GET /apis/rbac.authorization.k8s.io/v1/namespaces/org-raid-a/roles"},
	{what: "act as an administrator of the cluster", request: "GET /api/v1/namespaces/kube-system/secrets", as: "raid-root system:masters"},
	{what: "act as somebody else", request: "GET /version", as: "admin@raid-b.example.com"},
	{what: "act as another organization's pipeline", request: "GET /api/v1/namespaces/raid-other/secrets", as: "system:serviceaccount:raid-other:pipeline-runner"},
	{what: "act as the listener", request: "GET /version", as: "system:serviceaccount:org-raid-a:eventlistener"},
	{what: "ask for a client certificate", request: "POST /apis/certificates.k8s.io/v1/certificatesigningrequests",
		body: newObject("certificates.k8s.io/v1", "CertificateSigningRequest") + "spec: {signerName: kubernetes.io/kube-apiserver-client, request: eA==, usages: [client auth]}"},
	{what: "approve a client certificate", request: "PUT /apis/certificates.k8s.io/v1/certificatesigningrequests/raid-loot/approval",
		body: newObject("certificates.k8s.io/v1", "CertificateSigningRequest")},

	// Namespaces, and what bounds them.
	{what: "move raid-web to another organization", request: "PATCH /api/v1/namespaces/raid-web", body: "metadata: {labels: {aphex.dev/org: raid-b}}"},
	{what: "open another namespace to the organization", request: "PATCH /api/v1/namespaces/default", body: "metadata: {labels: {aphex.dev/org: raid-a}}"},
	{what: "annotate raid-web", request: "PATCH /api/v1/namespaces/raid-web", body: "metadata: {annotations: {aphex.dev/org: raid-b}}"},
	{what: "lift the Pod Security of raid-web", request: "PATCH /api/v1/namespaces/raid-web", body: "metadata: {labels: {pod-security.kubernetes.io/enforce: privileged}}"},
	{what: "label raid-web through its status", request: "PATCH /api/v1/namespaces/raid-web/status", body: "metadata: {labels: {aphex.dev/org: raid-b}}"},
	{what: "finalize raid-web", request: "PUT /api/v1/namespaces/raid-web/finalize", body: "{apiVersion: v1, kind: Namespace, metadata: {name: raid-web}}"},
	{what: "make a namespace", request: "POST /api/v1/namespaces", body: "{apiVersion: v1, kind: Namespace, metadata: {name: raid-loot, labels: {aphex.dev/org: raid-b}}}"},
	{what: "list namespaces", request: "GET /api/v1/namespaces"},
	{what: "delete raid-web", request: "DELETE /api/v1/namespaces/raid-web"},
	{what: "delete the organization's namespace", request: "DELETE /api/v1/namespaces/org-raid-a"},
	{what: "raise the quota", request: "PATCH /api/v1/namespaces/raid-web/resourcequotas/tenant-quota", body: `spec: {hard: {pods: "1000"}}`},
	{what: "delete the quota", request: "DELETE /api/v1/namespaces/raid-web/resourcequotas/tenant-quota"},
	{what: "delete the limits", request: "DELETE /api/v1/namespaces/raid-web/limitranges/tenant-limits"},
	{what: "delete the network policy", request: "DELETE /apis/networking.k8s.io/v1/namespaces/raid-web/networkpolicies/tenant-isolation"},
	{what: "open the network policy", request: "PATCH /apis/networking.k8s.io/v1/namespaces/raid-web/networkpolicies/tenant-isolation", body: "spec: {egress: [{}]}"},
	{what: "add a network policy that lets everything out", request: "POST /apis/networking.k8s.io/v1/namespaces/raid-web/networkpolicies",
		body: newObject("networking.k8s.io/v1", "NetworkPolicy") + "spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}"},
	{what: "add a network policy that lets everything in", request: "POST /apis/networking.k8s.io/v1/namespaces/org-raid-a/networkpolicies",
		body: newObject("networking.k8s.io/v1", "NetworkPolicy") + "spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}"},

	// Pods.
	{what: "run a pod in raid-web", request: "POST /api/v1/namespaces/raid-web/pods", body: newPod(""), succeeds: "web"},
	{what: "run a pod in raid-api", request: "POST /api/v1/namespaces/raid-api/pods", body: newPod(""), succeeds: "api"},
	{what: "run a pod in raid-other", request: "POST /api/v1/namespaces/raid-other/pods", body: newPod("")},
	{what: "run a pod in the organization", request: "POST /api/v1/namespaces/org-raid-a/pods", body: newPod("serviceAccountName: eventlistener")},
	{what: "run a pod as an account of another namespace", request: "POST /api/v1/namespaces/raid-web/pods", body: newPod("serviceAccountName: eventlistener"),
		barred: "web", by: `serviceaccount "eventlistener" not found`},
	{what: "mount a node's files", request: "POST /api/v1/namespaces/raid-web/pods", body: newPod("volumes: [{name: host, hostPath: {path: /}}]"),
		barred: "web", by: `violates PodSecurity "baseline:latest": hostPath volumes`},
	{what: "join a node's network", request: "POST /api/v1/namespaces/raid-web/pods", body: newPod("hostNetwork: true"),
		barred: "web", by: `violates PodSecurity "baseline:latest": host namespaces`},
	{what: "see a node's processes", request: "POST /api/v1/namespaces/raid-api/pods", body: newPod("hostPID: true"),
		barred: "api", by: `violates PodSecurity "baseline:latest": host namespaces`},
	{what: "run a privileged container", request: "POST /api/v1/namespaces/raid-api/pods", body: newPodWith("securityContext: {privileged: true}", ""),
		barred: "api", by: `violates PodSecurity "baseline:latest": privileged`},
	{what: "use a node's port", request: "POST /api/v1/namespaces/raid-api/pods", body: newPodWith("ports: [{containerPort: 80, hostPort: 80}]", ""),
		barred: "api", by: `violates PodSecurity "baseline:latest": hostPort`},
	{what: "push out the pods of others", request: "POST /api/v1/namespaces/raid-web/pods", body: newPod("priorityClassName: system-node-critical"),
		barred: "web", by: "the priorities that begin with system- are for the cluster's own pods"},
	{what: "use more than the quota", request: "POST /api/v1/namespaces/raid-web/pods",
		body: newPodWith(`resources: {requests: {cpu: "1000"}, limits: {cpu: "1000"}}`, ""), barred: "web", by: "exceeded quota: tenant-quota"},
	{what: "list pods of raid-web", request: "GET /api/v1/namespaces/raid-web/pods", succeeds: "web"},
	{what: "read the log of a pod of raid-other", request: "GET /api/v1/namespaces/raid-other/pods/target/log"},
	{what: "list pods of the organization", request: "GET /api/v1/namespaces/org-raid-a/pods", succeeds: "admin"},
	{what: "run a shell in a pod of raid-web", request: "POST /api/v1/namespaces/raid-web/pods/target/exec?command=id&stdout=true"},
	{what: "run a shell in a pod of raid-web by GET", request: "GET /api/v1/namespaces/raid-web/pods/target/exec?command=id&stdout=true"},
	{what: "attach to a pod of raid-web", request: "POST /api/v1/namespaces/raid-web/pods/target/attach?stdout=true"},
	{what: "forward a port of a pod of raid-other", request: "POST /api/v1/namespaces/raid-other/pods/target/portforward?ports=80"},
	{what: "reach a pod of raid-other through the API server", request: "GET /api/v1/namespaces/raid-other/pods/target/proxy/"},
	{what: "reach the listener through the API server", request: "POST /api/v1/namespaces/org-raid-a/services/el-github-listener:8080/proxy/", body: "{}"},
	{what: "reach a node's kubelet through the API server", request: "GET /api/v1/nodes/node-1/proxy/pods"},
	{what: "add a container to a pod of raid-web", request: "PATCH /api/v1/namespaces/raid-web/pods/target/ephemeralcontainers", body: "spec: {ephemeralContainers: [{name: a, image: a}]}"},
	{what: "evict a pod of raid-web", request: "POST /api/v1/namespaces/raid-web/pods/target/eviction", body: "{apiVersion: policy/v1, kind: Eviction, metadata: {name: target}}"},
	{what: "bind a pod to a node", request: "POST /api/v1/namespaces/raid-web/pods/target/binding", body: "{apiVersion: v1, kind: Binding, target: {kind: Node, name: node-1}}"},
	{what: "forge the status of a pod", request: "PATCH /api/v1/namespaces/raid-web/pods/target/status", body: "status: {phase: Failed}"},
	{what: "list nodes", request: "GET /api/v1/nodes"},

	// Other workloads.
	{what: "deploy to raid-web", request: "POST /apis/apps/v1/namespaces/raid-web/deployments", body: newDeployment},
	{what: "deploy to raid-api", request: "POST /apis/apps/v1/namespaces/raid-api/deployments", body: newDeployment, succeeds: "api"},
	{what: "deploy to raid-other", request: "POST /apis/apps/v1/namespaces/raid-other/deployments", body: newDeployment},
	{what: "run a pod on every node", request: "POST /apis/apps/v1/namespaces/raid-api/daemonsets", body: newObject("apps/v1", "DaemonSet")},
	{what: "replace the listener's image", request: "PATCH /apis/apps/v1/namespaces/org-raid-a/deployments/el-github-listener", body: "spec: {replicas: 0}"},
	{what: "replace the connector's image", request: "PATCH /apis/apps/v1/namespaces/org-raid-a/deployments/cloudflared", body: "spec: {replicas: 0}"},
	{what: "turn the tunnel elsewhere", request: "PATCH /api/v1/namespaces/org-raid-a/configmaps/cloudflared-config", body: "data: {config.yaml: mine}"},
	{what: "replace the API server's CA that the store trusts", request: "PATCH /api/v1/namespaces/org-raid-a/configmaps/kube-root-ca.crt", body: "data: {ca.crt: mine}"},
	{what: "make a Service in raid-api", request: "POST /api/v1/namespaces/raid-api/services", body: newService(""), succeeds: "api"},
	{what: "take an address of others with a Service", request: "POST /api/v1/namespaces/raid-api/services", body: newService("externalIPs: [10.96.0.1]"),
		barred: "api", by: "spec.externalIPs would take the traffic of other tenants"},
	{what: "take an address of others with a Service's status", request: "PATCH /api/v1/namespaces/raid-api/services/any/status", body: "status: {loadBalancer: {ingress: [{ip: 10.96.0.1}]}}"},
	{what: "point a Service elsewhere", request: "POST /apis/discovery.k8s.io/v1/namespaces/raid-api/endpointslices", body: newObject("discovery.k8s.io/v1", "EndpointSlice") + "addressType: IPv4"},
	{what: "publish raid-api", request: "POST /apis/networking.k8s.io/v1/namespaces/raid-api/ingresses", body: newObject("networking.k8s.io/v1", "Ingress")},
	{what: "take a lease of raid-web", request: "POST /apis/coordination.k8s.io/v1/namespaces/raid-web/leases", body: newObject("coordination.k8s.io/v1", "Lease"), succeeds: "web"},
	{what: "take a lease of the scheduler", request: "POST /apis/coordination.k8s.io/v1/namespaces/kube-system/leases", body: newObject("coordination.k8s.io/v1", "Lease")},
	{what: "make a persistent volume", request: "POST /api/v1/persistentvolumes", body: newObject("v1", "PersistentVolume")},

	// What starts runs.
	{what: "list triggers", request: "GET /apis/triggers.tekton.dev/v1beta1/namespaces/org-raid-a/triggers", succeeds: "listener admin"},
	{what: "list another organization's triggers", request: "GET /apis/triggers.tekton.dev/v1beta1/namespaces/org-raid-b/triggers"},
	{what: "list interceptors of the cluster", request: "GET /apis/triggers.tekton.dev/v1alpha1/clusterinterceptors", succeeds: "web api listener"},
	{what: "switch off the signature check", request: "PATCH /apis/triggers.tekton.dev/v1beta1/namespaces/org-raid-a/eventlisteners/github-listener", body: "spec: {triggerGroups: null}"},
	{what: "delete the listener", request: "DELETE /apis/triggers.tekton.dev/v1beta1/namespaces/org-raid-a/eventlisteners/github-listener"},
	{what: "change a trigger", request: "PATCH /apis/triggers.tekton.dev/v1beta1/namespaces/org-raid-a/triggers/raid-web-trigger", body: "spec: {interceptors: null}"},
	{what: "make a trigger in the organization", request: "POST /apis/triggers.tekton.dev/v1beta1/namespaces/org-raid-a/triggers", body: newObject("triggers.tekton.dev/v1beta1", "Trigger")},
	{what: "make a listener in raid-web", request: "POST /apis/triggers.tekton.dev/v1beta1/namespaces/raid-web/eventlisteners", body: newObject("triggers.tekton.dev/v1beta1", "EventListener")},
	{what: "change a template", request: "PATCH /apis/triggers.tekton.dev/v1beta1/namespaces/org-raid-a/triggertemplates/raid-web-trigger-template", body: "spec: {params: null}"},
	{what: "change a binding", request: "PATCH /apis/triggers.tekton.dev/v1beta1/namespaces/org-raid-a/triggerbindings/github-push-binding", body: "spec: {params: null}"},
	{what: "change an interceptor of the cluster", request: "PATCH /apis/triggers.tekton.dev/v1alpha1/clusterinterceptors/github", body: "spec: {clientConfig: {url: https://mine.example.com}}"},

	// What confines deployments and secrets.
	{what: "see the Argo CD project of raid-web", request: "GET /apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects/raid-web", succeeds: "web"},
	{what: "see the Argo CD project of raid-other", request: "GET /apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects/raid-other"},
	{what: "widen the Argo CD project", request: "PATCH /apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects/raid-web", body: "spec: {destinations: [{namespace: '*', server: '*'}]}"},
	{what: "deploy with the default project", request: "POST /apis/argoproj.io/v1alpha1/namespaces/argocd/applications", body: newObject("argoproj.io/v1alpha1", "Application")},
	{what: "open the secret store to all", request: "PATCH /apis/external-secrets.io/v1/clustersecretstores/org-raid-a-store", body: "spec: {conditions: null}"},
	{what: "make a secret store", request: "POST /apis/external-secrets.io/v1/clustersecretstores", body: newObject("external-secrets.io/v1", "ClusterSecretStore")},
	{what: "fetch another organization's secrets", request: "POST /apis/external-secrets.io/v1/namespaces/raid-web/externalsecrets",
		body: newObject("external-secrets.io/v1", "ExternalSecret") + "spec: {secretStoreRef: {kind: ClusterSecretStore, name: org-raid-b-store}}"},

	// The platform.
	{what: "list the organization's bindings", request: "GET /apis/aphex.io/v1alpha1/namespaces/org-raid-a/repobindings", succeeds: "admin"},
	{what: "bind a repository", request: "POST /apis/aphex.io/v1alpha1/namespaces/org-raid-a/repobindings", body: newClaim(), succeeds: "admin"},
	{what: "bind a repository in the platform's namespace", request: "POST /apis/aphex.io/v1alpha1/namespaces/e2e-attack/repobindings", body: newClaim()},
	{what: "have the webhook secret written where they may read", request: "POST /apis/aphex.io/v1alpha1/namespaces/org-raid-a/repobindings",
		body: newClaim(withSecret("org-secrets")), barred: "admin", by: "spec.writeConnectionSecretToRef may not name org-secrets"},
	{what: "take over a composite resource of others", request: "POST /apis/aphex.io/v1alpha1/namespaces/org-raid-a/repobindings",
		body:   newClaim(with("resourceRef", map[string]any{"apiVersion": "aphex.io/v1alpha1", "kind": "XRepoBinding", "name": "others"})),
		barred: "admin", by: "spec.resourceRef is for Crossplane and cluster administrators to set"},
	{what: "bind a repository by a revision that is not there", request: "POST /apis/aphex.io/v1alpha1/namespaces/org-raid-a/repobindings",
		body: newClaim(with("compositionRevisionRef", map[string]any{"name": "none"})), barred: "admin", by: "are for cluster administrators to set"},
	{what: "bind a repository by revisions of their own", request: "POST /apis/aphex.io/v1alpha1/namespaces/org-raid-a/repobindings",
		body:   newClaim(with("compositionRevisionSelector", map[string]any{"matchLabels": map[string]any{"a": "b"}})),
		barred: "admin", by: "are for cluster administrators to set"},
	{what: "keep a binding from following its Composition", request: "POST /apis/aphex.io/v1alpha1/namespaces/org-raid-a/repobindings",
		body: newClaim(with("compositionUpdatePolicy", "Manual")), barred: "admin", by: "are for cluster administrators to set"},
	{what: "list bindings in the platform's namespace", request: "GET /apis/aphex.io/v1alpha1/namespaces/e2e-attack/repobindings"},
	{what: "delete another organization's binding", request: "DELETE /apis/aphex.io/v1alpha1/namespaces/e2e-attack/repobindings/raid-other"},
	{what: "forge the status of a binding", request: "PATCH /apis/aphex.io/v1alpha1/namespaces/org-raid-a/repobindings/any/status", body: "status: {phase: Ready}"},
	{what: "make a composite resource without a claim", request: "POST /apis/aphex.io/v1alpha1/xrepobindings", body: newObject("aphex.io/v1alpha1", "XRepoBinding")},
	{what: "make an organization", request: "POST /apis/aphex.io/v1alpha1/namespaces/org-raid-a/organizations", body: newObject("aphex.io/v1alpha1", "Organization")},
	{what: "add an administrator to the organization", request: "PATCH /apis/aphex.io/v1alpha1/namespaces/e2e-attack/organizations/raid-a", body: "spec: {adminUsers: [eve@example.com]}"},
	{what: "forge the status of the organization", request: "PATCH /apis/aphex.io/v1alpha1/namespaces/e2e-attack/organizations/raid-a/status", body: "status: {phase: Active}"},
	{what: "see the tunnel", request: "GET /apis/cloudflare.aphex.io/v1alpha1/namespaces/org-raid-a/tunnels/raid-a", succeeds: "admin"},
	{what: "take over another host name", request: "POST /apis/cloudflare.aphex.io/v1alpha1/namespaces/org-raid-a/dnsrecords", body: newObject("cloudflare.aphex.io/v1alpha1", "DNSRecord")},
	{what: "delete the tunnel", request: "DELETE /apis/cloudflare.aphex.io/v1alpha1/namespaces/org-raid-a/tunnels/raid-a"},
	{what: "change the settings", request: "PATCH /apis/apiextensions.crossplane.io/v1beta1/environmentconfigs/aphex", body: "data: {podSecurity: privileged}"},
	{what: "change a composition", request: "DELETE /apis/apiextensions.crossplane.io/v1/compositions/xorganizations.aphex.io"},
	{what: "switch off an admission policy", request: "DELETE /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/namespace-labels.aphex.io"},
	{what: "see what others send, with a webhook", request: "POST /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", body: newObject("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")},
	{what: "change what others send, with a policy", request: "POST /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", body: newObject("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")},
	{what: "make a kind", request: "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions", body: newObject("apiextensions.k8s.io/v1", "CustomResourceDefinition")},
	{what: "serve an API", request: "POST /apis/apiregistration.k8s.io/v1/apiservices", body: newObject("apiregistration.k8s.io/v1", "APIService")},
	{what: "read the API server's metrics", request: "GET /metrics"},
	{what: "read the API server's configuration", request: "GET /configz"},
}

// newObject is an object without a spec; more fields can follow.
func newObject(apiVersion, kind string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\n", apiVersion, kind, loot)
}

func tokenSecret(account string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, "+
		"metadata: {name: %s, annotations: {kubernetes.io/service-account.name: %s}}}", loot, account)
}

func newRun(account string) string {
	return fmt.Sprintf("{apiVersion: tekton.dev/v1, kind: PipelineRun, metadata: {generateName: %s-}, "+
		"spec: {pipelineRef: {name: any}, taskRunTemplate: {serviceAccountName: %s}}}", loot, account)
}

func newBinding(kind, role string) string {
	return newObject("rbac.authorization.k8s.io/v1", "RoleBinding") +
		fmt.Sprintf("roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %s, name: %s}\n", kind, role) +
		"subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: system:authenticated}]"
}

// newPod is a pod with one container and more fields of its spec.
func newPod(more string) string { return newPodWith("", more) }

func newPodWith(container, more string) string {
	return newObject("v1", "Pod") + fmt.Sprintf("spec:\n  containers:\n  - name: main\n    image: example.com/any\n    %s\n  %s\n", container, more)
}

func newService(more string) string {
	return newObject("v1", "Service") + "spec:\n  ports: [{port: 443}]\n  " + more + "\n"
}

// newClaim is a binding of raid-a that has all it needs. JSON is YAML.
func newClaim(settings ...setting) string {
	claim := repoBinding("", "raid-a", loot, settings...)
	unstructured.RemoveNestedField(claim.Object, "metadata", "namespace")
	raw, err := claim.MarshalJSON()
	utilruntime.Must(err)
	return string(raw)
}

var newDeployment = newObject("apps/v1", "Deployment") +
	"spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: main, image: example.com/any}]}}}"

// Who gets into a pod, or steals a credential, is held to what the table allows. These are real requests with real
// credentials; isolation_test.go asks the API server about all else.
func TestAttacksFromInside(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-attack")
	cp.cloudflare(t)
	claims := []ref{
		cp.create(t, organization(namespace, "raid-a", withSecret("raid-a-connection"))),
		cp.create(t, organization(namespace, "raid-b")),
		cp.create(t, repoBinding(namespace, "raid-a", "raid-web")),
		cp.create(t, repoBinding(namespace, "raid-a", "raid-api", with("permissionProfile", "elevated"))),
		cp.create(t, repoBinding(namespace, "raid-b", "raid-other")),
	}
	var composed []ref
	for _, claim := range claims {
		cp.awaitReady(t, claim)
		composed = append(composed, cp.composed(t, claim)...)
	}
	for _, place := range []string{"org-raid-a", "org-raid-b"} {
		cp.create(t, &object{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"namespace": place, "name": "org-secrets"}}})
	}
	for _, place := range []string{"raid-web", "raid-api", "raid-other"} {
		runPod(t, place)
	}
	who := equip(t)
	before := map[ref]map[string]any{}
	for _, r := range composed {
		before[r] = withoutStatus(cp.see(t, r))
	}

	for _, name := range strings.Fields(raiders) {
		t.Run(name, func(t *testing.T) {
			for _, a := range attempts {
				a.require(t, name, who[name])
			}
		})
	}
	t.Run("leave nothing behind", func(t *testing.T) {
		requireNoLoot(t)
		for _, r := range composed {
			require.Equal(t, before[r], withoutStatus(cp.see(t, r)), r)
		}
	})
	t.Run("a binding of an administrator reaches no other organization", requireNoReach)
	t.Run("a stolen token ends with its pod", requireEndWithPod)
	t.Run("every cloudflared pod is without a token", func(t *testing.T) {
		for _, pod := range podsOf(t, "org-raid-a", "app.kubernetes.io/name=cloudflared,platform.aphex/organization=raid-a") {
			requireNoToken(t, pod)
		}
	})
}

// require makes an attempt as somebody, and requires what the table says.
func (a attempt) require(t *testing.T, name string, who raider) {
	t.Helper()
	err := a.send(t, who)
	switch {
	case slices.Contains(strings.Fields(a.succeeds), name):
		require.NoError(t, err, "%s cannot %s", name, a.what)
	case slices.Contains(strings.Fields(a.barred), name):
		require.True(t, apierrors.IsForbidden(err), "%s can %s: %v", name, a.what, err)
		require.ErrorContains(t, err, a.by, "%s can %s", name, a.what)
	default:
		require.True(t, apierrors.IsForbidden(err), "%s can %s: %v", name, a.what, err)
		require.ErrorContains(t, err, fmt.Sprintf("User %q cannot ", who.name), "%s: %s", name, a.what)
	}
}

func (a attempt) send(t *testing.T, who raider) error {
	t.Helper()
	method, address, _ := strings.Cut(a.request, " ")
	parsed, err := url.Parse(address)
	require.NoError(t, err)
	request := who.client.Verb(method).AbsPath(parsed.Path)
	for key, values := range parsed.Query() {
		request.Param(key, values[0])
	}
	if method != http.MethodGet {
		request.Param("dryRun", metav1.DryRunAll)
	}
	if a.body != "" {
		body, err := yaml.YAMLToJSONStrict([]byte(a.body))
		require.NoError(t, err, a.what)
		kind := "application/json"
		if method == http.MethodPatch {
			kind = "application/merge-patch+json"
		}
		request.SetHeader("Content-Type", kind).Body(body)
	}
	if user, group, ok := strings.Cut(a.as, " "); user != "" {
		request.SetHeader("Impersonate-User", user)
		if ok {
			request.SetHeader("Impersonate-Group", group)
		}
	}
	return request.Do(t.Context()).Error()
}

// equip gives each raider what it has: nothing else, and no right of the tests.
func equip(t *testing.T) map[string]raider {
	t.Helper()
	// The labels by which the listener's network policy knows its pods, which Tekton makes.
	listeners := podsOf(t, "org-raid-a", "app.kubernetes.io/managed-by=EventListener,eventlistener=github-listener")
	person, err := cp.PersonConfig("admin@raid-a.example.com")
	require.NoError(t, err)
	return map[string]raider{
		"web":       newRaider(t, "system:serviceaccount:raid-web:pipeline-runner", cp.podToken(t, "raid-web", "target", "pipeline-runner")),
		"api":       newRaider(t, "system:serviceaccount:raid-api:pipeline-runner", cp.podToken(t, "raid-api", "target", "pipeline-runner")),
		"listener":  newRaider(t, "system:serviceaccount:org-raid-a:eventlistener", cp.podToken(t, "org-raid-a", listeners[0].Name, "eventlistener")),
		"reader":    newRaider(t, "system:serviceaccount:org-raid-a:eso-secrets-reader", cp.token(t, "org-raid-a", "eso-secrets-reader")),
		"admin":     newRaider(t, "admin@raid-a.example.com", person),
		"connector": newRaider(t, "system:anonymous", rest.AnonymousClientConfig(cp.RESTConfig())),
	}
}

func newRaider(t *testing.T, name string, access *rest.Config) raider {
	t.Helper()
	client, err := kubernetes.NewForConfig(access)
	require.NoError(t, err)
	return raider{name, client.Discovery().RESTClient()}
}

// podToken is the token that the kubelet would mount into a pod.
func (c *cluster) podToken(t *testing.T, namespace, pod, account string) *rest.Config {
	t.Helper()
	answer, err := c.kube.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(c.RESTConfig())
	config.BearerToken = answer.Status.Token
	return config
}

// runPod runs a pod as a pipeline's tasks do.
func runPod(t *testing.T, namespace string) {
	t.Helper()
	_, err := cp.kube.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "target"},
		Spec:       corev1.PodSpec{ServiceAccountName: "pipeline-runner", Containers: []corev1.Container{{Name: "main", Image: "example.com/any"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// podsOf returns the pods with a label once there are any.
func podsOf(t *testing.T, namespace, selector string) []corev1.Pod {
	t.Helper()
	var found []corev1.Pod
	eventually(t, func(ctx context.Context) error {
		pods, err := cp.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		if found = pods.Items; len(found) == 0 {
			return fmt.Errorf("no pod in %s has %s", namespace, selector)
		}
		return nil
	})
	return found
}

// requireEndWithPod steals a token, and deletes the pod that it was stolen from.
func requireEndWithPod(t *testing.T) {
	thief, err := kubernetes.NewForConfig(cp.podToken(t, "raid-web", "target", "pipeline-runner"))
	require.NoError(t, err)
	_, err = thief.CoreV1().Secrets("raid-web").List(t.Context(), everything)
	require.NoError(t, err)
	require.NoError(t, cp.kube.CoreV1().Pods("raid-web").Delete(t.Context(), "target", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	// The API server remembers for some seconds that a token was good.
	eventually(t, func(ctx context.Context) error {
		_, err := thief.CoreV1().Secrets("raid-web").List(ctx, everything)
		switch {
		case apierrors.IsUnauthorized(err):
			return nil
		case err != nil:
			return err
		default:
			return errors.New("the token is still good")
		}
	})
}

// requireNoToken requires that the API server added no token to a pod, as it does unless told not to.
func requireNoToken(t *testing.T, pod corev1.Pod) {
	t.Helper()
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			require.Nil(t, source.ServiceAccountToken, "%s mounts a token with its volume %s", pod.Name, v.Name)
		}
	}
}

// requireNoLoot looks through all that the API server holds.
func requireNoLoot(t *testing.T) {
	t.Helper()
	lists, err := cp.kube.Discovery().ServerPreferredResources()
	require.NoError(t, err)
	for _, l := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "create"}}, lists) {
		version, err := schema.ParseGroupVersion(l.GroupVersion)
		require.NoError(t, err)
		for _, resource := range l.APIResources {
			found, err := cp.dynamic.Resource(version.WithResource(resource.Name)).List(t.Context(), everything)
			require.NoError(t, err, resource.Name)
			for _, o := range found.Items {
				require.False(t, strings.HasPrefix(o.GetName(), loot), "%s was made", refOf(&o))
			}
		}
	}
}

// requireNoReach claims, as an administrator of raid-a, what is not theirs. RBAC cannot tell, so the API server takes the
// claim; the function does not.
func requireNoReach(t *testing.T) {
	person, err := cp.PersonConfig("admin@raid-a.example.com")
	require.NoError(t, err)
	admin, err := dynamic.NewForConfig(person)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		organization, pipeline string
		message                string
	}{
		"a pipeline for another organization":    {"raid-b", "raid-loot", "Organization e2e-attack/raid-b may not be used"},
		"a pipeline of another organization":     {"raid-a", "raid-other", "Namespace raid-other exists and is controlled by XRepoBinding"},
		"a pipeline under the glob of another's": {"raid-a", "raid-other-x", "raid-other-x begins like the pipeline raid-other of organization raid-b"},
		"a pipeline whose glob covers another's": {"raid-a", "raid", "raid may deploy to raid-*"},
	} {
		t.Run(name, func(t *testing.T) {
			claim := repoBinding("org-raid-a", c.organization, c.pipeline)
			_, err := admin.Resource(kinds["RepoBinding"]).Namespace("org-raid-a").Create(t.Context(), claim, metav1.CreateOptions{})
			require.NoError(t, err)
			cp.cleanUp(t, refOf(claim))
			o := cp.await(t, refOf(claim), func(o *object) error {
				if status, _, _ := condition(o, "Ready"); status != "False" {
					return fmt.Errorf("its condition Ready is %q", status)
				}
				return contains(text(o, "status.message"), c.message)
			})
			require.Equal(t, "Failed", text(o, "status.phase"))
			require.Empty(t, cp.composed(t, refOf(claim)))
		})
	}
}
