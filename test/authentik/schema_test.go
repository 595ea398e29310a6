// Package authentik holds the config sync job, and the stand-in that its tests use, against the OpenAPI schema that Authentik
// publishes: what the one asks and what the other answers; and the composed blueprints, whose objects go through the same
// serializers. The schema is that of Authentik's own client, a module that is
// pinned here and read, but not built.
package authentik

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"aphex.io/platform/functions/platform/configsync"
	"aphex.io/platform/functions/platform/configsync/authentiktest"
)

// paths are those that are used; to check all others would take long.
var paths = []string{"/providers/oauth2/", "/providers/oauth2/{id}/"}

// schema is all that is published. Requests may not have fields that it does not name.
var schema = sync.OnceValues(func() (*openapi3.T, error) {
	out, err := exec.Command("go", "mod", "download", "-json", "goauthentik.io/api/v3").Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download: %w: %s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(module.Dir, "api", "openapi.yaml"))
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		return nil, err
	}
	for name := range doc.Components.Schemas {
		if strings.HasSuffix(name, "Request") {
			err = errors.Join(err, forbidMore(doc, name))
		}
	}
	return doc, err
})

// published is the part of the schema that the job uses, in answers too without more fields than it names.
var published = sync.OnceValues(func() (routers.Router, error) {
	doc, err := schema()
	if err != nil {
		return nil, err
	}
	used := openapi3.NewPaths()
	for _, path := range paths {
		item := doc.Paths.Value(path)
		if item == nil {
			return nil, fmt.Errorf("the schema has no %s", path)
		}
		used.Set(path, item)
	}
	doc.Paths = used
	for _, name := range []string{"OAuth2Provider", "PaginatedOAuth2ProviderList", "Pagination", "RedirectURI", "GenericError"} {
		if err := forbidMore(doc, name); err != nil {
			return nil, err
		}
	}
	return gorillamux.NewRouter(doc)
})

// forbidMore makes an object of the schema have no fields but those that it names.
func forbidMore(doc *openapi3.T, name string) error {
	object := doc.Components.Schemas[name]
	if object == nil {
		return fmt.Errorf("the schema has no %s", name)
	}
	no := false
	object.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
	return nil
}

// witness passes calls of the API on and notes what is not as published.
type witness struct {
	router routers.Router
	to     http.Handler

	mu       sync.Mutex
	seen     []string
	problems []string
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/api/v3/") {
		w.to.ServeHTTP(rw, r)
		return
	}
	answer := httptest.NewRecorder()
	problem := w.check(answer, r)
	w.mu.Lock()
	w.seen = append(w.seen, r.Method)
	if problem != nil {
		w.problems = append(w.problems, fmt.Sprintf("%s %s: %v", r.Method, r.URL, problem))
	}
	w.mu.Unlock()
	for name, values := range answer.Header() {
		rw.Header()[name] = values
	}
	rw.WriteHeader(answer.Code)
	_, _ = answer.Body.WriteTo(rw) // A client that is gone needs no answer.
}

func (w *witness) check(answer *httptest.ResponseRecorder, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	restore := func() { r.Body = io.NopCloser(bytes.NewReader(body)) }
	restore()
	route, parameters, err := w.router.FindRoute(r)
	if err != nil {
		return err
	}
	for name := range r.URL.Query() {
		if route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			return fmt.Errorf("the schema has no parameter %s", name)
		}
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, Route: route, PathParams: parameters,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: bearer},
	}
	if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
		return err
	}
	restore()
	w.to.ServeHTTP(answer, r)
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: answer.Code, Header: answer.Header(), Options: input.Options,
		Body: io.NopCloser(bytes.NewReader(answer.Body.Bytes())),
	})
}

// bearer is how the schema says that one authenticates.
func bearer(_ context.Context, input *openapi3filter.AuthenticationInput) error {
	if input.SecurityScheme.Scheme != "bearer" || !strings.HasPrefix(input.RequestValidationInput.Request.Header.Get("Authorization"), "Bearer ") {
		return fmt.Errorf("the schema asks for a %s", input.SecurityScheme.Scheme)
	}
	return nil
}

const token, secret = "an-api-token", "the-client-secret-of-dex"

