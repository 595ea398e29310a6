package ping_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/functions/internal/ping"
)

const secret = "a-webhook-secret-of-mine"

// answering is a server that answers everything alike.
func answering(t *testing.T, status int, body string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server
}

func target(url string) ping.Target {
	return ping.Target{URL: url, Secret: secret, Namespace: "org-acme", Listener: "github-listener"}
}

func TestAPingIsSignedAsGitHubDoes(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"eventListener":"github-listener","namespace":"org-acme","eventListenerUID":"u","eventID":"e"}`)
	}))
	defer server.Close()
	outcome, detail := target(server.URL).Send(t.Context(), server.Client())
	require.Equal(t, ping.Reached, outcome)
	require.Equal(t, "202 Accepted", detail)
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	require.Equal(t, "ping", got.Header.Get("X-GitHub-Event"))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	require.Equal(t, "sha256="+hex.EncodeToString(mac.Sum(nil)), got.Header.Get("X-Hub-Signature-256"))
	require.JSONEq(t, `{"zen":"Design for failure.","hook_id":0,"hook":{"type":"Repository","active":true,"events":["push"],"config":{"content_type":"json"}}}`, string(body))
}

func TestAnAnswerTellsWhichLinkIsAtFault(t *testing.T) {
	const ours = `{"eventListener":"github-listener","namespace":"org-acme"}`
	for name, c := range map[string]struct {
		status int
		body   string
		want   ping.Outcome
	}{
		"the listener of the organization":    {202, ours, ping.Reached},
		"that of another organization":        {202, `{"eventListener":"github-listener","namespace":"org-else"}`, ping.SomebodyElse},
		"another listener":                    {202, `{"eventListener":"other","namespace":"org-acme"}`, ping.SomebodyElse},
		"a page that is always fine":          {200, "<html>", ping.SomebodyElse},
		"nothing at all":                      {204, "", ping.SomebodyElse},
		"an answer without end":               {200, string(bytes.Repeat([]byte(" "), 1<<20)) + ours, ping.SomebodyElse},
		"Cloudflare without a tunnel":         {530, "error code: 1033", ping.NoTunnel},
		"connectors that do not know it":      {404, "", ping.UnknownHost},
		"connectors that do not get through":  {502, "", ping.NoListener},
		"Cloudflare that waited in vain":      {524, "", ping.NoListener},
		"the listener in trouble":             {500, "", ping.NoListener},
		"an access policy":                    {403, "", ping.TurnedAway},
		"an access policy that asks to login": {302, ours, ping.TurnedAway},
		"too many requests":                   {429, "", ping.TurnedAway},
	} {
		t.Run(name, func(t *testing.T) {
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			outcome, _ := target(answering(t, c.status, c.body).URL).Send(t.Context(), client)
			require.Equal(t, c.want, outcome, outcome)
		})
	}
}

func TestNoAnswerTellsWhichLinkIsAtFaultToo(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	for name, c := range map[string]struct {
		url  string
		dial error
		want ping.Outcome
	}{
		"a name that nobody knows":      {"https://nobody.invalid", &net.DNSError{Err: "no such host", Name: "nobody.invalid", IsNotFound: true}, ping.Unresolved},
		"a name server that is silent":  {"https://nobody.invalid", &net.DNSError{Err: "i/o timeout", Name: "nobody.invalid", IsTimeout: true}, ping.TimedOut},
		"a port that is closed":         {closed.URL, nil, ping.Unconnected},
		"a certificate of nobody":       {untrusted.URL, nil, ping.Untrusted},
		"a URL that is none":            {"https://a b", nil, ping.CannotStart},
		"a connection that takes long":  {"http://127.0.0.1", context.DeadlineExceeded, ping.TimedOut},
		"a server that speaks no HTTPS": {"https" + answering(t, 200, "").URL[len("http"):], nil, ping.Unconnected},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{}
			if c.dial != nil {
				transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, c.dial }
			}
			defer transport.CloseIdleConnections()
			outcome, detail := target(c.url).Send(t.Context(), &http.Client{Transport: transport})
			require.Equal(t, c.want, outcome, detail)
			require.NotEmpty(t, detail)
		})
	}
}

func TestAPingIsTriedUntilItArrivesOrTimeIsUp(t *testing.T) {
	server := answering(t, 530, "")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	log := &bytes.Buffer{}
	require.Equal(t, ping.NoTunnel, target(server.URL).Try(ctx, server.Client(), log))
	require.Equal(t, "POST "+server.URL+": Cloudflare has no connection to the tunnel: 530 status code 530\n", log.String())
}

func TestTheProgramEndsWithTheOutcomeAndKeepsTheSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(secret), 0o600))
	good := answering(t, 202, `{"eventListener":"github-listener","namespace":"org-acme"}`)
	arguments := func(more ...string) []string {
		return append([]string{"--url=" + good.URL, "--namespace=org-acme", "--listener=github-listener", "--secret-file=" + file}, more...)
	}
	for name, c := range map[string]struct {
		arguments []string
		want      ping.Outcome
	}{
		"a ping that arrives":         {arguments(), ping.Reached},
		"a secret that is not there":  {arguments("--secret-file=" + file + "x"), ping.CannotStart},
		"an argument that is unknown": {arguments("--else"), ping.CannotStart},
	} {
		t.Run(name, func(t *testing.T) {
			log := &bytes.Buffer{}
			require.Equal(t, int(c.want), ping.Main(c.arguments, log))
			require.NotEmpty(t, log.String())
			require.NotContains(t, log.String(), secret)
		})
	}
}
