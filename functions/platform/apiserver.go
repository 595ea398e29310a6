package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/object"
)

// authenticationFile is the key of the file in its ConfigMap.
const authenticationFile = "authentication-configuration.yaml"

// authentication is the API server's own configuration file, see
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration.
type authentication struct {
	APIVersion string             `yaml:"apiVersion"`
	Kind       string             `yaml:"kind"`
	JWT        []jwtAuthenticator `yaml:"jwt"`
}

type jwtAuthenticator struct {
	Issuer               jwtIssuer   `yaml:"issuer"`
	ClaimValidationRules []jwtRule   `yaml:"claimValidationRules"`
	ClaimMappings        jwtMappings `yaml:"claimMappings"`
	UserValidationRules  []jwtRule   `yaml:"userValidationRules"`
}

type jwtIssuer struct {
	URL                  string   `yaml:"url"`
	CertificateAuthority string   `yaml:"certificateAuthority,omitempty"`
	Audiences            []string `yaml:"audiences"`
}

type jwtRule struct {
	Expression string `yaml:"expression"`
	Message    string `yaml:"message"`
}

type jwtMappings struct {
	Username jwtMapping `yaml:"username"`
	Groups   jwtMapping `yaml:"groups"`
}

type jwtMapping struct {
	Expression string `yaml:"expression"`
}

// authenticationConfiguration lets people in with a token of Dex. The API server checks signature, issuer, audience and
// expiry by itself; it has no rule for the time at which a token was issued, so that its lifetime is bounded instead. A
// name with a colon would be one of Kubernetes' own users or groups, or one that a distribution gives rights to, such as
// system:masters and kubeadm:cluster-admins.
func authenticationConfiguration(spec v1alpha1.PlatformSpec, authority string) authentication {
	return authentication{
		APIVersion: "apiserver.config.k8s.io/v1",
		Kind:       "AuthenticationConfiguration",
		JWT: []jwtAuthenticator{{
			Issuer: jwtIssuer{URL: spec.IssuerURL(), CertificateAuthority: authority, Audiences: []string{kubernetesClientID}},
			ClaimValidationRules: []jwtRule{
				{
					Expression: `has(claims.email) && type(claims.email) == string && claims.email.matches(r'^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$')`,
					Message:    "the claim email must be an e-mail address",
				},
				{
					Expression: `has(claims.email_verified) && type(claims.email_verified) == bool && claims.email_verified`,
					Message:    "the claim email_verified must be true",
				},
				{
					Expression: `has(claims.groups) && type(claims.groups) == list && dyn(claims.groups).all(g, type(g) == string)`,
					Message:    "the claim groups must be a list of names",
				},
				{
					Expression: fmt.Sprintf("has(claims.iat) && claims.iat <= claims.exp && claims.exp - claims.iat <= %d", tokenHours*60*60),
					Message:    fmt.Sprintf("the claims iat and exp must be at most %d hours apart", tokenHours),
				},
			},
			ClaimMappings: jwtMappings{
				Username: jwtMapping{Expression: "claims.email"},
				Groups:   jwtMapping{Expression: "claims.groups"},
			},
			UserValidationRules: []jwtRule{
				{Expression: `!user.username.startsWith('system:')`, Message: "the user name must not begin with system:"},
				{Expression: `user.groups.all(g, !g.contains(':'))`, Message: "no group may have a colon in its name"},
			},
		}},
	}
}

func authenticationConfigMap(spec v1alpha1.PlatformSpec, authority string) *corev1.ConfigMap {
	return configMap(authNamespace, authenticationName, map[string]string{
		authenticationFile: yamlText(authenticationConfiguration(spec, authority)),
	})
}

// readyAuthentication is for the file as it shall be, which is of no use while it lacks the authority of a self-signed
// certificate: an API server that reads it trusts no token.
func readyAuthentication(want *corev1.ConfigMap, lacking string) object.Readiness {
	return func(o object.Object) (bool, string) {
		switch ready, why := object.ReadyWhenSeen(o); {
		case !ready:
			return false, why
		case lacking != "":
			return false, "it lacks whom Dex is trusted by: " + lacking
		case o.String("data", authenticationFile) != want.Data[authenticationFile]:
			return false, "it is being updated"
		}
		return true, ""
	}
}
