// Command demo shows what the claims of the examples become on a whole platform that runs on
// this machine: it starts the control plane, claims the examples, shows
// everything that they turn into, sends a push as GitHub would, and stays until
// Ctrl-C. With DEMO_ONCE=1 it stops by itself and fails unless everything became
// ready, the push started its run, and all was gone after the claims were
// deleted.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"aphex.io/platform/test/controlplane"
)

const (
	// settled is how long nothing may change before a tree is taken for what it
	// will be until something else happens.
	settled = 2500 * time.Millisecond
	// patience bounds each stage.
	patience = 3 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv("DEMO_ONCE") != "")
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "\nThe demo failed: %v\n", err)
		os.Exit(1)
	}
}

// run keeps its folder, with all logs, if something fails.
func run(ctx context.Context, once bool) error {
	dir, err := os.MkdirTemp("", "aphex-demo-")
	if err != nil {
		return err
	}
	p := &printer{out: os.Stdout}
	err = show(ctx, p, dir, once)
	if ctx.Err() != nil {
		// Whatever failed then was interrupted.
		err = context.Canceled
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return fmt.Errorf("%w\nLogs: %s", err, filepath.Join(dir, "logs"))
}

func show(ctx context.Context, p *printer, dir string, once bool) (err error) {
	began := time.Now()
	p.line("Aphex on this machine: a real API server, Crossplane, Tekton Triggers and the Cloudflare provider as")
	p.line("plain processes on loopback. Not real are: Cloudflare's API, which a strict simulator plays; nodes and")
	p.line("pods, which KWOK plays: they become ready, but no container runs, except for the pods of packages,")
	p.line("whose programs a stand-in for the kubelet runs; the connectors of tunnels, for which a stand-in connects")
	p.line("to the simulator; the External Secrets operator, of which a stand-in judges secret stores; and Argo CD and")
	p.line("cert-manager, of which a stand-in says in the end that all is well: nothing is deployed or signed.")

	p.stage("Start a cluster with Crossplane")
	root, err := controlplane.FindRoot()
	if err != nil {
		return err
	}
	built, err := readRelease(filepath.Join(root, ".cache", "demo"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The packages are pushed while the cluster starts.
	registry, pushed, err := built.serve(ctx, filepath.Join(root, ".cache", "bin", "crossplane"))
	if err != nil {
		return err
	}
	cp, err := controlplane.Start(ctx, controlplane.Options{Root: root, Dir: dir, Packages: true, Log: p.detail})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, cp.Stop())
		if err == nil || errors.Is(err, context.Canceled) {
			p.line("")
			p.line("Stopped. Nothing is left running.")
		}
	}()

	p.stage("Install Aphex")
	p.line("   make built its packages from this folder. They were pushed to a registry on this machine, from which")
	p.line("   Crossplane's package manager pulls them as it would from any mirror.")
	p.line("")
	if err := <-pushed; err != nil {
		return err
	}
	if err := built.install(ctx, p, cp, registry); err != nil {
		return err
	}
	w, err := newWorld(cp.RESTConfig())
	if err != nil {
		return err
	}

	p.stage("Claim the examples")
	claims, err := w.claim(ctx, filepath.Join(cp.Root(), "examples"))
	if err != nil {
		return err
	}
	for _, c := range claims {
		p.detail("%-14s %-32s %s", c.GetKind(), c.GetNamespace()+"/"+c.GetName(), relative(cp.Root(), c.file))
	}
	p.line("")
	if err := w.watch(ctx, p, claims, settled); err != nil {
		return err
	}
	p.line("")
	p.line("   The Cloudflare provider runs, but nobody gave it an API token. The organization says so, and the")
	p.line("   repository waits for the organization. The platform has its login configuration, secrets and rights, and")
	p.line("   the first of its applications; it waits for Argo CD and cert-manager.")

	p.stage("Give it what it waits for")
	p.line("   A platform team stores its API token in a Secret, and edits and applies configure.yaml of the release: the")
	p.line("   account and zone, and settings. Here token and account are the simulator's, and a stand-in begins to play")
	p.line("   Argo CD and cert-manager. Nobody touches the claims.")
	p.line("")
	// First, since what says that the API is the simulator's is not in configure.yaml.
	if err := cp.ConnectCloudflare(ctx); err != nil {
		return err
	}
	if err := errors.Join(built.configure(ctx, p, cp), cp.PlayArgoCDAndCertManager(ctx)); err != nil {
		return err
	}
	p.line("")
	if err := w.watch(ctx, p, claims, 0); err != nil {
		return err
	}
	p.line("")
	there, err := atCloudflare(ctx, cp)
	if err != nil {
		return err
	}
	p.line("   At Cloudflare:")
	for _, line := range there {
		p.line("     %s", line)
	}
	p.line("")
	claimed, err := command(ctx, cp.Binary("kubectl"), "--kubeconfig="+cp.Kubeconfig(), "get", "platforms,organizations,repobindings,knowledgebases", "-A", "-o", "wide")
	if err != nil {
		return err
	}
	p.details(claimed)
	p.line("")
	p.line("   Everything is ready, %s after the start.", short(time.Since(began)))

	p.stage("Push to the repository")
	p.line("   GitHub would send this to the organization's public URL, signed with the secret that its claimant got.")
	p.line("   Here a stand-in takes the way that it would: by the DNS record, the tunnel and the connector's")
	p.line("   configuration to the listener. The listener, the interceptors that it asks, and its rights are real.")
	p.line("")
	if err := w.push(ctx, p, cp, claims); err != nil {
		return err
	}
	p.line("")
	p.line("   Here it ends: Tekton Pipelines, which would carry it out in pods, does not run.")

	if once {
		p.stage("Delete the claims")
		if err := w.remove(ctx, p, claims); err != nil {
			return err
		}
		left, err := atCloudflare(ctx, cp)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("the claims are gone, but this is left at Cloudflare:\n%s", strings.Join(left, "\n"))
		}
		if err == nil {
			p.detail("%-44s nothing", "Left at Cloudflare")
		}
		return err
	}
	tryNext(p, cp)
	<-ctx.Done()
	return context.Canceled
}

