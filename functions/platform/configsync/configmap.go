package configsync

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// FieldManager is who holds the keys that were set. An apply by it that leaves a key out takes the key away.
const FieldManager = "aphex-platform"

// Keys says which keys a ConfigMap shall have, beside those that it has. It is never made, since it is not ours.
type Keys struct {
	Namespace, Name string
	Data            map[string]string
	// Force takes a key from whoever holds it with another value.
	Force bool
}

// heldError says that others hold keys with other values.
type heldError struct{ keys []string }

func (e *heldError) Error() string { return strings.Join(e.keys, "; ") }

// Run sets the keys and reports on the log. The error says why the outcome is not Synced.
func (k Keys) Run(ctx context.Context, cluster *rest.Config, log io.Writer) (Outcome, error) {
	return k.run(ctx, cluster, &patience{log: log, first: firstPause, longest: longestPause, each: tryTimeout})
}

func (k Keys) run(ctx context.Context, cluster *rest.Config, p *patience) (Outcome, error) {
	api, err := newClient(cluster, "/api", corev1.SchemeGroupVersion, corev1.AddToScheme)
	if err != nil {
		return CannotStart, err
	}
	what := fmt.Sprintf("ConfigMap %s/%s has its %s", k.Namespace, k.Name, strings.Join(slices.Sorted(maps.Keys(k.Data)), ", "))
	if err := p.until(ctx, what, func(ctx context.Context) error { return k.set(ctx, api, p) }); err != nil {
		return outcomeOf(ctx, NotSet, err), err
	}
	return Synced, nil
}

// set applies the keys, all of them even if one differs, since the API server takes away what an apply leaves out.
func (k Keys) set(ctx context.Context, api rest.Interface, log *patience) error {
	seen := &corev1.ConfigMap{}
	if err := api.Get().Namespace(k.Namespace).Resource("configmaps").Name(k.Name).Do(ctx).Into(seen); err != nil {
		return err
	}
	data, differ := maps.Clone(k.Data), []string{}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if have, ok := seen.Data[key]; ok && strings.TrimSpace(have) == strings.TrimSpace(data[key]) {
			data[key] = have // Whoever holds it may hold on to it.
			continue
		}
		differ = append(differ, key)
	}
	if len(differ) == 0 {
		log.say("ConfigMap %s/%s is as it shall be already", k.Namespace, k.Name)
		return nil
	}
	if err := k.apply(ctx, api, seen.UID, data); err != nil {
		return err
	}
	log.say("ConfigMap %s/%s was given %s", k.Namespace, k.Name, strings.Join(differ, ", "))
	return nil
}

// apply changes only the ConfigMap that was seen: without its id the API server would make one that is gone anew.
func (k Keys) apply(ctx context.Context, api rest.Interface, uid types.UID, data map[string]string) error {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": data,
		"metadata": map[string]any{"namespace": k.Namespace, "name": k.Name, "uid": uid},
	})
	if err != nil {
		return finalError{err}
	}
	err = api.Patch(types.ApplyYAMLPatchType).Namespace(k.Namespace).Resource("configmaps").Name(k.Name).
		Param("fieldManager", FieldManager).Param("force", strconv.FormatBool(k.Force)).Body(body).Do(ctx).Error()
	if held := heldBy(err); len(held) > 0 {
		return finalError{&heldError{held}}
	}
	return err
}

// heldBy are the keys that others hold, and who: what the API server says when it refuses an apply for that.
func heldBy(err error) []string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var held []string
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			held = append(held, cause.Field+": "+cause.Message)
		}
	}
	return held
}

// SetMain is the program behind SetCommand: it returns its exit code.
func SetMain(arguments []string, log io.Writer) int {
	o, err := parseSet(arguments, log)
	if err != nil {
		_, _ = fmt.Fprintln(log, err) // a log that is gone changes nothing
		return int(CannotStart)
	}
	done := fmt.Sprintf("ConfigMap %s/%s has what it shall have", o.keys.Namespace, o.keys.Name)
	return conclude(o.patience, log, done, func(ctx context.Context) (Outcome, error) { return o.keys.Run(ctx, o.cluster, log) })
}

// setOptions are what the arguments say.
type setOptions struct {
	keys     Keys
	cluster  *rest.Config
	patience time.Duration
}

// parseSet reads the arguments. All problems are told at once.
func parseSet(arguments []string, log io.Writer) (*setOptions, error) {
	o := &setOptions{keys: Keys{Data: map[string]string{}}}
	k := &o.keys
	var kubeconfig string
	fs := flag.NewFlagSet(SetCommand, flag.ContinueOnError)
	fs.SetOutput(log)
	fs.StringVar(&k.Namespace, "namespace", "", "the namespace of the ConfigMap")
	fs.StringVar(&k.Name, "name", "", "the name of the ConfigMap, which has to exist")
	fs.Func("set", "a `key=value` that it shall have; repeat it for more", func(s string) error {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return errors.New("it is not key=value")
		}
		k.Data[key] = value
		return nil
	})
	fs.BoolVar(&k.Force, "force", false, "take keys from whoever holds them with other values")
	fs.StringVar(&kubeconfig, "kubeconfig", "", "the file with the access to the cluster; by default that of the pod's service account")
	fs.DurationVar(&o.patience, "timeout", 5*time.Minute, "how long to try")
	if err := fs.Parse(arguments); err != nil {
		return nil, err
	}
	var problems []error
	for name, missing := range map[string]bool{"namespace": k.Namespace == "", "name": k.Name == "", "set": len(k.Data) == 0} {
		if missing {
			problems = append(problems, fmt.Errorf("--%s is required: %s", name, fs.Lookup(name).Usage))
		}
	}
	var err error
	if o.cluster, err = access(kubeconfig); err != nil {
		problems = append(problems, fmt.Errorf("no access to the cluster: %w", err))
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return o, errors.Join(problems...)
}
