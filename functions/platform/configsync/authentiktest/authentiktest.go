// Package authentiktest plays the part of Authentik that the config sync job uses, for tests: OAuth2 providers in version 3 of
// its API, the check of its readiness, and the discovery documents of its applications. It is strict by Authentik's published
// schema (https://api.goauthentik.io, version 2026.5): what the schema does not have, and what Authentik would only ignore, is
// refused here. It shares no code with the client, so that each checks the other; test/authentik holds both against the
// schema itself.
package authentiktest

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// Provider is an OAuth2 provider.
type Provider struct {
	PK                           int
	Name, ClientID, ClientSecret string
	RedirectURIs                 []RedirectURI
	// Application is the slug of the application that it belongs to, whose discovery document is served then.
	Application string
}

// RedirectURI is where people may be sent back to.
type RedirectURI struct {
	MatchingMode string `json:"matching_mode"`
	URL          string `json:"url"`
	Type         string `json:"redirect_uri_type"`
}

// Redirects makes strict redirect URIs for logins of these URLs.
func Redirects(urls ...string) []RedirectURI {
	list := []RedirectURI{}
	for _, u := range urls {
		list = append(list, RedirectURI{MatchingMode: "strict", URL: u, Type: "authorization"})
	}
	return list
}

// Form is how a provider is shown.
type Form int

const (
	// Current is what the schema says.
	Current Form = iota
	// Masked shows asterisks for a secret.
	Masked
	// Old is that before Authentik 2024.12: redirect URIs are the lines of one string.
	Old
)

// Server is Authentik. All methods may be called at the same time.
type Server struct {
	// URL is where it answers.
	URL   string
	token string

	mu        sync.Mutex
	providers []Provider
	// added is how many there ever were: a key is not used again.
	added    int
	form     Form
	pageSize int
	ready    bool
	issuer   string
	faults   map[string][]http.HandlerFunc
	calls    []string
}

// Start starts a ready Authentik that knows one API token and no providers.
func Start(token string) (server *Server, stop func()) {
	s := newServer(token)
	listening := httptest.NewServer(s)
	s.URL = listening.URL
	return s, listening.Close
}

// StartTLS starts one that serves HTTPS with this certificate.
func StartTLS(token string, certificate tls.Certificate) (server *Server, stop func()) {
	s := newServer(token)
	listening := httptest.NewUnstartedServer(s)
	listening.Config.ErrorLog = log.New(io.Discard, "", 0) // Clients that do not trust it are expected.
	listening.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	listening.StartTLS()
	s.URL = listening.URL
	return s, listening.Close
}

func newServer(token string) *Server {
	return &Server{token: token, pageSize: 100, ready: true, faults: map[string][]http.HandlerFunc{}}
}

// Add adds a provider and returns its key.
func (s *Server) Add(p Provider) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.added++
	p.PK = s.added
	if p.RedirectURIs == nil {
		p.RedirectURIs = []RedirectURI{}
	}
	s.providers = append(s.providers, p)
	return p.PK
}

// Remove removes a provider.
func (s *Server) Remove(pk int) {
	s.set(func() { s.providers = slices.DeleteFunc(s.providers, func(p Provider) bool { return p.PK == pk }) })
}

// Provider returns a provider as it is now, or an empty one if there is none.
func (s *Server) Provider(pk int) Provider {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.find(pk); p != nil {
		return *p
	}
	return Provider{}
}

func (s *Server) find(pk int) *Provider {
	if i := slices.IndexFunc(s.providers, func(p Provider) bool { return p.PK == pk }); i >= 0 {
		return &s.providers[i]
	}
	return nil
}

// Show sets the form in which providers are shown.
func (s *Server) Show(form Form) { s.set(func() { s.form = form }) }

// PageSize sets how many providers a page holds at most, whatever is asked for.
func (s *Server) PageSize(most int) { s.set(func() { s.pageSize = most }) }

// Ready sets whether it is ready.
func (s *Server) Ready(ready bool) { s.set(func() { s.ready = ready }) }

// CallItself sets the issuer in discovery documents, which is the URL of the document by default.
func (s *Server) CallItself(issuer string) { s.set(func() { s.issuer = issuer }) }

// Fault makes the next call of a method to paths that begin so be answered by h. Several are used up one after another.
func (s *Server) Fault(method, path string, h http.HandlerFunc) {
	s.set(func() { s.faults[method+" "+path] = append(s.faults[method+" "+path], h) })
}

func (s *Server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// Calls returns the method and the path of every call so far.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Writes returns how many calls so far were to change something.
func (s *Server) Writes() int {
	n := 0
	for _, call := range s.Calls() {
		if !strings.HasPrefix(call, http.MethodGet+" ") {
			n++
		}
	}
	return n
}

// fault takes the fault that is due for a call, nil if none is.
func (s *Server) fault(r *http.Request) http.HandlerFunc {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, r.Method+" "+r.URL.Path)
	for at, faults := range s.faults {
		if strings.HasPrefix(r.Method+" "+r.URL.Path, at) && len(faults) > 0 {
			s.faults[at] = faults[1:]
			return faults[0]
		}
	}
	return nil
}
