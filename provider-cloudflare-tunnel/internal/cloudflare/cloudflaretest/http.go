package cloudflaretest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// window is what the budget counts over, and how long a user is blocked who exceeds it.
const window = 5 * time.Minute

// request is a call that reached its route.
type request struct {
	token   Token
	vars    map[string]string
	query   url.Values
	body    []byte
	account *account
	zone    *zone
}

// answer is what a route gives back: a result with where it is in a list, or an error.
type answer struct {
	status  int
	result  any
	info    *resultInfo
	message *apiError
	err     *apiError
}

type resultInfo struct {
	Page       int `json:"page"`
	PerPage    int `json:"per_page"`
	Count      int `json:"count"`
	TotalCount int `json:"total_count"`
	TotalPages int `json:"total_pages"`
}

type apiError struct {
	Code    int        `json:"code"`
	Message string     `json:"message"`
	Chain   []apiError `json:"error_chain,omitempty"`
}

func ok(result any) answer { return answer{status: http.StatusOK, result: result} }

func fail(status, code int, message string, chain ...apiError) answer {
	return answer{status: status, err: &apiError{Code: code, Message: message, Chain: chain}}
}

// route is one call of the API.
type route struct {
	op, method, path string
	// needs are the permissions of which one is needed.
	needs []Permission
	// params are the query parameters that exist.
	params []string
	handle func(*Simulator, *request) answer
}

var routes = []route{
	{op: "token.verify", method: "GET", path: "user/tokens/verify", handle: (*Simulator).verifyUserToken},
	{op: "token.verify", method: "GET", path: "accounts/{account}/tokens/verify", handle: (*Simulator).verifyAccountToken},

	{op: "tunnel.list", method: "GET", path: "accounts/{account}/cfd_tunnel", needs: []Permission{TunnelRead, TunnelEdit},
		params: []string{"name", "uuid", "is_deleted", "status", "include_prefix", "exclude_prefix", "page", "per_page"},
		handle: (*Simulator).listTunnels},
	{op: "tunnel.create", method: "POST", path: "accounts/{account}/cfd_tunnel", needs: []Permission{TunnelEdit}, handle: (*Simulator).createTunnel},
	{op: "tunnel.get", method: "GET", path: "accounts/{account}/cfd_tunnel/{tunnel}", needs: []Permission{TunnelRead, TunnelEdit}, handle: (*Simulator).getTunnel},
	{op: "tunnel.patch", method: "PATCH", path: "accounts/{account}/cfd_tunnel/{tunnel}", needs: []Permission{TunnelEdit}, handle: (*Simulator).patchTunnel},
	{op: "tunnel.delete", method: "DELETE", path: "accounts/{account}/cfd_tunnel/{tunnel}", needs: []Permission{TunnelEdit},
		params: []string{"cascade"}, handle: (*Simulator).deleteTunnel},
	{op: "tunnel.token", method: "GET", path: "accounts/{account}/cfd_tunnel/{tunnel}/token", needs: []Permission{TunnelEdit}, handle: (*Simulator).tunnelToken},
	{op: "connections.list", method: "GET", path: "accounts/{account}/cfd_tunnel/{tunnel}/connections", needs: []Permission{TunnelRead, TunnelEdit}, handle: (*Simulator).listConnections},
	{op: "connections.delete", method: "DELETE", path: "accounts/{account}/cfd_tunnel/{tunnel}/connections", needs: []Permission{TunnelEdit},
		params: []string{"client_id"}, handle: (*Simulator).deleteConnections},

	{op: "zone.list", method: "GET", path: "zones", needs: []Permission{ZoneRead}, params: []string{"name", "account.id", "status", "page", "per_page"}, handle: (*Simulator).listZones},
	{op: "zone.get", method: "GET", path: "zones/{zone}", needs: []Permission{ZoneRead}, handle: (*Simulator).getZone},

	{op: "record.list", method: "GET", path: "zones/{zone}/dns_records", needs: []Permission{DNSRead, DNSEdit}, params: recordParams, handle: (*Simulator).listRecords},
	{op: "record.create", method: "POST", path: "zones/{zone}/dns_records", needs: []Permission{DNSEdit}, handle: (*Simulator).createRecord},
	{op: "record.batch", method: "POST", path: "zones/{zone}/dns_records/batch", needs: []Permission{DNSEdit}, handle: (*Simulator).batchRecords},
	{op: "record.get", method: "GET", path: "zones/{zone}/dns_records/{record}", needs: []Permission{DNSRead, DNSEdit}, handle: (*Simulator).getRecord},
	{op: "record.patch", method: "PATCH", path: "zones/{zone}/dns_records/{record}", needs: []Permission{DNSEdit}, handle: (*Simulator).patchRecord},
	{op: "record.put", method: "PUT", path: "zones/{zone}/dns_records/{record}", needs: []Permission{DNSEdit}, handle: (*Simulator).putRecord},
	{op: "record.delete", method: "DELETE", path: "zones/{zone}/dns_records/{record}", needs: []Permission{DNSEdit}, handle: (*Simulator).deleteRecord},
}

