package transcode

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// object is one JSON object under way.
type object struct {
	plan  *outPlan
	begin int                 // of its members in dst
	open  *outField           // the list or map that is being written
	seen  uint64              // the first 64 bits of the set of members
	more  int                 // where the others begin in outState.bits
	ext   int                 // where its extensions begin in outState.ext
	keys  int                 // where the keys of the open map begin in outState.keys
	many  map[uint64]struct{} // those keys, once there are many
}

// members writes the members of a message, without the braces.
func (s *outState) members(p *outPlan, b []byte) bool {
	o := object{plan: p, begin: len(s.dst), more: len(s.bits), ext: len(s.ext), keys: len(s.keys)}
	if s.dst[o.begin-1] != '{' {
		o.begin-- // of an Any, which has its "@type" before
	}
	for range p.words {
		s.bits = append(s.bits, 0)
	}
	var it item
	for len(b) > 0 {
		var ok bool
		if b, ok = s.next(b, &it); !ok {
			return false
		}
		f := p.find(it.number)
		if f == nil {
			if f = s.extension(p, it.number); f == nil {
				continue
			}
		}
		if !s.member(&o, f, &it) {
			return s.failed(f)
		}
	}
	s.close(&o)
	if p.absent {
		s.absent(&o)
	}
	s.bits, s.ext = s.bits[:o.more], s.ext[:o.ext]
	return true
}

// member writes one field, or one element of a list or map.
func (s *outState) member(o *object, f *outField, it *item) bool {
	switch {
	case f.list:
		return s.element(o, f, it)
	case it.kind != f.wire:
		return true // of another kind: an unknown field, by protobuf's rules
	case f.isMap:
		return s.run(o, f, '{') && s.entry(o, f, it.b)
	}
	s.close(o)
	if !s.first(o, f) {
		return s.again()
	}
	if f.implicit && f.absent == nil && f.zero(it) {
		return true
	}
	s.key(o, f)
	return s.value(f, it)
}

// zero reports whether the value is the one that is not written where fields
// have no presence.
func (f *outField) zero(it *item) bool {
	switch f.op {
	case inString, inBytes:
		return len(it.b) == 0
	case inInt32, inUint32, inSint32, inEnum:
		return uint32(it.x) == 0 //nolint:gosec // protobuf reads the lower half
	default:
		return it.x == 0
	}
}

func (s *outState) key(o *object, f *outField) {
	if len(s.dst) > o.begin {
		s.dst = append(s.dst, ',')
	}
	s.dst = append(s.dst, f.key...)
}

// first marks f as met. It returns false if f, or another member of its oneof,
// was met before.
func (s *outState) first(o *object, f *outField) bool {
	if f.bit < 0 {
		return s.firstExtension(o, f)
	}
	if !s.mark(o, f.bit) {
		return false
	}
	return f.oneof < 0 || s.mark(o, f.oneof)
}

func (s *outState) mark(o *object, bit int) bool {
	set := &o.seen
	if bit >= 64 {
		set = &s.bits[o.more+bit/64-1]
	}
	mask := uint64(1) << (bit % 64)
	if *set&mask != 0 {
		return false
	}
	*set |= mask
	return true
}

func (s *outState) firstExtension(o *object, f *outField) bool {
	for _, met := range s.ext[o.ext:] {
		if met == f {
			return false
		}
	}
	s.ext = append(s.ext, f)
	return true
}

// run sees to it that the list or map f is the one being written, and puts a
// comma before all but its first element.
func (s *outState) run(o *object, f *outField, bracket byte) bool {
	if o.open == f {
		s.dst = append(s.dst, ',')
		return true
	}
	s.close(o)
	if !s.first(o, f) {
		return s.again()
	}
	s.key(o, f)
	s.dst = append(s.dst, bracket)
	o.open, o.keys = f, len(s.keys)
	return true
}

// close ends the list or map that is being written.
func (s *outState) close(o *object) {
	switch {
	case o.open == nil:
		return
	case o.open.isMap:
		s.dst = append(s.dst, '}')
		s.forget(o)
	default:
		s.dst = append(s.dst, ']')
	}
	o.open = nil
}

// element writes one element of a list, or all that are packed into one field.
func (s *outState) element(o *object, f *outField, it *item) bool {
	if it.kind == f.wire {
		return s.run(o, f, '[') && s.value(f, it)
	}
	if !f.packable || it.kind != protowire.BytesType {
		return true
	}
	b := it.b
	for len(b) > 0 {
		var x item
		n := -1
		switch f.wire {
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			x.x = uint64(v)
		case protowire.Fixed64Type:
			x.x, n = protowire.ConsumeFixed64(b)
		default:
			x.x, n = protowire.ConsumeVarint(b)
		}
		if n < 0 {
			return s.fail("is a packed list that is cut off")
		}
		b = b[n:]
		if !s.run(o, f, '[') || !s.value(f, &x) {
			return false
		}
	}
	return true
}

// absent writes what stands for the fields that were not met.
func (s *outState) absent(o *object) {
	for i := range o.plan.fields {
		f := &o.plan.fields[i]
		if f.absent != nil && s.mark(o, f.bit) {
			s.key(o, f)
			s.dst = append(s.dst, f.absent...)
		}
	}
}

// extension finds an extension by its number, nil if nothing is known of it.
func (s *outState) extension(p *outPlan, n protowire.Number) *outField {
	if !p.extensible || !p.desc.ExtensionRanges().Has(n) {
		return nil
	}
	var key [5]byte
	name := protowire.AppendVarint(key[:0], uint64(n))
	if f, ok := p.ext.get(name); ok {
		return f
	}
	xt, err := s.rt.resolver.FindExtensionByNumber(p.desc.FullName(), n)
	if err != nil {
		return nil
	}
	f := s.rt.extension(xt.TypeDescriptor().Descriptor())
	p.ext.put(string(name), f)
	return f
}
