package shop

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
)

// keptMovements is how many movements of one count are remembered.
const keptMovements = 1000

// inventory serves shop.inventory.v1.InventoryService.
type inventory struct {
	inventoryv1.UnimplementedInventoryServiceServer

	now func() time.Time

	mu         sync.RWMutex // guards what follows
	warehouses *table[*inventoryv1.Warehouse]
	stock      *table[*inventoryv1.Stock]
	ledgers    map[string]*ledger // by the name of the stock
}

// ledger is what happened to one count. The lock of the inventory guards it.
type ledger struct {
	movements []*inventoryv1.Movement // the latest ones, oldest first
	forgotten int                     // how many there were before those
	moved     chan struct{}           // closed, and replaced, when one is added
}

func newInventory(now func() time.Time, seed *seed) *inventory {
	v := &inventory{
		now:        now,
		warehouses: newTable[*inventoryv1.Warehouse](),
		stock:      newTable[*inventoryv1.Stock](),
		ledgers:    map[string]*ledger{},
	}
	for _, warehouse := range seed.Warehouses {
		v.warehouses.put(warehouse.M.GetName(), warehouse.M.GetName(), warehouse.M)
	}
	for _, initial := range seed.stock() {
		v.stock.put(initial.stock.GetName(), initial.stock.GetName(), initial.stock)
		v.ledgers[initial.stock.GetName()] = &ledger{movements: initial.movements, moved: make(chan struct{})}
	}
	return v
}

func (v *inventory) ListWarehouses(
	_ context.Context, request *inventoryv1.ListWarehousesRequest,
) (*inventoryv1.ListWarehousesResponse, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	found, err := v.warehouses.list(request, func(*inventoryv1.Warehouse) bool { return true })
	if err != nil {
		return nil, err
	}
	return &inventoryv1.ListWarehousesResponse{Warehouses: found.items, NextPageToken: found.next}, nil
}

func (v *inventory) ListStock(
	_ context.Context, request *inventoryv1.ListStockRequest,
) (*inventoryv1.ListStockResponse, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	parent := request.GetParent()
	if _, ok := v.warehouses.get(parent); !ok && parent != "warehouses/-" {
		return nil, notFound("Warehouse", parent)
	}
	found, err := v.stock.list(request, func(stock *inventoryv1.Stock) bool {
		here := parent == "warehouses/-" || strings.HasPrefix(stock.GetName(), parent+"/")
		wanted := len(request.GetProducts()) == 0 || slices.Contains(request.GetProducts(), stock.GetProduct())
		return here && wanted && (!request.GetLow() || isLow(stock))
	})
	if err != nil {
		return nil, err
	}
	return &inventoryv1.ListStockResponse{Stock: found.items, NextPageToken: found.next}, nil
}

func isLow(stock *inventoryv1.Stock) bool {
	return stock.ReorderPoint != nil && stock.GetOnHand()-stock.GetReserved() < int64(stock.GetReorderPoint())
}

func (v *inventory) GetStock(
	_ context.Context, request *inventoryv1.GetStockRequest,
) (*inventoryv1.Stock, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	stock, ok := v.stock.get(request.GetName())
	if !ok {
		return nil, notFound("Stock", request.GetName())
	}
	return stock, nil
}

func (v *inventory) AdjustStock(
	_ context.Context, request *inventoryv1.AdjustStockRequest,
) (*inventoryv1.Stock, error) {
	if err := checkAdjustment(request); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	old, ok := v.stock.get(request.GetName())
	if !ok {
		return nil, notFound("Stock", request.GetName())
	}
	if old.GetOnHand()+request.GetDelta() < 0 {
		return nil, precondition("OUT_OF_STOCK", old.GetName(),
			"only %d lie there, %d were to be taken", old.GetOnHand(), -request.GetDelta())
	}
	return v.move(old, request.GetDelta(), request.GetReason(), v.now()), nil
}

func checkAdjustment(request *inventoryv1.AdjustStockRequest) error {
	const most = 1_000_000
	var wrong violations
	if delta := request.GetDelta(); delta == 0 || delta < -most || delta > most {
		wrong.addf("delta", "got %d, want -%d to %d but not 0", delta, most, most)
	}
	if reason := request.GetReason(); reason == inventoryv1.Movement_REASON_UNSPECIFIED ||
		inventoryv1.Movement_Reason_name[int32(reason)] == "" {
		wrong.addf("reason", "got %s, want a reason such as REASON_RECEIVED", reason)
	}
	return wrong.err()
}

// move changes a count, writes that down and wakes those who watch.
func (v *inventory) move(
	old *inventoryv1.Stock, delta int64, reason inventoryv1.Movement_Reason, at time.Time,
) *inventoryv1.Stock {
	stock := proto.CloneOf(old)
	stock.OnHand += delta
	stock.UpdateTime = timestamppb.New(at)
	v.stock.put(stock.GetName(), stock.GetName(), stock)
	book := v.ledgers[stock.GetName()]
	book.movements = append(book.movements, &inventoryv1.Movement{
		Delta: delta, Reason: reason, OnHand: stock.GetOnHand(), Time: stock.GetUpdateTime(),
	})
	if drop := len(book.movements) - keptMovements; drop > 0 {
		book.movements = slices.Clone(book.movements[drop:])
		book.forgotten += drop
	}
	close(book.moved)
	book.moved = make(chan struct{})
	return stock
}

// after returns the movements from a place in the ledger on, the place after
// them, and what is closed when there are more.
func (v *inventory) after(name string, place int) ([]*inventoryv1.Movement, int, <-chan struct{}) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	book := v.ledgers[name]
	skip := max(place-book.forgotten, 0)
	fresh := book.movements[min(skip, len(book.movements)):]
	return fresh, book.forgotten + len(book.movements), book.moved
}

// placeOf returns the place of the first movement at or after a moment; not set
// means the place after the last.
func (v *inventory) placeOf(name string, since *timestamppb.Timestamp) (int, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	book, ok := v.ledgers[name]
	if !ok {
		return 0, notFound("Stock", name)
	}
	if since == nil {
		return book.forgotten + len(book.movements), nil
	}
	i, _ := slices.BinarySearchFunc(book.movements, since.AsTime(), func(m *inventoryv1.Movement, t time.Time) int {
		return cmp.Compare(m.GetTime().AsTime().UnixNano(), t.UnixNano())
	})
	return book.forgotten + i, nil
}
