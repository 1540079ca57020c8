package upstream

import (
	"fmt"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// maxRetryDelay bounds the wait between attempts to connect, so that a backend
// that is back is noticed within 2.4 s: grpc-go varies it by a fifth.
const maxRetryDelay = 2 * time.Second

// Flow-control windows. They are fixed, since grpc-go otherwise measures the
// connection without end, with a ping for nearly every answer. They bound what
// waits here for a client that is slow to read, and let one stream have 8 MB a second
// over a round trip of 12 ms. A unary answer of that size needs no update of its
// window, which costs a tenth of the call.
const (
	streamWindow = 96 << 10
	connWindow   = 4 << 20
)

// Dial makes the upstream and begins to connect, without waiting for it.
func Dial(o Options) (*Upstream, error) {
	u := &Upstream{Options: o, known: &known{found: scheme(o)}}
	if u.known.found == "xds" {
		if err := bootstrapped(); err != nil {
			return nil, fmt.Errorf("upstream %q: target %q: %w", o.Name, o.Target, err)
		}
	}
	opts, err := u.dialOptions()
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w", o.Name, err)
	}
	for range max(o.Balancing.Connections, 1) {
		cc, err := grpc.NewClient(target(o), opts...)
		if err != nil {
			_ = u.Close()
			return nil, fmt.Errorf("upstream %q: target %q: want a gRPC target such as \"dns:///catalog:9000\": %w", o.Name, o.Target, err)
		}
		u.ccs = append(u.ccs, cc)
		cc.Connect()
	}
	if err := u.known.refused.Load(); err != nil {
		_ = u.Close()
		return nil, fmt.Errorf("upstream %q: target %q: %w", o.Name, o.Target, *err)
	}
	u.conn = NewConn(o.Name, spread(u.ccs))
	u.conn.age, u.conn.maxReceive = newAge(o.MaxStreamAge, o.Random), o.MaxReceive
	return u, nil
}

// addressesScheme is that of upstreams whose replicas are told one by one. It is
// known to their own connections only.
const addressesScheme = "addresses"

// scheme is how grpc-go reads the target: what it knows no scheme of is a name
// in DNS.
func scheme(o Options) string {
	if len(o.Addresses) > 0 {
		return addressesScheme
	}
	if u, err := url.Parse(o.Target); err == nil && resolver.Get(u.Scheme) != nil {
		return u.Scheme
	}
	return "dns"
}

// target is what grpc-go is told. The name of the upstream is the authority of
// one whose replicas are told one by one.
func target(o Options) string {
	if len(o.Addresses) > 0 {
		return addressesScheme + ":///" + o.Name
	}
	return o.Target
}

func (u *Upstream) dialOptions() ([]grpc.DialOption, error) {
	o := u.Options
	config, err := serviceConfig(o)
	if err != nil {
		return nil, err
	}
	retry := backoff.DefaultConfig
	retry.BaseDelay, retry.MaxDelay = 100*time.Millisecond, maxRetryDelay
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent(o.UserAgent),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: o.ConnectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: o.KeepaliveTime, Timeout: o.KeepaliveTimeout}),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(call.Codec{}), grpc.MaxCallRecvMsgSize(o.MaxReceive)),
		grpc.WithResolvers(u.known.builder(o)),
		Observed(),
	}
	creds := transport(o)
	if u.known.found == "xds" {
		if creds, err = meshCredentials(creds); err != nil {
			return nil, err
		}
	} else { // a control plane says itself how calls are spread
		opts = append(opts, grpc.WithDefaultServiceConfig(config), grpc.WithDisableServiceConfig())
	}
	opts = append(opts, grpc.WithTransportCredentials(paced{creds, new(pace), o.Memory}))
	if u.known.found == addressesScheme { // a proxy would be chosen by the name of the upstream
		opts = append(opts, grpc.WithNoProxy())
	}
	if name := authority(o); name != "" {
		opts = append(opts, grpc.WithAuthority(name))
	}
	return append(opts, o.Dial...), nil
}
