package upstream

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// spreadName is our own policy, for weights of the configuration and for a slow
// start, neither of which grpc-go's policies know: weighted_round_robin weighs by
// what replicas report and nothing else. It stands on the same two that they
// stand on: endpointsharding, and pick_first with its health listener for each
// replica. So health checks and outliers work alike; only the choice is ours
// (turns.go).
const spreadName = "gatehouse_spread"

// spreadConfig is the policy's configuration.
type spreadConfig struct {
	serviceconfig.LoadBalancingConfig `json:"-"`

	LeastRequest bool          `json:"least_request"`
	SlowStart    time.Duration `json:"slow_start"` // in nanoseconds
}

type spreadBuilder struct {
	now    func() time.Time
	random func() float64
}

func newSpreadBuilder() spreadBuilder { return spreadBuilder{now: time.Now, random: rand.Float64} }

// Name is that of the policy in a service config.
func (spreadBuilder) Name() string { return spreadName }

// ParseConfig reads the policy's configuration.
func (spreadBuilder) ParseConfig(text json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	c := new(spreadConfig)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%s: %w", spreadName, err)
	}
	return c, nil
}

// Build makes the policy for one connection.
func (b spreadBuilder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	s := &spreader{ClientConn: cc, builder: b, replicas: resolver.NewEndpointMap[*replica]()}
	s.Balancer = endpointsharding.NewBalancer(s, opts, balancer.Get(pickfirst.Name).Build, endpointsharding.Options{})
	return s
}

// spreader keeps what is known of replicas from one picker to the next.
type spreader struct {
	balancer.Balancer
	balancer.ClientConn
	builder spreadBuilder

	mu       sync.Mutex
	config   spreadConfig
	replicas *resolver.EndpointMap[*replica]
	turn     sync.Mutex // of the credit of replicas
}

// UpdateClientConnState tells the children where replicas are.
func (s *spreader) UpdateClientConnState(state balancer.ClientConnState) error {
	c, ok := state.BalancerConfig.(*spreadConfig)
	if !ok {
		return balancer.ErrBadResolverState
	}
	s.mu.Lock()
	s.config = *c
	s.mu.Unlock()
	return s.Balancer.UpdateClientConnState(balancer.ClientConnState{ResolverState: pickfirst.EnableHealthListener(state.ResolverState)})
}

// ResolverError tells the children that replicas could not be found.
func (s *spreader) ResolverError(err error) { s.Balancer.ResolverError(err) }

// UpdateState makes a picker of the replicas that can be called. While there is
// none, endpointsharding's own waits or fails.
func (s *spreader) UpdateState(state balancer.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &picker{turns: turns{lock: &s.turn, window: s.config.SlowStart, now: s.builder.now, random: s.builder.random}}
	there := resolver.NewEndpointMap[bool]()
	for _, child := range endpointsharding.ChildStatesFromPicker(state.Picker) {
		there.Set(child.Endpoint, true)
		if r := s.follow(child); r != nil {
			p.replicas, p.pickers = append(p.replicas, r), append(p.pickers, child.State.Picker)
		}
	}
	for e := range s.replicas.All() {
		if _, ok := there.Get(e); !ok {
			s.replicas.Delete(e)
		}
	}
	if len(p.replicas) > 0 {
		p.leastRequest = s.config.LeastRequest
		state.Picker = p
	}
	s.ClientConn.UpdateState(state)
}

// follow notes how a replica is and returns it if it can be called. It is cold
// when it is new and after it was down, unwell or left out; one that only
// changed its connection stays warm.
func (s *spreader) follow(child endpointsharding.ChildState) *replica {
	r, ok := s.replicas.Get(child.Endpoint)
	if !ok {
		r = &replica{cold: true}
		s.replicas.Set(child.Endpoint, r)
	}
	switch child.State.ConnectivityState {
	case connectivity.TransientFailure:
		r.cold = true
	case connectivity.Ready:
		s.turn.Lock()
		defer s.turn.Unlock()
		r.weight = float64(max(weight.FromEndpoint(child.Endpoint).Weight, 1))
		if r.cold {
			r.cold, r.since, r.credit = false, s.builder.now(), 0
		}
		return r
	}
	return nil
}

// picker chooses among replicas that can be called.
type picker struct {
	turns

	leastRequest bool
	pickers      []balancer.Picker // of the replicas
}

// Pick chooses a connection.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if !p.leastRequest {
		return p.pickers[p.next()].Pick(info)
	}
	i := p.freer()
	result, err := p.pickers[i].Pick(info)
	if err != nil {
		return result, err
	}
	calls, done := &p.replicas[i].calls, result.Done
	calls.Add(1)
	result.Done = func(info balancer.DoneInfo) {
		calls.Add(-1)
		if done != nil {
			done(info)
		}
	}
	return result, nil
}
