package edge_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// witness notes, by request id, what a policy decided about and what the backend
// was called with: the RPC and the first field of its request, which the path
// binds.
type witness struct {
	mu      sync.Mutex
	decided map[string]string
	called  map[string]string
	next    int
}

func newWitness() *witness {
	return &witness{decided: map[string]string{}, called: map[string]string{}}
}

// forbidden are what the policy lets nobody do, whatever it is called.
func forbidden(what string) bool {
	switch rpc, name, _ := strings.Cut(what, " "); rpc {
	case "/shop.catalog.v1.CatalogService/DeleteProduct", "/shop.catalog.v1.CatalogService/CreateProduct", "/shop.orders.v1.OrdersService/GetOrder":
		return true
	default:
		return name == "products/secret"
	}
}

// policy decides by the RPC's name and its request, as authorisation does.
func (w *witness) policy() interceptors.Interceptor {
	return interceptors.Around("authorisation", func(ctx context.Context, method string) (context.Context, func(error), error) {
		c := call.From(ctx)
		if c.Method != method {
			return ctx, nil, fmt.Errorf("the call is of %s, the chain of %s", c.Method, method)
		}
		msg, err := c.Request()
		if err != nil {
			return ctx, nil, err
		}
		what := method + " " + firstField(msg.Data.Materialize())
		w.mu.Lock()
		defer w.mu.Unlock()
		w.decided[c.RequestID] += what
		if forbidden(what) {
			return ctx, nil, call.Refuse(call.Client, codes.PermissionDenied, "forbidden").By("authorisation")
		}
		return ctx, nil, nil
	})
}

// backend serves all of the shop and answers nothing.
func (w *witness) backend(t *testing.T) string {
	t.Helper()
	script := gatewaytest.Script{}
	protoregistry.GlobalFiles.RangeFilesByPackage("shop.catalog.v1", collect(script, w))
	protoregistry.GlobalFiles.RangeFilesByPackage("shop.orders.v1", collect(script, w))
	return gatewaytest.Backend(t, script)
}

func collect(script gatewaytest.Script, w *witness) func(protoreflect.FileDescriptor) bool {
	return func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				name := fmt.Sprintf("/%s/%s", s.FullName(), s.Methods().Get(j).Name())
				script[name] = func(_ any, ss grpc.ServerStream) error { return w.answer(name, ss) }
			}
		}
		return true
	}
}

func (w *witness) answer(name string, ss grpc.ServerStream) error {
	in := new(emptypb.Empty)
	if err := ss.RecvMsg(in); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(ss.Context())
	w.mu.Lock()
	w.called[strings.Join(md["x-request-id"], "|")] += name + " " + firstField(in.ProtoReflect().GetUnknown())
	w.mu.Unlock()
	return ss.SendMsg(in)
}

// firstField is the text of field 1, if it is one.
func firstField(wire []byte) string {
	num, typ, n := protowire.ConsumeTag(wire)
	if n < 0 || num != 1 || typ != protowire.BytesType {
		return ""
	}
	b, n := protowire.ConsumeBytes(wire[n:])
	if n < 0 {
		return ""
	}
	return string(b)
}

// id is for the next request.
func (w *witness) id() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	return fmt.Sprintf("one-%d", w.next)
}

// judge compares what was decided with what was called, and returns the latter.
func (w *witness) judge(t *testing.T, id, request string) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	decided, called := w.decided[id], w.called[id]
	switch {
	case called != "" && called != decided:
		t.Errorf("%s: decided about %q, called %q", request, decided, called)
	case forbidden(called):
		t.Errorf("%s: reached %q", request, called)
	case called == "" && decided != "" && !forbidden(decided):
		t.Errorf("%s: allowed %q, and nothing was called", request, decided)
	}
	return called
}

func startWitness(t *testing.T, changes ...gatewaytest.Change) (*witness, *gatewaytest.Gateway) {
	t.Helper()
	w := newWitness()
	file, err := config.New(gatewaytest.Config(w.backend(t), changes...))
	if err != nil {
		t.Fatal(err)
	}
	return w, gatewaytest.StartOptions(t, live.Options{Config: file, Custom: []interceptors.Interceptor{w.policy()}})
}

const get = "/shop.catalog.v1.CatalogService/GetProduct "

// spelling is a target, and what a GET of it means; "" is nothing.
type spelling struct{ target, want string }

