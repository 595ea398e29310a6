package main

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/tekton"
)

const (
	firstSecret  = "the-first-given-secret"
	secondSecret = "the-second-given-secret"
	thirdSecret  = "the-third-given-secret"
)

// random is the secret that a run makes of this entropy.
func random(hexByte string) string { return strings.Repeat(hexByte, 32) }

func asking(value string) func(*v1alpha1.XOrganization) {
	return func(xr *v1alpha1.XOrganization) {
		xr.Annotations = map[string]string{"platform.aphex/rotate-webhook-secret": value}
	}
}

func rotatingEvery(age string) func(*v1alpha1.XOrganization) {
	return func(xr *v1alpha1.XOrganization) { xr.Spec.WebhookSecretRotation = age }
}

func overlapping(overlap string) func(*v1alpha1.XOrganization) {
	return func(xr *v1alpha1.XOrganization) { xr.Spec.WebhookSecretOverlap = overlap }
}

// after is the world that much later, with other randomness.
func (w world) after(d time.Duration) world {
	w.passed += d
	w.entropy++
	return w
}

// then is the world after one more run.
func (w world) then(t *testing.T, xr *v1alpha1.XOrganization) world {
	t.Helper()
	return w.apply(compose(t, w, xr))
}

// edited is the world after somebody changed the webhook secret by hand.
func (w world) edited(change func(data, annotations map[string]any)) world {
	w.composed = maps.Clone(w.composed)
	o := maps.Clone(w.composed[keyWebhookSecret])
	meta := maps.Clone(o["metadata"].(map[string]any))
	annotations, _ := meta["annotations"].(map[string]any)
	data, annotations := maps.Clone(o["data"].(map[string]any)), maps.Clone(annotations)
	if annotations == nil {
		annotations = map[string]any{}
	}
	change(data, annotations)
	meta["annotations"], o["metadata"], o["data"] = annotations, meta, data
	w.composed[keyWebhookSecret] = o
	return w
}

func encoded(secret string) string { return base64.StdEncoding.EncodeToString([]byte(secret)) }

// told is what people are told to enter in GitHub, as it will be stored.
func told(t *testing.T, d *object.Desired) string {
	t.Helper()
	return string(get[corev1.Secret](t, d, keyWebhookSecret).Data["secret"])
}

// accepted are the secrets that deliveries may be signed with, by the listener and the Secret together.
func accepted(t *testing.T, d *object.Desired) []string {
	t.Helper()
	data := get[corev1.Secret](t, d, keyWebhookSecret).Data
	var secrets []string
	names := map[string]bool{}
	for _, group := range get[tekton.EventListener](t, d, keyListener).Spec.TriggerGroups {
		names[group.Name] = true
		require.Equal(t, map[string]string{"platform.aphex/organization": "acme-corp"}, group.TriggerSelector.LabelSelector.MatchLabels)
		require.Equal(t, "github", group.Interceptors[0].Ref.Name)
		ref := group.Interceptors[0].Params[0]
		require.Equal(t, "secretRef", ref.Name)
		secret := string(data[ref.Value.(map[string]any)["secretKey"].(string)])
		require.GreaterOrEqual(t, len(secret), minWebhookSecret, "the interceptor would take even an empty one for good")
		require.NotContains(t, secrets, secret, "a delivery would pass two groups")
		secrets = append(secrets, secret)
	}
	require.Len(t, names, len(secrets))
	require.Len(t, data, len(secrets)+1, "the Secret has no other key")
	return secrets
}

func events(d *object.Desired) []string {
	var out []string
	for _, e := range d.Events() {
		out = append(out, e.Reason+": "+e.Message)
	}
	return out
}

