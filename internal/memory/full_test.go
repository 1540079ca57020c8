package memory_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const (
	getProduct    = "/shop.catalog.v1.CatalogService/GetProduct"
	createProduct = "/shop.catalog.v1.CatalogService/CreateProduct"
	watchStock    = "/shop.inventory.v1.InventoryService/WatchStock"
	messages      = 200       // of a stream
	large         = 3_900_000 // bytes of the answer about "products/large"
)

// doors have a call made with a request of so many bytes, and check how it is refused.
var doors = map[string]func(t *testing.T, g *gatewaytest.Gateway, size int) (refused bool){
	"REST":                  callREST,
	"native gRPC":           func(t *testing.T, g *gatewaytest.Gateway, size int) bool { return callGRPC(t, g.GRPC, size) },
	"gRPC on the HTTP port": func(t *testing.T, g *gatewaytest.Gateway, size int) bool { return callGRPC(t, g.HTTP, size) },
}

// start starts a gateway of whose memory clients may fill 51 MiB.
func start(t *testing.T) *play {
	t.Helper()
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(limit) })
	p := &play{release: make(chan struct{})}
	p.Gateway = gatewaytest.Start(t, gatewaytest.Config(p.backend(t), func(c *configv1.Config) {
		c.Limits = &configv1.Limits{Memory: proto.Int64(128 * mib)} // two fifths are for clients
	}))
	return p
}

// TestLargeRequestsAreRefused has the gateway hold so many large requests that another one
// has no room. It is refused at each door, with the time after which to try again; small
// ones are served.
func TestLargeRequestsAreRefused(t *testing.T) {
	p := start(t)
	var calls sync.WaitGroup
	defer calls.Wait()
	released := false
	defer func() {
		if !released {
			close(p.release)
		}
	}()
	refused := make(chan bool, 1)
	for held := int64(1); ; held++ { // one after the other, until one has no room
		calls.Go(func() {
			if callGRPC(t, p.GRPC, large) {
				refused <- true
			}
		})
		gatewaytest.Eventually(t, "a large request that is held, or refused", func() bool {
			return p.created.Load() == held || len(refused) > 0
		})
		if len(refused) > 0 {
			break
		}
	}
	for name, call := range doors {
		t.Run(name, func(t *testing.T) {
			if !call(t, p.Gateway, large) {
				t.Error("a large request was served for which there is no room")
			}
			if call(t, p.Gateway, 0) {
				t.Error("a small one was refused")
			}
		})
	}
	if counted := int(p.metric(t, "refused_total")); counted < 1+len(doors) {
		t.Errorf("%d calls were counted, and %d refused", counted, 1+len(doors))
	}
	close(p.release)
	released = true
	calls.Wait()
	gatewaytest.Eventually(t, "the end of what was held", func() bool { return p.metric(t, "held_bytes") == 0 })
	if callGRPC(t, p.GRPC, large) {
		t.Error("a large request was refused for which there is room again")
	}
}

// TestFullProcess has clients hold more than the process may: uploads that have come in
// part, and answers that nobody reads. Those that have no room wait until those who keep
// the gateway waiting longest have been ended. Small calls are served all the time.
func TestFullProcess(t *testing.T) {
	for name, call := range doors {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			gatewaytest.Eventually(t, "readiness", func() bool { return strings.Contains(p.readiness(t), "200") })
			uploads := p.uploadInPart(t)
			first := p.read(t, 5) // more than four fifths are not held yet
			gatewaytest.Eventually(t, "the answers", func() bool { return p.metric(t, "held_bytes") >= 5*large })
			second := p.read(t, 8) // these would be more than all
			if call(t, p.Gateway, 0) {
				t.Error("a small call was refused")
			}
			if held, limit := p.metric(t, "held_bytes"), p.metric(t, "limit_bytes"); held > limit {
				t.Errorf("%v bytes are held, and only %v may be", held, limit)
			}
			p.wantSlowestEnded(t, uploads, first, second)
			if got := p.readiness(t); !strings.Contains(got, "200") {
				t.Errorf("readiness afterwards: %s", got)
			}
		})
	}
}

