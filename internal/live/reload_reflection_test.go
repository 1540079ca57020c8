package live_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// reflected serves reflection of a contract that can be replaced.
type reflected struct {
	files *protoregistry.Files
	names []string
}

func (r *reflected) GetServiceInfo() map[string]grpc.ServiceInfo {
	all := map[string]grpc.ServiceInfo{}
	for _, name := range r.names {
		all[name] = grpc.ServiceInfo{}
	}
	return all
}

// reflects serves the shop's catalog and its contract at an address.
func reflects(t *testing.T, address string, image []byte) (at string, stop func()) {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(image, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	r := &reflected{files: files, names: []string{"shop.catalog.v1.CatalogService"}}
	srv := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		in := new(catalogv1.GetShelfRequest)
		if err := ss.RecvMsg(in); err != nil {
			return err
		}
		return ss.SendMsg(&catalogv1.Shelf{Name: in.GetName()})
	}))
	reflectionv1.RegisterServerReflectionServer(srv, reflection.NewServerV1(reflection.ServerOptions{Services: r, DescriptorResolver: files}))
	l := gatewaytest.Listen(t)
	if address != "" {
		_ = l.Close()
		gatewaytest.Eventually(t, "the address "+address, func() bool {
			var err error
			l, err = listenAt(address)
			return err == nil
		})
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return l.Addr().String(), srv.Stop
}

func TestFollowReflection(t *testing.T) {
	f := newFolder(t)
	image := contractOf(t, without("ListShelves"))
	address, stop := reflects(t, "", image)
	text := strings.NewReplacer("{image: shop.binpb}", "{reflection: true}", "CatalogService.GetShelf", "*").Replace(f.text(address))
	f.serve(text)
	rpcs := func() int { return len(f.status().Policies) }
	before := rpcs()
	stop()
	gatewaytest.Eventually(t, "a contract that cannot be asked for", func() bool {
		return sumOf(t, f.Gateway, "gatehouse_reload_contracts_unread_total") > 0
	})
	if got := f.status().Last; got.Result == admin.Refused || rpcs() != before {
		t.Errorf("a backend that is away: %+v", got)
	}
	// A change of the configuration is taken meanwhile, without asking.
	f.put("gatehouse.yaml", []byte(strings.Replace(text, "expose:", "cors: {allow_origins: [\"https://a.example\"]}\nexpose:", 1)))
	gatewaytest.Eventually(t, "the change", func() bool { return f.status().Trigger == compile.ByFile })
	reflects(t, address, contractOf(t, nil))
	gatewaytest.Eventually(t, "one RPC more", func() bool { return rpcs() == before+1 })
	if got := f.status().Trigger; got != compile.ByReflection {
		t.Errorf("trigger %q", got)
	}
	// And so does what the gateway tells of itself.
	if names := listed(t, f); !slices.Contains(names, "shop.catalog.v1.CatalogService") || !strings.Contains(f.admin("/contract"), "ListShelvesRequest") {
		t.Errorf("reflection lists %v", names)
	}
}

// listed are the services that the gateway's own reflection tells.
func listed(t *testing.T, f *folder) (names []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := reflectionv1.NewServerReflectionClient(gatewaytest.Dial(t, f.GRPC, nil)).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}

func TestReflectionFollowsTheTable(t *testing.T) {
	f := newFolder(t)
	f.serve(f.text((&shopBackend{}).start(t)))
	if names := listed(t, f); !slices.Equal(names, []string{"shop.catalog.v1.CatalogService"}) {
		t.Errorf("at first: %v", names)
	}
	f.put("gatehouse.yaml", []byte(f.text("127.0.0.1:1", "shop.catalog.v1.CatalogService.GetShelf", "shop.inventory.v1.*")))
	gatewaytest.Eventually(t, "another service", func() bool { return slices.Equal(listed(t, f), []string{"shop.inventory.v1.InventoryService"}) })
}

// listenAt opens an address that was in use before.
func listenAt(address string) (net.Listener, error) { return net.Listen("tcp", address) }
