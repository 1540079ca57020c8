package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/cmd"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// run runs one command line to its end.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	app := cmd.App{Version: "v1.2.3"}
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	defer cancel()
	code = app.Run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

// write makes a configuration file.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const good = `listeners:
  http: {address: "127.0.0.1:0"}
  grpc: {address: "127.0.0.1:0"}
  admin: {address: "127.0.0.1:0"}
upstreams:
  - {name: shop, target: "passthrough:///127.0.0.1:1", schema: {linked: true}}
expose:
  - {select: "shop.pricing.v1.*", upstream: shop, policy: {timeout: 2s, auth: {public: true}}}
  - {select: "shop.reviews.v1.ReviewsService.ModerateReviews", upstream: shop, policy: {auth: {public: true}}}
`

func TestVersion(t *testing.T) {
	if code, stdout, stderr := run(t, "version"); code != 0 || stdout != "gatehouse v1.2.3\n" || stderr != "" {
		t.Errorf("got %d %q %q", code, stdout, stderr)
	}
	var stdout bytes.Buffer
	if code := new(cmd.App).Run(t.Context(), []string{"version"}, &stdout, &stdout); code != 0 || !regexp.MustCompile(`^gatehouse \S+\n$`).MatchString(stdout.String()) {
		t.Errorf("without a version of its own: got %d %q", code, stdout.String())
	}
}

func TestCheck(t *testing.T) {
	file := write(t, good)
	code, stdout, stderr := run(t, "check", "--config", file)
	if code != 0 || stdout != file+": ok: 6 RPCs, 5 HTTP bindings, 1 upstream\n" {
		t.Errorf("got %d %q", code, stdout)
	}
	const warning = ":8:79: expose[0].policy.auth: replaces what the contract says about who may call shop.pricing.v1.PricingService.UpdatePrice\n"
	if stderr != "warning: "+file+warning {
		t.Errorf("warns %q, want %q", stderr, warning)
	}
}

// TestCheckKeepsQuietAboutTheContract: where one option of a contract replaces
// another, the configuration has overruled nothing.
func TestCheckKeepsQuietAboutTheContract(t *testing.T) {
	file := write(t, strings.Replace(good, `shop.pricing.v1.*", upstream: shop, policy: {timeout: 2s, auth: {public: true}}`, `shop.orders.v1.*", upstream: shop`, 1)+
		"authenticators:\n  - {name: staff, mtls: {names: [staff.example.com]}}\n  - {name: customers, mtls: {names: [customer.example.com]}}\n")
	code, _, stderr := run(t, "check", "--config", file)
	if code != 0 || strings.Contains(stderr, "shop.orders") {
		t.Errorf("got %d %q, want no warning about shop.orders.v1: no exposure says who may call it", code, stderr)
	}
}

// TestCollectorOfMain: a main of one's own has the garbage collector's setting of
// the official binary, unless GOGC says otherwise.
func TestCollectorOfMain(t *testing.T) {
	args := os.Args
	before := debug.SetGCPercent(100)
	t.Cleanup(func() {
		os.Args = args
		debug.SetGCPercent(before)
	})
	os.Args = []string{"gatehouse", "version"}
	for gogc, want := range map[string]int{"": 400, "50": 100} {
		t.Setenv("GOGC", gogc)
		debug.SetGCPercent(100)
		if code := cmd.Main(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("GOGC=%q: the percentage is %d, want %d", gogc, got, want)
		}
	}
}

// A promise that needs Redis and has none is kept only until the process ends.
func TestCheckWarnsOfPromisesWithoutRedis(t *testing.T) {
	const policy = "auth: {public: true}, idempotency: {at_most_once: true"
	for _, tc := range []struct {
		name, store, redis string
		warns              bool
	}{
		{"by default", "", "", true},
		{"local", ", store: local", "", true},
		{"redis", ", store: redis", "redis: {addresses: [\"127.0.0.1:1\"]}\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head, _, _ := strings.Cut(good, "expose:")
			text := head + tc.redis +
				"expose:\n  - {upstream: shop, select: shop.catalog.v1.CatalogService.CreateProduct, policy: {" + policy + tc.store + "}}}\n"
			code, stdout, stderr := run(t, "check", "--config", write(t, text))
			if code != 0 {
				t.Fatalf("got %d %q %q", code, stdout, stderr)
			}
			const want = "expose[0].policy.idempotency.at_most_once: with store: local a call is executed again"
			if got := strings.Contains(stderr, want); got != tc.warns {
				t.Errorf("warns %q, want %q: %v", stderr, want, tc.warns)
			}
		})
	}
}

// TestSkippedRules: check warns of what is not served, and does not count it;
// routes has it with the reason.
func TestSkippedRules(t *testing.T) {
	file := write(t, strings.Replace(good, "upstream: shop, policy: {timeout", "upstream: shop, bad_rules: skip, http_file: [service.yaml], policy: {timeout", 1))
	rules := filepath.Join(filepath.Dir(file), "service.yaml")
	if err := os.WriteFile(rules, []byte("type: google.api.Service\nhttp:\n  rules:\n  - selector: shop.pricing.v1.PricingService.GetPrice\n    get: /prices/{nope}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	warning := rules + ":4:5: http.rules[0]: GET /prices/{nope} of shop.pricing.v1.PricingService.GetPrice: "
	code, stdout, stderr := run(t, "check", "--config", file)
	if code != 0 || stdout != file+": ok: 6 RPCs, 4 HTTP bindings, 1 upstream\n" || !strings.Contains(stderr, "\nwarning: "+warning) || !strings.HasSuffix(stderr, "; skipped\n") {
		t.Errorf("check: got %d %q %q", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, "routes", "--config", file)
	if code != 0 || !regexp.MustCompile(`(?m)^GET +/prices/\{nope\} +shop\.pricing\.v1\.PricingService/GetPrice +shop +not served: `+regexp.QuoteMeta(warning)).MatchString(stdout) {
		t.Errorf("routes: got %d %s%s", code, stdout, stderr)
	}
}

// TestCheckPrint: what is printed is a configuration that says the same.
func TestCheckPrint(t *testing.T) {
	code, stdout, _ := run(t, "check", "--print", "--config", write(t, good))
	if code != 0 {
		t.Fatalf("got %d", code)
	}
	for _, want := range []string{"max_body_bytes: 4MiB", "shop.pricing.v1.PricingService/GetPrice", "expose[0].policy"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("does not say %q:\n%s", want, stdout)
		}
	}
	if code, again, stderr := run(t, "check", "--print", "--config", write(t, stdout)); code != 0 || config(again) != config(stdout) {
		t.Errorf("printed again: %d %s %s", code, stderr, again)
	}
}

// TestCheckPrintsKeys: --print shows the key of each policy that keeps answers.
func TestCheckPrintsKeys(t *testing.T) {
	file := write(t, strings.NewReplacer("shop.pricing.v1.*", "shop.pricing.v1.PricingService.GetPrice",
		"timeout: 2s,", "timeout: 2s, fallback: {last_good: 1m}, cache: {ttl: 1m, vary: ''},").Replace(good))
	code, stdout, stderr := run(t, "check", "--print", "--config", file)
	for _, want := range []string{
		"#   key of cache: RPC, request, upstream, host, scheme\n",
		"#   key of fallback.last_good: RPC, request, upstream, host, scheme, caller\n",
	} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("got %d, without %q: %s\n%s", code, want, stderr, stdout)
		}
	}
}

// config is what is printed without the comments, which name positions.
func config(printed string) string {
	before, _, _ := strings.Cut(printed, "\n# ")
	return before
}

func TestRoutesTable(t *testing.T) {
	code, stdout, stderr := run(t, "routes", "--config", write(t, good))
	if code != 0 || stderr != "" {
		t.Fatalf("got %d %q", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 7 || strings.Join(strings.Fields(lines[0]), " ") != "HTTP PATH RPC UPSTREAM POLICIES" {
		t.Fatalf("got\n%s", stdout)
	}
	for _, want := range []string{
		"GET /v1/{name=products/*/price} shop.pricing.v1.PricingService/GetPrice shop auth=public timeout=2s",
		"- (gRPC only) shop.reviews.v1.ReviewsService/ModerateReviews shop auth=public breaker=three-state timeout=2s",
	} {
		found := false
		for _, line := range lines {
			found = found || strings.Join(strings.Fields(line), " ") == want
		}
		if !found {
			t.Errorf("no line %q in\n%s", want, stdout)
		}
	}
}

// Paths that leave the version open have lines of their own; `check` counts
// bindings, not paths.
func TestRoutesTableHasOpenPaths(t *testing.T) {
	file := write(t, `
