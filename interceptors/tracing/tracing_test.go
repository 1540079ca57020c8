package tracing_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/accesslog"
	"github.com/gatehouse-dev/gatehouse/interceptors/retry"
	"github.com/gatehouse-dev/gatehouse/interceptors/tracing"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/edge/doors"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	method       = "/shop.v1.Shop/Get"
	clientTrace  = "0af7651916cd43dd8448eb211c80319c"
	clientSpan   = "b7ad6b7169203331"
	clientParent = "00-" + clientTrace + "-" + clientSpan + "-"
)

// collector keeps the spans that it is sent.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	address string
	mu      sync.Mutex
	spans   map[string]*tracev1.Span // by kind
	clients []*tracev1.Span          // those of attempts
	service map[string]string        // the resource's attributes
}

func (c *collector) Export(_ context.Context, in *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range in.GetResourceSpans() {
		c.service = attributes(r.GetResource().GetAttributes())
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				c.spans[strings.TrimPrefix(span.GetKind().String(), "SPAN_KIND_")] = span
				if span.GetKind() == tracev1.Span_SPAN_KIND_CLIENT {
					c.clients = append(c.clients, span)
				}
			}
		}
	}
	return new(collectorv1.ExportTraceServiceResponse), nil
}

func attributes(list []*commonv1.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		m[kv.GetKey()] = kv.GetValue().GetStringValue()
		if kv.GetValue().GetIntValue() != 0 {
			m[kv.GetKey()] = "int"
		}
	}
	return m
}

func serve(t *testing.T, register func(*grpc.Server), opts ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(opts...)
	register(srv)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return l.Addr().String()
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{spans: map[string]*tracev1.Span{}}
	c.address = serve(t, func(s *grpc.Server) { collectorv1.RegisterTraceServiceServer(s, c) })
	return c
}

func newTracing(t *testing.T, o tracing.Options) *tracing.Tracing {
	t.Helper()
	tr, err := tracing.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Shutdown(context.Background()) })
	return tr
}

// gateway is an edge, the chain of one method, and a backend that fails as told
// and gives the metadata that it was sent.
type gateway struct {
	handler http.Handler
	seen    chan metadata.MD
	log     bytes.Buffer
}

type emptyView struct{}

func (emptyView) AppendRequest(dst []byte, _ *call.Input) ([]byte, error) { return dst, nil }
func (emptyView) AppendResponse(dst, _ []byte, _ call.Lifetime) ([]byte, string, bool, error) {
	return append(dst, "{}"...), "", false, nil
}

func (emptyView) RawBody() bool   { return false }
func (emptyView) RawAnswer() bool { return false }

func newGateway(t *testing.T, tr *tracing.Tracing, fails error) *gateway {
	t.Helper()
	g := &gateway{seen: make(chan metadata.MD, 1)}
	backend := serve(t, func(*grpc.Server) {}, grpc.ForceServerCodecV2(call.Codec{}), grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		in, _ := metadata.FromIncomingContext(ss.Context())
		g.seen <- in
		if fails != nil {
			return fails
		}
		return ss.SendMsg(new(call.Message))
	}))
	cc, err := grpc.NewClient("passthrough:///"+backend, append(tr.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(call.Codec{})), upstream.Observed())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	line := policytest.Build(t, accesslog.Policy{Log: slog.New(slog.NewTextHandler(&g.log, nil))}, interceptors.Method{})
	m := &call.Method{Name: method, Upstream: "shop", Conn: interceptors.Chain(upstream.NewConn("shop", cc), policytest.Build(t, tr, interceptors.Method{Name: method}), line)}
	refused := &call.Method{Conn: interceptors.Chain(call.Refuser{}, policytest.Build(t, tr, interceptors.Method{}), line)}
	template, err := httprule.Parse("/v1/things")
	if err != nil {
		t.Fatal(err)
	}
	var routes httprule.Builder[*edge.Route]
	if err := routes.Add("GET", template, "here", &edge.Route{Method: m, Binding: &contract.Binding{Verb: "GET", Path: "/v1/things", Name: "GET /v1/things"}, View: emptyView{}}); err != nil {
		t.Fatal(err)
	}
	var current edge.Current
	current.Store(&edge.Table{Table: call.NewTable([]*call.Method{m}, refused), Routes: routes.Build(), Errors: &edge.Errors{}})
	g.handler = doors.Handler(&edge.Settings{Table: &current, MaxBody: 100, MaxHeaders: 100, RequestID: func() string { return "r-1" }})(http.NotFoundHandler())
	return g
}

