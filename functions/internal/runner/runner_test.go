package runner_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/runner"
)

const crd = "xthings.example.org"

// crdLookup is how the runner asks for the XR's own CRD.
const crdLookup = "apiextensions.k8s.io/v1/CustomResourceDefinition//" + crd

type xThing struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Size int64 `json:"size"`
	} `json:"spec"`
}

type status struct {
	Phase             string `json:"phase,omitempty"`
	Message           string `json:"message,omitempty"`
	LastReconcileTime string `json:"lastReconcileTime,omitempty"`
}

func parse(t *testing.T, text string) *structpb.Struct {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	s := &structpb.Struct{}
	require.NoError(t, s.UnmarshalJSON(b))
	return s
}

// request is what Crossplane sends for an XR on a live cluster, once it has answered the lookup of the XR's CRD.
func request(t *testing.T, xr string) *fnv1.RunFunctionRequest {
	t.Helper()
	return &fnv1.RunFunctionRequest{
		Meta:     &fnv1.RequestMeta{Tag: "t", Capabilities: []fnv1.Capability{fnv1.Capability_CAPABILITY_REQUIRED_RESOURCES}},
		Observed: &fnv1.State{Composite: &fnv1.Resource{Resource: parse(t, xr)}},
		RequiredResources: map[string]*fnv1.Resources{
			crdLookup: {Items: []*fnv1.Resource{{Resource: parse(t, `{metadata: {name: xthings.example.org}}`)}}},
		},
	}
}

const claimed = `
apiVersion: example.org/v1
kind: XThing
metadata: {name: box-abcde, uid: u-1}
spec: {size: 3, claimRef: {apiVersion: example.org/v1, kind: Thing, namespace: team-a, name: box}}`

// recorder is a log that keeps its lines.
type recorder struct{ lines []string }

func (r *recorder) Info(msg string, kv ...any)       { r.lines = append(r.lines, fmt.Sprint(msg, kv)) }
func (r *recorder) Debug(msg string, kv ...any)      { r.Info(msg, kv...) }
func (r *recorder) WithValues(...any) logging.Logger { return r }

var now = time.Date(2026, 1, 16, 23, 15, 0, 0, time.FixedZone("", 3600))

func run(t *testing.T, compose runner.Compose[xThing], req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
	t.Helper()
	rsp, _ := runLogged(t, compose, req)
	return rsp
}

func runLogged(t *testing.T, compose runner.Compose[xThing], req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, []string) {
	t.Helper()
	log := &recorder{}
	f := &runner.Function[xThing]{
		CRD: crd, Compose: compose, Log: log, Now: func() time.Time { return now }, Entropy: strings.NewReader(strings.Repeat("r", 64)),
		Image: "registry.example.org/function-thing:v1",
	}
	rsp, err := f.RunFunction(t.Context(), req)
	require.NoError(t, err)
	return rsp, log.lines
}

// composes answers with one Namespace in this phase.
func composes(phase, message string, change func(*object.Desired)) runner.Compose[xThing] {
	return func(_ *xThing, seen *object.Observed) (*object.Desired, error) {
		d := object.NewDesired(seen)
		d.Add("namespace", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "box"}}, object.ReadyWhenActive)
		d.Phase, d.Message = phase, message
		d.Status = &status{Phase: phase, Message: message, LastReconcileTime: object.WhenChanged}
		if change != nil {
			change(d)
		}
		return d, nil
	}
}

func results(rsp *fnv1.RunFunctionResponse) []string {
	out := make([]string, 0, len(rsp.GetResults()))
	for _, r := range rsp.GetResults() {
		out = append(out, fmt.Sprintf("%s %s %q %s", r.GetSeverity(), r.GetReason(), r.GetMessage(), r.GetTarget()))
	}
	return out
}

func TestTheXRIsDecodedAndNamedByItsClaim(t *testing.T) {
	var got object.Identity
	var size int64
	compose := func(xr *xThing, seen *object.Observed) (*object.Desired, error) {
		got, size = seen.Identity, xr.Spec.Size
		d := object.NewDesired(seen)
		d.Status = &status{}
		return d, nil
	}
	run(t, compose, request(t, claimed))
	require.Equal(t, object.Identity{Kind: "Thing", Name: "box", Namespace: "team-a", XR: "box-abcde", UID: "u-1"}, got)
	require.Equal(t, int64(3), size)

	run(t, compose, request(t, `{apiVersion: example.org/v1, kind: XThing, metadata: {name: direct, uid: u-2}, spec: {fieldOfTomorrow: 1}}`))
	require.Equal(t, object.Identity{Kind: "XThing", Name: "direct", XR: "direct", UID: "u-2"}, got)
}

