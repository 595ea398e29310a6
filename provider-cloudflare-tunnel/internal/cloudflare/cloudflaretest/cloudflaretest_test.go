package cloudflaretest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	acc   = "0123456789abcdef0123456789abcdef"
	zone1 = "fedcba9876543210fedcba9876543210"
	cid   = "11111111-2222-4333-8444-555555555555"
)

type testEnvelope struct {
	Success    bool
	Errors     []apiError
	Messages   []apiError
	Result     json.RawMessage
	ResultInfo *resultInfo `json:"result_info"`
}

type client struct {
	t     *testing.T
	sim   *Simulator
	token string
}

func newClient(t *testing.T, o Options) *client {
	t.Helper()
	s := New(o)
	s.AddAccount(acc)
	s.AddZone(acc, zone1, "example.com")
	s.AddToken("token", AllPermissions...)
	return &client{t: t, sim: s, token: "token"}
}

// do makes a call without a network.
func (c *client) do(method, path, body string) (int, testEnvelope) {
	c.t.Helper()
	status, env, _ := c.call(method, path, body, nil)
	return status, env
}

func (c *client) call(method, path, body string, change func(*http.Request)) (int, testEnvelope, http.Header) {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, Prefix+"/"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	c.sim.ServeHTTP(w, r)
	var env testEnvelope
	require.NoError(c.t, json.Unmarshal(w.Body.Bytes(), &env), w.Body.String())
	require.Equal(c.t, w.Code < 300, env.Success)
	require.Equal(c.t, env.Success, len(env.Errors) == 0)
	return w.Code, env, w.Header()
}

// id is that of the result.
func (e testEnvelope) id(t *testing.T) string {
	t.Helper()
	var r struct{ ID string }
	require.NoError(t, json.Unmarshal(e.Result, &r))
	return r.ID
}

