package live_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// playing is a backend that does what the last segment of a name says, and never
// answers GetProduct.
type playing struct{ has chan struct{} } // told when a call hangs

func (b *playing) hang(ctx context.Context) error {
	select {
	case b.has <- struct{}{}:
	case <-ctx.Done():
	}
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

func (b *playing) act(ctx context.Context, name string) error {
	what := name[strings.LastIndexByte(name, '/')+1:]
	if n, ok := strings.CutPrefix(what, "code-"); ok {
		code, _ := strconv.Atoi(n)
		return status.Error(codes.Code(code), "as asked")
	}
	if what == "hang" {
		return b.hang(ctx)
	}
	return nil
}

// start serves it. Headers above 8 KiB are not for it (SETTINGS_MAX_HEADER_LIST_SIZE).
func (b *playing) start(t testing.TB) string {
	return gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.catalog.v1.CatalogService/GetShelf": gatewaytest.Unary(func(ctx context.Context, in *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			return &catalogv1.Shelf{Name: in.GetName()}, b.act(ctx, in.GetName())
		}),
		"/shop.catalog.v1.CatalogService/GetProduct": gatewaytest.Unary(func(ctx context.Context, _ *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
			return nil, b.hang(ctx)
		}),
		"/shop.inventory.v1.InventoryService/WatchStock": gatewaytest.ServerStreaming(func(ctx context.Context, in *inventoryv1.WatchStockRequest, _ func(*inventoryv1.WatchStockResponse) error) error {
			return b.act(ctx, in.GetName())
		}),
		"/shop.inventory.v1.InventoryService/ImportCounts": func(_ any, ss grpc.ServerStream) error {
			for {
				switch err := ss.RecvMsg(new(inventoryv1.ImportCountsRequest)); err {
				case nil:
				case io.EOF:
					return ss.SendMsg(new(inventoryv1.ImportCountsResponse))
				default:
					return err // INTERNAL for what it cannot read
				}
			}
		},
	}, grpc.MaxHeaderListSize(8192))
}

// play is one call of a client's.
type play struct {
	name    string
	rpc     string // GetShelf if ""
	arg     string // the last segment of the name
	headers []string
	body    string // of a gRPC call, in the place of the request; of a REST call with rest
	rest    string // method and path, in the place of those of the RPC
	leave   bool   // once the backend has the call
	only    string // the kind of door that this can happen at: rest, grpc or inprocess
}

