package object

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
)

// Status is the status of a condition.
type Status string

// The statuses of a condition.
const (
	True    Status = "True"
	False   Status = "False"
	Unknown Status = "Unknown"
)

// WhenChanged stands in a status for the time at which the rest of it last changed; the runner puts the time there.
const WhenChanged = "when the rest of the status last changed"

// Condition is one entry of status.conditions. Crossplane adds the time.
type Condition struct {
	Type    string
	Status  Status
	Reason  string
	Message string
}

// Event is something that happened in this run, for the users of the XR and of its claim.
type Event struct {
	Reason  string
	Message string
}

// Resource is one desired composed resource.
type Resource struct {
	Object *structpb.Struct
	Ready  bool
}

// Desired is what a function wants: the composed resources, and what the XR and its claim tell their users.
type Desired struct {
	// Phase and Message are the status's, repeated here so that a change of them becomes an event.
	Phase, Message string
	// Failed marks a phase that needs a user's hand, so that its event is a warning.
	Failed bool
	// Ready is whether the XR as a whole is ready.
	Ready bool
	// Status is the XR's status, a pointer to the API's status struct.
	Status any
	// Conditions are all condition types of the XR: one that is left out goes stale.
	Conditions []Condition
	// Connection holds the keys of the claim's connection secret.
	Connection map[string][]byte

	events  []Event
	runNext time.Time

	seen      *Observed
	resources map[string]Resource
	steps     map[string]step
	taken     []string
	errs      []error
}

// step is what Desired remembers of a key, whether or not its object was emitted.
type step struct {
	ref   string
	ready bool
	taken bool
	why   string
}

// NewDesired starts an answer to what was seen.
func NewDesired(seen *Observed) *Desired {
	return &Desired{seen: seen, resources: make(map[string]Resource), steps: make(map[string]step)}
}

// Add emits an object. The key is a promise: renaming it deletes the object and creates another.
func (d *Desired) Add(key string, obj any, ready Readiness) {
	d.AddWhen(true, key, obj, ready)
}

// AddWhen emits an object once what it waits for is there. An object that was seen before is emitted whatever it waits
// for, since leaving it out would delete it.
func (d *Desired) AddWhen(when bool, key string, obj any, ready Readiness) {
	if want, ok := d.convert(key, obj); ok {
		d.add(when, key, want, ready)
	}
}

// AddExclusive is AddWhen for an object whose name a user chose, outside any namespace that this XR made. If such an
// object exists already and this XR does not control it, it is left alone and reported by Taken: Crossplane would
// silently adopt it, and delete it with the XR.
func (d *Desired) AddExclusive(when bool, key string, obj any, ready Readiness) {
	want, ok := d.convert(key, obj)
	if !ok {
		return
	}
	if owner, taken := d.seen.taken(key, want); taken {
		ref := Ref(want.Kind(), want.Namespace(), want.Name())
		d.steps[key] = step{ref: ref, taken: true, why: "it exists and is " + owner}
		d.taken = append(d.taken, ref+" exists and is "+owner)
		return
	}
	d.add(when, key, want, ready)
}

func (d *Desired) convert(key string, obj any) (want Object, ok bool) {
	s, err := From(obj)
	want = NewObject(s)
	_, twice := d.steps[key]
	switch {
	case err != nil:
	case twice:
		err = errors.New("the key is used twice")
	case want.Kind() == "" || want.String("apiVersion") == "" || want.Name() == "":
		err = errors.New("apiVersion, kind and metadata.name are required")
	default:
		return want, true
	}
	d.errs = append(d.errs, fmt.Errorf("composed resource %q: %w", key, err))
	return Object{}, false
}

func (d *Desired) add(when bool, key string, want Object, ready Readiness) {
	seen := d.seen.Composed(key)
	st := step{ref: Ref(want.Kind(), want.Namespace(), want.Name()), why: "not created yet"}
	if seen.Exists() {
		st.ready, st.why = ready(seen)
	}
	d.steps[key] = st
	if when || seen.Exists() {
		d.resources[key] = Resource{Object: want.fields, Ready: st.ready}
	}
}

// taken tells whether an object of this kind and name exists that this XR does not control, and whose it is.
func (o *Observed) taken(key string, want Object) (owner string, taken bool) {
	have := o.Foreign(key, want.String("apiVersion"), want.Kind(), want.Namespace(), want.Name())
	if !have.Exists() {
		return "", false
	}
	return have.Owner(), true
}

// Hold emits an observed object again as it is, for a run whose input no longer says how it should look. An object
// that was never seen is recorded as waiting.
func (d *Desired) Hold(key, ref, why string) { d.hold(key, step{ref: ref, why: why}) }

// Keep is Hold for an object that is right as it is.
func (d *Desired) Keep(key, ref string) { d.hold(key, step{ref: ref, ready: true}) }

