package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/platform/configsync"
)

const (
	keyArgoCDSyncAccount = "argocd-sync-service-account"
	keyArgoCDSyncRole    = "argocd-sync-role"
	keyArgoCDSyncBinding = "argocd-sync-role-binding"

	// argoCDSyncDeadline is for all pods of a job together, in seconds; each tries for argoCDSyncPatience.
	argoCDSyncPatience = "5m"
	argoCDSyncDeadline = 15 * 60
)

// argoCDShare is one of Argo CD's own ConfigMaps: the platform has a share in it where it came with Argo CD, and makes it
// where it did not.
type argoCDShare struct {
	// key is that of the ConfigMap that the platform makes, want what it has to hold.
	key  string
	want *corev1.ConfigMap
	// ready judges a ConfigMap that holds it.
	ready object.Readiness
	// have is the ConfigMap that came with Argo CD, differ the keys that have other values there, and holders who holds those.
	have    object.Object
	differ  []string
	holders []string
	// early is why its turn has not come yet, empty once it has.
	early string
}

// addArgoCDMaps has Argo CD's own ConfigMaps say what they shall. The policy is first, so that nobody logs in before it holds.
func (c *composer) addArgoCDMaps(policy, config *corev1.ConfigMap) {
	_, lacking := c.dexAuthority()
	first := c.argoCDShare(keyArgoCDPolicy, policy, onlyPolicy(c.spec.Auth.ArgoCD.AllowOtherPolicies))
	second := c.argoCDShare(keyArgoCDConfig, config, readByArgoCD(lacking))
	second.early = lacking
	if !c.holds(first) {
		second.early = "the policy does not hold yet"
	}
	on := c.argoCDSyncGate(first, second)
	c.exclusive(on, c.home, keyArgoCDSyncAccount, kube.ServiceAccount(meta(authNamespace, argoCDSyncName)), object.ReadyWhenSeen)
	c.exclusive(on, true, keyArgoCDSyncRole, argoCDSyncRole(c.set.ArgoCD.Namespace), object.ReadyWhenSeen)
	c.exclusive(on, c.has(keyArgoCDSyncRole), keyArgoCDSyncBinding, argoCDSyncBinding(c.set.ArgoCD.Namespace), object.ReadyWhenSeen)
	c.addArgoCDMap(first)
	c.addArgoCDMap(second)
	c.remarkPolicies(first)
}

func (c *composer) argoCDShare(key string, want *corev1.ConfigMap, ready object.Readiness) *argoCDShare {
	s := &argoCDShare{key: key, want: want, ready: ready}
	if c.argoCD.state != open {
		return s
	}
	s.have = c.seen.Foreign(key, want.APIVersion, want.Kind, want.Namespace, want.Name)
	if !s.have.Exists() {
		return s
	}
	for _, k := range slices.Sorted(maps.Keys(want.Data)) {
		if strings.TrimSpace(s.have.String("data", k)) != strings.TrimSpace(want.Data[k]) {
			s.differ = append(s.differ, k)
		}
	}
	s.holders = holders(s.have, s.differ)
	return s
}

// holders are the field managers that hold keys of a ConfigMap, each with the key. The API server keeps these for them unless
// it is told to take them, see https://kubernetes.io/docs/reference/using-api/server-side-apply/.
func holders(o object.Object, keys []string) []string {
	var out []string
	for _, k := range keys {
		for _, entry := range o.List("metadata", "managedFields") {
			manager := entry.String("manager")
			if manager != configsync.FieldManager && slices.Contains(entry.Field("fieldsV1", "f:data").Keys(), "f:"+k) {
				out = append(out, k+" by "+manager)
			}
		}
	}
	return out
}

// inUse is the ConfigMap that is there, whosever it is.
func (c *composer) inUse(s *argoCDShare) object.Object {
	if s.have.Exists() {
		return s.have
	}
	return c.seen.Composed(s.key)
}

// holds tells whether the ConfigMap is there and right.
func (c *composer) holds(s *argoCDShare) bool {
	have := c.inUse(s)
	right, _ := s.ready(have)
	return have.Exists() && len(s.differ) == 0 && right
}

// settable tells whether a job may set what differs.
func (c *composer) settable(s *argoCDShare) bool {
	return len(s.differ) > 0 && c.set.ConfigSync.Image != "" && (len(s.holders) == 0 || c.spec.Auth.ArgoCD.Force)
}