func TestBadCallsAreRefused(t *testing.T) {
	tunnels, records := "accounts/"+acc+"/cfd_tunnel", "zones/"+zone1+"/dns_records"
	for name, c := range map[string]struct {
		method, path, body string
		change             func(*http.Request)
		status, code       int
	}{
		"no token":                     {method: "GET", path: "zones", change: func(r *http.Request) { r.Header.Del("Authorization") }, status: 400, code: 9106},
		"no bearer":                    {method: "GET", path: "zones", change: func(r *http.Request) { r.Header.Set("Authorization", "token") }, status: 400, code: 6003},
		"an unknown token":             {method: "GET", path: "zones", change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, status: 403, code: 9109},
		"an unknown token to verify":   {method: "GET", path: "user/tokens/verify", change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, status: 401, code: 1000},
		"a user's token as an account": {method: "GET", path: "accounts/" + acc + "/tokens/verify", status: 401, code: 1000},
		"an unknown path":              {method: "GET", path: "nothing", status: 404, code: 7000},
		"a wrong method":               {method: "PUT", path: tunnels, body: "{}", status: 405, code: 10405},
		"a malformed account":          {method: "GET", path: "accounts/me/cfd_tunnel", status: 404, code: 7003},
		"an unknown account":           {method: "GET", path: "accounts/" + zone1 + "/cfd_tunnel", status: 403, code: 9109},
		"an unknown zone":              {method: "GET", path: "zones/" + acc + "/dns_records", status: 404, code: 7003},
		"an empty zone":                {method: "GET", path: "zones//dns_records", status: 404, code: 7003},
		"a malformed tunnel":           {method: "GET", path: tunnels + "/acme", status: 404, code: 7003},
		"a malformed record":           {method: "GET", path: records + "/acme", status: 404, code: 7003},
		"an unknown tunnel":            {method: "GET", path: tunnels + "/" + cid, status: 404, code: 1003},
		"an unknown record":            {method: "DELETE", path: records + "/" + acc, status: 404, code: 81044},
		"an unknown parameter":         {method: "GET", path: tunnels + "?nam=x", status: 400, code: 6007},
		"a bad page":                   {method: "GET", path: tunnels + "?page=0", status: 400, code: 6007},
		"too long a page":              {method: "GET", path: tunnels + "?per_page=1001", status: 400, code: 6007},
		"a bad flag":                   {method: "GET", path: tunnels + "?is_deleted=no", status: 400, code: 6007},
		"a body that is no JSON":       {method: "POST", path: tunnels, body: "name=acme", status: 400, code: 1001},
		"a body of another type":       {method: "POST", path: tunnels, body: "{}", change: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, status: 415, code: 10015},
		"an unknown field of a tunnel": {method: "POST", path: tunnels, body: `{"name":"acme","secret":"x"}`, status: 400, code: 1001},
		"a field of the wrong type":    {method: "POST", path: tunnels, body: `{"name":5}`, status: 400, code: 1001},
		"a tunnel without a name":      {method: "POST", path: tunnels, body: `{}`, status: 400, code: 1001},
		"a short secret":               {method: "POST", path: tunnels, body: `{"name":"acme","tunnel_secret":"c2hvcnQ="}`, status: 400, code: 1001},
		"a bad config source":          {method: "POST", path: tunnels, body: `{"name":"acme","config_src":"remote"}`, status: 400, code: 1001},
		"an unknown field of a record": {method: "POST", path: records, body: `{"type":"CNAME","name":"a.example.com","content":"b.c","tll":1}`, status: 400, code: 9207},
		"a record without content":     {method: "POST", path: records, body: `{"type":"CNAME","name":"a.example.com"}`, status: 400, code: 9207},
		"a name outside the zone":      {method: "POST", path: records, body: `{"type":"CNAME","name":"a.example.org","content":"b.c"}`, status: 400, code: 1004},
		"a bad name":                   {method: "POST", path: records, body: `{"type":"CNAME","name":"a b.example.com","content":"b.c"}`, status: 400, code: 1004},
		"a bad time to live":           {method: "POST", path: records, body: `{"type":"CNAME","name":"a.example.com","content":"b.c","ttl":59}`, status: 400, code: 1004},
		"a long comment":               {method: "POST", path: records, body: `{"type":"CNAME","name":"a.example.com","content":"b.c","comment":"` + strings.Repeat("x", 101) + `"}`, status: 400, code: 1004},
		"a comment of two lines":       {method: "POST", path: records, body: `{"type":"CNAME","name":"a.example.com","content":"b.c","comment":"a\nb"}`, status: 400, code: 1004},
		"tags":                         {method: "POST", path: records, body: `{"type":"CNAME","name":"a.example.com","content":"b.c","tags":["a:b"]}`, status: 400, code: 9300},
		"an alias of itself":           {method: "POST", path: records, body: `{"type":"CNAME","name":"a.example.com","content":"a.example.com"}`, status: 400, code: 1004},
		"an address that is none":      {method: "POST", path: records, body: `{"type":"A","name":"a.example.com","content":"::1"}`, status: 400, code: 1004},
		"an empty batch":               {method: "POST", path: records + "/batch", body: `{}`, status: 400, code: 9207},
		"an id in a batch's post":      {method: "POST", path: records + "/batch", body: `{"posts":[{"id":"x"}]}`, status: 400, code: 9207},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newClient(t, Options{})
			status, env, _ := cl.call(c.method, c.path, c.body, c.change)
			require.Equal(t, c.status, status)
			require.Equal(t, c.code, env.Errors[0].Code)
			require.Empty(t, cl.sim.Tunnels(acc))
			require.Empty(t, cl.sim.Records(zone1))
		})
	}
}

func TestPermissionsAreChecked(t *testing.T) {
	tunnels, records := "accounts/"+acc+"/cfd_tunnel", "zones/"+zone1+"/dns_records"
	for _, c := range []struct {
		has          []Permission
		method, path string
		allowed      bool
	}{
		{[]Permission{TunnelRead}, "GET", tunnels, true},
		{[]Permission{TunnelEdit}, "GET", tunnels, true},
		{[]Permission{DNSEdit}, "GET", tunnels, false},
		{[]Permission{TunnelRead}, "POST", tunnels, false},
		{[]Permission{TunnelRead}, "GET", tunnels + "/" + cid + "/token", false},
		{[]Permission{DNSRead}, "GET", records, true},
		{[]Permission{DNSRead}, "POST", records + "/batch", false},
		{[]Permission{DNSEdit}, "GET", "zones", false},
		{[]Permission{ZoneRead}, "GET", "zones/" + zone1, true},
		{nil, "GET", "user/tokens/verify", true},
	} {
		cl := newClient(t, Options{})
		cl.sim.AddToken("token", c.has...)
		status, _ := cl.do(c.method, c.path, "{}")
		require.Equal(t, c.allowed, status == 200, "%v %s %s: %d", c.has, c.method, c.path, status)
	}
	cl := newClient(t, Options{})
	cl.sim.SetToken(Token{Value: "token", Permissions: AllPermissions, Zones: []string{acc}})
	status, env := cl.do("GET", records, "")
	require.Equal(t, 403, status)
	require.Equal(t, 9109, env.Errors[0].Code)
	_, env = cl.do("GET", "zones?name=example.com", "")
	require.JSONEq(t, `[]`, string(env.Result), "a zone that the token may not see is not listed")
}

