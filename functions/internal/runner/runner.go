// Package runner is the gRPC side of a composition function: it decodes the request, calls a pure Compose function, and
// writes its answer back. It holds the clock and the randomness, which Compose functions do not have, and no rule about
// organizations or repositories. Only this package and the render harness know the function SDK.
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"aphex.io/platform/functions/internal/object"
)

// Everything that a function composes or looks up is watched, so a change runs it again at once, and one whose work is
// done is not run for time's sake. While something is awaited it is run again after this long all the same: Crossplane
// drops events once an XR had too many of them (its circuit breaker), and the one that was awaited may be among those.
const ttlWhileWaiting = 30 * time.Second

// minTTL keeps a time that has come from being waited for without a pause.
const minTTL = time.Second

// lastChange is the status field that the runner keeps: when the rest of the status last changed.
const lastChange = "lastReconcileTime"

// A Compose function returns everything that one composite resource (XR) owns. T is the XR's type.
type Compose[T any] func(xr *T, seen *object.Observed) (*object.Desired, error)

// Function serves one Compose function.
type Function[T any] struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	// CRD is the name of the CRD behind the XR. Where it cannot be seen there is no cluster, see object.Observed.
	CRD string
	// Compose is called once per request.
	Compose Compose[T]
	// Log gets one debug line per run.
	Log logging.Logger
	// Now is the clock, Entropy the randomness.
	Now     func() time.Time
	Entropy io.Reader
	// Image is where this program is published, empty if it is not.
	Image string
}

// RunFunction answers one request of Crossplane. Input that can never work is a fatal result, never an error.
func (f *Function[T]) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (rsp *fnv1.RunFunctionResponse, err error) {
	xr := object.NewObject(req.GetObserved().GetComposite().GetResource())
	log := f.Log.WithValues("xr", xr.Name(), "tag", req.GetMeta().GetTag())
	defer func() {
		if p := recover(); p != nil {
			log.Info("The function panicked", "panic", p, "stack", string(debug.Stack()))
			rsp, err = fatal(req, fmt.Errorf("internal error: %v; this is a bug in the function, see its log", p)), nil
		}
	}()

	if !slices.Contains(req.GetMeta().GetCapabilities(), fnv1.Capability_CAPABILITY_REQUIRED_RESOURCES) {
		return fatal(req, errors.New("this Crossplane does not offer required resources; use Crossplane 2.4 or later")), nil
	}

	seen := observe(req, xr, f.Entropy)
	seen.Now = f.Now().UTC().Truncate(time.Second)
	seen.Image = f.Image
	crd := seen.Get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", f.CRD)
	// Until that is answered nothing is known, and to look up a kind that is not served would fail the run.
	seen.Offline = !crd.Exists() && !seen.Pending()

	var typed T
	if err := xr.Decode(&typed); err != nil {
		return fatal(req, fmt.Errorf("%s: %w", seen.Identity, err)), nil
	}

	want, err := f.Compose(&typed, seen)
	if err == nil {
		err = want.Err()
	}
	rsp = answer(req)
	rsp.Requirements = requirements(seen)
	switch {
	case seen.Pending():
		log.Debug("Asked for more objects", "lookups", len(seen.Lookups()))
		return rsp, nil
	case err != nil:
		log.Info("Cannot compose", "error", err.Error())
		rsp.Results = []*fnv1.Result{result(fnv1.Severity_SEVERITY_FATAL, err.Error(), fnv1.Target_TARGET_COMPOSITE_AND_CLAIM)}
		return rsp, nil
	}
	if err := f.fill(rsp, xr, seen, want); err != nil {
		return nil, err
	}
	log.Debug("Composed", "resources", len(want.Resources()), "phase", want.Phase)
	return rsp, nil
}

// answer begins with what earlier steps of the pipeline desired. The SDK has helpers for this and for results, in packages
// that bring Kubernetes' client along, which would take more memory than all the rest of a function.
func answer(req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
	return &fnv1.RunFunctionResponse{
		Meta:    &fnv1.ResponseMeta{Tag: req.GetMeta().GetTag(), Ttl: &durationpb.Duration{}},
		Desired: req.GetDesired(),
		Context: req.GetContext(),
	}
}

