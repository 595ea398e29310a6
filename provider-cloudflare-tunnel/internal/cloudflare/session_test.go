package cloudflare

import (
	"cmp"
	"context"
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

	sim "aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
)

const (
	account = "0123456789abcdef0123456789abcdef"
	zone    = "fedcba9876543210fedcba9876543210"
	token   = "a-token-that-must-not-leak"
	uid     = "6f2c7a52-3a64-4c40-9f0e-0a3d5a3f7b11"
)

var secret = Secret(strings.Repeat("s", 32))

// world is a simulator, the way to it, and a session on it.
type world struct {
	*sim.Simulator
	server  *httptest.Server
	url     string
	network http.RoundTripper
	api     *Session
}

func newWorld(t *testing.T, o sim.Options) *world {
	t.Helper()
	w := &world{Simulator: sim.New(o)}
	w.server = httptest.NewServer(w)
	t.Cleanup(func() {
		w.server.CloseClientConnections()
		w.server.Close()
	})
	w.url = w.server.URL
	w.begin(t)
	return w
}

// newTimelessWorld has no network, for a synctest bubble: nothing takes time there but what waits.
func newTimelessWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Simulator: sim.New(sim.Options{}), url: "http://127.0.0.1"}
	w.network = roundTripper(func(r *http.Request) (*http.Response, error) {
		r, answer := r.Clone(r.Context()), httptest.NewRecorder()
		r.Body = cmp.Or[io.ReadCloser](r.Body, http.NoBody)
		w.ServeHTTP(answer, r)
		return answer.Result(), nil
	})
	w.begin(t)
	return w
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// begin fills the world.
func (w *world) begin(t *testing.T) {
	t.Helper()
	w.AddAccount(account)
	w.AddZone(account, zone, "example.com")
	w.AddToken(token, sim.AllPermissions...)
	w.api = w.session(t, token, Options{BatchWindow: time.Millisecond})
}

// session is one in a process of its own.
func (w *world) session(t *testing.T, token string, o Options) *Session {
	t.Helper()
	o.Transport = w.network
	s, err := NewRegistry(o).Session(Config{Token: token, BaseURL: w.url + sim.Prefix})
	require.NoError(t, err)
	return s
}

func cname(name string) RecordSpec {
	return RecordSpec{
		Type: "CNAME", Name: name, Content: "1280a396-767b-4e77-9425-735765b5f1ae.cfargotunnel.com",
		Comment: MarkFor(uid).Comment(""), TTL: 1, Proxied: true,
	}
}

func TestATunnelsLife(t *testing.T) {
	w := newWorld(t, sim.Options{})
	ctx := t.Context()

	made, err := w.api.CreateTunnel(ctx, account, "acme", secret)
	require.NoError(t, err)
	require.Equal(t, "acme", made.Name)
	require.Equal(t, "inactive", made.Status)
	require.Equal(t, "local", made.ConfigSource)
	require.False(t, made.CreatedAt.IsZero())
	require.Equal(t, made.ID+".cfargotunnel.com", made.CNAME())
	require.Equal(t, []byte(secret), w.Tunnels(account)[0].Secret)

	for _, f := range []Freshness{Shared, Direct} {
		found, err := w.api.FindTunnel(ctx, account, "acme", f)
		require.NoError(t, err)
		require.Equal(t, made.ID, found.ID)
		got, err := w.api.GetTunnel(ctx, account, made.ID, f)
		require.NoError(t, err)
		require.Equal(t, made, got)
	}

	renamed, err := w.api.RenameTunnel(ctx, account, made.ID, "acme-2")
	require.NoError(t, err)
	require.Equal(t, made.ID, renamed.ID)
	_, err = w.api.FindTunnel(ctx, account, "acme", Shared)
	require.ErrorIs(t, err, ErrNotFound)

	creds, err := w.api.TunnelCredentials(ctx, account, made.ID)
	require.NoError(t, err)
	require.Equal(t, secret, creds.TunnelSecret)
	require.Equal(t, account, creds.AccountTag)

	require.NoError(t, w.Connect(creds.Token(), "11111111-2222-4333-8444-555555555555", "2026.4.0", "fra03", "ams08"))
	connectors, err := w.api.Connectors(ctx, account, made.ID)
	require.NoError(t, err)
	want := []Connector{{ID: "11111111-2222-4333-8444-555555555555", Version: "2026.4.0", Colos: []string{"ams08", "fra03"}}}
	require.Equal(t, want, connectors)
	got, err := w.api.GetTunnel(ctx, account, made.ID, Direct)
	require.NoError(t, err)
	require.Equal(t, want, got.Connectors)
	require.Equal(t, "healthy", got.Status)

	require.ErrorIs(t, w.api.DeleteTunnel(ctx, account, made.ID), ErrConnectionsActive)
	require.NoError(t, w.api.DropConnections(ctx, account, made.ID))
	require.NoError(t, w.api.DeleteTunnel(ctx, account, made.ID))
	require.Empty(t, w.Tunnels(account))

	for _, f := range []Freshness{Shared, Direct} {
		_, err = w.api.GetTunnel(ctx, account, made.ID, f)
		require.ErrorIs(t, err, ErrNotFound, "a deleted tunnel, which Cloudflare still returns, is none")
		_, err = w.api.FindTunnel(ctx, account, "acme-2", f)
		require.ErrorIs(t, err, ErrNotFound)
	}
	require.ErrorIs(t, w.api.DeleteTunnel(ctx, account, made.ID), ErrNotFound)
	_, err = w.api.TunnelCredentials(ctx, account, made.ID)
	require.ErrorIs(t, err, ErrNotFound)
}