func TestTheWebhookSecretIsMadeOnceAndRotatedOnDemandAlone(t *testing.T) {
	there := settled(t, organization(given(firstSecret)))
	generated := world{entropy: 7}
	for range 4 {
		generated = generated.then(t, organization())
	}
	generated.entropy = 9
	aged := generated.after(90 * 24 * time.Hour)

	for name, c := range map[string]struct {
		world world
		xr    *v1alpha1.XOrganization
		want  []string
		why   string
	}{
		"a generated one stays, whatever the next run would have made":    {generated, organization(), []string{random("07")}, ""},
		"a given one that leaves the spec stays":                          {there, organization(), []string{firstSecret}, ""},
		"a given one rotates a generated one":                             {generated, organization(given(firstSecret)), []string{firstSecret, random("07")}, "spec.webhookSecret changed"},
		"another given one rotates it":                                    {there, organization(given(secondSecret)), []string{secondSecret, firstSecret}, "spec.webhookSecret changed"},
		"giving what was generated rotates nothing":                       {generated, organization(given(random("07"))), []string{random("07")}, ""},
		"the annotation rotates":                                          {generated, organization(asking("1")), []string{random("09"), random("07")}, "the annotation platform.aphex/rotate-webhook-secret asks for it"},
		"an empty annotation does not":                                    {generated, organization(asking("")), []string{random("07")}, ""},
		"the annotation does not rotate a given one":                      {there, organization(given(firstSecret), asking("1")), []string{firstSecret}, ""},
		"the annotation rotates one that was given before":                {there, organization(asking("1")), []string{random("00"), firstSecret}, "the annotation platform.aphex/rotate-webhook-secret asks for it"},
		"one that is young enough stays":                                  {aged.after(-time.Second), organization(rotatingEvery("90d")), []string{random("07")}, ""},
		"one that is too old is rotated":                                  {aged, organization(rotatingEvery("90d")), []string{random("0a"), random("07")}, "it was as old as spec.webhookSecretRotation allows"},
		"one that is too old in hours is rotated":                         {aged, organization(rotatingEvery("2160h")), []string{random("0a"), random("07")}, "it was as old as spec.webhookSecretRotation allows"},
		"without an overlap the old one is refused at once":               {generated, organization(asking("1"), overlapping("0h")), []string{random("09")}, "the annotation platform.aphex/rotate-webhook-secret asks for it"},
		"a given one without an overlap is the only one at once":          {there, organization(given(secondSecret), overlapping("0d")), []string{secondSecret}, "spec.webhookSecret changed"},
		"an annotation that is there from the beginning rotates nothing":  {settled(t, organization(asking("1"))), organization(asking("1")), []string{random("00")}, ""},
		"an organization of before, whose Secret has one key, goes on":    {there.edited(func(data, _ map[string]any) { delete(data, "key-1") }), organization(), []string{firstSecret}, ""},
		"what somebody wrote for people to read is put right":             {there.edited(func(data, _ map[string]any) { data["secret"] = encoded(thirdSecret) }), organization(), []string{firstSecret}, ""},
		"one that is too short to be safe is replaced, and not good then": {there.edited(func(data, _ map[string]any) { data["key-1"] = encoded("short") }), organization(), []string{random("00")}, "there was none that is long enough"},
		"an empty one is replaced":                                        {there.edited(func(data, _ map[string]any) { data["key-1"] = "" }), organization(), []string{random("00")}, "there was none that is long enough"},
	} {
		t.Run(name, func(t *testing.T) {
			d := compose(t, c.world, c.xr)
			require.Equal(t, c.want, accepted(t, d))
			if c.why == "" {
				require.Empty(t, events(d))
				return
			}
			require.Len(t, events(d), 1)
			require.Contains(t, events(d)[0], "WebhookSecretRotated: The webhook secret was rotated, since "+c.why+"; the old one is ")
			again := compose(t, c.world.apply(d).after(time.Second), c.xr)
			require.Equal(t, c.want, accepted(t, again), "once")
			require.Equal(t, c.want[0], told(t, again))
			require.Empty(t, events(again))
		})
	}
}

// lost is the world after somebody deleted the webhook secret, and maybe more.
func (w world) lost(also ...string) world {
	return w.keep(func(key string) bool { return key != keyWebhookSecret && !slices.Contains(also, key) })
}

// forgotten is the world whose connection secret is gone too.
func (w world) forgotten() world {
	w.connection = nil
	return w
}

// telling is the claim after what a run told of it.
func telling(t *testing.T, d *object.Desired) func(*v1alpha1.XOrganization) {
	t.Helper()
	told := status(t, d)
	return func(xr *v1alpha1.XOrganization) { xr.Status = told }
}

