package retry

import (
	"math"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// settings are those of a policy.
type settings struct {
	attempts       int // the first included
	initialBackoff time.Duration
	maxBackoff     time.Duration
	multiplier     float64
	codes          codeSet
	attemptTimeout time.Duration // 0 for none
	hedges         bool
	hedgeDelay     time.Duration // 0 for the live percentile
}

// codeSet has a bit for each status code.
type codeSet uint32

func (s codeSet) has(c codes.Code) bool { return c < 32 && s&(1<<c) != 0 }

func read(p *policyv1.Retry) settings {
	s := settings{
		attempts:       int(p.GetAttempts()),
		initialBackoff: p.GetInitialBackoff().AsDuration(),
		maxBackoff:     p.GetMaxBackoff().AsDuration(),
		multiplier:     p.GetMultiplier(),
		attemptTimeout: p.GetAttemptTimeout().AsDuration(),
		hedges:         p.GetHedge() != nil && !p.GetHedge().GetDisabled(),
		hedgeDelay:     p.GetHedge().GetDelay().AsDuration(),
	}
	for c := range codes.Unauthenticated + 1 {
		if slices.Contains(p.GetCodes(), call.CodeName(c)) {
			s.codes |= 1 << c
		}
	}
	return s
}

// bounds are the size of a budget, in thousandths of a token as in gRFC A6.
type bounds struct{ most, ratio int64 }

func readBudget(b *policyv1.RetryBudget) bounds {
	return bounds{most: int64(b.GetMaxTokens()) * token, ratio: max(1, int64(math.Round(b.GetTokenRatio()*token)))}
}
