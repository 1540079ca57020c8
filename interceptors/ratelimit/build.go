package ratelimit

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// networkKey is the key that most limits have; its own code is the fastest.
const networkKey = "peer.network"

// maxLimits bounds the limits of one RPC, as the rules of the message do, so that a
// call's share of them fits on its stack.
const maxLimits = 8

// Build returns the policy of one RPC. Called again for a later table, it finds the
// same buckets. A streaming call counts once, when it begins.
//
// A call whose key cannot be told is refused: with the error if it is one for
// clients (a request that cannot be read), else with INVALID_ARGUMENT, since
// an expression that was checked against its types fails for what the call
// lacks. Letting it through would be a way around the limit.
func (l *Limits) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	limits := m.Policy.GetRateLimit()
	if slices.ContainsFunc(limits, (*policyv1.RateLimit).GetUnlimited) {
		return interceptors.Interceptor{}, nil
	}
	of, names := &limited{limits: l}, map[string]bool{}
	for i, p := range limits {
		r, err := l.compile(m, i, p)
		if err != nil {
			return interceptors.Interceptor{}, interceptors.Within(fmt.Sprintf("rate_limit[%d]", i), err)
		}
		if names[r.name] {
			return interceptors.Interceptor{}, interceptors.Wrong(fmt.Sprintf("rate_limit[%d].name", i), "%q is the name of another limit of this RPC", r.name)
		}
		names[r.name] = true
		if r.cost > 0 {
			of.add(r)
		}
	}
	if len(of.rules) == 0 {
		return interceptors.Interceptor{}, nil
	}
	of.policy = of.policies()
	return interceptors.Around(Name, of.begin), nil
}

// named is a limit that has a name, with the RPC that named it first.
type named struct {
	limit *policyv1.RateLimit
	rpc   string
}

// agree refuses two limits of one table that have one name, and so one state, but not
// the same size: a caller could leave the debt of one at the other.
func (l *Limits) agree(p *policyv1.RateLimit, rpc string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.GetName() == "" || p.GetUnlimited() || l.named == nil {
		return nil
	}
	before, ok := l.named[p.GetName()]
	if !ok {
		l.named[p.GetName()] = named{p, rpc}
		return nil
	}
	o := before.limit
	if o.GetRequests() != p.GetRequests() || o.GetBurst() != p.GetBurst() || !proto.Equal(o.GetPer(), p.GetPer()) || o.GetStore() != p.GetStore() {
		return fmt.Errorf("%q is the limit of %s too, with other requests, per, burst or store; give it the same, or another name", p.GetName(), before.rpc)
	}
	return nil
}

// Begin says that a new table is compiled from now on.
func (l *Limits) Begin() { l.name(map[string]named{}) }

// Commit says that this table is in force. The buckets stay: those that nobody uses
// make room for others.
func (l *Limits) Commit() { l.name(nil) }

// Abandon says that this table was refused.
func (l *Limits) Abandon() { l.name(nil) }

func (l *Limits) name(limits map[string]named) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.named = limits
}

// keyOf compiles the key of a limit; an empty one is the same for all calls.
func keyOf(m *interceptors.Method, text string) (func(context.Context) (string, error), error) {
	if text == "" {
		text = `""`
	}
	program, err := m.Key(text)
	if err != nil {
		return nil, err
	}
	if program.NamesCaller() && m.Policy.GetAuth().GetPublic() {
		return nil, fmt.Errorf("%s names the caller, and on a public RPC nobody is known: all would share the limit; say who may call (auth.accept), or take peer.network", text)
	}
	if program.IsCallerID() && m.Policy.GetAuth().GetAnonymous() {
		return orNetwork(program.CallerKey), nil
	}
	return program.CallerKey, nil
}

// orNetwork counts callers of whom nothing is known by their network, since they are
// not one caller.
func orNetwork(key func(context.Context) (string, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if c := call.From(ctx); c != nil && c.Caller() == nil {
			return string(call.AppendNetwork([]byte("network "), call.Network(c.PeerIP()))), nil
		}
		return key(ctx)
	}
}
