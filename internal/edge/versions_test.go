package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	reviewsv2 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v2"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// editions serves both versions of the shop's reviews, and notes what backends
// are told of the version.
type editions struct {
	mu   sync.Mutex
	told []string // in "x-api-version", per call
}

func (e *editions) note(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = append(e.told, strings.Join(append(md["x-api-version"], md["x_api_version"]...), "|"))
}

func (e *editions) script() gatewaytest.Script {
	return gatewaytest.Script{
		reviewsv1.ReviewsService_GetReview_FullMethodName: gatewaytest.Unary(func(ctx context.Context, in *reviewsv1.GetReviewRequest) (*reviewsv1.Review, error) {
			e.note(ctx)
			_ = grpc.SetHeader(ctx, metadata.Pairs("vary", "Accept-Language", "x-api-version", "v1 of the backend's", "link", "</next>; rel=\"next\""))
			return &reviewsv1.Review{Name: in.GetName(), Title: "v1"}, nil
		}),
		reviewsv2.ReviewsService_GetReview_FullMethodName: gatewaytest.Unary(func(ctx context.Context, in *reviewsv2.GetReviewRequest) (*reviewsv2.Review, error) {
			e.note(ctx)
			return &reviewsv2.Review{Name: in.GetName(), Title: "v2"}, nil
		}),
		reviewsv1.ReviewsService_CreateReview_FullMethodName: gatewaytest.Unary(func(ctx context.Context, in *reviewsv1.CreateReviewRequest) (*reviewsv1.Review, error) {
			e.note(ctx)
			return &reviewsv1.Review{Name: in.GetParent(), Title: "v1"}, nil
		}),
		reviewsv1.ReviewsService_DeleteReview_FullMethodName: gatewaytest.Unary(func(ctx context.Context, _ *reviewsv1.DeleteReviewRequest) (*emptypb.Empty, error) {
			e.note(ctx)
			return new(emptypb.Empty), nil
		}),
	}
}

// versioned serves the reviews in two versions, the second by default.
func versioned(c *configv1.Config) {
	c.Versions = []*configv1.Versions{{
		Name: "reviews", Default: "v2",
		List: []*configv1.Version{{Name: "v1", Select: []string{"shop.reviews.v1.*"}}, {Name: "v2", Select: []string{"shop.reviews.v2.*"}}},
	}}
}

// bound gives an RPC another path than its contract has.
func bound(selector, get string) gatewaytest.Change {
	return func(c *configv1.Config) {
		c.Expose = append(c.Expose, &configv1.Exposure{
			Select: selector, Upstream: "shop", Policy: c.GetExpose()[0].GetPolicy(), Http: []*annotations.HttpRule{{Pattern: &annotations.HttpRule_Get{Get: get}}},
		})
	}
}

const review = "/products/boots/reviews/7"

