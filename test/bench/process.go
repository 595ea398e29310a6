package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/shirou/gopsutil/v4/process"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// maxMessage is what the functions accept, and then some.
	maxMessage = 64 << 20
	// startTimeout is patient: another build may keep all cores busy.
	startTimeout = time.Minute
)

// server is a function that runs as a process of its own, and our connections to it.
type server struct {
	metrics     string
	cmd         *exec.Cmd
	ended       chan struct{}
	connections []*grpc.ClientConn
}

// start runs a function on loopback without TLS, as every one is measured, and waits until it answers.
func start(ctx context.Context, binary string, connections int, args ...string) (*server, error) {
	addresses, err := freeAddresses(ctx, 2)
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, append(args, "--insecure", "--address="+addresses[0], "--metrics-address="+addresses[1])...)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{metrics: addresses[1], cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // Its end is what matters; why is in its log.
		close(s.ended)
	}()
	for range connections {
		c, err := grpc.NewClient(addresses[0],
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
		if err != nil {
			s.stop()
			return nil, err
		}
		s.connections = append(s.connections, c)
	}
	if err := s.await(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s does not serve: %w\n%s", binary, err, log.String())
	}
	return s, nil
}

func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.metrics)
		if err == nil {
			// The function's own port is bound before that of the metrics.
			return c.Close()
		}
		select {
		case <-s.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the process; it has nothing to save.
func (s *server) stop() {
	for _, c := range s.connections {
		_ = c.Close()
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) client(i int) fnv1.FunctionRunnerServiceClient {
	return fnv1.NewFunctionRunnerServiceClient(s.connections[i])
}

// resident is how much memory a process holds, in bytes.
func resident(ctx context.Context, pid int) (float64, error) {
	p, err := process.NewProcessWithContext(ctx, int32(pid)) // #nosec G115 -- No system has process ids of more than 31 bits.
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	held, err := p.MemoryInfoWithContext(ctx)
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return float64(held.RSS), nil
}

// processorTime is what a process has used so far.
func processorTime(ctx context.Context, pid int) (time.Duration, error) {
	p, err := process.NewProcessWithContext(ctx, int32(pid)) // #nosec G115 -- As above.
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	used, err := p.TimesWithContext(ctx)
	if err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration((used.User + used.System) * float64(time.Second)), nil
}

// freeAddresses are loopback addresses that nobody listens on.
func freeAddresses(ctx context.Context, n int) (addresses []string, err error) {
	for range n {
		l, listenErr := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, listenErr
		}
		// All stay open until all are known, so that none is found twice.
		defer func() { err = errors.Join(err, l.Close()) }()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