func TestRotationReplacesTheSecret(t *testing.T) {
	w := newWorld(t, sim.Options{})
	ctx := t.Context()
	second := Secret(strings.Repeat("2", 64))
	made, err := w.api.CreateTunnel(ctx, account, "acme", secret)
	require.NoError(t, err)
	before, err := w.api.TunnelCredentials(ctx, account, made.ID)
	require.NoError(t, err)
	require.NoError(t, w.Connect(before.Token(), "11111111-2222-4333-8444-555555555555", "2026.4.0"))

	_, err = w.api.RotateTunnelSecret(ctx, account, made.ID, second)
	require.NoError(t, err)
	after, err := w.api.TunnelCredentials(ctx, account, made.ID)
	require.NoError(t, err)
	require.Equal(t, made.ID, after.TunnelID)
	require.Equal(t, secret, before.TunnelSecret)
	require.Equal(t, second, after.TunnelSecret)

	require.NoError(t, w.api.DropConnections(ctx, account, made.ID))
	require.ErrorContains(t, w.Connect(before.Token(), "11111111-2222-4333-8444-555555555555", "2026.4.0"), "Invalid tunnel secret")
	require.NoError(t, w.Connect(after.Token(), "11111111-2222-4333-8444-666666666666", "2026.4.0"))
}

func TestARecordsLife(t *testing.T) {
	w := newWorld(t, sim.Options{})
	ctx := t.Context()

	made, err := w.api.CreateRecord(ctx, zone, cname("acme.example.com"))
	require.NoError(t, err)
	require.Equal(t, cname("acme.example.com"), made.RecordSpec)
	require.Equal(t, zone, made.Zone)

	for _, f := range []Freshness{Shared, Direct} {
		found, err := w.api.FindRecords(ctx, zone, "ACME.example.com", f)
		require.NoError(t, err)
		require.Equal(t, []Record{made}, found)
		got, err := w.api.GetRecord(ctx, zone, made.ID, f)
		require.NoError(t, err)
		require.Equal(t, made, got)
	}

	spec := cname("acme.example.com")
	spec.Content, spec.Comment = "other.cfargotunnel.com", MarkFor(uid).Comment("hook of acme")
	updated, err := w.api.UpdateRecord(ctx, zone, made.ID, spec)
	require.NoError(t, err)
	require.Equal(t, spec, updated.RecordSpec)
	require.Equal(t, "other.cfargotunnel.com", w.Records(zone)[0].Content)

	require.NoError(t, w.api.DeleteRecord(ctx, zone, made.ID))
	require.Empty(t, w.Records(zone))
	require.ErrorIs(t, w.api.DeleteRecord(ctx, zone, made.ID), ErrNotFound)
	for _, f := range []Freshness{Shared, Direct} {
		found, err := w.api.FindRecords(ctx, zone, "acme.example.com", f)
		require.NoError(t, err)
		require.Empty(t, found)
		_, err = w.api.GetRecord(ctx, zone, made.ID, f)
		require.ErrorIs(t, err, ErrNotFound)
	}
}

