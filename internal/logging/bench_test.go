package logging_test

import (
	"io"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/accesslog"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/logging"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

// BenchmarkCall is what one call costs with its line.
func BenchmarkCall(b *testing.B) {
	for _, format := range []configv1.Log_Format{configv1.Log_FORMAT_TEXT, configv1.Log_FORMAT_JSON} {
		b.Run(format.String(), func(b *testing.B) {
			log, err := logging.New(&configv1.Log{Format: format, PeerLines: new(uint32(20))}, io.Discard, prometheus.NewRegistry())
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close(time.Second)
			conn := interceptors.Chain(calltest.Conn{}, policytest.Build(b, accesslog.Policy{Log: log.Calls(), Admit: log.Admit}, interceptors.Method{}))
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
		})
	}
}
