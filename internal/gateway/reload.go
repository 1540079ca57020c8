package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// Trigger is why a table was built.
type Trigger string

// The triggers.
const (
	AtStart      Trigger = "start"
	ByFile       Trigger = "file"       // one of those that the configuration is read from
	BySignal     Trigger = "signal"     // SIGHUP
	ByReflection Trigger = "reflection" // a backend tells of another contract than before
	ByProgram    Trigger = "program"    // Rebuild
)

// Result is how a reload ended.
type Result string

// The results.
const (
	Taken     Result = "ok"
	Refused   Result = "refused"
	Unchanged Result = "unchanged"
)

// live are the parts of the configuration that can change while the gateway runs.
// All others take a restart.
var live = map[protoreflect.Name]bool{
	"upstreams": true, "expose": true, "json": true, "errors": true, "openapi": true, "authenticators": true,
	"cors": true, "security_headers": true, "versions": true, "reload": true, "compose": true,
}

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
	_, err := g.attempt(ctx, ByProgram, func() (*config.File, error) { return file, nil })
	return err
}

// Reload reads the configuration, the contracts and the certificates anew and
// serves by them, as Rebuild does. How it ended is logged, counted and shown by
// Status.
func (g *Gateway) Reload(ctx context.Context, why Trigger) (Result, error) {
	// A certificate that is wrong holds nothing up: the one before serves.
	lookErr := g.certs.Look()
	result, err := g.attempt(ctx, why, g.reload.read)
	if why == BySignal && err == nil {
		err = lookErr // for who asked
	}
	return result, err
}

// attempt takes one configuration. Backends are asked for their contracts, all at
// once, while nothing is locked: another attempt may pass this one meanwhile. So
// the configuration is read anew behind the answers, and if it needs others by
// then, they are asked for too.
func (g *Gateway) attempt(ctx context.Context, why Trigger, read func() (*config.File, error)) (Result, error) {
	replies := contracts{}
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
		replies.ask(ctx, missing)
	}
}

// step takes a configuration and notes how that ended, or returns the backends
// that must be asked before, with the lease of their connections.
func (g *Gateway) step(why Trigger, read func() (*config.File, error), replies contracts, held *lease) (
	asks *lease, missing []*upstream.Upstream, result Result, err error,
) {
	g.building.Lock()
	defer g.building.Unlock()
	if why != AtStart { // when they were looked at before the configuration was read
		g.reload.look()
	}
	file, err := read()
	result = Refused
	if err == nil {
		var needs *lease
		if needs, err = g.prepare(file, held); err == nil {
			b := &builder{file: file, parts: g.partsFor(needs), upstreams: needs.upstreams(), before: g.served(), reread: why != ByFile, replies: replies}
			if missing = b.notAsked(); len(missing) > 0 {
				return needs, missing, result, nil
			}
			result, err = g.take(b, needs, why)
		}
	}
	if why != AtStart {
		g.reload.note(why, result, err)
	}
	return nil, nil, result, err
}

// prepare returns what a table of the configuration needs, if it may come into
// force at all. g.building is held.
func (g *Gateway) prepare(file *config.File, held *lease) (*lease, error) {
	if before := g.served(); before != nil {
		if err := restart(before.file, file); err != nil {
			return nil, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rent(file, g.lease, held)
}

// take builds a table beside the one in force and puts it in its place. If that
// fails, the old one stays, and needs is given up. g.building is held.
func (g *Gateway) take(b *builder, needs *lease, why Trigger) (Result, error) {
	before := b.before
	g.parts.begin()
	table, next, err := g.build(b)
	needs.names = namesOf(b)
	if err == nil && before != nil && sameAsBefore(before, next) {
		g.parts.abandon()
		g.redescribe(b.file)
		return Unchanged, g.drop(needs)
	}
	if err != nil {
		g.parts.abandon()
		return Refused, errors.Join(err, g.drop(needs))
	}
	g.parts.commit()
	next.trigger = why
	old := g.current.Load()
	table.Description = next
	g.current.Store(table)
	g.replace(old, needs, b.file.Config.GetReload().GetDrainTimeout().AsDuration())
	return Taken, nil
}

// redescribe publishes the table in force with a configuration that differs only
// in positions and comments. Calls that hold the table as it was hold this one
// too: both count them in the same call.Table.
func (g *Gateway) redescribe(file *config.File) {
	table, description := g.inForce()
	described, renamed := *table, *description
	renamed.file = file
	described.Description = &renamed
	g.current.Store(&described)
}

// build makes a table and what is known of it.
func (g *Gateway) build(b *builder) (*edge.Table, *served, error) {
	table, err := b.build()
	if err != nil {
		return nil, nil, err
	}
	if err := b.unbroken(); err != nil {
		return nil, nil, err
	}
	doc, err := openAPI(b.file, g.openAPI)
	if err != nil {
		return nil, nil, err
	}
	return table, &served{
		file: b.file, contract: b.contract, exposed: b.exposed, warnings: b.warnings(),
		schemas: b.schemas, httpFiles: b.overrides.read, upstreams: b.upstreams, openAPI: doc, since: time.Now(),
	}, nil
}

// sameAsBefore tells a table that would be the one in force.
func sameAsBefore(old, next *served) bool {
	if !proto.Equal(old.file.Config, next.file.Config) || string(old.openAPI) != string(next.openAPI) {
		return false
	}
	if !maps.EqualFunc(old.httpFiles, next.httpFiles, func(a, b *config.HTTPFile) bool { return a.SHA256 == b.SHA256 }) {
		return false
	}
	for name, source := range next.schemas {
		if old.schemas[name] != source {
			return false
		}
	}
	return true
}

// partsFor are the parts for a table with authenticators of its own.
func (g *Gateway) partsFor(l *lease) *parts {
	p := g.parts
	p.auth = l.auth.known
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

// restart refuses a change of what cannot change live, and names each field.
func restart(old, next *config.File) error {
	fields := RestartFields(old, next)
	errs := make([]error, 0, len(fields))
	for _, field := range fields {
		errs = append(errs, next.Errorf(field, "a change of this takes a restart (SIGUSR2, or a new process); nothing was changed"))
	}
	return errors.Join(errs...)
}

// RestartFields are the fields that differ and cannot be changed while the gateway
// runs, sorted.
func RestartFields(old, next *config.File) []string {
	a, b := old.Config.ProtoReflect(), next.Config.ProtoReflect()
	fields := a.Descriptor().Fields()
	var parts []string
	for i := range fields.Len() {
		f := fields.Get(i)
		if !live[f.Name()] && !a.Get(f).Equal(b.Get(f)) {
			parts = append(parts, string(f.Name()))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	changed := Differences(old.Values(), next.Values())
	var found []string
	for _, part := range parts {
		n := len(found)
		for path := range changed {
			if top(path) == part {
				found = append(found, path)
			}
		}
		if len(found) == n { // what differs is not shown
			found = append(found, part)
		}
	}
	slices.Sort(found)
	return found
}

// top is the part of the configuration in which a field is.
func top(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return path
}

// TakesRestart tells whether a field cannot be changed while the gateway runs.
func TakesRestart(path string) bool { return !live[protoreflect.Name(top(path))] }

// Differences are the values that are not the same in both, as {old, new}; "" is
// none.
func Differences(old, next map[string]string) map[string][2]string {
	changed := map[string][2]string{}
	for path, value := range old {
		if next[path] != value {
			changed[path] = [2]string{value, next[path]}
		}
	}
	for path, value := range next {
		if _, ok := old[path]; !ok {
			changed[path] = [2]string{"", value}
		}
	}
	return changed
}
