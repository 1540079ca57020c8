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
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
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
	// Admin is what the admin listener shows.
	Admin *Admin
	// OnDrain, if set, is told when new calls are not welcome any more.
	OnDrain func()
	// OnDrained, if not nil, is called when the last call has ended.
	OnDrained func()
}

// Server has its listeners open. It is not safe for concurrent use, but for
// Addresses and Ready.
type Server struct {
	options Options
	web     *http.Server
	admin   *http.Server
	native  *grpc.Server // on the listener of its own
	inner   *grpc.Server // behind the HTTP listener
	open    map[string]net.Listener
	ready   atomic.Bool
	running atomic.Int64 // requests of the HTTP listener
}

// Listen opens all listeners, or none: an address that is taken is an error
// that names the flag which changes it.
func Listen(o Options) (*Server, error) {
	s := &Server{options: o, open: map[string]net.Listener{}}
	for _, l := range []Listener{o.HTTP, o.GRPC, o.AdminOn} {
		if l.Address == "" {
			continue
		}
		open, err := listen(l)
		if err != nil {
			s.closeListeners()
			return nil, err
		}
		s.open[l.Name] = open
	}
	s.build()
	return s, nil
}

func listen(l Listener) (net.Listener, error) {
	open, err := new(net.ListenConfig).Listen(context.Background(), "tcp", l.Address)
	switch {
	case err == nil:
		return open, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s listener: address %s is already in use: choose another with --%s or listeners.%s.address",
			l.Name, l.Address, l.Name, l.Name)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s listener: no permission to listen on %s: choose a port above 1023 with --%s or listeners.%s.address",
			l.Name, l.Address, l.Name, l.Name)
	default:
		return nil, fmt.Errorf("%s listener: cannot listen on %q: want host:port (--%s or listeners.%s.address): %w",
			l.Name, l.Address, l.Name, l.Name, err)
	}
}

func (s *Server) closeListeners() {
	for _, l := range s.open {
		_ = l.Close() // nothing was accepted yet
	}
}

// Address is where the named listener listens, "" if it does not.
func (s *Server) Address(name string) string {
	if l, ok := s.open[name]; ok {
		return l.Addr().String()
	}
	return ""
}

// Ready reports whether new calls are welcome.
func (s *Server) Ready() bool { return s.ready.Load() }

func (s *Server) build() {
	o := &s.options
	s.native = o.NewGRPC(grpcOptions(o)...)
	s.inner = o.NewGRPC(innerOptions(o)...)
	s.web = httpServer(o, o.HTTP, s.counted(o.NewHTTP(s.inner)))
	s.admin = httpServer(o, o.AdminOn, o.Admin.Handler(s.Ready))
}

// Serve serves until ctx ends, and then drains: it says that it is not ready,
// waits for the delay, sends GOAWAY, lets running calls finish within the
// timeout, and ends what is left. It returns an error if a listener failed.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(name string, serve func(net.Listener) error) {
		l, ok := s.open[name]
		if !ok {
			return
		}
		wg.Go(func() {
			if err := serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
				cancel(fmt.Errorf("%s listener: %w", name, err))
			}
		})
	}
	start("http", func(l net.Listener) error { return serveHTTP(s.web, l) })
	start("admin", func(l net.Listener) error { return serveHTTP(s.admin, l) })
	start("grpc", s.native.Serve)
	s.ready.Store(true)
	<-ctx.Done()
	s.drain()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func serveHTTP(srv *http.Server, l net.Listener) error {
	if srv.TLSConfig != nil {
		return srv.ServeTLS(l, "", "")
	}
	return srv.Serve(l)
}

// drain ends the listeners in the order in which clients need them.
func (s *Server) drain() {
	s.ready.Store(false)
	if s.options.OnDrain != nil {
		s.options.OnDrain()
	}
	s.options.Log.Info("draining", "delay", s.options.Drain.Delay, "timeout", s.options.Drain.Timeout)
	time.Sleep(s.options.Drain.Delay)
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Drain.Timeout)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { stopGRPC(ctx, s.native) })
	wg.Go(func() {
		if err := s.web.Shutdown(ctx); err != nil {
			s.options.Log.Warn("calls were cut off at the end of the drain", "listener", "http")
			_ = s.web.Close()
			s.awaitHandlers()
		}
		s.inner.Stop()
	})
	wg.Wait()
	_ = s.admin.Close()
	if s.options.OnDrained != nil {
		s.options.OnDrained()
	}
	s.options.Log.Info("drained")
}

// counted has drain know of the requests that run: net/http does not wait for
// those that it cuts off.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Add(-1)
		h.ServeHTTP(w, r)
	})
}

// cutOffTime is how long a call that was cut off may take to end, and to be
// logged.
const cutOffTime = 2 * time.Second

// awaitHandlers waits for what was cut off to end.
func (s *Server) awaitHandlers() {
	const often = 2 * time.Millisecond
	for waited := time.Duration(0); s.running.Load() > 0 && waited < cutOffTime; waited += often {
		time.Sleep(often)
	}
}

// stopGRPC lets calls finish until ctx ends, then cuts them off.
func stopGRPC(ctx context.Context, srv *grpc.Server) {
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	srv.GracefulStop()
}
