package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
	batchv1 "k8s.io/api/batch/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/argocd"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
	"aphex.io/platform/functions/internal/settings"
)

func TestTheJobReachesAuthentikAndDexWhereTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		auth v1alpha1.Auth
		want []string
	}{
		"as they are by default": {v1alpha1.Auth{}, []string{
			"--authentik-url=http://authentik.auth-system.svc.cluster.local:9000",
			"--authentik-issuer=http://authentik.auth-system.svc.cluster.local:9000/application/o/platform-services/",
			"--redirect-uri=https://dex.home.local/callback",
			"--dex-url=http://dex.auth-system.svc:5556", "--dex-issuer=https://dex.home.local",
		}},
		"an Authentik outside of the cluster": {v1alpha1.Auth{AuthentikIssuer: "https://id.example.org/application/o/acme/"}, []string{
			"--authentik-url=https://id.example.org", "--authentik-issuer=https://id.example.org/application/o/acme/",
		}},
		"a Dex below a path": {v1alpha1.Auth{Issuer: "https://login.example.org/dex"}, []string{
			"--redirect-uri=https://login.example.org/dex/callback",
			"--dex-url=http://dex.auth-system.svc:5556/dex", "--dex-issuer=https://login.example.org/dex",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Subset(t, syncArguments(v1alpha1.PlatformSpec{Auth: c.auth}.WithDefaults()), c.want)
		})
	}
}

func TestTheJobWaitsForWhatItMounts(t *testing.T) {
	for name, c := range map[string]struct {
		token, secret string
		stored, want  bool
	}{
		"both are there":                     {"token", "secret", true, true},
		"both are made in this run":          {"token", "secret", false, false},
		"somebody's Secret has no token":     {"", "secret", true, false},
		"somebody's Secret has no other one": {"token", "", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := &vault{
				values: map[string]map[string]string{dexSecrets: {clientSecretKey: c.secret}, apiTokenSecret: {apiTokenKey: c.token}},
				exists: map[string]bool{dexSecrets: c.stored, apiTokenSecret: c.stored},
			}
			require.Equal(t, c.want, v.hasSyncSecrets())
		})
	}
}

func TestTheJobWaitsForTheCertificateThatItTrustsAuthentikBy(t *testing.T) {
	xr := platform(func(s *v1alpha1.PlatformSpec) {
		s.Auth.AuthentikIssuer = "https://authentik.home.local/application/o/platform-services/"
		s.Settings = map[string]any{"configSync": map[string]any{"image": "registry.example.com/function-platform:v1"}}
	})
	whole := compose(t, xr, rendertest.Cluster{Offline: true})
	for name, c := range map[string]struct {
		objects []string
		made    bool
		want    int
	}{
		"there is none":                {nil, false, 0},
		"there is something else":      {[]string{tlsSecret("authentik-tls", "a certificate")}, false, 0},
		"it is there":                  {[]string{tlsSecret("authentik-tls", rendertest.SelfSigned)}, false, 1},
		"it is lost after the job ran": {nil, true, 1},
		"the certificate is another's": {[]string{tlsSecret("dex-tls", rendertest.SelfSigned)}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := applied(t, whole, nil)
			cluster.Objects = c.objects
			for key := range cluster.Composed {
				if !c.made && object.NewObject(whole.Resources()[key].Object).Kind() == "Job" {
					delete(cluster.Composed, key)
				}
			}
			require.Equal(t, c.want, jobs(compose(t, xr, cluster)))
		})
	}
}

// Crossplane gives up on a function that asks for something new each time it is called.
func TestThereIsNoJobWhileItsNameIsNotKnown(t *testing.T) {
	image := func(s *v1alpha1.PlatformSpec) {
		s.Settings = map[string]any{"configSync": map[string]any{"image": "registry.example.com/function-platform:v1"}}
	}
	c := applied(t, compose(t, platform(image), rendertest.Cluster{Offline: true}), nil)
	stored := compose(t, platform(image), c)
	for _, key := range stored.Keys() {
		if strings.HasPrefix(key, "secret-") {
			delete(c.Composed, key)
		}
	}
	require.Equal(t, 1, jobs(stored))
	lost := compose(t, platform(image), c)
	require.Zero(t, jobs(lost))
	require.Equal(t, "waiting for Job auth-system/config-sync (its secrets are not stored yet)", condition(t, lost, conditionConfigSync).Message)
}

