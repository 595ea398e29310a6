package argocdrbac

import (
	"testing"

	appsv1alpha1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What Argo CD deploys for a pipeline's repository, which it decides with this code.
func TestTheProjectOfAPipelineConfinesItsRepository(t *testing.T) {
	const fresh = "../../functions/repobinding/testdata/fresh-without-a-cluster/want.yaml"
	project := find[appsv1alpha1.AppProject](t, goldenFiles(t, fresh)[fresh], "AppProject", "cdktf-deploy-pipeline")
	require.NotNil(t, project)
	require.NoError(t, project.ValidateProject())
	cluster := &appsv1alpha1.Cluster{Server: "https://kubernetes.default.svc"}

	for name, c := range map[string]struct {
		kind      schema.GroupKind
		namespace string
		want      bool
	}{
		"a Deployment": {schema.GroupKind{Group: "apps", Kind: "Deployment"}, "cdktf-deploy-pipeline", true},
		"a ConfigMap in a namespace of the pipeline's own": {schema.GroupKind{Kind: "ConfigMap"}, "cdktf-deploy-pipeline-staging", true},
		"a ConfigMap in another pipeline's namespace":      {schema.GroupKind{Kind: "ConfigMap"}, "other", false},
		"a ConfigMap in a namespace that begins alike":     {schema.GroupKind{Kind: "ConfigMap"}, "cdktf-deploy-pipelines", false},
		"a Namespace":          {schema.GroupKind{Kind: "Namespace"}, "", false},
		"a ClusterRole":        {schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}, "", false},
		"an Organization":      {schema.GroupKind{Group: "aphex.io", Kind: "Organization"}, "cdktf-deploy-pipeline-staging", false},
		"a RepoBinding":        {schema.GroupKind{Group: "aphex.io", Kind: "RepoBinding"}, "cdktf-deploy-pipeline", false},
		"a composite resource": {schema.GroupKind{Group: "aphex.io", Kind: "XOrganization"}, "", false},
		"a Tunnel":             {schema.GroupKind{Group: "cloudflare.aphex.io", Kind: "Tunnel"}, "cdktf-deploy-pipeline-staging", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := project.IsResourcePermitted(c.kind, "any", c.namespace, cluster, func(string) ([]*appsv1alpha1.Cluster, error) { return nil, nil })
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}
