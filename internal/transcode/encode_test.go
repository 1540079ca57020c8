package transcode_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// forms are the ways to write that the options offer, each with protojson's.
var forms = []struct {
	name   string
	ours   transcode.Options
	oracle protojson.MarshalOptions
}{
	{"proto3", transcode.Options{}, protojson.MarshalOptions{}},
	{"defaults", transcode.Options{EmitDefaults: true}, protojson.MarshalOptions{EmitUnpopulated: true}},
	{"names", transcode.Options{UseProtoNames: true, UseEnumNumbers: true}, protojson.MarshalOptions{UseProtoNames: true, UseEnumNumbers: true}},
}

// encodeLikeProtojson compares what wire means as JSON, for us and for protojson.
func encodeLikeProtojson(tb testing.TB, c judged, wire []byte) {
	tb.Helper()
	m, readErr := readByOracle(c, wire)
	for i, form := range forms {
		got, err := c.encs[i].Append([]byte("kept "), wire)
		oracle := form.oracle
		oracle.AllowPartial, oracle.Resolver = true, c.types
		want, wantErr := []byte(nil), readErr
		if readErr == nil {
			want, wantErr = oracle.Marshal(m)
		}
		switch {
		case err != nil && wantErr != nil:
			if string(got) != "kept " {
				tb.Errorf("%s: %x: dst = %q after an error", form.name, wire, got)
			}
		case err != nil && stricter(err):
		case err != nil:
			tb.Errorf("%s: %x: refused (%v); protojson writes %s", form.name, wire, err, want)
		case wantErr != nil:
			if !laxer(wantErr) {
				tb.Errorf("%s: %x: written as %s; protojson refuses: %v", form.name, wire, got, wantErr)
			}
		default:
			if !sameJSON(tb, got[len("kept "):], want) {
				tb.Errorf("%s: %x:\n got %s\nwant %s", form.name, wire, got[len("kept "):], want)
			}
		}
	}
}

// errNoOracle is what is known of bytes on which the oracle panics.
var errNoOracle = errors.New("the oracle has no opinion")

// readByOracle reads wire bytes as a dynamic message. protobuf panics on an
// entry of a map that has a key twice, the second time of another wire type.
func readByOracle(c judged, wire []byte) (m *dynamicpb.Message, err error) {
	defer func() {
		if recover() != nil {
			err = errNoOracle
		}
	}()
	m = dynamicpb.NewMessage(c.desc)
	return m, proto.UnmarshalOptions{AllowPartial: true, Resolver: c.types, RecursionLimit: 900}.Unmarshal(wire, m)
}

// laxer are refusals of the oracle's that we do not share.
func laxer(err error) bool {
	return errors.Is(err, errNoOracle) || strings.Contains(err.Error(), "recursion depth")
}

// stricter are refusals of ours that the oracle does not share: see Encoder.
func stricter(err error) bool {
	return strings.Contains(err.Error(), "nests deeper than") || strings.Contains(err.Error(), "malformed tag")
}

// sameJSON compares two documents by their meaning, and sees duplicate members.
func sameJSON(tb testing.TB, got, want []byte) bool {
	tb.Helper()
	var g, w any
	for _, d := range []struct {
		doc []byte
		to  *any
	}{{got, &g}, {want, &w}} {
		dec := json.NewDecoder(bytes.NewReader(d.doc))
		dec.UseNumber()
		if err := dec.Decode(d.to); err != nil {
			tb.Errorf("not JSON: %v: %s", err, d.doc)
			return false
		}
	}
	return reflect.DeepEqual(g, w) && bytes.Count(got, []byte(":")) == bytes.Count(compact(tb, want), []byte(":"))
}

