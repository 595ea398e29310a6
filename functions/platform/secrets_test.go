package main

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/rendertest"
)

// secretsOf are the values of all desired Secrets, by namespace, name and key.
func secretsOf(t *testing.T, d *object.Desired) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, key := range d.Keys() {
		if object.NewObject(d.Resources()[key].Object).Kind() != "Secret" {
			continue
		}
		// The wire form is kept: the typed one would decode it.
		o := object.NewObject(d.Resources()[key].Object)
		for _, k := range o.Field("data").Keys() {
			out[o.Namespace()+"/"+o.Name()+"#"+k] = string(o.SecretData(k))
		}
	}
	return out
}

func TestSecretsHaveTheirLengthsAndPlaces(t *testing.T) {
	got := secretsOf(t, compose(t, platform(), rendertest.Cluster{Offline: true}))
	lengths := map[string]int{}
	for k, v := range got {
		require.Regexp(t, `^([0-9a-f]{2})+$`, v)
		lengths[k] = len(v) / 2
	}
	require.Equal(t, map[string]int{
		"auth-system/authentik-postgresql#postgresql-password":          32,
		"auth-system/authentik-postgresql#postgresql-postgres-password": 32,
		"auth-system/authentik-secrets#secret-key":                      50,
		"auth-system/authentik-secrets#admin-password":                  32,
		"auth-system/authentik-api-token#token":                         32,
		"auth-system/dex-secrets#client-secret":                         32,
		"auth-system/dex-client-argocd#client-secret":                   32,
		"auth-system/dex-client-tekton-dashboard#client-secret":         32,
		"auth-system/dex-client-kubernetes#client-secret":               32,
		"auth-system/dex-environment#AUTHENTIK_CLIENT_SECRET":           32,
		"auth-system/dex-environment#ARGOCD_CLIENT_SECRET":              32,
		"auth-system/dex-environment#TEKTON_CLIENT_SECRET":              32,
		"auth-system/dex-environment#KUBERNETES_CLIENT_SECRET":          32,
		"argocd/argocd-oidc#clientSecret":                               32,
		"tekton-pipelines/tekton-oidc#client-secret":                    32,
	}, lengths)
	for repeated, source := range map[string]string{
		"auth-system/dex-environment#AUTHENTIK_CLIENT_SECRET":  "auth-system/dex-secrets#client-secret",
		"auth-system/dex-environment#ARGOCD_CLIENT_SECRET":     "auth-system/dex-client-argocd#client-secret",
		"auth-system/dex-environment#TEKTON_CLIENT_SECRET":     "auth-system/dex-client-tekton-dashboard#client-secret",
		"auth-system/dex-environment#KUBERNETES_CLIENT_SECRET": "auth-system/dex-client-kubernetes#client-secret",
		"argocd/argocd-oidc#clientSecret":                      "auth-system/dex-client-argocd#client-secret",
		"tekton-pipelines/tekton-oidc#client-secret":           "auth-system/dex-client-tekton-dashboard#client-secret",
	} {
		require.Equal(t, got[source], got[repeated], repeated)
		delete(got, repeated)
	}
	require.Len(t, slices.Compact(slices.Sorted(maps.Values(got))), 9, "no two are the same")
}

// marked is the cluster of a whole platform whose Secrets hold what no run would make.
func marked(t *testing.T) rendertest.Cluster {
	t.Helper()
	return running(t, func(key string, o map[string]any) {
		work(o, nil, nil)
		data, _ := o["data"].(map[string]any)
		for k := range data {
			if o["kind"] == "Secret" {
				data[k] = base64.StdEncoding.EncodeToString([]byte("kept " + strings.TrimPrefix(key, keyGenerated) + " " + k))
			}
		}
	})
}