func (d *Desired) hold(key string, st step) {
	d.steps[key] = st
	seen := d.seen.Composed(key)
	if !seen.Exists() {
		return
	}
	content := seen.Map()
	delete(content, "status")
	meta, _ := content["metadata"].(map[string]any)
	keep := map[string]any{"name": seen.Name()}
	if ns := seen.Namespace(); ns != "" {
		keep["namespace"] = ns
	}
	if labels, ok := meta["labels"]; ok {
		keep["labels"] = labels
	}
	if annotations := ownAnnotations(meta); len(annotations) > 0 {
		keep["annotations"] = annotations
	}
	content["metadata"] = keep
	if seen.Kind() == "Job" {
		withoutJobIdentity(content)
	}
	s, err := toStruct(content)
	if err != nil {
		d.errs = append(d.errs, fmt.Errorf("composed resource %q: %w", key, err))
		return
	}
	d.resources[key] = Resource{Object: s, Ready: st.ready}
}

// withoutJobIdentity leaves out by what the API server knows a Job's pods. Whoever sends that once takes it away by not
// sending it the next time, which is refused: https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-selector
func withoutJobIdentity(job map[string]any) {
	spec, _ := job["spec"].(map[string]any)
	delete(spec, "selector")
	template, _ := spec["template"].(map[string]any)
	meta, _ := template["metadata"].(map[string]any)
	labels, _ := meta["labels"].(map[string]any)
	maps.DeleteFunc(labels, func(key string, _ any) bool {
		return key == "controller-uid" || key == "job-name" || strings.HasPrefix(key, "batch.kubernetes.io/")
	})
}

// ownAnnotations leaves out what Crossplane, kubectl and Kubernetes' controllers note on an object.
func ownAnnotations(meta map[string]any) map[string]any {
	annotations, _ := meta["annotations"].(map[string]any)
	maps.DeleteFunc(annotations, func(key string, _ any) bool {
		domain, _, _ := strings.Cut(key, "/")
		return domain == "crossplane.io" || domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io")
	})
	return annotations
}

// Withdraw records an object that is left out, or deleted, on purpose.
func (d *Desired) Withdraw(key, ref, why string) { d.steps[key] = step{ref: ref, why: why} }

// Accept records an object that is not this XR's and serves as it is. It is not emitted.
func (d *Desired) Accept(key, ref string) { d.steps[key] = step{ref: ref, ready: true} }

// Label sets a label on an emitted object, for what is known only once everything else is.
func (d *Desired) Label(key, name, value string) {
	r, ok := d.resources[key]
	if !ok {
		return
	}
	labels := r.Object.GetFields()["metadata"].GetStructValue().GetFields()["labels"].GetStructValue()
	if labels == nil {
		d.Fail(fmt.Errorf("composed resource %q: has no labels to add %s to", key, name))
		return
	}
	labels.Fields[name] = structpb.NewStringValue(value)
}

// OnlyAsSeen has the API server refuse an emitted object that changed in any way since it was seen. It is for a change that
// depends on what somebody else may just be writing; Crossplane runs again after such a conflict.
func (d *Desired) OnlyAsSeen(key string) {
	r, emitted := d.resources[key]
	if version := d.seen.Composed(key).String("metadata", "resourceVersion"); emitted && version != "" {
		r.Object.GetFields()["metadata"].GetStructValue().GetFields()["resourceVersion"] = structpb.NewStringValue(version)
	}
}

// Taken are the objects that AddExclusive left alone, each with whose it is, in the order they were added.
func (d *Desired) Taken() []string { return d.taken }

// IsTaken tells whether AddExclusive left this key's object alone.
func (d *Desired) IsTaken(key string) bool { return d.steps[key].taken }

// Done tells whether all these keys are ready. If not, awaited names the first that is not, and why.
func (d *Desired) Done(keys ...string) (awaited string, done bool) {
	for _, k := range keys {
		st, ok := d.steps[k]
		if !ok {
			return k + " (not part of this run)", false
		}
		if !st.ready {
			return st.ref + " (" + st.why + ")", false
		}
	}
	return "", true
}

// Remark names the first of these keys that is ready and still not as good as wanted, and what it lacks; empty if none is.
func (d *Desired) Remark(keys ...string) string {
	for _, k := range keys {
		if st := d.steps[k]; st.ready && st.why != "" {
			return st.ref + " (" + st.why + ")"
		}
	}
	return ""
}

// Resources are the desired composed resources by key.
func (d *Desired) Resources() map[string]Resource { return d.resources }

// Keys are the keys of Resources, sorted.
func (d *Desired) Keys() []string { return slices.Sorted(maps.Keys(d.resources)) }

// Has tells whether the object of this key is emitted.
func (d *Desired) Has(key string) bool {
	_, ok := d.resources[key]
	return ok
}

// Event records what happened in this run, and in no other.
func (d *Desired) Event(reason, message string) { d.events = append(d.events, Event{reason, message}) }

// Events are those that Event recorded.
func (d *Desired) Events() []Event { return d.events }

// RunAgainAt asks for another run at that time, even if nothing changes. Of several times the first one counts.
func (d *Desired) RunAgainAt(at time.Time) {
	if d.runNext.IsZero() || at.Before(d.runNext) {
		d.runNext = at
	}
}

// RunsAgainAt is the first time that RunAgainAt asked for, zero if none.
func (d *Desired) RunsAgainAt() time.Time { return d.runNext }

// Fail records an error that makes the whole answer unusable.
func (d *Desired) Fail(err error) { d.errs = append(d.errs, err) }

// Err is what makes the answer unusable, nil if nothing does.
func (d *Desired) Err() error { return errors.Join(d.errs...) }
