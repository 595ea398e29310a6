package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "aphex.io/platform/apis/platform/v1alpha1"
	"aphex.io/platform/functions/internal/argocd"
	"aphex.io/platform/functions/internal/kube"
	"aphex.io/platform/functions/internal/object"
	"aphex.io/platform/functions/internal/settings"
	"aphex.io/platform/functions/platform/configsync"
)

const (
	keySyncAccount = "config-sync-service-account"
	keySyncRole    = "config-sync-role"
	keySyncBinding = "config-sync-role-binding"

	// syncName is what the job runs as; it also begins the name of each Job, and its key, see jobHash.
	syncName = "config-sync"

	// authApplication deploys Authentik and Dex; dexDeployment is Dex in it, and dexPort where it is reached in the cluster.
	authApplication = "platform-auth"
	dexDeployment   = "dex"
	dexPort         = 5556

	syncTokenDir     = "/etc/config-sync/authentik"
	syncSecretDir    = "/etc/config-sync/dex"
	syncAuthorityDir = "/etc/config-sync/authentik-tls"
	// syncPatience is how long one pod waits for Authentik and Dex, and syncDeadline is for all pods together, in seconds. The
	// Job is there before their images are, or what Git lacks is, and Authentik looks only once an hour for blueprints that it
	// could not apply.
	syncPatience = "24h"
	syncDeadline = 48 * 60 * 60
)

// addConfigSync adds what connects Authentik and Dex once both are about to be deployed.
func addConfigSync(c *composer, v *vault) {
	c.begin(conditionConfigSync)
	on := switchedOn(c.set.Integrations.ConfigSync, "configSync")
	if on.state == open && c.set.ConfigSync.Image == "" {
		c.awaitImage()
		return
	}
	c.exclusive(on, c.home, keySyncAccount, kube.ServiceAccount(meta(authNamespace, syncName)), object.ReadyWhenSeen)
	c.exclusive(on, c.home, keySyncRole, syncRole(), object.ReadyWhenSeen)
	c.exclusive(on, c.home && c.has(keySyncRole), keySyncBinding, syncRoleBinding(), object.ReadyWhenSeen)
	c.addSyncJob(on, v)
}

// awaitImage makes the platform wait: nobody can log in before Authentik and Dex are connected, and nobody is known to do that.
func (c *composer) awaitImage() {
	c.step(syncName)
	c.gates[syncName] = gate{state: missing, reason: reasonImageMissing, message: fmt.Sprintf("EnvironmentConfig %s has no configSync.image for the job "+
		"that connects Authentik and Dex; set it, or set integrations.configSync to false and connect them by hand", settings.Name)}
	c.d.Withdraw(syncName, object.Ref("Job", authNamespace, syncName), "EnvironmentConfig "+settings.Name+" has no configSync.image")
}

// addSyncJob adds the Job under a name that nobody can guess, so that nobody else has it and it need not be looked up. While the
// secrets are not stored the name is not known: each run would make up another one.
func (c *composer) addSyncJob(on gate, v *vault) {
	if on.state == open && !v.hasSyncSecrets() {
		c.step(syncName)
		c.d.Withdraw(syncName, object.Ref("Job", authNamespace, syncName), "its secrets are not stored yet")
		return
	}
	job := syncJob(c.spec, c.set, v)
	if done := c.doneAs(job); on.state == open && done != "" {
		c.step(done)
		c.d.Keep(done, object.Ref("Job", authNamespace, done))
		return
	}
	c.step(job.Name)
	if c.pass(on, job.Name, job, synced) {
		c.d.AddWhen(c.home && c.has(keySyncAccount) && c.has(keySyncBinding) && c.deploysLogin() && c.knowsAuthentik(), job.Name, job, synced)
	}
}

// doneAs is the Job that has done the same with another image, empty if there is none: another release is no reason to connect
// again what is connected.
func (c *composer) doneAs(job *batchv1.Job) string {
	if c.seen.Composed(job.Name).Exists() {
		return ""
	}
	same := job.Name[:strings.LastIndexByte(job.Name, '-')+1]
	for _, key := range c.seen.ComposedKeys() {
		if done, _ := synced(c.seen.Composed(key)); done && strings.HasPrefix(key, same) {
			return key
		}
	}
	return ""
}

