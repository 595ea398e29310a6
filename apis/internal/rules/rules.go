// Package rules holds what the Validate methods of our APIs share. They repeat in Go what the XRDs' schemas say, for
// objects that no API server has checked, such as those that are rendered offline.
package rules

import (
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"
)

// Problems collects what is wrong, as "<path>: <what is allowed>".
type Problems []string

// Sorted is the list in an order that does not depend on the checks', without duplicates.
func (p Problems) Sorted() []string {
	return slices.Compact(slices.Sorted(slices.Values(p)))
}

// Add reports a problem if the condition does not hold.
func (p *Problems) Add(ok bool, path, message string) {
	if !ok {
		*p = append(*p, path+": "+message)
	}
}

// Text checks a required string: its length in characters, and its pattern unless that is nil.
func (p *Problems) Text(path, value string, maxLength int, pattern *regexp.Regexp, message string) {
	if value == "" {
		p.Add(false, path, "is required")
		return
	}
	p.Add(utf8.RuneCountInString(value) <= maxLength, path, fmt.Sprintf("must have at most %d characters", maxLength))
	if pattern != nil {
		p.Add(pattern.MatchString(value), path, message)
	}
}

// Count checks the length of a list.
func (p *Problems) Count(path string, n, atLeast, atMost int) {
	p.Add(n >= atLeast && n <= atMost, path, fmt.Sprintf("must have %d to %d items", atLeast, atMost))
}

// DNSLabel matches names that may become a namespace or a part of a host name.
var DNSLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

var badBranch = regexp.MustCompile(`[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/]|^refs/|[/.]$|(^|/)\.|\.lock(/|$)`)

// Branch checks a branch name by the rules of git check-ref-format.
func (p *Problems) Branch(path, value string) {
	p.Add(utf8.RuneCountInString(value) <= 244, path, "must have at most 244 characters")
	p.Add(value != "@" && value != "HEAD" && !badBranch.MatchString(value), path,
		`must be a branch name that git accepts, such as "main" or "release/1.2": no blanks, control characters or any of ~ ^ : ? * [ \, `+
			`no "..", "@{" or "//", no part that starts with "." or ends with ".lock", no "-", "/" or "refs/" at the start, `+
			`no "/" or "." at the end, not "@" or "HEAD"`)
}
