package transcode

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// typeMember is the member of an Any that names the type of the rest.
const typeMember = "@type"

// typeNotes keep what is known of the Any around the current message and of
// types that were found ahead of time.
type typeNotes struct {
	// level is the depth of the message whose object also holds "@type".
	level int
	// given says that "@type" was met in that object.
	given bool
	// wanted makes skip note the objects that hold a type. It is on while a
	// document is searched ahead, which happens at most once for each byte:
	// what lies before searched was searched.
	wanted   bool
	searched int
	found    map[int]typeNote // by where the object begins
}

// typeNote is where an object's type is: the opening quote of a string, or 0
// when the object holds more than one or one that is not a string.
type typeNote int

func (t *typeNotes) reset() {
	t.level, t.given, t.wanted, t.searched = -1, false, false, 0
	if len(t.found) > keptKeys {
		t.found = nil
	}
	clear(t.found)
}

// inAny reports whether the message at that depth shares its object with an
// Any's type.
func (t *typeNotes) inAny(depth int) bool { return t.level == depth }

// noteType notes the type of the object at that offset; its value is next.
func (s *inState) noteType(object int) {
	note := typeNote(0)
	if _, twice := s.types.found[object]; s.peek() == '"' && !twice {
		note = typeNote(s.pos)
	}
	if s.types.found == nil {
		s.types.found = map[int]typeNote{}
	}
	s.types.found[object] = note
}

// any reads an object as a google.protobuf.Any.
func (s *inState) any() bool {
	if s.peek() != '{' {
		return s.expected(s.pos, "an object")
	}
	object := s.pos
	s.pos++
	if s.closed('}') {
		return true
	}
	s.pos = object
	at, ok := s.findType(object)
	if !ok {
		return false
	}
	s.pos = object
	if at == 0 {
		if s.rt.ignoreUnknown {
			return s.skipAny()
		}
		return s.fail(`expected a member "@type" with the type's name, such as "type.googleapis.com/google.protobuf.Duration"`)
	}
	return s.typed(object, at)
}

// skipAny forgets an Any without a type; the Any itself is a level already.
func (s *inState) skipAny() bool {
	s.depth--
	ok := s.skip()
	s.depth++
	return ok
}

// findType returns where the value of the object's "@type" is, 0 if there is
// none.
func (s *inState) findType(object int) (int, bool) {
	if object >= s.types.searched {
		if at, ok := s.typeFirst(object); at > 0 || !ok {
			return at, ok
		}
		if !s.searchTypes(object) {
			return 0, false
		}
	}
	note, found := s.types.found[object]
	if found && note == 0 {
		s.fail("expected one string")
		return 0, s.within(typeMember)
	}
	return int(note), true
}

// typeFirst looks at the object's first member, where the type mostly is.
func (s *inState) typeFirst(object int) (int, bool) {
	s.pos = object + 1
	name, ok := s.name()
	if !ok || string(name) != typeMember {
		return 0, ok
	}
	if s.peek() != '"' {
		s.expected(s.pos, "a string")
		return 0, s.within(typeMember)
	}
	return s.pos, true
}

// searchTypes notes the types of the object at that offset and of all objects
// within it.
func (s *inState) searchTypes(object int) bool {
	s.pos, s.types.wanted = object, true
	ok := s.skipAny()
	s.types.wanted, s.types.searched = false, s.pos
	s.pulse.next = min(s.pulse.next, object+beat) // the object is read once more
	return ok
}

// typed reads the object of which the type is the string at the given offset.
func (s *inState) typed(object, at int) bool {
	s.pos = at
	url, ok := s.text()
	if !ok {
		return false
	}
	s.pos = object
	inner, ok := s.typePlan(url)
	if !ok {
		return s.within(typeMember)
	}
	s.dst = append(s.dst, 1<<3|byte(protowire.BytesType))
	s.putBytes(url)
	tag := len(s.dst)
	s.dst = append(s.dst, 2<<3|byte(protowire.BytesType))
	width := inner.width.Load()
	start := s.begin(width)
	if !s.anyContent(inner) {
		return false
	}
	if len(s.dst) == start {
		s.dst = s.dst[:tag]
	} else if need := s.finish(start, width); need != width {
		inner.width.Store(need)
	}
	return true
}

// anyContent reads the message in an Any. Its required fields may be missing,
// since nobody looks for them inside bytes.
func (s *inState) anyContent(p *inPlan) bool {
	level, given := s.types.level, s.types.given
	s.types.given = false
	s.partial++
	ok := false
	if p.form >= formEmpty {
		s.types.level = -1
		ok = s.anyValue(p)
	} else if s.enter() {
		s.types.level = s.depth
		if p.form == formMessageSet {
			ok = s.wellKnown(p)
		} else {
			ok = s.object(p, nil)
		}
		s.leave()
	}
	s.partial--
	s.types.level, s.types.given = level, given
	return ok
}

// anyValue reads an Any of a well-known type: its JSON form is in "value".
func (s *inState) anyValue(p *inPlan) bool {
	s.pos++
	typed, valued := false, false
	var ok bool
	for more := true; more; {
		name, named := s.name()
		switch {
		case !named:
			return false
		case string(name) == typeMember:
			ok, typed = s.once(typed, typeMember) && s.skip(), true
		case string(name) == "value":
			ok, valued = s.once(valued, "value") && (s.wellKnown(p) || s.within("value")), true
		case s.rt.ignoreUnknown:
			ok = s.skip()
		default:
			s.fail(`unknown field in an Any of %s; expected "@type" and "value"`, p.desc.FullName())
			ok = s.withinGiven(name)
		}
		if !ok {
			return false
		}
		if more, ok = s.more('}'); !ok {
			return false
		}
	}
	if !valued && p.form != formEmpty {
		return s.fail(`expected a member "value" with a %s in its JSON form`, p.desc.FullName())
	}
	return true
}

// once fails for a member that was met before.
func (s *inState) once(met bool, name string) bool {
	if met {
		s.fail("given more than once")
		return s.within(name)
	}
	return true
}

// typePlan finds the plan of the message that a type URL names.
func (s *inState) typePlan(url []byte) (*inPlan, bool) {
	name := url[bytes.LastIndexByte(url, '/')+1:]
	if p, ok := s.rt.types.get(name); ok {
		return p, true
	}
	if s.rt.resolver != nil && len(name) > 0 {
		mt, err := s.rt.resolver.FindMessageByURL(string(url))
		if err == nil && mt != nil {
			p := s.rt.message(mt.Descriptor())
			s.rt.types.put(string(name), p)
			return p, true
		}
	}
	return nil, s.fail("expected the name of a known message type, got string %s", quote(url))
}
