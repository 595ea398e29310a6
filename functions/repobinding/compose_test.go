package main

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/apis/composite"
	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

const testPipeline = `
apiVersion: tekton.dev/v1
kind: Pipeline
spec:
  params: [{name: git-url}]
  tasks: [{name: deploy, taskRef: {name: deploy}}]
`

// binding is a good one, claimed beside its organization, with changes.
func binding(changes ...func(*v1alpha1.XRepoBinding)) *v1alpha1.XRepoBinding {
	xr := &v1alpha1.XRepoBinding{Spec: v1alpha1.XRepoBindingSpec{
		RepoBindingSpec: v1alpha1.RepoBindingSpec{
			AphexOrg: "acme-corp", RepoOrg: "acme", RepoName: "web", PipelineName: "my-app",
			TemplateRef: "run-pipeline-v1", PipelineSpec: testPipeline,
		},
		Machinery: composite.Machinery{ClaimRef: &composite.ClaimReference{Namespace: "platform-system", Name: "my-app"}},
	}}
	xr.Name, xr.UID = "my-app-4m9qd", "the-binding"
	for _, change := range changes {
		change(xr)
	}
	return xr
}

func claimedIn(namespace string) func(*v1alpha1.XRepoBinding) {
	return func(xr *v1alpha1.XRepoBinding) { xr.Spec.ClaimRef.Namespace = namespace }
}

func named(pipeline string) func(*v1alpha1.XRepoBinding) {
	return func(xr *v1alpha1.XRepoBinding) { xr.Spec.PipelineName = pipeline }
}

func withSpec(pipelineSpec string) func(*v1alpha1.XRepoBinding) {
	return func(xr *v1alpha1.XRepoBinding) { xr.Spec.PipelineSpec = pipelineSpec }
}

func suspended(xr *v1alpha1.XRepoBinding) { xr.Spec.Suspend = true }

// What exists in most tests.
const (
	activeOrganization = `
{apiVersion: v1, kind: Namespace, metadata: {name: org-acme-corp,
 labels: {platform.aphex/organization: acme-corp, platform.aphex/phase: Active, platform.aphex/claim-namespace: platform-system},
 ownerReferences: [{controller: true, kind: XOrganization, name: acme-corp-x7k2p, uid: the-organization}]}}`
	organizationsSecret = `
{apiVersion: v1, kind: Secret, metadata: {namespace: org-acme-corp, name: github-webhook-secret}, data: {secret: aHVudGVyMi1odW50ZXIy}}`
	organizationsListener = `
{apiVersion: triggers.tekton.dev/v1beta1, kind: EventListener, metadata: {namespace: org-acme-corp, name: github-listener},
 spec: {triggerGroups: [{triggerSelector: {labelSelector: {matchLabels: {platform.aphex/organization: acme-corp}}}}]}}`
	argoCDsNamespace = `{apiVersion: v1, kind: Namespace, metadata: {name: argocd}}`
)

// cluster answers lookups as Crossplane does.
type cluster struct {
	t        testing.TB
	objects  []object.Object
	composed map[string]object.Object
	without  []string
	offline  bool
	// asked are the lookups of the last run.
	asked []object.Selector
}

func newCluster(t testing.TB, more ...string) *cluster {
	t.Helper()
	return bareCluster(t, append([]string{activeOrganization, organizationsSecret, organizationsListener, argoCDsNamespace}, more...)...)
}

func bareCluster(t testing.TB, objects ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, composed: map[string]object.Object{}}
	for _, o := range objects {
		c.objects = append(c.objects, parse(t, o))
	}
	return c
}

func parse(t testing.TB, text string) object.Object {
	t.Helper()
	m := map[string]any{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &m))
	s, err := structpb.NewStruct(m)
	require.NoError(t, err)
	return object.NewObject(s)
}

func (c *cluster) answer(s object.Selector) []object.Object {
	found := []object.Object{}
	if s.Kind == "CustomResourceDefinition" && !c.offline && !slices.Contains(c.without, s.Name) {
		return append(found, parse(c.t, `{spec: {versions: [{name: v1, served: true}, {name: v1beta1, served: true}, {name: v1alpha1, served: true}]},
			status: {conditions: [{type: Established, status: "True"}]}}`))
	}
	for _, o := range append(slices.Collect(maps.Values(c.composed)), c.objects...) {
		matches := o.Kind() == s.Kind && o.String("apiVersion") == s.APIVersion
		if s.Name != "" {
			matches = matches && o.Name() == s.Name && o.Namespace() == s.Namespace
		}
		for k, v := range s.Labels {
			matches = matches && o.Label(k) == v
		}
		if matches {
			found = append(found, o)
		}
	}
	return found
}

// compose calls Compose until it knows all that it looks up.
func (c *cluster) compose(xr *v1alpha1.XRepoBinding) (*object.Desired, error) {
	c.t.Helper()
	required := map[string][]object.Object{}
	id := object.Identity{Kind: v1alpha1.Kind, Name: xr.Name, XR: xr.Name, UID: string(xr.UID)}
	if claim := xr.Spec.ClaimRef; claim != nil {
		id.Kind, id.Name, id.Namespace = v1alpha1.ClaimKind, claim.Name, claim.Namespace
	}
	for range 5 {
		seen := object.NewObserved(id, c.composed, required, bytes.NewReader(nil))
		seen.Offline = c.offline
		d, err := Compose(xr, seen)
		if err == nil {
			err = d.Err()
		}
		if !seen.Pending() {
			c.asked = slices.Collect(maps.Values(seen.Lookups()))
			return d, err
		}
		for key, s := range seen.Lookups() {
			required[key] = c.answer(s)
		}
	}
	require.FailNow(c.t, "the lookups do not settle within five rounds, as Crossplane demands")
	return nil, nil
}

