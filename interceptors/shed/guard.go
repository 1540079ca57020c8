package shed

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// guard is the policy of one RPC.
type guard struct {
	shedder *Shedder
	method  *method
	tenths  int64
}

func (g *guard) unary(ctx context.Context, name string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	s := g.shedder
	running := s.inFlight.Add(1)
	defer s.inFlight.Add(-1) // also when next panics
	if err := g.decide(ctx, running); err != nil {
		return err
	}
	if running > s.peak.Load() {
		s.peak.Store(running) // another call may have seen more: it is a measure, not a count
	}
	begin := time.Now()
	err := next(ctx, name, req, reply, cc, opts...)
	end := time.Now()
	g.method.note(end.Sub(begin), err)
	if end.UnixNano() >= s.next.Load() {
		s.adapt(end)
	}
	return err
}

func (g *guard) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, name string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := g.decide(ctx, g.shedder.inFlight.Load()+1); err != nil {
		return nil, err
	}
	return next(ctx, desc, cc, name, opts...)
}

// decide refuses a call for which there is no room or no time. running counts
// the call itself.
func (g *guard) decide(ctx context.Context, running int64) error {
	// Each priority has at least one place.
	if running > max(1, g.shedder.limit.Load()*g.tenths/10) {
		return errOverloaded
	}
	if fastest := g.method.fastest.Load(); fastest > 0 {
		if deadline, ok := ctx.Deadline(); ok && g.method.tooLate(time.Now(), deadline, fastest) {
			return errTooLate
		}
	}
	return nil
}

// tooLate tells whether no call of the RPC has lately ended within what is left.
func (m *method) tooLate(now, deadline time.Time, fastest int64) bool {
	return int64(deadline.Sub(now)) < fastest && now.UnixNano() < m.until.Load()
}

// note takes the outcome of a call into account. What ended for other reasons
// than having been done says nothing of how long it takes: refusals of policies
// further in are quick, and clients go away when they please and choose deadlines.
func (m *method) note(took time.Duration, err error) {
	took = max(1, took)
	switch {
	case err == nil:
		m.done.Add(1)
		m.doneLog.Add(logOf(took))
		least := m.least.Load()
		for (least == 0 || int64(took) < least) && !m.least.CompareAndSwap(least, int64(took)) {
			least = m.least.Load()
		}
	case call.CodeOf(err) == codes.DeadlineExceeded && call.FaultOf(err) == call.Upstream:
		m.late.Add(1)
		m.lateLog.Add(logOf(took))
	}
}

func logOf(took time.Duration) int64 { return int64(math.Log(float64(took)) * unit) }
