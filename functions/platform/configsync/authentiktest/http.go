package authentiktest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	providersPath   = "/api/v3/providers/oauth2/"
	readyPath       = "/-/health/ready/"
	applicationPath = "/application/o/"
	discoverySuffix = "/.well-known/openid-configuration"
)

// ServeHTTP answers as Authentik does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fault := s.fault(r); fault != nil {
		fault(w, r)
		return
	}
	path := r.URL.Path
	switch {
	case path == readyPath:
		s.health(w)
	case strings.HasPrefix(path, applicationPath) && strings.HasSuffix(path, discoverySuffix):
		s.discovery(w, r)
	case !strings.HasPrefix(path, "/api/v3/"):
		http.Error(w, "<html>nothing here</html>", http.StatusNotFound)
	case r.Header.Get("Authorization") != "Bearer "+s.token:
		refuse(w, http.StatusForbidden, "this token is not valid")
	case path == providersPath && r.Method == http.MethodGet:
		s.list(w, r)
	case strings.HasPrefix(path, providersPath) && strings.HasSuffix(path, "/"):
		s.one(w, r)
	default:
		refuse(w, http.StatusNotFound, "no such path: "+path)
	}
}

func (s *Server) health(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// discovery is the part of the document that clients need.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	slug := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, applicationPath), discoverySuffix)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.providers, func(p Provider) bool { return p.Application == slug }) {
		http.Error(w, "<html>no such application</html>", http.StatusNotFound)
		return
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	base := scheme + r.Host + applicationPath
	issuer := s.issuer
	if issuer == "" {
		issuer = base + slug + "/"
	}
	answer(w, http.StatusOK, map[string]any{
		"issuer": issuer, "authorization_endpoint": base + "authorize/", "token_endpoint": base + "token/",
		"userinfo_endpoint": base + "userinfo/", "jwks_uri": base + slug + "/jwks/",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
}

// list serves a page of all providers, in the order of their names.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	for name := range query {
		if !slices.Contains([]string{"ordering", "page", "page_size"}, name) {
			refuse(w, http.StatusBadRequest, "the parameter "+name+" is not known here")
			return
		}
	}
	if ordering := query.Get("ordering"); ordering != "" && ordering != "name" {
		refuse(w, http.StatusBadRequest, "no ordering by "+ordering)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page, size, err := pageOf(query.Get("page"), query.Get("page_size"), s.pageSize)
	count := len(s.providers)
	pages := max(1, (count+size-1)/size)
	if err != nil || page > pages {
		refuse(w, http.StatusNotFound, "there is no such page")
		return
	}
	all := slices.SortedFunc(slices.Values(s.providers), func(a, b Provider) int { return strings.Compare(a.Name, b.Name) })
	first, end := (page-1)*size, min(page*size, count)
	results := []any{}
	for _, p := range all[first:end] {
		results = append(results, s.shown(p))
	}
	next := 0
	if page < pages {
		next = page + 1
	}
	answer(w, http.StatusOK, map[string]any{
		"pagination": map[string]any{
			"count": count, "current": page, "next": next, "previous": page - 1, "total_pages": pages, "start_index": first + 1, "end_index": end,
		},
		"results": results, "autocomplete": map[string]any{},
	})
}

func pageOf(page, size string, most int) (int, int, error) {
	number, of := 1, most
	var err error
	if page != "" {
		number, err = strconv.Atoi(page)
	}
	if size != "" && err == nil {
		of, err = strconv.Atoi(size)
	}
	if err != nil || number < 1 || of < 1 {
		return 1, most, fmt.Errorf("page %q of size %q", page, size)
	}
	return number, min(of, most), nil
}

// one serves a single provider.
func (s *Server) one(w http.ResponseWriter, r *http.Request) {
	pk, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, providersPath), "/"))
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(pk)
	switch {
	case err != nil || p == nil:
		refuse(w, http.StatusNotFound, "there is no such provider")
	case len(r.URL.Query()) > 0:
		refuse(w, http.StatusBadRequest, "there are no parameters here")
	case r.Method == http.MethodGet:
		answer(w, http.StatusOK, s.shown(*p))
	case r.Method == http.MethodPatch:
		s.change(w, r, p)
	default:
		refuse(w, http.StatusMethodNotAllowed, r.Method+" is not allowed here")
	}
}

// change sets fields of a provider. Of those that the schema has, only some exist here.
func (s *Server) change(w http.ResponseWriter, r *http.Request, p *Provider) {
	if r.Header.Get("Content-Type") != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "this is not JSON")
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	fields := map[string]any{}
	if err != nil || json.Unmarshal(body, &fields) != nil {
		refuse(w, http.StatusBadRequest, "this JSON does not parse")
		return
	}
	problems, changed := map[string]any{}, *p
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value, isText := fields[name].(string)
		length := utf8.RuneCountInString(value)
		switch {
		case name != "name" && name != "client_id" && name != "client_secret":
			problems[name] = []string{"there is no such field"}
		case !isText:
			problems[name] = []string{"this is not a string"}
		case name == "name" && length == 0, name == "client_id" && length == 0:
			problems[name] = []string{"this may not be empty"}
		case name != "name" && length > 255:
			problems[name] = []string{"this is longer than 255 characters"}
		case name == "client_id" && slices.ContainsFunc(s.providers, func(o Provider) bool { return o.PK != p.PK && o.ClientID == value }):
			problems[name] = []string{"another provider has this client id"}
		case name == "name":
			changed.Name = value
		case name == "client_id":
			changed.ClientID = value
		case name == "client_secret":
			changed.ClientSecret = value
		}
	}
	if len(problems) > 0 {
		answer(w, http.StatusBadRequest, problems)
		return
	}
	*p = changed
	answer(w, http.StatusOK, s.shown(changed))
}

// flow is some flow; a provider needs one, and nothing here looks at it.
const flow = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"

// shown is a provider with all fields that the schema requires, and those that are looked at.
func (s *Server) shown(p Provider) map[string]any {
	var application any
	if p.Application != "" {
		application = p.Application
	}
	o := map[string]any{
		"pk": p.PK, "name": p.Name, "client_id": p.ClientID, "client_secret": p.ClientSecret, "client_type": "confidential",
		"redirect_uris": p.RedirectURIs, "authorization_flow": flow, "invalidation_flow": flow, "property_mappings": []string{},
		"component": "ak-provider-oauth2-form", "meta_model_name": "authentik_providers_oauth2.oauth2provider",
		"verbose_name": "OAuth2/OpenID Provider", "verbose_name_plural": "OAuth2/OpenID Providers",
		"assigned_application_slug": application, "assigned_application_name": application,
		"assigned_backchannel_application_slug": nil, "assigned_backchannel_application_name": nil,
		"issuer_mode": "per_provider", "sub_mode": "hashed_user_id", "include_claims_in_id_token": true,
	}
	switch s.form {
	case Current:
	case Masked:
		o["client_secret"] = "***"
	case Old:
		var lines []string
		for _, uri := range p.RedirectURIs {
			lines = append(lines, uri.URL)
		}
		o["redirect_uris"] = strings.Join(lines, "\n")
	}
	return o
}

// refuse answers with the schema's GenericError.
func refuse(w http.ResponseWriter, status int, detail string) {
	answer(w, status, map[string]any{"detail": detail})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // A client that is gone needs no answer.
}
