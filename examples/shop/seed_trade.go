package shop

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
)

// reducedVAT is the rate of what is read rather than worn.
const reducedVAT = 0.07

// prices are those of the products; every seventh or so is on sale.
func (s *seed) prices() []*pricingv1.Price {
	list := make([]*pricingv1.Price, 0, len(s.products))
	for _, product := range s.products {
		price := &pricingv1.Price{
			Name: product.GetName() + "/price", List: product.GetPrice(), UpdateTime: product.GetUpdateTime(),
		}
		if product.GetShelf() == "shelves/maps" {
			price.VatRate = wrapperspb.Double(reducedVAT)
		}
		switch draw(14, "sale "+product.GetName()) {
		case 0:
			price.Sale = &pricingv1.Sale{Discount: &pricingv1.Sale_PercentOff{PercentOff: 20}}
		case 1:
			price.Sale = &pricingv1.Sale{
				Discount: &pricingv1.Sale_Fixed{Fixed: euros(cents(product.GetPrice()) * 3 / 4)},
			}
		}
		if price.GetSale() != nil {
			price.Sale.StartTime = timestamppb.New(opening().AddDate(0, 5, 0))
			price.Sale.Duration = durationpb.New(21 * 24 * time.Hour)
		}
		list = append(list, price)
	}
	return list
}

// initialStock is a count and how it came about.
type initialStock struct {
	stock     *inventoryv1.Stock
	movements []*inventoryv1.Movement
}

// stock lies in two of three warehouses, each with a little history.
func (s *seed) stock() []initialStock {
	var list []initialStock
	for _, product := range s.products {
		if product.GetDownload() != nil {
			continue
		}
		id := strings.TrimPrefix(product.GetName(), "products/")
		for i, warehouse := range s.Warehouses {
			if draw(len(s.Warehouses), "not in "+id) != i {
				list = append(list, newStock(warehouse.M.GetName()+"/stock/"+id, product.GetName()))
			}
		}
	}
	return list
}

func newStock(name, product string) initialStock {
	received, shipped := 20+int64(draw(60, name)), 1+int64(draw(15, "shipped "+name))
	at := func(days int) *timestamppb.Timestamp {
		return timestamppb.New(opening().AddDate(0, 0, days+draw(20, name)))
	}
	onHand := received - shipped
	movements := []*inventoryv1.Movement{
		{Delta: received, Reason: inventoryv1.Movement_REASON_RECEIVED, OnHand: received, Time: at(1)},
		{Delta: -shipped, Reason: inventoryv1.Movement_REASON_SHIPPED, OnHand: onHand, Time: at(40)},
		{Delta: 1, Reason: inventoryv1.Movement_REASON_RETURNED, OnHand: onHand + 1, Time: at(55)},
	}
	stock := &inventoryv1.Stock{
		Name: name, Product: product, OnHand: onHand + 1, Reserved: int64(draw(4, "reserved "+name)), UpdateTime: at(55),
	}
	if draw(4, "reorder "+name) > 0 {
		point := int32(10 + draw(15, name))
		stock.ReorderPoint = &point
	}
	return initialStock{stock: stock, movements: movements}
}

// seededOrders is how many orders the shop has had.
const seededOrders = 24

// orders are a few of each state; their numbers are given when they are stored.
func (s *seed) orders() []*ordersv1.Order {
	list := make([]*ordersv1.Order, 0, seededOrders)
	for i := range seededOrders {
		list = append(list, s.order(i))
	}
	return list
}

func (s *seed) order(i int) *ordersv1.Order {
	key := fmt.Sprintf("order %d", i)
	who := s.Customers[draw(len(s.Customers), key)]
	placed := opening().AddDate(0, 2, 4*i).Add(time.Duration(draw(600, key)) * time.Minute)
	order := &ordersv1.Order{
		Customer:         who.Name,
		State:            ordersv1.Order_State(1 + draw(5, "state "+key)),
		ShipTo:           who.Address.M,
		Labels:           map[string]string{"channel": []string{"web", "app", "store"}[draw(3, key)]},
		GiftWrap:         draw(5, "gift "+key) == 0,
		DeliveryEstimate: durationpb.New(deliveryAbroad),
		CreateTime:       timestamppb.New(placed),
		UpdateTime:       timestamppb.New(placed.Add(time.Hour)),
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"campaign": structpb.NewStringValue("spring"),
			"visits":   structpb.NewNumberValue(float64(1 + draw(9, key))),
		}},
	}
	if who.Address.M.GetCountry() == "DE" {
		order.DeliveryEstimate = durationpb.New(deliveryHome)
	}
	if order.GetState() == ordersv1.Order_STATE_CANCELLED {
		order.CancelTime = order.GetUpdateTime()
	}
	setPayment(order, key)
	s.addLines(order, key)
	return order
}

func setPayment(order *ordersv1.Order, key string) {
	switch draw(3, "payment "+key) {
	case 0:
		order.Payment = &ordersv1.Order_Transfer_{Transfer: &ordersv1.Order_Transfer{
			Iban: "DE02120300000000202051", PaymentTerm: durationpb.New(14 * 24 * time.Hour),
		}}
	case 1:
		order.Payment = &ordersv1.Order_GiftCard{GiftCard: fmt.Sprintf("GIFT-%04d", draw(10_000, key))}
	default:
		order.Payment = &ordersv1.Order_Card_{Card: &ordersv1.Order_Card{
			LastFour: fmt.Sprintf("%04d", draw(10_000, key)), ExpiryMonth: int32(1 + draw(12, key)), ExpiryYear: 2028,
		}}
	}
}

func (s *seed) addLines(order *ordersv1.Order, key string) {
	var total int64
	for n := range 1 + draw(4, "lines "+key) {
		product := s.products[draw(len(s.products), fmt.Sprintf("%s line %d", key, n))]
		line := &ordersv1.Order_Line{
			Product: product.GetName(), Quantity: uint32(1 + draw(3, product.GetName()+key)), UnitPrice: product.GetPrice(),
		}
		total += cents(line.GetUnitPrice()) * int64(line.GetQuantity())
		order.Lines = append(order.Lines, line)
	}
	order.Total = euros(total)
}
