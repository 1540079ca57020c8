package live_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// A contract with two fields of one name in JSON loads, with a warning.
func TestFieldsOfOneJSONNameAreWarnedOf(t *testing.T) {
	field := func(name string, number int32) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &number, Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	inner := field("event", 1)
	inner.Type, inner.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), new(".t.v1.Event")
	image, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: new("t.proto"), Package: new("t.v1"), Syntax: new("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: new("Event"), Field: []*descriptorpb.FieldDescriptorProto{field("event_type", 1), field("eventType", 2)}},
			{Name: new("M"), Field: []*descriptorpb.FieldDescriptorProto{inner}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: new("S"), Method: []*descriptorpb.MethodDescriptorProto{{Name: new("Get"), InputType: new(".t.v1.M"), OutputType: new(".t.v1.M")}},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "t.binpb")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := config.New(gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Upstreams[0].Schema = &configv1.Schema{Source: &configv1.Schema_Image{Image: path}}
		c.Expose[0].Select = "t.v1.*"
	}))
	if err != nil {
		t.Fatal(err)
	}
	g, err := live.New(t.Context(), live.Options{Config: file, LogTo: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	const want = `message t.v1.Event: the fields event_type, eventType have the same name in JSON, "eventType"`
	if got := g.Table().Warnings; len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("warnings %q, want one that begins with %s", got, want)
	}
}

// All wrong rules are reported at once, and all that is wrong with each, in every
// profile.
func TestWrongRulesAreReportedAtOnce(t *testing.T) {
	post := func(path, body string) *annotations.HttpRule {
		return &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: path}, Body: body}
	}
	for _, profile := range []configv1.Json_Profile{configv1.Json_PROFILE_PROTO3, configv1.Json_PROFILE_GRPC_GATEWAY} {
		file, err := config.New(gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
			c.Json = &configv1.Json{Profile: profile}
			create := post("/v1/a/{product.tags}", "product.display_name")
			create.Selector = "shop.catalog.v1.CatalogService.CreateProduct"
			create.AdditionalBindings = []*annotations.HttpRule{post("/v1/b/{product_id=x:y}", "product"), post("/v1/c", "none")}
			search := post("/v1/d/{states}", "*")
			search.Selector = "shop.catalog.v1.CatalogService.SearchProducts"
			c.Expose[0].Http = []*annotations.HttpRule{create, search}
		}))
		if err != nil {
			t.Fatal(err)
		}
		g, err := live.New(t.Context(), live.Options{Config: file, LogTo: io.Discard})
		if err == nil {
			_ = g.Close()
			t.Fatal("no error")
		}
		for _, want := range []string{
			"POST /v1/a/{product.tags} of shop.catalog.v1.CatalogService.CreateProduct: path variable {product.tags}: a path can only bind a single value",
			`POST /v1/a/{product.tags} of shop.catalog.v1.CatalogService.CreateProduct: body: shop.catalog.v1.CreateProductRequest has no field "product.display_name"; a body is a top-level field`,
			"/v1/b/{product_id=x:y} of shop.catalog.v1.CatalogService.CreateProduct: path template",
			`POST /v1/c of shop.catalog.v1.CatalogService.CreateProduct: body: shop.catalog.v1.CreateProductRequest has no field "none"`,
			"POST /v1/d/{states} of shop.catalog.v1.CatalogService.SearchProducts: path variable {states}: a path can only bind a single value",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: no error %s in\n%v", profile, want, err)
			}
		}
	}
}
