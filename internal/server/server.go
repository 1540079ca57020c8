// Package server opens the listeners, guards them with limits, and ends them
// without losing a call.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// Listener is one address to listen on. A zero Address means not to.
type Listener struct {
	Name    string // as in the configuration: "http", "grpc" or "admin"
	Address string
	TLS     *tls.Config
}

// Limits bound what one client may take. Zero leaves a bound to the library.
type Limits struct {
	HeaderTimeout time.Duration // to send a request's header, the HTTP/2 preface included
	IdleTimeout   time.Duration // of a connection without requests
	WriteTimeout  time.Duration // to take an answer of the admin listener
	HeaderBytes   int           // of one request's header
	Streams       uint32        // at once on one HTTP/2 connection
	MessageBytes  int           // of one gRPC message
}

// Drain tells how calls end when the server is asked to stop.
type Drain struct {
	Delay   time.Duration // between "not ready" and refusing new connections
	Timeout time.Duration // for running calls to finish
}

// Options are what a server is made of.
type Options struct {
	HTTP, GRPC, AdminOn Listener
	Limits              Limits
	Drain               Drain
	Log                 *slog.Logger
	// NewGRPC makes a grpc.Server with the options given here and all that it
	// serves. It is called twice: grpc-go cannot drain one server gracefully
	// that both owns connections and is served through net/http.
	NewGRPC func(...grpc.ServerOption) *grpc.Server
	// NewHTTP makes the handler of the HTTP listener around gRPC over HTTP.
	NewHTTP func(grpc http.Handler) http.Handler
	// NewAdmin makes the handler of the admin listener. It may ask whether new calls
	// are welcome.
	NewAdmin func(ready func() bool) http.Handler
	// Memory accounts for what connections hold; nil bounds nothing.
	Memory *memory.Process
	// Sockets gives listeners that are open already; nil has none.
	Sockets Sockets
	// Unreadable, if set, counts a request that no handler saw: net/http refused it
	// with that status, or the client broke off, which is status 0. Of TLS the status
	// is not known.
	Unreadable func(listener string, status int)
	// Refused, if set, is told of each connection that a listener refused for want of file
	// descriptors.
	Refused func(listener string)
	// OnStop, if set, is called as soon as the server is asked to stop. It must not
	// wait for anything.
	OnStop func()
	// OnDrain, if set, is told when new calls are not welcome any more.
	OnDrain func()
	// OnDrained, if not nil, is called when the last call has ended.
	OnDrained func()
}

// Server has its listeners open. It is not safe for concurrent use, but for
// Address and Ready.
type Server struct {
	options Options
	web     *http.Server
	admin   *http.Server
	native  *grpc.Server // on the listener of its own
	inner   *grpc.Server // behind the HTTP listener
	workers *workers     // of the HTTP listener
	open    map[string]*listener
	ready   atomic.Bool
	running atomic.Int64 // requests of the HTTP listener
	leaving atomic.Bool  // connections are to be used no more
}

// Ready reports whether new calls are welcome.
func (s *Server) Ready() bool { return s.ready.Load() }

func (s *Server) build() {
	o := &s.options
	s.native = o.NewGRPC(grpcOptions(o)...)
	s.inner = o.NewGRPC(innerOptions(o)...)
	s.workers = newWorkers()
	s.web = s.httpServer(o.HTTP, s.counted(o.NewHTTP(s.inner)))
	s.admin = s.httpServer(o.AdminOn, s.told(o.NewAdmin(s.Ready)))
	// Its requests have no body, and its answers are short: whoever makes it wait holds a
	// connection that others need.
	s.admin.ReadTimeout, s.admin.WriteTimeout = o.Limits.HeaderTimeout, o.Limits.WriteTimeout
}

// ErrHandedOver is the cause of the end of serving when another process has the
// same sockets open and accepts connections from now on.
var ErrHandedOver = errors.New("handed over to another process")

// Serve serves until ctx ends, and then drains: it says that it is not ready,
// waits for the delay, refuses new connections, answers what waits on those it
// has accepted, sends GOAWAY, lets running calls finish within the timeout, and
// ends what is left. With the cause ErrHandedOver it accepts no connection from
// the beginning, and says nothing of readiness: the other process does. It
// returns an error if a listener failed.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := func(name string, serve func(net.Listener) error) {
		l, ok := s.open[name]
		if !ok {
			return
		}
		go func() {
			defer close(l.ended)
			if err := serve(l); err != nil && !l.leaving.Load() && !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("%s listener: %w", name, err))
			}
		}()
	}
	start("http", func(l net.Listener) error { return serveHTTP(s.web, l) })
	start("admin", func(l net.Listener) error { return serveHTTP(s.admin, l) })
	start("grpc", s.native.Serve)
	s.ready.Store(true)
	<-ctx.Done()
	cause := context.Cause(ctx)
	s.drain(errors.Is(cause, ErrHandedOver))
	if errors.Is(cause, context.Canceled) || errors.Is(cause, ErrHandedOver) {
		return nil
	}
	return cause
}

func serveHTTP(srv *http.Server, l net.Listener) error {
	if srv.TLSConfig != nil {
		return srv.ServeTLS(l, "", "")
	}
	return srv.Serve(l)
}
