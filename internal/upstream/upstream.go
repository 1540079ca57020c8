// Package upstream is the way to backends: where their replicas are, how calls
// are spread over them, and the last link of every chain.
//
// Replicas are found (resolve.go), chosen between (serviceconfig.go, and
// spread.go where grpc-go has no policy), and watched (watch.go).
package upstream

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // so that compressed messages of either side can be read
	_ "google.golang.org/grpc/health"        // so that replicas can be asked whether they are well

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// Options describe one upstream.
type Options struct {
	Name string
	// Target is any gRPC target: "dns:///catalog:9000", "unix:/run/catalog",
	// "passthrough:///10.0.0.1:9000", "xds:///catalog". "" if there are Addresses.
	Target string
	// Addresses are the replicas, one by one.
	Addresses []Address
	Authority string // what the backend is told it is called; "" for the target's
	// Credentials are TLS; nil for a connection in the clear.
	Credentials credentials.TransportCredentials
	// ServerName is what the certificate of every replica must say; "" for the
	// authority, or the address where there is none.
	ServerName string
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

	Balancing Balancing
	Health    *Health   // nil: replicas are not asked
	Outliers  *Outliers // nil: all stay in
	// MaxStreamAge ends streams after so long, give or take a tenth. Zero sets
	// no bound.
	MaxStreamAge time.Duration
	// Random gives numbers in [0, 1) and must be safe for concurrent use; nil is
	// math/rand.
	Random func() float64

	// Memory counts large answers before they come. Nil counts none.
	Memory *memory.Process
	// Dial adds to what the connections are made with.
	Dial []grpc.DialOption
}

// Address is one replica: "host:port" or "unix:/path".
type Address struct {
	Address string
	Weight  uint32 // relative to the others'; 0 is 1
}

// Kind is a way to choose among replicas.
type Kind uint8

// The ways to choose.
const (
	RoundRobin   Kind = iota
	LeastRequest      // of two at random, the one with fewer calls (gRFC A48)
	Weighted          // by the weights of addresses, else by reported load (gRFC A58)
	RingHash          // by the key of [WithHashKey] (gRFC A42, A76)
)

// Balancing tells how calls are spread. The zero value is one connection to each
// replica, one call after the other.
type Balancing struct {
	Kind        Kind
	Connections int           // to each replica; 0 is 1
	SlowStart   time.Duration // until a new replica has its whole share
	Refresh     time.Duration // between questions to DNS; 0 asks when a connection ends
}

// Health is what replicas are asked about (grpc.health.v1, gRFC A17).
type Health struct{ Service string }

// Outliers tells which replicas are left out for their failures (gRFC A50).
type Outliers struct {
	Interval           time.Duration
	BaseEjectionTime   time.Duration
	MaxEjectionTime    time.Duration
	MaxEjectionPercent uint32
	FailurePercentage  uint32 // 0: not by that
	SuccessRateStdev   uint32 // in thousandths; 0: not by that
	MinimumCalls       uint32
	MinimumReplicas    uint32
}

// Upstream is the connections to the replicas of one backend. It is safe for
// concurrent use and lives longer than a table.
type Upstream struct {
	Options Options
	ccs     []*grpc.ClientConn
	conn    *Conn
	known   *known
}

// Conn is the last link of the chains to this upstream.
func (u *Upstream) Conn() grpc.ClientConnInterface { return u.conn }

// Raw is the connection itself, for calls of the gateway's own such as
// reflection. Its messages are generated ones.
func (u *Upstream) Raw() grpc.ClientConnInterface { return u.ccs[0] }

// State is the best that a connection has. An idle one is asked to connect, so
// that an upstream without calls does not look down for good.
func (u *Upstream) State() connectivity.State {
	best := connectivity.Shutdown
	for _, cc := range u.ccs {
		state := cc.GetState()
		if state == connectivity.Idle {
			cc.Connect()
		}
		if rank(state) > rank(best) {
			best = state
		}
	}
	return best
}

// rank orders states from bad to good.
func rank(s connectivity.State) int {
	return slices.Index([]connectivity.State{
		connectivity.Shutdown, connectivity.TransientFailure, connectivity.Idle, connectivity.Connecting, connectivity.Ready,
	}, s)
}

// Status is what is known of an upstream, for those who look after it. It names
// addresses: it is not for clients.
type Status struct {
	State connectivity.State
	// Found tells how replicas are found: "addresses", or the scheme of the
	// target such as "dns" and "xds".
	Found string
	// Replicas is how many there are, 0 while that is not known. What a control
	// plane knows is not known here.
	Replicas int
	// Connections is how many stand. A replica that is not well or left out is
	// connected all the same.
	Connections int
	// Problem is why the replicas could not be found last time, "" if they were.
	Problem string
	// SilentSince is when the first of the calls ended of which the upstream has
	// answered none, zero if it answers.
	SilentSince time.Time
}

// Status tells how the upstream is.
func (u *Upstream) Status() Status {
	return Status{
		State: u.State(), Found: u.known.found, Replicas: int(u.known.replicas.Load()),
		Connections: int(u.known.connections.Load()), Problem: *cmp.Or(u.known.problem.Load(), new(string)),
		SilentSince: u.conn.quiet.silentSince(),
	}
}

// Close ends the connections and the calls on them.
func (u *Upstream) Close() error {
	var errs []error
	for _, cc := range u.ccs {
		errs = append(errs, cc.Close())
	}
	return errors.Join(errs...)
}
