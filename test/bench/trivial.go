package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"
	"google.golang.org/protobuf/types/known/structpb"
)

// trivialAPI is the XRD, the Composition and the namespace of the claims.
//
//go:embed trivial.yaml
var trivialAPI string

// trivial composes spec.count ConfigMaps beside the claim: about the least that Crossplane can be asked to do for so
// many objects.
type trivial struct {
	fnv1.UnimplementedFunctionRunnerServiceServer
}

// RunFunction wants the ConfigMaps; one that is there is ready. Like our functions it asks for no polling.
func (trivial) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp := response.To(req, time.Duration(0))
	xr := req.GetObserved().GetComposite().GetResource().GetFields()
	name := xr["metadata"].GetStructValue().GetFields()["name"].GetStringValue()
	spec := xr["spec"].GetStructValue().GetFields()
	namespace := spec["claimRef"].GetStructValue().GetFields()["namespace"].GetStringValue()

	rsp.Desired = &fnv1.State{Resources: make(map[string]*fnv1.Resource)}
	for i := range int(spec["count"].GetNumberValue()) {
		key := fmt.Sprintf("configmap-%d", i)
		object, err := structpb.NewStruct(map[string]any{
			"apiVersion": "v1",
			"kind":       "ConfigMap",
			"metadata":   map[string]any{"namespace": namespace, "name": fmt.Sprintf("%s-%d", name, i)},
			"data":       map[string]any{"key": "value"},
		})
		if err != nil {
			return nil, err
		}
		ready := fnv1.Ready_READY_FALSE
		if _, ok := req.GetObserved().GetResources()[key]; ok {
			ready = fnv1.Ready_READY_TRUE
		}
		rsp.Desired.Resources[key] = &fnv1.Resource{Resource: object, Ready: ready}
	}
	return rsp, nil
}
