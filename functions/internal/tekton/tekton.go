// Package tekton has the fields of Tekton Triggers v0.35 objects that we set, with upstream's JSON names, see
// https://github.com/tektoncd/triggers/tree/v0.35.0/pkg/apis/triggers/v1beta1. The upstream module does not resolve
// beside ours; a test in a module of its own decodes what we compose strictly into the upstream types.
package tekton

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The CRDs of Tekton that the functions compose objects of.
const (
	PipelineCRD        = "pipelines.tekton.dev"
	PipelineVersion    = "v1"
	EventListenerCRD   = "eventlisteners.triggers.tekton.dev"
	TriggerCRD         = "triggers.triggers.tekton.dev"
	TriggerBindingCRD  = "triggerbindings.triggers.tekton.dev"
	TriggerTemplateCRD = "triggertemplates.triggers.tekton.dev"
	TriggersVersion    = "v1beta1"
	// TriggersAPIVersion is the apiVersion of all objects of this package but PipelineRun.
	TriggersAPIVersion = "triggers.tekton.dev/v1beta1"
)

// EventListener receives webhooks.
type EventListener struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              EventListenerSpec `json:"spec"`
}

// EventListenerSpec never has a namespaceSelector: Triggers that it selects run without the group's signature check.
type EventListenerSpec struct {
	ServiceAccountName string         `json:"serviceAccountName"`
	TriggerGroups      []TriggerGroup `json:"triggerGroups"`
	Resources          Resources      `json:"resources"`
}

// TriggerGroup sends what passes its interceptors to the Triggers that it selects.
type TriggerGroup struct {
	Name            string          `json:"name"`
	Interceptors    []Interceptor   `json:"interceptors"`
	TriggerSelector TriggerSelector `json:"triggerSelector"`
}

// TriggerSelector selects Triggers by label in the listener's own namespace.
type TriggerSelector struct {
	LabelSelector metav1.LabelSelector `json:"labelSelector"`
}

// Interceptor checks or changes an event.
type Interceptor struct {
	Name   string             `json:"name,omitempty"`
	Ref    InterceptorRef     `json:"ref"`
	Params []InterceptorParam `json:"params"`
}

// InterceptorRef names a ClusterInterceptor.
type InterceptorRef struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// InterceptorParam is one setting of an interceptor; its value is any JSON.
type InterceptorParam struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// ClusterInterceptor refers to one of the interceptors that Tekton Triggers installs.
func ClusterInterceptor(name string, params ...InterceptorParam) Interceptor {
	return Interceptor{Ref: InterceptorRef{Name: name, Kind: "ClusterInterceptor"}, Params: params}
}

// Trigger turns an event into the objects of a template.
type Trigger struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              TriggerSpec `json:"spec"`
}

// TriggerSpec is what a Trigger checks, binds and makes.
type TriggerSpec struct {
	Interceptors []Interceptor `json:"interceptors"`
	Bindings     []BindingRef  `json:"bindings"`
	Template     TemplateRef   `json:"template"`
}

// BindingRef names a TriggerBinding of the Trigger's namespace, or is one parameter itself.
type BindingRef struct {
	Ref  string `json:"ref,omitempty"`
	Kind string `json:"kind,omitempty"`
	Name string `json:"name,omitempty"`
	// Value may hold $(…) expressions, as that of a Param.
	Value string `json:"value,omitempty"`
}

// TemplateRef names a TriggerTemplate of the Trigger's namespace.
type TemplateRef struct {
	Ref string `json:"ref"`
}

// TriggerBinding takes parameters out of an event.
type TriggerBinding struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              TriggerBindingSpec `json:"spec"`
}

// TriggerBindingSpec lists the parameters.
type TriggerBindingSpec struct {
	Params []Param `json:"params"`
}

// Param is a name and a value, which may hold $(…) expressions.
type Param struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TriggerTemplate makes objects out of parameters.
type TriggerTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              TriggerTemplateSpec `json:"spec"`
}

// TriggerTemplateSpec declares parameters and what is made of them.
type TriggerTemplateSpec struct {
	Params            []ParamSpec   `json:"params,omitempty"`
	ResourceTemplates []PipelineRun `json:"resourcetemplates"`
}

// ParamSpec declares a parameter of a template.
type ParamSpec struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// PipelineRun has the fields of tekton.dev/v1 PipelineRun that a template sets.
type PipelineRun struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              PipelineRunSpec `json:"spec"`
}

// PipelineRunSpec runs a Pipeline of its namespace as a service account of it.
type PipelineRunSpec struct {
	PipelineRef     PipelineRef     `json:"pipelineRef"`
	Params          []Param         `json:"params,omitempty"`
	TaskRunTemplate TaskRunTemplate `json:"taskRunTemplate"`
}

// PipelineRef names a Pipeline.
type PipelineRef struct {
	Name string `json:"name"`
}

// TaskRunTemplate says who the pods run as.
type TaskRunTemplate struct {
	ServiceAccountName string `json:"serviceAccountName"`
}
