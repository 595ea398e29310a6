package cloudflare

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// canned answers every request alike.
type canned struct {
	status int
	body   string
}

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: c.status, Header: http.Header{"Content-Type": {"text/html"}}, Body: io.NopCloser(strings.NewReader(c.body)),
	}, nil
}

// FuzzAnswers: whatever Cloudflare answers, no call panics, and what a call accepts is whole.
func FuzzAnswers(f *testing.F) {
	const tunnel = `{"id":"1280a396-767b-4e77-9425-735765b5f1ae","name":"acme","account_tag":"0123456789abcdef0123456789abcdef","deleted_at":null,"connections":[{"client_id":"x","colo_name":"fra03"}]}`
	const record = `{"id":"fedcba9876543210fedcba9876543210","type":"CNAME","name":"acme.example.com","content":"a.b","ttl":1,"proxied":true,"comment":null}`
	for _, result := range []string{
		tunnel, record, "[" + tunnel + "]", "[" + record + "," + record + "]", "null", "[]", `"x"`, `{"posts":[` + record + `]}`, `{"id":5,"name":{}}`,
		`"` + creds.Token() + `"`, `[{"id":"x","conns":[{"colo_name":"a"}]}]`, `{"id":"x","status":"active"}`, "[null]", `[[]]`,
	} {
		f.Add(uint16(200), `{"success":true,"errors":[],"messages":[],"result":`+result+`,"result_info":{"page":1,"per_page":20}}`)
	}
	f.Add(uint16(400), `{"success":false,"errors":[{"code":1013,"message":"taken","error_chain":[{"code":1}]}],"result":null}`)
	f.Add(uint16(429), ``)
	f.Add(uint16(502), `<html>`)
	f.Fuzz(func(t *testing.T, status uint16, body string) {
		// A limiter of its own for each call, since one limiter spaces them out.
		fresh := func() *calls {
			return newCalls(token, DefaultBaseURL, canned{status: int(status%500) + 100, body: body}, newLimiter(100, time.Second))
		}
		ctx := t.Context()
		check := func(got Tunnel, err error) {
			if err == nil {
				require.Regexp(t, uuidPattern, got.ID)
				require.NotEmpty(t, got.Name)
			} else {
				require.NotContains(t, asError("x", err).Error(), "\n")
			}
		}
		checkRecord := func(r Record, err error) {
			if err == nil {
				require.Regexp(t, hexPattern, r.ID)
				require.NotEmpty(t, r.Name)
				require.NotEmpty(t, r.Type)
			}
		}
		check(fresh().createTunnel(ctx, account, "acme", secret))
		check(fresh().getTunnel(ctx, account, tunnelID))
		checkRecord(fresh().createRecord(ctx, zone, cname("acme.example.com")))
		checkRecord(fresh().getRecord(ctx, zone, zone))
		if !strings.Contains(body, "per_page") || strings.Contains(body, `"per_page":20`) {
			tunnels, err := fresh().listTunnels(ctx, account, "")
			for _, tunnel := range tunnels {
				check(tunnel, err)
			}
			records, err := fresh().listRecords(ctx, zone, "acme.example.com")
			for _, r := range records {
				checkRecord(r, err)
			}
		}
		created, err := fresh().batch(ctx, zone, []string{zone}, []RecordSpec{cname("acme.example.com")})
		if err == nil {
			require.Len(t, created, 1)
			checkRecord(created[0], nil)
		}
		got, err := fresh().tunnelCredentials(ctx, account, tunnelID)
		if err == nil {
			require.NoError(t, got.validate())
		}
		_, _ = fresh().connectors(ctx, account, tunnelID)
		_, _ = fresh().findZone(ctx, "example.com")
		_ = fresh().verifyToken(ctx, account)
		_, _ = fresh().missingPermissions(ctx, account, zone)
	})
}

// FuzzCredentials: whatever is read as a credentials file says the same as a token, and back.
func FuzzCredentials(f *testing.F) {
	f.Add(creds.File())
	f.Add([]byte(`{"accounttag":"0123456789abcdef0123456789abcdef"}`))
	f.Add([]byte(`{"TunnelSecret":null,"TunnelName":"x"}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := ParseCredentialsFile(file)
		if err != nil {
			return
		}
		again, err := ParseToken(c.Token())
		require.NoError(t, err)
		require.Equal(t, c, again)
		again, err = ParseCredentialsFile(again.File())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

// FuzzToken is the other way round.
func FuzzToken(f *testing.F) {
	f.Add(creds.Token())
	f.Add("e30=")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := ParseToken(token)
		if err != nil {
			return
		}
		again, err := ParseCredentialsFile(c.File())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

// FuzzMark: a comment that we write is found again and fits, whatever the note; what is found was written so.
func FuzzMark(f *testing.F) {
	f.Add("webhook of acme")
	f.Add("aphex:6f2c7a523a644c409f0e0a3d5a3f7b11 x")
	f.Add(strings.Repeat("ü\n", 80))
	f.Fuzz(func(t *testing.T, note string) {
		comment := MarkFor(uid).Comment(note)
		require.LessOrEqual(t, len(comment), maxComment)
		require.False(t, strings.ContainsAny(comment, "\r\n"))
		require.True(t, utf8.ValidString(comment))
		m, rest, ok := ParseMark(comment)
		require.True(t, ok)
		require.Equal(t, MarkFor(uid), m)
		require.Equal(t, comment, m.Comment(rest))
		if m, rest, ok := ParseMark(note); ok {
			require.True(t, note == string(m) || note == string(m)+" "+rest)
		}
	})
}
