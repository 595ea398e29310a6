// Package configsync is the programs that set up what is not the platform's own. One connects login's two halves: it waits for
// Authentik, gives the OAuth2 provider that is Dex's the client secret that Dex has, starts Dex, and checks that both serve what
// their clients will ask for. The other sets keys of a ConfigMap that came with Argo CD. They run in pods, not in a composition
// function, and leave to the function to make those pods and to tell people what came of it: an Outcome is also the exit code.
// They may run at any time, as often as one likes, and twice at once: what is right is left alone.
package configsync

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// Command is the first argument of a program that shall connect Authentik and Dex, SetCommand of one that shall set keys.
const (
	Command    = "sync-config"
	SetCommand = "set-config-map"
)

// Commands are the programs by their first argument: each takes the others and returns its exit code.
var Commands = map[string]func(arguments []string, log io.Writer) int{Command: Main, SetCommand: SetMain}

const (
	// firstPause is the time before the second try of a step; each later one is twice as long, up to longestPause.
	firstPause, longestPause = time.Second, 15 * time.Second
	// tryTimeout is the time for one try.
	tryTimeout = 10 * time.Second
)

// Outcome is what came of a run.
type Outcome int

// The outcomes, by what is at fault. Their values are exit codes, so they stay.
const (
	Synced             Outcome = 0
	CannotStart        Outcome = 2
	Interrupted        Outcome = 3
	NoAuthentik        Outcome = 20
	TokenRefused       Outcome = 21
	NoProvider         Outcome = 22
	ManyProviders      Outcome = 23
	NotTaken           Outcome = 24
	AuthentikDiscovery Outcome = 25
	NotScaled          Outcome = 26
	NotAvailable       Outcome = 27
	DexDiscovery       Outcome = 28
	HeldByOthers       Outcome = 40
	NotSet             Outcome = 41
)

var meanings = map[Outcome]string{
	Synced:             "Authentik and Dex are connected",
	CannotStart:        "it could not start; see the log of its pod",
	Interrupted:        "it was stopped before it was done",
	NoAuthentik:        "Authentik did not become ready",
	TokenRefused:       "Authentik refuses the API token",
	NoProvider:         "Authentik has no OAuth2 provider for Dex",
	ManyProviders:      "Authentik has more than one OAuth2 provider that could be Dex's",
	NotTaken:           "Authentik did not take the client credentials",
	AuthentikDiscovery: "Authentik does not serve the discovery document that Dex needs",
	NotScaled:          "the Deployment of Dex could not be scaled",
	NotAvailable:       "Dex did not become available",
	DexDiscovery:       "Dex does not serve the discovery document of its issuer",
	HeldByOthers:       "somebody else holds a key of the ConfigMap with another value; the log of its pod says who",
	NotSet:             "the ConfigMap could not be changed; see the log of its pod",
}

// String says it in words.
func (o Outcome) String() string {
	if meaning, ok := meanings[o]; ok {
		return meaning
	}
	return fmt.Sprintf("it ended with exit code %d", int(o))
}

// Failures are the exit codes of outcomes of Command that a second run would have too, unless somebody does something, in order.
func Failures() []int32 {
	var codes []int32
	for o := range meanings {
		if o != Synced && o != Interrupted && o < HeldByOthers {
			codes = append(codes, int32(o))
		}
	}
	slices.Sort(codes)
	return codes
}

// SetFailures are those of SetCommand.
func SetFailures() []int32 { return []int32{int32(CannotStart), int32(HeldByOthers), int32(NotSet)} }

// Target says what is connected.
type Target struct {
	// Authentik is the URL of Authentik, under which its API is; Token is the API token.
	Authentik, Token string
	// Authorities are the certificates that Authentik's own is trusted by; nil are those of the system.
	Authorities *x509.CertPool
	// Provider is how to recognize the OAuth2 provider of Dex, and what it shall have.
	Provider Wanted
	// AuthentikIssuer is what Authentik shall call itself towards Dex.
	AuthentikIssuer string
	// Dex is the URL under which Dex is reached, DexIssuer what it shall call itself.
	Dex, DexIssuer string
	// Namespace and Deployment name the Deployment of Dex.
	Namespace, Deployment string
}

