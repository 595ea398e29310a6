package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"aphex.io/platform/functions/internal/settings"
)

func TestTheConnectorReadsWhatWasMeant(t *testing.T) {
	set := settings.Defaults()
	for _, id := range []string{
		"1280a396-767b-4e77-9425-735765b5f1ae", offlineTunnelID, "", "1.5", "1e-5", "1.e3", "2026-01-16", "2026-01-16t10-20", "true", "0x1f",
		"null", "~", ".inf", "a.", "-a-b", "a: b", "a #b", "- a", "Ünï\u2028\u0085\x00\x7f\\", "line\nother: 1", `"quoted"`, "1:20", "*a", "!a", "@a",
	} {
		set.WebhookDomain = id
		var read map[string]any
		text := connectorConfiguration(set, id, namesFor("acme"))
		require.NoError(t, yaml.UnmarshalStrict([]byte(text), &read), text)
		require.Equal(t, map[string]any{
			"tunnel":           id,
			"credentials-file": "/etc/cloudflared/credentials/credentials.json",
			"metrics":          "0.0.0.0:2000",
			"no-autoupdate":    true,
			"ingress": []any{
				map[string]any{"hostname": "acme." + id, "service": "http://el-github-listener.org-acme.svc:8080"},
				map[string]any{"service": "http_status:404"},
			},
		}, read, text)
	}
}
