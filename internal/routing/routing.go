// Package routing chooses among upstreams: canaries, blue and green, tenants.
//
// A [Chooser] is a connection in the middle of a chain. The policies outside of
// it have decided whether the call is made at all and know who calls; those that
// belong to an upstream, such as its cache, its retries and its breaker, stand
// inside, once for each that may be chosen. So a call stays where it was sent
// however often it is tried.
package routing

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Target is where a call may go.
type Target struct {
	// Upstream is the name in the configuration.
	Upstream string
	// Conn is the upstream inside the policies that are its own.
	Conn grpc.ClientConnInterface
}

// Route is a target for the calls that match.
type Route struct {
	Target

	// Match is what the configuration says of it, but for its expressions.
	Match *configv1.Route
	// When is its condition, nil for none. What cannot be decided, such as a
	// condition about a claim that is not there, does not match; an error for the
	// client ([call.Error]) is the outcome of the call.
	When func(context.Context) (bool, error)
	// StickyBy is the key of its percentage, nil for none. A call for which there
	// is no key, or an empty one, is chosen by itself.
	StickyBy func(context.Context) (string, error)
}

// Chooser sends each call to the target of the first route that matches. It is
// immutable and safe for concurrent use. Where no route has an expression, and
// no header that a call has is asked for, choosing allocates nothing.
type Chooser struct {
	routes []compiled
	rest   Target
}

var _ grpc.ClientConnInterface = (*Chooser)(nil)

// New compiles routes; what none of them takes goes to rest. random gives
// numbers in [0, 1) and is safe for concurrent use.
func New(routes []Route, rest Target, random func() float64) *Chooser {
	c := &Chooser{rest: rest}
	before := map[string]int{}
	for _, r := range routes {
		c.routes = append(c.routes, compile(r, before[r.Upstream], random))
		if r.StickyBy != nil {
			before[r.Upstream]++
		}
	}
	return c
}

// Invoke makes a unary call.
func (c *Chooser) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	to, err := c.choose(ctx)
	if err != nil {
		return err
	}
	return to.Conn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream begins a streaming call.
func (c *Chooser) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	to, err := c.choose(ctx)
	if err != nil {
		return nil, err
	}
	return to.Conn.NewStream(ctx, desc, method, opts...)
}

// choose finds the target, and tells the call.
func (c *Chooser) choose(ctx context.Context) (*Target, error) {
	known := call.From(ctx)
	for i := range c.routes {
		r := &c.routes[i]
		ok, err := r.matches(ctx, known)
		if err != nil {
			return nil, err
		}
		if ok {
			if known != nil {
				known.SetUpstream(&r.target.Upstream)
			}
			return &r.target, nil
		}
	}
	return &c.rest, nil
}

// clientsError is an error that the client is to be told, nil if it is none.
func clientsError(err error) error {
	if e, ok := errors.AsType[*call.Error](err); ok {
		return e
	}
	return nil
}
