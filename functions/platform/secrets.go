package main

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"aphex.io/platform/functions/internal/object"
)

// generatedSecret is a Secret whose values are random, made once and kept.
type generatedSecret struct {
	name   string
	fields []randomField
}

// randomField is a key of a Secret, and how many random bytes it gets. They are written in hexadecimal digits, which
// every reader of them takes.
type randomField struct {
	key   string
	bytes int
}

// generatedSecrets are all of them. Authentik takes its API token from AUTHENTIK_BOOTSTRAP_TOKEN when it starts for the
// first time, so that nobody has to log in to make one.
func generatedSecrets() []generatedSecret {
	return []generatedSecret{
		{"authentik-postgresql", []randomField{{"postgresql-password", 32}, {"postgresql-postgres-password", 32}}},
		{"authentik-secrets", []randomField{{"secret-key", 50}, {"admin-password", 32}}},
		{apiTokenSecret, []randomField{{apiTokenKey, 32}}},
		{dexSecrets, []randomField{{clientSecretKey, 32}}},
		{argoCDClient, []randomField{{clientSecretKey, 32}}},
		{tektonClient, []randomField{{clientSecretKey, 32}}},
		{kubernetesClient, []randomField{{clientSecretKey, 32}}},
	}
}

// vault holds the values of all generated secrets.
type vault struct {
	// values are by Secret and key.
	values map[string]map[string]string
	// exists has the Secrets that are in the cluster. A new value is repeated elsewhere only once it is: until then the
	// next run makes another.
	exists  map[string]bool
	offline bool
}

func newVault(seen *object.Observed) *vault {
	return &vault{values: map[string]map[string]string{}, exists: map[string]bool{}, offline: seen.Offline}
}

// honour takes the values of a Secret that somebody else made.
func (v *vault) honour(d *object.Desired, key string, g generatedSecret, have object.Object) {
	ref := object.Ref("Secret", authNamespace, g.name)
	if lacking := v.read(g, have); len(lacking) > 0 {
		d.Withdraw(key, ref, "it exists, is not managed by Aphex and lacks "+strings.Join(lacking, ", ")+"; add that, or delete the object")
		return
	}
	d.Accept(key, ref)
}

// fill reads the values that were made before, and makes what is missing of them.
func (v *vault) fill(seen *object.Observed, key string, g generatedSecret) error {
	v.read(g, seen.Composed(key))
	for _, f := range g.fields {
		if v.values[g.name][f.key] != "" {
			continue
		}
		value, err := seen.NewSecret(f.bytes)
		if err != nil {
			return err
		}
		v.values[g.name][f.key] = value
	}
	return nil
}

// read takes what a Secret has, and tells which keys it lacks.
func (v *vault) read(g generatedSecret, have object.Object) (lacking []string) {
	v.values[g.name], v.exists[g.name] = map[string]string{}, have.Exists()
	for _, f := range g.fields {
		value := string(have.SecretData(f.key))
		if value == "" {
			lacking = append(lacking, f.key)
			continue
		}
		v.values[g.name][f.key] = value
	}
	return lacking
}

// client is what Dex shares with one of its clients, or with Authentik.
func (v *vault) client(secret string) string { return v.values[secret][clientSecretKey] }

// lacking is the first of these Secrets that has no client secret, empty if all do.
func (v *vault) lacking(secrets []string) string {
	for _, s := range secrets {
		if v.client(s) == "" {
			return s
		}
	}
	return ""
}

// stored tells whether all these Secrets are in the cluster.
func (v *vault) stored(secrets []string) bool {
	for _, s := range secrets {
		if !v.exists[s] && !v.offline {
			return false
		}
	}
	return true
}

func (g generatedSecret) secret(v *vault) *corev1.Secret {
	return secret(authNamespace, g.name, v.values[g.name])
}

func secret(namespace, name string, values map[string]string) *corev1.Secret {
	data := make(map[string][]byte, len(values))
	for k, value := range values {
		data[k] = []byte(value)
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta(namespace, name),
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}
}

// tektonSecret is what the Tekton Dashboard's login proxy shares with Dex.
func tektonSecret(v *vault) *corev1.Secret {
	return secret(tektonNamespace, tektonSecretName, map[string]string{clientSecretKey: v.client(tektonClient)})
}
