package transcode

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// queryState is a query under way.
type queryState struct {
	key, value []byte
	chain      []*inField
	seen       []byte  // what was set, as stretches for the key set
	keys       *keySet // of the stretches
	masked     bool    // the query gives the field mask
}

func (q *queryState) reset() {
	q.chain, q.seen, q.keys, q.masked = q.chain[:0], q.seen[:0], nil, false
}

// readQuery writes what the query sets, one field for each parameter.
func (b *bindingPlan) readQuery(s *inState, in *call.Input) bool {
	if in.RawQuery == "" {
		return true
	}
	s.query.keys = s.pushSet()
	defer s.popSet()
	if f := b.body.field; f != nil && f.oneof >= 0 && len(in.Body) > 0 {
		s.chooses(0, f)
	}
	count := 0
	for rest := in.RawQuery; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if pair == "" {
			continue
		}
		if count++; count > b.opts.MaxQueryParams {
			return s.fail("more than %d query parameters", b.opts.MaxQueryParams)
		}
		if !b.readPair(s, pair) {
			return false
		}
	}
	return true
}

func (b *bindingPlan) readPair(s *inState, pair string) bool {
	key, value, _ := strings.Cut(pair, "=")
	var ok bool
	if s.query.key, ok = unescape(s.query.key[:0], key); !ok {
		return s.fail("query parameter %s: bad percent-encoding, invalid UTF-8 or a bare \";\"", quote([]byte(key)))
	}
	if s.query.value, ok = unescape(s.query.value[:0], value); !ok {
		s.fail("bad percent-encoding, invalid UTF-8 or a bare \";\" in %s", quote([]byte(value)))
		return s.withinGiven(s.query.key)
	}
	if b.param(s, s.query.key) {
		return true
	}
	return s.withinGiven(s.query.key)
}

// unescape appends a decoded part of a query. A semicolon is refused: there
// are servers that take it for "&".
func unescape(dst []byte, part string) ([]byte, bool) {
	for i := 0; i < len(part); i++ {
		c := part[i]
		switch c {
		case '%':
			if i+2 >= len(part) || unhex(part[i+1]) > 15 || unhex(part[i+2]) > 15 {
				return dst, false
			}
			c = unhex(part[i+1])<<4 | unhex(part[i+2])
			i += 2
		case '+':
			c = ' '
		case ';':
			return dst, false
		}
		dst = append(dst, c)
	}
	return dst, utf8.Valid(dst)
}

// param writes the field that a parameter names. The name leads through
// messages by dots, to JSON names or proto names.
func (b *bindingPlan) param(s *inState, name []byte) bool {
	s.query.chain = s.query.chain[:0]
	if b.body.all {
		return b.unknown(s, nil, name)
	}
	p, g, rest := b.plan, b.guard, name
	for {
		f, tail := p.step(rest)
		if f == nil {
			return b.unknown(s, p, rest)
		}
		if why := b.taken(f, p, g); why != "" {
			return s.fail("%s", why)
		}
		if g != nil && g.fields[f.index].slot >= 0 && len(tail) == 0 {
			return b.repeatPath(s, f, &g.fields[f.index])
		}
		if len(tail) == 0 || tail[0] == '[' {
			return b.set(s, f, tail)
		}
		if !f.nests() {
			return s.fail("%s has no fields that a query can name", f.desc.FullName())
		}
		if len(s.query.chain) >= s.rt.maxDepth {
			return s.fail("nested deeper than %d levels", s.rt.maxDepth)
		}
		s.query.chain = append(s.query.chain, f)
		if g != nil {
			g = g.fields[f.index].inner
		}
		p, rest = f.message(), tail[1:]
	}
}

// step finds the field that a name begins with and returns what is left: "",
// ".more" or "[key]".
func (p *inPlan) step(name []byte) (*inField, []byte) {
	if f := p.lookup(name); f != nil {
		return f, nil
	}
	i := bytes.IndexAny(name, ".[")
	if i < 0 {
		return nil, nil
	}
	return p.lookup(name[:i]), name[i:]
}

// taken says why the query cannot set a field, "" if it can.
func (b *bindingPlan) taken(f *inField, p *inPlan, g *guard) string {
	if p == b.plan && f == b.body.field {
		return "this field is the body, which the query cannot change"
	}
	if g == nil || g.fields[f.index].slot >= 0 {
		return "" // see repeatPath
	}
	return g.fields[f.index].why
}

// repeatPath reads a parameter for a field that the path binds. It sets nothing,
// and may only say what leaves the path's value as it is.
func (b *bindingPlan) repeatPath(s *inState, f *inField, w *guardedField) bool {
	if !b.fresh(s, f) {
		return false
	}
	start := len(s.dst)
	ok := s.textValue(f, s.query.value)
	same := ok && s.agreesWithPath(f, s.dst[start:], w.slot)
	s.dst = s.dst[:start]
	return same || ok && s.fail("%s", w.why)
}

// unknown handles a parameter that names no field of p, which is nil where the
// binding takes no parameters at all.
func (b *bindingPlan) unknown(s *inState, p *inPlan, rest []byte) bool {
	if b.opts.IgnoreUnknownQuery {
		return true
	}
	for _, pattern := range b.opts.AllowQuery {
		if matches(pattern, s.query.key) {
			return true
		}
	}
	if p == nil {
		return s.fail("this method takes no query parameters here; give its fields in the body")
	}
	name := string(rest)
	if i := bytes.IndexAny(rest, ".["); i >= 0 {
		name = name[:i]
	}
	return s.fail("unknown query parameter: %s has no such field%s", p.desc.FullName(), didYouMean(name, p.names()))
}