func fatal(req *fnv1.RunFunctionRequest, err error) *fnv1.RunFunctionResponse {
	rsp := answer(req)
	rsp.Results = []*fnv1.Result{result(fnv1.Severity_SEVERITY_FATAL, err.Error(), fnv1.Target_TARGET_COMPOSITE)}
	return rsp
}

func result(severity fnv1.Severity, message string, target fnv1.Target) *fnv1.Result {
	return &fnv1.Result{Severity: severity, Message: message, Target: target.Enum()}
}

func observe(req *fnv1.RunFunctionRequest, xr object.Object, entropy io.Reader) *object.Observed {
	composed := make(map[string]object.Object, len(req.GetObserved().GetResources()))
	for key, r := range req.GetObserved().GetResources() {
		composed[key] = object.NewObject(r.GetResource())
	}
	required := make(map[string][]object.Object, len(req.GetRequiredResources()))
	for key, rs := range req.GetRequiredResources() {
		items := make([]object.Object, 0, len(rs.GetItems()))
		for _, r := range rs.GetItems() {
			items = append(items, object.NewObject(r.GetResource()))
		}
		required[key] = items
	}
	id := object.Identity{
		Kind:      cmp.Or(xr.String("spec", "claimRef", "kind"), xr.Kind()),
		Name:      cmp.Or(xr.String("spec", "claimRef", "name"), xr.Name()),
		Namespace: xr.String("spec", "claimRef", "namespace"),
		XR:        xr.Name(),
		UID:       xr.UID(),
	}
	seen := object.NewObserved(id, composed, required, entropy)
	seen.Connection = connection(req, xr)
	return seen
}

// connection is what the XR's connection secret holds, if Crossplane chose where that is: it names the secret by the XR's
// uid, and keeps it in its own namespace. One that whoever made the XR chose may be anybody's, and Crossplane reads it without
// asking whose it is. See APIConfigurator and SecretConnectionDetailsFetcher in
// https://github.com/crossplane/crossplane/tree/v2.4.0/internal/controller/apiextensions/composite.
func connection(req *fnv1.RunFunctionRequest, xr object.Object) map[string][]byte {
	if name := xr.String("spec", "writeConnectionSecretToRef", "name"); name == "" || name != xr.UID() {
		return nil
	}
	return req.GetObserved().GetComposite().GetConnectionDetails()
}

func requirements(seen *object.Observed) *fnv1.Requirements {
	out := &fnv1.Requirements{Resources: make(map[string]*fnv1.ResourceSelector, len(seen.Lookups()))}
	for key, l := range seen.Lookups() {
		s := &fnv1.ResourceSelector{ApiVersion: l.APIVersion, Kind: l.Kind}
		if l.Name != "" {
			s.Match = &fnv1.ResourceSelector_MatchName{MatchName: l.Name}
		} else {
			s.Match = &fnv1.ResourceSelector_MatchLabels{MatchLabels: &fnv1.MatchLabels{Labels: l.Labels}}
		}
		if l.Namespace != "" {
			s.Namespace = &l.Namespace
		}
		out.Resources[key] = s
	}
	return out
}

