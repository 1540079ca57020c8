package live_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// BenchmarkDoors is what a call costs with client and backend in the same process,
// eight calls at a time: in processor time ("cpu-ns/op"), which others on the machine
// disturb least.
func BenchmarkDoors(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"small", 100}, {"85k", 85_000}} {
		backend := gatewaytest.Backend(b, gatewaytest.Script{"/shop.catalog.v1.CatalogService/GetProduct": gatewaytest.Unary(
			func(context.Context, *catalogv1.GetProductRequest) (*catalogv1.Product, error) {
				return &catalogv1.Product{Description: strings.Repeat("x", size.bytes)}, nil
			})})
		g := gatewaytest.Start(b, gatewaytest.Config(backend, func(c *configv1.Config) { c.Log = &configv1.Log{Access: new(false)} }))
		request := &catalogv1.GetProductRequest{Name: "products/boots"}
		for door, address := range map[string]string{"native": g.GRPC, "http": g.HTTP} {
			b.Run("gRPC/"+door+"/"+size.name, func(b *testing.B) {
				client := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(b, address, nil))
				atOnce(b, func() error {
					_, err := client.GetProduct(context.Background(), request)
					return err
				})
			})
		}
		b.Run("REST/"+size.name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
			defer client.CloseIdleConnections()
			atOnce(b, func() error {
				answer, err := client.Get("http://" + g.HTTP + "/v1/products/boots")
				if err != nil {
					return err
				}
				defer answer.Body.Close()
				_, err = io.Copy(io.Discard, answer.Body)
				return err
			})
		})
	}
}

const callers = 8

func atOnce(b *testing.B, call func() error) {
	b.Helper()
	before := processorTime(b)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for range (b.N + i) / callers {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func processorTime(tb testing.TB) int64 {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
