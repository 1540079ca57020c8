package shop_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	ordersv1 "github.com/gatehouse-dev/gatehouse/gen/shop/orders/v1"
	pricingv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pricing/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
)

const tent = "products/nordkap-tunnel-tent-2-persons"

func TestPagesJoinToTheWholeList(t *testing.T) {
	t.Parallel()
	c := open(t)
	var names []string
	request := &catalogv1.ListProductsRequest{PageSize: 50}
	for {
		page, err := c.catalog.ListProducts(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, product := range page.GetProducts() {
			names = append(names, product.GetName())
		}
		if page.GetTotalSize() < 120 {
			t.Fatalf("the shop has %d products, want 120 or more", page.GetTotalSize())
		}
		if page.GetNextPageToken() == "" {
			if len(names) != int(page.GetTotalSize()) {
				t.Errorf("the pages hold %d products, want %d", len(names), page.GetTotalSize())
			}
			break
		}
		request.PageToken = page.GetNextPageToken()
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Error("products are not sorted by name or come twice")
	}
}

func TestProductsOfAShelf(t *testing.T) {
	t.Parallel()
	c := open(t)
	shelf, err := c.catalog.GetShelf(t.Context(), &catalogv1.GetShelfRequest{Name: "shelves/tents"})
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.catalog.ListProducts(t.Context(), &catalogv1.ListProductsRequest{Parent: shelf.GetName()})
	if err != nil || len(list.GetProducts()) != int(shelf.GetProductCount()) || len(list.GetProducts()) == 0 {
		t.Errorf("got %d products, %v; want %d", len(list.GetProducts()), err, shelf.GetProductCount())
	}
}

func TestPriceInAnotherCurrency(t *testing.T) {
	t.Parallel()
	product, err := open(t).catalog.GetProduct(t.Context(), &catalogv1.GetProductRequest{Name: tent, Currency: "USD"})
	want := &money.Money{CurrencyCode: "USD", Units: 595, Nanos: 670_000_000} // 549.00 x 1.085, rounded
	if err != nil || !proto.Equal(product.GetPrice(), want) {
		t.Errorf("got %v, %v; want %v", product.GetPrice(), err, want)
	}
}

func TestUpdateProduct(t *testing.T) {
	t.Parallel()
	changes := &catalogv1.Product{
		Name: tent, DisplayName: "New", State: catalogv1.Product_STATE_DRAFT,
		Dimensions: &catalogv1.Dimensions{WidthMm: 7},
	}
	tests := []struct {
		name  string
		paths []string
		code  codes.Code
		check func(before, after *catalogv1.Product) bool
	}{
		{"one field", []string{"display_name"}, codes.OK, func(before, after *catalogv1.Product) bool {
			return after.GetDisplayName() == "New" && proto.Equal(after.GetDimensions(), before.GetDimensions())
		}},
		{"a field inside", []string{"dimensions.width_mm"}, codes.OK, func(before, after *catalogv1.Product) bool {
			return after.GetDimensions().GetWidthMm() == 7 &&
				after.GetDimensions().GetHeightMm() == before.GetDimensions().GetHeightMm()
		}},
		{"a field without a value", []string{"description"}, codes.OK, func(_, after *catalogv1.Product) bool {
			return after.GetDescription() == ""
		}},
		{"no mask", nil, codes.OK, func(before, after *catalogv1.Product) bool {
			return after.GetDisplayName() == "New" && after.GetDescription() == before.GetDescription() &&
				after.GetDimensions().GetHeightMm() == 0
		}},
		{"output only", []string{"state"}, codes.OK, func(before, after *catalogv1.Product) bool {
			return after.GetState() == before.GetState()
		}},
		{"everything, but a shelf is missing", []string{"*"}, codes.InvalidArgument, nil},
		{"unknown field", []string{"colour"}, codes.InvalidArgument, nil},
		{"inside a map", []string{"attributes.size"}, codes.InvalidArgument, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			before, err := c.catalog.GetProduct(t.Context(), &catalogv1.GetProductRequest{Name: tent})
			if err != nil {
				t.Fatal(err)
			}
			after, err := c.catalog.UpdateProduct(t.Context(), &catalogv1.UpdateProductRequest{
				Product: changes, UpdateMask: &fieldmaskpb.FieldMask{Paths: test.paths},
			})
			if status.Code(err) != test.code {
				t.Fatalf("got %v, want %v", err, test.code)
			}
			if test.check == nil {
				return
			}
			if !test.check(before, after) {
				t.Errorf("before %v, after %v", before, after)
			}
			if after.GetEtag() == before.GetEtag() || !after.GetUpdateTime().AsTime().Equal(noon()) {
				t.Errorf("etag or update time did not change: %v", after)
			}
		})
	}
}

