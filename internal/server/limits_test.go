package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const getProduct = "/shop.catalog.v1.CatalogService/GetProduct"

// taking is a backend that takes whatever comes.
var taking = gatewaytest.Script{
	getProduct: gatewaytest.Unary(func(context.Context, *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
		return &catalogv1.Product{Name: "products/boots"}, nil
	}),
	"/shop.catalog.v1.CatalogService/CreateProduct": gatewaytest.Unary(func(context.Context, *catalogv1.CreateProductRequest) (*catalogv1.Product, error) {
		return new(catalogv1.Product), nil
	}),
	"/shop.catalog.v1.CatalogService/SearchProducts": gatewaytest.Unary(func(context.Context, *catalogv1.SearchProductsRequest) (*catalogv1.SearchProductsResponse, error) {
		return new(catalogv1.SearchProductsResponse), nil
	}),
	"/shop.orders.v1.OrdersService/CreateOrder": gatewaytest.Unary(func(context.Context, *ordersv1.CreateOrderRequest) (*ordersv1.Order, error) {
		return new(ordersv1.Order), nil
	}),
}

// TestDefaultHTTP2 reads what a server says of itself when a connection begins.
func TestDefaultHTTP2(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t)))
	for name, address := range map[string]string{"http": g.HTTP, "grpc": g.GRPC} {
		t.Run(name, func(t *testing.T) {
			settings, window := greeting(t, address)
			for id, want := range map[http2.SettingID]uint32{
				http2.SettingMaxConcurrentStreams: 100, http2.SettingInitialWindowSize: 64 << 10, http2.SettingMaxFrameSize: 16 << 10,
			} {
				got, ok := settings[id]
				if id == http2.SettingMaxFrameSize && !ok {
					got = 16 << 10 // by RFC 9113
				}
				if got != want {
					t.Errorf("%v is %d, want %d", id, got, want)
				}
			}
			if got := settings[http2.SettingMaxHeaderListSize]; got < 64<<10 || got > 66<<10 {
				t.Errorf("header list %d, want 64 KiB and little more", got)
			}
			// net/http opens the connection's window when a handler reads, so each stream
			// must have room for a window of its own beside those that nobody reads.
			want := map[string]uint32{"http": 1<<20 + 100*64<<10, "grpc": 1 << 20}[name]
			if window != want {
				t.Errorf("the connection's window is %d, want %d", window, want)
			}
		})
	}
}

// greeting reads the server's settings and the window of its connection.
func greeting(t *testing.T, address string) (map[http2.SettingID]uint32, uint32) {
	t.Helper()
	c := connect(t, address)
	_, _ = io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	_ = fr.WriteSettings()
	_ = fr.WritePing(false, [8]byte{1})
	settings, window := map[http2.SettingID]uint32{}, uint32(65535)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			_ = f.ForeachSetting(func(s http2.Setting) error { settings[s.ID] = s.Val; return nil })
		case *http2.WindowUpdateFrame:
			window += f.Increment
		case *http2.PingFrame:
			if f.IsAck() {
				return settings, window
			}
		}
	}
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(gatewaytest.Patience))
	return c
}

// TestDefaultSizes sends what is just allowed, and one more.
func TestDefaultSizes(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking, grpc.MaxRecvMsgSize(8<<20))))
	document := func(n int) string {
		return `{"description":"` + strings.Repeat("x", n-len(`{"description":""}`)) + `"}`
	}
	nested := func(n int) string {
		return `{"metadata":` + strings.Repeat(`{"a":`, n-2) + `{}` + strings.Repeat(`}`, n-1)
	}
	for _, tc := range []struct {
		name, method, target, body string
		headers                    int
		want                       int
	}{
		{name: "body", method: "POST", target: "/v1/products", body: document(4<<20 - 64), want: 200},
		{name: "body too large", method: "POST", target: "/v1/products", body: document(4<<20 + 1), want: 413},
		{name: "depth", method: "POST", target: "/v1/customers/c/orders", body: nested(100), want: 200},
		{name: "too deep", method: "POST", target: "/v1/customers/c/orders", body: nested(101), want: 400},
		{name: "parameters", method: "GET", target: "/v1/products:search?" + strings.Repeat("tags=a&", 999) + "tags=b", want: 200},
		{name: "too many parameters", method: "GET", target: "/v1/products:search?" + strings.Repeat("tags=a&", 1000) + "tags=b", want: 400},
		{name: "headers", method: "GET", target: "/v1/products/boots", headers: 98, want: 200}, // and the client's User-Agent and Accept-Encoding
		{name: "too many headers", method: "GET", target: "/v1/products/boots", headers: 100, want: 431},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := g.Request(t, tc.method, tc.target, tc.body)
			for range tc.headers {
				r.Header.Add("X-Many", "1")
			}
			if got := gatewaytest.Do(t, gatewaytest.Client(t), r); got.StatusCode != tc.want {
				t.Errorf("got %d %.200s, want %d", got.StatusCode, got.Text, tc.want)
			}
		})
	}
}

