package difftest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
)

// sample is a good request of a binding, which is then varied.
type sample struct{ target, body string }

const address = `"shipTo":{"recipient":"A","streetLines":["Way 1"],"city":"Graz","country":"AT"}`

// samples has one for every binding of the shop.
var samples = map[string]sample{
	"GET /v1/shelves":                              {"/v1/shelves", ""},
	"GET /v1/{name=shelves/*}":                     {"/v1/shelves/tents", ""},
	"GET /v1/products":                             {"/v1/products?pageSize=2", ""},
	"GET /v1/{parent=shelves/*}/products":          {"/v1/shelves/tents/products?pageSize=2", ""},
	"GET /v1/{name=products/*}":                    {"/v1/" + tent, ""},
	"POST /v1/products":                            {"/v1/products", `{"displayName":"Kettle","shelf":"shelves/kitchen","price":{"currencyCode":"EUR","units":"12"}}`},
	"PATCH /v1/{product.name=products/*}":          {"/v1/" + tent, `{"displayName":"Tent"}`},
	"DELETE /v1/{name=products/*}":                 {"/v1/" + tent, ""},
	"POST /v1/{name=products/*}:archive":           {"/v1/" + tent + ":archive", `{"reason":"old"}`},
	"GET /v1/products:search":                      {"/v1/products:search?tags=tunnel", ""},
	"POST /v1/products:search":                     {"/v1/products:search", `{"query":"tent"}`},
	"GET /v1/{name=products/*/media/**}":           {"/v1/" + tent + "/media/images/front.svg", ""},
	"PUT /v1/{name=products/*/media/**}":           {"/v1/" + tent + "/media/docs/new.json", `{"contentType":"text/plain","data":"aGk="}`},
	"GET /v1/prices":                               {"/v1/prices?pageSize=2", ""},
	"GET /v1/{name=products/*/price}":              {"/v1/" + mug + "/price", ""},
	"GET /v1/{name=customers/*/reviewer}":          {"/v1/customers/bjorn-lund/reviewer", ""},
	"GET /v1/reviewers:batchGet":                   {"/v1/reviewers:batchGet?names=customers/bjorn-lund/reviewer", ""},
	"GET /v1/prices:batchGet":                      {"/v1/prices:batchGet?names=" + mug + "/price", ""},
	"PATCH /v1/{price.name=products/*/price}":      {"/v1/" + mug + "/price", `{"vatRate":0.07}`},
	"POST /v1/prices:quote":                        {"/v1/prices:quote", `{"lines":[{"product":"` + mug + `","quantity":2}]}`},
	"GET /v1/warehouses":                           {"/v1/warehouses", ""},
	"GET /v1/{parent=warehouses/*}/stock":          {"/v1/warehouses/graz/stock?pageSize=2", ""},
	"GET /v1/{name=warehouses/*/stock/*}":          {"/v1/" + stock, ""},
	"POST /v1/{name=warehouses/*/stock/*}:adjust":  {"/v1/" + stock + ":adjust", `{"delta":"2","reason":"REASON_RECEIVED"}`},
	"GET /v1/{name=warehouses/*/stock/*}:watch":    {"/v1/" + stock + ":watch?since=2026-01-01T00:00:00Z&maxMovements=2", ""},
	"POST /v1/stock:importCounts":                  {"/v1/stock:importCounts", `{"name":"` + stock + `","counted":"7"}`},
	"GET /v1/{parent=products/*}/reviews":          {"/v1/products/-/reviews?pageSize=2", ""},
	"GET /v1/{name=products/*/reviews/*}":          {"/v1/" + reviewed + "/reviews/1", ""},
	"POST /v1/{parent=products/*}/reviews":         {"/v1/" + mug + "/reviews", `{"rating":5,"title":"Good","nickname":"Al"}`},
	"PATCH /v1/{review.name=products/*/reviews/*}": {"/v1/" + reviewed + "/reviews/1", `{"title":"Better"}`},
	"DELETE /v1/{name=products/*/reviews/*}":       {"/v1/" + reviewed + "/reviews/1", ""},
	"GET /v1/{name=products/*/ratingSummary}":      {"/v1/" + mug + "/ratingSummary", ""},
	"GET /v1/orders":                               {"/v1/orders?pageSize=2", ""},
	"GET /v1/{parent=customers/*}/orders":          {"/v1/customers/amelie-brandt/orders?pageSize=2", ""},
	"GET /v1/{name=orders/*}":                      {"/v1/orders/1001", ""},
	"POST /v1/{parent=customers/*}/orders":         {"/v1/customers/me/orders", `{"lines":[{"product":"` + mug + `","quantity":2}],` + address + `,"giftCard":"G"}`},
	"PATCH /v1/{order.name=orders/*}":              {"/v1/orders/1001", `{"giftWrap":true}`},
	"POST /v1/{name=orders/*}:cancel":              {"/v1/orders/1001:cancel", `{"reason":"late"}`},
	"GET /v1/{name=orders/*/invoice}":              {"/v1/orders/1001/invoice", ""},
}

