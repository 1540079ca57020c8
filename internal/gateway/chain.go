package gateway

import (
	"log/slog"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/accesslog"
	"github.com/gatehouse-dev/gatehouse/interceptors/metrics"
	"github.com/gatehouse-dev/gatehouse/interceptors/recovery"
	"github.com/gatehouse-dev/gatehouse/interceptors/timeout"
)

// parts are what policies need and what outlives a table: collectors, the log.
type parts struct {
	log     *slog.Logger // the gateway's own
	access  *slog.Logger // one line a call; nil for none
	metrics *metrics.Metrics
	custom  []interceptors.Interceptor
}

// chain is the ordered list of policies of one method, the outermost first.
// This is the one place where their order is decided.
func (p *parts) chain(method string, policy *policyv1.Policy) []interceptors.Interceptor {
	list := p.observers(method)
	list = append(list,
		recovery.New(p.log),                           // a panic further in is an answer like any other
		timeout.New(policy.GetTimeout().AsDuration()), // bounds all that follows, every attempt together
	)
	return append(list, p.custom...) // of those who build a gateway of their own
}

// observers look on: they see calls, and what was refused before it became one.
func (p *parts) observers(method string) []interceptors.Interceptor {
	var list []interceptors.Interceptor
	if p.access != nil {
		list = append(list, accesslog.New(p.access)) // outermost: its duration is the client's
	}
	return append(list, p.metrics.For(method))
}
