// Command simulator serves package cloudflaretest as a process of its own, for a control plane that runs the provider as
// one. It listens on loopback only, on two addresses: one is the API as the provider knows it, the other one is for
// whoever plays everybody else: it sets up accounts, zones and tokens, connects connectors, acts as a stranger, makes
// calls fail, and looks at what there is. See control.go for its requests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare/cloudflaretest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "simulator: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("simulator", flag.ContinueOnError)
	address := flags.String("address", "127.0.0.1:8787", "address of the API")
	controlAddress := flags.String("control-address", "127.0.0.1:8788", "address for whoever plays everybody else")
	budget := flags.Int("budget", 1200, "requests that a user may make in five minutes, without limit if negative")
	maxTunnels := flags.Int("max-tunnels", 1000, "live tunnels that an account may have")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected arguments %q; there are flags only", flags.Args())
	}
	if *budget == 0 || *maxTunnels < 1 {
		return errors.New("--budget must not be 0, and --max-tunnels at least 1")
	}

	s := cloudflaretest.New(cloudflaretest.Options{Budget: *budget, MaxTunnels: *maxTunnels})
	all, ctx := errgroup.WithContext(ctx)
	for addr, handler := range map[string]http.Handler{*address: s, *controlAddress: control(s)} {
		all.Go(func() error { return serve(ctx, addr, handler) })
	}
	return all.Wait()
}

// serve serves until the context ends.
func serve(ctx context.Context, address string, handler http.Handler) error {
	if host, _, err := net.SplitHostPort(address); err != nil || !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("the address %q must be one on loopback, such as 127.0.0.1:8787", address)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	closed := context.AfterFunc(ctx, func() { _ = server.Close() }) // There is nothing to save.
	defer closed()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
