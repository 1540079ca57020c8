package accesslog_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/accesslog"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func BenchmarkAccessLog(b *testing.B) {
	conn := interceptors.Chain(calltest.Conn{}, policytest.Build(b, accesslog.Policy{Log: slog.New(slog.DiscardHandler)}, interceptors.Method{}))
	b.ReportAllocs()
	for b.Loop() {
		c := call.Call{
			Method: "/shop.catalog.v1.CatalogService/ListProducts", Protocol: call.REST, Binding: "GET /v1/products", Upstream: "catalog",
			Peer: "192.0.2.7:1234", RequestID: "955f54b573288c8b3349cba56e1896d4", Start: time.Now(),
		}
		if err := conn.Invoke(call.With(b.Context(), &c), c.Method, nil, nil); err != nil {
			b.Fatal(err)
		}
		c.SetHTTPStatus(200)
		c.Finish(nil)
	}
}
