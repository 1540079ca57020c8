package transcode

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// responseRule says what of a response message is shown, and how.
type responseRule struct {
	enc *Encoder // of the whole message
	// field is the response_body, nil for the whole message.
	field  protoreflect.FieldDescriptor
	name   string // the field's name in the encoder's output
	absent string // what is shown where the field is not set
	raw    bool   // as a google.api.HttpBody
}

// BinaryType is the media type of a google.api.HttpBody that names none.
const BinaryType = "application/octet-stream"

func (b *bindingPlan) bindResponse(c *Compiler, out protoreflect.MessageDescriptor, name string) error {
	r := &b.response
	shown := out
	if name != "" {
		r.field = out.Fields().ByName(protoreflect.Name(name))
		if r.field == nil {
			hint := didYouMean(name, c.in.message(out).protoNames())
			if strings.Contains(name, ".") {
				hint = "; a response_body is a top-level field"
			}
			return fmt.Errorf("response_body: %s has no field %q%s", out.FullName(), name, hint)
		}
		r.name, r.absent = c.jsonName(r.field), c.absentJSON(r.field)
		shown = nil
		if r.field.Cardinality() != protoreflect.Repeated {
			shown = r.field.Message()
		}
	}
	r.raw = shown != nil && isHTTPBody(shown)
	return nil
}

// jsonName is the field's name in the output of the encoder.
func (c *Compiler) jsonName(fd protoreflect.FieldDescriptor) string {
	if c.opts.UseProtoNames {
		return fd.TextName()
	}
	return jsonName(fd)
}

// absentJSON is the JSON of a field that is not set: the empty list, map or
// message, the zero value, or null where a zero would be a value of its own.
func (c *Compiler) absentJSON(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsList():
		return "[]"
	case fd.IsMap():
		return "{}"
	case fd.Message() != nil && formOf(fd.Message()) <= formEmpty:
		return "{}"
	case fd.HasPresence():
		return "null"
	}
	switch fd.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return `""`
	case protoreflect.BoolKind:
		return "false"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind,
		protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return `"0"`
	case protoreflect.EnumKind:
		return c.zeroEnum(fd.Enum())
	}
	return "0"
}

func (c *Compiler) zeroEnum(ed protoreflect.EnumDescriptor) string {
	v := ed.Values().ByNumber(0)
	switch {
	case ed.FullName() == "google.protobuf.NullValue":
		return "null"
	case v == nil || c.opts.UseEnumNumbers:
		return "0"
	}
	return strconv.Quote(string(v.Name()))
}

// errBroken says that the backend's answer cannot be read.
var errBroken = errors.New("the response is not a valid protobuf message")

// append appends what an HTTP client gets for a response message.
func (r *responseRule) append(rt *inRuntime, dst, wire []byte, until call.Lifetime) (out []byte, contentType string, raw bool, err error) {
	if r.raw {
		return r.appendRaw(dst, wire)
	}
	if r.field == nil {
		out, err = r.enc.AppendUntil(dst, wire, until)
		return out, "", false, err
	}
	s := rt.start(nil, nil, until)
	defer rt.end(s)
	only, found, err := r.only(s.scratch[:0], wire)
	s.scratch = only
	if err != nil {
		return dst, "", false, err
	}
	if !found {
		return append(dst, r.absent...), "", false, nil
	}
	out, err = r.enc.AppendUntil(dst, only, until)
	if err != nil {
		return dst, "", false, err
	}
	out = r.member(s, out, len(dst))
	if s.pulse.over != nil {
		return dst, "", false, s.pulse.over
	}
	return out, "", false, nil
}

// only appends the records of the response's field to dst.
func (r *responseRule) only(dst, wire []byte) (_ []byte, found bool, err error) {
	for len(wire) > 0 {
		num, _, n := protowire.ConsumeField(wire)
		if n < 0 {
			return dst, false, errBroken
		}
		if num == r.field.Number() {
			dst, found = append(dst, wire[:n]...), true
		}
		wire = wire[n:]
	}
	return dst, found, nil
}

// member reduces the object at out[start:], which the encoder wrote, to the
// value of the response's field.
func (r *responseRule) member(s *inState, out []byte, start int) []byte {
	s.src, s.pos = out[start:], 1
	for !s.closed('}') {
		name, ok := s.name()
		at := s.pos
		if !ok || !s.skip() {
			break
		}
		if string(name) == r.name {
			n := copy(s.src, s.src[at:s.pos])
			return out[:start+n]
		}
		s.closed(',')
	}
	return append(out[:start], r.absent...)
}

// appendRaw appends the document in a google.api.HttpBody.
func (r *responseRule) appendRaw(dst, wire []byte) (out []byte, contentType string, raw bool, err error) {
	doc := rawDocument{media: BinaryType}
	if r.field == nil {
		err = doc.read(wire)
	}
	for rest := wire; r.field != nil && err == nil && len(rest) > 0; {
		num, typ, n := protowire.ConsumeField(rest)
		if n < 0 {
			return dst, "", false, errBroken
		}
		if num == r.field.Number() && typ == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(rest)
			body, _ := protowire.ConsumeBytes(rest[tag:])
			err = doc.read(body)
		}
		rest = rest[n:]
	}
	if err != nil {
		return dst, "", false, err
	}
	return append(dst, doc.data...), doc.media, true, nil
}

// rawDocument is what a google.api.HttpBody holds.
type rawDocument struct {
	media string
	data  []byte
}

// read takes over what the wire bytes of a google.api.HttpBody set.
func (d *rawDocument) read(wire []byte) error {
	for len(wire) > 0 {
		num, typ, tag := protowire.ConsumeTag(wire)
		n := protowire.ConsumeFieldValue(num, typ, wire[max(tag, 0):])
		if tag < 0 || n < 0 {
			return errBroken
		}
		value, _ := protowire.ConsumeBytes(wire[tag:])
		switch {
		case typ != protowire.BytesType:
		case num == 1 && len(value) > 0:
			d.media = string(value)
		case num == 2:
			d.data = value
		}
		wire = wire[tag+n:]
	}
	return nil
}
