package live_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// expose serves selects, each of its upstream, with the policies of the first
// exposure.
func expose(pairs ...string) gatewaytest.Change {
	return func(c *configv1.Config) {
		base := c.GetExpose()[0]
		c.Expose = nil
		for i := 0; i < len(pairs); i += 2 {
			x := proto.CloneOf(base)
			x.Select, x.Upstream = pairs[i], pairs[i+1]
			c.Expose = append(c.Expose, x)
		}
	}
}

// One exposed service of two upstreams, and two of one: neither shows.
func TestServicesAreSplitAndMerged(t *testing.T) {
	f := new(fork).start(t, expose(
		"shop.catalog.v1.CatalogService", "shop",
		"shop.catalog.v1.CatalogService.CreateProduct", "canary",
		"shop.inventory.v1.InventoryService", "canary",
	))
	for _, d := range doors() {
		for r, by := range map[rpc]string{getShelf: "shop", createProduct: "canary", watchStock: "canary"} {
			wantServed(t, f.at(t, d, r).want(t, codes.OK), by)
		}
	}
	services, methods := reflectedServices(t, f.g, "shop.catalog.v1.CatalogService")
	for _, want := range []string{"shop.catalog.v1.CatalogService", "shop.inventory.v1.InventoryService"} {
		if !slices.Contains(services, want) {
			t.Errorf("reflection lists %v, want %s", services, want)
		}
	}
	for _, want := range []string{"GetShelf", "CreateProduct"} {
		if !slices.Contains(methods, want) {
			t.Errorf("reflection gives the service the methods %v, want %s", methods, want)
		}
	}
}

// reflected asks the gRPC port for all services, and for the methods of one.
func reflectedServices(t *testing.T, g *gatewaytest.Gateway, service string) (services, methods []string) {
	t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(gatewaytest.Dial(t, g.GRPC, nil)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for _, s := range ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		services = append(services, s.GetName())
	}
	files := ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	}).GetFileDescriptorResponse().GetFileDescriptorProto()
	for _, wire := range files {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(wire, file); err != nil {
			t.Fatal(err)
		}
		for _, s := range file.GetService() {
			if file.GetPackage()+"."+s.GetName() != service {
				continue
			}
			for _, m := range s.GetMethod() {
				methods = append(methods, m.GetName())
			}
		}
	}
	return services, methods
}

// A rule of the configuration is served as it is written.
func TestPrefixesLeaveRulesOfTheConfigurationAlone(t *testing.T) {
	b := new(shopBackend)
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), only(getShelf), func(c *configv1.Config) {
		c.Upstreams[0].AddPrefix = "/shop"
		c.Expose[0].Http = []*annotations.HttpRule{{Pattern: &annotations.HttpRule_Get{Get: "/own/{name=shelves/*}"}}}
	}))
	wantStatus(t, g, "/own/shelves/tents", 200)
	wantStatus(t, g, "/shop/own/shelves/tents", 404)
}

