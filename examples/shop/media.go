package shop

import (
	"context"
	"crypto/sha256"
	"fmt"
	"html"
	"strings"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
)

// maxMediaSize is how large a file may be, in bytes.
const maxMediaSize = 1 << 20

func (c *catalog) GetMedia(
	_ context.Context, request *catalogv1.GetMediaRequest,
) (*httpbody.HttpBody, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	body, ok := c.media[request.GetName()]
	if !ok {
		return nil, notFound("Media", request.GetName())
	}
	return body, nil
}

func (c *catalog) UploadMedia(
	_ context.Context, request *catalogv1.UploadMediaRequest,
) (*catalogv1.Media, error) {
	name, data := request.GetName(), request.GetContent().GetData()
	product, path, ok := strings.Cut(name, "/media/")
	if !ok || path == "" {
		return nil, invalid("name", "got %q, want products/{product}/media/{path}", name)
	}
	if len(data) > maxMediaSize {
		return nil, invalid("content.data", "got %d bytes, want %d at most", len(data), maxMediaSize)
	}
	body := proto.CloneOf(request.GetContent())
	if body == nil {
		body = &httpbody.HttpBody{}
	}
	if body.GetContentType() == "" {
		body.ContentType = "application/octet-stream"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.products.get(product); !ok {
		return nil, notFound("Product", product)
	}
	c.media[name] = body
	sum := sha256.Sum256(data)
	return &catalogv1.Media{
		Name: name, ContentType: body.GetContentType(), SizeBytes: int64(len(data)), Sha256: sum[:],
	}, nil
}

// fillMedia gives a new product a picture and a leaflet.
func (c *catalog) fillMedia(product *catalogv1.Product) {
	for _, image := range product.GetImages() {
		picture := drawing(product, image.GetAltText())
		sum := sha256.Sum256(picture)
		image.Fingerprint = sum[:8]
		c.media[image.GetMedia()] = &httpbody.HttpBody{ContentType: "image/svg+xml", Data: picture}
	}
	c.media[product.GetName()+"/media/docs/leaflet.txt"] = &httpbody.HttpBody{
		ContentType: "text/plain; charset=utf-8",
		Data:        fmt.Appendf(nil, "%s\n\n%s\n", product.GetDisplayName(), product.GetDescription()),
	}
}

// drawing is a picture of a product, in a colour of its own.
func drawing(product *catalogv1.Product, title string) []byte {
	hue := digest64(product) % 360
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 200">
  <title>%s</title>
  <rect width="320" height="200" fill="hsl(%d 40%% 88%%)"/>
  <path d="M40 160 L160 40 L280 160 Z" fill="hsl(%d 45%% 45%%)"/>
  <text x="160" y="186" text-anchor="middle" font-family="sans-serif" font-size="14">%s</text>
</svg>
`, html.EscapeString(title), hue, hue, html.EscapeString(product.GetDisplayName()))
}
