package configsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/functions/platform/configsync/authentiktest"
)

const (
	apiToken = "an-api-token-of-authentik"
	secret   = "the-client-secret-of-dex"
	issuer   = "https://dex.home.local"
)

// world is all that a job meets.
type world struct {
	*cluster
	authentik *authentiktest.Server
	dex       *httptest.Server
	target    Target
	log       *lines
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newWorld has an Authentik with a provider for Dex that has another secret, and a Dex that is not started.
func newWorld(t *testing.T) *world {
	t.Helper()
	server, stop := authentiktest.Start(apiToken)
	t.Cleanup(stop)
	return worldWith(t, server)
}

func worldWith(t *testing.T, server *authentiktest.Server) *world {
	t.Helper()
	w := &world{cluster: startCluster(t, 0), authentik: server, log: &lines{}}
	w.dex = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/openid-configuration" {
			http.NotFound(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(rw, `{"issuer":%q,"authorization_endpoint":"%[1]s/auth","token_endpoint":"%[1]s/token","jwks_uri":"%[1]s/keys"}`, issuer)
	}))
	t.Cleanup(w.dex.Close)
	w.target = Target{
		Authentik: server.URL, Token: apiToken, AuthentikIssuer: server.URL + "/application/o/platform-services/",
		Provider: Wanted{Name: "Dex OIDC Provider", ClientID: "dex-client", RedirectURI: issuer + "/callback", ClientSecret: secret},
		Dex:      w.dex.URL, DexIssuer: issuer, Namespace: "auth-system", Deployment: "dex",
	}
	server.Add(authentiktest.Provider{Name: "Grafana", ClientID: "grafana", ClientSecret: "of-grafana", RedirectURIs: authentiktest.Redirects("https://grafana.home.local/login")})
	return w
}

// addDex adds the provider of Dex.
func (w *world) addDex(change ...func(*authentiktest.Provider)) int {
	p := authentiktest.Provider{
		Name: "Dex OIDC Provider", ClientID: "dex-client", ClientSecret: "generated-by-authentik",
		RedirectURIs: authentiktest.Redirects(issuer + "/callback"), Application: "platform-services",
	}
	for _, f := range change {
		f(&p)
	}
	return w.authentik.Add(p)
}

// run runs a job that has so long, and is otherwise in a hurry.
func (w *world) run(ctx context.Context, long time.Duration) (Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, long, fmt.Errorf("not within %s", long))
	defer cancel()
	return w.target.run(ctx, w.access(), &patience{log: w.log, first: time.Millisecond, longest: 10 * time.Millisecond, each: enough})
}

// enough is time for all that works, little is for what shall run out of it.
const enough, little = 10 * time.Second, 3 * time.Second

func TestItConnectsAuthentikAndDexAndThenLeavesThemAlone(t *testing.T) {
	w := newWorld(t)
	pk := w.addDex()
	outcome, err := w.run(t.Context(), enough)
	require.NoError(t, err, w.log)
	require.Equal(t, Synced, outcome)
	require.Equal(t, secret, w.authentik.Provider(pk).ClientSecret)
	require.Equal(t, "of-grafana", w.authentik.Provider(1).ClientSecret)
	require.Equal(t, int32(1), w.replicas(t))
	require.Equal(t, 1, w.authentik.Writes())
	require.Contains(t, w.log.String(), `provider 2 "Dex OIDC Provider" was given the client credentials of Dex`)

	outcome, err = w.run(t.Context(), enough)
	require.NoError(t, err, w.log)
	require.Equal(t, Synced, outcome)
	require.Equal(t, 1, w.authentik.Writes(), "nothing was left to change")
	require.Equal(t, []int32{1}, w.scaled)
	require.Contains(t, w.log.String(), "has the client credentials of Dex already")
	require.NotContains(t, w.log.String(), secret)
	require.NotContains(t, w.log.String(), apiToken)
}

