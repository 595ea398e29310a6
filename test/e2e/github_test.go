package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/test/github"
)

// change makes a delivery differ from what GitHub would send. It is made after the delivery was signed.
type change func(*github.Delivery)

func header(name, value string) change {
	return func(d *github.Delivery) { d.Header.Set(name, value) }
}

func withoutHeader(name string) change {
	return func(d *github.Delivery) { d.Header.Del(name) }
}

// signed is a delivery as GitHub sends it, and then changed.
func signed(secret, event string, body []byte, changes ...change) github.Delivery {
	d := github.Signed(secret, event, body)
	for _, c := range changes {
		c(&d)
	}
	return d
}

// listener is the running listener of an organization, and what GitHub knows of it.
type listener struct {
	organization, url, secret string
	// keys is how many secrets it takes; each has a trigger group of its own.
	keys int
}

// listen runs the listener of an organization that is ready, until the end of the test.
func (c *cluster) listen(t *testing.T, organization string) listener {
	t.Helper()
	url, err := c.Listen(t.Context(), organization)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Kill("listener-"+organization)) })
	secret := secretValue(t, c.see(t, refTo("Secret org-%s/github-webhook-secret", organization)), "secret")
	return listener{organization: organization, url: url, secret: secret, keys: 1}
}

func (l listener) log() string { return cp.Logs("listener-" + l.organization) }

// answer is what a listener said to a delivery.
type answer struct {
	github.Answer
	// from is where the listener's log ended before.
	from int64
}

func (l listener) deliver(t *testing.T, d github.Delivery) answer {
	t.Helper()
	log, err := os.Stat(l.log())
	require.NoError(t, err)
	a, err := d.Send(t.Context(), http.DefaultClient, l.url)
	require.NoError(t, err)
	return answer{Answer: a, from: log.Size()}
}

// entry is what a listener logged of a delivery. It has the name of a Trigger once the signature was taken for good.
type entry struct {
	Event    string `json:"/triggers-eventid"`
	Trigger  string `json:"/trigger"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

// longestReason is longer than any. What is longer repeats the delivery.
const longestReason = 1 << 20

// said is what the listener logged of a delivery.
func (l listener) said(a answer) ([]entry, error) {
	file, err := os.Open(l.log())
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // It was only read.
	if _, err := file.Seek(a.from, io.SeekStart); err != nil {
		return nil, err
	}
	var out []entry
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return out, nil // The rest of the line is yet to be written.
		}
		var e entry
		if len(line) < longestReason && bytes.Contains(line, []byte(a.EventID)) && json.Unmarshal(line, &e) == nil && e.Event == a.EventID {
			out = append(out, e)
		}
	}
}

// outcome is what became of a delivery: why it was passed over, as a whole or by each Trigger.
type outcome struct {
	whole     string
	byTrigger map[string]string
	// refusals is how many trigger groups passed it over as a whole.
	refusals int
}

// done marks a Trigger that has made what its template says.
const done = "done"

// settled returns once a listener is done with a delivery, as a whole or in each of its Triggers.
func (l listener) settled(t *testing.T, a answer) outcome {
	t.Helper()
	if a.EventID == "" {
		return outcome{whole: http.StatusText(a.Status)}
	}
	var o outcome
	eventually(t, func(ctx context.Context) error {
		o = outcome{byTrigger: map[string]string{}}
		triggers, err := cp.client(refTo("Trigger org-%s/", l.organization)).List(ctx, everything)
		if err != nil {
			return err
		}
		entries, err := l.said(a)
		if err != nil {
			return err
		}
		for _, e := range entries {
			why, passedOver := strings.CutPrefix(e.Message, "interceptor stopped trigger processing: ")
			switch {
			case !passedOver && !strings.EqualFold(e.Severity, "error"):
			case e.Trigger == "":
				o.whole = why
				o.refusals++
			default:
				o.byTrigger[e.Trigger] = why
			}
		}
		runs, err := runsOf(ctx, a)
		if err != nil {
			return err
		}
		for _, run := range runs {
			o.byTrigger[run.GetLabels()["triggers.tekton.dev/trigger"]] = done
		}
		groups := o.refusals
		silent := slices.DeleteFunc(triggers.Items, func(trigger object) bool {
			_, said := o.byTrigger[trigger.GetName()]
			return said
		})
		if len(o.byTrigger) > 0 && len(silent) == 0 {
			groups++
		}
		if groups < l.keys {
			return fmt.Errorf("behind each of %d keys it says %v, and nothing of %d triggers; it logged %v", l.keys, o, len(silent), entries)
		}
		return nil
	})
	return o
}

// runsOf are the PipelineRuns, anywhere, that a delivery started.
func runsOf(ctx context.Context, a answer) ([]object, error) {
	list, err := cp.dynamic.Resource(kinds["PipelineRun"]).List(ctx, metav1.ListOptions{LabelSelector: "triggers.tekton.dev/triggers-eventid=" + a.EventID})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// started is the one run that a delivery started.
func (l listener) started(t *testing.T, d github.Delivery) *object {
	t.Helper()
	a := l.deliver(t, d)
	require.Equal(t, http.StatusAccepted, a.Status)
	o := l.settled(t, a)
	runs, err := runsOf(t.Context(), a)
	require.NoError(t, err)
	require.Len(t, runs, 1, "%v", o)
	return &runs[0]
}

// refused requires that a delivery starts nothing, and returns why.
func (l listener) refused(t *testing.T, d github.Delivery) outcome {
	t.Helper()
	a := l.deliver(t, d)
	o := l.settled(t, a)
	if a.EventID != "" {
		runs, err := runsOf(t.Context(), a)
		require.NoError(t, err)
		require.Empty(t, runs)
	}
	return o
}

// runsIn are the names of all runs in some namespaces.
func runsIn(t *testing.T, namespaces ...string) []string {
	t.Helper()
	names := []string{}
	for _, namespace := range namespaces {
		list, err := cp.client(refTo("PipelineRun %s/", namespace)).List(t.Context(), everything)
		require.NoError(t, err)
		for _, run := range list.Items {
			names = append(names, namespace+"/"+run.GetName())
		}
	}
	return names
}

// params are the parameters of a run.
func params(run *object) map[string]any {
	out := map[string]any{}
	for _, p := range list(run, "spec.params") {
		out[fmt.Sprint(p["name"])] = p["value"]
	}
	return out
}
