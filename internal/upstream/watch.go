package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// watchName is the policy that stands around the others: it counts connections,
// gives the ring its key, notes which calls had a connection, and decides which
// ends of calls count where outliers are looked for.
const watchName = "gatehouse_watch"

// Policies have no other way into a connection than grpc-go's register, which
// must be complete before the first connection is made, by anybody in the
// process.
//
//nolint:gochecknoinits // as just said
func init() {
	balancer.Register(watchBuilder{})
	balancer.Register(choiceBuilder{})
	balancer.Register(newSpreadBuilder())
}

// watchConfig is the policy's configuration.
type watchConfig struct {
	serviceconfig.LoadBalancingConfig `json:"-"`

	Keyed    bool   `json:"keyed"`
	Outliers bool   `json:"outliers"`
	Child    object `json:"child"` // one policy by its name

	child childConfig
}

// childConfig is one policy by its name, with its configuration.
type childConfig struct {
	serviceconfig.LoadBalancingConfig

	raw     map[string]json.RawMessage
	builder balancer.Builder
	config  serviceconfig.LoadBalancingConfig
}

// find looks the policy up. parent is named in errors.
func (c *childConfig) find(parent string) error {
	for name, text := range c.raw {
		c.builder = balancer.Get(name)
		if c.builder == nil {
			return fmt.Errorf("%s: no policy is named %q", parent, name)
		}
		if parser, ok := c.builder.(balancer.ConfigParser); ok {
			var err error
			if c.config, err = parser.ParseConfig(text); err != nil {
				return err
			}
		}
	}
	if c.builder == nil {
		return errors.New(parent + ": no child")
	}
	return nil
}

type watchBuilder struct{}

// Name is that of the policy in a service config.
func (watchBuilder) Name() string { return watchName }

// ParseConfig reads the policy's configuration and its child's.
func (watchBuilder) ParseConfig(text json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	var raw struct {
		Keyed    bool                       `json:"keyed"`
		Outliers bool                       `json:"outliers"`
		Child    map[string]json.RawMessage `json:"child"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", watchName, err)
	}
	c := &watchConfig{Keyed: raw.Keyed, Outliers: raw.Outliers, child: childConfig{raw: raw.Child}}
	return c, c.child.find(watchName)
}

// Build makes the policy for one connection.
func (watchBuilder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	return &watch{ClientConn: cc, opts: opts}
}

// watch stands between the child and the connection.
type watch struct {
	balancer.ClientConn
	opts  balancer.BuildOptions
	child balancer.Balancer // nil until the first update

	keyed, outliers bool // written before there is a child

	mu     sync.Mutex
	known  *known // nil until the first update
	ready  int64
	closed bool
}

// UpdateClientConnState tells the child where replicas are.
func (w *watch) UpdateClientConnState(s balancer.ClientConnState) error {
	c, ok := s.BalancerConfig.(*watchConfig)
	if !ok {
		return balancer.ErrBadResolverState
	}
	w.mu.Lock()
	w.known, _ = s.ResolverState.Attributes.Value(knownKey{}).(*known)
	w.mu.Unlock()
	if w.child == nil { // an upstream's configuration does not change
		w.keyed, w.outliers = c.Keyed, c.Outliers
		w.child = c.child.builder.Build(w, w.opts)
	}
	return w.child.UpdateClientConnState(balancer.ClientConnState{ResolverState: s.ResolverState, BalancerConfig: c.child.config})
}

// ResolverError tells the child that replicas could not be found.
func (w *watch) ResolverError(err error) {
	if w.child != nil {
		w.child.ResolverError(err)
		return
	}
	w.ClientConn.UpdateState(balancer.State{ConnectivityState: connectivity.TransientFailure, Picker: failing{err}})
}

// failing has no replica to choose.
type failing struct{ err error }

// Pick fails.
func (f failing) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, fmt.Errorf("name resolver error: %w", f.err)
}

// UpdateSubConnState is not called any more.
func (w *watch) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle has the child connect.
func (w *watch) ExitIdle() {
	if w.child != nil {
		w.child.ExitIdle()
	}
}

// Close ends the child.
func (w *watch) Close() {
	if w.child != nil {
		w.child.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.known != nil {
		w.known.connections.Add(-w.ready)
	}
}

// UpdateState takes the child's picker to the connection. The ring connects only
// for calls; so that it is known whether the upstream is there, it is shown one
// that has no key.
func (w *watch) UpdateState(s balancer.State) {
	if w.keyed {
		s.Picker = keyedPicker{s.Picker}
	}
	s.Picker = countedPicker{s.Picker, w.outliers}
	w.ClientConn.UpdateState(s)
	if w.keyed && s.ConnectivityState == connectivity.Idle {
		_, _ = s.Picker.Pick(balancer.PickInfo{Ctx: context.Background()})
	}
}

// NewSubConn makes a connection that is counted.
func (w *watch) NewSubConn(addresses []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	listener, ready := opts.StateListener, false
	opts.StateListener = func(s balancer.SubConnState) {
		if now := s.ConnectivityState == connectivity.Ready; now != ready {
			ready = now
			w.count(now)
		}
		if listener != nil {
			listener(s)
		}
	}
	return w.ClientConn.NewSubConn(addresses, opts) //nolint:staticcheck // policies have no other
}

func (w *watch) count(ready bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.known == nil {
		return
	}
	n := int64(-1)
	if ready {
		n = 1
	}
	w.ready += n
	w.known.connections.Add(n)
}