func TestTheProviderIsFoundByTheFirstOfItsMarksThatAnyHas(t *testing.T) {
	named := func(name string) func(*authentiktest.Provider) {
		return func(p *authentiktest.Provider) { p.Name = name }
	}
	identified := func(id string) func(*authentiktest.Provider) {
		return func(p *authentiktest.Provider) { p.ClientID = id }
	}
	redirecting := func(uris ...string) func(*authentiktest.Provider) {
		return func(p *authentiktest.Provider) { p.RedirectURIs = authentiktest.Redirects(uris...) }
	}
	for name, c := range map[string]struct {
		arrange func(*world)
		want    int // the key of the provider that gets the credentials, 0 if none does
		outcome Outcome
	}{
		"by its name, though another has the redirect URI": {func(w *world) {
			w.addDex(redirecting("https://else.example.org/callback"))
			w.addDex(named("Else"), identified("else"))
		}, 2, Synced},
		"by its client id, where none has the name": {func(w *world) {
			w.addDex(named("Else"), identified("else"))
			w.addDex(named("Renamed"), redirecting())
		}, 3, Synced},
		"by its redirect URI, where none has the name or the client id": {func(w *world) {
			w.addDex(named("Renamed"), identified("made-up-by-authentik"), redirecting("https://old.home.local/callback", issuer+"/callback"))
		}, 2, Synced},
		"by its redirect URI, in the form of older versions": {func(w *world) {
			w.authentik.Show(authentiktest.Old)
			w.addDex(named("Renamed"), identified("made-up-by-authentik"), redirecting("https://old.home.local/callback", issuer+"/callback"))
		}, 2, Synced},
		"on the last of many pages": {func(w *world) {
			w.authentik.PageSize(2)
			for i := range 9 {
				w.addDex(named(fmt.Sprintf("Another %d", i)), identified(fmt.Sprintf("another-%d", i)), redirecting())
			}
			w.addDex(named("Zzz"))
		}, 11, Synced},
		"not at all": {func(w *world) {
			w.addDex(named("Else"), identified("else"), redirecting("https://else.example.org/callback"))
		}, 0, NoProvider},
		"not by a part of any mark": {func(w *world) {
			w.addDex(named("dex oidc provider"), identified("dex-client-2"), redirecting(issuer+"/callback/"))
		}, 0, NoProvider},
		"not by a redirect URI that two have": {func(w *world) {
			w.addDex(named("One"), identified("one"))
			w.addDex(named("Two"), identified("two"))
		}, 0, ManyProviders},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.arrange(w)
			long := enough
			if c.outcome == NoProvider {
				long = little
			}
			outcome, err := w.run(t.Context(), long)
			require.Equal(t, c.outcome, outcome, "%v\n%s", err, w.log)
			if c.want == 0 {
				require.Error(t, err)
				require.Zero(t, w.authentik.Writes())
				require.Zero(t, w.replicas(t), "Dex is not started")
				return
			}
			require.Equal(t, 1, w.authentik.Writes())
			require.Equal(t, "dex-client", w.authentik.Provider(c.want).ClientID)
			require.Equal(t, secret, w.authentik.Provider(c.want).ClientSecret)
		})
	}
}

func TestASecretThatIsNotShownIsSetAgain(t *testing.T) {
	w := newWorld(t)
	w.authentik.Show(authentiktest.Masked)
	pk := w.addDex()
	for range 2 {
		outcome, err := w.run(t.Context(), enough)
		require.NoError(t, err)
		require.Equal(t, Synced, outcome)
		require.Equal(t, secret, w.authentik.Provider(pk).ClientSecret)
	}
	require.Equal(t, 2, w.authentik.Writes())
}

func TestTwoAtOnceEndAlike(t *testing.T) {
	w := newWorld(t)
	pk := w.addDex()
	var both sync.WaitGroup
	outcomes := make([]Outcome, 2)
	errs := make([]error, 2)
	for i := range outcomes {
		both.Go(func() { outcomes[i], errs[i] = w.run(t.Context(), enough) })
	}
	both.Wait()
	require.Equal(t, []error{nil, nil}, errs)
	require.Equal(t, []Outcome{Synced, Synced}, outcomes)
	require.Equal(t, secret, w.authentik.Provider(pk).ClientSecret)
	require.Equal(t, int32(1), w.replicas(t))
}

func TestADexThatSomebodyScaledStaysSo(t *testing.T) {
	w := newWorld(t)
	w.addDex()
	w.cluster = startCluster(t, 3)
	outcome, err := w.run(t.Context(), enough)
	require.NoError(t, err)
	require.Equal(t, Synced, outcome)
	require.Empty(t, w.scaled)
	require.Equal(t, int32(3), w.replicas(t))
}

