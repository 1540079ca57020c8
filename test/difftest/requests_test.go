package difftest

import (
	"slices"
	"strings"
)

// Resources that the shop is filled with.
const (
	tent     = "products/nordkap-tunnel-tent-2-persons"
	mug      = "products/enamel-mug-blue"
	reviewed = "products/nordkap-tunnel-tent-2-persons"
	stock    = "warehouses/graz/stock/nordkap-tunnel-tent-2-persons"
)

// tableOfRequests is what the variations of good requests do not come upon.
func tableOfRequests() []request {
	return slices.Concat(reads(), writes(), masks(), uploads(), streams(), oddities())
}

func get(trait string, targets ...string) []request {
	var list []request
	for _, target := range targets {
		list = append(list, request{verb: "GET", target: target, trait: trait})
	}
	return list
}

func send(verb, target, trait string, bodies ...string) []request {
	var list []request
	for _, body := range bodies {
		list = append(list, request{verb: verb, target: target, trait: trait, body: body})
	}
	return list
}

func reads() []request {
	return slices.Concat(
		get("",
			"/v1/products?pageSize=3", "/v1/products?page_size=3&currency=USD", "/v1/products?currency=XYZ", "/v1/products?pageSize=-1",
			"/v1/products?pageToken=nonsense", "/v1/products?showArchived=true&pageSize=200", "/v1/products?pageSize=1000",
			"/v1/shelves/tents/products?pageSize=2", "/v1/shelves/none/products", "/v1/shelves/none", "/v1/products/none",
			"/v1/"+tent+"?currency=CHF", "/v1/"+tent+"?currency=chf", "/v1/products/%C3%A4", "/v1/products/"+strings.Repeat("a", 2000),
			"/v1/products/%E2%82%AC?currency=EUR", "/v1/products/a:b:c", "/v1/products/a%25b", "/v1/products/-", "/v1/products/~a.b_c",
			"/v1/products:search?query=tent+light", "/v1/products:search?query=tent%20light&tags=tents&tags=light", "/v1/products:search?tags=tents,light",
			"/v1/products:search?states=STATE_ACTIVE&states=2&states=STATE_ARCHIVED", "/v1/products:search?price.min=10&price.max=50",
			"/v1/products:search?price.min=50&price.max=10", "/v1/products:search?featured=true&minRating=4.5", "/v1/products:search?minRating=6",
			"/v1/products:search?min_rating=3&page_size=2", "/v1/products:search?attributes[material]=steel&attributes[made%20in]=Sweden",
			"/v1/products:search?createdAfter=2026-02-01T00:00:00Z&pageSize=1", "/v1/products:search?query=zzzzz",
			"/v1/"+tent+"/media/images/front.svg", "/v1/"+tent+"/media/docs/leaflet.txt", "/v1/"+tent+"/media/none", "/v1/products/none/media/x/y/z",
			"/v1/prices:batchGet", "/v1/prices:batchGet?names="+mug+"/price&names="+tent+"/price", "/v1/prices:batchGet?names=none",
			"/v1/prices?onSale=true", "/v1/"+tent+"/price", "/v1/products/none/price",
			"/v1/warehouses/-/stock?pageSize=2&products="+mug+"&products="+tent, "/v1/warehouses/graz/stock?low=true", "/v1/warehouses/none/stock",
			"/v1/"+stock, "/v1/warehouses/graz/stock/none", "/v1/products/-/reviews?ratings=5&ratings=1&pageSize=3", "/v1/products/-/reviews?verifiedOnly=true&pageSize=5",
			"/v1/"+tent+"/reviews", "/v1/products/none/reviews", "/v1/"+tent+"/ratingSummary", "/v1/products/none/ratingSummary",
			"/v1/orders?states=STATE_SHIPPED&pageSize=2", "/v1/orders?createdSince=2026-05-01T00:00:00Z", "/v1/orders?maxAge=864000s", "/v1/orders?maxAge=1s",
			"/v1/customers/amelie-brandt/orders?states=STATE_DELIVERED", "/v1/customers/none/orders", "/v1/orders/1001", "/v1/orders/9999",
			"/v1/orders/1003/invoice", "/v1/orders/9999/invoice", "/v1/orders/1001/none",
			"/", "/v1", "/favicon.ico", "/v1/none", "/v1/products/a/b", "/v1/products:none", "/readyz", "/metrics",
			"/v1/products?", "/v1/products?pageSize=1&", "/v1/products?&pageSize=1",
		),
		get("encoded reserved character", "/v1/products/a%3Ab", "/v1/products/a%2Bb"),
		get("wildcard of nothing", "/v1/products/a/media"),
		get("trailing slash", "/v1/", "/v1/"+tent+"/media/"),
		get("many parameters", "/v1/products:search?"+strings.Repeat("tags=a&", 1500)),
	)
}

