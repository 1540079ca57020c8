// Package redis is the gateway's one connection to Redis, where replicas share
// what they must: limits, and answers to repeated calls.
//
// A call must not wait for a store that is away. So the first operation that
// fails for want of a connection or of time marks the store as down, and from
// then on every operation fails at once with [ErrDown], until a background
// goroutine has written a key to Redis. Redis that answers but does not take
// writes is down as well: when it refuses an operation, the same write tells
// whether it would refuse all.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/gatehouse-dev/gatehouse/internal/collect"
)

// Defaults of Options.
const (
	DefaultTimeout = 50 * time.Millisecond
	DefaultPrefix  = "gatehouse:"
)

const (
	// poolSize is for one server. A connection carries one operation at a time,
	// which takes well under a millisecond.
	poolSize = 32
	// dialTimeout bounds a connection that is made in the background while the
	// operation that wanted it has long given up: a TLS handshake may take longer
	// than an operation.
	dialTimeout = time.Second
)

// ErrDown is the outcome of an operation that was not tried, because Redis did
// not do what it was asked the last time and has not recovered since.
var ErrDown = errors.New("redis is down")

// Options are where Redis is, and how long to wait for it.
type Options struct {
	// Addresses are "host:port", or paths of unix sockets beginning with "/".
	// Several are the nodes of a cluster.
	Addresses []string
	Username  string
	Password  string
	// TLS makes the configuration of one handshake, so that certificates may
	// change; nil: in the clear.
	TLS func() *tls.Config
	// Database is the number of the database. A cluster has only 0.
	Database int
	// Prefix begins the names of all keys. Empty is DefaultPrefix.
	Prefix string
	// Timeout bounds one operation, the wait for a free connection included.
	// Zero is DefaultTimeout.
	Timeout time.Duration

	Registerer prometheus.Registerer // nil: no metrics
	Log        *slog.Logger          // nil: none
}

// Store is Redis. It is safe for concurrent use.
type Store struct {
	client  goredis.UniversalClient
	prefix  string
	timeout time.Duration
	log     *slog.Logger
	metrics metrics

	// epoch counts the changes between up (even) and down (odd). A failure only
	// counts against the epoch in which its operation began: one that was begun
	// before Redis went away says nothing about Redis after it came back.
	epoch atomic.Int64

	closing    context.Context // ends with Close
	close      context.CancelFunc
	mu         sync.Mutex // guards what follows, and adding to background
	closed     bool
	doubted    bool          // a goroutine checks whether Redis takes writes
	checked    time.Time     // when that was last so
	recovery   chan struct{} // closed while Redis is up
	background sync.WaitGroup
}

// Dial connects to Redis. It writes a key, for at most a second, so that a store
// that is up is used from the first call on. One that is down is not an error: it
// is looked for in the background.
func Dial(o Options) (*Store, error) {
	if len(o.Addresses) == 0 {
		return nil, errors.New(`addresses: want at least one "host:port"`)
	}
	if o.Database < 0 || o.Database > 0 && len(o.Addresses) > 1 {
		return nil, fmt.Errorf("database: %d: want 0 or more, and 0 with several addresses, for a cluster has no other", o.Database)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("timeout: %v: want more than 0s", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{prefix: o.Prefix, timeout: o.Timeout, log: o.Log, metrics: newMetrics(), recovery: make(chan struct{})}
	close(s.recovery)
	if err := collect.Register(o.Registerer, s.metrics.up, s.metrics.failures); err != nil {
		return nil, err
	}
	goredis.SetLogger(silent{})
	s.client = goredis.NewUniversalClient(universal(o))
	s.closing, s.close = context.WithCancel(context.Background())
	if err := s.check(); err != nil {
		s.fail(0, err)
	} else {
		s.metrics.up.Set(1)
	}
	return s, nil
}

// universal are go-redis's options. Its own patience is switched off throughout:
// it would retry, redial and wait while a call stands still.
func universal(o Options) *goredis.UniversalOptions {
	return &goredis.UniversalOptions{
		Dialer:                secureDialer(o.TLS),
		Addrs:                 o.Addresses,
		Username:              o.Username,
		Password:              o.Password,
		DB:                    o.Database,
		MaxRetries:            -1, // none
		DialerRetries:         1,  // the first is counted
		DialTimeout:           dialTimeout,
		ReadTimeout:           o.Timeout,
		WriteTimeout:          o.Timeout,
		PoolTimeout:           o.Timeout,
		ContextTimeoutEnabled: true, // all of these together are bound by the operation's deadline
		PoolSize:              poolSize,
		PipelinePoolSize:      -1, // no pipelines
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
}

// secureDialer is nil, which is go-redis's own, for connections in the clear.
func secureDialer(conf func() *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	if conf == nil {
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: conf()}
		return d.DialContext(ctx, network, address)
	}
}

// silent takes what go-redis would write to standard error, for the whole
// process: a line per connection that was not to be had, in a form of its own. The
// store's log has the change and its cause.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// Up reports whether Redis did what it was asked the last time.
func (s *Store) Up() bool { return s.epoch.Load()%2 == 0 }

// AwaitUp returns when Redis is up, or with an error when ctx ends.
func (s *Store) AwaitUp(ctx context.Context) error {
	s.mu.Lock()
	recovery := s.recovery
	s.mu.Unlock()
	select {
	case <-recovery:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Go runs f in a goroutine, unless the store is closed. Close cancels the context
// of f and waits for f to return.
func (s *Store) Go(f func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.background.Go(func() { f(s.closing) })
	}
}

// Close ends the connections. Operations that run fail.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close()
	err := s.client.Close()
	s.background.Wait()
	return err
}
