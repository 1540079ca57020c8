package transcode

import (
	"math"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Encoder writes the wire bytes of one type of message as JSON. It is immutable
// and safe for concurrent use.
//
// What it writes means what protojson (google.golang.org/protobuf/encoding/protojson)
// writes for the same bytes. The members of an object stand in the order of the
// wire. It differs from protojson in these places:
//
//   - required fields (proto2) may be missing: the backend knows better;
//   - messages may nest 1,000 deep, and groups 100 deep, where proto.Unmarshal
//     takes 10,000;
//   - field numbers above 536,870,911 are refused within unknown groups too.
//
// Wire bytes may say a thing twice: a field that holds one value, a list in two
// stretches, a map key, two members of a oneof. Such a message is merged as
// every reader would, without building it: see encode_merge.go.
type Encoder struct {
	rt   *outRuntime
	plan *outPlan
	// ratio is how many 1/16 bytes of JSON the last messages took for each byte
	// on the wire.
	ratio atomic.Uint32
}

// outRuntime is what all encoders of a compiler share.
type outRuntime struct {
	outPlans
	resolver Resolver
	types    learned[*outPlan] // of Any, by full name
	pool     sync.Pool         // of *outState
}

// maxAnswerDepth is how deep an answer may nest. Backends are trusted more than
// clients, but not with the stack.
const maxAnswerDepth = 1000

// maxGroups is how deep groups may nest. The end of a group is found by reading all
// of it.
const maxGroups = 100

func (rt *outRuntime) init(opts Options, r Resolver) {
	rt.resolver, rt.opts = r, opts
}

func (rt *outRuntime) encoder(md protoreflect.MessageDescriptor) *Encoder {
	e := &Encoder{rt: rt, plan: rt.message(md)}
	e.ratio.Store(2 * 16)
	return e
}

// Append appends the JSON of the message in wire to dst. wire is not kept. On an
// error, an [*OutputError], which means that wire is not a message of the type,
// dst is returned as it was. In steady state nothing is allocated but by growing
// dst.
func (e *Encoder) Append(dst, wire []byte) ([]byte, error) { return e.AppendUntil(dst, wire, nil) }

// AppendUntil is Append for as long as until has no error, with which it fails then.
func (e *Encoder) AppendUntil(dst, wire []byte, until call.Lifetime) ([]byte, error) {
	if uint64(len(wire)) > math.MaxUint32 {
		return dst, &OutputError{Reason: "is larger than 4 GiB, the most that a message may take"}
	}
	s := e.rt.start(grow(dst, e.SizeHint(len(wire))), wire)
	defer e.rt.end(s)
	s.pulse = pulse{until: until, next: beat}
	if !s.document(e.plan) && s.pulse.over == nil {
		// What is wrong may be replaced by what comes later: merging tells.
		s.begin(dst, wire)
		s.merging = true
		if !s.document(e.plan) && s.pulse.over == nil {
			return dst, s.err
		}
	}
	if s.pulse.over != nil {
		return dst, s.pulse.over
	}
	e.learn(len(s.dst)-len(dst), len(wire))
	return s.dst, nil
}

// SizeHint estimates how many bytes of JSON a message of so many wire bytes
// makes, from those that were written before. Append grows its destination by
// as much, so that most messages are never copied while they grow.
func (e *Encoder) SizeHint(wire int) int {
	return wire*int(e.ratio.Load())/16 + smallHint
}

const (
	smallHint = 64
	maxRatio  = 20 * 16 // of a message full of defaults there may be no end
)

// learn keeps the ratio a little above what messages take: it rises at once and
// falls slowly. Small messages say little.
func (e *Encoder) learn(json, wire int) {
	if wire < smallHint {
		return
	}
	now, old := uint32(min(json*17/wire+1, maxRatio)), e.ratio.Load()
	if now < old {
		now = old - (old-now)/8
	}
	if now != old {
		e.ratio.Store(now)
	}
}

// outState is one encoding under way.
type outState struct {
	rt    *outRuntime
	src   []byte // the wire bytes
	dst   []byte // the JSON so far
	depth int    // messages entered
	// groups are those of the messages entered that have no length.
	groups int
	err    *OutputError
	pulse  pulse
	work   int // done so far, in bytes, for the pulse

	// twice is set where the wire says a thing twice: the message concerned is
	// merged and written again. merging is on while that is done, for all that
	// lies within. spent counts the bytes written again, so that messages within
	// messages that each say things twice do not add up: past the length of src
	// the encoding fails, and the whole is merged, which takes one pass.
	twice, merging bool
	spent          int

	bits  []uint64            // sets of members beyond the first 64, a stack
	ext   []*outField         // extensions met, a stack
	parts []part              // of messages that are merged, a stack
	sets  []*keySet           // keys of the maps under way, a stack
	nsets int                 // how many of sets are in use
	keys  []byte              // keys that are numbers, eight bytes each, a stack
	ends  map[uint32]groupEnd // of the groups read while merging, by where they begin
}

// start takes a state from the pool.
func (rt *outRuntime) start(dst, src []byte) *outState {
	s, ok := rt.pool.Get().(*outState)
	if !ok {
		s = &outState{rt: rt}
	}
	s.begin(dst, src)
	return s
}

func (s *outState) begin(dst, src []byte) {
	s.dst, s.src, s.depth, s.err = dst, src, 0, nil
	s.twice, s.merging, s.spent = false, false, 0
	s.groups, s.nsets, s.work = 0, 0, 0
	clear(s.ends)
	s.bits, s.ext, s.parts, s.keys = s.bits[:0], s.ext[:0], s.parts[:0], s.keys[:0]
}

// end gives the state back without what belongs to the caller.
func (rt *outRuntime) end(s *outState) {
	s.dst, s.src, s.pulse = nil, nil, pulse{}
	if cap(s.parts) > maxKept/partSize || cap(s.keys) > maxKept {
		return
	}
	if len(s.ends) > keptKeys {
		s.ends = nil
	}
	for _, set := range s.sets {
		set.shrink()
	}
	rt.pool.Put(s)
}

// document writes the whole of src.
func (s *outState) document(p *outPlan) bool {
	return s.message(p, 0, len(s.src), 0) >= 0
}
