package transcode

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// outPlan is how one type of message becomes JSON. It is immutable once
// published.
type outPlan struct {
	desc   protoreflect.MessageDescriptor
	form   inForm
	fields []outField
	// byNumber finds fields with small numbers; others are in sparse.
	byNumber []*outField
	sparse   map[protowire.Number]*outField
	// words is how many words of 64 bits a set of fields and oneofs takes
	// beyond the first.
	words int
	// absent are those of the first 64 fields that are written though they are
	// not set; absentMore tells that there are others.
	absent     uint64
	absentMore bool
	oneofs     int
	extensible bool
	ext        learned[*outField]
}

// outField is how one field is written.
type outField struct {
	desc   protoreflect.FieldDescriptor
	name   string         // as the contract says it, for errors
	key    string         // `,"name":`
	head   [shortKey]byte // the key again, or as much of it as there is room for
	absent []byte         // what is written if it is not set: key and default, or null; nil for nothing
	bit    int            // its own or its oneof's in the set of members; -1 for extensions
	oneof  int            // which of its message's oneofs it is in; -1 outside

	op       inOp
	wire     protowire.Type
	tag      uint32 // of one value
	packed   uint32 // of a list's values together; tag again if they cannot be
	mask     uint64 // the bits of a varint that count
	list     bool
	isMap    bool
	implicit bool // the zero value is as good as absent, and not written
	strict   bool // strings that are not UTF-8 are refused even where they are replaced

	msg      atomic.Pointer[outPlan] // compiled when it is first met
	enum     *outEnum
	mapKey   *outField
	mapValue *outField
}

// outEnum has the names of an enum's numbers, in quotes.
type outEnum struct {
	small  [][]byte
	names  map[int32][]byte
	isNull bool
}

const (
	denseNumbers = 256 // field numbers up to this are found by index
	denseEnum    = 64
)

// outPlans compiles plans and keeps them, one for each message descriptor.
type outPlans struct {
	opts  Options
	mu    sync.Mutex
	plans map[protoreflect.MessageDescriptor]*outPlan
}

// message returns the plan of a type, compiled if need be. The types of its
// fields are compiled when they are met, so that recursive types find
// themselves and a large schema costs what is used of it.
func (c *outPlans) message(md protoreflect.MessageDescriptor) *outPlan {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.plans[md]; p != nil {
		return p
	}
	if c.plans == nil {
		c.plans = map[protoreflect.MessageDescriptor]*outPlan{}
	}
	p := c.compile(md)
	c.plans[md] = p
	return p
}

// message returns the plan of the messages that the field holds.
func (f *outField) message(c *outRuntime) *outPlan {
	if p := f.msg.Load(); p != nil {
		return p
	}
	return f.compileMessage(c)
}

func (f *outField) compileMessage(c *outRuntime) *outPlan {
	p := c.message(f.desc.Message())
	f.msg.Store(p)
	return p
}

// extension compiles a field on its own.
func (c *outPlans) extension(fd protoreflect.FieldDescriptor) *outField {
	f := new(outField)
	c.fill(f, fd, fd.JSONName())
	f.name = "[" + string(fd.FullName()) + "]"
	f.setKey(`"` + f.name + `"`)
	f.absent, f.bit, f.implicit = nil, -1, false
	return f
}

func (c *outPlans) compile(md protoreflect.MessageDescriptor) *outPlan {
	fds := md.Fields()
	p := &outPlan{desc: md, form: formOf(md), fields: make([]outField, fds.Len()), extensible: md.ExtensionRanges().Len() > 0}
	names := jsonNames(md)
	for i := range p.fields {
		f := &p.fields[i]
		c.fill(f, fds.Get(i), names[i])
		f.bit = i
		p.index(f)
		switch {
		case f.absent == nil:
		case i < 64:
			p.absent |= 1 << i
		default:
			p.absentMore = true
		}
	}
	p.shareBits(md)
	p.words = (len(p.fields) - 1) / 64
	if !p.asKnown() {
		p.form = formObject
	}
	return p
}

// shareBits gives the members of a oneof the bit of its first: only one of them
// may be met.
func (p *outPlan) shareBits(md protoreflect.MessageDescriptor) {
	oneofs := md.Oneofs()
	for i := range oneofs.Len() {
		od := oneofs.Get(i)
		if od.IsSynthetic() {
			continue
		}
		first := od.Fields().Get(0).Index()
		for j := range od.Fields().Len() {
			f := &p.fields[od.Fields().Get(j).Index()]
			f.bit, f.oneof = first, p.oneofs
		}
		p.oneofs++
	}
}

// index makes f found by its number.
func (p *outPlan) index(f *outField) {
	n := f.desc.Number()
	if n > denseNumbers {
		if p.sparse == nil {
			p.sparse = map[protowire.Number]*outField{}
		}
		p.sparse[n] = f
		return
	}
	for len(p.byNumber) <= int(n) {
		p.byNumber = append(p.byNumber, nil)
	}
	p.byNumber[n] = f
}

