package admin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestGivenDocument: the operator's document replaces the gateway's in the same format only,
// and the gateway's can still be had.
func TestGivenDocument(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, own, other string }{
		{"own.json", `{"swagger": "2.0"}`, "/openapi.json", "/openapi.yaml"},
		{"own.yaml", "swagger: '2.0'\n", "/openapi.yaml", "/openapi.json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), test.name)
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Unreachable(t), func(c *configv1.Config) {
				c.Openapi = &configv1.OpenApi{File: file}
			}))
			client := gatewaytest.Client(t)
			if got := get(t, client, g, test.own); got.StatusCode != 200 || got.Text != test.text {
				t.Errorf("%s: got %d %.80s", test.own, got.StatusCode, got.Text)
			}
			for _, path := range []string{test.other, test.own + "?own=true"} {
				if got := get(t, client, g, path); got.StatusCode != 200 || !strings.Contains(got.Text, "x-gatehouse-limits") {
					t.Errorf("%s: got %d %.80s", path, got.StatusCode, got.Text)
				}
			}
		})
	}
}