func TestDeletedTunnelsStayListed(t *testing.T) {
	c := newClient(t, Options{})
	path := "accounts/" + acc + "/cfd_tunnel"
	_, env := c.do("POST", path, `{"name":"acme","config_src":"local","tunnel_secret":"`+base64.StdEncoding.EncodeToString(make([]byte, 32))+`"}`)
	id := env.id(t)
	status, env := c.do("POST", path, `{"name":"acme"}`)
	require.Equal(t, 409, status)
	require.Equal(t, 1013, env.Errors[0].Code)
	status, _ = c.do("DELETE", path+"/"+id, "")
	require.Equal(t, 200, status)
	status, _ = c.do("DELETE", path+"/"+id, "")
	require.Equal(t, 404, status)

	_, env = c.do("GET", path+"/"+id, "")
	require.Contains(t, string(env.Result), `"deleted_at":"`)
	for query, want := range map[string]int{"": 1, "?is_deleted=false": 0, "?is_deleted=true": 1, "?name=acme": 1, "?name=acm": 0} {
		_, env = c.do("GET", path+query, "")
		require.Equal(t, want, env.ResultInfo.TotalCount, query)
	}
	status, _ = c.do("POST", path, `{"name":"acme"}`)
	require.Equal(t, 200, status)
	require.Len(t, c.sim.Tunnels(acc), 1)
}

func TestConnectorsConnectWithTheTunnelsToken(t *testing.T) {
	c := newClient(t, Options{})
	path := "accounts/" + acc + "/cfd_tunnel/" + c.sim.AddTunnel(acc, "acme")
	_, env := c.do("GET", path+"/token", "")
	var token string
	require.NoError(t, json.Unmarshal(env.Result, &token))

	require.Error(t, c.sim.Connect("nonsense", cid, "1"))
	require.Error(t, c.sim.Connect(token, "one", "1"))
	require.Equal(t, "inactive", c.sim.Tunnels(acc)[0].Status)
	require.NoError(t, c.sim.Connect(token, cid, "2026.4.0"))
	require.NoError(t, c.sim.Connect(token, cid, "2026.4.0"))
	require.Equal(t, "healthy", c.sim.Tunnels(acc)[0].Status)
	require.Equal(t, []string{cid}, c.sim.Tunnels(acc)[0].Connectors)

	status, env := c.do("DELETE", path, "")
	require.Equal(t, 400, status)
	require.Equal(t, 1022, env.Errors[0].Code)
	_, env = c.do("GET", path+"/connections", "")
	require.Contains(t, string(env.Result), `"version":"2026.4.0"`)
	status, _ = c.do("DELETE", path+"/connections?client_id="+zone1, "")
	require.Equal(t, 200, status)
	require.Equal(t, "healthy", c.sim.Tunnels(acc)[0].Status)
	require.True(t, c.sim.Disconnect(cid))
	require.False(t, c.sim.Disconnect(cid))
	require.Equal(t, "down", c.sim.Tunnels(acc)[0].Status)

	require.NoError(t, c.sim.Connect(token, cid, "2026.4.0"))
	status, _ = c.do("DELETE", path+"?cascade=true", "")
	require.Equal(t, 200, status)
	require.ErrorContains(t, c.sim.Connect(token, cid, "2026.4.0"), "not found")
}