func TestADeletedSecretComesBackAsItWas(t *testing.T) {
	generated := settled(t, organization())
	first := random("00")
	// turned was rotated by the annotation, and its overlap is over; turning is in it, and has told the new secret.
	turning := generated.after(time.Second).then(t, organization(asking("1"))).then(t, organization(asking("1")))
	turning = turning.then(t, organization(asking("1")))
	turned := turning.after(25*time.Hour).then(t, organization(asking("1"))).then(t, organization(asking("1")))
	second := random("01")
	hinted := func(w world, hint string) world {
		w.connection = map[string][]byte{"webhookSecret": []byte(hint)}
		return w
	}
	active := func(xr *v1alpha1.XOrganization) { xr.Status.Phase = "Active" }
	toldOf := func(w world) func(*v1alpha1.XOrganization) {
		return telling(t, compose(t, w, organization(asking("1"))))
	}

	for name, c := range map[string]struct {
		world world
		xr    *v1alpha1.XOrganization
		want  []string
		event string
	}{
		"a generated one":                    {generated.after(time.Hour).lost(), organization(active), []string{first}, ""},
		"a given one":                        {settled(t, organization(given(firstSecret))).lost(), organization(given(firstSecret), active), []string{firstSecret}, ""},
		"a given one that left the spec":     {settled(t, organization(given(firstSecret))).lost(), organization(active), []string{firstSecret}, ""},
		"one that was rotated stays rotated": {turned.after(time.Hour).lost(), organization(asking("1"), toldOf(turned)), []string{second}, ""},
		"with the namespace, too":            {turned.after(time.Hour).lost(keyNamespace).then(t, organization(asking("1"), toldOf(turned))), organization(asking("1"), toldOf(turned)), []string{second}, ""},
		"without a listener":                 {turned.after(time.Hour).lost(keyListener), organization(asking("1"), toldOf(turned)), []string{second}, ""},
		"what asks for a rotation gets one": {turned.after(time.Hour).lost(), organization(asking("2"), toldOf(turned)), []string{random("03"), second},
			"The webhook secret was rotated, since the annotation platform.aphex/rotate-webhook-secret asks for it; the old one is valid until 2026-01-18T14:00:01Z"},
		"another given one rotates it": {generated.after(time.Hour).lost(), organization(given(firstSecret), active), []string{firstSecret, first},
			"The webhook secret was rotated, since spec.webhookSecret changed; the old one is valid until 2026-01-17T13:00:00Z"},
		"one in an overlap loses the other": {turning.after(time.Hour).lost(), organization(asking("1"), toldOf(turning)), []string{second},
			"The Secret with the webhook secret was deleted and is made again; the old webhook secret, which it had too, is no longer valid"},
		"one that nobody was told yet is not lost for what asked for it": {generated.after(time.Hour).then(t, organization(asking("1"))).lost(), organization(asking("1"), active), []string{random("01"), first},
			"The webhook secret was rotated, since the annotation platform.aphex/rotate-webhook-secret asks for it; the old one is valid until 2026-01-17T13:00:00Z"},
		"one that is kept nowhere is rotated": {generated.after(time.Hour).lost().forgotten(), organization(active), []string{random("01")},
			"The webhook secret was rotated, since it was deleted, and is kept nowhere else; the old one is no longer valid"},
		"so is one of a listener that is ready": {generated.after(time.Hour).lost().forgotten(), organization(), []string{random("01")},
			"The webhook secret was rotated, since it was deleted, and is kept nowhere else; the old one is no longer valid"},
		"and one that is kept too short": {hinted(generated.after(time.Hour).lost(), "short"), organization(active), []string{random("01")},
			"The webhook secret was rotated, since it was deleted, and is kept nowhere else; the old one is no longer valid"},
		"a given one needs no keeping":         {settled(t, organization(given(firstSecret))).lost().forgotten(), organization(given(firstSecret), active), []string{firstSecret}, ""},
		"an organization that never had one":   {generated.lost(keyListener).forgotten(), organization(), []string{first}, ""},
		"an empty annotation asks for nothing": {generated.after(time.Hour).lost(), organization(asking(""), active), []string{first}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := compose(t, c.world, c.xr)
			data := get[corev1.Secret](t, d, keyWebhookSecret).Data
			require.Equal(t, c.want, accepted(t, d))
			if c.event == "" {
				require.Empty(t, events(d))
				require.Equal(t, c.want[0], string(data["secret"]))
			} else {
				require.Equal(t, []string{"WebhookSecretRotated: " + c.event}, events(d))
			}
			next := c.world.apply(d).after(time.Second)
			telling(t, d)(c.xr)
			again := compose(t, next, c.xr)
			require.Equal(t, c.want, accepted(t, again), "once")
			require.Empty(t, events(again))
		})
	}

	t.Run("it is the same object but for its age", func(t *testing.T) {
		xr := organization(asking("1"), toldOf(turned))
		require.Equal(t, compose(t, turned, xr).Resources()[keyWebhookSecret].Object.String(), compose(t, turned.lost(), xr).Resources()[keyWebhookSecret].Object.String())
		require.Equal(t, turned.connection, merged(turned.connection, compose(t, turned.lost(), xr).Connection), "people read the same meanwhile")
	})
	t.Run("what is told of it stays while its namespace is made anew", func(t *testing.T) {
		xr := organization(asking("1"), toldOf(turned))
		require.NotNil(t, xr.Status.WebhookSecret)
		require.Equal(t, xr.Status.WebhookSecret, status(t, compose(t, turned.lost(keyNamespace), xr)).WebhookSecret)
	})
}

