// Package github plays GitHub's side of a webhook: it makes deliveries, signs
// them and sends them as GitHub does. What the receiver then does with them is
// not its business.
package github

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/util/uuid"
)

// Payload is the body of an event.
type Payload map[string]any

// Set changes a field, such as "repository.full_name", and returns the payload.
func (p Payload) Set(path string, value any) Payload {
	fields := strings.Split(path, ".")
	at := map[string]any(p)
	for _, field := range fields[:len(fields)-1] {
		at, _ = at[field].(map[string]any)
	}
	at[fields[len(fields)-1]] = value
	return p
}

// Get is a field that is a text, such as "repository.full_name".
func (p Payload) Get(path string) string {
	var at any = map[string]any(p)
	for field := range strings.SplitSeq(path, ".") {
		fields, _ := at.(map[string]any)
		at = fields[field]
	}
	text, _ := at.(string)
	return text
}

// Bytes is the payload as GitHub writes it: nothing is escaped that need not be.
func (p Payload) Bytes() []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(p) // plain data in memory: cannot fail
	return bytes.TrimSpace(out.Bytes())
}

// Push is the event of a commit that somebody pushed to a branch, see
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#push.
func Push(repository, branch string) Payload {
	owner, name, _ := strings.Cut(repository, "/")
	before, after := revision(), revision()
	commit := map[string]any{
		"id": after, "tree_id": revision(), "distinct": true, "message": "Ship it\n\n\"quoted\", $(params.not-ours) and ünïcode",
		"timestamp": "2026-03-01T12:00:00+01:00", "url": "https://github.com/" + repository + "/commit/" + after,
		"author":    map[string]any{"name": "Mona Lisa", "email": "mona@example.com", "username": "mona"},
		"committer": map[string]any{"name": "GitHub", "email": "noreply@github.com", "username": "web-flow"},
		"added":     []any{"docs/new page.md"}, "removed": []any{}, "modified": []any{"README.md"},
	}
	return Payload{
		"ref": "refs/heads/" + branch, "before": before, "after": after, "base_ref": nil,
		"created": false, "deleted": false, "forced": false,
		"compare": "https://github.com/" + repository + "/compare/" + before[:12] + "..." + after[:12],
		"commits": []any{commit}, "head_commit": commit,
		"repository": map[string]any{
			"id": 186853002, "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=", "name": name, "full_name": repository, "private": true,
			"owner":    map[string]any{"name": owner, "login": owner, "id": 6233994, "type": "Organization"},
			"html_url": "https://github.com/" + repository, "url": "https://api.github.com/repos/" + repository,
			"git_url": "git://github.com/" + repository + ".git", "ssh_url": "git@github.com:" + repository + ".git",
			"clone_url": "https://github.com/" + repository + ".git", "default_branch": "main", "visibility": "private",
		},
		"pusher": map[string]any{"name": "mona", "email": "mona@example.com"},
		"sender": map[string]any{"login": "mona", "id": 21031067, "type": "User"},
	}
}

// Tag is the event of an annotated tag that somebody pushed: "after" is the tag's own object, and no commit is new.
func Tag(repository, tag string) Payload {
	p := Push(repository, "main")
	p["ref"], p["base_ref"], p["created"], p["commits"] = "refs/tags/"+tag, "refs/heads/main", true, []any{}
	p["before"], p["after"] = strings.Repeat("0", 2*sha1.Size), revision()
	return p
}

// PullRequest is the event of a pull request that somebody opened, from a branch of head, which is the repository itself or
// a fork, see https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request.
func PullRequest(repository, base, head string) Payload {
	p := Push(repository, base)
	from := Push(head, "topic")["repository"].(map[string]any)
	from["fork"] = head != repository
	headOwner, _, _ := strings.Cut(head, "/")
	owner, _, _ := strings.Cut(repository, "/")
	return Payload{
		"action": "opened", "number": 7, "repository": p["repository"], "sender": p["sender"],
		"pull_request": map[string]any{
			"number": 7, "state": "open", "draft": false, "merged": false, "title": "Ship \"it\": $(params.not-ours)", "body": nil,
			"html_url": "https://github.com/" + repository + "/pull/7", "changed_files": 2, "commits": 1,
			"user":               map[string]any{"login": headOwner, "id": 21031067, "type": "User"},
			"head":               map[string]any{"label": headOwner + ":topic", "ref": "topic", "sha": revision(), "repo": from},
			"base":               map[string]any{"label": owner + ":" + base, "ref": base, "sha": p["before"], "repo": p["repository"]},
			"author_association": "CONTRIBUTOR",
		},
	}
}

// revision is the name of a commit that nobody has made.
func revision() string {
	raw := make([]byte, sha1.Size)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// SHA1 is the older signature of a body, such as sha1=0123….
func SHA1(secret string, body []byte) string { return "sha1=" + sign(sha1.New, secret, body) }

// SHA256 is the signature of a body, such as sha256=0123….
func SHA256(secret string, body []byte) string { return "sha256=" + sign(sha256.New, secret, body) }

func sign(algorithm func() hash.Hash, secret string, body []byte) string {
	mac := hmac.New(algorithm, []byte(secret))
	_, _ = mac.Write(body) // never fails
	return hex.EncodeToString(mac.Sum(nil))
}

// Delivery is one request.
type Delivery struct {
	ID     string
	Header http.Header
	Body   []byte
}

// Signed is the delivery of an event by a webhook whose content type is JSON.
func Signed(secret, event string, body []byte) Delivery {
	d := Delivery{ID: string(uuid.NewUUID()), Body: body, Header: http.Header{}}
	for name, value := range map[string]string{
		"Accept": "*/*", "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/1a2b3c4",
		"X-GitHub-Event": event, "X-GitHub-Delivery": d.ID, "X-GitHub-Hook-ID": "292430182",
		"X-GitHub-Hook-Installation-Target-ID": "79929171", "X-GitHub-Hook-Installation-Target-Type": "repository",
		"X-Hub-Signature": SHA1(secret, body), "X-Hub-Signature-256": SHA256(secret, body),
	} {
		d.Header.Set(name, value)
	}
	return d
}

// Answer is what Tekton's listener says to a delivery.
type Answer struct {
	Status int
	// EventID is the listener's own id of the delivery, which what it starts has as
	// the label triggers.tekton.dev/triggers-eventid. It is empty if the listener
	// did not take the delivery.
	EventID string `json:"eventID"`
}

// Send sends the delivery.
func (d Delivery) Send(ctx context.Context, client *http.Client, url string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.Body))
	if err != nil {
		return Answer{}, err
	}
	request.Header = d.Header
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return Answer{}, err
	}
	answer := Answer{Status: response.StatusCode}
	if answer.Status != http.StatusAccepted {
		return answer, nil
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.EventID == "" {
		return Answer{}, fmt.Errorf("the listener answered without an id: %q", body)
	}
	return answer, nil
}