// ways are requests for a review: by path, by header, by media type, by nothing,
// and by several of them.
var ways = []struct {
	name   string
	method string // GET if empty
	path   string
	header []string
	status int
	served string // version
	says   string // a part of the refusal
}{
	{name: "path v1", path: "/v1" + review, status: 200, served: "v1"},
	{name: "path v2", path: "/v2" + review, status: 200, served: "v2"},
	{name: "default", path: review, status: 200, served: "v2"},
	{name: "header v1", path: review, header: []string{"X-API-Version: v1"}, status: 200, served: "v1"},
	{name: "header v2", path: review, header: []string{"X-API-Version: v2"}, status: 200, served: "v2"},
	{name: "header in blanks", path: review, header: []string{"X-API-Version: \t v1 "}, status: 200, served: "v1"},
	{name: "accept v1", path: review, header: []string{"Accept: application/json; version=v1"}, status: 200, served: "v1"},
	{name: "accept without blanks", path: review, header: []string{"Accept: application/json;version=v1"}, status: 200, served: "v1"},
	{name: "accept in quotes", path: review, header: []string{`Accept: application/json; charset="a;b,c"; version="v1"`}, status: 200, served: "v1"},
	{name: "accept in capitals", path: review, header: []string{"Accept: application/json; VERSION=v1"}, status: 200, served: "v1"},
	{name: "accept among others", path: review, header: []string{"Accept: text/html, application/json;q=0.9;version=v1, */*;q=0.1"}, status: 200, served: "v1"},
	{name: "accept in the second header", path: review, header: []string{"Accept: text/html", "Accept: application/json;version=v1"}, status: 200, served: "v1"},
	{name: "accept without a version", path: review, header: []string{"Accept: application/json; q=0.5"}, status: 200, served: "v2"},
	{name: "accept with another parameter", path: review, header: []string{"Accept: application/json; xversion=v1; version2=v9"}, status: 200, served: "v2"},
	{name: "accept with a quoted lookalike", path: review, header: []string{`Accept: application/json; x="; version=v1"`}, status: 200, served: "v2"},
	{name: "content-type of a GET", path: review, header: []string{"Content-Type: application/json; version=v1"}, status: 200, served: "v2"},
	{name: "thrice the same", path: "/v1" + review, header: []string{"X-API-Version: v1", "Accept: application/json;version=v1"}, status: 200, served: "v1"},
	{name: "HEAD", method: "HEAD", path: review, header: []string{"X-API-Version: v1"}, status: 200, served: "v1"},

	{name: "path and header", path: "/v1" + review, header: []string{"X-API-Version: v2"}, status: 400, says: "the path names version v1 of \"reviews\", and header x-api-version version v2"},
	{name: "path and accept", path: "/v2" + review, header: []string{"Accept: a/b;version=v1"}, status: 400, says: "and accept version v1"},
	{name: "header and accept", path: review, header: []string{"X-API-Version: v2", "Accept: a/b;version=v1"}, status: 400, says: "header x-api-version names version v2 of \"reviews\", and accept version v1"},
	{name: "accept twice", path: review, header: []string{"Accept: a/b;version=v1, a/b;version=v2;q=0.1"}, status: 400, says: "accept names version v1"},
	{name: "accept twice in one type", path: review, header: []string{"Accept: a/b;version=v1;version=v2"}, status: 400, says: "accept names version v1"},
	{name: "accept declines", path: review, header: []string{"Accept: a/b;version=v1;q=0.00"}, status: 400, says: "q=0"},
	{name: "accept declines first", path: review, header: []string{"Accept: a/b;q=0;version=v1"}, status: 400, says: "q=0"},
	{name: "header twice", path: review, header: []string{"X-API-Version: v1", "X-API-Version: v1"}, status: 400, says: "must name one version"},
	{name: "header with a comma", path: review, header: []string{"X-API-Version: v1, v1"}, status: 400, says: "must name one version"},

	{name: "unknown header", path: review, header: []string{"X-API-Version: v9"}, status: 400, says: `names version "v9" of "reviews", which has v1, v2`},
	{name: "empty header", path: review, header: []string{"X-API-Version: "}, status: 400, says: "which has v1, v2"},
	{name: "another case", path: review, header: []string{"X-API-Version: V1"}, status: 400, says: "which has v1, v2"},
	{name: "number alone", path: review, header: []string{"X-API-Version: 1"}, status: 400, says: "which has v1, v2"},
	{name: "quoted header", path: review, header: []string{`X-API-Version: "v1"`}, status: 400, says: "which has v1, v2"},
	{name: "encoded header", path: review, header: []string{"X-API-Version: %76%31"}, status: 400, says: "which has v1, v2"},
	{name: "long header", path: review, header: []string{"X-API-Version: " + strings.Repeat("v", 5000)}, status: 400, says: "which has v1, v2"},
	{name: "unknown accept", path: review, header: []string{"Accept: a/b;version=v9"}, status: 400, says: `accept names version "v9"`},
	{name: "accept without a value", path: review, header: []string{"Accept: a/b;version"}, status: 400, says: `accept names version ""`},
	{name: "accept with an open quote", path: review, header: []string{`Accept: a/b;version="v1`}, status: 400, says: "which has v1, v2"},
	{name: "accept with a quoted pair", path: review, header: []string{`Accept: a/b;version="v\1"`}, status: 400, says: "which has v1, v2"},
	{name: "unknown path", path: "/v9" + review, status: 400, says: `the path names version "v9"`},
	{name: "unknown path with a known header", path: "/v9" + review, header: []string{"X-API-Version: v1"}, status: 400, says: `the path names version "v9"`},
	{name: "path in capitals", path: "/V1" + review, status: 400, says: `the path names version "V1"`},
	{name: "known path, unknown header", path: "/v1" + review, header: []string{"X-API-Version: v9"}, status: 400, says: `"v9"`},

	{name: "only in v1, default", path: "/products/boots/ratingSummary", status: 404, says: `in version v2 of "reviews": it is in v1`},
	{name: "only in v1, by path", path: "/v2/products/boots/ratingSummary", status: 404, says: `in version v2 of "reviews": it is in v1`},
	{name: "in no version", path: "/products/boots/nothing", status: 404, says: "nothing is served at GET /products/boots/nothing"},
	{name: "in no version by path", path: "/v1/products/boots/nothing", status: 404, says: "nothing is served at GET /v1/products/boots/nothing"},
	{name: "unknown in no version", path: "/v9/products/boots/nothing", status: 404, says: "nothing is served at GET /v9/products/boots/nothing"},
	{name: "no version at all", path: "/internal" + review, status: 404, says: "nothing is served at"},
	{name: "trailing slash", path: review + "/", status: 404, says: "nothing is served at"},
	{name: "bad path", path: "/products/boots/../reviews/7", status: 400, says: "bad path"},

	{name: "not a method of v2", method: "DELETE", path: review, status: 405, says: "use GET, HEAD"},
	{name: "a method of v1", method: "DELETE", path: review, header: []string{"X-API-Version: v1"}, status: 200, served: "v1"},
	{name: "a method of none", method: "PUT", path: review, header: []string{"X-API-Version: v1"}, status: 405, says: "use DELETE, GET, HEAD, PATCH"},
	{name: "unknown, a method of none", method: "PUT", path: "/v9" + review, status: 400, says: `the path names version "v9"`},
	{name: "a method of none, by path", method: "PUT", path: "/v1" + review, status: 405, says: "use DELETE, GET, HEAD, PATCH"},
	{name: "a method of another version, by path", method: "DELETE", path: "/v2" + review, status: 405, says: "use GET, HEAD"},
	{name: "OPTIONS by path", method: "OPTIONS", path: "/v2" + review, status: 405, says: "use GET, HEAD"},
	{name: "OPTIONS", method: "OPTIONS", path: review, status: 405, says: "use GET, HEAD"},
}

