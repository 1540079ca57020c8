package transcode

import (
	"unicode/utf8"
)

// check looks at a value that another one replaces, and is not written: it must
// be one that proto.Unmarshal accepts all the same.
func (s *outState) check(f *outField, p part) bool {
	from, to := int(p.from), int(p.to)
	switch {
	case f.isMap:
		return s.checkEntry(f, from, to)
	case f.list && p.tag != f.tag:
		for from < to {
			if _, from = s.raw(f, from, to); from < 0 {
				return false
			}
		}
	case f.op == inString:
		if f.strict && !utf8.Valid(s.src[from:to]) {
			return s.notUTF8()
		}
	case f.op >= inMessage:
		return s.checkMessage(f.message(s.rt), from, to)
	}
	return true
}

func (s *outState) checkMessage(p *outPlan, pos, end int) bool {
	if !s.enter(0) {
		return false
	}
	for pos < end {
		tag, after := s.tag(pos, end)
		if after < 0 || !s.goOn() {
			return false
		}
		f := s.find(p, tag)
		if f == nil {
			if pos = s.skip(tag, after, end); pos < 0 {
				return false
			}
			continue
		}
		one, next := s.part(f, tag, after, end)
		if next < 0 || !s.check(f, one) {
			s.failedIn(f.name)
			return false
		}
		pos = next
	}
	s.leave(0)
	return true
}

func (s *outState) checkEntry(f *outField, pos, end int) bool {
	for pos < end {
		tag, after := s.tag(pos, end)
		of := f.mapKey
		switch {
		case after < 0:
			return false
		case tag>>tagTypeBits == uint32(entryValue):
			of = f.mapValue
		}
		if tag != of.tag {
			if pos = s.skip(tag, after, end); pos < 0 {
				return false
			}
			continue
		}
		one, next := s.part(of, tag, after, end)
		if next < 0 || !s.check(of, one) {
			return false
		}
		pos = next
	}
	return true
}
