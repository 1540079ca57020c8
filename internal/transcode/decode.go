package transcode

import (
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Decoder writes JSON documents as the wire bytes of one type of message. It
// is immutable and safe for concurrent use.
//
// It accepts what protojson (google.golang.org/protobuf/encoding/protojson)
// accepts, and means the same by it. Bytes may differ: fields are written in
// the order of the document. The differences, most towards strictness, are:
//
//   - a number must be one by RFC 8259: protojson takes "1e" before a
//     delimiter for 1;
//   - a Timestamp must be one by RFC 3339: two digits for hours, "." before
//     the fraction, an offset of at most 23:59; protojson also takes what
//     Go's time.Parse lets pass;
//   - all digits of a number count: protojson loses those beyond the 800th in
//     front of the point;
//   - names of types and extensions have at most 512 bytes;
//   - inside an Any, "@type" may appear once and must hold a string, also
//     where protojson would skip it unseen;
//   - nesting counts the levels of ignored values on top of the messages
//     around them.
type Decoder struct {
	rt   *inRuntime
	plan *inPlan
}

// inRuntime is what all decoders of a compiler share.
type inRuntime struct {
	inPlans
	resolver      Resolver
	ignoreUnknown bool
	maxDepth      int
	types         learned[*inPlan] // of Any, by full name
	pool          sync.Pool        // of *inState
}

// inState is one decoding under way.
type inState struct {
	rt      *inRuntime
	src     []byte // the JSON document
	pos     int    // the next byte of src
	dst     []byte // the wire bytes so far
	depth   int    // messages entered
	partial int    // >0 where required fields may be missing
	dropped bool   // the last enum value was unknown and ignored
	err     *InputError
	pulse   pulse

	exact   exactFloat // for numbers that are hard to round
	scratch []byte     // text of the last string with escapes
	bits    []uint64   // sets of members beyond the first 64, a stack
	ext     []*inField // extensions met, a stack
	sets    []*keySet  // keys of the maps under way, a stack
	nsets   int        // how many of sets are in use
	types   typeNotes  // where Any's types were found ahead of time
	mask    maskRecord // the field mask under way
	path    pathValues // values of the path, to compare with the body's
	param   []byte     // the text of a path variable
	query   queryState
}

// Append appends the wire bytes of the message that the JSON document json
// says to dst. The document is not kept. On an error, an [*InputError], dst is
// returned as it was. In steady state nothing is allocated but by growing dst.
func (d *Decoder) Append(dst, json []byte) ([]byte, error) { return d.AppendUntil(dst, json, nil) }

// AppendUntil is Append for as long as until has no error, with which it fails then.
func (d *Decoder) AppendUntil(dst, json []byte, until call.Lifetime) ([]byte, error) {
	s := d.rt.start(slices.Grow(dst, len(json)), json, until) // mostly enough at once
	defer d.rt.end(s)
	if !s.document(d.plan, nil) {
		return dst, s.failure()
	}
	return s.dst, nil
}

// init makes the runtime ready; it must not be copied afterwards.
func (rt *inRuntime) init(opts Options, r Resolver) {
	rt.resolver, rt.ignoreUnknown, rt.maxDepth = r, opts.IgnoreUnknown, opts.MaxDepth
	if rt.maxDepth <= 0 {
		rt.maxDepth = defaultDepth
	}
}

// defaultDepth is how many levels of messages a document may nest unless the
// options say otherwise.
const defaultDepth = 100

// decoder compiles the plan for md.
func (rt *inRuntime) decoder(md protoreflect.MessageDescriptor) *Decoder {
	return &Decoder{rt: rt, plan: rt.message(md)}
}

// start takes a state from the pool. until may be nil.
func (rt *inRuntime) start(dst, src []byte, until call.Lifetime) *inState {
	s, ok := rt.pool.Get().(*inState)
	if !ok {
		s = &inState{rt: rt}
	}
	s.dst, s.src, s.pos = dst, src, 0
	s.depth, s.partial, s.dropped, s.err = 0, 0, false, nil
	s.pulse = pulse{until: until, next: beat}
	s.bits, s.ext, s.nsets = s.bits[:0], s.ext[:0], 0
	s.types.reset()
	s.mask.reset()
	s.path.reset()
	s.query.reset()
	return s
}

// maxKept bounds the scratch memory that a pooled state keeps, in bytes.
const maxKept = 1 << 20

// end gives the state back without what belongs to the caller.
func (rt *inRuntime) end(s *inState) {
	s.dst, s.src, s.pulse = nil, nil, pulse{}
	if cap(s.scratch) > maxKept || cap(s.mask.wire) > maxKept {
		return
	}
	for _, set := range s.sets {
		set.shrink()
	}
	rt.pool.Put(s)
}

// document reads the whole input as one message.
func (s *inState) document(p *inPlan, g *guard) bool { return s.message(p, g) && s.endOfInput() }

func (s *inState) endOfInput() bool {
	if s.peek(); s.pos < len(s.src) {
		return s.expectedToken("nothing after the value")
	}
	return true
}

// begin leaves room for a length of so many bytes and returns where what is
// measured starts.
func (s *inState) begin(width uint32) int {
	const room = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	if width == 1 {
		s.dst = append(s.dst, 0)
	} else {
		s.dst = append(s.dst, room[:width]...)
	}
	return len(s.dst)
}

// finish writes the length of what was written since start into the room of
// width bytes before it, moving it if the room is not what is needed. It
// returns the width needed.
func (s *inState) finish(start int, width uint32) uint32 {
	n := len(s.dst) - start
	if width == 1 && n < 0x80 {
		s.dst[start-1] = byte(n)
		return 1
	}
	need := uint32(protowire.SizeVarint(uint64(n)))
	if need != width {
		s.moveBy(start, int(need)-int(width))
	}
	at := start - int(width)
	for v := uint64(n); ; at++ {
		if v < 0x80 {
			s.dst[at] = byte(v)
			return need
		}
		s.dst[at] = byte(v) | 0x80
		v >>= 7
	}
}

// moveBy shifts everything from start by so many bytes.
func (s *inState) moveBy(start, by int) {
	old := len(s.dst)
	for range by {
		s.dst = append(s.dst, 0)
	}
	copy(s.dst[start+by:], s.dst[start:old])
	s.dst = s.dst[:old+by]
}

// putBytes writes b after its length.
func (s *inState) putBytes(b []byte) {
	if len(b) < 0x80 {
		s.dst = append(s.dst, byte(len(b)))
	} else {
		s.dst = protowire.AppendVarint(s.dst, uint64(len(b)))
	}
	s.dst = append(s.dst, b...)
}

func (s *inState) putTag(tag []byte) {
	if len(tag) == 1 {
		s.dst = append(s.dst, tag[0])
		return
	}
	s.dst = append(s.dst, tag...)
}

// members is the set of fields and oneofs met in one message.
type members struct {
	first uint64
	base  int // where the rest begins in inState.bits
	ext   int // where the message's extensions begin in inState.ext
	next  int // the field that is likely to come next
	set   int // required fields set
}

// open starts a set for the plan, close ends it.
func (s *inState) open(p *inPlan) members {
	m := members{base: len(s.bits), ext: len(s.ext)}
	for range p.words {
		s.bits = append(s.bits, 0)
	}
	return m
}

func (s *inState) close(m *members) {
	s.bits = s.bits[:m.base]
	s.ext = s.ext[:m.ext]
}

// mark adds bit i and reports whether it was there before.
func (s *inState) mark(m *members, i int) bool {
	word := &m.first
	if i >= 64 {
		word = &s.bits[m.base+i/64-1]
	}
	bit := uint64(1) << (i & 63)
	was := *word&bit != 0
	*word |= bit
	return was
}