func TestAnAnswer(t *testing.T) {
	req := request(t, claimed)
	req.Observed.Resources = map[string]*fnv1.Resource{"namespace": {Resource: parse(t, `{apiVersion: v1, kind: Namespace, metadata: {name: box}}`)}}
	rsp := run(t, composes("Active", "all is well", func(d *object.Desired) {
		d.Ready = true
		d.Conditions = []object.Condition{
			{Type: "A", Status: object.True, Reason: "Good"},
			{Type: "B", Status: object.False, Reason: "Bad", Message: "it is not"},
			{Type: "C", Status: object.Unknown, Reason: "Ugly", Message: "who knows"},
		}
		d.Connection = map[string][]byte{"url": []byte("https://example.org")}
		d.Add("other", map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "o"}}, object.ReadyWhenSeen)
	}), req)

	require.Equal(t, "t", rsp.GetMeta().GetTag())
	require.Zero(t, rsp.GetMeta().GetTtl().AsDuration(), "Crossplane runs a function whose work is done again when something changed, not when time has passed")
	c := rsp.GetDesired().GetComposite()
	require.True(t, proto.Equal(parse(t, `
apiVersion: example.org/v1
kind: XThing
status: {phase: Active, message: all is well, lastReconcileTime: "2026-01-16T22:15:00Z"}`), c.GetResource()), c.GetResource())
	require.Equal(t, fnv1.Ready_READY_TRUE, c.GetReady())
	require.Equal(t, map[string][]byte{"url": []byte("https://example.org")}, c.GetConnectionDetails())

	desired := rsp.GetDesired().GetResources()
	require.Len(t, desired, 2)
	require.Equal(t, fnv1.Ready_READY_TRUE, desired["namespace"].GetReady())
	require.Equal(t, fnv1.Ready_READY_FALSE, desired["other"].GetReady())
	require.True(t, proto.Equal(parse(t, `{apiVersion: v1, kind: Namespace, metadata: {name: box}}`), desired["namespace"].GetResource()))

	conditions := make([]string, 0, len(rsp.GetConditions()))
	for _, c := range rsp.GetConditions() {
		conditions = append(conditions, fmt.Sprintf("%s %s %s %q %s", c.GetType(), c.GetStatus(), c.GetReason(), c.GetMessage(), c.GetTarget()))
	}
	require.Equal(t, []string{
		`A STATUS_CONDITION_TRUE Good "" TARGET_COMPOSITE_AND_CLAIM`,
		`B STATUS_CONDITION_FALSE Bad "it is not" TARGET_COMPOSITE_AND_CLAIM`,
		`C STATUS_CONDITION_UNKNOWN Ugly "who knows" TARGET_COMPOSITE_AND_CLAIM`,
	}, conditions)
	require.Equal(t, []string{`SEVERITY_NORMAL PhaseChanged "Active: all is well" TARGET_COMPOSITE_AND_CLAIM`}, results(rsp))
}

func TestWhatHappenedIsAnEventOfTheClaim(t *testing.T) {
	rsp := run(t, composes("Active", "one", func(d *object.Desired) { d.Event("Rotated", "It was old.") }), request(t, claimed+"\nstatus: {phase: Active, message: one}"))
	require.Equal(t, []string{`SEVERITY_NORMAL Rotated "It was old." TARGET_COMPOSITE_AND_CLAIM`}, results(rsp))
}

func TestAnXRThatIsNotReadySaysSo(t *testing.T) {
	rsp := run(t, composes("Pending", "soon", nil), request(t, claimed))
	require.Equal(t, fnv1.Ready_READY_FALSE, rsp.GetDesired().GetComposite().GetReady())
	require.Nil(t, rsp.GetDesired().GetComposite().GetConnectionDetails())
	require.Equal(t, 30*time.Second, rsp.GetMeta().GetTtl().AsDuration(), "an event that Crossplane dropped is not waited for in vain")
}