func TestLifeOfAProduct(t *testing.T) {
	t.Parallel()
	c := open(t)
	given := &catalogv1.Product{Name: "products/ignored", DisplayName: "Tin Whistle, D!", Shelf: "shelves/kitchen"}
	dry, err := c.catalog.CreateProduct(t.Context(), &catalogv1.CreateProductRequest{Product: given, ValidateOnly: true})
	if err != nil || dry.GetName() != "products/tin-whistle-d" {
		t.Fatalf("got %v, %v; want products/tin-whistle-d", dry, err)
	}
	for _, want := range []string{"products/tin-whistle-d", "products/tin-whistle-d-2"} {
		made, err := c.catalog.CreateProduct(t.Context(), &catalogv1.CreateProductRequest{Product: given})
		if err != nil || made.GetName() != want || made.GetState() != catalogv1.Product_STATE_ACTIVE {
			t.Fatalf("got %v, %v; want %s", made, err, want)
		}
	}
	archive := &catalogv1.ArchiveProductRequest{Name: dry.GetName(), Reason: "too loud"}
	archived, err := c.catalog.ArchiveProduct(t.Context(), archive)
	if err != nil || archived.GetState() != catalogv1.Product_STATE_ARCHIVED {
		t.Fatalf("got %v, %v; want it archived", archived, err)
	}
	if _, err := c.catalog.ArchiveProduct(t.Context(), archive); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("archived twice: got %v, want FailedPrecondition", err)
	}
	remove := &catalogv1.DeleteProductRequest{Name: dry.GetName(), Etag: archived.GetEtag()}
	if _, err := c.catalog.DeleteProduct(t.Context(), remove); err != nil {
		t.Error(err)
	}
	if _, err := c.catalog.DeleteProduct(t.Context(), remove); status.Code(err) != codes.NotFound {
		t.Errorf("deleted twice: got %v, want NotFound", err)
	}
	remove.AllowMissing = true
	if _, err := c.catalog.DeleteProduct(t.Context(), remove); err != nil {
		t.Errorf("deleted twice with allow_missing: got %v", err)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	c := open(t)
	tests := []struct {
		name    string
		request *catalogv1.SearchProductsRequest
		meets   func(*catalogv1.Product) bool
	}{
		{"words", &catalogv1.SearchProductsRequest{Query: "NORDKAP tunnel"}, func(p *catalogv1.Product) bool {
			return strings.Contains(p.GetDisplayName(), "Tunnel Tent")
		}},
		{"tags", &catalogv1.SearchProductsRequest{Tags: []string{"down", "winter"}}, func(p *catalogv1.Product) bool {
			return slices.Contains(p.GetTags(), "winter")
		}},
		{"attribute", &catalogv1.SearchProductsRequest{Attributes: map[string]string{"capacity": "3 persons"}},
			func(p *catalogv1.Product) bool { return p.GetAttributes()["capacity"] == "3 persons" }},
		{"price", &catalogv1.SearchProductsRequest{Price: &catalogv1.SearchProductsRequest_PriceRange{
			Min: wrapperspb.Int64(20), Max: wrapperspb.Int64(30),
		}}, func(p *catalogv1.Product) bool { return p.GetPrice().GetUnits() >= 20 && p.GetPrice().GetUnits() <= 30 }},
		{"featured", &catalogv1.SearchProductsRequest{Featured: wrapperspb.Bool(true)}, (*catalogv1.Product).GetFeatured},
		{"not featured", &catalogv1.SearchProductsRequest{Featured: wrapperspb.Bool(false)},
			func(p *catalogv1.Product) bool { return !p.GetFeatured() }},
		{"rating", &catalogv1.SearchProductsRequest{MinRating: wrapperspb.Double(4.5)},
			func(p *catalogv1.Product) bool { return p.GetRating() >= 4.5 }},
	}
	for _, test := range tests {
		found, err := c.catalog.SearchProducts(t.Context(), test.request)
		if err != nil || len(found.GetResults()) == 0 {
			t.Errorf("%s: got %v, %v; want some", test.name, found, err)
		}
		for _, result := range found.GetResults() {
			if !test.meets(result.GetProduct()) || result.GetScore() <= 0 || result.GetScore() > 1 {
				t.Errorf("%s: found %v", test.name, result)
			}
		}
	}
}

