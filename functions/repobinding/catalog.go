package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/tekton"
)

// A template says how an event becomes a run, given the names of the parameters to pass.
type template func(n names, params []string) *tekton.TriggerTemplate

// catalog holds the templates that templateRef may name.
func catalog() map[string]template {
	return map[string]template{
		"run-pipeline-v1": runPipeline,
	}
}

// findTemplate names what there is if there is no such template.
func findTemplate(name string) (t template, problem string) {
	entries := catalog()
	if t, ok := entries[name]; ok {
		return t, ""
	}
	return nil, fmt.Sprintf("spec.templateRef: there is no template %.80q; the catalog has %s", name,
		strings.Join(slices.Sorted(maps.Keys(entries)), ", "))
}

// paramTenant is the parameter that the platform, not the event, knows.
const paramTenant = "tenant-name"

// knownParams are all parameters that a run can get, sorted.
func knownParams() []string {
	known := []string{paramTenant}
	for _, p := range tekton.EventParams() {
		known = append(known, p.Name)
	}
	for _, v := range eventValues() {
		known = append(known, v.param)
	}
	slices.Sort(known)
	return slices.Compact(known)
}

// runPipeline starts one run of the binding's pipeline per event.
func runPipeline(n names, params []string) *tekton.TriggerTemplate {
	const delivery = "delivery-id"
	labels := n.Labels()
	labels[labelDelivery], labels[labelEvent] = fromEvent(delivery), fromEvent(paramEvent)
	declared := []tekton.ParamSpec{
		{Name: delivery, Description: "GitHub's id of the delivery"},
		{Name: paramEvent, Description: "push, tag or pull_request"},
	}
	var values []tekton.Param
	for _, name := range params {
		if name == paramTenant {
			values = append(values, tekton.Param{Name: name, Value: n.Namespace})
			continue
		}
		values = append(values, tekton.Param{Name: name, Value: fromEvent(name)})
		if name != delivery && name != paramEvent {
			declared = append(declared, tekton.ParamSpec{Name: name})
		}
	}
	return &tekton.TriggerTemplate{
		TypeMeta:   metav1.TypeMeta{APIVersion: tekton.TriggersAPIVersion, Kind: "TriggerTemplate"},
		ObjectMeta: kube.Meta(n.OrgNamespace, n.TriggerTemplate, n.Labels()),
		Spec: tekton.TriggerTemplateSpec{
			Params: declared,
			ResourceTemplates: []tekton.PipelineRun{{
				TypeMeta: metav1.TypeMeta{APIVersion: pipelineAPIVersion, Kind: "PipelineRun"},
				ObjectMeta: metav1.ObjectMeta{
					Namespace: n.Namespace, GenerateName: n.Pipeline + "-", Labels: labels,
				},
				Spec: tekton.PipelineRunSpec{
					PipelineRef:     tekton.PipelineRef{Name: n.Pipeline},
					Params:          values,
					TaskRunTemplate: tekton.TaskRunTemplate{ServiceAccountName: pipelineRunner},
				},
			}},
		},
	}
}

func fromEvent(param string) string { return "$(tt.params." + param + ")" }

// run is what an event starts. A nil run is one that the spec does not tell.
type run struct {
	pipeline *pipeline
	template template
	params   []string
}

func (r *run) pipelineObject(n names) any {
	if r == nil {
		return kept(object.Ref(pipelineKind, n.Namespace, n.Pipeline))
	}
	return r.pipeline.object(n)
}

func (r *run) triggerTemplate(n names) any {
	if r == nil {
		return kept(object.Ref("TriggerTemplate", n.OrgNamespace, n.TriggerTemplate))
	}
	return r.template(n, r.params)
}

// planRun reads pipelineSpec and templateRef together; it fails unless an event would start a run.
func planRun(pipelineSpec, templateRef string) (*run, []string) {
	t, problem := findTemplate(templateRef)
	var problems []string
	if problem != "" {
		problems = append(problems, problem)
	}
	p, inSpec := parsed.pipeline(pipelineSpec)
	var params []string
	if len(inSpec) == 0 {
		params, inSpec = p.runParams(knownParams())
	}
	for _, problem := range inSpec {
		problems = append(problems, "spec.pipelineSpec: "+problem)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return &run{pipeline: p, template: t, params: params}, nil
}
