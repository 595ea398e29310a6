// Package argocdrbac asks Argo CD's own code what the composed policy of groups allows (its enforcer of claims, with its model for
// Casbin, its built-in policy and its glob matching) and what it reads of the composed login, and its documentation which sync
// options there are. It is a module of its own, since Argo CD wants a newer Kubernetes than the rest.
package argocdrbac

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	applisters "github.com/argoproj/argo-cd/v3/pkg/client/listers/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/server/rbacpolicy"
	"github.com/argoproj/argo-cd/v3/util/assets"
	"github.com/argoproj/argo-cd/v3/util/rbac"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const (
	golden = "../../functions/platform/testdata/*"
	name   = "argocd-rbac-cm"
)

// policies are the composed ConfigMaps by their golden case.
func policies(t *testing.T) map[string]*corev1.ConfigMap {
	t.Helper()
	found := map[string]*corev1.ConfigMap{}
	for path, docs := range goldenFiles(t, golden+"/want.yaml") {
		if cm := find[corev1.ConfigMap](t, docs, "ConfigMap", name); cm != nil {
			found[filepath.Base(filepath.Dir(path))] = cm
		}
	}
	require.NotEmpty(t, found, "no golden case has a "+name)
	return found
}

// goldenFiles are the files of golden cases that match a pattern, by their path, each as its documents.
func goldenFiles(t *testing.T, pattern string) map[string][]string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	require.NoError(t, err)
	found := map[string][]string{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		found[path] = strings.Split("\n"+string(b), "\n---")
	}
	return found
}

// find is the object of that kind and name, nil if there is none.
func find[T any](t *testing.T, docs []string, kind, name string) *T {
	t.Helper()
	for _, doc := range docs {
		var meta metav1.PartialObjectMetadata
		require.NoError(t, yaml.Unmarshal([]byte(doc), &meta))
		if meta.Kind != kind || meta.Name != name {
			continue
		}
		raw, err := yaml.YAMLToJSONStrict([]byte(doc))
		require.NoError(t, err)
		o := new(T)
		unknown, err := kjson.UnmarshalStrict(raw, o)
		require.NoError(t, errors.Join(append(unknown, err)...))
		return o
	}
	return nil
}

// server is the part of Argo CD that decides.
type server struct {
	enforcer *rbac.Enforcer
	claims   *rbacpolicy.RBACPolicyEnforcer
}

// load reads a ConfigMap as Argo CD's server does when it starts. There are no AppProjects.
func load(t *testing.T, cm *corev1.ConfigMap) *server {
	t.Helper()
	projects := applisters.NewAppProjectLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}))
	s := &server{enforcer: rbac.NewEnforcer(fake.NewClientset(cm), cm.Namespace, name, nil)}
	s.claims = rbacpolicy.NewRBACPolicyEnforcer(s.enforcer, projects.AppProjects(cm.Namespace))
	s.enforcer.SetClaimsEnforcerFunc(s.claims.EnforceClaims)
	require.NoError(t, s.enforcer.SetBuiltinPolicy(assets.BuiltinPolicyCSV))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // It is read once; nobody watches it.
	require.NoError(t, s.enforcer.RunPolicyLoader(ctx, func(cm *corev1.ConfigMap) error {
		var scopes []string
		if err := yaml.Unmarshal([]byte(cm.Data[rbac.ConfigMapScopesKey]), &scopes); err != nil {
			return err
		}
		s.claims.SetScopes(scopes)
		return nil
	}))
	return s
}

// allows decides about somebody who logged in with a token.
func (s *server) allows(claims jwt.MapClaims, resource, action, object string) bool {
	return s.enforcer.Enforce(claims, resource, action, object)
}

// member is somebody in some groups.
func member(groups ...string) jwt.MapClaims {
	values := []any{}
	for _, g := range groups {
		values = append(values, g)
	}
	return jwt.MapClaims{"sub": "CgVhbGljZRIEbW9jaw", "email": "alice@platform.local", "groups": values}
}

