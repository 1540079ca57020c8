package transcode

import (
	"maps"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// inOp says how one value of a field is written.
type inOp uint8

const (
	inBool inOp = iota
	inInt32
	inInt64
	inUint32
	inUint64
	inSint32
	inSint64
	inFixed32
	inFixed64
	inSfixed32
	inSfixed64
	inFloat
	inDouble
	inEnum
	inString // the kinds above are numbers on the wire
	inBytes
	inMessage
	inGroup
)

// inForm is the JSON form of a message.
type inForm uint8

const (
	formObject inForm = iota
	formMessageSet
	// What follows are the well-known types with a form of their own; inside
	// an Any it stands in the member "value".
	formEmpty
	formAny
	formTimestamp
	formDuration
	formWrapper
	formStruct
	formList
	formValue
	formFieldMask
)

// inPlan is how JSON becomes one type of message. It is immutable once
// published, but for what it has learned about sizes.
type inPlan struct {
	desc   protoreflect.MessageDescriptor
	form   inForm
	fields []inField
	// keys holds `"name":` of each field, to compare with the input at once.
	keys []string
	// byName finds a field's index by its JSON name and its proto name.
	byName map[string]int
	oneofs []string
	// required counts the fields that must be set.
	required int
	// words is how many words of 64 bits a set of fields and oneofs takes
	// beyond the first.
	words int
	// width is how many bytes the last message's length took.
	width atomic.Uint32
	// ext holds the extensions met so far, by full name.
	ext learned[*inField]
}

// inField is how one field is written.
type inField struct {
	desc  protoreflect.FieldDescriptor
	json  string
	proto string
	tag   []byte // as wire bytes, with the wire type of one value
	end   []byte // a group's end tag
	pack  []byte // the tag of a packed list
	index int
	oneof int // its bit in the set of members, -1 outside oneofs

	op       inOp
	list     bool
	packed   bool
	isMap    bool
	implicit bool // no presence: the zero value is not written
	required bool
	// nullIsValue holds for google.protobuf.Value and NullValue, where null is
	// a value like any other.
	nullIsValue bool

	plans *inPlans               // where the plans of messages and groups are made
	msg   atomic.Pointer[inPlan] // made when it is first met
	enum  *inEnumPlan            // of enums
	key   *inField               // of maps
	value *inField               // of maps
	width atomic.Uint32
}

// inEnumPlan finds an enum's numbers.
type inEnumPlan struct {
	desc    protoreflect.EnumDescriptor
	numbers map[string]int32
	isNull  bool
}

// learned is a map that grows by what is looked up and resolves; reading it
// takes no lock.
type learned[V any] struct {
	mu  sync.Mutex
	now atomic.Pointer[map[string]V]
}

func (l *learned[V]) get(name []byte) (v V, ok bool) {
	if m := l.now.Load(); m != nil {
		v, ok = (*m)[string(name)]
	}
	return v, ok
}

func (l *learned[V]) put(name string, v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := map[string]V{}
	if m := l.now.Load(); m != nil {
		next = maps.Clone(*m)
	}
	next[name] = v
	l.now.Store(&next)
}

// inPlans compiles plans and keeps them, one for each message descriptor.
type inPlans struct {
	mu    sync.Mutex
	plans map[protoreflect.MessageDescriptor]*inPlan
	// optional are messages known to reach no required field.
	optional map[protoreflect.MessageDescriptor]bool
}

// message returns the plan of the messages that the field holds. The types of fields
// are compiled when they are met, so that a large schema costs what is used of it.
func (f *inField) message() *inPlan {
	if p := f.msg.Load(); p != nil {
		return p
	}
	return f.compileMessage()
}

func (f *inField) compileMessage() *inPlan {
	p := f.plans.message(f.desc.Message())
	f.msg.Store(p)
	return p
}

func (c *inPlans) message(md protoreflect.MessageDescriptor) *inPlan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plan(md)
}

