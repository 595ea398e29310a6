// Package ping sends the ping of a webhook through its public URL, as GitHub does when a webhook is made, and tells which
// link is at fault if it does not reach the listener. It runs in a pod, not in a composition function, and leaves to the
// function to make that pod and to tell people what came of it: an Outcome is also the exit code.
package ping

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Command is the first argument of a program that shall send a ping.
const Command = "test-webhook"

const (
	// patience is how long a ping is tried unless told; names and tunnels take their time to be known everywhere.
	patience = time.Minute
	// pause is the time between two tries, and timeout the time for one.
	pause   = 5 * time.Second
	timeout = 10 * time.Second
	// maxAnswer is how much of an answer is read.
	maxAnswer = 64 << 10
)

// Outcome is what came of a ping.
type Outcome int

// The outcomes, by which link is at fault. Their values are exit codes, so they stay.
const (
	Reached      Outcome = 0
	CannotStart  Outcome = 2
	Unresolved   Outcome = 10
	Unconnected  Outcome = 11
	Untrusted    Outcome = 12
	TimedOut     Outcome = 13
	NoTunnel     Outcome = 14
	UnknownHost  Outcome = 15
	NoListener   Outcome = 16
	TurnedAway   Outcome = 17
	SomebodyElse Outcome = 18
)

var meanings = map[Outcome]string{
	Reached:      "it reached the listener",
	CannotStart:  "the test could not start; see the log of its pod",
	Unresolved:   "the host has no DNS record, or it is not known everywhere yet",
	Unconnected:  "nothing takes connections there",
	Untrusted:    "the certificate there is not trusted",
	TimedOut:     "there was no answer in time",
	NoTunnel:     "Cloudflare has no connection to the tunnel",
	UnknownHost:  "the tunnel's connectors do not know the host",
	NoListener:   "the listener does not answer the tunnel's connectors",
	TurnedAway:   "something on the way turned it away, such as a firewall rule or an access policy at Cloudflare",
	SomebodyElse: "something else than this organization's listener answered",
}

// String says it in words.
func (o Outcome) String() string {
	if meaning, ok := meanings[o]; ok {
		return meaning
	}
	return fmt.Sprintf("the test ended with exit code %d", int(o))
}

// Target is where a ping goes, and who shall answer.
type Target struct {
	URL, Secret string
	// Namespace and Listener name the EventListener.
	Namespace, Listener string
}

// payload is what GitHub sends in a ping as far as a listener cares.
const payload = `{"zen":"Design for failure.","hook_id":0,"hook":{"type":"Repository","active":true,"events":["push"],"config":{"content_type":"json"}}}`

// Send sends one ping. The detail is for the log: what exactly happened.
func (t Target) Send(ctx context.Context, client *http.Client) (outcome Outcome, detail string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, strings.NewReader(payload))
	if err != nil {
		return CannotStart, err.Error()
	}
	mac := hmac.New(sha256.New, []byte(t.Secret))
	_, _ = io.WriteString(mac, payload) // a hash takes everything
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "aphex-test-webhook", "X-GitHub-Event": "ping",
		"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)),
	} {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return failure(err), err.Error()
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return failure(err), err.Error()
	}
	return t.judge(response.StatusCode, body), response.Status
}

// failure tells why there was no answer.
func failure(err error) Outcome {
	var (
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		network     net.Error
	)
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return Unresolved
	case errors.As(err, &certificate):
		return Untrusted
	case errors.As(err, &network) && network.Timeout():
		return TimedOut
	default:
		return Unconnected
	}
}

// noTunnel is Cloudflare's own status for a host whose origin it cannot reach, see
// https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/error-530/.
const noTunnel = 530

func (t Target) judge(status int, body []byte) Outcome {
	switch {
	case status == noTunnel:
		return NoTunnel
	case status == http.StatusNotFound:
		return UnknownHost
	case status >= http.StatusInternalServerError:
		return NoListener
	case status < http.StatusOK || status >= http.StatusMultipleChoices:
		return TurnedAway
	}
	var answer struct{ EventListener, Namespace string }
	err := json.NewDecoder(bytes.NewReader(body)).Decode(&answer)
	if err != nil || answer.EventListener != t.Listener || answer.Namespace != t.Namespace {
		return SomebodyElse
	}
	return Reached
}

// Try sends pings until one reaches the listener or the context ends, and reports each on the log.
func (t Target) Try(ctx context.Context, client *http.Client, log io.Writer) Outcome {
	var last Outcome
	for try := 1; ; try++ {
		outcome, detail := t.Send(ctx, client)
		if ctx.Err() != nil && try > 1 {
			return last // That it was cut off says nothing.
		}
		last = outcome
		_, _ = fmt.Fprintf(log, "POST %s: %s: %s\n", t.URL, outcome, detail) // a log that is gone changes nothing
		if outcome == Reached {
			return outcome
		}
		select {
		case <-ctx.Done():
			return outcome
		case <-time.After(pause):
		}
	}
}

// Main is the program behind Command: it returns its exit code.
func Main(arguments []string, log io.Writer) int {
	fs := flag.NewFlagSet(Command, flag.ContinueOnError)
	fs.SetOutput(log)
	var t Target
	fs.StringVar(&t.URL, "url", "", "the webhook URL")
	fs.StringVar(&t.Namespace, "namespace", "", "the namespace of the EventListener that has to answer")
	fs.StringVar(&t.Listener, "listener", "", "its name")
	file := fs.String("secret-file", "", "the file with the webhook secret")
	limit := fs.Duration("timeout", patience, "how long to try")
	if err := fs.Parse(arguments); err != nil {
		return int(CannotStart)
	}
	secret, err := os.ReadFile(*file)
	if err != nil {
		_, _ = fmt.Fprintln(log, err)
		return int(CannotStart)
	}
	t.Secret = string(secret)
	// A redirect would be followed without the payload.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	return int(t.Try(ctx, client, log))
}