func TestMedia(t *testing.T) {
	t.Parallel()
	c := open(t)
	picture, err := c.catalog.GetMedia(t.Context(), &catalogv1.GetMediaRequest{Name: tent + "/media/images/front.svg"})
	if err != nil || picture.GetContentType() != "image/svg+xml" || len(picture.GetData()) == 0 {
		t.Errorf("got %v, %v; want a picture", picture, err)
	}
	name := tent + "/media/notes/a/b.txt"
	content := &httpbody.HttpBody{ContentType: "text/plain", Data: []byte("hello")}
	media, err := c.catalog.UploadMedia(t.Context(), &catalogv1.UploadMediaRequest{Name: name, Content: content})
	if err != nil || media.GetSizeBytes() != 5 || len(media.GetSha256()) != 32 {
		t.Errorf("got %v, %v; want five bytes", media, err)
	}
	stored, err := c.catalog.GetMedia(t.Context(), &catalogv1.GetMediaRequest{Name: name})
	if err != nil || !proto.Equal(stored, content) {
		t.Errorf("got %v, %v; want %v", stored, err, content)
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	quote, err := open(t).pricing.QuoteBasket(t.Context(), &pricingv1.QuoteBasketRequest{
		Lines: []*pricingv1.QuoteBasketRequest_Line{
			{Product: "products/enamel-mug-blue", Quantity: 4},
			{Product: "products/canoe-guide-masuria", Quantity: 1},
		},
		Reduction: &pricingv1.QuoteBasketRequest_Points{Points: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	// 4 x 14.00 + 18.90 = 74.90; less 1.00, and 4.95 for the parcel.
	if got := quote.GetTotal(); got.GetUnits() != 78 || got.GetNanos() != 850_000_000 {
		t.Errorf("total: got %v, want 78.85", got)
	}
	if len(quote.GetTaxes()) != 2 || quote.GetTaxes()[700] == nil || quote.GetTaxes()[1900] == nil {
		t.Errorf("taxes: got %v, want those at 7 and at 19 %%", quote.GetTaxes())
	}
}

func TestBatchGetPricesKeepsTheOrder(t *testing.T) {
	t.Parallel()
	names := []string{tent + "/price", "products/enamel-mug-blue/price", tent + "/price"}
	batch, err := open(t).pricing.BatchGetPrices(t.Context(), &pricingv1.BatchGetPricesRequest{Names: names})
	if err != nil {
		t.Fatal(err)
	}
	for i, price := range batch.GetPrices() {
		if price.GetName() != names[i] {
			t.Errorf("price %d is %s, want %s", i, price.GetName(), names[i])
		}
	}
}

func TestReviewersAreThoseWhoWrote(t *testing.T) {
	t.Parallel()
	c := open(t)
	const who = "customers/bjorn-lund/reviewer"
	one, err := c.reviews.GetReviewer(t.Context(), &reviewsv1.GetReviewerRequest{Name: who})
	if err != nil || one.GetDisplayName() != "Björn L." || one.GetReviewCount() < 1 || one.GetFirstReviewTime() == nil {
		t.Errorf("got %v, %v", one, err)
	}
	names := []string{who, "customers/amelie-brandt/reviewer", who}
	batch, err := c.reviews.BatchGetReviewers(t.Context(), &reviewsv1.BatchGetReviewersRequest{Names: names})
	if err != nil || len(batch.GetReviewers()) != len(names) {
		t.Fatalf("got %v, %v", batch, err)
	}
	for i, r := range batch.GetReviewers() {
		if r.GetName() != names[i] {
			t.Errorf("reviewer %d is %s, want %s", i, r.GetName(), names[i])
		}
	}
	for _, name := range []string{"customers/nobody/reviewer", "customers/bjorn-lund", "/reviewer", ""} {
		if _, err := c.reviews.GetReviewer(t.Context(), &reviewsv1.GetReviewerRequest{Name: name}); status.Code(err) != codes.NotFound {
			t.Errorf("%q: got %v, want NotFound", name, err)
		}
	}
	if _, err := c.reviews.BatchGetReviewers(t.Context(), &reviewsv1.BatchGetReviewersRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no names: got %v, want InvalidArgument", err)
	}
}

func TestUpdatePriceIsCharged(t *testing.T) {
	t.Parallel()
	c := open(t)
	_, err := c.pricing.UpdatePrice(t.Context(), &pricingv1.UpdatePriceRequest{
		Price: &pricingv1.Price{
			Name: tent + "/price",
			List: &money.Money{CurrencyCode: "EUR", Units: 400},
			Sale: &pricingv1.Sale{Discount: &pricingv1.Sale_PercentOff{PercentOff: 99}},
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"list", "sale"}},
	})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("99 %% off: got %v, want InvalidArgument", err)
	}
	updated, err := c.pricing.UpdatePrice(t.Context(), &pricingv1.UpdatePriceRequest{
		Price:      &pricingv1.Price{Name: tent + "/price", List: &money.Money{CurrencyCode: "EUR", Units: 400}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"list", "sale"}},
	})
	if err != nil || updated.GetAbroad()["USD"].GetUnits() != 434 {
		t.Fatalf("got %v, %v; want 434 dollars abroad", updated, err)
	}
	order, err := c.orders.CreateOrder(t.Context(), &ordersv1.CreateOrderRequest{
		Parent: "customers/me", Order: newOrder(tent, 2),
	})
	if err != nil || order.GetTotal().GetUnits() != 800 {
		t.Errorf("got %v, %v; want a total of 800", order, err)
	}
}

func newOrder(product string, quantity uint32) *ordersv1.Order {
	return &ordersv1.Order{
		Lines:   []*ordersv1.Order_Line{{Product: product, Quantity: quantity}},
		ShipTo:  &ordersv1.Address{Recipient: "Me", StreetLines: []string{"Here 1"}, City: "Kassel", Country: "DE"},
		Payment: &ordersv1.Order_GiftCard{GiftCard: "GIFT-1"},
	}
}

func TestLifeOfAnOrder(t *testing.T) {
	t.Parallel()
	c := open(t)
	order, err := c.orders.CreateOrder(t.Context(), &ordersv1.CreateOrderRequest{
		Parent: "customers/me", Order: newOrder("products/enamel-mug-blue", 2),
	})
	if err != nil || order.GetState() != ordersv1.Order_STATE_PAID {
		t.Fatalf("got %v, %v; want it paid", order, err)
	}
	change := newOrder("products/enamel-mug-blue", 3)
	change.Name = order.GetName()
	order, err = c.orders.UpdateOrder(t.Context(), &ordersv1.UpdateOrderRequest{
		Order: change, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"lines"}},
	})
	if err != nil || order.GetTotal().GetUnits() != 3*order.GetLines()[0].GetUnitPrice().GetUnits() {
		t.Errorf("got %v, %v; want three mugs charged", order, err)
	}
	listed, err := c.orders.ListOrders(t.Context(), &ordersv1.ListOrdersRequest{Parent: "customers/me"})
	if err != nil || len(listed.GetOrders()) != 1 {
		t.Errorf("got %v, %v; want the one order", listed, err)
	}
	invoice, err := c.orders.GetInvoice(t.Context(), &ordersv1.GetInvoiceRequest{Name: order.GetName() + "/invoice"})
	if err != nil || !strings.Contains(string(invoice.GetData()), "3 x enamel-mug-blue") {
		t.Errorf("got %s, %v; want three mugs on it", invoice.GetData(), err)
	}
	cancel := &ordersv1.CancelOrderRequest{Name: order.GetName(), Reason: "changed my mind"}
	if order, err = c.orders.CancelOrder(t.Context(), cancel); err != nil || order.GetCancelTime() == nil {
		t.Errorf("got %v, %v; want it cancelled", order, err)
	}
	if _, err := c.orders.CancelOrder(t.Context(), cancel); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("cancelled twice: got %v, want FailedPrecondition", err)
	}
}

