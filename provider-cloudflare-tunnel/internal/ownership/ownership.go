// Package ownership says whether something at Cloudflare belongs to one of our objects. It decides; what is then done,
// or left alone, is up to the controllers.
//
// A DNS record carries its mark in its comment (cloudflare.Mark). A tunnel has no field for one, so its secret carries
// it: 32 random bytes, which make it a secret, then a mark of 32 bytes that says for which object it was made and when.
// Cloudflare takes any secret of at least 32 bytes, keeps it, and gives it back to whoever may edit the tunnel. So:
//
//   - The mark is set by the very request that makes the tunnel. There is no moment in which a tunnel of ours has none,
//     and nothing has to be stored before or after the request for the next process to find the tunnel and know it.
//   - A Kubernetes uid is used once, in any cluster. Two installations that share an account see each other's marks as
//     those of somebody else.
//   - Nobody puts our mark into a secret by accident, and who does it on purpose may edit that tunnel anyway.
//   - It counts rotations and has the time of the last, so that a rotation happens once: a secret that was made since
//     it was asked for needs none, also if the process died between changing it and writing that down.
package ownership

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
)

// A tunnel's secret is random bytes, magic, how often the tunnel's secret was replaced, the owner's uid, and the Unix time
// at which this secret was made.
const (
	magic = "aphex1"

	randomBytes = 32
	countAt     = randomBytes + len(magic)
	uidAt       = countAt + 2
	timeAt      = uidAt + 16
	secretBytes = timeAt + 8
)

// Mark says to whom something at Cloudflare belongs. The zero Mark means that it does not say.
type Mark struct {
	// Owner is the uid of the object in Kubernetes, 32 lower-case hexadecimal digits.
	Owner string
	// MadeAt is when a tunnel's secret was made, and Rotations how many there were before it. Records do not say.
	MadeAt    time.Time
	Rotations uint16
}

// NewTunnelSecret makes a secret for the tunnel of the object with that uid, after so many rotations.
func NewTunnelSecret(owner types.UID, rotations uint16, now time.Time, random io.Reader) (cloudflare.Secret, error) {
	uid, err := hex.DecodeString(digits(owner))
	if err != nil || len(uid) != timeAt-uidAt {
		return nil, fmt.Errorf("the uid %q is not a UUID", owner)
	}
	secret := make([]byte, randomBytes, secretBytes)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, fmt.Errorf("make a tunnel secret: %w", err)
	}
	secret = append(secret, magic...)
	secret = binary.BigEndian.AppendUint16(secret, rotations)
	secret = append(secret, uid...)
	return binary.BigEndian.AppendUint64(secret, uint64(now.Unix())), nil
}

// OfTunnel is the mark in a tunnel's secret.
func OfTunnel(s cloudflare.Secret) Mark {
	if len(s) != secretBytes || !bytes.HasPrefix(s[randomBytes:], []byte(magic)) {
		return Mark{}
	}
	return Mark{
		Owner:     hex.EncodeToString(s[uidAt:timeAt]),
		MadeAt:    time.Unix(int64(binary.BigEndian.Uint64(s[timeAt:])), 0).UTC(),
		Rotations: binary.BigEndian.Uint16(s[countAt:]),
	}
}

// OfRecord is the mark in a record's comment.
func OfRecord(r cloudflare.Record) Mark {
	m, _, ok := cloudflare.ParseMark(r.Comment)
	if !ok {
		return Mark{}
	}
	_, owner, _ := strings.Cut(string(m), ":")
	return Mark{Owner: owner}
}

// Verdict says whose something is.
type Verdict string

// The verdicts.
const (
	// Ours means that this very object made it, or was told to take it over.
	Ours Verdict = "ours"
	// Marked means that it belongs to another object.
	Marked Verdict = "marked for another object"
	// Unmarked means that somebody else made it.
	Unmarked Verdict = "not made by this provider"
)

// Judge says whose something is. Named means that the object names it by id, in its external name: it wrote the id down
// when it made it, or a user did to have it taken over. That is enough unless it carries another object's mark.
func Judge(m Mark, self types.UID, named bool) Verdict {
	switch {
	case m.Owner != "" && m.Owner == digits(self):
		return Ours
	case m.Owner != "":
		return Marked
	case named:
		return Ours
	}
	return Unmarked
}

func digits(uid types.UID) string {
	return strings.ToLower(strings.ReplaceAll(string(uid), "-", ""))
}