func TestTheOverlapEndsInTime(t *testing.T) {
	before := settled(t, organization(given(firstSecret)))
	rotate := func(w world, change ...func(*v1alpha1.XOrganization)) world {
		return w.then(t, organization(append(change, given(secondSecret))...))
	}
	both, second := []string{secondSecret, firstSecret}, []string{secondSecret}
	edited := func(w world, name, value string) world {
		return w.edited(func(_, annotations map[string]any) { annotations["platform.aphex/"+name] = value })
	}
	const rotated = "2026-01-16T12:00:00Z"
	for name, c := range map[string]struct {
		world   world
		overlap string
		want    []string
		rotated string
	}{
		"both are good at once":                             {rotate(before), "", both, rotated},
		"both are good to the last second":                  {rotate(before).after(24*time.Hour - time.Second), "", both, rotated},
		"then the old one is not":                           {rotate(before).after(24 * time.Hour), "", second, rotated},
		"a longer overlap":                                  {rotate(before).after(24 * time.Hour), "2d", both, rotated},
		"a longer overlap that is over":                     {rotate(before).after(48 * time.Hour), "2d", second, rotated},
		"an overlap that is made longer while it lasts":     {rotate(before, overlapping("1h")).after(time.Hour - time.Second), "3h", both, rotated},
		"an overlap that is ended early":                    {rotate(before).after(time.Minute), "0h", second, rotated},
		"a clock that goes a little back":                   {rotate(before.after(time.Minute)).after(-time.Minute), "", both, "2026-01-16T12:01:00Z"},
		"a clock that jumps back does not make it longer":   {rotate(before.after(48 * time.Hour)).after(-48 * time.Hour), "", both, rotated},
		"a time that is none lets it count from the start":  {edited(rotate(before), "rotated-at", "soon").after(time.Hour), "", both, ""},
		"a time that is none does not make it longer":       {edited(rotate(before), "rotated-at", "soon").after(24 * time.Hour), "", second, ""},
		"a time far ahead counts from now":                  {edited(rotate(before), "rotated-at", "9999-01-01T00:00:00Z").after(time.Hour), "", both, "2026-01-16T13:00:00Z"},
		"a time of long ago ends it":                        {edited(rotate(before), "rotated-at", "1970-01-01T00:00:00Z"), "", second, "1970-01-01T00:00:00Z"},
		"an old key that was emptied by hand is not good":   {rotate(before).edited(func(data, _ map[string]any) { data["key-1"] = "" }), "", second, rotated},
		"an old key that was shortened by hand is not good": {rotate(before).edited(func(data, _ map[string]any) { data["key-1"] = encoded("short") }), "", second, rotated},
		"an old key that was made equal by hand is not there twice": {
			rotate(before).edited(func(data, _ map[string]any) { data["key-1"] = encoded(secondSecret) }), "", second, rotated,
		},
		"keys that somebody added are not good": {rotate(before).edited(func(data, _ map[string]any) {
			data["previous"], data["key-0"], data["key-03"], data["key-9999999999"] = encoded(thirdSecret), encoded(thirdSecret), encoded(thirdSecret), encoded(thirdSecret)
		}), "", both, rotated},
	} {
		t.Run(name, func(t *testing.T) {
			xr := organization(given(secondSecret), overlapping(c.overlap))
			d := compose(t, c.world, xr)
			require.Equal(t, c.want, accepted(t, d))
			require.Equal(t, c.rotated, get[corev1.Secret](t, d, keyWebhookSecret).Annotations["platform.aphex/rotated-at"])
			require.Empty(t, events(d))
			require.Equal(t, len(c.want) == 2, !d.RunsAgainAt().IsZero())
			if len(c.want) == 2 {
				last := c.world.apply(d)
				last.passed = d.RunsAgainAt().Sub(noon)
				require.Equal(t, second, accepted(t, compose(t, last, xr)), "the run that it asked for ends it")
			}
		})
	}
}