func TestReviewsAndTheirSummary(t *testing.T) {
	t.Parallel()
	c := open(t)
	made, err := c.catalog.CreateProduct(t.Context(), &catalogv1.CreateProductRequest{
		Product: &catalogv1.Product{DisplayName: "Tin Whistle", Shelf: "shelves/kitchen"},
	})
	if err != nil {
		t.Fatal(err)
	}
	summary := &reviewsv1.GetRatingSummaryRequest{Name: made.GetName() + "/ratingSummary"}
	if got, err := c.reviews.GetRatingSummary(t.Context(), summary); err != nil || !math.IsNaN(got.GetMean()) {
		t.Errorf("got %v, %v; want a mean of NaN", got, err)
	}
	for _, rating := range []int32{5, 4, 4, 4} { // the last two are one request, sent twice
		_, err := c.reviews.CreateReview(t.Context(), &reviewsv1.CreateReviewRequest{
			Parent: made.GetName(), RequestId: map[int32]string{4: "once"}[rating],
			Review: &reviewsv1.Review{Rating: rating, Title: "Loud"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.reviews.GetRatingSummary(t.Context(), summary)
	if err != nil || got.GetCount() != 2 || got.GetMean() != 4.5 || got.GetHistogram()[4] != 1 {
		t.Errorf("got %v, %v; want a five and a four", got, err)
	}
	list, err := c.reviews.ListReviews(t.Context(), &reviewsv1.ListReviewsRequest{Parent: made.GetName()})
	if err != nil || len(list.GetReviews()) != 2 {
		t.Fatalf("got %v, %v; want two", list, err)
	}
	name := list.GetReviews()[0].GetName()
	if _, err := c.reviews.DeleteReview(t.Context(), &reviewsv1.DeleteReviewRequest{Name: name}); err != nil {
		t.Error(err)
	}
	if _, err := c.reviews.GetReview(t.Context(), &reviewsv1.GetReviewRequest{Name: name}); status.Code(err) != codes.NotFound {
		t.Errorf("deleted: got %v, want NotFound", err)
	}
}

func TestWatchTellsThePastAndWhatHappensThen(t *testing.T) {
	t.Parallel()
	c := open(t)
	name := someStock(t, c)
	watch, err := c.inventory.WatchStock(t.Context(), &inventoryv1.WatchStockRequest{
		Name: name, Since: &timestamppb.Timestamp{}, MaxMovements: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := watch.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	stock, err := c.inventory.AdjustStock(t.Context(), &inventoryv1.AdjustStockRequest{
		Name: name, Delta: 5, Reason: inventoryv1.Movement_REASON_RECEIVED,
	})
	if err != nil {
		t.Fatal(err)
	}
	rest := collect(t, watch.Recv)
	if len(rest) != 1 || rest[0].GetMovement().GetDelta() != 5 || rest[0].GetMovement().GetOnHand() != stock.GetOnHand() {
		t.Errorf("got %v, want the five that came in", rest)
	}
}

func TestImportCounts(t *testing.T) {
	t.Parallel()
	c := open(t)
	name := someStock(t, c)
	stream, err := c.inventory.ImportCounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, count := range []*inventoryv1.ImportCountsRequest{
		{Name: name, Counted: 1}, {Name: "nonsense"}, {Name: name, Counted: -1}, {Name: name, Counted: 3},
	} {
		if err := stream.Send(count); err != nil {
			t.Fatal(err)
		}
	}
	result, err := stream.CloseAndRecv()
	if err != nil || result.GetImported() != 2 || len(result.GetRejected()) != 2 || result.GetRejected()[0].GetIndex() != 1 {
		t.Errorf("got %v, %v; want two stored and two rejected", result, err)
	}
	stock, err := c.inventory.GetStock(t.Context(), &inventoryv1.GetStockRequest{Name: name})
	if err != nil || stock.GetOnHand() != 3 {
		t.Errorf("got %v, %v; want 3 on hand", stock, err)
	}
}

func TestModeration(t *testing.T) {
	t.Parallel()
	stream, err := open(t).reviews.ModerateReviews(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		text    string
		verdict reviewsv1.ModerateReviewsResponse_Verdict
	}{
		{"A fine tent.", reviewsv1.ModerateReviewsResponse_VERDICT_PUBLISH},
		{"The WORST tent", reviewsv1.ModerateReviewsResponse_VERDICT_REVISE},
		{"awful, try https://casino.example", reviewsv1.ModerateReviewsResponse_VERDICT_REJECT},
	} {
		draft := &reviewsv1.ModerateReviewsRequest{DraftId: uint64(i), Text: want.text}
		if err := stream.Send(draft); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil || got.GetDraftId() != uint64(i) || got.GetVerdict() != want.verdict {
			t.Errorf("%q: got %v, %v; want %v", want.text, got, err, want.verdict)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if more := collect(t, stream.Recv); len(more) != 0 {
		t.Errorf("got %v after the last draft", more)
	}
}
