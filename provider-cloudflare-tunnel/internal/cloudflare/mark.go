package cloudflare

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mark is the sign of ownership in a record's comment: "aphex:" and the uid of the Kubernetes object that the record
// belongs to, without hyphens. A uid is never used twice, in any cluster, so that two installations that share a zone
// do not mistake each other's records for their own.
type Mark string

const (
	markPrefix = "aphex:"
	uidDigits  = 32
	// maxComment is what Cloudflare's free plan allows; counting bytes keeps below it however it counts.
	maxComment = 100
)

// MarkFor is the mark of the object with that uid.
func MarkFor(uid string) Mark {
	return Mark(markPrefix + strings.ToLower(strings.ReplaceAll(uid, "-", "")))
}

// Comment is the comment of a record with this mark and a note for people, cut so that both fit in 100 bytes.
func (m Mark) Comment(note string) string {
	note = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return -1
		}
		return r
	}, note))
	if note == "" {
		return string(m)
	}
	room := maxComment - len(m) - 1
	for len(note) > room {
		_, n := utf8.DecodeLastRuneInString(note)
		note = note[:len(note)-n]
	}
	return strings.TrimSpace(string(m) + " " + note)
}

// ParseMark finds the mark in a record's comment, and the note after it.
func ParseMark(comment string) (m Mark, note string, ok bool) {
	head, note, _ := strings.Cut(comment, " ")
	digits, found := strings.CutPrefix(head, markPrefix)
	if !found || len(digits) != uidDigits || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", "", false
	}
	return Mark(head), note, true
}
