package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
	"aphex.io/platform/functions/internal/settings"
)

// withImage has a job set what Argo CD lacks.
func withImage(s *v1alpha1.PlatformSpec) {
	s.Settings = map[string]any{"configSync": map[string]any{"image": "registry.example.com/function-platform:v1"}}
}

func force(s *v1alpha1.PlatformSpec) { s.Auth.ArgoCD.Force = true }

// installation is an Argo CD that was there before the platform, by the data of its ConfigMaps and by who holds their keys.
type installation struct {
	policy, config map[string]string
	// holder holds all keys; empty if nobody does.
	holder string
	labels map[string]string
	// unsigned is a cluster where the certificate of Dex has not been signed yet.
	unsigned bool
}

// whole is what the platform wants both to hold.
func whole() installation {
	spec := platform().Spec.WithDefaults()
	return installation{policy: argoCDPolicy(spec.Groups), config: argoCDConfig(spec, rendertest.SelfSigned)}
}

func (i installation) configMap(t *testing.T, name string, data map[string]string) string {
	t.Helper()
	labels := i.labels
	if labels == nil {
		labels = map[string]string{"app.kubernetes.io/part-of": "argocd"}
	}
	metadata := map[string]any{"namespace": "argocd", "name": name, "labels": labels}
	if i.holder != "" {
		fields := map[string]any{}
		for k := range data {
			fields["f:"+k] = map[string]any{}
		}
		metadata["managedFields"] = []any{map[string]any{"manager": i.holder, "operation": "Update", "fieldsV1": map[string]any{"f:data": fields}}}
	}
	out, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
	require.NoError(t, err)
	return string(out)
}

// settled is what becomes of a platform beside such an Argo CD, once all that it makes is there. Of each Job, jobs has the status.
func (i installation) settled(t *testing.T, xr *v1alpha1.XPlatform, jobs string) (*object.Desired, rendertest.Cluster) {
	t.Helper()
	c := rendertest.Cluster{}
	var d *object.Desired
	for range 4 {
		c.Objects = []string{i.configMap(t, "argocd-rbac-cm", i.policy), i.configMap(t, "argocd-cm", i.config)}
		if !i.unsigned {
			c.Objects = append(c.Objects, tlsSecret("dex-tls", rendertest.SelfSigned))
		}
		d = compose(t, xr, c)
		c.Composed = applied(t, d, func(_ string, o map[string]any) {
			work(o, nil, nil)
			name, _ := o["metadata"].(map[string]any)["name"].(string)
			switch {
			case o["kind"] != "Job" || !strings.HasPrefix(name, "argocd-"):
			case jobs == "":
				delete(o, "status")
			default:
				o["status"] = map[string]any{"conditions": []any{map[string]any{"type": jobs, "status": "True", "reason": "PodFailurePolicy",
					"message": "Container argocd-sync for pod auth-system/x failed with exit code 40 matching FailJob rule at index 0"}}}
			}
		}).Composed
	}
	return compose(t, xr, c), c
}

// argoCDJobs are the names of the Jobs that set keys.
func argoCDJobs(d *object.Desired) []string {
	var out []string
	for _, key := range d.Keys() {
		if strings.HasPrefix(key, "argocd-cm-sync-") || strings.HasPrefix(key, "argocd-rbac-cm-sync-") {
			out = append(out, key)
		}
	}
	return out
}

