package transcode_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

const bindSchema = `
enum Color COLOR_UNSPECIFIED=0 RED=1
message Book
  string name 1
  string title 2
  int32 pages 3
  Author author 4
  repeated string tags 5
  map string string labels 6
  google.protobuf.Timestamp published 7
  google.protobuf.Struct extra 8
  Book sequel 9
  oneof source string url 10
  oneof source string isbn 11
  google.protobuf.Any any 12
  Empty nothing 13
  repeated Author others 14
  Color cover 15
message Empty
message Author
  string name 1
  int64 born 2
message Update
  Book book 1
  google.protobuf.FieldMask update_mask 2
  bool allow_missing 3
  repeated Book books 4
  map string Book by_name 5
  string text 6
  int32 count 7
  google.api.HttpBody file 8
message Get
  string name 1
  int64 id 2
  Color color 3
  repeated int32 numbers 4
  repeated Color colors 5
  map string int32 sizes 6
  map int32 Color by_id 7
  bool flag 8
  bytes raw 9
  double ratio 10
  google.protobuf.Duration ttl 11
  google.protobuf.FieldMask mask 12
  google.protobuf.StringValue note 13
  google.protobuf.Struct filter 14
  google.protobuf.Value value 15
  Book book 16
  repeated google.protobuf.Timestamp times 17
  oneof by string by_title 18
  oneof by Author by_author 19
  oneof by string by_tag 20
  google.protobuf.Int32Value limit 21
  map string Book books 22
  google.protobuf.Any any 23
  float f 24
  optional string opt 25
  uint32 page_size 26
  google.protobuf.Timestamp at 27
`

const requiredSchema = `
message Part
  required string id 1
  optional int32 count 2
message Put
  required string name 1
  required Part part 2
  repeated Part parts 3
  map string Part named 4
`

// vars is a path with variables.
func vars(names ...string) *httprule.Template {
	path := "/x"
	for _, name := range names {
		path += "/{" + name + "}"
	}
	t, err := httprule.Parse(path)
	if err != nil {
		panic(err)
	}
	return t
}

func body(s string) *call.Input { return &call.Input{Body: []byte(s), HasBody: true} }

// bindTest is one request through one binding.
type bindTest struct {
	name    string
	message string
	options transcode.Options
	rule    *contract.Binding // nil: neither variables nor a body
	in      call.Input
	want    string // the message as text
	err     string
}

