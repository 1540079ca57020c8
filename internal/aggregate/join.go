package aggregate

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// copied is how long a value may be to be copied: a buffer more costs as much.
const copied = 512

// chunk is how much room for own bytes is made at once. Of a chunk that is full
// nothing is copied: the next one is another buffer.
const chunk = 1 << 10

// beside is more than the tag and the length of a value take.
const beside = 20

// room makes room for n own bytes.
func (j *joiner) room(n int) {
	if cap(j.head)-len(j.head) < n {
		j.flush()
		j.head = make([]byte, 0, max(chunk, n))
	}
}

// joiner puts an answer together of bytes of its own and of references to the
// buffers of others.
type joiner struct {
	out  mem.BufferSlice
	head []byte // own bytes that are not in out yet
}

// flush puts the own bytes so far into the answer.
func (j *joiner) flush() {
	if n := len(j.head); n > 0 {
		j.out = append(j.out, mem.SliceBuffer(j.head[:n:n]))
		j.head = j.head[n:] // the room behind it is still ours
	}
}

// field adds a field with a value that lies in buf, nil for memory that nobody
// frees.
func (j *joiner) field(f *wireField, value []byte, buf mem.Buffer) {
	if f.typ != protowire.BytesType || len(value) <= copied {
		j.room(beside + len(value))
		j.head = f.appendOne(j.head, value)
		return
	}
	j.begin(f, len(value))
	if buf == nil {
		j.out = append(j.out, mem.SliceBuffer(value))
		return
	}
	whole := buf.ReadOnlyData()
	// A slice of it ends where its room does, unless it was made anew.
	at := cap(whole) - cap(value)
	if at < 0 || at+len(value) > len(whole) || &whole[at] != &value[0] {
		j.out = append(j.out, mem.SliceBuffer(slices.Clone(value)))
		return
	}
	j.out = append(j.out, buf.Slice(at, at+len(value)))
}

// begin writes what stands before a value of n bytes that is on its way.
func (j *joiner) begin(f *wireField, n int) {
	j.room(beside)
	j.head = protowire.AppendTag(j.head, f.num, protowire.BytesType)
	j.head = protowire.AppendVarint(j.head, uint64(n))
	j.flush()
}

// message adds a field with all of an answer.
func (j *joiner) message(f *wireField, data mem.BufferSlice) {
	n := data.Len()
	if n <= copied {
		j.room(beside + n)
		j.head = protowire.AppendTag(j.head, f.num, protowire.BytesType)
		j.head = protowire.AppendVarint(j.head, uint64(n))
		for _, b := range data {
			j.head = append(j.head, b.ReadOnlyData()...)
		}
		return
	}
	j.begin(f, n)
	data.Ref()
	j.out = append(j.out, data...)
}

// join is the answer. It holds references of its own.
func (r *run) join() mem.BufferSlice {
	j := joiner{out: make(mem.BufferSlice, 0, 2*len(r.plan.joined)+1)}
	for _, s := range r.plan.joined {
		r.land(&j, s)
	}
	if r.plan.missing != nil {
		for _, m := range r.missing() {
			b, _ := proto.Marshal(m) // never fails: its texts are ASCII
			j.head = r.plan.missing.appendOne(j.head, b)
		}
	}
	j.flush()
	return j.out
}

// land adds what came of one step.
func (r *run) land(j *joiner, s *step) {
	res := &r.results[s.index]
	switch {
	case res.err != nil && !s.plural:
		j.head = append(j.head, s.instead...)
	case res.err != nil && s.elements == nil: // of all items, or before they were known
	case s.plural:
		j.items(s, res)
	case s.take == nil:
		j.message(s.into, res.answer.msg.Data)
	default:
		_, in := res.answer.whole()
		j.taken(s.into, res.taken, in)
	}
}

// taken adds what was taken of an answer.
func (j *joiner) taken(f *wireField, v value, in mem.Buffer) {
	switch {
	case f.list && f.packed:
		j.head = f.appendAll(j.head, v.many)
	case f.list:
		for _, one := range v.many {
			j.field(f, one, in)
		}
	case v.one != nil:
		j.field(f, v.one, in)
	}
}

// items adds one element for each item, an empty one or the default for those
// that failed: positions are those of the items.
func (j *joiner) items(s *step, res *result) {
	values := make([][]byte, 0, len(res.items)) // where they are packed
	for i := range res.items {
		e := &res.items[i]
		switch one := s.landing(e); {
		case e.answer != nil:
			j.message(s.into, e.answer.msg.Data)
		case s.into.packed:
			values = append(values, one)
		default:
			j.field(s.into, one, e.buf)
		}
	}
	j.head = s.into.appendAll(j.head, values)
}

// landing is one element: what is taken of the answer, the default, or an empty
// one.
func (s *step) landing(e *element) []byte {
	switch {
	case e.data != nil:
		return e.lands
	case s.elements != nil:
		return s.elements[0]
	default:
		return zero(s.out.kind)
	}
}

// missing tells which steps failed, in the order of the composition.
func (r *run) missing() []*composev1.Missing {
	var all []*composev1.Missing
	for i, s := range r.plan.steps {
		res := &r.results[i]
		switch {
		case res.err != nil:
			all = append(all, &composev1.Missing{Step: s.name, Code: call.CodeName(call.CodeOf(res.err))})
		case len(res.failed) > 0:
			m := &composev1.Missing{Step: s.name, Code: call.CodeName(call.CodeOf(res.failed[0].err))}
			for _, f := range res.failed {
				m.Items = append(m.Items, uint32(f.item))
			}
			all = append(all, m)
		}
	}
	return all
}

// tell says in a header and in a trailer what is missing, or is a fallback's: a
// list of Structured Fields (RFC 9651).
func (r *run) tell(ctx context.Context, opts []grpc.CallOption) {
	var list []string
	for _, m := range r.missing() {
		one := m.GetStep() + "; code=" + m.GetCode()
		if n := len(m.GetItems()); n > 0 {
			one += "; items=" + strconv.Itoa(n)
		}
		list = append(list, one)
	}
	for i, s := range r.plan.steps {
		if res := &r.results[i]; res.err == nil && res.stale != "" {
			list = append(list, s.name+"; "+res.stale)
		}
	}
	if len(list) == 0 {
		return
	}
	text := strings.Join(list, ", ")
	if c := call.From(ctx); c != nil {
		c.AddHeader(Degraded, text)
	}
	for _, o := range opts {
		if t, ok := o.(grpc.TrailerCallOption); ok {
			*t.TrailerAddr = metadata.Join(*t.TrailerAddr, metadata.Pairs(Degraded, text))
		}
	}
}

// instead are the parameters for a step whose own answer told this of itself: that
// a fallback served it, or else that it is composed and parts of it are missing.
func instead(degraded string) string {
	by := "compose"
	if name, _, _ := strings.Cut(degraded, ";"); name == "fallback" { // as that policy names itself
		by = "fallback"
	}
	return "code=" + codeIn(degraded) + "; by=" + by
}

// codeIn is the code in what a step's own answer told of itself.
func codeIn(degraded string) string {
	_, code, _ := strings.Cut(degraded, "code=")
	code, _, _ = strings.Cut(code, ",")
	code, _, _ = strings.Cut(code, ";")
	return strings.TrimSpace(code)
}