func TestSecretsStayAndOneThatIsLostIsMadeAnewAlone(t *testing.T) {
	before := secretsOf(t, compose(t, platform(), marked(t)))
	require.Equal(t, "kept authentik-secrets secret-key", before["auth-system/authentik-secrets#secret-key"])
	require.Equal(t, "kept dex-client-argocd client-secret", before["argocd/argocd-oidc#clientSecret"], "what repeats a secret follows it")

	cases := map[string][]string{
		"authentik-postgresql": {"auth-system/authentik-postgresql#postgresql-password", "auth-system/authentik-postgresql#postgresql-postgres-password"},
		"authentik-secrets":    {"auth-system/authentik-secrets#secret-key", "auth-system/authentik-secrets#admin-password"},
		"authentik-api-token":  {"auth-system/authentik-api-token#token"},
		"dex-secrets":          {"auth-system/dex-secrets#client-secret", "auth-system/dex-environment#AUTHENTIK_CLIENT_SECRET"},
		"dex-client-argocd":    {"auth-system/dex-client-argocd#client-secret", "auth-system/dex-environment#ARGOCD_CLIENT_SECRET", "argocd/argocd-oidc#clientSecret"},
		"dex-client-tekton-dashboard": {
			"auth-system/dex-client-tekton-dashboard#client-secret", "auth-system/dex-environment#TEKTON_CLIENT_SECRET", "tekton-pipelines/tekton-oidc#client-secret",
		},
		"dex-client-kubernetes": {"auth-system/dex-client-kubernetes#client-secret", "auth-system/dex-environment#KUBERNETES_CLIENT_SECRET"},
	}
	require.Len(t, cases, len(generatedSecrets()))
	for lost, changed := range cases {
		t.Run("without "+lost, func(t *testing.T) {
			w := marked(t)
			delete(w.Composed, keyGenerated+lost)
			after := secretsOf(t, compose(t, platform(), w))
			var differ []string
			for k := range after {
				if after[k] != before[k] {
					require.Regexp(t, `^([0-9a-f]{64}|[0-9a-f]{100})$`, after[k])
					differ = append(differ, k)
				}
			}
			require.ElementsMatch(t, changed, differ)
		})
	}
	t.Run("without one of two keys", func(t *testing.T) {
		w := marked(t)
		w.Composed[keyGenerated+"authentik-secrets"] = `{apiVersion: v1, kind: Secret, metadata: {namespace: auth-system, name: authentik-secrets}, data: {secret-key: a2VwdA==}}`
		after := secretsOf(t, compose(t, platform(), w))
		require.Equal(t, "kept", after["auth-system/authentik-secrets#secret-key"])
		require.Regexp(t, `^[0-9a-f]{64}$`, after["auth-system/authentik-secrets#admin-password"])
	})
}

func TestSecretsOfSomebodyElseAreUsedAndLeftAlone(t *testing.T) {
	foreign := func(name, data string) string {
		return `{apiVersion: v1, kind: Secret, metadata: {namespace: auth-system, name: ` + name + `}, data: ` + data + `}`
	}
	w := marked(t)
	for _, key := range []string{keyGenerated + "authentik-postgresql", keyGenerated + "dex-client-argocd"} {
		delete(w.Composed, key)
	}
	w.Objects = append(w.Objects, byHand,
		foreign("authentik-postgresql", "{postgresql-password: bXkgb3du, postgresql-postgres-password: bXkgb3du}"),
		foreign("dex-client-argocd", "{client-secret: bXkgb3du}"))
	d := compose(t, platform(), w)
	require.Equal(t, "Ready", d.Phase, d.Message)
	require.False(t, d.Has(keyGenerated+"authentik-postgresql"))
	require.False(t, d.Has(keyGenerated+"dex-client-argocd"))
	require.Equal(t, "my own", secretsOf(t, d)["argocd/argocd-oidc#clientSecret"])

	t.Run("one that lacks a key is awaited, and what repeats it stays", func(t *testing.T) {
		w.Objects[len(w.Objects)-1] = foreign("dex-client-argocd", "{}")
		d := compose(t, platform(), w)
		require.Equal(t, "Pending", d.Phase)
		require.Contains(t, d.Message, "Secret auth-system/dex-client-argocd (it exists, is not managed by Aphex and lacks client-secret; add that, or delete the object)")
		require.Equal(t, "kept argocd-oidc clientSecret", secretsOf(t, d)["argocd/argocd-oidc#clientSecret"])
	})
}

