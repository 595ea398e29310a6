package main

import (
	"context"
	_ "embed"
	"errors"
	"maps"
	"strconv"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"google.golang.org/protobuf/types/known/structpb"
)

// trivialAPI is the XRD, the Composition and the namespace of the claims.
//
//go:embed trivial.yaml
var trivialAPI string

// trivial composes spec.count objects: ConfigMaps beside the claim, about the least that Crossplane can be asked to do; or, if
// spec.namespaced, a Namespace with spec.roles Roles, as many bindings of these, and for the rest ConfigMaps, which shows what
// Kubernetes itself takes for such objects.
type trivial struct {
	fnv1.UnimplementedFunctionRunnerServiceServer
}

// RunFunction wants the objects; one that is there is ready. Like our functions it asks for no polling, and puts
// nothing into a Namespace, and binds no Role, that is not there yet.
func (trivial) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp := response.To(req, 0)
	rsp.Desired = &fnv1.State{Resources: make(map[string]*fnv1.Resource)}
	xr := req.GetObserved().GetComposite().GetResource().GetFields()
	name := xr["metadata"].GetStructValue().GetFields()["name"].GetStringValue()
	spec := xr["spec"].GetStructValue().GetFields()
	namespace := spec["claimRef"].GetStructValue().GetFields()["namespace"].GetStringValue()
	count := int(spec["count"].GetNumberValue())

	var errs []error
	add := func(key, apiVersion, kind, namespace, name string, content map[string]any) (there bool) {
		metadata := map[string]any{"name": name}
		if namespace != "" {
			metadata["namespace"] = namespace
		}
		whole := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": metadata}
		maps.Copy(whole, content)
		object, err := structpb.NewStruct(whole)
		errs = append(errs, err)
		ready := fnv1.Ready_READY_FALSE
		if _, there = req.GetObserved().GetResources()[key]; there {
			ready = fnv1.Ready_READY_TRUE
		}
		rsp.Desired.Resources[key] = &fnv1.Resource{Resource: object, Ready: ready}
		return there
	}
	if spec["namespaced"].GetBoolValue() {
		namespace = name
		if !add("namespace", "v1", "Namespace", "", name, nil) {
			return rsp, errors.Join(errs...)
		}
		roles := int(spec["roles"].GetNumberValue())
		for i := range roles {
			id := strconv.Itoa(i)
			if add("role-"+id, rbacVersion, "Role", name, id, mayRead) {
				add("binding-"+id, rbacVersion, "RoleBinding", name, id, bound(id))
			}
		}
		count -= 1 + 2*roles
	}
	for i := range count {
		id := strconv.Itoa(i)
		add("configmap-"+id, "v1", "ConfigMap", namespace, name+"-"+id, map[string]any{"data": map[string]any{"key": "value"}})
	}
	return rsp, errors.Join(errs...)
}

const rbacVersion = "rbac.authorization.k8s.io/v1"

// mayRead is what a role allows, something that Crossplane may do as well.
var mayRead = map[string]any{"rules": []any{map[string]any{
	"apiGroups": []any{""}, "resources": []any{"configmaps"}, "verbs": []any{"get"},
}}}

// bound gives a role to a service account.
func bound(role string) map[string]any {
	return map[string]any{
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "default"}},
	}
}
