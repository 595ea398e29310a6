package main

import (
	"fmt"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

// seat is an object that every platform makes under a fixed name, whatever its spec says.
type seat struct{ key, apiVersion, kind, namespace, name string }

// seats tell which platform has the cluster. One object would not do: who deletes that would give the cluster to another
// platform. The namespace comes first, since whoever made it has the most to lose; it can also be older than any platform.
func seats() []seat {
	const rbac = "rbac.authorization.k8s.io/v1"
	return []seat{
		{keyNamespace, "v1", "Namespace", "", authNamespace},
		{keyAdmins, rbac, "ClusterRole", "", adminsName},
		{keyOperators, rbac, "ClusterRole", "", operatorsName},
		{keyEngineering, rbac, "ClusterRole", "", engineeringName},
		{keyDexConfig, "v1", "ConfigMap", authNamespace, dexConfigName},
	}
}

// othersSeat is the first seat that any platform has, if that is not this one. All look at the seats in the same order, so
// that of two platforms that begin at the same time, and get some each, one stays and the other gives way.
func othersSeat(seen *object.Observed) object.Object {
	var first object.Object
	decided := false
	for _, s := range seats() {
		// All are asked for, so that one round of lookups is enough.
		have := seen.Foreign(s.key, s.apiVersion, s.kind, s.namespace, s.name)
		switch owner, _, _ := have.Controller(); {
		case decided:
		case owner == v1alpha1.Kind:
			first, decided = have, true
		default:
			decided = seen.Composed(s.key).Exists()
		}
	}
	return first
}

// giveWay wants nothing, so that what this platform made before it saw the other one goes again.
func giveWay(seen *object.Observed, theirs object.Object) *object.Desired {
	d := object.NewDesired(seen)
	d.Phase, d.Failed = v1alpha1.PhaseFailed, true
	d.Message = fmt.Sprintf("%s exists and is %s; a cluster has one platform",
		object.Ref(theirs.Kind(), theirs.Namespace(), theirs.Name()), theirs.Owner())
	d.Conditions = every(object.Condition{Status: object.False, Reason: reasonNameTaken, Message: d.Message})
	d.Status = &v1alpha1.PlatformStatus{Phase: d.Phase, Message: d.Message}
	return d
}