func plays() []play {
	list := []play{
		{name: "value that is not ASCII", headers: []string{"x-name: Zoë"}},
		{name: "value with a tab", headers: []string{"x-name: a\tb"}},
		{name: "key with a quote", headers: []string{"x'odd: 1"}},
		{name: "key with a plus", headers: []string{"foo+bar: 1"}},
		{name: "key in upper case", headers: []string{"X-Name: 1"}, only: "inprocess"},
		{name: "bytes that are not base64", headers: []string{"x-a-bin: !!"}},
		{name: "trace state that is not ASCII", headers: []string{"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=ë"}},
		{name: "forwarded host that is not ASCII", headers: []string{"x-forwarded-host: ë", "x-forwarded-for: ë"}},
		{name: "large header", headers: []string{"x-large: " + strings.Repeat("x", 9000)}},
		{name: "many headers", headers: many(90)},
		{name: "deadline of a nanosecond", headers: []string{"grpc-timeout: 1n"}},
		{name: "deadline of a microsecond", headers: []string{"grpc-timeout: 1u"}},
		{name: "deadline of nothing", headers: []string{"grpc-timeout: 0n"}},
		{name: "deadline that is none", headers: []string{"grpc-timeout: soon"}},
		{name: "deadline before the first answer", rpc: "GetProduct", headers: []string{"grpc-timeout: 2m"}},
		{name: "deadline of a stream", rpc: "WatchStock", arg: "hang", headers: []string{"grpc-timeout: 2m"}},
		{name: "client goes away", arg: "hang", leave: true},
		{name: "client leaves a stream", rpc: "WatchStock", arg: "hang", leave: true},
		{name: "no message", body: " ", only: "grpc"},
		{name: "message cut off", body: "\x00\x00\x00\x00\x09\x0a", only: "grpc"},
		{name: "flag that is none", body: "\x07\x00\x00\x00\x00", only: "grpc"},
		{name: "encoding that nobody knows", body: "\x01\x00\x00\x00\x00", headers: []string{"grpc-encoding: lzma"}, only: "grpc"},
		{name: "compression that is none", body: "\x01\x00\x00\x00\x01x", headers: []string{"grpc-encoding: gzip"}, only: "grpc"},
		{name: "message announced too large", body: "\x00\xff\xff\xff\xff", only: "grpc"},
		{name: "bytes that are no message", body: "\x00\x00\x00\x00\x02\x0a\xff", only: "grpc"},
		{name: "string that is not UTF-8", body: "\x00\x00\x00\x00\x03\x0a\x01\xff", only: "grpc"},
		{name: "bytes that are no message for a stream", rpc: "WatchStock", body: "\x00\x00\x00\x00\x02\x0a\xff", only: "grpc"},
		{name: "bytes that are no message in a stream", rpc: "ImportCounts", body: "\x00\x00\x00\x00\x02\x0a\xff", only: "grpc"},
		{name: "bytes that are no message behind one that is", rpc: "ImportCounts", body: "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x0a\x01\xff", only: "grpc"},
		{name: "JSON that is none", rest: "POST /v1/products", body: "{", only: "rest"},
		{name: "unknown field", rest: "POST /v1/products", body: `{"nothing": 1}`, only: "rest"},
		{name: "unknown parameter", rest: "GET /v1/shelves/a?nothing=1", only: "rest"},
		{name: "path that is not UTF-8", rest: "GET /v1/shelves/%ff", only: "rest"},
	}
	for _, code := range []codes.Code{
		codes.Canceled, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.ResourceExhausted,
		codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.Unimplemented, codes.Unauthenticated,
	} {
		list = append(list, play{name: "backend says " + code.String(), arg: fmt.Sprintf("code-%d", code)})
	}
	return list
}

func many(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("x-many-%d: %s", i, strings.Repeat("x", 100))
	}
	return list
}

func (p *play) method() string {
	switch p.rpc {
	case "GetProduct":
		return "/shop.catalog.v1.CatalogService/GetProduct"
	case "WatchStock", "ImportCounts":
		return "/shop.inventory.v1.InventoryService/" + p.rpc
	default:
		return "/shop.catalog.v1.CatalogService/GetShelf"
	}
}

func (p *play) request() (resource string, _ proto.Message) {
	arg := p.arg
	if arg == "" {
		arg = "a"
	}
	switch p.rpc {
	case "GetProduct":
		return "products/" + arg, &catalogv1.GetProductRequest{Name: "products/" + arg}
	case "WatchStock":
		name := "warehouses/w/stock/" + arg
		return name + ":watch", &inventoryv1.WatchStockRequest{Name: name}
	default:
		return "shelves/" + arg, &catalogv1.GetShelfRequest{Name: "shelves/" + arg}
	}
}

// doing makes a call by one door, and returns once it is over.
type doing func(ctx context.Context, t *testing.T, p *play)

// byREST sends a play to the HTTP port.
func byREST(client *http.Client, address string) doing {
	return func(ctx context.Context, t *testing.T, p *play) {
		resource, _ := p.request()
		verb, path, ok := strings.Cut(p.rest, " ")
		if !ok {
			verb, path = http.MethodGet, "/v1/"+resource
		}
		p.do(ctx, t, client, verb, "http://"+address+path, p.body)
	}
}

