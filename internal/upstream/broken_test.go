package upstream_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// broken is a backend that does not do as it should, and what clients are told.
type broken struct {
	name    string
	backend func(testing.TB) string // returns its address
	timeout string                  // of the client, "" for plenty
	policy  time.Duration
	code    codes.Code
	http    int
	message string
	// opaque says that gRPC clients get the bytes as they are.
	opaque bool
	// streamsPass says that a stream may well have such an answer.
	streamsPass bool
}

func raw(serve func(net.Conn)) func(testing.TB) string {
	return func(t testing.TB) string { return gatewaytest.RawBackend(t, serve) }
}

func frames(answer func(*gatewaytest.Frames)) func(testing.TB) string {
	return func(t testing.TB) string { return gatewaytest.FrameBackend(t, answer) }
}

const (
	unavailable = `upstream "shop" is unavailable`
	notGRPC     = `upstream "shop" gave an answer that is not gRPC`
	tooLarge    = `a message of upstream "shop" is larger than 1024 bytes, the most that its max_receive_bytes allows`
)

// page answers like a web server.
func page(httpStatus, contentType string) func(testing.TB) string {
	return frames(func(f *gatewaytest.Frames) {
		f.Headers(false, ":status", httpStatus, "content-type", contentType)
		_ = f.WriteData(f.Stream, true, []byte("<html>secret page of 127.0.0.1</html>"))
	})
}

var shelf = []byte{10, 1, 'a'}

