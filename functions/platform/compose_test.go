package main

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/apis/composite"
	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	repobinding "aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/argocd"
	"aphex.io/platform/functions/internal/certmanager"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
)

// neighbours are the namespaces of Argo CD and Tekton.
const neighbours = `
{apiVersion: v1, kind: Namespace, metadata: {name: argocd}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: tekton-pipelines}}`

// byHand is a platform whose people connect Authentik and Dex themselves.
const byHand = `{apiVersion: apiextensions.crossplane.io/v1beta1, kind: EnvironmentConfig, metadata: {name: aphex}, data: {integrations: {configSync: false}}}`

// platform is the XR of the claim platform-system/home.
func platform(change ...func(*v1alpha1.PlatformSpec)) *v1alpha1.XPlatform {
	xr := &v1alpha1.XPlatform{Spec: v1alpha1.XPlatformSpec{
		PlatformSpec: v1alpha1.PlatformSpec{GitOps: v1alpha1.GitOps{RepoURL: "https://github.com/acme-corp/platform"}},
		Machinery: composite.Machinery{ClaimRef: &composite.ClaimReference{
			APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.ClaimKind, Namespace: "platform-system", Name: "home",
		}},
	}}
	xr.APIVersion, xr.Kind, xr.Name, xr.UID = v1alpha1.APIVersion, v1alpha1.Kind, "home-x7k2p", "uid-of-home"
	for _, c := range change {
		c(&xr.Spec.PlatformSpec)
	}
	return xr
}

func compose(t testing.TB, xr *v1alpha1.XPlatform, c rendertest.Cluster) *object.Desired {
	t.Helper()
	if !c.Offline {
		c.Objects = append([]string{neighbours}, c.Objects...)
	}
	d, err := rendertest.Compose(t, Compose, xr, c)
	require.NoError(t, err)
	require.NoError(t, d.Err())
	rendertest.Valid(t, d)
	return d
}

// applied is the cluster once these objects were applied; change may set what a controller sets.
func applied(t testing.TB, d *object.Desired, change func(key string, o map[string]any)) rendertest.Cluster {
	t.Helper()
	c := rendertest.Cluster{Composed: map[string]string{}}
	for key, r := range d.Resources() {
		o := object.NewObject(r.Object).Map()
		if change != nil {
			change(key, o)
		}
		b, err := json.Marshal(o)
		require.NoError(t, err)
		c.Composed[key] = string(b)
	}
	return c
}

// running is the cluster of a whole platform.
func running(t *testing.T, change func(key string, o map[string]any)) rendertest.Cluster {
	t.Helper()
	c := applied(t, offline(t), change)
	c.Objects = []string{tlsSecret("dex-tls", rendertest.SelfSigned)}
	// What needs the certificate of Dex follows it.
	d := compose(t, platform(), c)
	return rendertest.Cluster{Composed: applied(t, d, change).Composed, Objects: c.Objects}
}

// tlsSecret is what cert-manager has written of a self-signed certificate.
func tlsSecret(name, certificate string) string {
	return `{apiVersion: v1, kind: Secret, metadata: {namespace: auth-system, name: ` + name + `}, data: {ca.crt: ` +
		base64.StdEncoding.EncodeToString([]byte(certificate)) + `}}`
}

// get is a desired object as the given type.
func get[T any](t *testing.T, d *object.Desired, key string) T {
	t.Helper()
	r, ok := d.Resources()[key]
	require.True(t, ok, "there is no %s, only %v", key, d.Keys())
	var typed T
	require.NoError(t, object.NewObject(r.Object).Decode(&typed))
	return typed
}

func status(t *testing.T, d *object.Desired) v1alpha1.PlatformStatus {
	t.Helper()
	return *d.Status.(*v1alpha1.PlatformStatus)
}

func condition(t *testing.T, d *object.Desired, conditionType string) object.Condition {
	t.Helper()
	i := slices.IndexFunc(d.Conditions, func(c object.Condition) bool { return c.Type == conditionType })
	require.GreaterOrEqual(t, i, 0, "there is no condition %s", conditionType)
	return d.Conditions[i]
}

