// Package answers keeps answers of unary calls for the policies that serve them again.
// An [Answer] is the same for all of them. Cache and fallback share the [Store], which
// drops answers when it is full. Idempotency keeps its own, since it promises to forget
// none before its time.
//
// The memory of the store is one for all RPCs and callers, so its owner pays for no more than
// one bound. It is otter's cache, which is scan resistant (W-TinyLFU): a client
// that asks for a million things once does not push out what others ask for
// often.
package answers

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/collect"
)

const (
	// overhead is about what an entry costs beside its content: key, node,
	// header map.
	overhead = 256
	// largest is the share of a store that one answer may take: a larger one is
	// not kept, or a few of them would push out all others.
	largest = 16
)

// Degraded is the header of an answer that is not the upstream's, but stands in
// for it. It says why. Such an answer is not to be kept.
const Degraded = "gatehouse-degraded"

// Answer is how a call ended once. It is immutable, and its bytes are shared by all who
// are given it.
type Answer struct {
	status          []byte // a google.rpc.Status; empty for OK
	data            []byte
	header, trailer metadata.MD

	// For answers that are kept for other calls:
	vary   []string // request headers that it depends on
	stored time.Time
	ttl    time.Duration
}

// New copies the answer in reply and header, as the backend gave them, for other calls
// like this one. It may be kept for ttl from now. Headers that belong to the protocol,
// or that speak of how old the answer was and may become, are not part of it; neither
// are trailers.
func New(reply *call.Message, header metadata.MD, ttl time.Duration) *Answer {
	a := &Answer{data: reply.Data.Materialize(), header: copied(header, "age", "cache-control", "expires"), stored: time.Now(), ttl: ttl}
	a.vary, _ = VaryOf(header)
	return a
}

// Record copies how a call ended: what a repetition of the same call is to get. err is
// the backend's.
func Record(reply any, header, trailer metadata.MD, err error) (*Answer, error) {
	a := &Answer{header: copied(header), trailer: copied(trailer)}
	if err != nil {
		var merr error
		a.status, merr = proto.Marshal(status.Convert(err).Proto())
		return a, merr
	}
	data, err := call.Codec{}.Marshal(reply)
	if err != nil {
		return nil, err
	}
	a.data = data.Materialize()
	data.Free()
	return a, nil
}

// copied is a copy of what the backend said to the client: md itself is its owner's,
// who changes it.
func copied(md metadata.MD, without ...string) metadata.MD {
	var out metadata.MD
	for key, values := range md {
		if call.ResponseReserved(key) || slices.Contains(without, key) {
			continue
		}
		if out == nil {
			out = metadata.MD{}
		}
		out[key] = slices.Clone(values)
	}
	return out
}

// Fixed is the answer that consists of wire and nothing else.
func Fixed(wire []byte) *Answer { return &Answer{data: wire} }

// Refused is the answer that consists of a status and nothing else.
func Refused(st *status.Status) *Answer {
	b, err := proto.Marshal(st.Proto())
	if err != nil {
		return &Answer{}
	}
	return &Answer{status: b}
}

// Age is how long ago the answer was given.
func (a *Answer) Age() time.Duration { return time.Since(a.stored) }

// Vary are the request headers that the answer depends on. Nobody writes to them.
func (a *Answer) Vary() []string { return a.vary }

// TTL is how long the answer may be kept, from when it was given.
func (a *Answer) TTL() time.Duration { return a.ttl }

// Into gives the answer to a caller: to reply, or as an error with its status, and to
// where opts say that the metadata goes. What another answer left in opts is gone. The
// bytes in reply are those of a, which nobody writes to.
func (a *Answer) Into(reply any, opts []grpc.CallOption) error {
	for _, o := range opts {
		switch o := o.(type) { // copies, for callers take away from theirs
		case grpc.HeaderCallOption:
			*o.HeaderAddr = a.header.Copy()
		case grpc.TrailerCallOption:
			if *o.TrailerAddr = nil; a.trailer != nil {
				*o.TrailerAddr = a.trailer.Copy()
			}
		}
	}
	if len(a.status) == 0 {
		return call.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(a.data)}, reply)
	}
	var st spb.Status
	if err := proto.Unmarshal(a.status, &st); err != nil {
		return err
	}
	return status.FromProto(&st).Err()
}

