package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Forward carries one call: it joins the client's half, down, to the method's
// connection and returns the outcome, nil or an error for [StatusOf].
//
// The context of down must carry the outgoing metadata. The messages that down
// receives and sends are always *[Message]: RecvMsg leaves the caller as an
// owner, SendMsg borrows, and may free the only answer of a call.
//
// A panic on either half is an outcome too: the chain's own recovery stands
// below this, and grpc-go has none.
//
// When Forward has returned nothing more goes to the upstream. A goroutine may
// still be in RecvMsg of down, where the requests are a stream: the edge ends
// that, or grpc-go does when the handler returns.
func Forward(m *Method, down grpc.ServerStream) (err error) {
	defer Rescue(&err)
	if m.Unary() {
		return forwardUnary(m, down)
	}
	return forwardStream(m, down)
}

// Rescue is deferred by whoever must not let a panic out. It makes an error of
// the panic, of which the client learns nothing but that the fault is the
// gateway's.
func Rescue(err *error) {
	if p := recover(); p != nil {
		*err = panicked(p)
	}
}

func panicked(p any) error {
	return Refuse(Gateway, codes.Internal, "internal error").Because(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
}

// unary is all that a unary call needs, in one allocation.
type unary struct {
	request         Pending
	reply           Message
	header, trailer metadata.MD
	opts            [2]grpc.CallOption
}

func forwardUnary(m *Method, down grpc.ServerStream) error {
	c := From(down.Context())
	u := &unary{request: Pending{down: down, call: c, method: m}}
	u.opts[0] = grpc.HeaderCallOption{HeaderAddr: &u.header}
	u.opts[1] = grpc.TrailerCallOption{TrailerAddr: &u.trailer}
	defer u.request.free()
	defer u.reply.Free()
	c.carries(u.request.Message)
	err := m.Conn.Invoke(down.Context(), m.Name, &u.request, &u.reply, u.opts[:]...)
	if header := passable(u.header); len(header) > 0 {
		if herr := down.SetHeader(header); herr != nil && err == nil {
			return herr
		}
	}
	down.SetTrailer(passable(u.trailer))
	if err != nil {
		return err
	}
	return down.SendMsg(&u.reply)
}

// stream is a call with a stream on at least one half.
type stream struct {
	method *Method
	down   grpc.ServerStream
	up     grpc.ClientStream
	cancel context.CancelCauseFunc
	idle   *idleTimer
	// request is the only one, where the client's half is no stream.
	request Pending

	passing sync.Mutex // held while a request of many goes up
	over    bool       // guarded by passing: none goes up any more
}

// errCallOver cancels what is left of a call whose outcome is known.
var errCallOver = errors.New("the call is over")

func forwardStream(m *Method, down grpc.ServerStream) error {
	ctx, cancel := context.WithCancelCause(down.Context())
	defer cancel(errCallOver)
	s := &stream{method: m, down: down, cancel: cancel, request: Pending{down: down, call: From(ctx), method: m}}
	defer s.request.free()
	if !m.Stream.ClientStreams {
		s.request.call.carries(s.request.Message)
	}
	up, err := m.Conn.NewStream(ctx, &m.Stream, m.Name)
	if err != nil {
		return err
	}
	s.up, s.idle = up, newIdleTimer(m.StreamIdle, cancel)
	defer s.idle.stop()
	defer s.end()
	if err := s.upload(); err != nil {
		return s.abandon(err)
	}
	err = s.download()
	down.SetTrailer(passable(up.Trailer()))
	if cause := ownCause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// ownCause is the reason for which the gateway itself ended ctx, if it did.
func ownCause(ctx context.Context) error {
	cause := context.Cause(ctx)
	if _, ok := errors.AsType[*Error](cause); ok {
		return cause // as it is: the edge may have wrapped more around it
	}
	return nil
}

// upload sends the requests. A single request is sent before the answer is
// looked for; a stream of them goes on beside it.
func (s *stream) upload() error {
	if !s.method.Stream.ClientStreams {
		return s.sendOne()
	}
	go s.sendAll()
	return nil
}

func (s *stream) sendOne() error {
	msg, err := s.request.Message()
	if err != nil {
		return err
	}
	// io.EOF says that the upstream has ended the call: its status is read by
	// download.
	if err := s.up.SendMsg(msg); err != nil && err != io.EOF {
		return err
	}
	return s.up.CloseSend()
}

// sendAll copies requests until the client closes its half. A client's mistake
// becomes the outcome of the call: it cancels the download with that cause.
func (s *stream) sendAll() {
	defer func() {
		if p := recover(); p != nil {
			s.cancel(panicked(p))
		}
	}()
	for {
		var msg Message
		err := s.down.RecvMsg(&msg)
		if err == nil {
			err = s.method.check(s.request.call, &msg)
		}
		if err != nil && err != io.EOF {
			msg.Free()
			s.cancel(clientCause(err))
			return
		}
		if !s.pass(&msg, err == io.EOF) {
			return
		}
	}
}

// pass sends one request of many, or the end of them. It reports whether more may
// follow; if not, the reason arrives with the download.
func (s *stream) pass(msg *Message, last bool) bool {
	s.passing.Lock()
	defer s.passing.Unlock()
	defer msg.Free()
	switch {
	case s.over:
		return false
	case last:
		_ = s.up.CloseSend() // fails only where the download fails too
		return false
	default:
		s.idle.touch()
		return s.up.SendMsg(msg) == nil
	}
}

// end waits for a request that is on its way up, which the end of the context
// hurries, and has none follow.
func (s *stream) end() {
	s.cancel(errCallOver)
	s.passing.Lock()
	defer s.passing.Unlock()
	s.over = true
}

// clientCause keeps the code and text of what went wrong on the client's half.
func clientCause(err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return RefuseStatus(Client, StatusOf(err)).Because(err)
}

// abandon ends the upstream half of a call that failed on the client's half.
func (s *stream) abandon(err error) error {
	s.cancel(err)
	var msg Message
	for s.up.RecvMsg(&msg) == nil { // lets the chain see the end
		msg.Free()
	}
	return err
}

// download copies the answer: headers as soon as they come, then messages.
func (s *stream) download() error {
	header, err := s.up.Header()
	if err == nil && len(header) > 0 {
		if err := s.down.SendHeader(passable(header)); err != nil {
			return s.abandon(err)
		}
	}
	for {
		var msg Message
		err := s.up.RecvMsg(&msg)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s.idle.touch()
		n := msg.Len()
		err = s.down.SendMsg(&msg)
		msg.Free()
		if err != nil {
			return s.abandon(err)
		}
		if !s.method.Stream.ServerStreams {
			return nil // grpc-go has checked that nothing follows
		}
		if c := From(s.down.Context()); c != nil {
			c.Memory.Release(int64(n)) // which the last link held
		}
	}
}

// idleTimer ends a stream on which nothing moves. A nil timer never fires.
type idleTimer struct {
	timer *time.Timer
	limit time.Duration
	last  atomic.Int64 // nanoseconds since began
	began time.Time
	abort context.CancelCauseFunc
}

func newIdleTimer(limit time.Duration, abort context.CancelCauseFunc) *idleTimer {
	if limit <= 0 {
		return nil
	}
	t := &idleTimer{limit: limit, began: time.Now(), abort: abort}
	// Armed only once the field is set: check uses it.
	t.timer = time.AfterFunc(math.MaxInt64, t.check)
	t.timer.Reset(limit)
	return t
}

// touch is called for every message, so it only notes the time.
func (t *idleTimer) touch() {
	if t != nil {
		t.last.Store(int64(time.Since(t.began)))
	}
}

func (t *idleTimer) check() {
	quiet := time.Since(t.began) - time.Duration(t.last.Load())
	if quiet < t.limit {
		t.timer.Reset(t.limit - quiet)
		return
	}
	t.abort(Refuse(Gateway, codes.DeadlineExceeded, "the stream was idle for %v and was ended", t.limit))
}

func (t *idleTimer) stop() {
	if t != nil {
		t.timer.Stop()
	}
}
