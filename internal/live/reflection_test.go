package live_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const reflectionV1 = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

var reflectionVersions = []string{reflectionV1, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}

// asker asks one stream of reflection.
type asker struct {
	t *testing.T
	grpc.ClientStream
}

func askReflection(t *testing.T, ctx context.Context, cc *grpc.ClientConn, version string) asker {
	t.Helper()
	stream, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, version)
	if err != nil {
		t.Fatal(err)
	}
	return asker{t, stream}
}

func (a asker) ask(question *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
	a.t.Helper()
	answer := new(reflectionv1.ServerReflectionResponse)
	if err := a.SendMsg(question); err != nil {
		a.t.Fatal(err)
	}
	if err := a.RecvMsg(answer); err != nil {
		a.t.Fatal(err)
	}
	return answer
}

func (a asker) symbol(name string) *reflectionv1.ServerReflectionResponse {
	a.t.Helper()
	return a.ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}})
}

func (a asker) services() (names []string) {
	a.t.Helper()
	list := a.ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	for _, s := range list.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}

// files are those of all services, which must resolve.
func (a asker) files() (*descriptorpb.FileDescriptorSet, *protoregistry.Files) {
	a.t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	for _, name := range a.services() {
		for _, wire := range a.symbol(name).GetFileDescriptorResponse().GetFileDescriptorProto() {
			file := new(descriptorpb.FileDescriptorProto)
			if err := proto.Unmarshal(wire, file); err != nil {
				a.t.Fatal(err)
			}
			if !seen[file.GetName()] {
				seen[file.GetName()] = true
				set.File = append(set.File, file)
			}
		}
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		a.t.Fatalf("the files do not resolve: %v", err)
	}
	return set, files
}

// reachedFrom are the messages and enums that methods reach.
func reachedFrom(files *protoregistry.Files) (methods []string, reached map[protoreflect.FullName]bool) {
	reached = map[protoreflect.FullName]bool{}
	var visit func(protoreflect.MessageDescriptor)
	visit = func(md protoreflect.MessageDescriptor) {
		if reached[md.FullName()] {
			return
		}
		reached[md.FullName()] = true
		for i := range md.Fields().Len() {
			if f := md.Fields().Get(i); f.Message() != nil {
				visit(f.Message())
			} else if f.Enum() != nil {
				reached[f.Enum().FullName()] = true
			}
		}
	}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				m := f.Services().Get(i).Methods().Get(j)
				methods = append(methods, string(m.FullName()))
				visit(m.Input())
				visit(m.Output())
			}
		}
		return true
	})
	slices.Sort(methods)
	return methods, reached
}

