package e2e

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"aphex.io/platform/test/github"
)

// allParams is a Pipeline that declares every parameter that a run can get.
const allParams = `
apiVersion: tekton.dev/v1
kind: Pipeline
metadata:
  name: any
spec:
  params: [{name: commit-sha}, {name: delivery-id}, {name: git-ref}, {name: git-revision}, {name: git-url}, {name: repo-url}, {name: tenant-name}]
  tasks: [{name: build, taskRef: {name: build}}]
`

// Two organizations, of which the second bound the first one's repository too. The requests are GitHub's; everything that
// they meet is real: Tekton's sink and interceptors, the rights that the organization's listener has, and the API server.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	namespace := cp.namespace(t, "e2e-webhooks")
	cp.cloudflare(t)
	org := cp.create(t, organization(namespace, "hook-a"))
	web := cp.create(t, repoBinding(namespace, "hook-a", "hook-web", with("pipelineSpec", allParams)))
	api := cp.create(t, repoBinding(namespace, "hook-a", "hook-api"))
	for _, claim := range []ref{
		org, web, api,
		cp.create(t, organization(namespace, "hook-b", with("webhookSecret", "hook-b-webhook-secret"))),
		cp.create(t, repoBinding(namespace, "hook-b", "hook-other", with("repoName", "hook-web"))),
	} {
		cp.awaitReady(t, claim)
	}
	a, b := cp.listen(t, "hook-a"), cp.listen(t, "hook-b")
	tenants := []string{"hook-web", "hook-api", "hook-other", "org-hook-a", "org-hook-b"}

	t.Run("a signed push starts one run", func(t *testing.T) {
		p := github.Push("example/hook-web", "main")
		d := signed(a.secret, "push", p.Bytes())
		run := a.started(t, d)
		require.Equal(t, "hook-web", run.GetNamespace())
		require.Equal(t, map[string]any{
			"commit-sha": p["after"], "git-revision": p["after"], "git-ref": "refs/heads/main", "delivery-id": d.ID, "tenant-name": "hook-web",
			"git-url": "https://github.com/example/hook-web.git", "repo-url": "https://github.com/example/hook-web.git",
		}, params(run))
		require.Equal(t, "pipeline-runner", text(run, "spec.taskRunTemplate.serviceAccountName"))
		require.Equal(t, "hook-web", text(run, "spec.pipelineRef.name"))
		require.Equal(t, allParams, text(cp.see(t, web), "spec.pipelineSpec"))
		cp.see(t, "Pipeline hook-web/hook-web")
		cp.see(t, "ServiceAccount hook-web/pipeline-runner")
		labels := run.GetLabels()
		delete(labels, "triggers.tekton.dev/triggers-eventid") // by it the run was found
		require.Equal(t, map[string]string{
			"platform.aphex/delivery": d.ID, "platform.aphex/event": "push", "platform.aphex/managed-by": "platform-controller",
			"platform.aphex/organization": "hook-a", "platform.aphex/pipeline": "hook-web",
			"triggers.tekton.dev/eventlistener": "github-listener", "triggers.tekton.dev/trigger": "hook-web-trigger",
		}, labels)
		require.Equal(t, []string{"hook-web/" + run.GetName()}, runsIn(t, tenants...))
	})
	t.Run("a run gets only the parameters that its pipeline declares", func(t *testing.T) {
		p := github.Push("example/hook-api", "main")
		run := a.started(t, signed(a.secret, "push", p.Bytes()))
		require.Equal(t, "hook-api", run.GetNamespace())
		require.Equal(t, map[string]any{"git-revision": p["after"]}, params(run))
	})
	t.Run("GitHub's names of owners and repositories are the same in other letters", func(t *testing.T) {
		run := a.started(t, signed(a.secret, "push", github.Push("Example/Hook-Web", "main").Bytes()))
		require.Equal(t, "hook-web", run.GetNamespace())
		require.Equal(t, "https://github.com/Example/Hook-Web.git", params(run)["git-url"])
	})
	t.Run("an organization does not start the runs of another one of the same repository", func(t *testing.T) {
		before := runsIn(t, tenants...)
		run := b.started(t, signed(b.secret, "push", github.Push("example/hook-web", "main").Bytes()))
		require.ElementsMatch(t, append(before, "hook-other/"+run.GetName()), runsIn(t, tenants...))
	})

	t.Run("everything else starts nothing", func(t *testing.T) { requireRefusals(t, a, b, tenants) })
	t.Run("what arrives is text, or does not arrive", func(t *testing.T) { requireLiterals(t, a) })
	t.Run("a tenant makes no trigger", func(t *testing.T) { requireNoTriggers(t, a) })

	pushTo := func(repository, branch string) github.Delivery {
		return signed(a.secret, "push", github.Push(repository, branch).Bytes())
	}
	awaitRun := func(t *testing.T, repository, branch, trigger string) {
		t.Helper()
		eventually(t, func(context.Context) error {
			return same(done, a.settled(t, a.deliver(t, pushTo(repository, branch))).byTrigger[trigger])
		})
	}
	t.Run("another branch, once it is bound, starts the runs", func(t *testing.T) {
		cp.patch(t, api, `spec: {branch: next}`)
		awaitRun(t, "example/hook-api", "next", "hook-api-trigger")
		require.Contains(t, a.refused(t, pushTo("example/hook-api", "main")).byTrigger["hook-api-trigger"], "did not return true")
	})
	t.Run("a suspended binding starts nothing", func(t *testing.T) {
		cp.patch(t, web, `spec: {suspend: true}`)
		cp.awaitGone(t, "Trigger org-hook-a/hook-web-trigger")
		// Once the listener has heard of what changed after that, it has heard of that.
		cp.patch(t, api, `spec: {branch: later}`)
		awaitRun(t, "example/hook-api", "later", "hook-api-trigger")
		before := runsIn(t, tenants...)
		require.NotContains(t, a.refused(t, pushTo("example/hook-web", "main")).byTrigger, "hook-web-trigger")
		run := a.started(t, pushTo("example/hook-api", "later"))
		require.ElementsMatch(t, append(before, "hook-api/"+run.GetName()), runsIn(t, tenants...))
	})
	t.Run("a suspended organization starts nothing", func(t *testing.T) {
		cp.patch(t, org, `spec: {suspend: true}`)
		eventually(t, func(context.Context) error {
			return contains(a.settled(t, a.deliver(t, pushTo("example/hook-api", "later"))).whole, "expression false did not return true")
		})
		before := runsIn(t, tenants...)
		a.refused(t, pushTo("example/hook-api", "later"))
		cp.patch(t, org, `spec: {suspend: false}`)
		var run *object
		eventually(t, func(ctx context.Context) error {
			answer := a.deliver(t, pushTo("example/hook-api", "later"))
			if a.settled(t, answer).whole != "" {
				return errors.New("it is still suspended")
			}
			runs, err := runsOf(ctx, answer)
			if len(runs) == 1 {
				run = &runs[0]
			}
			return err
		})
		require.NotNil(t, run)
		require.ElementsMatch(t, append(before, "hook-api/"+run.GetName()), runsIn(t, tenants...))
	})
	t.Run("a body as large as GitHub sends", func(t *testing.T) { requireLargeBodies(t, a) })
}

