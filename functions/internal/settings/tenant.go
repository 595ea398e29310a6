package settings

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validate refuses what the API server would, or what would have it refuse every pod: existing pipelines would keep the
// limits of before, and new ones would wait for theirs, without a word of why. The rules are those of ValidateResourceQuota and
// ValidateLimitRange in https://github.com/kubernetes/kubernetes/blob/v1.35.3/pkg/apis/core/validation/validation.go.
func (t Tenant) validate(at *field.Path) field.ErrorList {
	_, errs := quantities(at.Child("quota"), t.Quota, quotaProblems)
	limits, bad := quantities(at.Child("defaultLimits"), t.DefaultLimits, containerProblems)
	errs = append(errs, bad...)
	requests, bad := quantities(at.Child("defaultRequests"), t.DefaultRequest, containerProblems)
	errs = append(errs, bad...)

	for _, name := range slices.Sorted(maps.Keys(requests)) {
		limit, limited := limits[name]
		problem := ""
		switch compared := limit.Cmp(requests[name]); {
		case !limited:
		case compared < 0:
			problem = "must not be more than %s, which is %q; where that one has its default, set both"
		case compared > 0 && !overcommits(name):
			problem = "must be as much as %s, which is %q, since no container may use more of this resource than it asks for"
		}
		if problem != "" {
			other := at.Child("defaultLimits").Key(name)
			errs = append(errs, field.Invalid(at.Child("defaultRequests").Key(name), t.DefaultRequest[name], fmt.Sprintf(problem, other, t.DefaultLimits[name])))
		}
	}
	for i, cidr := range t.BlockedCIDRs {
		if _, _, err := net.ParseCIDR(cidr); err != nil {
			errs = append(errs, field.Invalid(at.Child("blockedCIDRs").Index(i), cidr, "must be a range such as 203.0.113.0/24"))
		}
	}
	for i, cidr := range t.DNSServers {
		if _, _, err := net.ParseCIDR(cidr); err != nil {
			errs = append(errs, field.Invalid(at.Child("dnsServers").Index(i), cidr, "must be a range such as 169.254.20.10/32"))
		}
	}
	return errs
}

// quantities parses amounts of resources; those that are none, or less than nothing, are left out.
func quantities(at *field.Path, values map[string]string, problems func(name string, q resource.Quantity) []string) (map[string]resource.Quantity, field.ErrorList) {
	good, errs := map[string]resource.Quantity{}, field.ErrorList{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		q, err := resource.ParseQuantity(values[name])
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(at.Key(name), values[name], "must be a quantity such as 500m or 16Gi"))
			continue
		case q.Sign() < 0:
			errs = append(errs, field.Invalid(at.Key(name), values[name], "must not be negative"))
			continue
		}
		good[name] = q
		for _, problem := range problems(name, q) {
			errs = append(errs, field.Invalid(at.Key(name), values[name], problem))
		}
	}
	return good, errs
}

// The resources that have no group in their name.
var (
	containerResources = []string{"cpu", "memory", "ephemeral-storage"}
	countedResources   = []string{
		"pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
		"services.nodeports", "services.loadbalancers",
	}
	quotaResources = slices.Concat(containerResources, countedResources, []string{
		"requests.cpu", "requests.memory", "requests.ephemeral-storage", "requests.storage",
		"limits.cpu", "limits.memory", "limits.ephemeral-storage",
	})
)

const (
	hugePages     = "hugepages-"
	requestPrefix = "requests."
)

// quotaProblems are those of an entry of a ResourceQuota.
func quotaProblems(name string, q resource.Quantity) []string {
	if problems := validation.IsQualifiedName(name); len(problems) > 0 {
		return problems
	}
	known := slices.Contains(quotaResources, name) || strings.HasPrefix(name, hugePages) || strings.HasPrefix(name, requestPrefix+hugePages)
	if !known && !strings.Contains(name, "/") {
		return []string{"a quota has no such resource; use one of " + strings.Join(slices.Sorted(slices.Values(quotaResources)), ", ") +
			", or a full name such as requests.nvidia.com/gpu or count/jobs.batch"}
	}
	if counted := slices.Contains(countedResources, name) || extended(name); counted && q.MilliValue()%1000 != 0 {
		return []string{"must be a whole number, since this resource is counted"}
	}
	return nil
}

// containerProblems are those of what a container may ask for.
func containerProblems(name string, _ resource.Quantity) []string {
	if problems := validation.IsQualifiedName(name); len(problems) > 0 {
		return problems
	}
	if slices.Contains(containerResources, name) || strings.HasPrefix(name, hugePages) || strings.Contains(name, "/") && (native(name) || extended(name)) {
		return nil
	}
	return []string{"no container may ask for this; use " + strings.Join(containerResources, ", ") + " or a full name such as nvidia.com/gpu"}
}

// native are Kubernetes' own resources, extended those of others, such as device plugins. See
// https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#extended-resources.
func native(name string) bool {
	return !strings.Contains(name, "/") || strings.Contains(name, "kubernetes.io/")
}

func extended(name string) bool {
	return !native(name) && !strings.HasPrefix(name, requestPrefix) && len(validation.IsQualifiedName(requestPrefix+name)) == 0
}

// overcommits tells whether a container may use more of a resource than it asks for.
func overcommits(name string) bool { return native(name) && !strings.HasPrefix(name, hugePages) }