// match finds the variables of a route's path. Literal parts are listed before variables of the same place.
func (r route) match(path string) (map[string]string, bool) {
	want, got := strings.Split(r.path, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	vars := make(map[string]string)
	for i, w := range want {
		if strings.HasPrefix(w, "{") {
			vars[strings.Trim(w, "{}")] = got[i]
		} else if w != got[i] {
			return nil, false
		}
	}
	return vars, true
}

// ServeHTTP implements http.Handler.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, under := strings.CutPrefix(r.URL.Path, Prefix+"/")
	if !under {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return
	}
	found, vars, wrongMethod := findRoute(r.Method, path)

	s.mu.Lock()
	fault, latency := s.pick(found.op)
	s.mu.Unlock()
	if latency > 0 {
		select {
		case <-time.After(latency):
		case <-r.Context().Done():
		}
	}

	s.mu.Lock()
	call := Call{Time: s.options.Clock(), Op: found.op, Method: r.Method, Path: path, Query: r.URL.RawQuery, Fault: fault}
	var a answer
	header := w.Header()
	if !fault.before() {
		a = s.answer(r, found, vars, wrongMethod, body, header)
		call.Status, call.Carried = a.status, a.err == nil
		if a.err != nil {
			call.Code = a.err.Code
		}
	}
	if len(s.calls) == maxCalls {
		s.calls = slices.Delete(s.calls, 0, maxCalls/2)
	}
	s.calls = append(s.calls, call)
	s.mu.Unlock()

	send(w, r, a, fault)
}

func findRoute(method, path string) (found route, vars map[string]string, wrongMethod bool) {
	for _, candidate := range routes {
		vars, match := candidate.match(path)
		switch {
		case match && candidate.method == method:
			return candidate, vars, false
		case match:
			wrongMethod = true
		}
	}
	return route{}, nil, wrongMethod
}