func TestTheTimeOfTheRequestReachesComposeToTheSecond(t *testing.T) {
	var got time.Time
	run(t, func(xr *xThing, seen *object.Observed) (*object.Desired, error) {
		got = seen.Now
		return composes("Active", "ok", nil)(xr, seen)
	}, request(t, claimed))
	require.Equal(t, time.Date(2026, 1, 16, 22, 15, 0, 0, time.UTC), got)
}

func TestComposeKnowsWhereItsProgramIsPublished(t *testing.T) {
	var got string
	run(t, func(xr *xThing, seen *object.Observed) (*object.Desired, error) {
		got = seen.Image
		return composes("Active", "ok", nil)(xr, seen)
	}, request(t, claimed))
	require.Equal(t, "registry.example.org/function-thing:v1", got)
}

// Crossplane takes up to a tenth more or less than the TTL.
func TestARunThatIsDueComesInTime(t *testing.T) {
	for name, c := range map[string]struct {
		due   []time.Duration
		ready bool
		want  time.Duration
	}{
		"nothing is due, and nothing awaited":      {nil, true, 0},
		"what is due is approached from before":    {[]time.Duration{11 * time.Hour}, true, 10 * time.Hour},
		"of several times the first one counts":    {[]time.Duration{22 * time.Hour, 11 * time.Hour, 33 * time.Hour}, true, 10 * time.Hour},
		"what is due in an instant":                {[]time.Duration{time.Second}, true, time.Second},
		"what is overdue does not make it spin":    {[]time.Duration{-time.Hour}, true, time.Second},
		"what is awaited comes before what is due": {[]time.Duration{11 * time.Hour}, false, 30 * time.Second},
		"what is due comes before what is awaited": {[]time.Duration{11 * time.Second}, false, 10 * time.Second},
		"what is due in two centuries":             {[]time.Duration{220 * 365 * 24 * time.Hour}, true, 200 * 365 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, composes("Active", "ok", func(d *object.Desired) {
				d.Ready = c.ready
				for _, due := range c.due {
					d.RunAgainAt(now.Add(due))
				}
			}), request(t, claimed))
			require.Equal(t, c.want, rsp.GetMeta().GetTtl().AsDuration())
		})
	}
}

func TestLookupsBecomeRequirements(t *testing.T) {
	compose := func(_ *xThing, seen *object.Observed) (*object.Desired, error) {
		seen.Get("v1", "Secret", "team-a", "token")
		seen.Get("v1", "Namespace", "", "box")
		seen.List("example.org/v1", "XThing", map[string]string{"app": "x", "tier": "y"})
		return nil, errors.New("not enough is known to say this")
	}
	rsp := run(t, compose, request(t, claimed))
	teamA := "team-a"
	want := &fnv1.Requirements{Resources: map[string]*fnv1.ResourceSelector{
		crdLookup: {
			ApiVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Match: &fnv1.ResourceSelector_MatchName{MatchName: crd},
		},
		"v1/Secret/team-a/token": {ApiVersion: "v1", Kind: "Secret", Namespace: &teamA, Match: &fnv1.ResourceSelector_MatchName{MatchName: "token"}},
		"v1/Namespace//box":      {ApiVersion: "v1", Kind: "Namespace", Match: &fnv1.ResourceSelector_MatchName{MatchName: "box"}},
		"example.org/v1/XThing//,app=x,tier=y": {ApiVersion: "example.org/v1", Kind: "XThing", Match: &fnv1.ResourceSelector_MatchLabels{
			MatchLabels: &fnv1.MatchLabels{Labels: map[string]string{"app": "x", "tier": "y"}},
		}},
	}}
	require.True(t, proto.Equal(want, rsp.GetRequirements()), rsp.GetRequirements())
	require.Empty(t, rsp.GetResults(), "an answer without knowledge is not used")
	require.Empty(t, rsp.GetConditions())
	require.Nil(t, rsp.GetDesired().GetComposite())
}

