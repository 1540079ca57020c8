package shop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
)

const (
	firstOrder       = 1001
	maxOrderLines    = 100
	maxOrderQuantity = 100
	deliveryHome     = 2 * 24 * time.Hour
	deliveryAbroad   = 6 * 24 * time.Hour
)

// orders serves shop.orders.v1.OrdersService.
type orders struct {
	ordersv1.UnimplementedOrdersServiceServer

	now       func() time.Time
	unitPrice func(product string) (cents int64, ok bool)

	mu     sync.RWMutex // guards what follows
	orders *table[*ordersv1.Order]
	nextID int
}

func newOrders(now func() time.Time, seed *seed, unitPrice func(string) (int64, bool)) *orders {
	o := &orders{now: now, unitPrice: unitPrice, orders: newTable[*ordersv1.Order](), nextID: firstOrder}
	for _, order := range seed.orders() {
		order.Name = fmt.Sprintf("orders/%d", o.nextID)
		o.nextID++
		o.store(order)
	}
	return o
}

// store puts an order where its time belongs, newest first.
func (o *orders) store(order *ordersv1.Order) {
	o.orders.put(order.GetName(), newestFirst(order.GetCreateTime(), order.GetName()), order)
}

func (o *orders) ListOrders(
	_ context.Context, request *ordersv1.ListOrdersRequest,
) (*ordersv1.ListOrdersResponse, error) {
	now := o.now()
	o.mu.RLock()
	defer o.mu.RUnlock()
	found, err := o.orders.list(request, func(order *ordersv1.Order) bool {
		placed := order.GetCreateTime().AsTime()
		theirs := request.GetParent() == "" || order.GetCustomer() == request.GetParent()
		wanted := len(request.GetStates()) == 0 || slices.Contains(request.GetStates(), order.GetState())
		late := request.GetCreatedSince() == nil || !placed.Before(request.GetCreatedSince().AsTime())
		young := request.GetMaxAge() == nil || now.Sub(placed) <= request.GetMaxAge().AsDuration()
		return theirs && wanted && late && young
	})
	if err != nil {
		return nil, err
	}
	return &ordersv1.ListOrdersResponse{Orders: found.items, NextPageToken: found.next}, nil
}

// read returns an order; the caller holds the lock.
func (o *orders) read(name string) (*ordersv1.Order, error) {
	order, ok := o.orders.get(name)
	if !ok {
		return nil, notFound("Order", name)
	}
	return order, nil
}

func (o *orders) GetOrder(_ context.Context, request *ordersv1.GetOrderRequest) (*ordersv1.Order, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.read(request.GetName())
}

func (o *orders) CreateOrder(
	_ context.Context, request *ordersv1.CreateOrderRequest,
) (*ordersv1.Order, error) {
	var wrong violations
	if _, ok := ids(request.GetParent(), "customers/*"); !ok {
		wrong.addf("parent", "got %q, want customers/{customer}", request.GetParent())
	}
	checkOrder(&wrong, request.GetOrder())
	if err := wrong.err(); err != nil {
		return nil, err
	}
	order := proto.CloneOf(request.GetOrder())
	clearOurs(order)
	if err := o.charge(order); err != nil {
		return nil, err
	}
	order.Customer = request.GetParent()
	order.State = ordersv1.Order_STATE_PAID
	if order.GetTransfer() != nil {
		order.State = ordersv1.Order_STATE_PENDING
	}
	order.CreateTime = timestamppb.New(o.now())
	order.UpdateTime = order.GetCreateTime()
	o.mu.Lock()
	defer o.mu.Unlock()
	order.Name = fmt.Sprintf("orders/%d", o.nextID)
	o.nextID++
	o.store(order)
	return order, nil
}

// checkOrder notes what is wrong with what a caller says about an order.
func checkOrder(wrong *violations, order *ordersv1.Order) {
	if n := len(order.GetLines()); n < 1 || n > maxOrderLines {
		wrong.addf("order.lines", "got %d lines, want 1 to %d", n, maxOrderLines)
	}
	for i, line := range order.GetLines() {
		if line.GetQuantity() < 1 || line.GetQuantity() > maxOrderQuantity {
			wrong.addf(fmt.Sprintf("order.lines[%d].quantity", i), "got %d, want 1 to %d",
				line.GetQuantity(), maxOrderQuantity)
		}
	}
	to := order.GetShipTo()
	if to.GetRecipient() == "" || to.GetCity() == "" || len(to.GetStreetLines()) == 0 {
		wrong.addf("order.ship_to", "want recipient, street_lines and city")
	}
	if len(to.GetCountry()) != 2 || strings.ToUpper(to.GetCountry()) != to.GetCountry() {
		wrong.addf("order.ship_to.country", "got %q, want two capital letters such as DE", to.GetCountry())
	}
	if order.GetPayment() == nil {
		wrong.addf("order.payment", "want one of card, transfer, gift_card")
	}
}

// charge works out what an order of ours costs and how long it takes.
func (o *orders) charge(order *ordersv1.Order) error {
	var total int64
	for i, line := range order.GetLines() {
		unit, ok := o.unitPrice(line.GetProduct())
		if !ok {
			return invalid(fmt.Sprintf("order.lines[%d].product", i), "%q is not for sale", line.GetProduct())
		}
		line.UnitPrice = euros(unit)
		total += unit * int64(line.GetQuantity())
	}
	order.Total = euros(total)
	order.DeliveryEstimate = durationpb.New(deliveryAbroad)
	if order.GetShipTo().GetCountry() == "DE" {
		order.DeliveryEstimate = durationpb.New(deliveryHome)
	}
	return nil
}

func (o *orders) UpdateOrder(
	_ context.Context, request *ordersv1.UpdateOrderRequest,
) (*ordersv1.Order, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old, err := o.read(request.GetOrder().GetName())
	if err != nil {
		return nil, err
	}
	if err := checkOpen(old); err != nil {
		return nil, err
	}
	order, err := update(old, request.GetOrder(), request.GetUpdateMask())
	if err != nil {
		return nil, err
	}
	var wrong violations
	if checkOrder(&wrong, order); len(wrong) > 0 {
		return nil, wrong.err()
	}
	if err := o.charge(order); err != nil {
		return nil, err
	}
	order.UpdateTime = timestamppb.New(o.now())
	o.store(order)
	return order, nil
}

// checkOpen refuses to change an order that is sent or called off.
func checkOpen(order *ordersv1.Order) error {
	switch order.GetState() {
	case ordersv1.Order_STATE_PENDING, ordersv1.Order_STATE_PAID:
		return nil
	default:
		state := strings.ToLower(strings.TrimPrefix(order.GetState().String(), "STATE_"))
		return precondition("ORDER_CLOSED", order.GetName(), "%q is %s already", order.GetName(), state)
	}
}

func (o *orders) CancelOrder(
	_ context.Context, request *ordersv1.CancelOrderRequest,
) (*ordersv1.Order, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old, err := o.read(request.GetName())
	if err != nil {
		return nil, err
	}
	if err := checkOpen(old); err != nil {
		return nil, err
	}
	order := proto.CloneOf(old)
	order.State = ordersv1.Order_STATE_CANCELLED
	order.CancelTime = timestamppb.New(o.now())
	order.UpdateTime = order.GetCancelTime()
	if request.GetReason() != "" {
		order.Labels = withEntry(order.GetLabels(), "cancelled because", request.GetReason())
	}
	o.store(order)
	return order, nil
}
