package runner

import (
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	function "github.com/crossplane/function-sdk-go"
	"google.golang.org/grpc/health"
)

// A function holds a few MiB and makes half a MiB of garbage per run. By default that would be collected every few runs;
// up to the limit, which is where most of the memory goes once several runs overlap, it may wait. What a large request
// really needs is not limited: beyond the limit, garbage is only collected more eagerly.
const (
	gcPercent   = 200
	memoryLimit = 24 << 20
)

// image is where this program is published. The linker sets it when a package is built.
var image string

// tune leaves alone what is set with Go's own variables, GOGC and GOMEMLIMIT.
func tune() {
	// Nothing shows a memory profile, and its records take 2 MiB.
	runtime.MemProfileRate = 0
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// Main serves a Compose function until it is told to stop. Its flags are those of Crossplane's function template,
// --metrics-address and --health-address.
func Main[T any](name, crd string, compose Compose[T]) {
	tune()
	fs := flag.NewFlagSet(name, flag.ExitOnError)
	verbose := fs.Bool("debug", false, "log every run")
	network := fs.String("network", "tcp", "network on which to listen for gRPC connections")
	address := fs.String("address", ":9443", "address at which to listen for gRPC connections")
	certs := fs.String("tls-certs-dir", os.Getenv("TLS_SERVER_CERTS_DIR"),
		"directory with the server certificate (tls.crt, tls.key) and the CA of clients (ca.crt); also TLS_SERVER_CERTS_DIR")
	insecure := fs.Bool("insecure", false, "serve without mTLS, for crossplane composition render; --tls-certs-dir is then ignored")
	metrics := fs.String("metrics-address", ":8080", "address of the Prometheus metrics, empty for none")
	healthAddress := fs.String("health-address", "", "address of /healthz and /readyz for probes, empty for none")
	maxRecv := fs.Int("max-recv-message-size", 16, "largest request to accept, in MB")
	_ = fs.Parse(os.Args[1:]) // ExitOnError: a bad flag prints the usage and exits.
	if fs.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: unexpected argument %q; it takes flags only, see --help\n", name, fs.Arg(0))
		os.Exit(2)
	}

	log, err := function.NewLogger(*verbose)
	if err == nil && *healthAddress != "" {
		probed := &probes{network: *network, address: *address, certs: *certs, now: time.Now}
		if *insecure {
			probed.certs = ""
		}
		err = probed.serve(*healthAddress)
	}
	if err == nil {
		err = function.Serve(
			&Function[T]{CRD: crd, Compose: compose, Log: log, Now: time.Now, Entropy: rand.Reader, Image: image},
			function.Listen(*network, *address),
			function.MTLSCertificates(*certs),
			function.Insecure(*insecure),
			function.MaxRecvMessageSize(*maxRecv*1024*1024),
			function.WithHealthServer(health.NewServer()),
			function.WithMetricsServer(*metrics),
		)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