// observed runs the job against the stand-in and returns what passed between them.
func observed(t *testing.T, server *authentiktest.Server, apiToken string, long time.Duration) (*witness, configsync.Outcome) {
	t.Helper()
	router, err := published()
	require.NoError(t, err)
	w := &witness{router: router, to: server}
	front := httptest.NewServer(w)
	t.Cleanup(front.Close)
	// All that is not Authentik is well already.
	others := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(r.URL.Path, "/apis/") {
			_, _ = io.WriteString(rw, `{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":1},"status":{"updatedReplicas":1,"availableReplicas":1}}`)
			return
		}
		_, _ = fmt.Fprintf(rw, `{"issuer":"http://%s","authorization_endpoint":"http://d/a","token_endpoint":"http://d/t","jwks_uri":"http://d/k"}`, r.Host)
	}))
	t.Cleanup(others.Close)
	target := configsync.Target{
		Authentik: front.URL, Token: apiToken, AuthentikIssuer: front.URL + "/application/o/platform-services/",
		Provider: configsync.Wanted{Name: "Dex OIDC Provider", ClientID: "dex-client", RedirectURI: "https://dex.home.local/callback", ClientSecret: secret},
		Dex:      others.URL, DexIssuer: others.URL, Namespace: "auth-system", Deployment: "dex",
	}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	log := &bytes.Buffer{}
	outcome, err := target.Run(ctx, &rest.Config{Host: others.URL}, log)
	t.Logf("%s%v", log, err)
	return w, outcome
}

func TestWhatIsAskedAndAnsweredIsAsPublished(t *testing.T) {
	for name, c := range map[string]struct {
		token   string
		long    time.Duration
		arrange func(*authentiktest.Server)
		outcome configsync.Outcome
		calls   []string
	}{
		"a secret that is set":       {token, time.Minute, func(*authentiktest.Server) {}, configsync.Synced, []string{"GET", "PATCH"}},
		"a secret that is not shown": {token, time.Minute, func(s *authentiktest.Server) { s.Show(authentiktest.Masked) }, configsync.Synced, []string{"GET", "PATCH"}},
		"many pages": {token, time.Minute, func(s *authentiktest.Server) {
			s.PageSize(1)
			s.Add(authentiktest.Provider{Name: "A", ClientID: "a"})
		}, configsync.Synced, []string{"GET", "GET", "PATCH"}},
		"a token that is refused": {"another", time.Second / 2, func(*authentiktest.Server) {}, configsync.TokenRefused, []string{"GET"}},
	} {
		t.Run(name, func(t *testing.T) {
			server, stop := authentiktest.Start(token)
			t.Cleanup(stop)
			server.Add(authentiktest.Provider{
				Name: "Dex OIDC Provider", ClientID: "dex-client", ClientSecret: "another", Application: "platform-services",
				RedirectURIs: authentiktest.Redirects("https://dex.home.local/callback"),
			})
			c.arrange(server)
			w, outcome := observed(t, server, c.token, c.long)
			require.Equal(t, c.outcome, outcome)
			require.Empty(t, w.problems)
			require.Equal(t, c.calls, w.seen)
		})
	}
}

// What is noticed shows that the schema is looked at.
func TestWhatIsNotAsPublishedIsNoticed(t *testing.T) {
	router, err := published()
	require.NoError(t, err)
	good := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"detail":"no"}`)
	}
	for name, c := range map[string]struct {
		method, path, body, problem string
		answer                      http.HandlerFunc
	}{
		"another path":             {"GET", "/api/v3/providers/oauth2", "", "no matching operation", good},
		"another method":           {"TRACE", "/api/v3/providers/oauth2/1/", "", "method not allowed", good},
		"a parameter":              {"GET", "/api/v3/providers/oauth2/?size=1", "", "no parameter size", good},
		"a page that is no number": {"GET", "/api/v3/providers/oauth2/?page=one", "", `"page"`, good},
		"an unknown field":         {"PATCH", "/api/v3/providers/oauth2/1/", `{"secret":"x"}`, `property "secret" is unsupported`, good},
		"a field of another type":  {"PATCH", "/api/v3/providers/oauth2/1/", `{"client_secret":1}`, "value must be a string", good},
		"an answer that is less": {"GET", "/api/v3/providers/oauth2/1/", "", `property "assigned_application_name" is missing`, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"name":"Dex"}`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &witness{router: router, to: c.answer}
			request := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
			request.Header.Set("Authorization", "Bearer x")
			if c.body != "" {
				request.Header.Set("Content-Type", "application/json")
			}
			w.ServeHTTP(httptest.NewRecorder(), request)
			require.Len(t, w.problems, 1)
			require.Contains(t, w.problems[0], c.problem)
		})
	}
}
