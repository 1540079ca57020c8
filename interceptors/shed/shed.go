// Package shed refuses calls when more are running than can be served, those of
// low priority first.
//
// How many that is shows in the time that calls take. Beyond what the backends
// can do at once, one more call in flight makes all wait longer and none end
// sooner, until the deadlines pass and everything that is done is done in vain.
// So the limit of calls in flight follows their latency: a gradient limiter, as
// Netflix's concurrency-limits and Envoy's adaptive concurrency are.
//
// failsafe-go's adaptivelimiter was looked at first. It is not used, because:
//
//   - its limit moves by one or two a second. Given a load of which a backend
//     could take five times as much, it still refused most calls after twelve
//     seconds, on its way up from 20. Here it doubles until it meets an overload,
//     and halves in a quarter of a second if it must;
//   - it compares latencies across all calls, and the calls of a gateway take a
//     millisecond or a minute, by the RPC: a change of the mix is then taken for
//     a change of the load. Here an RPC is compared with itself;
//   - priorities there need a queue, which knows no deadlines, is first come,
//     first served, and is looked at by a goroutine of its own.
package shed

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
	"github.com/gatehouse-dev/gatehouse/internal/remember"
)

const (
	name       = "shed"
	retryAfter = time.Second
)

// errOverloaded is made once: there may be very many. The overload is ours, not
// the caller's doing, so it is UNAVAILABLE (503 on REST) and not
// RESOURCE_EXHAUSTED (429), which would tell a client to mend its ways.
var errOverloaded = overloaded()

func overloaded() error {
	st := status.New(codes.Unavailable, "the gateway is overloaded: try again later")
	if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)}); err == nil {
		st = detailed
	}
	return call.RefuseStatus(call.Gateway, st).By(name)
}

// errTooLate is an end that the call would come to anyway, only later and after
// work in vain.
var errTooLate error = call.Refuse(call.Gateway, codes.DeadlineExceeded,
	"the time left until the deadline is less than calls of this method take just now: allow more").By(name)

// Shedder is the state of a gateway's load. It outlives tables and is safe for
// concurrent use. It owns no goroutine: calls that end move the limit, and so do
// those that are refused.
type Shedder struct {
	enabled  bool
	min, max float64

	inFlight atomic.Int64 // calls that run
	overdue  atomic.Int64 // among them: those that hold no place any more
	limit    atomic.Int64
	peak     atomic.Int64 // most in flight in this window
	next     atomic.Int64 // when the window ends, in nanoseconds of the Unix epoch

	remember.Map[string, *method] // what is known of each RPC

	mu    sync.Mutex // of what follows; held by whoever ends a window
	exact float64    // the limit
	slow  bool       // the limit was reached by doubling and has met no overload yet
	began time.Time  // of the window
}

// New makes the shedder of a gateway, nil meaning none. It registers with reg:
//
//	gatehouse_shed_limit
//	gatehouse_shed_in_flight
func New(o *configv1.Shedding, reg prometheus.Registerer) (*Shedder, error) {
	s := &Shedder{enabled: o.GetEnabled(), min: float64(o.GetMinLimit()), max: float64(o.GetMaxLimit())}
	if !s.enabled {
		return s, nil
	}
	// It begins at the bottom, where latencies are what they are without load,
	// and doubles until it meets an overload: a gateway that starts into one
	// must not learn it as the normal state.
	s.slow = true
	s.set(s.min)
	s.began = time.Now()
	s.next.Store(s.began.Add(window).UnixNano())
	return s, collect.Register(reg,
		collect.Gauge("gatehouse_shed_limit", "How many calls may be in flight before some are shed.", func() float64 { return float64(s.limit.Load()) }),
		collect.Gauge("gatehouse_shed_in_flight", "Calls in flight, as the shedder counts them.", func() float64 { return float64(s.places()) }))
}

// Enabled reports whether calls are shed at all.
func (s *Shedder) Enabled() bool { return s.enabled }

// BuildPrecheck returns the policy that refuses calls of one RPC before authentication: a
// call that is shed should have cost nothing. It takes no place, so a client that
// keeps its request back holds none.
//
// Streams are refused like unary calls when there is no room, but are neither
// counted nor measured: how long they last says nothing of the load. Caps of
// concurrency are for them.
func (s *Shedder) BuildPrecheck(m *interceptors.Method) (interceptors.Interceptor, error) {
	if !s.enabled {
		return interceptors.Interceptor{}, nil
	}
	g := s.guard(m)
	return interceptors.Interceptor{Name: name, Unary: g.precheckUnary, Stream: g.precheckStream}, nil
}

// Build returns the policy of one RPC that gives out places. It belongs where the
// request has been read: what follows then waits for backends, not for the client.
//
// A call is refused with UNAVAILABLE and RetryInfo if so many are in flight that
// there is no room for its priority: of the limit, critical calls may use all,
// high ones nine tenths, normal ones eight, sheddable ones seven. So the last
// places are left to those that matter most, and the others make room before
// them. A call whose deadline is sooner than the fastest of its RPC have ended
// lately is refused with DEADLINE_EXCEEDED at once.
//
// The limit is one for the gateway. A call that hangs holds its place for a time
// only (see method.lease), and an RPC whose calls hang has at most half of the
// places until one of its calls succeeds. Breakers and caps of an upstream bound it
// sooner.
func (s *Shedder) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	if !s.enabled {
		return interceptors.Interceptor{}, nil
	}
	return interceptors.Interceptor{Name: name, Unary: s.guard(m).unary}, nil
}

func (s *Shedder) guard(m *interceptors.Method) *guard {
	return &guard{shedder: s, method: s.Get(m.Name, s.newMethod), tenths: tenths(m.Policy.GetPriority())}
}

const tenthsLeast = 7

// tenths of the limit are what calls of a priority may use.
func tenths(p policyv1.Priority) int64 {
	switch p {
	case policyv1.Priority_PRIORITY_CRITICAL:
		return 10
	case policyv1.Priority_PRIORITY_HIGH:
		return 9
	case policyv1.Priority_PRIORITY_SHEDDABLE:
		return tenthsLeast
	default:
		return 8
	}
}

// set moves the limit, within its bounds.
func (s *Shedder) set(limit float64) {
	s.exact = min(max(limit, s.min), s.max)
	s.limit.Store(int64(s.exact))
}