func TestAnsweredLookupsStayRequired(t *testing.T) {
	req := request(t, claimed)
	req.RequiredResources["v1/Namespace//box"] = &fnv1.Resources{Items: []*fnv1.Resource{{Resource: parse(t, `{metadata: {name: box}}`)}}}
	var found object.Object
	rsp := run(t, func(xr *xThing, seen *object.Observed) (*object.Desired, error) {
		found = seen.Get("v1", "Namespace", "", "box")
		return composes("Active", "ok", nil)(xr, seen)
	}, req)
	require.Equal(t, "box", found.Name())
	require.Contains(t, rsp.GetRequirements().GetResources(), "v1/Namespace//box", "Crossplane stops to watch what is not required again")
	require.Contains(t, rsp.GetRequirements().GetResources(), crdLookup)
	require.Contains(t, rsp.GetDesired().GetResources(), "namespace")
}

func TestWithoutAClusterEveryNeighbourIsTakenForPresent(t *testing.T) {
	var offline []bool
	compose := func(xr *xThing, seen *object.Observed) (*object.Desired, error) {
		offline = append(offline, seen.Offline)
		return composes("Active", "ok", nil)(xr, seen)
	}
	req := request(t, claimed)
	req.RequiredResources = nil
	rsp := run(t, compose, req)
	require.Empty(t, rsp.GetResults(), "nobody has answered yet")
	req.RequiredResources = map[string]*fnv1.Resources{crdLookup: nil}
	rsp = run(t, compose, req)
	require.Equal(t, []string{
		`SEVERITY_NORMAL PhaseChanged "Active: ok" TARGET_COMPOSITE_AND_CLAIM`,
		`SEVERITY_NORMAL  "No cluster can be seen (not even the CRD xthings.example.org), so every neighbour is taken for present; pass required resources to render a particular cluster." TARGET_COMPOSITE`,
	}, results(rsp))
	run(t, compose, request(t, claimed))
	require.Equal(t, []bool{false, true, false}, offline)
}

func TestALiveClusterIsNeverTakenForOffline(t *testing.T) {
	req := request(t, claimed)
	rsp := run(t, composes("Active", "ok", func(*object.Desired) {}), req)
	for _, r := range results(rsp) {
		require.NotContains(t, r, "No cluster")
	}
}

func TestAnOlderCrossplaneIsRefused(t *testing.T) {
	req := request(t, claimed)
	req.Meta.Capabilities = []fnv1.Capability{fnv1.Capability_CAPABILITY_CONDITIONS}
	rsp := run(t, func(*xThing, *object.Observed) (*object.Desired, error) {
		t.Error("Compose was called")
		return nil, nil
	}, req)
	require.Equal(t, []string{`SEVERITY_FATAL  "this Crossplane does not offer required resources; use Crossplane 2.4 or later" TARGET_COMPOSITE`}, results(rsp))
}

func TestAPanicIsFatalAndLogged(t *testing.T) {
	rsp, log := runLogged(t, func(*xThing, *object.Observed) (*object.Desired, error) { panic("index out of range") }, request(t, claimed))
	require.Equal(t, []string{`SEVERITY_FATAL  "internal error: index out of range; this is a bug in the function, see its log" TARGET_COMPOSITE`}, results(rsp))
	require.Len(t, log, 1)
	require.Contains(t, log[0], "runner_test.go", "the log has the stack")
	require.Empty(t, rsp.GetDesired().GetResources())
}

func TestAnXRThatCannotBeDecodedIsFatal(t *testing.T) {
	xr := strings.Replace(claimed, "size: 3", "size: large", 1)
	rsp := run(t, composes("Active", "ok", nil), request(t, xr))
	require.Equal(t, []string{`SEVERITY_FATAL  "Thing team-a/box: spec.size: must be of type int64, not string" TARGET_COMPOSITE`}, results(rsp))
}

func TestAnErrorOfComposeIsFatalAndReachesTheClaim(t *testing.T) {
	rsp := run(t, func(*xThing, *object.Observed) (*object.Desired, error) { return nil, errors.New("no way") }, request(t, claimed))
	require.Equal(t, []string{`SEVERITY_FATAL  "no way" TARGET_COMPOSITE_AND_CLAIM`}, results(rsp))
	require.Empty(t, rsp.GetDesired().GetResources())

	rsp = run(t, composes("Active", "ok", func(d *object.Desired) { d.Fail(errors.New("half done")) }), request(t, claimed))
	require.Equal(t, []string{`SEVERITY_FATAL  "half done" TARGET_COMPOSITE_AND_CLAIM`}, results(rsp))
	require.Empty(t, rsp.GetDesired().GetResources(), "a part of an answer would delete the rest")
}

