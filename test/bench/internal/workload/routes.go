package workload

import (
	"fmt"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// Route is a binding that nobody calls.
type Route struct {
	HTTPMethod string
	Template   string
}

// standard is a standard method of the AIPs, of a resource called %[1]s, with
// messages of the catalog.
type standard struct {
	rpc, httpMethod, template, body string
	input, output                   string
}

func standards() []standard {
	return []standard{
		{"List", "GET", "/v1/%[1]s", "", "ListProductsRequest", "ListProductsResponse"},
		{"Get", "GET", "/v1/{name=%[1]s/*}", "", "GetProductRequest", "Product"},
		{"Create", "POST", "/v1/%[1]s", "product", "CreateProductRequest", "Product"},
		{"Update", "PATCH", "/v1/{product.name=%[1]s/*}", "product", "UpdateProductRequest", "Product"},
		{"Delete", "DELETE", "/v1/{name=%[1]s/*}", "", "DeleteProductRequest", "Product"},
	}
}

// resource names the collection to which route i belongs.
func resource(i int) string { return fmt.Sprintf("things%03d", i/len(standards())) }

// Idle returns the routes that are bound beside the shop's.
func (c Case) Idle() []Route {
	routes := make([]Route, c.Routes)
	for i := range routes {
		s := standards()[i%len(standards())]
		routes[i] = Route{HTTPMethod: s.httpMethod, Template: fmt.Sprintf(s.template, resource(i))}
	}
	return routes
}

// Image is the contract of the case as an encoded FileDescriptorSet: the shop,
// what it imports, and a service for each resource of the idle routes.
func (c Case) Image() ([]byte, error) {
	var set descriptorpb.FileDescriptorSet
	seen := map[string]bool{}
	for _, f := range []protoreflect.FileDescriptor{
		catalogv1.File_shop_catalog_v1_catalog_proto,
		pricingv1.File_shop_pricing_v1_pricing_proto,
		inventoryv1.File_shop_inventory_v1_inventory_proto,
		reviewsv1.File_shop_reviews_v1_reviews_proto,
		ordersv1.File_shop_orders_v1_orders_proto,
	} {
		add(&set, seen, f)
	}
	if c.Routes > 0 {
		set.File = append(set.File, c.idleFile())
	}
	if _, err := protodesc.NewFiles(&set); err != nil {
		return nil, fmt.Errorf("put together the contract of case %s: %w", c.Name, err)
	}
	return proto.Marshal(&set)
}

// add appends a file after those that it imports.
func add(set *descriptorpb.FileDescriptorSet, seen map[string]bool, f protoreflect.FileDescriptor) {
	if seen[f.Path()] {
		return
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		add(set, seen, f.Imports().Get(i).FileDescriptor)
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
}

// idleFile holds the RPCs of the idle routes.
func (c Case) idleFile() *descriptorpb.FileDescriptorProto {
	file := &descriptorpb.FileDescriptorProto{
		Name:       new("shop/things/v1/things.proto"),
		Package:    new("shop.things.v1"),
		Syntax:     new("proto3"),
		Dependency: []string{"google/api/annotations.proto", catalogv1.File_shop_catalog_v1_catalog_proto.Path()},
	}
	for i := range c.Routes {
		if i%len(standards()) == 0 {
			file.Service = append(file.Service, &descriptorpb.ServiceDescriptorProto{
				Name: new(fmt.Sprintf("Things%03dService", i/len(standards()))),
			})
		}
		service := file.GetService()[len(file.GetService())-1]
		service.Method = append(service.Method, idleMethod(i))
	}
	return file
}

func idleMethod(i int) *descriptorpb.MethodDescriptorProto {
	s := standards()[i%len(standards())]
	options := &descriptorpb.MethodOptions{}
	proto.SetExtension(options, annotations.E_Http, s.rule(resource(i)))
	return &descriptorpb.MethodDescriptorProto{
		Name:       new(s.rpc + "Thing"),
		InputType:  new(".shop.catalog.v1." + s.input),
		OutputType: new(".shop.catalog.v1." + s.output),
		Options:    options,
	}
}

func (s standard) rule(resource string) *annotations.HttpRule {
	template := fmt.Sprintf(s.template, resource)
	rule := &annotations.HttpRule{Body: s.body}
	switch s.httpMethod {
	case "POST":
		rule.Pattern = &annotations.HttpRule_Post{Post: template}
	case "PATCH":
		rule.Pattern = &annotations.HttpRule_Patch{Patch: template}
	case "DELETE":
		rule.Pattern = &annotations.HttpRule_Delete{Delete: template}
	default:
		rule.Pattern = &annotations.HttpRule_Get{Get: template}
	}
	return rule
}