// field compiles a field on its own: an extension.
func (c *inPlans) field(fd protoreflect.FieldDescriptor) *inField {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := new(inField)
	c.fill(f, fd)
	f.oneof, f.index = -1, -1
	f.json = "[" + string(fd.FullName()) + "]"
	return f
}

// plan enters the plan before it compiles the fields, so that recursive types
// find themselves.
func (c *inPlans) plan(md protoreflect.MessageDescriptor) *inPlan {
	if p := c.plans[md]; p != nil {
		return p
	}
	if c.plans == nil {
		c.plans = map[protoreflect.MessageDescriptor]*inPlan{}
	}
	fds := md.Fields()
	p := &inPlan{desc: md, form: formOf(md), fields: make([]inField, fds.Len()), byName: map[string]int{}}
	p.width.Store(1)
	c.plans[md] = p
	names := jsonNames(md)
	for i := range fds.Len() {
		c.fill(&p.fields[i], fds.Get(i))
		p.fields[i].json = names[i]
		p.add(&p.fields[i], i)
	}
	p.addNames()
	p.words = (len(p.fields) + len(p.oneofs)) / 64
	if !p.asKnown() {
		p.form = formObject
	}
	return p
}

// asKnown reports whether a message with the name of a well-known type has its
// fields too, which a schema of unknown origin need not keep to.
func (p *inPlan) asKnown() bool {
	switch p.form {
	case formWrapper:
		return len(p.fields) == 1 && p.fields[0].op < inMessage
	case formStruct:
		return len(p.fields) == 1 && p.fields[0].isMap
	case formList:
		return len(p.fields) == 1 && p.fields[0].list
	case formValue:
		return len(p.fields) == 6 && p.fields[0].enum != nil && p.fields[1].op == inDouble &&
			p.fields[2].op == inString && p.fields[3].op == inBool &&
			p.fields[4].wraps() && p.fields[5].wraps()
	}
	return true
}

// wraps reports whether a field holds messages of one field.
func (f *inField) wraps() bool { return f.op >= inMessage && f.desc.Message().Fields().Len() == 1 }

// add enters field i of the plan.
func (p *inPlan) add(f *inField, i int) {
	f.index, f.oneof = i, -1
	p.keys = append(p.keys, `"`+f.json+`":`)
	if f.required {
		p.required++
	}
	od := f.desc.ContainingOneof()
	if od == nil || od.IsSynthetic() {
		return
	}
	name := string(od.Name())
	for j, known := range p.oneofs {
		if known == name {
			f.oneof = len(p.fields) + j
			return
		}
	}
	f.oneof = len(p.fields) + len(p.oneofs)
	p.oneofs = append(p.oneofs, name)
}

// addNames enters the JSON names first: they win where another field has the
// same proto name.
func (p *inPlan) addNames() {
	for i := range p.fields {
		if _, ok := p.byName[p.fields[i].json]; !ok {
			p.byName[p.fields[i].json] = i
		}
	}
	for i := range p.fields {
		name := p.fields[i].desc.TextName()
		if _, ok := p.byName[name]; !ok {
			p.byName[name] = i
		}
	}
}

// names returns the names to choose the nearest from.
func (p *inPlan) names() []string {
	names := make([]string, 0, len(p.fields))
	for i := range p.fields {
		names = append(names, p.fields[i].json)
	}
	return names
}

// lookup finds a field by either of its names, nil if there is none.
func (p *inPlan) lookup(name []byte) *inField {
	if i, ok := p.byName[string(name)]; ok {
		return &p.fields[i]
	}
	return nil
}

