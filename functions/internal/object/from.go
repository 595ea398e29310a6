package object

import (
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/runtime"
)

// From turns a typed object, or unstructured content as map[string]any, into its wire form. What it sends,
// server-side apply makes ours, so it leaves out what no builder sets on purpose: status, null timestamps, and the
// empty structs strategy and resources that k8s.io/api cannot omit. Every other empty value stays, because
// emptyDir: {} and podSelector: {} mean something.
func From(obj any) (*structpb.Struct, error) {
	content, ok := obj.(map[string]any)
	if !ok {
		var err error
		if content, err = runtime.DefaultUnstructuredConverter.ToUnstructured(obj); err != nil {
			return nil, fmt.Errorf("convert %T to its wire form: %w", obj, err)
		}
		delete(content, "status")
	}
	prune(content)
	return toStruct(content)
}

// FromStatus turns a typed status into its wire form.
func FromStatus(status any) (*structpb.Struct, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return nil, fmt.Errorf("convert %T to its wire form: %w", status, err)
	}
	return toStruct(content)
}

func prune(m map[string]any) {
	for k, v := range m {
		switch v := v.(type) {
		case nil:
			if k == "creationTimestamp" {
				delete(m, k)
			}
		case map[string]any:
			if len(v) == 0 && (k == "strategy" || k == "resources") {
				delete(m, k)
				continue
			}
			prune(v)
		case []any:
			for _, item := range v {
				if s, ok := item.(map[string]any); ok {
					prune(s)
				}
			}
		}
	}
}

func toStruct(m map[string]any) (*structpb.Struct, error) {
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(m))}
	for k, v := range m {
		pv, err := toValue(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		s.Fields[k] = pv
	}
	return s, nil
}

func toValue(v any) (*structpb.Value, error) {
	switch v := v.(type) {
	case map[string]any:
		s, err := toStruct(v)
		return structpb.NewStructValue(s), err
	case []any:
		l := &structpb.ListValue{Values: make([]*structpb.Value, len(v))}
		for i, item := range v {
			pv, err := toValue(item)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			l.Values[i] = pv
		}
		return structpb.NewListValue(l), nil
	default:
		return structpb.NewValue(v)
	}
}