func TestArgoCDThatIsThereAlready(t *testing.T) {
	with := func(i installation, change func(*installation)) installation {
		i.policy, i.config = maps.Clone(i.policy), maps.Clone(i.config)
		change(&i)
		return i
	}
	installed := installation{config: map[string]string{"resource.exclusions": "[]"}}
	policyOnly := installation{policy: whole().policy}
	const job = `Job auth-system/argocd-(rbac-)?cm-sync-[0-9a-f]{16}`
	for name, c := range map[string]struct {
		have   installation
		spec   []func(*v1alpha1.PlatformSpec)
		jobs   string // the status of Jobs
		reason string
		why    string // empty where the condition is True
		sets   string // the ConfigMap that is being set
	}{
		"all is right": {have: whole(), spec: []func(*v1alpha1.PlatformSpec){withImage}, reason: "Available"},
		"blanks at an end are no difference": {
			have:   with(whole(), func(i *installation) { i.policy["policy.csv"] = strings.TrimSpace(i.policy["policy.csv"]) }),
			reason: "Available",
		},
		"without an image people are told": {
			have: installed, reason: "Waiting",
			why: `ConfigMap argocd/argocd-rbac-cm \(it exists, is not managed by Aphex and differs in policy\.csv, scopes; set that as ConfigMap ` +
				`auth-system/argocd-settings has it, or let a job do so: the setting configSync\.image names its image\)`,
		},
		"the policy is first": {
			have: installed, spec: []func(*v1alpha1.PlatformSpec){withImage}, reason: "Waiting", sets: "argocd-rbac-cm",
			why: `ConfigMap argocd/argocd-rbac-cm \(` + job + ` sets policy\.csv, scopes\)`,
		},
		"login follows the policy": {
			have: policyOnly, spec: []func(*v1alpha1.PlatformSpec){withImage}, reason: "Waiting", sets: "argocd-cm",
			why: `ConfigMap argocd/argocd-cm \(` + job + ` sets oidc\.config, url\)`,
		},
		"login waits for the certificate that Argo CD is to trust": {
			have: with(policyOnly, func(i *installation) { i.unsigned = true }), spec: []func(*v1alpha1.PlatformSpec){withImage}, reason: "Waiting",
			why: `ConfigMap argocd/argocd-cm \(it does not get oidc\.config, url yet: Secret auth-system/dex-tls has no ca\.crt yet\)`,
		},
		"a job that failed says why": {
			have: policyOnly, spec: []func(*v1alpha1.PlatformSpec){withImage}, jobs: "Failed", reason: "Waiting", sets: "argocd-cm",
			why: `ConfigMap argocd/argocd-cm \(` + job + ` did not set oidc\.config, url: somebody else holds a key of the ConfigMap with ` +
				`another value; the log of its pod says who; delete it to try again\)`,
		},
		"a job whose work is undone is not repeated": {
			have: policyOnly, spec: []func(*v1alpha1.PlatformSpec){withImage}, jobs: "Complete", reason: "Waiting", sets: "argocd-cm",
			why: `ConfigMap argocd/argocd-cm \(oidc\.config, url had been set by ` + job + `, and differ now; delete the job to have it set again\)`,
		},
		"what others hold stays": {
			have: with(whole(), func(i *installation) { i.config["url"], i.holder = "https://cd.example.org", "helm" }),
			spec: []func(*v1alpha1.PlatformSpec){withImage}, reason: "HeldByOthers",
			why: `ConfigMap argocd/argocd-cm \(it has other values, which others hold: url by helm; take them out there, or set spec\.auth\.argocd\.force\)`,
		},
		"what others hold is taken by force": {
			have: with(whole(), func(i *installation) { i.config["url"], i.holder = "https://cd.example.org", "helm" }),
			spec: []func(*v1alpha1.PlatformSpec){withImage, force}, reason: "Waiting", sets: "argocd-cm",
			why: `ConfigMap argocd/argocd-cm \(` + job + ` sets url\)`,
		},
		"somebody undoes what was taken by force": {
			have: with(whole(), func(i *installation) { i.config["url"], i.holder = "https://cd.example.org", "argocd-controller" }),
			spec: []func(*v1alpha1.PlatformSpec){withImage, force}, jobs: "Complete", reason: "Waiting", sets: "argocd-cm",
			why: `ConfigMap argocd/argocd-cm \(url had been set by ` + job + `, and differ now; held now: url by argocd-controller; delete the job to have it set again\)`,
		},
		"jobs for Argo CD follow the image, also where people connect Authentik and Dex": {
			have:   with(whole(), func(i *installation) { i.config["url"] = "https://before.example.org" }),
			spec:   []func(*v1alpha1.PlatformSpec){withImage, func(s *v1alpha1.PlatformSpec) { s.Settings["integrations"] = map[string]any{"configSync": false} }},
			reason: "Waiting", sets: "argocd-cm", why: `ConfigMap argocd/argocd-cm \(` + job + ` sets url\)`,
		},
		"what the jobs hold they may change": {
			have: with(whole(), func(i *installation) { i.config["url"], i.holder = "https://before.example.org", "aphex-platform" }),
			spec: []func(*v1alpha1.PlatformSpec){withImage}, reason: "Waiting", sets: "argocd-cm",
			why: `ConfigMap argocd/argocd-cm \(` + job + ` sets url\)`,
		},
		"everybody may do something": {
			have:   with(whole(), func(i *installation) { i.policy["policy.default"] = "role:readonly" }),
			reason: "OtherPolicies",
			why: `ConfigMap argocd/argocd-rbac-cm \(it also has policy\.default, so that people may do more in Argo CD than their groups allow; ` +
				`take that out, or set spec\.auth\.argocd\.allowOtherPolicies\)`,
		},
		"there is another policy file": {
			have: with(whole(), func(i *installation) {
				i.policy["policy.team.csv"], i.policy["policy.none.csv"], i.policy["policy.default"] = "g, everybody, role:admin", " \n", ""
			}),
			reason: "OtherPolicies", why: `ConfigMap argocd/argocd-rbac-cm \(it also has policy\.team\.csv, so that .*`,
		},
		"nobody logs in by a policy that is not alone": {
			have: with(policyOnly, func(i *installation) { i.policy["policy.default"] = "role:admin" }),
			spec: []func(*v1alpha1.PlatformSpec){withImage}, reason: "OtherPolicies", why: `ConfigMap argocd/argocd-rbac-cm \(it also has policy\.default, so that .*`,
		},
		"the policy is read as regular expressions": {
			have:   with(whole(), func(i *installation) { i.policy["policy.matchMode"] = "regex" }),
			reason: "Waiting", why: `ConfigMap argocd/argocd-rbac-cm \(its policy\.matchMode is regex, but the policy is written for glob; take that out\)`,
		},
		"Argo CD does not see its configuration": {
			have:   with(whole(), func(i *installation) { i.labels = map[string]string{"app": "argocd"} }),
			reason: "Waiting", why: `ConfigMap argocd/argocd-cm \(it lacks the label app\.kubernetes\.io/part-of=argocd, without which Argo CD does not read it\)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := c.have.settled(t, platform(c.spec...), c.jobs)
			require.False(t, d.Has(keyArgoCDPolicy))
			require.False(t, d.Has(keyArgoCDConfig))
			is := condition(t, d, conditionArgoCDLogin)
			require.Equal(t, c.reason, is.Reason, is.Message)
			if c.why == "" {
				require.Equal(t, object.True, is.Status)
			} else {
				require.Regexp(t, "^waiting for "+c.why+"$", is.Message)
				require.Equal(t, object.False, is.Status)
				require.False(t, d.Ready)
			}
			jobs := argoCDJobs(d)
			for _, key := range []string{keyArgoCDSyncAccount, keyArgoCDSyncRole, keyArgoCDSyncBinding} {
				require.Equal(t, c.sets != "", d.Has(key), "rights are there only while they are needed: %s", key)
			}
			if c.sets == "" {
				require.Empty(t, jobs)
				return
			}
			require.Len(t, jobs, 1)
			require.True(t, strings.HasPrefix(jobs[0], c.sets+"-sync-"), jobs[0])
			require.LessOrEqual(t, len(jobs[0]), 63, "it is a label of its pods")
		})
	}
}

func TestPoliciesThatAreAllowedAreTold(t *testing.T) {
	have := whole()
	have.policy["policy.default"] = "role:readonly"
	xr := platform(func(s *v1alpha1.PlatformSpec) { s.Auth.ArgoCD.AllowOtherPolicies = true })
	const remark = "ConfigMap argocd/argocd-rbac-cm also has policy.default: people may do more in Argo CD than their groups allow"
	d, _ := have.settled(t, xr, "")
	require.Equal(t, object.Condition{Type: conditionArgoCDLogin, Status: object.True, Reason: "OtherPolicies", Message: remark}, condition(t, d, conditionArgoCDLogin))

	t.Run("also in a ConfigMap that is the platform's", func(t *testing.T) {
		add := func(_ string, o map[string]any) {
			work(o, nil, nil)
			if o["metadata"].(map[string]any)["name"] == "argocd-rbac-cm" {
				o["data"].(map[string]any)["policy.default"] = "role:readonly"
			}
		}
		c := running(t, add)
		require.Equal(t, remark, condition(t, compose(t, xr, c), conditionArgoCDLogin).Message)
		refused := compose(t, platform(), c)
		require.Equal(t, "OtherPolicies", condition(t, refused, conditionArgoCDLogin).Reason)
		require.Equal(t, "Pending", refused.Phase)
		require.NotContains(t, get[corev1.ConfigMap](t, refused, keyArgoCDPolicy).Data, "policy.default")
	})
}

// Where Argo CD brings only its policy along, the other ConfigMap is made in its turn.
func TestLoginIsMadeAfterAPolicyThatHolds(t *testing.T) {
	for name, c := range map[string]struct {
		policy map[string]string
		made   bool
	}{
		"everybody may do everything": {map[string]string{"policy.default": "role:admin"}, false},
		"the policy holds":            {whole().policy, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := running(t, nil)
			delete(w.Composed, keyArgoCDPolicy)
			delete(w.Composed, keyArgoCDConfig)
			w.Objects = append(w.Objects, installation{}.configMap(t, "argocd-rbac-cm", c.policy))
			require.Equal(t, c.made, compose(t, platform(), w).Has(keyArgoCDConfig))
		})
	}
}

func TestFilesKeepWhomTheyTrustWhileACertificateIsLost(t *testing.T) {
	w := running(t, nil)
	w.Objects = nil
	d := compose(t, platform(), w)
	for key, file := range map[string]string{keyAuthentication: authenticationFile, keyArgoCDConfig: "oidc.config"} {
		require.Contains(t, get[corev1.ConfigMap](t, d, key).Data[file], "-----BEGIN CERTIFICATE-----")
	}
	for _, conditionType := range []string{conditionLogin, conditionArgoCDLogin} {
		require.Contains(t, condition(t, d, conditionType).Message, "Secret auth-system/dex-tls has no ca.crt yet")
	}
	require.Equal(t, "Pending", d.Phase)
}

// A job that has ended stays, so that what it did is done once for one state of the ConfigMap.
func TestAnotherStateOfAConfigMapIsAnotherJob(t *testing.T) {
	xr, have := platform(withImage), whole()
	have.config = nil
	d, c := have.settled(t, xr, "Complete")
	first := argoCDJobs(d)
	require.Len(t, first, 1)
	c.Objects[1] = have.configMap(t, "argocd-cm", whole().config)
	done := compose(t, xr, c)
	require.Equal(t, object.True, condition(t, done, conditionArgoCDLogin).Status)
	require.Equal(t, first, argoCDJobs(done), "it is kept, and not made anew")
	require.True(t, done.Resources()[first[0]].Ready)
	require.False(t, done.Has(keyArgoCDSyncBinding))

	for name, config := range map[string]map[string]string{
		"an edited key":   {"url": "https://else.example.org", "oidc.config": whole().config["oidc.config"]},
		"a key that went": {"url": whole().config["url"]},
	} {
		t.Run(name, func(t *testing.T) {
			c.Objects[1] = have.configMap(t, "argocd-cm", config)
			second := argoCDJobs(compose(t, xr, c))
			require.Len(t, second, 1)
			require.NotEqual(t, first, second)
		})
	}
}

func TestAJobForArgoCDIsNamedByAllThatItDoes(t *testing.T) {
	job := func(image string, force bool, url, before string) *batchv1.Job {
		have, err := object.From(configMap("argocd", "argocd-cm", map[string]string{"url": before}))
		require.NoError(t, err)
		want := argoCDMap(settings.Defaults(), argoCDConfigName, map[string]string{"url": url, "oidc.config": "x"})
		return argoCDSyncJob(&argoCDShare{want: want, have: object.NewObject(have), differ: []string{"url"}}, image, force)
	}
	first := job("image:v1", false, "https://a", "")
	require.Equal(t, first.Name, job("image:v1", false, "https://a", "").Name)
	require.Equal(t, []string{"set-config-map", "--namespace=argocd", "--name=argocd-cm", "--timeout=5m", "--set=oidc.config=x", "--set=url=https://a"},
		first.Spec.Template.Spec.Containers[0].Args)
	require.Empty(t, first.Spec.Template.Spec.Volumes, "it needs no secret")
	for change, other := range map[string]*batchv1.Job{
		"another image": job("image:v2", false, "https://a", ""), "force": job("image:v1", true, "https://a", ""),
		"another value": job("image:v1", false, "https://b", ""), "another one before": job("image:v1", false, "https://a", "https://c"),
	} {
		require.NotEqual(t, first.Name, other.Name, change)
	}
	require.Contains(t, job("image:v1", true, "https://a", "").Spec.Template.Spec.Containers[0].Args, "--force")
}

func TestAJobForArgoCDMayChangeTwoConfigMaps(t *testing.T) {
	d, _ := installation{}.settled(t, platform(withImage), "")
	require.Equal(t, []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"argocd-cm", "argocd-rbac-cm"}, Verbs: []string{"get", "patch"},
	}}, get[rbacv1.Role](t, d, keyArgoCDSyncRole).Rules)
	require.Equal(t, "argocd", get[rbacv1.Role](t, d, keyArgoCDSyncRole).Namespace)
	require.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "auth-system", Name: "argocd-sync"}},
		get[rbacv1.RoleBinding](t, d, keyArgoCDSyncBinding).Subjects)
}