// matches compares with a pattern in which "*" stands for any text. It goes
// back to the last "*" only, so its cost is at most the product of the lengths.
func matches(pattern string, name []byte) bool {
	star, mark, i := -1, 0, 0
	for j := 0; j < len(name); {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && pattern[i] == name[j]:
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}

// set writes one value of the field at the end of the chain.
func (b *bindingPlan) set(s *inState, f *inField, key []byte) bool {
	if len(key) > 0 || f.isMap {
		return b.setEntry(s, f, key)
	}
	if !f.inQuery() {
		return s.fail("a %s cannot be given as one query parameter%s", f.desc.Message().FullName(), f.fieldsHint())
	}
	if !b.fresh(s, f) {
		return false
	}
	if f == b.mask && len(s.query.chain) == 0 {
		s.query.masked = len(bytes.TrimSpace(s.query.value)) > 0
	}
	return s.nested(s.query.chain, func() bool {
		start := len(s.dst)
		s.putTag(f.tag)
		at := len(s.dst)
		ok := s.textValue(f, s.query.value)
		if ok && f.implicit && isZero(s.dst[at:], f.op) {
			s.dst = s.dst[:start]
		}
		return ok
	})
}

// inQuery reports whether one parameter can hold one value of the field.
func (f *inField) inQuery() bool {
	if f.hasText() {
		return true
	}
	switch f.message().form {
	case formStruct, formList, formValue:
		return f.op == inMessage // as JSON
	}
	return false
}

// fieldsHint tells how to name what is inside a message.
func (f *inField) fieldsHint() string {
	if !f.nests() || len(f.message().fields) == 0 {
		return ""
	}
	return "; name its fields one by one, as in " + f.json + "." + f.message().fields[0].json
}

// setEntry writes an entry of a map, given as name[key].
func (b *bindingPlan) setEntry(s *inState, f *inField, key []byte) bool {
	if !f.isMap {
		return s.fail("%s is not a map, so it takes no key", f.desc.FullName())
	}
	if len(key) < 2 || key[len(key)-1] != ']' {
		return s.fail("a map takes its entries one by one, as in %s[key]", f.json)
	}
	if !f.value.inQuery() {
		return s.fail("the entries of %s cannot be given in a query", f.desc.FullName())
	}
	if !b.chosen(s) {
		return false
	}
	return s.nested(s.query.chain, func() bool { return b.putEntry(s, f, key[1:len(key)-1]) })
}

func (b *bindingPlan) putEntry(s *inState, f *inField, key []byte) bool {
	s.putTag(f.tag)
	start := s.begin(1)
	s.putTag(f.key.tag)
	if !s.mapKey(f.key, key) {
		return false
	}
	if !s.first(f, s.dst[start:]) {
		return s.fail("map key given more than once")
	}
	s.putTag(f.value.tag)
	if !s.textValue(f.value, s.query.value) {
		return false
	}
	s.finish(start, 1)
	return true
}

// fresh checks that the field at the end of the chain may be set: a single
// field only once, and one member of a oneof only.
func (b *bindingPlan) fresh(s *inState, f *inField) bool {
	if !b.chosen(s) {
		return false
	}
	if f.oneof >= 0 && !s.chooses(len(s.query.chain), f) {
		return s.fail("another member of its oneof is given too")
	}
	if !f.list && !s.first(f, nil) {
		return s.fail("given more than once")
	}
	return true
}

// chosen checks the oneofs that the chain leads through.
func (b *bindingPlan) chosen(s *inState) bool {
	for i, f := range s.query.chain {
		if f.oneof >= 0 && !s.chooses(i, f) {
			return s.fail("another member of the oneof of %s is given too", f.json)
		}
	}
	return true
}

// chooses notes that the oneof of field f, after so many steps of the chain,
// has f set. It returns false if another member is set.
func (s *inState) chooses(steps int, f *inField) bool {
	q := &s.query
	start := len(q.seen)
	s.seenChain(steps)
	q.seen = protowire.AppendVarint(q.seen, uint64(f.oneof)<<1|1)
	if ref := q.keys.find(q.seen, start, len(q.seen)-start); ref != nil {
		q.seen = q.seen[:start]
		return int(ref.value) == f.index
	}
	q.keys.add(q.seen, newKeyRef(start, len(q.seen)-start, f.index))
	return true
}

// first notes that the field at the end of the chain is set, or its entry of
// that key. It returns false if it was set before.
func (s *inState) first(f *inField, key []byte) bool {
	q := &s.query
	start := len(q.seen)
	s.seenChain(len(q.chain))
	q.seen = protowire.AppendVarint(q.seen, uint64(f.index)<<1)
	q.seen = append(q.seen, key...)
	if q.keys.find(q.seen, start, len(q.seen)-start) != nil {
		return false
	}
	q.keys.add(q.seen, newKeyRef(start, len(q.seen)-start, 0))
	return true
}

func (s *inState) seenChain(steps int) {
	s.query.seen = protowire.AppendVarint(s.query.seen, uint64(steps))
	for _, f := range s.query.chain[:steps] {
		s.query.seen = protowire.AppendVarint(s.query.seen, uint64(f.index))
	}
}
