package transcode_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// hostileDocuments are as dear as their size allows.
func hostileDocuments() map[string]string {
	const n = 20000
	var keys, numbers strings.Builder
	for i := range n {
		fmt.Fprintf(&keys, `"%d":1,`, i)
	}
	for range n {
		numbers.WriteString(`1,`)
	}
	deep := 45
	late := strings.Repeat(`{"a":[],"value":`, deep) + `{"@type":"x/google.protobuf.Empty"}` + strings.Repeat(`,"@type":"x/google.protobuf.Any"}`, deep)
	return map[string]string{
		"keys":    `{"mInt32":{` + strings.TrimSuffix(keys.String(), ",") + `}}`,
		"struct":  `{"wStruct":{` + strings.TrimSuffix(keys.String(), ",") + `}}`,
		"values":  `{"wList":[` + numbers.String() + `1]}`,
		"doubles": `{"rDouble":[` + numbers.String() + `1]}`,
		"escapes": `{"fString":"` + strings.Repeat(`\u0001`, n) + `"}`,
		"types":   `{"wAny":{"a":[` + strings.Repeat(`{"@type":"x"},`, n) + `1],"@type":"x/google.protobuf.Struct"}}`,
		"late":    `{"rwAny":[` + strings.Repeat(late+",", 100) + late + `]}`,
		"deep":    `{"fStruct":` + strings.Repeat(`[`, n),
	}
}

// TestDecodeCostIsBounded holds every document to 20 times its size in memory.
func TestDecodeCostIsBounded(t *testing.T) {
	s := newSchema(t, "proto3", proto3Schema)
	for name, doc := range hostileDocuments() {
		d, err := transcode.NewCompiler(transcode.Options{IgnoreUnknown: true}, s.types).Decoder(s.message(t, "All"))
		if err != nil {
			t.Fatal(err)
		}
		used := allocated(func() { _, err = d.Append(nil, []byte(doc)) })
		if most := uint64(20*len(doc) + 64<<10); used > most {
			t.Errorf("%s: %d bytes of JSON cost %d bytes, want at most %d (%v)", name, len(doc), used, most, err)
		}
	}
}

func TestMaskCostIsBounded(t *testing.T) {
	s := newSchema(t, "proto3", bindSchema)
	md := s.message(t, "Update")
	b, err := transcode.NewCompiler(transcode.Options{}, s.types).Bind(md, md, &contract.Binding{Verb: "PATCH", Body: "book", Template: vars()})
	if err != nil {
		t.Fatal(err)
	}
	const leaves = `"name":null,"title":null,"pages":null,"tags":null,"labels":null,"extra":null,"any":null,"nothing":null`
	doc := strings.Repeat(`{`+leaves+`,"sequel":`, 98) + `{}` + strings.Repeat(`}`, 98)
	in := &call.Input{Body: []byte(doc), HasBody: true}
	used := allocated(func() { _, err = b.AppendRequest(nil, in) })
	if most := uint64(20*len(doc) + 64<<10); used > most {
		t.Errorf("%d bytes of JSON cost %d bytes, want at most %d (%v)", len(doc), used, most, err)
	}
}

// allocated returns how many bytes f allocates in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
