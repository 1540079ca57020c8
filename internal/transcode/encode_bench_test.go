package transcode_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// BenchmarkEncode counts in bytes of JSON, both times those that protojson
// writes, so that MB/s compare.
func BenchmarkEncode(b *testing.B) {
	wire, size := wireOfProducts(b)
	b.Run("gatehouse", func(b *testing.B) {
		enc := encoder(b, hundredProducts(), transcode.Options{})
		b.SetBytes(size)
		b.ReportAllocs()
		var dst []byte
		var err error
		for b.Loop() {
			if dst, err = enc.Append(dst[:0], wire); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("protojson", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			m := new(catalogv1.ListProductsResponse)
			err := proto.Unmarshal(wire, m)
			if err == nil {
				dst, err = protojson.MarshalOptions{}.MarshalAppend(dst[:0], m)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestEncodeAllocatesNothing(t *testing.T) {
	wire, _ := wireOfProducts(t)
	for _, opts := range []transcode.Options{{}, {EmitDefaults: true}, {UseProtoNames: true, UseEnumNumbers: true}} {
		enc := encoder(t, hundredProducts(), opts)
		var dst []byte
		var err error
		mustNotAllocate(t, func() {
			if dst, err = enc.Append(dst[:0], wire); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// wireOfProducts returns the page as its backend sends it and how many bytes
// of JSON it makes.
func wireOfProducts(tb testing.TB) (wire []byte, size int64) {
	tb.Helper()
	wire, err := proto.Marshal(hundredProducts())
	if err != nil {
		tb.Fatal(err)
	}
	json, err := protojson.Marshal(hundredProducts())
	if err != nil {
		tb.Fatal(err)
	}
	return wire, int64(len(compact(tb, json)))
}

// encoder compiles the encoder of m's type with what is linked in.
func encoder(tb testing.TB, m proto.Message, opts transcode.Options) *transcode.Encoder {
	tb.Helper()
	enc, err := transcode.NewCompiler(opts, protoregistry.GlobalTypes).Encoder(m.ProtoReflect().Descriptor())
	if err != nil {
		tb.Fatal(err)
	}
	return enc
}
