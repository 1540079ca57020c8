package transcode_test

import (
	"fmt"
	"strings"
)

// documents are JSON documents for the proto3 schema, right and wrong.
func documents() []string {
	docs := append([]string{}, oddDocuments...)
	docs = append(docs, crossed([]string{"fInt32", "fInt64", "fUint32", "fUint64", "fSint32", "fSint64", "fFixed32", "fFixed64",
		"fSfixed32", "fSfixed64", "fFloat", "fDouble", "oInt32", "oDouble", "wInt32", "wInt64", "wUint32", "wUint64", "wFloat", "wDouble",
		"fColor", "fNull", "pInt32", "wValue"}, numbers)...)
	docs = append(docs, crossed([]string{"fString", "fBytes", "fBool", "oString", "oBytes", "oColor", "wBool", "wString", "wBytes", "wMask",
		"wTimestamp", "wDuration", "wValue", "fColor", "fNull", "fLeaf", "pNull", "pValue", "wStruct", "wList", "wAny", "wEmpty"}, values)...)
	docs = append(docs, crossed([]string{"wTimestamp"}, timestamps)...)
	docs = append(docs, crossed([]string{"wDuration"}, durations)...)
	for _, field := range []string{"rBool", "rInt32", "rSint64", "rFixed32", "rDouble", "rString", "rBytes", "rColor", "rLeaf", "rNull",
		"rwTimestamp", "rwValue", "rwInt64", "rwAny", "wList"} {
		for _, v := range values {
			docs = append(docs, fmt.Sprintf(`{%q:[%s]}`, field, v), fmt.Sprintf(`{%q:[ %s , %s ]}`, field, v, v))
		}
	}
	for _, field := range []string{"mString", "mInt32", "mInt64", "mUint32", "mUint64", "mSint32", "mFixed64", "mBool", "mLeaf", "mValue", "mNull", "wStruct"} {
		for _, key := range []string{"", "a", "0", "1", "-1", "+1", "01", "1.0", " 1", "true", "false", "4294967296", "18446744073709551616", "1_0"} {
			docs = append(docs, fmt.Sprintf(`{%q:{%q:1}}`, field, key), fmt.Sprintf(`{%q:{%q:"RED"}}`, field, key), fmt.Sprintf(`{%q:{%q:{}}}`, field, key))
		}
		docs = append(docs, fmt.Sprintf(`{%q:{"1":null}}`, field), fmt.Sprintf(`{%q:{"1":"1","1":"1"}}`, field), fmt.Sprintf(`{%q:{"1":1,"01":1}}`, field))
	}
	return append(docs, manyKeys(300, ""), manyKeys(300, `,"\u006b7":"x"`))
}

func crossed(fields, values []string) []string {
	var docs []string
	for _, f := range fields {
		for _, v := range values {
			docs = append(docs, fmt.Sprintf(`{%q:%s}`, f, v))
		}
	}
	return docs
}

// manyKeys is a map with n keys k0, k1, ... and a last member.
func manyKeys(n int, last string) string {
	var b strings.Builder
	b.WriteString(`{"mString":{"":"0"`)
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":"%s"`, i, strings.Repeat("v", i))
	}
	return b.String() + last + `}}`
}

var numbers = strings.Fields(`0 -0 1 -1 1.0 1e3 1E3 1e+3 10e-1 1.5 0.1e1 1.10e1 100e-2 1e-1 0e99999 0e99999999999 1e20 1e19
	18446744073709551615 18446744073709551616 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809
	2147483647 2147483648 -2147483648 -2147483649 4294967295 4294967296 123456789012345678901234567890 1e400 -1e400 1e-400 3.5e38
	0.0000000000000000000001e22 01 1. .1 +1 1e 1e+ -  0x10 1_0 NaN Infinity "1" "-1" "1.0" "1e3" " 1" "1 " "" "x" "1x" "01" "+1" "\u0031"
	"NaN" "Infinity" "-Infinity" "nan" "null" "18446744073709551615" "2147483648" null true [] {} 3.4028235e38 5e-324 0.1 -0.0 "-0"`)