// byGRPC sends a play byte by byte, as a client library would refuse to.
func byGRPC(client *http.Client, address string) doing {
	return func(ctx context.Context, t *testing.T, p *play) {
		_, request := p.request()
		wire, err := proto.Marshal(request)
		if err != nil {
			t.Error(err)
			return
		}
		body := string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(wire)))) + string(wire)
		if p.body != "" {
			body = strings.TrimSpace(p.body)
		}
		q := *p
		q.headers = append([]string{"content-type: application/grpc", "te: trailers"}, p.headers...)
		q.do(ctx, t, client, http.MethodPost, "http://"+address+p.method(), body)
	}
}

func (p *play) do(ctx context.Context, t *testing.T, client *http.Client, verb, url, body string) {
	r, err := http.NewRequestWithContext(ctx, verb, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	for _, h := range p.headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
	}
	resp, err := client.Do(r)
	if err != nil {
		if ctx.Err() == nil && p.headers == nil {
			t.Errorf("%s: %v", p.name, err)
		}
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
}

// byConn makes a call inside the process.
func byConn(conn grpc.ClientConnInterface) doing {
	return func(ctx context.Context, _ *testing.T, p *play) {
		md := metadata.MD{}
		for _, h := range p.headers {
			name, value, _ := strings.Cut(h, ": ")
			if name == "grpc-timeout" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, patienceOf(value))
				defer cancel()
				continue
			}
			md[name] = append(md[name], value)
		}
		ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(ctx, md))
		defer cancel()
		_, request := p.request()
		if p.rpc != "WatchStock" {
			_ = conn.Invoke(ctx, p.method(), request, new(catalogv1.Shelf))
			return
		}
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, p.method())
		if err != nil {
			return
		}
		_ = s.SendMsg(request)
		_ = s.CloseSend()
		for s.RecvMsg(new(inventoryv1.WatchStockResponse)) == nil {
		}
	}
}

// patienceOf is a timeout in gRPC's form; one that is none is no time at all.
func patienceOf(value string) time.Duration {
	units := map[byte]time.Duration{'n': time.Nanosecond, 'u': time.Microsecond, 'm': time.Millisecond}
	n, _ := strconv.Atoi(value[:len(value)-1])
	return time.Duration(n) * units[value[len(value)-1]]
}

// suspicious is a configuration in which one failure of the upstream shows.
func suspicious(kind policyv1.Breaker_Kind) gatewaytest.Change {
	return func(c *configv1.Config) {
		p := c.GetExpose()[0].GetPolicy()
		p.Timeout = durationpb.New(time.Minute)
		p.Breaker = &policyv1.Breaker{Kind: kind.Enum(), MinimumCalls: proto.Uint32(1)}
		p.Retry = &policyv1.Retry{Codes: []string{"UNAVAILABLE", "UNKNOWN", "INTERNAL"}}
		c.Expose[0].Select = "shop.catalog.*"
		c.Expose = append(c.Expose, proto.Clone(c.GetExpose()[0]).(*configv1.Exposure))
		c.Expose[1].Select = "shop.inventory.*"
		c.Shedding = &configv1.Shedding{Enabled: kind == policyv1.Breaker_KIND_ADAPTIVE}
	}
}