func writes() []request {
	line := `{"product":"` + mug + `","quantity":1}`
	return slices.Concat(
		send("POST", "/v1/products", "",
			`{"displayName":"Pan","shelf":"shelves/kitchen"}`, `{"display_name":"Pan","shelf":"shelves/kitchen","weight_grams":"120"}`,
			`{"displayName":"Pan","shelf":"shelves/none"}`, `{"displayName":"","shelf":"shelves/kitchen"}`,
			`{"displayName":"Pan","shelf":"shelves/kitchen","weightGrams":-5}`, `{"displayName":"Pan","shelf":"shelves/kitchen","gtin":18446744073709551615}`,
			`{"displayName":"Pan","shelf":"shelves/kitchen","price":{"currencyCode":"EUR","units":12,"nanos":500000000}}`,
			`{"displayName":"Pan","shelf":"shelves/kitchen","price":{"currencyCode":"DM","units":12}}`,
			`{"displayName":"Pan","shelf":"shelves/kitchen","tags":["a","b"],"attributes":{"k":"v","":"w"},"images":[{"fingerprint":"_-8"},{}]}`,
			`{"displayName":"Pan","shelf":"shelves/kitchen","parcel":{"bulky":true},"dimensions":{"lengthMm":1,"widthMm":"2","heightMm":3e0}}`,
			`{"displayName":"Pan","shelf":"shelves/kitchen","parcel":{},"download":{}}`, `{"displayName":"Pan","shelf":"shelves/kitchen","warrantyMonths":0}`,
			`{"displayName":"\u0050an\n\t\"","shelf":"shelves/kitchen","rating":5e-1}`, `{"displayName":"Pan","shelf":"shelves/kitchen","createTime":"2020-01-01T00:00:00Z"}`,
		),
		send("POST", "/v1/products?productId=pan&validateOnly=true", "", `{"displayName":"Pan","shelf":"shelves/kitchen"}`),
		send("POST", "/v1/products?productId=enamel-mug-blue", "", `{"displayName":"Pan","shelf":"shelves/kitchen"}`),
		send("POST", "/v1/products?product_id=Not%20Good", "", `{"displayName":"Pan","shelf":"shelves/kitchen"}`),
		send("DELETE", "/v1/"+tent+"?etag=wrong", "", ""), send("DELETE", "/v1/products/none", "", ""), send("DELETE", "/v1/products/none?allowMissing=true", "", ""),
		send("POST", "/v1/"+tent+":archive", "", "{}", `{"reason":""}`, `{"reason":null}`, `{"reason":5}`),
		send("POST", "/v1/products/none:archive", "", "{}"),
		send("POST", "/v1/products:search", "",
			"{}", `{"tags":["tents"],"states":["STATE_ACTIVE",3]}`, `{"price":{"min":10,"max":"50"}}`, `{"featured":false,"minRating":"4"}`, `{"attributes":{"material":"steel"}}`,
			`{"createdAfter":"2026-02-01T00:00:00.000000001Z"}`, `{"pageSize":1}`, `{"price":{}}`, `{"price":null}`, `{"query":"tent","pageToken":"x"}`,
		),
		send("POST", "/v1/prices:quote", "",
			`{"lines":[`+line+`,`+line+`],"coupon":"WELCOME10"}`, `{"lines":[`+line+`],"points":"300","country":"CH"}`, `{"lines":[`+line+`],"coupon":"NO"}`,
			`{"lines":[`+line+`],"coupon":"WELCOME10","points":3}`, `{"lines":[],"country":"XX"}`, `{"lines":[{"product":"none"}]}`, `{"lines":[{"product":"`+mug+`","quantity":-1}]}`,
			`{"lines":[{"product":"`+mug+`","quantity":4294967296}]}`, `{"lines":{"product":"x"}}`, `{"lines":[null]}`, `{"lines":[`+strings.Repeat(line+",", 500)+line+`]}`,
		),
		send("POST", "/v1/"+stock+":adjust", "",
			`{"delta":-1,"reason":"REASON_LOST"}`, `{"delta":-1,"reason":4}`, `{"delta":"-100000","reason":"REASON_SHIPPED"}`, `{"delta":0}`, `{"delta":1,"reason":77}`, `{"delta":"9223372036854775808"}`,
		),
		send("POST", "/v1/"+mug+"/reviews", "",
			`{"rating":5,"title":"A","customer":"customers/x"}`, `{"rating":6,"title":"A"}`, `{"rating":5,"title":"A","customer":"x","nickname":"y"}`, `{"rating":4,"title":"A","reply":""}`,
			`{"rating":5.0,"title":"A","helpfulCount":3}`,
		),
		send("POST", "/v1/"+mug+"/reviews?requestId=r1", "", `{"rating":5,"title":"A"}`), send("POST", "/v1/products/none/reviews", "", `{"rating":5,"title":"A"}`),
		send("DELETE", "/v1/"+reviewed+"/reviews/none", "", ""),
		send("POST", "/v1/customers/me/orders", "",
			`{"lines":[`+line+`],`+address+`,"card":{"lastFour":"1234","expiryMonth":12,"expiryYear":2030},"metadata":{"a":[1,"b",null,{"c":true}],"d":1e3}}`,
			`{"lines":[`+line+`],`+address+`,"transfer":{"iban":"X","paymentTerm":"1209600s"},"labels":{"a":"b"}}`,
			`{"lines":[`+line+`],`+address+`,"card":{},"giftCard":"x"}`, `{"lines":[],"giftCard":"x"}`, `{"lines":[{"product":"none","quantity":1}],`+address+`,"giftCard":"x"}`,
			`{"lines":[{"product":"`+mug+`","quantity":1,"inscription":""}],`+address+`,"giftCard":""}`, `{"lines":[`+line+`],`+address+`,"transfer":{"paymentTerm":"2 weeks"}}`,
		),
		send("POST", "/v1/orders/1001:cancel", "", "{}"), send("POST", "/v1/orders/1024:cancel", "", `{"reason":"mind"}`), send("POST", "/v1/orders/9999:cancel", "", "{}"),
	)
}

