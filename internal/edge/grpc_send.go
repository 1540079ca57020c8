package edge

import (
	"cmp"
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// grpc-go takes an answer of any size at once, and streams of small messages by the
// thousand, and keeps them until the client has opened its window for them. So that
// a call counts as running, and its memory as held, until they are taken, the sender
// puts barriers among the buffers: grpc-go frees them when it has written them.
const (
	// uncounted is the size up to which the answer of a unary call is left to
	// grpc-go: a connection has few of them at a time, one for each stream.
	uncounted = 2 << 10
	// untakenMost is how many bytes of answers of finished calls may wait in one
	// connection's transport.
	untakenMost = 256 << 10
	// chunk is how much of an answer a client must take within the time that it
	// has.
	chunk = 64 << 10
	// burst is how many small messages of a stream share a barrier, and burstBytes
	// how many bytes.
	burst, burstBytes = 32, 32 << 10
	// bursts is how many barriers of a stream may wait.
	bursts = 2
	// queueRoom is how many bytes of a stream wait in grpc-go until it has the sender
	// wait, without a time and unseen: a stream's next message waits here before.
	queueRoom = 64 << 10
)

// sender sends the answers of one gRPC call.
type sender struct {
	connection *memory.Connection // nil: the transport has no queue
	timeout    time.Duration      // for a chunk; 0 is none, as where whoever writes has one
	abort      func()             // ends the answer where there is no connection to end
	stream     bool               // there are many answers

	messages, bytes int           // since the last barrier
	waiting         atomic.Int64  // barriers
	untaken         atomic.Int64  // bytes before them
	freed           chan struct{} // told of each barrier; nil until there is one
	taking          memory.ClientWait
}

// prepare returns what is to be sent in the place of data, of which it takes over
// the reference, after the client has taken enough of what was sent before.
func (s *sender) prepare(ctx context.Context, share *memory.Share, data mem.BufferSlice) (mem.BufferSlice, error) {
	n := data.Len()
	if !s.stream && n <= uncounted {
		return data, nil
	}
	if s.stream {
		if err := s.wait(ctx, share, bursts-1, queueRoom-int64(s.bytes)-1); err != nil {
			return data, err
		}
		s.messages++
		if s.bytes += frameHeader + n; s.messages < burst && s.bytes < burstBytes {
			return data, nil
		}
		n, s.messages, s.bytes = s.bytes, 0, 0
	}
	return s.withBarriers(data, n), nil
}

// withBarriers puts a barrier behind each chunk, and behind the end. They stand for
// n bytes together.
func (s *sender) withBarriers(data mem.BufferSlice, n int) mem.BufferSlice {
	if s.freed == nil {
		s.freed = make(chan struct{}, 1)
	}
	out := make(mem.BufferSlice, 0, len(data)+1+n/chunk)
	part := 0
	for _, b := range data {
		for b.Len() > chunk { // one that was made here, or is kept
			out = append(out, b.Slice(0, chunk), s.barrier(part+chunk))
			rest := b.Slice(chunk, b.Len())
			b.Free()
			b, n, part = rest, n-part-chunk, 0
		}
		out = append(out, b)
		if part += b.Len(); part >= chunk && part < n {
			out = append(out, s.barrier(part))
			n -= part
			part = 0
		}
	}
	return append(out, s.barrier(n))
}

func (s *sender) barrier(n int) *memory.Barrier {
	untaken := new(atomic.Int64)
	if s.connection != nil {
		untaken = &s.connection.Untaken
	}
	s.waiting.Add(1)
	s.untaken.Add(int64(n))
	untaken.Add(int64(n))
	return memory.NewBarrier(func() {
		untaken.Add(-int64(n))
		s.untaken.Add(-int64(n))
		s.waiting.Add(-1)
		select {
		case s.freed <- struct{}{}:
		default:
		}
	})
}

// finish waits until the client has taken an answer, where others wait in the
// transport already. Until then the call is running.
func (s *sender) finish(ctx context.Context, share *memory.Share) error {
	if s.freed == nil || s.connection != nil && s.connection.Untaken.Load() <= untakenMost {
		return nil
	}
	return s.wait(ctx, share, 0, 0)
}

// wait waits until at most so many barriers are left, and so many bytes.
func (s *sender) wait(ctx context.Context, share *memory.Share, barriers, bytes int64) error {
	if s.waiting.Load() <= barriers && s.untaken.Load() <= bytes {
		return nil
	}
	s.taking.Begin(share, s.end)
	defer s.taking.Done()
	timer := time.NewTimer(cmp.Or(s.timeout, math.MaxInt64))
	defer timer.Stop()
	for s.waiting.Load() > barriers || s.untaken.Load() > bytes {
		select {
		case <-s.freed:
			timer.Reset(cmp.Or(s.timeout, math.MaxInt64))
		case <-ctx.Done():
			return call.RefuseStatus(call.Client, call.StatusOf(context.Cause(ctx)))
		case <-timer.C:
			s.end()
			return call.Refuse(call.Client, codes.Canceled, "the client takes no answers").
				Because(errors.New("it took nothing of its answer for " + s.timeout.String()))
		}
	}
	return nil
}

// end closes the connection: grpc-go has no other way to forget what waits there.
func (s *sender) end() {
	switch {
	case s.connection != nil:
		s.connection.End()
	case s.abort != nil:
		s.abort()
	}
}
