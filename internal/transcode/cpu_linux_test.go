package transcode_test

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

const (
	// dearest is how many times the processor time of a benign document one of
	// its size may cost.
	dearest = 10
	// dearestAnswer is the same for answers: backends are trusted more than clients.
	dearestAnswer = 20
	docSize       = docsOf(1 << 16)
	// rounds bounds how often a document is measured until it is within bounds:
	// a busy machine makes everything dearer now and then.
	rounds = 20
)

// threadTime returns the processor time of f in its own thread, of so many runs the
// least.
func threadTime(runs int, f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const thread = 3 // CLOCK_THREAD_CPUTIME_ID, clock_gettime(2)
	now := func() time.Duration {
		var ts syscall.Timespec
		_, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, thread, uintptr(unsafe.Pointer(&ts)), 0)
		if err != 0 {
			panic(err)
		}
		return time.Duration(ts.Nano())
	}
	least := time.Duration(1 << 62)
	for range runs {
		begin := now()
		f()
		least = min(least, now()-begin)
	}
	return least
}

// docsOf are documents of about so many bytes.
type docsOf int

// list is a JSON object with one member, a list of the items again and again.
func (size docsOf) list(member string, items ...string) string {
	text := strings.Join(items, ",")
	return fmt.Sprintf(`{%q:[%s%s]}`, member, strings.Repeat(text+",", int(size)/(len(text)+1)), text)
}

