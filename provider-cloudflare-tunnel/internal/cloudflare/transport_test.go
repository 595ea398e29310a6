package cloudflare

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnswersAreClassified(t *testing.T) {
	failure := func(code string) string {
		return `{"success":false,"errors":[{"code":` + code + `,"message":"because"}],"messages":[],"result":null}`
	}
	for name, c := range map[string]struct {
		method string
		status int
		body   string
		want   Kind
	}{
		"a success":                               {status: 200, body: `{"success":true,"errors":[],"result":{}}`},
		"a deletion has no result":                {method: http.MethodDelete, status: 200, body: `{"success":true,"errors":[],"result":null}`},
		"anything else without a result":          {status: 200, body: `{"success":true,"errors":[],"result":null}`, want: ErrUnavailable},
		"a success that is none":                  {status: 200, body: failure("10001"), want: ErrUnavailable},
		"a success that is none, with a code":     {status: 200, body: failure("1013"), want: ErrConflict},
		"a success with errors":                   {status: 200, body: `{"success":true,"errors":[{"code":1}],"result":{}}`, want: ErrUnavailable},
		"half an answer":                          {status: 200, body: `{"success":tr`, want: ErrUnavailable},
		"no answer":                               {status: 200, want: ErrUnavailable},
		"an answer that is not an object":         {status: 200, body: `[]`, want: ErrUnavailable},
		"an object that says nothing of success":  {status: 200, body: `{"result":{}}`, want: ErrUnavailable},
		"a success of the wrong type":             {status: 200, body: `{"success":"true","result":{}}`, want: ErrUnavailable},
		"a redirect":                              {status: 302, body: `{"success":true,"result":{}}`, want: ErrUnavailable},
		"a proxy's page about a missing page":     {status: 404, body: `<html>not found</html>`, want: ErrUnavailable},
		"a server error":                          {status: 500, body: failure("1013"), want: ErrUnavailable},
		"a server error's page":                   {status: 502, body: `<html>`, want: ErrUnavailable},
		"a timeout":                               {status: 408, body: failure("1"), want: ErrUnavailable},
		"a tunnel's name is taken":                {status: 409, body: failure("1013"), want: ErrConflict},
		"a conflict without a known code":         {status: 409, body: failure("1"), want: ErrConflict},
		"active connections":                      {status: 400, body: failure("1022"), want: ErrConnectionsActive},
		"private routes":                          {status: 400, body: failure("1023"), want: ErrRoutesActive},
		"a host exists":                           {status: 400, body: failure("81053"), want: ErrConflict},
		"an alias exists":                         {status: 400, body: failure("81054"), want: ErrConflict},
		"a record exists":                         {status: 400, body: failure("81057"), want: ErrConflict},
		"an identical record exists":              {status: 400, body: failure("81058"), want: ErrConflict},
		"a record is gone":                        {status: 404, body: failure("81044"), want: ErrNotFound},
		"something is gone":                       {status: 404, body: failure("1003"), want: ErrNotFound},
		"an invalid record":                       {status: 400, body: failure("1004"), want: ErrInvalid},
		"an id that leads nowhere is not gone":    {status: 404, body: failure("7003"), want: ErrInvalid},
		"a path that leads nowhere":               {status: 404, body: failure("7000"), want: ErrInvalid},
		"a method that does not exist":            {status: 405, body: failure("10405"), want: ErrInvalid},
		"a token that does not work":              {status: 401, body: failure("1000"), want: ErrUnauthorized},
		"a malformed token":                       {status: 400, body: failure("6003"), want: ErrUnauthorized},
		"an authentication error, status 400":     {status: 400, body: failure("10000"), want: ErrUnauthorized},
		"an authentication error, status 401":     {status: 401, body: failure("10000"), want: ErrUnauthorized},
		"a missing permission":                    {status: 403, body: failure("10000"), want: ErrForbidden},
		"somebody else's account":                 {status: 403, body: failure("9109"), want: ErrForbidden},
		"a refusal without a known code":          {status: 403, body: failure("1"), want: ErrForbidden},
		"the known code among several":            {status: 400, body: `{"success":false,"errors":[{"code":1},{"code":1022}]}`, want: ErrConnectionsActive},
		"a failure without errors":                {status: 400, body: `{"success":false}`, want: ErrInvalid},
		"errors of another shape are no envelope": {status: 400, body: `{"success":false,"errors":["x"]}`, want: ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			method := c.method
			if method == "" {
				method = http.MethodPost
			}
			e := classify(method, c.status, []byte(c.body))
			if c.want == "" {
				require.Nil(t, e)
				return
			}
			require.NotNil(t, e)
			require.ErrorIs(t, e, c.want)
			require.Equal(t, c.status, e.Status)
		})
	}
}

func TestAnErrorIsOneLine(t *testing.T) {
	for want, err := range map[string]error{
		"create record: refused as invalid: DNS Validation Error: outside the zone (code 1004)": asError("create record", classify("POST", 400,
			[]byte(`{"success":false,"errors":[{"code":1004,"message":"DNS Validation Error","error_chain":[{"code":9000,"message":"outside the zone"}]}]}`))),
		"get tunnel: Cloudflare is not available: the answer is not whole (HTTP 502)": asError("get tunnel", classify("GET", 502, nil)),
		"list: the request budget is used up; next try in 1m30s":                      asError("list", &Error{Kind: ErrThrottled, RetryAfter: 90e9}),
		"get tunnel: Cloudflare is not available: the answer cannot be read":          asError("get tunnel", errors.New("whatever the library says")),
		"get tunnel: context canceled":                                                asError("get tunnel", context.Canceled),
	} {
		require.EqualError(t, err, want)
	}
	require.NoError(t, asError("x", nil))
	require.ErrorIs(t, asError("x", context.DeadlineExceeded), context.DeadlineExceeded)

	d, ok := RetryAfter(asError("x", &Error{Kind: ErrThrottled, RetryAfter: 5e9}))
	require.True(t, ok)
	require.Equal(t, 5*time.Second, d)
	_, ok = RetryAfter(asError("x", &Error{Kind: ErrInvalid}))
	require.False(t, ok)
}