func TestATakenNameIsAConflict(t *testing.T) {
	target := sim.Record{Type: "CNAME", Name: "acme.example.com", Content: "elsewhere.example.net"}
	identical := sim.Record{Type: "CNAME", Name: "acme.example.com", Content: cname("").Content}
	address := sim.Record{Type: "A", Name: "acme.example.com", Content: "192.0.2.1"}
	for name, c := range map[string]struct {
		options sim.Options
		there   sim.Record
		create  RecordSpec
		code    int
	}{
		"another alias":                        {there: target, create: cname("acme.example.com"), code: 81053},
		"an address":                           {there: address, create: cname("acme.example.com"), code: 81053},
		"an alias in the way of an address":    {there: target, create: RecordSpec{Type: "A", Name: "acme.example.com", Content: "192.0.2.2", TTL: 1}, code: 81054},
		"the same record":                      {there: identical, create: cname("acme.example.com"), code: 81058},
		"the same record, by an older version": {options: sim.Options{OldIdenticalCode: true}, there: identical, create: cname("acme.example.com"), code: 81057},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.options)
			id := w.AddRecord(zone, c.there)
			_, err := w.api.CreateRecord(t.Context(), zone, c.create)
			require.ErrorIs(t, err, ErrConflict)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.code, e.Code)

			shared, err := w.api.FindRecords(t.Context(), zone, "acme.example.com", Shared)
			require.NoError(t, err)
			require.Empty(t, shared, "a record without a mark is not ours to see")
			direct, err := w.api.FindRecords(t.Context(), zone, "acme.example.com", Direct)
			require.NoError(t, err)
			require.Len(t, direct, 1)
			require.Equal(t, id, direct[0].ID)
		})
	}

	t.Run("a tunnel", func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		id := w.AddTunnel(account, "acme")
		_, err := w.api.CreateTunnel(t.Context(), account, "acme", secret)
		require.ErrorIs(t, err, ErrConflict)
		found, err := w.api.FindTunnel(t.Context(), account, "acme", Direct)
		require.NoError(t, err)
		require.Equal(t, id, found.ID)
		creds, err := w.api.TunnelCredentials(t.Context(), account, id)
		require.NoError(t, err)
		require.NotEqual(t, secret, creds.TunnelSecret)

		other, err := w.api.CreateTunnel(t.Context(), account, "other", secret)
		require.NoError(t, err)
		_, err = w.api.RenameTunnel(t.Context(), account, other.ID, "acme")
		require.ErrorIs(t, err, ErrConflict)
	})

	t.Run("a deleted tunnel is in nobody's way", func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		w.RemoveTunnel(account, w.AddTunnel(account, "acme"))
		_, err := w.api.CreateTunnel(t.Context(), account, "acme", secret)
		require.NoError(t, err)
	})
}