// TestStreamsGoOn has clients read streams while others read nothing and hold more than
// half of the room, so that messages wait for it.
func TestStreamsGoOn(t *testing.T) {
	p := start(t)
	p.read(t, 7)
	gatewaytest.Eventually(t, "the answers", func() bool { return p.metric(t, "held_bytes") >= 7*large })
	for name, address := range map[string]string{"native gRPC": p.GRPC, "gRPC on the HTTP port": p.HTTP} {
		t.Run(name, func(t *testing.T) {
			up, err := gatewaytest.Dial(t, address, nil).NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, watchStock)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(up.SendMsg(new(inventoryv1.WatchStockRequest)), up.CloseSend()); err != nil {
				t.Fatal(err)
			}
			for n := range messages {
				if err := up.RecvMsg(new(inventoryv1.WatchStockResponse)); err != nil {
					t.Fatalf("after %d of %d messages: %v", n, messages, err)
				}
			}
		})
	}
	if ended := p.metric(t, "ended_readers_total"); ended != 0 {
		t.Errorf("%v were ended, though there is room", ended)
	}
}

// callREST makes a call, and checks how it is refused.
func callREST(t *testing.T, g *gatewaytest.Gateway, size int) (refused bool) {
	t.Helper()
	r := g.Request(t, "GET", "/v1/products/small", "")
	if size > 0 {
		r = g.Request(t, "POST", "/v1/products", `{"description":"`+strings.Repeat("x", size)+`"}`)
	}
	got := gatewaytest.Do(t, gatewaytest.Client(t), r)
	if got.StatusCode == http.StatusOK {
		return false
	}
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("got %s, Retry-After %q: %s", got.Status, got.Header.Get("Retry-After"), got.Text)
	}
	return true
}

func callGRPC(t *testing.T, address string, size int) (refused bool) {
	t.Helper()
	cc := gatewaytest.Dial(t, address, nil)
	var err error
	if size > 0 {
		err = cc.Invoke(t.Context(), createProduct, &catalogv1.CreateProductRequest{Product: &catalogv1.Product{Description: strings.Repeat("x", size)}}, new(catalogv1.Product))
	} else {
		err = cc.Invoke(t.Context(), getProduct, &catalogv1.GetProductRequest{Name: "products/small"}, new(catalogv1.Product))
	}
	if err == nil {
		return false
	}
	st := status.Convert(err)
	for _, d := range st.Details() {
		if again, ok := d.(*errdetails.RetryInfo); ok && st.Code() == codes.Unavailable && again.GetRetryDelay().AsDuration() > 0 {
			return true
		}
	}
	t.Errorf("got %v with %v, want UNAVAILABLE with RetryInfo", err, st.Details())
	return true
}

// play is a gateway before a backend whose large answers come together.
type play struct {
	*gatewaytest.Gateway

	created atomic.Int64  // large requests that came
	release chan struct{} // they are answered when it is closed
}

func (p *play) backend(t *testing.T) string {
	t.Helper()
	return gatewaytest.Backend(t, gatewaytest.Script{
		getProduct: gatewaytest.Unary(func(_ context.Context, in *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			if in.GetName() != "products/large" {
				return new(catalogv1.Product), nil
			}
			return &catalogv1.Product{Description: strings.Repeat("x", large)}, nil
		}),
		watchStock: gatewaytest.ServerStreaming(func(_ context.Context, _ *inventoryv1.WatchStockRequest, send func(*inventoryv1.WatchStockResponse) error) error {
			for range messages {
				if err := send(new(inventoryv1.WatchStockResponse)); err != nil {
					return err
				}
			}
			return nil
		}),
		createProduct: gatewaytest.Unary(func(ctx context.Context, _ *catalogv1.CreateProductRequest) (*catalogv1.Product, error) {
			p.created.Add(1)
			select {
			case <-p.release:
				return new(catalogv1.Product), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}),
	})
}

// read has n connections ask for a large answer each and read none, and returns when all
// have begun to come. Each of the channels is closed when its connection has ended.
func (p *play) read(t *testing.T, n int) (ended []chan struct{}) {
	t.Helper()
	streams := make([]grpc.ClientStream, n)
	for i := range streams {
		end := make(chan struct{})
		ended = append(ended, end)
		cc := gatewaytest.Dial(t, p.GRPC, nil, grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10), grpc.WithStatsHandler(connectionEnd{end: end}))
		up, err := cc.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, getProduct)
		if err != nil {
			t.Fatal(err)
		}
		if err := up.SendMsg(&catalogv1.GetProductRequest{Name: "products/large"}); err != nil {
			t.Fatal(err)
		}
		if err := up.CloseSend(); err != nil {
			t.Fatal(err)
		}
		streams[i] = up
	}
	for _, up := range streams {
		if _, err := up.Header(); err != nil {
			t.Fatal(err)
		}
	}
	return ended
}