func (c *cluster) mustCompose(xr *v1alpha1.XRepoBinding) *object.Desired {
	c.t.Helper()
	d, err := c.compose(xr)
	require.NoError(c.t, err)
	return d
}

// apply makes what was composed exist.
func (c *cluster) apply(d *object.Desired) {
	c.t.Helper()
	composed := map[string]object.Object{}
	for key, r := range d.Resources() {
		m := object.NewObject(r.Object).Map()
		meta := m["metadata"].(map[string]any)
		meta["creationTimestamp"] = "2026-01-16T23:15:00Z"
		meta["ownerReferences"] = []any{map[string]any{"controller": true, "kind": "XRepoBinding", "name": "my-app-4m9qd", "uid": "the-binding"}}
		s, err := object.From(m)
		require.NoError(c.t, err)
		composed[key] = object.NewObject(s)
	}
	c.composed = composed
}

// settle composes and applies until nothing changes.
func (c *cluster) settle(xr *v1alpha1.XRepoBinding) *object.Desired {
	c.t.Helper()
	for range 6 {
		d := c.mustCompose(xr)
		before := len(c.composed)
		c.apply(d)
		if len(c.composed) == before && before > 0 {
			return c.mustCompose(xr)
		}
	}
	return c.mustCompose(xr)
}

func composed(t *testing.T, d *object.Desired, key string) map[string]any {
	t.Helper()
	r, ok := d.Resources()[key]
	require.True(t, ok, "%s is not composed, only %v", key, d.Keys())
	return object.NewObject(r.Object).Map()
}

// requireYAML compares an object, or a part of one, with how it reads in YAML.
func requireYAML(t *testing.T, want string, got any) {
	t.Helper()
	text, err := yaml.Marshal(got)
	require.NoError(t, err)
	require.Equal(t, strings.TrimLeft(want, "\n"), string(text))
}

func conditionOf(t *testing.T, d *object.Desired, conditionType string) object.Condition {
	t.Helper()
	for _, c := range d.Conditions {
		if c.Type == conditionType {
			return c
		}
	}
	require.FailNow(t, "no condition "+conditionType)
	return object.Condition{}
}

func status(d *object.Desired) *v1alpha1.RepoBindingStatus {
	return d.Status.(*v1alpha1.RepoBindingStatus)
}

var everything = []string{
	"app-project", "argocd-role", "argocd-role-binding", "cluster-role", "cluster-role-binding", "limit-range", "listener-role",
	"listener-role-binding", "namespace", "network-policy", "pipeline", "resource-quota", "role", "role-binding",
	"service-account", "terraform-backend", "trigger", "trigger-template",
}

func allBut(left ...string) []string {
	return slices.DeleteFunc(slices.Clone(everything), func(k string) bool { return slices.Contains(left, k) })
}

// lost is what a binding keeps that may not have what it has.
var lost = allBut("app-project", "argocd-role", "argocd-role-binding", "trigger", "listener-role-binding")

func TestABindingIsMadeInThreePasses(t *testing.T) {
	c := newCluster(t)
	first := c.mustCompose(binding())
	require.Equal(t, []string{"namespace"}, first.Keys())
	c.apply(first)
	second := c.mustCompose(binding())
	require.Equal(t, allBut("role-binding", "cluster-role-binding", "argocd-role-binding", "listener-role-binding", "trigger"), second.Keys())
	c.apply(second)
	third := c.mustCompose(binding())
	require.Equal(t, everything, third.Keys())
	require.False(t, third.Ready)
	c.apply(third)
	last := c.mustCompose(binding())
	require.True(t, last.Ready)
	require.Equal(t, "Ready", last.Phase)
	require.Equal(t, allDone, last.Message)
	require.Equal(t, &v1alpha1.ProvisionedResources{
		Namespace: true, Pipeline: true, ServiceAccount: true, RBAC: true, AppProject: true, ResourceQuota: true, NetworkPolicy: true,
		TerraformSecret: true, TriggerBinding: true, TriggerTemplate: true, Trigger: true, AllowlistUpdated: true,
	}, status(last).ProvisionedResources)
	for _, cond := range last.Conditions {
		require.Equal(t, object.True, cond.Status, cond.Type)
	}
}

func TestWithoutAClusterEverythingShowsAtOnce(t *testing.T) {
	c := bareCluster(t)
	c.offline = true
	require.Equal(t, everything, c.mustCompose(binding()).Keys())
}

func TestTheMessageTellsProgress(t *testing.T) {
	c := newCluster(t)
	c.apply(c.mustCompose(binding()))
	c.apply(c.mustCompose(binding()))
	delete(c.composed, "network-policy")
	c.apply(c.mustCompose(binding()))
	delete(c.composed, "network-policy")
	d := c.mustCompose(binding())
	require.Equal(t, "Provisioning", d.Phase)
	require.Equal(t, "11 of 12 steps done; waiting for NetworkPolicy my-app/tenant-isolation (not created yet)", d.Message)
	require.Equal(t, object.Condition{
		Type: "NetworkPolicyReady", Status: "False", Reason: "Waiting", Message: "waiting for NetworkPolicy my-app/tenant-isolation (not created yet)",
	}, conditionOf(t, d, "NetworkPolicyReady"))
}