func (tt bindTest) run(t *testing.T, s schema) {
	t.Helper()
	if tt.rule == nil {
		tt.rule = &contract.Binding{Template: vars()}
	}
	md := s.message(t, tt.message)
	b, err := transcode.NewCompiler(tt.options, s.types).Bind(md, md, tt.rule)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := b.AppendRequest([]byte("x"), &tt.in)
	if tt.err != "" {
		var input *transcode.InputError
		if !errors.As(err, &input) || err.Error() != tt.err {
			t.Fatalf("got error  %v\nwant error %s", err, tt.err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, want := parse(t, md, wire[1:]), text(t, md, tt.want); !proto.Equal(got, want) {
		t.Fatalf("got  %s\nwant %s", prototext.Format(got), prototext.Format(want))
	}
}

func parse(t *testing.T, md protoreflect.MessageDescriptor, wire []byte) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(md)
	if err := proto.Unmarshal(wire, m); err != nil {
		t.Fatalf("broken wire bytes %x: %v", wire, err)
	}
	return m
}

func text(t *testing.T, md protoreflect.MessageDescriptor, s string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(md)
	if err := prototext.Unmarshal([]byte(s), m); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return m
}

func TestBindPath(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	rule := func(paths ...string) *contract.Binding {
		return &contract.Binding{Verb: "GET", Template: vars(paths...)}
	}
	in := func(values ...string) call.Input { return call.Input{Vars: values} }
	for _, tt := range []bindTest{
		{name: "string", rule: rule("name"), in: in("shelves/1"), want: `name: "shelves/1"`},
		{name: "empty string", rule: rule("name"), in: in(""), want: ``},
		{name: "nested", rule: rule("book.author.name"), in: in("A"), want: `book {author {name: "A"}}`},
		{name: "two in one message", rule: rule("book.name", "book.author.name", "id"), in: in("B", "A", "7"), want: `id: 7 book {name: "B" author {name: "A"}}`},
		{name: "nested zero", rule: rule("book.pages"), in: in("0"), want: `book {}`},
		{name: "optional empty", rule: rule("opt"), in: in(""), want: `opt: ""`},
		{name: "number", rule: rule("id"), in: in("-12"), want: `id: -12`},
		{name: "not a number", rule: rule("id"), in: in("12x"), err: `id: expected an integer of at most 64 bits, got "12x"`},
		{name: "number too large", rule: rule("page_size"), in: in("4294967296"), err: `page_size: expected an integer from 0 to 4294967295, got number 4294967296`},
		{name: "enum", rule: rule("color"), in: in("RED"), want: `color: RED`},
		{name: "enum number", rule: rule("color"), in: in("1"), want: `color: RED`},
		{name: "no such enum", rule: rule("color"), in: in("REED"), err: `color: expected a name of enum Color or its number, got string "REED"; did you mean "RED"?`},
		{name: "wrapper", rule: rule("note"), in: in("n"), want: `note {value: "n"}`},
		{name: "empty wrapper", rule: rule("note"), in: in(""), want: `note {}`},
		{name: "timestamp", rule: rule("at"), in: in("1970-01-01T00:00:01Z"), want: `at {seconds: 1}`},
		{name: "bad timestamp", rule: rule("at"), in: in("today"), err: `at: expected a timestamp such as "2026-01-31T12:30:00.5Z" between the years 1 and 9999, got "today"`},
		{name: "bytes", rule: rule("raw"), in: in("aGk"), want: `raw: "hi"`},
		{name: "bool", rule: rule("flag"), in: in("1"), err: `flag: expected true or false, got "1"`},
		{name: "invalid UTF-8", rule: rule("name"), in: in("\xff"), err: `name: expected UTF-8 text, got "\xff"`},
		{name: "in a oneof", rule: rule("by_author.name"), in: in("A"), want: `by_author {name: "A"}`},
	} {
		tt.message = "Get"
		t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
	}
}

func TestBindQuery(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	rule := &contract.Binding{Verb: "GET", Template: vars("name")}
	options := transcode.Options{AllowQuery: []string{"utm_*", "*.x"}, MaxQueryParams: 8}
	for _, tt := range []bindTest{
		{in: call.Input{RawQuery: "id=1&color=RED&flag=true&ratio=1.5&raw=aGk%3D"}, want: `id: 1 color: RED flag: true ratio: 1.5 raw: "hi"`},
		{in: call.Input{RawQuery: "pageSize=1"}, want: `page_size: 1`},
		{in: call.Input{RawQuery: "page_size=1"}, want: `page_size: 1`},
		{in: call.Input{RawQuery: "page_size=1e2"}, want: `page_size: 100`},
		{in: call.Input{RawQuery: "page_size=0"}, want: ``},
		{in: call.Input{RawQuery: "opt="}, want: `opt: ""`},
		{in: call.Input{RawQuery: "numbers=1&numbers=0&numbers=3"}, want: `numbers: [1, 0, 3]`},
		{in: call.Input{RawQuery: "colors=RED&colors=0"}, want: `colors: [RED, COLOR_UNSPECIFIED]`},
		{in: call.Input{RawQuery: "sizes[a]=1&sizes[b%5D.c]=0&sizes[]=2"}, want: `sizes {key: "a" value: 1} sizes {key: "b].c"} sizes {key: "" value: 2}`},
		{in: call.Input{RawQuery: "byId[7]=RED"}, want: `by_id {key: 7 value: RED}`},
		{in: call.Input{RawQuery: "ttl=1.5s&mask=displayName,a.bC&note=x+y&limit=0"}, want: `ttl {seconds: 1 nanos: 500000000} mask {paths: "display_name" paths: "a.b_c"} note {value: "x y"} limit {}`},
		{in: call.Input{RawQuery: "mask=*"}, want: `mask {paths: "*"}`},
		{in: call.Input{RawQuery: "mask=a.*"}, err: `mask: expected field paths in lowerCamelCase, separated by commas, got "a.*"`},
		{in: call.Input{RawQuery: "mask=display_name"}, want: `mask {paths: "display_name"}`},
		{in: call.Input{RawQuery: "times=1970-01-01T00:00:01Z&times=1970-01-01T00:00:02Z"}, want: `times {seconds: 1} times {seconds: 2}`},
		{in: call.Input{RawQuery: "filter=%7B%22a%22:1%7D&value=[null]"}, want: `filter {fields {key: "a" value {number_value: 1}}} value {list_value {values {null_value: NULL_VALUE}}}`},
		{in: call.Input{RawQuery: "book.author.name=A&book.author.born=1&book.title=T&book.tags=x&book.tags=y"}, want: `book {title: "T" tags: ["x", "y"] author {name: "A" born: 1}}`},
		{in: call.Input{RawQuery: "book.labels[a.b]=c&book.published=1970-01-01T00:00:01Z"}, want: `book {labels {key: "a.b" value: "c"} published {seconds: 1}}`},
		{in: call.Input{RawQuery: "by_author.name=A&byAuthor.born=1"}, want: `by_author {name: "A" born: 1}`},
		{in: call.Input{RawQuery: "&&id=1&"}, want: `id: 1`},
		{in: call.Input{RawQuery: "utm_source=x&utm_=&q.x=1"}, want: ``},
		{in: call.Input{RawQuery: "f=NaN"}, want: `f: nan`},

		{in: call.Input{RawQuery: "f=1e39"}, err: `f: expected a number of at most 32 bits, got number 1e39`},
		{in: call.Input{RawQuery: "f=x"}, err: `f: expected a number, got "x"`},
		{in: call.Input{RawQuery: "id=1&id=2"}, err: `id: given more than once`},
		{in: call.Input{RawQuery: "book.title=1&book.title=2"}, err: `book.title: given more than once`},
		{in: call.Input{RawQuery: "sizes[a]=1&sizes[a]=1"}, err: `"sizes[a]": map key given more than once`},
		{in: call.Input{RawQuery: "byId[x]=RED"}, err: `"byId[x]": expected a map key that is an integer from -2147483648 to 2147483647, got "x"`},
		{in: call.Input{RawQuery: "sizes=1"}, err: `sizes: a map takes its entries one by one, as in sizes[key]`},
		{in: call.Input{RawQuery: "sizes[a=1"}, err: `"sizes[a": a map takes its entries one by one, as in sizes[key]`},
		{in: call.Input{RawQuery: "id[a]=1"}, err: `"id[a]": test.proto3.Get.id is not a map, so it takes no key`},
		{in: call.Input{RawQuery: "books[a]=1"}, err: `"books[a]": the entries of test.proto3.Get.books cannot be given in a query`},
		{in: call.Input{RawQuery: "book=1"}, err: `book: a test.proto3.Book cannot be given as one query parameter; name its fields one by one, as in book.name`},
		{in: call.Input{RawQuery: "any=1"}, err: `any: a google.protobuf.Any cannot be given as one query parameter`},
		{in: call.Input{RawQuery: "book.others.name=x"}, err: `book.others.name: test.proto3.Book.others has no fields that a query can name`},
		{in: call.Input{RawQuery: "ttl.seconds=1"}, err: `ttl.seconds: test.proto3.Get.ttl has no fields that a query can name`},
		{in: call.Input{RawQuery: "nmae=1"}, err: `nmae: unknown query parameter: test.proto3.Get has no such field; did you mean "name"?`},
		{in: call.Input{RawQuery: "book.titel=1"}, err: `book.titel: unknown query parameter: test.proto3.Book has no such field; did you mean "title"?`},
		{in: call.Input{RawQuery: "zzzz"}, err: `zzzz: unknown query parameter: test.proto3.Get has no such field`},
		{in: call.Input{RawQuery: "name=x"}, err: `name: the path binds this field; leave it out or give the same value`},
		{in: call.Input{RawQuery: "name=&name="}, err: `name: given more than once`},
		{in: call.Input{RawQuery: "by_title=a&by_tag=b"}, err: `by_tag: another member of its oneof is given too`},
		{in: call.Input{RawQuery: "by_author.name=a&by_tag=b"}, err: `by_tag: another member of its oneof is given too`},
		{in: call.Input{RawQuery: "by_tag=b&by_author.name=a"}, err: `by_author.name: another member of the oneof of byAuthor is given too`},
		{in: call.Input{RawQuery: "book.url=b&book.isbn=a"}, err: `book.isbn: another member of its oneof is given too`},
		{in: call.Input{RawQuery: "id=%zz"}, err: `id: bad percent-encoding, invalid UTF-8 or a bare ";" in "%zz"`},
		{in: call.Input{RawQuery: "id=%4"}, err: `id: bad percent-encoding, invalid UTF-8 or a bare ";" in "%4"`},
		{in: call.Input{RawQuery: "opt=%ff"}, err: `opt: bad percent-encoding, invalid UTF-8 or a bare ";" in "%ff"`},
		{in: call.Input{RawQuery: "%=1"}, err: `query parameter "%": bad percent-encoding, invalid UTF-8 or a bare ";"`},
		{in: call.Input{RawQuery: "id=1;flag=true"}, err: `id: bad percent-encoding, invalid UTF-8 or a bare ";" in "1;flag=true"`},
		{in: call.Input{RawQuery: "filter={"}, err: `filter: invalid JSON at line 1, column 2: expected a map key in quotes, got the end of the input`},
		{in: call.Input{RawQuery: "numbers=1&numbers=1&numbers=1&numbers=1&numbers=1&numbers=1&numbers=1&numbers=1&numbers=1"}, err: `more than 8 query parameters`},
		{in: call.Input{RawQuery: "book" + strings.Repeat(".sequel", 200) + ".pages=1"}, err: quote49("book"+strings.Repeat(".sequel", 200)+".pages") + `: nested deeper than 100 levels`},
		{in: call.Input{Body: []byte("{}"), HasBody: true}, err: `this method takes no body here; give its fields in the query`},
	} {
		tt.message, tt.rule, tt.options, tt.in.Vars = "Get", rule, options, []string{""}
		t.Run(tt.in.RawQuery, func(t *testing.T) { tt.run(t, s) })
	}
}

// quote49 is how an error shows a long name.
func quote49(s string) string { return `"` + s[:48] + `"...` }

func TestBindBody(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	field := &contract.Binding{Verb: "PUT", Template: vars("book.name"), Body: "book"}
	all := &contract.Binding{Verb: "POST", Template: vars("book.name", "count"), Body: "*"}
	choice := &contract.Binding{Verb: "POST", Template: vars("book.url"), Body: "*"}
	presence := &contract.Binding{Verb: "POST", Template: vars("opt"), Body: "*"}
	noBody := &contract.Binding{Verb: "GET", Template: vars("book.name", "count")}
	const bound = "the path binds this field; leave it out or give the same value"
	for _, tt := range []bindTest{
		{name: "field", rule: field, in: call.Input{Vars: []string{"b"}, Body: []byte(`{"title":"T","author":{"name":"A"}}`)}, want: `book {name: "b" title: "T" author {name: "A"}}`},
		{name: "field and query", rule: field, in: call.Input{Vars: []string{"b"}, RawQuery: "allow_missing=true", Body: []byte(`{}`)}, want: `book {name: "b"} allow_missing: true`},
		{name: "no body", rule: field, in: call.Input{Vars: []string{"b"}}, want: `book {name: "b"}`},
		{name: "null", rule: field, in: call.Input{Vars: []string{"b"}, Body: []byte(` null `)}, want: `book {name: "b"}`},
		{name: "trailing data", rule: field, in: call.Input{Vars: []string{"b"}, Body: []byte(`{}{}`)}, err: `invalid JSON at line 1, column 3: expected nothing after the value, got an object`},
		{name: "same value", rule: field, in: call.Input{Vars: []string{"b"}, Body: []byte(`{"name":"b","pages":1}`)}, want: `book {name: "b" pages: 1}`},
		{name: "other value", rule: field, in: call.Input{Vars: []string{"b"}, Body: []byte(`{"name":"c"}`)}, err: `name: ` + bound},
		{name: "null is absent", rule: field, in: call.Input{Vars: []string{"b"}, Body: []byte(`{"name":null}`)}, want: `book {name: "b"}`},
		{name: "the default is absent", rule: field, in: call.Input{Vars: []string{"b"}, Body: []byte(`{"name":"","pages":0}`)}, want: `book {name: "b"}`},
		{name: "all, nulls", rule: all, in: call.Input{Vars: []string{"b", "3"}, Body: []byte(`{"book":{"name":null},"count":null}`)}, want: `book {name: "b"} count: 3`},
		{name: "all, null around", rule: all, in: call.Input{Vars: []string{"b", "3"}, Body: []byte(`{"book":null}`)}, want: `book {name: "b"} count: 3`},
		{name: "all, defaults", rule: all, in: call.Input{Vars: []string{"b", "3"}, Body: []byte(`{"book":{"name":""},"count":"0"}`)}, want: `book {name: "b"} count: 3`},
		{name: "all, null twice", rule: all, in: call.Input{Vars: []string{"b", "3"}, Body: []byte(`{"count":null,"count":4}`)}, err: `count: given more than once`},
		{name: "a default with presence", rule: presence, in: call.Input{Vars: []string{"o"}, Body: []byte(`{"opt":""}`)}, message: "Get", err: `opt: ` + bound},
		{name: "null with presence", rule: presence, in: call.Input{Vars: []string{"o"}, Body: []byte(`{"opt":null}`)}, message: "Get", want: `opt: "o"`},
		{name: "query, default", rule: noBody, in: call.Input{Vars: []string{"b", "3"}, RawQuery: "book.name=&count=0&text=x"}, want: `book {name: "b"} text: "x" count: 3`},
		{name: "query, same value", rule: noBody, in: call.Input{Vars: []string{"b", "3"}, RawQuery: "book.name=b&count=3.0"}, want: `book {name: "b"} count: 3`},
		{name: "query, other value", rule: noBody, in: call.Input{Vars: []string{"b", "3"}, RawQuery: "count=4"}, err: `count: ` + bound},
		{name: "query in body field", rule: field, in: call.Input{Vars: []string{"b"}, RawQuery: "book.title=x"}, err: `book.title: this field is the body, which the query cannot change`},
		{name: "all", rule: all, in: call.Input{Vars: []string{"b", "3"}, Body: []byte(`{"book":{"pages":7},"text":"x"}`)}, want: `book {name: "b" pages: 7} text: "x" count: 3`},
		{name: "all, absent", rule: all, in: call.Input{Vars: []string{"b", "3"}}, want: `book {name: "b"} count: 3`},
		{name: "all, nested bound", rule: all, in: call.Input{Vars: []string{"b", "3"}, Body: []byte(`{"book":{"name":"x"}}`)}, err: `book.name: ` + bound},
		{name: "all, number in another spelling", rule: all, in: call.Input{Vars: []string{"b", "3"}, Body: []byte(`{"count":"3"}`)}, want: `book {name: "b"} count: 3`},
		{name: "all, bound in a list is free", rule: all, in: call.Input{Vars: []string{"b", "3"}, Body: []byte(`{"books":[{"name":"c"}]}`)}, want: `book {name: "b"} books {name: "c"} count: 3`},
		{name: "all, query", rule: all, in: call.Input{Vars: []string{"b", "3"}, RawQuery: "text=x"}, err: `text: this method takes no query parameters here; give its fields in the body`},
		{name: "oneof", rule: choice, in: call.Input{Vars: []string{"u"}, Body: []byte(`{"book":{"isbn":"1"}}`)}, err: `book.isbn: the path binds book.url, another member of oneof source`},
		{name: "oneof, null is absent", rule: choice, in: call.Input{Vars: []string{"u"}, Body: []byte(`{"book":{"isbn":null,"url":null}}`)}, want: `book {url: "u"}`},
		{name: "oneof, empty", rule: choice, in: call.Input{Vars: []string{"u"}, Body: []byte(`{"book":{"isbn":""}}`)}, err: `book.isbn: the path binds book.url, another member of oneof source`},
		{name: "list", rule: &contract.Binding{Body: "books", Template: vars()}, in: *body(`[{"name":"a"},{}]`), want: `books {name: "a"} books {}`},
		{name: "list, error", rule: &contract.Binding{Body: "books", Template: vars()}, in: *body(`[{"name":1}]`), err: `[0].name: expected a string, got number 1`},
		{name: "map", rule: &contract.Binding{Body: "by_name", Template: vars()}, in: *body(`{"a":{"pages":1}}`), want: `by_name {key: "a" value {pages: 1}}`},
		{name: "scalar", rule: &contract.Binding{Body: "text", Template: vars()}, in: *body(`"x"`), want: `text: "x"`},
		{name: "http body", rule: &contract.Binding{Body: "file", Template: vars()}, in: call.Input{Body: []byte("\x00\xff"), HasBody: true, ContentType: "image/png"}, want: `file {content_type: "image/png" data: "\x00\xff"}`},
		{name: "http body, empty", rule: &contract.Binding{Body: "file", Template: vars()}, in: call.Input{HasBody: true, ContentType: "image/png"}, want: `file {content_type: "image/png"}`},
		{name: "http body, long", rule: &contract.Binding{Body: "file", Template: vars()}, in: *body(strings.Repeat("x", 1000)), want: `file {data: "` + strings.Repeat("x", 1000) + `"}`},
	} {
		if tt.message == "" {
			tt.message = "Update"
		}
		t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
	}
}

func TestBindMask(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	patch := &contract.Binding{Verb: "PATCH", Template: vars("book.name"), Body: "book"}
	in := func(doc string) call.Input { return call.Input{Vars: []string{"b"}, Body: []byte(doc)} }
	for _, tt := range []bindTest{
		{name: "leaves", in: in(`{"title":"T","author":{"name":"A","born":null},"tags":["x"],"labels":{"k":"v"},"published":"1970-01-01T00:00:01Z"}`),
			want: `book {name: "b" title: "T" author {name: "A"} tags: "x" labels {key: "k" value: "v"} published {seconds: 1}}
				update_mask {paths: ["title", "author.name", "author.born", "tags", "labels", "published"]}`},
		{name: "empty object", in: in(`{"author":{ },"sequel":{"author":{}}}`), want: `book {name: "b" author {} sequel {author {}}} update_mask {paths: ["author", "sequel.author"]}`},
		{name: "null", in: in(`{"author":null,"tags":null,"sequel":{"extra":null}}`), want: `book {name: "b" sequel {}} update_mask {paths: ["author", "tags", "sequel.extra"]}`},
		{name: "struct and any", in: in(`{"extra":{"a":{"b":1}},"any":{"@type":"x/test.proto3.Author","name":"A"}}`),
			want: `book {name: "b" extra {fields {key: "a" value {struct_value {fields {key: "b" value {number_value: 1}}}}}} any {type_url: "x/test.proto3.Author" value: "\n\001A"}} update_mask {paths: ["extra", "any"]}`},
		{name: "lists of messages", in: in(`{"others":[{"name":"x"}]}`), want: `book {name: "b" others {name: "x"}} update_mask {paths: "others"}`},
		{name: "the path's own value", in: in(`{"name":"b","pages":3}`), want: `book {name: "b" pages: 3} update_mask {paths: "pages"}`},
		{name: "both names", in: in(`{"sequel":{"nothing":{}}}`), want: `book {name: "b" sequel {nothing {}}} update_mask {paths: "sequel.nothing"}`},
		{name: "nothing", in: in(`{}`), want: `book {name: "b"}`},
		{name: "given", in: call.Input{Vars: []string{"b"}, RawQuery: "updateMask=pages", Body: []byte(`{"title":"T","pages":2}`)}, want: `book {name: "b" title: "T" pages: 2} update_mask {paths: "pages"}`},
		{name: "given empty", in: call.Input{Vars: []string{"b"}, RawQuery: "update_mask=", Body: []byte(`{"title":"T"}`)}, want: `book {name: "b" title: "T"} update_mask {paths: "title"}`},
	} {
		tt.message, tt.rule = "Update", patch
		t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
	}
	for _, tt := range []bindTest{
		{name: "not for PUT", rule: &contract.Binding{Verb: "PUT", Body: "book", Template: vars()}, in: *body(`{"title":"T"}`), want: `book {title: "T"}`},
		{name: "not for a whole body", rule: &contract.Binding{Verb: "PATCH", Body: "*", Template: vars()}, in: *body(`{"book":{"title":"T"}}`), want: `book {title: "T"}`},
		{name: "not for a list", rule: &contract.Binding{Verb: "PATCH", Body: "books", Template: vars()}, in: *body(`[{"title":"T"}]`), want: `books {title: "T"}`},
	} {
		tt.message = "Update"
		t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
	}
}

// Where unknown names in a document are ignored, those that decide what is
// asked for are not.
func TestBindIgnoringUnknown(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	patch := &contract.Binding{Verb: "PATCH", Template: vars("book.name"), Body: "book"}
	in := func(doc string) call.Input { return call.Input{Vars: []string{"b"}, Body: []byte(doc)} }
	for _, tt := range []bindTest{
		{name: "body", message: "Update", rule: &contract.Binding{Body: "*", Template: vars()}, in: *body(`{"nope":1,"book":{"no":{},"title":"T"}}`), want: `book {title: "T"}`},
		{name: "query", message: "Get", in: call.Input{RawQuery: "color=PURPLE"}, err: `color: expected a name of enum Color or its number, got string "PURPLE"`},
		{name: "query, list", message: "Get", in: call.Input{RawQuery: "colors=RED&colors=PURPLE"}, err: `colors: expected a name of enum Color or its number, got string "PURPLE"`},
		{name: "query, map", message: "Get", in: call.Input{RawQuery: "byId[1]=PURPLE"}, err: `"byId[1]": expected a name of enum Color or its number, got string "PURPLE"`},
		{name: "path", message: "Get", rule: &contract.Binding{Template: vars("color")}, in: call.Input{Vars: []string{"PURPLE"}},
			err: `color: expected a name of enum Color or its number, got string "PURPLE"`},
		{name: "patch", message: "Update", rule: patch, in: in(`{"nope":1}`), err: `nope: unknown field in test.proto3.Book`},
		{name: "patch, inside", message: "Update", rule: patch, in: in(`{"author":{"nope":1}}`), err: `author.nope: unknown field in test.proto3.Author`},
		{name: "patch, enum", message: "Update", rule: patch, in: in(`{"cover":"PURPLE"}`), err: `cover: expected a name of enum Color or its number`},
		{name: "patch, in a list", message: "Update", rule: patch, in: in(`{"others":[{"nope":1}]}`), want: `book {name: "b" others {}} update_mask {paths: "others"}`},
	} {
		tt.options.IgnoreUnknown = true
		t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
	}
}

func TestBindRequired(t *testing.T) {
	s := newSchema(t, "proto2", requiredSchema)
	rule := &contract.Binding{Verb: "PUT", Template: vars("name"), Body: "part"}
	for _, tt := range []bindTest{
		{name: "all there", in: call.Input{Vars: []string{"n"}, Body: []byte(`{"id":"x"}`)}, rule: rule, want: `name: "n" part {id: "x"}`},
		{name: "missing in the body", in: call.Input{Vars: []string{"n"}, Body: []byte(`{}`)}, rule: rule, err: `part.id: required, but not given`},
		{name: "missing body", in: call.Input{Vars: []string{"n"}}, rule: rule, err: `part: required, but not given`},
		{name: "in a list", in: *body(`{"name":"","part":{"id":""},"parts":[{"id":"a"},{}]}`), rule: &contract.Binding{Body: "*", Template: vars()}, err: `parts[1].id: required, but not given`},
		{name: "in a map", in: *body(`{"name":"","part":{"id":""},"named":{"k":{}}}`), rule: &contract.Binding{Body: "*", Template: vars()}, err: `named["k"].id: required, but not given`},
		{name: "from the path", in: call.Input{Vars: []string{"n", "i"}, Body: []byte(`{"part":{"count":1}}`)},
			rule: &contract.Binding{Template: vars("name", "part.id"), Body: "*"}, want: `name: "n" part {id: "i" count: 1}`},
	} {
		tt.message = "Put"
		t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
	}
}

func TestBindMediaTypes(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	md := s.message(t, "Update")
	b, err := transcode.NewCompiler(transcode.Options{}, s.types).Bind(md, md, &contract.Binding{Body: "*", Template: vars()})
	if err != nil {
		t.Fatal(err)
	}
	for media, want := range map[string]bool{
		"": true, "application/json": true, "Application/JSON": true, "application/json; charset=utf-8": true, `application/json;charset="UTF-8"`: true,
		"application/merge-patch+json": true, "application/json; x=y": true, "application/json; charset=latin1": false, "text/plain": false,
		"application/x-www-form-urlencoded": false, "application/jsonx": false, "application/+json": false, "text/json": false, "json": false, "application/": false,
	} {
		_, err := b.AppendRequest(nil, &call.Input{Body: []byte("{}"), HasBody: true, ContentType: media})
		var input *transcode.InputError
		if refused := errors.As(err, &input) && input.Kind == transcode.UnsupportedMedia; refused == want || !refused && err != nil {
			t.Errorf("%q: got error %v", media, err)
		}
		if input != nil && input.Field() != "" {
			t.Errorf("%q: field %q, want none", media, input.Field())
		}
	}
}

// TestBindMediaTypeOfBytes: a header may have any bytes, a string of protobuf not.
func TestBindMediaTypeOfBytes(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	md := s.message(t, "Update")
	b, err := transcode.NewCompiler(transcode.Options{}, s.types).Bind(md, md, &contract.Binding{Body: "file", Template: vars()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.AppendRequest(nil, &call.Input{Body: []byte("x"), HasBody: true, ContentType: "image/\xff"})
	var input *transcode.InputError
	if !errors.As(err, &input) || input.Kind != transcode.UnsupportedMedia {
		t.Errorf("got error %v, want one of unsupported media", err)
	}
}

func TestBindMistakes(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	for want, rule := range map[string]*contract.Binding{
		`path variable {nam}: test.proto3.Get has no field "nam"; did you mean "name"?`:            {Template: vars("nam")},
		`path variable {book.titel}: test.proto3.Book has no field "titel"; did you mean "title"?`: {Template: vars("book.titel")},
		`path variable {name.x}: test.proto3.Get.name is not a message with fields of its own`:     {Template: vars("name.x")},
		`path variable {books.x}: test.proto3.Get.books is not a message with fields of its own`:   {Template: vars("books.x")},
		`path variable {ttl.seconds}: test.proto3.Get.ttl is not a message with fields of its own`: {Template: vars("ttl.seconds")},
		`path variable {by_tag}: its field or another member of its oneof is bound twice`:          {Template: vars("by_title", "by_tag")},
		`path variable {by_author.name}: another one binds test.proto3.Get.by_author`:              {Template: vars("by_title", "by_author.name")},
		`path variable {by_title}: its field or another member of its oneof is bound twice`:        {Template: vars("by_author.name", "by_title")},
		`body: test.proto3.Get has no field "boko"; did you mean "book"?`:                          {Body: "boko", Template: vars()},
		`body: test.proto3.Get has no field "book.title"; a body is a top-level field`:             {Body: "book.title", Template: vars()},
		`body: the path binds field "name" or another member of its oneof`:                         {Body: "name", Template: vars("name")},
		`response_body: test.proto3.Get has no field "boko"; did you mean "book"?`:                 {ResponseBody: "boko", Template: vars()},
		`path variable {numbers}: ` + single:                                                       {Template: vars("numbers")},
		`path variable {book}: ` + single:                                                          {Template: vars("book")},
		`path variable {filter}: ` + single:                                                        {Template: vars("filter")},
	} {
		md := s.message(t, "Get")
		if _, err := transcode.NewCompiler(transcode.Options{}, s.types).Bind(md, md, rule); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

const single = "a path can only bind a single value: a number, a string, bytes, an enum, or a well-known type that is written as one"

func TestBindResponse(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	get := `name: "n" id: 7 color: RED numbers: [1, 2] sizes {key: "a" value: 1} book {title: "T"} ttl {seconds: 1} books {key: "k" value {pages: 1}}`
	for _, tt := range []struct{ message, field, in, want string }{
		{"Author", "", `name: "A"`, `{"name":"A"}`},
		{"Get", "name", get, `"n"`}, {"Get", "id", get, `"7"`}, {"Get", "color", get, `"RED"`}, {"Get", "numbers", get, `[1,2]`}, {"Get", "sizes", get, `{"a":1}`},
		{"Get", "book", get, `{"title":"T"}`}, {"Get", "ttl", get, `"1s"`}, {"Get", "books", get, `{"k":{"pages":1}}`},
		{"Get", "name", ``, `""`}, {"Get", "id", ``, `"0"`}, {"Get", "color", ``, `"COLOR_UNSPECIFIED"`}, {"Get", "numbers", ``, `[]`}, {"Get", "sizes", ``, `{}`},
		{"Get", "book", ``, `{}`}, {"Get", "ttl", ``, `null`}, {"Get", "flag", ``, `false`}, {"Get", "f", ``, `0`}, {"Get", "opt", ``, `null`}, {"Get", "opt", `opt: ""`, `""`},
	} {
		for _, defaults := range []bool{false, true} {
			md := s.message(t, tt.message)
			b, err := transcode.NewCompiler(transcode.Options{EmitDefaults: defaults}, s.types).Bind(md, md, &contract.Binding{ResponseBody: tt.field, Template: vars()})
			if err != nil {
				t.Fatal(err)
			}
			wire, err := proto.Marshal(text(t, md, tt.in))
			if err != nil {
				t.Fatal(err)
			}
			out, contentType, raw, err := b.AppendResponse([]byte("x"), wire, nil)
			got := strings.ReplaceAll(string(out), " ", "")
			if defaults && (tt.message == "Author" || strings.HasPrefix(tt.want, `{"`)) {
				if !strings.Contains(got, strings.Trim(tt.want, "{}")) && !strings.Contains(got, `"k":{"name":""`) {
					t.Errorf("%s with defaults: got %s", tt.field, got)
				}
			} else if got != "x"+tt.want || contentType != "" || raw || err != nil {
				t.Errorf("%s: got %s, %q, %v, %v, want %s", tt.field, got, contentType, raw, err, tt.want)
			}
			if _, _, _, err := b.AppendResponse(nil, []byte{0xff}, nil); err == nil {
				t.Errorf("%s: a broken response is accepted", tt.field)
			}
		}
	}
}

func TestBindRawResponse(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	update := s.message(t, "Update")
	file := update.Fields().ByName("file").Message()
	const in = `content_type: "image/png" data: "\x00\xff"`
	for _, tt := range []struct {
		out                  protoreflect.MessageDescriptor
		field, in, want, typ string
	}{
		{file, "", in, "\x00\xff", "image/png"},
		{file, "", `data: "x"`, "x", "application/octet-stream"},
		{file, "", ``, "", "application/octet-stream"},
		{update, "file", `text: "t" file {` + in + `}`, "\x00\xff", "image/png"},
		{update, "file", ``, "", "application/octet-stream"},
	} {
		b, err := transcode.NewCompiler(transcode.Options{}, s.types).Bind(update, tt.out, &contract.Binding{ResponseBody: tt.field, Template: vars()})
		if err != nil {
			t.Fatal(err)
		}
		wire, err := proto.Marshal(text(t, tt.out, tt.in))
		if err != nil {
			t.Fatal(err)
		}
		out, contentType, raw, err := b.AppendResponse([]byte("x"), wire, nil)
		if string(out) != "x"+tt.want || contentType != tt.typ || !raw || err != nil {
			t.Errorf("got %q, %q, %v, %v, want %q, %q", out, contentType, raw, err, tt.want, tt.typ)
		}
		if _, _, _, err := b.AppendResponse(nil, []byte{0xff}, nil); err == nil {
			t.Error("a broken response is accepted")
		}
	}
}

func TestBindAllocatesNothing(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	md := s.message(t, "Update")
	b, err := transcode.NewCompiler(transcode.Options{AllowQuery: []string{"utm_*"}}, s.types).Bind(md, md,
		&contract.Binding{Verb: "PATCH", Template: vars("book.name", "book.author.name"), Body: "book"})
	if err != nil {
		t.Fatal(err)
	}
	in := &call.Input{Vars: []string{"b", "A"}, RawQuery: "allow_missing=true&count=3&text=a%20b&utm_x=1", HasBody: true,
		Body: []byte(`{"name":"b","title":"T","tags":["x"],"labels":{"a":"b"},"sequel":{"pages":3}}`), ContentType: "application/json"}
	var dst []byte
	mustNotAllocate(t, func() {
		if dst, err = b.AppendRequest(dst[:0], in); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzBindQuery compares with net/url's reading of the query.
func FuzzBindQuery(f *testing.F) {
	s := newSchema(f, "proto3", bindSchema)
	md := s.message(f, "Get")
	b, err := transcode.NewCompiler(transcode.Options{}, s.types).Bind(md, md, &contract.Binding{Template: vars("name")})
	if err != nil {
		f.Fatal(err)
	}
	for _, q := range []string{"id=1&opt=a+b%20c", "book.title=x&book.author.born=1", "sizes[a]=1&sizes[b]=2", "numbers=1&numbers=2", "by_tag=x", "filter={}", "value=[1]",
		"ttl=1s&mask=a,b&note=x&limit=3", "raw=aGk", "%zz=1", "a;b", "opt=%ff", "book.sequel.sequel.pages=1", "times=1970-01-01T00:00:00Z", "f=NaN&ratio=-Infinity"} {
		f.Add(q, "name")
	}
	f.Fuzz(func(t *testing.T, query, name string) {
		wire, err := b.AppendRequest(nil, &call.Input{Vars: []string{name}, RawQuery: query})
		if err != nil {
			if strings.Contains(err.Error(), "strconv") || err.Error() == "" {
				t.Errorf("bad error text %q", err)
			}
			return
		}
		m := dynamicpb.NewMessage(md)
		if err := proto.Unmarshal(wire, m); err != nil {
			t.Fatalf("%q: broken wire bytes %x: %v", query, wire, err)
		}
		fds := md.Fields()
		if got := m.Get(fds.ByName("name")).String(); got != name {
			t.Errorf("%q: name is %q, the path says %q", query, got, name)
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("%q accepted; net/url says %v", query, err)
		}
		if values.Has("opt") && m.Get(fds.ByName("opt")).String() != values.Get("opt") {
			t.Errorf("%q: opt is %q", query, m.Get(fds.ByName("opt")))
		}
		if n := m.Get(fds.ByName("numbers")).List().Len(); n != len(values["numbers"]) {
			t.Errorf("%q: %d numbers", query, n)
		}
		if raw := values.Get("raw"); raw != "" && !sameBase64(raw, m.Get(fds.ByName("raw")).Bytes()) {
			t.Errorf("%q: raw is %x", query, m.Get(fds.ByName("raw")).Bytes())
		}
	})
}

func sameBase64(text string, got []byte) bool {
	clean := strings.NewReplacer("-", "+", "_", "/", "=", "", "\n", "", "\r", "").Replace(text)
	want, err := base64.RawStdEncoding.DecodeString(clean)
	return err == nil && fmt.Sprintf("%x", want) == fmt.Sprintf("%x", got)
}
