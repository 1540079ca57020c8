package shop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
)

// catalog serves shop.catalog.v1.CatalogService.
type catalog struct {
	catalogv1.UnimplementedCatalogServiceServer

	now func() time.Time

	mu       sync.RWMutex // guards what follows
	shelves  *table[*catalogv1.Shelf]
	products *table[*catalogv1.Product]
	media    map[string]*httpbody.HttpBody // by name
}

func newCatalog(now func() time.Time, seed *seed) *catalog {
	c := &catalog{
		now:      now,
		shelves:  newTable[*catalogv1.Shelf](),
		products: newTable[*catalogv1.Product](),
		media:    map[string]*httpbody.HttpBody{},
	}
	for _, shelf := range seed.Shelves {
		c.shelves.put(shelf.M.GetName(), shelf.M.GetName(), shelf.M)
	}
	for _, product := range seed.products {
		c.fillMedia(product)
		c.store(product)
	}
	return c
}

// has tells whether there is a product.
func (c *catalog) has(product string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.products.get(product)
	return ok
}

// store puts a product, which becomes the catalog's own, under a new etag.
func (c *catalog) store(product *catalogv1.Product) {
	product.Etag = ""
	product.Etag = etag(product)
	c.products.put(product.GetName(), product.GetName(), product)
}

func (c *catalog) ListShelves(
	_ context.Context, request *catalogv1.ListShelvesRequest,
) (*catalogv1.ListShelvesResponse, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, err := c.shelves.list(request, func(*catalogv1.Shelf) bool { return true })
	if err != nil {
		return nil, err
	}
	response := &catalogv1.ListShelvesResponse{NextPageToken: found.next}
	for _, shelf := range found.items {
		response.Shelves = append(response.Shelves, c.counted(shelf))
	}
	return response, nil
}

func (c *catalog) GetShelf(_ context.Context, request *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	shelf, ok := c.shelves.get(request.GetName())
	if !ok {
		return nil, notFound("Shelf", request.GetName())
	}
	return c.counted(shelf), nil
}

// counted is a shelf with the number of products that stand on it now.
func (c *catalog) counted(shelf *catalogv1.Shelf) *catalogv1.Shelf {
	shelf = proto.CloneOf(shelf)
	for _, product := range c.products.rows {
		if product.GetShelf() == shelf.GetName() && product.GetState() != catalogv1.Product_STATE_ARCHIVED {
			shelf.ProductCount++
		}
	}
	return shelf
}

