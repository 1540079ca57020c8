package rest_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/edge/doors"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
)

// BenchmarkREST measures what the edge itself costs: no network, no JSON, no
// policies.
func BenchmarkREST(b *testing.B) {
	answer := calltest.Bytes("{}")
	m := &call.Method{Name: "/s/m", Conn: calltest.Conn{OnInvoke: func(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
		_, err := args.(*call.Pending).Message()
		reply.(*call.Message).Data = answer
		return err
	}}}
	var routes httprule.Builder[*edge.Route]
	template, err := httprule.Parse("/v1/{name=products/*}")
	if err != nil {
		b.Fatal(err)
	}
	if err := routes.Add("GET", template, "here", &edge.Route{Method: m, Binding: &contract.Binding{Name: "GET /v1/{name=products/*}"}, View: edgetest.Plain{}}); err != nil {
		b.Fatal(err)
	}
	var current edge.Current
	current.Store(&edge.Table{Table: call.NewTable([]*call.Method{m}, m), Routes: routes.Build(), Errors: &edge.Errors{}})
	h := doors.Handler(&edge.Settings{
		Table: &current, MaxBody: 1 << 20, MaxHeaders: 100, RequestID: func() string { return "0af7651916cd43dd8448eb211c80319c" },
	})(http.NotFoundHandler())
	r := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/v1/products/mug"}, Host: "shop.example", RemoteAddr: "192.0.2.7:4711",
		Header: http.Header{"User-Agent": {"curl/8"}, "Accept": {"*/*"}}, Body: http.NoBody,
	}
	w := &edgetest.Sink{Headers: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