func TestPhaseFollowsTheWaves(t *testing.T) {
	cases := map[string]struct {
		// health and sync are those of single applications; all others work.
		health, sync map[string]string
		// until is the last wave that Argo CD has made.
		until   string
		message string
		wave    int64
		made    string
	}{
		"the first wave is being deployed": {
			until: "0", health: map[string]string{"platform-ingress-controller": "Progressing"},
			message: "wave 0 of 30: platform-ingress-controller Progressing", wave: 0,
		},
		"a wave follows once the one before is healthy": {
			until: "0", message: "wave 1 of 30: platform-tekton Missing", wave: 1, made: "platform-tekton",
		},
		"two of a wave are told, in their order": {
			until: "5", health: map[string]string{"platform-rbac": "Degraded"}, sync: map[string]string{"platform-crds": "OutOfSync"},
			message: "wave 5 of 30: platform-crds OutOfSync, platform-rbac Degraded", wave: 5,
		},
		"External Secrets is on its way": {
			until: "15", health: map[string]string{"platform-external-secrets": "Progressing"},
			message: "wave 15 of 30: platform-external-secrets Progressing", wave: 15,
		},
		"Argo CD has not looked at an application": {
			until: "1", health: map[string]string{"platform-tekton": ""}, sync: map[string]string{"platform-tekton": ""},
			message: "wave 1 of 30: platform-tekton Unknown (Argo CD has not looked at it yet)", wave: 1,
		},
		"an early wave that fails later takes nothing away": {
			until: "30", health: map[string]string{"platform-tekton": "Degraded"},
			message: "wave 1 of 30: platform-tekton Degraded", wave: 1, made: "platform-ingress",
		},
		"all waves are deployed": {until: "30", wave: 30, made: "platform-ingress"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := running(t, func(_ string, o map[string]any) { work(o, c.health, c.sync) })
			for key := range w.Composed {
				if a, ok := strings.CutPrefix(key, keyApplication); ok && waveOf(a) > number(t, c.until) {
					delete(w.Composed, key)
				}
			}
			w.Objects = append(w.Objects, byHand)
			d := compose(t, platform(), w)
			if c.message == "" {
				require.Equal(t, "Ready", d.Phase)
				require.True(t, d.Ready)
				require.Regexp(t, `^All \d+ steps are done; people log in at https://authentik\.home\.local, `+
					`once somebody connected Authentik and Dex: the setting integrations\.configSync leaves that to you$`, d.Message)
			} else {
				require.Equal(t, "Pending", d.Phase)
				require.False(t, d.Ready)
				require.Equal(t, c.message, d.Message)
				require.Equal(t, c.message, condition(t, d, "ApplicationsReady").Message)
			}
			require.Equal(t, &c.wave, status(t, d).Wave)
			if c.made != "" {
				require.True(t, d.Has(keyApplication+c.made))
			}
			require.Equal(t, c.made == "platform-ingress", d.Has(keyApplication+"platform-ingress"), "no wave comes before its time")
		})
	}
}

// work sets the status that an object's controller sets when all is well, or what a case says.
func work(o map[string]any, health, sync map[string]string) {
	name := o["metadata"].(map[string]any)["name"].(string)
	or := func(m map[string]string, all string) string {
		if s, ok := m[name]; ok {
			return s
		}
		return all
	}
	switch o["kind"] {
	case "Application":
		o["status"] = map[string]any{"sync": map[string]any{"status": or(sync, "Synced")}, "health": map[string]any{"status": or(health, "Healthy")}}
	case "Certificate", "ClusterIssuer":
		o["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}
	case "Job":
		o["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Complete", "status": "True"}}}
	}
}

func waveOf(application string) int64 {
	i := slices.IndexFunc(allApplications(), func(a platformApplication) bool { return a.name == application })
	return allApplications()[i].wave
}

func number(t *testing.T, text string) (n int64) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &n))
	return n
}

