package cloudflare

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What has the right form but cannot be what was asked for is no answer: acting on it could make a second tunnel, or
// let go of one that is still there.
func TestAnswersAboutSomethingElseAreNotBelieved(t *testing.T) {
	const (
		other  = "99999999-767b-4e77-9425-735765b5f1ae"
		record = `{"id":"fedcba9876543210fedcba9876543210","type":"CNAME","name":"acme.example.com","content":"a.b","ttl":1}`
	)
	tunnel := func(id, account, more string) string {
		return fmt.Sprintf(`{"id":%q,"name":"acme","account_tag":%q%s}`, id, account, more)
	}
	get := func(c *calls) error { _, err := c.getTunnel(t.Context(), account, tunnelID); return err }
	list := func(c *calls) error { _, err := c.listTunnels(t.Context(), account, ""); return err }
	listRecords := func(c *calls) error { _, err := c.listRecords(t.Context(), zone, "acme.example.com"); return err }
	getRecord := func(c *calls) error { _, err := c.getRecord(t.Context(), zone, account); return err }
	credentials := func(c *calls) error { _, err := c.tunnelCredentials(t.Context(), account, tunnelID); return err }
	batch := func(c *calls) error {
		_, err := c.batch(t.Context(), zone, nil, []RecordSpec{cname("acme.example.com"), cname("b.example.com")})
		return err
	}
	findZone := func(c *calls) error { _, err := c.findZone(t.Context(), "example.com"); return err }
	verify := func(c *calls) error { return c.verifyToken(t.Context(), "") }
	foreign := creds
	foreign.TunnelID = other
	for name, c := range map[string]struct {
		call   func(*calls) error
		result string
		want   error
	}{
		"the tunnel":                    {get, tunnel(tunnelID, account, ""), nil},
		"another tunnel":                {get, tunnel(other, account, ""), ErrUnavailable},
		"another account's":             {get, tunnel(tunnelID, zone, ""), ErrUnavailable},
		"no tunnel":                     {get, `{}`, ErrUnavailable},
		"a text":                        {get, `"acme"`, ErrUnavailable},
		"a deleted tunnel":              {get, tunnel(tunnelID, account, `,"deleted_at":"2026-01-01T00:00:00Z"`), ErrNotFound},
		"a tunnel deleted at no time":   {get, tunnel(tunnelID, account, `,"deleted_at":{}`), ErrUnavailable},
		"a list":                        {list, `[` + tunnel(tunnelID, account, "") + `]`, nil},
		"a list with something else":    {list, `[{}]`, ErrUnavailable},
		"an object instead of a list":   {list, `{}`, ErrUnavailable},
		"a text instead of a list":      {list, `"none"`, ErrUnavailable},
		"records":                       {listRecords, `[` + record + `]`, nil},
		"records without a type":        {listRecords, `[{"id":"fedcba9876543210fedcba9876543210","name":"a"}]`, ErrUnavailable},
		"records that are no list":      {listRecords, record, ErrUnavailable},
		"another record":                {getRecord, record, ErrUnavailable},
		"the token":                     {credentials, `"` + creds.Token() + `"`, nil},
		"another tunnel's token":        {credentials, `"` + foreign.Token() + `"`, ErrUnavailable},
		"no token":                      {credentials, `"token"`, ErrUnavailable},
		"fewer records than were asked": {batch, `{"posts":[` + record + `]}`, ErrUnavailable},
		"other records than were asked": {batch, `{"posts":[` + record + `,` + record + `]}`, ErrUnavailable},
		"another zone":                  {findZone, `[{"id":"fedcba9876543210fedcba9876543210","name":"example.org"}]`, ErrNotFound},
		"no zone":                       {findZone, `[{"name":"example.com"}]`, ErrUnavailable},
		"zones that are no list":        {findZone, `{}`, ErrUnavailable},
		"an active token":               {verify, `{"status":"active"}`, nil},
		"an expired token":              {verify, `{"status":"expired"}`, ErrUnauthorized},
		"a token without a status":      {verify, `{}`, ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"success":true,"errors":[],"messages":[],"result":` + c.result + `}`
			err := c.call(newCalls(token, DefaultBaseURL, canned{status: 200, body: body}, newLimiter(100, time.Second)))
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, asError("x", err), c.want)
			var e *Error
			require.ErrorAs(t, asError("x", err), &e)
		})
	}
}
