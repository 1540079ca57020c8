package upstream

import (
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/serviceconfig"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// grpc-go's outlier detection counts every outcome but OK as a failure of the
// replica, even if the call never reached it or the client caused the failure. So
// Gatehouse wraps it on both sides. countedPicker, outside, decides which outcomes
// outlier detection sees. choicePicker, inside, keeps the Done callback of the policy
// that chose the replica, which must see every outcome.

// countedPicker notes that there was a connection for a call, and tells the count
// of outliers what the end of the call says of the replica.
type countedPicker struct {
	balancer.Picker

	outliers bool // ends are counted
}

// Pick chooses a connection.
func (p countedPicker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	x := exchangeOf(info.Ctx)
	if x == nil {
		return p.Picker.Pick(info)
	}
	x.forget(chosen) // what was chosen before was not ready after all
	result, err := p.Picker.Pick(info)
	if err != nil {
		return result, err
	}
	x.note(chosen)
	if p.outliers {
		result.Done = x.count(result.Done)
	}
	return result, nil
}

// count is what to call at the end of an attempt, in the place of counted.
func (x *exchange) count(counted func(balancer.DoneInfo)) func(balancer.DoneInfo) {
	return func(info balancer.DoneInfo) {
		switch x.outcome(info.Err) {
		case call.Good:
			info.Err = nil
			counted(info)
		case call.Failed:
			counted(info)
		default:
			if x.done != nil {
				x.done(info)
			}
		}
	}
}

// choiceName is the policy between the count of outliers and the one that chooses.
const choiceName = "gatehouse_choice"

type choiceBuilder struct{}

// Name is that of the policy in a service config.
func (choiceBuilder) Name() string { return choiceName }

// ParseConfig reads the child's name and configuration.
func (choiceBuilder) ParseConfig(text json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	c := new(childConfig)
	if err := json.Unmarshal(text, &c.raw); err != nil {
		return nil, fmt.Errorf("%s: %w", choiceName, err)
	}
	return c, c.find(choiceName)
}

// Build makes the policy for one connection.
func (choiceBuilder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	return &choice{ClientConn: cc, opts: opts}
}

// choice is the policy that chooses, with its pickers wrapped.
type choice struct {
	balancer.ClientConn
	balancer.Balancer // nil until the first update

	opts balancer.BuildOptions
}

// UpdateClientConnState tells the child where replicas are.
func (c *choice) UpdateClientConnState(s balancer.ClientConnState) error {
	config, ok := s.BalancerConfig.(*childConfig)
	if !ok {
		return balancer.ErrBadResolverState
	}
	if c.Balancer == nil { // an upstream's configuration does not change
		c.Balancer = config.builder.Build(c, c.opts)
	}
	return c.Balancer.UpdateClientConnState(balancer.ClientConnState{ResolverState: s.ResolverState, BalancerConfig: config.config})
}

// ResolverError tells the child, if there is one, that replicas could not be found.
func (c *choice) ResolverError(err error) {
	if c.Balancer != nil {
		c.Balancer.ResolverError(err)
	}
}

// ExitIdle has the child connect.
func (c *choice) ExitIdle() {
	if c.Balancer != nil {
		c.Balancer.ExitIdle()
	}
}

// Close ends the child.
func (c *choice) Close() {
	if c.Balancer != nil {
		c.Balancer.Close()
	}
}

// UpdateState takes the child's picker on.
func (c *choice) UpdateState(s balancer.State) {
	s.Picker = choicePicker{s.Picker}
	c.ClientConn.UpdateState(s)
}

// choicePicker notes whom to tell of the end of a call.
type choicePicker struct{ balancer.Picker }

// Pick chooses a connection.
func (p choicePicker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	result, err := p.Picker.Pick(info)
	if x := exchangeOf(info.Ctx); x != nil && err == nil {
		x.done = result.Done
	}
	return result, err
}
