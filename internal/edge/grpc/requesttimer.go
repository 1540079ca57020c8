package grpc

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// requestTimer bounds how long a gRPC client may take to send the one request of a
// call, its end included. grpc-go has no deadline for reading: a reader waits until
// the call ends. So when the time is over the timer ends the call with its status,
// which wakes the reader. The zero value bounds nothing.
type requestTimer struct {
	within time.Duration
	timer  *time.Timer // nil until reading begins
	state  atomic.Uint32
}

// The states of a requestTimer. It leaves requestAwaited once.
const (
	requestAwaited uint32 = iota
	requestRead           // or reading failed
	requestLate
)

// begin starts the time, once. It is called by the goroutine that reads.
func (t *requestTimer) begin(s *stream) {
	if t.within > 0 && t.timer == nil {
		t.timer = time.AfterFunc(t.within, s.endLate)
	}
}

// pause stops the time while the call waits for something else than the client. It is
// called by the goroutine that reads.
func (t *requestTimer) pause() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

// resume gives the client its whole time again, after pause.
func (t *requestTimer) resume() {
	if t.timer != nil {
		t.timer.Reset(t.within)
	}
}

// end is called when no more is to be read, and reports whether the request was late.
func (t *requestTimer) end() bool {
	if t.timer == nil {
		return false
	}
	t.timer.Stop()
	return !t.state.CompareAndSwap(requestAwaited, requestRead)
}

// late is the outcome of a call whose request did not come in time.
func (t *requestTimer) late() *call.Error {
	return call.Refuse(call.Client, codes.DeadlineExceeded, "the request did not arrive within %v", t.within)
}

// endLate ends a call whose request has not come. It runs in the timer's goroutine while
// the call's own waits in RecvMsg.
func (s *stream) endLate() {
	if !s.timer.state.CompareAndSwap(requestAwaited, requestLate) {
		return
	}
	if md := s.Call.Header(); len(md) > 0 {
		s.SetTrailer(md)
	}
	if ts, ok := grpc.ServerTransportStreamFromContext(s.ServerStream.Context()).(statusWriter); ok {
		_ = ts.WriteStatus(s.timer.late().GRPCStatus()) // fails where the client is gone
	}
}

// statusWriter is a method that grpc-go's transport streams have beside their interface.
// It ends the call, and wakes its readers and writers.
type statusWriter interface {
	WriteStatus(st *status.Status) error
}
