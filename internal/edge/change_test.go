package edge_test

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// withTimeout sets the policy's time limit of all methods, 0 for none.
func withTimeout(d time.Duration) gatewaytest.Change {
	return func(c *configv1.Config) { c.Expose[0].Policy.Timeout = durationpb.New(d) }
}

// withErrors sets the format of errors.
func withErrors(f configv1.Errors_Format) gatewaytest.Change {
	return func(c *configv1.Config) { c.Errors = &configv1.Errors{Format: f} }
}

// withProxies trusts proxies.
func withProxies(networks ...string) gatewaytest.Change {
	return func(c *configv1.Config) { c.Listeners.Http.TrustedProxies = networks }
}