var brokenBackends = []broken{
	{name: "down", backend: gatewaytest.Unreachable, code: codes.Unavailable, http: 503, message: unavailable},
	{name: "closes at once", backend: raw(func(net.Conn) {}), code: codes.Unavailable, http: 503, message: unavailable},
	{name: "speaks another protocol", backend: raw(func(c net.Conn) {
		_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n")
		_, _ = io.Copy(io.Discard, c)
	}), code: codes.Unavailable, http: 503, message: unavailable},
	{name: "speaks HTTP/1.1", backend: raw(func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	}), code: codes.Unavailable, http: 503, message: unavailable},
	{name: "illegal window", backend: raw(func(c net.Conn) {
		_ = http2.NewFramer(c, c).WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		_, _ = io.Copy(io.Discard, c)
	}), code: codes.Unavailable, http: 503, message: unavailable},
	// grpc-go sends frames of 16 KiB whatever a backend says.
	{name: "illegal frame size", backend: raw(func(c net.Conn) {
		_ = http2.NewFramer(c, c).WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 0})
		_, _ = io.Copy(io.Discard, c)
	}), timeout: "50m", code: codes.DeadlineExceeded, http: 504, message: `no answer from upstream "shop" before the deadline`},
	{name: "silent past the client's deadline", backend: frames(func(*gatewaytest.Frames) {}), timeout: "50m", code: codes.DeadlineExceeded, http: 504, message: `no answer from upstream "shop" before the deadline`},
	{name: "silent past the policy's time limit", backend: frames(func(*gatewaytest.Frames) {}), policy: 50 * time.Millisecond, timeout: "5S", code: codes.DeadlineExceeded, http: 504, message: `no answer from upstream "shop" before the deadline`, streamsPass: true},
	{name: "silent after its headers", backend: frames(func(f *gatewaytest.Frames) { f.Begin() }), timeout: "50m", code: codes.DeadlineExceeded, http: 504, message: `no answer from upstream "shop" before the deadline`},
	{name: "web page", backend: page("200", "text/html"), code: codes.Unknown, http: 500, message: notGRPC},
	{name: "web page of a bad request", backend: page("400", "text/html"), code: codes.Internal, http: 500, message: notGRPC},
	{name: "web page unauthorized", backend: page("401", "text/html"), code: codes.Unauthenticated, http: 401, message: notGRPC},
	{name: "web page not found", backend: page("404", "text/html"), code: codes.Unimplemented, http: 501, message: notGRPC},
	{name: "web page forbidden", backend: page("403", "text/html"), code: codes.PermissionDenied, http: 403, message: notGRPC},
	{name: "web page of a proxy", backend: page("502", "text/html"), code: codes.Unavailable, http: 503, message: unavailable},
	{name: "web page of a limit", backend: page("429", "text/html"), code: codes.Unavailable, http: 503, message: unavailable},
	{name: "web page of large headers", backend: page("431", "text/html"), code: codes.Internal, http: 500, message: notGRPC},
	{name: "web page of a slow proxy", backend: page("504", "text/html"), code: codes.Unavailable, http: 503, message: unavailable},
	{name: "web page of an error", backend: page("500", "text/html"), code: codes.Unknown, http: 500, message: notGRPC},
	{name: "web page of a conflict", backend: page("409", "text/html"), code: codes.Unknown, http: 500, message: notGRPC},
	{name: "web page of a teapot", backend: page("418", "text/html"), code: codes.Unknown, http: 500, message: notGRPC},
	{name: "HTTP status that is none", backend: page("800", "text/html"), code: codes.Unknown, http: 500, message: notGRPC},
	{name: "HTTP status alone", backend: frames(func(f *gatewaytest.Frames) {
		f.Headers(true, ":status", "413")
	}), code: codes.Unknown, http: 500, message: notGRPC},
	{name: "gRPC-Web", backend: page("200", "application/grpc-web"), code: codes.Unknown, http: 500, message: notGRPC},
	{name: "status that is no number", backend: frames(func(f *gatewaytest.Frames) {
		f.Headers(true, ":status", "200", "content-type", "application/grpc", "grpc-status", "fine")
	}), code: codes.Unknown, http: 500, message: notGRPC},
	{name: "status that nobody knows", backend: frames(func(f *gatewaytest.Frames) {
		f.Headers(true, ":status", "200", "content-type", "application/grpc", "grpc-status", "99", "grpc-message", "own words")
	}), code: codes.Code(99), http: 500, message: "own words"},
	{name: "binary header that is not base64", backend: frames(func(f *gatewaytest.Frames) {
		f.Headers(false, ":status", "200", "content-type", "application/grpc", "x-bin", "!!")
	}), code: codes.Internal, http: 500, message: notGRPC},
	{name: "protobuf that is none", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.Message([]byte{0xff, 0xff, 0xff})
		f.End()
	}), code: codes.Internal, http: 500, message: `upstream "shop" gave an answer that is not valid`, opaque: true},
	{name: "string that is not UTF-8", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.Message([]byte{10, 1, 0xff})
		f.End()
	}), code: codes.Internal, http: 500, message: `upstream "shop" gave an answer that is not valid`, opaque: true},
	{name: "message in JSON", backend: frames(func(f *gatewaytest.Frames) {
		f.Headers(false, ":status", "200", "content-type", "application/grpc+json")
		f.Message([]byte(`{"name":"shelves/a"}`))
		f.End()
	}), code: codes.Internal, http: 500, message: `upstream "shop" answers in "application/grpc+json": want "application/grpc+proto"`},
	{name: "error told in JSON", backend: frames(func(f *gatewaytest.Frames) {
		f.Headers(true, ":status", "200", "content-type", "application/grpc+json", "grpc-status", "5", "grpc-message", "own words")
	}), code: codes.NotFound, http: 404, message: "own words"},
	{name: "message cut off", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		_ = f.WriteData(f.Stream, false, []byte{0, 0, 0, 0, 100, 1, 2})
		f.End()
	}), code: codes.Internal, http: 500, message: notGRPC},
	{name: "message too large", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.Message(make([]byte, 2048))
		f.End()
	}), code: codes.Internal, http: 500, message: tooLarge},
	{name: "message announced too large", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		_ = f.WriteData(f.Stream, false, []byte{0, 0xff, 0xff, 0xff, 0xff})
	}), code: codes.Internal, http: 500, message: tooLarge},
	{name: "message that unpacks too large", backend: frames(func(f *gatewaytest.Frames) {
		f.Headers(false, ":status", "200", "content-type", "application/grpc", "grpc-encoding", "gzip")
		packed := gzipped(make([]byte, 2048))
		_ = f.WriteData(f.Stream, false, append([]byte{1, 0, 0, 0, byte(len(packed))}, packed...))
		f.End()
	}), code: codes.Internal, http: 500, message: tooLarge},
	{name: "flag that is none", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		_ = f.WriteData(f.Stream, false, []byte{9, 0, 0, 0, 0})
		f.End()
	}), code: codes.Internal, http: 500, message: notGRPC},
	{name: "encoding that nobody knows", backend: frames(func(f *gatewaytest.Frames) {
		f.Headers(false, ":status", "200", "content-type", "application/grpc", "grpc-encoding", "lzma")
		_ = f.WriteData(f.Stream, false, []byte{1, 0, 0, 0, 1, 0})
		f.End()
	}), code: codes.Internal, http: 500, message: notGRPC},
	{name: "no message", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.End()
	}), code: codes.Unimplemented, http: 501, message: `upstream "shop" gave no message: this method has one`, streamsPass: true},
	{name: "two messages", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.Message(shelf)
		f.Message(shelf)
		f.End()
	}), code: codes.Unimplemented, http: 501, message: `upstream "shop" gave more than one message: this method has one`, streamsPass: true},
	{name: "two messages and no end", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.Message(shelf)
		f.Message(shelf)
	}), code: codes.Unimplemented, http: 501, message: `upstream "shop" gave more than one message: this method has one`, streamsPass: true},
	{name: "one message and an error", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.Message(shelf)
		f.Headers(true, "grpc-status", "13", "grpc-message", "own words")
	}), code: codes.Internal, http: 500, message: "own words", streamsPass: true},
	{name: "no message and an error", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.Headers(true, "grpc-status", "13", "grpc-message", "own words")
	}), code: codes.Internal, http: 500, message: "own words"},
	{name: "no status in the trailers", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.Message(shelf)
		f.Headers(true, "grpc-message", "own words")
	}), code: codes.Unknown, http: 500, message: "own words", streamsPass: true},
	{name: "no trailers", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		_ = f.WriteData(f.Stream, true, nil)
	}), code: codes.Internal, http: 500, message: notGRPC},
	{name: "headers in the middle", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		f.Begin()
	}), code: codes.Internal, http: 500, message: notGRPC},
	{name: "reset", backend: frames(func(f *gatewaytest.Frames) {
		_ = f.WriteRSTStream(f.Stream, http2.ErrCodeInternal)
	}), code: codes.Internal, http: 500, message: notGRPC},
	{name: "reset after headers", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		_ = f.WriteRSTStream(f.Stream, http2.ErrCodeInternal)
	}), code: codes.Internal, http: 500, message: notGRPC},
	{name: "reset for asking too much, after headers", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		_ = f.WriteRSTStream(f.Stream, http2.ErrCodeEnhanceYourCalm)
	}), code: codes.ResourceExhausted, http: 429, message: `upstream "shop"`},
	{name: "cancelled after headers", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		_ = f.WriteRSTStream(f.Stream, http2.ErrCodeCancel)
	}), code: codes.Unavailable, http: 503, message: `upstream "shop" cancelled the call`},
	{name: "connection lost after headers", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		_ = f.Conn.Close()
	}), code: codes.Unavailable, http: 503, message: unavailable},
	{name: "nonsense after headers", backend: frames(func(f *gatewaytest.Frames) {
		f.Begin()
		_, _ = io.WriteString(f.Conn, strings.Repeat("nonsense", 100))
	}), code: codes.Unavailable, http: 503, message: unavailable},
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(b) // a buffer takes all
	_ = w.Close()
	return buf.Bytes()
}

