package tekton

import (
	"fmt"
	"hash/fnv"
	"strconv"
)

// A shard is a listener that has only some of an organization's Triggers, beside the one that has all. A listener asks
// the interceptors about a delivery once for each Trigger that it has, and sends the whole delivery along each time, see
// https://github.com/tektoncd/triggers/blob/v0.35.0/pkg/sink/sink.go. Each shard has a path of its own in the webhook URL.

// Shard is the shard of a repository, <org>/<repo>, from 1 to shards.
func Shard(repo string, shards int32) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(repo)) // never fails
	return int(h.Sum32()%uint32(shards)) + 1
}

// ShardListener is the EventListener of a shard.
func ShardListener(shard int) string { return fmt.Sprintf("github-listener-%d", shard) }

// ShardLabel is the value of kube.LabelShard on the Triggers of a shard.
func ShardLabel(shard int) string { return strconv.Itoa(shard) }

// ShardPath is what a shard's webhook URL has after the host.
func ShardPath(shard int) string { return fmt.Sprintf("/%d", shard) }
