// Package imageconfig holds the ImageConfigs that docs/install.md shows against the code of Crossplane and cosign that reads
// them. Signatures are not made here: Crossplane's verifier fetches the keys of Sigstore when it starts.
package imageconfig

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg"
	"github.com/crossplane/crossplane/apis/v2/pkg/v1beta1"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v3/pkg/cosign"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// documented are the ImageConfigs of the page, by their names.
func documented(t *testing.T) map[string]v1beta1.ImageConfig {
	t.Helper()
	page, err := os.ReadFile("../../docs/install.md")
	require.NoError(t, err)
	out := map[string]v1beta1.ImageConfig{}
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if !strings.Contains(text, "\nkind: ImageConfig\n") {
			continue
		}
		var config v1beta1.ImageConfig
		require.NoError(t, yaml.UnmarshalStrict([]byte(text), &config))
		require.Equal(t, v1beta1.SchemeGroupVersion.String(), config.APIVersion)
		out[config.Name] = config
	}
	return out
}

// cluster holds ImageConfigs.
type cluster struct {
	client.Client
	configs []v1beta1.ImageConfig
}

func (c cluster) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1beta1.ImageConfigList).Items = c.configs
	return nil
}

var (
	errUnsigned = errors.New("it is not signed")
	errFetched  = errors.New("it was fetched, signed or not")
)

// registry has every package, none of them signed, and notes what it is asked for.
type registry struct {
	asked, secrets []string
}

func (r *registry) Head(_ context.Context, ref name.Reference, secrets ...string) (*ggcr.Descriptor, error) {
	r.asked, r.secrets = append(r.asked, ref.Name()), append(r.secrets, secrets...)
	return &ggcr.Descriptor{Digest: ggcr.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}}, nil
}

func (r *registry) Fetch(context.Context, name.Reference, ...string) (ggcr.Image, error) {
	return nil, errFetched
}

func (r *registry) Tags(context.Context, name.Reference, ...string) ([]string, error) {
	return nil, nil
}

// Validate is what Crossplane's verifier says of a package without a signature.
func (r *registry) Validate(context.Context, name.Reference, *v1beta1.ImageVerification, ...string) error {
	return errUnsigned
}

func TestWhatIsPulledFromTheRegistryOrAMirrorHasToBeSigned(t *testing.T) {
	const tag = "/function-organization:v1.2.3"
	for what, c := range map[string]struct {
		configs []string
		pull    string
		from    string
		want    error
		secrets []string
	}{
		"nothing is checked where nobody said so":                      {nil, "registry.example.com/aphex" + tag, "registry.example.com/aphex" + tag, errFetched, nil},
		"what the registry of the release has is refused":              {[]string{"aphex-signed"}, "registry.example.com/aphex" + tag, "registry.example.com/aphex" + tag, errUnsigned, nil},
		"what a mirror has is refused":                                 {[]string{"aphex-mirror", "aphex-signed"}, "registry.example.com/aphex" + tag, "mirror.example.com/somewhere/aphex" + tag, errUnsigned, nil},
		"a mirror is asked with the pull secret, and refused likewise": {[]string{"aphex-mirror", "aphex-pull", "aphex-signed"}, "registry.example.com/aphex" + tag, "mirror.example.com/somewhere/aphex" + tag, errUnsigned, []string{"aphex-pull"}},
		"what others publish beside it is not ours to judge":           {[]string{"aphex-mirror", "aphex-signed"}, "registry.example.com/aphex-tools" + tag, "registry.example.com/aphex-tools" + tag, errFetched, nil},
	} {
		t.Run(what, func(t *testing.T) {
			page, there, packages := documented(t), cluster{}, &registry{}
			for _, config := range c.configs {
				require.Contains(t, page, config)
				there.configs = append(there.configs, page[config])
			}
			_, err := xpkg.NewCachedClient(packages, nil, xpkg.NewNopCache(), xpkg.NewImageConfigStore(there, "crossplane-system"), packages).Get(t.Context(), c.pull)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, []string{c.from}, packages.asked)
			require.Equal(t, c.secrets, packages.secrets)
		})
	}
}

func TestPackagesRunAsAnImageConfigSays(t *testing.T) {
	there := cluster{configs: []v1beta1.ImageConfig{documented(t)["our-functions"]}}
	for source, want := range map[string]string{
		"registry.example.com/aphex/function-organization":      "our-functions",
		"registry.example.com/aphex/provider-cloudflare-tunnel": "",
	} {
		_, runtime, err := xpkg.NewImageConfigStore(there, "crossplane-system").RuntimeConfigFor(t.Context(), source)
		require.NoError(t, err)
		if want == "" {
			require.Nil(t, runtime, source)
			continue
		}
		require.NotNil(t, runtime, source)
		require.Equal(t, want, runtime.ConfigReference.Name)
	}
}

func TestOnlyTheReleaseWorkflowAtATagMaySign(t *testing.T) {
	const github, workflow = "https://token.actions.githubusercontent.com", "https://github.com/OWNER/REPOSITORY/.github/workflows/release.yaml"
	var options cosign.CheckOpts
	authorities := documented(t)["aphex-signed"].Spec.Verification.Cosign.Authorities
	require.Len(t, authorities, 1)
	for _, i := range authorities[0].Keyless.Identities {
		options.Identities = append(options.Identities, cosign.Identity{Issuer: i.Issuer, Subject: i.Subject, IssuerRegExp: i.IssuerRegExp, SubjectRegExp: i.SubjectRegExp})
	}
	for who, c := range map[string]struct {
		issuer, subject string
		may             bool
	}{
		"the workflow of a release":                    {github, workflow + "@refs/tags/v1.2.3", true},
		"the workflow of a release candidate":          {github, workflow + "@refs/tags/v1.2.3-rc.1", true},
		"that workflow on a branch":                    {github, workflow + "@refs/heads/main", false},
		"that workflow on a branch named like a tag":   {github, workflow + "@refs/heads/refs/tags/v1.2.3", false},
		"another workflow of the repository":           {github, "https://github.com/OWNER/REPOSITORY/.github/workflows/ci.yaml@refs/tags/v1.2.3", false},
		"a workflow whose name ends like it":           {github, "https://github.com/OWNER/REPOSITORY/.github/workflows/x/release.yaml@refs/tags/v1.2.3", false},
		"a file that an unescaped dot would let pass":  {github, "https://github.com/OWNER/REPOSITORY/.github/workflows/release-yaml@refs/tags/v1.2.3", false},
		"the same workflow of a fork":                  {github, "https://github.com/SOMEBODY/REPOSITORY/.github/workflows/release.yaml@refs/tags/v1.2.3", false},
		"a repository whose name begins like it":       {github, "https://github.com/OWNER/REPOSITORY2/.github/workflows/release.yaml@refs/tags/v1.2.3", false},
		"a host that only has the name in its address": {github, "https://example.com/?" + workflow + "@refs/tags/v1.2.3", false},
		"another issuer that says the same":            {"https://issuer.example.com", workflow + "@refs/tags/v1.2.3", false},
	} {
		t.Run(who, func(t *testing.T) {
			err := cosign.CheckCertificatePolicy(certificate(t, c.issuer, c.subject), &options)
			require.Equal(t, c.may, err == nil, "%v", err)
		})
	}
}

// certificate is what Sigstore certifies of who signs: the name of the workflow, and who vouches for it.
func certificate(t *testing.T, issuer, subject string) *x509.Certificate {
	t.Helper()
	uri, err := url.Parse(subject)
	require.NoError(t, err)
	return &x509.Certificate{
		URIs:       []*url.URL{uri},
		Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(issuer)}},
	}
}