// Nobody can log in before Authentik and Dex are connected.
func TestAPlatformIsNotReadyWhileNobodyConnectsAuthentikAndDex(t *testing.T) {
	image := map[string]any{"image": "registry.example.com/function-platform:v1"}
	off := map[string]any{"configSync": false}
	missing := object.Condition{
		Type: conditionConfigSync, Status: object.False, Reason: "ImageMissing",
		Message: "EnvironmentConfig aphex has no configSync.image for the job that connects Authentik and Dex; " +
			"set it, or set integrations.configSync to false and connect them by hand",
	}
	switchedOff := object.Condition{
		Type: conditionConfigSync, Status: object.True, Reason: "SwitchedOff", Message: "EnvironmentConfig aphex switches integrations.configSync off",
	}
	for name, c := range map[string]struct {
		settings  map[string]any
		phase     string
		message   string
		condition object.Condition
		jobs      int
	}{
		"without settings": {
			phase: "Pending", message: "waiting for Job auth-system/config-sync (EnvironmentConfig aphex has no configSync.image)", condition: missing,
		},
		"without an image": {
			settings: map[string]any{"configSync": map[string]any{"image": ""}},
			phase:    "Pending", message: "waiting for Job auth-system/config-sync (EnvironmentConfig aphex has no configSync.image)", condition: missing,
		},
		"with a job": {
			settings: map[string]any{"configSync": image}, jobs: 1,
			phase: "Ready", message: "steps are done; people log in at https://authentik.home.local",
			condition: object.Condition{Type: conditionConfigSync, Status: object.True, Reason: "Available"},
		},
		"by hand": {
			settings: map[string]any{"integrations": off},
			phase:    "Ready", message: "once somebody connected Authentik and Dex: the setting integrations.configSync leaves that to you", condition: switchedOff,
		},
		"by hand, although there is an image": {
			settings: map[string]any{"configSync": image, "integrations": off},
			phase:    "Ready", message: "once somebody connected Authentik and Dex", condition: switchedOff,
		},
	} {
		t.Run(name, func(t *testing.T) {
			xr := platform(func(s *v1alpha1.PlatformSpec) { s.Settings = c.settings })
			d := compose(t, xr, rendertest.Cluster{Offline: true})
			for range 2 { // The job waits for what it mounts.
				w := applied(t, d, func(_ string, o map[string]any) { work(o, nil, nil) })
				w.Objects = []string{tlsSecret("dex-tls", rendertest.SelfSigned)}
				d = compose(t, xr, w)
			}
			require.Equal(t, c.phase, d.Phase)
			require.Equal(t, c.phase == "Ready", d.Ready)
			require.Contains(t, d.Message, c.message)
			require.Equal(t, c.condition, condition(t, d, conditionConfigSync))
			require.Equal(t, c.jobs, jobs(d))
		})
	}
}

func jobs(d *object.Desired) int {
	n := 0
	for _, r := range d.Resources() {
		if object.NewObject(r.Object).Kind() == "Job" {
			n++
		}
	}
	return n
}

func TestAnotherJobIsMadeForAnotherThingToConnect(t *testing.T) {
	spec := v1alpha1.PlatformSpec{}.WithDefaults()
	name := func(spec v1alpha1.PlatformSpec, image, clientSecret, token string) string {
		v := &vault{values: map[string]map[string]string{dexSecrets: {clientSecretKey: clientSecret}, apiTokenSecret: {apiTokenKey: token}}}
		return syncJob(spec, &settings.Settings{ConfigSync: settings.ConfigSync{Image: image}}, v).Name
	}
	first := name(spec, "image:v1", "secret", "token")
	require.Equal(t, first, name(spec, "image:v1", "secret", "token"))
	require.LessOrEqual(t, len(first), 63, "it is a label of its pods")
	moved := spec
	moved.Domain.Dex = "dex.example.org"
	for change, other := range map[string]string{
		"another image": name(spec, "image:v2", "secret", "token"), "another secret": name(spec, "image:v1", "other", "token"),
		"another token": name(spec, "image:v1", "secret", "other"), "another host": name(moved, "image:v1", "secret", "token"),
	} {
		require.NotEqual(t, first, other, change)
	}
}

// The Job is there as soon as Argo CD knows of Authentik. Then images are pulled and a database is made, and blueprints that could
// not be applied are tried again once an hour.
func TestTheJobOutlastsASlowFirstInstallation(t *testing.T) {
	job := syncJob(v1alpha1.PlatformSpec{}.WithDefaults(), settings.Defaults(), &vault{}).Spec
	arguments := job.Template.Spec.Containers[0].Args
	i := slices.IndexFunc(arguments, func(a string) bool { return strings.HasPrefix(a, "--timeout=") })
	require.GreaterOrEqual(t, i, 0)
	patience, err := time.ParseDuration(strings.TrimPrefix(arguments[i], "--timeout="))
	require.NoError(t, err)
	require.Equal(t, 24*time.Hour, patience)
	require.GreaterOrEqual(t, time.Duration(*job.ActiveDeadlineSeconds)*time.Second, 2*patience, "a pod that takes over has as long as the first")
}