upstreams:
  - {name: shop, target: "passthrough:///127.0.0.1:1", schema: {linked: true}}
expose:
  - {select: shop.reviews.v1.ReviewsService.GetReview, upstream: shop, policy: {auth: {public: true}}}
versions:
  - {name: reviews, list: [{name: v1, select: ["shop.reviews.v1.*"]}]}
`)
	code, stdout, stderr := run(t, "routes", "--config", file)
	for _, path := range []string{"GET   /v1/{name=products/*/reviews/*}  ", "GET   /{name=products/*/reviews/*}     "} {
		if code != 0 || strings.Count(stdout, path+"shop.reviews.v1.ReviewsService/GetReview") != 1 {
			t.Errorf("got %d %q, want one line of %q in\n%s", code, stderr, path, stdout)
		}
	}
	if code, stdout, stderr = run(t, "check", "--config", file); code != 0 || !strings.Contains(stdout, "1 RPC, 1 HTTP binding,") {
		t.Errorf("check: got %d %q %q", code, stdout, stderr)
	}
}

// The upstreams among which an RPC chooses are told.
func TestRoutesTableTellsUpstreams(t *testing.T) {
	code, stdout, stderr := run(t, "routes", "--config", write(t, `
upstreams:
  - {name: shop, target: "passthrough:///127.0.0.1:1", schema: {linked: true}}
  - {name: canary, target: "passthrough:///127.0.0.1:1", schema: {linked: true}}
