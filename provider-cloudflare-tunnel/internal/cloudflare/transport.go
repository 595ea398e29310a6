package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
)

const (
	// maxAnswer is far above a page of 1,000 tunnels with 25 connectors each.
	maxAnswer = 64 << 20
	// maxMessage keeps conditions readable.
	maxMessage = 300
	// callTimeout bounds one request and its answer.
	callTimeout = 30 * time.Second
	// readTries is how often a read is asked for before it counts as failed.
	readTries = 3
)

// transport sends the library's requests within the budget and lets only whole, successful answers through: everything
// else becomes an *Error here. The library would take an answer with "success": false for a success.
type transport struct {
	next    http.RoundTripper
	limiter *limiter
	token   string
}

type classKey struct{}

// inClass gives a call a class. Without it, one that reads is ordinary and one that writes is urgent.
func inClass(ctx context.Context, c class) context.Context {
	return context.WithValue(ctx, classKey{}, c)
}

// urgently marks a read that decides about a write.
func urgently(ctx context.Context) context.Context { return inClass(ctx, urgent) }

type repeatKey struct{}

// repeatably marks a call that changes nothing although its method may.
func repeatably(ctx context.Context) context.Context {
	return context.WithValue(ctx, repeatKey{}, true)
}

// RoundTrip implements http.RoundTripper. A read that got no whole answer is asked again at once: many objects wait for a
// shared one. What may change something is never repeated here.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.once(req)
	_, marked := req.Context().Value(repeatKey{}).(bool)
	for tries := 1; tries < readTries && (req.Method == http.MethodGet || marked) && errors.Is(err, ErrUnavailable); tries++ {
		if req.GetBody != nil {
			body, bodyErr := req.GetBody()
			if bodyErr != nil {
				return nil, bodyErr
			}
			req.Body = body
		} else if req.Body != nil {
			return res, err
		}
		res, err = t.once(req)
	}
	return res, err
}

func (t *transport) once(req *http.Request) (*http.Response, error) {
	c, given := req.Context().Value(classKey{}).(class)
	switch {
	case given:
	case req.Method == http.MethodGet:
		c = ordinary
	default:
		c = urgent
	}
	if err := t.limiter.wait(req.Context(), c); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), callTimeout)
	defer cancel()
	res, err := t.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		t.limiter.observe(0, nil)
		if req.Context().Err() != nil {
			return nil, req.Context().Err()
		}
		return nil, &Error{Kind: ErrUnavailable, Message: t.clean(err.Error())}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	_ = res.Body.Close()
	retryAfter := t.limiter.observe(res.StatusCode, res.Header)
	switch {
	case req.Context().Err() != nil:
		return nil, req.Context().Err()
	case res.StatusCode == http.StatusTooManyRequests:
		return nil, &Error{Kind: ErrThrottled, Status: res.StatusCode, RetryAfter: retryAfter}
	case err != nil:
		return nil, &Error{Kind: ErrUnavailable, Status: res.StatusCode, Message: "the answer broke off"}
	case len(body) > maxAnswer:
		return nil, &Error{Kind: ErrUnavailable, Status: res.StatusCode, Message: "the answer is too long"}
	}
	if e := classify(req.Method, res.StatusCode, body); e != nil {
		e.Message = t.clean(e.Message)
		return nil, e
	}
	res.Header.Set("Content-Type", "application/json")
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// clean makes a message one short line that does not hold the token.
func (t *transport) clean(message string) string {
	message = strings.ReplaceAll(message, t.token, "[redacted]")
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, message)
	if r := []rune(message); len(r) > maxMessage {
		message = string(r[:maxMessage]) + "…"
	}
	return strings.TrimSpace(message)
}

// envelope is what every answer of Cloudflare's API is.
type envelope struct {
	Success *bool           `json:"success"`
	Errors  []apiError      `json:"errors"`
	Result  json.RawMessage `json:"result"`
}

type apiError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Chain   []struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error_chain"`
}

// text is the error's message with its reasons.
func (e apiError) text() string {
	text := e.Message
	for _, c := range e.Chain {
		text += ": " + c.Message
	}
	return text
}

// classify is nil for an answer that can be trusted to be a success.
func classify(method string, status int, body []byte) *Error {
	var env envelope
	err := json.Unmarshal(body, &env)
	ours := err == nil && env.Success != nil
	switch {
	case !ours && status >= 400 && status < 500:
		// A 404 page of something in between must not be read as "the tunnel is gone".
		return &Error{Kind: ErrUnavailable, Status: status, Message: "the answer is not one of Cloudflare's API; is the base URL right?"}
	case !ours:
		return &Error{Kind: ErrUnavailable, Status: status, Message: "the answer is not whole"}
	}
	e := &Error{Status: status}
	if len(env.Errors) > 0 {
		e.Code, e.Message = env.Errors[0].Code, env.Errors[0].text()
	}
	success := status >= 200 && status < 300
	switch {
	case success && *env.Success && len(env.Errors) == 0:
		if method != http.MethodDelete && (len(env.Result) == 0 || string(env.Result) == "null") {
			return &Error{Kind: ErrUnavailable, Status: status, Message: "the answer has no result"}
		}
		return nil
	case status >= 500 || status == http.StatusRequestTimeout || (status >= 300 && status < 400):
		e.Kind = ErrUnavailable
	default:
		e.Kind = kindOf(status, env.Errors)
	}
	return e
}

// kindOf goes by the code where it is more exact than the status. The codes are not documented in one place; these were
// seen in Cloudflare's own programs and in public reports.
func kindOf(status int, errs []apiError) Kind {
	for _, e := range errs {
		switch e.Code {
		case 1013, 81053, 81054, 81057, 81058:
			return ErrConflict
		case 1022:
			return ErrConnectionsActive
		case 1023:
			return ErrRoutesActive
		case 81044:
			return ErrNotFound
		case 7000, 7003:
			// "Could not route": an empty or malformed id, with status 404. Nothing was looked up.
			return ErrInvalid
		case 6003, 6111:
			return ErrUnauthorized
		case 9109, 10000:
			if status == http.StatusForbidden {
				return ErrForbidden
			}
			return ErrUnauthorized
		}
	}
	switch {
	case status == http.StatusUnauthorized:
		return ErrUnauthorized
	case status == http.StatusForbidden:
		return ErrForbidden
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusConflict:
		return ErrConflict
	case status >= 400:
		return ErrInvalid
	}
	// A success that says it is none.
	return ErrUnavailable
}

// asError gives an error its operation. What the library says itself (about an answer that it cannot decode) becomes
// ErrUnavailable without its words, which may repeat the answer.
func asError(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		named := *e
		named.Op = op
		return &named
	}
	for _, ctxErr := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ctxErr) {
			return &contextError{op: op, err: ctxErr}
		}
	}
	return &Error{Kind: ErrUnavailable, Op: op, Message: "the answer cannot be read"}
}

// contextError is a context's error with the operation that it ended.
type contextError struct {
	op  string
	err error
}

func (e *contextError) Error() string { return e.op + ": " + e.err.Error() }
func (e *contextError) Unwrap() error { return e.err }

// uncertain says whether a write that ended so may have been carried out all the same.
func uncertain(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
