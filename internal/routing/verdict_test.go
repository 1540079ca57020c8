package routing_test

import (
	"testing"

	"google.golang.org/grpc/metadata"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/routing"
)

func TestVerdict(t *testing.T) {
	all, some := 100.0, 5.0
	for name, tc := range map[string]struct {
		route *configv1.Route
		want  string
	}{
		"everything":         {&configv1.Route{Percent: &all}, "yes"},
		"a header":           {&configv1.Route{Headers: map[string]string{"x-beta": "1"}, Percent: &all}, "yes"},
		"another header":     {&configv1.Route{Headers: map[string]string{"x-beta": "2"}, Percent: &all}, "no"},
		"a host":             {&configv1.Route{Hosts: []string{"shop.example"}, Percent: &all}, "yes"},
		"another host":       {&configv1.Route{Hosts: []string{"acme.example"}, Percent: &all}, "no"},
		"a share":            {&configv1.Route{Percent: &some}, "depends"},
		"a claim":            {&configv1.Route{Claims: map[string]string{"tenant": "acme"}, Percent: &all}, "depends"},
		"a header and claim": {&configv1.Route{Headers: map[string]string{"x-beta": "2"}, Claims: map[string]string{"tenant": "acme"}, Percent: &all}, "no"},
	} {
		if got := routing.Verdict(tc.route, "shop.example:8080", metadata.Pairs("x-beta", "1")); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