func (b *broken) configure(c *configv1.Config) {
	c.Upstreams[0].MaxReceiveBytes = proto.Int64(1024)
	if b.policy > 0 {
		c.Expose[0].Policy.Timeout = durationpb.New(b.policy)
	}
}

// TestBrokenBackend sends unary and streaming calls, by REST and by both doors
// of gRPC, to backends that answer nonsense.
func TestBrokenBackend(t *testing.T) {
	t.Parallel()
	for _, b := range brokenBackends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			if b.timeout == "" {
				b.timeout = "20S"
			}
			g := gatewaytest.Start(t, gatewaytest.Config(b.backend(t), b.configure))
			b.testREST(t, g)
			for _, address := range []string{g.GRPC, g.HTTP} {
				b.testGRPC(t, gatewaytest.Dial(t, address, nil))
			}
			if a := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", "/v1/nothing", "")); a.StatusCode != 404 {
				t.Errorf("the gateway does not live: HTTP %d", a.StatusCode)
			}
		})
	}
}

func (b *broken) testREST(t *testing.T, g *gatewaytest.Gateway) {
	client := gatewaytest.Client(t)
	a := gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/shelves/a", "", "Grpc-Timeout: "+b.timeout))
	b.checkBody(t, a.StatusCode, a.Text)
	if b.streamsPass {
		return
	}
	a = gatewaytest.Do(t, client, g.Request(t, "GET", "/v1/warehouses/w/stock/s:watch", "", "Grpc-Timeout: "+b.timeout))
	b.checkBody(t, a.StatusCode, a.Text)
}

