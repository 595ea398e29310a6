package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/organization/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

const (
	// minWebhookSecret is how short a secret may be. The github interceptor would take even an empty one for good.
	minWebhookSecret = 16
	// clockSkew is how far the clock of the run that rotated may have been ahead of this run's.
	clockSkew = 5 * time.Minute
)

// webhookKey is one version of the webhook secret.
type webhookKey struct {
	version int
	value   string
}

// keyring is what deliveries are checked with. Each version of the secret has a data key of its own whose value never
// changes, and a trigger group of its own. If a rotation changed the value of a data key instead, the group of that key
// would take the old secret for some more seconds, since Tekton's interceptors cache it, and so would the group of the
// previous one: every delivery would start two runs.
type keyring struct {
	current webhookKey
	// previous is good too until the overlap is over; its version is 0 if there is none.
	previous webhookKey
	// announced is what to enter in GitHub: the current secret, once every listener is seen to check it.
	announced string
	// rotatedAt is zero before the first rotation; since is then when the Secret was made, which its age counts from.
	rotatedAt, since time.Time
	// handled is the fingerprint of the last value of the annotation that asks for a rotation. Of one that could not rotate,
	// since the secret is given, it is ignored.
	handled, ignored string
	// remembered is the fingerprint that outlives the Secret: it follows once what it asked for is stored and told.
	remembered string
	// why is set by the run that rotates, cut by the one that lost the previous secret.
	why string
	cut bool
}

// webhookKeys are those that exist, rotated if that is due. The first secret is the given one, else a random one. Taking
// a given secret out of the spec keeps it.
func webhookKeys(xr *v1alpha1.XOrganization, seen *object.Observed) (keyring, error) {
	have := seen.Composed(keyWebhookSecret)
	k := observedKeys(have, seen.Now)
	if !have.Exists() {
		k = keptKeys(xr, seen)
	}
	switch {
	case have.Exists() || k.current.value != "":
		k.why = k.due(xr, seen.Now)
	case xr.Spec.WebhookSecret == "" && hadSecret(xr, seen):
		k.why = "it was deleted, and is kept nowhere else"
	}
	if k.current.value == "" || k.why != "" {
		value, err := newWebhookSecret(xr, seen)
		if err != nil {
			return keyring{}, err
		}
		k.replace(value, xr)
	}
	if k.why != "" {
		k.rotatedAt, k.since = seen.Now, seen.Now
	}
	if xr.Spec.WebhookSecret != "" && k.asked(xr) {
		k.ignored = request(xr)
	}
	if !seen.Now.Before(k.previousUntil(xr)) {
		k.previous = webhookKey{}
	}
	k.announce(seen)
	k.remember(seen)
	return k, nil
}

func newWebhookSecret(xr *v1alpha1.XOrganization, seen *object.Observed) (string, error) {
	if given := xr.Spec.WebhookSecret; given != "" {
		return given, nil
	}
	return seen.NewSecret(32)
}

// observedKeys reads the keyring out of its Secret. What somebody put there that cannot be right is as if absent, except
// for a time to come, which becomes now: the age of a secret then counts from now at the latest.
func observedKeys(secret object.Object, now time.Time) keyring {
	k := keyring{
		since:     parseTime(secret.String("metadata", "creationTimestamp")),
		rotatedAt: parseTime(secret.Annotation(rotatedAtAnnotation)),
		handled:   secret.Annotation(handledRotationAnnotation),
		ignored:   secret.Annotation(ignoredRotationAnnotation),
	}
	if k.rotatedAt.After(now.Add(clockSkew)) {
		k.rotatedAt = now
	}
	if !k.rotatedAt.IsZero() {
		k.since = k.rotatedAt
	}

	var keys []webhookKey
	for _, name := range secret.Field("data").Keys() {
		if version := webhookKeyVersion(name); version > 0 {
			keys = append(keys, webhookKey{version: version, value: string(secret.SecretData(name))})
		}
	}
	if len(keys) == 0 && secret.SecretData(webhookSecretKey) != nil {
		keys = []webhookKey{{version: 1, value: string(secret.SecretData(webhookSecretKey))}}
	}
	slices.SortFunc(keys, func(a, b webhookKey) int { return b.version - a.version })
	if len(keys) > 0 {
		k.current.version = keys[0].version
	}
	keys = slices.DeleteFunc(keys, func(key webhookKey) bool { return len(key.value) < minWebhookSecret })
	if len(keys) > 0 {
		k.current = keys[0]
	}
	if len(keys) > 1 && keys[1].value != keys[0].value {
		k.previous = keys[1]
	}
	return k
}

