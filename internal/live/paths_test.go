package live_test

import (
	"context"
	"encoding/json"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// pathEcho is a backend that answers what it was asked: GetShelf with the name,
// ListProducts with parent and page token, in the next page's token.
func pathEcho(t *testing.T) string {
	t.Helper()
	return gatewaytest.Backend(t, gatewaytest.Script{
		catalogv1.CatalogService_GetShelf_FullMethodName: gatewaytest.Unary(func(_ context.Context, in *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			return &catalogv1.Shelf{Name: in.GetName()}, nil
		}),
		catalogv1.CatalogService_ListProducts_FullMethodName: gatewaytest.Unary(
			func(_ context.Context, in *catalogv1.ListProductsRequest) (*catalogv1.ListProductsResponse, error) {
				return &catalogv1.ListProductsResponse{NextPageToken: in.GetParent() + " " + in.GetPageToken()}, nil
			}),
	})
}

// gets binds an RPC of the catalog to GET of these paths.
func gets(rpc string, paths ...string) gatewaytest.Change {
	return func(c *configv1.Config) {
		rule := &annotations.HttpRule{Selector: "shop.catalog.v1.CatalogService." + rpc}
		for i, path := range paths {
			r := rule
			if i > 0 {
				r = &annotations.HttpRule{}
				rule.AdditionalBindings = append(rule.AdditionalBindings, r)
			}
			r.Pattern = &annotations.HttpRule_Get{Get: path}
		}
		c.Expose[0].Http = append(c.Expose[0].Http, rule)
	}
}

// checkEcho compares what the backend was asked.
func checkEcho(t *testing.T, g *gatewaytest.Gateway, path, want string) {
	t.Helper()
	a := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", path, ""))
	var got struct{ Name, NextPageToken string }
	if err := json.Unmarshal([]byte(a.Text), &got); err != nil || a.StatusCode != 200 || got.Name+got.NextPageToken != want {
		t.Errorf("GET %s: %d %s; want the backend to get %q", path, a.StatusCode, a.Text, want)
	}
}

// A variable that may span segments is decoded but for %2F (http.proto), with
// and without a version in the path.
func TestVariablesOfManySegmentsAreDecoded(t *testing.T) {
	shelves := gets("GetShelf", "/v1/{name=shelves/*}", "/v1/deep/{name=**}", "/v1/one/{name}")
	const sent, decoded = "jo%40example.com%3a%2F%2f%25%20%C3%A9+", "jo@example.com:%2F%2f% \u00e9+"
	g := gatewaytest.Start(t, gatewaytest.Config(pathEcho(t), shelves, deprecated))
	checkEcho(t, g, "/v1/shelves/"+sent, "shelves/"+decoded)
	checkEcho(t, g, "/shelves/"+sent, "shelves/"+decoded)
	checkEcho(t, g, "/v1/deep/"+sent, decoded)
	checkEcho(t, g, "/v1/one/a%40b%2Fc", "a@b/c")
}

// With keep_reserved the reserved characters of RFC 6570 stay as they were sent.
func TestReservedCharactersCanStayEncoded(t *testing.T) {
	shelves := gets("GetShelf", "/v1/{name=shelves/*}", "/v1/deep/{name=**}", "/v1/one/{name}")
	const sent, kept = "jo%40example.com%3a%2F%25%20%C3%A9", "jo%40example.com%3a%2F% \u00e9"
	g := gatewaytest.Start(t, gatewaytest.Config(pathEcho(t), shelves, deprecated, func(c *configv1.Config) {
		c.Paths = &configv1.Paths{KeepReserved: true}
	}))
	checkEcho(t, g, "/v1/shelves/"+sent, "shelves/"+kept)
	checkEcho(t, g, "/shelves/"+sent, "shelves/"+kept)
	checkEcho(t, g, "/v1/deep/"+sent, kept)
	checkEcho(t, g, "/v1/one/a%40b%2Fc", "a@b/c")
}

// A registered verb that ends the path wins over a binding that would swallow it,
// in whatever order the bindings are written.
func TestVerbWinsOverMoreLiterals(t *testing.T) {
	topic, policy := gets("GetShelf", "/v1/{name=topics/*}"), gets("ListProducts", "/v1/{parent=**}:getIamPolicy")
	for _, order := range [][]gatewaytest.Change{{topic, policy}, {policy, topic}} {
		g := gatewaytest.Start(t, gatewaytest.Config(pathEcho(t), order...))
		checkEcho(t, g, "/v1/topics/t:getIamPolicy", "topics/t ")
		checkEcho(t, g, "/v1/topics/t:other", "topics/t:other")
		checkEcho(t, g, "/v1/topics/t%3AgetIamPolicy", "topics/t:getIamPolicy")
	}
}

// Segments behind "**" are taken from the end of the path.
func TestSegmentsBehindDeepWildcardAreServed(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Config(pathEcho(t),
		gets("ListProducts", "/v1/{parent=projects/*/databases/*/documents/*/**}/{page_token}", "/v1/{parent=projects/*/databases/*/documents}/{page_token}")))
	const documents = "projects/p/databases/d/documents"
	checkEcho(t, g, "/v1/"+documents+"/rooms/a/b%2Fc/messages", documents+"/rooms/a/b%2Fc messages")
	checkEcho(t, g, "/v1/"+documents+"/rooms/m%2Fn", documents+"/rooms m/n")
	checkEcho(t, g, "/v1/"+documents+"/rooms", documents+" rooms")
}