func (g *gateway) get(t *testing.T, target, parent string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if parent != "" {
		r.Header.Set("Traceparent", parent)
		r.Header.Set("Tracestate", "a=1")
	}
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return w.Code
}

func parts(t *testing.T, md metadata.MD) (id, span, flags string) {
	t.Helper()
	m := regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$`).FindStringSubmatch(strings.Join(md["traceparent"], "|"))
	if m == nil {
		t.Fatalf("traceparent %q", md["traceparent"])
	}
	return m[1], m[2], m[3]
}

// TestSpansOfAttempts: each tells its number, and why it was made.
func TestSpansOfAttempts(t *testing.T) {
	for _, kind := range []string{"retry", "hedge"} {
		t.Run(kind, func(t *testing.T) {
			c := newCollector(t)
			tr := newTracing(t, tracing.Options{Endpoint: c.address, SampleRatio: 1})
			address := serve(t, func(*grpc.Server) {}, grpc.ForceServerCodecV2(call.Codec{}), grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
				md, _ := metadata.FromIncomingContext(ss.Context())
				switch {
				case len(md["grpc-previous-rpc-attempts"]) > 0:
					return ss.SendMsg(new(call.Message))
				case kind == "hedge":
					<-ss.Context().Done() // until the second one has won
				}
				return status.Error(codes.Unavailable, "down")
			}))
			cc, err := grpc.NewClient("passthrough:///"+address, append(tr.DialOptions(),
				grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(call.Codec{})))...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cc.Close() })
			retries, err := retry.New(prometheus.NewRegistry(), nil)
			if err != nil {
				t.Fatal(err)
			}
			p := new(policyv1.Retry)
			if kind == "hedge" {
				p.Hedge = &policyv1.Hedge{Delay: durationpb.New(time.Millisecond)}
			}
			repeats := policytest.Build(t, retries, interceptors.Method{
				Name: method, Safe: true, Policy: &policyv1.Policy{Retry: p}, Target: interceptors.Target{Upstream: "shop"},
			})
			table := call.NewTable([]*call.Method{{Name: method, Conn: interceptors.Chain(upstream.NewConn("shop", cc), policytest.Build(t, tr, interceptors.Method{Name: method}), repeats)}}, nil)
			if err := table.Invoke(t.Context(), method, new(call.Message), new(call.Message)); err != nil {
				t.Fatal(err)
			}
			if err := tr.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			got := map[string]int64{}
			for _, span := range c.clients {
				for _, kv := range span.GetAttributes() {
					if kv.GetKey() == "gatehouse.attempt.number" {
						got[attributes(span.GetAttributes())["gatehouse.attempt.kind"]] = kv.GetValue().GetIntValue()
					}
				}
			}
			if len(got) != 2 || got["first"] != 1 || got[kind] != 2 {
				t.Errorf("attempts %v, want the first, 1, and a %s, 2", got, kind)
			}
		})
	}
}

// TestSpans: the client's span, the gateway's, the attempt's and the backend's
// parent are one line.
func TestSpans(t *testing.T) {
	for _, tc := range []struct {
		name   string
		ratio  float64
		parent string
		fails  error
		want   bool // recorded
		status tracev1.Status_StatusCode
		code   string
	}{
		{name: "begun here", ratio: 1, want: true, code: "OK"},
		{name: "begun here, not sampled", ratio: 0},
		{name: "begun elsewhere, sampled", ratio: 0, parent: clientParent + "01", want: true, code: "OK"},
		{name: "begun elsewhere, not sampled", ratio: 1, parent: clientParent + "00"},
		{name: "client's mistake", ratio: 1, fails: status.Error(codes.NotFound, "no"), want: true, code: "NOT_FOUND"},
		{name: "backend's fault", ratio: 1, fails: status.Error(codes.Internal, "broken"), want: true, status: tracev1.Status_STATUS_CODE_ERROR, code: "INTERNAL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCollector(t)
			tr := newTracing(t, tracing.Options{Endpoint: c.address, SampleRatio: tc.ratio, ServiceName: "gatehouse", ServiceVersion: "1.2.3"})
			g := newGateway(t, tr, tc.fails)
			g.get(t, "http://api.example.com:8080/v1/things", tc.parent)
			md := <-g.seen
			id, parent, flags := parts(t, md)
			if err := tr.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tc.parent != "" && (id != clientTrace || strings.Join(md["tracestate"], "") != "a=1") {
				t.Errorf("trace %s, state %q", id, md["tracestate"])
			}
			if !strings.Contains(g.log.String(), "trace_id="+id) {
				t.Errorf("the log has not %s: %s", id, g.log.String())
			}
			if (flags == "01") != tc.want || parent == clientSpan {
				t.Errorf("the backend's parent is %s with flags %s", parent, flags)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if !tc.want {
				if len(c.spans) != 0 {
					t.Errorf("%d spans were sent, want none", len(c.spans))
				}
				return
			}
			server, attempt := c.spans["SERVER"], c.spans["CLIENT"]
			if server == nil || attempt == nil {
				t.Fatalf("spans %v", c.spans)
			}
			wantParent := ""
			if tc.parent != "" {
				wantParent = clientSpan
			}
			if hex.EncodeToString(server.GetTraceId()) != id || hex.EncodeToString(server.GetParentSpanId()) != wantParent ||
				!bytes.Equal(attempt.GetParentSpanId(), server.GetSpanId()) || hex.EncodeToString(attempt.GetSpanId()) != parent {
				t.Errorf("not one line: %v, %v, backend's parent %s", server, attempt, parent)
			}
			if server.GetStatus().GetCode() != tc.status || server.GetName() != method[1:] {
				t.Errorf("span %q, status %v, want %v", server.GetName(), server.GetStatus(), tc.status)
			}
			got := attributes(server.GetAttributes())
			for key, want := range map[string]string{
				"rpc.system.name": "grpc", "rpc.method": method[1:], "rpc.response.status_code": tc.code, "http.request.method": "GET",
				"http.route": "/v1/things", "http.response.status_code": "int", "server.address": "api.example.com", "server.port": "int",
				"client.address": "192.0.2.1", "gatehouse.protocol": "rest", "gatehouse.upstream": "shop", "gatehouse.request_id": "r-1",
			} {
				if got[key] != want {
					t.Errorf("%s = %q, want %q", key, got[key], want)
				}
			}
			if (got["error.type"] == tc.code) != (tc.status != 0) {
				t.Errorf("error.type %q", got["error.type"])
			}
			if c.service["service.name"] != "gatehouse" || c.service["service.version"] != "1.2.3" {
				t.Errorf("resource %v", c.service)
			}
		})
	}
}

func TestRefusalsHaveSpans(t *testing.T) {
	c := newCollector(t)
	tr := newTracing(t, tracing.Options{Endpoint: c.address, SampleRatio: 1, ServiceName: "gatehouse"})
	if code := newGateway(t, tr, nil).get(t, "/v1/nothing", clientParent+"01"); code != http.StatusNotFound {
		t.Errorf("status %d", code)
	}
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := c.spans["SERVER"]
	if server.GetName() != "_OTHER" || hex.EncodeToString(server.GetTraceId()) != clientTrace || attributes(server.GetAttributes())["rpc.response.status_code"] != "NOT_FOUND" {
		t.Errorf("span %v", server)
	}
}

// TestWithoutCollector: traces go on all the same.
func TestWithoutCollector(t *testing.T) {
	tr := newTracing(t, tracing.Options{SampleRatio: 1})
	if tr.DialOptions() != nil {
		t.Error("dial options, though no spans are made")
	}
	g := newGateway(t, tr, nil)
	g.get(t, "/v1/things", clientParent+"01")
	if id, span, flags := parts(t, <-g.seen); id != clientTrace || span == clientSpan || flags != "01" {
		t.Errorf("trace %s, span %s, flags %s", id, span, flags)
	}
	g.get(t, "/v1/things", "")
	id, _, flags := parts(t, <-g.seen)
	if flags != "00" || !strings.Contains(g.log.String(), "trace_id="+id) {
		t.Errorf("flags %s, log %s", flags, g.log.String())
	}
}

// TestInProcess: a call from inside the process goes on in its caller's trace,
// by its context or else its metadata, or begins one.
func TestInProcess(t *testing.T) {
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	c := newCollector(t)
	for name, tr := range map[string]*tracing.Tracing{
		"with spans": newTracing(t, tracing.Options{Endpoint: c.address, SampleRatio: 1}), "without": newTracing(t, tracing.Options{}),
	} {
		for _, tc := range []struct {
			name string
			ctx  context.Context
			want string
		}{
			{"context", trace.ContextWithSpanContext(t.Context(), remote), remote.TraceID().String()},
			{"metadata", metadata.AppendToOutgoingContext(t.Context(), "traceparent", clientParent+"01"), clientTrace},
			{"neither", t.Context(), ""},
			{"two in the metadata", metadata.AppendToOutgoingContext(t.Context(), "traceparent", clientParent+"01", "traceparent", clientParent+"01"), ""},
			{"outer call", call.With(t.Context(), &call.Call{TraceID: clientTrace}), clientTrace},
		} {
			var at context.Context
			conn := interceptors.Chain(calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
				at = ctx
				return nil
			}}, policytest.Build(t, tr, interceptors.Method{Name: method}))
			table := call.NewTable([]*call.Method{{Name: method, Conn: conn}}, nil)
			if err := table.Invoke(tc.ctx, method, new(call.Message), new(call.Message)); err != nil {
				t.Fatal(err)
			}
			sc := trace.SpanContextFromContext(at)
			id := sc.TraceID().String()
			if !sc.IsValid() || tc.want != "" && id != tc.want || call.From(at).TraceID != id {
				t.Errorf("%s, %s: span %v, call's trace %q, want %q", name, tc.name, sc, call.From(at).TraceID, tc.want)
			}
			if name == "without" { // otelgrpc writes it else
				md, _ := metadata.FromOutgoingContext(at)
				if got, span, _ := parts(t, md); got != id || span == clientSpan {
					t.Errorf("%s, %s: traceparent %q", name, tc.name, md["traceparent"])
				}
			}
		}
	}
}

// TestStream: the span of a stream ends with its answer.
func TestStream(t *testing.T) {
	c := newCollector(t)
	tr := newTracing(t, tracing.Options{Endpoint: c.address, SampleRatio: 1})
	conn := interceptors.Chain(calltest.Conn{}, policytest.Build(t, tr, interceptors.Method{Name: method}))
	running := &call.Call{Protocol: call.GRPC, Method: method, Start: time.Now(), TraceID: clientTrace}
	if _, err := conn.NewStream(call.With(t.Context(), running), new(grpc.StreamDesc), method); err != nil {
		t.Fatal(err)
	}
	running.Finish(call.Refuse(call.Gateway, codes.ResourceExhausted, "enough").By("ratelimit"))
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	span := c.spans["SERVER"]
	got := attributes(span.GetAttributes())
	if hex.EncodeToString(span.GetTraceId()) != clientTrace || got["gatehouse.policy"] != "ratelimit" || got["gatehouse.fault"] != "gateway" ||
		got["rpc.response.status_code"] != "RESOURCE_EXHAUSTED" || span.GetStatus().GetMessage() != "enough" {
		t.Errorf("span %v", span)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []tracing.Options{
		{SampleRatio: -0.1}, {SampleRatio: 1.1}, {SampleRatio: math.NaN()},
		{Endpoint: "collector"}, {Endpoint: ":4317"}, {Endpoint: "http://collector:4317"}, {Endpoint: "collector:"},
	} {
		if _, err := tracing.New(t.Context(), o); err == nil || !strings.HasPrefix(err.Error(), "sample_ratio: ") && !strings.HasPrefix(err.Error(), "otlp_endpoint: ") {
			t.Errorf("%+v: got %v, want an error that names the field", o, err)
		}
	}
}

// refusing is a collector that takes nothing.
type refusing struct {
	collectorv1.UnimplementedTraceServiceServer
}

// TestLostSpansAreLogged: once, and nobody else hears of it.
func TestLostSpansAreLogged(t *testing.T) {
	address := serve(t, func(s *grpc.Server) { collectorv1.RegisterTraceServiceServer(s, refusing{}) })
	var log bytes.Buffer
	tr := newTracing(t, tracing.Options{Endpoint: address, SampleRatio: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	conn := interceptors.Chain(calltest.Conn{}, policytest.Build(t, tr, interceptors.Method{Name: method}))
	for range 2000 { // more than one batch
		if err := conn.Invoke(t.Context(), method, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if n := strings.Count(log.String(), "spans were lost"); n != 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

func TestEdgesPayNothingWithoutCollector(t *testing.T) {
	tr := newTracing(t, tracing.Options{})
	conn := interceptors.Chain(calltest.Conn{}, policytest.Build(t, tr, interceptors.Method{Name: method}))
	ctx := call.With(t.Context(), &call.Call{Protocol: call.REST, TraceID: clientTrace})
	if n := testing.AllocsPerRun(100, func() { _ = conn.Invoke(ctx, method, nil, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
