package edge_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestUntakenStream: a stream of which a client takes nothing is ended, whatever the
// size of its messages is.
func TestUntakenStream(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 1 << 10, "of 31 KiB": 31 << 10, "of 65 KiB": 65 << 10, "large": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			backend := edgetest.Watching(t, func(ctx context.Context, send edgetest.SendStock) error {
				defer close(ended)
				for {
					if err := send(&inventoryv1.WatchStockResponse{Name: strings.Repeat("x", size)}); err != nil {
						return err
					}
				}
			})
			g := gatewaytest.Start(t, gatewaytest.Config(backend, func(c *configv1.Config) {
				c.Limits = &configv1.Limits{WriteTimeout: durationpb.New(100 * time.Millisecond)}
			}))
			stream, err := inventoryv1.NewInventoryServiceClient(gatewaytest.Dial(t, g.GRPC, nil)).
				WatchStock(t.Context(), &inventoryv1.WatchStockRequest{Name: "warehouses/w/stock/s"})
			if err != nil {
				t.Fatal(err)
			}
			<-ended // and only then look
			for err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != codes.Unavailable {
				t.Errorf("the stream ended by %v, want the end of its connection", err)
			}
		})
	}
}

// slowly is a connection that takes little at a time.
type slowly struct{ net.Conn }

func (c slowly) Read(p []byte) (int, error) {
	time.Sleep(40 * time.Millisecond) // the client is slow
	return c.Conn.Read(p[:min(len(p), 16<<10)])
}

// TestSlowReader takes longer for an answer than for what it may take no part of it.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const size = 2 << 20 // 128 parts, five seconds
	g := gatewaytest.Start(t, gatewaytest.Config(answering(t, size), func(c *configv1.Config) {
		c.Limits = &configv1.Limits{WriteTimeout: durationpb.New(3 * time.Second)}
	}))
	for door, address := range map[string]string{"native": g.GRPC, "http": g.HTTP} {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			cc := gatewaytest.Dial(t, address, nil, grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10),
				grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
					return slowly{c}, err
				}))
			got, err := catalogv1.NewCatalogServiceClient(cc).GetProduct(t.Context(), &catalogv1.GetProductRequest{Name: "products/a"})
			if err != nil || len(got.GetDescription()) != size {
				t.Errorf("got %d bytes, %v", len(got.GetDescription()), err)
			}
		})
	}
}
