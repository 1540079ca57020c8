package server_test

import (
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestBusyAddress: the error names the listener, the flag and the field; no
// other listener stays open.
func TestBusyAddress(t *testing.T) {
	t.Parallel()
	taken := gatewaytest.Listen(t).Addr().String()
	for name, change := range map[string]gatewaytest.Change{
		"http":  func(c *configv1.Config) { c.Listeners.Http.Address = taken },
		"grpc":  func(c *configv1.Config) { c.Listeners.Grpc.Address = taken },
		"admin": func(c *configv1.Config) { c.Listeners.Admin.Address = taken },
	} {
		file, err := config.New(gatewaytest.Config(gatewaytest.Unreachable(t), change))
		if err != nil {
			t.Fatal(err)
		}
		g, err := live.New(t.Context(), live.Options{Config: file, LogTo: new(gatewaytest.Log)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Listen()
		for _, want := range []string{taken, "already in use", "--" + name, "listeners." + name + ".address"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v does not say %q", name, err, want)
			}
		}
		_ = g.Close()
	}
}