// object is a JSON object with one member, an object of members that key names.
func (size docsOf) object(member, value string, key func(i int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < int(size); i++ {
		fmt.Fprintf(&b, `,%q:%s`, key(i), value)
	}
	return fmt.Sprintf(`{%q:{%s}}`, member, b.String()[1:])
}

// dear documents are made to cost as much as their size allows.
func (size docsOf) dear() map[string]string {
	n := int(size)
	deep := func(open, inner, end string, levels int) string {
		return strings.Repeat(open, levels) + inner + strings.Repeat(end, levels)
	}
	long := strings.Repeat("123456789", 90)
	return map[string]string{
		"subnormal numbers":            size.list("rDouble", "1e-320"),
		"the least number":             size.list("rDouble", "5e-324"),
		"numbers of no value":          size.list("rDouble", "1e-330"),
		"numbers of 20 digits":         size.list("rDouble", "12345678901234567890e-300"),
		"numbers halfway":              size.list("rDouble", "9007199254740993"),
		"fractions halfway":            size.list("rDouble", "4503599627370497.5"),
		"large numbers halfway":        size.list("rDouble", "1844674407e10"),
		"long mantissas":               size.list("rDouble", long+"e-1000", "0."+long+"e-300"),
		"long exponents":               size.list("rDouble", "1e"+strings.Repeat("0", 100)+"1"),
		"a mantissa of the whole body": size.list("rDouble", strings.Repeat("1", n)+fmt.Sprintf("e-%d", n)),
		"subnormal floats":             `{"wFloat":1e-40,"wList":[` + strings.Repeat("1e-320,", n/7) + `1]}`,
		"quoted numbers":               size.list("rDouble", `"1e-320"`),
		"whole numbers":                size.list("rSint64", "250e-1", "1e18"),
		"quoted whole numbers":         size.list("rSint64", `"1.0e5"`),
		"timestamps":                   size.list("rwTimestamp", `"2026-01-31T12:30:00.5+01:00"`),
		"wrappers":                     size.list("rwInt64", `1`),
		"values":                       size.list("rwValue", `1`),
		"nested values":                size.list("rwValue", deep("[", "1", "]", 90)),
		"enum names":                   size.list("rColor", `"RED"`),
		"enums unknown":                size.list("rColor", `"REDD"`),
		"short enums unknown":          size.list("rColor", `"x"`),
		"nulls":                        size.list("rNull", `"NULL_VALUE"`),
		"bytes":                        size.list("rBytes", `"ab-_"`, `"abc="`),
		"bytes of a byte":              size.list("rBytes", `""`),
		"one string of escapes":        `{"fString":"` + strings.Repeat(`\u00e9`, n/6) + `"}`,
		"strings of escapes":           size.list("rString", `"\n"`),
		"empty messages":               size.list("rLeaf", `{}`),
		"empty names":                  `{` + strings.Repeat(`"":1,`, n/5) + `"":1}`,
		"unknown members":              size.object("wStruct", "1", func(i int) string { return fmt.Sprint(i) }),
		"near misses":                  `{` + strings.Repeat(`"fStrinh":1,`, n/12) + `"f_int23":1}`,
		"unknown extensions":           `{` + strings.Repeat(`"[a.b.c.d]":1,`, n/14) + `"[a.b]":1}`,
		"an extension of many parts":   `{"[` + strings.Repeat(`a.`, n/2) + `a]":1}`,
		"a type of many parts":         `{"wAny":{"@type":"` + strings.Repeat(`a.`, n/2) + `a"}}`,
		"keys":                         size.object("mString", `""`, func(i int) string { return fmt.Sprint(i) }),
		"keys of one byte":             size.object("wStruct", "{}", func(i int) string { return fmt.Sprint(i) }),
		"whole keys":                   size.object("mInt64", "1", func(i int) string { return fmt.Sprint(i) }),
		"messages by key":              size.object("mLeaf", `{}`, func(i int) string { return fmt.Sprint(i) }),
		"deep messages of many sizes":  `{"rLeaf":[{"child":{}},` + deep(`{"child":`, `{"name":"`+strings.Repeat("x", n)+`"}`, `}`, 95) + `]}`,
		"messages of two sizes":        size.list("rLeaf", `{"child":{"name":"`+strings.Repeat("x", 200)+`"}}`, `{"child":{"child":{"child":{"child":{"child":{}}}}}}`),
		"types":                        size.list("rwAny", `{"@type":"x/google.protobuf.Duration","value":"1s"}`),
		"types late":                   size.list("rwAny", `{"value":"1s","@type":"x/google.protobuf.Duration"}`),
		"masks":                        `{"wMask":"` + strings.Repeat("a,", n/2) + `a"}`,
		"a deep mask":                  `{"wMask":"` + strings.Repeat("aB.", n/3) + `a"}`,
		"white space":                  `{` + strings.Repeat(" ", n) + `}`,
		"broken at the end":            strings.Repeat("\n", n) + `x`,
	}
}

// benign is a document such as clients send, with fields of all kinds.
func (size docsOf) benign() string {
	part := int(size) / 4
	return fmt.Sprintf(`{"rLeaf":[%s{}],"rDouble":[%s0],"wList":[%s{}],"rwTimestamp":[%s"2026-01-31T12:30:00Z"]}`,
		repeat(`{"name":"A tent for two","size":17,"child":{"name":"poles","size":4}},`, part), repeat("3.14159,17,1e-7,", part),
		repeat(`{"colour":"green","sizes":[1,2,3.5],"washable":true,"maker":{"id":4711,"name":null}},`, part), repeat(`"2026-01-31T12:30:00.5Z",`, part))
}

func repeat(text string, size int) string { return strings.Repeat(text, size/len(text)) }

// isDear measures what is done to each of the inputs. A byte of them may cost at most
// so many times what a byte of the benign one costs, whether it fails or not.
func isDear(t *testing.T, benign []byte, inputs map[string][]byte, most float64, do func([]byte)) {
	t.Helper()
	perByte := func(input []byte) float64 {
		return float64(threadTime(3, func() { do(input) })) / float64(len(input))
	}
	for name, input := range inputs {
		times := perByte(input) / perByte(benign)
		for i := 1; i < rounds && times > most && times < 3*most; i++ {
			times = min(times, perByte(input)/perByte(benign))
		}
		t.Logf("%-36s %4.1f times", name, times)
		if times > most {
			t.Errorf("%s: %.1f times as dear as a benign input of that size, want at most %g", name, times, most)
		}
	}
}

// TestNoDocumentIsDear holds the processor time of every document to ten times
// that of a benign one of its size.
func TestNoDocumentIsDear(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	d, err := transcode.NewCompiler(transcode.Options{IgnoreUnknown: true}, s.types).Decoder(s.message(t, "All"))
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string][]byte{}
	for name, doc := range docSize.dear() {
		inputs[name] = []byte(doc)
	}
	var dst []byte
	isDear(t, []byte(docSize.benign()), inputs, dearest, func(input []byte) {
		if out, err := d.Append(dst[:0], input); err == nil {
			dst = out
		}
	})
}

// TestNoAnswerIsDear is TestNoDocumentIsDear for what backends answer, with a bound of
// its own.
func TestNoAnswerIsDear(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	md := s.message(t, "All")
	c := transcode.NewCompiler(transcode.Options{}, s.types)
	enc, err := c.Encoder(md)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := c.Decoder(md)
	if err != nil {
		t.Fatal(err)
	}
	inputs := hostileWires(wireOf{md}, 10000, 300)
	for name, doc := range docSize.dear() {
		if wire, err := dec.Append(nil, []byte(doc)); err == nil && len(wire) > 0 {
			inputs["answer: "+name] = wire
		}
	}
	w := wireOf{md}
	inputs["a type of many parts"] = w.bytes(nil, "w_any", string(protowire.AppendString([]byte{10}, strings.Repeat("a.", int(docSize)/2)+"a")))
	inputs["floats"] = w.bytes(nil, "r_double", strings.Repeat("\x01\x00\x00\x00\x00\x00\x00\x00", int(docSize)/8))
	inputs["large floats"] = w.bytes(nil, "r_double", strings.Repeat("\xff\xff\xff\xff\xff\xff\xef\x7f", int(docSize)/8))
	inputs["enums unknown"] = w.bytes(nil, "r_color", strings.Repeat("\x7f", int(docSize)))
	benign, err := dec.Append(nil, []byte(docSize.benign()))
	if err != nil {
		t.Fatal(err)
	}
	var dst []byte
	isDear(t, benign, inputs, dearestAnswer, func(input []byte) {
		if out, err := enc.Append(dst[:0], input); err == nil {
			dst = out
		}
	})
}

