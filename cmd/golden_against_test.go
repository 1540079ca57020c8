package cmd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
)

// againstImage is the configuration of both gateways.
const againstImage = `listeners: {http: {address: "127.0.0.1:0"}, grpc: {address: "127.0.0.1:0"}, admin: {address: "127.0.0.1:0"}}
upstreams:
  - {name: shop, target: "passthrough:///127.0.0.1:1", schema: {image: shop.binpb}}
authenticators:
  - {name: staff, mtls: {names: [staff.example.com]}}
expose:
  - {select: "shop.catalog.v1.*", upstream: shop}
  - {select: "shop.pricing.v1.*", upstream: shop}
`

// shopSet is the image of the shop that a case changes.
type shopSet struct {
	*descriptorpb.FileDescriptorSet
}

func (s shopSet) file(pkg string) *descriptorpb.FileDescriptorProto {
	i := slices.IndexFunc(s.GetFile(), func(f *descriptorpb.FileDescriptorProto) bool { return f.GetPackage() == pkg })
	return s.GetFile()[i]
}

func (s shopSet) prices() *descriptorpb.ServiceDescriptorProto {
	return service(s.FileDescriptorSet, "shop.pricing.v1.PricingService")
}

func (s shopSet) message(name string) *descriptorpb.DescriptorProto {
	return message(s.FileDescriptorSet, name)
}

func (s shopSet) field(of, name string) *descriptorpb.FieldDescriptorProto {
	return field(s.message(of), name)
}

// rule is the HTTP rule of an RPC.
func (s shopSet) rule(name string) *annotations.HttpRule {
	return proto.GetExtension(rpc(s.prices(), name).GetOptions(), annotations.E_Http).(*annotations.HttpRule)
}