var spellings = []spelling{
	{"/v1/products/boots", get + "products/boots"},
	{"/v1/products/secret", ""},
	{"/v1/orders/1", ""},
	// Encoded letters mean the letters, in literals and in values.
	{"/v1/products/%62oots", get + "products/boots"},
	{"/v1/%70roducts/boots", get + "products/boots"},
	{"/%76%31/products/boots", get + "products/boots"},
	{"/v1/products/%73ecret", ""},
	{"/v1/%70roducts/%73%65%63%72%65%74", ""},
	{"/v1/products/secre%74", ""},
	{"/v1/%6frders/1", ""},
	{"/v1/%6Frders/%31", ""},
	// Dot segments.
	{"/v1/./products/boots", ""},
	{"/v1/products/./boots", ""},
	{"/./v1/products/boots", ""},
	{"/v1/products/boots/.", ""},
	{"/v1/products/boots/..", ""},
	{"/v1/products/boots/../secret", ""},
	{"/v1/orders/../products/boots", ""},
	{"/../v1/products/boots", ""},
	{"/v1/products/%2e%2e/orders/1", ""},
	{"/v1/products/%2E./orders/1", ""},
	{"/v1/products/.%2e", ""},
	{"/v1/products/%2e", ""},
	{"/v1/products/..%2forders%2f1", ""},
	{"/v1/products/..%5corders", get + `products/..\orders`},
	{"/v1/products/...", get + "products/..."},
	{"/v1/products/..;/orders/1", ""},
	{"/v1/products/..;", get + "products/..;"},
	// Slashes.
	{"//v1/products/boots", ""},
	{"/v1//products/boots", ""},
	{"/v1/products//boots", ""},
	{"/v1/products/boots/", ""},
	{"/v1/products/boots//", ""},
	{"///v1/products/boots", ""},
	{"/v1%2fproducts/boots", ""},
	{"/v1/products%2fboots", ""},
	{"/v1/products%2Fsecret", ""},
	{"/v1/products/boots%2f", get + "products/boots%2f"},
	{"/v1/products/%2fsecret", get + "products/%2fsecret"},
	{`/v1\products\boots`, ""},
	{`/v1/products\boots`, ""},
	{"/v1%5cproducts%5cboots", ""},
	{"/v1/products%5cboots", ""},
	{"/v1/products/a%5cb", get + `products/a\b`},
	// Parameters of a segment are of its value.
	{"/v1/products;x=y/boots", ""},
	{"/v1;x=y/products/boots", ""},
	{"/v1/products/boots;x=y", get + "products/boots;x=y"},
	{"/v1/products/secret;x=y", get + "products/secret;x=y"},
	{"/v1/products/secret%3bx=y", get + "products/secret;x=y"},
	{"/v1/orders;/1", ""},
	// Case.
	{"/V1/products/boots", ""},
	{"/v1/Products/boots", ""},
	{"/v1/PRODUCTS/secret", ""},
	{"/v1/products/SECRET", get + "products/SECRET"},
	// Encoded twice: decoded once.
	{"/v1/products/%2562oots", get + "products/%62oots"},
	{"/v1/products/%2573ecret", get + "products/%73ecret"},
	{"/v1/%2570roducts/boots", ""},
	{"/v1/products/%252e%252e", get + "products/%2e%2e"},
	{"/v1/products/%252fsecret", get + "products/%2fsecret"},
	{"/v1/products/%25%37%33ecret", get + "products/%73ecret"},
	// Overlong and broken UTF-8, and what looks like something else.
	{"/v1/products/%c0%ae%c0%ae", ""},
	{"/v1/products/%c0%afsecret", ""},
	{"/v1/products/%e0%80%af", ""},
	{"/v1/products/%f0%80%80%af", ""},
	{"/v1/products/%ed%a0%80", ""},
	{"/v1/products/%ff", ""},
	{"/v1/products/%c3%a9", get + "products/\u00e9"},
	{"/v1/products/\u00e9", get + "products/\u00e9"},
	{"/v1/\uff50roducts/secret", ""},
	{"/v1/products/\uff53ecret", get + "products/\uff53ecret"},
	{"/v1/products/%e2%80%ae", get + "products/\u202e"},
	{"/v1/products/%u0073ecret", ""},
	// Bytes that have no business there.
	{"/v1/products/boots%00", ""},
	{"/v1/products/%00secret", ""},
	{"/v1/products/secret%00.png", ""},
	{"/v1/products/boots%0a", get + "products/boots\n"},
	{"/v1/products/secret%20", get + "products/secret "},
	{"/v1/products/secret\x7f", ""},
	{"/v1/products/secret\t", ""},
	{"/v1/products/%zz", ""},
	{"/v1/products/%7", ""},
	{"/v1/products/%", ""},
	// Dots, colons and hashes at the end.
	{"/v1/products/boots.", get + "products/boots."},
	{"/v1/products./boots", ""},
	{"/v1/products/secret...", get + "products/secret..."},
	{"/v1/products/boots:archive", get + "products/boots:archive"}, // a verb of POST only
	{"/v1/products/boots%3aarchive", get + "products/boots:archive"},
	{"/v1/products:search", "/shop.catalog.v1.CatalogService/SearchProducts "},
	{"/v1/products%3asearch", ""},
	{"/v1/products/boots#secret", ""},
	{"/v1/products/boots%23secret", get + "products/boots#secret"},
	{"/v1/products/boots%3f", get + "products/boots?"},
	{"/v1/products/boots?", get + "products/boots"},
	{"/v1/products/boots?name=products/secret", ""},
	{"/v1/products/boots?name=products%2fsecret", ""},
	{"/v1/products/boots?_method=DELETE", ""},
	{"/v1/products/boots??", ""},
	// An RPC's own path is for gRPC.
	{"/shop.catalog.v1.CatalogService/GetProduct", ""},
	{"/shop.catalog.v1.CatalogService/%47etProduct", ""},
	{"/shop.catalog.v1.CatalogService/DeleteProduct", ""},
	// Other forms of a target.
	{"http://elsewhere/v1/products/boots", "absolute"},
	{"http://elsewhere/v1/products/secret", ""},
	{"http://elsewhere//v1/products/boots", ""},
	{"http:/v1/products/boots", ""},
	{"http:v1/products/boots", ""},
	{"ftp://elsewhere/v1/products/boots", ""},
	{"v1/products/boots", ""},
	{"*", ""},
	{"elsewhere:80", ""},
	{"?name=products/boots", ""},
}

