package tunnel

import (
	"bytes"
	"context"
	"fmt"

	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"aphex.io/platform/provider-cloudflare-tunnel/apis/v1alpha1"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
)

// details are the keys of a tunnel's connection secret.
func details(c cloudflare.Credentials) managed.ConnectionDetails {
	return managed.ConnectionDetails{
		v1alpha1.ConnectionKeyCredentials: c.File(),
		v1alpha1.ConnectionKeyToken:       []byte(c.Token()),
		v1alpha1.ConnectionKeyTunnelID:    []byte(c.TunnelID),
		v1alpha1.ConnectionKeyAccountTag:  []byte(c.AccountTag),
	}
}

// fromSecret reads back a connection secret. It says no if a key is missing, or they do not belong together.
func fromSecret(data map[string][]byte) (cloudflare.Credentials, bool) {
	c, err := cloudflare.ParseToken(string(data[v1alpha1.ConnectionKeyToken]))
	if err != nil {
		return cloudflare.Credentials{}, false
	}
	for key, want := range details(c) {
		if !bytes.Equal(data[key], want) {
			return cloudflare.Credentials{}, false
		}
	}
	return c, true
}

// published are the credentials in the object's connection secret, if they are complete and for that tunnel.
func published(ctx context.Context, kube client.Reader, cr *v1alpha1.Tunnel, account, id string) (cloudflare.Credentials, bool, error) {
	ref := cr.Spec.WriteConnectionSecretToReference
	if ref == nil {
		return cloudflare.Credentials{}, false, nil
	}
	secret := &corev1.Secret{}
	err := kube.Get(ctx, types.NamespacedName{Namespace: cr.Namespace, Name: ref.Name}, secret)
	if kerrors.IsNotFound(err) {
		return cloudflare.Credentials{}, false, nil
	}
	if err != nil {
		return cloudflare.Credentials{}, false, fmt.Errorf("read the connection secret: %w", err)
	}
	c, ok := fromSecret(secret.Data)
	ok = ok && metav1.IsControlledBy(secret, cr) && c.TunnelID == id && c.AccountTag == account
	return c, ok, nil
}