// hasSyncSecrets tells whether a pod could mount what the job needs. A Secret that somebody else made may lack it.
func (v *vault) hasSyncSecrets() bool {
	return v.stored([]string{dexSecrets, apiTokenSecret}) && v.client(dexSecrets) != "" && v.values[apiTokenSecret][apiTokenKey] != ""
}

// knowsAuthentik tells whether the job could mount what it trusts Authentik by.
func (c *composer) knowsAuthentik() bool {
	if !authentikSelfSigned(c.spec) || c.seen.Offline {
		return true
	}
	_, lacking := c.authorityOf(authentikCertificate)
	return lacking == ""
}

// deploysLogin tells whether Argo CD was told to deploy Authentik and Dex, or somebody else does that.
func (c *composer) deploysLogin() bool {
	if c.argoCD.state == closed {
		return true
	}
	for _, w := range waves(c.spec) {
		for _, a := range w.applications {
			if a.name == authApplication {
				return c.has(keyApplication + authApplication)
			}
		}
	}
	return true
}

// keepScale lets Git have Dex without replicas: Argo CD, which heals what differs, would stop again what the job has started.
func keepScale(app *argocd.Application) {
	app.Spec.IgnoreDifferences = append(app.Spec.IgnoreDifferences, argocd.IgnoreDifference{
		Group: "apps", Kind: "Deployment", Namespace: authNamespace, Name: dexDeployment, JSONPointers: []string{"/spec/replicas"},
	})
	app.Spec.SyncPolicy.SyncOptions = withOptions(app.Spec.SyncPolicy.SyncOptions, argocd.RespectIgnoreDifferences)
}

// syncRole lets the job start Dex, and nothing else: neither can it change what Dex runs, nor read any Secret.
func syncRole() *rbacv1.Role {
	return kube.Role(meta(authNamespace, syncName),
		kube.NamedRule("apps", "deployments", dexDeployment, "get"),
		kube.NamedRule("apps", "deployments/scale", dexDeployment, "patch"))
}

func syncRoleBinding() *rbacv1.RoleBinding {
	return kube.RoleBinding(meta(authNamespace, syncName), syncName, kube.ServiceAccountSubject(authNamespace, syncName))
}

// syncJob runs the program that connects the two. A Job cannot be changed, so another one takes its place when what it connects
// is another; it stays after it has ended, since one that went by itself would be made again. Its name ends in a hash of its
// image, and what comes before is the same for all that do the same, see doneAs.
func syncJob(spec v1alpha1.PlatformSpec, set *settings.Settings, v *vault) *batchv1.Job {
	arguments, volumes, mounts := syncArguments(spec), syncVolumes(), syncMounts()
	if authentikSelfSigned(spec) {
		arguments = append(arguments, "--authentik-ca-file="+syncAuthorityDir+"/"+authorityKey)
		volumes = append(volumes, kube.SecretVolume("authority", authentikCertificate, authorityKey))
		mounts = append(mounts, corev1.VolumeMount{Name: "authority", MountPath: syncAuthorityDir, ReadOnly: true})
	}
	job := jobSpec(syncName, "", arguments, configsync.Failures(), syncDeadline)
	container := &job.Template.Spec.Containers[0]
	container.VolumeMounts, job.Template.Spec.Volumes = mounts, volumes
	does := jobHash(job, []byte(v.client(dexSecrets)), []byte(v.values[apiTokenSecret][apiTokenKey]))
	container.Image = set.ConfigSync.Image
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: meta(authNamespace, syncName+"-"+does+"-"+object.Hash([]byte(container.Image))),
		Spec:       job,
	}
}

