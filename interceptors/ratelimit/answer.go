package ratelimit

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// The headers are those of draft-ietf-httpapi-ratelimit-headers-11, lists of
// Structured Fields (RFC 9651). The quota q in the window w, in seconds, is the
// rate. A bucket that holds more or less than q says so in a parameter of our own,
// which the draft wants prefixed. r is what is left in the bucket, and t the
// seconds until it is full.
const (
	headerLimit    = "ratelimit"
	headerPolicy   = "ratelimit-policy"
	headerPushback = "grpc-retry-pushback-ms" // gRFC A6
)

// policies is the header RateLimit-Policy.
func (m *limited) policies() string {
	var list []string
	for _, r := range m.rules {
		text := fmt.Sprintf("%q;q=%d;w=%d", r.name, r.quota, r.seconds)
		if r.burst != r.quota {
			text += fmt.Sprintf(";gatehouse-burst=%d", r.burst)
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

// longWindow is how long a window may become, to be a whole number of seconds
// without rounding the rate.
const longWindow = 60 * time.Second

// quota tells a rate as a quota in a window of whole seconds. Where no window up
// to longWindow, or to per, has a whole quota that is exact, it is rounded down.
func quota(requests int64, per time.Duration) (quota, inSeconds int64) {
	longest := max(seconds(int64(longWindow)), seconds(int64(per)))
	in := func(window int64) (whole, rest uint64) {
		hi, lo := bits.Mul64(uint64(requests), uint64(window)*uint64(time.Second))
		return bits.Div64(hi, lo, uint64(per))
	}
	for w := seconds(int64(per)); w < longest; w++ {
		if q, rest := in(w); rest == 0 {
			return int64(q), w
		}
	}
	q, _ := in(longest)
	return int64(q), longest
}

// tell adds the headers to the answer of a call.
func (m *limited) tell(c *call.Call, asks []ask) {
	if c == nil {
		return
	}
	var room [256]byte
	b := room[:0]
	for i := range asks {
		a := &asks[i]
		if !a.known {
			continue // another limit has refused before this one was asked
		}
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		b = append(b, a.rule.prefix...)
		b = strconv.AppendInt(b, a.remaining(), 10)
		b = append(b, ";t="...)
		b = strconv.AppendInt(b, seconds(a.debt), 10)
	}
	c.AddHeader(headerLimit, string(b), headerPolicy, m.policy)
}

// seconds rounds up.
func seconds(nanos int64) int64 {
	return (nanos + int64(time.Second) - 1) / int64(time.Second)
}

// refuse answers a call that some limits have no room for, by the one that keeps
// it waiting for the longest. What it says is of the caller's own key only.
func (m *limited) refuse(c *call.Call, asks []ask) error {
	var longest *ask
	violations := make([]*errdetails.QuotaFailure_Violation, 0, 1)
	for i := range asks {
		a := &asks[i]
		if !a.known || a.wait == 0 {
			continue
		}
		a.rule.refused.Inc()
		violations = append(violations, &errdetails.QuotaFailure_Violation{
			Subject:     a.rule.name,
			Description: fmt.Sprintf("at most %d at once, and one more every %v", a.rule.burst, time.Duration(a.rule.unit)),
		})
		if longest == nil || a.wait > longest.wait {
			longest = a
		}
	}
	millis := (longest.wait + int64(time.Millisecond) - 1) / int64(time.Millisecond)
	if c != nil && c.Protocol == call.GRPC {
		c.AddHeader(headerPushback, strconv.FormatInt(millis, 10))
	}
	wait := time.Duration(millis) * time.Millisecond
	st := status.Newf(codes.ResourceExhausted, "limit %q is used up: try again in %v", longest.rule.name, wait)
	return refusal(call.Client, st,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)},
		&errdetails.QuotaFailure{Violations: violations})
}

// unavailable answers a call whose limit cannot be asked.
func unavailable(r *rule, cause error) error {
	st := status.Newf(codes.Unavailable, "limit %q cannot be asked just now: try again later", r.name)
	return refusal(call.Gateway, st, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}).Because(cause)
}

func refusal(fault call.Fault, st *status.Status, details ...protoadapt.MessageV1) *call.Error {
	if detailed, err := st.WithDetails(details...); err == nil {
		st = detailed
	}
	return call.RefuseStatus(fault, st).By(Name)
}