// masks are updates: what is changed depends on the mask, given or made of the
// body (AIP-134).
func masks() []request {
	product, price, order := "/v1/"+tent, "/v1/"+mug+"/price", "/v1/orders/1024"
	return slices.Concat(
		send("PATCH", product, "",
			`{"displayName":"A","description":"B"}`, `{"dimensions":{"lengthMm":5}}`, `{"dimensions":{}}`, `{"dimensions":{"lengthMm":0,"widthMm":7}}`, `{"tags":[]}`, `{"tags":["x"]}`,
			`{"attributes":{"a":"b"}}`, `{"attributes":{}}`, `{"images":[{"altText":"x"}]}`, `{"warrantyMonths":null}`, `{"dimensions":null}`, `{"price":{"units":"7","currencyCode":"EUR"}}`,
			`{"download":{"sizeBytes":"9"}}`, `{"parcel":null}`, `{"featured":false}`, `{"weight_grams":"5"}`, `{"etag":"wrong"}`, `{"displayName":""}`, `{"createTime":"2020-01-01T00:00:00Z"}`,
			`{"shelf":"shelves/none"}`, `{"price":{"units":null}}`,
		),
		send("PATCH", product+"?updateMask=description", "", `{"displayName":"A","description":"B"}`),
		send("PATCH", product+"?update_mask=description,price", "", `{"price":{"units":"7","currencyCode":"EUR"}}`),
		send("PATCH", product+"?updateMask=dimensions.length_mm", "", `{"dimensions":{"lengthMm":5,"widthMm":6}}`),
		send("PATCH", product+"?updateMask=no_such", "", `{"displayName":"A"}`),
		send("PATCH", product+"?updateMask=*", "", `{"displayName":"A","shelf":"shelves/tents"}`),
		send("PATCH", product+"?updateMask=", "empty mask", `{"displayName":"A"}`),
		send("PATCH", product+"?updateMask=description&updateMask=price", "", `{"displayName":"A"}`),
		send("PATCH", product+"?allowMissing=true", "", `{"displayName":"A"}`),
		send("PATCH", "/v1/products/new?allowMissing=true", "", `{"displayName":"A","shelf":"shelves/tents"}`),
		send("PATCH", "/v1/products/none", "", `{"displayName":"A"}`),
		send("PATCH", product, "the path's own value in the body", `{"name":"`+tent+`","displayName":"A"}`),
		send("PATCH", product, "path field in the body", `{"name":"products/other","displayName":"A"}`),
		send("PATCH", price, "",
			`{"vatRate":0}`, `{"vatRate":null}`, `{"list":{"currencyCode":"EUR","units":"20"}}`, `{"sale":{"percentOff":20,"startTime":"2026-01-01T00:00:00Z","duration":"3600s"}}`,
			`{"sale":{"percentOff":20,"fixed":{"units":"1"}}}`, `{"sale":{"percentOff":99}}`, `{"sale":null}`, `{"sale":{"duration":"-1s"}}`, `{"abroad":{"USD":{"units":"1"}}}`, `{"vatRate":"NaN"}`,
		),
		send("PATCH", order, "",
			`{"labels":{"a":"b"}}`, `{"giftWrap":true}`, `{"shipTo":{"city":"Wien"}}`, `{"shipTo":{"streetLines":["a","b"]}}`, `{"card":{"lastFour":"1"}}`, `{"deliveryEstimate":"5s"}`,
		),
		send("PATCH", order, "mask of a Struct", `{"metadata":{"a":{"b":1},"c":2}}`),
		send("PATCH", order, "", `{"metadata":{}}`, `{"metadata":null}`),
		send("PATCH", "/v1/"+reviewed+"/reviews/1", "", `{"rating":3}`, `{"rating":0}`, `{"reply":"thanks"}`, `{"reply":null}`, `{"nickname":"z"}`, `{"customer":"bad"}`),
	)
}