// jobSpec runs a program of this image once, as a service account of its own.
func jobSpec(account, image string, arguments []string, failures []int32, deadline int64) batchv1.JobSpec {
	return batchv1.JobSpec{
		BackoffLimit:          new(int32(6)),
		ActiveDeadlineSeconds: &deadline,
		// Pods that nodes or people end are replaced; what the program says of itself is the result.
		PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
			Action: batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: failures,
			},
		}}},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels()},
			Spec: corev1.PodSpec{
				RestartPolicy:      corev1.RestartPolicyNever,
				ServiceAccountName: account,
				EnableServiceLinks: new(false),
				SecurityContext:    kube.UnprivilegedPod(),
				Containers: []corev1.Container{{
					Name:  account,
					Image: image,
					Args:  arguments,
					Resources: corev1.ResourceRequirements{
						Requests: kube.Resources("10m", "32Mi"),
						Limits:   kube.Resources("100m", "64Mi"),
					},
					SecurityContext: kube.UnprivilegedContainer(),
				}},
			},
		},
	}
}

func syncVolumes() []corev1.Volume {
	return []corev1.Volume{
		kube.SecretVolume("token", apiTokenSecret, apiTokenKey),
		kube.SecretVolume("secret", dexSecrets, clientSecretKey),
	}
}

func syncMounts() []corev1.VolumeMount {
	return []corev1.VolumeMount{
		{Name: "token", MountPath: syncTokenDir, ReadOnly: true},
		{Name: "secret", MountPath: syncSecretDir, ReadOnly: true},
	}
}

// syncArguments take Authentik's URL from what Dex knows it by, and reach Dex within the cluster, where its host may have no
// name.
func syncArguments(spec v1alpha1.PlatformSpec) []string {
	authentik, dex := origin(spec.Auth.AuthentikIssuer), dexService()
	if issuer, err := url.Parse(spec.IssuerURL()); err == nil {
		dex += strings.TrimSuffix(issuer.Path, "/")
	}
	return []string{
		configsync.Command,
		"--authentik-url=" + authentik,
		"--authentik-token-file=" + syncTokenDir + "/" + apiTokenKey,
		"--authentik-issuer=" + spec.Auth.AuthentikIssuer,
		"--provider-name=" + dexProviderName,
		"--client-id=" + dexClientID,
		"--redirect-uri=" + callbackURL(spec),
		"--client-secret-file=" + syncSecretDir + "/" + clientSecretKey,
		"--dex-url=" + dex,
		"--dex-issuer=" + spec.IssuerURL(),
		"--dex-namespace=" + authNamespace,
		"--dex-deployment=" + dexDeployment,
		"--timeout=" + syncPatience,
	}
}

// dexService is where Dex is reached within the cluster, whatever that one's domain: the search domains of a pod complete it.
func dexService() string {
	return fmt.Sprintf("http://%s.%s.svc:%d", dexDeployment, authNamespace, dexPort)
}

// origin is a URL without its path.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + u.Host
}

// jobHash is of all that a Job does, and of what else decides that it runs. Its name has it, since a Job cannot be changed.
func jobHash(spec batchv1.JobSpec, more ...[]byte) string {
	does, _ := json.Marshal(spec) // plain data: cannot fail
	return object.Hash(append([][]byte{does}, more...)...)
}

// synced is for a Job that has done its work.
func synced(o object.Object) (bool, string) {
	switch failed := o.Condition("Failed"); {
	case o.Deleting():
		return false, "being deleted"
	case o.Condition("Complete").Status == object.True:
		return true, ""
	case failed.Status == object.True:
		return false, "it failed: " + syncFailure(failed) + "; delete it to try again"
	default:
		return false, "it is connecting Authentik and Dex; the log of its pod says what it waits for"
	}
}

// exitCode is where Kubernetes says with which code a container ended that made its Job fail.
var exitCode = regexp.MustCompile(`exit code ([0-9]{1,3}) `)

func syncFailure(failed object.Condition) string {
	if match := exitCode.FindStringSubmatch(failed.Message); failed.Reason == batchv1.JobReasonPodFailurePolicy && match != nil {
		code, _ := strconv.Atoi(match[1]) // three digits: cannot fail
		return configsync.Outcome(code).String()
	}
	return "it did not get to an end (" + failed.Reason + "); see its events and those of its pods"
}
