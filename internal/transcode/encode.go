package transcode

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Encoder writes the wire bytes of one type of message as JSON. It is immutable
// and safe for concurrent use.
//
// What it writes means what protojson (google.golang.org/protobuf/encoding/protojson)
// writes for the same bytes. The members of an object stand in the order of the
// wire. It differs from protojson in two places:
//
//   - required fields (proto2) may be missing: the backend knows better;
//   - messages may nest 1,000 deep where proto.Unmarshal takes 10,000.
type Encoder struct {
	rt   *outRuntime
	plan *outPlan
}

// outRuntime is what all encoders of a compiler share.
type outRuntime struct {
	outPlans
	resolver Resolver
	types    learned[*outPlan] // of Any, by URL
	pool     sync.Pool         // of *outState
}

// maxAnswerDepth is how deep an answer may nest. Backends are trusted more than
// clients, but not with the stack.
const maxAnswerDepth = 1000

func (rt *outRuntime) init(opts Options, r Resolver) {
	rt.resolver, rt.opts = r, opts
}

func (rt *outRuntime) encoder(md protoreflect.MessageDescriptor) *Encoder {
	return &Encoder{rt: rt, plan: rt.message(md)}
}

// Append appends the JSON of the message in wire to dst. wire is not kept. On an
// error, which means that wire is not a message of the type, dst is returned as
// it was. In steady state nothing is allocated but by growing dst.
func (e *Encoder) Append(dst, wire []byte) ([]byte, error) {
	s := e.rt.start(dst)
	defer e.rt.end(s)
	if !s.message(e.plan, wire) {
		return dst, s.err
	}
	return s.dst, nil
}

// outState is one encoding under way.
type outState struct {
	rt    *outRuntime
	dst   []byte
	depth int
	err   error
	// reorder is set where the wire says a thing twice: the message concerned
	// is brought into canonical form and written again.
	reorder bool

	bits []uint64              // sets of members beyond the first 64, a stack
	ext  []*outField           // extensions met, a stack
	keys []uint64              // hashes of the keys of the maps under way, a stack
	sets []map[uint64]struct{} // for the keys of large maps, to be used again
}

func (rt *outRuntime) start(dst []byte) *outState {
	s, ok := rt.pool.Get().(*outState)
	if !ok {
		s = &outState{rt: rt}
	}
	s.dst, s.depth, s.err, s.reorder = dst, 0, nil, false
	s.bits, s.ext, s.keys = s.bits[:0], s.ext[:0], s.keys[:0]
	return s
}

func (rt *outRuntime) end(s *outState) {
	s.dst = nil
	if cap(s.keys) <= maxKept/8 {
		rt.pool.Put(s)
	}
}

// OutputError says why wire bytes are not a message of their type.
type OutputError struct {
	// Path is the place in the message, as the contract names it.
	Path string
	// Reason says what is wrong there.
	Reason string
}

// Error implements error.
func (e *OutputError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

func (s *outState) fail(format string, args ...any) bool {
	s.err = &OutputError{Reason: fmt.Sprintf(format, args...)}
	return false
}

// failed adds the field to the path of an error that comes from inside it.
func (s *outState) failed(f *outField) bool {
	if e, ok := s.err.(*OutputError); ok && !s.reorder { //nolint:errorlint // always made by fail
		if e.Path == "" {
			e.Path = f.name
		} else {
			e.Path = f.name + "." + e.Path
		}
	}
	return false
}

// again asks for the canonical form of the message under way.
func (s *outState) again() bool {
	s.reorder = true
	return false
}

// message writes one message. If its wire bytes say a thing twice, which a
// writer may do and almost none does, they are merged first, as every reader
// would.
func (s *outState) message(p *outPlan, wire []byte) bool {
	if s.depth++; s.depth > maxAnswerDepth {
		return s.fail("nests deeper than %d messages", maxAnswerDepth)
	}
	begin, bits, ext, keys := len(s.dst), len(s.bits), len(s.ext), len(s.keys)
	ok := s.write(p, wire)
	if s.reorder {
		s.reorder = false
		s.dst = s.dst[:begin]
		s.bits, s.ext, s.keys = s.bits[:bits], s.ext[:ext], s.keys[:keys]
		canonical, err := s.canonical(p.desc, wire)
		if err != nil {
			return s.fail("is not a %s", p.desc.FullName())
		}
		if ok = s.write(p, canonical); s.reorder {
			s.reorder = false
			return s.fail("is not a %s that can be written", p.desc.FullName())
		}
	}
	s.depth--
	return ok
}

// canonical merges what is said twice, by way of a dynamic message.
func (s *outState) canonical(md protoreflect.MessageDescriptor, wire []byte) ([]byte, error) {
	m := dynamicpb.NewMessage(md)
	read := proto.UnmarshalOptions{AllowPartial: true, Resolver: s.rt.resolver, RecursionLimit: maxAnswerDepth}
	if err := read.Unmarshal(wire, m); err != nil {
		return nil, err
	}
	return proto.MarshalOptions{AllowPartial: true}.Marshal(m)
}

// write writes a message in the form of its type.
func (s *outState) write(p *outPlan, wire []byte) bool {
	switch p.form {
	case formAny:
		return s.any(wire)
	case formTimestamp:
		return s.timestamp(wire)
	case formDuration:
		return s.duration(wire)
	case formWrapper:
		return s.wrapper(p, wire)
	case formStruct, formList:
		return s.bare(p, wire)
	case formValue:
		return s.anyValue(p, wire)
	case formFieldMask:
		return s.fieldMask(wire)
	case formMessageSet:
		return s.fail("uses the message set format of proto1, which JSON has no form for")
	default:
		s.dst = append(s.dst, '{')
		if !s.members(p, wire) {
			return false
		}
		s.dst = append(s.dst, '}')
		return true
	}
}

// item is one field on the wire.
type item struct {
	number protowire.Number
	kind   protowire.Type
	x      uint64 // of varint and fixed kinds
	b      []byte // of bytes and groups
}

// next cuts the first field off b.
func (s *outState) next(b []byte, it *item) (rest []byte, ok bool) {
	tag, n := protowire.ConsumeVarint(b)
	if n < 0 || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return nil, s.fail("has a malformed tag")
	}
	b = b[n:]
	it.number, it.kind = protowire.Number(tag>>3), protowire.Type(tag&7) //nolint:gosec // bounded above
	switch it.kind {
	case protowire.VarintType:
		it.x, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		it.b, n = protowire.ConsumeBytes(b)
	case protowire.Fixed32Type:
		var x uint32
		x, n = protowire.ConsumeFixed32(b)
		it.x = uint64(x)
	case protowire.Fixed64Type:
		it.x, n = protowire.ConsumeFixed64(b)
	case protowire.StartGroupType:
		it.b, n = protowire.ConsumeGroup(it.number, b)
	default:
		n = -1
	}
	if n < 0 {
		return nil, s.fail("field %d is cut off or malformed", it.number)
	}
	return b[n:], true
}