// contractChanges are changes of the image, of the configuration, or of both.
var contractChanges = []struct {
	name   string
	change func(s shopSet)
	from   string // of the configuration
	to     string
}{
	{name: "nothing"},
	{name: "field added", change: func(s shopSet) { addField(s.message("shop.catalog.v1.Product"), "color", 99) }},
	{name: "RPC added", change: func(s shopSet) {
		m := proto.CloneOf(rpc(s.prices(), "GetPrice"))
		m.Name, m.Options = new("PeekPrice"), nil
		s.prices().Method = append(s.prices().Method, m)
	}},
	{name: "message added that nobody uses", change: func(s shopSet) {
		s.file("shop.pricing.v1").MessageType = append(s.file("shop.pricing.v1").MessageType, &descriptorpb.DescriptorProto{Name: new("Unused")})
	}},
	{name: "enum value added", change: func(s shopSet) {
		e := s.message("shop.catalog.v1.Product").GetEnumType()[0]
		e.Value = append(e.Value, &descriptorpb.EnumValueDescriptorProto{Name: new("STATE_LOST"), Number: new(int32(9))})
	}},
	{name: "binding added", change: func(s shopSet) {
		s.rule("GetPrice").AdditionalBindings = []*annotations.HttpRule{{Pattern: &annotations.HttpRule_Get{Get: "/v1/{name=price/*}"}}}
	}},
	{name: "policy of the contract", change: func(s shopSet) {
		proto.SetExtension(s.file("shop.pricing.v1").GetOptions(), policyv1.E_File, &policyv1.Policy{Auth: &policyv1.Auth{Public: new(true)}, Timeout: durationpb.New(3 * time.Second)})
	}},
	{name: "deprecated", change: func(s shopSet) { rpc(s.prices(), "GetPrice").Options.Deprecated = new(true) }},
	{name: "RPC removed", change: func(s shopSet) { drop(s.prices(), "BatchGetPrices") }},
	{name: "service removed", change: func(s shopSet) { s.file("shop.pricing.v1").Service = nil }, from: `  - {select: "shop.pricing.v1.*", upstream: shop}`},
	{name: "field removed", change: func(s shopSet) {
		s.message("shop.pricing.v1.Price").Field = s.message("shop.pricing.v1.Price").GetField()[:4]
	}},
	{name: "field renamed", change: func(s shopSet) {
		f := s.field("shop.pricing.v1.ListPricesRequest", "on_sale")
		f.Name, f.JsonName = new("reduced"), new("reduced")
	}},
	{name: "field renumbered", change: func(s shopSet) { s.field("shop.pricing.v1.ListPricesRequest", "on_sale").Number = new(int32(30)) }},
	{name: "type of a field", change: func(s shopSet) {
		s.field("shop.pricing.v1.ListPricesRequest", "page_size").Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	}},
	{name: "type of a field that JSON writes the same", change: func(s shopSet) {
		s.field("shop.pricing.v1.ListPricesRequest", "page_size").Type = descriptorpb.FieldDescriptorProto_TYPE_UINT32.Enum()
	}},
	{name: "single field repeated", change: func(s shopSet) {
		s.field("shop.catalog.v1.Product", "description").Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}},
	{name: "request of another type", change: func(s shopSet) {
		rpc(s.prices(), "ListPrices").InputType = new(".shop.pricing.v1.QuoteBasketRequest")
	}},
	{name: "stream of answers", change: func(s shopSet) { rpc(s.prices(), "QuoteBasket").ServerStreaming = new(true) }},
	{name: "idempotency", change: func(s shopSet) { rpc(s.prices(), "QuoteBasket").Options.IdempotencyLevel = nil }},
	{name: "path of a binding", change: func(s shopSet) {
		s.rule("GetPrice").Pattern = &annotations.HttpRule_Get{Get: "/v2/{name=products/*/price}"}
	}},
	{name: "verb of a binding", change: func(s shopSet) {
		s.rule("QuoteBasket").Pattern = &annotations.HttpRule_Put{Put: "/v1/prices:quote"}
	}},
	{name: "body of a binding", change: func(s shopSet) { s.rule("UpdatePrice").Body = "*" }},
	{name: "answer of a binding", change: func(s shopSet) { s.rule("BatchGetPrices").ResponseBody = "" }},
	{name: "rule removed", change: func(s shopSet) { rpc(s.prices(), "GetPrice").Options = nil }},
	{name: "enum value removed", change: func(s shopSet) {
		e := s.message("shop.catalog.v1.Product").GetEnumType()[0]
		e.Value = e.GetValue()[:len(e.GetValue())-1]
	}},
	{name: "out of a oneof", change: func(s shopSet) { s.field("shop.pricing.v1.QuoteBasketRequest", "coupon").OneofIndex = nil }},
	{name: "many at once", change: func(s shopSet) {
		drop(s.prices(), "BatchGetPrices")
		drop(service(s.FileDescriptorSet, "shop.catalog.v1.CatalogService"), "GetMedia")
		s.rule("UpdatePrice").Body = "*"
		s.field("shop.catalog.v1.Product", "description").Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		addField(s.message("shop.pricing.v1.Sale"), "reason", 99)
	}},
	{name: "allowed", change: func(s shopSet) { drop(s.prices(), "BatchGetPrices") }, from: "upstreams:", to: "reload: {allow_breaking: true}\nupstreams:"},
	{name: "exposed no more", from: `"shop.pricing.v1.*"`, to: "shop.pricing.v1.PricingService.GetPrice"},
	{name: "other rules", from: `"shop.pricing.v1.*", upstream: shop`, to: `"shop.pricing.v1.*", upstream: shop, http: [{selector: shop.pricing.v1.PricingService.GetPrice, get: "/prices/{name}"}]`},
	{name: "policy of the configuration", from: `"shop.pricing.v1.*", upstream: shop`, to: `"shop.pricing.v1.*", upstream: shop, policy: {timeout: 9s, priority: high}`},
	{name: "upstream", from: "{name: shop,", to: "{name: shop, max_receive_bytes: 8MiB,"},
	{name: "takes a restart", from: "upstreams:", to: "limits: {max_headers: 7}\nshedding: {enabled: true}\nupstreams:"},
}

// TestGoldenAgainst: how check reports each change against a running gateway.
func TestGoldenAgainst(t *testing.T) {
	t.Parallel()
	next := newSetting(t, "against", againstImage)
	admin := next.serve(t).Admin // follows no file
	var all strings.Builder
	for _, e := range contractChanges {
		set := shopSet{shopImage(t)}
		if e.change != nil {
			e.change(set)
		}
		next.write(t, "shop.binpb", wire(t, set.FileDescriptorSet))
		next.write(t, configName, []byte(strings.Replace(againstImage, e.from, e.to, 1)))
		fmt.Fprintf(&all, "-- %s --\n%s\n", e.name, next.run(t, "check", "--against", admin))
	}
	golden(t, "against.golden", all.String())
}
