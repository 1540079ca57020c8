package live_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// A call for a host that is not served reaches no backend, at any door.
func TestHosts(t *testing.T) {
	t.Parallel()
	b := &shopBackend{}
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), onlyCatalog, func(c *configv1.Config) {
		c.Listeners.Http.Hosts = []string{"shop.example.com", "*.example.org", "[2001:db8::1]"}
		c.Listeners.Http.TrustedProxies = []string{"127.0.0.0/8"}
		c.Cors = &configv1.Cors{AllowOrigins: []string{"*"}}
	}))
	for host, served := range map[string]bool{
		"shop.example.com": true, "SHOP.example.com:8080": true, "shop.example.com.": true, "shop.example.com.:443": true,
		"a.b.example.org": true, "[2001:db8::1]": true, "[2001:DB8:0::1]:443": true,
		"evil.example": false, "example.org": false, "shop.example.com.evil.example": false, "notexample.org": false,
		"x-shop.example.com": false, "[2001:db8::2]": false, "127.0.0.1": false,
	} {
		r := g.Request(t, "GET", "/v1/shelves/tents", "")
		r.Host = host
		got := gatewaytest.Do(t, gatewaytest.Client(t), r)
		if want := map[bool]int{true: http.StatusOK, false: http.StatusMisdirectedRequest}[served]; got.StatusCode != want {
			t.Errorf("%s over REST: %d %s, want %d", host, got.StatusCode, got.Text, want)
		}
		for door, address := range map[string]string{"gRPC": g.GRPC, "gRPC on the HTTP port": g.HTTP} {
			c := &grpcCaller{gatewaytest.Dial(t, address, nil, grpc.WithAuthority(host))}
			if got, want := c.call(t.Context(), getShelf).code, map[bool]codes.Code{true: codes.OK, false: codes.FailedPrecondition}[served]; got != want {
				t.Errorf("%s over %s: %v, want %v", host, door, got, want)
			}
		}
	}
	r := g.Request(t, "GET", "/v1/shelves/tents", "", "X-Forwarded-Host: shop.example.com")
	if got := gatewaytest.Do(t, gatewaytest.Client(t), r); got.StatusCode != http.StatusOK {
		t.Errorf("the host that a trusted proxy tells: %d, want what it tells to count", got.StatusCode)
	}
	r = g.Request(t, "OPTIONS", "/v1/shelves/tents", "", "Origin: https://a.example", "Access-Control-Request-Method: GET")
	if got := gatewaytest.Do(t, gatewaytest.Client(t), r); got.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a preflight: %d, want it refused", got.StatusCode)
	}
	if got := gatewaytest.Raw(t, g.HTTP, "GET /v1/shelves/tents HTTP/1.0\r\n\r\n", false); !strings.HasPrefix(got, "HTTP/1.0 421") {
		t.Errorf("no host at all: %q", got)
	}
	if c := (&grpcCaller{g.Gateway.Conn()}); c.call(t.Context(), getShelf).code != codes.OK {
		t.Error("a call from inside the process asks for no host: want it served")
	}
	if _, err := healthv1.NewHealthClient(gatewaytest.Dial(t, g.GRPC, nil)).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("a health check: %v", err)
	}
	if !strings.Contains(g.Log.String(), "421") {
		t.Error("the refusals are not in the log")
	}
}

// Without hosts any is served, and the backend is told it.
func TestAnyHost(t *testing.T) {
	t.Parallel()
	told := ""
	b := &shopBackend{}
	b.see = func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		told = strings.Join(md["x-forwarded-host"], ",")
	}
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), onlyCatalog))
	r := g.Request(t, "GET", "/v1/shelves/tents", "")
	r.Host = "evil.example"
	if got := gatewaytest.Do(t, gatewaytest.Client(t), r); got.StatusCode != http.StatusOK || told != "evil.example" {
		t.Errorf("%d, and the backend was told %q", got.StatusCode, told)
	}
}