// Replicas of an earlier form are available as well, and hold the secret that Dex had before.
func TestADexOfAnEarlierFormIsNotWhatIsAwaited(t *testing.T) {
	for name, c := range map[string]struct {
		stuck   bool
		long    time.Duration
		outcome Outcome
	}{
		"it goes once the latest is available": {false, enough, Synced},
		"it stays while the latest is not":     {true, little, NotAvailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addDex()
			w.cluster = startCluster(t, 2)
			w.rollOut()
			w.stuck = c.stuck
			outcome, err := w.run(t.Context(), c.long)
			require.Equal(t, c.outcome, outcome, "%v\n%s", err, w.log)
			require.Contains(t, w.log.String(), "2 replicas of an earlier form are left")
			require.Equal(t, c.stuck, w.old > 0, "none is left where all is well")
		})
	}
}

func TestAProviderThatIsMadeAnewMeanwhileIsFoundAgain(t *testing.T) {
	for name, c := range map[string]struct {
		again   func(*world)
		long    time.Duration
		outcome Outcome
		log     string
	}{
		"and given the secret":  {func(w *world) { w.addDex() }, enough, Synced, `provider 3 "Dex OIDC Provider" was given the client credentials of Dex`},
		"unless it is not made": {func(*world) {}, little, NoProvider, "none of them has the name"},
		"unless two are": {func(w *world) {
			w.addDex()
			w.addDex()
		}, enough, ManyProviders, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			pk := w.addDex()
			w.authentik.Fault("PATCH", fmt.Sprintf("/api/v3/providers/oauth2/%d/", pk), func(rw http.ResponseWriter, r *http.Request) {
				w.authentik.Remove(pk)
				c.again(w)
				w.authentik.ServeHTTP(rw, r)
			})
			outcome, err := w.run(t.Context(), c.long)
			require.Equal(t, c.outcome, outcome, "%v\n%s", err, w.log)
			require.Contains(t, w.log.String(), c.log)
			if c.outcome == Synced {
				require.Equal(t, secret, w.authentik.Provider(pk+1).ClientSecret)
			}
		})
	}
}

// Each trouble is met once or a few times, then all is well.
func TestTroubleThatPassesIsWaitedFor(t *testing.T) {
	const list, one = "/api/v3/providers/oauth2/", "/api/v3/providers/oauth2/2/"
	answers := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		method, path string
		fault        http.HandlerFunc
		log          string
	}{
		"a server that is not ready":                      {"GET", "/-/health/ready/", answers(503, "text/plain", ""), "Authentik is not available (HTTP 503)"},
		"a connection that breaks":                        {"GET", "/-/health/ready/", hangUp, "Authentik is not available: EOF"},
		"a token that is not made yet":                    {"GET", list, answers(403, "application/json", `{"detail":"unknown token"}`), "Authentik refuses the API token: unknown token (HTTP 403)"},
		"an error of the server":                          {"GET", list, answers(500, "text/html", "<html>"), "Authentik is not available (HTTP 500)"},
		"too many requests":                               {"GET", list, answers(429, "application/json", `{"detail":"slow down"}`), "slow down (HTTP 429)"},
		"a page of a proxy":                               {"GET", list, answers(200, "text/html", "<html>"), `not an answer of Authentik: it is "text/html"`},
		"a redirect to a login":                           {"GET", list, answers(302, "text/html", ""), "not an answer of Authentik (HTTP 302)"},
		"half an answer":                                  {"GET", list, answers(200, "application/json", `{"pagination":{"next":`), "not an answer of Authentik: unexpected end"},
		"an answer without pages":                         {"GET", list, answers(200, "application/json", `{}`), "it has no pagination"},
		"pages that go round in circles":                  {"GET", list, answers(200, "application/json", `{"pagination":{"next":1},"results":[]}`), "page 1 comes after page 1"},
		"an answer without end":                           {"GET", list, answers(200, "application/json", strings.Repeat(" ", maxAnswer+1)), "larger than 4 MiB"},
		"a provider that is not made yet":                 {"GET", list, answers(200, "application/json", `{"pagination":{"next":0},"results":[]}`), "none of them has the name"},
		"a change that an error cuts off":                 {"PATCH", one, answers(502, "text/html", ""), "PATCH /api/v3/providers/oauth2/2/: Authentik is not available (HTTP 502)"},
		"a change that nobody answers":                    {"PATCH", one, hangUp, "PATCH /api/v3/providers/oauth2/2/: Authentik is not available: EOF"},
		"a discovery document that is not there yet":      {"GET", "/application/o/", answers(404, "text/html", ""), "openid-configuration: HTTP 404"},
		"a discovery document that is a page":             {"GET", "/application/o/", answers(200, "text/html", "<html>"), `it is "text/html", not JSON`},
		"a discovery document that is broken":             {"GET", "/application/o/", answers(200, "application/json", "{"), "unexpected end"},
		"an error whose words hold secrets and new lines": {"PATCH", one, answers(503, "application/json", `{"detail":"`+secret+`\nof `+apiToken+`"}`), "Authentik is not available: *** of *** (HTTP 503)"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			pk := w.addDex()
			w.authentik.Fault(c.method, c.path, c.fault)
			outcome, err := w.run(t.Context(), enough)
			require.NoError(t, err)
			require.Equal(t, Synced, outcome)
			require.Contains(t, w.log.String(), c.log)
			require.Equal(t, secret, w.authentik.Provider(pk).ClientSecret)
			require.NotContains(t, w.log.String(), secret)
			require.NotContains(t, w.log.String(), apiToken)
		})
	}
}

