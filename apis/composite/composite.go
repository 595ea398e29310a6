// Package composite holds the fields that Crossplane adds to the spec of a composite resource (XR) and that the
// functions read. They are not part of any XRD here: Crossplane adds them when it turns an XRD into a CRD.
package composite

// Machinery is embedded in the spec of each XR.
type Machinery struct {
	// ClaimRef names the claim that this XR was made for. It is nil for an XR that was created directly.
	ClaimRef *ClaimReference `json:"claimRef,omitempty"`
}

// ClaimReference names a claim.
type ClaimReference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}
