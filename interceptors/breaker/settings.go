package breaker

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
)

// settings are those of a policy with the defaults filled in. Two that are equal
// mean the same breaker.
type settings struct {
	kind         policyv1.Breaker_Kind
	scope        policyv1.Breaker_Scope
	window       time.Duration
	minimumCalls uint64

	k float64 // adaptive

	failureRatio float64 // three-state, as all that follow
	slowCall     time.Duration
	slowRatio    float64
	openTime     time.Duration
	probes       int
}

// read fills in the defaults, and leaves out what the kind does not look at.
func read(p *policyv1.Breaker) (settings, error) {
	s := settings{
		kind:         p.GetKind(),
		scope:        p.GetScope(),
		window:       duration(p.GetWindow(), 30*time.Second),
		minimumCalls: uint64(value(p.GetMinimumCalls(), p != nil && p.MinimumCalls != nil, 20)),
	}
	if s.scope == policyv1.Breaker_SCOPE_UNSPECIFIED {
		s.scope = policyv1.Breaker_SCOPE_RPC
	}
	if s.kind == policyv1.Breaker_KIND_UNSPECIFIED {
		s.kind = policyv1.Breaker_KIND_ADAPTIVE
	}
	var err error
	switch s.kind {
	case policyv1.Breaker_KIND_ADAPTIVE:
		s.k = value(p.GetK(), p != nil && p.K != nil, 2)
		if s.k <= 1 {
			err = fmt.Errorf("k: %v would refuse calls of a healthy upstream; want more than 1", s.k)
		}
	case policyv1.Breaker_KIND_THREE_STATE:
		err = s.readThreeState(p)
	default:
		err = fmt.Errorf("kind: %d is unknown; want KIND_ADAPTIVE or KIND_THREE_STATE", s.kind)
	}
	if err != nil {
		return settings{}, err
	}
	switch {
	case s.scope != policyv1.Breaker_SCOPE_RPC && s.scope != policyv1.Breaker_SCOPE_UPSTREAM:
		return settings{}, fmt.Errorf("scope: %d is unknown; want SCOPE_RPC or SCOPE_UPSTREAM", s.scope)
	case s.window < slots*time.Millisecond:
		return settings{}, fmt.Errorf("window: %v is too short; want at least 1s", s.window)
	case s.minimumCalls == 0:
		return settings{}, fmt.Errorf("minimum_calls: want at least 1")
	}
	return s, nil
}

func (s *settings) readThreeState(p *policyv1.Breaker) error {
	s.failureRatio = value(p.GetFailureRatio(), p.FailureRatio != nil, .5)
	s.slowCall = duration(p.GetSlowCall(), 0)
	s.slowRatio = value(p.GetSlowRatio(), p.SlowRatio != nil, 1)
	s.openTime = duration(p.GetOpenTime(), 5*time.Second)
	s.probes = int(value(p.GetProbes(), p.Probes != nil, 3))
	switch {
	case s.failureRatio <= 0 || s.failureRatio > 1:
		return fmt.Errorf("failure_ratio: %v is no share of calls; want more than 0 and at most 1", s.failureRatio)
	case s.slowRatio <= 0 || s.slowRatio > 1:
		return fmt.Errorf("slow_ratio: %v is no share of calls; want more than 0 and at most 1", s.slowRatio)
	case s.slowCall < 0:
		return fmt.Errorf("slow_call: %v is negative; want 0s for none, or more", s.slowCall)
	case s.openTime <= 0:
		return fmt.Errorf("open_time: want more than 0s")
	case s.probes < 1:
		return fmt.Errorf("probes: want at least 1")
	}
	return nil
}

func duration(d *durationpb.Duration, unset time.Duration) time.Duration {
	if d == nil {
		return unset
	}
	return d.AsDuration()
}

func value[T any](v T, set bool, unset T) T {
	if set {
		return v
	}
	return unset
}