// allDone is the message of a binding that works.
const allDone = "all 12 steps done; a push to main of https://github.com/acme/web starts a run; its webhook at GitHub: " +
	"https://acme-corp.arbiter-dev.com, content type application/json, events push, secret org-acme-corp/github-webhook-secret#secret " +
	"(or webhookSecret in the Secret that writeConnectionSecretToRef names)"

func TestClaimsGetURLAndSecretOfTheWebhook(t *testing.T) {
	d := newCluster(t).mustCompose(binding())
	require.Equal(t, map[string][]byte{
		"webhookURL": []byte("https://acme-corp.arbiter-dev.com"), "webhookSecret": []byte("hunter2-hunter2"),
	}, d.Connection)
	require.Equal(t, &v1alpha1.WebhookConfiguration{
		URL: "https://acme-corp.arbiter-dev.com", Secret: "org-acme-corp/github-webhook-secret#secret", Events: []string{"push"},
	}, status(d).WebhookConfiguration)
}

func TestTheURLIsTheOneThatTheOrganizationHas(t *testing.T) {
	moved := strings.Replace(activeOrganization, "name: org-acme-corp,",
		"name: org-acme-corp, annotations: {platform.aphex/webhook-url: https://acme-corp.elsewhere.example.org},", 1)
	d := bareCluster(t, moved, organizationsSecret).mustCompose(binding())
	require.Equal(t, []byte("https://acme-corp.elsewhere.example.org"), d.Connection["webhookURL"])
	require.Equal(t, "https://acme-corp.elsewhere.example.org", status(d).WebhookConfiguration.URL)
}

func TestOrganization(t *testing.T) {
	pending := strings.Replace(activeOrganization, "phase: Active", "phase: Pending", 1)
	direct := strings.Replace(activeOrganization, ", platform.aphex/claim-namespace: platform-system", "", 1)
	for name, c := range map[string]struct {
		objects []string
		xr      *v1alpha1.XRepoBinding
		phase   string
		message string
		secret  bool
	}{
		"one that does not exist is awaited": {
			xr: binding(), phase: "Pending", message: "waiting for Organization acme-corp, which has no namespace org-acme-corp",
		},
		"one that is not active is awaited": {
			objects: []string{pending, organizationsSecret}, xr: binding(), phase: "Pending", secret: true,
			message: "waiting for Organization platform-system/acme-corp, which is Pending",
		},
		"one that was never judged is awaited": {
			objects: []string{strings.Replace(activeOrganization, "platform.aphex/phase: Active, ", "", 1)}, xr: binding(), phase: "Pending",
			message: "waiting for Organization platform-system/acme-corp, which has no phase yet",
		},
		"one that goes is no longer used": {
			objects: []string{strings.Replace(activeOrganization, "name: org-acme-corp", `name: org-acme-corp, deletionTimestamp: "2026-01-01T00:00:00Z"`, 1)},
			xr:      binding(), phase: "Pending", message: "waiting for Organization platform-system/acme-corp, which is being deleted",
		},
		"a namespace of that name does not make an organization": {
			objects: []string{`{apiVersion: v1, kind: Namespace, metadata: {name: org-acme-corp}}`}, xr: binding(),
			phase: "Pending", message: "waiting for Organization acme-corp: the namespace org-acme-corp is not managed by Aphex",
		},
		"a namespace that something else controls does not make an organization": {
			objects: []string{strings.Replace(activeOrganization, "kind: XOrganization", "kind: XTeam", 1)}, xr: binding(),
			phase: "Pending", message: "waiting for Organization acme-corp: the namespace org-acme-corp is controlled by XTeam acme-corp-x7k2p",
		},
		"a claim of the same name in another namespace does not open it": {
			objects: []string{activeOrganization, organizationsSecret}, xr: binding(claimedIn("team-b")), phase: "Failed",
			message: "spec.aphexOrg: Organization platform-system/acme-corp may not be used from the namespace team-b; claim this in platform-system or in org-acme-corp",
		},
		"its own namespace may use it": {
			objects: []string{activeOrganization, organizationsSecret}, xr: binding(claimedIn("org-acme-corp")), secret: true,
			phase: "Provisioning", message: "1 of 12 steps done; waiting for Namespace my-app (not created yet)",
		},
		"a cluster administrator may use it without a claim": {
			objects: []string{activeOrganization, organizationsSecret}, secret: true,
			xr:    binding(func(xr *v1alpha1.XRepoBinding) { xr.Spec.ClaimRef = nil }),
			phase: "Provisioning", message: "1 of 12 steps done; waiting for Namespace my-app (not created yet)",
		},
		"one without a claim may be used from its own namespace": {
			objects: []string{direct}, xr: binding(claimedIn("org-acme-corp")),
			phase: "Provisioning", message: "1 of 12 steps done; waiting for Namespace my-app (not created yet)",
		},
		"one without a claim may be used from no other": {
			objects: []string{direct}, xr: binding(), phase: "Failed",
			message: "spec.aphexOrg: XOrganization acme-corp may not be used from the namespace platform-system; claim this in org-acme-corp",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := bareCluster(t, c.objects...).mustCompose(c.xr)
			require.Equal(t, c.message, d.Message)
			require.Equal(t, c.phase, d.Phase)
			require.Equal(t, c.phase == "Failed", d.Failed)
			require.Equal(t, c.secret, d.Connection["webhookSecret"] != nil, "the secret is told to whom it may concern, and nobody else")
			if c.phase != "Provisioning" {
				require.Empty(t, d.Keys(), "nothing is made")
			}
		})
	}
}

