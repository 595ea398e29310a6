package configsync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Kind is what went wrong, as far as it decides what to do about it. Compare with errors.Is.
type Kind string

// Error makes a Kind a target of errors.Is.
func (k Kind) Error() string { return string(k) }

// The kinds of errors.
const (
	// ErrUnavailable means that there was no answer, or that Authentik cannot give one now.
	ErrUnavailable Kind = "Authentik is not available"
	// ErrUnauthorized means that the API token is none or lacks a permission. Authentik makes its first token a while after
	// it is ready.
	ErrUnauthorized Kind = "Authentik refuses the API token"
	// ErrNotFound means that there is no such object.
	ErrNotFound Kind = "not found"
	// ErrInvalid means that Authentik refuses what was asked for, and will again.
	ErrInvalid Kind = "refused as invalid"
	// ErrGarbled means that the answer is not what Authentik's schema says, so something else may have given it.
	ErrGarbled Kind = "not an answer of Authentik"
)

// Error is an answer that is not a success. It never holds the token or the client secret.
type Error struct {
	Kind Kind
	// Op is the call, such as "GET /api/v3/providers/oauth2/".
	Op string
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// Message is Authentik's own, as far as it is one.
	Message string
}

// Error is one line.
func (e *Error) Error() string {
	s := e.Op + ": " + string(e.Kind)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	return s
}

// Is matches the error's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// Provider is what matters here of an OAuth2 provider of Authentik.
type Provider struct {
	PK       int    `json:"pk"`
	Name     string `json:"name"`
	ClientID string `json:"client_id"`
	// ClientSecret is empty, or masked by asterisks, where Authentik does not show it.
	ClientSecret string       `json:"client_secret"`
	RedirectURIs redirectURIs `json:"redirect_uris"`
}

// redirectURIs are a list of objects; before Authentik 2024.12 they were the lines of one string.
type redirectURIs []string

func (r *redirectURIs) UnmarshalJSON(data []byte) error {
	var lines string
	if json.Unmarshal(data, &lines) == nil {
		*r = strings.Fields(lines)
		return nil
	}
	var list []struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*r = nil
	for _, entry := range list {
		*r = append(*r, entry.URL)
	}
	return nil
}

// credentials are the fields of a provider that may be set; an empty one is left as it is.
type credentials struct {
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
}

const (
	// providersPath is where OAuth2 providers are, see https://api.goauthentik.io. Without the last slash Authentik redirects.
	providersPath = "/api/v3/providers/oauth2/"
	// readyPath answers without a token, see https://docs.goauthentik.io/sys-mgmt/ops/monitoring/.
	readyPath = "/-/health/ready/"
	pageSize  = 100
	maxPages  = 100
	// maxAnswer is how much of an answer is read. A page is much smaller.
	maxAnswer = 4 << 20
	// maxMessage is how much of Authentik's words an error holds.
	maxMessage = 300
)

// authentik is a client of Authentik's API, version 3.
type authentik struct {
	web         *http.Client
	base, token string
	// hide takes secrets out of what Authentik said.
	hide *strings.Replacer
}

func newAuthentik(web *http.Client, base, token, secret string) *authentik {
	return &authentik{web: web, base: strings.TrimSuffix(base, "/"), token: token, hide: strings.NewReplacer(token, "***", secret, "***")}
}

// Ready says whether Authentik can answer.
func (a *authentik) Ready(ctx context.Context) error {
	_, err := a.call(ctx, http.MethodGet, readyPath, nil)
	return err
}

// Providers returns all OAuth2 providers that the token may see.
func (a *authentik) Providers(ctx context.Context) ([]Provider, error) {
	var all []Provider
	for page := 1; page <= maxPages; {
		path := providersPath + "?" + url.Values{
			"ordering": {"name"}, "page": {strconv.Itoa(page)}, "page_size": {strconv.Itoa(pageSize)},
		}.Encode()
		var answer struct {
			Pagination *struct {
				Next float64 `json:"next"`
			} `json:"pagination"`
			Results []Provider `json:"results"`
		}
		if err := a.json(ctx, http.MethodGet, path, nil, &answer); err != nil {
			return nil, err
		}
		if answer.Pagination == nil {
			return nil, &Error{Kind: ErrGarbled, Op: http.MethodGet + " " + path, Message: "it has no pagination"}
		}
		all = append(all, answer.Results...)
		next := int(answer.Pagination.Next)
		if next == 0 {
			return all, nil
		}
		if next <= page {
			return nil, &Error{Kind: ErrGarbled, Op: http.MethodGet + " " + path, Message: fmt.Sprintf("page %d comes after page %d", next, page)}
		}
		page = next
	}
	return nil, &Error{Kind: ErrGarbled, Op: http.MethodGet + " " + providersPath, Message: fmt.Sprintf("it has more than %d pages", maxPages)}
}

// Set changes a provider and returns what it became.
func (a *authentik) Set(ctx context.Context, pk int, c credentials) (Provider, error) {
	var p Provider
	return p, a.json(ctx, http.MethodPatch, providersPath+strconv.Itoa(pk)+"/", c, &p)
}

// json makes a call whose answer is JSON.
func (a *authentik) json(ctx context.Context, method, path string, in, out any) error {
	body, err := a.call(ctx, method, path, in)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return &Error{Kind: ErrGarbled, Op: method + " " + path, Status: http.StatusOK, Message: a.hide.Replace(err.Error())}
	}
	return nil
}

// call makes a call and returns the body of a successful answer.
func (a *authentik) call(ctx context.Context, method, path string, in any) ([]byte, error) {
	failed := func(kind Kind, status int, message string) error {
		return &Error{Kind: kind, Op: method + " " + path, Status: status, Message: message}
	}
	var payload io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, payload)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "aphex-sync-config")
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if path != readyPath {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	status, contentType, body, err := do(a.web, request)
	switch {
	case err != nil:
		return nil, failed(ErrUnavailable, 0, err.Error())
	case status/100 != 2:
		return nil, failed(kindOf(status), status, a.message(contentType, body))
	case path != readyPath && contentType != "application/json":
		return nil, failed(ErrGarbled, status, fmt.Sprintf("it is %q", contentType))
	}
	return body, nil
}

// do sends a request and reads the whole answer.
func do(web *http.Client, request *http.Request) (status int, contentType string, body []byte, err error) {
	response, err := web.Do(request)
	if err != nil {
		var wrapped *url.Error // names the URL once more
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return 0, "", nil, err
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if len(body) > maxAnswer {
		err = fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	contentType, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type")) // empty if it is none
	return response.StatusCode, contentType, body, errors.Join(err, response.Body.Close())
}

func kindOf(status int) Kind {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ErrUnauthorized
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= http.StatusInternalServerError:
		return ErrUnavailable
	case status/100 == 4:
		return ErrInvalid
	default:
		return ErrGarbled
	}
}

// message is what Authentik says in an answer that is an error: a detail, or what is wrong with which field.
func (a *authentik) message(contentType string, body []byte) string {
	var fields map[string]any
	if contentType != "application/json" || json.Unmarshal(body, &fields) != nil {
		return ""
	}
	if detail, ok := fields["detail"].(string); ok {
		return a.clean(detail)
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if problems, ok := fields[name].([]any); ok {
			parts = append(parts, fmt.Sprintf("%s: %v", name, problems))
		}
	}
	return a.clean(strings.Join(parts, "; "))
}

// clean makes one short line of it that holds no secret.
func (a *authentik) clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, a.hide.Replace(s))
	if runes := []rune(s); len(runes) > maxMessage {
		s = string(runes[:maxMessage]) + "…"
	}
	return s
}