func TestApplications(t *testing.T) {
	all := func(xr *v1alpha1.XPlatform) map[string]argocd.Application {
		d := compose(t, xr, rendertest.Cluster{Offline: true})
		out := map[string]argocd.Application{}
		for _, key := range d.Keys() {
			if name, ok := strings.CutPrefix(key, keyApplication); ok {
				out[name] = get[argocd.Application](t, d, key)
			}
		}
		return out
	}
	k3s := func(s *v1alpha1.PlatformSpec) { s.Distribution = "k3s" }
	everywhere := map[string]string{
		"platform-ingress-controller": "0", "platform-tekton": "1", "platform-crds": "5", "platform-rbac": "5",
		"platform-cert-manager": "10", "platform-external-secrets": "15", "platform-cert-foundation": "20", "platform-auth": "20",
		"platform-controllers": "20", "platform-catalog": "20", "platform-ingress": "30",
	}
	onK3s := maps.Clone(everywhere)
	onK3s["platform-gpu"], onK3s["platform-gateway"], onK3s["platform-external-dns"] = "3", "30", "30"
	for name, want := range map[string]map[string]string{"generic": everywhere, "k3s": onK3s} {
		t.Run("the waves of "+name, func(t *testing.T) {
			got := map[string]string{}
			for name, a := range all(platform(func(s *v1alpha1.PlatformSpec) { s.Distribution = name })) {
				got[name] = a.Annotations["argocd.argoproj.io/sync-wave"]
				require.Equal(t, "argocd", a.Namespace)
				require.Equal(t, "default", a.Spec.Project)
				require.Equal(t, "https://github.com/acme-corp/platform", a.Spec.Source.RepoURL)
				require.Equal(t, "HEAD", a.Spec.Source.TargetRevision)
				require.Equal(t, "https://kubernetes.default.svc", a.Spec.Destination.Server)
				require.Equal(t, argocd.Automated{Prune: true, SelfHeal: true}, a.Spec.SyncPolicy.Automated)
				require.Equal(t, argocd.Retry{Limit: 5, Backoff: argocd.Backoff{Duration: "5s", Factor: 2, MaxDuration: "3m"}}, a.Spec.SyncPolicy.Retry)
				require.Empty(t, a.Finalizers, "what it deployed has to outlive it")
			}
			require.Equal(t, want, got)
		})
	}
	t.Run("one application is different", func(t *testing.T) {
		got := all(platform(k3s, func(s *v1alpha1.PlatformSpec) {
			s.GitOps.Path = "clusters/home"
			s.GitOps.Applications = []v1alpha1.Application{
				{Name: "platform-auth", RepoURL: "https://github.com/acme-corp/login", TargetRevision: "v1", Path: "deploy", Namespace: "login"},
				{Name: "platform-gpu", Enabled: new(false)},
				{Name: "platform-gateway", Enabled: new(true)},
			}
		}))
		require.NotContains(t, got, "platform-gpu")
		require.Contains(t, got, "platform-gateway")
		require.Equal(t, argocd.Source{RepoURL: "https://github.com/acme-corp/login", TargetRevision: "v1", Path: "deploy"}, got["platform-auth"].Spec.Source)
		require.Equal(t, "login", got["platform-auth"].Spec.Destination.Namespace)
		require.Equal(t, "clusters/home/base/tekton", got["platform-tekton"].Spec.Source.Path)
		require.Equal(t, "tekton-pipelines", got["platform-tekton"].Spec.Destination.Namespace)
	})
	t.Run("what one application says more", func(t *testing.T) {
		got := all(platform(func(s *v1alpha1.PlatformSpec) {
			s.GitOps.SyncOptions = []string{"CreateNamespace=true", "PruneLast=true"}
			s.GitOps.Applications = []v1alpha1.Application{
				{Name: "platform-tekton", Project: "tekton", SyncOptions: []string{"CreateNamespace=false", "ServerSideApply=true"}},
				{Name: "platform-auth", Directory: v1alpha1.Directory{Recurse: true, Exclude: "{values.yaml,examples/*}"},
					SyncOptions: []string{"RespectIgnoreDifferences=false"}, IgnoreDifferences: []v1alpha1.IgnoreDifference{{
						Group: "apps", Kind: "StatefulSet", JSONPointers: []string{"/spec/replicas"},
					}}},
				{Name: "platform-cert-manager", IgnoreDifferences: []v1alpha1.IgnoreDifference{{
					Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration", Name: "cert-manager-webhook",
					JQPathExpressions: []string{".webhooks[]?.clientConfig.caBundle"},
				}}},
				{Name: "platform-external-secrets", Helm: v1alpha1.Helm{ReleaseName: "external-secrets", ValueFiles: []string{"values.yaml", "../values-home.yaml"},
					Values: map[string]any{"webhook": map[string]any{"port": int64(10250)}, "installCRDs": false}}},
				{Name: "platform-crds", Directory: v1alpha1.Directory{Recurse: false}, Helm: v1alpha1.Helm{Values: map[string]any{}}},
			}
		}))
		tekton, auth := got["platform-tekton"].Spec, got["platform-auth"].Spec
		require.Equal(t, "tekton", tekton.Project)
		require.Equal(t, []string{"PruneLast=true", "CreateNamespace=false", "ServerSideApply=true"}, tekton.SyncPolicy.SyncOptions,
			"one of the same name takes the place of the common one")
		require.Equal(t, []string{"CreateNamespace=true", "PruneLast=true"}, got["platform-ingress"].Spec.SyncPolicy.SyncOptions)
		require.Equal(t, &argocd.Directory{Recurse: true, Exclude: "{values.yaml,examples/*}"}, auth.Source.Directory)
		require.Equal(t, []argocd.IgnoreDifference{
			{Group: "apps", Kind: "StatefulSet", JSONPointers: []string{"/spec/replicas"}},
			{Group: "apps", Kind: "Deployment", Namespace: "auth-system", Name: "dex", JSONPointers: []string{"/spec/replicas"}},
		}, auth.IgnoreDifferences)
		require.Equal(t, []string{"CreateNamespace=true", "PruneLast=true", "RespectIgnoreDifferences=true"}, auth.SyncPolicy.SyncOptions,
			"Dex would be stopped again without it")
		require.Equal(t, []argocd.IgnoreDifference{{
			Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration", Name: "cert-manager-webhook",
			JQPathExpressions: []string{".webhooks[]?.clientConfig.caBundle"},
		}}, got["platform-cert-manager"].Spec.IgnoreDifferences)
		require.Equal(t, &argocd.Helm{
			ReleaseName: "external-secrets", ValueFiles: []string{"values.yaml", "../values-home.yaml"},
			ValuesObject: map[string]any{"webhook": map[string]any{"port": int64(10250)}, "installCRDs": false},
		}, got["platform-external-secrets"].Spec.Source.Helm)
		for _, plain := range []string{"platform-crds", "platform-ingress"} {
			require.Nil(t, got[plain].Spec.Source.Directory, "Argo CD would take a kustomization for plain manifests")
			require.Nil(t, got[plain].Spec.Source.Helm, "Argo CD would look for a chart")
		}
	})
	t.Run("a wave without applications is left out", func(t *testing.T) {
		off := func(s *v1alpha1.PlatformSpec) {
			s.GitOps.Applications = []v1alpha1.Application{{Name: "platform-ingress-controller", Enabled: new(false)}, {Name: "platform-ingress", Enabled: new(false)}}
		}
		d := compose(t, platform(off), rendertest.Cluster{})
		require.Contains(t, d.Message, "wave 1 of 20: platform-tekton Missing")
		require.True(t, d.Has(keyApplication+"platform-tekton"))
	})
}