// Whatever happens to the answer of a creation, the next try finds out, and there is one tunnel and one record.
func TestACreationMayBeCutAnywhere(t *testing.T) {
	for _, f := range []sim.Fault{sim.Refuse, sim.ServerError, sim.ServerErrorAfter, sim.DropAnswer, sim.Truncate, sim.NotSuccess, sim.Hang} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %t", f, restart), func(t *testing.T) {
				w := newWorld(t, sim.Options{})
				mine := Secret("a secret of 64 bytes, the second half of which says whose it is:")
				require.Len(t, mine, 64)
				// The lists are warm and know of nothing.
				_, err := w.api.FindTunnel(t.Context(), account, "acme", Shared)
				require.ErrorIs(t, err, ErrNotFound)
				_, err = w.api.FindRecords(t.Context(), zone, "acme.example.com", Shared)
				require.NoError(t, err)

				w.FailNext("tunnel.create", f, 1)
				w.FailNext("record.create", f, 1)
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				_, err = w.api.CreateTunnel(ctx, account, "acme", mine)
				require.Error(t, err)
				require.True(t, uncertain(err), "%v", err)
				ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				_, err = w.api.CreateRecord(ctx, zone, cname("acme.example.com"))
				require.Error(t, err)
				require.True(t, uncertain(err), "%v", err)

				api := w.api
				if restart {
					api = w.session(t, token, Options{BatchWindow: time.Millisecond})
				}
				found, err := api.FindTunnel(t.Context(), account, "acme", Shared)
				if f == sim.Refuse || f == sim.ServerError || f == sim.NotSuccess {
					require.ErrorIs(t, err, ErrNotFound)
					found, err = api.CreateTunnel(t.Context(), account, "acme", mine)
				}
				require.NoError(t, err)
				creds, err := api.TunnelCredentials(t.Context(), account, found.ID)
				require.NoError(t, err)
				require.Equal(t, mine, creds.TunnelSecret)
				require.Len(t, w.Tunnels(account), 1)

				records, err := api.FindRecords(t.Context(), zone, "acme.example.com", Shared)
				require.NoError(t, err)
				if len(records) == 0 {
					_, err = api.CreateRecord(t.Context(), zone, cname("acme.example.com"))
					require.NoError(t, err)
				} else {
					mark, _, ok := ParseMark(records[0].Comment)
					require.True(t, ok)
					require.Equal(t, MarkFor(uid), mark)
				}
				require.Len(t, w.Records(zone), 1)
			})
		}
	}
}

func TestNoWriteIsRepeatedByItself(t *testing.T) {
	for op, call := range map[string]func(*Session, context.Context) error{
		"tunnel.create": func(s *Session, ctx context.Context) error {
			_, err := s.CreateTunnel(ctx, account, "acme", secret)
			return err
		},
		"record.create": func(s *Session, ctx context.Context) error {
			_, err := s.CreateRecord(ctx, zone, cname("acme.example.com"))
			return err
		},
	} {
		for _, f := range []sim.Fault{sim.ServerError, sim.ServerErrorAfter, sim.DropAnswer} {
			w := newWorld(t, sim.Options{})
			w.FailNext(op, f, 1)
			require.ErrorIs(t, call(w.api, t.Context()), ErrUnavailable)
			require.Equal(t, 1, w.Count(op), "%s, %s", op, f)
		}
	}
	w := newWorld(t, sim.Options{})
	w.AddTunnel(account, "acme")
	_, err := w.api.CreateTunnel(t.Context(), account, "acme", secret)
	require.ErrorIs(t, err, ErrConflict)
	require.Equal(t, 1, w.Count("tunnel.create"), "the library repeats a POST that was answered 409, unless it is told not to")
}

func TestAReadWithoutAWholeAnswerIsAskedAgain(t *testing.T) {
	for _, f := range []sim.Fault{sim.Refuse, sim.ServerError, sim.DropAnswer, sim.Truncate} {
		w := newWorld(t, sim.Options{})
		id := w.AddTunnel(account, "acme")
		w.FailNext("tunnel.get", f, readTries-1)
		found, err := w.api.GetTunnel(t.Context(), account, id, Direct)
		require.NoError(t, err, f)
		require.Equal(t, "acme", found.Name)

		w.FailNext("tunnel.patch", f, readTries-1)
		missing, err := w.api.MissingPermissions(t.Context(), account, zone)
		require.NoError(t, err, "trying for a permission changes nothing: %s", f)
		require.Empty(t, missing)
	}
	w := newWorld(t, sim.Options{})
	w.FailNext("tunnel.get", sim.ServerError, readTries)
	_, err := w.api.GetTunnel(t.Context(), account, uid, Direct)
	require.ErrorIs(t, err, ErrUnavailable)
	require.Equal(t, readTries, w.Count("tunnel.get"))
}

