package transcode_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// checked is a decoder next to its oracle.
type checked struct {
	dec           *transcode.Decoder
	desc          protoreflect.MessageDescriptor
	types         *dynamicpb.Types
	ignoreUnknown bool
}

func newChecked(tb testing.TB, syntax, text, message string, ignoreUnknown bool) checked {
	tb.Helper()
	s := newSchema(tb, syntax, text)
	md := s.message(tb, message)
	d, err := transcode.NewCompiler(transcode.Options{IgnoreUnknown: ignoreUnknown}, s.types).Decoder(md)
	if err != nil {
		tb.Fatal(err)
	}
	return checked{d, md, s.types, ignoreUnknown}
}

// check decodes a document and compares with protojson. It returns our error.
func (c checked) check(tb testing.TB, doc []byte) error {
	tb.Helper()
	want := dynamicpb.NewMessage(c.desc)
	wantErr := protojson.UnmarshalOptions{Resolver: c.types, DiscardUnknown: c.ignoreUnknown, RecursionLimit: 100}.Unmarshal(doc, want)
	prefix := []byte("before")
	wire, err := c.dec.Append(prefix, doc)
	if err != nil {
		if string(wire) != "before" {
			tb.Errorf("after an error dst is %q\n%s", wire, doc)
		}
		if wantErr == nil && !knownStricter(doc, err) {
			tb.Errorf("refused: %v\nprotojson accepts\n%s", err, doc)
		}
		if text := err.Error(); strings.Contains(text, "strconv") || strings.Contains(text, "proto:") {
			tb.Errorf("parser text leaks: %s", text)
		}
		return err
	}
	if wantErr != nil {
		if !knownLaxer(wantErr) {
			tb.Errorf("accepted; protojson says: %v\n%s", wantErr, doc)
		}
		return nil
	}
	c.compare(tb, doc, wire[len("before"):], want)
	return nil
}

func (c checked) compare(tb testing.TB, doc, wire []byte, want proto.Message) {
	tb.Helper()
	opts := proto.UnmarshalOptions{Resolver: c.types, AllowPartial: true}
	got := dynamicpb.NewMessage(c.desc)
	if err := opts.Unmarshal(wire, got); err != nil {
		tb.Fatalf("wrote broken wire bytes: %v\n%s\n%x", err, doc, wire)
	}
	bytes, err := proto.MarshalOptions{AllowPartial: true}.Marshal(want)
	if err != nil {
		tb.Fatal(err)
	}
	want = dynamicpb.NewMessage(c.desc)
	if err := opts.Unmarshal(bytes, want); err != nil {
		tb.Fatal(err)
	}
	c.sortAnys(tb, got)
	c.sortAnys(tb, want.ProtoReflect())
	if !proto.Equal(got, want) {
		format := prototext.MarshalOptions{AllowPartial: true, Resolver: c.types}
		tb.Errorf("for %s\ngot  %s\nwant %s", doc, format.Format(got), format.Format(want))
	}
}

// sortAnys puts the fields within each Any in the order of their numbers.
func (c checked) sortAnys(tb testing.TB, m protoreflect.Message) {
	tb.Helper()
	if m.Descriptor().FullName() == "google.protobuf.Any" {
		fds := m.Descriptor().Fields()
		mt, err := c.types.FindMessageByURL(m.Get(fds.ByNumber(1)).String())
		if err != nil {
			return
		}
		inner := mt.New()
		if err := (proto.UnmarshalOptions{Resolver: c.types, AllowPartial: true}).Unmarshal(m.Get(fds.ByNumber(2)).Bytes(), inner.Interface()); err != nil {
			tb.Fatalf("broken bytes in an Any: %v", err)
		}
		c.sortAnys(tb, inner)
		b, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(inner.Interface())
		if err != nil {
			tb.Fatal(err)
		}
		m.Set(fds.ByNumber(2), protoreflect.ValueOfBytes(b))
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				if fd.MapValue().Message() != nil {
					c.sortAnys(tb, v.Message())
				}
				return true
			})
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				c.sortAnys(tb, v.List().Get(i).Message())
			}
		default:
			c.sortAnys(tb, v.Message())
		}
		return true
	})
}

// knownStricter and knownLaxer are the differences in Decoder's doc comment.
func knownStricter(doc []byte, err error) bool {
	text := err.Error()
	return !json.Valid(doc) || strings.Contains(text, "expected a timestamp") ||
		strings.Contains(text, "@type") || strings.Contains(text, "nested deeper")
}

func knownLaxer(err error) bool { return strings.Contains(err.Error(), "recursion depth") }