func TestWhatExistsStaysWhileTheOrganizationIsAwaited(t *testing.T) {
	c := newCluster(t)
	c.settle(binding())
	c.objects = nil
	c.without = []string{"appprojects.argoproj.io"}
	d := c.mustCompose(binding())
	require.Equal(t, everything, d.Keys())
	require.Equal(t, "Provisioning", d.Phase)
	require.Equal(t, "waiting for Organization acme-corp, which has no namespace org-acme-corp", d.Message)
	require.False(t, d.Ready)
}

func TestAnUnreadablePipelineKeepsTheOneBefore(t *testing.T) {
	c := newCluster(t)
	before := composed(t, c.settle(binding()), "pipeline")
	d := c.mustCompose(binding(withSpec("apiVersion: tekton.dev/v1\nkind: Pipeline\nspec: {tasks: []}")))
	require.Equal(t, everything, d.Keys())
	require.Equal(t, before["spec"], composed(t, d, "pipeline")["spec"])
	require.Equal(t, "Failed", d.Phase)
	require.True(t, d.Failed)
	require.Equal(t, "spec.pipelineSpec: spec.tasks: must have at least one task", d.Message)
	require.Equal(t, object.False, conditionOf(t, d, "TriggerReady").Status)
	require.Equal(t, object.True, conditionOf(t, d, "RBACReady").Status)
}

func TestASpecWithoutUsableNamesKeepsEverything(t *testing.T) {
	c := newCluster(t)
	c.settle(binding())
	d := c.mustCompose(binding(named("My App")))
	require.Equal(t, everything, d.Keys())
	require.Equal(t, "Failed", d.Phase)
	require.Contains(t, d.Message, "spec.pipelineName: must be a DNS label")
	require.Len(t, d.Conditions, 6)
	for _, r := range everything {
		require.NotContains(t, composed(t, d, r)["metadata"], "ownerReferences")
	}
}

func TestASpecThatIsNoLongerTakenChangesNothingThatIsTold(t *testing.T) {
	c := newCluster(t)
	before := c.settle(binding())
	refused := func(xr *v1alpha1.XRepoBinding) { xr.Spec.PermissionProfile, xr.Status = "admin", *status(before) }
	d := c.mustCompose(binding(refused))
	require.Equal(t, everything, d.Keys())
	require.Equal(t, "Failed", d.Phase)
	require.False(t, d.Ready)
	require.Equal(t, before.Connection, d.Connection)
	require.Equal(t, status(before).WebhookConfiguration, status(d).WebhookConfiguration)
	require.Equal(t, status(before).ProvisionedResources, status(d).ProvisionedResources)
	require.Equal(t, "spec.permissionProfile: must be standard or elevated", status(d).Message)
	require.Equal(t, object.Condition{Type: "TriggerReady", Status: "Unknown", Reason: "InvalidSpec", Message: "not judged while the spec is invalid"},
		conditionOf(t, d, "TriggerReady"))

	d = c.mustCompose(binding(refused, suspended))
	require.Equal(t, allBut("trigger"), d.Keys())
	require.False(t, status(d).ProvisionedResources.Trigger)
	require.True(t, status(before).ProvisionedResources.Trigger, "the status that is read stays as it is")
	require.Equal(t, object.Condition{Type: "TriggerReady", Status: "False", Reason: "Suspended", Message: "suspended: nothing starts a run"},
		conditionOf(t, d, "TriggerReady"))

	d = newCluster(t).mustCompose(binding(func(xr *v1alpha1.XRepoBinding) { xr.Spec.PermissionProfile = "admin" }))
	require.Empty(t, d.Connection, "what was never told is not told now")
	require.Equal(t, &v1alpha1.ProvisionedResources{}, status(d).ProvisionedResources)
}

func TestASuspendedBindingHasNoTrigger(t *testing.T) {
	c := newCluster(t)
	c.settle(binding())
	d := c.mustCompose(binding(suspended))
	require.Equal(t, allBut("trigger"), d.Keys())
	require.True(t, d.Ready)
	require.Equal(t, "suspended: nothing starts a run", d.Message)
	require.Equal(t, object.Condition{Type: "TriggerReady", Status: "False", Reason: "Suspended", Message: "suspended: nothing starts a run"},
		conditionOf(t, d, "TriggerReady"))
	require.False(t, status(d).ProvisionedResources.Trigger)
	require.True(t, status(d).ProvisionedResources.TriggerTemplate)
}

func TestWhatIsTakenIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		object, key, message string
		condition            string
		keys                 []string
	}{
		"the namespace, and with it everything": {
			object: `{apiVersion: v1, kind: Namespace, metadata: {name: my-app}}`, condition: "NamespaceReady",
			message: "spec.pipelineName: Namespace my-app exists and is not managed by Aphex; choose another name",
		},
		"the namespace of another binding, which is named": {
			object:    `{apiVersion: v1, kind: Namespace, metadata: {name: my-app, ownerReferences: [{controller: true, kind: XRepoBinding, name: first-abcde, uid: first}]}}`,
			condition: "NamespaceReady",
			message:   "spec.pipelineName: Namespace my-app exists and is controlled by XRepoBinding first-abcde; choose another name",
		},
		"the AppProject, which the pipeline may not read": {
			object: `{apiVersion: argoproj.io/v1alpha1, kind: AppProject, metadata: {namespace: argocd, name: my-app}}`, condition: "AppProjectReady",
			message: "AppProject argocd/my-app exists and is not managed by Aphex; remove it or choose another pipelineName",
			keys:    allBut("app-project", "argocd-role", "argocd-role-binding"),
		},
		"the ClusterRole, which is not bound either": {
			object:    `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: pipeline-runner-my-app}}`,
			condition: "RBACReady", keys: allBut("cluster-role", "cluster-role-binding"),
			message: "ClusterRole pipeline-runner-my-app exists and is not managed by Aphex; remove it or choose another pipelineName",
		},
		"the Role in Argo CD's namespace, which is not bound either": {
			object:    `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {namespace: argocd, name: my-app-argocd-access}}`,
			condition: "AppProjectReady", keys: allBut("argocd-role", "argocd-role-binding"),
			message: "Role argocd/my-app-argocd-access exists and is not managed by Aphex; remove it or choose another pipelineName",
		},
		"the Trigger": {
			object:    `{apiVersion: triggers.tekton.dev/v1beta1, kind: Trigger, metadata: {namespace: org-acme-corp, name: my-app-trigger}}`,
			condition: "TriggerReady", keys: allBut("trigger"),
			message: "Trigger org-acme-corp/my-app-trigger exists and is not managed by Aphex; remove it or choose another pipelineName",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newCluster(t, c.object).settle(binding())
			require.Equal(t, c.keys, d.Keys())
			require.Equal(t, c.message, d.Message)
			require.Equal(t, "Failed", d.Phase)
			require.False(t, d.Ready)
			require.Equal(t, "Taken", conditionOf(t, d, c.condition).Reason)
		})
	}
}

func TestPipelinesOfOtherOrganizationsAreNotCoveredByGlobs(t *testing.T) {
	const (
		above = `{apiVersion: v1, kind: Namespace, metadata: {name: my, creationTimestamp: %s, labels: {aphex.dev/org: globex}}}`
		below = `{apiVersion: v1, kind: Namespace, metadata: {name: my-app-web, creationTimestamp: %s, labels: {aphex.dev/org: globex, glob.platform.aphex/my-app: covered}}}`
		// The namespace of the binding is of 2026-01-16T23:15:00Z.
		older, younger = "2026-01-16T23:14:59Z", "2026-01-16T23:15:01Z"
		kept           = allDone
		coveredAbove   = "spec.pipelineName: my-app begins like the pipeline my of organization globex, which may deploy to my-*; choose another name"
		coversBelow    = "spec.pipelineName: my-app may deploy to my-app-*, and the pipeline my-app-web of organization globex is there; choose another name"
	)
	at := func(object, created string) string { return strings.Replace(object, "%s", `"`+created+`"`, 1) }
	for name, c := range map[string]struct {
		object  string
		exists  bool
		message string
		keys    []string
	}{
		"a new one under another's glob is refused":           {object: at(above, younger), message: coveredAbove},
		"a new one whose glob has another below is refused":   {object: at(below, younger), message: coversBelow},
		"of two that exist the younger loses, below":          {object: at(above, older), exists: true, message: coveredAbove, keys: lost},
		"of two that exist the younger loses, above":          {object: at(below, older), exists: true, message: coversBelow, keys: lost},
		"of two that exist the older stays, below":            {object: at(above, younger), exists: true, message: kept, keys: everything},
		"of two that exist the older stays, above":            {object: at(below, younger), exists: true, message: kept, keys: everything},
		"of two of the same second the names decide, below":   {object: at(above, "2026-01-16T23:15:00Z"), exists: true, message: coveredAbove, keys: lost},
		"of two of the same second the names decide, above":   {object: at(below, "2026-01-16T23:15:00Z"), exists: true, message: kept, keys: everything},
		"inside one organization globs may overlap":           {object: strings.ReplaceAll(at(below, older), "globex", "acme-corp"), exists: true, message: kept, keys: everything},
		"a namespace that is no pipeline has no glob":         {object: `{apiVersion: v1, kind: Namespace, metadata: {name: my}}`, exists: true, message: kept, keys: everything},
		"a name that only begins with the letters is no glob": {object: strings.ReplaceAll(at(above, older), "name: my,", "name: m,"), exists: true, message: kept, keys: everything},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t)
			if c.exists {
				cl.settle(binding())
			}
			cl.objects = append(cl.objects, parse(t, c.object))
			d := cl.mustCompose(binding())
			require.Equal(t, c.message, d.Message)
			require.Equal(t, c.keys, d.Keys())
		})
	}
}

func TestNamespacesThatAreThereAreNotCoveredByGlobs(t *testing.T) {
	const refused = "spec.pipelineName: my-app may deploy to my-app-*, and the namespace %s is there without the label aphex.dev/org=acme-corp; choose another name"
	for name, c := range map[string]struct {
		namespace string
		labels    string
		refused   bool
	}{
		"one of another organization, which an administrator made": {namespace: "my-app-data", labels: "aphex.dev/org: globex", refused: true},
		"one of nobody's":                                 {namespace: "my-app-system", refused: true},
		"one that only says whose it is":                  {namespace: "my-app-system", labels: "platform.aphex/organization: acme-corp", refused: true},
		"one of this organization is no obstacle":         {namespace: "my-app-data", labels: "aphex.dev/org: acme-corp"},
		"one that begins with the letters is no obstacle": {namespace: "my-apps"},
		"one above is no obstacle":                        {namespace: "my"},
	} {
		t.Run(name, func(t *testing.T) {
			ns := "{apiVersion: v1, kind: Namespace, metadata: {name: " + c.namespace + ", labels: {" + c.labels + "}}}"
			cl := newCluster(t, ns)
			d := cl.mustCompose(binding())
			if !c.refused {
				require.Equal(t, []string{"namespace"}, d.Keys())
				return
			}
			message := strings.Replace(refused, "%s", c.namespace, 1)
			require.Empty(t, d.Keys())
			require.Equal(t, "Failed", d.Phase)
			require.Equal(t, message, d.Message)
			require.Equal(t, object.Condition{Type: "NamespaceReady", Status: "False", Reason: "NameConflict", Message: message},
				conditionOf(t, d, "NamespaceReady"))

			cl.objects = cl.objects[:len(cl.objects)-1]
			require.True(t, cl.settle(binding()).Ready, "once that namespace is gone")

			cl.objects = append(cl.objects, parse(t, ns))
			require.True(t, cl.mustCompose(binding()).Ready, "what comes later is what Argo CD makes for this pipeline")
			delete(cl.composed, "namespace")
			require.Contains(t, cl.mustCompose(binding()).Keys(), "namespace", "a namespace that somebody deleted is made again")
		})
	}
}

