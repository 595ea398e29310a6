package tekton

// EventBinding is the TriggerBinding of each organization that takes the parameters out of a GitHub push.
const EventBinding = "github-push-binding"

// EventParams are the parameters that EventBinding takes out of a push event, see
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#push. A pipeline gets those of them that it declares.
func EventParams() []Param {
	return []Param{
		{Name: "commit-sha", Value: "$(body.after)"},
		{Name: "delivery-id", Value: "$(header.X-GitHub-Delivery)"},
		{Name: "git-ref", Value: "$(body.ref)"},
		{Name: "git-revision", Value: "$(body.after)"},
		{Name: "git-url", Value: "$(body.repository.clone_url)"},
		{Name: "repo-url", Value: "$(body.repository.clone_url)"},
	}
}