func TestAnAnswerThatTakesTooLongIsGivenUpAndAskedForAgain(t *testing.T) {
	w := newWorld(t)
	w.addDex()
	gone := make(chan struct{})
	w.authentik.Fault("GET", "/-/health/ready/", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	})
	outcome, err := w.target.run(t.Context(), w.access(), &patience{log: w.log, first: time.Millisecond, longest: 10 * time.Millisecond, each: time.Second})
	require.NoError(t, err, w.log)
	require.Equal(t, Synced, outcome)
	require.Contains(t, w.log.String(), "waiting: Authentik is ready at "+w.authentik.URL)
	<-gone
}

func TestAWaitEndsWithTheTimeForAll(t *testing.T) {
	w := newWorld(t)
	w.addDex()
	w.authentik.Fault("GET", "/-/health/ready/", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	outcome, err := w.run(t.Context(), little)
	require.Equal(t, NoAuthentik, outcome)
	require.ErrorContains(t, err, "Authentik is ready at "+w.authentik.URL+": not within 1s")
}

func TestAFailureSaysWhatIsAtFault(t *testing.T) {
	forever := func(w *world, method, path string, status int, body string) {
		for range 2000 {
			w.authentik.Fault(method, path, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(status)
				_, _ = io.WriteString(rw, body)
			})
		}
	}
	for name, c := range map[string]struct {
		arrange func(*world)
		long    time.Duration
		want    Outcome
		message string
	}{
		"Authentik does not become ready":    {func(w *world) { w.authentik.Ready(false) }, little, NoAuthentik, "not within 1s; seen last: GET /-/health/ready/: Authentik is not available (HTTP 503)"},
		"nobody is there":                    {func(w *world) { w.target.Authentik = "http://127.0.0.1:1" }, little, NoAuthentik, "connection refused"},
		"another token":                      {func(w *world) { w.target.Token = "another" }, little, TokenRefused, "this token is not valid (HTTP 403)"},
		"Authentik fails after it was ready": {func(w *world) { forever(w, "GET", "/api/", 500, "{}") }, little, NoAuthentik, "(HTTP 500)"},
		"a secret that is too long":          {func(w *world) { w.target.Provider.ClientSecret = strings.Repeat("s", 256) }, enough, NotTaken, "refused as invalid: client_secret: [this is longer than 255 characters] (HTTP 400)"},
		"a client id that another one has":   {func(w *world) { w.target.Provider.ClientID = "grafana" }, enough, NotTaken, "client_id: [another provider has this client id]"},
		"a change that is not kept": {func(w *world) {
			forever(w, "PATCH", "/api/", 200, `{"pk":2,"name":"Dex OIDC Provider","client_id":"dex-client","client_secret":"another","redirect_uris":[]}`)
		}, enough, NotTaken, `provider 2 "Dex OIDC Provider" has other client credentials than those just set`},
		"an application that is not there":        {func(w *world) { w.target.AuthentikIssuer = w.authentik.URL + "/application/o/else/" }, little, AuthentikDiscovery, "HTTP 404"},
		"an Authentik that calls itself else":     {func(w *world) { w.authentik.CallItself("https://authentik.home.local/") }, enough, AuthentikDiscovery, `the issuer is "https://authentik.home.local/" there, not "http://127.0.0.1:`},
		"no Deployment of Dex":                    {func(w *world) { w.deployment = nil }, little, NotScaled, "Deployment auth-system/dex is scaled up: not within 1s; seen last: deployments.apps dex: NotFound"},
		"a Deployment of another name":            {func(w *world) { w.target.Deployment = "else" }, little, NotScaled, "Forbidden"},
		"a Dex that does not become available":    {func(w *world) { w.stuck = true }, little, NotAvailable, "1 of 1 replicas are updated and 0 are available"},
		"a Dex of another issuer":                 {func(w *world) { w.target.DexIssuer = "https://dex.example.org" }, enough, DexDiscovery, `the issuer is "https://dex.home.local" there, not "https://dex.example.org"`},
		"a Dex that differs by a slash":           {func(w *world) { w.target.DexIssuer = issuer + "/" }, enough, DexDiscovery, "not \"https://dex.home.local/\""},
		"a Dex under another path":                {func(w *world) { w.target.Dex += "/dex" }, little, DexDiscovery, "HTTP 404"},
		"a Dex that is an Authentik, by accident": {func(w *world) { w.target.Dex, w.target.DexIssuer = w.target.AuthentikIssuer, issuer }, enough, DexDiscovery, "the issuer is"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addDex()
			c.arrange(w)
			outcome, err := w.run(t.Context(), c.long)
			require.Equal(t, c.want, outcome, err)
			require.ErrorContains(t, err, c.message)
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, err.Error(), apiToken)
			require.NotContains(t, outcome.String(), "exit code", "each outcome has its words")
		})
	}
}