func TestEngineeringWorksInTheNamespacesThatAreThere(t *testing.T) {
	ns := func(names ...string) []string {
		var out []string
		for _, n := range names {
			out = append(out, `{apiVersion: v1, kind: Namespace, metadata: {name: `+n+`}}`)
		}
		return out
	}
	role := `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: platform-engineering}}`
	binding := func(namespace string) string {
		return `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: platform-engineering, namespace: ` + namespace + `}}`
	}
	cases := map[string]struct {
		composed map[string]string
		objects  []string
		bound    []string
		works    []string
	}{
		"every user-* and team-* namespace, and no other": {
			composed: map[string]string{keyEngineering: role},
			objects:  ns("team-red", "user-bob", "user-alice", "team", "teams-red", "my-team-red", "kube-system", "user"),
			bound:    []string{"team-red", "user-alice", "user-bob"}, works: []string{"team-red", "user-alice", "user-bob"},
		},
		"not the namespace of a pipeline": {
			composed: map[string]string{keyEngineering: role},
			objects:  []string{`{apiVersion: v1, kind: Namespace, metadata: {name: team-red, labels: {aphex/tenant: team-red}}}`},
		},
		"no binding before its role": {objects: ns("team-red"), works: []string{"team-red"}},
		"a namespace that is gone takes its binding along": {
			composed: map[string]string{keyEngineering: role, keyEngineeringIn + "team-red": binding("team-red")},
		},
		"a binding of somebody else is left alone, and the other namespaces get theirs": {
			composed: map[string]string{keyEngineering: role},
			objects:  append(ns("team-blue", "team-red", "user-bob"), binding("team-red")),
			bound:    []string{"team-blue", "user-bob"}, works: []string{"team-blue", "user-bob"},
		},
		"nothing is made in a namespace on its way out": {
			composed: map[string]string{keyEngineering: role, keyEngineeringIn + "team-red": binding("team-red")},
			objects:  []string{`{apiVersion: v1, kind: Namespace, metadata: {name: team-red, deletionTimestamp: "2026-01-16T23:15:00Z"}}`},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := compose(t, platform(), rendertest.Cluster{Composed: c.composed, Objects: c.objects})
			var bound []string
			for _, key := range d.Keys() {
				if namespace, ok := strings.CutPrefix(key, keyEngineeringIn); ok {
					b := get[rbacv1.RoleBinding](t, d, key)
					require.Equal(t, namespace, b.Namespace)
					require.Equal(t, rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "platform-engineering"}, b.RoleRef)
					require.Equal(t, groups("platform-engineering", "engineering"), b.Subjects)
					bound = append(bound, namespace)
				}
			}
			require.Equal(t, c.bound, bound)
			require.Equal(t, c.works, status(t, d).EngineeringNamespaces)
		})
	}
}

