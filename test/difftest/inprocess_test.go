package difftest

import (
	"context"
	"io"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

// inProcess is a context for one call from inside.
func inProcess(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func checkMetadata(t *testing.T, header, trailer metadata.MD, method string) {
	t.Helper()
	if got := header.Get(shopHeader); len(got) != 1 || got[0] != method {
		t.Errorf("header %s = %q, want %q", shopHeader, got, method)
	}
	if got := trailer.Get(shopTrailer); len(got) != 1 || got[0] != "closed" {
		t.Errorf("trailer %s = %q, want \"closed\"", shopTrailer, got)
	}
}

// Generated clients work on the gateway's own connection, all four kinds of
// RPC, with metadata both ways.
func TestGeneratedClientsInProcess(t *testing.T) {
	conn := openGateway(t, openStore(t), "").Conn()

	t.Run("unary", func(t *testing.T) {
		var header, trailer metadata.MD
		product, err := catalogv1.NewCatalogServiceClient(conn).GetProduct(inProcess(t), &catalogv1.GetProductRequest{Name: tent},
			grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || product.GetName() != tent {
			t.Fatalf("got %v, %v; want %s", product, err, tent)
		}
		checkMetadata(t, header, trailer, catalogv1.CatalogService_GetProduct_FullMethodName)
	})
	t.Run("unary, refused", func(t *testing.T) {
		_, err := catalogv1.NewCatalogServiceClient(conn).GetProduct(inProcess(t), &catalogv1.GetProductRequest{Name: "products/none"})
		if details := status.Convert(err).Details(); status.Code(err) != codes.NotFound || len(details) != 1 {
			t.Fatalf("got %v with %v; want NOT_FOUND with one detail", err, details)
		} else if _, ok := details[0].(*errdetails.ResourceInfo); !ok {
			t.Errorf("got detail %T, want ResourceInfo", details[0])
		}
	})
	t.Run("server stream", func(t *testing.T) {
		stream, err := inventoryv1.NewInventoryServiceClient(conn).WatchStock(inProcess(t), &inventoryv1.WatchStockRequest{
			Name: stock, Since: &timestamppb.Timestamp{}, MaxMovements: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for ; err == nil; count++ {
			_, err = stream.Recv()
		}
		if count != 3 || err != io.EOF {
			t.Errorf("got %d messages, then %v; want 2, then io.EOF", count-1, err)
		}
		header, _ := stream.Header()
		checkMetadata(t, header, stream.Trailer(), inventoryv1.InventoryService_WatchStock_FullMethodName)
	})
	t.Run("client stream", func(t *testing.T) {
		stream, err := inventoryv1.NewInventoryServiceClient(conn).ImportCounts(inProcess(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, count := range []int64{3, 4, 5} {
			if err := stream.Send(&inventoryv1.ImportCountsRequest{Name: stock, Counted: count}); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := stream.CloseAndRecv()
		if err != nil || answer.GetImported() != 3 {
			t.Errorf("got %v, %v; want 3 imported", answer, err)
		}
		header, _ := stream.Header()
		checkMetadata(t, header, stream.Trailer(), inventoryv1.InventoryService_ImportCounts_FullMethodName)
	})
	t.Run("both", func(t *testing.T) {
		stream, err := reviewsv1.NewReviewsServiceClient(conn).ModerateReviews(inProcess(t))
		if err != nil {
			t.Fatal(err)
		}
		for id := range uint64(5) {
			if err := stream.Send(&reviewsv1.ModerateReviewsRequest{DraftId: id, Text: "good"}); err != nil {
				t.Fatal(err)
			}
			if verdict, err := stream.Recv(); err != nil || verdict.GetDraftId() != id {
				t.Fatalf("got %v, %v; want the verdict on %d", verdict, err, id)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("got %v, want io.EOF", err)
		}
	})
	t.Run("unknown method", func(t *testing.T) {
		err := conn.Invoke(inProcess(t), "/shop.Nothing/Here", &catalogv1.GetProductRequest{}, &catalogv1.Product{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("got %v, want UNIMPLEMENTED", err)
		}
	})
}