// Mistakes in what is routed are found before anything is served, and told with
// the field.
func TestMistakesInRoutes(t *testing.T) {
	keys := keysOf(t, "ada")
	for _, tc := range []struct {
		name   string
		change gatewaytest.Change
		want   string
	}{
		{"unknown upstream", routes(&configv1.Route{Upstream: "shp"}), `expose[0].routes[0].upstream: no upstream is named "shp"; did you mean "shop"?`},
		{"bad expression", routes(&configv1.Route{When: "nobody.knows"}), "expose[0].routes[0].when: column 1: undeclared reference"},
		{"no condition", routes(&configv1.Route{When: "method"}), `expose[0].routes[0].when: "method" gives string; want a condition (bool)`},
		{"bad key", routes(&configv1.Route{Percent: new(5.0), StickyBy: "1 +"}), "expose[0].routes[0].sticky_by: column"},
		{
			"a caller whom nobody knows", routes(&configv1.Route{Percent: new(5.0), StickyBy: "caller.id"}),
			"expose[0].routes[0].sticky_by: caller.id names the caller, and a public RPC has no known caller",
		},
		{"percentage", routes(&configv1.Route{Percent: new(101.0)}), "expose[0].routes[0].percent: "},
		{"host with a port", routes(&configv1.Route{Hosts: []string{"a.example:80"}}), `expose[0].routes[0].hosts[0]: "a.example:80" is no host`},
		{"host with two stars", routes(&configv1.Route{Hosts: []string{"*.*.example"}}), `expose[0].routes[0].hosts[0]: `},
		{"header in capitals", routes(&configv1.Route{Headers: map[string]string{"X-Beta": "1"}}), `"X-Beta" is no key of metadata`},
		{"header of the connection", routes(&configv1.Route{Headers: map[string]string{"user-agent": "*"}}), `"user-agent" is the protocol's own`},
		{"header that is the host", routes(&configv1.Route{Headers: map[string]string{"host": "a"}}), `"host" is what hosts are for`},
		{"header of bytes", routes(&configv1.Route{Headers: map[string]string{"x-bin": "a"}}), `"x-bin" holds bytes`},
		{"claim without a name", routes(&configv1.Route{Claims: map[string]string{"org.": "a"}}), `"org." is no claim`},
		{"mirror of itself", func(c *configv1.Config) { c.Expose[0].Mirror = &configv1.Mirror{Upstream: "shop"} }, `expose[0].mirror.upstream: "shop" has the calls themselves`},
		{"mirror that is unknown", func(c *configv1.Config) { c.Expose[0].Mirror = &configv1.Mirror{Upstream: "nobody"} }, `expose[0].mirror.upstream: no upstream is named "nobody"`},
		{"a route to what has no server", func(c *configv1.Config) {
			c.Upstreams = append(c.Upstreams, &configv1.Upstream{Name: "pages", Composed: true, Schema: c.GetUpstreams()[0].GetSchema()})
			routes(&configv1.Route{Upstream: "pages"})(c)
		}, `expose[0].routes[0].upstream: "pages" is composed and has no server to send calls to`},
		{"a reserved key", func(c *configv1.Config) {
			c.Expose[0].Metadata = &configv1.Rewrite{Request: &configv1.Changes{Set: map[string]string{"x-forwarded-for": "1"}}}
		}, `expose[0].metadata.request.set["x-forwarded-for"]: "x-forwarded-for" is the protocol's or the gateway's own`},
		{"a reserved key of a route", routes(&configv1.Route{Metadata: &configv1.Rewrite{Response: &configv1.Changes{Remove: []string{"x-request-id"}}}}),
			`expose[0].routes[0].metadata.response.remove[0]: "x-request-id" is`},
		{"a key that tells who calls", func(c *configv1.Config) {
			keys(c)
			c.Expose[0].Policy.Auth = &policyv1.Auth{Accept: []string{"keys"}, Forward: map[string]string{"x-user": "team"}}
			c.Expose[0].Metadata = &configv1.Rewrite{Request: &configv1.Changes{Set: map[string]string{"x_user": "1"}}}
		}, `expose[0].metadata.request: "x_user" carries the caller's identity to backends (auth.forward)`},
		{"a prefix with a slash", func(c *configv1.Config) { c.Upstreams[0].AddPrefix = "/shop/" }, `upstreams[0].add_prefix: "/shop/" is no prefix of paths`},
		{"a prefix that climbs", func(c *configv1.Config) { c.Upstreams[0].AddPrefix = "/shop/.." }, `upstreams[0].add_prefix: `},
		{"a prefix that is not there", func(c *configv1.Config) { c.Upstreams[0].StripPrefix = "/api" }, `upstreams[0].strip_prefix: GET /v1/{name=shelves/*} is not below "/api"`},
		{"a prefix of half a segment", func(c *configv1.Config) { c.Upstreams[0].StripPrefix = "/v" }, `is not below "/v"`},
		{"a replica's key", func(c *configv1.Config) {
			c.Upstreams[0].Balancing = &configv1.Balancing{Kind: configv1.Balancing_KIND_RING_HASH, Key: "nobody.knows"}
		}, "upstreams[0].balancing.key: column 1: undeclared reference"},
		{"a policy", func(c *configv1.Config) {
			routes(&configv1.Route{When: "true"}, &configv1.Route{})(c)
			c.Expose[0].Policy.Fallback = &policyv1.Fallback{Serve: &policyv1.Fallback_Response{Response: `{"nme": ""}`}}
		}, "expose[0].policy.fallback.response: "},
		{"a cap of an upstream", func(c *configv1.Config) {
			routes(&configv1.Route{})(c)
			c.Expose[0].Policy.Concurrency = []*policyv1.Concurrency{{Scope: policyv1.Concurrency_SCOPE_UPSTREAM.Enum()}}
		}, "expose[0].policy.concurrency[0].limit: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := gatewaytest.Config("127.0.0.1:1", only(getShelf), func(c *configv1.Config) {
				c.Upstreams = append(c.Upstreams, upstreamAt("canary", "127.0.0.1:1"))
			}, tc.change)
			file, err := config.New(c)
			if err == nil {
				var g *live.Gateway
				if g, err = live.New(t.Context(), live.Options{Config: file}); err == nil {
					_ = g.Close()
				}
			}
			if err == nil || strings.Count(err.Error(), tc.want) != 1 {
				t.Errorf("error %v, want %q once", err, tc.want)
			}
		})
	}
}