func TestABindingThatIsInTheWayIsToldAndNothingElseWaits(t *testing.T) {
	w := running(t, func(_ string, o map[string]any) { work(o, nil, nil) })
	w.Objects = append(w.Objects, byHand, `{apiVersion: v1, kind: Namespace, metadata: {name: team-red}}`,
		`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: platform-engineering, namespace: team-red}}`)
	const inTheWay = "waiting for RoleBinding team-red/platform-engineering (it exists and is not managed by Aphex; delete it, or the group platform-engineering has no rights there)"
	d := compose(t, platform(), w)
	require.Equal(t, "Pending", d.Phase, "whoever owns a namespace must not make a whole platform fail")
	require.Regexp(t, `^\d+ of \d+ other steps done, `+regexp.QuoteMeta(inTheWay)+`$`, d.Message)
	for _, c := range d.Conditions {
		if c.Type == "GroupsReady" {
			require.Equal(t, object.Condition{Type: "GroupsReady", Status: "False", Reason: "NameTaken", Message: inTheWay}, c)
			continue
		}
		require.Equal(t, object.True, c.Status, "%s: %s", c.Type, c.Message)
	}
}

func groups(names ...string) []rbacv1.Subject {
	var out []rbacv1.Subject
	for _, n := range names {
		out = append(out, rbacv1.Subject{APIGroup: "rbac.authorization.k8s.io", Kind: "Group", Name: n})
	}
	return out
}

