package main

import (
	"aphex.io/platform/apis/repobinding/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// Compose returns everything that a RepoBinding owns, in the order of the twelve steps that its status counts, but for
// Argo CD's.
func Compose(xr *v1alpha1.XRepoBinding, seen *object.Observed) (*object.Desired, error) {
	cfg, err := settings.Read(seen)
	if err != nil {
		return nil, err
	}
	spec := xr.Spec.RepoBindingSpec
	if problems := spec.Validate(); len(problems) > 0 {
		return holdEverything(xr, seen, problems), nil
	}
	n := namesFor(spec, cfg)
	org := findOrganization(seen, n, cfg)
	plan, problems := planRun(spec.PipelineSpec, spec.TemplateRef)
	v := judgeBinding(seen, cfg, spec, n, org, problems)
	c := newComposer(seen, v)

	// Everything else waits until the namespace is this binding's: whoever gets that gets all the other names with it.
	c.exclusive(always, v.proceeds(), keyNamespace, namespace(n, cfg.PodSecurity), object.ReadyWhenActive)
	here := v.proceeds() && c.has(keyNamespace)
	pipelines, triggers, argo := pipelinesGate(seen, cfg), triggersGate(seen, cfg), argoCDGate(seen, cfg, n)
	atListener := triggers.whileStays(org.Namespace)

	c.add(pipelines, here, keyPipeline, plan.pipelineObject(n), object.ReadyWhenSeen)
	c.add(always, here, keyServiceAccount, serviceAccount(n), object.ReadyWhenSeen)
	// The API server binds a role only if it exists.
	c.add(always, here, keyRole, role(n, spec.PermissionProfileOrDefault()), object.ReadyWhenSeen)
	c.add(always, here && c.has(keyRole), keyRoleBinding, roleBinding(n), object.ReadyWhenSeen)
	c.exclusive(always, here, keyClusterRole, clusterRole(n), object.ReadyWhenSeen)
	c.exclusive(always, here && c.has(keyClusterRole), keyClusterRoleBinding, clusterRoleBinding(n), object.ReadyWhenSeen)
	c.exclusive(argo.unlessLost(v), here, keyAppProject, appProject(n), object.ReadyWhenSeen)
	// The pipeline may look at neither a project nor an Application that is somebody else's.
	access, stranger := argo.with(c.gates[keyAppProject]), strangersApplication(seen, argo, n)
	c.exclusive(access, here, keyArgoCDRole, argoCDRole(n, stranger != ""), object.ReadyWhenSeen)
	c.exclusive(access, here && c.has(keyAppProject, keyArgoCDRole), keyArgoCDBinding, argoCDBinding(n), object.ReadyWhenSeen)
	c.add(always, here, keyResourceQuota, quota(n, cfg.Tenant), object.ReadyWhenSeen)
	c.add(always, here, keyLimitRange, limits(n, cfg.Tenant), object.ReadyWhenSeen)
	c.add(always, here, keyNetworkPolicy, isolation(n, apiServer(seen), cfg.Tenant), object.ReadyWhenSeen)
	c.add(always, here, keyTerraform, terraformSecret(n), object.ReadyWhenSeen)
	c.add(triggers, here, keyListenerRole, listenerRole(n), object.ReadyWhenSeen)
	c.add(triggers.unlessLost(v), here && c.has(keyListenerRole), keyListenerBinding, listenerBinding(n), object.ReadyWhenSeen)
	c.exclusive(atListener, here, keyTriggerTemplate, plan.triggerTemplate(n), object.ReadyWhenSeen)
	// An event finds no trigger before everything that its run needs is there.
	runs := here && c.has(keyPipeline, keyServiceAccount, keyRole, keyListenerRole, keyTriggerTemplate)
	c.exclusive(atListener.unlessLost(v).suspendedIf(spec.Suspend), runs, keyTrigger, trigger(n, spec), object.ReadyWhenSeen)

	c.report(spec, n, org, triggers, stranger)
	return c.d, nil
}