// TestReflectionShowsWhatIsExposed: all of it, and nothing else.
func TestReflectionShowsWhatIsExposed(t *testing.T) {
	t.Parallel()
	backend := gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.catalog.v1.CatalogService/GetProduct": gatewaytest.Unary(func(_ context.Context, in *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			return &catalogv1.Product{Name: in.GetName()}, nil
		}),
	})
	g := gatewaytest.Start(t, gatewaytest.Config(backend, func(c *configv1.Config) {
		c.Expose[0].Select = "shop.catalog.v1.CatalogService.GetProduct"
		second := proto.CloneOf(c.GetExpose()[0])
		second.Select = "shop.reviews.v1.ReviewsService.*"
		c.Expose = append(c.Expose, second)
	}))
	cc := gatewaytest.Dial(t, g.GRPC, nil)
	for _, version := range reflectionVersions {
		a := askReflection(t, t.Context(), cc, version)
		if got, want := a.services(), []string{"shop.catalog.v1.CatalogService", "shop.reviews.v1.ReviewsService"}; !slices.Equal(got, want) {
			t.Errorf("services: got %v, want %v", got, want)
		}
		set, files := a.files()
		methods, reached := reachedFrom(files)
		if len(methods) < 5 || methods[0] != "shop.catalog.v1.CatalogService.GetProduct" || !strings.HasPrefix(methods[1], "shop.reviews.v1.") {
			t.Errorf("methods: got %v", methods)
		}
		for _, f := range set.GetFile() {
			if f.GetSourceCodeInfo() != nil {
				t.Errorf("%s has comments", f.GetName())
			}
			inspect(t, f, reached)
		}
		d, err := files.FindDescriptorByName("shop.catalog.v1.CatalogService.GetProduct")
		if err != nil {
			t.Fatal(err)
		}
		m := d.(protoreflect.MethodDescriptor)
		if original := (&catalogv1.Product{}).ProtoReflect().Descriptor(); m.Output().Fields().Len() != original.Fields().Len() {
			t.Errorf("Product has %d fields, want %d", m.Output().Fields().Len(), original.Fields().Len())
		}
		in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
		in.Set(m.Input().Fields().ByName("name"), protoreflect.ValueOfString("products/boots"))
		if err := cc.Invoke(t.Context(), "/shop.catalog.v1.CatalogService/GetProduct", in, out); err != nil || out.Get(m.Output().Fields().ByName("name")).String() != "products/boots" {
			t.Errorf("a call by what reflection shows: %v, %v", out, err)
		}
		for _, hidden := range []string{
			"shop.catalog.v1.CatalogService.ListProducts", "shop.catalog.v1.ListProductsRequest", "shop.orders.v1.OrdersService", "shop.orders.v1.Order",
			"gatehouse.config.v1.Config", "gatehouse.policy.v1.Policy", "grpc.reflection.v1.ServerReflection", "google.protobuf.FileDescriptorProto", "",
		} {
			if got := a.symbol(hidden).GetErrorResponse().GetErrorCode(); got != int32(codes.NotFound) {
				t.Errorf("%q: code %d, want NOT_FOUND", hidden, got)
			}
		}
		for _, shown := range []string{"google.rpc.ErrorInfo", "shop.catalog.v1.Product", "shop.catalog.v1.Product.name", "shop.catalog.v1.CatalogService.GetProduct"} {
			if a.symbol(shown).GetFileDescriptorResponse() == nil {
				t.Errorf("%s is not shown", shown)
			}
		}
		if err := a.CloseSend(); err != nil {
			t.Error(err)
		}
		if err := a.RecvMsg(new(reflectionv1.ServerReflectionResponse)); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		want := fmt.Sprintf(`gatehouse_calls_total{fault="",method=%q,protocol="grpc",status="OK"} 1`, version)
		gatewaytest.Eventually(t, "its count and its line", func() bool {
			text := metricsOf(t, g)
			return strings.Contains(text, want) && strings.Contains(g.Log.String(), "msg=call method="+version)
		})
	}
}

// inspect looks for messages that nothing reaches, and for options of others.
func inspect(t *testing.T, file *descriptorpb.FileDescriptorProto, reached map[protoreflect.FullName]bool) {
	t.Helper()
	var check func(prefix string, m *descriptorpb.DescriptorProto)
	check = func(prefix string, m *descriptorpb.DescriptorProto) {
		name := prefix + "." + m.GetName()
		if !reached[protoreflect.FullName(name)] && len(m.GetField()) > 0 {
			t.Errorf("%s: nothing reaches %s", file.GetName(), name)
		}
		for _, nested := range m.GetNestedType() {
			check(name, nested)
		}
	}
	for _, m := range file.GetMessageType() {
		check(file.GetPackage(), m)
	}
	for _, e := range file.GetEnumType() {
		if name := file.GetPackage() + "." + e.GetName(); !reached[protoreflect.FullName(name)] {
			t.Errorf("%s: nothing reaches %s", file.GetName(), name)
		}
	}
	for _, s := range file.GetService() {
		for _, m := range s.GetMethod() {
			o := m.GetOptions().ProtoReflect()
			o.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
				if fd.IsExtension() {
					t.Errorf("%s has the option %s", m.GetName(), fd.FullName())
				}
				return true
			})
			if len(o.GetUnknown()) > 0 {
				t.Errorf("%s has options that nobody knows", m.GetName())
			}
		}
	}
}