// uploads store a file.
func uploads() []request {
	up := func(target, body string, header ...string) request {
		return request{verb: "PUT", target: "/v1/" + tent + "/media/" + target, body: body, header: header, trait: "upload"}
	}
	return []request{
		up("a.png", "\x89PNG\r\n\x1a\n\x00", "Content-Type: image/png"), up("deep/er/a.txt", "hello", "Content-Type: text/plain; charset=utf-8"),
		up("a.json", `{"a":1}`, "Content-Type: application/json"), up("none", "x"), up("big", strings.Repeat("x", 2<<20), "Content-Type: text/plain"),
		up("huge", strings.Repeat("x", 5<<20), "Content-Type: text/plain"),
	}
}

func count(n string) string { return `{"name":"` + stock + `","counted":` + n + `}` }

// unsettled are streams of requests that turn bad. They come last: what the
// service still makes of them must not meet other requests.
func unsettled() []request {
	list := send("POST", "/v1/stock:importCounts", "",
		count("1")+"\n"+`{"name":5}`, count("1")+"\n{", count("1")+" x", count("1")+"}", count("1")+count("2")+"[]", count("1")+"\n\xff",
	)
	for i := range list {
		list[i].unsettled = true
	}
	return list
}

func streams() []request {
	watch := "/v1/" + stock + ":watch?since=2026-01-01T00:00:00Z"
	return slices.Concat(
		get("", watch+"&maxMovements=1", watch+"&maxMovements=3", watch+"&maxMovements=-1", "/v1/warehouses/graz/stock/none:watch", watch+"&maxMovements=x"),
		[]request{{verb: "GET", target: watch, header: []string{"Grpc-Timeout: 2S"}, trait: "deadline in a stream"}},
		send("POST", "/v1/stock:importCounts", "",
			count("1")+"\n"+count("2")+"\n", count("1")+count("2"), count(`"3"`)+"\r\n\r\n"+count("4"), `{}`, `{"name":"none","counted":-1}`+count("1"),
			strings.Repeat(count("1")+"\n", 300), `{"name":"`+stock+`","counted":"1","countTime":"2027-01-01T00:00:00Z"}`,
		),
		send("POST", "/v1/stock:importCounts", "", "["+count("1")+","+count("2")+"]"),
	)
}

