package edge_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestUnknownEncoding: a refused compression comes with those that would do, in the
// one header block of a call that ended before it began.
func TestUnknownEncoding(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil)))
	request := edgetest.Frame(1, edgetest.Wire(t, &catalogv1.GetProductRequest{Name: "products/boots"}))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.HTTP+edgetest.GetProduct, strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": "application/grpc", "Te": "trailers", "Grpc-Encoding": "lzma"} {
		r.Header.Set(name, value)
	}
	resp, err := gatewaytest.Client(t, gatewaytest.H2C).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.Header.Get("Grpc-Status") != "12" || resp.Header.Get("Grpc-Accept-Encoding") != "gzip" {
		t.Errorf("got headers %v, trailers %v; want grpc-status 12 and grpc-accept-encoding gzip in the headers", resp.Header, resp.Trailer)
	}
}

// TestFieldViolations: programs compare the field with names, so it is a path and
// nothing else, whatever the client wrote.
func TestFieldViolations(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil)))
	for _, tc := range []struct{ method, target, body, want string }{
		{"POST", "/v1/products", `{"displayName": 1}`, "displayName"},
		{"POST", "/v1/products", `{"images": [{}, {"fingerprint": 1}]}`, "images[1].fingerprint"},
		{"POST", "/v1/products", `{"display name": 1}`, "display name"},
		{"POST", "/v1/products", `{"price": {"§": 1}}`, "price.§"},
		{"POST", "/v1/products", `{"attributes": {"colour": 1}}`, "attributes[colour]"},
		{"POST", "/v1/products", `{"attributes": {"say \"hi\"": 1}}`, `attributes[say "hi"]`},
		{"GET", "/v1/products?page%20size=1", "", "page size"},
		{"GET", "/v1/products?filter%5Bname%5D=1", "", "filter[name]"},
		{"GET", "/v1/products?pageSize=many", "", "pageSize"},
	} {
		got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, tc.method, tc.target, tc.body))
		var body struct {
			Error struct {
				Details []struct {
					FieldViolations []struct{ Field string }
				}
			}
		}
		if err := json.Unmarshal([]byte(got.Text), &body); err != nil || len(body.Error.Details) != 1 || len(body.Error.Details[0].FieldViolations) != 1 {
			t.Errorf("%s %s: got %s (%v)", tc.target, tc.body, got.Text, err)
			continue
		}
		if field := body.Error.Details[0].FieldViolations[0].Field; field != tc.want {
			t.Errorf("%s %s: field %q, want %q", tc.target, tc.body, field, tc.want)
		}
	}
}
