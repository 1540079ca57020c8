package live_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// deprecated has the whole catalog, and the stock, go away.
func deprecated(c *configv1.Config) {
	c.Versions = []*configv1.Versions{{
		Name: "shop", Default: "v1",
		List: []*configv1.Version{
			{Name: "v1", Select: []string{"shop.catalog.v1.*", "shop.inventory.v1.*"}, Deprecation: &configv1.Deprecation{
				Date: "2026-01-01", Sunset: "2027-01-01T12:00:00Z", Link: "https://shop.example/v1-goes", Successor: "/v2/products",
			}},
			{Name: "v2", Select: []string{"shop.reviews.v2.*"}},
		},
	}}
}

var noticed = map[string]string{
	"deprecation": "@1767225600",
	"sunset":      "Fri, 01 Jan 2027 12:00:00 GMT",
	"link":        `<https://shop.example/v1-goes>; rel="deprecation", </v2/products>; rel="successor-version"`,
}

func checkNotice(t *testing.T, name string, o outcome) {
	t.Helper()
	for key, want := range noticed {
		if got := o.header[key]; len(got) == 0 || got[len(got)-1] != want || key != "link" && len(got) > 1 {
			t.Errorf("%s: %s is %q, want %q", name, key, got, want)
		}
	}
}

// TestDeprecationIsToldOnEveryProtocol: with answers, with the backend's errors,
// with streams, and with what a policy refuses; beside the backend's own links.
func TestDeprecationIsToldOnEveryProtocol(t *testing.T) {
	for _, d := range doors() {
		t.Run(d.name, func(t *testing.T) {
			b := &shopBackend{see: func(ctx context.Context) { _ = grpc.SetHeader(ctx, metadata.Pairs("link", `</next>; rel="next"`)) }}
			g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), deprecated))
			caller := d.open(t, g)
			for _, rpc := range []rpc{getShelf, watchStock} {
				o := caller.call(t.Context(), rpc)
				checkNotice(t, rpc.name, o)
				if o.code != codes.OK || !slices.Equal(o.header["link"], []string{`</next>; rel="next"`, noticed["link"]}) {
					t.Errorf("%s: %v %s %q", rpc.name, o.code, o.message, o.header["link"])
				}
			}
			failing := &shopBackend{fail: func(int64) error { return status.Error(codes.NotFound, "no such shelf") }}
			o := d.open(t, gatewaytest.Start(t, gatewaytest.Config(failing.start(t), deprecated))).call(t.Context(), getShelf)
			checkNotice(t, "an error of the backend", o)
			if o.code != codes.NotFound {
				t.Errorf("got %v %s", o.code, o.message)
			}
		})
	}
}

// TestDeprecationIsToldWithRefusals: who may not call should know too.
func TestDeprecationIsToldWithRefusals(t *testing.T) {
	for _, d := range doors() {
		t.Run(d.name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Config((&shopBackend{}).start(t), deprecated, func(c *configv1.Config) {
				c.Expose[0].Policy.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(1), Per: durationpb.New(time.Hour)}}
			}))
			caller := d.open(t, g)
			for _, want := range []codes.Code{codes.OK, codes.ResourceExhausted} {
				o := caller.call(t.Context(), getShelf)
				checkNotice(t, want.String(), o)
				if o.code != want {
					t.Errorf("got %v %s, want %v", o.code, o.message, want)
				}
			}
		})
	}
}

// TestDeprecationIsCounted: every call, by method and version.
func TestDeprecationIsCounted(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Config((&shopBackend{}).start(t), deprecated))
	for _, d := range doors() {
		d.open(t, g).call(t.Context(), getShelf)
	}
	r := g.Request(t, "GET", "/metrics", "")
	r.URL.Host = g.Admin
	a := gatewaytest.Do(t, gatewaytest.Client(t), r)
	want := fmt.Sprintf(`gatehouse_deprecated_calls_total{method="%s",version="v1"} %d`, catalogv1.CatalogService_GetShelf_FullMethodName, len(doors()))
	if !strings.Contains(a.Text, want) {
		t.Errorf("metrics have no %s", want)
	}
}