func TestDecodeLikeProtojson(t *testing.T) {
	c := newChecked(t, "proto3", proto3Schema, "All", false)
	lax := newChecked(t, "proto3", proto3Schema, "All", true)
	for _, doc := range documents() {
		_ = c.check(t, []byte(doc))
		_ = lax.check(t, []byte(doc))
	}
}

func TestDecodeOldAndNew(t *testing.T) {
	for _, doc := range oldDocuments {
		for _, ignore := range []bool{false, true} {
			_ = newChecked(t, "proto2", proto2Schema, "Old", ignore).check(t, []byte(doc))
			_ = newChecked(t, "editions", editionSchema, "Modern", ignore).check(t, []byte(doc))
		}
	}
}

func FuzzDecode(f *testing.F) {
	const every = 50 // the tables are too large to start from all of them
	for i, doc := range documents() {
		if i%every == 0 || i < len(oddDocuments) {
			f.Add([]byte(doc))
		}
	}
	for _, doc := range oldDocuments {
		f.Add([]byte(doc))
	}
	var all []checked
	for _, ignore := range []bool{false, true} {
		all = append(all, newChecked(f, "proto3", proto3Schema, "All", ignore),
			newChecked(f, "proto2", proto2Schema, "Old", ignore), newChecked(f, "editions", editionSchema, "Modern", ignore))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, c := range all {
			_ = c.check(t, doc)
		}
	})
}

func TestDecodeErrors(t *testing.T) {
	c := newChecked(t, "proto3", proto3Schema, "All", false)
	for doc, want := range map[string]string{
		`{"fInt32":"x"}`:                        `fInt32: expected an integer from -2147483648 to 2147483647, got string "x"`,
		`{"fInt32":1.5}`:                        `fInt32: expected an integer from -2147483648 to 2147483647, got number 1.5`,
		`{"fUint32":-1}`:                        `fUint32: expected an integer from 0 to 4294967295, got number -1`,
		`{"fAll":{"rLeaf":[{},{"size":true}]}}`: `fAll.rLeaf[1].size: expected an integer from -2147483648 to 2147483647, got true`,
		`{"mLeaf":{"a b":{"size":[]}}}`:         `mLeaf["a b"].size: expected an integer from -2147483648 to 2147483647, got an array`,
		`{"fStrin":1}`:                          `fStrin: unknown field in test.proto3.All; did you mean "fString"?`,
		`{"f_leaf":{"nmae":1}}`:                 `fLeaf.nmae: unknown field in test.proto3.Leaf; did you mean "name"?`,
		`{"zzzzzzzzzz":1}`:                      `zzzzzzzzzz: unknown field in test.proto3.All`,
		`{"fColor":"REDD"}`:                     `fColor: expected a name of enum Color or its number, got string "REDD"; did you mean "RED"?`,
		`{"fBool":1}`:                           `fBool: expected true or false, got number 1`,
		`{"fBool":true,"f_bool":true}`:          `fBool: given more than once`,
		`{"pString":"","pInt32":1}`:             `pInt32: another member of oneof pick is given too`,
		`{"mString":{"a":"","a":""}}`:           `mString["a"]: map key given more than once`,
		`{"fString":"` + "\xff" + `"}`:          `fString: invalid JSON at line 1, column 13: invalid UTF-8 in a string`,
		`{"fString":"\ud800"}`:                  `fString: invalid JSON at line 1, column 13: lone surrogate "\\ud800" in a string`,
		"{\n\"fBool\" true}":                    `invalid JSON at line 2, column 9: expected ":" after the field name, got true`,
		`{"fBool":true}x`:                       `invalid JSON at line 1, column 15: expected nothing after the value, got x`,
		`{"fBool":`:                             `fBool: invalid JSON at line 1, column 10: expected true or false, got the end of the input`,
		``:                                      `invalid JSON at line 1, column 1: expected an object, got the end of the input`,
		`[]`:                                    `expected an object, got an array`,
		`{"wAny":{"a":1}}`:                      `wAny: expected a member "@type" with the type's name, such as "type.googleapis.com/google.protobuf.Duration"`,
		`{"wAny":{"@type":"x/no.Such"}}`:        `wAny.@type: expected the name of a known message type, got string "x/no.Such"`,
		`{"wDuration":"1m"}`:                    `wDuration: expected a duration in seconds such as "1.5s", of at most 315576000000s, got string "1m"`,
		`{"rBool":[true,null]}`:                 `rBool[1]: expected true or false, got null`,
		strings.Repeat(`{"fAll":`, 101) + `{}`:  strings.Repeat("fAll.", 99) + `fAll: nested deeper than 100 levels`,
	} {
		err := c.check(t, []byte(doc))
		var input *transcode.InputError
		if !errors.As(err, &input) || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", doc, err, want)
		}
	}
}