func TestAReleaseRunsItsOwnProgramAndDoesNotRepeatWhatIsDone(t *testing.T) {
	const first, second, mirrored = "registry.example.org/function-platform:v1", "registry.example.org/function-platform:v2", "mirror.example.org/platform:v2"
	done := func(_ string, o map[string]any) { work(o, nil, nil) }
	failed := func(_ string, o map[string]any) {
		if o["kind"] == "Job" {
			o["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}}}
		} else {
			done("", o)
		}
	}
	begun := func(_ string, o map[string]any) {
		if o["kind"] != "Job" {
			done("", o)
		}
	}
	mirror := func(s *v1alpha1.PlatformSpec) {
		s.Settings = map[string]any{"configSync": map[string]any{"image": mirrored}}
	}
	moved := func(s *v1alpha1.PlatformSpec) { s.Domain.Dex = "dex.example.org" }
	for name, c := range map[string]struct {
		was   func(string, map[string]any)
		next  func(*v1alpha1.PlatformSpec)
		want  string
		ready bool
	}{
		"a job that has done its work stays":               {was: done, want: first, ready: true},
		"one that runs makes way":                          {was: begun, want: second},
		"one that failed makes way":                        {was: failed, want: second},
		"one that did something else makes way":            {was: done, next: moved, want: second},
		"another image in the settings repeats it neither": {was: done, next: mirror, want: first, ready: true},
		"the settings are heeded before the release":       {was: begun, next: mirror, want: mirrored},
	} {
		t.Run(name, func(t *testing.T) {
			d := compose(t, platform(), rendertest.Cluster{Offline: true, Image: first})
			cluster := func(image string, change func(string, map[string]any)) rendertest.Cluster {
				w := applied(t, d, change)
				w.Objects, w.Image = []string{tlsSecret("dex-tls", rendertest.SelfSigned)}, image
				return w
			}
			for range 2 { // The job waits for what it mounts.
				d = compose(t, platform(), cluster(first, done))
			}
			changes := []func(*v1alpha1.PlatformSpec){}
			if c.next != nil {
				changes = append(changes, c.next)
			}
			d = compose(t, platform(changes...), cluster(second, c.was))
			var images []string
			for _, r := range d.Resources() {
				if o := object.NewObject(r.Object); o.Kind() == "Job" {
					images = append(images, o.List("spec", "template", "spec", "containers")[0].String("image"))
				}
			}
			require.Equal(t, []string{c.want}, images)
			require.Equal(t, c.ready, condition(t, d, conditionConfigSync).Status == object.True)
		})
	}
}

// Self-healing would otherwise stop Dex again as soon as the job has started it.
func TestArgoCDLeavesTheReplicasOfDexAlone(t *testing.T) {
	git := v1alpha1.GitOps{SyncOptions: []string{"CreateNamespace=true"}}
	auth := application(platformApplication{name: authApplication}, git, settings.Defaults())
	require.Equal(t, []argocd.IgnoreDifference{{
		Group: "apps", Kind: "Deployment", Namespace: "auth-system", Name: "dex", JSONPointers: []string{"/spec/replicas"},
	}}, auth.Spec.IgnoreDifferences)
	require.Equal(t, []string{"CreateNamespace=true", "RespectIgnoreDifferences=true"}, auth.Spec.SyncPolicy.SyncOptions)
	require.Equal(t, []string{"CreateNamespace=true"}, git.SyncOptions)

	git.SyncOptions = []string{"RespectIgnoreDifferences=true"}
	require.Equal(t, git.SyncOptions, application(platformApplication{name: authApplication}, git, settings.Defaults()).Spec.SyncPolicy.SyncOptions)
	require.Empty(t, application(platformApplication{name: "platform-crds"}, git, settings.Defaults()).Spec.IgnoreDifferences)
}

func TestAJobTellsWhatCameOfIt(t *testing.T) {
	condition := func(conditionType, reason, message string) batchv1.JobStatus {
		return batchv1.JobStatus{Conditions: []batchv1.JobCondition{{
			Type: batchv1.JobConditionType(conditionType), Status: "True", Reason: reason, Message: message,
		}}}
	}
	for name, c := range map[string]struct {
		status batchv1.JobStatus
		ready  bool
		why    string
	}{
		"it runs":         {batchv1.JobStatus{Active: 1}, false, "it is connecting Authentik and Dex; the log of its pod says what it waits for"},
		"it has ended":    {condition("Complete", "CompletionsReached", ""), true, ""},
		"it was too slow": {condition("Failed", "DeadlineExceeded", ""), false, "it failed: it did not get to an end (DeadlineExceeded); see its events and those of its pods; delete it to try again"},
		"the program says why": {
			condition("Failed", "PodFailurePolicy", "Container config-sync for pod auth-system/config-sync-x failed with exit code 21 matching FailJob rule at index 0"),
			false, "it failed: Authentik refuses the API token; delete it to try again",
		},
		"the program says something new": {
			condition("Failed", "PodFailurePolicy", "Container config-sync for pod auth-system/config-sync-x failed with exit code 99 matching FailJob rule at index 0"),
			false, "it failed: it ended with exit code 99; delete it to try again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal(map[string]any{"status": c.status})
			require.NoError(t, err)
			s := &structpb.Struct{}
			require.NoError(t, s.UnmarshalJSON(raw))
			ready, why := synced(object.NewObject(s))
			require.Equal(t, c.ready, ready)
			require.Equal(t, c.why, why)
		})
	}
}