func TestAllNamespacesAreLookedAtOnlyBeforeAnythingIsMade(t *testing.T) {
	asks := func(c *cluster) bool {
		c.asked = nil
		c.mustCompose(binding())
		return slices.ContainsFunc(c.asked, func(s object.Selector) bool { return s.Kind == "Namespace" && s.Name == "" && s.Labels == nil })
	}
	require.False(t, asks(bareCluster(t)), "while the organization is awaited")
	c := newCluster(t)
	require.True(t, asks(c))
	c.apply(c.mustCompose(binding()))
	require.False(t, asks(c))
	c.settle(binding())
	require.False(t, asks(c))
}

func TestGlobPrefixes(t *testing.T) {
	for name, want := range map[string][]string{
		"app":          nil,
		"app-web":      {"app"},
		"a-b-c":        {"a", "a-b"},
		"a--b":         {"a"},
		"app-web-2-db": {"app", "app-web", "app-web-2"},
	} {
		require.Equal(t, want, globPrefixes(name), name)
	}
}

func TestNeighboursThatAreMissingHoldUpOnlyTheirOwn(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*cluster)
		keys      []string
		condition object.Condition
		steps     string
	}{
		"the CRD of Tekton Pipelines": {
			change: func(c *cluster) { c.without = []string{"pipelines.tekton.dev"} },
			keys:   allBut("pipeline", "trigger"), steps: "10 of 12 steps done; ",
			condition: object.Condition{Type: "TriggerReady", Reason: "CRDNotInstalled", Message: "waiting for Pipeline my-app/my-app (the CRD pipelines.tekton.dev (v1) is not installed)"},
		},
		"a CRD of Tekton Triggers": {
			change: func(c *cluster) { c.without = []string{"triggertemplates.triggers.tekton.dev"} },
			keys:   allBut("listener-role", "listener-role-binding", "trigger-template", "trigger"), steps: "9 of 12 steps done; ",
			condition: object.Condition{Type: "TriggerReady", Reason: "CRDNotInstalled", Message: "waiting for Role my-app/eventlistener (the CRD triggertemplates.triggers.tekton.dev (v1beta1) is not installed)"},
		},
		"the CRD of Argo CD": {
			change: func(c *cluster) { c.without = []string{"appprojects.argoproj.io"} },
			keys:   allBut("app-project", "argocd-role", "argocd-role-binding"), steps: "10 of 12 steps done; ",
			condition: object.Condition{Type: "AppProjectReady", Reason: "CRDNotInstalled", Message: "waiting for AppProject argocd/my-app (the CRD appprojects.argoproj.io (v1alpha1) is not installed)"},
		},
		"the namespace of Argo CD": {
			change: func(c *cluster) { c.objects = c.objects[:3] },
			keys:   allBut("app-project", "argocd-role", "argocd-role-binding"), steps: "10 of 12 steps done; ",
			condition: object.Condition{Type: "AppProjectReady", Reason: "NamespaceNotFound", Message: "waiting for AppProject argocd/my-app (the namespace argocd does not exist; setting argocd.namespace says where Argo CD runs)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t)
			c.change(cl)
			d := cl.settle(binding())
			require.Equal(t, c.keys, d.Keys())
			c.condition.Status = object.False
			require.Equal(t, c.condition, conditionOf(t, d, c.condition.Type))
			require.Equal(t, "Provisioning", d.Phase)
			require.True(t, strings.HasPrefix(d.Message, c.steps), d.Message)
			require.False(t, d.Ready)
			require.Equal(t, object.True, conditionOf(t, d, "NamespaceReady").Status)
			require.Equal(t, object.True, conditionOf(t, d, "RBACReady").Status)
		})
	}
}

func TestWhereArgoCDIsMovedItsObjectsFollow(t *testing.T) {
	c := newCluster(t)
	c.settle(binding())
	c.objects = append(c.objects, parse(t, settingsOf("{argocd: {namespace: gitops}}")))
	moved := []string{"app-project", "argocd-role", "argocd-role-binding"}

	d := c.mustCompose(binding())
	require.Equal(t, everything, d.Keys(), "while the new namespace is not there, nothing is given up")
	require.Equal(t, "NamespaceNotFound", conditionOf(t, d, "AppProjectReady").Reason)

	c.objects = append(c.objects, parse(t, `{apiVersion: v1, kind: Namespace, metadata: {name: gitops}}`))
	d = c.mustCompose(binding())
	require.Equal(t, allBut(moved...), d.Keys())
	require.False(t, d.Ready)
	require.Equal(t, object.Condition{
		Type: "AppProjectReady", Status: "False", Reason: "Waiting",
		Message: "waiting for AppProject argocd/my-app (being moved to the namespace gitops)",
	}, conditionOf(t, d, "AppProjectReady"))

	d = c.settle(binding())
	require.Equal(t, everything, d.Keys())
	require.True(t, d.Ready)
	for _, key := range moved {
		require.Equal(t, "gitops", composed(t, d, key)["metadata"].(map[string]any)["namespace"])
	}
}

