package retry

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// stream is a server stream that is opened again until an answer begins; from
// then on it is the attempt that got so far. It sends its one request before it
// receives, as the client's half of a server stream does.
type stream struct {
	grpc.ClientStream // of the last attempt; nil if that could not be opened

	tries  tries
	open   func(ctx context.Context) (grpc.ClientStream, error)
	ctx    context.Context // of the last attempt
	cancel context.CancelCauseFunc
	timer  *time.Timer // of attempt_timeout; nil for none
	closed bool        // the client has sent all

	settled bool          // no further attempt will be made
	counted bool          // how the last attempt went
	held    *call.Message // the first one, where Header had to look for it
	end     error         // what RecvMsg has to tell from now on

	unhook func() bool
	mu     sync.Mutex
	sent   *call.Message // the request, for the next attempt
	over   bool          // sent is not needed any more
}

func (p *plan) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if c := call.From(ctx); c != nil && p.attemptTimeout > 0 {
		// How long a client takes to send its request is no matter of attempts.
		if err := c.ReadRequest(); err != nil {
			return nil, err
		}
	}
	s := &stream{tries: tries{plan: p, ctx: ctx}, over: p.attempts == 1}
	s.open = func(ctx context.Context) (grpc.ClientStream, error) { return next(ctx, desc, cc, method, opts...) }
	// A client that goes away may leave the stream without reading its end.
	s.unhook = context.AfterFunc(ctx, s.forget)
	if err := s.connect(); err != nil {
		return nil, err
	}
	return s, nil
}

// connect makes attempts until one stands where the client is. Its error is the
// call's.
func (s *stream) connect() error {
	for {
		err := s.begin()
		if err == nil {
			return nil
		}
		if err := s.fail(err, nil, nil); err != nil {
			return err
		}
	}
}

// begin makes one attempt and sends again what the client has sent.
func (s *stream) begin() (err error) {
	s.ctx, s.cancel = context.WithCancelCause(s.tries.begin(s.tries.ctx, again))
	if limit := s.tries.attemptTimeout; limit > 0 {
		cancel := s.cancel
		s.timer = time.AfterFunc(limit, func() { cancel(s.tries.timedOut) })
	}
	s.ClientStream, err = s.open(s.ctx)
	if err != nil {
		s.ClientStream = nil // what it says of earlier attempts is nothing now
		return s.tries.explain(s.ctx, err)
	}
	return s.resend()
}

// resend brings a new attempt to where the client is. That the upstream has
// ended it already (io.EOF) is told by RecvMsg.
func (s *stream) resend() error {
	if msg := s.kept(); msg != nil {
		defer msg.Free()
		if err := s.ClientStream.SendMsg(msg); err != nil && err != io.EOF {
			return err
		}
	}
	if s.closed {
		return s.ClientStream.CloseSend()
	}
	return nil
}

// fail ends an attempt and, if there may be another, waits for its time. Else it
// returns the error of the call.
func (s *stream) fail(err error, header, trailer metadata.MD) error {
	s.tries.series.attempt(s.tries.kind(), failed)
	s.release()
	if err := s.tries.after(err, header, trailer); err != nil {
		s.counted = true
		s.settle()
		s.end = err
		return err
	}
	return nil
}

// again makes another attempt after one that was open has failed.
func (s *stream) again(err error) error {
	header, _ := s.ClientStream.Header() // its error is err
	if err := s.fail(err, header, s.ClientStream.Trailer()); err != nil {
		return err
	}
	return s.connect()
}

// receive is RecvMsg of the last attempt.
func (s *stream) receive(m any) error {
	return s.tries.explain(s.ctx, s.ClientStream.RecvMsg(m))
}

// RecvMsg gives the next message, the first one of whichever attempt has it.
func (s *stream) RecvMsg(m any) error {
	switch {
	case s.held != nil:
		return s.deliver(m)
	case s.end != nil:
		return s.end
	case s.settled:
		err := s.receive(m)
		s.count(err)
		return err
	}
	for {
		err := s.receive(m)
		if err == nil || err == io.EOF {
			s.settle()
			s.count(err)
			return err
		}
		if err := s.again(err); err != nil {
			return err
		}
	}
}

// Header gives the headers of the attempt that counts. An answer without headers
// may be a failure, which only RecvMsg tells; hence the first message is received
// here then. Errors are told by RecvMsg.
func (s *stream) Header() (metadata.MD, error) {
	for s.end == nil {
		header, err := s.ClientStream.Header()
		if err == nil && len(header) > 0 {
			s.settle()
		}
		if s.settled {
			return header, err
		}
		msg := new(call.Message)
		if err == nil {
			err = s.receive(msg)
		}
		if err == nil || err == io.EOF {
			s.settle()
			s.count(err)
			if s.end = err; err == nil {
				s.held = msg
			}
			return header, nil
		}
		_ = s.again(err) // it is in s.end
	}
	return nil, nil
}

// Trailer gives the trailers of the attempt that counts.
func (s *stream) Trailer() metadata.MD {
	if s.ClientStream == nil {
		return nil
	}
	return s.ClientStream.Trailer()
}

// SendMsg sends the request and keeps it, for it may be sent again.
func (s *stream) SendMsg(m any) error {
	if s.ClientStream == nil {
		return io.EOF
	}
	if !s.keep(m) {
		s.settle()
	}
	return s.ClientStream.SendMsg(m)
}

// CloseSend ends the client's half.
func (s *stream) CloseSend() error {
	s.closed = true
	if s.ClientStream == nil {
		return nil
	}
	return s.ClientStream.CloseSend()
}