func TestABatchIsAllOrNothing(t *testing.T) {
	c := newClient(t, Options{MaxBatch: 3})
	path := "zones/" + zone1 + "/dns_records"
	a := c.sim.AddRecord(zone1, Record{Type: "CNAME", Name: "a.example.com", Content: "x.net"})
	b := c.sim.AddRecord(zone1, Record{Type: "CNAME", Name: "b.example.com", Content: "x.net"})
	post := func(name string) string { return fmt.Sprintf(`{"type":"CNAME","name":%q,"content":"y.net"}`, name) }

	status, env := c.do("POST", path+"/batch", `{"deletes":[{"id":"`+a+`"}],"posts":[`+post("b.example.com")+`]}`)
	require.Equal(t, 400, status)
	require.Equal(t, 81053, env.Errors[0].Code)
	require.Len(t, c.sim.Records(zone1), 2)
	require.Equal(t, a, c.sim.Records(zone1)[0].ID)

	status, env = c.do("POST", path+"/batch",
		`{"posts":[`+post("a.example.com")+`],"patches":[{"id":"`+b+`","comment":"new"}],"deletes":[{"id":"`+a+`"}]}`)
	require.Equal(t, 200, status, "deletes come first")
	require.Contains(t, string(env.Result), `"comment":"new"`)
	records := c.sim.Records(zone1)
	require.Len(t, records, 2)
	require.Equal(t, Record{ID: b, Type: "CNAME", Name: "b.example.com", Content: "x.net", Comment: "new", TTL: 1}, records[0])

	status, _ = c.do("POST", path+"/batch", `{"posts":[`+strings.Join([]string{post("c.example.com"), post("d.example.com"), post("e.example.com"), post("f.example.com")}, ",")+`]}`)
	require.Equal(t, 400, status)
}

func TestRecordsAreFilteredAndPaged(t *testing.T) {
	c := newClient(t, Options{})
	for i := range 12 {
		c.sim.AddRecord(zone1, Record{Type: "CNAME", Name: fmt.Sprintf("r%02d.example.com", i), Content: "x.net", Comment: []string{"", "Aphex:1", "mine"}[i%3], Proxied: i < 4})
	}
	for query, want := range map[string]int{
		"":                                 12,
		"?name=R01.example.com":            1,
		"?name.exact=r01.example.com":      1,
		"?name.exact=r01":                  0,
		"?name.contains=r1":                2,
		"?name.endswith=.com&proxied=true": 4,
		"?comment.startswith=aphex:":       4,
		"?comment.present=":                8,
		"?comment.absent=true":             4,
		"?comment.exact=mine&name.startswith=r0&match=all": 3,
		"?comment.exact=mine&name.startswith=r0&match=any": 11,
		"?type=TXT":                       0,
		"?content.exact=x.net&type=CNAME": 12,
	} {
		_, env := c.do("GET", "zones/"+zone1+"/dns_records"+query, "")
		require.Equal(t, want, env.ResultInfo.TotalCount, query)
	}
	_, env := c.do("GET", "zones/"+zone1+"/dns_records?page=3&per_page=5&order=name&direction=desc", "")
	require.Equal(t, resultInfo{Page: 3, PerPage: 5, Count: 2, TotalCount: 12, TotalPages: 3}, *env.ResultInfo)
	require.Contains(t, string(env.Result), "r00.example.com")
}

func TestRecordsChange(t *testing.T) {
	c := newClient(t, Options{})
	path := "zones/" + zone1 + "/dns_records"
	status, env := c.do("POST", path, `{"type":"CNAME","name":"@","content":"X.net.","ttl":300,"proxied":true,"comment":"c"}`)
	require.Equal(t, 200, status)
	id := env.id(t)
	require.Equal(t, []Record{{ID: id, Type: "CNAME", Name: "example.com", Content: "x.net", Comment: "c", TTL: 1, Proxied: true}}, c.sim.Records(zone1))
	_, _ = c.do("PATCH", path+"/"+id, `{"content":"y.net"}`)
	require.Equal(t, "c", c.sim.Records(zone1)[0].Comment)
	_, _ = c.do("PUT", path+"/"+id, `{"type":"CNAME","name":"example.com","content":"z.net"}`)
	require.Equal(t, []Record{{ID: id, Type: "CNAME", Name: "example.com", Content: "z.net", TTL: 1}}, c.sim.Records(zone1))
	status, _ = c.do("PATCH", path+"/"+id, `{"name":"a.example.org"}`)
	require.Equal(t, 400, status)
	require.Equal(t, "example.com", c.sim.Records(zone1)[0].Name)
	_, env = c.do("DELETE", path+"/"+id, "")
	require.Equal(t, id, env.id(t))
}