// blamed tells what a gateway holds against its upstream.
func blamed(t *testing.T, g *gatewaytest.Gateway) (list []string) {
	t.Helper()
	for _, b := range g.Gateway.Breakers() {
		if b.Failures > 0 || b.Refusal > 0 || b.State != "closed" && b.State != "passing" {
			list = append(list, fmt.Sprintf("breaker of %s: %s, refuses %v, %d failures", b.Method, b.State, b.Refusal, b.Failures))
		}
	}
	for line := range strings.Lines(metricsOf(t, g)) {
		switch m := blameLines.FindStringSubmatch(line); {
		case m == nil || m[3] == "0":
		case m[1] == "gatehouse_retry_budget_tokens" && m[3] == "10":
		case m[1] == "gatehouse_shed_limit" && m[3] >= "20":
		case m[1] == "gatehouse_calls_total" && (!strings.Contains(m[2], `fault="upstream"`) || !failure.MatchString(m[2])):
		case m[1] == "gatehouse_retry_withheld_total" && !strings.Contains(m[2], `reason="budget"`):
		case m[1] == "gatehouse_retry_attempts_total" && !strings.Contains(m[2], `kind="retry"`):
		default:
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

var blameLines = regexp.MustCompile(`^(gatehouse_(?:retry_budget_tokens|shed_limit|calls_total|retry_attempts_total|retry_withheld_total|breaker_refusals_total))(?:\{(.*)\})? (\S+)`)

// failure is a status that alerts count.
var failure = regexp.MustCompile(`status="(UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|UNKNOWN|DATA_LOSS)"`)

// TestNoClientIsTheUpstreamsFault plays each cause a hundred times at each door.
// Nothing of it may be held against the upstream.
func TestNoClientIsTheUpstreamsFault(t *testing.T) {
	t.Parallel()
	for _, kind := range []policyv1.Breaker_Kind{policyv1.Breaker_KIND_ADAPTIVE, policyv1.Breaker_KIND_THREE_STATE} {
		for _, door := range []struct {
			name, kind string
			open       func(*testing.T, *gatewaytest.Gateway) doing
		}{
			{"REST over HTTP/1.1", "rest", func(t *testing.T, g *gatewaytest.Gateway) doing { return byREST(gatewaytest.Client(t), g.HTTP) }},
			{"REST over h2c", "rest", func(t *testing.T, g *gatewaytest.Gateway) doing {
				return byREST(gatewaytest.Client(t, gatewaytest.H2C), g.HTTP)
			}},
			{"gRPC on the HTTP port", "grpc", func(t *testing.T, g *gatewaytest.Gateway) doing {
				return byGRPC(gatewaytest.Client(t, gatewaytest.H2C), g.HTTP)
			}},
			{"gRPC", "grpc", func(t *testing.T, g *gatewaytest.Gateway) doing {
				return byGRPC(gatewaytest.Client(t, gatewaytest.H2C), g.GRPC)
			}},
			{"inside the process", "inprocess", func(_ *testing.T, g *gatewaytest.Gateway) doing { return byConn(g.Gateway.Conn()) }},
		} {
			t.Run(kind.String()+"/"+door.name, func(t *testing.T) {
				t.Parallel()
				b := &playing{has: make(chan struct{})}
				g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), suspicious(kind)))
				do := door.open(t, g)
				do(t.Context(), t, &play{}) // a good answer, so that there is something usual
				for _, p := range plays() {
					if p.only == "" || p.only == door.kind {
						playOut(t, g, b, do, &p)
					}
				}
			})
		}
	}
}

func playOut(t *testing.T, g *gatewaytest.Gateway, b *playing, do doing, p *play) {
	t.Helper()
	for range 100 {
		ctx, leave := context.WithCancel(t.Context())
		over := make(chan struct{})
		if p.leave {
			go func() {
				defer close(over)
				do(ctx, t, p)
			}()
			gatewaytest.Receive(t, b.has, "the call at the backend")
			leave()
			gatewaytest.Receive(t, over, "the end of a call whose client left")
			continue
		}
		do(ctx, t, p)
		leave()
	}
	if list := blamed(t, g); len(list) > 0 {
		t.Fatalf("%s: the upstream is blamed:\n%s", p.name, strings.Join(list, "\n"))
	}
}

