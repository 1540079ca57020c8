package ratelimit

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// limited is the policy of one RPC.
type limited struct {
	limits *Limits
	rules  []*rule // those kept here, then those kept in Redis
	local  int     // how many are kept here
	policy string  // the header RateLimit-Policy
}

func (m *limited) add(r *rule) {
	m.rules = append(m.rules, r)
	if r.shared {
		return
	}
	copy(m.rules[m.local+1:], m.rules[m.local:])
	m.rules[m.local] = r
	m.local++
}

// begin decides on one call.
func (m *limited) begin(ctx context.Context, _ string) (context.Context, func(error), error) {
	c := call.From(ctx)
	var room [maxLimits]ask
	asks := room[:len(m.rules)]
	for i, r := range m.rules {
		id, err := r.identify(ctx, c)
		if err != nil {
			return ctx, nil, unidentified(r, err)
		}
		asks[i] = ask{rule: r, id: id}
	}
	ok, err := m.take(ctx, asks)
	if err != nil {
		return ctx, nil, err
	}
	m.tell(c, asks)
	if !ok {
		return ctx, nil, m.refuse(c, asks)
	}
	for _, r := range m.rules {
		r.allowed.Inc()
	}
	return ctx, nil, nil
}

// take takes from all limits or, but for what the package comment says, none.
func (m *limited) take(ctx context.Context, asks []ask) (bool, error) {
	l := m.limits
	local, shared := asks[:m.local], asks[m.local:]
	now := l.now()
	if len(shared) == 0 {
		return l.local.take(now, local), nil
	}
	allowed := l.seen.look(now, shared)
	forget(shared) // what did not refuse, Redis knows better
	if !allowed {
		l.local.look(now, local)
		return false, nil
	}
	if !l.local.take(now, local) {
		return false, nil
	}
	ok, err := l.takeShared(ctx, now, shared)
	if err != nil {
		ok, err = m.without(ctx, shared, err)
	}
	if !ok {
		l.local.giveBack(l.now()-now, local)
	}
	return ok, err
}

// without decides on limits that Redis keeps while it cannot be asked: as if they
// were kept here, or not at all.
func (m *limited) without(ctx context.Context, shared []ask, cause error) (bool, error) {
	m.limits.metrics.alone.Inc()
	m.limits.log.DebugContext(ctx, "a shared limit could not be asked", "limit", shared[0].rule.name, "error", cause)
	for i := range shared {
		if r := shared[i].rule; r.closed {
			r.refused.Inc()
			return false, unavailable(r, cause)
		}
	}
	return m.limits.local.take(m.limits.now(), shared), nil
}

func forget(asks []ask) {
	for i := range asks {
		asks[i].known = asks[i].wait > 0
	}
}

// unidentified refuses a call whose key could not be told.
func unidentified(r *rule, err error) error {
	if _, ok := errors.AsType[*call.Error](err); ok {
		return err // it says itself what is wrong, and whose fault it is
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return call.Refuse(call.Client, codes.InvalidArgument, "the call lacks what limit %q counts by", r.name).Because(err).By(Name)
}
