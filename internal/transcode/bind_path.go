package transcode

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// pathValues are the values of the path's variables as wire bytes without
// tags, one after the other.
type pathValues struct {
	wire []byte
	ends []int
}

func (v *pathValues) reset() { v.wire, v.ends = v.wire[:0], v.ends[:0] }

func (v *pathValues) value(slot int) []byte {
	start := 0
	if slot > 0 {
		start = v.ends[slot-1]
	}
	return v.wire[start:v.ends[slot]]
}

// bindVariable resolves a variable's field path and guards what it binds.
func (b *bindingPlan) bindVariable(slot int, v httprule.Variable) error {
	name := strings.Join(v.FieldPath, ".")
	bound := boundVar{name: name}
	p := b.plan
	for i, part := range v.FieldPath {
		f := p.byProto(part)
		if f == nil {
			return fmt.Errorf("path variable {%s}: %s has no field %q%s", name, p.desc.FullName(), part, didYouMean(part, p.protoNames()))
		}
		if i == len(v.FieldPath)-1 {
			bound.leaf = f
			break
		}
		if !f.nests() {
			return fmt.Errorf("path variable {%s}: %s is not a message with fields of its own", name, f.desc.FullName())
		}
		bound.chain, p = append(bound.chain, f), f.message()
	}
	if bound.leaf == nil || bound.leaf.list || bound.leaf.isMap || !bound.leaf.hasText() {
		return fmt.Errorf("path variable {%s}: a path can only bind a single value: a number, a string, bytes, an enum, or a well-known type that is written as one", name)
	}
	if b.guard == nil {
		b.guard = newGuard(b.plan)
	}
	b.vars = append(b.vars, bound)
	return b.guard.bind(b.plan, bound, slot)
}

// nests reports whether the field holds one message of which the fields can be
// named one by one.
func (f *inField) nests() bool {
	return f.op >= inMessage && !f.list && !f.isMap && f.message().form == formObject
}

// hasText reports whether one value of the field can be written as plain text.
func (f *inField) hasText() bool {
	if f.op < inMessage {
		return true
	}
	switch f.message().form {
	case formTimestamp, formDuration, formWrapper, formFieldMask:
		return f.op == inMessage
	}
	return false
}

// byProto returns the field of a name in the contract, nil if there is none. It looks
// at one after the other: the descriptor would make a map, and keep it.
func (p *inPlan) byProto(name string) *inField {
	for i := range p.fields {
		if p.fields[i].proto == name {
			return &p.fields[i]
		}
	}
	return nil
}

// protoNames returns the names by which a rule may call the fields.
func (p *inPlan) protoNames() []string {
	names := make([]string, 0, len(p.fields))
	for i := range p.fields {
		names = append(names, p.fields[i].proto)
	}
	return names
}

func newGuard(p *inPlan) *guard {
	g := &guard{fields: make([]guardedField, len(p.fields))}
	for i := range g.fields {
		g.fields[i].slot = -1
	}
	return g
}

// bind guards the field of a variable, and on the way to it the other members
// of the oneofs that it goes through.
func (g *guard) bind(p *inPlan, v boundVar, slot int) error {
	for _, f := range v.chain {
		w := &g.fields[f.index]
		if w.why != "" {
			return fmt.Errorf("path variable {%s}: another one binds %s", v.name, f.desc.FullName())
		}
		if err := g.guardOneof(p, f, v.name); err != nil {
			return err
		}
		if w.inner == nil {
			w.inner = newGuard(f.message())
		}
		g, p = w.inner, f.message()
	}
	w := &g.fields[v.leaf.index]
	if w.why != "" || w.inner != nil {
		return fmt.Errorf("path variable {%s}: its field or another member of its oneof is bound twice", v.name)
	}
	w.slot, w.why = slot, "the path binds this field; leave it out or give the same value"
	return g.guardOneof(p, v.leaf, v.name)
}

func (g *guard) guardOneof(p *inPlan, f *inField, variable string) error {
	for i := range p.fields {
		if f.oneof < 0 || i == f.index || p.fields[i].oneof != f.oneof {
			continue
		}
		w := &g.fields[i]
		if w.slot >= 0 || w.inner != nil {
			return fmt.Errorf("path variable {%s}: another variable binds another member of its oneof", variable)
		}
		w.why = fmt.Sprintf("the path binds %s, another member of oneof %s", variable, p.oneofs[f.oneof-len(p.fields)])
	}
	return nil
}