// atCloudflare lists what there is at Cloudflare, a line each.
func atCloudflare(ctx context.Context, cp *controlplane.ControlPlane) ([]string, error) {
	tunnels, err := cp.Cloudflare().Tunnels(ctx, controlplane.CloudflareAccount)
	if err != nil {
		return nil, err
	}
	records, err := cp.Cloudflare().Records(ctx, controlplane.CloudflareZone)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, t := range tunnels {
		lines = append(lines, fmt.Sprintf("tunnel %s  %s, %d connectors", t.Name, t.Status, len(t.Connectors)))
	}
	for _, r := range records {
		lines = append(lines, fmt.Sprintf("record %s  %s %s", r.Name, r.Type, r.Content))
	}
	return lines, nil
}

// tryNext lists what a newcomer may want to do now, in another terminal.
func tryNext(p *printer, cp *controlplane.ControlPlane) {
	p.stage("Try it yourself")
	p.line("   In another terminal:")
	p.line("")
	p.line("     export KUBECONFIG=%s", cp.Kubeconfig())
	p.line("     alias kubectl=%s", cp.Binary("kubectl"))
	p.line("")
	for _, try := range []struct{ command, why string }{
		{"kubectl get pkg", "what is installed"},
		{"kubectl get aphex -A", "the claims, and where they stand"},
		{"kubectl explain organization.spec", "every field, in words"},
		{"kubectl -n org-acme-corp get deployments,eventlisteners,tunnels,networkpolicies", "what an organization has"},
		{"kubectl -n platform-system get secret acme-corp-webhook -o yaml", "what to enter in GitHub"},
		{"kubectl -n cdktf-deploy-pipeline get pipelineruns", "what the push started"},
		{"kubectl -n org-acme-corp delete deployment cloudflared", "comes back within a second"},
		{"kubectl -n platform-system delete organization acme-corp", "refused while a repository is bound to it"},
		{"kubectl -n platform-system delete repobinding my-application", "takes all that it made with it"},
	} {
		p.line("     # %s", try.why)
		p.line("     %s", try.command)
	}
	p.line("")
	p.line("   Logs: %s", filepath.Join(cp.Dir(), "logs"))
	p.line("   Ctrl-C stops everything.")
}

func relative(root, path string) string {
	if rel, err := filepath.Rel(root, path); err == nil {
		return rel
	}
	return path
}
