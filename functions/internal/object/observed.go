package object

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Identity names a composite resource the way its users do.
type Identity struct {
	// Kind and Name are the claim's, or the XR's own where it was created directly.
	Kind, Name string
	// Namespace is the claim's, empty where the XR was created directly.
	Namespace string
	// XR is the composite resource's own name, UID its unique id (empty in a render without a cluster).
	XR, UID string
}

// String is "Kind namespace/name", as messages name it.
func (id Identity) String() string { return Ref(id.Kind, id.Namespace, id.Name) }

// Ref names an object in a message: "Kind namespace/name" or "Kind name".
func Ref(kind, namespace, name string) string {
	if namespace == "" {
		return kind + " " + name
	}
	return kind + " " + namespace + "/" + name
}

// Selector says which objects a lookup is about: one by name, or all of a kind with these labels.
type Selector struct {
	APIVersion, Kind string
	// Namespace is empty for a cluster-scoped object, and for a lookup by labels in all namespaces.
	Namespace string
	Name      string
	Labels    map[string]string
}

// key names the lookup in the requirements of the answer. It is the same on every run, as Crossplane demands.
func (s Selector) key() string {
	k := strings.Join([]string{s.APIVersion, s.Kind, s.Namespace, s.Name}, "/")
	for _, l := range slices.Sorted(maps.Keys(s.Labels)) {
		k += "," + l + "=" + s.Labels[l]
	}
	return k
}

// Observed is all that a function knows of the cluster: its own composed resources, and the neighbours that it looks up.
// A lookup is also a requirement: Crossplane watches the object and runs the function again when it changes.
type Observed struct {
	// Identity names the composite resource.
	Identity Identity
	// Now is the time of the request: in UTC, and to the second, which is as exact as what is written down of it. Only what
	// is due at a time may depend on it, and asks for its run with Desired.RunAgainAt.
	Now time.Time
	// Offline is set where not even the XR's own CRD can be seen: a render without a cluster. All neighbours are then
	// taken for present. See Served.
	Offline bool
	// Connection is what Crossplane keeps in the XR's connection secret: what earlier runs gave as Desired.Connection. It is
	// empty where that secret may be somebody else's.
	Connection map[string][]byte
	// Image is where this very program is published, for Jobs that run it too: they then understand what they are told,
	// whichever release this is. Empty where the program is no part of a package.
	Image string

	composed map[string]Object
	required map[string][]Object
	entropy  io.Reader

	lookups map[string]Selector
	pending bool
}

// NewObserved makes what a function sees: composed resources by their key, and the answers to lookups by the keys
// that Lookups gives. Entropy is read only by NewSecret.
func NewObserved(id Identity, composed map[string]Object, required map[string][]Object, entropy io.Reader) *Observed {
	return &Observed{
		Identity: id, composed: composed, required: required, entropy: entropy,
		lookups: make(map[string]Selector),
	}
}

// Composed is the composed resource of that key as it is in the cluster.
func (o *Observed) Composed(key string) Object { return o.composed[key] }

// Elsewhere is the composed object of that key if it is in another namespace than the wanted one, a metav1.Object, and which that
// is. Crossplane leaves it where it is, so it has to go before it is made anew.
func (o *Observed) Elsewhere(key string, want any) (ref, to string) {
	have := o.composed[key]
	wanted, typed := want.(metav1.Object)
	if !typed || !have.Exists() || have.Namespace() == wanted.GetNamespace() {
		return "", ""
	}
	return Ref(have.Kind(), have.Namespace(), have.Name()), wanted.GetNamespace()
}

// ComposedKeys are the keys of all observed composed resources, sorted.
func (o *Observed) ComposedKeys() []string { return slices.Sorted(maps.Keys(o.composed)) }

// Get looks one object up by name. Looking up a kind that the API server does not serve fails the whole run, so ask
// Served first where a kind is optional.
func (o *Observed) Get(apiVersion, kind, namespace, name string) Object {
	items := o.find(Selector{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name})
	if len(items) == 0 {
		return Object{}
	}
	return items[0]
}

// Foreign looks up the object that would be in the way of the composed resource of that key: one of its name that this XR
// does not control.
func (o *Observed) Foreign(key, apiVersion, kind, namespace, name string) Object {
	have := o.Get(apiVersion, kind, namespace, name)
	if _, _, uid := have.Controller(); o.Composed(key).Exists() || uid != "" && uid == o.Identity.UID {
		return Object{}
	}
	return have
}

// List looks up all objects of a kind with these labels, in all namespaces, sorted by namespace and name. Without labels
// that is every object of the kind.
func (o *Observed) List(apiVersion, kind string, labels map[string]string) []Object {
	return o.find(Selector{APIVersion: apiVersion, Kind: kind, Labels: labels})
}

// Served tells whether the API server serves a custom resource. The CRD is named <plural>.<group>. An object of the
// kind that was observed is proof enough, and spares the CRD, whose schema can be larger than all the rest of a request.
func (o *Observed) Served(crd, version string) bool {
	if o.composedOf(crd, version) {
		return true
	}
	c := o.Get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", crd)
	if o.Offline {
		return true
	}
	if c.Condition("Established").Status != True || c.Deleting() {
		return false
	}
	return slices.ContainsFunc(c.List("spec", "versions"), func(v Object) bool {
		return v.String("name") == version && v.Bool("served")
	})
}

// composedOf tells whether an observed composed resource is of that CRD. A plural that is not the kind and an s is not
// recognised, which costs a lookup.
func (o *Observed) composedOf(crd, version string) bool {
	plural, group, _ := strings.Cut(crd, ".")
	for _, c := range o.composed {
		if c.String("apiVersion") == group+"/"+version && strings.ToLower(c.Kind())+"s" == plural {
			return true
		}
	}
	return false
}

func (o *Observed) find(s Selector) []Object {
	key := s.key()
	o.lookups[key] = s
	items, ok := o.required[key]
	if !ok {
		o.pending = true
	}
	return items
}

// Pending tells whether a lookup is still unanswered. What a function makes of such a run is not used: Crossplane
// answers the lookups and calls again.
func (o *Observed) Pending() bool { return o.pending }

// Lookups are all lookups made so far, by their key.
func (o *Observed) Lookups() map[string]Selector { return o.lookups }

// NewSecret makes a secret of n random bytes, in hex. It is the one thing in a run that differs from the next; a
// caller stores it in a composed object and reads it back ever after.
func (o *Observed) NewSecret(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(o.entropy, b); err != nil {
		return "", fmt.Errorf("generate a secret of %d bytes: %w", n, err)
	}
	return hex.EncodeToString(b), nil
}

// Hash is a short fingerprint, for annotations that roll a Deployment when what it mounts changes.
func Hash(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:", len(p)) // a hash takes everything
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