// keptKeys are what is still known of a Secret that is not there: nothing before it is made, and of one that was deleted the
// secret that people were told, which Crossplane keeps for the connection secrets. It is a version of its own unless the
// listener checks just one, so that no data key changes its value.
func keptKeys(xr *v1alpha1.XOrganization, seen *object.Observed) keyring {
	k := keyring{handled: request(xr)}
	if namespace := seen.Composed(keyNamespace); namespace.Exists() {
		k.handled = namespace.Annotation(handledRotationAnnotation)
	}
	versions := checkedVersions(seen)
	if len(versions) > 0 {
		k.current.version = versions[len(versions)-1]
	}
	value := string(seen.Connection[v1alpha1.ConnectionKeyWebhookSecret])
	if len(value) < minWebhookSecret {
		return k
	}
	if len(versions) != 1 {
		k.current.version++
	}
	k.current.value = value
	if told := xr.Status.WebhookSecret; told != nil {
		k.rotatedAt = parseTime(told.LastRotated)
		k.since = k.rotatedAt
		k.cut = seen.Now.Before(parseTime(told.PreviousValidUntil))
	}
	return k
}

// hadSecret tells whether the organization had a secret before. A listener gets ready beside its first one.
func hadSecret(xr *v1alpha1.XOrganization, seen *object.Observed) bool {
	return xr.Status.Phase == v1alpha1.PhaseActive || xr.Status.WebhookSecret != nil ||
		seen.Composed(keyListener).Condition("Ready").Status == object.True
}

// due says why the secret has to be rotated now, and nothing if it has not. A given secret is rotated by giving another.
func (k *keyring) due(xr *v1alpha1.XOrganization, now time.Time) string {
	given, next := xr.Spec.WebhookSecret, k.nextRotation(xr)
	switch {
	case k.current.value == "":
		return "there was none that is long enough"
	case given == k.current.value:
		return ""
	case given != "":
		return "spec.webhookSecret changed"
	case k.asked(xr):
		return "the annotation " + rotateAnnotation + " asks for it"
	case !next.IsZero() && !now.Before(next):
		return "it was as old as spec.webhookSecretRotation allows"
	default:
		return ""
	}
}

// request is the fingerprint of the annotation that asks for a rotation, empty if there is none.
func request(xr *v1alpha1.XOrganization) string {
	if value := xr.Annotations[rotateAnnotation]; value != "" {
		return object.Hash([]byte(value))
	}
	return ""
}

// asked tells whether the annotation has a value that was not there yet.
func (k *keyring) asked(xr *v1alpha1.XOrganization) bool {
	return request(xr) != "" && request(xr) != k.handled && !k.ignores(xr)
}

// ignores tells whether the annotation has a value that came while the secret was given.
func (k *keyring) ignores(xr *v1alpha1.XOrganization) bool {
	return request(xr) != "" && request(xr) == k.ignored
}

// replace makes a secret the current one. What asked for a rotation by now has got it.
func (k *keyring) replace(value string, xr *v1alpha1.XOrganization) {
	if k.current.value != "" {
		k.previous = k.current
	}
	k.current, k.ignored = webhookKey{version: k.current.version + 1, value: value}, ""
	k.handled = cmp.Or(request(xr), k.handled)
}

// previousUntil is the end of the overlap.
func (k *keyring) previousUntil(xr *v1alpha1.XOrganization) time.Time {
	return k.since.Add(xr.Spec.Overlap())
}

// nextRotation is when the current secret is too old, zero for never.
func (k *keyring) nextRotation(xr *v1alpha1.XOrganization) time.Time {
	rotation := xr.Spec.Rotation()
	if rotation == 0 || k.since.IsZero() {
		return time.Time{}
	}
	return k.since.Add(rotation)
}

// announce decides which secret people are told.
func (k *keyring) announce(seen *object.Observed) {
	k.announced = k.current.value
	for _, key := range listenerKeys(seen) {
		if k.previous.version > 0 && !checks(seen.Composed(key), k.current) {
			k.announced = k.previous.value
		}
	}
}

