// Package policytest builds policies in tests as a gateway does.
package policytest

import (
	"errors"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// Build returns the policy of an RPC. The settings, and the budget of the upstream,
// are checked and completed as those of a configuration are.
func Build(tb testing.TB, p interceptors.Policy, m interceptors.Method) interceptors.Interceptor {
	tb.Helper()
	i, err := TryBuild(p, m)
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

// TryBuild is Build that returns what is wrong.
func TryBuild(p interceptors.Policy, m interceptors.Method) (interceptors.Interceptor, error) {
	if err := complete(&m); err != nil {
		return interceptors.Interceptor{}, err
	}
	return p.Build(&m)
}

// Complete returns settings, checked and completed.
func Complete(p *policyv1.Policy) (*policyv1.Policy, error) {
	m := interceptors.Method{Policy: p}
	err := complete(&m)
	return m.Policy, err
}

// shop adds what a configuration must have.
func shop(c *configv1.Config) *configv1.Config {
	c.Upstreams = []*configv1.Upstream{{
		Name: "shop", Target: "passthrough:///127.0.0.1:1",
		Schema: &configv1.Schema{Source: &configv1.Schema_Linked{Linked: true}},
	}}
	c.Expose = []*configv1.Exposure{{Select: "*", Upstream: "shop"}}
	return c
}

func complete(m *interceptors.Method) error {
	conf := shop(new(configv1.Config))
	conf.Upstreams[0].RetryBudget, conf.Expose[0].Policy = m.Budget, m.Policy
	file, err := config.New(conf)
	if err != nil {
		return placed(err)
	}
	effective, err := file.Merger().Policy(nil, 0)
	if err != nil {
		return err
	}
	if _, err := effective.Check(); err != nil {
		return placed(err)
	}
	m.Policy, m.Budget = effective.Policy, file.Config.GetUpstreams()[0].GetRetryBudget()
	return nil
}

// Authenticators are those of a configuration, checked and completed.
func Authenticators(tb testing.TB, list []*policyv1.Authenticator) []*policyv1.Authenticator {
	tb.Helper()
	file, err := config.New(shop(&configv1.Config{Authenticators: list}))
	if err != nil {
		tb.Fatal(err)
	}
	return file.Config.GetAuthenticators()
}

// placed makes errors about the configuration those about a policy.
func placed(err error) error {
	var errs []error
	for _, e := range interceptors.FieldErrors(err) {
		one, ok := errors.AsType[*config.Error](e.Err)
		if !ok {
			return err
		}
		path := strings.TrimPrefix(strings.TrimPrefix(one.Path, "expose[0].policy."), "upstreams[0].")
		errs = append(errs, interceptors.Wrong(path, "%s", one.Text))
	}
	return errors.Join(errs...)
}