var values = []string{
	`null`, `true`, `false`, `"true"`, `0`, `1`, `""`, `"a"`, `"é"`, `"\u00e9\ud83d\ude00\n\"\\\/\b\f\r\t"`, `"\ud83d"`, `"\udc00\ud83d"`, `"\u12"`, `"\x"`,
	"\"\x01\"", "\"\x7f\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", `"aGk="`, `"aGk"`, `"aGkh"`, `"-_8="`, `"-_8"`, `"+/8"`, `"+_8"`, `"a"`, `"aG k"`, `"aGk\n"`, `"===="`,
	`{}`, `[]`, `[null]`, `[[]]`, `{"a":null}`, `{"a":1,"a":2}`, `{"a":[1,"x",{"b":true}]}`, `[1,]`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `truex`, `nul`, `"unterminated`,
	`"RED"`, `"red"`, `"ALIAS_RED"`, `-5`, `99`, `"NULL_VALUE"`, `"a,b"`, `"fooBar"`, `"fooBar.bazQux,x1"`, `"foo_bar"`, `"a,,b"`, `"1a"`, `"a."`, `".a"`, `"A"`, `" a "`, `"a, b"`,
	`"1s"`, `"2026-01-31T12:30:00Z"`, `{"name":"x","size":3}`, `{"name":"x","nope":3}`, `{"child":{"child":{"size":1}}}`,
	`{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}`, `{"value":"1s","@type":"type.googleapis.com/google.protobuf.Duration"}`,
	`{"@type":"google.protobuf.Empty"}`, `{"@type":"x/google.protobuf.Empty","value":{}}`, `{"@type":"x/google.protobuf.Duration"}`,
	`{"@type":"x/google.protobuf.Duration","value":"1s","value":"1s"}`, `{"@type":"x/google.protobuf.Duration","value":"1s","z":1}`,
	`{"@type":"x/test.proto3.Leaf","name":"n","size":1}`, `{"size":1,"child":{"size":2},"@type":"x/test.proto3.Leaf","name":"n"}`,
	`{"@type":"x/test.proto3.Leaf","name":"n","@type":"x/test.proto3.Leaf"}`, `{"name":"n","@type":""}`, `{"@type":1}`, `{"@type":null}`, `{"@type":"x/test.proto3.None"}`,
	`{"@type":"x/google.protobuf.Any","value":{"@type":"x/test.proto3.Leaf","size":1}}`, `{"value":{"size":1,"@type":"x/test.proto3.Leaf"},"@type":"x/google.protobuf.Any"}`,
	`{"fAll":{"wAny":{"size":1,"@type":"x/test.proto3.Leaf"}},"@type":"x/test.proto3.All"}`, `{"@type":"x/google.protobuf.Value","value":null}`,
	`{"@type":"x/google.protobuf.Struct","value":{"@type":1}}`, `{"a":{"@type":7},"@type":"x/google.protobuf.Struct"}`,
	`{"@type":"x/test.proto3.Leaf","child":{"@type":"x"}}`, `{"@type":"x/google.protobuf.Int64Value","value":"12"}`,
}

var timestamps = quoted(`2026-01-31T12:30:00Z 2026-01-31T12:30:00.5Z 2026-01-31T12:30:00.123456789Z 2026-01-31T12:30:00.1234567890Z
	2026-01-31T12:30:00.Z 2026-01-31T12:30:00+01:00 2026-01-31T12:30:00-23:59 2026-01-31T12:30:00+24:00 2026-01-31T12:30:00+00:60 2026-01-31T12:30:00
	2026-02-29T00:00:00Z 2024-02-29T00:00:00Z 1900-02-29T00:00:00Z 2000-02-29T00:00:00Z 2026-13-01T00:00:00Z 2026-00-01T00:00:00Z 2026-01-00T00:00:00Z
	2026-01-32T00:00:00Z 2026-04-31T00:00:00Z 2026-01-01T24:00:00Z 2026-01-01T00:60:00Z 2026-01-01T00:00:60Z 0001-01-01T00:00:00Z 0000-12-31T23:59:59Z
	0001-01-01T00:00:00+00:01 9999-12-31T23:59:59.999999999Z 9999-12-31T23:59:59-00:01 1969-12-31T23:59:59.5Z 1970-01-01T00:00:00Z 1600-03-01T00:00:00Z
	2026-01-31t12:30:00Z 2026-01-31T12:30:00z 2026-1-31T12:30:00Z 2026-01-31T2:30:00Z 2026-01-31T12:30:00,5Z 2026-01-31T12:30:00+0100 12026-01-31T12:30:00Z`)

var durations = quoted(`0s 1s -1s +1s 1.5s -1.5s .5s -.5s 1.s .s -.s s + - -s 1 1m 01s 1.1234567890s 1.123456789s 0.000000001s -0.000000001s
	315576000000s 315576000001s -315576000000s -315576000001s 315576000000.9s 9999999999999s 1e3s 1s1s --1s 1.-1s 0.5s 00s 1.5.5s`)