func TestDefaultMessageSize(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking, grpc.MaxRecvMsgSize(8<<20))))
	for _, address := range []string{g.GRPC, g.HTTP} {
		shop := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, address, nil))
		for size, want := range map[int]codes.Code{4<<20 - 64: codes.OK, 4<<20 + 1: codes.ResourceExhausted} {
			_, err := shop.CreateProduct(t.Context(), &catalogv1.CreateProductRequest{ProductId: strings.Repeat("x", size)})
			if status.Code(err) != want {
				t.Errorf("%d bytes: got %v, want %v", size, err, want)
			}
		}
	}
}

// hasty has short times.
func hasty(c *configv1.Config) {
	c.Limits = &configv1.Limits{HeaderTimeout: durationpb.New(100 * time.Millisecond), IdleTimeout: durationpb.New(100 * time.Millisecond)}
}

// TestSlowClients begins and does not go on: the server ends the connection.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking), hasty))
	settings := new(bytes.Buffer)
	_ = http2.NewFramer(settings, nil).WriteSettings()
	for _, tc := range []struct{ name, address, send string }{
		{"says nothing", g.HTTP, ""},
		{"half a request line", g.HTTP, "GET /v1/pro"},
		{"half a header", g.HTTP, "GET /v1/products/boots HTTP/1.1\r\nHost:"},
		{"half a preface", g.HTTP, http2.ClientPreface[:10]},
		{"preface without settings", g.HTTP, http2.ClientPreface},
		{"idle after a request", g.HTTP, "GET /v1/products/boots HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"idle HTTP/2", g.HTTP, http2.ClientPreface + settings.String()},
		{"says nothing, native", g.GRPC, ""},
		{"half a preface, native", g.GRPC, http2.ClientPreface[:10]},
		{"preface without settings, native", g.GRPC, http2.ClientPreface},
		{"idle, native", g.GRPC, http2.ClientPreface + settings.String()},
		{"half a header, admin", g.Admin, "GET /livez HTTP/1.1\r\nHost:"},
		{"no body, admin", g.Admin, "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, tc.address)
			_, _ = io.WriteString(c, tc.send)
			if _, err := io.Copy(io.Discard, c); err != nil && isTimeout(err) {
				t.Error("the connection was left open")
			}
		})
	}
}

// TestAdminIsNotRead takes no answer: the admin listener ends the connection.
func TestAdminIsNotRead(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
		c.Limits = &configv1.Limits{WriteTimeout: durationpb.New(100 * time.Millisecond)}
	}))
	c := connect(t, g.Admin)
	for {
		if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			if isTimeout(err) {
				t.Error("the connection was left open")
			}
			return
		}
	}
}

func isTimeout(err error) bool {
	var e net.Error
	ok := errors.As(err, &e)
	return ok && e.Timeout()
}

// TestStreamsWait: what is past the number of concurrent streams waits for a
// place and is not lost.
func TestStreamsWait(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}, 200), make(chan struct{})
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		getProduct: gatewaytest.Unary(func(context.Context, *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			entered <- struct{}{}
			<-release
			return new(catalogv1.Product), nil
		}),
	})))
	for _, address := range []string{g.GRPC, g.HTTP} {
		shop := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, address, nil))
		results := make(chan error, 101)
		for range 101 {
			go func() {
				_, err := shop.GetProduct(t.Context(), new(catalogv1.GetProductRequest))
				results <- err
			}()
		}
		for range 100 {
			gatewaytest.Receive(t, entered, "a call")
		}
		select {
		case <-entered:
			t.Error("101 calls at once on one connection")
		case release <- struct{}{}: // one ends, and the last has its place
			gatewaytest.Receive(t, entered, "the last call")
		}
		for range 100 {
			release <- struct{}{}
		}
		for range 101 {
			if err := gatewaytest.Receive(t, results, "a result"); err != nil {
				t.Error(err)
			}
		}
	}
}
