package edge_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/edge/doors"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
)

// serving is an edge alone: a plain path, and an API in so many versions.
func serving(tb testing.TB, versions int) http.Handler {
	tb.Helper()
	answer := calltest.Bytes("{}")
	m := &call.Method{Name: "/s/m", Conn: calltest.Conn{OnInvoke: func(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
		_, err := args.(*call.Pending).Message()
		reply.(*call.Message).Data = answer
		return err
	}}}
	parse := func(text string) *httprule.Template {
		t, err := httprule.Parse(text)
		if err != nil {
			tb.Fatal(err)
		}
		return t
	}
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	var routes httprule.Builder[*edge.Route]
	must(routes.Add("GET", parse("/plain/{name=products/*}"), "here", &edge.Route{Method: m, Binding: &contract.Binding{Name: "GET /plain"}, View: edgetest.Plain{}}))
	table := &edge.Table{Table: call.NewTable([]*call.Method{m}, &call.Method{Conn: call.Refuser{}}), Errors: &edge.Errors{}}
	if versions > 0 {
		names := make([]string, versions)
		for i := range names {
			names[i] = fmt.Sprintf("v%d", i+1)
		}
		api := edge.NewAPI("products", "x-api-version", "version", names...)
		api.Default = api.Version("v1")
		var b edge.VersionsBuilder
		for _, v := range api.List {
			open := &contract.Binding{Verb: "GET", Name: "GET /products", Template: parse("/{name=products/*}")}
			route := &edge.Route{Method: m, Binding: open, View: edgetest.Plain{}, Version: v}
			must(routes.Add("GET", parse("/"+v.Name+"/{name=products/*}"), v.Name, route))
			must(b.Add(route, parse("/{any}/{name=products/*}"), v.Name))
		}
		table.Routes = routes.Build()
		table.Versions = b.Build([]*edge.API{api}, table.Routes, func(origin, path string, _ *httprule.Route[*edge.Route]) {
			tb.Errorf("%s: %s is taken", origin, path)
		})
	} else {
		table.Routes = routes.Build()
	}
	var current edge.Current
	current.Store(table)
	return doors.Handler(&edge.Settings{
		Table: &current, MaxBody: 1 << 20, MaxHeaders: 100, RequestID: func() string { return "0af7651916cd43dd8448eb211c80319c" },
	})(http.NotFoundHandler())
}

func request(path, version string) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: path}, Host: "shop.example", RemoteAddr: "192.0.2.7:4711",
		Header: http.Header{"User-Agent": {"curl/8"}, "Accept": {"*/*"}}, Body: http.NoBody,
	}
	if version != "" {
		r.Header.Set("X-Api-Version", version)
	}
	return r
}

// TestVersionsCost: a plain path costs as without versions, and an open one as
// much with a hundred of them as with two. Allocations are counted, by the
// least of several runs, since pools may be emptied at any time.
func TestVersionsCost(t *testing.T) {
	cost := func(versions int, path, version string) float64 {
		h, r, w := serving(t, versions), request(path, version), &edgetest.Sink{Headers: http.Header{}}
		serve := func() {
			clear(w.Headers)
			h.ServeHTTP(w, r)
		}
		least := testing.AllocsPerRun(100, serve)
		for range 5 {
			least = min(least, testing.AllocsPerRun(20, serve))
		}
		return least
	}
	if without, with := cost(0, "/plain/products/mug", ""), cost(100, "/plain/products/mug", ""); with > without+slack {
		t.Errorf("a plain path makes %v allocations, and %v beside versions", without, with)
	}
	for _, version := range []string{"", "v2"} {
		if two, many := cost(2, "/products/mug", version), cost(100, "/products/mug", version); many > two+slack {
			t.Errorf("an open path makes %v allocations with two versions, and %v with a hundred", two, many)
		}
	}
}

// slack is for what the race detector takes out of pools.
const slack = 3

// BenchmarkVersions measures what a path costs that names its version, one that
// leaves it open, and one beside them that has none.
func BenchmarkVersions(b *testing.B) {
	for _, versions := range []int{0, 2, 100} {
		for _, path := range []string{"/plain/products/mug", "/v2/products/mug", "/products/mug"} {
			if versions == 0 && path != "/plain/products/mug" {
				continue
			}
			b.Run(fmt.Sprintf("%d versions%s", versions, path), func(b *testing.B) {
				h, r, w := serving(b, versions), request(path, ""), &edgetest.Sink{Headers: http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					clear(w.Headers)
					h.ServeHTTP(w, r)
				}
			})
		}
	}
}