func TestNoPipelineReachesTheNamespacesOfApplications(t *testing.T) {
	for _, a := range allApplications() {
		if a.namespace == "" {
			continue
		}
		require.NotEmpty(t, repobinding.ReservedPipelineName(a.namespace), a.namespace)
		// A pipeline may deploy to <its name>-*.
		for i, c := range a.namespace {
			if c == '-' {
				require.NotEmpty(t, repobinding.ReservedPipelineName(a.namespace[:i]), a.namespace[:i])
			}
		}
	}
}

func TestGroupsHaveExactlyTheirRights(t *testing.T) {
	d := compose(t, platform(), rendertest.Cluster{Offline: true})
	const every = "get list watch create update patch delete"
	logs := []string{"/pods: get list watch", "/pods/log: get", "/events: get list watch", "events.k8s.io/events: get list watch"}
	claims := func(verbs string, more ...string) []string {
		var out []string
		for _, r := range append([]string{"organizations", "repobindings", "knowledgebases"}, more...) {
			out = append(out, "aphex.io/"+r+": "+verbs)
		}
		return out
	}
	tekton := func(verbs string) []string {
		out := []string{"/pods: get list watch", "/pods/log: get list watch"}
		for _, r := range rendertest.Resources(t, "tekton.dev") {
			out = append(out, "tekton.dev/"+r+": "+verbs)
		}
		return out
	}
	for key, want := range map[string][]string{
		keyAdmins:       slices.Concat(claims(every, "platforms"), logs, []string{"/namespaces: get list watch create delete"}),
		keyOperators:    slices.Concat(claims(every), logs),
		keyEngineering:  claims("get list watch create update patch"),
		keyTektonAdmin:  tekton(every),
		keyTektonReader: tekton("get list watch"),
	} {
		t.Run(key, func(t *testing.T) {
			var got []string
			for _, rule := range get[rbacv1.ClusterRole](t, d, key).Rules {
				require.Empty(t, rule.ResourceNames)
				require.Empty(t, rule.NonResourceURLs)
				for _, r := range rule.Resources {
					got = append(got, strings.Join(rule.APIGroups, ",")+"/"+r+": "+strings.Join(rule.Verbs, " "))
				}
			}
			require.ElementsMatch(t, want, got)
			require.NotContains(t, strings.Join(got, " "), "*")
		})
	}
}

func TestNamesOfGroupsReachEveryPolicy(t *testing.T) {
	xr := platform(func(s *v1alpha1.PlatformSpec) {
		s.Groups = v1alpha1.Groups{
			Admins:      v1alpha1.Group{Name: "root", Aliases: []string{}},
			Operators:   v1alpha1.Group{Name: "ops", Aliases: []string{"sre"}},
			Engineering: v1alpha1.Group{Name: "dev", Aliases: []string{"qa", "docs"}},
			Others:      []string{"coffee", "qa"},
		}
	})
	d := compose(t, xr, rendertest.Cluster{Offline: true})
	for key, want := range map[string][]rbacv1.Subject{
		keyAdminsBinding:    groups("root"),
		keyOperatorsBinding: groups("ops", "sre"),
		keyTektonAdminBind:  groups("root"),
		keyTektonReaderBind: groups("ops", "sre", "dev", "qa", "docs"),
	} {
		require.Equal(t, want, get[rbacv1.ClusterRoleBinding](t, d, key).Subjects, key)
	}
	policy := get[corev1.ConfigMap](t, d, keyArgoCDPolicy).Data
	require.Equal(t, "[groups]", policy["scopes"])
	require.True(t, strings.HasSuffix(policy["policy.csv"], "\ng, root, role:admin\ng, ops, role:readonly\ng, sre, role:readonly\n"+
		"g, dev, role:readonly\ng, qa, role:readonly\ng, docs, role:readonly\n"))
	blueprint := get[corev1.ConfigMap](t, d, keyBlueprint).Data["aphex-platform.yaml"]
	for _, name := range []string{"root", "ops", "dev"} {
		require.Contains(t, blueprint, "name: "+name+"\n")
	}
	require.NotContains(t, blueprint, "sre", "an alias is no group")
	require.NotContains(t, blueprint, "coffee", "nor is one of Authentik's own")
	var dex dexConfig
	require.NoError(t, yaml.Unmarshal([]byte(get[corev1.ConfigMap](t, d, keyDexConfig).Data["config.yaml"]), &dex))
	require.Equal(t, []string{"coffee", "dev", "docs", "ops", "qa", "root", "sre"}, dex.Connectors[0].Config.AllowedGroups)
}