// TestVersions tries every way to name a version, over HTTP/1.1 and h2c.
func TestVersions(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, new(editions).script()), versioned))
	for proto, client := range map[string]*http.Client{"HTTP/1.1": gatewaytest.Client(t), "h2c": gatewaytest.Client(t, gatewaytest.H2C)} {
		for _, w := range ways {
			method := w.method
			if method == "" {
				method = "GET"
			}
			a := gatewaytest.Do(t, client, g.Request(t, method, w.path, "", w.header...))
			if a.StatusCode != w.status {
				t.Errorf("%s, %s: %s %s", proto, w.name, a.Status, a.Text)
				continue
			}
			if w.status == 200 {
				checkServed(t, proto+", "+w.name, a, w.served)
			} else if !strings.Contains(message(t, a.Text), w.says) {
				t.Errorf("%s, %s: %s, want %q", proto, w.name, a.Text, w.says)
			}
			if allow := strings.TrimPrefix(w.says, "use "); w.status == 405 && a.Header.Get("Allow") != allow {
				t.Errorf("%s, %s: allow %q, want %q", proto, w.name, a.Header.Get("Allow"), allow)
			}
			// What depends on the header says so to caches, refusals too.
			open := w.path == review || w.path == "/products/boots/ratingSummary"
			if got := strings.Join(a.Header["Vary"], ", "); strings.Contains(got, "X-Api-Version, Accept") != open {
				t.Errorf("%s, %s: vary %q", proto, w.name, got)
			}
		}
	}
}