func TestReadsShareOneList(t *testing.T) {
	w := newWorld(t, sim.Options{})
	ctx := t.Context()
	const n = 60
	tunnels, records := make([]string, n), make([]string, n)
	for i := range n {
		tunnel, err := w.api.CreateTunnel(ctx, account, fmt.Sprintf("t%d", i), secret)
		require.NoError(t, err)
		tunnels[i] = tunnel.ID
		record, err := w.api.CreateRecord(ctx, zone, cname(fmt.Sprintf("r%d.example.com", i)))
		require.NoError(t, err)
		records[i] = record.ID
	}
	w.ResetCalls()

	fresh := w.session(t, token, Options{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, err := fresh.GetTunnel(ctx, account, tunnels[i], Shared)
			require.NoError(t, err)
			_, err = fresh.GetRecord(ctx, zone, records[i], Shared)
			require.NoError(t, err)
			_, err = fresh.FindTunnel(ctx, account, fmt.Sprintf("t%d", i), Shared)
			require.NoError(t, err)
		})
	}
	wg.Wait()
	require.Equal(t, 1, w.Count("tunnel.list"))
	require.Equal(t, 1, w.Count("record.list"))
	require.Equal(t, 2, w.Count(""))
}

func TestListsOfManyPagesAreWhole(t *testing.T) {
	w := newWorld(t, sim.Options{MaxPage: 7, Budget: -1})
	for i := range 30 {
		w.AddTunnel(account, fmt.Sprintf("t%d", i))
		w.AddRecord(zone, sim.Record{Type: "CNAME", Name: fmt.Sprintf("r%d.example.com", i), Content: "a.example.net", Comment: MarkFor(uid).Comment("")})
		w.AddRecord(zone, sim.Record{Type: "TXT", Name: fmt.Sprintf("r%d.example.com", i), Content: "not ours"})
	}
	for i := range 30 {
		_, err := w.api.FindTunnel(t.Context(), account, fmt.Sprintf("t%d", i), Shared)
		require.NoError(t, err)
		found, err := w.api.FindRecords(t.Context(), zone, fmt.Sprintf("r%d.example.com", i), Shared)
		require.NoError(t, err)
		require.Len(t, found, 1)
		found, err = w.api.FindRecords(t.Context(), zone, fmt.Sprintf("r%d.example.com", i), Direct)
		require.NoError(t, err)
		require.Len(t, found, 2)
	}
	require.Equal(t, 5, w.Count("tunnel.list"))
}

func TestWhatOthersChangeIsSeenAfterTheFreshness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimelessWorld(t)
		api := w.session(t, token, Options{})
		id := w.AddTunnel(account, "acme")
		_, err := api.GetTunnel(t.Context(), account, id, Shared)
		require.NoError(t, err)
		w.RemoveTunnel(account, id)
		_, err = api.GetTunnel(t.Context(), account, id, Shared)
		require.NoError(t, err, "a hit may be old")
		_, err = api.GetTunnel(t.Context(), account, id, Direct)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = api.GetTunnel(t.Context(), account, id, Shared)
		require.ErrorIs(t, err, ErrNotFound, "what a direct read found out is known to all")

		other := w.AddTunnel(account, "other")
		_, err = api.GetTunnel(t.Context(), account, other, Shared)
		require.NoError(t, err, "an id that the list does not have is asked for")
		w.RemoveTunnel(account, other)
		_, err = api.FindTunnel(t.Context(), account, "other", Shared)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = api.FindTunnel(t.Context(), account, "other", Shared)
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestAFailedListIsTriedAgainAndThenSharedToo(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.FailNext("tunnel.list", sim.ServerError, readTries-1)
	_, err := w.api.FindTunnel(t.Context(), account, "acme", Shared)
	require.ErrorIs(t, err, ErrNotFound)

	w.SetFaults(sim.Faults{Down: true}, 1)
	w.ResetCalls()
	api := w.session(t, token, Options{})
	for range 20 {
		_, err := api.FindTunnel(t.Context(), account, "acme", Shared)
		require.ErrorIs(t, err, ErrUnavailable, "no answer is not an empty list")
	}
	// net/http itself repeats a GET once if it fails on a connection that was used before.
	require.LessOrEqual(t, len(w.Calls()), readTries+1)
}

