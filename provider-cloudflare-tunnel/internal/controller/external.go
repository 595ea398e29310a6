package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"aphex.io/platform/provider-cloudflare-tunnel/internal/cloudflare"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/pace"
	"aphex.io/platform/provider-cloudflare-tunnel/internal/settings"
)

// Counterpart is the tunnel or record of one object during one reconcile. What its errors mean for the object is told by
// who calls it.
type Counterpart[T Managed] interface {
	// Observe finds it and compares it with what is wanted.
	Observe(ctx context.Context, cr T) (managed.ExternalObservation, error)
	// Create makes it. An earlier attempt may have made it already.
	Create(ctx context.Context, cr T) (managed.ExternalCreation, error)
	// Update makes it as wanted.
	Update(ctx context.Context, cr T) (managed.ExternalUpdate, error)
	// Delete deletes it, or says cloudflare.ErrNotFound.
	Delete(ctx context.Context, cr T) error
}

// connector makes an external for each reconcile.
type connector[T Managed] struct {
	*Shared

	kind Kind[T]
}

// Connect finds out how the object is managed. Its use of the provider config is written down before, except when it is
// being deleted: its namespace may be too, and nothing can be written there then.
func (c *connector[T]) Connect(ctx context.Context, cr T) (managed.TypedExternalClient[T], error) {
	if ref := cr.GetProviderConfigReference(); ref != nil && !meta.WasDeleted(cr) {
		cr.GetObjectKind().SetGroupVersionKind(c.kind.GroupVersionKind)
		if err := c.Usage.Track(ctx, cr); err != nil {
			return nil, fmt.Errorf("write down the use of the provider config: %w", err)
		}
	}
	found, err := c.Resolver.For(ctx, cr.GetNamespace(), cr.GetProviderConfigReference())
	if err != nil {
		settings.MarkCondition(cr, err)
		c.kind.unready(cr, err)
		return nil, err
	}
	task := &Task{Shared: c.Shared, Settings: found}
	return &external[T]{kind: c.kind, task: task, counterpart: c.kind.Counterpart(task)}, nil
}

// external has the work done and tells in the object's conditions how it went.
type external[T Managed] struct {
	kind        Kind[T]
	task        *Task
	counterpart Counterpart[T]
	// uncertain says that something may exist because of a creation before this reconcile.
	uncertain bool
}

// Observe implements managed.TypedExternalClient.
func (e *external[T]) Observe(ctx context.Context, cr T) (managed.ExternalObservation, error) {
	e.uncertain = e.task.Uncertain(cr)
	o, err := e.counterpart.Observe(ctx, cr)
	if err == nil && o.ResourceExists && !o.ResourceUpToDate {
		// The update that follows tells whether all is well.
		return o, nil
	}
	if conflict := (*ConflictError)(nil); errors.As(err, &conflict) {
		cr.SetConditions(xpv2.Unavailable().WithMessage(conflict.Message))
	} else {
		e.kind.unready(cr, err)
	}
	return o, e.task.tell(ctx, cr, err)
}

// soon is when an object is looked at again that was made. It may have waited for long, and would otherwise sit out the
// backoff that came of it before it is seen to be there.
const soon = 10 * time.Millisecond

// Create implements managed.TypedExternalClient.
func (e *external[T]) Create(ctx context.Context, cr T) (managed.ExternalCreation, error) {
	c, err := e.counterpart.Create(ctx, cr)
	if errors.Is(err, cloudflare.ErrThrottled) && !e.uncertain {
		e.task.Made.Unsent(cr.GetUID())
	}
	if err == nil {
		pace.Pause(ctx, soon)
	}
	return c, e.task.tell(ctx, cr, err)
}

// Update implements managed.TypedExternalClient.
func (e *external[T]) Update(ctx context.Context, cr T) (managed.ExternalUpdate, error) {
	u, err := e.counterpart.Update(ctx, cr)
	return u, e.task.tell(ctx, cr, err)
}

// Delete implements managed.TypedExternalClient. What is gone already is deleted.
func (e *external[T]) Delete(ctx context.Context, cr T) (managed.ExternalDelete, error) {
	err := e.counterpart.Delete(ctx, cr)
	if errors.Is(err, cloudflare.ErrNotFound) {
		err = nil
	}
	return managed.ExternalDelete{}, e.task.tell(ctx, cr, err)
}

// Disconnect does nothing: what a connection needs is shared.
func (e *external[T]) Disconnect(context.Context) error { return nil }
