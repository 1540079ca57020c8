package routing

import (
	"context"

	"google.golang.org/grpc/metadata"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// Verdict tells whether a route would take a call of which only the host and the
// metadata are known: "yes", "no", or "depends".
func Verdict(conf *configv1.Route, host string, md metadata.MD) string {
	c := compile(Route{Match: conf}, 0, nil)
	ctx := metadata.NewOutgoingContext(context.Background(), md)
	switch {
	case len(c.hosts) > 0 && !c.hosts.Have(host), !c.header(ctx), conf.GetPercent() == 0:
		return "no"
	case len(conf.GetClaims()) > 0, conf.GetWhen() != "", conf.GetPercent() < 100:
		return "depends"
	default:
		return "yes"
	}
}
