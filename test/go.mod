module aphex.io/platform/test

go 1.26

require (
	aphex.io/platform v0.0.0
	github.com/stretchr/testify v1.11.1
	helm.sh/helm/v3 v3.19.0
	k8s.io/api v0.35.3
	k8s.io/apiextensions-apiserver v0.35.3
	k8s.io/apimachinery v0.35.3
	k8s.io/client-go v0.35.3
	sigs.k8s.io/yaml v1.6.0
)

replace aphex.io/platform => ../
