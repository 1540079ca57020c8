// Package upstream is the way to backends: connections, and the last link of
// every chain.
package upstream

import (
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // so that compressed messages of either side can be read
	"google.golang.org/grpc/keepalive"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Options describe one upstream.
type Options struct {
	Name string
	// Target is any gRPC target: "dns:///catalog:9000", "unix:/run/catalog",
	// "passthrough:///10.0.0.1:9000", "xds:///catalog".
	Target    string
	Authority string // what the backend is told it is called; "" for the target's
	// Credentials are TLS; nil: in the clear.
	Credentials credentials.TransportCredentials
	// KeepaliveTime is how long a connection with calls on it may be silent
	// before it is pinged. Servers end connections that are pinged more often
	// than they like; grpc-go's default is once in five minutes.
	KeepaliveTime time.Duration
	// KeepaliveTimeout is how long sent data may go unacknowledged: a black
	// hole is left after so long (gRFC A18, TCP_USER_TIMEOUT).
	KeepaliveTimeout time.Duration
	ConnectTimeout   time.Duration // for one attempt to connect
	MaxReceive       int           // bytes of one message
	UserAgent        string
	// Dial adds to what the connections are made with.
	Dial []grpc.DialOption
}

// Upstream is a connection to the replicas of one backend. It is safe for
// concurrent use and lives longer than a table.
type Upstream struct {
	Options Options
	cc      *grpc.ClientConn
	conn    *Conn
}

// roundRobin spreads calls over all addresses of a target.
const roundRobin = `{"loadBalancingConfig": [{"round_robin": {}}]}`

// maxRetryDelay bounds the wait between attempts to connect, so that a backend
// that is back is noticed.
const maxRetryDelay = 5 * time.Second

// Flow-control windows. They are fixed, since grpc-go otherwise measures the
// connection without end, with a ping for nearly every answer. They bound what
// waits here for a client that is slow to read, and let one stream have 80 MB a
// second over a round trip of 12 ms.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// Dial makes the upstream and begins to connect, without waiting for it.
func Dial(o Options) (*Upstream, error) {
	retry := backoff.DefaultConfig
	retry.BaseDelay, retry.MaxDelay = 100*time.Millisecond, maxRetryDelay
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(roundRobin),
		grpc.WithUserAgent(o.UserAgent),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: o.ConnectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: o.KeepaliveTime, Timeout: o.KeepaliveTimeout}),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(call.Codec{}), grpc.MaxCallRecvMsgSize(o.MaxReceive)),
	}
	if o.Credentials != nil {
		opts = append(opts, grpc.WithTransportCredentials(o.Credentials))
	}
	if o.Authority != "" {
		opts = append(opts, grpc.WithAuthority(o.Authority))
	}
	cc, err := grpc.NewClient(o.Target, append(opts, o.Dial...)...)
	if err != nil {
		return nil, fmt.Errorf("upstream %q: target %q: want a gRPC target such as \"dns:///catalog:9000\": %w", o.Name, o.Target, err)
	}
	cc.Connect()
	return &Upstream{Options: o, cc: cc, conn: NewConn(o.Name, cc)}, nil
}

// Conn is the last link of the chains to this upstream.
func (u *Upstream) Conn() grpc.ClientConnInterface { return u.conn }

// Raw is the connection itself, for calls of the gateway's own such as
// reflection. Its messages are generated ones.
func (u *Upstream) Raw() grpc.ClientConnInterface { return u.cc }

// State tells how the connection is. An idle one is asked to connect, so that
// an upstream without calls does not look down for good.
func (u *Upstream) State() connectivity.State {
	state := u.cc.GetState()
	if state == connectivity.Idle {
		u.cc.Connect()
	}
	return state
}

// Close ends the connection and the calls on it.
func (u *Upstream) Close() error { return u.cc.Close() }
