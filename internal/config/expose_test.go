package config_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/config"
)

func TestMatch(t *testing.T) {
	const method = "shop.catalog.v1.CatalogService.GetProduct"
	for selector, want := range map[string]bool{
		"*":                                   true,
		"shop.*":                              true,
		"shop.catalog.v1.*":                   true,
		"shop.catalog.v1.CatalogService":      true,
		"shop.catalog.v1.CatalogService.*":    true,
		method:                                true,
		method + ".*":                         false,
		"shop.catalog.v1":                     false,
		"shop.cat*":                           false,
		"shop.catalog.*.CatalogService":       false,
		"shop.catalog.v1.CatalogService.Get*": false,
		"sho.*":                               false,
		"":                                    false,
		"shop.catalog.v1.CatalogService.GetProducts": false,
	} {
		if got := config.Match(selector, method); got != want {
			t.Errorf("%q: %v, want %v", selector, got, want)
		}
	}
	if config.Match("", "Bare") {
		t.Error("an empty select names something")
	}
}

func TestExposure(t *testing.T) {
	f := parse(t, `
upstreams:
  - {name: a, target: a, schema: {linked: true}}
  - {name: b, target: b, schema: {linked: true}}
expose:
  - {select: "*", upstream: a}
  - {select: "shop.*", upstream: a}
  - {select: "shop.v1.*", upstream: a}
  - {select: "shop.v1.Till", upstream: b}
  - {select: "shop.v1.Till.Pay", upstream: a}
  - {select: "*", upstream: b}
`)
	every := func(string) bool { return true }
	only := func(name string) func(string) bool { return func(u string) bool { return u == name } }
	tests := []struct {
		method protoreflect.FullName
		has    func(string) bool
		want   int
	}{
		{"shop.v1.Till.Pay", every, 4},
		{"shop.v1.Till.Pay", only("b"), 3},
		{"shop.v1.Till.Close", every, 3},
		{"shop.v1.Till.Close", only("a"), 2},
		{"shop.v1.Shelf.Get", every, 2},
		{"shop.v2.Shelf.Get", every, 1},
		{"other.Thing.Get", only("a"), 0},
		{"other.Thing.Get", only("b"), 5},
		{"other.Thing.Get", only("c"), -1},
	}
	for _, test := range tests {
		got, err := f.Exposure(test.method, test.has)
		if err != nil || got != test.want {
			t.Errorf("%s: expose[%d], error %v, want expose[%d]", test.method, got, err, test.want)
		}
	}
	_, err := f.Exposure("other.Thing.Get", every)
	for _, want := range []string{"gatehouse.yaml:11:14", "gatehouse.yaml:6:14", "other.Thing.Get is exposed twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "::1": "::1/128", "::ffff:192.0.2.7": "192.0.2.7/32", "fd00::/8": "fd00::/8",
		"10.0.0.1/8": "", "fe80::1%eth0": "", "": "", "a": "", "10.0.0.0/33": "",
	} {
		got, err := config.ParseNetwork(text)
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("%s: %v, error %v, want %q", text, got, err, want)
		}
	}
}