func TestRecordsOfOneMomentGoTogether(t *testing.T) {
	w := newWorld(t, sim.Options{})
	api := w.session(t, token, Options{BatchWindow: 200 * time.Millisecond})
	const n = 50
	ids := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			name := fmt.Sprintf("r%d.example.com", i)
			r, err := api.CreateRecord(t.Context(), zone, cname(name))
			require.NoError(t, err)
			require.Equal(t, name, r.Name)
			ids[i] = r.ID
		})
	}
	wg.Wait()
	require.Len(t, w.Records(zone), n)
	require.LessOrEqual(t, w.Count("record."), 3)

	w.ResetCalls()
	for _, id := range ids {
		wg.Go(func() { require.NoError(t, api.DeleteRecord(t.Context(), zone, id)) })
	}
	wg.Wait()
	require.Empty(t, w.Records(zone))
	require.LessOrEqual(t, w.Count("record."), 3)
}

// A record a moment: as long as the budget is hardly touched, none waits for the next one; later they share calls.
func TestRecordsWaitLongerForOthersTheLessBudgetIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimelessWorld(t)
		api := w.session(t, token, Options{BatchWindow: 50 * time.Millisecond})
		create := func(name string) (calls int) {
			w.ResetCalls()
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * 90 * time.Millisecond)
					_, err := api.CreateRecord(t.Context(), zone, cname(fmt.Sprintf("%s%d.example.com", name, i)))
					require.NoError(t, err)
				})
			}
			wg.Wait()
			return w.Count("record.")
		}
		require.Equal(t, 10, create("early"))
		for range DefaultRequestsPer5Minutes / 5 {
			_, err := api.FindTunnel(t.Context(), account, "acme", Direct)
			require.ErrorIs(t, err, ErrNotFound)
		}
		require.Equal(t, 1, create("late"))
		time.Sleep(window)
		require.Equal(t, 10, create("again"))
	})
}

func TestAFullBatchDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimelessWorld(t)
		api := w.session(t, token, Options{BatchWindow: time.Minute, MaxBatch: 10})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				_, err := api.CreateRecord(t.Context(), zone, cname(fmt.Sprintf("r%d.example.com", i)))
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.Less(t, time.Since(start), time.Second)
		require.Equal(t, 3, w.Count("record.batch"))
	})
}

func TestARefusedRecordDoesNotHarmThoseThatGoWithIt(t *testing.T) {
	w := newWorld(t, sim.Options{})
	api := w.session(t, token, Options{BatchWindow: 200 * time.Millisecond})
	w.AddRecord(zone, sim.Record{Type: "A", Name: "r3.example.com", Content: "192.0.2.1"})
	var wg sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		wg.Go(func() {
			name := fmt.Sprintf("r%d.example.com", i)
			if i == 7 {
				name = "r7.example.org"
			}
			_, errs[i] = api.CreateRecord(t.Context(), zone, cname(name))
		})
	}
	gone := strings.Repeat("0", 32)
	wg.Go(func() { require.ErrorIs(t, api.DeleteRecord(t.Context(), zone, gone), ErrNotFound) })
	wg.Wait()
	for i, err := range errs {
		switch i {
		case 3:
			require.ErrorIs(t, err, ErrConflict)
		case 7:
			require.ErrorIs(t, err, ErrInvalid)
		default:
			require.NoError(t, err)
		}
	}
	require.Len(t, w.Records(zone), 9)
}

func TestATakenBackChangeIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTimelessWorld(t)
		api := w.session(t, token, Options{BatchWindow: 200 * time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := api.CreateRecord(ctx, zone, cname("acme.example.com"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Minute)
		require.Zero(t, w.Count("record."))
	})
}