func TestStatusTellsWhatIsInTheWay(t *testing.T) {
	role := func(name string) string {
		return `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: ` + name + `}}`
	}
	cases := map[string]struct {
		objects []string
		message string
	}{
		"one object": {
			objects: []string{role("platform-admins")},
			message: "ClusterRole platform-admins exists and is not managed by Aphex; delete or rename what is in the way",
		},
		"more than a message should hold": {
			objects: []string{role("platform-admins"), role("platform-operators"), role("platform-engineering"), role("tekton-admin"), role("tekton-readonly")},
			message: "ClusterRole tekton-admin exists and is not managed by Aphex; ClusterRole tekton-readonly exists and is not managed by Aphex; " +
				"ClusterRole platform-admins exists and is not managed by Aphex; and 2 more; delete or rename what is in the way",
		},
		"a namespace of the platform's that another has": {
			objects: []string{`{apiVersion: v1, kind: Namespace, metadata: {name: auth-system, ownerReferences: [{kind: XPlatform, name: first, uid: other, controller: true}]}}`, role("platform-admins")},
			message: "Namespace auth-system exists and is controlled by XPlatform first; a cluster has one platform",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := compose(t, platform(), rendertest.Cluster{Objects: c.objects})
			require.Equal(t, "Failed", d.Phase)
			require.True(t, d.Failed)
			require.Equal(t, c.message, d.Message)
			if strings.Contains(c.message, "one platform") {
				require.Empty(t, d.Keys(), "a second platform makes nothing")
			}
		})
	}
}

func TestAnIssuerThatExistsSignsTheCertificates(t *testing.T) {
	existing := func(s *v1alpha1.PlatformSpec) {
		s.Certificates = v1alpha1.Certificates{Issuer: "existing", ClusterIssuer: "letsencrypt-route53"}
	}
	w := running(t, func(_ string, o map[string]any) { work(o, nil, nil) })
	w.Objects = append(w.Objects, byHand)
	d := compose(t, platform(existing), w)
	require.False(t, d.Has(keyIssuer+"selfSigned"), "nobody needs that any more")
	for _, key := range []string{"dex-tls", "authentik-tls", "argocd-tls", "tekton-tls"} {
		require.Equal(t, certmanager.IssuerRef{Name: "letsencrypt-route53", Kind: "ClusterIssuer"},
			get[certmanager.Certificate](t, d, keyCertificate+key).Spec.IssuerRef)
	}
	require.Equal(t, object.Condition{Type: "CertificatesReady", Status: "True", Reason: "Available"}, condition(t, d, "CertificatesReady"))
	require.NotContains(t, get[corev1.ConfigMap](t, d, keyAuthentication).Data["authentication-configuration.yaml"], "certificateAuthority")
}

