package admin_test

import (
	"net"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestConsole: where the console of the admin listener calls, and whether it can.
func TestConsole(t *testing.T) {
	t.Parallel()
	const admin = "http://admin.example.com"
	allow := func(origin string) gatewaytest.Change {
		return func(c *configv1.Config) { c.Cors = &configv1.Cors{AllowOrigins: []string{origin}} }
	}
	for _, tc := range []struct {
		name     string
		change   gatewaytest.Change
		server   string // HTTP stands for the listener's address, PORT for its port; "" for those of the document
		called   string
		readOnly bool
	}{
		{"default", func(*configv1.Config) {}, "http://HTTP", "http://HTTP", true},
		{"another origin may call", allow("https://admin.example.com"), "http://HTTP", "http://HTTP", true},
		{"it may call", allow(admin), "http://HTTP", "http://HTTP", false},
		{"all addresses", func(c *configv1.Config) {
			allow(admin)(c)
			c.Listeners.Http.Address = "0.0.0.0:0"
		}, "http://admin.example.com:PORT", "http://admin.example.com:PORT", false},
		{"servers", func(c *configv1.Config) {
			allow(admin)(c)
			c.Openapi = &configv1.OpenApi{Servers: []*configv1.OpenApi_Server{{Url: "https://api.example.com/v1"}}}
		}, "", "https://api.example.com", false},
		{"no HTTP", func(c *configv1.Config) {
			allow(admin)(c)
			c.Listeners.Http.Disabled = true
		}, "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), tc.change, func(c *configv1.Config) {
				c.Listeners.Admin.Hosts = []string{"admin.example.com"}
			}))
			_, port, _ := net.SplitHostPort(g.HTTP)
			resolve := strings.NewReplacer("HTTP", g.HTTP, "PORT", port).Replace
			r := g.Request(t, "GET", "/docs", "")
			r.URL.Host, r.Host = g.Admin, "admin.example.com"
			got := gatewaytest.Do(t, gatewaytest.Client(t), r)
			server := ""
			if tc.server != "" {
				server = `,&#34;servers&#34;:[{&#34;url&#34;:&#34;` + resolve(tc.server) + `&#34;}]`
			}
			want := server + `,&#34;hideTestRequestButton&#34;:` + map[bool]string{true: "true", false: "false"}[tc.readOnly] + "}"
			if !strings.Contains(got.Text, "]"+want) {
				t.Errorf("got\n%s\nwant %s", got.Text, want)
			}
			want = strings.TrimSpace("; connect-src 'self' "+resolve(tc.called)) + ";"
			if policy := got.Header.Get("Content-Security-Policy"); !strings.Contains(policy, want) {
				t.Errorf("got the policy %s, want %s", policy, want)
			}
		})
	}
}