// actions are those of Argo CD, and single ones of the kinds that have more parts.
var actions = append(slices.Clone(rbac.Actions), "action/apps/Deployment/restart", "update/apps/Deployment/web/web", "delete/*/Pod/web/web-0")

// objects are names that Argo CD asks about, by resource; applications and what belongs to them have a project.
func objects(resource string) []string {
	switch resource {
	case rbac.ResourceApplications, rbac.ResourceApplicationSets, rbac.ResourceLogs, rbac.ResourceExec:
		return []string{"default/platform-auth", "team-red/web", "team-red/tenants/web"}
	case rbac.ResourceClusters, rbac.ResourceRepositories:
		return []string{"https://kubernetes.default.svc", "team-red/https://github.com/acme-corp/web"}
	default:
		return []string{"anything"}
	}
}

// grants are the actions that somebody has, by resource; * is all of them.
type grants map[string]string

func TestEachGroupMayDoExactlyThis(t *testing.T) {
	const manages = "get create update delete"
	admin := grants{
		"applications": "*", "clusters": "*", "repositories": "*",
		"applicationsets": manages, "certificates": manages, "projects": manages, "write-repositories": manages,
		"accounts": "get update", "gpgkeys": "get create delete", "logs": "get", "exec": "create",
	}
	reader := grants{
		"applications": "get", "applicationsets": "get", "certificates": "get", "clusters": "get", "repositories": "get",
		"write-repositories": "get", "projects": "get", "accounts": "get", "gpgkeys": "get", "logs": "get",
	}
	// renamed is what administrators are called in a golden case where that is not platform-admins.
	renamed := map[string]string{"a-group-is-renamed-and-a-person-leaves": "root"}
	for name, cm := range policies(t) {
		s := load(t, cm)
		for who, c := range map[string]struct {
			claims jwt.MapClaims
			want   grants
		}{
			"administrators":                       {member(cmp.Or(renamed[name], "platform-admins")), admin},
			"administrators by their alias":        {member("admins"), admin},
			"administrators who are in more":       {member("coffee", "platform-engineering", "admins"), admin},
			"operators":                            {member("platform-operators"), reader},
			"engineers":                            {member("platform-engineering"), reader},
			"engineers by their alias":             {member("engineering"), reader},
			"people in other groups":               {member("platform", "platform-admins-2", "Admins", "operators", "readonly", "Admin", "admin "), nil},
			"people in no group":                   {member(), nil},
			"people without the claim":             {jwt.MapClaims{"sub": "CgVhbGljZRIEbW9jaw"}, nil},
			"people whose address is like a group": {jwt.MapClaims{"sub": "x", "email": "platform-admins", "name": "admins", "groups": []any{}}, nil},
		} {
			t.Run(name+": "+who, func(t *testing.T) {
				var wrong []string
				for _, resource := range rbac.Resources {
					for _, action := range actions {
						for _, object := range objects(resource) {
							want := c.want[resource] == "*" || slices.Contains(strings.Fields(c.want[resource]), action)
							if have := s.allows(c.claims, resource, action, object); have != want {
								wrong = append(wrong, strings.Join([]string{resource, action, object}, ", "))
							}
						}
					}
				}
				require.Empty(t, wrong)
			})
		}
	}
}

func TestAGroupOfAFormerNameMayDoNothing(t *testing.T) {
	s := load(t, policies(t)["a-group-is-renamed-and-a-person-leaves"])
	require.True(t, s.allows(member("root"), rbac.ResourceClusters, rbac.ActionDelete, "https://kubernetes.default.svc"))
	require.False(t, s.allows(member("platform-admins"), rbac.ResourceApplications, rbac.ActionGet, "default/platform-auth"))
}

