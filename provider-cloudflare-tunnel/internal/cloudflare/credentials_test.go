package cloudflare

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const tunnelID = "1280a396-767b-4e77-9425-735765b5f1ae"

var creds = Credentials{AccountTag: account, TunnelID: tunnelID, TunnelSecret: secret}

func TestCredentialsAreCloudflaredsOwn(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString(secret)
	require.Equal(t,
		`{"AccountTag":"`+account+`","TunnelSecret":"`+b64+`","TunnelID":"`+tunnelID+`","Endpoint":""}`, string(creds.File()))
	raw, err := base64.StdEncoding.DecodeString(creds.Token())
	require.NoError(t, err)
	require.Equal(t, `{"a":"`+account+`","s":"`+b64+`","t":"`+tunnelID+`"}`, string(raw))

	fed := creds
	fed.Endpoint = "fed"
	for _, c := range []Credentials{creds, fed} {
		got, err := ParseCredentialsFile(c.File())
		require.NoError(t, err)
		require.Equal(t, c, got)
		got, err = ParseToken(" " + c.Token() + "\n")
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
	old, err := ParseCredentialsFile([]byte(`{"AccountTag":"` + account + `","TunnelSecret":"` + b64 + `","TunnelID":"` + tunnelID + `","TunnelName":"acme"}`))
	require.NoError(t, err)
	require.Equal(t, creds, old)
}

func TestBadCredentialsAreRefusedWithoutRepeatingThem(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString(secret)
	file := func(accountTag, secret, id, more string) string {
		return fmt.Sprintf(`{"AccountTag":%q,"TunnelSecret":%q,"TunnelID":%q%s}`, accountTag, secret, id, more)
	}
	for name, bad := range map[string]string{
		"nothing":            "",
		"no object":          `[]`,
		"an unknown field":   file(account, b64, tunnelID, `,"Other":1`),
		"something after it": file(account, b64, tunnelID, "") + "{}",
		"a short secret":     file(account, base64.StdEncoding.EncodeToString(secret[:31]), tunnelID, ""),
		"no secret":          file(account, "", tunnelID, ""),
		"not base64":         file(account, "ssssssssssssssssssssssssssssssssssssssss!", tunnelID, ""),
		"no account":         file("", b64, tunnelID, ""),
		"another account":    file("../"+account[3:], b64, tunnelID, ""),
		"no id":              file(account, b64, "acme", ""),
		"a bad endpoint":     file(account, b64, tunnelID, `,"Endpoint":"a b"`),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCredentialsFile([]byte(bad))
			require.ErrorContains(t, err, "credentials.json: ")
			require.NotContains(t, err.Error(), "ssss")
			_, err = ParseToken(base64.StdEncoding.EncodeToString([]byte(bad)))
			require.ErrorContains(t, err, "tunnel token: ")
			_, err = ParseToken(bad + "!")
			require.ErrorContains(t, err, "tunnel token: not base64")
		})
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	for _, v := range []any{secret, creds, &creds, []any{creds, secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			out := fmt.Sprintf(verb, v)
			require.NotContains(t, out, "ssss")
			require.NotContains(t, out, hex.EncodeToString(secret[:8]))
			require.NotContains(t, out, "115 115 115")
		}
	}
	_, err := json.Marshal(creds)
	require.Error(t, err)
}

func TestMarks(t *testing.T) {
	m := MarkFor(uid)
	require.Equal(t, Mark("aphex:6f2c7a523a644c409f0e0a3d5a3f7b11"), m)
	for note, want := range map[string]string{
		"":                       string(m),
		"webhook of acme":        string(m) + " webhook of acme",
		"  two\nlines\u2028\x00": string(m) + " twolines",
		strings.Repeat("x", 100): string(m) + " " + strings.Repeat("x", 61),
		strings.Repeat("ü", 100): string(m) + " " + strings.Repeat("ü", 30),
	} {
		comment := m.Comment(note)
		require.Equal(t, want, comment)
		require.LessOrEqual(t, len(comment), 100)
		got, rest, ok := ParseMark(comment)
		require.True(t, ok)
		require.Equal(t, m, got)
		require.Equal(t, strings.TrimPrefix(strings.TrimPrefix(want, string(m)), " "), rest)
	}
	for _, foreign := range []string{
		"", "aphex", "aphex:", "aphex:short", "APHEX:6f2c7a523a644c409f0e0a3d5a3f7b11", "aphex:6F2C7A523a644c409f0e0a3d5a3f7b11",
		" aphex:6f2c7a523a644c409f0e0a3d5a3f7b11", "aphex:6f2c7a523a644c409f0e0a3d5a3f7b110", "aphex:6f2c7a523a644c409f0e0a3d5a3f7b1g",
		"managed by aphex:6f2c7a523a644c409f0e0a3d5a3f7b11",
	} {
		_, _, ok := ParseMark(foreign)
		require.False(t, ok, foreign)
	}
}