// verbs are methods, with a header that others take for one.
var verbs = []struct{ method, header, value string }{
	{method: "GET"}, {method: "HEAD"}, {method: "POST"}, {method: "OPTIONS"}, {method: "DELETE"},
	{method: "get"}, {method: "GETX"}, {method: "CONNECT"},
	{method: "POST", header: "x-http-method-override", value: "DELETE"},
	{method: "POST", header: "x-http-method", value: "GET"},
	{method: "GET", header: "x-method-override", value: "DELETE"},
	{method: "GET", header: "x-original-url", value: "/v1/orders/1"},
	{method: "GET", header: "x-rewrite-url", value: "/v1/orders/1"},
}

// TestOneMeaning: what a policy decided about is what the backend is called
// with, however the request is spelled, and over HTTP/1.1 and HTTP/2 alike.
func TestOneMeaning(t *testing.T) {
	t.Parallel()
	w, g := startWitness(t)
	w.tryAll(t, g, spellings)
}

// TestOneMeaningOfOpenPaths: a path that leaves its version open has the
// meaning, in every spelling, that it has with the version, and no other.
func TestOneMeaningOfOpenPaths(t *testing.T) {
	t.Parallel()
	w, g := startWitness(t, func(c *configv1.Config) {
		c.Versions = []*configv1.Versions{{Name: "catalog", Default: "v1", List: []*configv1.Version{
			{Name: "v1", Select: []string{"shop.catalog.v1.*"}}, {Name: "v2", Select: []string{"shop.reviews.v2.*"}},
		}}}
	})
	list := slices.Clone(spellings)
	open := 0
	for _, s := range spellings {
		if i := strings.Index(s.target, "/v1/"); i >= 0 && !strings.Contains(s.target, "elsewhere//") {
			list = append(list, spelling{s.target[:i] + s.target[i+len("/v1"):], s.want})
			open++
		}
	}
	if open < 70 {
		t.Errorf("only %d spellings leave the version open", open)
	}
	w.tryAll(t, g, append(list,
		spelling{"/v2/products/boots", ""}, spelling{"/%762/products/boots", ""}, spelling{"/v1/v1/products/boots", ""},
		spelling{"/v1%2fproducts/boots", ""}, spelling{"/products%2fboots", ""}, spelling{"/./products/boots", ""}, spelling{"//products/boots", ""},
		spelling{"/v01/products/boots", ""}, spelling{"/v1;/products/boots", ""}, spelling{"/v1%00/products/boots", ""}, spelling{"/v1./products/boots", ""},
	))
}