// TestNoDeprecationWhereNoneIsDeclared: nor of what has no version.
func TestNoDeprecationWhereNoneIsDeclared(t *testing.T) {
	for _, d := range doors() {
		g := gatewaytest.Start(t, gatewaytest.Config((&shopBackend{}).start(t), func(c *configv1.Config) {
			deprecated(c)
			c.Versions[0].List[0].Deprecation = nil
		}))
		o := d.open(t, g).call(t.Context(), getShelf)
		for key := range noticed {
			if len(o.header[key]) > 0 {
				t.Errorf("%s: %s is %q", d.name, key, o.header[key])
			}
		}
	}
}

// wrongVersions are mistakes that only show beside the contracts, and what their
// errors say.
var wrongVersions = []struct {
	name   string
	change gatewaytest.Change
	wants  []string
}{
	{"an RPC in two versions", selects("shop.reviews.v1.*", "shop.reviews.v1.ReviewsService.GetReview"), []string{
		"versions[0].list[1].select[0]: shop.reviews.v1.ReviewsService.GetReview is in version v1 of reviews by versions[0].list[0]",
	}},
	{"a select of nothing", selects("shop.reviews.v1.*", "shop.review.v2.*"), []string{
		`versions[0].list[1].select[0]: "shop.review.v2.*" matches no exposed RPC; did you mean "shop.reviews.v2.*"?`,
	}},
	{"an RPC in two APIs", func(c *configv1.Config) {
		selects("shop.reviews.v1.*", "shop.reviews.v2.*")(c)
		c.Versions = append(c.Versions, &configv1.Versions{Name: "more", List: []*configv1.Version{{Name: "v1", Select: []string{"shop.reviews.v1.ReviewsService"}}}})
	}, []string{"versions[1].list[0].select[0]: shop.reviews.v1.ReviewsService.GetReview is in version v1 of reviews by versions[0].list[0]"}},
	{"another version in the path", func(c *configv1.Config) {
		selects("shop.reviews.v1.*", "shop.reviews.v2.*")(c)
		rebind(c, "shop.reviews.v2.ReviewsService.GetReview", "/v1/reviews/{name}")
	}, []string{`"v1" is in the path of what belongs to version v2`}},
	{"two paths of one version", func(c *configv1.Config) {
		selects("shop.reviews.v1.*", "shop.reviews.v2.*")(c)
		rebind(c, "shop.reviews.v2.ReviewsService.GetReview", "/{name=products/*}/reviews")
	}, []string{"/{name=products/*}/reviews", "shop.reviews.v2.ReviewsService.ListReviews"}},
	{"one path of two APIs", func(c *configv1.Config) {
		selects("shop.reviews.v1.*", "shop.reviews.v2.*")(c)
		c.Versions = append(c.Versions, &configv1.Versions{Name: "catalog", List: []*configv1.Version{{Name: "v3", Select: []string{"shop.catalog.v1.CatalogService.GetShelf"}}}})
		rebind(c, "shop.catalog.v1.CatalogService.GetShelf", "/{name=products/*}/reviews")
	}, []string{"version v1 of reviews", "version v3 of catalog", "is the same binding as"}},
	{"a path that is taken", func(c *configv1.Config) {
		selects("shop.reviews.v1.*", "shop.reviews.v2.*")(c)
		rebind(c, "shop.catalog.v1.CatalogService.GetShelf", "/products/{name}/reviews")
	}, []string{"the path without its version, /{parent=products/*}/reviews, is served by GET /products/{name}/reviews of /shop.catalog.v1.CatalogService/GetShelf"}},
	{"a path that is taken by a wider one", func(c *configv1.Config) {
		selects("shop.reviews.v1.*", "shop.reviews.v2.*")(c)
		rebind(c, "shop.catalog.v1.CatalogService.GetShelf", "/{name=**}")
	}, []string{"is served by GET /{name=**} of /shop.catalog.v1.CatalogService/GetShelf"}},
}

