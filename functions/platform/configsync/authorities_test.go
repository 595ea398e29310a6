package configsync

import (
	"bytes"
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAuthoritiesAreCertificatesAndNothingElse(t *testing.T) {
	one := startCluster(t, 0).ca
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no certificate")})
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("a private key")})
	for name, c := range map[string]struct {
		text  []byte
		count int
		want  string
	}{
		"one":                            {one, 1, ""},
		"two":                            {bytes.Join([][]byte{one, one}, nil), 2, ""},
		"one with blank lines around it": {bytes.Join([][]byte{[]byte("\n\n"), one, []byte("\n \n")}, nil), 1, ""},
		"one without a line's end":       {bytes.TrimSpace(one), 1, ""},
		"one after what it is about, as tools write": {append([]byte("subject=dex\n"), one...), 1, ""},
		"nothing":                              {nil, 0, "it is empty"},
		"blanks":                               {[]byte(" \n"), 0, "it is empty"},
		"some text":                            {[]byte("an authority"), 0, "it is not, or not only, certificates in PEM"},
		"one and some text":                    {append(bytes.Clone(one), "and more"...), 0, "it is not, or not only, certificates in PEM"},
		"one that was cut off":                 {one[:len(one)/2], 0, "it is not, or not only, certificates in PEM"},
		"one of which only the frame is right": {broken, 0, "certificate 1 in it cannot be read: x509: malformed certificate"},
		"a second one that only looks right":   {bytes.Join([][]byte{one, broken}, nil), 0, "certificate 2 in it cannot be read: "},
		"a private key":                        {key, 0, "it holds something else than certificates"},
		"one with its private key":             {bytes.Join([][]byte{one, key}, nil), 0, "it holds something else than certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := ParseAuthorities(c.text)
			require.Len(t, all, c.count)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			first, _ := pem.Decode(one)
			for _, certificate := range all {
				require.Equal(t, first.Bytes, certificate.Raw)
			}
		})
	}
}