func TestACopyThatSomebodyElseMade(t *testing.T) {
	const (
		is     = "waiting for Secret argocd/argocd-oidc (it exists, is not managed by Aphex and "
		same   = "{clientSecret: a2VwdCBkZXgtY2xpZW50LWFyZ29jZCBjbGllbnQtc2VjcmV0}" // kept dex-client-argocd client-secret
		unread = is + "lacks the label app.kubernetes.io/part-of=argocd, without which Argo CD does not read it; add that, or delete the object)"
	)
	cases := map[string]struct{ labels, data, message string }{
		"serves if Argo CD finds it":               {"{app.kubernetes.io/part-of: argocd}", same, ""},
		"is of no use without the label":           {"{}", same, unread},
		"nor with that of something else":          {"{app.kubernetes.io/part-of: dex}", same, unread},
		"is in the way if it has another value":    {"{app.kubernetes.io/part-of: argocd}", "{clientSecret: b3RoZXI=}", is + "differs in clientSecret; delete it)"},
		"and is to be deleted if it has neither":   {"{}", "{}", is + "differs in clientSecret; delete it)"},
		"serves whatever else is said of it there": {"{app.kubernetes.io/part-of: argocd, team: red}", same[:len(same)-1] + ", note: b3RoZXI=}", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := marked(t)
			delete(w.Composed, keyArgoCDSecret)
			w.Objects = append(w.Objects, `{apiVersion: v1, kind: Secret, metadata: {namespace: argocd, name: argocd-oidc, labels: `+c.labels+`}, data: `+c.data+`}`)
			d := compose(t, platform(), w)
			require.False(t, d.Has(keyArgoCDSecret))
			got := condition(t, d, "ArgoCDLoginReady")
			require.Equal(t, c.message, got.Message)
			require.Equal(t, c.message == "", got.Status == object.True)
		})
	}
	t.Run("of which only Argo CD asks for a label", func(t *testing.T) {
		w := marked(t)
		delete(w.Composed, keyTektonSecret)
		w.Objects = append(w.Objects, `{apiVersion: v1, kind: Secret, metadata: {namespace: tekton-pipelines, name: tekton-oidc}, data: {client-secret: `+
			`a2VwdCBkZXgtY2xpZW50LXRla3Rvbi1kYXNoYm9hcmQgY2xpZW50LXNlY3JldA==}}`)
		require.Equal(t, object.True, condition(t, compose(t, platform(), w), "TektonAccessReady").Status)
	})
}

func TestNoSecretIsInAConfigMap(t *testing.T) {
	d := compose(t, platform(), rendertest.Cluster{Offline: true})
	values := secretsOf(t, d)
	for _, key := range d.Keys() {
		if object.NewObject(d.Resources()[key].Object).Kind() != "ConfigMap" {
			continue
		}
		for name, content := range get[corev1.ConfigMap](t, d, key).Data {
			for secret, value := range values {
				require.NotContains(t, content, value, "%s of %s shows %s", name, key, secret)
			}
		}
	}
}

func TestASecretIsRepeatedOnceItIsStored(t *testing.T) {
	d := compose(t, platform(), rendertest.Cluster{Composed: map[string]string{
		keyNamespace:                       `{apiVersion: v1, kind: Namespace, metadata: {name: auth-system}}`,
		keyGenerated + "dex-client-argocd": `{apiVersion: v1, kind: Secret, metadata: {namespace: auth-system, name: dex-client-argocd}, data: {client-secret: a2VwdA==}}`,
	}})
	require.True(t, d.Has(keyArgoCDSecret))
	require.False(t, d.Has(keyTektonSecret), "its source is made in this run, and the next may make another")
	require.False(t, d.Has(keyDexEnvironment))
}