func TestArgoCDTakesThePolicy(t *testing.T) {
	for name, cm := range policies(t) {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, rbac.ValidatePolicy(rbac.PolicyCSV(cm.Data)))
			require.Equal(t, "argocd", cm.Labels["app.kubernetes.io/part-of"], "Argo CD's own label")
			require.Equal(t, []string{"groups"}, load(t, cm).claims.GetScopes())
			require.Empty(t, cm.Data[rbac.ConfigMapPolicyDefaultKey], "nobody has rights without a group")
		})
	}
}

// A platform reports these keys, or is not ready: they give what the policy does not, or take what it gives.
func TestWhatIsBesideThePolicyChangesWhatPeopleMayDo(t *testing.T) {
	for _, cm := range policies(t) {
		with := func(key, value string) *server {
			other := cm.DeepCopy()
			other.Data[key] = value
			return load(t, other)
		}
		stranger, admin := member("coffee"), member("platform-admins")
		require.True(t, with("policy.default", "role:readonly").allows(stranger, "applications", "get", "default/web"))
		require.True(t, with("policy.team.csv", "g, coffee, role:admin").allows(stranger, "exec", "create", "default/web"))
		require.False(t, with("policy.team.txt", "g, coffee, role:admin").allows(stranger, "applications", "get", "default/web"))
		require.True(t, load(t, cm).allows(admin, "applications", "action/apps/Deployment/restart", "default/web"))
		require.False(t, with("policy.matchMode", "regex").allows(admin, "applications", "action/apps/Deployment/restart", "default/web"))
		return
	}
}

// Argo CD takes a group for a user or a role of its own that has the same name, whatever the policy says. So Dex passes on none but
// the platform's, none of which is such a name.
func TestAGroupWithANameOfArgoCDsOwnNeverReachesIt(t *testing.T) {
	held := 0
	for path, docs := range goldenFiles(t, golden+"/settled.yaml") {
		cm := find[corev1.ConfigMap](t, docs, "ConfigMap", name)
		if cm == nil {
			continue
		}
		held++
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			s := load(t, cm)
			passed := passedOn(t, docs)
			for _, own := range []string{"admin", "role:admin"} {
				require.True(t, s.allows(member(own), rbac.ResourceExec, rbac.ActionCreate, "default/web"), "it is no administrator to Argo CD: %s", own)
				require.NotContains(t, passed, own)
			}
			require.False(t, s.allows(member("role:readonly"), rbac.ResourceClusters, rbac.ActionGet, "https://kubernetes.default.svc"))
			for _, group := range passed {
				require.True(t, s.allows(member(group), rbac.ResourceClusters, rbac.ActionGet, "https://kubernetes.default.svc"), group)
			}
		})
	}
	require.NotZero(t, held)
}

// passedOn are the groups that Dex passes on from Authentik.
func passedOn(t *testing.T, docs []string) []string {
	t.Helper()
	var file struct {
		Connectors []struct {
			Config struct {
				AllowedGroups []string `json:"allowedGroups"`
			} `json:"config"`
		} `json:"connectors"`
	}
	cm := find[corev1.ConfigMap](t, docs, "ConfigMap", "dex-config")
	require.NotNil(t, cm)
	require.NoError(t, yaml.Unmarshal([]byte(cm.Data["config.yaml"]), &file))
	require.Len(t, file.Connectors, 1)
	require.NotEmpty(t, file.Connectors[0].Config.AllowedGroups)
	return file.Connectors[0].Config.AllowedGroups
}

// What is noticed shows that the policy, and not only what Argo CD has built in, decides.
func TestWithoutThePolicyGroupsMayDoNothing(t *testing.T) {
	for _, cm := range policies(t) {
		empty := cm.DeepCopy()
		empty.Data["policy.csv"] = ""
		require.False(t, load(t, empty).allows(member("platform-admins", "admins"), "applications", "get", "default/web"))
		broken := cm.DeepCopy()
		broken.Data["policy.csv"] += "p, role:admin, applications\n"
		require.Error(t, rbac.ValidatePolicy(rbac.PolicyCSV(broken.Data)))
	}
}