// checkServed: the answer is of a version and tells which.
func checkServed(t *testing.T, name string, a gatewaytest.Answer, version string) {
	t.Helper()
	if got := a.Header["X-Api-Version"]; !slices.Equal(got, []string{version}) {
		t.Errorf("%s: the answer says it is of %q, want %s", name, got, version)
	}
	if a.Request.Method == "GET" && !strings.Contains(a.Text, fmt.Sprintf(`"title":%q`, version)) {
		t.Errorf("%s: got %s, want what %s says", name, a.Text, version)
	}
}

// message is that of an error body.
func message(t *testing.T, text string) string {
	t.Helper()
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Errorf("%q is no error: %v", text, err)
	}
	return body.Error.Message
}

// TestVersionsOfBodies: the media type of a body names the version too.
func TestVersionsOfBodies(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, new(editions).script()), versioned))
	client := gatewaytest.Client(t)
	for _, w := range []struct {
		name   string
		path   string
		header []string
		status int
		says   string
	}{
		{"named by the body", "/products/boots/reviews", []string{"Content-Type: application/json; version=v1"}, 200, `"title":"v1"`},
		{"named by nothing", "/products/boots/reviews", []string{"Content-Type: application/json"}, 405, "use GET, HEAD"},
		{"body and accept", "/products/boots/reviews", []string{"Content-Type: application/json; version=v1", "Accept: a/b; version=v2"}, 400, "content-type version v1"},
		{"body and path", "/v1/products/boots/reviews", []string{"Content-Type: application/json; version=v2"}, 400, "content-type version v2"},
		{"body of nothing known", "/v1/products/boots/reviews", []string{"Content-Type: application/json; version=v9"}, 400, `content-type names version \"v9\"`},
	} {
		a := gatewaytest.Do(t, client, g.Request(t, "POST", w.path, `{"title":"Good","rating":5}`, w.header...))
		if a.StatusCode != w.status || !strings.Contains(a.Text, w.says) {
			t.Errorf("%s: %s %s, want %d and %s", w.name, a.Status, a.Text, w.status, w.says)
		}
	}
}

// TestVersionRefusalHasTheList: programs find the versions in the details, in
// every format of errors.
func TestVersionRefusalHasTheList(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, gatewaytest.Script{}), versioned))
	client := gatewaytest.Client(t)
	for _, accept := range []string{"application/json", "application/problem+json"} {
		a := gatewaytest.Do(t, client, g.Request(t, "GET", "/v9"+review, "", "Accept: "+accept))
		for _, want := range []string{`"reason":"VERSION_UNKNOWN"`, `"domain":"gatehouse"`, `"api":"reviews"`, `"versions":"v1, v2"`} {
			if !strings.Contains(a.Text, want) {
				t.Errorf("%s: %s, want %s", accept, a.Text, want)
			}
		}
		if a.StatusCode != 400 || a.Header.Get("Content-Type") != accept {
			t.Errorf("%s: %s %v", accept, a.Status, a.Header)
		}
	}
}