func (c *inPlans) fill(f *inField, fd protoreflect.FieldDescriptor) {
	f.desc, f.json, f.proto = fd, fd.JSONName(), string(fd.Name())
	f.list, f.isMap, f.packed = fd.IsList(), fd.IsMap(), fd.IsPacked()
	f.implicit = !f.list && !f.isMap && !fd.HasPresence()
	f.required = fd.Cardinality() == protoreflect.Required
	f.op = opOf(fd)
	f.width.Store(1)
	wireType := inWireType(f.op)
	f.tag = protowire.AppendTag(nil, fd.Number(), wireType)
	f.end = protowire.AppendTag(nil, fd.Number(), protowire.EndGroupType)
	f.pack = protowire.AppendTag(nil, fd.Number(), protowire.BytesType)
	if f.isMap {
		f.key, f.value = new(inField), new(inField)
		c.fill(f.key, fd.MapKey())
		c.fill(f.value, fd.MapValue())
		f.key.implicit, f.value.implicit = false, false
		return
	}
	f.plans = c
	if md := fd.Message(); md != nil && formOf(md) == formValue {
		f.nullIsValue = c.plan(md).form == formValue
	}
	if ed := fd.Enum(); ed != nil {
		f.enum = enumOf(ed)
		f.nullIsValue = f.enum.isNull
	}
}

func enumOf(ed protoreflect.EnumDescriptor) *inEnumPlan {
	values := ed.Values()
	e := &inEnumPlan{desc: ed, numbers: make(map[string]int32, values.Len())}
	e.isNull = ed.FullName() == "google.protobuf.NullValue"
	for i := range values.Len() {
		e.numbers[string(values.Get(i).Name())] = int32(values.Get(i).Number())
	}
	return e
}

// names returns the enum's names in the order of declaration.
func (e *inEnumPlan) names() []string {
	values := e.desc.Values()
	names := make([]string, 0, values.Len())
	for i := range values.Len() {
		names = append(names, string(values.Get(i).Name()))
	}
	return names
}

func opOf(fd protoreflect.FieldDescriptor) inOp {
	ops := [...]inOp{
		protoreflect.BoolKind: inBool, protoreflect.EnumKind: inEnum,
		protoreflect.Int32Kind: inInt32, protoreflect.Sint32Kind: inSint32, protoreflect.Uint32Kind: inUint32,
		protoreflect.Int64Kind: inInt64, protoreflect.Sint64Kind: inSint64, protoreflect.Uint64Kind: inUint64,
		protoreflect.Sfixed32Kind: inSfixed32, protoreflect.Fixed32Kind: inFixed32, protoreflect.FloatKind: inFloat,
		protoreflect.Sfixed64Kind: inSfixed64, protoreflect.Fixed64Kind: inFixed64, protoreflect.DoubleKind: inDouble,
		protoreflect.StringKind: inString, protoreflect.BytesKind: inBytes,
		protoreflect.MessageKind: inMessage, protoreflect.GroupKind: inGroup,
	}
	return ops[fd.Kind()]
}

func inWireType(op inOp) protowire.Type {
	switch op {
	case inFixed32, inSfixed32, inFloat:
		return protowire.Fixed32Type
	case inFixed64, inSfixed64, inDouble:
		return protowire.Fixed64Type
	case inString, inBytes, inMessage:
		return protowire.BytesType
	case inGroup:
		return protowire.StartGroupType
	}
	return protowire.VarintType
}

// formOf tells the JSON form of a message by its full name, as protojson does.
func formOf(md protoreflect.MessageDescriptor) inForm {
	if set, ok := md.(interface{ IsMessageSet() bool }); ok && set.IsMessageSet() {
		return formMessageSet
	}
	switch md.FullName() {
	case "google.protobuf.Any":
		return formAny
	case "google.protobuf.Empty":
		return formEmpty
	case "google.protobuf.Timestamp":
		return formTimestamp
	case "google.protobuf.Duration":
		return formDuration
	case "google.protobuf.Struct":
		return formStruct
	case "google.protobuf.ListValue":
		return formList
	case "google.protobuf.Value":
		return formValue
	case "google.protobuf.FieldMask":
		return formFieldMask
	case "google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue",
		"google.protobuf.Int32Value", "google.protobuf.Int64Value", "google.protobuf.UInt32Value",
		"google.protobuf.UInt64Value", "google.protobuf.FloatValue", "google.protobuf.DoubleValue":
		return formWrapper
	}
	return formObject
}
