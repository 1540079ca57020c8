package openapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
)

// TestAnnotated: the whole document of a contract with the annotations of grpc-gateway and
// of gnostic, and what the gateway does otherwise than they say. The suite test/openapi has
// validators read it.
func TestAnnotated(t *testing.T) {
	t.Parallel()
	s := source(t, "testdata/annotated.binpb.gz")
	golden(t, "annotated.golden.yaml", write(t, s, openapi.YAML))
	warnings, err := openapi.NewDocuments(s).Warnings()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "annotated.warnings.golden", []byte(strings.Join(warnings, "\n")+"\n"))
}

// changed is the image of testdata/annotated with changes in its files.
func changed(t *testing.T, change func(files map[string]*descriptorpb.FileDescriptorProto)) []byte {
	t.Helper()
	data, err := contract.ReadImage("testdata/annotated.binpb.gz")
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := (proto.UnmarshalOptions{Resolver: new(protoregistry.Types)}).Unmarshal(data, set); err != nil {
		t.Fatal(err)
	}
	files := map[string]*descriptorpb.FileDescriptorProto{}
	for _, file := range set.GetFile() {
		files[file.GetName()] = file
	}
	change(files)
	if data, err = proto.Marshal(set); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestStrangeAnnotations: an annotation that is damaged, or whose definition is another one
// or missing, is not read. All else is.
func TestStrangeAnnotations(t *testing.T) {
	t.Parallel()
	getBook := func(name string) []any { return []any{"paths", "/v1/books/{id}", "get", name} }
	for _, test := range []struct {
		name     string
		change   func(files map[string]*descriptorpb.FileDescriptorProto)
		path     []any
		want     any
		warnings []string
	}{
		{"none is strange", func(map[string]*descriptorpb.FileDescriptorProto) {}, getBook("summary"), "Finds a book", nil},
		{
			"damaged", func(files map[string]*descriptorpb.FileDescriptorProto) {
				options := files["annotated/v1/annotated.proto"].GetService()[0].GetMethod()[0].GetOptions()
				options.ProtoReflect().SetUnknown(append(options.ProtoReflect().GetUnknown(), protowire.AppendBytes(protowire.AppendTag(nil, 1042, protowire.BytesType), []byte{0x0a, 0xff})...))
			}, getBook("summary"), "The leading sentence of a comment",
			[]string{"annotated/v1/annotated.proto: annotated.v1.Books.GetBook: (openapiv2_operation): it is damaged"},
		},
		{
			"a summary is a list", func(files map[string]*descriptorpb.FileDescriptorProto) {
				for _, message := range files["protoc-gen-openapiv2/options/openapiv2.proto"].GetMessageType() {
					for _, field := range message.GetField() {
						if field.GetName() == "summary" {
							field.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
						}
					}
				}
			}, getBook("summary"), "The leading sentence of a comment", nil,
		},
		{
			"the definition is missing", func(files map[string]*descriptorpb.FileDescriptorProto) {
				files["protoc-gen-openapiv2/options/annotations.proto"].Extension = nil
			}, getBook("operationId"), "Books_GetBook", nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := sourceOf(t, changed(t, test.change))
			if diff := cmp.Diff(test.want, at(t, write(t, s, openapi.JSON), test.path)); diff != "" {
				t.Errorf("%v: %s", test.path, diff)
			}
			if got := at(t, write(t, s, openapi.JSON), []any{"components", "schemas", "Review", "title"}); got != "A review" {
				t.Errorf("the title of the schema Review is %v", got)
			}
			warnings, err := openapi.NewDocuments(s).Warnings()
			for _, want := range test.warnings {
				if err != nil || !slices.ContainsFunc(warnings, func(warning string) bool { return strings.HasPrefix(warning, want) }) {
					t.Errorf("no warning %q among %q (%v)", want, warnings, err)
				}
			}
		})
	}
}

// TestAnnotationsBeside: what the configuration says prevails over annotations.
func TestAnnotationsBeside(t *testing.T) {
	t.Parallel()
	s := source(t, "testdata/annotated.binpb.gz", func(c *configv1.Config) {
		c.Openapi = &configv1.OpenApi{Title: "Mine", Version: "9", Contact: &configv1.OpenApi_Contact{Name: "Me"}}
	})
	text := write(t, s, openapi.JSON)
	for name, want := range map[string]any{
		"title": "Mine", "version": "9", "contact": map[string]any{"name": "Me"}, "description": "What readers <borrow>.",
	} {
		if diff := cmp.Diff(want, at(t, text, []any{"info", name})); diff != "" {
			t.Errorf("info.%s: %s", name, diff)
		}
	}
}
