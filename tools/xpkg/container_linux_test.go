package main

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nobody is the user that images name.
const nobody = 65532

// container is a root without anything but the files of an image and what is mounted, for a user who may write nowhere.
type container struct{ name, dir string }

func newContainer(t *testing.T, p builtPackage, mounts map[string]string) container {
	t.Helper()
	c := container{p.name, t.TempDir()}
	write := func(path string, data []byte, mode fs.FileMode) {
		path = filepath.Join(c.dir, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, mode))
	}
	for path, data := range filesOf(t, programLayerOf(t, p)) {
		write(path, data, 0o555)
	}
	for path, data := range mounts {
		write(path, []byte(data), 0o444)
	}
	require.NoError(t, os.Chmod(c.dir, 0o555))
	t.Cleanup(func() { require.NoError(t, os.Chmod(c.dir, 0o755)) }) // So that it can be removed.
	return c
}

// start runs the program with that root, as nobody, and ends it with the test. What it says comes line by line. Whoever is not
// root may do so only in a user namespace; where that is forbidden too, the program sees this machine's files, but still starts
// where it may not write and finds none of this machine's certificates.
func (c container) start(ctx context.Context, t *testing.T, environment []string, args ...string) *bufio.Scanner {
	t.Helper()
	said, err := begin(t, c.confined(ctx, environment, args))
	if os.Geteuid() != 0 && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC)) {
		t.Logf("NOT CONFINED to its image, which takes root or a user namespace: %v", err)
		said, err = begin(t, c.loose(ctx, environment, args))
	}
	require.NoError(t, err)
	return said
}

func (c container) confined(ctx context.Context, environment, args []string) *exec.Cmd {
	command := exec.CommandContext(ctx, "/"+c.name, args...)
	command.Dir, command.Env = "/", append([]string{"PATH=/"}, environment...)
	command.SysProcAttr = &syscall.SysProcAttr{Chroot: c.dir}
	if os.Geteuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		return command
	}
	command.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}}
	command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}}
	return command
}

func (c container) loose(ctx context.Context, environment, args []string) *exec.Cmd {
	here := func(all []string) []string {
		var moved []string
		for _, s := range all {
			moved = append(moved, strings.ReplaceAll(s, "=/mounted/", "="+c.dir+"/mounted/"))
		}
		return moved
	}
	command := exec.CommandContext(ctx, filepath.Join(c.dir, c.name), here(args)...)
	command.Dir = c.dir
	command.Env = append([]string{"PATH=/", "SSL_CERT_FILE=/nowhere", "SSL_CERT_DIR=/nowhere"}, here(environment)...)
	return command
}

func begin(t *testing.T, command *exec.Cmd) (*bufio.Scanner, error) {
	t.Helper()
	said, err := command.StdoutPipe()
	require.NoError(t, err)
	command.Stderr = command.Stdout
	if err := command.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // It may have ended.
		_ = command.Wait()         // It was killed.
	})
	return bufio.NewScanner(said), nil
}

// twoAddresses are free, and not the same, since both are taken before one is given back.
func twoAddresses(t *testing.T) (string, string) {
	t.Helper()
	var addresses [2]string
	for i := range addresses {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It does not wait for anything.
		require.NoError(t, err)
		defer func() { require.NoError(t, listener.Close()) }()
		addresses[i] = listener.Addr().String()
	}
	return addresses[0], addresses[1]
}

func TestProgramsRunOnTheirImageAlone(t *testing.T) {
	for _, p := range programs(t) {
		t.Run(p.name+" says what its flags are", func(t *testing.T) {
			c := newContainer(t, p, nil)
			said := c.start(t.Context(), t, nil, "--help")
			var help strings.Builder
			for said.Scan() {
				help.WriteString(said.Text() + "\n")
			}
			require.Contains(t, help.String(), "metrics-address")
		})
		if p.kind != function {
			continue // The provider needs an API server; the end-to-end tests run it out of its image.
		}
		t.Run(p.name+" serves where it may not write", func(t *testing.T) {
			c := newContainer(t, p, nil)
			address, health := twoAddresses(t)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			said := c.start(ctx, t, nil, "--insecure", "--address="+address, "--metrics-address=", "--health-address="+health)
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				err := getOK(ctx, "http://"+health+"/readyz")
				if err == nil {
					break
				}
				select {
				case <-ctx.Done():
					said.Scan()
					t.Fatalf("it is not ready: %v; it says %q", err, said.Text())
				case <-tick.C:
				}
			}
		})
	}
}

func getOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// jobs are the programs that Jobs run out of the images of functions, with arguments for a server at a URL.
var jobs = map[string]func(url string) []string{
	"function-organization": func(url string) []string {
		return []string{"test-webhook", "--url=" + url, "--namespace=org-a", "--listener=github-listener", "--secret-file=/mounted/secret"}
	},
	"function-platform": func(url string) []string {
		return []string{
			"sync-config", "--authentik-url=" + url, "--authentik-token-file=/mounted/secret", "--authentik-issuer=" + url + "/o/",
			"--provider-name=dex", "--client-id=dex", "--redirect-uri=https://dex.example.org/callback", "--client-secret-file=/mounted/secret",
			"--dex-url=https://dex.example.org", "--dex-issuer=https://dex.example.org", "--dex-namespace=auth-system",
			"--dex-deployment=dex", "--kubeconfig=/mounted/kubeconfig",
		}
	},
}

// Where there is no certificate to trust, Go takes those that are built in; it can be made to take them although there is one
// (https://pkg.go.dev/crypto/x509#SetFallbackRoots), which shows that there are some.
func TestJobsTrustWhatIsBuiltIn(t *testing.T) {
	built := programs(t)
	for program, job := range jobs {
		i := slices.IndexFunc(built, func(p builtPackage) bool { return p.name == program })
		require.GreaterOrEqual(t, i, 0, program)
		p := built[i]
		for name, c := range map[string]struct {
			environment []string
			trusted     bool
		}{
			"takes a file of certificates before its own":     {[]string{"SSL_CERT_FILE=/mounted/ca.crt"}, true},
			"has certificates of its own":                     {[]string{"SSL_CERT_FILE=/mounted/ca.crt", "GODEBUG=x509usefallbackroots=1"}, false},
			"does not trust a certificate that nobody signed": {nil, false},
		} {
			t.Run(p.name+" "+name, func(t *testing.T) {
				var requests atomic.Int32
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					requests.Add(1)
					w.WriteHeader(http.StatusTeapot)
				}))
				server.Config.ErrorLog = log.New(io.Discard, "", 0) // It would tell of each handshake that fails.
				server.StartTLS()
				t.Cleanup(server.Close)
				kubeconfig, err := json.Marshal(map[string]any{
					"clusters":        []any{map[string]any{"name": "none", "cluster": map[string]any{"server": "https://127.0.0.1:1"}}},
					"contexts":        []any{map[string]any{"name": "none", "context": map[string]any{"cluster": "none"}}},
					"current-context": "none",
				})
				require.NoError(t, err)
				container := newContainer(t, p, map[string]string{
					"mounted/secret": "secret", "mounted/kubeconfig": string(kubeconfig),
					"mounted/ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
				})
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				said := container.start(ctx, t, c.environment, job(server.URL)...)
				require.True(t, said.Scan(), "it says nothing: %v", said.Err())
				if c.trusted {
					require.NotZero(t, requests.Load(), said.Text())
					return
				}
				require.Contains(t, said.Text(), "x509: certificate signed by unknown authority")
				require.Zero(t, requests.Load())
			})
		}
	}
}
