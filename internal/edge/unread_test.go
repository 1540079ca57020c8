package edge_test

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
	"golang.org/x/net/http2/hpack"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// answering is a backend of GetProduct with answers of about n bytes.
func answering(t *testing.T, n int) string {
	t.Helper()
	return edgetest.Product(t, gatewaytest.Unary(func(context.Context, *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
		return &catalogv1.Product{Description: strings.Repeat("x", n)}, nil
	}))
}

func dialRaw(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(gatewaytest.Patience))
	return c
}

// TestUnreadHTTP2 asks without opening a window for the answer: the stream is
// reset, however small the answer is.
func TestUnreadHTTP2(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 10 << 10, 100 << 10} {
		g := gatewaytest.Start(t, gatewaytest.Config(answering(t, size), impatient))
		for name, fields := range map[string][]string{
			"REST":    {":method", "GET", ":path", "/v1/products/boots"},
			"refused": {":method", "GET", ":path", "/nothing"},
			"gRPC":    {":method", "POST", ":path", edgetest.GetProduct, "content-type", "application/grpc", "te", "trailers"},
		} {
			t.Run(name, func(t *testing.T) {
				awaitReset(t, dialRaw(t, g.HTTP), append(fields, ":scheme", "http", ":authority", "a"))
			})
		}
	}
}

func awaitReset(t *testing.T, c net.Conn, fields []string) {
	t.Helper()
	_, _ = io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, pseudo := range []bool{true, false} {
		for i := 0; i < len(fields); i += 2 {
			if strings.HasPrefix(fields[i], ":") == pseudo {
				_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
			}
		}
	}
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = fr.WriteData(1, true, bodyOf(fields))
	for {
		switch f, err := fr.ReadFrame(); f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = fr.WriteSettingsAck()
			}
		case *http2.RSTStreamFrame:
			return
		default:
			if err != nil {
				t.Fatalf("the stream was not reset: %v", err)
			}
		}
	}
}

// bodyOf is an empty gRPC message, or nothing.
func bodyOf(fields []string) []byte {
	if fields[1] == "POST" {
		return make([]byte, 5)
	}
	return nil
}

// TestUnreadHTTP1 asks again and again and reads no answer: the connection is
// closed.
func TestUnreadHTTP1(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(answering(t, 16<<10), impatient))
	c := dialRaw(t, g.HTTP)
	request := []byte(strings.Repeat("GET /v1/products/boots HTTP/1.1\r\nHost: a\r\n\r\n", 100))
	for {
		if _, err := c.Write(request); err != nil {
			if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
				t.Error("the connection was left open")
			}
			return
		}
	}
}

// TestPatienceIsPerAnswer: what one answer may take is not counted for the next
// on the same connection.
func TestPatienceIsPerAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, gatewaytest.Unary(func(_ context.Context, in *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
		if in.GetName() == "products/slow" {
			<-release
		}
		return new(catalogv1.Product), nil
	})), impatient))
	client := gatewaytest.Client(t)
	if got := gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/products/fast", "")); got.StatusCode != 200 {
		t.Fatalf("got %s", got.Status)
	}
	time.AfterFunc(300*time.Millisecond, func() { close(release) }) // longer than an answer may lie unread
	if got := gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/products/slow", "")); got.StatusCode != 200 {
		t.Errorf("the answer came late, not slowly: got %s %s", got.Status, got.Text)
	}
}
