package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	function "github.com/crossplane/function-sdk-go"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/protobuf/proto"
)

// This program also plays the functions that ours are measured against: called by one of these names, it serves that
// function.
const (
	floorName   = "function-floor"
	trivialName = "function-trivial"
)

// linkTo makes this program available under another name.
func linkTo(dir, name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return os.Symlink(self, filepath.Join(dir, name))
}

// serve runs a function on the same server, with the same flags, as the functions of this repository.
func serve(name string) error {
	fs := flag.NewFlagSet(name, flag.ExitOnError)
	address := fs.String("address", ":9443", "address at which to listen for gRPC connections")
	certs := fs.String("tls-certs-dir", "", "directory with the server certificate and the CA of clients")
	insecure := fs.Bool("insecure", false, "serve without mTLS")
	metrics := fs.String("metrics-address", "", "address of the Prometheus metrics")
	answer := fs.String("answer", "", "file with the answer that the floor gives")
	_ = fs.Parse(os.Args[1:]) // ExitOnError: a bad flag prints the usage and exits.

	var fn fnv1.FunctionRunnerServiceServer = trivial{}
	if name == floorName {
		f, err := newFloor(*answer)
		if err != nil {
			return err
		}
		fn = f
	}
	return function.Serve(fn,
		function.Listen("tcp", *address),
		function.MTLSCertificates(*certs),
		function.Insecure(*insecure),
		function.MaxRecvMessageSize(maxMessage),
		function.WithMetricsServer(*metrics),
	)
}

// floor gives the same answer to every request. Nothing that decides anything can be faster.
type floor struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	answer *fnv1.RunFunctionResponse
}

func newFloor(path string) (*floor, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	answer := &fnv1.RunFunctionResponse{}
	if err := proto.Unmarshal(b, answer); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &floor{answer: answer}, nil
}

// RunFunction returns the answer that was decoded at the start.
func (f *floor) RunFunction(context.Context, *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	return f.answer, nil
}
