package configsync

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// argoCD plays the part of an API server that a job for argocd-cm may use. It takes every apply, unless it is told to refuse;
// package login has a real one.
type argoCD struct {
	mu   sync.Mutex
	data map[string]string
	// refuse is the answer to applies, and missing how often there is no such ConfigMap.
	refuse  *metav1.Status
	missing int
	applied []map[string]any
	forced  bool
}

const argoCDPath = "/api/v1/namespaces/argocd/configmaps/argocd-cm"

func (a *argoCD) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch call := r.Method + " " + r.URL.Path; {
	case call == "GET "+argoCDPath && a.missing > 0:
		a.missing--
		status(w, http.StatusNotFound, metav1.StatusReasonNotFound)
	case call == "GET "+argoCDPath:
		a.answer(w, http.StatusOK, corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "argocd", Name: "argocd-cm", UID: "an-id"}, Data: a.data,
		})
	case call == "PATCH "+argoCDPath && r.Header.Get("Content-Type") == "application/apply-patch+yaml" && r.URL.Query().Get("fieldManager") == "aphex-platform":
		a.apply(w, r)
	default:
		status(w, http.StatusForbidden, metav1.StatusReasonForbidden)
	}
}

func (a *argoCD) apply(w http.ResponseWriter, r *http.Request) {
	if a.refuse != nil {
		a.answer(w, int(a.refuse.Code), a.refuse)
		return
	}
	var body struct {
		Data map[string]string
	}
	var whole map[string]any
	text := &bytes.Buffer{}
	_, err := text.ReadFrom(r.Body)
	if err != nil || json.Unmarshal(text.Bytes(), &body) != nil || json.Unmarshal(text.Bytes(), &whole) != nil {
		status(w, http.StatusBadRequest, metav1.StatusReasonBadRequest)
		return
	}
	a.forced, _ = strconv.ParseBool(r.URL.Query().Get("force"))
	a.applied = append(a.applied, whole)
	for k, v := range body.Data {
		a.data[k] = v
	}
	a.answer(w, http.StatusOK, corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Data: a.data})
}

func (a *argoCD) answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// start returns the arguments that set url and oidc.config there.
func (a *argoCD) start(t *testing.T) []string {
	t.Helper()
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	config := clientcmdapi.NewConfig()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	config.Clusters["it"] = &clientcmdapi.Cluster{Server: server.URL, CertificateAuthorityData: ca}
	config.Contexts["it"] = &clientcmdapi.Context{Cluster: "it"}
	config.CurrentContext = "it"
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, kubeconfig))
	return []string{
		"--namespace=argocd", "--name=argocd-cm", "--set=url=https://argocd.home.local", "--set=oidc.config=name: Dex\nissuer: a=b\n",
		"--kubeconfig=" + kubeconfig, "--timeout=1m",
	}
}

func TestKeysOfAConfigMapAreSet(t *testing.T) {
	t.Parallel()
	wanted := map[string]string{"url": "https://argocd.home.local", "oidc.config": "name: Dex\nissuer: a=b\n"}
	with := func(key, value string) map[string]string {
		return map[string]string{"url": wanted["url"], "oidc.config": wanted["oidc.config"], key: value}
	}
	held := &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusConflict, Reason: metav1.StatusReasonConflict,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{
			{Type: metav1.CauseTypeFieldManagerConflict, Field: ".data.oidc.config", Message: `conflict with "helm" using v1`},
		}},
	}
	forbidden := &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "it may not",
	}
	for name, c := range map[string]struct {
		has     *argoCD
		more    []string
		want    Outcome
		log     string
		applied map[string]string // the data of the only apply; none if nil
	}{
		"both are missing":               {&argoCD{data: map[string]string{"other": "x"}}, nil, Synced, "ConfigMap argocd/argocd-cm was given oidc.config, url\n", wanted},
		"one is another":                 {&argoCD{data: with("url", "https://else")}, nil, Synced, "ConfigMap argocd/argocd-cm was given url\n", wanted},
		"both are right":                 {&argoCD{data: with("other", "x")}, nil, Synced, "done: ConfigMap argocd/argocd-cm has what it shall have\n", nil},
		"one ends otherwise":             {&argoCD{data: map[string]string{"oidc.config": "name: Dex\nissuer: a=b"}}, nil, Synced, "was given url\n", map[string]string{"url": wanted["url"], "oidc.config": "name: Dex\nissuer: a=b"}},
		"it is made after a while":       {&argoCD{data: map[string]string{}, missing: 1}, nil, Synced, "waiting: ConfigMap argocd/argocd-cm has its oidc.config, url: ", wanted},
		"somebody else holds a key":      {&argoCD{data: map[string]string{}, refuse: held}, nil, HeldByOthers, `.data.oidc.config: conflict with "helm" using v1`, nil},
		"it has no rights":               {&argoCD{data: map[string]string{}, refuse: forbidden}, []string{"--timeout=2s"}, NotSet, "failed: the ConfigMap could not be changed; see the log of its pod; not done: ", nil},
		"there is none":                  {&argoCD{missing: 1000}, []string{"--timeout=2s"}, NotSet, "not within 2s; seen last: ", nil},
		"a value that is no pair":        {&argoCD{}, []string{"--set=url"}, CannotStart, "it is not key=value", nil},
		"an argument that is unknown":    {&argoCD{}, []string{"--else"}, CannotStart, "flag provided but not defined: -else", nil},
		"a kubeconfig that is not there": {&argoCD{}, []string{"--kubeconfig=/nowhere"}, CannotStart, "no access to the cluster: ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			log := &bytes.Buffer{}
			require.Equal(t, int(c.want), SetMain(append(c.has.start(t), c.more...), log), log)
			require.Contains(t, log.String(), c.log)
			if c.applied == nil {
				require.Empty(t, c.has.applied)
				return
			}
			require.Len(t, c.has.applied, 1)
			data := map[string]any{}
			for k, v := range c.applied {
				data[k] = v
			}
			require.Equal(t, map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "argocd", "name": "argocd-cm", "uid": "an-id"}, "data": data,
			}, c.has.applied[0])
			require.False(t, c.has.forced)
		})
	}
	t.Run("by force only when it is told to", func(t *testing.T) {
		has := &argoCD{data: map[string]string{}}
		require.Zero(t, SetMain(append(has.start(t), "--force"), &bytes.Buffer{}))
		require.True(t, has.forced)
	})
}

func TestAllThatIsMissingToSetKeysIsToldAtOnce(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // The test may run in a pod.
	log := &bytes.Buffer{}
	require.Equal(t, int(CannotStart), SetMain(nil, log))
	require.Equal(t, "--name is required: the name of the ConfigMap, which has to exist\n"+
		"--namespace is required: the namespace of the ConfigMap\n"+
		"--set is required: a `key=value` that it shall have; repeat it for more\n"+
		"no access to the cluster: unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined\n", log.String())
}

func TestEachProgramKnowsItsOwnFailures(t *testing.T) {
	require.Equal(t, []int32{2, 20, 21, 22, 23, 24, 25, 26, 27, 28}, Failures())
	require.Equal(t, []int32{2, 40, 41}, SetFailures())
	for _, code := range slices.Concat(Failures(), SetFailures()) {
		require.NotContains(t, Outcome(code).String(), "exit code")
	}
}