// TestVersionIsToldToBackends: once, as served, whatever the client says in
// other spellings.
func TestVersionIsToldToBackends(t *testing.T) {
	t.Parallel()
	e := new(editions)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, e.script()), versioned))
	client := gatewaytest.Client(t)
	for _, headers := range [][]string{nil, {"X-API-Version: v1"}, {"X_Api_Version: v2"}, {"Grpc-Metadata-X-Api-Version: v2"}} {
		for _, path := range []string{"/v1" + review, review} {
			e.told = nil
			a := gatewaytest.Do(t, client, g.Request(t, "GET", path, "", headers...))
			if want := a.Header.Get("X-Api-Version"); len(e.told) != 1 || e.told[0] != want {
				t.Errorf("%s with %q: the backend was told %q, the client %q", path, headers, e.told, want)
			}
		}
	}
}

// TestVersionOverGRPC: the RPC's name names the version, what else names one must
// agree, and backend and client are told it as over REST.
func TestVersionOverGRPC(t *testing.T) {
	t.Parallel()
	e := new(editions)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, e.script()), versioned))
	for door, cc := range map[string]grpc.ClientConnInterface{
		"native": gatewaytest.Dial(t, g.GRPC, nil), "http": gatewaytest.Dial(t, g.HTTP, nil),
	} {
		for _, tc := range []struct {
			pairs []string
			says  string // a part of the refusal; "" for none
		}{
			{},
			{pairs: []string{"x-api-version", "v1"}},
			{pairs: []string{"x_api_version", "v2", "x.api-version", "v2"}},
			{pairs: []string{"x-api-version", "v2"}, says: `the RPC's name names version v1 of "reviews", and header x-api-version version v2`},
			{pairs: []string{"x-api-version", "v9"}, says: `names version "v9" of "reviews", which has v1, v2`},
			{pairs: []string{"x-api-version", "v1", "x-api-version", "v1"}, says: "must name one version"},
			{pairs: []string{"x-api-version", "v1, v1"}, says: "must name one version"},
		} {
			e.told = nil
			var header, trailer metadata.MD
			_, err := reviewsv1.NewReviewsServiceClient(cc).GetReview(metadata.AppendToOutgoingContext(edgetest.Soon(t), tc.pairs...),
				&reviewsv1.GetReviewRequest{Name: "products/boots/reviews/7"}, grpc.Header(&header), grpc.Trailer(&trailer))
			if tc.says != "" {
				if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tc.says) || len(e.told) != 0 {
					t.Errorf("%s, %q: %v, want INVALID_ARGUMENT and %q; backends were told %q", door, tc.pairs, err, tc.says, e.told)
				}
				continue
			}
			if err != nil || !slices.Equal(e.told, []string{"v1"}) || !slices.Equal(header["x-api-version"], []string{"v1"}) {
				t.Errorf("%s, %q: %v; the backend was told %q, and the client %q, want v1", door, tc.pairs, err, e.told, header["x-api-version"])
			}
		}
	}
}

// TestVersionInProcess: a call from inside the process tells the backend the
// version that it is served by.
func TestVersionInProcess(t *testing.T) {
	t.Parallel()
	e := new(editions)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, e.script()), versioned))
	for _, pairs := range [][]string{nil, {"x-api-version", "v2"}, {"x_api_version", "v2"}} {
		e.told = nil
		_, err := reviewsv1.NewReviewsServiceClient(g.Gateway.Conn()).GetReview(metadata.AppendToOutgoingContext(edgetest.Soon(t), pairs...),
			&reviewsv1.GetReviewRequest{Name: "products/boots/reviews/7"})
		if err != nil || !slices.Equal(e.told, []string{"v1"}) {
			t.Errorf("%q: %v; the backend was told %q, want v1", pairs, err, e.told)
		}
	}
}

