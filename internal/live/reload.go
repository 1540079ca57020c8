package live

import (
	"context"
	"errors"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// Rebuild reads the contracts anew and serves by another configuration from now
// on. Calls that run are served to their end as they began: by the table, the
// policies and the upstreams of then, whose connections end behind the last of
// them, or after reload.drain_timeout. What has not changed keeps its connections,
// and what policies remember stays: limits do not refill, breakers do not close.
//
// If it fails, nothing has changed. So it does if the configuration changes what
// takes a restart (listeners, limits, log, tracing, Redis and the like), and if
// the contract of an RPC changes in a way that breaks clients, unless
// reload.allow_breaking is set.
func (g *Gateway) Rebuild(ctx context.Context, file *config.File) error {
	_, err := g.attempt(ctx, compile.ByProgram, func() (*config.File, error) { return file, nil })
	return err
}

// Reload reads the configuration, the contracts and the certificates anew and
// serves by them, as Rebuild does. How it ended is logged, counted and shown by
// Status.
func (g *Gateway) Reload(ctx context.Context, why compile.Trigger) (admin.Result, error) {
	// A certificate that is wrong holds nothing up: the one before serves.
	lookErr := g.certs.Look()
	result, err := g.attempt(ctx, why, g.reload.read)
	if why == compile.BySignal && err == nil {
		err = lookErr // for who asked
	}
	return result, err
}

// attempt takes one configuration. Backends are asked for their contracts, all at
// once, while nothing is locked: another attempt may pass this one meanwhile. So
// the configuration is read anew behind the answers, and if it needs others by
// then, they are asked for too.
func (g *Gateway) attempt(ctx context.Context, why compile.Trigger, read func() (*config.File, error)) (admin.Result, error) {
	replies := compile.Replies{}
	var held *lease
	for {
		next, missing, result, err := g.step(why, read, replies, held)
		if held != nil {
			_ = g.drop(held) // nobody uses what only this has
		}
		if next == nil {
			return result, err
		}
		held = next
		ask(ctx, replies, missing)
	}
}

// step takes a configuration and notes how that ended, or returns the backends
// that must be asked before, with the lease of their connections.
func (g *Gateway) step(why compile.Trigger, read func() (*config.File, error), replies compile.Replies, held *lease) (
	asks *lease, missing []*upstream.Upstream, result admin.Result, err error,
) {
	g.building.Lock()
	defer g.building.Unlock()
	if why != compile.AtStart { // when they were looked at before the configuration was read
		g.reload.look()
	}
	file, err := read()
	result = admin.Refused
	if err == nil {
		var needs *lease
		if needs, err = g.prepare(file, held); err == nil {
			b := compile.NewBuilder(compile.Input{
				File: file, Upstreams: needs.upstreams(), Previous: g.Table(), Replies: replies, Policies: g.policiesFor(needs),
				Trigger: why, Own: ownMethods(), OpenAPI: g.openAPI,
			})
			if missing = b.Unasked(); len(missing) > 0 {
				return needs, missing, result, nil
			}
			result, err = g.take(file, b, needs)
		}
	}
	if why != compile.AtStart {
		g.reload.note(why, result, err)
	}
	return nil, nil, result, err
}

// prepare returns what a table of the configuration needs, if it may come into
// force at all. g.building is held.
func (g *Gateway) prepare(file *config.File, held *lease) (*lease, error) {
	if before := g.Table(); before != nil {
		if err := restart(before.File, file); err != nil {
			return nil, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rent(file, g.lease, held)
}

// take builds a table beside the one in force and puts it in its place. If that
// fails, the old one stays, and needs is given up. g.building is held.
func (g *Gateway) take(file *config.File, b *compile.Builder, needs *lease) (admin.Result, error) {
	before := g.Table()
	g.state.Begin()
	next, err := b.Table()
	needs.names = namesOf(file, b.Methods())
	if err == nil && before != nil && next.Same(before) {
		g.state.Abandon()
		g.current.Store(before.WithFile(file).Edge)
		return admin.Unchanged, g.drop(needs)
	}
	if err != nil {
		g.state.Abandon()
		return admin.Refused, errors.Join(err, g.drop(needs))
	}
	g.state.Commit()
	old := g.current.Load()
	g.current.Store(next.Edge)
	g.replace(old, needs, file.Config.GetReload().GetDrainTimeout().AsDuration())
	return admin.Taken, nil
}

// policiesFor are the policies of a table with authenticators of its own.
func (g *Gateway) policiesFor(l *lease) *compile.Policies {
	p := g.state.Policies
	p.Authenticators = l.auth.known
	return &p
}

// drop gives up what was held for a table that does not come into force.
func (g *Gateway) drop(l *lease) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lease != nil {
		g.collectors.forget(l.names, g.lease.names)
	}
	return g.giveBack(l)
}