// checks tells whether a listener takes what was signed with a key.
func checks(listener object.Object, key webhookKey) bool {
	return slices.Contains(secretKeys(listener), webhookKeyName(key.version))
}

// checkedVersions are those that any listener checks, sorted.
func checkedVersions(seen *object.Observed) []int {
	var versions []int
	for _, key := range listenerKeys(seen) {
		for _, name := range secretKeys(seen.Composed(key)) {
			if version := webhookKeyVersion(name); version > 0 {
				versions = append(versions, version)
			}
		}
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

// listenerKeys are the keys of all listeners that there are.
func listenerKeys(seen *object.Observed) []string {
	return slices.DeleteFunc(seen.ComposedKeys(), func(key string) bool {
		return key != keyListener && !strings.HasPrefix(key, keyListenerShard)
	})
}

// secretKeys are the data keys of the Secret that a listener checks deliveries with.
func secretKeys(listener object.Object) []string {
	var keys []string
	for _, group := range listener.List("spec", "triggerGroups") {
		for _, interceptor := range group.List("interceptors") {
			for _, param := range interceptor.List("params") {
				if key := param.String("value", "secretKey"); key != "" {
					keys = append(keys, key)
				}
			}
		}
	}
	return keys
}

// remember decides what is known once the Secret is gone. Until people were told the current secret, only the one of before
// could come back, and then what asked for this one has to ask again.
func (k *keyring) remember(seen *object.Observed) {
	namespace := seen.Composed(keyNamespace)
	stored := string(seen.Composed(keyWebhookSecret).SecretData(webhookSecretKey))
	switch {
	case !namespace.Exists() || stored == k.current.value:
		k.remembered = cmp.Or(k.ignored, k.handled)
	default:
		k.remembered = namespace.Annotation(handledRotationAnnotation)
	}
}

// all are the keys that deliveries may be signed with.
func (k *keyring) all() []webhookKey {
	if k.previous.version == 0 {
		return []webhookKey{k.current}
	}
	return []webhookKey{k.current, k.previous}
}

func webhookSecret(k *keyring, n names) *corev1.Secret {
	meta := n.Meta(webhookSecretName)
	meta.Annotations = map[string]string{}
	if !k.rotatedAt.IsZero() {
		meta.Annotations[rotatedAtAnnotation] = k.rotatedAt.Format(time.RFC3339)
	}
	if k.handled != "" {
		meta.Annotations[handledRotationAnnotation] = k.handled
	}
	if k.ignored != "" {
		meta.Annotations[ignoredRotationAnnotation] = k.ignored
	}
	data := map[string][]byte{webhookSecretKey: []byte(k.announced)}
	for _, key := range k.all() {
		data[webhookKeyName(key.version)] = []byte(key.value)
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta,
		Data:       data,
		Type:       corev1.SecretTypeOpaque,
	}
}

// tell reports a rotation, and asks for the runs that its next steps need.
func (k *keyring) tell(d *object.Desired, xr *v1alpha1.XOrganization) *v1alpha1.WebhookSecretStatus {
	status := &v1alpha1.WebhookSecretStatus{}
	if !k.rotatedAt.IsZero() {
		status.LastRotated = k.rotatedAt.Format(time.RFC3339)
	}
	old := "the old one is no longer valid"
	if k.previous.version > 0 {
		until := k.previousUntil(xr)
		d.RunAgainAt(until)
		status.PreviousValidUntil = until.Format(time.RFC3339)
		old = "the old one is valid until " + status.PreviousValidUntil
	}
	if next := k.nextRotation(xr); !next.IsZero() {
		d.RunAgainAt(next)
		status.NextRotation = next.Format(time.RFC3339)
	}
	switch {
	case k.why != "":
		d.Event("WebhookSecretRotated", fmt.Sprintf("The webhook secret was rotated, since %s; %s", k.why, old))
	case k.cut:
		d.Event("WebhookSecretRotated", "The Secret with the webhook secret was deleted and is made again; the old webhook secret, which it had too, is no longer valid")
	}
	if *status == (v1alpha1.WebhookSecretStatus{}) {
		return nil
	}
	return status
}

// parseTime is zero for what is not a time.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
