package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
)

// control answers these requests; bodies and answers are JSON, and refusals 4xx with a line of text.
//
//	PUT    /accounts/{account}               adds an account
//	PUT    /zones/{zone}                     {"account", "name"} adds a zone
//	DELETE /zones/{zone}                     removes one, with its records
//	PUT    /tokens                           a cloudflaretest.Token adds or replaces a token
//	PUT    /faults                           {"faults": a cloudflaretest.Faults, "seed"} sets how often calls fail
//	PUT    /connectors/{connector}           {"token", "version", "colos"} connects a connector; 403 if Cloudflare would refuse it
//	DELETE /connectors/{connector}           disconnects it
//	GET    /accounts/{account}/tunnels       the live ones, as []cloudflaretest.Tunnel
//	POST   /accounts/{account}/tunnels       {"name"} makes one as a stranger would; answers {"id"}
//	DELETE /accounts/{account}/tunnels/{id}  deletes one as a stranger would
//	GET    /zones/{zone}/records             []cloudflaretest.Record
//	POST   /zones/{zone}/records             a cloudflaretest.Record makes one as a stranger would; answers {"id"}
//	DELETE /zones/{zone}/records/{id}        deletes one as a stranger would
//	GET    /calls                            how many calls there were of each kind
//	DELETE /calls                            forgets them
func control(s *cloudflaretest.Simulator) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /accounts/{account}", func(w http.ResponseWriter, r *http.Request) {
		guard(w, func() { s.AddAccount(r.PathValue("account")) })
	})
	mux.HandleFunc("PUT /zones/{zone}", func(w http.ResponseWriter, r *http.Request) {
		if zone, ok := body[struct{ Account, Name string }](w, r); ok {
			guard(w, func() { s.AddZone(zone.Account, r.PathValue("zone"), zone.Name) })
		}
	})
	mux.HandleFunc("DELETE /zones/{zone}", func(w http.ResponseWriter, r *http.Request) {
		found(w, s.RemoveZone(r.PathValue("zone")))
	})
	mux.HandleFunc("PUT /tokens", func(w http.ResponseWriter, r *http.Request) {
		if token, ok := body[cloudflaretest.Token](w, r); ok {
			s.SetToken(token)
		}
	})
	mux.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		if f, ok := body[struct {
			Faults cloudflaretest.Faults
			Seed   uint64
		}](w, r); ok {
			s.SetFaults(f.Faults, f.Seed)
		}
	})
	mux.HandleFunc("PUT /connectors/{connector}", func(w http.ResponseWriter, r *http.Request) {
		c, ok := body[struct {
			Token, Version string
			Colos          []string
		}](w, r)
		if !ok {
			return
		}
		if err := s.Connect(c.Token, r.PathValue("connector"), c.Version, c.Colos...); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	})
	mux.HandleFunc("DELETE /connectors/{connector}", func(w http.ResponseWriter, r *http.Request) {
		found(w, s.Disconnect(r.PathValue("connector")))
	})

	mux.HandleFunc("GET /accounts/{account}/tunnels", func(w http.ResponseWriter, r *http.Request) {
		guard(w, func() { write(w, s.Tunnels(r.PathValue("account"))) })
	})
	mux.HandleFunc("POST /accounts/{account}/tunnels", func(w http.ResponseWriter, r *http.Request) {
		if t, ok := body[struct{ Name string }](w, r); ok {
			guard(w, func() { write(w, made{s.AddTunnel(r.PathValue("account"), t.Name)}) })
		}
	})
	mux.HandleFunc("DELETE /accounts/{account}/tunnels/{id}", func(w http.ResponseWriter, r *http.Request) {
		guard(w, func() { found(w, s.RemoveTunnel(r.PathValue("account"), r.PathValue("id"))) })
	})
	mux.HandleFunc("GET /zones/{zone}/records", func(w http.ResponseWriter, r *http.Request) {
		guard(w, func() { write(w, s.Records(r.PathValue("zone"))) })
	})
	mux.HandleFunc("POST /zones/{zone}/records", func(w http.ResponseWriter, r *http.Request) {
		if record, ok := body[cloudflaretest.Record](w, r); ok {
			guard(w, func() { write(w, made{s.AddRecord(r.PathValue("zone"), record)}) })
		}
	})
	mux.HandleFunc("DELETE /zones/{zone}/records/{id}", func(w http.ResponseWriter, r *http.Request) {
		guard(w, func() { found(w, s.RemoveRecord(r.PathValue("zone"), r.PathValue("id"))) })
	})

	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) {
		counts := map[string]int{}
		for _, c := range s.Calls() {
			counts[c.Op]++
		}
		write(w, counts)
	})
	mux.HandleFunc("DELETE /calls", func(http.ResponseWriter, *http.Request) { s.ResetCalls() })
	return mux
}

// made is the answer to what makes something.
type made struct {
	ID string `json:"id"`
}

// body reads the body of a request, and refuses what it does not know.
func body[T any](w http.ResponseWriter, r *http.Request) (v T, ok bool) {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		http.Error(w, fmt.Sprintf("the body: %v", err), http.StatusBadRequest)
		return v, false
	}
	return v, true
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // A client that has gone does not miss it.
}

func found(w http.ResponseWriter, found bool) {
	if !found {
		http.Error(w, "there is none", http.StatusNotFound)
	}
}

// guard answers with what the simulator says where it is used wrongly: it panics, for the tests that use it directly.
func guard(w http.ResponseWriter, f func()) {
	defer func() {
		if wrong := recover(); wrong != nil {
			http.Error(w, fmt.Sprint(wrong), http.StatusBadRequest)
		}
	}()
	f()
}