// Run connects the two and reports each step on the log. The error says why the outcome is not Synced.
func (t Target) Run(ctx context.Context, cluster *rest.Config, log io.Writer) (Outcome, error) {
	return t.run(ctx, cluster, &patience{log: log, first: firstPause, longest: longestPause, each: tryTimeout})
}

func (t Target) run(ctx context.Context, cluster *rest.Config, p *patience) (Outcome, error) {
	toAuthentik, toDex := webClient(t.Authorities), webClient(nil)
	dex, err := newDeployment(cluster, t.Namespace, t.Deployment)
	if err != nil {
		return CannotStart, err
	}
	authentik := newAuthentik(toAuthentik, t.Authentik, t.Token, t.Provider.ClientSecret)
	var provider Provider
	find := func(ctx context.Context) error {
		all, err := authentik.Providers(ctx)
		if err == nil {
			provider, err = t.Provider.find(all)
		}
		return err
	}
	for _, step := range []struct {
		what    string
		failing Outcome
		try     func(context.Context) error
	}{
		{"Authentik is ready at " + t.Authentik, NoAuthentik, authentik.Ready},
		{"Authentik has an OAuth2 provider for Dex", NoProvider, find},
		{"the provider has the client credentials of Dex", NotTaken, func(ctx context.Context) error {
			err := t.Provider.give(ctx, authentik, provider, p)
			if errors.Is(err, ErrNotFound) {
				// It was deleted meanwhile; one that is made anew has another key.
				return cmp.Or(find(ctx), err)
			}
			return err
		}},
		{"Authentik serves discovery for " + t.AuthentikIssuer, AuthentikDiscovery, func(ctx context.Context) error {
			return discover(ctx, toAuthentik, t.AuthentikIssuer, t.AuthentikIssuer)
		}},
		{dex.ref() + " is scaled up", NotScaled, dex.scaleUp},
		{dex.ref() + " is available", NotAvailable, dex.available},
		{"Dex serves discovery for " + t.DexIssuer, DexDiscovery, func(ctx context.Context) error {
			return discover(ctx, toDex, t.Dex, t.DexIssuer)
		}},
	} {
		if err := p.until(ctx, step.what, step.try); err != nil {
			return outcomeOf(ctx, step.failing, err), err
		}
	}
	return Synced, nil
}

// webClient trusts these authorities, or those of the system, and follows no redirect, which would carry the token to somewhere
// else.
func webClient(authorities *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// outcomeOf is what a step that failed says, unless its error says more.
func outcomeOf(ctx context.Context, failing Outcome, err error) Outcome {
	var found *notOneError
	var held *heldError
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return Interrupted
	case errors.Is(err, ErrUnauthorized):
		return TokenRefused
	case errors.Is(err, ErrUnavailable):
		return NoAuthentik
	case errors.As(err, &found) && len(found.names) > 0:
		return ManyProviders
	case errors.As(err, &found):
		return NoProvider
	case errors.As(err, &held):
		return HeldByOthers
	default:
		return failing
	}
}

// finalError is a failure that waiting does not heal.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// patience is how a step is tried again.
type patience struct {
	log io.Writer
	// first and longest are pauses, each is the time for one try.
	first, longest, each time.Duration
}

// until tries a step until it works, it never can, or the context ends. What stands in the way is told once.
func (p *patience) until(ctx context.Context, what string, try func(context.Context) error) error {
	var last error
	for pause := p.first; ; pause = min(2*pause, p.longest) {
		err := p.once(ctx, try)
		var final finalError
		switch {
		case err == nil:
			p.say("ok: %s", what)
			return nil
		case errors.As(err, &final):
			return fmt.Errorf("not done: %s: %w", what, err)
		case last == nil || ctx.Err() == nil:
			if last == nil || last.Error() != err.Error() {
				p.say("waiting: %s: %v", what, err)
			}
			last = err // One that was cut off would say less than the one before.
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not done: %s: %w; seen last: %w", what, context.Cause(ctx), last)
		case <-time.After(pause):
		}
	}
}

func (p *patience) once(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.each)
	defer cancel()
	return try(ctx)
}

func (p *patience) say(format string, args ...any) {
	// A log that is gone changes nothing.
	_, _ = io.WriteString(p.log, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")+"\n")
}