func compact(tb testing.TB, doc []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// judged is a type of message with an encoder for each form.
type judged struct {
	desc  protoreflect.MessageDescriptor
	types *dynamicpb.Types
	encs  []*transcode.Encoder
}

func newJudged(tb testing.TB, desc protoreflect.MessageDescriptor, types *dynamicpb.Types) judged {
	tb.Helper()
	c := judged{desc: desc, types: types}
	for _, form := range forms {
		enc, err := transcode.NewCompiler(form.ours, types).Encoder(desc)
		if err != nil {
			tb.Fatal(err)
		}
		c.encs = append(c.encs, enc)
	}
	return c
}

func everySchema(tb testing.TB) map[string]judged {
	of := func(syntax, text, message string) judged {
		s := newSchema(tb, syntax, text)
		return newJudged(tb, s.message(tb, message), s.types)
	}
	return map[string]judged{
		"proto3":   of("proto3", proto3Schema, "All"),
		"proto2":   of("proto2", proto2Schema, "Old"),
		"editions": of("editions", editionSchema, "Modern"),
		"odd":      of("proto2", oddSchema, "Odd"),
		"value":    newJudged(tb, (&structpb.Value{}).ProtoReflect().Descriptor(), linkedTypes()),
		"any":      newJudged(tb, (&anypb.Any{}).ProtoReflect().Descriptor(), linkedTypes()),
	}
}

// oddSchema has what the other schemas do not.
const oddSchema = `
enum Kind FIRST=3 SECOND=7
enum Sort NONE=0 SOME=-1
message Odd
  map string Sort sorts 1
  map bool Odd odds 2
  map sint64 bytes sints 3
  map sfixed32 string fixed 4
  oneof pick Odd a 5
  oneof pick Odd b 6
  oneof pick int32 c 7
  oneof pick Kind d 100
  repeated Kind many 1000
  group Deep 536870911
  packed float floats 17
  oneof other google.protobuf.Struct e 18
  oneof other google.protobuf.ListValue f 19
message Odd.Deep
  optional Odd odd 1
  repeated Odd odds 2
`

func linkedTypes() *dynamicpb.Types { return dynamicpb.NewTypes(protoregistry.GlobalFiles) }

// wires are the messages of the documents that are valid for c.
func wires(tb testing.TB, c judged) [][]byte {
	tb.Helper()
	var out [][]byte
	met := map[string]bool{}
	for _, doc := range append(documents(), oldDocuments...) {
		m := dynamicpb.NewMessage(c.desc)
		if (protojson.UnmarshalOptions{AllowPartial: true, Resolver: c.types, DiscardUnknown: true}).Unmarshal([]byte(doc), m) != nil {
			continue
		}
		wire, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(m)
		if err != nil {
			tb.Fatal(err)
		}
		if !met[string(wire)] {
			met[string(wire)] = true
			out = append(out, wire)
		}
	}
	if len(out) == 0 {
		tb.Fatalf("no document is valid for %s", c.desc.FullName())
	}
	return out
}

func TestEncodeLikeProtojson(t *testing.T) {
	for name, c := range everySchema(t) {
		t.Run(name, func(t *testing.T) {
			all := wires(t, c)
			for _, wire := range all {
				encodeLikeProtojson(t, c, wire)
			}
			// Two messages one after the other are one message, in which much
			// is said twice; shuffled fields are the same message.
			r := rand.New(rand.NewPCG(1, 2))
			for range 500 {
				a, b := all[r.IntN(len(all))], all[r.IntN(len(all))]
				encodeLikeProtojson(t, c, shuffled(r, append(append([]byte{}, a...), b...)))
			}
		})
	}
}

// shuffled puts the fields of a message in another order.
func shuffled(r *rand.Rand, wire []byte) []byte {
	var fields [][]byte
	for rest := wire; len(rest) > 0; {
		_, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return wire
		}
		fields, rest = append(fields, rest[:n]), rest[n:]
	}
	r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return bytes.Join(fields, nil)
}

func FuzzEncode(f *testing.F) {
	all := everySchema(f)
	names := slices.Sorted(maps.Keys(all))
	const every = 10 // TestEncodeLikeProtojson looks at them all
	for i, name := range names {
		for j, wire := range wires(f, all[name]) {
			if j%every == 0 {
				f.Add(uint8(i), wire)
			}
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, wire []byte) {
		encodeLikeProtojson(t, all[names[int(i)%len(names)]], wire)
	})
}