// TestVersionWithoutDefault: who names none is told the versions.
func TestVersionWithoutDefault(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, new(editions).script()), versioned, func(c *configv1.Config) {
		v := c.GetVersions()[0]
		v.Default, v.Header, v.MediaTypeParameter = "", "Shop-Edition", "edition"
	}))
	client := gatewaytest.Client(t)
	a := gatewaytest.Do(t, client, g.Request(t, "GET", review, ""))
	if want := `name a version of "reviews", of v1, v2: in the path, in header shop-edition, or as edition=... of a media type in accept`; a.StatusCode != 400 || message(t, a.Text) != want {
		t.Errorf("got %s %s, want %s", a.Status, a.Text, want)
	}
	for _, header := range []string{"Shop-Edition: v1", "Accept: a/b; edition=v1"} {
		a := gatewaytest.Do(t, client, g.Request(t, "GET", review, "", header, "X-API-Version: v2"))
		if a.StatusCode != 200 || a.Header.Get("Shop-Edition") != "v1" || !strings.Contains(strings.Join(a.Header["Vary"], ", "), "Shop-Edition, Accept") {
			t.Errorf("%s: %s %v", header, a.Status, a.Header)
		}
	}
}

// TestVersionPreflight: a page may ask for what any version has, on every path.
func TestVersionPreflight(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, new(editions).script()), versioned,
		withCORS(&configv1.Cors{AllowOrigins: []string{"https://shop.example"}})))
	client := gatewaytest.Client(t)
	for _, w := range []struct {
		method, path string
		status       int
	}{
		{"GET", review, 204}, {"DELETE", review, 204}, {"GET", "/v2" + review, 204}, {"DELETE", "/v1" + review, 204},
		{"PUT", review, 405}, {"DELETE", "/v2" + review, 405}, {"GET", "/products/boots/nothing", 404}, {"GET", "/v9" + review, 404},
	} {
		a := gatewaytest.Do(t, client, g.Request(t, "OPTIONS", w.path, "", "Origin: https://shop.example", "Access-Control-Request-Method: "+w.method,
			"Access-Control-Request-Headers: x-api-version"))
		if a.StatusCode != w.status || w.status == 204 && a.Header.Get("Access-Control-Allow-Methods") != w.method {
			t.Errorf("%s %s: %s %v", w.method, w.path, a.Status, a.Header)
		}
	}
	a := gatewaytest.Do(t, client, g.Request(t, "GET", review, "", "Origin: https://shop.example", "X-API-Version: v1"))
	if vary := strings.Join(a.Header["Vary"], ", "); a.StatusCode != 200 || vary != "Origin, Accept-Language, X-Api-Version, Accept" {
		t.Errorf("%s, vary %q", a.Status, vary)
	}
	if got := a.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "x-api-version, deprecation, sunset, link") {
		t.Errorf("pages may read %q", got)
	}
}

// TestVersionOfContractPathWithoutOne: it is served by path too.
func TestVersionOfContractPathWithoutOne(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, new(editions).script()), versioned,
		bound("shop.reviews.v1.ReviewsService.GetReview", "/reviews/{name=**}"), bound("shop.reviews.v2.ReviewsService.GetReview", "/api/v2/reviews/{name=**}")))
	client := gatewaytest.Client(t)
	for path, want := range map[string]string{
		"/v1/reviews/a/b": "v1", "/api/v2/reviews/a/b": "v2", "/api/reviews/a/b": "v2",
		"/reviews/a/b": `404 nothing is served at GET /reviews/a/b in version v2 of "reviews": it is in v1`, "/v2/reviews/a/b": `404 nothing is served at GET /v2/reviews/a/b in version v2 of "reviews": it is in v1`,
		"/api/v3/reviews/a/b": `400 the path names version "v3" of "reviews", which has v1, v2`,
	} {
		a := gatewaytest.Do(t, client, g.Request(t, "GET", path, ""))
		got := a.Header.Get("X-Api-Version")
		if a.StatusCode != 200 {
			got = fmt.Sprintf("%d %s", a.StatusCode, message(t, a.Text))
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	a := gatewaytest.Do(t, client, g.Request(t, "GET", "/reviews/a", "", "X-API-Version: v1"))
	checkServed(t, "/reviews/a", a, "v1")
}
