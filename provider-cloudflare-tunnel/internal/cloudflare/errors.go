package cloudflare

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what went wrong, as far as it decides what to do about it. Compare with errors.Is:
//
//	errors.Is(err, cloudflare.ErrNotFound)
type Kind string

// Error makes a Kind a target of errors.Is.
func (k Kind) Error() string { return string(k) }

// The kinds of errors.
const (
	// ErrNotFound means that the object does not exist, or is a deleted tunnel.
	ErrNotFound Kind = "not found"
	// ErrConflict means that the name is taken.
	ErrConflict Kind = "the name is taken"
	// ErrUnauthorized means that the API token is none, or expired, or disabled.
	ErrUnauthorized Kind = "the API token does not work"
	// ErrForbidden means that the API token lacks a permission, or may not use this account or zone.
	ErrForbidden Kind = "the API token lacks a permission"
	// ErrThrottled means that the request budget is used up, see Error.RetryAfter.
	ErrThrottled Kind = "the request budget is used up"
	// ErrInvalid means that Cloudflare refuses what was asked for, and will again.
	ErrInvalid Kind = "refused as invalid"
	// ErrConnectionsActive means that connectors are still connected to the tunnel.
	ErrConnectionsActive Kind = "the tunnel has active connections"
	// ErrRoutesActive means that private network routes lead into the tunnel.
	ErrRoutesActive Kind = "the tunnel has private routes"
	// ErrUnavailable means that there was no answer, or none that can be trusted. Whether a write was carried out is
	// unknown.
	ErrUnavailable Kind = "Cloudflare is not available"
)

// Error is an answer that is not a success. It never holds a token or a secret.
type Error struct {
	Kind Kind
	// Op is the call, such as "create tunnel".
	Op string
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// Code and Message are Cloudflare's own, of the first error in the answer.
	Code    int
	Message string
	// RetryAfter is set with ErrThrottled.
	RetryAfter time.Duration
}

// Error is one line: what was asked, what is wrong, and Cloudflare's words.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	b.WriteString(string(e.Kind))
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	switch {
	case e.Code != 0:
		fmt.Fprintf(&b, " (code %d)", e.Code)
	case e.Status != 0:
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "; next try in %s", e.RetryAfter.Round(time.Second))
	}
	return b.String()
}

// Is matches the error's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// RetryAfter says how long to wait where err is ErrThrottled.
func RetryAfter(err error) (time.Duration, bool) {
	var e *Error
	if errors.As(err, &e) && e.Kind == ErrThrottled {
		return e.RetryAfter, true
	}
	return 0, false
}