// tryAll sends each spelling with each verb.
func (w *witness) tryAll(t *testing.T, g *gatewaytest.Gateway, list []spelling) {
	t.Helper()
	h2 := newRawH2(t, g.HTTP)
	for _, tc := range list {
		for _, v := range verbs {
			request := fmt.Sprintf("%s %q %s", v.method, tc.target, v.header)
			check := func(proto, id string) {
				t.Helper()
				called := w.judge(t, id, proto+" "+request)
				want := tc.want
				if want == "absolute" {
					want = map[string]string{"HTTP/1.1": get + "products/boots"}[proto]
				}
				if v.method == "GET" && called != want {
					t.Errorf("%s %s: called %q, want %q", proto, request, called, want)
				}
			}
			id := w.id()
			header := ""
			if v.header != "" {
				header = v.header + ": " + v.value + "\r\n"
			}
			gatewaytest.Raw(t, g.HTTP, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Request-Id: %s\r\n%s\r\n", v.method, tc.target, id, header), true)
			check("HTTP/1.1", id)
			id = w.id()
			fields := []string{":method", v.method, ":scheme", "http", ":authority", "a", ":path", tc.target, "x-request-id", id}
			if v.header != "" {
				fields = append(fields, v.header, v.value)
			}
			h2.do("", fields...)
			check("HTTP/2", id)
		}
	}
}

// TestOneMeaningGRPC: an RPC has one name, by every way that gRPC has in.
func TestOneMeaningGRPC(t *testing.T) {
	t.Parallel()
	w, g := startWitness(t)
	message := edgetest.Frame(0, edgetest.Wire(t, &catalogv1.GetProductRequest{Name: "products/boots"}))
	for door, address := range map[string]string{"native": g.GRPC, "http": g.HTTP} {
		h2 := newRawH2(t, address)
		for _, service := range []string{"/shop.catalog.v1.CatalogService/GetProduct", "/shop.catalog.v1.CatalogService/DeleteProduct"} {
			pkg, name := service[1:strings.LastIndexByte(service, '/')], service[strings.LastIndexByte(service, '/')+1:]
			for i, path := range []string{
				service, service[1:], "/" + service, "//" + service, "/" + pkg + "//" + name, service + "/", service + "//", "/./" + pkg + "/" + name,
				"/" + pkg + "/./" + name, "/x/../" + pkg + "/" + name, "/" + pkg + "/x/../" + name, "/../" + pkg + "/" + name, "/%2e%2e" + service,
				strings.ToLower(service), strings.ToUpper(service), "/" + pkg + "/" + strings.ToLower(name),
				"/" + pkg + "/%" + fmt.Sprintf("%02x", name[0]) + name[1:], "/%73" + pkg[1:] + "/" + name, "/" + pkg + "%2f" + name, "/" + pkg + "%2F" + name,
				"%2f" + pkg + "/" + name, "/" + pkg + `\` + name, "/" + pkg + "%5c" + name, "/" + pkg + "/%25" + name,
				service + "?x=y", service + "?", service + "#x", service + ";x=y", "/" + pkg + ";x=y/" + name, service + "%00", service + "%20", service + ".",
				"/." + pkg + "/" + name, "/" + pkg + "./" + name, "/" + pkg + "/" + name + "%c0%af", "/" + strings.ReplaceAll(pkg, ".", "%2e") + "/" + name,
				"http://a" + service, "http:" + service, "//a" + service, "/" + strings.ReplaceAll(pkg, ".", "/") + "/" + name, "/" + pkg + "." + name,
				"/" + name, "/", "", "*", "/" + pkg, "/" + pkg + "/",
			} {
				id := w.id()
				request := door + " " + path
				got := h2.do(message, ":method", "POST", ":scheme", "http", ":authority", "a", ":path", path,
					"content-type", "application/grpc", "te", "trailers", "x-request-id", id)
				called := w.judge(t, id, request)
				switch {
				case i == 0 && !forbidden(service+" ") && called != service+" products/boots":
					t.Errorf("%s: called %q", request, called)
				case i > 0 && called != "":
					t.Errorf("%s: called %q, want nothing", request, called)
				case i > 0 && got.fields["grpc-status"] == "0":
					t.Errorf("%s: answered %v", request, got.fields)
				}
				if i > 0 {
					w.mu.Lock()
					if d := w.decided[id]; d != "" {
						t.Errorf("%s: taken for %q", request, d)
					}
					w.mu.Unlock()
				}
			}
		}
	}
}