func TestARotationDuringAnOverlapEndsIt(t *testing.T) {
	w := settled(t, organization(given(firstSecret))).then(t, organization(given(secondSecret)))
	w = w.then(t, organization(given(secondSecret))).after(time.Hour)
	d := compose(t, w, organization(given(thirdSecret)))
	require.Equal(t, []string{thirdSecret, secondSecret}, accepted(t, d))
	require.Equal(t, secondSecret, told(t, d), "the listener does not know the third one yet")
	require.Equal(t, "2026-01-17T13:00:00Z", status(t, d).WebhookSecret.PreviousValidUntil)
	back := compose(t, w, organization(given(firstSecret)))
	require.Equal(t, []string{firstSecret, secondSecret}, accepted(t, back), "the one before may come back")
}

func TestNoDataKeyEverChangesItsValue(t *testing.T) {
	w, seen := settled(t, organization(given(firstSecret))), map[string]string{}
	for _, secret := range []string{firstSecret, secondSecret, thirdSecret, firstSecret} {
		for range 2 {
			d := compose(t, w, organization(given(secret)))
			for name, value := range get[corev1.Secret](t, d, keyWebhookSecret).Data {
				if name != "secret" {
					require.Equal(t, string(value), *cached(seen, name, string(value)), "Tekton would take the old value of %s for some more seconds", name)
				}
			}
			w = w.apply(d).after(time.Minute)
		}
	}
	require.Equal(t, []string{"key-1", "key-2", "key-3", "key-4"}, slices.Sorted(maps.Keys(seen)))
}

// cached is the first value that a name had.
func cached(seen map[string]string, name, value string) *string {
	if _, ok := seen[name]; !ok {
		seen[name] = value
	}
	return new(seen[name])
}

func TestASecretIsAnnouncedOnceTheListenerChecksIt(t *testing.T) {
	before := settled(t, organization(given(firstSecret)))
	xr := organization(given(secondSecret))
	rotating := compose(t, before, xr)
	require.Equal(t, firstSecret, told(t, rotating))

	half := before.apply(rotating)
	half.composed[keyListener] = before.composed[keyListener]
	require.Equal(t, firstSecret, told(t, compose(t, half, xr)), "the Secret is written, the listener is not")
	require.Equal(t, secondSecret, told(t, compose(t, before.apply(rotating), xr)))

	deaf := half.keep(func(k string) bool { return k != keyListener })
	require.Equal(t, secondSecret, told(t, compose(t, deaf, xr)), "where there is no listener, there is nothing to wait for")
	require.Equal(t, secondSecret, told(t, compose(t, half.after(24*time.Hour), xr)), "the old one is not valid any more")
}

func TestTheConnectionSecretHoldsWhatDeliveriesAreCheckedWith(t *testing.T) {
	url := []byte("https://acme-corp.arbiter-dev.com")
	fresh := compose(t, world{}, organization(given(firstSecret)))
	require.Equal(t, map[string][]byte{"webhookURL": url}, fresh.Connection)

	w, xr := settled(t, organization(given(firstSecret))), organization(given(secondSecret))
	var said []string
	for range 3 {
		d := compose(t, w, xr)
		require.Len(t, d.Connection, 2)
		said = append(said, string(d.Connection["webhookSecret"]))
		w = w.apply(d)
	}
	require.Equal(t, []string{firstSecret, firstSecret, secondSecret}, said, "first both are accepted, then it is stored, then it is told")
}

