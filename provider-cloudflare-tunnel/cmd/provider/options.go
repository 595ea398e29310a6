package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	// Adds the flag --kubeconfig to flag.CommandLine.
	_ "sigs.k8s.io/controller-runtime/pkg/client/config"
)

// options are what the flags say.
type options struct {
	debug bool

	metricsAddress, healthAddress string

	pollInterval, pollJitter, minPollInterval time.Duration
	freshness, timeout, syncInterval          time.Duration
	maxReconcileRate                          int

	leaderElection          bool
	leaderElectionNamespace string

	managementPolicies bool
	changeLogs         bool
	changeLogsSocket   string
}

// parse adds the flags to a set, which may have others, and reads the arguments.
func parse(fs *flag.FlagSet, args []string) (options, error) {
	var o options
	fs.BoolVar(&o.debug, "debug", false, "log every reconcile")
	fs.StringVar(&o.metricsAddress, "metrics-address", ":8080", "address of the Prometheus metrics, empty for none")
	fs.StringVar(&o.healthAddress, "health-address", ":8081", "address of /healthz and /readyz, empty for none")

	fs.DurationVar(&o.pollInterval, "poll-interval", 15*time.Minute, "how often an object is compared with Cloudflare when nothing happens")
	fs.DurationVar(&o.pollJitter, "poll-jitter", 90*time.Second, "by how much each poll is moved to either side, so that polls spread out")
	fs.DurationVar(&o.minPollInterval, "min-poll-interval", time.Minute, "the shortest interval that the annotation crossplane.io/poll-interval may ask for")
	fs.DurationVar(&o.freshness, "list-freshness", time.Minute, "how old the lists of tunnels and records may be that all objects of an account or zone share")
	fs.DurationVar(&o.timeout, "timeout", time.Minute, "the longest that one reconcile may take")
	fs.DurationVar(&o.syncInterval, "sync-interval", 10*time.Hour, "how often all objects are looked at again, whatever their poll interval")
	fs.IntVar(&o.maxReconcileRate, "max-reconcile-rate", 100, "the most reconciles per second, and at the same time per kind")

	fs.BoolVar(&o.leaderElection, "leader-election", false, "let one of several replicas work and the others wait; also -leader-election=true")
	fs.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", os.Getenv("POD_NAMESPACE"), "namespace of the Lease; also POD_NAMESPACE")

	fs.BoolVar(&o.managementPolicies, "enable-management-policies", true, "obey spec.managementPolicies")
	fs.BoolVar(&o.changeLogs, "enable-changelogs", false, "report every change that is made at Cloudflare to the change logs sidecar")
	fs.StringVar(&o.changeLogsSocket, "changelogs-socket-path", "/var/run/changelogs/changelogs.sock", "socket of the change logs sidecar")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	return o, o.validate(fs.Args())
}

func (o options) validate(rest []string) error {
	var errs []error
	check := func(ok bool, message string) {
		if !ok {
			errs = append(errs, errors.New(message))
		}
	}
	check(len(rest) == 0, fmt.Sprintf("unexpected arguments %q; there are flags only", rest))
	check(o.pollInterval >= time.Second, "--poll-interval must be at least 1s")
	check(o.pollJitter >= 0 && o.pollJitter <= o.pollInterval/2, "--poll-jitter must be between 0 and half of --poll-interval")
	check(o.minPollInterval >= time.Second, "--min-poll-interval must be at least 1s")
	check(o.freshness >= time.Second, "--list-freshness must be at least 1s")
	check(o.timeout >= 10*time.Second, "--timeout must be at least 10s")
	check(o.syncInterval >= time.Minute, "--sync-interval must be at least 1m")
	check(o.maxReconcileRate >= 1, "--max-reconcile-rate must be at least 1")
	check(!o.leaderElection || o.leaderElectionNamespace != "", "--leader-election needs --leader-election-namespace or POD_NAMESPACE")
	return errors.Join(errs...)
}

func (o options) features() *feature.Flags {
	f := &feature.Flags{}
	if o.managementPolicies {
		f.Enable(feature.EnableBetaManagementPolicies)
	}
	if o.changeLogs {
		f.Enable(feature.EnableAlphaChangeLogs)
	}
	return f
}