// binding is a route with its good request and its descriptor.
type binding struct {
	admin.Route
	sample
	rpc  protoreflect.MethodDescriptor
	seen map[string]bool // kinds of fields that were tried, of all bindings
}

// requestsOfBindings varies the good request of every binding.
func requestsOfBindings(t *testing.T, routes []admin.Route) []request {
	t.Helper()
	verbs := map[string][]string{} // by path
	seen := map[string]bool{}
	var bindings []binding
	for _, route := range routes {
		if route.Verb == "" {
			continue
		}
		s, ok := samples[route.Verb+" "+route.Path]
		if !ok {
			t.Fatalf("%s %s has no sample", route.Verb, route.Path)
		}
		path, _, _ := strings.Cut(s.target, "?")
		verbs[path] = append(verbs[path], route.Verb)
		bindings = append(bindings, binding{route, s, method(t, route.Method), seen})
	}
	if len(bindings) != len(samples) {
		t.Errorf("%d bindings, but samples for %d", len(bindings), len(samples))
	}
	var list []request
	for _, b := range bindings {
		own := slices.Concat(b.paths(), b.bodies(), b.parameters(), b.members())
		if b.Verb == http.MethodPut { // the shop's only ones are uploads
			for i := range own {
				own[i].trait = strings.TrimSuffix("upload, "+own[i].trait, ", ")
			}
		}
		list = append(list, own...)
		path, _, _ := strings.Cut(b.target, "?")
		if verbs[path] != nil {
			list = append(list, b.verbs(verbs[path])...)
			delete(verbs, path)
		}
	}
	return list
}

func method(t *testing.T, name string) protoreflect.MethodDescriptor {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(name[1:], "/", ".")))
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MethodDescriptor)
}

// with is the good request at another target.
func (b *binding) with(trait, target string) request {
	return request{verb: b.Verb, target: target, body: b.body, trait: trait}
}