func selects(first, second string) gatewaytest.Change {
	return func(c *configv1.Config) {
		c.Versions = []*configv1.Versions{{Name: "reviews", List: []*configv1.Version{{Name: "v1", Select: []string{first}}, {Name: "v2", Select: []string{second}}}}}
	}
}

// rebind gives an RPC another path than its contract has.
func rebind(c *configv1.Config, selector, get string) {
	c.Expose = append(c.Expose, &configv1.Exposure{
		Select: selector, Upstream: "shop", Policy: c.GetExpose()[0].GetPolicy(),
		Http: []*annotations.HttpRule{{Pattern: &annotations.HttpRule_Get{Get: get}, Body: ""}},
	})
}

func TestWrongVersions(t *testing.T) {
	for _, w := range wrongVersions {
		file, err := config.New(gatewaytest.Config(gatewaytest.Unreachable(t), w.change))
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		g, err := live.New(t.Context(), live.Options{Config: file, LogTo: io.Discard})
		if err == nil {
			_ = g.Close()
			t.Errorf("%s: no error", w.name)
			continue
		}
		for _, want := range w.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v\nwant %s", w.name, err, want)
			}
		}
	}
}

// TestRoutesTellVersions: `gatehouse routes` has both paths, each on a line.
func TestRoutesTellVersions(t *testing.T) {
	file, err := config.New(gatewaytest.Config(gatewaytest.Unreachable(t), selects("shop.reviews.v1.*", "shop.reviews.v2.*")))
	if err != nil {
		t.Fatal(err)
	}
	g, err := live.New(t.Context(), live.Options{Config: file, LogTo: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	got := map[string]string{}
	for _, r := range admin.Routes(g.Table()) {
		if r.Version != "" && strings.HasSuffix(r.Method, "/GetReview") {
			got[r.Path+" "+strings.TrimPrefix(r.Method, "/shop.reviews.")] = r.OpenPath + " " + r.Version
		}
	}
	if want := (map[string]string{
		"/v1/{name=products/*/reviews/*} v1.ReviewsService/GetReview": "/{name=products/*/reviews/*} v1 of reviews",
		"/{name=products/*/reviews/*} v1.ReviewsService/GetReview":    "/{name=products/*/reviews/*} v1 of reviews",
		"/v2/{name=products/*/reviews/*} v2.ReviewsService/GetReview": "/{name=products/*/reviews/*} v2 of reviews",
		"/{name=products/*/reviews/*} v2.ReviewsService/GetReview":    "/{name=products/*/reviews/*} v2 of reviews",
	}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestVersionsChangeWithTheTable: another list is in force at once.
func TestVersionsChangeWithTheTable(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{
		catalogv1.CatalogService_GetShelf_FullMethodName: gatewaytest.Unary(func(context.Context, *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			return new(catalogv1.Shelf), nil
		}),
	})))
	client := gatewaytest.Client(t)
	try := func() int {
		return gatewaytest.Do(t, client, g.Request(t, "GET", "/shelves/tents", "")).StatusCode
	}
	if got := try(); got != 404 {
		t.Errorf("without versions: %d", got)
	}
	for _, step := range []struct {
		change gatewaytest.Change
		want   int
	}{{deprecated, 200}, {func(c *configv1.Config) { c.Versions[0].Default = "v2" }, 404}, {func(c *configv1.Config) { c.Versions[0].Default = "" }, 400}, {func(c *configv1.Config) { c.Versions = nil }, 404}} {
		file, err := g.Gateway.Table().File.With(step.change)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Gateway.Rebuild(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		if got := try(); got != step.want {
			t.Errorf("got %d, want %d", got, step.want)
		}
	}
}
