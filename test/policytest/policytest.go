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

func complete(m *interceptors.Method) error {
	file, err := config.New(&configv1.Config{
		Upstreams: []*configv1.Upstream{{
			Name: "shop", Target: "passthrough:///127.0.0.1:1", RetryBudget: m.Budget,
			Schema: &configv1.Schema{Source: &configv1.Schema_Linked{Linked: true}},
		}},
		Expose: []*configv1.Exposure{{Select: "*", Upstream: "shop", Policy: m.Policy}},
	})
	if err != nil {
		return placed(err)
	}
	effective, err := file.Policy(nil, 0)
	if err != nil {
		return err
	}
	m.Policy, m.Budget = effective.Policy, file.Config.GetUpstreams()[0].GetRetryBudget()
	return nil
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