expose:
  - select: shop.pricing.v1.PricingService.GetPrice
    upstream: shop
    policy: {auth: {public: true}}
    routes: [{upstream: canary, headers: {x-beta: "1"}}, {upstream: canary, percent: 5}]
    mirror: {upstream: canary}
`))
	if want := " shop, canary (x-beta: 1), canary (5%), copies to canary "; code != 0 || !strings.Contains(stdout, want) {
		t.Errorf("got %d %q, want %q in\n%s", code, stderr, want, stdout)
	}
}

func TestRoutesJSON(t *testing.T) {
	code, stdout, stderr := run(t, "routes", "--output", "json", "--config", write(t, good))
	var routes []struct {
		Verb, Path, Body, Method, Upstream, Exposure string
		ResponseBody                                 string `json:"response_body"`
		Policies                                     map[string]string
	}
	if err := json.Unmarshal([]byte(stdout), &routes); code != 0 || err != nil || len(routes) != 6 {
		t.Fatalf("got %d %v %q %s", code, err, stderr, stdout)
	}
	for _, r := range routes {
		if r.Path == "/v1/prices:batchGet" {
			if r.Verb != "GET" || r.ResponseBody != "prices" || r.Method != "/shop.pricing.v1.PricingService/BatchGetPrices" || r.Upstream != "shop" ||
				r.Exposure != "expose[0]" || r.Policies["timeout"] != "2s" {
				t.Errorf("got %+v", r)
			}
			return
		}
	}
	t.Errorf("BatchGetPrices is not in %s", stdout)
}

// TestServe serves until it is told to stop.
func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stderr, done := new(gatewaytest.Log), make(chan int, 1)
	file := write(t, good)
	go func() {
		done <- new(cmd.App).Run(ctx, []string{"serve", "--config", file, "--http", "127.0.0.1:0"}, stderr, stderr)
	}()
	gatewaytest.Eventually(t, "the line that says where", func() bool { return strings.Contains(stderr.String(), "msg=serving") })
	stop()
	if code := gatewaytest.Receive(t, done, "the end"); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

// image is a file with all contracts, one of which imports a file that is not
// there.
func image(t *testing.T, missing string) string {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	protoregistry.GlobalFiles.RangeFiles(func(fd protoreflect.FileDescriptor) bool {
		file := protodesc.ToFileDescriptorProto(fd)
		if i := slices.Index(file.GetDependency(), "google/type/money.proto"); i >= 0 {
			file.Dependency[i] = missing
		}
		set.File = append(set.File, file)
		return true
	})
	b, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "image.binpb")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestMistakesNeverStart: no command goes on from a mistake, each is told with
// its place and with what would be right, and nobody is told of half a gateway.
func TestMistakesNeverStart(t *testing.T) {
	busy := gatewaytest.Listen(t).Addr().String()
	incomplete := image(t, "nowhere/money.proto")
	garbage := write(t, "\xff\xff\xff")
	noDocument := write(t, `{"title": "not an OpenAPI document"}`)
	down := gatewaytest.Unreachable(t)
	swap := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for _, tc := range []struct {
		name, config string
		want         []string
		only         string // the one command to try, "" for all
	}{
		{name: "unknown field", config: swap("upstreams:", "upstream:"), want: []string{"gatehouse.yaml:5:1", "upstreams"}},
		{name: "no YAML", config: "a: b: c", want: []string{"gatehouse.yaml:1"}},
		{name: "empty", config: "", want: []string{"upstreams"}},
		{name: "unknown upstream", config: swap("upstream: shop, policy", "upstream: shp, policy"), want: []string{"gatehouse.yaml:8:", `"shp"`, `"shop"`}},
		{name: "select that matches nothing", config: swap("shop.pricing.v1.*", "shop.prices.v1.*"), want: []string{"gatehouse.yaml:8:", `"shop.prices.v1.*" matches no RPC`, "shop.pricing.v1.PricingService"}},
		{name: "select that is none", config: swap("shop.pricing.v1.*", "shop.*.v1"), want: []string{"gatehouse.yaml:8:", "select"}},
		{name: "image that is not there", config: swap("{linked: true}", "{image: nowhere.binpb}"), want: []string{"gatehouse.yaml:6:", "nowhere.binpb"}},
		{name: "image that is garbage", config: swap("{linked: true}", "{image: "+garbage+"}"), want: []string{"gatehouse.yaml:6:", garbage}},
		{name: "image that lacks an import", config: swap("{linked: true}", "{image: "+incomplete+"}"), want: []string{"gatehouse.yaml:6:", "money.proto"}},
		{name: "reflection of nobody", config: strings.Replace(swap("{linked: true}", "{reflection: true}"), "127.0.0.1:1", down, 1), want: []string{"gatehouse.yaml:6:", `"shop"`}, only: "check"},
		{name: "two bindings of one path", config: good + httpRule(`{selector: shop.pricing.v1.PricingService.ListPrices, get: "/v1/prices:batchGet"}`), want: []string{"/v1/prices:batchGet", "ListPrices", "BatchGetPrices"}},
		{name: "template that is none", config: good + httpRule(`{selector: shop.pricing.v1.PricingService.ListPrices, get: "/v1/{prices"}`), want: []string{"/v1/{prices", "ListPrices"}},
		{name: "variable that is no field", config: good + httpRule(`{selector: shop.pricing.v1.PricingService.ListPrices, get: "/v1/{price_list}"}`), want: []string{"price_list", "ListPrices"}},
		{name: "body that is no field", config: good + httpRule(`{selector: shop.pricing.v1.PricingService.ListPrices, post: "/v1/prices", body: "filter"}`), want: []string{"filter", "ListPrices"}},
		{name: "response body that is no field", config: good + httpRule(`{selector: shop.pricing.v1.PricingService.ListPrices, get: "/v1/prices", response_body: "list"}`), want: []string{"list", "ListPrices"}},
		{name: "rule of an RPC that is not exposed", config: good + httpRule(`{selector: shop.pricing.v1.PricingService.ListPrice, get: "/v1/prices"}`), want: []string{"ListPrice", "ListPrices"}},
		{name: "policy that cannot be", config: swap("timeout: 2s", "timeout: -2s"), want: []string{"gatehouse.yaml:8:", "timeout"}},
		{name: "RPC that nobody may call", config: good + exposure("GetShelf", "auth: {public: false}"), want: []string{"gatehouse.yaml:10:", "expose[2].policy.auth: ", "nobody says who may call", "shop.catalog.v1.CatalogService.GetShelf", "public: true"}},
		{name: "authenticator of the contract that is none", config: good + exposure("DeleteProduct", "timeout: 1s"), want: []string{"gatehouse.yaml:10:", "expose[2]: option of rpc shop.catalog.v1.CatalogService.DeleteProduct: auth.accept[0]: there is no authenticator"}},
		{name: "condition in the place of the contract's auth", config: good + exposure("DeleteProduct", "auth: {allow: 'true'}"), want: []string{"gatehouse.yaml:10:", "expose[2].policy.auth: nobody says who may call", "replaces all of the contract's auth"}},
		{name: "authenticator that is none", config: good + exposure("GetShelf", "auth: {accept: [staf]}") + staff, want: []string{"gatehouse.yaml:10:", "expose[2].policy.auth.accept[0]: ", `"staf"`, `"staff"`}},
		{name: "condition that is none", config: good + exposure("GetShelf", "auth: {accept: [staff], allow: 'caller.id == head[0]'}") + staff, want: []string{"gatehouse.yaml:10:", "expose[2].policy.auth.allow: column 14: ", "'head'", "'headers'"}},
		{name: "cache of what has side effects", config: good + exposure("DeleteProduct", "auth: {public: true}, cache: {ttl: 1s}"), want: []string{"gatehouse.yaml:10:", "expose[2].policy.cache: ", "shop.catalog.v1.CatalogService.DeleteProduct", "side effects", "NO_SIDE_EFFECTS"}},
		{name: "limit by nobody", config: good + exposure("GetShelf", "auth: {public: true}, rate_limit: {requests: 1, key: caller.id}"), want: []string{"gatehouse.yaml:10:", "expose[2].policy.rate_limit[0].key: caller.id names the caller", "peer.network"}},
		{name: "states of a breaker that has none", config: good + exposure("GetShelf", "auth: {public: true}, breaker: {open_time: 5s}"), want: []string{"gatehouse.yaml:10:", "expose[2].policy.breaker.open_time: only for kind: three-state"}},
		{name: "way to know callers that is none", config: good + "authenticators: [{name: idp}]\n", want: []string{"gatehouse.yaml:10:", "authenticators[0]: required", "api_keys"}},
		{name: "tokens without keys", config: good + "authenticators: [{name: idp, jwt: {issuer: a, audiences: [b]}}]\n", want: []string{"gatehouse.yaml:10:", "authenticators[0].jwt: required", "jwks_url"}},
		{name: "code that is not tried again", config: good + exposure("GetShelf", "auth: {public: true}, retry: {codes: [UNAVAIL]}"), want: []string{"gatehouse.yaml:10:", `"UNAVAIL" is not allowed`, "UNAVAILABLE"}},
		{name: "redis that is not there", config: good + exposure("GetShelf", "auth: {public: true}, rate_limit: [{requests: 1, store: redis}]"), want: []string{"gatehouse.yaml:10:", "expose[2].policy.rate_limit[0].store: redis is not configured", "store: local"}},
		{name: "certificate that is not there", config: swap(`http: {address: "127.0.0.1:0"`, `http: {address: "127.0.0.1:0", tls: {cert_file: no.pem, key_file: no.key}`), want: []string{"gatehouse.yaml:2:", "no.pem"}},
		{name: "certificate that is none", config: swap(`http: {address: "127.0.0.1:0"`, `http: {address: "127.0.0.1:0", tls: {cert_file: `+garbage+`, key_file: `+garbage+`}`), want: []string{garbage}},
		{name: "authorities that are none", config: swap("schema: {linked: true}", "tls: {ca_file: "+garbage+"}, schema: {linked: true}"), want: []string{garbage, "PEM"}},
		{name: "address that is none", config: swap("127.0.0.1:0", "localhost"), want: []string{"gatehouse.yaml:2:", "port"}},
		{name: "document that is not there", config: good + "openapi: {file: nowhere.json}\n", want: []string{"nowhere.json"}},
		{name: "document that is no JSON", config: good + "openapi: {file: " + garbage + "}\n", want: []string{"gatehouse.yaml:10:", "openapi.file", garbage, "not an OpenAPI document"}},
		{name: "document that is another's", config: good + "openapi: {file: " + noDocument + "}\n", want: []string{"gatehouse.yaml:10:", "openapi.file", noDocument, `"openapi"`}},
		{name: "two mistakes", config: strings.Replace(swap("upstream: shop, policy", "upstream: shp, policy"), "127.0.0.1:0", "localhost", 1), want: []string{"gatehouse.yaml:2:", "gatehouse.yaml:8:"}},
		{name: "busy port", config: swap("127.0.0.1:0", busy), want: []string{busy, "--http", "listeners.http.address"}, only: "serve"},
	} {
		for _, command := range []string{"serve", "check", "routes"} {
			if tc.only != "" && command != tc.only {
				continue
			}
			t.Run(tc.name+"/"+command, func(t *testing.T) {
				t.Parallel()
				code, stdout, stderr := run(t, command, "--config", write(t, tc.config))
				if code != 1 || stdout != "" {
					t.Errorf("exit code %d, want 1; on stdout: %q", code, stdout)
				}
				for _, want := range tc.want {
					if !strings.Contains(stderr, want) {
						t.Errorf("does not say %q: %s", want, stderr)
					}
				}
				if strings.Contains(stderr, "msg=serving") {
					t.Errorf("began to serve: %s", stderr)
				}
			})
		}
	}
}

// staff is an authenticator.
const staff = "authenticators: [{name: staff, mtls: {names: [staff.example.com]}}]\n"

// exposure is one of an RPC of the catalog, with a policy of its own.
func exposure(rpc, policy string) string {
	return "  - {select: shop.catalog.v1.CatalogService." + rpc + ", upstream: shop, policy: {" + policy + "}}\n"
}

// httpRule is an exposure with a binding of its own.
func httpRule(rule string) string {
	return `  - {select: "shop.pricing.v1.PricingService", upstream: shop, policy: {auth: {public: true}}, http: [` + rule + "]}\n"
}

func TestMissingConfiguration(t *testing.T) {
	for _, command := range []string{"serve", "check", "routes"} {
		code, stdout, stderr := run(t, command, "--config", filepath.Join(t.TempDir(), "nowhere.yaml"))
		if code != 1 || stdout != "" || !strings.Contains(stderr, "nowhere.yaml: cannot read the configuration: no such file") {
			t.Errorf("%s: got %d %q %q", command, code, stdout, stderr)
		}
	}
}

// TestCheckPrintSecrets: a secret that stands in the file is printed only if asked
// for.
func TestCheckPrintSecrets(t *testing.T) {
	file := write(t, good+`  - {select: "shop.reviews.v1.ReviewsService.GetReview", upstream: shop, policy: {auth: {public: true}}, metadata: {request: {set: {authorization: "Bearer hunter2"}}}}
redis: {addresses: ["127.0.0.1:1"], password: hunter2}
`)
	code, stdout, stderr := run(t, "check", "--print", "--config", file)
	if code != 0 || strings.Contains(stdout, "hunter2") || strings.Contains(stderr, "hunter2") {
		t.Errorf("got %d %s %s", code, stderr, stdout)
	}
	if code, _, stderr := run(t, "check", "--config", write(t, stdout)); code != 0 {
		t.Errorf("read again: %d %s", code, stderr)
	}
	if code, stdout, _ := run(t, "check", "--print", "--show-secrets", "--config", file); code != 0 || strings.Count(stdout, "hunter2") != 2 {
		t.Errorf("with --show-secrets: %d %s", code, stdout)
	}
	if code, _, stderr := run(t, "check", "--show-secrets", "--config", file); code != 2 || !strings.Contains(stderr, "--print") {
		t.Errorf("without --print: %d %s", code, stderr)
	}
}
