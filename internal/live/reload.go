package live

import (
	"context"
	"errors"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// Rebuild reads the contracts again and puts another configuration in force. Running calls
// keep the table that they began with, its policies and its upstreams; a connection that no
// table in force uses is closed behind the last of them, or after reload.drain_timeout.
// Upstreams that have not changed keep their connections, and policies keep their state:
// limits do not refill, breakers do not close.
//
// If it fails, nothing has changed. It fails if a setting changes that needs a restart
// (listeners, limits, log, tracing, Redis and the like), and if the contract of an RPC
// changes in a way that breaks clients, unless reload.allow_breaking is set.
func (g *Gateway) Rebuild(ctx context.Context, file *config.File) error {
	_, err := g.attempt(ctx, compile.ByProgram, func() (*config.File, error) { return file, nil })
	return err
}

// Reload reads the configuration, the contracts and the certificates again and puts them in
// force as Rebuild does. The result is logged, counted and shown by Status.
func (g *Gateway) Reload(ctx context.Context, why compile.Trigger) (admin.Result, error) {
	// A wrong certificate stops nothing: the last good one stays in use.
	lookErr := g.certs.Look()
	result, err := g.attempt(ctx, why, g.files.read)
	if why == compile.BySignal && err == nil {
		err = lookErr // for who asked
	}
	return result, err
}

// attempt reads a configuration and puts it in force. Backends are asked for their
// contracts, all at once, while nothing is locked: another attempt may overtake this
// one meanwhile. So the configuration is read anew when they have answered, and if it
// needs the contracts of others by then, those are asked too.
func (g *Gateway) attempt(ctx context.Context, why compile.Trigger, read func() (*config.File, error)) (admin.Result, error) {
	replies := compile.Replies{}
	var asking *connections
	for {
		next, unasked, result, err := g.tryOnce(why, read, replies)
		if asking != nil {
			_ = g.abandon(asking) // closes what nobody else uses
		}
		if next == nil {
			if why != compile.AtStart {
				freeGarbage()
			}
			return result, err
		}
		asking = next
		ask(ctx, replies, unasked)
	}
}

// tryOnce reads a configuration, puts it in force and notes how that ended. If backends
// must be asked for their contracts first, it returns them, and the connections to them.
func (g *Gateway) tryOnce(why compile.Trigger, read func() (*config.File, error), replies compile.Replies) (
	asking *connections, unasked []*upstream.Upstream, result admin.Result, err error,
) {
	g.building.Lock()
	defer g.building.Unlock()
	if why != compile.AtStart { // at the start, the files were looked at before they were read
		g.files.look()
	}
	file, err := read()
	result = admin.Refused
	if err == nil {
		var c *connections
		if c, err = g.connectionsFor(file); err == nil {
			b := compile.NewBuilder(compile.Input{
				File: file, Upstreams: c.byName(), Previous: g.Table(), Replies: replies,
				Policies: g.state.with(c.authenticators.value), Trigger: why, Own: ownMethods(),
			})
			if unasked = b.Unasked(); len(unasked) > 0 {
				return c, unasked, result, nil
			}
			result, err = g.putInForce(file, b, c)
		}
	}
	if why != compile.AtStart {
		g.reports.add(why, result, err, g.Table(), g.log)
	}
	return nil, nil, result, err
}

// connectionsFor acquires what a table of the configuration needs, if the configuration
// may come into force without a restart. g.building is held.
func (g *Gateway) connectionsFor(file *config.File) (*connections, error) {
	if now := g.Table(); now != nil {
		if err := restart(now.File, file); err != nil {
			return nil, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.acquire(file)
}

// putInForce compiles a table and replaces the one in force. If that fails, the old one
// stays, and c is released. g.building is held.
func (g *Gateway) putInForce(file *config.File, b *compile.Builder, c *connections) (admin.Result, error) {
	now := g.Table()
	g.state.Begin()
	next, err := b.Table()
	c.names = namesOf(file, b.Methods())
	if err != nil {
		g.state.Abandon()
		return admin.Refused, errors.Join(err, g.abandon(c))
	}
	if now != nil && next.Same(now) {
		g.state.Abandon()
		g.current.Store(now.WithFile(file).Edge)
		return admin.Unchanged, g.abandon(c)
	}
	g.state.Commit()
	g.replace(next.Edge, c, file.Config.GetReload().GetDrainTimeout().AsDuration())
	return admin.Taken, nil
}