func TestTheTimeStandsStillWhileNothingElseChanges(t *testing.T) {
	const before = "2025-12-24T18:00:00Z"
	cases := map[string]struct{ status, want string }{
		"a first answer gets the time":          {"", "2026-01-16T22:15:00Z"},
		"the same answer keeps it":              {`status: {phase: Active, message: ok, lastReconcileTime: "` + before + `"}`, before},
		"what others put there does not matter": {`status: {phase: Active, message: ok, lastReconcileTime: "` + before + `", conditions: [{type: Ready}]}`, before},
		"another message gets a new time":       {`status: {phase: Active, message: older, lastReconcileTime: "` + before + `"}`, "2026-01-16T22:15:00Z"},
		"a new field gets a new time":           {`status: {phase: Active, lastReconcileTime: "` + before + `"}`, "2026-01-16T22:15:00Z"},
		"a status that lost its time":           {`status: {phase: Active, message: ok}`, "2026-01-16T22:15:00Z"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, composes("Active", "ok", nil), request(t, claimed+"\n"+c.status))
			require.Equal(t, c.want, object.NewObject(rsp.GetDesired().GetComposite().GetResource()).String("status", "lastReconcileTime"))
		})
	}
	t.Run("an API without that field gets none", func(t *testing.T) {
		rsp := run(t, composes("Active", "ok", func(d *object.Desired) { d.Status = &status{Phase: "Active"} }), request(t, claimed))
		require.Equal(t, []string{"phase"}, object.NewObject(rsp.GetDesired().GetComposite().GetResource()).Field("status").Keys())
	})
}

func TestEventsTellOfChangesOnly(t *testing.T) {
	failed := func(d *object.Desired) { d.Failed = true }
	cases := map[string]struct {
		status  string
		phase   string
		message string
		change  func(*object.Desired)
		want    []string
	}{
		"a first phase":                {"", "Pending", "one", nil, []string{`SEVERITY_NORMAL PhaseChanged "Pending: one" TARGET_COMPOSITE_AND_CLAIM`}},
		"another phase":                {"status: {phase: Pending, message: one}", "Active", "two", nil, []string{`SEVERITY_NORMAL PhaseChanged "Active: two" TARGET_COMPOSITE_AND_CLAIM`}},
		"progress within a phase":      {"status: {phase: Pending, message: one}", "Pending", "two", nil, nil},
		"nothing new":                  {"status: {phase: Active, message: one}", "Active", "one", nil, nil},
		"a failure":                    {"status: {phase: Active, message: one}", "Failed", "two", failed, []string{`SEVERITY_WARNING PhaseChanged "Failed: two" TARGET_COMPOSITE_AND_CLAIM`}},
		"the same failure":             {"status: {phase: Failed, message: two}", "Failed", "two", failed, nil},
		"a failure for another reason": {"status: {phase: Failed, message: two}", "Failed", "three", failed, []string{`SEVERITY_WARNING PhaseChanged "Failed: three" TARGET_COMPOSITE_AND_CLAIM`}},
		"recovery from a failure is no news of a failure": {"status: {phase: Failed, message: two}", "Active", "one", nil, []string{`SEVERITY_NORMAL PhaseChanged "Active: one" TARGET_COMPOSITE_AND_CLAIM`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			require.ElementsMatch(t, c.want, results(run(t, composes(c.phase, c.message, c.change), request(t, claimed+"\n"+c.status))))
		})
	}
}

func TestWhatEarlierStepsDesiredIsKept(t *testing.T) {
	req := request(t, claimed)
	req.Desired = &fnv1.State{
		Composite: &fnv1.Resource{
			Resource:          parse(t, `{spec: {note: kept}, status: {phase: Old}}`),
			ConnectionDetails: map[string][]byte{"earlier": []byte("kept")},
		},
		Resources: map[string]*fnv1.Resource{"earlier": {Resource: parse(t, `{kind: Earlier}`), Ready: fnv1.Ready_READY_TRUE}},
	}
	req.Context = parse(t, `{key: kept}`)
	rsp := run(t, composes("Active", "ok", func(d *object.Desired) { d.Connection = map[string][]byte{"url": []byte("u")} }), req)
	desired := rsp.GetDesired()
	require.Equal(t, "Earlier", object.NewObject(desired.GetResources()["earlier"].GetResource()).Kind())
	require.Equal(t, fnv1.Ready_READY_TRUE, desired.GetResources()["earlier"].GetReady())
	require.Contains(t, desired.GetResources(), "namespace")
	xr := object.NewObject(desired.GetComposite().GetResource())
	require.Equal(t, "kept", xr.String("spec", "note"))
	require.Equal(t, "Active", xr.String("status", "phase"))
	require.Equal(t, map[string][]byte{"earlier": []byte("kept"), "url": []byte("u")}, desired.GetComposite().GetConnectionDetails())
	require.True(t, proto.Equal(parse(t, `{key: kept}`), rsp.GetContext()))
}

