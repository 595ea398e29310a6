package main

import (
	"cmp"
	"fmt"

	orgv1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// organization is what a binding knows of its Organization.
type organization struct {
	// Namespace is the organization's own, for Trigger and TriggerTemplate; it may not exist.
	Namespace object.Object
	// URL is the public webhook URL, empty until it is known.
	URL string
	// Secret is the shared secret, nil until it is known.
	Secret []byte
	// Suspended is set where the organization starts no runs.
	Suspended bool
	// Waiting says why the organization cannot be used yet.
	Waiting string
	// Refusal says why this binding may not use it at all.
	Refusal string
}

// findOrganization judges the Organization by its namespace, org-<name>, and the labels that function-organization put
// there. An admission policy of the package keeps others from setting those. Claims of two namespaces may have one name;
// the one that has the namespace is the Organization.
func findOrganization(seen *object.Observed, n names, cfg *settings.Settings) organization {
	if seen.Offline {
		return organization{URL: webhookURL(object.Object{}, cfg, n)}
	}
	ns := seen.Get("v1", "Namespace", "", n.OrgNamespace)
	kind, owner, uid := ns.Controller()
	o := organization{Namespace: ns}
	switch {
	case !ns.Exists():
		o.Waiting = fmt.Sprintf("Organization %s, which has no namespace %s", n.Organization, n.OrgNamespace)
	case uid == "":
		o.Waiting = fmt.Sprintf("Organization %s: the namespace %s is not managed by Aphex", n.Organization, n.OrgNamespace)
	case kind != orgv1alpha1.Kind || ns.Label(kube.LabelOrganization) != n.Organization:
		o.Waiting = fmt.Sprintf("Organization %s: the namespace %s is controlled by %s", n.Organization, n.OrgNamespace, object.Ref(kind, "", owner))
	default:
		judge(&o, seen, n, cfg)
	}
	return o
}

// webhookURL is what to enter in GitHub for this repository: below the URL of the organization, which its namespace tells, or
// will be that of the settings.
func webhookURL(home object.Object, cfg *settings.Settings, n names) string {
	url := home.Annotation(kube.AnnotationWebhookURL)
	return cmp.Or(url, cfg.For(n.Organization).WebhookURL(n.Organization)) + n.WebhookPath
}

// judge tells whether and how the binding may use the organization: only from the namespace of its claim, or from its own.
// A binding without a claim was made by a cluster administrator. Nothing of the organization is told to who may not use it.
func judge(o *organization, seen *object.Observed, n names, cfg *settings.Settings) {
	claimNamespace := o.Namespace.Label(kube.LabelClaimNamespace)
	ref, allowed := object.Ref(orgv1alpha1.Kind, "", n.Organization), n.OrgNamespace
	if claimNamespace != "" {
		ref, allowed = object.Ref(orgv1alpha1.ClaimKind, claimNamespace, n.Organization), claimNamespace+" or in "+n.OrgNamespace
	}
	if own := seen.Identity.Namespace; own != "" && own != claimNamespace && own != n.OrgNamespace {
		o.Refusal = fmt.Sprintf("spec.aphexOrg: %s may not be used from the namespace %s; claim this in %s", ref, own, allowed)
		return
	}
	o.URL = webhookURL(o.Namespace, cfg, n)
	o.Secret = seen.Get("v1", "Secret", n.OrgNamespace, webhookSecret).SecretData(webhookSecretKey)
	o.Suspended = o.Namespace.Label(kube.LabelSuspended) == "true"
	switch phase := o.Namespace.Label(kube.LabelPhase); {
	case o.Namespace.Deleting():
		o.Waiting = ref + ", which is being deleted"
	case phase == orgv1alpha1.PhaseActive:
	case phase == "":
		o.Waiting = ref + ", which has no phase yet"
	default:
		o.Waiting = ref + ", which is " + phase
	}
}
