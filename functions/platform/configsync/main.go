package configsync

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Main is the program behind Command: it returns its exit code.
func Main(arguments []string, log io.Writer) int {
	o, err := parse(arguments, log)
	if err != nil {
		_, _ = fmt.Fprintln(log, err) // a log that is gone changes nothing
		return int(CannotStart)
	}
	return conclude(o.patience, log, Synced.String(), func(ctx context.Context) (Outcome, error) { return o.target.Run(ctx, o.cluster, log) })
}

// conclude runs until there is an outcome, and tells it; done is what a success is.
func conclude(patience time.Duration, log io.Writer, done string, run func(context.Context) (Outcome, error)) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	outcome, err := run(ctx)
	if err != nil {
		_, _ = fmt.Fprintf(log, "failed: %s; %s\n", outcome, strings.ReplaceAll(err.Error(), "\n", " "))
	} else {
		_, _ = fmt.Fprintf(log, "done: %s\n", done)
	}
	return int(outcome)
}

// options are what the arguments say.
type options struct {
	target   Target
	cluster  *rest.Config
	patience time.Duration
}

// parse reads the arguments and the files that they name. All problems are told at once.
func parse(arguments []string, log io.Writer) (*options, error) {
	o := &options{}
	t := &o.target
	var tokenFile, secretFile, authorityFile, kubeconfig string
	fs := flag.NewFlagSet(Command, flag.ContinueOnError)
	fs.SetOutput(log)
	fs.StringVar(&t.Authentik, "authentik-url", "", "the URL of Authentik, without the path of its API")
	fs.StringVar(&tokenFile, "authentik-token-file", "", "the file with the token for Authentik's API")
	fs.StringVar(&authorityFile, "authentik-ca-file", "", "the file with the certificates that Authentik's is trusted by, in PEM; by default those of the system")
	fs.StringVar(&t.AuthentikIssuer, "authentik-issuer", "", "the issuer that Dex expects Authentik to be")
	fs.StringVar(&t.Provider.Name, "provider-name", "", "the name of Authentik's OAuth2 provider for Dex")
	fs.StringVar(&t.Provider.ClientID, "client-id", "", "the client id of Dex")
	fs.StringVar(&t.Provider.RedirectURI, "redirect-uri", "", "the URL of Dex to which Authentik sends people back")
	fs.StringVar(&secretFile, "client-secret-file", "", "the file with the client secret of Dex")
	fs.StringVar(&t.Dex, "dex-url", "", "the URL under which Dex is reached from here")
	fs.StringVar(&t.DexIssuer, "dex-issuer", "", "the issuer that Dex is to its clients")
	fs.StringVar(&t.Namespace, "dex-namespace", "", "the namespace of the Deployment of Dex")
	fs.StringVar(&t.Deployment, "dex-deployment", "", "the name of the Deployment of Dex")
	fs.StringVar(&kubeconfig, "kubeconfig", "", "the file with the access to the cluster; by default that of the pod's service account")
	fs.DurationVar(&o.patience, "timeout", 10*time.Minute, "how long to wait for everything together")
	if err := fs.Parse(arguments); err != nil {
		return nil, err
	}
	var problems []error
	fs.VisitAll(func(f *flag.Flag) {
		value := f.Value.String()
		switch {
		case f.Name == "authentik-ca-file" || f.Name == "kubeconfig" || f.Name == "timeout":
		case value == "":
			problems = append(problems, fmt.Errorf("--%s is required: %s", f.Name, f.Usage))
		case strings.HasSuffix(f.Name, "-url") || strings.HasSuffix(f.Name, "-issuer") || strings.HasSuffix(f.Name, "-uri"):
			if err := checkURL(value); err != nil {
				problems = append(problems, fmt.Errorf("--%s: %w", f.Name, err))
			}
		}
	})
	token, err := readSecret("authentik-token-file", tokenFile)
	problems = append(problems, err)
	t.Token = strings.TrimSpace(token) // A header cannot hold the line's end that people leave in files.
	t.Provider.ClientSecret, err = readSecret("client-secret-file", secretFile)
	problems = append(problems, err)
	t.Authorities, err = readAuthorities(authorityFile)
	problems = append(problems, err)
	if o.cluster, err = access(kubeconfig); err != nil {
		problems = append(problems, fmt.Errorf("no access to the cluster: %w", err))
	}
	return o, errors.Join(problems...)
}

// access is that of a kubeconfig, or of the service account of the pod that this runs in.
func access(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}

func readSecret(flagName, file string) (string, error) {
	if file == "" {
		return "", nil // Said already.
	}
	data, err := os.ReadFile(file)
	if err == nil && len(strings.TrimSpace(string(data))) == 0 {
		err = fmt.Errorf("%s is empty", file)
	}
	if err != nil {
		return "", fmt.Errorf("--%s: %w", flagName, err)
	}
	return string(data), nil
}

// readAuthorities gives nil, which stands for those of the system, if there is no file to read.
func readAuthorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--authentik-ca-file: %w", err)
	}
	authorities, err := ParseAuthorities(data)
	if err != nil {
		return nil, fmt.Errorf("--authentik-ca-file: %s: %w", file, err)
	}
	pool := x509.NewCertPool()
	for _, a := range authorities {
		pool.AddCert(a)
	}
	return pool, nil
}

// checkURL does not repeat what it refuses, which may hold a password.
func checkURL(value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return errors.New("it is not a URL with http:// or https:// and a host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("it may not hold a user, a query or a fragment")
	default:
		return nil
	}
}