// imageOf writes the contract of the catalog as change makes it.
func imageOf(t *testing.T, change func(*descriptorpb.FileDescriptorProto)) *configv1.Schema {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i))
		}
		file := protodesc.ToFileDescriptorProto(f)
		if f == catalogv1.File_shop_catalog_v1_catalog_proto {
			change(file)
		}
		set.File = append(set.File, file)
	}
	add(catalogv1.File_shop_catalog_v1_catalog_proto)
	wire, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "catalog.binpb")
	if err := os.WriteFile(path, wire, 0o600); err != nil {
		t.Fatal(err)
	}
	return &configv1.Schema{Source: &configv1.Schema_Image{Image: path}}
}

// Calls go only to upstreams that understand them as the exposure's own does.
func TestContractsOfRoutesMustAgree(t *testing.T) {
	message := func(f *descriptorpb.FileDescriptorProto, name string) *descriptorpb.DescriptorProto {
		i := slices.IndexFunc(f.GetMessageType(), func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == name })
		return f.GetMessageType()[i]
	}
	for _, tc := range []struct {
		name   string
		change func(*descriptorpb.FileDescriptorProto)
		want   string
	}{
		{"the same", func(*descriptorpb.FileDescriptorProto) {}, ""},
		{"a new field", func(f *descriptorpb.FileDescriptorProto) {
			m := message(f, "Shelf")
			m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{
				Name: new("colour"), Number: new(int32(999)), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			})
		}, ""},
		{"another type", func(f *descriptorpb.FileDescriptorProto) {
			message(f, "GetShelfRequest").Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
		}, "its requests differ: field shop.catalog.v1.GetShelfRequest.name is a bytes there, not a string"},
		{"no such RPC", func(f *descriptorpb.FileDescriptorProto) {
			for _, s := range f.GetService() {
				s.Method = slices.DeleteFunc(s.GetMethod(), func(m *descriptorpb.MethodDescriptorProto) bool { return m.GetName() == "GetShelf" })
			}
		}, `upstream "canary" has no shop.catalog.v1.CatalogService.GetShelf in its contract`},
	} {
		for field, use := range map[string]gatewaytest.Change{
			"expose[0].routes[0].upstream": routes(beta()), "expose[0].mirror.upstream": mirrored(),
		} {
			t.Run(tc.name+" of "+field, func(t *testing.T) {
				file, err := config.New(gatewaytest.Config("127.0.0.1:1", only(getShelf), func(c *configv1.Config) {
					canary := upstreamAt("canary", "127.0.0.1:1")
					canary.Schema = imageOf(t, tc.change)
					c.Upstreams = append(c.Upstreams, canary)
				}, use))
				if err != nil {
					t.Fatal(err)
				}
				g, err := live.New(t.Context(), live.Options{Config: file})
				if err == nil {
					err = g.Close()
				}
				if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), tc.want)) {
					t.Errorf("error %v, want %q", err, tc.want)
				}
			})
		}
	}
}