func TestThePipelineWatchesOnlyAnApplicationOfItsProject(t *testing.T) {
	const taken = "Application argocd/my-app exists and is in project %s, so the pipeline may not watch it; rename it, or move it to project my-app"
	application := func(spec string) string {
		return "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {namespace: argocd, name: my-app}, spec: " + spec + "}"
	}
	watched := []any{"applications", "appprojects"}
	for name, c := range map[string]struct {
		object    string
		resources []any
		project   string
	}{
		"none yet":                      {object: argoCDsNamespace, resources: watched},
		"one of its project":            {object: application("{project: my-app}"), resources: watched},
		"one of another project":        {object: application("{project: platform}"), resources: []any{"appprojects"}, project: "platform"},
		"one that names no project":     {object: application("{}"), resources: []any{"appprojects"}, project: "default"},
		"one of a name that is similar": {object: strings.Replace(application("{}"), "my-app", "my-app-2", 1), resources: watched},
	} {
		t.Run(name, func(t *testing.T) {
			d := newCluster(t, c.object).settle(binding())
			require.True(t, d.Ready)
			rules := composed(t, d, "argocd-role")["rules"].([]any)
			require.Len(t, rules, 1)
			require.Equal(t, c.resources, rules[0].(map[string]any)["resources"])
			want := object.Condition{Type: "AppProjectReady", Status: "True", Reason: "Available"}
			if c.project != "" {
				want = object.Condition{Type: "AppProjectReady", Status: "False", Reason: "Taken", Message: strings.Replace(taken, "%s", c.project, 1)}
			}
			require.Equal(t, want, conditionOf(t, d, "AppProjectReady"))
		})
	}
}

func TestThePipelineReadsNoProjectOfOthers(t *testing.T) {
	c := newCluster(t)
	c.settle(binding())
	delete(c.composed, "app-project")
	c.objects = append(c.objects, parse(t, `{apiVersion: argoproj.io/v1alpha1, kind: AppProject, metadata: {namespace: argocd, name: my-app}}`))
	d := c.mustCompose(binding())
	require.Equal(t, allBut("app-project", "argocd-role", "argocd-role-binding"), d.Keys(), "what it had before goes too")
	require.Equal(t, object.Condition{Type: "AppProjectReady", Status: "False", Reason: "Taken", Message: "AppProject argocd/my-app exists and is not managed by Aphex"},
		conditionOf(t, d, "AppProjectReady"))
}

func settingsOf(data string) string {
	return "{apiVersion: apiextensions.crossplane.io/v1beta1, kind: EnvironmentConfig, metadata: {name: aphex}, data: " + data + "}"
}

func TestIntegrationsThatAreSwitchedOffHoldNothingUp(t *testing.T) {
	c := newCluster(t, settingsOf("{integrations: {argocd: false, tekton: false}}"))
	d := c.settle(binding())
	require.True(t, d.Ready)
	require.Equal(t, "all steps done; nothing starts a run, since setting integrations.tekton is false", d.Message)
	require.Equal(t, []string{"cluster-role", "cluster-role-binding", "limit-range", "namespace", "network-policy", "resource-quota", "role",
		"role-binding", "service-account", "terraform-backend"}, d.Keys())
	require.Equal(t, object.Condition{Type: "AppProjectReady", Status: "True", Reason: "SwitchedOff", Message: "setting integrations.argocd is false"},
		conditionOf(t, d, "AppProjectReady"))
	require.Equal(t, object.Condition{Type: "TriggerReady", Status: "True", Reason: "SwitchedOff", Message: "setting integrations.tekton is false"},
		conditionOf(t, d, "TriggerReady"))
	require.Equal(t, &v1alpha1.ProvisionedResources{
		Namespace: true, ServiceAccount: true, RBAC: true, ResourceQuota: true, NetworkPolicy: true, TerraformSecret: true, AllowlistUpdated: true,
	}, status(d).ProvisionedResources)
}

