// Package object is how a function sees the cluster and says what it wants: Observed holds the objects that a request
// carries, Desired collects the objects, conditions and status of the answer, and From turns a typed object into its
// wire form. It holds no rule about any of our APIs and knows nothing of gRPC; package runner does that.
package object

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/runtime"
)

// Object is one object of the cluster, read in place from the request. The zero value is an object that does not exist;
// every method works on it.
type Object struct {
	fields *structpb.Struct
}

// NewObject wraps an object in wire form.
func NewObject(s *structpb.Struct) Object { return Object{fields: s} }

// Exists tells whether the object is there.
func (o Object) Exists() bool { return o.fields != nil }

// Deleting tells whether the object is there and on its way out.
func (o Object) Deleting() bool { return o.String("metadata", "deletionTimestamp") != "" }

// Live tells whether the object is there to stay.
func (o Object) Live() bool { return o.Exists() && !o.Deleting() }

// Kind is what sort of object it is, such as Secret.
func (o Object) Kind() string { return o.String("kind") }

// Namespace is empty for a cluster-scoped object.
func (o Object) Namespace() string { return o.String("metadata", "namespace") }

// Name is metadata.name.
func (o Object) Name() string { return o.String("metadata", "name") }

// UID is metadata.uid.
func (o Object) UID() string { return o.String("metadata", "uid") }

// Label is the value of a label, empty if absent.
func (o Object) Label(key string) string { return o.String("metadata", "labels", key) }

// Annotation is the value of an annotation, empty if absent.
func (o Object) Annotation(key string) string { return o.String("metadata", "annotations", key) }

// String is the string at a path of field names, empty if it is absent or no string.
func (o Object) String(path ...string) string { return o.value(path).GetStringValue() }

// Bool is the boolean at a path, false if it is absent or no boolean.
func (o Object) Bool(path ...string) bool { return o.value(path).GetBoolValue() }

// Int is the number at a path, 0 if it is absent or no number.
func (o Object) Int(path ...string) int64 { return int64(o.value(path).GetNumberValue()) }

// List is the list at a path, each item wrapped as an Object; items that are no objects are left out.
func (o Object) List(path ...string) []Object {
	var out []Object
	for _, v := range o.value(path).GetListValue().GetValues() {
		if s := v.GetStructValue(); s != nil {
			out = append(out, Object{fields: s})
		}
	}
	return out
}

// Strings is the list of strings at a path.
func (o Object) Strings(path ...string) []string {
	var out []string
	for _, v := range o.value(path).GetListValue().GetValues() {
		if s, ok := v.GetKind().(*structpb.Value_StringValue); ok {
			out = append(out, s.StringValue)
		}
	}
	return out
}

// Field is the object at a path.
func (o Object) Field(path ...string) Object { return Object{fields: o.value(path).GetStructValue()} }

// Value is the field of that name in wire form, nil if absent.
func (o Object) Value(name string) *structpb.Value { return o.fields.GetFields()[name] }

// Keys are the field names of the object, sorted.
func (o Object) Keys() []string {
	keys := make([]string, 0, len(o.fields.GetFields()))
	for k := range o.fields.GetFields() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Condition is an entry of status.conditions; its status is empty if there is none of that type.
func (o Object) Condition(conditionType string) Condition {
	for _, c := range o.List("status", "conditions") {
		if c.String("type") == conditionType {
			return Condition{
				Type: conditionType, Status: Status(c.String("status")),
				Reason: c.String("reason"), Message: c.String("message"),
			}
		}
	}
	return Condition{Type: conditionType}
}

// SecretData is the decoded value of a Secret's key, nil if absent.
func (o Object) SecretData(key string) []byte {
	b, err := base64.StdEncoding.DecodeString(o.String("data", key))
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}

// Controller identifies the object's controlling owner; all parts are empty if it has none.
func (o Object) Controller() (kind, name, uid string) {
	for _, r := range o.List("metadata", "ownerReferences") {
		if r.Bool("controller") {
			return r.String("kind"), r.String("name"), r.String("uid")
		}
	}
	return "", "", ""
}

// Owner tells in words whose the object is. It names the claim behind what Crossplane composed, since its users know no other name.
func (o Object) Owner() string {
	kind, name, _ := o.Controller()
	if kind == "" {
		return "not managed by Aphex"
	}
	owner := "controlled by " + Ref(kind, "", name)
	if claim := o.Label("crossplane.io/claim-name"); claim != "" {
		owner += " of claim " + o.Label("crossplane.io/claim-namespace") + "/" + claim
	}
	return owner
}

// Map is a copy of the object as unstructured content, whole numbers as int64.
func (o Object) Map() map[string]any {
	if o.fields == nil {
		return nil
	}
	return structToMap(o.fields)
}

// Decode fills a typed object. Fields that the type does not know are ignored; a field of another type is an error.
func (o Object) Decode(into any) error {
	content := o.Map()
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, into)
	if err == nil {
		return nil
	}
	// The converter does not say where; encoding/json does.
	if raw, jsonErr := json.Marshal(content); jsonErr == nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(json.Unmarshal(raw, into), &wrong) {
			return fmt.Errorf("%s: must be of type %s, not %s", wrong.Field, wrong.Type, wrong.Value)
		}
	}
	return err
}

func (o Object) value(path []string) *structpb.Value {
	s := o.fields
	for i, p := range path {
		v := s.GetFields()[p]
		if i == len(path)-1 {
			return v
		}
		s = v.GetStructValue()
	}
	return nil
}

func structToMap(s *structpb.Struct) map[string]any {
	m := make(map[string]any, len(s.GetFields()))
	for k, v := range s.GetFields() {
		m[k] = fromValue(v)
	}
	return m
}

// fromValue keeps whole numbers whole: Kubernetes knows integers, protobuf's Struct only doubles.
func fromValue(v *structpb.Value) any {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return k.StringValue
	case *structpb.Value_BoolValue:
		return k.BoolValue
	case *structpb.Value_NumberValue:
		if f := k.NumberValue; f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f)
		}
		return k.NumberValue
	case *structpb.Value_StructValue:
		return structToMap(k.StructValue)
	case *structpb.Value_ListValue:
		l := make([]any, len(k.ListValue.GetValues()))
		for i, item := range k.ListValue.GetValues() {
			l[i] = fromValue(item)
		}
		return l
	default:
		return nil
	}
}