func TestEncodeWellKnown(t *testing.T) {
	known := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	deep := structpb.NewNullValue()
	for range 100 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	inAny, err := anypb.New(&timestamppb.Timestamp{Seconds: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []proto.Message{
		&timestamppb.Timestamp{}, &timestamppb.Timestamp{Seconds: 951782400}, &timestamppb.Timestamp{Seconds: 1709164799, Nanos: 1000},
		&timestamppb.Timestamp{Seconds: -62135596800}, &timestamppb.Timestamp{Seconds: 253402300799, Nanos: 999999999},
		&timestamppb.Timestamp{Seconds: 253402300800}, &timestamppb.Timestamp{Seconds: -62135596801}, &timestamppb.Timestamp{Nanos: -1},
		&durationpb.Duration{Seconds: -1, Nanos: -500000000}, &durationpb.Duration{Seconds: 1, Nanos: -1}, &durationpb.Duration{Nanos: 1000000000},
		&durationpb.Duration{Seconds: 315576000000}, &durationpb.Duration{Seconds: 315576000001}, &durationpb.Duration{Nanos: -7},
		&fieldmaskpb.FieldMask{Paths: []string{"a_b.c", "d"}}, &fieldmaskpb.FieldMask{Paths: []string{"aB"}},
		&fieldmaskpb.FieldMask{Paths: []string{"a__b"}}, &fieldmaskpb.FieldMask{Paths: []string{"a_1"}}, &fieldmaskpb.FieldMask{Paths: []string{""}},
		&fieldmaskpb.FieldMask{Paths: []string{"a_"}}, &fieldmaskpb.FieldMask{Paths: []string{"_a"}}, &fieldmaskpb.FieldMask{Paths: []string{"a1_b"}},
		deep, &structpb.Value{}, &structpb.Struct{}, &structpb.ListValue{}, structpb.NewNumberValue(1e300), structpb.NewStringValue("\x00\u2028\"\\/"),
		inAny, &anypb.Any{}, &anypb.Any{Value: []byte{1}}, &anypb.Any{TypeUrl: "type.googleapis.com/nobody.Knows"},
	} {
		md := m.ProtoReflect().Descriptor()
		encodeLikeProtojson(t, newJudged(t, md, linkedTypes()), known(m))
	}
}

func TestEncodeNamesTheFieldThatIsWrong(t *testing.T) {
	all := everySchema(t)
	for _, c := range []judged{all["proto3"], all["proto2"], all["editions"]} {
		enc, err := transcode.NewCompiler(transcode.Options{}, c.types).Encoder(c.desc)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.desc.Fields().Len() {
			fd := c.desc.Fields().Get(i)
			if fd.Kind() != protoreflect.StringKind || fd.IsList() || fd.IsMap() {
				continue
			}
			wire := protowire.AppendString(protowire.AppendTag(nil, fd.Number(), protowire.BytesType), "\xff")
			if _, err := enc.Append(nil, wire); err == nil || !strings.HasPrefix(err.Error(), fd.TextName()+": is not valid UTF-8") {
				t.Errorf("%s: err = %v", fd.FullName(), err)
			}
		}
	}
}

func TestEncodeBoundsNesting(t *testing.T) {
	md := (&structpb.Value{}).ProtoReflect().Descriptor()
	enc, err := transcode.NewCompiler(transcode.Options{}, linkedTypes()).Encoder(md)
	if err != nil {
		t.Fatal(err)
	}
	v := structpb.NewNullValue()
	for range 600 {
		v = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v}})
	}
	wire, err := proto.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enc.Append(nil, wire); err == nil || !strings.Contains(err.Error(), "nests deeper than 1000") {
		t.Errorf("err = %v, want one of nesting", err)
	}
}

// TestEncodeDates compares with package time on days all over the range.
func TestEncodeDates(t *testing.T) {
	enc, err := transcode.NewCompiler(transcode.Options{}, nil).Encoder((&timestamppb.Timestamp{}).ProtoReflect().Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	begin, end := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	var wire, got []byte
	var step int
	for day := begin; day.Before(end); day = day.AddDate(0, 0, step).Add(7 * time.Second) {
		if step = 29; day.Year()%100 < 5 { // each day of the years about a century's end
			step = 1
		}
		wire = protowire.AppendVarint(append(wire[:0], 8), uint64(day.Unix()))
		if got, err = enc.Append(got[:0], wire); err != nil || string(got) != `"`+day.Format("2006-01-02T15:04:05Z")+`"` {
			t.Fatalf("%v: got %s, %v", day, got, err)
		}
	}
}

func TestEncodeDecimals(t *testing.T) {
	enc, err := transcode.NewCompiler(transcode.Options{}, nil).Encoder((&wrapperspb.DoubleValue{}).ProtoReflect().Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 100000 {
		v := float64(r.Int64N(1e15)) / []float64{1, 10, 100, 1000, 1e4, 1e-3}[i%6]
		if i%7 == 0 {
			v = math.Nextafter(v, -1)
		}
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := enc.Append(nil, protowire.AppendFixed64([]byte{9}, math.Float64bits(v)))
		if err != nil || string(got) != string(want) {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
	}
}

// TestEncodeCompilesOnceForAll lets many meet a type for the first time.
func TestEncodeCompilesOnceForAll(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	enc, err := transcode.NewCompiler(transcode.Options{}, s.types).Encoder(s.message(t, "All"))
	if err != nil {
		t.Fatal(err)
	}
	all := wires(t, newJudged(t, s.message(t, "All"), s.types))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for _, wire := range all {
				_, _ = enc.Append(nil, wire) // some Anys are of unknown types
			}
		})
	}
	group.Wait()
}
