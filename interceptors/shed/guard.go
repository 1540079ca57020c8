package shed

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// guard is what the policies of one RPC need.
type guard struct {
	shedder *Shedder
	method  *method
	tenths  int64
}

func (g *guard) precheckUnary(ctx context.Context, name string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if err := g.precheck(ctx); err != nil {
		return err
	}
	return next(ctx, name, req, reply, cc, opts...)
}

func (g *guard) precheckStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, name string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := g.precheck(ctx); err != nil {
		return nil, err
	}
	return next(ctx, desc, cc, name, opts...)
}

// precheck refuses as decide does. Where nothing ends any more it is refusals that
// end the window, so that places whose time is over are given back.
func (g *guard) precheck(ctx context.Context) error {
	s := g.shedder
	err := g.decide(ctx, s.inFlight.Load()+1)
	if err == errOverloaded && s.roll(time.Now()) {
		err = g.decide(ctx, s.inFlight.Load()+1)
	}
	return err
}

func (g *guard) unary(ctx context.Context, name string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	s := g.shedder
	c := call.From(ctx)
	batch, running := g.enter()
	c.TakePlace(batch)
	defer c.LeavePlace(batch) // also when next panics
	err := g.decide(ctx, running)
	if err == errOverloaded && s.roll(time.Now()) {
		err = g.decide(ctx, running)
	}
	if err != nil {
		return err
	}
	if places := s.places(); places > s.peak.Load() {
		s.peak.Store(places) // another call may have seen more: it is a measure, not a count
	}
	begin := time.Now()
	err = next(ctx, name, req, reply, cc, opts...)
	end := time.Now()
	if !c.Waited() {
		g.method.note(end.Sub(begin), err)
	}
	s.roll(end)
	return err
}

// decide refuses a call for which there is no room or no time. running counts all
// calls that run, this one as well.
func (g *guard) decide(ctx context.Context, running int64) error {
	s, m := g.shedder, g.method
	room := s.limit.Load() * g.tenths / 10
	// Each priority has at least one place.
	if running-s.overdue.Load() > max(1, room) {
		return errOverloaded
	}
	// An RPC that hangs may still find out whether it does.
	if m.hangs.Load() && running > room/2 && m.newest.Load().calls() > 1 {
		return errOverloaded
	}
	if fastest := m.fastest.Load(); fastest > 0 {
		if deadline, ok := ctx.Deadline(); ok && m.tooLate(time.Now(), deadline, fastest) {
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
		if m.hangs.Load() {
			m.hangs.Store(false)
		}
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
