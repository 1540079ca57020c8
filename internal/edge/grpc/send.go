package grpc

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// grpc-go accepts an answer of any size at once, and small messages of a stream by the
// thousand, and keeps them until the client opens its window. A call must count as
// running, and its memory as held, until the client has taken its answers. So the sender
// puts barriers among the buffers: grpc-go frees a barrier when it has written what
// stands before it.
const (
	// little is the size up to which a unary call does not wait until its answer is taken:
	// a connection has few of these at a time, one for each stream.
	little = 2 << 10
	// untakenMost is how many bytes of the answers of finished calls may wait in the
	// transport of one connection.
	untakenMost = 256 << 10
	// chunk is how much of an answer a client must take within the write timeout.
	chunk = edge.Chunk
	// burst is how many small messages of a stream share a barrier at most, and burstBytes
	// how many bytes they have together. A larger message has barriers of its own.
	burst, burstBytes = 32, 32 << 10
	// bursts is how many barriers of a stream may wait.
	bursts = 2
	// queueRoom is how many bytes of a stream grpc-go queues before it blocks the sender,
	// for which it has no timeout: the next message of a stream waits here instead.
	queueRoom = 64 << 10
)

// sender sends the answers of one gRPC call.
type sender struct {
	connection *memory.Connection // nil if the transport has no queue
	timeout    time.Duration      // for a chunk; 0 is none, as on the HTTP port, where grpcWriter has it
	abort      func()             // ends the answer if there is no connection to end
	stream     bool               // the answers are a stream
	lingers    bool               // the call may end before its answer is taken

	open    *burstOfSmall // small messages of a stream that share a barrier; nil for none
	waiting atomic.Int64  // barriers
	untaken atomic.Int64  // bytes before them
	freed   chan struct{} // receives when a barrier is freed; nil until there is one
	taking  memory.ClientWait
	parts   []memory.Part // of the last message, if the transport has a queue
}

// burstOfSmall are small messages of a stream. Each ends with the same barrier, to which
// the sender keeps a reference until it adds no more messages.
type burstOfSmall struct {
	barrier         *memory.Barrier
	messages, bytes int
}

// prepare waits until the client has taken enough of the earlier messages. It returns
// data with barriers, to be sent in its place, and takes over the reference to data.
func (s *sender) prepare(ctx context.Context, share *memory.Share, data mem.BufferSlice) (mem.BufferSlice, error) {
	n := data.Len()
	if !s.stream && n <= little {
		if s.connection == nil {
			return data, nil
		}
		s.connection.Linger(int64(n), s.timeout)
		return append(slices.Clip(data), memory.NewBarrier(func() { s.connection.Taken(int64(n)) })), nil // others may share it
	}
	if !s.stream {
		s.lingers = s.connection != nil && n <= untakenMost
		return s.withBarriers(share, data, n), nil
	}
	waits := queueRoom - 1
	if s.open != nil {
		waits -= s.open.bytes
	}
	if err := s.wait(ctx, share, bursts-1, int64(waits)); err != nil {
		return data, err
	}
	if n < burstBytes {
		return s.addToBurst(share, data, n), nil
	}
	s.closeBurst(share)
	return s.withBarriers(share, data, n), nil
}

// addToBurst returns data with the barrier of the burst.
func (s *sender) addToBurst(share *memory.Share, data mem.BufferSlice, n int) mem.BufferSlice {
	if s.open == nil {
		b := new(burstOfSmall)
		b.barrier = s.newBarrier(share, &b.bytes)
		s.open = b
	}
	b := s.open
	b.messages++
	b.bytes += frameHeader + n
	b.barrier.Ref()
	data = append(slices.Clip(data), b.barrier) // others may share it
	if b.messages >= burst || b.bytes >= burstBytes {
		s.closeBurst(share)
	}
	return data
}

// closeBurst counts the messages of the burst, to which no more are added.
func (s *sender) closeBurst(share *memory.Share) {
	if b := s.open; b != nil {
		s.open = nil
		s.count(share, b.bytes)
		b.barrier.Free()
	}
}

