package shop

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/genproto/googleapis/type/money"

	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
)

func (o *orders) GetInvoice(
	_ context.Context, request *ordersv1.GetInvoiceRequest,
) (*httpbody.HttpBody, error) {
	parts, ok := ids(request.GetName(), "orders/*/invoice")
	if !ok {
		return nil, notFound("Invoice", request.GetName())
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	order, err := o.read("orders/" + parts[0])
	if err != nil {
		return nil, err
	}
	return &httpbody.HttpBody{ContentType: "text/plain; charset=utf-8", Data: []byte(invoice(order))}, nil
}

// invoice is the text to print.
func invoice(order *ordersv1.Order) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Invoice for %s\nPlaced on %s by %s\n\n",
		order.GetName(), order.GetCreateTime().AsTime().Format("2 January 2006"), order.GetShipTo().GetRecipient())
	for _, line := range order.GetLines() {
		fmt.Fprintf(&b, "%3d x %-44s %s\n", line.GetQuantity(),
			strings.TrimPrefix(line.GetProduct(), "products/"), printed(line.GetUnitPrice()))
	}
	fmt.Fprintf(&b, "\n%-50s %s\n", "Total", printed(order.GetTotal()))
	return b.String()
}

// printed is an amount as people write it.
func printed(m *money.Money) string {
	return fmt.Sprintf("%7d.%02d %s", m.GetUnits(), cents(m)%100, m.GetCurrencyCode())
}