func (c *catalog) ListProducts(
	_ context.Context, request *catalogv1.ListProductsRequest,
) (*catalogv1.ListProductsResponse, error) {
	if _, ok := convert(euros(0), request.GetCurrency()); !ok {
		return nil, unknownCurrency(request.GetCurrency())
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if _, ok := c.shelves.get(request.GetParent()); !ok && request.GetParent() != "" {
		return nil, notFound("Shelf", request.GetParent())
	}
	found, err := c.products.list(request, func(product *catalogv1.Product) bool {
		onShelf := request.GetParent() == "" || product.GetShelf() == request.GetParent()
		archived := product.GetState() == catalogv1.Product_STATE_ARCHIVED
		return onShelf && (request.GetShowArchived() || !archived)
	})
	if err != nil {
		return nil, err
	}
	response := &catalogv1.ListProductsResponse{
		Products: slices.Clone(found.items), NextPageToken: found.next, TotalSize: int32(found.total),
	}
	for i, product := range response.GetProducts() {
		response.Products[i] = priced(product, request.GetCurrency())
	}
	return response, nil
}

func (c *catalog) GetProduct(
	_ context.Context, request *catalogv1.GetProductRequest,
) (*catalogv1.Product, error) {
	if _, ok := convert(euros(0), request.GetCurrency()); !ok {
		return nil, unknownCurrency(request.GetCurrency())
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	product, ok := c.products.get(request.GetName())
	if !ok {
		return nil, notFound("Product", request.GetName())
	}
	return priced(product, request.GetCurrency()), nil
}

func unknownCurrency(currency string) error {
	return invalid("currency", "got %q, want one of CHF, EUR, GBP, SEK, USD", currency)
}

// priced is a product with its price in a currency that the shop knows.
func priced(product *catalogv1.Product, currency string) *catalogv1.Product {
	price, ok := convert(product.GetPrice(), currency)
	if !ok || price == product.GetPrice() {
		return product
	}
	product = proto.CloneOf(product)
	product.Price = price
	return product
}

func (c *catalog) CreateProduct(
	_ context.Context, request *catalogv1.CreateProductRequest,
) (*catalogv1.Product, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.create(request.GetProduct(), request.GetProductId(), request.GetValidateOnly())
}

// create adds a product under an id; without one it is made from the label.
func (c *catalog) create(given *catalogv1.Product, id string, dryRun bool) (*catalogv1.Product, error) {
	if given == nil {
		return nil, invalid("product", "required")
	}
	if id == "" {
		id = c.freeID(slug(given.GetDisplayName()))
	}
	var wrong violations
	checkID(&wrong, "product_id", id)
	c.check(&wrong, given)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	name := "products/" + id
	if _, ok := c.products.get(name); ok {
		return nil, alreadyExists("Product", name)
	}
	product := proto.CloneOf(given)
	clearOurs(product)
	product.Name, product.State = name, catalogv1.Product_STATE_ACTIVE
	product.CreateTime = timestamppb.New(c.now())
	product.UpdateTime = product.GetCreateTime()
	if !dryRun {
		c.store(product)
	}
	return product, nil
}

// freeID is the id, or the id with the first number that makes it new.
func (c *catalog) freeID(id string) string {
	free := id
	for n := 2; ; n++ {
		if _, taken := c.products.get("products/" + free); !taken {
			return free
		}
		free = fmt.Sprintf("%s-%d", id, n)
	}
}

// check notes what is wrong with the values of a product.
func (c *catalog) check(wrong *violations, product *catalogv1.Product) {
	if strings.TrimSpace(product.GetDisplayName()) == "" {
		wrong.addf("product.display_name", "required")
	}
	if _, ok := c.shelves.get(product.GetShelf()); !ok {
		wrong.addf("product.shelf", "got %q, want a shelf such as shelves/tents", product.GetShelf())
	}
	if product.GetPrice() != nil {
		checkPrice(wrong, "product.price", product.GetPrice())
	}
	if product.GetWeightGrams() < 0 {
		wrong.addf("product.weight_grams", "got %d, want 0 or more", product.GetWeightGrams())
	}
}

func (c *catalog) UpdateProduct(
	_ context.Context, request *catalogv1.UpdateProductRequest,
) (*catalogv1.Product, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := request.GetProduct().GetName()
	old, ok := c.products.get(name)
	if !ok && request.GetAllowMissing() {
		return c.create(request.GetProduct(), strings.TrimPrefix(name, "products/"), false)
	}
	if !ok {
		return nil, notFound("Product", name)
	}
	if err := checkEtag(old, request.GetProduct().GetEtag()); err != nil {
		return nil, err
	}
	product, err := update(old, request.GetProduct(), request.GetUpdateMask())
	if err != nil {
		return nil, err
	}
	var wrong violations
	if c.check(&wrong, product); len(wrong) > 0 {
		return nil, wrong.err()
	}
	product.UpdateTime = timestamppb.New(c.now())
	c.store(product)
	return product, nil
}

// checkEtag refuses a change of a product that is not what the caller saw.
func checkEtag(product *catalogv1.Product, seen string) error {
	if seen == "" || seen == product.GetEtag() {
		return nil
	}
	return aborted("ETAG_MISMATCH", product.GetName(),
		"%q was changed since it was read: its etag is %s, not %s", product.GetName(), product.GetEtag(), seen)
}

func (c *catalog) DeleteProduct(
	_ context.Context, request *catalogv1.DeleteProductRequest,
) (*emptypb.Empty, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	product, ok := c.products.get(request.GetName())
	if !ok && request.GetAllowMissing() {
		return &emptypb.Empty{}, nil
	}
	if !ok {
		return nil, notFound("Product", request.GetName())
	}
	if err := checkEtag(product, request.GetEtag()); err != nil {
		return nil, err
	}
	c.products.remove(product.GetName())
	return &emptypb.Empty{}, nil
}

func (c *catalog) ArchiveProduct(
	_ context.Context, request *catalogv1.ArchiveProductRequest,
) (*catalogv1.Product, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.products.get(request.GetName())
	if !ok {
		return nil, notFound("Product", request.GetName())
	}
	if old.GetState() == catalogv1.Product_STATE_ARCHIVED {
		return nil, precondition("ALREADY_ARCHIVED", old.GetName(), "%q is archived already", old.GetName())
	}
	product := proto.CloneOf(old)
	product.State = catalogv1.Product_STATE_ARCHIVED
	product.UpdateTime = timestamppb.New(c.now())
	if request.GetReason() != "" {
		product.Attributes = withEntry(product.GetAttributes(), "archived because", request.GetReason())
	}
	c.store(product)
	return product, nil
}

// withEntry adds to a map that may not be there yet.
func withEntry(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}