// oddities are requests in which the way over HTTP is special.
func oddities() []request {
	as := func(trait, verb, target, body string, header ...string) request {
		return request{verb: verb, target: target, body: body, header: header, trait: trait}
	}
	form := "Content-Type: application/x-www-form-urlencoded"
	return []request{
		as("method override", "POST", "/v1/"+tent, "", "X-HTTP-Method-Override: DELETE", form),
		as("method override", "POST", "/v1/"+tent, "", "X-HTTP-Method-Override: GET", form),
		as("method override", "POST", "/v1/products:search", "{}", "X-HTTP-Method-Override: GET"),
		as("form for a query", "POST", "/v1/shelves", "pageSize=1", form),
		as("form for a query", "POST", "/v1/products:search", "query=tent", form),
		as("", "GET", "/v1/products?pageSize=1", "", "Accept: application/json"),
		as("", "GET", "/v1/products?pageSize=1", "", "Accept: text/html, */*"),
		as("problem asked for", "GET", "/v1/products/none", "", "Accept: application/problem+json"),
		as("", "GET", "/v1/products?pageSize=1", "", "Grpc-Timeout: 5S"),
		as("", "GET", "/v1/products?pageSize=1", "", "Grpc-Timeout: 5"),
		as("", "GET", "/v1/products?pageSize=1", "", "Grpc-Timeout: 5x"),
		as("zero timeout", "GET", "/v1/products?pageSize=1", "", "Grpc-Timeout: 0S"),
		as("zero timeout", "GET", "/v1/products?pageSize=1", "", "Grpc-Timeout: -1S"),
		as("long timeout", "GET", "/v1/products?pageSize=1", "", "Grpc-Timeout: 123456789n"),
		as("", "GET", "/v1/products?pageSize=1", "", "Grpc-Metadata-X-Trace-Bin: aGk="),
		as("broken binary header", "GET", "/v1/products?pageSize=1", "", "Grpc-Metadata-X-Trace-Bin: %%%"),
		as("", "GET", "/v1/products?pageSize=1", "", "X-Anything: else"),
		as("header that is not ASCII", "GET", "/v1/products?pageSize=1", "", "Grpc-Metadata-X-Name: \xc3\xa4"),
		as("many headers", "GET", "/v1/products?pageSize=1", "", slices.Repeat([]string{"X-Many: x"}, 200)...),
		as("upgrade with a body", "POST", "/v1/"+tent+":archive", "{}", "Upgrade: websocket"),
		as("too large", "POST", "/v1/products:search", `{"query":"`+strings.Repeat("x", 5<<20)+`"}`),
		as("deep nesting", "PATCH", "/v1/orders/1024", `{"metadata":{"a":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}}`),
		as("double encoding", "GET", "/v1/products/a%252Fb", ""),
	}
}