// withBarriers puts a barrier behind each chunk and at the end. Together they stand for
// n bytes.
func (s *sender) withBarriers(share *memory.Share, data mem.BufferSlice, n int) mem.BufferSlice {
	out := make(mem.BufferSlice, 0, len(data)+1+n/chunk)
	s.parts = nil
	if s.connection != nil && !s.lingers {
		s.parts = make([]memory.Part, 0, len(data)+n/chunk)
	}
	part := 0
	for _, b := range data {
		for b.Len() > chunk { // one that was made here, or is kept
			out = append(out, s.part(b.Slice(0, chunk)), s.barrier(share, part+chunk))
			rest := b.Slice(chunk, b.Len())
			b.Free()
			b, n, part = rest, n-part-chunk, 0
		}
		out = append(out, s.part(b))
		if part += b.Len(); part >= chunk && part < n {
			out = append(out, s.barrier(share, part))
			n -= part
			part = 0
		}
	}
	return append(out, s.barrier(share, n))
}

// part returns b, or a Part in its place, which can be forgotten.
func (s *sender) part(b mem.Buffer) mem.Buffer {
	if cap(s.parts) == len(s.parts) {
		return b
	}
	s.parts = s.parts[:len(s.parts)+1]
	p := &s.parts[len(s.parts)-1]
	p.Hold(b)
	return p
}

// barrier counts n bytes and returns the barrier behind them.
func (s *sender) barrier(share *memory.Share, n int) *memory.Barrier {
	s.count(share, n)
	return s.newBarrier(share, &n)
}

// count notes n bytes that have a barrier. Those of a stream are held until they are
// taken. Those of a unary call are held by the call, and linger if it may end before.
func (s *sender) count(share *memory.Share, n int) {
	s.waiting.Add(1)
	s.untaken.Add(int64(n))
	switch {
	case s.stream:
		share.Hold(int64(n))
	case s.lingers:
		s.connection.Linger(int64(n), s.timeout)
	}
}

// newBarrier returns a barrier behind n bytes. n is read when it is freed.
func (s *sender) newBarrier(share *memory.Share, n *int) *memory.Barrier {
	if s.freed == nil {
		s.freed = make(chan struct{}, 1)
	}
	return memory.NewBarrier(func() {
		switch {
		case s.stream:
			share.Release(int64(*n))
		case s.lingers:
			s.connection.Taken(int64(*n))
		}
		s.untaken.Add(-int64(*n))
		s.waiting.Add(-1)
		select {
		case s.freed <- struct{}{}:
		default:
		}
	})
}

// finish waits until the client has taken all answers. For the answer of a unary call it
// waits only if much waits in the transport already. Until then the call is running.
func (s *sender) finish(ctx context.Context, share *memory.Share) error {
	s.closeBurst(share)
	if s.freed == nil || s.lingers && s.connection.Untaken() <= untakenMost {
		return nil
	}
	return s.wait(ctx, share, 0, 0)
}

// wait waits until at most so many barriers and bytes are left.
func (s *sender) wait(ctx context.Context, share *memory.Share, barriers, bytes int64) error {
	if s.waiting.Load() <= barriers && s.untaken.Load() <= bytes {
		return nil
	}
	s.taking.Begin(share, s.end)
	err := s.await(ctx, barriers, bytes)
	if err != nil && s.connection != nil && s.connection.IsClosed() {
		for i := range s.parts {
			s.parts[i].Forget()
		}
	}
	if s.taking.Done(); err != nil && s.taking.Ended() {
		return call.MemoryError(memory.ErrFull)
	}
	return err
}

func (s *sender) await(ctx context.Context, barriers, bytes int64) error {
	timer := time.NewTimer(cmp.Or(s.timeout, math.MaxInt64))
	defer timer.Stop()
	for s.waiting.Load() > barriers || s.untaken.Load() > bytes {
		select {
		case <-s.freed:
			s.taking.Moves()
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

// end closes the connection: grpc-go cannot forget what waits in it otherwise.
func (s *sender) end() {
	switch {
	case s.connection != nil:
		s.connection.End()
	case s.abort != nil:
		s.abort()
	}
}
