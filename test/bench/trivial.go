package main

import (
	"context"
	_ "embed"
	"fmt"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"google.golang.org/protobuf/types/known/structpb"
)

// trivialAPI is the XRD, the Composition and the namespace of the claims.
//
//go:embed trivial.yaml
var trivialAPI string

// trivial composes spec.count objects: ConfigMaps beside the claim, about the least that Crossplane can be asked to do;
// or, if spec.namespaced, a Namespace and ConfigMaps in it, which shows what Kubernetes itself takes for a Namespace.
type trivial struct {
	fnv1.UnimplementedFunctionRunnerServiceServer
}

// RunFunction wants the objects; one that is there is ready. Like our functions it asks for no polling, and puts
// nothing into a Namespace that is not there yet.
func (trivial) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp := response.To(req, 0)
	rsp.Desired = &fnv1.State{Resources: make(map[string]*fnv1.Resource)}
	xr := req.GetObserved().GetComposite().GetResource().GetFields()
	name := xr["metadata"].GetStructValue().GetFields()["name"].GetStringValue()
	spec := xr["spec"].GetStructValue().GetFields()
	namespace := spec["claimRef"].GetStructValue().GetFields()["namespace"].GetStringValue()
	count := int(spec["count"].GetNumberValue())

	add := func(key string, content map[string]any) (there bool, err error) {
		object, err := structpb.NewStruct(content)
		ready := fnv1.Ready_READY_FALSE
		if _, there = req.GetObserved().GetResources()[key]; there {
			ready = fnv1.Ready_READY_TRUE
		}
		rsp.Desired.Resources[key] = &fnv1.Resource{Resource: object, Ready: ready}
		return there, err
	}
	if spec["namespaced"].GetBoolValue() {
		namespace = name
		there, err := add("namespace", map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
		})
		if !there || err != nil {
			return rsp, err
		}
		count--
	}
	for i := range count {
		_, err := add(fmt.Sprintf("configmap-%d", i), map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"namespace": namespace, "name": fmt.Sprintf("%s-%d", name, i)},
			"data":     map[string]any{"key": "value"},
		})
		if err != nil {
			return nil, err
		}
	}
	return rsp, nil
}
