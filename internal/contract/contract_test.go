package contract_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

const getProduct = "shop.catalog.v1.CatalogService.GetProduct"

// closure is the file with all that it imports, imports last, so that the order
// is of no help.
func closure(files ...protoreflect.FileDescriptor) *descriptorpb.FileDescriptorSet {
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
	}
	for _, f := range files {
		add(f)
	}
	return set
}

func without(set *descriptorpb.FileDescriptorSet, path string) *descriptorpb.FileDescriptorSet {
	set.File = slices.DeleteFunc(set.GetFile(), func(f *descriptorpb.FileDescriptorProto) bool { return f.GetName() == path })
	return set
}

func binary(t *testing.T, set proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func jsonOf(t *testing.T, set proto.Message) []byte {
	t.Helper()
	data, err := protojson.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLinked(t *testing.T) {
	set, err := contract.Linked()
	if err != nil {
		t.Fatal(err)
	}
	if set.Method(getProduct) == nil {
		t.Errorf("no %s among what is linked", getProduct)
	}
	if md := set.Method("shop.catalog.v1.CatalogService.Nope"); md != nil {
		t.Errorf("found %s, which does not exist", md.FullName())
	}
	if md := set.Method("shop.nope.v1.NopeService.Nope"); md != nil {
		t.Errorf("found %s, which does not exist", md.FullName())
	}
	var names []string
	for name := range set.Services() {
		names = append(names, string(name))
	}
	if !slices.IsSorted(names) {
		t.Errorf("services are not sorted: %v", names)
	}
	if _, err := set.Types.FindMessageByName("shop.catalog.v1.Product"); err != nil {
		t.Errorf("types: %v", err)
	}
}

func TestImageForms(t *testing.T) {
	set := closure(catalogv1.File_shop_catalog_v1_catalog_proto)
	bufJSON := bytes.Replace(jsonOf(t, set), []byte(`{"file":[{`), []byte(`{"file":[{"bufExtension":{"isImport":false},`), 1)
	forms := map[string][]byte{
		"catalog.binpb":    binary(t, set),
		"catalog.pb":       binary(t, set),
		"catalog.binpb.gz": zipped(t, binary(t, set)),
		"catalog.json":     bufJSON,
		"catalog.json.gz":  zipped(t, append([]byte("\n  "), bufJSON...)),
		"no-extension":     binary(t, set),
		"wrong-name.json":  binary(t, set),
	}
	for name, data := range forms {
		t.Run(name, func(t *testing.T) {
			got, err := contract.Image(write(t, name, data))
			if err != nil {
				t.Fatal(err)
			}
			var methods []protoreflect.FullName
			methods = slices.AppendSeq(methods, got.Methods())
			want := catalogv1.File_shop_catalog_v1_catalog_proto.Services().Get(0).Methods().Len()
			if len(methods) != want || !slices.Contains(methods, getProduct) {
				t.Fatalf("methods %v, want %d of the catalog", methods, want)
			}
			rule, err := httpRule(got.Method(getProduct))
			if err != nil || rule.GetGet() != "/v1/{name=products/*}" {
				t.Errorf("rule %v, error %v", rule, err)
			}
		})
	}
}

// Compilers leave out the files of protobuf itself and of google.api by
// default.
func TestImageWithoutWellKnown(t *testing.T) {
	set := closure(catalogv1.File_shop_catalog_v1_catalog_proto)
	for _, f := range set.GetFile() {
		if strings.HasPrefix(f.GetName(), "google/") {
			set = without(proto.CloneOf(set), f.GetName())
		}
	}
	got, err := contract.Image(write(t, "a.binpb", binary(t, set)))
	if err != nil {
		t.Fatal(err)
	}
	product := got.Method(getProduct).Output()
	if f := product.Fields().ByName("create_time"); f == nil || f.Message().FullName() != "google.protobuf.Timestamp" {
		t.Errorf("create_time is %v", f)
	}
}

func file(name, text string) *descriptorpb.FileDescriptorProto {
	f := new(descriptorpb.FileDescriptorProto)
	if err := protojson.Unmarshal([]byte(text), f); err != nil {
		return &descriptorpb.FileDescriptorProto{Name: new("bad test: " + err.Error())}
	}
	f.Name = new(name)
	return f
}

func TestImageErrors(t *testing.T) {
	user := file("shop/user.proto", `{"package": "shop", "syntax": "proto3", "dependency": ["shop/money.proto"], "messageType": [
		{"name": "Outer", "nestedType": [{"name": "User", "field": [
			{"name": "price", "number": 1, "label": "LABEL_OPTIONAL", "type": "TYPE_MESSAGE", "typeName": ".shop.Money"}]}]}]}`)
	service := file("shop/service.proto", `{"package": "shop", "syntax": "proto3", "dependency": ["shop/money.proto"], "service": [
		{"name": "Till", "method": [{"name": "Pay", "inputType": ".shop.Money", "outputType": ".shop.Money"}]}]}`)
	money := file("shop/money.proto", `{"package": "shop", "syntax": "proto3", "messageType": [{"name": "Money"}]}`)
	clash := file("shop/cash.proto", `{"package": "shop", "syntax": "proto3", "messageType": [{"name": "Money"}]}`)
	loop := file("loop.proto", `{"dependency": ["pool.proto"]}`)
	pool := file("pool.proto", `{"dependency": ["loop.proto"]}`)
	badNumber := file("bad.proto", `{"package": "shop", "messageType": [{"name": "Bad", "field": [
		{"name": "x", "number": 0, "label": "LABEL_OPTIONAL", "type": "TYPE_STRING"}]}]}`)
	image := func(files ...*descriptorpb.FileDescriptorProto) []byte {
		return binary(t, &descriptorpb.FileDescriptorSet{File: files})
	}
	other := proto.CloneOf(money)
	other.MessageType[0].Name = new("Coin")
	tests := []struct {
		name string
		data []byte
		want []string
	}{
		{"missing import of a field", image(user), []string{`"shop/user.proto"`, "shop.Outer.User.price", "shop.Money", `"shop/money.proto" is missing`, "--include_imports"}},
		{"missing import of an RPC", image(service), []string{`"shop/service.proto"`, "shop.Till.Pay", "shop.Money"}},
		{"import without its type", image(user, other), []string{"shop.Outer.User.price", "no file in it defines"}},
		{"one symbol twice", image(money, clash), []string{`"shop/cash.proto"`, "shop.Money"}},
		{"one file twice", image(money, other), []string{`"shop/money.proto"`, "twice"}},
		{"import cycle", image(loop, pool), []string{`"loop.proto"`, "imports itself"}},
		{"mistake before an import cycle", image(badNumber, loop, pool), []string{`"bad.proto"`, "shop.Bad.x"}},
		{"import cycle before a mistake", image(loop, pool, badNumber), []string{`"loop.proto"`, "imports itself"}},
		{"field number zero", image(badNumber), []string{`"bad.proto"`, "shop.Bad.x"}},
		{"no name", image(&descriptorpb.FileDescriptorProto{}), []string{"has no name"}},
		{"empty", nil, []string{"holds no files"}},
		{"not an image", []byte("syntax = \"proto3\";\n"), []string{"not a FileDescriptorSet", "buf build"}},
		{"bad JSON", []byte(`{"file": [}`), []string{"not a FileDescriptorSet in JSON"}},
		{"cut gzip", zipped(t, image(money))[:20], []string{"cut short"}},
		{"not gzip", []byte{0x1f, 0x8b, 0xff}, []string{"gzip"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, "shop.binpb", test.data)
			_, err := contract.Image(path)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(test.want, "image "+path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
	if _, err := contract.Image(filepath.Join(t.TempDir(), "none.binpb")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("absent file: %v", err)
	}
	if _, err := contract.Image(t.TempDir()); err == nil {
		t.Error("a folder is no image")
	}
}

// An import that nothing refers to is not missed: files of options are often
// not to be had.
func TestImageUnusedImportMissing(t *testing.T) {
	f := file("a.proto", `{"package": "a", "syntax": "proto3", "dependency": ["gogoproto/gogo.proto"], "messageType": [{"name": "M"}]}`)
	if _, err := contract.Image(write(t, "a.binpb", binary(t, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{f}}))); err != nil {
		t.Fatal(err)
	}
}

func TestImageGenerations(t *testing.T) {
	files := []*descriptorpb.FileDescriptorProto{
		file("two.proto", `{"package": "two", "syntax": "proto2", "messageType": [{"name": "M", "extensionRange": [{"start": 100, "end": 200}], "field": [
			{"name": "id", "number": 1, "label": "LABEL_REQUIRED", "type": "TYPE_INT32"},
			{"name": "part", "number": 2, "label": "LABEL_OPTIONAL", "type": "TYPE_GROUP", "typeName": ".two.M.Part"}],
			"nestedType": [{"name": "Part"}]}],
			"extension": [{"name": "more", "number": 100, "label": "LABEL_OPTIONAL", "type": "TYPE_STRING", "extendee": ".two.M"}]}`),
		file("edition.proto", `{"package": "ed", "syntax": "editions", "edition": "EDITION_2023", "messageType": [{"name": "M", "field": [
			{"name": "id", "number": 1, "label": "LABEL_OPTIONAL", "type": "TYPE_INT32"}]}]}`),
	}
	set, err := contract.Image(write(t, "a.binpb", binary(t, &descriptorpb.FileDescriptorSet{File: files})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Types.FindExtensionByName("two.more"); err != nil {
		t.Errorf("extension: %v", err)
	}
	d, err := set.Files.FindDescriptorByName("ed.M.id")
	if err != nil {
		t.Fatal(err)
	}
	if !d.(protoreflect.FieldDescriptor).HasPresence() {
		t.Error("edition 2023: a field has presence by default")
	}
}

// methodWith makes the descriptor of an RPC with the options.
func methodWith(t *testing.T, options *descriptorpb.MethodOptions) protoreflect.MethodDescriptor {
	t.Helper()
	f := protodesc.ToFileDescriptorProto(healthv1.File_grpc_health_v1_health_proto)
	f.Service[0].Method[0].Options = options
	made, err := protodesc.NewFile(f, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return made.Services().Get(0).Methods().Get(0)
}

func TestOption(t *testing.T) {
	known := &descriptorpb.MethodOptions{}
	proto.SetExtension(known, annotations.E_Http, &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/healthz"}})
	wire := binary(t, known)
	unknown := &descriptorpb.MethodOptions{}
	if err := (proto.UnmarshalOptions{Resolver: new(protoregistry.Types)}).Unmarshal(wire, unknown); err != nil {
		t.Fatal(err)
	}
	set, err := contract.Image(write(t, "a.binpb", binary(t, closure(annotations.File_google_api_annotations_proto))))
	if err != nil {
		t.Fatal(err)
	}
	dynamic := &descriptorpb.MethodOptions{}
	if err := (proto.UnmarshalOptions{Resolver: set.Types}).Unmarshal(wire, dynamic); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]*descriptorpb.MethodOptions{"known": known, "unknown": unknown, "dynamic": dynamic} {
		t.Run(name, func(t *testing.T) {
			md := methodWith(t, options)
			rule, err := httpRule(md)
			if err != nil || rule.GetGet() != "/healthz" {
				t.Errorf("rule %v, error %v", rule, err)
			}
			if p, ok, err := contract.Option[*policyv1.Policy](md, policyv1.E_Method); p != nil || ok || err != nil {
				t.Errorf("policy %v, %v, error %v", p, ok, err)
			}
			if _, _, err := contract.Option[string](md, annotations.E_Http); err == nil {
				t.Error("no error for the wrong type")
			}
		})
	}
	if rule, err := httpRule(methodWith(t, nil)); rule != nil || err != nil {
		t.Errorf("without options: rule %v, error %v", rule, err)
	}
}

func TestOptionDamaged(t *testing.T) {
	options := &descriptorpb.MethodOptions{}
	// google.api.http with one byte that is the start of a field and no more.
	options.ProtoReflect().SetUnknown([]byte{0x82, 0xd3, 0xe4, 0x93, 0x02, 0x01, 0x12})
	_, err := httpRule(methodWith(t, options))
	if err == nil || !strings.Contains(err.Error(), "grpc.health.v1.Health.Check") || !strings.Contains(err.Error(), "google.api.http") {
		t.Errorf("error %v", err)
	}
}

func httpRule(md protoreflect.MethodDescriptor) (*annotations.HttpRule, error) {
	rule, _, err := contract.Option[*annotations.HttpRule](md, annotations.E_Http)
	return rule, err
}
