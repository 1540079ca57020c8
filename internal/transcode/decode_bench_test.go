package transcode_test

import (
	"fmt"
	"testing"

	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// hundredProducts is a page of a catalog as its backend would send it.
func hundredProducts() *catalogv1.ListProductsResponse {
	page := &catalogv1.ListProductsResponse{NextPageToken: "cGFnZS0y", TotalSize: 4711}
	for i := range 100 {
		page.Products = append(page.Products, &catalogv1.Product{
			Name:        fmt.Sprintf("products/%05d", i),
			DisplayName: fmt.Sprintf("Espresso machine, model %d", i),
			Description: "Two boilers, a rotary pump and a \"quiet\" grinder — made to be repaired for twenty years.\nComes with a tamper.",
			Shelf:       fmt.Sprintf("shelves/kitchen-%d", i%7),
			Price:       &money.Money{CurrencyCode: "EUR", Units: int64(400 + i), Nanos: 990000000},
			Tags:        []string{"coffee", "kitchen", "steel", "repairable"},
			Attributes:  map[string]string{"colour": "graphite", "voltage": "230 V", "country": "IT"},
			WeightGrams: int64(18500 + i), Rating: 4.5 + float64(i%5)/10, Featured: i%3 == 0,
			WarrantyMonths: new(int32(24 + i%12)),
			Images: []*catalogv1.Image{
				{Media: fmt.Sprintf("products/%05d/media/front.jpg", i), AltText: "Front view", Fingerprint: []byte("0123456789abcdef")},
				{Media: fmt.Sprintf("products/%05d/media/side.jpg", i), AltText: "Side view", Fingerprint: []byte("fedcba9876543210")},
			},
			Gtin:       4006381333931 + uint64(i),
			CreateTime: &timestamppb.Timestamp{Seconds: 1760000000 + int64(i)*3600},
			UpdateTime: &timestamppb.Timestamp{Seconds: 1765000000 + int64(i)*60, Nanos: 250000000},
			Etag:       fmt.Sprintf("W/\"%08x\"", i*2654435761),
		})
	}
	return page
}

func BenchmarkDecode(b *testing.B) {
	json, err := protojson.Marshal(hundredProducts())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("gatehouse", func(b *testing.B) {
		d := decoder(b, hundredProducts(), transcode.Options{})
		b.SetBytes(int64(len(json)))
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			if dst, err = d.Append(dst[:0], json); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("protojson", func(b *testing.B) {
		b.SetBytes(int64(len(json)))
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			m := new(catalogv1.ListProductsResponse)
			if err = protojson.Unmarshal(json, m); err != nil {
				b.Fatal(err)
			}
			if dst, err = (proto.MarshalOptions{}).MarshalAppend(dst[:0], m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestDecodeAllocatesNothing(t *testing.T) {
	json, err := protojson.Marshal(hundredProducts())
	if err != nil {
		t.Fatal(err)
	}
	d := decoder(t, hundredProducts(), transcode.Options{})
	var dst []byte
	mustNotAllocate(t, func() {
		if dst, err = d.Append(dst[:0], json); err != nil {
			t.Fatal(err)
		}
	})
}

// mustNotAllocate fails unless f comes to run without an allocation. One such
// run in many is enough: under the race detector sync.Pool forgets at random.
func mustNotAllocate(t *testing.T, f func()) {
	t.Helper()
	least := testing.AllocsPerRun(1, f)
	for i := 0; i < 100 && least != 0; i++ {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	if least != 0 {
		t.Errorf("%v allocations, want none", least)
	}
}

// decoder compiles the decoder of m's type with what is linked in.
func decoder(tb testing.TB, m proto.Message, opts transcode.Options) *transcode.Decoder {
	tb.Helper()
	d, err := transcode.NewCompiler(opts, protoregistry.GlobalTypes).Decoder(m.ProtoReflect().Descriptor())
	if err != nil {
		tb.Fatal(err)
	}
	return d
}
