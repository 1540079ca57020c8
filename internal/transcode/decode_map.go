package transcode

import "strconv"

// mapField writes a map: an entry for each member.
func (s *inState) mapField(f *inField) bool {
	if s.peek() != '{' {
		return s.expected(s.pos, "an object")
	}
	s.pos++
	set := s.pushSet()
	var ok bool
	for more := !s.closed('}'); more; {
		if !s.mapEntry(f, set) {
			return false
		}
		if more, ok = s.more('}'); !ok {
			return false
		}
	}
	s.popSet()
	return true
}

func (s *inState) mapEntry(f *inField, set *keySet) bool {
	if s.peek() != '"' {
		return s.expectedToken("a map key in quotes")
	}
	entry, nameAt := len(s.dst), s.pos
	s.putTag(f.tag)
	width := f.width.Load()
	start := s.begin(width)
	s.putTag(f.key.tag)
	name, ok := s.text()
	ok = ok && s.mapKey(f.key, name)
	n := len(s.dst) - start
	if !ok || !s.take(':', `":" after the map key`) {
		return false
	}
	if set.find(s.dst, start, n) != nil {
		s.fail("map key given more than once")
		return s.withinKeyAt(nameAt)
	}
	if !s.mapValue(f.value) {
		return s.withinKeyAt(nameAt)
	}
	if s.dropped {
		s.dst, s.dropped = s.dst[:entry], false
		return true
	}
	need := s.finish(start, width)
	if need != width {
		f.width.Store(need)
	}
	set.add(s.dst, newKeyRef(start+int(need)-int(width), n, 0))
	return true
}

func (s *inState) mapValue(f *inField) bool {
	if f.op >= inMessage {
		return s.framed(f, nil)
	}
	s.putTag(f.tag)
	return s.scalar(f)
}

// withinKeyAt is withinKey for the key in the document at pos, which has been read
// before.
func (s *inState) withinKeyAt(pos int) bool {
	key, _ := textOf(s.src[pos:])
	return s.withinKey(key)
}

// mapKey writes a map's key from its text.
func (s *inState) mapKey(f *inField, text []byte) bool {
	switch f.op {
	case inString:
		s.putBytes(text)
		return true
	case inBool:
		switch string(text) {
		case "true":
			s.dst = append(s.dst, 1)
			return true
		case "false":
			s.dst = append(s.dst, 0)
			return true
		}
		return s.badKey(text, "true or false")
	case inInt32, inSint32, inSfixed32:
		v, err := strconv.ParseInt(string(text), 10, 32)
		s.putSigned(f.op, v)
		return err == nil || s.badKey(text, wantInt32)
	case inInt64, inSint64, inSfixed64:
		v, err := strconv.ParseInt(string(text), 10, 64)
		s.putSigned(f.op, v)
		return err == nil || s.badKey(text, wantInt64)
	case inUint32, inFixed32:
		v, err := strconv.ParseUint(string(text), 10, 32)
		s.putUnsigned(f.op, v)
		return err == nil || s.badKey(text, wantUint32)
	}
	v, err := strconv.ParseUint(string(text), 10, 64)
	s.putUnsigned(f.op, v)
	return err == nil || s.badKey(text, wantUint64)
}

func (s *inState) badKey(text []byte, want string) bool {
	return s.fail("expected a map key that is %s, got %s", want, quote(text))
}