func TestSecretsStayOutOfResultsAndLogs(t *testing.T) {
	req := request(t, claimed)
	const given, observed = "given-by-the-user", "observed-in-the-cluster"
	req.Observed.Composite.Resource.Fields["spec"].GetStructValue().Fields["webhookSecret"] = structpb.NewStringValue(given)
	req.Observed.Composite.ConnectionDetails = map[string][]byte{"webhookSecret": []byte(observed)}
	req.Observed.Resources = map[string]*fnv1.Resource{"secret": {Resource: parse(t, `{kind: Secret, metadata: {name: s}, data: {secret: b2JzZXJ2ZWQtaW4tdGhlLWNsdXN0ZXI=}}`)}}
	for name, compose := range map[string]runner.Compose[xThing]{
		"an answer": composes("Active", "ok", func(d *object.Desired) {
			d.Connection = map[string][]byte{"webhookSecret": []byte(observed)}
			d.Add("secret", map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s"}, "stringData": map[string]any{"secret": given}}, object.ReadyWhenSeen)
		}),
		"an error": func(*xThing, *object.Observed) (*object.Desired, error) { return nil, errors.New("no") },
		"a panic":  func(*xThing, *object.Observed) (*object.Desired, error) { panic("no") },
		"a question": func(_ *xThing, seen *object.Observed) (*object.Desired, error) {
			seen.Get("v1", "A", "", "b")
			return object.NewDesired(seen), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			rsp, log := runLogged(t, compose, req)
			public := append(results(rsp), log...)
			public = append(public, fmt.Sprint(rsp.GetDesired().GetComposite().GetResource(), rsp.GetConditions(), rsp.GetRequirements()))
			for _, secret := range []string{given, observed, "b2JzZXJ2ZWQtaW4tdGhlLWNsdXN0ZXI="} {
				require.NotContains(t, strings.Join(public, "\n"), secret)
			}
		})
	}
}

func TestAConnectionSecretIsReadOnlyWhereCrossplaneChoseIt(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		want map[string][]byte
	}{
		"one with the uid of the XR":      {"{writeConnectionSecretToRef: {namespace: crossplane-system, name: u-1}}", map[string][]byte{"a": []byte("kept")}},
		"one that somebody named":         {"{writeConnectionSecretToRef: {namespace: org-acme-corp, name: mallory}}", nil},
		"one with the uid of another XR":  {"{writeConnectionSecretToRef: {namespace: crossplane-system, name: u-2}}", nil},
		"an XR that has none":             {"{}", nil},
		"an XR that has none and no name": {`{writeConnectionSecretToRef: {name: ""}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(t, "{apiVersion: example.org/v1, kind: XThing, metadata: {name: box, uid: u-1}, spec: "+c.spec+"}")
			req.Observed.Composite.ConnectionDetails = map[string][]byte{"a": []byte("kept")}
			run(t, func(xr *xThing, seen *object.Observed) (*object.Desired, error) {
				require.Equal(t, c.want, seen.Connection)
				return composes("Active", "ok", nil)(xr, seen)
			}, req)
		})
	}
}

func TestRandomnessComesFromTheRunner(t *testing.T) {
	rsp := run(t, func(xr *xThing, seen *object.Observed) (*object.Desired, error) {
		secret, err := seen.NewSecret(2)
		require.NoError(t, err)
		return composes("Active", secret, nil)(xr, seen)
	}, request(t, claimed))
	require.Equal(t, "7272", object.NewObject(rsp.GetDesired().GetComposite().GetResource()).String("status", "message"))
}