// fill writes the answer, beside what earlier steps of the pipeline desired.
func (f *Function[T]) fill(rsp *fnv1.RunFunctionResponse, xr object.Object, seen *object.Observed, want *object.Desired) error {
	status, err := object.FromStatus(want.Status)
	if err != nil {
		return err
	}
	f.stamp(status, xr)

	if rsp.GetDesired() == nil {
		rsp.Desired = &fnv1.State{}
	}
	if rsp.Desired.Resources == nil {
		rsp.Desired.Resources = make(map[string]*fnv1.Resource, len(want.Resources()))
	}
	for key, r := range want.Resources() {
		ready := fnv1.Ready_READY_FALSE
		if r.Ready {
			ready = fnv1.Ready_READY_TRUE
		}
		rsp.Desired.Resources[key] = &fnv1.Resource{Resource: r.Object, Ready: ready}
	}
	if rsp.Desired.Composite == nil {
		rsp.Desired.Composite = &fnv1.Resource{}
	}
	c := rsp.Desired.Composite
	if c.Resource == nil {
		c.Resource = &structpb.Struct{}
	}
	if c.Resource.Fields == nil {
		c.Resource.Fields = make(map[string]*structpb.Value, 3)
	}
	c.Resource.Fields["apiVersion"] = structpb.NewStringValue(xr.String("apiVersion"))
	c.Resource.Fields["kind"] = structpb.NewStringValue(xr.Kind())
	c.Resource.Fields["status"] = structpb.NewStructValue(status)
	if c.ConnectionDetails == nil && len(want.Connection) > 0 {
		c.ConnectionDetails = make(map[string][]byte, len(want.Connection))
	}
	maps.Copy(c.ConnectionDetails, want.Connection)
	c.Ready = fnv1.Ready_READY_TRUE
	if !want.Ready {
		c.Ready = fnv1.Ready_READY_FALSE
	}
	rsp.Meta.Ttl = durationpb.New(ttl(want, seen.Now))

	for _, cond := range want.Conditions {
		rsp.Conditions = append(rsp.Conditions, condition(cond))
	}
	if e := event(xr, want); e != nil {
		rsp.Results = append(rsp.Results, e)
	}
	for _, e := range want.Events() {
		r := result(fnv1.Severity_SEVERITY_NORMAL, e.Message, fnv1.Target_TARGET_COMPOSITE_AND_CLAIM)
		r.Reason = &e.Reason
		rsp.Results = append(rsp.Results, r)
	}
	if seen.Offline {
		rsp.Results = append(rsp.Results, result(fnv1.Severity_SEVERITY_NORMAL, "No cluster can be seen (not even the CRD "+f.CRD+
			"), so every neighbour is taken for present; pass required resources to render a particular cluster.",
			fnv1.Target_TARGET_COMPOSITE))
	}
	return nil
}

// ttl is after how long Crossplane runs the function again at the latest, 0 for not at all. Crossplane makes it up to a
// tenth longer or shorter at random. A time that is due is therefore approached from before, in a few runs that change
// nothing, and met within the shortest TTL.
func ttl(want *object.Desired, now time.Time) time.Duration {
	var after time.Duration
	if !want.Ready {
		after = ttlWhileWaiting
	}
	if at := want.RunsAgainAt(); !at.IsZero() {
		left := at.Sub(now)
		due := max(minTTL, left-left/11)
		if after == 0 || due < after {
			after = due
		}
	}
	return after
}

// stamp sets when the status last changed. It keeps the time while nothing else changes: a new one on every run would
// make Crossplane reconcile for ever.
func (f *Function[T]) stamp(status *structpb.Struct, xr object.Object) {
	if _, ok := status.Fields[lastChange]; !ok {
		return
	}
	have := xr.Field("status")
	same := have.String(lastChange) != ""
	for k, v := range status.Fields {
		same = same && (k == lastChange || proto.Equal(v, have.Value(k)))
	}
	at := have.String(lastChange)
	if !same {
		at = f.Now().UTC().Format(time.RFC3339)
	}
	status.Fields[lastChange] = structpb.NewStringValue(at)
}

func condition(c object.Condition) *fnv1.Condition {
	status := fnv1.Status_STATUS_CONDITION_UNKNOWN
	switch c.Status {
	case object.True:
		status = fnv1.Status_STATUS_CONDITION_TRUE
	case object.False:
		status = fnv1.Status_STATUS_CONDITION_FALSE
	case object.Unknown:
	}
	return &fnv1.Condition{
		Type: c.Type, Status: status, Reason: c.Reason, Message: &c.Message,
		Target: fnv1.Target_TARGET_COMPOSITE_AND_CLAIM.Enum(),
	}
}

// event tells of a change of phase, and of a new reason to be in a failed one; nothing on any other run.
func event(xr object.Object, want *object.Desired) *fnv1.Result {
	phase, message := xr.String("status", "phase"), xr.String("status", "message")
	if phase == want.Phase && (!want.Failed || message == want.Message) {
		return nil
	}
	severity := fnv1.Severity_SEVERITY_NORMAL
	if want.Failed {
		severity = fnv1.Severity_SEVERITY_WARNING
	}
	r := result(severity, want.Phase+": "+want.Message, fnv1.Target_TARGET_COMPOSITE_AND_CLAIM)
	r.Reason = new("PhaseChanged")
	return r
}
