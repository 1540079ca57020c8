package live

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// lease is what one table needs beside itself. What has not changed from one
// table to the next is shared by both, and ends behind the last call of the last
// table that has it. Guarded by Gateway.mu.
type lease struct {
	links map[string]*link // by the upstream's name
	auth  *ways
	// names are the RPCs and upstreams of which metrics tell.
	names names
}

// link is a connection to an upstream.
type link struct {
	conf   *configv1.Upstream // what the connection is made of
	up     *upstream.Upstream
	tls    *certs.Client // nil: in the clear
	tables int
	over   *time.Timer // runs since no table in force has it: ends what is left then
	closed bool
}

// ways are the authenticators.
type ways struct {
	conf   []*policyv1.Authenticator
	known  *auth.Authenticators
	tables int
	closed bool
}

// dialled is what of an upstream's settings its connection is made of. Whatever
// is not known to be of no concern is.
func dialled(u *configv1.Upstream) *configv1.Upstream {
	c := proto.CloneOf(u)
	c.Schema, c.RetryBudget, c.Optional, c.StripPrefix, c.AddPrefix = nil, nil, false, "", ""
	return c
}

// rent gathers what a table of this configuration needs: what one of the other
// leases has, the first of which is that of the table in force, and what must be
// made. Leases may be nil. After an error nothing is held.
func (g *Gateway) rent(file *config.File, others ...*lease) (*lease, error) {
	l := &lease{links: map[string]*link{}}
	var errs []error
	for _, u := range file.Config.GetUpstreams() {
		if u.GetComposed() {
			continue // there is no server
		}
		one, err := g.link(u, others)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		one.tables++
		l.links[u.GetName()] = one
	}
	w, err := g.authenticate(file, others)
	if err == nil {
		w.tables++
		l.auth = w
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, errors.Join(err, g.giveBack(l))
	}
	return l, nil
}

func (g *Gateway) link(u *configv1.Upstream, others []*lease) (*link, error) {
	conf := dialled(u)
	for _, l := range others {
		if l == nil {
			continue
		}
		// What another reload gave up while this one asked will be cut off.
		if one := l.links[u.GetName()]; one != nil && one.over == nil && proto.Equal(one.conf, conf) {
			return one, nil
		}
	}
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
	return &link{conf: conf, up: up, tls: secure}, nil
}

func (g *Gateway) authenticate(file *config.File, others []*lease) (*ways, error) {
	conf := file.Config.GetAuthenticators()
	o := auth.Options{Log: g.log, Registerer: g.collectors}
	for _, l := range others {
		if l == nil {
			continue
		}
		if slices.EqualFunc(l.auth.conf, conf, func(a, b *policyv1.Authenticator) bool { return proto.Equal(a, b) }) {
			return l.auth, nil
		}
		if o.Previous == nil {
			o.Previous = l.auth.known
		}
	}
	known, err := auth.New(conf, o)
	if err != nil {
		return nil, compile.Place(file, "", err)
	}
	return &ways{conf: conf, known: known}, nil
}

// upstreams are those of the lease, by name.
func (l *lease) upstreams() map[string]*upstream.Upstream {
	m := make(map[string]*upstream.Upstream, len(l.links))
	for name, one := range l.links {
		m[name] = one.up
	}
	return m
}

// giveBack ends what no other table has. It is called once for each lease.
func (g *Gateway) giveBack(l *lease) error {
	var errs []error
	for _, one := range l.links {
		if one.tables--; one.tables == 0 {
			errs = append(errs, one.close())
		}
	}
	if l.auth != nil {
		if l.auth.tables--; l.auth.tables == 0 {
			errs = append(errs, l.auth.close())
		}
	}
	return errors.Join(errs...)
}

// cutOff ends a connection that no table in force has for long. Calls on it end
// with UNAVAILABLE.
func (g *Gateway) cutOff(k *link) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !k.closed {
		g.log.Warn("calls on an upstream that was changed or removed have not ended in time, and are ended", "upstream", k.conf.GetName())
		_ = k.close() // there is nobody to tell
	}
}

func (k *link) close() error {
	if k.closed {
		return nil
	}
	k.closed = true
	if k.over != nil {
		k.over.Stop()
	}
	err := k.up.Close()
	if k.tls != nil {
		k.tls.Release()
	}
	return err
}

func (w *ways) close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.known.Close()
}

// replace has what a table needs given up behind its last call. What the next one
// does not need is given up after the bound in any case, where there is one.
func (g *Gateway) replace(old *edge.Table, next *lease, bound time.Duration) {
	g.mu.Lock()
	l := g.lease
	g.lease = next
	if l == nil {
		g.mu.Unlock()
		return
	}
	g.retired[l] = true
	for name, one := range l.links {
		if bound > 0 && next.links[name] != one {
			one.over = time.AfterFunc(bound, func() { g.cutOff(one) })
		}
	}
	g.mu.Unlock()
	old.Retire(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.retired[l] { // else all is closed
			// Not by the call that was the last: it may have to wait for a table
			// that is being built.
			g.behind.Go(func() { g.end(l) })
		}
	})
}

// end gives up what a table needed whose last call has ended.
func (g *Gateway) end(l *lease) {
	g.building.Lock() // who builds a table has series of metrics in hand
	defer g.building.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.retired[l] {
		return
	}
	delete(g.retired, l)
	g.collectors.forget(l.names, g.lease.names)
	if err := g.giveBack(l); err != nil {
		g.log.Debug("a connection of before did not end well", "error", err)
	}
}

// closeLeases ends all that is left, whoever uses it.
func (g *Gateway) closeLeases() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for l := range g.retired {
		errs = append(errs, g.giveBack(l))
		delete(g.retired, l)
	}
	if g.lease != nil {
		errs = append(errs, g.giveBack(g.lease))
	}
	return errors.Join(errs...)
}

// draining is how many tables are not in force any more and still have calls.
func (g *Gateway) draining() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.retired)
}
