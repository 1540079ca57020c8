package live

import (
	"google.golang.org/grpc/credentials"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// dial connects to one upstream as configured.
func (g *Gateway) dial(u *configv1.Upstream, secure *certs.Client) (*upstream.Upstream, error) {
	o := upstream.Options{
		Name:             u.GetName(),
		Target:           u.GetTarget(),
		Authority:        u.GetAuthority(),
		Credentials:      credentialsOf(secure),
		ServerName:       u.GetTls().GetServerName(),
		KeepaliveTime:    u.GetKeepalive().GetTime().AsDuration(),
		KeepaliveTimeout: u.GetKeepalive().GetTimeout().AsDuration(),
		ConnectTimeout:   u.GetConnectTimeout().AsDuration(),
		MaxReceive:       int(u.GetMaxReceiveBytes()),
		UserAgent:        "gatehouse/" + g.version,
		Balancing:        balancing(u.GetBalancing()),
		Outliers:         outliers(u.GetOutliers()),
		MaxStreamAge:     u.GetMaxStreamAge().AsDuration(),
		Memory:           g.memory,
		Dial:             g.state.Tracing.DialOptions(),
	}
	for _, a := range u.GetAddresses() {
		o.Addresses = append(o.Addresses, upstream.Address{Address: a.GetAddress(), Weight: a.GetWeight()})
	}
	if h := u.GetHealthCheck(); h != nil && !h.GetDisabled() {
		o.Health = &upstream.Health{Service: h.GetService()}
	}
	return upstream.Dial(o)
}

func balancing(b *configv1.Balancing) upstream.Balancing {
	kinds := map[configv1.Balancing_Kind]upstream.Kind{
		configv1.Balancing_KIND_LEAST_REQUEST: upstream.LeastRequest, configv1.Balancing_KIND_WEIGHTED: upstream.Weighted,
		configv1.Balancing_KIND_RING_HASH: upstream.RingHash,
	}
	return upstream.Balancing{
		Kind: kinds[b.GetKind()], Connections: int(b.GetConnections()),
		SlowStart: b.GetSlowStart().AsDuration(), Refresh: b.GetRefresh().AsDuration(),
	}
}

func outliers(o *configv1.Outliers) *upstream.Outliers {
	if o == nil {
		return nil
	}
	return &upstream.Outliers{
		Interval: o.GetInterval().AsDuration(), BaseEjectionTime: o.GetBaseEjectionTime().AsDuration(),
		MaxEjectionTime: o.GetMaxEjectionTime().AsDuration(), MaxEjectionPercent: o.GetMaxEjectionPercent(),
		FailurePercentage: o.GetFailurePercentage(), SuccessRateStdev: o.GetSuccessRateStdev(),
		MinimumCalls: o.GetMinimumCalls(), MinimumReplicas: o.GetMinimumReplicas(),
	}
}

// clientTLS is nil for an upstream in the clear.
func clientTLS(store *certs.Store, t *configv1.UpstreamTls) (*certs.Client, error) {
	if t == nil {
		return nil, nil // no TLS
	}
	return store.Client(certs.ClientFiles{CA: t.GetCaFile(), Cert: t.GetCertFile(), Key: t.GetKeyFile(), ServerName: t.GetServerName()})
}

// credentialsOf is nil for connections in the clear.
func credentialsOf(c *certs.Client) credentials.TransportCredentials {
	if c == nil {
		return nil
	}
	return c.Credentials()
}
