// Package settings finds out how an object is managed: with which API token, in which account and zone by default, as its
// provider config says. What is done with them is up to the controllers.
package settings

import (
	"context"
	"errors"
	"fmt"
	"strings"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/condition"
)

// Settings are how an object is managed.
type Settings struct {
	// Config names the provider config for messages, such as "ClusterProviderConfig default".
	Config string
	// AccountID and Zone are for objects that name none; either may be empty.
	AccountID, Zone string
	// SecretVersion is the resource version of the Secret with the token, empty if there is none.
	SecretVersion string
	// API is Cloudflare as the config's token sees it.
	API cloudflare.API
}

// Error says that there is no token to work with, or that it does not do. It is the user's to mend.
type Error struct {
	Reason  xpv2.ConditionReason
	Message string
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// MarkCondition tells of an Error in the object's condition Authorized. Other errors leave it as it is.
func MarkCondition(o condition.Object, err error) {
	var e *Error
	if errors.As(err, &e) {
		o.SetConditions(condition.Unauthorized(e.Reason, e.Message))
	}
}

// A Resolver reads provider configs and their secrets.
type Resolver struct {
	// Kube reads the cluster. Secrets should not be cached: that would keep every Secret of the cluster in memory.
	Kube client.Reader
	// Session gives the API for a token.
	Session func(cloudflare.Config) (cloudflare.API, error)
}

// For resolves the reference of an object in that namespace.
func (r *Resolver) For(ctx context.Context, namespace string, ref *xpv2.ProviderConfigReference) (*Settings, error) {
	if ref == nil || ref.Name == "" {
		return nil, &Error{condition.ReasonNoProviderConfig, "spec.providerConfigRef is not set; name a ProviderConfig or ClusterProviderConfig"}
	}
	switch ref.Kind {
	case v1alpha1.ClusterProviderConfigKind:
		config := &v1alpha1.ClusterProviderConfig{}
		if err := r.get(ctx, types.NamespacedName{Name: ref.Name}, config, "ClusterProviderConfig "+ref.Name); err != nil {
			return nil, err
		}
		return r.Cluster(ctx, config)
	case v1alpha1.ProviderConfigKind:
		config := &v1alpha1.ProviderConfig{}
		name := types.NamespacedName{Namespace: namespace, Name: ref.Name}
		if err := r.get(ctx, name, config, "ProviderConfig "+name.String()); err != nil {
			return nil, err
		}
		return r.Namespaced(ctx, config)
	}
	return nil, &Error{condition.ReasonNoProviderConfig, fmt.Sprintf(
		"spec.providerConfigRef.kind is %q; it must be ProviderConfig or ClusterProviderConfig", ref.Kind)}
}

// Cluster are the settings of a ClusterProviderConfig. With an error they are what is known of them, without API.
func (r *Resolver) Cluster(ctx context.Context, c *v1alpha1.ClusterProviderConfig) (*Settings, error) {
	ref := c.Spec.Credentials.SecretRef
	return r.settings(ctx, "ClusterProviderConfig "+c.Name, ref.Namespace, ref.LocalSecretKeyReference, c.Spec.AccountSettings)
}

// Namespaced are the settings of a ProviderConfig. Its secret is read from its own namespace, and from no other. With an error
// they are what is known of them, without API.
func (r *Resolver) Namespaced(ctx context.Context, c *v1alpha1.ProviderConfig) (*Settings, error) {
	name := "ProviderConfig " + c.Namespace + "/" + c.Name
	return r.settings(ctx, name, c.Namespace, c.Spec.Credentials.SecretRef, c.Spec.AccountSettings)
}

func (r *Resolver) settings(ctx context.Context, config, namespace string, ref v1alpha1.LocalSecretKeyReference,
	a v1alpha1.AccountSettings) (*Settings, error) {
	found := &Settings{Config: config, AccountID: value(a.AccountID), Zone: value(a.Zone)}
	token, version, err := r.token(ctx, config, namespace, ref)
	found.SecretVersion = version
	if err != nil {
		return found, err
	}
	api, err := r.Session(cloudflare.Config{Token: token, BaseURL: value(a.BaseURL), RequestsPer5Minutes: int(value(a.RequestsPer5Minutes))})
	if errors.Is(err, cloudflare.ErrUnauthorized) {
		return found, &Error{condition.ReasonTokenRefused, fmt.Sprintf("%s: the API token in Secret %s/%s: %v", config, namespace, ref.Name, err)}
	}
	if err != nil {
		return found, fmt.Errorf("%s: %w", config, err)
	}
	found.API = api
	return found, nil
}

func (r *Resolver) token(ctx context.Context, config, namespace string, ref v1alpha1.LocalSecretKeyReference) (token, version string, err error) {
	key := ref.Key
	if key == "" {
		key = "token"
	}
	secret := &corev1.Secret{}
	err = r.Kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, secret)
	switch {
	case kerrors.IsNotFound(err):
		return "", "", &Error{condition.ReasonNoToken, fmt.Sprintf(
			"%s: Secret %s/%s does not exist; create it with the API token under the key %s", config, namespace, ref.Name, key)}
	case err != nil:
		return "", "", fmt.Errorf("%s: read Secret %s/%s: %w", config, namespace, ref.Name, err)
	}
	token = strings.TrimSpace(string(secret.Data[key]))
	if token == "" {
		return "", secret.ResourceVersion, &Error{condition.ReasonNoToken, fmt.Sprintf(
			"%s: Secret %s/%s has no API token under the key %s", config, namespace, ref.Name, key)}
	}
	return token, secret.ResourceVersion, nil
}

func (r *Resolver) get(ctx context.Context, name types.NamespacedName, config client.Object, what string) error {
	err := r.Kube.Get(ctx, name, config)
	if kerrors.IsNotFound(err) {
		return &Error{condition.ReasonNoProviderConfig, what + " does not exist"}
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