// readPath turns the variables into wire bytes, which the body is compared
// with before they are written.
func (b *bindingPlan) readPath(s *inState, vars []string) bool {
	if len(vars) != len(b.vars) {
		return s.fail("the path has %d variables, want %d", len(vars), len(b.vars))
	}
	s.dst, s.path.wire = s.path.wire, s.dst
	ok := true
	for i := 0; ok && i < len(vars); i++ {
		s.param = append(s.param[:0], vars[i]...)
		if ok = s.textValue(b.vars[i].leaf, s.param); !ok {
			s.within(b.vars[i].name)
		}
		s.path.ends = append(s.path.ends, len(s.dst))
	}
	s.dst, s.path.wire = s.path.wire, s.dst
	return ok
}

// writePath writes the variables' fields.
func (b *bindingPlan) writePath(s *inState) {
	for i := range b.vars {
		v := &b.vars[i]
		value := s.path.value(i)
		s.nested(v.chain, func() bool {
			if !v.leaf.implicit || !isZero(value, v.leaf.op) {
				s.putTag(v.leaf.tag)
				s.dst = append(s.dst, value...)
			}
			return true
		})
	}
}

// nested calls put to write fields of the innermost message of the chain.
func (s *inState) nested(chain []*inField, put func() bool) bool {
	if len(chain) == 0 {
		return put()
	}
	f := chain[0]
	s.putTag(f.tag)
	if f.op == inGroup {
		ok := s.nested(chain[1:], put)
		s.putTag(f.end)
		return ok
	}
	start := s.begin(1)
	ok := s.nested(chain[1:], put)
	s.finish(start, 1)
	return ok
}

// textValue writes one value of a field, without its tag, from plain text. The
// state's document is the text from here on.
func (s *inState) textValue(f *inField, text []byte) bool {
	switch f.op {
	case inString:
		if !utf8.Valid(text) {
			return s.fail("expected UTF-8 text, got %s", quote(text))
		}
		s.putBytes(text)
		return true
	case inBool:
		return s.textBool(text)
	case inEnum:
		return s.enumText(f.enum, text)
	case inBytes:
		return s.putBase64(text) || s.fail("expected %s, got %s", wantBytes, quote(text))
	case inMessage, inGroup:
		return s.textMessage(f.message(), text)
	case inFloat, inDouble:
		return s.textFloat(f.op, text)
	}
	if _, ok := wholeOf(text); !ok {
		return s.fail("expected %s, got %s", wantOf(f.op), quote(text))
	}
	s.src, s.pos = text, 0
	return s.integer(f.op)
}

func (s *inState) textBool(text []byte) bool {
	switch string(text) {
	case "true":
		s.dst = append(s.dst, 1)
	case "false":
		s.dst = append(s.dst, 0)
	default:
		return s.fail("expected true or false, got %s", quote(text))
	}
	return true
}

func (s *inState) textFloat(op inOp, text []byte) bool {
	size := 64
	if op == inFloat {
		size = 32
	}
	if v, ok := specialFloat(text); ok {
		s.putFloat(v, size)
		return true
	}
	if len(text) == 0 || scanNumber(text, 0) != len(text) {
		return s.fail("expected a number, got %s", quote(text))
	}
	s.src, s.pos = text, 0
	return s.float(size)
}

// wantOf says what an integer field takes.
func wantOf(op inOp) string {
	switch op {
	case inInt32, inSint32, inSfixed32:
		return wantInt32
	case inUint32, inFixed32:
		return wantUint32
	case inUint64, inFixed64:
		return wantUint64
	}
	return wantInt64
}

// textMessage writes a message that has a textual form, after its length.
func (s *inState) textMessage(p *inPlan, text []byte) bool {
	start := s.begin(1)
	ok := false
	want := "a value"
	switch p.form {
	case formTimestamp:
		var seconds, nanos int64
		seconds, nanos, ok = parseTimestamp(text)
		s.putSeconds(seconds, nanos)
		want = wantTimestamp
	case formDuration:
		var seconds, nanos int64
		seconds, nanos, ok = parseDuration(text)
		s.putSeconds(seconds, nanos)
		want = wantDuration
	case formFieldMask:
		ok = s.putPaths(text, true)
		want = wantFieldMask
	case formWrapper:
		ok = s.textWrapper(&p.fields[0], text)
	default:
		s.src, s.pos = text, 0
		ok = s.document(p, nil)
	}
	if !ok {
		return s.fail("expected %s, got %s", want, quote(text))
	}
	s.finish(start, 1)
	return true
}

func (s *inState) textWrapper(f *inField, text []byte) bool {
	start := len(s.dst)
	s.putTag(f.tag)
	at := len(s.dst)
	if !s.textValue(f, text) {
		return false
	}
	if isZero(s.dst[at:], f.op) {
		s.dst = s.dst[:start]
	}
	return true
}
