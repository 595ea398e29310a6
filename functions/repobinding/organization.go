package main

import (
	"fmt"
	"strings"

	orgv1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
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

// findOrganization looks for the Organization that the binding names: the one whose composite resource controls
// org-<name>, since claims of two namespaces may have one name. Only who works in the namespace of that claim, or in the
// organization's own, may use it. A binding without a claim was made by a cluster administrator.
func findOrganization(seen *object.Observed, n names, cfg *settings.Settings) organization {
	if seen.Offline {
		return organization{URL: cfg.WebhookURL(n.Organization)}
	}
	version := orgv1alpha1.APIVersion[strings.LastIndex(orgv1alpha1.APIVersion, "/")+1:]
	if !seen.Served(orgv1alpha1.CRDName, version) {
		return organization{Waiting: fmt.Sprintf("Organization %s: the CRD %s is not installed", n.Organization, orgv1alpha1.CRDName)}
	}
	ns := seen.Get("v1", "Namespace", "", n.OrgNamespace)
	o := fromNamespace(seen, n, ns)
	o.Namespace = ns
	return o
}

func fromNamespace(seen *object.Observed, n names, ns object.Object) organization {
	kind, owner, uid := ns.Controller()
	candidates := candidates(seen, n.Organization)
	for _, org := range candidates {
		if uid != "" && org.UID() == uid {
			return judge(seen, n, org)
		}
	}
	switch {
	case ns.Exists() && uid == "":
		return organization{Waiting: fmt.Sprintf("Organization %s: the namespace %s is not managed by Aphex", n.Organization, n.OrgNamespace)}
	case ns.Exists():
		return organization{Waiting: fmt.Sprintf("Organization %s: the namespace %s is controlled by %s",
			n.Organization, n.OrgNamespace, object.Ref(kind, "", owner))}
	case len(candidates) == 1:
		return judge(seen, n, candidates[0])
	case len(candidates) > 1:
		return organization{Waiting: fmt.Sprintf("Organization %s: several claims have this name, and none has the namespace %s yet",
			n.Organization, n.OrgNamespace)}
	default:
		return organization{Waiting: fmt.Sprintf("Organization %s, which does not exist", n.Organization)}
	}
}

// candidates are the composite resources of claims of that name, and the one of that name that has no claim.
func candidates(seen *object.Observed, name string) []object.Object {
	var found []object.Object
	for _, org := range seen.List(orgv1alpha1.APIVersion, orgv1alpha1.Kind, map[string]string{"crossplane.io/claim-name": name}) {
		if org.String("spec", "claimRef", "name") == name {
			found = append(found, org)
		}
	}
	direct := seen.Get(orgv1alpha1.APIVersion, orgv1alpha1.Kind, "", name)
	if direct.Exists() && !direct.Field("spec", "claimRef").Exists() {
		found = append(found, direct)
	}
	return found
}

// judge tells whether and how the binding may use the organization. Nothing of the organization is told to who may not
// use it.
func judge(seen *object.Observed, n names, org object.Object) organization {
	claimNamespace := org.String("spec", "claimRef", "namespace")
	ref := object.Ref(orgv1alpha1.Kind, "", org.Name())
	if claimNamespace != "" {
		ref = object.Ref(orgv1alpha1.ClaimKind, claimNamespace, n.Organization)
	}
	if own := seen.Identity.Namespace; own != "" && own != claimNamespace && own != n.OrgNamespace {
		allowed := n.OrgNamespace
		if claimNamespace != "" {
			allowed = claimNamespace + " or in " + n.OrgNamespace
		}
		return organization{Refusal: fmt.Sprintf("spec.aphexOrg: %s may not be used from the namespace %s; claim this in %s", ref, own, allowed)}
	}
	o := organization{
		URL:       org.String("status", "webhookURL"),
		Secret:    seen.Get("v1", "Secret", n.OrgNamespace, webhookSecret).SecretData(webhookSecretKey),
		Suspended: org.Bool("spec", "suspend"),
	}
	switch phase, message := org.String("status", "phase"), org.String("status", "message"); {
	case org.Deleting():
		o.Waiting = ref + ", which is being deleted"
	case phase == orgv1alpha1.PhaseActive:
	case phase == "":
		o.Waiting = ref + ", which has no status yet"
	case message == "":
		o.Waiting = ref + ", which is " + phase
	default:
		o.Waiting = ref + ", which is " + phase + ": " + message
	}
	return o
}