// perValue is about what a value of metadata takes beside its text.
const perValue = 64

// Size is about what the answer takes in memory.
func (a *Answer) Size() int {
	n := len(a.status) + len(a.data)
	for _, md := range [...]metadata.MD{a.header, a.trailer} {
		for key, values := range md {
			for _, v := range values {
				n += len(key) + len(v) + perValue
			}
		}
	}
	return n
}

// Heard is the metadata of an answer, for a policy that listens to it.
type Heard struct{ Header, Trailer metadata.MD }

// Options are opts, and that the metadata goes to h too. Both kinds are asked
// for: who is asked for one alone might take the other for not given.
func (h *Heard) Options(opts []grpc.CallOption) []grpc.CallOption {
	return append(slices.Clip(opts), grpc.HeaderCallOption{HeaderAddr: &h.Header}, grpc.TrailerCallOption{TrailerAddr: &h.Trailer})
}

// Store holds answers, up to a number of bytes. When it is full, those go that
// are least likely to be asked for again, by when and how often they were used.
// It is safe for concurrent use and owns no goroutine.
type Store struct {
	kept    *otter.Cache[Key, *Answer]
	largest int
}

// NewStore makes a store of at most maxBytes, which registers with reg:
//
//	gatehouse_answers_bytes
//	gatehouse_answers_max_bytes
func NewStore(maxBytes int64, reg prometheus.Registerer) (*Store, error) {
	kept, err := otter.New(&otter.Options[Key, *Answer]{
		MaximumWeight: uint64(maxBytes),
		Weigher:       func(_ Key, a *Answer) uint32 { return uint32(min(overhead+a.Size(), math.MaxUint32)) },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[Key, *Answer]) time.Duration {
			return e.Value.ttl - e.Value.Age()
		}),
		// Evict at once: what waits for a goroutine to be evicted is memory too.
		Executor: func(f func()) { f() },
		Clock:    clock{},
	})
	if err != nil {
		return nil, err
	}
	s := &Store{kept: kept, largest: int(maxBytes / largest)}
	return s, collect.Register(reg,
		collect.Gauge("gatehouse_answers_bytes", "Bytes of the answers that are kept.", func() float64 { return float64(s.Size()) }),
		collect.Gauge("gatehouse_answers_max_bytes", "How many bytes of answers are kept at most.", func() float64 { return float64(maxBytes) }))
}

// Get is the answer under k to the request in ctx, or nil. It is never older than
// its TTL. at is the key that it has or would have: a variant of k, if the answers
// under k depend on headers of the request (RFC 9111, section 4.1).
func (s *Store) Get(ctx context.Context, k Key) (_ *Answer, at Key) {
	a, _ := s.kept.GetIfPresent(k)
	if a == nil || len(a.vary) == 0 {
		return a, k
	}
	at = k.Variant(ctx, a.vary)
	a, _ = s.kept.GetIfPresent(at)
	return a, at
}

// Put keeps a under k, in place of what was there, for requests like that in ctx.
// An answer of more than a sixteenth of the store, or one whose TTL is over, is
// not kept.
func (s *Store) Put(ctx context.Context, k Key, a *Answer) {
	if overhead+a.Size() > s.largest || a.ttl <= a.Age() {
		return
	}
	if len(a.vary) > 0 {
		// k itself leads to the variants, for as long as there is one.
		signpost := &Answer{vary: a.vary, stored: a.stored, ttl: a.ttl}
		old, _ := s.kept.GetIfPresent(k)
		if old == nil || !slices.Equal(old.vary, a.vary) || old.ttl-old.Age() < a.ttl {
			s.kept.Set(k, signpost)
		}
	}
	s.kept.Set(k.Variant(ctx, a.vary), a)
}

// Size is how many bytes the answers take, those that have expired and were not
// removed yet included.
func (s *Store) Size() uint64 { return s.kept.WeightedSize() }

// clock has no ticks, so that the cache has no goroutine: expired answers are
// removed when others are written.
type clock struct{}

func (clock) NowNano() int64                      { return time.Now().UnixNano() }
func (clock) Tick(time.Duration) <-chan time.Time { return nil }
