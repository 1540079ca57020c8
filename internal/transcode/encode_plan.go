package transcode

import (
	"strconv"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
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
	// absent tells that some field is written though it is not set.
	absent     bool
	extensible bool
	ext        learned[*outField]
}

// outField is how one field is written.
type outField struct {
	desc   protoreflect.FieldDescriptor
	name   string // as the contract says it, for errors
	key    []byte // `"name":`
	absent []byte // what is written if it is not set: a default or null; nil for nothing
	bit    int    // in the set of members; -1 for extensions
	oneof  int    // its oneof's bit; -1 outside oneofs

	op       inOp
	wire     protowire.Type
	list     bool
	packable bool
	isMap    bool
	implicit bool // no presence: the zero value is not there

	msg      *outPlan
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

func (c *outPlans) message(md protoreflect.MessageDescriptor) *outPlan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plan(md)
}

// extension compiles a field on its own.
func (c *outPlans) extension(fd protoreflect.FieldDescriptor) *outField {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := new(outField)
	c.fill(f, fd)
	f.name = "[" + string(fd.FullName()) + "]"
	f.key, f.absent, f.bit, f.oneof = []byte(`"`+f.name+`":`), nil, -1, -1
	return f
}

// plan enters the plan before it compiles the fields, so that recursive types
// find themselves.
func (c *outPlans) plan(md protoreflect.MessageDescriptor) *outPlan {
	if p := c.plans[md]; p != nil {
		return p
	}
	if c.plans == nil {
		c.plans = map[protoreflect.MessageDescriptor]*outPlan{}
	}
	fds := md.Fields()
	p := &outPlan{desc: md, form: formOf(md), fields: make([]outField, fds.Len()), extensible: md.ExtensionRanges().Len() > 0}
	c.plans[md] = p
	for i := range p.fields {
		f := &p.fields[i]
		c.fill(f, fds.Get(i))
		f.bit = i
		p.index(f)
		p.absent = p.absent || f.absent != nil
	}
	p.words = (p.groupOneofs(md) + 63) / 64
	if !p.asKnown() {
		p.form = formObject
	}
	return p
}

// groupOneofs gives each oneof a bit behind those of the fields and returns how
// many bits there are beyond the first 64.
func (p *outPlan) groupOneofs(md protoreflect.MessageDescriptor) int {
	oneofs := md.Oneofs()
	for i := range oneofs.Len() {
		od := oneofs.Get(i)
		if od.IsSynthetic() {
			continue
		}
		for j := range od.Fields().Len() {
			p.fields[od.Fields().Get(j).Index()].oneof = len(p.fields) + i
		}
	}
	return max(0, len(p.fields)+oneofs.Len()-64)
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
		return f != nil && !f.list && f.op < inMessage
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

func (c *outPlans) fill(f *outField, fd protoreflect.FieldDescriptor) {
	f.desc, f.op, f.oneof = fd, opOf(fd), -1
	f.list, f.isMap = fd.IsList(), fd.IsMap()
	f.implicit = !f.list && !f.isMap && !fd.HasPresence()
	f.wire = inWireType(f.op)
	f.packable = f.list && f.wire != protowire.BytesType && f.wire != protowire.StartGroupType
	f.name = fd.TextName()
	if c.opts.UseProtoNames {
		f.key = []byte(`"` + f.name + `":`)
	} else {
		f.key = []byte(`"` + fd.JSONName() + `":`)
	}
	if ed := fd.Enum(); ed != nil {
		f.enum = newOutEnum(ed, c.opts.UseEnumNumbers)
	}
	if f.isMap {
		f.mapKey, f.mapValue = new(outField), new(outField)
		c.fill(f.mapKey, fd.MapKey())
		c.fill(f.mapValue, fd.MapValue())
		f.wire = protowire.BytesType
	} else if md := fd.Message(); md != nil {
		f.msg = c.plan(md)
	}
	if c.opts.EmitDefaults && fd.ContainingOneof() == nil {
		f.absent = c.unset(f)
	}
}

// unset is what stands for a field that is not set, as protojson's
// EmitUnpopulated has it.
func (c *outPlans) unset(f *outField) []byte {
	switch {
	case f.isMap:
		return []byte("{}")
	case f.list:
		return []byte("[]")
	case f.desc.HasPresence():
		return []byte("null")
	}
	s := outState{}
	var none item
	s.value(f, &none)
	return s.dst
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
			e.names[n] = []byte(strconv.Quote(string(values.Get(i).Name())))
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
