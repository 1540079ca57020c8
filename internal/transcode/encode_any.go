package transcode

import (
	"bytes"
	"unicode/utf8"
)

// any writes a google.protobuf.Any: the message inside with its type beside.
func (s *outState) any(p *outPlan, parts []part) bool {
	url, ok := s.last(p.find(1), parts)
	if !ok {
		return false
	}
	value, ok := s.last(p.find(2), parts)
	if !ok {
		return false
	}
	if url.from == url.to {
		if value.from != value.to {
			return s.fail("is an Any with a value and no type_url")
		}
		s.dst = append(s.dst, '{', '}')
		return true
	}
	inner, ok := s.typeOf(s.src[url.from:url.to])
	if !ok {
		return false
	}
	s.dst = append(s.dst, `{"@type":`...)
	if !s.text(int(url.from), int(url.to)) {
		return false
	}
	from, to := int(value.from), int(value.to)
	if inner.form == formObject || inner.form == formEmpty {
		ok = s.enter(0) && s.members(inner, from, to, 0) >= 0
		s.leave(0)
	} else {
		s.dst = append(s.dst, `,"value":`...)
		ok = s.message(inner, from, to, 0) >= 0
	}
	s.dst = append(s.dst, '}')
	return ok
}

// typeOf finds the plan for a type URL. What is found is kept by the type's
// name: of URLs for one type there is no end.
func (s *outState) typeOf(url []byte) (*outPlan, bool) {
	name := url[bytes.LastIndexByte(url, '/')+1:]
	if p, ok := s.rt.types.get(name); ok {
		return p, true
	}
	if !utf8.Valid(url) {
		return nil, s.notUTF8()
	}
	if s.rt.resolver != nil {
		if mt, err := s.rt.resolver.FindMessageByURL(string(url)); err == nil && mt != nil {
			p := s.rt.message(mt.Descriptor())
			s.rt.types.put(string(name), p)
			return p, true
		}
	}
	return nil, s.fail("is an Any of type %s, which the contract does not have", quote(url))
}