func TestAChangeByAnotherIsSeenBeforeDexIsScaled(t *testing.T) {
	w := newWorld(t)
	w.addDex()
	w.conflicts = 2
	outcome, err := w.run(t.Context(), enough)
	require.NoError(t, err)
	require.Equal(t, Synced, outcome)
	require.Equal(t, []int32{1}, w.scaled)
	require.Contains(t, w.log.String(), "waiting: Deployment auth-system/dex is scaled up: deployments.apps dex: Conflict")
}

func TestOneThatIsStoppedSaysSo(t *testing.T) {
	w := newWorld(t)
	w.authentik.Ready(false)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		for len(w.authentik.Calls()) == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		stop()
	}()
	outcome, err := w.run(ctx, enough)
	require.Equal(t, Interrupted, outcome)
	require.ErrorContains(t, err, "context canceled")
}

// The clock in here runs only while everybody waits.
func TestPausesBetweenTriesGrowUpToABound(t *testing.T) {
	const works = 8
	for name, c := range map[string]struct {
		takes time.Duration // how long a try takes, if it may
		want  []time.Duration
	}{
		"tries that fail at once":    {0, []time.Duration{0, 1, 3, 7, 15, 30, 45, 60}},
		"tries that nobody answers":  {time.Hour, []time.Duration{0, 11, 23, 37, 55, 80, 105, 130}},
		"tries that take their time": {2 * time.Second, []time.Duration{0, 3, 7, 13, 23, 40, 57, 74}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, tries := time.Now(), []time.Duration{}
				p := &patience{log: io.Discard, first: firstPause, longest: longestPause, each: tryTimeout}
				require.NoError(t, p.until(t.Context(), "it works", func(ctx context.Context) error {
					tries = append(tries, time.Since(began)/time.Second)
					if len(tries) == works {
						return nil
					}
					select {
					case <-ctx.Done():
					case <-time.After(c.takes):
					}
					return errors.New("not yet")
				}))
				require.Equal(t, c.want, tries, "in seconds")
			})
		})
	}
}

func TestWhatStandsInTheWayIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.authentik.Ready(false)
	_, err := w.run(t.Context(), little)
	require.Error(t, err)
	require.Greater(t, len(w.authentik.Calls()), 2)
	require.Equal(t, 1, strings.Count(w.log.String(), "waiting: "), w.log)
}