func (b *broken) checkBody(t *testing.T, httpStatus int, text string) {
	t.Helper()
	var body struct {
		Error struct{ Message, Status string }
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatalf("not an error body: %v: %q", err, text)
	}
	if httpStatus != b.http || !strings.Contains(body.Error.Message, b.message) {
		t.Errorf("REST: got HTTP %d %q; want %d with %q", httpStatus, text, b.http, b.message)
	}
	checkNoLeak(t, text)
}

func (b *broken) testGRPC(t *testing.T, cc *grpc.ClientConn) {
	limit := 20 * time.Second
	if b.timeout == "50m" {
		limit = 50 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := catalogv1.NewCatalogServiceClient(cc).GetShelf(ctx, &catalogv1.GetShelfRequest{Name: "shelves/a"})
	b.checkStatus(t, err)
	if b.streamsPass {
		return
	}
	ctx, cancelStream := context.WithTimeout(t.Context(), limit)
	defer cancelStream()
	stream, err := inventoryv1.NewInventoryServiceClient(cc).WatchStock(ctx, &inventoryv1.WatchStockRequest{Name: "warehouses/w/stock/s"})
	if err == nil {
		_, err = stream.Recv()
	}
	b.checkStatus(t, err)
}

func (b *broken) checkStatus(t *testing.T, err error) {
	t.Helper()
	st := status.Convert(err)
	if b.code == codes.DeadlineExceeded && st.Code() == b.code && b.policy == 0 {
		return // grpc-go's client does not wait for what the gateway says
	}
	if b.opaque {
		if err == nil {
			t.Error("gRPC: the client could read nonsense")
		}
		return
	}
	if st.Code() != b.code || !strings.Contains(st.Message(), b.message) {
		t.Errorf("gRPC: got %v %q; want %v with %q", st.Code(), st.Message(), b.code, b.message)
	}
	checkNoLeak(t, st.Message())
}

func checkNoLeak(t *testing.T, text string) {
	t.Helper()
	for _, leak := range []string{"127.0.0.1", "transport:", "connection error", "desc =", "proto:", "RST_STREAM", "html", "cardinality", "EOF", "grpc:", "strconv"} {
		if strings.Contains(text, leak) {
			t.Errorf("the client was told %q: %s", leak, text)
		}
	}
}