// requireRefusals sends what must start nothing. Each case says for which reason Tekton passed the delivery over: "whole" of
// the delivery, or else the reason of the Trigger of its repository.
func requireRefusals(t *testing.T, a, b listener, tenants []string) {
	t.Helper()
	good := func() []byte { return github.Push("example/hook-web", "main").Bytes() }
	repository := func(name string) github.Delivery {
		return signed(a.secret, "push", github.Push("example/hook-web", "main").Set("repository.full_name", name).Bytes())
	}
	ref := func(ref any) github.Delivery {
		return signed(a.secret, "push", github.Push("example/hook-web", "main").Set("ref", ref).Bytes())
	}
	signature := func(value string) github.Delivery {
		return signed(a.secret, "push", good(), header("X-Hub-Signature-256", value))
	}
	body := func(alter func(old []byte) []byte) github.Delivery {
		return signed(a.secret, "push", good(), func(d *github.Delivery) { d.Body = alter(d.Body) })
	}
	zen := github.Payload{"zen": "Design for failure.", "hook_id": 292430182, "repository": github.Push("example/hook-web", "main")["repository"]}
	pullRequest := github.Payload{"action": "opened", "number": 7, "repository": github.Push("example/hook-web", "main")["repository"]}
	form := []byte(url.Values{"payload": {string(good())}}.Encode())

	const (
		noSignature    = "no X-Hub-Signature-256 header set"
		wrongSignature = "payload signature check failed"
		filtered       = "did not return true"
		cannotTell     = "error evaluating cel expression"
	)
	before := runsIn(t, tenants...)
	for name, c := range map[string]struct {
		delivery github.Delivery
		whole    string
		trigger  string
	}{
		"no signature": {
			delivery: signed(a.secret, "push", good(), withoutHeader("X-Hub-Signature-256"), withoutHeader("X-Hub-Signature")), whole: noSignature,
		},
		"an empty signature":                       {delivery: signature(""), whole: noSignature},
		"a signature that is none":                 {delivery: signature("sha256=zz"), whole: "error decoding signature"},
		"a signature of nothing":                   {delivery: signature("sha256="), whole: wrongSignature},
		"a SHA-1 signature only":                   {delivery: signed(a.secret, "push", good(), withoutHeader("X-Hub-Signature-256")), whole: noSignature},
		"a wrong secret":                           {delivery: signed("wrong", "push", good()), whole: wrongSignature},
		"an empty secret":                          {delivery: signed("", "push", good()), whole: wrongSignature},
		"the secret with a newline at its end":     {delivery: signed(a.secret+"\n", "push", good()), whole: wrongSignature},
		"another organization's secret":            {delivery: signed(b.secret, "push", good()), whole: wrongSignature},
		"another organization's secret as SHA-1":   {delivery: signature(github.SHA1(b.secret, good())), whole: wrongSignature},
		"the signature of another body":            {delivery: signature(github.SHA256(a.secret, good())), whole: wrongSignature},
		"an altered body with the old signature":   {delivery: body(func(old []byte) []byte { return bytes.Replace(old, []byte("mona"), []byte("eve!"), 1) }), whole: wrongSignature},
		"a space after the signed body":            {delivery: body(func(old []byte) []byte { return append(old, ' ') }), whole: wrongSignature},
		"a body that is no JSON":                   {delivery: body(func([]byte) []byte { return []byte("ref=refs/heads/main") }), whole: "Bad Request"},
		"a body that is a JSON list":               {delivery: body(func(old []byte) []byte { return []byte("[" + string(old) + "]") }), whole: "Bad Request"},
		"no body":                                  {delivery: body(func([]byte) []byte { return nil }), whole: "Bad Request"},
		"form encoding, as GitHub offers":          {delivery: signed(a.secret, "push", form, header("Content-Type", "application/x-www-form-urlencoded")), whole: "Bad Request"},
		"a body that is declared a form":           {delivery: signed(a.secret, "push", good(), header("Content-Type", "application/x-www-form-urlencoded")), whole: "form parameter encoding not supported"},
		"no name of the event":                     {delivery: signed(a.secret, "push", good(), withoutHeader("X-GitHub-Event")), whole: "event type  is not allowed"},
		"an event in other letters":                {delivery: signed(a.secret, "Push", good()), whole: "event type Push is not allowed"},
		"a ping":                                   {delivery: signed(a.secret, "ping", zen.Bytes()), whole: "event type ping is not allowed"},
		"a ping that says it is a push":            {delivery: signed(a.secret, "push", zen.Bytes()), trigger: cannotTell},
		"a push that says it is a ping":            {delivery: signed(a.secret, "ping", good()), whole: "event type ping is not allowed"},
		"a pull request":                           {delivery: signed(a.secret, "pull_request", pullRequest.Bytes()), trigger: filtered},
		"a push that says it is a pull request":    {delivery: signed(a.secret, "pull_request", good()), trigger: filtered},
		"another repository":                       {delivery: repository("example/else"), trigger: filtered},
		"another owner":                            {delivery: repository("evil/hook-web"), trigger: filtered},
		"a repository that begins alike":           {delivery: repository("example/hook-web2"), trigger: filtered},
		"a repository that ends alike":             {delivery: repository("evil-example/hook-web"), trigger: filtered},
		"a repository with .git":                   {delivery: repository("example/hook-web.git"), trigger: filtered},
		"a repository with a slash at its end":     {delivery: repository("example/hook-web/"), trigger: filtered},
		"a repository with a path before":          {delivery: repository("evil/../example/hook-web"), trigger: filtered},
		"a repository with a space":                {delivery: repository("example/hook-web "), trigger: filtered},
		"a repository with a newline":              {delivery: repository("example/hook-web\n"), trigger: filtered},
		"a repository with a NUL":                  {delivery: repository("example/hook-web\x00"), trigger: filtered},
		"a repository with a Cyrillic letter":      {delivery: repository("ex\u0430mple/hook-web"), trigger: filtered},
		"a repository with a Kelvin sign":          {delivery: repository("example/hoo\u212a-web"), trigger: filtered},
		"a repository with a wide letter":          {delivery: repository("\uff45xample/hook-web"), trigger: filtered},
		"a repository with a non-breaking hyphen":  {delivery: repository("example/hook\u2011web"), trigger: filtered},
		"a repository with an invisible character": {delivery: repository("example/hook-\u200bweb"), trigger: filtered},
		"a repository with a combining accent":     {delivery: repository("example/hook-web\u0301"), trigger: filtered},
		"a repository that ends the expression":    {delivery: repository(`" || true || "`), trigger: filtered},
		"no name of the repository":                {delivery: signed(a.secret, "push", github.Push("example/hook-web", "main").Set("repository", nil).Bytes()), trigger: cannotTell},
		"names of several repositories": {
			delivery: signed(a.secret, "push", github.Push("example/hook-web", "main").Set("repository.full_name", []any{"example/hook-web"}).Bytes()), trigger: cannotTell,
		},
		"another branch":                         {delivery: ref("refs/heads/next"), trigger: filtered},
		"a branch that begins alike":             {delivery: ref("refs/heads/main2"), trigger: filtered},
		"a branch that ends alike":               {delivery: ref("refs/heads/x/main"), trigger: filtered},
		"a branch in other letters":              {delivery: ref("refs/heads/Main"), trigger: filtered},
		"a branch with a newline":                {delivery: ref("refs/heads/main\n"), trigger: filtered},
		"a branch without refs/heads/":           {delivery: ref("main"), trigger: filtered},
		"a tag of the branch's name":             {delivery: ref("refs/tags/main"), trigger: filtered},
		"a branch with a Cyrillic letter":        {delivery: ref("refs/heads/m\u0430in"), trigger: filtered},
		"no branch":                              {delivery: ref(nil), trigger: filtered},
		"a deleted branch":                       {delivery: signed(a.secret, "push", github.Push("example/hook-web", "main").Set("deleted", true).Set("after", strings.Repeat("0", 40)).Bytes()), trigger: filtered},
		"a branch of which nobody can tell":      {delivery: signed(a.secret, "push", github.Push("example/hook-web", "main").Set("deleted", "no").Bytes()), trigger: cannotTell},
		"a repository that is to be cloned else": {delivery: signed(a.secret, "push", github.Push("example/hook-web", "main").Set("repository.clone_url", "https://evil.example.com/example/hook-web.git").Bytes()), trigger: filtered},
		"a revision that is a branch":            {delivery: signed(a.secret, "push", github.Push("example/hook-web", "main").Set("after", "evil").Bytes()), trigger: filtered},
		"no delivery id":                         {delivery: signed(a.secret, "push", good(), withoutHeader("X-GitHub-Delivery")), trigger: filtered},
	} {
		t.Run(name, func(t *testing.T) {
			o := a.refused(t, c.delivery)
			if c.whole != "" {
				require.Contains(t, o.whole, c.whole)
				require.Empty(t, o.byTrigger)
				return
			}
			require.Empty(t, o.whole)
			require.Len(t, o.byTrigger, 2)
			for trigger, why := range o.byTrigger {
				require.NotEqual(t, done, why, trigger)
			}
			require.Contains(t, o.byTrigger["hook-web-trigger"], c.trigger)
		})
	}
	// What still comes after all these, comes before what is sent now.
	run := a.started(t, signed(a.secret, "push", good()))
	require.ElementsMatch(t, append(before, "hook-web/"+run.GetName()), runsIn(t, tenants...))
}

