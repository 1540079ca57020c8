package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// door is one way in. Every protocol has at least one; a new protocol's joins
// all tests by standing in doors.
type door struct {
	name     string
	protocol call.Protocol
	// open connects to a gateway.
	open func(t *testing.T, g *gatewaytest.Gateway) caller
}

// caller makes the calls of the tests by one door.
type caller interface {
	// call calls an RPC with headers ("name", "value", ...).
	call(ctx context.Context, rpc rpc, headers ...string) outcome
}

// rpc is one of the RPCs that the tests call.
type rpc struct {
	name string // of the method
	arg  string // which shelf, product or stock it is about
}

// outcome is how a call ended, in the same words for all protocols.
type outcome struct {
	code    codes.Code
	message string
	header  metadata.MD // header and trailer in one
}

func (o outcome) first(key string) string {
	if v := o.header[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func doors() []door {
	return []door{
		{"REST over HTTP/1.1", call.REST, func(t *testing.T, g *gatewaytest.Gateway) caller {
			return &restCaller{gatewaytest.Client(t), g}
		}},
		{"REST over h2c", call.REST, func(t *testing.T, g *gatewaytest.Gateway) caller {
			return &restCaller{gatewaytest.Client(t, gatewaytest.H2C), g}
		}},
		{"gRPC", call.GRPC, func(t *testing.T, g *gatewaytest.Gateway) caller {
			return &grpcCaller{gatewaytest.Dial(t, g.GRPC, nil)}
		}},
		{"gRPC on the HTTP port", call.GRPC, func(t *testing.T, g *gatewaytest.Gateway) caller {
			return &grpcCaller{gatewaytest.Dial(t, g.HTTP, nil)}
		}},
		{"Connect", "connect", func(t *testing.T, g *gatewaytest.Gateway) caller {
			return newConnectCaller(gatewaytest.Client(t), g)
		}},
		{"Connect with JSON over h2c", "connect", func(t *testing.T, g *gatewaytest.Gateway) caller {
			return newConnectCaller(gatewaytest.Client(t, gatewaytest.H2C), g, connecthttp.WithProtoJSON())
		}},
		{"gRPC-Web", "grpc-web", func(t *testing.T, g *gatewaytest.Gateway) caller {
			return newConnectCaller(gatewaytest.Client(t), g, connecthttp.WithGRPCWeb())
		}},
		{"inside the process", call.InProcess, func(_ *testing.T, g *gatewaytest.Gateway) caller {
			return &grpcCaller{g.Gateway.Conn()}
		}},
	}
}

// TestEveryProtocolHasADoor checks that each folder of a door, which is named after its
// protocol, joins the tests.
func TestEveryProtocolHasADoor(t *testing.T) {
	has := map[string]bool{"doors": true} // the list of doors
	for _, d := range doors() {
		has[strings.ReplaceAll(d.protocol.String(), "-", "")] = true
	}
	if !has[call.InProcess.String()] {
		t.Error("no row calls inside the process")
	}
	entries, err := os.ReadDir("../edge")
	if err != nil {
		t.Fatal(err)
	}
	folders := 0
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		folders++
		if !has[entry.Name()] {
			t.Errorf("no row of doors speaks %s: add one", entry.Name())
		}
	}
	if folders < 3 {
		t.Errorf("found %d folders of doors, want REST's, gRPC's and the list's at least", folders)
	}
}

// restCaller speaks REST.
type restCaller struct {
	client *http.Client
	g      *gatewaytest.Gateway
}

func (c *restCaller) call(ctx context.Context, rpc rpc, headers ...string) outcome {
	method, path, body := "GET", "/v1/shelves/"+rpc.arg, ""
	switch rpc.name {
	case "CreateProduct":
		method, path, body = "POST", "/v1/products", `{"displayName": "`+rpc.arg+`"}`
	case "GetProductPage":
		path = "/v1/pages/products/" + rpc.arg
	case "WatchStock":
		path = "/v1/warehouses/kassel/stock/" + rpc.arg + ":watch"
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.g.HTTP+path, strings.NewReader(body))
	if err != nil {
		return outcome{code: codes.Unknown, message: err.Error()}
	}
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	r.Host = r.Header.Get("host")
	resp, err := c.client.Do(r)
	if err != nil {
		return outcome{code: codes.Unknown, message: err.Error()}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return outcome{code: codes.Unknown, message: err.Error()}
	}
	out := outcome{header: metadata.MD{}}
	for key, values := range resp.Header {
		out.header[strings.ToLower(key)] = values
	}
	var told struct {
		Error struct{ Status, Message string }
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n") // a stream tells it in its last line
	if json.Unmarshal([]byte(lines[len(lines)-1]), &told) == nil && told.Error.Status != "" {
		out.code, out.message = codeNamed(told.Error.Status), told.Error.Message
	} else if resp.StatusCode != http.StatusOK {
		out.code, out.message = codes.Unknown, string(text)
	}
	return out
}

func codeNamed(name string) codes.Code {
	for c := range codes.Unauthenticated + 1 {
		if call.CodeName(c) == name {
			return c
		}
	}
	return codes.Unknown
}

// connectCaller speaks Connect and gRPC-Web, with connect-go's client.
type connectCaller struct{ client *connect.Client }

func newConnectCaller(client *http.Client, g *gatewaytest.Gateway, options ...connecthttp.Option) connectCaller {
	return connectCaller{connect.NewClient(connecthttp.NewTransport(hostClient{client}, "http://"+g.HTTP, options...))}
}

// hostClient asks for the host that a header names.
type hostClient struct{ *http.Client }

// Do makes a request.
func (c hostClient) Do(r *http.Request) (*http.Response, error) {
	r.Host = r.Header.Get("host")
	return c.Client.Do(r)
}

func (c connectCaller) call(ctx context.Context, rpc rpc, headers ...string) outcome {
	ctx, info := connect.NewClientContext(ctx)
	for i := 0; i < len(headers); i += 2 {
		info.RequestHeader().Add(headers[i], headers[i+1])
	}
	unary := func(method string, in, out proto.Message) error {
		spec := connect.Spec{Procedure: "/shop.catalog.v1.CatalogService/" + method, StreamType: connect.StreamTypeUnary}
		return c.client.CallUnary(ctx, spec, in, out)
	}
	var err error
	switch rpc.name {
	case "CreateProduct":
		err = unary(rpc.name, &catalogv1.CreateProductRequest{Product: &catalogv1.Product{DisplayName: rpc.arg}}, new(catalogv1.Product))
	case "WatchStock":
		err = c.watch(ctx, rpc.arg)
	default:
		err = unary("GetShelf", &catalogv1.GetShelfRequest{Name: "shelves/" + rpc.arg}, new(catalogv1.Shelf))
	}
	out := outcome{header: metadata.MD{}}
	for key, values := range info.ResponseHeader().All() {
		out.header.Append(key, values...)
	}
	for key, values := range info.ResponseTrailer().All() {
		// The client shows the header of an answer without messages as its trailer too.
		if !slices.Equal(out.header.Get(key), values) {
			out.header.Append(key, values...)
		}
	}
	if e, ok := errors.AsType[*connect.Error](err); ok {
		out.code, out.message = codes.Code(e.Code()), e.Message()
	}
	return out
}

func (c connectCaller) watch(ctx context.Context, stock string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	spec := connect.Spec{Procedure: "/shop.inventory.v1.InventoryService/WatchStock", StreamType: connect.StreamTypeServer}
	stream, err := c.client.CallServerStream(ctx, spec, &inventoryv1.WatchStockRequest{Name: "warehouses/kassel/stock/" + stock})
	for err == nil {
		err = stream.Receive(new(inventoryv1.WatchStockResponse))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// grpcCaller makes calls with generated clients.
type grpcCaller struct{ cc grpc.ClientConnInterface }

func (c *grpcCaller) call(ctx context.Context, rpc rpc, headers ...string) outcome {
	var header, trailer metadata.MD
	ctx = metadata.AppendToOutgoingContext(ctx, headers...)
	opts := []grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)}
	var err error
	switch rpc.name {
	case "CreateProduct":
		_, err = catalogv1.NewCatalogServiceClient(c.cc).CreateProduct(ctx,
			&catalogv1.CreateProductRequest{Product: &catalogv1.Product{DisplayName: rpc.arg}}, opts...)
	case "WatchStock":
		header, trailer, err = watch(ctx, c.cc, rpc.arg)
	default:
		_, err = catalogv1.NewCatalogServiceClient(c.cc).GetShelf(ctx, &catalogv1.GetShelfRequest{Name: "shelves/" + rpc.arg}, opts...)
	}
	st := status.Convert(err)
	return outcome{code: st.Code(), message: st.Message(), header: metadata.Join(header, trailer)}
}

func watch(ctx context.Context, cc grpc.ClientConnInterface, stock string) (header, trailer metadata.MD, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := inventoryv1.NewInventoryServiceClient(cc).WatchStock(ctx, &inventoryv1.WatchStockRequest{Name: "warehouses/kassel/stock/" + stock})
	if err != nil {
		return nil, nil, err
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if err == io.EOF {
		err = nil
	}
	header, _ = stream.Header()
	return header, stream.Trailer(), err
}