// send writes the answer, or what the fault leaves of it.
func send(w http.ResponseWriter, r *http.Request, a answer, fault Fault) {
	switch fault {
	case Refuse, DropAnswer:
		panic(http.ErrAbortHandler)
	case Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case ServerError:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head></html>")
		return
	case ServerErrorAfter:
		a = fail(http.StatusInternalServerError, 10001, "Internal server error")
	case NotSuccess:
		a = answer{status: http.StatusOK, err: &apiError{Code: 10001, Message: "Unable to authenticate request upstream"}}
	case None, Truncate:
	}
	envelope := map[string]any{"success": a.err == nil, "errors": []apiError{}, "messages": []apiError{}, "result": a.result}
	if a.err != nil {
		envelope["errors"] = []apiError{*a.err}
	}
	if a.message != nil {
		envelope["messages"] = []apiError{*a.message}
	}
	if a.info != nil {
		envelope["result_info"] = a.info
	}
	out, err := json.Marshal(envelope)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	if fault == Truncate {
		w.WriteHeader(a.status)
		_, _ = w.Write(out[:len(out)/2])
		return
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(out)
}

// answer checks everything that is the same for all calls and then carries the call out.
func (s *Simulator) answer(r *http.Request, found route, vars map[string]string, wrongMethod bool, body []byte, h http.Header) answer {
	token, refused := s.authenticate(r)
	if refused != nil {
		return *refused
	}
	if refused := s.spend(token, h); refused != nil {
		return *refused
	}
	switch {
	case found.op == "" && wrongMethod:
		return fail(http.StatusMethodNotAllowed, 10405, "Method not allowed for this authentication scheme")
	case found.op == "":
		return fail(http.StatusNotFound, 7000, "No route for that URI")
	}
	req := &request{token: token, vars: vars, query: r.URL.Query(), body: body}
	if refused := s.resolve(req, r.URL.Path); refused != nil {
		return *refused
	}
	if len(found.needs) > 0 && !slices.ContainsFunc(found.needs, func(p Permission) bool { return slices.Contains(token.Permissions, p) }) {
		return fail(http.StatusForbidden, 10000, "Authentication error")
	}
	for name, values := range req.query {
		// The real API ignores parameters that it does not know; here they are mistakes. The code was never seen.
		if !slices.Contains(found.params, name) || len(values) != 1 {
			return fail(http.StatusBadRequest, 6007, "Malformed query string: "+name)
		}
	}
	hasBody := r.Method == http.MethodPost || r.Method == http.MethodPatch || r.Method == http.MethodPut
	if hasBody && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return fail(http.StatusUnsupportedMediaType, 10015, "The Content-Type must be application/json")
	}
	return found.handle(s, req)
}