func TestTooManyCallsBlockAUserForFiveMinutes(t *testing.T) {
	clock := NewClock(time.Unix(1_800_000_000, 0))
	c := newClient(t, Options{Budget: 3, Clock: clock.Now})
	c.sim.AddToken("other", AllPermissions...)
	for left := 2; left >= 0; left-- {
		status, _, h := c.call("GET", "user/tokens/verify", "", nil)
		require.Equal(t, 200, status)
		require.Equal(t, fmt.Sprint(left), h.Get("X-RateLimit-Remaining"))
		require.Equal(t, "3", h.Get("X-RateLimit-Limit"))
	}
	clock.Advance(4 * time.Minute)
	c.token = "other"
	status, _, h := c.call("GET", "user/tokens/verify", "", nil)
	require.Equal(t, 429, status, "all tokens of a user count together")
	require.Equal(t, "300", h.Get("Retry-After"))
	clock.Advance(4 * time.Minute)
	status, _, h = c.call("GET", "user/tokens/verify", "", nil)
	require.Equal(t, 429, status, "the block outlasts the window")
	require.Equal(t, "60", h.Get("Retry-After"))
	clock.Advance(time.Minute)
	status, _ = c.do("GET", "user/tokens/verify", "")
	require.Equal(t, 200, status)
}

func TestFaults(t *testing.T) {
	for f, c := range map[Fault]struct {
		carried, answered bool
		status            int
	}{
		Refuse:           {},
		DropAnswer:       {carried: true},
		Truncate:         {carried: true, answered: true, status: 200},
		ServerError:      {answered: true, status: 502},
		ServerErrorAfter: {answered: true, status: 500, carried: true},
		NotSuccess:       {answered: true, status: 200},
	} {
		t.Run(string(f), func(t *testing.T) {
			cl := newClient(t, Options{})
			server := httptest.NewServer(cl.sim)
			defer server.Close()
			cl.sim.FailNext("tunnel.create", f, 1)
			post := func() (*http.Response, error) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+Prefix+"/accounts/"+acc+"/cfd_tunnel", strings.NewReader(`{"name":"acme"}`))
				require.NoError(t, err)
				r.Header.Set("Authorization", "Bearer token")
				r.Header.Set("Content-Type", "application/json")
				return http.DefaultClient.Do(r)
			}
			res, err := post()
			require.Equal(t, c.answered, err == nil)
			if err == nil {
				defer func() { _ = res.Body.Close() }()
				require.Equal(t, c.status, res.StatusCode)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.NotContains(t, string(body), `"success":true`)
			}
			require.Equal(t, c.carried, len(cl.sim.Tunnels(acc)) == 1)
			require.Equal(t, c.carried, cl.sim.Calls()[0].Carried)

			res, err = post()
			require.NoError(t, err, "only the next call fails")
			_ = res.Body.Close()
			require.Len(t, cl.sim.Tunnels(acc), 1)
			require.Equal(t, 2, cl.sim.Count("tunnel."))
		})
	}
}

func TestFaultsComeAsOftenAsAsked(t *testing.T) {
	c := newClient(t, Options{Budget: -1})
	c.sim.SetFaults(Faults{ServerErrorAfter: 0.1, NotSuccess: 0.05, Latency: time.Microsecond, Jitter: time.Microsecond}, 7)
	for range 2000 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, Prefix+"/zones", nil)
		r.Header.Set("Authorization", "Bearer token")
		c.sim.ServeHTTP(httptest.NewRecorder(), r)
	}
	n := map[Fault]int{}
	for _, call := range c.sim.Calls() {
		n[call.Fault]++
	}
	require.InDelta(t, 200, n[ServerErrorAfter], 50)
	require.InDelta(t, 100, n[NotSuccess], 40)
	c.sim.ResetCalls()
	require.Empty(t, c.sim.Calls())
}
