package breaker

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// breaker is a machine with its lock and what it says.
type breaker struct {
	key     key
	counter prometheus.Counter

	mu       sync.Mutex
	machine  machine
	refusals refusals
}

// attempt is one that was let through.
type attempt struct {
	ticket ticket
	begun  time.Time
}

func (b *breaker) interceptor() interceptors.Interceptor {
	return interceptors.Interceptor{Name: Name, Unary: b.unary, Stream: b.stream}
}

// unary is written out, not made by Around, to allocate nothing.
func (b *breaker) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	a, err := b.admit(ctx)
	if err != nil {
		return err
	}
	o := nothing // stays so only if next panics, which is not the upstream's doing
	defer func() { b.settle(a, o) }()
	err = next(ctx, method, req, reply, cc, opts...)
	o = outcomeOf(ctx, err)
	if call.From(ctx).Waited() {
		a.begun = time.Now() // not slow: it waited for its client
	}
	return err
}

// stream counts a stream as good at its first message, and judges how long it
// took by that: it may then go on for as long as it likes, and its deadline may
// pass. If it breaks after all, that is one more attempt, a failed one.
func (b *breaker) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s := &stream{breaker: b, ctx: ctx, uploads: desc.ClientStreams}
	around := interceptors.Around(Name, func(ctx context.Context, _ string) (_ context.Context, _ func(error), err error) {
		if s.attempt, err = b.admit(ctx); err == nil {
			b.rest(s.attempt)
		}
		return ctx, s.ended, err
	})
	return around.Stream(ctx, desc, cc, method, func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, opts ...grpc.CallOption) (_ grpc.ClientStream, err error) {
		s.ClientStream, err = next(ctx, desc, cc, method, opts...)
		return s, err
	}, opts...)
}

// admit asks the machine twice: before the request is read, so that a refusal comes
// first, and when it is there. An attempt begins only then: how long a client takes
// to send its request says nothing of the upstream, and meanwhile the place of a
// probe is free for others.
func (b *breaker) admit(ctx context.Context) (attempt, error) {
	l := undrawn
	if c := call.From(ctx); c != nil {
		var err error
		if l, err = b.precheck(); err != nil {
			return attempt{}, err
		}
		if err := c.ReadRequest(); err != nil {
			return attempt{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	t, after, ok := b.machine.admit(now, l)
	if !ok {
		return attempt{}, b.refused(after)
	}
	return attempt{t, now}, nil
}

func (b *breaker) precheck() (luck, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, after, refused := b.machine.refuse(time.Now())
	if refused {
		return l, b.refused(after)
	}
	return l, nil
}

// refused counts a refusal and returns it. It is called under the lock.
func (b *breaker) refused(after time.Duration) error {
	b.counter.Inc()
	return b.refusals.after(after)
}

// settle tells the machine how an attempt ended.
func (b *breaker) settle(a attempt, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.machine.settle(a.ticket, o, now.Sub(a.begun), now)
}

// rest says that a is a stream.
func (b *breaker) rest(a attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.machine.rest(a.ticket, time.Now())
}

// wake says that a stream is about to be settled.
func (b *breaker) wake(a attempt) attempt {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.ticket = b.machine.wake(a.ticket, time.Now())
	return a
}

func (b *breaker) strike(a attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.machine.strike(a.ticket, time.Now())
}

func (b *breaker) report(now time.Time) State {
	s := State{Upstream: b.key.upstream, Method: b.key.method}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.machine.report(&s, now)
	return s
}

// stream is an admitted one. Its messages and its end may be told by two
// goroutines.
type stream struct {
	grpc.ClientStream
	breaker *breaker
	attempt attempt
	ctx     context.Context // to tell whose cancellation it was
	uploads bool            // the client may be what takes long

	mu      sync.Mutex
	settled bool
}

func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.settle(good)
	}
	return err
}

// settle does so once, and reports whether this was the time.
func (s *stream) settle(o outcome) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled {
		return false
	}
	s.settled = true
	a := s.breaker.wake(s.attempt)
	if s.uploads {
		a.begun = time.Now() // not slow: who knows for whom it waited
	}
	s.breaker.settle(a, o)
	return true
}

// ended is told once, by Around.
func (s *stream) ended(err error) {
	o := outcomeOf(s.ctx, err)
	if !s.settle(o) && o == failed {
		s.breaker.strike(s.attempt)
	}
}
