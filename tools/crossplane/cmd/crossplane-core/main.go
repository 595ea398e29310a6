// Command crossplane-core is Crossplane's own server binary (core, RBAC manager
// and the engine behind `crossplane composition render`) with one difference:
// it listens on the loopback interface only.
//
// Upstream binds metrics, health probes and webhooks to every address, and its
// RBAC manager has no flag for its metrics port at all. That is right in a pod
// and wrong on a developer's machine, where two control planes must not fight
// for a port and nothing may be reachable from outside. Every manager that
// Crossplane makes goes through one variable of controller-runtime, so this
// program changes the addresses there and runs upstream's commands as they are.
package main

import (
	"io"

	"github.com/alecthomas/kong"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane/apis/v2"
	"github.com/crossplane/crossplane/v2/cmd/crossplane/core"
	"github.com/crossplane/crossplane/v2/cmd/crossplane/rbac"
	"github.com/crossplane/crossplane/v2/cmd/crossplane/render"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	extv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// commands has the shape of upstream's command line, so that its
// documentation and its other tools, such as render, hold for this binary.
type commands struct {
	Debug bool `help:"Print verbose logging statements." short:"d"`

	Core core.Command `cmd:"" default:"withargs" help:"Start core Crossplane controllers."`
	Rbac rbac.Command `cmd:"" help:"Start Crossplane RBAC Manager controllers."`

	Internal struct {
		Render render.Command `cmd:"" help:"Render resources using the real reconciler engine."`
	} `cmd:"" help:"Internal commands." hidden:""`
}

// onLoopback moves a listen address such as ":8080" to the loopback interface.
// An address that was not set stands for controller-runtime's default, which
// only the RBAC manager relies on; its metrics are switched off.
func onLoopback(address string) string {
	if address == "" {
		return "0"
	}
	if address[0] == ':' {
		return "127.0.0.1" + address
	}
	return address
}

func main() {
	ctrl.NewManager = func(cfg *rest.Config, o manager.Options) (manager.Manager, error) {
		o.Metrics.BindAddress = onLoopback(o.Metrics.BindAddress)
		o.HealthProbeBindAddress = onLoopback(o.HealthProbeBindAddress)
		if s, ok := o.WebhookServer.(*webhook.DefaultServer); ok {
			s.Options.Host = "127.0.0.1"
		}
		return manager.New(cfg, o)
	}

	log := zap.New().WithName("crossplane")
	logging.SetFilteredKlogLogger(log)

	c := &commands{}
	ctx := kong.Parse(c, kong.Name("crossplane"), kong.Description("Crossplane, listening on loopback only."), kong.UsageOnError(), core.KongVars)

	// controller-runtime is chatty even at info level, so it gets a logger only
	// when somebody asked for details.
	if c.Debug {
		log = zap.New(zap.UseDevMode(true)).WithName("crossplane")
		logging.SetFilteredKlogLogger(log)
		ctrl.SetLogger(log)
	} else {
		ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard)))
	}
	ctx.BindTo(logging.NewLogrLogger(log), (*logging.Logger)(nil))

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, authorizationv1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, coordinationv1.AddToScheme,
		extv1.AddToScheme, extv1beta1.AddToScheme, admissionv1.AddToScheme, apis.AddToScheme,
	} {
		ctx.FatalIfErrorf(add(scheme))
	}
	ctx.FatalIfErrorf(ctx.Run(scheme))
}