// hostile is what means something to JSON, CEL, Tekton, YAML, a shell or a reader.
var hostile = []string{
	`"`, `'`, `\`, `\"`, `"}],"serviceAccountName":"default"`, "`id`", `$(id)`, `$(tt.params.git-url)`, `$(tt.params.delivery-id)`, `$(uid)`,
	`$(params.git-url)`, `$(context.pipelineRun.name)`, `$(tasks.build.results.x)`, `$$(tt.params.git-url)`, `{{ .Values }}`, `${HOME}`, `; rm -rf /`,
	"two\nlines", "a\r\nb", "tab\there", "\u0000", "\u2028", "ünïcödé", "\u202egnp.exe", "😀", " ", "", "null", "true", "- a: b", "<script>", "&amp;",
	`" || true || "`, "--upload-pack=touch /tmp/x", "../../etc/passwd", strings.Repeat("x", 10_000),
}

// requireLiterals puts hostile values into every field that a run, or the decision about one, takes from a delivery, and
// into some that nobody looks at.
func requireLiterals(t *testing.T, a listener) {
	t.Helper()
	for name, c := range map[string]struct{ field, header string }{
		"the revision":                   {field: "after"},
		"the branch":                     {field: "ref"},
		"the repository":                 {field: "repository.full_name"},
		"where to clone it from":         {field: "repository.clone_url"},
		"whether it was deleted":         {field: "deleted"},
		"the message of a commit":        {field: "head_commit.message"},
		"the name of the pusher":         {field: "pusher.name"},
		"the id of the delivery":         {header: "X-GitHub-Delivery"},
		"the kind of the event":          {header: "X-GitHub-Event"},
		"a header that nobody asked for": {header: "X-Anything"},
	} {
		t.Run(name, func(t *testing.T) {
			type attempt struct {
				payload  github.Payload
				delivery github.Delivery
				answer   answer
			}
			for values := range slices.Chunk(hostile, atOnce) {
				attempts := map[string]attempt{}
				for _, value := range values {
					p, changes := github.Push("example/hook-web", "main"), []change(nil)
					if c.field != "" {
						p.Set(c.field, value)
					} else if changes = append(changes, header(c.header, value)); strings.ContainsAny(value, "\r\n\x00") {
						continue // no header can hold it
					}
					d := signed(a.secret, "push", p.Bytes(), changes...)
					attempts[value] = attempt{p, d, a.deliver(t, d)}
				}
				for value, s := range attempts {
					o := a.settled(t, s.answer)
					// What is refused is refused for what it holds, and not because there was too much of it.
					require.Equal(t, c.header == "X-GitHub-Event", o.whole != "", "%q: %v", value, o)
					runs, err := runsOf(t.Context(), s.answer)
					require.NoError(t, err)
					if len(runs) == 0 {
						continue
					}
					require.Len(t, runs, 1, "%q: %v", value, o)
					require.Equal(t, "hook-web", runs[0].GetNamespace(), "%q", value)
					require.Equal(t, "pipeline-runner", text(&runs[0], "spec.taskRunTemplate.serviceAccountName"), "%q", value)
					cloneURL := s.payload.Get("repository.clone_url")
					require.Equal(t, map[string]any{
						"commit-sha": s.payload["after"], "git-revision": s.payload["after"], "git-ref": s.payload["ref"],
						"delivery-id": s.delivery.Header.Get("X-GitHub-Delivery"), "git-url": cloneURL, "repo-url": cloneURL, "tenant-name": "hook-web",
					}, params(&runs[0]), "%q", value)
				}
			}
		})
	}
}

// requireNoTriggers tries to make the listener run what a tenant says.
func requireNoTriggers(t *testing.T, a listener) {
	t.Helper()
	trigger := func(namespace string) *object {
		o := cp.see(t, "Trigger org-hook-a/hook-web-trigger").DeepCopy()
		labels := o.GetLabels()
		maps.DeleteFunc(labels, func(name, _ string) bool { return strings.HasPrefix(name, "crossplane.io/") })
		// It would pass everything, and start what its own template says.
		o.Object = map[string]any{
			"apiVersion": o.GetAPIVersion(), "kind": "Trigger",
			"metadata": map[string]any{"namespace": namespace, "name": "mine"},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"resourcetemplates": []any{map[string]any{
				"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
				"metadata": map[string]any{"generateName": "mine-", "namespace": "hook-web"},
				"spec":     map[string]any{"pipelineRef": map[string]any{"name": "hook-web"}},
			}}}}},
		}
		o.SetLabels(labels)
		return o
	}
	as := func(u user) dynamic.Interface { return u.dynamic(t) }
	for name, c := range map[string]struct {
		as        dynamic.Interface
		namespace string
	}{
		"a pipeline in its own namespace":                     {as(serviceAccount("hook-web", "pipeline-runner")), "hook-web"},
		"a pipeline in its organization's namespace":          {as(serviceAccount("hook-web", "pipeline-runner")), "org-hook-a"},
		"an administrator in the organization's namespace":    {as(person("admin@hook-a.example.com")), "org-hook-a"},
		"an administrator in a pipeline's namespace":          {as(person("admin@hook-a.example.com")), "hook-web"},
		"an administrator of another organization":            {as(person("admin@hook-b.example.com")), "org-hook-a"},
		"the listener itself":                                 {as(serviceAccount("org-hook-a", "eventlistener")), "org-hook-a"},
		"another organization's pipeline, in its own":         {as(serviceAccount("hook-other", "pipeline-runner")), "hook-other"},
		"another organization's listener, in this one's":      {as(serviceAccount("org-hook-b", "eventlistener")), "org-hook-a"},
		"another organization's pipeline, in this one's":      {as(serviceAccount("hook-other", "pipeline-runner")), "org-hook-a"},
		"any other pod of the organization, in its namespace": {as(serviceAccount("org-hook-a", "default")), "org-hook-a"},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			_, err := c.as.Resource(kinds["Trigger"]).Namespace(c.namespace).Create(t.Context(), trigger(c.namespace), metav1.CreateOptions{})
			require.True(t, apierrors.IsForbidden(err), "%v", err)
		})
	}
	t.Run("one that somebody made for them in their namespace is not run, whatever its labels", func(t *testing.T) {
		cp.create(t, trigger("hook-web"))
		for _, d := range []github.Delivery{
			signed(a.secret, "push", github.Push("example/else", "main").Bytes()),
			signed("wrong", "push", github.Push("example/else", "main").Bytes()),
		} {
			a.refused(t, d)
		}
		run := a.started(t, signed(a.secret, "push", github.Push("example/hook-web", "main").Bytes()))
		require.Equal(t, "hook-web-trigger", run.GetLabels()["triggers.tekton.dev/trigger"])
	})
}

// requireLargeBodies sends bodies of 25 MiB, the most that GitHub sends. The listener gives up on one that takes it more
// than some seconds.
func requireLargeBodies(t *testing.T, a listener) {
	t.Helper()
	large := github.Push("example/hook-api", "later")
	large.Set("head_commit.message", strings.Repeat("x", 25<<20-len(large.Bytes())))
	body := large.Bytes()
	for name, d := range map[string]github.Delivery{
		"starts nothing without a signature":         signed("wrong", "push", body, withoutHeader("X-Hub-Signature-256")),
		"starts nothing with a wrong signature":      signed("wrong", "push", body),
		"starts nothing if it is cut off in between": signed(a.secret, "push", body, func(d *github.Delivery) { d.Body = d.Body[:len(d.Body)/2] }),
	} {
		t.Run(name, func(t *testing.T) { a.refused(t, d) })
	}
	t.Run("starts no more than one run if it is signed", func(t *testing.T) {
		d := signed(a.secret, "push", body)
		a.settled(t, a.deliver(t, d))
		runs, err := cp.dynamic.Resource(kinds["PipelineRun"]).List(t.Context(), metav1.ListOptions{LabelSelector: "platform.aphex/delivery=" + d.ID})
		require.NoError(t, err)
		require.LessOrEqual(t, len(runs.Items), 1)
		for _, run := range runs.Items {
			require.Equal(t, "hook-api", run.GetNamespace())
			require.Equal(t, map[string]any{"git-revision": large["after"]}, params(&run))
		}
	})
	t.Run("leaves the listener as it was", func(t *testing.T) {
		require.NotZero(t, cp.PID("listener-"+a.organization))
		run := a.started(t, signed(a.secret, "push", github.Push("example/hook-api", "later").Bytes()))
		require.Equal(t, "hook-api", run.GetNamespace())
	})
}