func TestTokensAreToldApart(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.SetToken(sim.Token{Value: "disabled", Permissions: sim.AllPermissions, Disabled: true})
	w.SetToken(sim.Token{Value: "account", Permissions: sim.AllPermissions, Owner: account})
	w.SetToken(sim.Token{Value: "none"})
	w.SetToken(sim.Token{Value: "dns", Permissions: []sim.Permission{sim.DNSEdit, sim.ZoneRead}})
	w.SetToken(sim.Token{Value: "readonly", Permissions: []sim.Permission{sim.TunnelRead, sim.DNSRead, sim.ZoneRead}})
	w.SetToken(sim.Token{Value: "elsewhere", Permissions: sim.AllPermissions, Accounts: []string{zone}, Zones: []string{account}})
	for name, c := range map[string]struct {
		verify  error
		missing []Permission
	}{
		token:       {},
		"account":   {},
		"unknown":   {verify: ErrUnauthorized},
		"disabled":  {verify: ErrUnauthorized},
		"none":      {missing: []Permission{PermissionTunnelEdit, PermissionZoneRead, PermissionDNSEdit}},
		"dns":       {missing: []Permission{PermissionTunnelEdit}},
		"readonly":  {missing: []Permission{PermissionTunnelEdit, PermissionDNSEdit}},
		"elsewhere": {missing: []Permission{PermissionTunnelEdit, PermissionZoneRead, PermissionDNSEdit}},
	} {
		t.Run(name, func(t *testing.T) {
			api := w.session(t, name, Options{})
			err := api.VerifyToken(t.Context(), account)
			if c.verify != nil {
				require.ErrorIs(t, err, c.verify)
				return
			}
			require.NoError(t, err)
			missing, err := api.MissingPermissions(t.Context(), account, zone)
			require.NoError(t, err)
			require.Equal(t, c.missing, missing)
			require.Empty(t, w.Tunnels(account))
			require.Empty(t, w.Records(zone))
		})
	}
}

func TestWhatIsKnownOfATokenIsKept(t *testing.T) {
	w := newWorld(t, sim.Options{})
	for range 5 {
		require.NoError(t, w.api.VerifyToken(t.Context(), account))
		missing, err := w.api.MissingPermissions(t.Context(), account, zone)
		require.NoError(t, err)
		require.Empty(t, missing)
		z, err := w.api.FindZone(t.Context(), "Example.com")
		require.NoError(t, err)
		require.Equal(t, Zone{ID: zone, Name: "example.com", Account: account, Status: "active"}, z)
		_, err = w.api.FindZone(t.Context(), zone)
		require.NoError(t, err)
	}
	require.Equal(t, 1+3+2, w.Count(""))

	w.SetToken(sim.Token{Value: token, Permissions: []sim.Permission{sim.DNSEdit}})
	_, err := w.api.CreateTunnel(t.Context(), account, "acme", secret)
	require.ErrorIs(t, err, ErrForbidden)
	missing, err := w.api.MissingPermissions(t.Context(), account, zone)
	require.NoError(t, err)
	require.Equal(t, []Permission{PermissionTunnelEdit, PermissionZoneRead}, missing, "a refusal makes it ask again")
}

func TestMissingZones(t *testing.T) {
	w := newWorld(t, sim.Options{})
	_, err := w.api.FindZone(t.Context(), "example.org")
	require.ErrorIs(t, err, ErrNotFound)
	_, err = w.api.CreateRecord(t.Context(), strings.Repeat("1", 32), cname("a.example.com"))
	require.ErrorIs(t, err, ErrInvalid)
	_, err = w.api.GetRecord(t.Context(), strings.Repeat("1", 32), strings.Repeat("2", 32), Direct)
	require.ErrorIs(t, err, ErrInvalid, "a wrong zone is a mistake in the configuration, not a record that is gone")
}

