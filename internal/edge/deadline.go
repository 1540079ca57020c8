package edge

import (
	"context"
	"math"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// bound bounds the call by what its client asked for: Grpc-Timeout (gRPC's form),
// X-Server-Timeout (seconds) or Connect-Timeout-Ms. The smallest counts.
func (h *HTTPHalf) bound() error {
	limit := time.Duration(math.MaxInt64)
	for _, rule := range timeoutHeaders {
		v := first(h.R.Header[rule.name])
		if v == "" {
			continue
		}
		d, ok := rule.parse(v)
		if !ok || d <= 0 {
			return refuseTimeout(rule.name, v, rule.want)
		}
		limit = min(limit, d)
	}
	if limit != math.MaxInt64 {
		h.ctx, h.cancel = context.WithTimeout(h.ctx, limit)
	}
	return nil
}

// timeoutHeaders are the ways to send a timeout; nobody writes to them.
var timeoutHeaders = [...]struct {
	name, want string
	parse      func(string) (time.Duration, bool)
}{
	{"Grpc-Timeout", "1 to 8 digits and one of H, M, S, m, u, n", parseGRPCTimeout},
	{"X-Server-Timeout", "a positive number of seconds", parseSeconds},
	{"Connect-Timeout-Ms", "a positive number of milliseconds, at most 10 digits", parseMilliseconds},
}

// CheckGRPCTimeout refuses a value of the header grpc-timeout that is none.
func CheckGRPCTimeout(value string) error {
	if _, ok := parseGRPCTimeout(value); !ok {
		return refuseTimeout("grpc-timeout", value, timeoutHeaders[0].want)
	}
	return nil
}

func refuseTimeout(name, value, want string) error {
	return call.Refuse(call.Client, codes.InvalidArgument, "header %s: %q is not a timeout: want %s", name, value, want)
}

const timeoutDigits = 8

// parseGRPCTimeout reads a TimeoutValue and TimeoutUnit (gRPC over HTTP/2).
func parseGRPCTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > timeoutDigits+1 {
		return 0, false
	}
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	unit, ok := units[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	return saturate(n, unit), ok && err == nil
}

func parseSeconds(s string) (time.Duration, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f > 0) {
		return 0, false
	}
	if f >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64 - 1, true
	}
	return time.Duration(f * float64(time.Second)), true
}

func parseMilliseconds(s string) (time.Duration, bool) {
	if len(s) > 10 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return saturate(n, time.Millisecond), err == nil
}

func saturate(n uint64, unit time.Duration) time.Duration {
	if unit > 0 && n > uint64(math.MaxInt64-1)/uint64(unit) {
		return math.MaxInt64 - 1
	}
	return time.Duration(n) * unit
}