// authenticate finds the token of a request.
func (s *Simulator) authenticate(r *http.Request) (Token, *answer) {
	header := r.Header.Get("Authorization")
	value, bearer := strings.CutPrefix(header, "Bearer ")
	var a answer
	switch {
	case header == "":
		a = fail(http.StatusBadRequest, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
	case !bearer || value == "" || strings.ContainsAny(value, " \t\n"):
		a = fail(http.StatusBadRequest, 6003, "Invalid request headers", apiError{Code: 6111, Message: "Invalid format for Authorization header"})
	default:
		token, known := s.tokens[value]
		if known && !token.Disabled {
			return token, nil
		}
		a = fail(http.StatusForbidden, 9109, "Invalid access token")
		if strings.HasSuffix(r.URL.Path, "/tokens/verify") {
			a = fail(http.StatusUnauthorized, 1000, "Invalid API Token")
		}
	}
	return Token{}, &a
}

// spend counts a call against the budget of the token's owner, which all tokens of a user share.
func (s *Simulator) spend(token Token, h http.Header) *answer {
	if s.options.Budget < 0 {
		return nil
	}
	now := s.options.Clock()
	owner := token.Owner
	sent := s.sent[owner]
	for len(sent) > 0 && now.Sub(sent[0]) >= window {
		sent = sent[1:]
	}
	if now.Before(s.blockedUntil[owner]) || len(sent) >= s.options.Budget {
		if !now.Before(s.blockedUntil[owner]) {
			s.blockedUntil[owner] = now.Add(window)
		}
		s.sent[owner] = sent
		wait := strconv.Itoa(int(math.Ceil(s.blockedUntil[owner].Sub(now).Seconds())))
		h.Set("Retry-After", wait)
		h.Set("X-RateLimit-Reset", wait)
		h.Set("X-RateLimit-Limit", strconv.Itoa(s.options.Budget))
		h.Set("X-RateLimit-Remaining", "0")
		a := fail(http.StatusTooManyRequests, 971, "Please wait and consider throttling your request speed")
		return &a
	}
	s.sent[owner] = append(sent, now)
	left := s.options.Budget - len(sent) - 1
	h.Set("X-RateLimit-Limit", strconv.Itoa(s.options.Budget))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
	return nil
}

// resolve finds the account or zone of a call and checks that the token may see it.
func (s *Simulator) resolve(req *request, path string) *answer {
	lost := fail(http.StatusNotFound, 7003, "Could not route to "+path+", perhaps your object identifier is invalid?")
	denied := fail(http.StatusForbidden, 9109, "Unauthorized to access requested resource")
	t := req.token
	if id, named := req.vars["account"]; named {
		req.account = s.accounts[id]
		switch {
		case !isHex(id):
			return &lost
		case req.account == nil || (len(t.Accounts) > 0 && !slices.Contains(t.Accounts, id)):
			return &denied
		}
	}
	if id, named := req.vars["zone"]; named {
		req.zone = s.zones[id]
		switch {
		case req.zone == nil:
			return &lost
		case len(t.Zones) > 0 && !slices.Contains(t.Zones, id):
			return &denied
		}
	}
	if id, named := req.vars["tunnel"]; named && !isUUID(id) {
		return &lost
	}
	if id, named := req.vars["record"]; named && !isHex(id) {
		return &lost
	}
	return nil
}

// decode reads a body strictly.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

// page cuts a page out of a list.
func page[T any](s *Simulator, q url.Values, items []T, byDefault, most int) ([]T, *resultInfo, *answer) {
	number, err := intParam(q, "page", 1, 1, math.MaxInt32)
	if err != nil {
		return nil, nil, err
	}
	size, err := intParam(q, "per_page", byDefault, 1, most)
	if err != nil {
		return nil, nil, err
	}
	if s.options.MaxPage > 0 {
		size = min(size, s.options.MaxPage)
	}
	from := min((number-1)*size, len(items))
	to := min(from+size, len(items))
	info := &resultInfo{
		Page: number, PerPage: size, Count: to - from, TotalCount: len(items), TotalPages: (len(items) + size - 1) / size,
	}
	return items[from:to], info, nil
}

func intParam(q url.Values, name string, byDefault, least, most int) (int, *answer) {
	if !q.Has(name) {
		return byDefault, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < least || n > most {
		// The code was never seen.
		a := fail(http.StatusBadRequest, 6007, "Malformed query string: "+name)
		return 0, &a
	}
	return n, nil
}

func boolParam(q url.Values, name string) (value, given bool, refused *answer) {
	switch q.Get(name) {
	case "true":
		return true, true, nil
	case "false":
		return false, true, nil
	case "":
		return false, false, nil
	}
	a := fail(http.StatusBadRequest, 6007, "Malformed query string: "+name)
	return false, false, &a
}

func (s *Simulator) verifyUserToken(r *request) answer {
	if r.token.Owner != "" {
		return fail(http.StatusUnauthorized, 1000, "Invalid API Token")
	}
	return verified()
}

func (s *Simulator) verifyAccountToken(r *request) answer {
	if r.token.Owner != r.account.id {
		return fail(http.StatusUnauthorized, 1000, "Invalid API Token")
	}
	return verified()
}

func verified() answer {
	a := ok(map[string]any{"id": newHex(), "status": "active"})
	a.message = &apiError{Code: 10000, Message: "This API Token is valid and active"}
	return a
}

func (s *Simulator) zoneJSON(z *zone) map[string]any {
	return map[string]any{
		"id": z.id, "name": z.name, "status": "active", "paused": false, "type": "full",
		"account": map[string]any{"id": z.account, "name": "Account " + z.account[:4]},
	}
}

func (s *Simulator) listZones(r *request) answer {
	var found []map[string]any
	ids := make([]string, 0, len(s.zones))
	for id := range s.zones {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		z := s.zones[id]
		visible := len(r.token.Zones) == 0 || slices.Contains(r.token.Zones, id)
		named := r.query.Get("name") == "" || strings.EqualFold(r.query.Get("name"), z.name)
		inAccount := r.query.Get("account.id") == "" || r.query.Get("account.id") == z.account
		active := r.query.Get("status") == "" || r.query.Get("status") == "active"
		if visible && named && inAccount && active {
			found = append(found, s.zoneJSON(z))
		}
	}
	items, info, refused := page(s, r.query, found, 20, 50)
	if refused != nil {
		return *refused
	}
	a := ok(append([]map[string]any{}, items...))
	a.info = info
	return a
}

func (s *Simulator) getZone(r *request) answer { return ok(s.zoneJSON(r.zone)) }
