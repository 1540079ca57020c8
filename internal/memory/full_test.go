package memory_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const (
	getProduct    = "/shop.catalog.v1.CatalogService/GetProduct"
	createProduct = "/shop.catalog.v1.CatalogService/CreateProduct"
	large         = 3_900_000 // bytes of the answer about "products/large"
)

// TestFullProcess has clients hold more than the process may: uploads that have come in
// part, and answers that nobody reads. At each door new calls are refused, with the time
// after which to try again, until those who keep the gateway waiting longest have been
// ended; then they pass.
func TestFullProcess(t *testing.T) {
	limit := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(limit) })
	for name, call := range map[string]func(*testing.T, *gatewaytest.Gateway) (refused bool){
		"REST":                  callREST,
		"native gRPC":           func(t *testing.T, g *gatewaytest.Gateway) bool { return callGRPC(t, g.GRPC) },
		"gRPC on the HTTP port": func(t *testing.T, g *gatewaytest.Gateway) bool { return callGRPC(t, g.HTTP) },
	} {
		t.Run(name, func(t *testing.T) {
			p := new(play)
			p.Gateway = gatewaytest.Start(t, gatewaytest.Config(p.backend(t), func(c *configv1.Config) {
				c.Limits = &configv1.Limits{Memory: proto.Int64(128 * mib)} // two fifths are for clients
			}))
			if call(t, p.Gateway) {
				t.Fatal("nothing is held, and calls are refused")
			}
			gatewaytest.Eventually(t, "readiness", func() bool { return strings.Contains(p.readiness(t), "200") })
			uploads := p.uploadInPart(t)
			first := p.read(t, 5)  // more than four fifths are not held yet
			second := p.read(t, 8) // now there are more than all
			if got := p.readiness(t); !strings.Contains(got, "503") || !strings.Contains(got, `"short_of_memory": true`) {
				t.Errorf("readiness while the process is full: %s", got)
			}
			if p.metric(t, "held_bytes") <= p.metric(t, "limit_bytes") {
				t.Error("the process is not full")
			}
			refused := 0.0
			gatewaytest.Eventually(t, "a call that is served", func() bool {
				if call(t, p.Gateway) {
					refused++
					return false
				}
				return true
			})
			if counted := p.metric(t, "refused_total"); refused == 0 || counted < refused {
				t.Errorf("%v calls were refused, and %v counted", refused, counted)
			}
			p.wantSlowestEnded(t, uploads, first, second)
			if got := p.readiness(t); !strings.Contains(got, "200") {
				t.Errorf("readiness afterwards: %s", got)
			}
		})
	}
}

// callREST makes a call, and checks how it is refused.
func callREST(t *testing.T, g *gatewaytest.Gateway) (refused bool) {
	t.Helper()
	got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", "/v1/products/small", ""))
	if got.StatusCode == http.StatusOK {
		return false
	}
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Fatalf("got %s, Retry-After %q: %s", got.Status, got.Header.Get("Retry-After"), got.Text)
	}
	return true
}

func callGRPC(t *testing.T, address string) (refused bool) {
	t.Helper()
	err := gatewaytest.Dial(t, address, nil).Invoke(t.Context(), getProduct, &catalogv1.GetProductRequest{Name: "products/small"}, new(catalogv1.Product))
	if err == nil {
		return false
	}
	st := status.Convert(err)
	for _, d := range st.Details() {
		if again, ok := d.(*errdetails.RetryInfo); ok && st.Code() == codes.Unavailable && again.GetRetryDelay().AsDuration() > 0 {
			return true
		}
	}
	t.Fatalf("got %v with %v, want UNAVAILABLE with RetryInfo", err, st.Details())
	return true
}

// play is a gateway before a backend whose large answers come together.
type play struct {
	*gatewaytest.Gateway

	mu      sync.Mutex
	wanted  int           // calls that ask for large answers
	release chan struct{} // closed when all of them are there
}

func (p *play) backend(t *testing.T) string {
	t.Helper()
	return gatewaytest.Backend(t, gatewaytest.Script{
		getProduct: gatewaytest.Unary(func(ctx context.Context, in *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			if in.GetName() != "products/large" {
				return new(catalogv1.Product), nil
			}
			p.mu.Lock()
			release := p.release
			if p.wanted--; p.wanted == 0 {
				close(release)
			}
			p.mu.Unlock()
			select {
			case <-release:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return &catalogv1.Product{Description: strings.Repeat("x", large)}, nil
		}),
	})
}

// read has n connections ask for a large answer each and read none, and returns when the
// gateway holds them all. Each of the channels is closed when its connection has ended.
func (p *play) read(t *testing.T, n int) (ended []chan struct{}) {
	t.Helper()
	before := p.metric(t, "held_bytes")
	p.mu.Lock()
	p.wanted, p.release = n, make(chan struct{})
	p.mu.Unlock()
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
	gatewaytest.Eventually(t, "the answers", func() bool { return p.metric(t, "held_bytes") >= before+float64(n*large) })
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