// argoCDSyncGate is shut while there is nothing to set: whoever may change these ConfigMaps is an administrator of Argo CD, so
// the service account has its rights only while it needs them.
func (c *composer) argoCDSyncGate(shares ...*argoCDShare) gate {
	if slices.ContainsFunc(shares, func(s *argoCDShare) bool { return s.early == "" && c.settable(s) }) {
		return always
	}
	return gate{state: closed, reason: reasonNotRequested, message: "there is nothing to set in Argo CD"}
}

// addArgoCDMap uses a ConfigMap that came with Argo CD and is never taken over, or makes it where there is none.
func (c *composer) addArgoCDMap(s *argoCDShare) {
	c.step(s.key)
	if !c.pass(c.argoCD, s.key, s.want, s.ready) {
		return
	}
	ref := object.Ref(s.want.Kind, s.want.Namespace, s.want.Name)
	if !s.have.Exists() {
		c.makeArgoCDMap(s, ref)
		return
	}
	differ := strings.Join(s.differ, ", ")
	switch {
	case len(s.differ) == 0:
		c.keepArgoCDJob(s)
		if right, why := s.ready(s.have); !right {
			c.d.Withdraw(s.key, ref, why)
			return
		}
		c.d.Accept(s.key, ref)
	case c.set.ConfigSync.Image == "":
		c.d.Withdraw(s.key, ref, "it exists, is not managed by Aphex and differs in "+differ+"; set that as ConfigMap "+authNamespace+"/"+
			argoCDSettings+" has it, or let a job do so: the setting configSync.image names its image")
	case !c.settable(s):
		c.reasons[s.key] = reasonHeldByOthers
		c.d.Withdraw(s.key, ref, "it has other values, which others hold: "+strings.Join(s.holders, ", ")+
			"; take them out there, or set spec.auth.argocd.force")
	case s.early != "":
		c.d.Withdraw(s.key, ref, "it does not get "+differ+" yet: "+s.early)
	default:
		job := argoCDSyncJob(s, c.set.ConfigSync.Image, c.spec.Auth.ArgoCD.Force)
		c.d.AddWhen(c.home && c.has(keyArgoCDSyncAccount) && c.has(keyArgoCDSyncBinding), job.Name, job, ended)
		c.d.Withdraw(s.key, ref, s.awaits(job.Name, c.seen.Composed(job.Name)))
	}
}

// makeArgoCDMap makes a ConfigMap where there is none, in its turn.
func (c *composer) makeArgoCDMap(s *argoCDShare, ref string) {
	switch made := c.seen.Composed(s.key); {
	case s.early == "", c.seen.Offline:
		c.d.Add(s.key, s.want, s.ready)
	case !made.Exists():
		c.d.Withdraw(s.key, ref, "it is not made yet: "+s.early)
	case holdsAuthority(made):
		c.d.Hold(s.key, ref, s.early)
	default:
		c.d.Add(s.key, s.want, s.ready)
	}
}

// keepArgoCDJob leaves the last job where it is. Its name has what there was before: if that comes back, the job is there
// already and no other is made, so that two who set the same key do not do so for ever.
func (c *composer) keepArgoCDJob(s *argoCDShare) {
	for _, key := range c.seen.ComposedKeys() {
		if strings.HasPrefix(key, argoCDSyncJobPrefix(s.want.Name)) {
			c.d.Keep(key, object.Ref("Job", authNamespace, key))
		}
	}
}

// awaits says how far the job is that sets what differs.
func (s *argoCDShare) awaits(name string, job object.Object) string {
	ref, differ := object.Ref("Job", authNamespace, name), strings.Join(s.differ, ", ")
	switch failed := job.Condition("Failed"); {
	case job.Deleting():
		return ref + " is being deleted"
	case job.Condition("Complete").Status == object.True:
		why := differ + " had been set by " + ref + ", and differ now"
		if len(s.holders) > 0 {
			why += "; held now: " + strings.Join(s.holders, ", ")
		}
		return why + "; delete the job to have it set again"
	case failed.Status == object.True:
		return ref + " did not set " + differ + ": " + syncFailure(failed) + "; delete it to try again"
	default:
		return ref + " sets " + differ
	}
}