// connectionEnd closes a channel when the connection of a client ends.
type connectionEnd struct {
	stats.Handler

	end chan struct{}
}

func (connectionEnd) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (connectionEnd) HandleRPC(context.Context, stats.RPCStats)                         {}
func (connectionEnd) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (c connectionEnd) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnEnd); ok {
		close(c.end)
	}
}

// uploadInPart has clients send most of a large request at three doors, and returns when
// the gateway holds what came. Each of the channels is closed when its call has ended.
func (p *play) uploadInPart(t *testing.T) (ended []chan struct{}) {
	t.Helper()
	const whole, part = 3_500_000, 3_000_000
	frame := binary.BigEndian.AppendUint32([]byte{0}, whole)
	for _, u := range []struct {
		target, contentType string
		first               []byte
	}{
		{p.HTTP + "/v1/products", "application/json", []byte(`{"description": "`)},
		{p.HTTP + createProduct, "application/grpc", frame},
		{p.GRPC + createProduct, "application/grpc", frame},
	} {
		before := p.metric(t, "held_bytes")
		body, feed := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+u.target, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", u.contentType)
		r.Header.Set("Te", "trailers")
		if u.contentType == "application/json" {
			r.ContentLength = whole
		}
		client := gatewaytest.Client(t, gatewaytest.H2C)
		end := make(chan struct{})
		ended = append(ended, end)
		go func() {
			defer close(end)
			if resp, err := client.Do(r); err == nil {
				_ = resp.Body.Close()
			}
		}()
		t.Cleanup(func() { <-end })
		t.Cleanup(func() { _ = feed.CloseWithError(io.ErrUnexpectedEOF) })
		if _, err := feed.Write(append(u.first, strings.Repeat("x", part)...)); err != nil {
			t.Fatal(err)
		}
		gatewaytest.Eventually(t, "what came of an upload", func() bool { return p.metric(t, "held_bytes") >= before+2*mib })
	}
	return ended
}

// wantSlowestEnded checks that those were ended who kept the gateway waiting longest,
// no more than were needed, and that they were counted. Clients of an earlier group have
// kept it waiting longer than those of a later one.
func (p *play) wantSlowestEnded(t *testing.T, groups ...[]chan struct{}) {
	t.Helper()
	counted := int(p.metric(t, "ended_readers_total"))
	var ended, left []int
	count := func() (sum int) {
		ended, left = nil, nil
		for _, group := range groups {
			n := 0
			for _, c := range group {
				select {
				case <-c:
					n++
				default:
				}
			}
			ended, left, sum = append(ended, n), append(left, len(group)-n), sum+n
		}
		return sum
	}
	gatewaytest.Eventually(t, "the end of those who were counted", func() bool { return count() >= counted })
	if counted == 0 || count() != counted || left[len(left)-1] == 0 {
		t.Errorf("%d were counted, of the groups %v were ended and %v not", counted, ended, left)
	}
	for i := range groups[1:] {
		if left[i] > 0 && ended[i+1] > 0 {
			t.Errorf("%v were ended and %v not, want the earlier ones first", ended, left)
		}
	}
}

// metric is one of the gateway's about memory.
func (p *play) metric(t *testing.T, name string) float64 {
	t.Helper()
	var n float64
	_, after, ok := strings.Cut(p.admin(t, "/metrics").Text, "\ngatehouse_memory_"+name+" ")
	if _, err := fmt.Sscan(after, &n); !ok || err != nil {
		t.Fatalf("no metric %s: %v", name, err)
	}
	return n
}

func (p *play) readiness(t *testing.T) string {
	t.Helper()
	got := p.admin(t, "/readyz")
	return got.Status + " " + got.Text
}

func (p *play) admin(t *testing.T, path string) gatewaytest.Answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return gatewaytest.Do(t, gatewaytest.Client(t), r)
}
