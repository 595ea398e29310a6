package behaviour_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"

	changelogs "github.com/crossplane/crossplane-runtime/v2/apis/changelogs/proto/v1alpha1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
)

// changeLog is a change logs sidecar, without the socket.
type changeLog struct {
	mu      sync.Mutex
	entries []*changelogs.ChangeLogEntry
}

func (c *changeLog) SendChangeLog(
	_ context.Context, r *changelogs.SendChangeLogRequest, _ ...grpc.CallOption,
) (*changelogs.SendChangeLogResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = append(c.entries, r.GetEntry())
	return &changelogs.SendChangeLogResponse{}, nil
}

func TestChangesAtCloudflareAreReportedToTheSidecar(t *testing.T) {
	w := newWorld(t)
	w.changes = &changeLog{}
	w.restart()
	w.create(newTunnel())
	w.create(newRecord())
	w.settle()
	change(w, newRecord(), func(r *v1alpha1.DNSRecord) { r.Spec.ForProvider.Proxied = new(false) })
	w.settle()
	secret := w.sim.Tunnels(account)[0].Secret
	w.delete(newRecord(), newTunnel())
	w.settle()

	var told []string
	for _, e := range w.changes.entries {
		told = append(told, fmt.Sprintf("%s %s %s", e.GetOperation(), e.GetKind(), e.GetErrorMessage()))
		require.NotContains(t, e.String(), base64.StdEncoding.EncodeToString(secret))
		require.NotContains(t, e.String(), token)
	}
	require.Subset(t, told, []string{
		"OPERATION_TYPE_CREATE Tunnel ", "OPERATION_TYPE_CREATE DNSRecord ", "OPERATION_TYPE_UPDATE DNSRecord ",
		"OPERATION_TYPE_DELETE DNSRecord ", "OPERATION_TYPE_DELETE Tunnel ",
	})
}
