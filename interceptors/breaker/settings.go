package breaker

import (
	"time"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
)

// settings are those of a policy. Two that are equal mean the same breaker.
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

// read leaves out what the kind does not look at.
func read(p *policyv1.Breaker) settings {
	s := settings{kind: p.GetKind(), scope: p.GetScope(), window: p.GetWindow().AsDuration(), minimumCalls: uint64(p.GetMinimumCalls())}
	if s.kind == policyv1.Breaker_KIND_ADAPTIVE {
		s.k = p.GetK()
		return s
	}
	s.failureRatio, s.slowRatio = p.GetFailureRatio(), p.GetSlowRatio()
	s.slowCall, s.openTime = p.GetSlowCall().AsDuration(), p.GetOpenTime().AsDuration()
	s.probes = int(p.GetProbes())
	return s
}