// find returns the field of a number, or nil.
func (p *outPlan) find(n protowire.Number) *outField {
	if int(n) < len(p.byNumber) {
		return p.byNumber[n]
	}
	return p.sparse[n]
}

// asKnown reports whether a message with the name of a well-known type has its
// fields too, which a contract of unknown origin need not keep to.
func (p *outPlan) asKnown() bool {
	number := func(n protowire.Number, op inOp, list, isMap bool) bool {
		f := p.find(n)
		return f != nil && f.op == op && f.list == list && f.isMap == isMap
	}
	switch p.form {
	case formAny:
		return number(1, inString, false, false) && number(2, inBytes, false, false)
	case formTimestamp, formDuration:
		return number(1, inInt64, false, false) && number(2, inInt32, false, false)
	case formWrapper:
		f := p.find(1)
		return f != nil && !f.list && !f.isMap && f.op < inMessage
	case formStruct:
		return number(1, inMessage, false, true)
	case formList:
		return number(1, inMessage, true, false)
	case formFieldMask:
		return number(1, inString, true, false)
	case formValue:
		return number(1, inEnum, false, false) && number(2, inDouble, false, false) && number(3, inString, false, false) &&
			number(4, inBool, false, false) && number(5, inMessage, false, false) && number(6, inMessage, false, false)
	}
	return true
}

func (c *outPlans) fill(f *outField, fd protoreflect.FieldDescriptor, name string) {
	f.desc, f.op, f.oneof = fd, opOf(fd), -1
	f.list, f.isMap, f.strict = fd.IsList(), fd.IsMap(), call.EnforcesUTF8(fd)
	f.wire = inWireType(f.op)
	if f.isMap {
		f.wire = protowire.BytesType
		f.mapKey, f.mapValue = new(outField), new(outField)
		c.fill(f.mapKey, fd.MapKey(), "key")
		c.fill(f.mapValue, fd.MapValue(), "value")
	}
	f.tag = uint32(protowire.EncodeTag(fd.Number(), f.wire))
	if f.packed = f.tag; f.list && f.op < inString {
		f.packed = uint32(protowire.EncodeTag(fd.Number(), protowire.BytesType))
	}
	f.mask = maskOf(f.op)
	f.name = fd.TextName()
	if c.opts.UseProtoNames {
		name = f.name
	}
	f.setKey(quoteJSON(name))
	if ed := fd.Enum(); ed != nil {
		f.enum = newOutEnum(ed, c.opts.UseEnumNumbers)
	}
	switch {
	case c.opts.EmitDefaults && fd.ContainingOneof() == nil:
		f.absent = append([]byte(f.key), unset(f)...)
	case !f.list && !f.isMap:
		f.implicit = !fd.HasPresence()
	}
}

// shortKey is what most keys fit into, with comma, quotes and colon.
const shortKey = 32

func (f *outField) setKey(quoted string) {
	f.key = "," + quoted + ":"
	copy(f.head[:], f.key)
}

// maskOf returns the bits of a varint that count: protobuf cuts wider numbers.
func maskOf(op inOp) uint64 {
	switch op {
	case inInt32, inUint32, inSint32, inEnum:
		return math.MaxUint32
	}
	return math.MaxUint64
}

// unset is what stands for a field that is not set, as protojson's
// EmitUnpopulated has it.
func unset(f *outField) []byte {
	switch {
	case f.isMap:
		return []byte("{}")
	case f.list:
		return []byte("[]")
	case f.desc.HasPresence():
		return []byte("null")
	}
	s := outState{}
	s.scalar(f, part{})
	return s.dst
}

// quoteJSON returns a name as a JSON string. A json_name may be any text.
func quoteJSON(name string) string {
	s := outState{src: []byte(strings.ToValidUTF8(name, "\ufffd"))}
	s.text(0, len(s.src))
	return string(s.dst)
}

func newOutEnum(ed protoreflect.EnumDescriptor, numbers bool) *outEnum {
	e := &outEnum{isNull: ed.FullName() == "google.protobuf.NullValue", names: map[int32][]byte{}}
	if numbers {
		return e
	}
	values := ed.Values()
	for i := range values.Len() {
		n := int32(values.Get(i).Number())
		if e.names[n] == nil { // of aliases, the first
			e.names[n] = []byte(quoteJSON(string(values.Get(i).Name())))
		}
	}
	for n := range int32(denseEnum) {
		e.small = append(e.small, e.names[n])
	}
	return e
}

// name is the quoted name of a number, nil if it has none.
func (e *outEnum) name(n int32) []byte {
	if n >= 0 && int(n) < len(e.small) {
		return e.small[n]
	}
	return e.names[n]
}