// ended is for a job of which nothing is left to do.
func ended(o object.Object) (bool, string) {
	return o.Condition("Complete").Status == object.True, "it has not ended"
}

// remarkPolicies has the condition tell of policies beside the platform's, allowed or not.
func (c *composer) remarkPolicies(s *argoCDShare) {
	others := otherPolicies(c.inUse(s))
	if len(others) == 0 || len(s.differ) > 0 {
		return
	}
	p := c.parts[len(c.parts)-1]
	c.reasons[s.key], p.reason = reasonOtherPolicies, reasonOtherPolicies
	p.remark = object.Ref(s.want.Kind, s.want.Namespace, s.want.Name) + " also has " + strings.Join(others, ", ") +
		": people may do more in Argo CD than their groups allow"
}

// readByArgoCD is for argocd-cm, which Argo CD finds by its label, and which is of no use while it lacks the authority of a
// self-signed certificate.
func readByArgoCD(lacking string) object.Readiness {
	return func(o object.Object) (bool, string) {
		switch {
		case !partOfArgoCD(o):
			return false, "it " + lacksArgoCDPart
		case lacking != "":
			return false, "it lacks whom Dex is trusted by: " + lacking
		}
		return object.ReadyWhenSeen(o)
	}
}

// onlyPolicy is for argocd-rbac-cm, whose policy has to decide alone unless others are allowed.
func onlyPolicy(allowOthers bool) object.Readiness {
	return func(o object.Object) (bool, string) {
		others := otherPolicies(o)
		switch {
		case o.String("data", "policy.matchMode") == "regex":
			return false, "its policy.matchMode is regex, but the policy is written for glob; take that out"
		case len(others) > 0 && !allowOthers:
			return false, "it also has " + strings.Join(others, ", ") + ", so that people may do more in Argo CD than their groups allow; " +
				"take that out, or set spec.auth.argocd.allowOtherPolicies"
		}
		return object.ReadyWhenSeen(o)
	}
}

// otherPolicies are the keys of argocd-rbac-cm that give rights beside policy.csv: the role of everybody who is logged in, and
// further files, see https://argo-cd.readthedocs.io/en/stable/operator-manual/rbac/.
func otherPolicies(o object.Object) []string {
	return slices.DeleteFunc(o.Field("data").Keys(), func(key string) bool {
		file := strings.HasPrefix(key, "policy.") && strings.HasSuffix(key, ".csv") && key != "policy.csv"
		return key != "policy.default" && !file || strings.TrimSpace(o.String("data", key)) == ""
	})
}

// argoCDSyncRole lets the jobs change two ConfigMaps. They may not make them.
func argoCDSyncRole(namespace string) *rbacv1.Role {
	return kube.Role(meta(namespace, argoCDSyncName), rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{argoCDConfigName, argoCDPolicyName},
		Verbs: []string{"get", "patch"},
	})
}

func argoCDSyncBinding(namespace string) *rbacv1.RoleBinding {
	return kube.RoleBinding(meta(namespace, argoCDSyncName), argoCDSyncName, kube.ServiceAccountSubject(authNamespace, argoCDSyncName))
}

// argoCDSyncJob sets the platform's keys in one ConfigMap. Its name, which is also its key, has all that it does and what there
// was before, so that another one takes its place when either changes.
func argoCDSyncJob(s *argoCDShare, image string, force bool) *batchv1.Job {
	arguments := []string{
		configsync.SetCommand, "--namespace=" + s.want.Namespace, "--name=" + s.want.Name, "--timeout=" + argoCDSyncPatience,
	}
	for _, k := range slices.Sorted(maps.Keys(s.want.Data)) {
		arguments = append(arguments, "--set="+k+"="+s.want.Data[k])
	}
	if force {
		arguments = append(arguments, "--force")
	}
	spec := jobSpec(argoCDSyncName, image, arguments, configsync.SetFailures(), argoCDSyncDeadline)
	var before [][]byte
	for _, k := range s.differ {
		before = append(before, fmt.Appendf(nil, "%s=%s", k, s.have.String("data", k)))
	}
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: meta(authNamespace, argoCDSyncJobPrefix(s.want.Name)+jobHash(spec, before...)),
		Spec:       spec,
	}
}

// argoCDSyncJobPrefix begins the names of the jobs for one ConfigMap.
func argoCDSyncJobPrefix(configMap string) string { return configMap + "-sync-" }
