package object_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"aphex.io/platform/functions/internal/object"
)

func TestReadiness(t *testing.T) {
	managed := object.ReadyWhenManaged(object.Condition{Type: "Conflict", Status: object.True})
	cases := map[string]struct {
		readiness object.Readiness
		object    string
		ready     bool
		why       string
	}{
		"a kind without status is ready once seen":    {object.ReadyWhenSeen, `{kind: Role}`, true, ""},
		"a kind without status on its way out is not": {object.ReadyWhenSeen, `{metadata: {deletionTimestamp: "2026-01-16T23:15:00Z"}}`, false, "being deleted"},

		"a true condition is ready":             {object.ReadyWhen("Ready"), `{status: {conditions: [{type: Ready, status: "True"}]}}`, true, ""},
		"a false condition tells its message":   {object.ReadyWhen("Ready"), `{status: {conditions: [{type: Ready, status: "False", reason: R, message: It is not.}]}}`, false, "It is not"},
		"a false condition tells its reason":    {object.ReadyWhen("Ready"), `{status: {conditions: [{type: Ready, status: "False", reason: Creating}]}}`, false, "Creating"},
		"an unknown condition is not ready":     {object.ReadyWhen("Ready"), `{status: {conditions: [{type: Ready, status: Unknown}]}}`, false, "its condition Ready is not reported yet"},
		"a condition that is missing":           {object.ReadyWhen("Ready"), `{status: {conditions: [{type: Synced, status: "True"}]}}`, false, "its condition Ready is not reported yet"},
		"a true condition of one being deleted": {object.ReadyWhen("Ready"), `{metadata: {deletionTimestamp: "2026-01-16T23:15:00Z"}, status: {conditions: [{type: Ready, status: "True"}]}}`, false, "being deleted"},

		"a managed resource that is ready":                  {managed, `{status: {conditions: [{type: Ready, status: "True"}, {type: Synced, status: "False", message: late}]}}`, true, ""},
		"a managed resource in trouble says which":          {managed, `{status: {conditions: [{type: Ready, status: "False", reason: Creating}, {type: Conflict, status: "True", message: Taken.}, {type: Synced, status: "False", message: longer}]}}`, false, "Taken"},
		"trouble that is over is not told":                  {managed, `{status: {conditions: [{type: Ready, status: "False", reason: Creating}, {type: Conflict, status: "False", message: Gone.}, {type: Synced, status: "True"}]}}`, false, "Creating"},
		"a managed resource that cannot be synced says why": {managed, `{status: {conditions: [{type: Synced, status: "False", message: no such account}]}}`, false, "no such account"},
		"a managed resource that nobody looked at yet":      {managed, `{}`, false, "its condition Ready is not reported yet"},
		"a managed resource on its way out":                 {managed, `{metadata: {deletionTimestamp: "2026-01-16T23:15:00Z"}, status: {conditions: [{type: Conflict, status: "True", message: Taken.}]}}`, false, "being deleted"},

		"a namespace whose phase is not set yet": {object.ReadyWhenActive, `{kind: Namespace}`, true, ""},
		"an active namespace":                    {object.ReadyWhenActive, `{status: {phase: Active}}`, true, ""},
		"a terminating namespace":                {object.ReadyWhenActive, `{status: {phase: Terminating}}`, false, "being deleted"},

		"a rollout that has not started":         {object.ReadyWhenServing, `{metadata: {generation: 2}, spec: {replicas: 2}, status: {observedGeneration: 1, availableReplicas: 2}}`, false, "its rollout has not started"},
		"a deployment none of whose pods works":  {object.ReadyWhenServing, `{metadata: {generation: 2}, spec: {replicas: 2}, status: {observedGeneration: 2, replicas: 2}}`, false, "none of its pods is available"},
		"a deployment one of whose pods works":   {object.ReadyWhenServing, `{metadata: {generation: 2}, spec: {replicas: 2}, status: {observedGeneration: 2, availableReplicas: 1, conditions: [{type: Available, status: "False"}]}}`, true, "1 of 2 pods are available"},
		"a deployment all of whose pods work":    {object.ReadyWhenServing, `{metadata: {generation: 2}, spec: {replicas: 2}, status: {observedGeneration: 2, availableReplicas: 2}}`, true, ""},
		"a deployment with a pod too many":       {object.ReadyWhenServing, `{metadata: {generation: 2}, spec: {replicas: 2}, status: {observedGeneration: 2, availableReplicas: 3}}`, true, ""},
		"a deployment that nobody looked at yet": {object.ReadyWhenServing, `{metadata: {generation: 1}, spec: {replicas: 2}}`, false, "its rollout has not started"},
		"a deployment on its way out":            {object.ReadyWhenServing, `{metadata: {deletionTimestamp: "2026-01-16T23:15:00Z"}, spec: {replicas: 2}, status: {availableReplicas: 2}}`, false, "being deleted"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ready, why := c.readiness(parse(t, c.object))
			require.Equal(t, c.ready, ready)
			require.Equal(t, c.why, why)
		})
	}
}