func TestWhereArgoCDIsMovedItsObjectsFollow(t *testing.T) {
	moved := func(s *v1alpha1.PlatformSpec) {
		s.Settings = map[string]any{"argocd": map[string]any{"namespace": "gitops"}}
	}
	there := func(d *object.Desired) map[string][]string {
		out := map[string][]string{}
		for _, key := range d.Keys() {
			if ns := object.NewObject(d.Resources()[key].Object).Namespace(); ns == "argocd" || ns == "gitops" {
				out[ns] = append(out[ns], key)
			}
		}
		return out
	}
	works := func(_ string, o map[string]any) { work(o, nil, nil) }
	w := running(t, works)
	before := there(compose(t, platform(), w))["argocd"]
	require.Subset(t, before, []string{"application-platform-auth", "argocd-config", "argocd-oidc", "argocd-policy", "certificate-argocd-tls"})

	d := compose(t, platform(moved), w)
	require.Equal(t, map[string][]string{"argocd": before}, there(d), "while the new namespace is not there, nothing is given up")
	require.Equal(t, "NamespaceNotFound", condition(t, d, "ApplicationsReady").Reason)

	w.Objects = append(w.Objects, `{apiVersion: v1, kind: Namespace, metadata: {name: gitops}}`)
	d = compose(t, platform(moved), w)
	require.Empty(t, there(d))
	require.False(t, d.Ready)
	require.Equal(t, object.Condition{Type: "ApplicationsReady", Status: "False", Reason: "Waiting", Message: "being moved to the namespace gitops"},
		condition(t, d, "ApplicationsReady"))

	for range 12 {
		w.Composed = applied(t, d, works).Composed
		d = compose(t, platform(moved), w)
	}
	require.Equal(t, map[string][]string{"gitops": before}, there(d))
	require.Equal(t, "True", string(condition(t, d, "ApplicationsReady").Status))
}

func TestSettingsComeFromTheClaim(t *testing.T) {
	set := func(s *v1alpha1.PlatformSpec) {
		s.Settings = map[string]any{"argocd": map[string]any{"namespace": "gitops"}, "cloudflared": map[string]any{"replicas": int64(3)}}
	}
	d := compose(t, platform(set), rendertest.Cluster{Objects: []string{`{apiVersion: v1, kind: Namespace, metadata: {name: gitops}}`}})
	require.Equal(t, "gitops", get[argocd.Application](t, d, keyApplication+"platform-ingress-controller").Namespace)
	written, err := yaml.Marshal(object.NewObject(d.Resources()[keySettings].Object).Field("data").Map())
	require.NoError(t, err)
	require.YAMLEq(t, "{argocd: {namespace: gitops}, cloudflared: {replicas: 3}}", string(written))

	t.Run("those of somebody else hold, and stay", func(t *testing.T) {
		d := compose(t, platform(set), rendertest.Cluster{Objects: []string{
			`{apiVersion: apiextensions.crossplane.io/v1beta1, kind: EnvironmentConfig, metadata: {name: aphex}, data: {podSecurity: privileged}}`,
		}})
		require.False(t, d.Has(keySettings))
		require.Equal(t, "NameTaken", condition(t, d, "SettingsReady").Reason)
		require.Equal(t, "argocd", get[argocd.Application](t, d, keyApplication+"platform-ingress-controller").Namespace)
		require.Equal(t, "privileged", get[corev1.Namespace](t, d, keyNamespace).Labels["pod-security.kubernetes.io/enforce"])
	})
	t.Run("wrong ones change nothing, but a namespace that goes takes its binding along", func(t *testing.T) {
		wrong := func(s *v1alpha1.PlatformSpec) { s.Settings = map[string]any{"podSecurity": "none"} }
		binding := func(namespace string) string {
			return `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: platform-engineering, namespace: ` + namespace +
				`}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: platform-engineering}}`
		}
		d := compose(t, platform(wrong), rendertest.Cluster{
			Objects: []string{`{apiVersion: v1, kind: Namespace, metadata: {name: team-red}}`},
			Composed: map[string]string{
				keyEngineeringIn + "team-red": binding("team-red"), keyEngineeringIn + "team-gone": binding("team-gone"),
			},
		})
		require.Equal(t, "Failed", d.Phase)
		require.Contains(t, d.Message, `spec.settings: data.podSecurity: Unsupported value: "none"`)
		require.Equal(t, []string{keyEngineeringIn + "team-red"}, d.Keys())
	})
	t.Run("without any, the object is left to people", func(t *testing.T) {
		require.False(t, compose(t, platform(), rendertest.Cluster{}).Has(keySettings))
	})
}
