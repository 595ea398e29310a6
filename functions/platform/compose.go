package main

import (
	"cmp"
	"fmt"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// The keys of the composed objects. Crossplane knows each object by its key: a renamed one is deleted and made anew.
const (
	keySettings         = "settings"
	keyNamespace        = "namespace"
	keyDexEnvironment   = "dex-environment"
	keyDexConfig        = "dex-config"
	keyBlueprint        = "authentik-blueprint"
	keyAuthentication   = "api-server-authentication"
	keyArgoCDSecret     = "argocd-oidc"
	keyArgoCDSettings   = "argocd-settings"
	keyArgoCDConfig     = "argocd-config"
	keyArgoCDPolicy     = "argocd-policy"
	keyTektonSecret     = "tekton-oidc"
	keyAdmins           = "admins-cluster-role"
	keyAdminsBinding    = "admins-cluster-role-binding"
	keyOperators        = "operators-cluster-role"
	keyOperatorsBinding = "operators-cluster-role-binding"
	keyEngineering      = "engineering-cluster-role"
	keyEngineeringIn    = "engineering-in-" // and the namespace
	keyTektonAdmin      = "tekton-admin-cluster-role"
	keyTektonAdminBind  = "tekton-admin-cluster-role-binding"
	keyTektonReader     = "tekton-readonly-cluster-role"
	keyTektonReaderBind = "tekton-readonly-cluster-role-binding"
	keyIssuer           = "cluster-issuer-" // and the kind of issuer
	keyCertificate      = "certificate-"    // and the Certificate
	keyGenerated        = "secret-"         // and the Secret
	keyApplication      = "application-"    // and the Application
)

// Compose returns everything a Platform owns. It does no I/O and reads no clock: the same Platform and the same observed
// objects give the same result. What is in its namespace waits for that, a binding for its role, and an application for all
// of earlier waves, since Crossplane applies objects in no particular order.
func Compose(xr *v1alpha1.XPlatform, seen *object.Observed) (*object.Desired, error) {
	if theirs := othersSeat(seen); theirs.Exists() {
		return giveWay(seen, theirs), nil
	}
	spec := xr.Spec.WithDefaults()
	problems := spec.Validate()
	set, err := sharedSettings(spec, seen)
	if err != nil && spec.Settings == nil {
		return nil, err
	}
	if err != nil {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 {
		return refuse(xr, seen, problems), nil
	}

	set.ConfigSync.Image = cmp.Or(set.ConfigSync.Image, seen.Image)
	c := newComposer(spec, set, seen)
	addNamespace(c)
	addSettings(c)
	secrets, err := addSecrets(c)
	if err != nil {
		return nil, err
	}
	addLogin(c, xr.Status.AuthentikGroups)
	addConfigSync(c, secrets)
	addArgoCDLogin(c, secrets)
	addTekton(c, secrets)
	addCertificates(c)
	addGroups(c)
	addApplications(c)
	c.report()
	return c.d, nil
}

// sharedSettings are those that the claim gives, unless somebody else has the EnvironmentConfig that the other functions read.
func sharedSettings(spec v1alpha1.PlatformSpec, seen *object.Observed) (*settings.Settings, error) {
	if spec.Settings == nil || seen.Foreign(keySettings, settings.APIVersion, settings.Kind, "", settings.Name).Exists() {
		return settings.Read(seen)
	}
	set, err := settings.Parse(spec.Settings)
	if err != nil {
		return nil, fmt.Errorf("spec.settings: %w", err)
	}
	return set, nil
}

func addSettings(c *composer) {
	c.begin(conditionSettings)
	if c.spec.Settings != nil {
		c.exclusive(always, true, keySettings, environmentConfig(c.spec.Settings), object.ReadyWhenSeen)
	}
}

// addNamespace uses a namespace that is there already, and leaves it alone, unless it is somebody's composed resource.
func addNamespace(c *composer) {
	c.begin(conditionNamespace)
	have, ref := c.seen.Foreign(keyNamespace, "v1", "Namespace", "", authNamespace), object.Ref("Namespace", "", authNamespace)
	if owner, _, _ := have.Controller(); !have.Exists() || owner != "" {
		c.exclusive(always, true, keyNamespace, namespace(c.set), object.ReadyWhenActive)
		c.home = c.has(keyNamespace)
		return
	}
	c.step(keyNamespace)
	if c.home = have.Live(); c.home {
		c.d.Accept(keyNamespace, ref)
	} else {
		c.d.Withdraw(keyNamespace, ref, "being deleted")
	}
}

// addSecrets makes what is missing of the secrets, and returns their values. One that somebody else made, such as one that
// was kept from an earlier platform, is used and left alone.
func addSecrets(c *composer) (*vault, error) {
	c.begin(conditionSecrets)
	v := newVault(c.seen)
	for _, g := range generatedSecrets() {
		key := keyGenerated + g.name
		if have := c.seen.Foreign(key, "v1", "Secret", authNamespace, g.name); have.Exists() {
			c.step(key)
			v.honour(c.d, key, g, have)
			continue
		}
		if err := v.fill(c.seen, key, g); err != nil {
			return nil, err
		}
		c.step(key)
		c.d.AddWhen(c.home, key, g.secret(v), object.ReadyWhenSeen)
	}
	c.derived(always, v, keyDexEnvironment, dexEnvironment(v), environmentSources()...)
	return v, nil
}

// addLogin adds the files of those who take part in a login. Of the groups that Authentik was told to have already some may be
// the platform's no more.
func addLogin(c *composer, told []string) {
	c.begin(conditionLogin)
	c.exclusive(always, c.home, keyDexConfig, dexConfigMap(c.spec), object.ReadyWhenSeen)
	c.told = toldGroups(told, c.seen.Composed(keyBlueprint))
	c.exclusive(always, c.home, keyBlueprint, blueprintConfigMap(c.spec, c.told), object.ReadyWhenSeen)
	authority, lacking := c.dexAuthority()
	file := authenticationConfigMap(c.spec, authority)
	if have := c.seen.Composed(keyAuthentication); lacking != "" && holdsAuthority(have) {
		c.step(keyAuthentication)
		c.d.Hold(keyAuthentication, object.Ref(file.Kind, file.Namespace, file.Name), lacking)
		return
	}
	c.exclusive(always, c.home, keyAuthentication, file, readyAuthentication(file, lacking))
}

// addArgoCDLogin shows what Argo CD has to be told, and tells it.
func addArgoCDLogin(c *composer, v *vault) {
	c.begin(conditionArgoCDLogin)
	config, policy := argoCDConfig(c.spec, c.authority()), argoCDPolicy(c.spec.Groups)
	c.exclusive(switchedOn(c.set.Integrations.ArgoCD, "argocd"), c.home, keyArgoCDSettings, argoCDSettingsMap(config, policy), object.ReadyWhenSeen)
	c.derived(c.argoCD, v, keyArgoCDSecret, argoCDSecret(v, c.set), argoCDClient)
	c.addArgoCDMaps(argoCDMap(c.set, argoCDPolicyName, policy), argoCDMap(c.set, argoCDConfigName, config))
}

func addTekton(c *composer, v *vault) {
	c.begin(conditionTekton)
	c.derived(c.tekton, v, keyTektonSecret, tektonSecret(v), tektonClient)
	on, groups := switchedOn(c.set.Integrations.Tekton, "tekton"), c.spec.Groups
	c.exclusive(on, true, keyTektonAdmin, tektonAdmin(), object.ReadyWhenSeen)
	c.exclusive(on, c.has(keyTektonAdmin), keyTektonAdminBind, tektonAdminBinding(groups), object.ReadyWhenSeen)
	c.exclusive(on, true, keyTektonReader, tektonReader(), object.ReadyWhenSeen)
	c.exclusive(on, c.has(keyTektonReader), keyTektonReaderBind, tektonReaderBinding(groups), object.ReadyWhenSeen)
}

func addCertificates(c *composer) {
	c.begin(conditionCertificates)
	if issuer := c.spec.Certificates.Issuer; issuer != v1alpha1.IssuerExisting {
		c.exclusive(c.certManager, true, keyIssuer+issuer, clusterIssuer(c.spec.Certificates), object.ReadyWhen("Ready"))
	}
	for _, cert := range platformCertificates(c.spec.Domain, c.set) {
		g, there := cert.gate.and(c.certManager), c.home
		if cert.namespace != authNamespace {
			g, there = g.and(inNamespace(c.seen, cert.namespace)), true
		}
		c.exclusive(g, there, keyCertificate+cert.name, certificate(cert, c.spec.Certificates), object.ReadyWhen("Ready"))
	}
}

// addGroups binds the engineering group's role in each namespace that is there now: RBAC knows no patterns of namespaces.
func addGroups(c *composer) {
	c.begin(conditionGroups)
	groups := c.spec.Groups
	c.exclusive(always, true, keyAdmins, adminsRole(), object.ReadyWhenSeen)
	c.exclusive(always, c.has(keyAdmins), keyAdminsBinding, groupBinding(adminsName, groups.Admins), object.ReadyWhenSeen)
	c.exclusive(always, true, keyOperators, operatorsRole(), object.ReadyWhenSeen)
	c.exclusive(always, c.has(keyOperators), keyOperatorsBinding, groupBinding(operatorsName, groups.Operators), object.ReadyWhenSeen)
	c.exclusive(always, true, keyEngineering, engineeringRole(), object.ReadyWhenSeen)
	for _, ns := range engineeringNamespaces(c.seen) {
		c.bindEngineering(ns)
	}
}

// bindEngineering leaves alone what is somebody else's, and says so. Namespaces have owners of their own, and none of them
// shall make a whole platform fail.
func (c *composer) bindEngineering(namespace string) {
	key, binding := keyEngineeringIn+namespace, engineeringBinding(namespace, c.spec.Groups.Engineering)
	c.step(key)
	theirs := c.seen.Foreign(key, binding.APIVersion, binding.Kind, namespace, binding.Name)
	if !theirs.Exists() {
		c.engineering = append(c.engineering, namespace)
		c.d.AddWhen(c.has(keyEngineering), key, binding, object.ReadyWhenSeen)
		return
	}
	c.reasons[key] = reasonNameTaken
	c.d.Withdraw(key, object.Ref(binding.Kind, namespace, binding.Name), fmt.Sprintf("it exists and is %s; delete it, or the group %s has no rights there",
		theirs.Owner(), c.spec.Groups.Engineering.Name))
}

// addApplications adds those of a wave once all of earlier ones are healthy, as Argo CD does for the children of one
// application. A wave that fails later takes nothing away.
func addApplications(c *composer) {
	c.begin(conditionApplications)
	all := waves(c.spec)
	due := true
	for _, w := range all {
		keys := make([]string, len(w.applications))
		for i, a := range w.applications {
			keys[i] = keyApplication + a.name
			c.exclusive(c.argoCD, due, keys[i], application(a, c.spec.GitOps, c.set), readyApplication)
			c.applications = append(c.applications, applicationStatus(a, c.seen.Composed(keys[i])))
		}
		if c.waveAwaits != "" {
			continue
		}
		if c.argoCD.state == open {
			c.wave = &w.number
		}
		if _, done := c.d.Done(keys...); !done && c.argoCD.state == open {
			c.waveAwaits = fmt.Sprintf("wave %d of %d: %s", w.number, all[len(all)-1].number, c.awaitedOf(w))
			due = c.seen.Offline
		}
	}
}
