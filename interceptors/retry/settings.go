package retry

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// settings are those of a policy with the defaults filled in.
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

// repeatable are the codes that may be listed: with all others, a second attempt
// would fail like the first or do harm (AIP-194).
var repeatable = [...]codes.Code{codes.Unavailable, codes.Unknown, codes.Internal, codes.Aborted, codes.ResourceExhausted}

// maxAttempts is gRFC A6's.
const maxAttempts = 5

func read(p *policyv1.Retry) (settings, error) {
	s := settings{
		attempts:       3,
		initialBackoff: duration(p.GetInitialBackoff(), 50*time.Millisecond),
		maxBackoff:     duration(p.GetMaxBackoff(), time.Second),
		multiplier:     2,
		codes:          1 << codes.Unavailable,
		attemptTimeout: p.GetAttemptTimeout().AsDuration(),
		hedges:         p.GetHedge() != nil && !p.GetHedge().GetDisabled(),
		hedgeDelay:     p.GetHedge().GetDelay().AsDuration(),
	}
	if p.Attempts != nil {
		s.attempts = int(p.GetAttempts())
	}
	if p.Multiplier != nil {
		s.multiplier = p.GetMultiplier()
	}
	if len(p.GetCodes()) > 0 {
		s.codes = 0
	}
	for i, name := range p.GetCodes() {
		c, ok := codeOf(name)
		if !ok {
			return settings{}, fmt.Errorf("codes[%d]: %q cannot be tried again; want one of %s", i, name, repeatableNames())
		}
		s.codes |= 1 << c
	}
	return s, s.check()
}

func (s settings) check() error {
	switch {
	case s.attempts < 2 || s.attempts > maxAttempts:
		return fmt.Errorf("attempts: %d is out of range; want 2 to %d, the first one included", s.attempts, maxAttempts)
	case s.initialBackoff <= 0:
		return fmt.Errorf("initial_backoff: %v is no wait; want more than 0s", s.initialBackoff)
	case s.maxBackoff <= 0:
		return fmt.Errorf("max_backoff: %v is no wait; want more than 0s", s.maxBackoff)
	case math.IsNaN(s.multiplier) || s.multiplier < 1:
		return fmt.Errorf("multiplier: with %v waits would shrink; want at least 1", s.multiplier)
	case s.attemptTimeout < 0:
		return fmt.Errorf("attempt_timeout: %v is negative; want 0s for none, or more", s.attemptTimeout)
	case s.hedgeDelay < 0:
		return fmt.Errorf("hedge.delay: %v is negative; want 0s for the 95th percentile, or more", s.hedgeDelay)
	}
	return nil
}

func codeOf(name string) (codes.Code, bool) {
	for _, c := range repeatable {
		if call.CodeName(c) == name {
			return c, true
		}
	}
	return 0, false
}

func repeatableNames() string {
	names := make([]string, len(repeatable))
	for i, c := range repeatable {
		names[i] = call.CodeName(c)
	}
	return strings.Join(names, ", ")
}

// bounds are the size of a budget, in thousandths of a token as in gRFC A6.
type bounds struct{ most, ratio int64 }

func readBudget(b *policyv1.RetryBudget) (bounds, error) {
	size, ratio := uint32(10), .1
	if b != nil && b.MaxTokens != nil {
		size = b.GetMaxTokens()
	}
	if b != nil && b.TokenRatio != nil {
		ratio = b.GetTokenRatio()
	}
	if size < 1 || size > 1000 {
		return bounds{}, fmt.Errorf("retry_budget.max_tokens: %d is out of range; want 1 to 1000", size)
	}
	if !(ratio > 0 && ratio <= 1) {
		return bounds{}, fmt.Errorf("retry_budget.token_ratio: %v is out of range; want more than 0 and at most 1", ratio)
	}
	return bounds{most: int64(size) * token, ratio: max(1, int64(math.Round(ratio*token)))}, nil
}

func duration(d *durationpb.Duration, unset time.Duration) time.Duration {
	if d == nil {
		return unset
	}
	return d.AsDuration()
}