// TestReflectionIsBounded: by streams of one client and by what it may ask.
func TestReflectionIsBounded(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t)))
	cc := gatewaytest.Dial(t, g.GRPC, nil)
	ctx, cancel := context.WithCancel(t.Context())
	for range 8 {
		askReflection(t, ctx, cc, reflectionV1).services()
	}
	ninth := askReflection(t, ctx, cc, reflectionV1)
	if err := ninth.RecvMsg(new(reflectionv1.ServerReflectionResponse)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the ninth stream: %v", err)
	}
	cancel()
	var again asker
	gatewaytest.Eventually(t, "a place", func() bool {
		again = askReflection(t, t.Context(), cc, reflectionV1)
		_ = again.SendMsg(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
		return again.RecvMsg(new(reflectionv1.ServerReflectionResponse)) == nil
	})
	if err := again.SendMsg(&reflectionv1.ServerReflectionRequest{Host: strings.Repeat("h", 10_000)}); err != nil {
		t.Fatal(err)
	}
	if err := again.RecvMsg(new(reflectionv1.ServerReflectionResponse)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a long question: %v", err)
	}
}

// TestReflectionIsBoundedByNetwork: all IPv6 addresses of one network share the places of
// one client.
func TestReflectionIsBoundedByNetwork(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Listeners.Http.TrustedProxies = []string{"127.0.0.0/8"}
	}))
	cc := gatewaytest.Dial(t, g.HTTP, nil)
	from := func(address string) asker {
		return askReflection(t, metadata.AppendToOutgoingContext(t.Context(), "x-forwarded-for", address), cc, reflectionV1)
	}
	for n := range 8 {
		from(fmt.Sprintf("2001:db8::%d", n)).services()
	}
	if err := from("2001:db8::8").RecvMsg(new(reflectionv1.ServerReflectionResponse)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the ninth stream of a network: %v", err)
	}
	from("2001:db8:1::").services()
}

func TestReflectionDisabled(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Reflection = &configv1.Reflection{Disabled: true}
	}))
	for _, address := range []string{g.GRPC, g.HTTP} {
		cc := gatewaytest.Dial(t, address, nil)
		for _, version := range reflectionVersions {
			err := askReflection(t, t.Context(), cc, version).RecvMsg(new(reflectionv1.ServerReflectionResponse))
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: %v, want UNIMPLEMENTED", version, err)
			}
		}
	}
}

// TestHealthIsBoundedAndCounted: a connection watches a few times, not without end.
func TestHealthIsBoundedAndCounted(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t)))
	client := healthv1.NewHealthClient(gatewaytest.Dial(t, g.GRPC, nil))
	if got, err := client.Check(t.Context(), new(healthv1.HealthCheckRequest)); err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("Check: %v, %v", got, err)
	}
	if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("Check of an unknown service: %v", err)
	}
	for _, door := range []string{g.GRPC, g.HTTP} {
		large := &healthv1.HealthCheckRequest{Service: strings.Repeat("x", 100<<10)}
		if _, err := healthv1.NewHealthClient(gatewaytest.Dial(t, door, nil)).Check(t.Context(), large); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a request of 100 KiB: got %v, want RESOURCE_EXHAUSTED", err)
		}
	}
	watch := func(client healthv1.HealthClient, service string) error {
		stream, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		return err
	}
	for range 8 {
		if err := watch(client, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := watch(client, ""); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the ninth stream of a connection: %v", err)
	}
	other := healthv1.NewHealthClient(gatewaytest.Dial(t, g.GRPC, nil))
	if err := watch(other, "shop"); err != nil {
		t.Errorf("another connection: %v", err)
	}
	if err := watch(other, strings.Repeat("x", 2000)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a long name: %v", err)
	}
	text := metricsOf(t, g)
	for _, want := range []string{
		`gatehouse_calls_total{fault="",method="/grpc.health.v1.Health/Check",protocol="grpc",status="OK"} 1`,
		`gatehouse_calls_total{fault="client",method="/grpc.health.v1.Health/Watch",protocol="grpc",status="RESOURCE_EXHAUSTED"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(g.Log.String(), "method=/grpc.health") {
		t.Error("health has lines in the log")
	}
}