// TestNoQueryIsDear is TestNoDocumentIsDear for what stands in a URL. A benign query
// is compared, since the header that it is in is small.
func TestNoQueryIsDear(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	md := s.message(t, "All")
	b, err := transcode.NewCompiler(transcode.Options{IgnoreUnknownQuery: true}, s.types).Bind(md, md, &contract.Binding{Verb: "GET", Template: vars()})
	if err != nil {
		t.Fatal(err)
	}
	many := func(format string) []byte {
		var q strings.Builder
		for i := range 1000 / (strings.Count(format, "&") + 1) { // as many as are taken
			if q.Len() > 60_000 {
				break
			}
			q.WriteString("&" + strings.ReplaceAll(format, "#", strconv.Itoa(i)))
		}
		return []byte(q.String()[1:])
	}
	const deep = "fAll.fAll.fAll.fAll.fAll.fAll.fAll.fAll.fAll.fAll."
	inputs := map[string][]byte{
		"deep names":     many(strings.Repeat(deep, 9) + "rInt32=#"),
		"deep maps":      many(strings.Repeat(deep, 9) + "mString[#]=x"),
		"map entries":    many("mString[#]=x"),
		"numbers":        many("rDouble=5e-324"),
		"long numbers":   many("rDouble=" + strings.Repeat("9", 300)),
		"unknown names":  many("x#=1"),
		"near misses":    many("rDoubel=1"),
		"masks":          many("wMask=" + strings.Repeat("a.", 20000) + "a"),
		"escapes":        many("rString=" + strings.Repeat("%c3%a9", 10)),
		"names of parts": many(strings.Repeat("a.", 50)),
		"one long name":  []byte(strings.Repeat("fAll.", 12000) + "fInt32=1"),
		"no names":       []byte(strings.Repeat("&", 60000)),
		"values as JSON": many(`rwValue=[[[[[[[[[1]]]]]]]]]`),
		"bytes":          many("rBytes=-_-_"),
		"empty":          many("rString="),
		"times":          many("rwTimestamp=2026-01-31T12:30:00Z"),
	}
	isDear(t, many("rString=a-tent-for-two&rInt32=17&fAll.rColor=RED&rwTimestamp=2026-01-31T12:30:00Z"), inputs, dearest, func(input []byte) {
		_, _ = b.AppendRequest(nil, &call.Input{RawQuery: string(input)})
	})
}

// TestNoGroupIsDear is TestNoAnswerIsDear for groups, of which the end is found by
// reading them. What is kept of many is held to 20 times their size.
func TestNoGroupIsDear(t *testing.T) {
	s := newSchema(t, "editions", editionSchema)
	md := s.message(t, "Modern")
	enc, err := transcode.NewCompiler(transcode.Options{}, s.types).Encoder(md)
	if err != nil {
		t.Fatal(err)
	}
	tag := func(name string, typ protowire.Type) string {
		return string(protowire.AppendTag(nil, wireOf{md}.number(name), typ))
	}
	begin, end := tag("wrapped", protowire.StartGroupType), tag("wrapped", protowire.EndGroupType)
	must := tag("must", protowire.BytesType) + "\x01x"
	numbers := strings.Repeat(tag("expanded", protowire.VarintType)+"\x07", 20000) + must
	empty := strings.Repeat(tag("list", protowire.StartGroupType)+tag("list", protowire.EndGroupType), 20000)
	inputs := map[string][]byte{
		"groups":              []byte(strings.Repeat(begin, 95) + numbers + strings.Repeat(end+must, 95)),
		"groups, all twice":   []byte(strings.Repeat(begin, 95) + numbers + must + strings.Repeat(end+must+must, 95)),
		"small groups, twice": []byte(strings.Repeat(tag("list", protowire.StartGroupType)+strings.Repeat(begin, 90)+strings.Repeat(end+must+must, 90)+tag("list", protowire.EndGroupType), 100)),
		"empty groups":        []byte(empty + must + must),
		"unknown groups":      []byte(strings.Repeat("\xc3\x3e", 95) + strings.Repeat("\xc8\x3e\x01", 20000) + strings.Repeat("\xc4\x3e", 95)),
	}
	for _, name := range []string{"small groups, twice", "empty groups"} {
		input := inputs[name]
		used := allocated(func() {
			if _, err := enc.Append(nil, input); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if most := uint64(20*len(input) + 64<<10); used > most {
			t.Errorf("%s: %d wire bytes cost %d bytes, want at most %d", name, len(input), used, most)
		}
	}
	var dst []byte
	isDear(t, []byte(numbers), inputs, dearestAnswer, func(input []byte) { dst, _ = enc.Append(dst[:0], input) })
}
