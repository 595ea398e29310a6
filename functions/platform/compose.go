package main

import (
	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
)

// The keys of the composed objects. Crossplane knows each object by its key: a renamed one is deleted and made anew.
const keyNamespace = "namespace"

// Compose returns everything a Platform owns. It does no I/O and reads no clock: the same Platform and the same observed
// objects give the same result.
func Compose(xr *v1alpha1.XPlatform, seen *object.Observed) (*object.Desired, error) {
	set, err := settings.Read(seen)
	if err != nil {
		return nil, err
	}
	d := object.NewDesired(seen)
	spec := xr.Spec.WithDefaults()
	if problems := spec.Validate(); len(problems) > 0 {
		refuse(d, xr, seen, problems)
		return d, nil
	}
	d.AddExclusive(true, keyNamespace, namespace(set), object.ReadyWhenActive)
	report(d, spec)
	return d, nil
}