func TestTheStatusTellsOfRotations(t *testing.T) {
	w := settled(t, organization())
	require.Nil(t, status(t, compose(t, w, organization())).WebhookSecret)
	require.Nil(t, status(t, compose(t, world{}, organization(rotatingEvery("90d")))).WebhookSecret, "there is no secret yet")
	require.Equal(t, &v1alpha1.WebhookSecretStatus{NextRotation: "2026-04-16T12:00:00Z"},
		status(t, compose(t, w, organization(rotatingEvery("90d")))).WebhookSecret)

	xr := organization(rotatingEvery("90d"))
	aged := w.after(100 * 24 * time.Hour)
	d := compose(t, aged, xr)
	want := &v1alpha1.WebhookSecretStatus{
		LastRotated: "2026-04-26T12:00:00Z", PreviousValidUntil: "2026-04-27T12:00:00Z", NextRotation: "2026-07-25T12:00:00Z",
	}
	require.Equal(t, want, status(t, d).WebhookSecret)
	require.Equal(t, []string{"WebhookSecretRotated: The webhook secret was rotated, since it was as old as spec.webhookSecretRotation allows; " +
		"the old one is valid until 2026-04-27T12:00:00Z"}, events(d))
	require.Equal(t, noon.Add(101*24*time.Hour), d.RunsAgainAt())

	later := compose(t, aged.apply(d).after(time.Hour), xr)
	require.Equal(t, want, status(t, later).WebhookSecret, "it does not change from run to run")
	over := compose(t, aged.apply(d).after(24*time.Hour), xr)
	want.PreviousValidUntil = ""
	require.Equal(t, want, status(t, over).WebhookSecret)
	require.Equal(t, noon.Add(190*24*time.Hour), over.RunsAgainAt())
}

func TestAnAnnotationThatCannotDoAnythingSaysSoAndNeverDoes(t *testing.T) {
	const ignored = allDone + "; the annotation platform.aphex/rotate-webhook-secret does nothing while spec.webhookSecret gives the secret"
	w, xr := settled(t, organization(given(firstSecret))), organization(given(firstSecret), asking("1"))
	for range 3 {
		d := compose(t, w, xr)
		require.Equal(t, ignored, d.Message)
		require.Empty(t, events(d))
		w = w.apply(d).after(time.Minute)
	}

	weeksLater := w.after(30 * 24 * time.Hour)
	for range 2 {
		d := compose(t, weeksLater, organization(asking("1")))
		require.Equal(t, []string{firstSecret}, accepted(t, d), "taking a given secret out keeps it")
		require.Equal(t, allDone, d.Message)
		weeksLater = weeksLater.apply(d)
	}
	require.Equal(t, []string{firstSecret}, accepted(t, compose(t, weeksLater.lost(), organization(asking("1")))), "nor when it has to be made again")
	d := compose(t, weeksLater, organization(asking("2")))
	require.Len(t, accepted(t, d), 2, "another value rotates")
	require.NotContains(t, get[corev1.Secret](t, d, keyWebhookSecret).Annotations, "platform.aphex/ignored-rotation-hash")

	d = compose(t, w, organization(given(secondSecret), asking("2")))
	require.Equal(t, allDone, d.Message, "what it asks for is done")
	require.Equal(t, allDone, compose(t, w.apply(d), organization(given(secondSecret), asking("2"))).Message)
}

func TestSuspendStopsWhatEitherKeySigned(t *testing.T) {
	w := settled(t, organization(given(firstSecret)))
	groups := get[tekton.EventListener](t, compose(t, w, organization(given(secondSecret), suspended)), keyListener).Spec.TriggerGroups
	require.Len(t, groups, 2)
	for _, group := range groups {
		require.Len(t, group.Interceptors, 2)
		require.Equal(t, tekton.ClusterInterceptor("cel", tekton.InterceptorParam{Name: "filter", Value: "false"}), group.Interceptors[1])
	}
}
