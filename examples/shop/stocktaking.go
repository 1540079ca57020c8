package shop

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
)

func (v *inventory) WatchStock(
	request *inventoryv1.WatchStockRequest, stream grpc.ServerStreamingServer[inventoryv1.WatchStockResponse],
) error {
	if request.GetMaxMovements() < 0 {
		return invalid("max_movements", "got %d, want 0 or more", request.GetMaxMovements())
	}
	place, err := v.placeOf(request.GetName(), request.GetSince())
	if err != nil {
		return err
	}
	for sent := int32(0); ; {
		movements, next, more := v.after(request.GetName(), place)
		for _, movement := range movements {
			err := stream.Send(&inventoryv1.WatchStockResponse{Name: request.GetName(), Movement: movement})
			if err != nil {
				return err
			}
			if sent++; sent == request.GetMaxMovements() {
				return nil
			}
		}
		place = next
		select {
		case <-more:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

func (v *inventory) ImportCounts(
	stream grpc.ClientStreamingServer[inventoryv1.ImportCountsRequest, inventoryv1.ImportCountsResponse],
) error {
	response := &inventoryv1.ImportCountsResponse{}
	for index := int32(0); ; index++ {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(response)
		}
		if err != nil {
			return err
		}
		difference, problem := v.recount(request)
		if problem != "" {
			response.Rejected = append(response.Rejected, &inventoryv1.ImportCountsResponse_Rejected{
				Index: index, Name: request.GetName(), Message: problem,
			})
			continue
		}
		response.Imported++
		response.Difference += max(difference, -difference)
	}
}

// recount stores a count and returns by how much it differs from what the books
// said, or what is wrong with it.
func (v *inventory) recount(request *inventoryv1.ImportCountsRequest) (difference int64, problem string) {
	if request.GetCounted() < 0 {
		return 0, "counted: want 0 or more"
	}
	if _, ok := ids(request.GetName(), "warehouses/*/stock/*"); !ok {
		return 0, "name: want warehouses/{warehouse}/stock/{product}"
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	old, ok := v.stock.get(request.GetName())
	if !ok {
		return 0, "name: no such stock"
	}
	at := v.now()
	if request.GetCountTime() != nil && request.GetCountTime().AsTime().After(at) {
		return 0, "count_time: lies in the future"
	}
	difference = request.GetCounted() - old.GetOnHand()
	if difference != 0 {
		v.move(old, difference, inventoryv1.Movement_REASON_COUNTED, at)
	}
	return difference, ""
}
