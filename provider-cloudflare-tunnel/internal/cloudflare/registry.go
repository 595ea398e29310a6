package cloudflare

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// DefaultRequestsPer5Minutes leaves a sixth of Cloudflare's 1200 to the dashboard and to other programs.
const DefaultRequestsPer5Minutes = 1000

// idleConnections is about how many calls are made at the same time when many objects are reconciled at once.
const idleConnections = 32

// Options are the same for all sessions of a process.
type Options struct {
	// Freshness is how old a shared list may be, one minute by default.
	Freshness time.Duration
	// MaxWait is how long a call waits for its turn before it gives up with ErrThrottled, ten seconds by default.
	MaxWait time.Duration
	// BatchWindow is how long a creation or deletion of a record waits for others to go with it, 50 ms by default, and as
	// much again for each percent of the budget that is used up.
	BatchWindow time.Duration
	// MaxBatch is how many such changes do not wait for more, 200 by default, which is also the most: as many as come at
	// the same time.
	MaxBatch int
	// Transport carries the requests, by default NewTransport.
	Transport http.RoundTripper
}

// Config is what tells one Session from another.
type Config struct {
	// Token is the API token. White space around it is ignored.
	Token string
	// BaseURL is Cloudflare's API, DefaultBaseURL if empty.
	BaseURL string
	// RequestsPer5Minutes is the budget, DefaultRequestsPer5Minutes if 0.
	RequestsPer5Minutes int
}

// Registry holds the sessions of a process.
type Registry struct {
	options Options

	mu       sync.Mutex
	sessions map[sessionKey]*Session
}

// sessionKey holds no token, so that a dump of the registry shows none.
type sessionKey struct {
	token   [sha256.Size]byte
	baseURL string
}

// NewRegistry makes a registry without sessions.
func NewRegistry(o Options) *Registry {
	o.Freshness = cmp.Or(o.Freshness, time.Minute)
	o.MaxWait = cmp.Or(o.MaxWait, 10*time.Second)
	o.BatchWindow = cmp.Or(o.BatchWindow, 50*time.Millisecond)
	o.MaxBatch = min(cmp.Or(o.MaxBatch, maxBatch), maxBatch)
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	return &Registry{options: o, sessions: make(map[sessionKey]*Session)}
}

// NewTransport is like http.DefaultTransport, which takes proxies from the environment, but keeps more than two connections
// to a host open: all calls go to one, and most of a burst would each begin with a connection of its own.
func NewTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = idleConnections
	return t
}

// Session is the one session of that token and base URL. Asking again with another budget changes the budget for all.
func (r *Registry) Session(c Config) (*Session, error) {
	token := strings.TrimSpace(c.Token)
	if err := checkToken(token); err != nil {
		return nil, err
	}
	base, err := checkBaseURL(cmp.Or(c.BaseURL, DefaultBaseURL))
	if err != nil {
		return nil, err
	}
	budget := cmp.Or(c.RequestsPer5Minutes, DefaultRequestsPer5Minutes)
	if budget < 0 {
		return nil, fmt.Errorf("a budget of %d requests per 5 minutes is not possible", budget)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	key := sessionKey{token: sha256.Sum256([]byte(token)), baseURL: base}
	s := r.sessions[key]
	if s == nil {
		s = newSession(token, base, budget, r.options)
		r.sessions[key] = s
	}
	s.limiter.setBudget(budget)
	return s, nil
}

// BudgetUsed is how much of its budget of five minutes that token has used which used most, from 0 to 1.
func (r *Registry) BudgetUsed() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := 0
	for _, s := range r.sessions {
		most = max(most, s.limiter.used())
	}
	return float64(most) / 100
}

// checkToken refuses what would be an invalid request header, without repeating it.
func checkToken(token string) error {
	if token == "" {
		return &Error{Kind: ErrUnauthorized, Message: "it is empty"}
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c >= 0x7f {
			return &Error{Kind: ErrUnauthorized, Message: "it holds a space, a line break or another character that no token has"}
		}
	}
	return nil
}

func checkBaseURL(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the base URL is not one such as " + DefaultBaseURL)
	}
	return strings.TrimRight(base, "/") + "/", nil
}
