package controlplane

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tunnelDomain is where Cloudflare has each tunnel by its id.
const tunnelDomain = ".cfargotunnel.com"

// Internet returns a client that reaches an organization's webhook URL as GitHub
// does: by the DNS record that is at Cloudflare, the tunnel that this names, a
// connector of the tunnel, what that connector's configuration says about the
// host, and the Service that the configuration names, behind which the real sink
// listens. A link that is missing is answered as Cloudflare answers it. It knows
// the hosts of CloudflareZoneName, and nothing else.
func (c *ControlPlane) Internet() *http.Client { return &http.Client{Transport: edge{c}} }

// edge plays Cloudflare's network and the connectors' half of it.
type edge struct{ *ControlPlane }

// RoundTrip implements http.RoundTripper.
func (e edge) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, host := r.Context(), r.URL.Hostname()
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("%s: Cloudflare is reached over https", r.URL)
	}
	records, err := e.cloudflare.Records(ctx, CloudflareZone)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(records, func(r CloudflareRecord) bool { return r.Name == host && r.Type == "CNAME" && r.Proxied })
	if at < 0 {
		return nil, fmt.Errorf("lookup %s: no such host", host)
	}
	id, ok := strings.CutSuffix(records[at].Content, tunnelDomain)
	if !ok {
		return answer(r, 530, "error code: 1016"), nil // The origin has no address.
	}
	service, ok, err := e.through(ctx, id, host, r.URL.Path)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return answer(r, 530, "error code: 1033"), nil // The tunnel has no connector.
	}
	if code, fixed := strings.CutPrefix(service, "http_status:"); fixed {
		status := http.StatusBadGateway
		_, _ = fmt.Sscan(code, &status)
		return answer(r, status, ""), nil
	}
	origin, err := e.origin(ctx, service)
	if err != nil {
		return answer(r, http.StatusBadGateway, "error code: 502: "+err.Error()), nil //nolint:nilerr // It is an answer, as Cloudflare gives one.
	}
	out := r.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host = origin.Scheme, origin.Host, host
	return http.DefaultTransport.RoundTrip(out)
}

// through is the service that a connector of the tunnel would send a request to.
func (e edge) through(ctx context.Context, id, host, path string) (service string, ok bool, err error) {
	tunnels, err := e.cloudflare.Tunnels(ctx, CloudflareAccount)
	if err != nil {
		return "", false, err
	}
	at := slices.IndexFunc(tunnels, func(t CloudflareTunnel) bool { return t.ID == id })
	if at < 0 {
		return "", false, nil
	}
	for _, process := range e.connectors.connected(tunnels[at].Connectors) {
		for _, rule := range process.ingress {
			matches, err := regexp.MatchString(rule.Path, path)
			if err != nil {
				return "", false, err
			}
			if matches && (rule.Hostname == "" || rule.Hostname == host) {
				return rule.Service, true, nil
			}
		}
	}
	return "", false, nil
}

// origin is where the Service of a listener is served on this machine.
func (e edge) origin(ctx context.Context, service string) (*url.URL, error) {
	u, err := url.Parse(service)
	if err != nil {
		return nil, err
	}
	name, rest, _ := strings.Cut(u.Hostname(), ".")
	namespace, domain, _ := strings.Cut(rest, ".")
	organization, ok := strings.CutPrefix(namespace, "org-")
	if !ok || domain != "svc" {
		return nil, fmt.Errorf("%s is not the Service of an organization", service)
	}
	shard, err := shardOf(name)
	if err != nil {
		return nil, err
	}
	found, err := e.client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("lookup %s: no such host", u.Hostname())
	}
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(found.Spec.Ports, func(p corev1.ServicePort) bool { return fmt.Sprint(p.Port) == u.Port() }) {
		return nil, fmt.Errorf("the Service %s/%s has no port %s", namespace, name, u.Port())
	}
	local := ""
	if shard == 0 {
		local, err = e.Listen(ctx, organization)
	} else {
		local, err = e.ListenShard(ctx, organization, shard)
	}
	if err != nil {
		return nil, err
	}
	return url.Parse(local)
}

// shardOf is the number in the name of a listener's Service, 0 if there is none.
func shardOf(service string) (int, error) {
	suffix, ok := strings.CutPrefix(service, listenerService)
	if suffix == "" && ok {
		return 0, nil
	}
	shard, err := strconv.Atoi(strings.TrimPrefix(suffix, "-"))
	if !ok || err != nil {
		return 0, fmt.Errorf("%s is not the Service of a listener", service)
	}
	return shard, nil
}

// answer is what Cloudflare or a connector says by itself.
func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}