// TestUpstreamsFaultsOpenBreakers: what a dead, a silent or a broken backend does
// is still its fault, at every kind of breaker.
func TestUpstreamsFaultsOpenBreakers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) string{
		"dead":     gatewaytest.Unreachable,
		"says 500": (&playing{}).start,
		"silent":   func(t testing.TB) string { return gatewaytest.FrameBackend(t, func(*gatewaytest.Frames) {}) },
		"no gRPC": func(t testing.TB) string {
			return gatewaytest.FrameBackend(t, func(f *gatewaytest.Frames) { f.Headers(true, ":status", "500", "content-type", "text/html") })
		},
		"cut off": func(t testing.TB) string {
			return gatewaytest.FrameBackend(t, func(f *gatewaytest.Frames) { f.Begin(); _ = f.Conn.Close() })
		},
		"never ready": func(t testing.TB) string {
			return gatewaytest.RawBackend(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		},
	} {
		for _, kind := range []policyv1.Breaker_Kind{policyv1.Breaker_KIND_ADAPTIVE, policyv1.Breaker_KIND_THREE_STATE} {
			t.Run(name+"/"+kind.String(), func(t *testing.T) {
				t.Parallel()
				g := gatewaytest.Start(t, gatewaytest.Config(start(t), suspicious(kind), func(c *configv1.Config) {
					c.Expose[0].Policy.Timeout = durationpb.New(20 * time.Millisecond)
					c.Expose[0].Policy.Retry = &policyv1.Retry{Disabled: new(true)}
				}))
				do := byConn(g.Gateway.Conn())
				gatewaytest.Eventually(t, "an open breaker", func() bool {
					do(t.Context(), t, &play{arg: "code-13"})
					return slices.ContainsFunc(g.Gateway.Breakers(), func(b breaker.State) bool { return b.Refusal > 0 })
				})
			})
		}
	}
}

// TestHeadersLargerThanTheBackendTakes: who sends them is told so at every door.
func TestHeadersLargerThanTheBackendTakes(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config((&playing{}).start(t)))
	large := strings.Repeat("x", 9000)
	r := g.Request(t, http.MethodGet, "/v1/shelves/a", "")
	r.Header.Set("X-Large", large)
	if a := gatewaytest.Do(t, gatewaytest.Client(t), r); a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("REST: HTTP %d, want 431", a.StatusCode)
	}
	for _, address := range []string{g.HTTP, g.GRPC} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-large", large)
		_, err := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, address, nil)).GetShelf(ctx, &catalogv1.GetShelfRequest{Name: "shelves/a"})
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("gRPC at %s: %v, want RESOURCE_EXHAUSTED", address, err)
		}
	}
}

// TestRequestsTooLargeForAWebServer: a web server before the backend refuses what is
// too large for it with a page. That is the client's fault where the client made it
// large, and else the server's.
func TestRequestsTooLargeForAWebServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		page, verb, path, header, body string
	}{
		{"431", http.MethodGet, "/v1/shelves/a", strings.Repeat("x", 9000), ""},
		{"413", http.MethodPost, "/v1/products", "", `{"displayName":"` + strings.Repeat("x", 5000) + `"}`},
	} {
		t.Run(tc.page, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.FrameBackend(t, func(f *gatewaytest.Frames) {
				f.Headers(true, ":status", tc.page, "content-type", "text/html")
			}), suspicious(policyv1.Breaker_KIND_ADAPTIVE)))
			call := func(verb, path, header, body string) int {
				r := g.Request(t, verb, path, body)
				r.Header.Set("X-Large", header)
				return gatewaytest.Do(t, gatewaytest.Client(t), r).StatusCode
			}
			for range 10 { // as many as its window takes
				if got := strconv.Itoa(call(tc.verb, tc.path, tc.header, tc.body)); got != tc.page {
					t.Fatalf("HTTP %s, want %s", got, tc.page)
				}
			}
			if list := blamed(t, g); len(list) > 0 {
				t.Errorf("the upstream is blamed:\n%s", strings.Join(list, "\n"))
			}
			call(http.MethodGet, "/v1/shelves/a", "", "")
			if blamed(t, g) == nil {
				t.Error("nobody is blamed for a small request")
			}
		})
	}
}
