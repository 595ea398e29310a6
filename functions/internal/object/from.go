package object

import (
	"fmt"
	"reflect"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// From turns a typed object, or unstructured content as map[string]any, into its wire form. What it sends,
// server-side apply makes ours, so it leaves out what no builder sets on purpose: status, null timestamps, and the
// empty structs strategy and resources that k8s.io/api cannot omit. Every other empty value stays, because
// emptyDir: {} and podSelector: {} mean something.
func From(obj any) (*structpb.Struct, error) {
	s, err := toStruct(obj)
	if _, unstructured := obj.(map[string]any); err == nil && !unstructured {
		delete(s.Fields, "status")
	}
	return s, err
}

// FromStatus turns a typed status into its wire form.
func FromStatus(status any) (*structpb.Struct, error) { return toStruct(status) }

// toStruct walks an object once, without an unstructured copy in between. How Go fields become JSON fields is
// structured-merge-diff's knowledge, which server-side apply stands on too.
func toStruct(obj any) (*structpb.Struct, error) {
	v, err := toValue(reflect.ValueOf(obj))
	if err != nil {
		return nil, err
	}
	s := v.GetStructValue()
	if s == nil {
		return nil, fmt.Errorf("convert %T to its wire form: it is no object", obj)
	}
	return s, nil
}

func toValue(v reflect.Value) (*structpb.Value, error) {
	if !v.IsValid() {
		return structpb.NewNullValue(), nil
	}
	return toValueAs(v, value.TypeReflectEntryOf(v.Type()))
}

func toValueAs(v reflect.Value, t *value.TypeReflectCacheEntry) (*structpb.Value, error) {
	if t.CanConvertToUnstructured() {
		content, err := t.ToUnstructured(v)
		if err != nil {
			return nil, err
		}
		return toValue(reflect.ValueOf(content))
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return toValue(v.Elem())
	case reflect.Struct:
		s, out := newStruct(0)
		for _, f := range t.OrderedFields() {
			field := f.GetFrom(v)
			if f.CanOmit(field) {
				continue
			}
			if err := set(s, f.JsonName, field, f.TypeEntry); err != nil {
				return nil, err
			}
		}
		return out, nil
	case reflect.Map:
		if v.IsNil() {
			return structpb.NewNullValue(), nil
		}
		s, out := newStruct(v.Len())
		item := value.TypeReflectEntryOf(v.Type().Elem())
		for entries := v.MapRange(); entries.Next(); {
			if err := set(s, entries.Key().String(), entries.Value(), item); err != nil {
				return nil, err
			}
		}
		return out, nil
	case reflect.Slice:
		if v.IsNil() {
			return structpb.NewNullValue(), nil
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return structpb.NewValue(v.Bytes())
		}
		l, out := newList(v.Len())
		item := value.TypeReflectEntryOf(v.Type().Elem())
		for i := range l.Values {
			pv, err := toValueAs(v.Index(i), item)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			l.Values[i] = pv
		}
		return out, nil
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return nil, fmt.Errorf("invalid UTF-8 in string: %q", v.String())
		}
		return newString(v.String()), nil
	case reflect.Bool:
		return newBool(v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return newNumber(float64(v.Int())), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return newNumber(float64(v.Uint())), nil
	case reflect.Float32, reflect.Float64:
		return newNumber(v.Float()), nil
	default:
		return nil, fmt.Errorf("a %s has no wire form", v.Type())
	}
}

// set leaves out what From says.
func set(s *structpb.Struct, name string, v reflect.Value, t *value.TypeReflectCacheEntry) error {
	pv, err := toValueAs(v, t)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	switch name {
	case "creationTimestamp":
		if _, null := pv.GetKind().(*structpb.Value_NullValue); null {
			return nil
		}
	case "strategy", "resources":
		if inner := pv.GetStructValue(); inner != nil && len(inner.GetFields()) == 0 {
			return nil
		}
	}
	s.Fields[name] = pv
	return nil
}

// What follows makes a value and what it holds in one piece: an answer is made of thousands of them.

func newStruct(size int) (*structpb.Struct, *structpb.Value) {
	v := &struct {
		value structpb.Value
		kind  structpb.Value_StructValue
		of    structpb.Struct
	}{}
	v.of.Fields = make(map[string]*structpb.Value, size)
	v.kind.StructValue, v.value.Kind = &v.of, &v.kind
	return &v.of, &v.value
}

func newList(size int) (*structpb.ListValue, *structpb.Value) {
	v := &struct {
		value structpb.Value
		kind  structpb.Value_ListValue
		of    structpb.ListValue
	}{}
	v.of.Values = make([]*structpb.Value, size)
	v.kind.ListValue, v.value.Kind = &v.of, &v.kind
	return &v.of, &v.value
}

func newString(s string) *structpb.Value {
	v := &struct {
		value structpb.Value
		kind  structpb.Value_StringValue
	}{}
	v.kind.StringValue, v.value.Kind = s, &v.kind
	return &v.value
}

func newNumber(f float64) *structpb.Value {
	v := &struct {
		value structpb.Value
		kind  structpb.Value_NumberValue
	}{}
	v.kind.NumberValue, v.value.Kind = f, &v.kind
	return &v.value
}

func newBool(b bool) *structpb.Value {
	v := &struct {
		value structpb.Value
		kind  structpb.Value_BoolValue
	}{}
	v.kind.BoolValue, v.value.Kind = b, &v.kind
	return &v.value
}