func TestSettingsMayRefuse(t *testing.T) {
	for name, c := range map[string]struct{ settings, message string }{
		"a GitHub organization that is not approved": {
			`{approvedGitHubOrganizations: [globex, initech]}`,
			"spec.repoOrg: acme is not in setting approvedGitHubOrganizations, which has globex, initech",
		},
		"a reserved name": {
			`{reservedNamespaces: [my-app]}`,
			"spec.pipelineName: my-app is reserved by setting reservedNamespaces (my-app); choose another name",
		},
		"a name with a reserved beginning": {
			`{reservedNamespaces: ["my-*"]}`,
			"spec.pipelineName: my-app is reserved by setting reservedNamespaces (my-*); choose another name",
		},
		"a name whose glob covers a reserved one": {
			`{reservedNamespaces: [my-app-vault]}`,
			"spec.pipelineName: my-app could deploy to my-app-vault, which setting reservedNamespaces reserves; choose another name",
		},
		"a name whose glob covers Argo CD": {
			`{argocd: {namespace: my-app-argocd}}`,
			"spec.pipelineName: my-app could deploy to my-app-argocd, which setting argocd.namespace reserves; choose another name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newCluster(t, settingsOf(c.settings)).mustCompose(binding())
			require.Equal(t, "Failed", d.Phase)
			require.Equal(t, c.message, d.Message)
			require.Empty(t, d.Keys())
		})
	}
	t.Run("but not one that is approved in other letters", func(t *testing.T) {
		require.Equal(t, "Provisioning", newCluster(t, settingsOf(`{approvedGitHubOrganizations: [ACME]}`)).mustCompose(binding()).Phase)
	})
	t.Run("a repository that is no longer approved starts no runs", func(t *testing.T) {
		c := newCluster(t)
		c.settle(binding())
		c.objects = append(c.objects, parse(t, settingsOf(`{approvedGitHubOrganizations: [globex]}`)))
		require.Equal(t, lost, c.mustCompose(binding()).Keys())
	})
	for name, data := range map[string]string{
		"a name that is reserved later":                   `{reservedNamespaces: ["my-*"]}`,
		"a name of whose glob a part is reserved later":   `{reservedNamespaces: [my-app-vault]}`,
		"a name whose glob covers where Argo CD is moved": `{argocd: {namespace: my-app-argocd}}`,
	} {
		t.Run(name+" keeps nothing that others could be harmed by", func(t *testing.T) {
			c := newCluster(t)
			c.settle(binding())
			c.objects = append(c.objects, parse(t, settingsOf(data)), parse(t, `{apiVersion: v1, kind: Namespace, metadata: {name: my-app-argocd}}`))
			d := c.mustCompose(binding())
			require.Equal(t, lost, d.Keys())
			require.Equal(t, "Failed", d.Phase)
			for _, condition := range []string{"NamespaceReady", "AppProjectReady", "TriggerReady"} {
				require.Equal(t, object.Condition{Type: condition, Status: "False", Reason: "NameReserved", Message: d.Message}, conditionOf(t, d, condition))
			}
			require.Equal(t, object.True, conditionOf(t, d, "RBACReady").Status)
		})
	}
	t.Run("and a bad one stops everything", func(t *testing.T) {
		_, err := newCluster(t, settingsOf(`{tenant: {quota: {pods: many}}}`)).compose(binding())
		require.ErrorContains(t, err, "data.tenant.quota[pods]")
	})
}

func TestNothingIsPutIntoANamespaceThatGoes(t *testing.T) {
	c := newCluster(t)
	c.settle(binding())
	m := c.composed["namespace"].Map()
	m["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-17T00:00:00Z"
	s, err := object.From(m)
	require.NoError(t, err)
	c.composed["namespace"] = object.NewObject(s)
	d := c.mustCompose(binding())
	require.Equal(t, []string{"app-project", "argocd-role", "argocd-role-binding", "cluster-role", "cluster-role-binding", "namespace", "trigger",
		"trigger-template"}, d.Keys())
	require.Equal(t, "4 of 12 steps done; waiting for Namespace my-app (being deleted)", d.Message)
	require.Equal(t, object.Condition{
		Type: "NetworkPolicyReady", Status: "False", Reason: "Waiting",
		Message: "waiting for NetworkPolicy my-app/tenant-isolation (the namespace my-app is being deleted)",
	}, conditionOf(t, d, "NetworkPolicyReady"))
}

func TestLegacyAllowlist(t *testing.T) {
	list := func(data string) string {
		return `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: pipeline-system, name: repo-allowlist}, data: ` + data + "}"
	}
	for name, c := range map[string]struct {
		objects []string
		ok      bool
	}{
		"none is fine":                      {ok: true},
		"an entry on a line of its own":     {objects: []string{list(`{repos: "a/b\nacme/web\n"}`)}, ok: true},
		"an entry of a YAML list":           {objects: []string{list(`{"repos.yaml": "- a/b\n- \"acme/web\"\n"}`)}, ok: true},
		"an entry between commas":           {objects: []string{list(`{a: "x/y", b: "a/b,ACME/web"}`)}, ok: true},
		"an empty one has no entry":         {objects: []string{list(`{}`)}},
		"a longer name is another":          {objects: []string{list(`{repos: "acme/web-2\nnotacme/web\n"}`)}},
		"the key of the ConfigMap is none":  {objects: []string{list(`{"acme.web": "true"}`)}},
		"a list of another name is ignored": {objects: []string{strings.Replace(list(`{}`), "repo-allowlist", "other", 1)}, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newCluster(t, c.objects...).settle(binding())
			require.Equal(t, c.ok, d.Ready)
			require.Equal(t, c.ok, status(d).ProvisionedResources.AllowlistUpdated)
			if !c.ok {
				require.Equal(t, "11 of 12 steps done; waiting for ConfigMap pipeline-system/repo-allowlist (it has no entry acme/web)", d.Message)
			}
		})
	}
}

func TestTheListenerHasToSelectTheTrigger(t *testing.T) {
	for name, c := range map[string]struct{ selector, why string }{
		"another organization's label": {`{matchLabels: {platform.aphex/organization: globex}}`, "it does not select the Trigger"},
		"no label at all":              {`{}`, "it does not select the Trigger"},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := bareCluster(t, activeOrganization, organizationsSecret, argoCDsNamespace, `
{apiVersion: triggers.tekton.dev/v1beta1, kind: EventListener, metadata: {namespace: org-acme-corp, name: github-listener},
 spec: {triggerGroups: [{triggerSelector: {labelSelector: `+c.selector+`}}]}}`)
			d := c2.settle(binding())
			require.Equal(t, "11 of 12 steps done; waiting for EventListener org-acme-corp/github-listener ("+c.why+")", d.Message)
			require.False(t, status(d).ProvisionedResources.TriggerBinding)
		})
	}
}