// paths varies the path.
func (b *binding) paths() []request {
	path, query, _ := strings.Cut(b.target, "?")
	if query != "" {
		query = "?" + query
	}
	slash, colon := strings.LastIndexByte(path, '/'), strings.LastIndexByte(path, ':')
	at := func(trait, varied string) request {
		// Another binding does not know these parameters.
		decoded, err := url.PathUnescape(varied)
		if err == nil && (decoded == path || colon > 0 && strings.HasSuffix(decoded, path[colon:])) {
			varied += query
		}
		return b.with(trait, varied)
	}
	list := []request{
		at("", path),
		at("trailing slash", path+"/"),
		at("double slash", "/"+path),
		at("double slash", "/v1/"+path[3:]),
		at("double slash", path[:slash]+"/"+path[slash:]),
		at("dot segment", "/v1/."+path[3:]),
		at("dot segment", "/v1/x/.."+path[3:]),
		at("dot segment", "/v1/x/%2e%2E"+path[3:]),
		at("encoded literal", "/%76%31"+path[3:]),
		at("encoded literal", fmt.Sprintf("/v1/%%%02x%s", path[4], path[5:])),
		at("bad percent-encoding", path+"%zz"),
		at("bad percent-encoding", path+"%4"),
		at("encoded NUL", path+"%00"),
		at("encoded bad UTF-8", path+"%ff"),
		at("encoded space", path+"%20"),
		at("", path+"+"),
		at("", path+";v=1"),
		at("", path+"nope"),
		at("unknown verb", path+":nope"),
		at("encoded slash", path[:slash]+"%2F"+path[slash+1:]),
		at("encoded slash", path+"%2Fx"),
		at("", path+"/x/y/z"),
		at("", "/V1"+path[3:]),
		at("", "/v2"+path[3:]),
		at("", path[:slash]),
		at("", strings.ToUpper(path)),
	}
	if colon > 0 {
		list = append(list,
			at("encoded verb", path[:colon]+"%3A"+path[colon+1:]),
			at("", path[:colon]+":"+path[colon:]),
			b.with("", path[:slash+1]+path[colon:]),
		)
	}
	return list
}

// verbs sends every method to the path that serves these.
func (b *binding) verbs(served []string) []request {
	var list []request
	for _, verb := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW", "get"} {
		// A path with a verb is a product's name to PATCH, whose bodies are
		// varied elsewhere.
		if slices.Contains(served, verb) || verb == http.MethodPatch && strings.Contains(b.target, ":") {
			continue
		}
		path, _, _ := strings.Cut(b.target, "?")
		r := request{verb: verb, target: path, trait: "empty body"}
		if verb == http.MethodHead {
			r.target, r.trait = b.target, "HEAD"
		}
		list = append(list, r)
	}
	return list
}

// bodies varies the body as a whole.
func (b *binding) bodies() []request {
	as := func(trait, body string, header ...string) request {
		return request{verb: b.Verb, target: b.target, body: body, trait: trait, header: header}
	}
	if b.Body == "" {
		return []request{
			as("body where none belongs", "{}"),
			as("body where none belongs", "garbage", "Content-Type: text/plain"),
		}
	}
	open := strings.TrimSuffix(b.body, "}")
	list := []request{
		as("", b.body, "Content-Type: application/json; charset=utf-8"),
		as("", " \r\n\t"+b.body+" \n"),
		as("empty body", ""),
		as("blank body", " \r\n"),
		as("nothing to change", "{}"),
		as("null body", "null"),
		as("", "[]"),
		as("", "true"),
		as("", "7"),
		as("", `"text"`),
		as("", "{"),
		as("", open),
		as("", open+",}"),
		as("", "{'a':1}"),
		as("", "// no\n{}"),
		as("", strings.Replace(b.body, `"`, "", 2)),
		as("unknown field", open+`,"nope":{"a":[1]}}`),
		as("duplicate field", open+","+b.body[1:]),
		as("invalid UTF-8", open+`,"x`+"\xff"+`":"`+"\xc3\x28"+`"}`),
		as("unknown field", open+`,"":1}`),
		as("deep nesting", open+`,"nope":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+"}"),
		as("media type", b.body, "Content-Type: text/plain"),
		as("media type", b.body, "Content-Type: application/x-www-form-urlencoded"),
		as("media type", b.body, "Content-Type: application/json; charset=latin1"),
		as("compressed", b.body, "Content-Encoding: gzip"),
	}
	if !b.rpc.IsStreamingClient() {
		list = append(list, as("trailing data", b.body+" x"), as("trailing data", b.body+"}"), as("trailing data", b.body+" {}"))
	}
	chunked := as("", b.body)
	chunked.chunked = true
	return append(list, chunked)
}
