package openapi_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
)

// large is the source of a contract of many RPCs, each with messages of its own.
func large(tb testing.TB, rpcs int) *openapi.Source {
	tb.Helper()
	service := &descriptorpb.ServiceDescriptorProto{Name: new("Things")}
	file := &descriptorpb.FileDescriptorProto{
		Name: new("large.proto"), Package: new("large.v1"), Syntax: new("proto3"), Service: []*descriptorpb.ServiceDescriptorProto{service},
	}
	types := []descriptorpb.FieldDescriptorProto_Type{
		descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_INT64, descriptorpb.FieldDescriptorProto_TYPE_BOOL,
		descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, descriptorpb.FieldDescriptorProto_TYPE_BYTES, descriptorpb.FieldDescriptorProto_TYPE_UINT32,
	}
	for i := range rpcs {
		options := new(descriptorpb.MethodOptions)
		proto.SetExtension(options, annotations.E_Http, &annotations.HttpRule{
			Pattern: &annotations.HttpRule_Patch{Patch: fmt.Sprintf("/v1/{field_0=things%d/*}", i)}, Body: "thing",
		})
		request := fmt.Sprintf("Request%d", i)
		thing := fmt.Sprintf("Thing%d", i)
		for _, name := range []string{request, thing} {
			message := &descriptorpb.DescriptorProto{Name: &name}
			for n, kind := range types {
				message.Field = append(message.Field, &descriptorpb.FieldDescriptorProto{
					Name: new(fmt.Sprintf("field_%d", n)), Number: new(int32(n + 1)), Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
				})
			}
			if name == request {
				message.Field = append(message.Field, &descriptorpb.FieldDescriptorProto{
					Name: new("thing"), Number: new(int32(99)), Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(),
					TypeName: new(".large.v1." + thing), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
				})
			}
			file.MessageType = append(file.MessageType, message)
		}
		service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
			Name: new(fmt.Sprintf("Call%d", i)), InputType: new(".large.v1." + request), OutputType: new(".large.v1." + thing), Options: options,
		})
	}
	desc, err := protodesc.NewFile(file, nil)
	if err != nil {
		tb.Fatal(err)
	}
	s := &openapi.Source{Config: config.Default()}
	for i := range desc.Services().Get(0).Methods().Len() {
		m := contract.NewMethod(desc.Services().Get(0).Methods().Get(i), "large")
		policy := config.DefaultPolicy()
		policy.Auth = &policyv1.Auth{Public: new(true)}
		s.Methods = append(s.Methods, &openapi.Method{Desc: m.Desc, Bindings: m.Bindings, Policy: policy})
	}
	return s
}

var (
	largeRPCs = flag.Int("rpcs", 1000, "how many RPCs the large document has")
	largeFile = flag.String("large", "", "a file for the large document, which the suite test/openapi has validators read")
)

// TestLarge: a document of many RPCs has them all.
func TestLarge(t *testing.T) {
	t.Parallel()
	text := write(t, large(t, *largeRPCs), openapi.JSON)
	paths, ok := at(t, text, []any{"paths"}).(map[string]any)
	if !ok || len(paths) != *largeRPCs {
		t.Errorf("got %d paths, want %d", len(paths), *largeRPCs)
	}
	if *largeFile != "" {
		if err := os.WriteFile(*largeFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkDocument writes the document of 10,000 RPCs with 20,000 messages.
func BenchmarkDocument(b *testing.B) {
	s := large(b, 10_000)
	for _, format := range []openapi.Format{openapi.JSON, openapi.YAML} {
		b.Run(string(format), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				doc, err := s.Document("")
				if err != nil {
					b.Fatal(err)
				}
				text, err := doc.Write(format)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(text))/(1<<20), "MiB")
			}
		})
	}
}
