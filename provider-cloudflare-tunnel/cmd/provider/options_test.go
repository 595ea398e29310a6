package main

import (
	"flag"
	"io"
	"testing"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/stretchr/testify/require"
)

func parseArgs(args ...string) (options, error) {
	fs := flag.NewFlagSet("provider", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return parse(fs, args)
}

func TestTheDefaultsAreValid(t *testing.T) {
	o, err := parseArgs()
	require.NoError(t, err)
	require.Equal(t, ":8080", o.metricsAddress)
	require.Equal(t, ":8081", o.healthAddress)
	require.Equal(t, 15*time.Minute, o.pollInterval)
	require.True(t, o.features().Enabled(feature.EnableBetaManagementPolicies))
	require.False(t, o.features().Enabled(feature.EnableAlphaChangeLogs))
}

func TestFlagsAreTakenOver(t *testing.T) {
	o, err := parseArgs("--metrics-address=", "--health-address=127.0.0.1:0", "--poll-interval=1m", "--poll-jitter=10s",
		"--enable-management-policies=false", "--enable-changelogs", "--leader-election", "--leader-election-namespace=crossplane-system")
	require.NoError(t, err)
	require.Equal(t, "0", orNone(o.metricsAddress))
	require.Equal(t, "127.0.0.1:0", orNone(o.healthAddress))
	require.Equal(t, time.Minute, o.pollInterval)
	require.False(t, o.features().Enabled(feature.EnableBetaManagementPolicies))
	require.True(t, o.features().Enabled(feature.EnableAlphaChangeLogs))
	require.Equal(t, "crossplane-system", o.leaderElectionNamespace)
}

func TestBadFlagsAreRefused(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "")
	for want, args := range map[string][]string{
		`unexpected arguments ["run"]; there are flags only`:                   {"run"},
		"--poll-interval must be at least 1s":                                  {"--poll-interval=0s", "--poll-jitter=0s"},
		"--poll-jitter must be between 0 and half of --poll-interval":          {"--poll-interval=1m", "--poll-jitter=31s"},
		"--min-poll-interval must be at least 1s":                              {"--min-poll-interval=0s"},
		"--list-freshness must be at least 1s":                                 {"--list-freshness=0s"},
		"--timeout must be at least 10s":                                       {"--timeout=1s"},
		"--sync-interval must be at least 1m":                                  {"--sync-interval=1s"},
		"--max-reconcile-rate must be at least 1":                              {"--max-reconcile-rate=0"},
		"--leader-election needs --leader-election-namespace or POD_NAMESPACE": {"--leader-election"},
		"flag provided but not defined: -no-such-flag":                         {"--no-such-flag"},
	} {
		_, err := parseArgs(args...)
		require.EqualError(t, err, want)
	}
}