func quoted(words string) []string {
	list := strings.Fields(words)
	for i, w := range list {
		list[i] = `"` + w + `"`
	}
	return list
}

var oddDocuments = []string{
	``, ` `, `null`, `true`, `1`, `""`, `[]`, `{}`, ` { } `, `{} {}`, `{}x`, `{`, `}`, `{"`, `{"fBool"`, `{"fBool":`, `{"fBool":true`, `{"fBool":true,`, `{"fBool":true,}`,
	`{"fBool" : true , "fInt32" : 1}`, "\ufeff{}", `{"fBool":true "fInt32":1}`, `{fBool:true}`, `{'fBool':true}`, `{"fBool":true}//`, "{\x00}", "{}\x00",
	`{"f\u0042ool":true}`, `{"f_bool":true}`, `{"FBool":true}`, `{"unknown":{"a":[1,2,{"b":null}],"c":"\u0041"}}`, `{"unknown":[}`, `{"unknown":01}`, `{"unknown":"\ud800"}`,
	`{"unknown":1,"unknown":2}`, `{"fBool":null,"fBool":true}`, `{"pString":null,"pInt32":1}`, `{"pString":"a","pInt32":null}`, `{"pString":"a","pNull":null}`,
	`{"pValue":null,"pString":null}`, `{"pLeaf":{},"pString":""}`, `{"[x]":1}`, `{"[]":1}`, `{"@type":"x"}`, `{"fInt32":1,"fBool":true,"fInt64":"2","wEmpty":{}}`,
	`{"rwValue":null}`, `{"rwValue":[null]}`, `{"rNull":null}`, `{"rNull":[null,"NULL_VALUE",0]}`, `{"mValue":{"a":null,"b":{"c":null}}}`,
	`{"wEmpty":{"a":1}}`, `{"wEmpty":null}`, `{"fLeaf":{"byName":{"a":{"byName":{"b":{"size":1}}},"c":{}}}}`,
}

// oldDocuments are for the proto2 and the editions schema; what one knows the
// other refuses.
var oldDocuments = []string{
	`{}`, `{"must":1}`, `{"must":null}`, `{"must":"x"}`, `{"must":1,"kind":"FIRST"}`, `{"must":1,"kind":99}`, `{"must":1,"kind":"NONE"}`,
	`{"must":1,"loose":[1,0,2],"tight":[3,0]}`, `{"must":1,"loose":[],"tight":[]}`, `{"must":1,"part":{}}`, `{"must":1,"part":{"id":""}}`, `{"must":1,"part":{"id":null}}`,
	`{"must":1,"parts":[{"id":"a"},{}]}`, `{"must":1,"parts":[{"id":"a","[test.proto2.ext_flag]":true}]}`, `{"must":1,"byId":{"a":{"id":"x"},"b":{}}}`,
	`{"must":1,"inner":{"x":"1","y":2}}`, `{"must":1,"Inner":{"y":0}}`, `{"must":1,"inner":{}}`, `{"must":1,"item":[{"x":"1"},{}]}`, `{"must":1,"Item":[{}]}`,
	`{"must":1,"[test.proto2.ext_number]":5}`, `{"must":1,"[test.proto2.ext_number]":5,"[test.proto2.ext_number]":6}`, `{"must":1,"[test.proto2.ext_names]":["a","b"]}`,
	`{"must":1,"[test.proto2.ext_part]":{}}`, `{"must":1,"[test.proto2.ext_part]":{"id":"x"}}`, `{"must":1,"[test.proto2.ext_flag]":true}`, `{"must":1,"[test.proto2.none]":true}`,
	`{"must":1,"[test.proto2.ext_number]":null}`, `{"must":1,"a":"x","b":{"id":"y"}}`, `{"must":1,"text":"é"}`, `{"must":1,"any":{"@type":"x/test.proto2.Part"}}`,
	`{"must":1,"any":{"@type":"x/test.proto2.Old","part":{}}}`, `{"must":1,"any":{"[test.proto2.ext_flag]":true,"@type":"x/test.proto2.Part"}}`,
	`{"must":"m"}`, `{"must":"m","explicit":0,"implied":0}`, `{"must":"m","implied":1,"wrapped":{"must":"n"}}`, `{"must":"m","wrapped":{}}`, `{"must":"m","list":[{"name":""},{"name":"x"}]}`,
	`{"must":"m","expanded":[1,2],"packed":[3,4]}`, `{"must":"m","closed":"ON"}`, `{"must":"m","closed":7}`, `{"must":"m","open":7}`, `{"must":"m","parts":{"a":{"name":"x"}}}`,
}