func TestIdsAreCheckedBeforeACall(t *testing.T) {
	w := newWorld(t, sim.Options{})
	ctx := t.Context()
	bad := "../../user"
	calls := []error{}
	note := func(_ any, err error) { calls = append(calls, err) }
	note(w.api.CreateTunnel(ctx, bad, "acme", secret))
	note(w.api.CreateTunnel(ctx, account, "acme", secret[:31]))
	note(w.api.RotateTunnelSecret(ctx, account, uid, nil))
	note(w.api.GetTunnel(ctx, account, bad, Direct))
	note(w.api.GetTunnel(ctx, bad, uid, Direct))
	note(w.api.RenameTunnel(ctx, account, bad, "x"))
	note(nil, w.api.DeleteTunnel(ctx, account, ""))
	note(nil, w.api.DropConnections(ctx, account, bad))
	note(w.api.Connectors(ctx, account, bad))
	note(w.api.TunnelCredentials(ctx, account, bad))
	note(w.api.CreateRecord(ctx, bad, cname("a.example.com")))
	note(w.api.GetRecord(ctx, zone, bad, Direct))
	note(w.api.UpdateRecord(ctx, zone, bad, cname("a.example.com")))
	note(nil, w.api.DeleteRecord(ctx, zone, ""))
	note(w.api.FindRecords(ctx, bad, "a.example.com", Direct))
	for i, err := range calls {
		require.ErrorIs(t, err, ErrInvalid, "call %d", i)
	}
	require.Zero(t, w.Count(""))
}

func TestBadConfigurations(t *testing.T) {
	r := NewRegistry(Options{})
	for _, c := range []Config{{}, {Token: "two words"}, {Token: "line\nbreak"}} {
		_, err := r.Session(c)
		require.ErrorIs(t, err, ErrUnauthorized)
	}
	for _, u := range []string{"ftp://a", "https://", "https://user:pass@a/", "https://a/?x=1", "::"} {
		_, err := r.Session(Config{Token: token, BaseURL: u})
		require.Error(t, err, u)
	}
	_, err := r.Session(Config{Token: token, RequestsPer5Minutes: -1})
	require.Error(t, err)

	one, err := r.Session(Config{Token: " " + token + "\n"})
	require.NoError(t, err)
	two, err := r.Session(Config{Token: token, BaseURL: DefaultBaseURL + "/", RequestsPer5Minutes: 10})
	require.NoError(t, err)
	require.Same(t, one, two, "all users of a token share its budget")
	require.Equal(t, 10, one.limiter.budget)
}

func TestErrorsHoldNoToken(t *testing.T) {
	w := newWorld(t, sim.Options{})
	w.server.Close()
	_, err := w.api.CreateTunnel(t.Context(), account, "acme", secret)
	require.ErrorIs(t, err, ErrUnavailable)
	require.NotContains(t, err.Error(), token)
	require.Contains(t, err.Error(), "create tunnel: ")

	tr := &transport{token: token}
	require.Equal(t, "say [redacted] twice", tr.clean("say "+token+"\ntwice"))
	require.Len(t, []rune(tr.clean(strings.Repeat("x", 1000))), maxMessage+1)
}

// A new organization needs a tunnel and a record. Whatever else is read comes from lists that all share.
func TestANewOrganizationCostsLittleMoreThanOneCall(t *testing.T) {
	w := newWorld(t, sim.Options{Budget: -1})
	api := w.session(t, token, Options{})
	const organizations, workers = 200, 20
	todo := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range todo {
				name := fmt.Sprintf("org-%d", i)
				_, err := api.FindTunnel(t.Context(), account, name, Shared)
				require.ErrorIs(t, err, ErrNotFound)
				tunnel, err := api.CreateTunnel(t.Context(), account, name, secret)
				require.NoError(t, err)
				found, err := api.FindRecords(t.Context(), zone, name+".example.com", Shared)
				require.NoError(t, err)
				require.Empty(t, found)
				record := cname(name + ".example.com")
				record.Content = tunnel.CNAME()
				made, err := api.CreateRecord(t.Context(), zone, record)
				require.NoError(t, err)
				_, err = api.GetTunnel(t.Context(), account, tunnel.ID, Shared)
				require.NoError(t, err)
				_, err = api.GetRecord(t.Context(), zone, made.ID, Shared)
				require.NoError(t, err)
			}
		})
	}
	for i := range organizations {
		todo <- i
	}
	close(todo)
	wg.Wait()
	require.Len(t, w.Tunnels(account), organizations)
	require.Len(t, w.Records(zone), organizations)
	require.Less(t, float64(w.Count(""))/organizations, 1.3)
}
