package live

import (
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// pool has what tables share, by the settings that it is made from.
type pool[T io.Closer] map[string]*shared[T]

// shared is a value that tables share.
type shared[T io.Closer] struct {
	value    T
	settings string // the key in the pool
	users    int
	closed   bool
	cutOff   *time.Timer // closes it for those who still use it; nil: not yet
}

// acquire returns what these settings stand for: the value that another table has, or a
// new one. Whoever acquires it must release it.
func (p pool[T]) acquire(settings proto.Message, open func() (T, error)) (*shared[T], error) {
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(settings)
	if err != nil {
		return nil, err
	}
	s := p[string(key)]
	if s == nil {
		value, err := open()
		if err != nil {
			return nil, err
		}
		s = &shared[T]{value: value, settings: string(key)}
		p[s.settings] = s
	}
	s.users++
	return s, nil
}

// release closes the value behind its last user.
func (p pool[T]) release(s *shared[T]) error {
	if s.users--; s.users > 0 {
		return nil
	}
	return p.close(s)
}

// retire keeps a value from being acquired again.
func (p pool[T]) retire(s *shared[T]) {
	if p[s.settings] == s {
		delete(p, s.settings)
	}
}

// close closes a value, whoever uses it. Closing it again has no effect.
func (p pool[T]) close(s *shared[T]) error {
	if s.closed {
		return nil
	}
	s.closed = true
	p.retire(s)
	if s.cutOff != nil {
		s.cutOff.Stop()
	}
	return s.value.Close()
}

// connection is a connection to an upstream.
type connection struct {
	*upstream.Upstream
	tls *certs.Client // nil: in the clear
}

// Close ends the calls on the connection with UNAVAILABLE.
func (c *connection) Close() error {
	err := c.Upstream.Close()
	if c.tls != nil {
		c.tls.Release()
	}
	return err
}

// connections are what one table has acquired: its connections and its authenticators.
// They are released when the last call of the table has ended.
type connections struct {
	upstreams      map[string]*shared[*connection] // by name
	authenticators *shared[*auth.Authenticators]
	// names are the RPCs and upstreams of the table that have series of metrics.
	names names
}

// acquire returns the connections and authenticators that a table of this configuration
// needs. Those of other tables are reused where their settings are equal. After an error
// nothing is held. g.mu is held.
func (g *Gateway) acquire(file *config.File) (*connections, error) {
	c := &connections{upstreams: map[string]*shared[*connection]{}}
	var errs []error
	for _, u := range file.Config.GetUpstreams() {
		if u.GetComposed() {
			continue // there is no server
		}
		s, err := g.upstreams.acquire(dialSettings(u), func() (*connection, error) { return g.connect(u) })
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.upstreams[u.GetName()] = s
	}
	list := file.Config.GetAuthenticators()
	s, err := g.authenticators.acquire(&configv1.Config{Authenticators: list}, func() (*auth.Authenticators, error) {
		o := auth.Options{Log: g.log, Registerer: g.collectors}
		if g.inForce != nil {
			o.Previous = g.inForce.authenticators.value
		}
		made, err := auth.New(list, o)
		return made, compile.Place(file, "", err)
	})
	if err == nil {
		c.authenticators = s
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, errors.Join(err, g.release(c))
	}
	return c, nil
}

// release gives up what a table has acquired. It is called once for each. g.mu is held.
func (g *Gateway) release(c *connections) error {
	var errs []error
	for _, s := range c.upstreams {
		errs = append(errs, g.upstreams.release(s))
	}
	if c.authenticators != nil {
		errs = append(errs, g.authenticators.release(c.authenticators))
	}
	return errors.Join(errs...)
}

// dialSettings are the settings of an upstream that its connection is made from. A
// setting that we do not know counts as relevant.
func dialSettings(u *configv1.Upstream) *configv1.Upstream {
	c := proto.CloneOf(u)
	c.Schema, c.RetryBudget, c.Optional, c.StripPrefix, c.AddPrefix = nil, nil, false, "", ""
	return c
}

func (g *Gateway) connect(u *configv1.Upstream) (*connection, error) {
	secure, err := clientTLS(g.certs, u.GetTls())
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w", u.GetName(), err)
	}
	up, err := g.dial(u, secure)
	if err != nil {
		if secure != nil {
			secure.Release()
		}
		return nil, err
	}
	return &connection{up, secure}, nil
}

// byName are the upstreams for a table.
func (c *connections) byName() map[string]*upstream.Upstream {
	m := make(map[string]*upstream.Upstream, len(c.upstreams))
	for name, s := range c.upstreams {
		m[name] = s.value.Upstream
	}
	return m
}

// replace puts a table in force that has acquired next. What the table before has
// acquired is released when its last call has ended. A connection that only the old
// table uses is closed after the bound in any case, where there is one.
func (g *Gateway) replace(table *edge.Table, next *connections, bound time.Duration) {
	old := g.current.Load()
	g.current.Store(table)
	g.mu.Lock()
	c := g.inForce
	g.inForce = next
	if c == nil {
		g.mu.Unlock()
		return
	}
	g.draining[c] = true
	for name, s := range c.upstreams {
		if bound > 0 && next.upstreams[name] != s {
			g.upstreams.retire(s)
			s.cutOff = time.AfterFunc(bound, func() { g.cutOff(name, s) })
		}
	}
	g.mu.Unlock()
	old.Retire(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.draining[c] { // else the gateway is closed
			// Not in the goroutine of the last call: endDraining waits while a table is
			// being compiled.
			g.releasing.Go(func() { g.endDraining(c) })
		}
	})
}

// cutOff closes a connection whose calls have not ended in time.
func (g *Gateway) cutOff(name string, s *shared[*connection]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !s.closed {
		g.log.Warn("calls on an upstream that was changed or removed have not ended in time, and are ended", "upstream", name)
		_ = g.upstreams.close(s) // there is nobody to tell
	}
}

// endDraining releases what a table had acquired whose last call has ended.
func (g *Gateway) endDraining(c *connections) {
	g.building.Lock() // a table that is being compiled has series of metrics in hand
	defer g.building.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.draining[c] {
		return
	}
	delete(g.draining, c)
	g.collectors.forget(c.names, g.inForce.names)
	if err := g.release(c); err != nil {
		g.log.Debug("a connection of a replaced table did not end well", "error", err)
	}
}

// abandon releases what was acquired for a table that does not come into force.
func (g *Gateway) abandon(c *connections) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inForce != nil {
		g.collectors.forget(c.names, g.inForce.names)
	}
	return g.release(c)
}

// closeConnections releases all that is left, whoever uses it.
func (g *Gateway) closeConnections() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for c := range g.draining {
		errs = append(errs, g.release(c))
		delete(g.draining, c)
	}
	if g.inForce != nil {
		errs = append(errs, g.release(g.inForce))
	}
	return errors.Join(errs...)
}

// countDraining is how many replaced tables still have calls.
func (g *Gateway) countDraining() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.draining)
}
