package server

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// How long idle connections of HTTP/1.1 are kept at least once the server is
// leaving, as long as there are any: a client that sends something meanwhile is
// told to use another. To close one under a request that is under way is what
// HTTP/1.1 cannot mend (RFC 9112, 9.3.1).
const (
	quietLast   = time.Second      // nobody else serves, and somebody waits for the end
	quietBeside = 10 * time.Second // another process serves
)

// drain ends the listeners in the order in which clients need them.
func (s *Server) drain(handedOver bool) {
	o := &s.options
	s.leaving.Store(true)
	if o.OnStop != nil {
		o.OnStop()
	}
	o.Log.Info("draining", "delay", o.Drain.Delay, "timeout", o.Drain.Timeout, "handed_over", handedOver)
	if handedOver {
		s.drainBeside()
	} else {
		s.drainLast()
	}
	if o.OnDrained != nil {
		o.OnDrained()
	}
	o.Log.Info("drained")
}

// drainLast is the drain of a gateway that leaves its address to nobody: load
// balancers have to see it go.
func (s *Server) drainLast() {
	s.ready.Store(false)
	if s.options.OnDrain != nil {
		s.options.OnDrain()
	}
	time.Sleep(s.options.Drain.Delay)
	s.leave("http", "grpc")
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Drain.Timeout)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { s.drainGRPC(ctx) })
	wg.Go(func() { s.drainHTTP(ctx, max(0, quietLast-s.options.Drain.Delay)) })
	wg.Wait()
	s.leave("admin")
	s.drainAdmin(0)
}

// drainBeside is the drain of a gateway beside another on the same sockets. That
// one answers who asks for readiness. Health is told last to those who watch it
// here: who hears of it before GOAWAY takes the address for dead.
func (s *Server) drainBeside() {
	s.leave("http", "grpc", "admin")
	s.ready.Store(false)
	quiet := max(s.options.Drain.Delay, quietBeside)
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Drain.Timeout)
	defer cancel()
	if s.options.OnDrain != nil {
		defer time.AfterFunc(quiet+adminTime, s.options.OnDrain).Stop()
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.drainGRPC(ctx) })
	wg.Go(func() { s.drainHTTP(ctx, quiet) })
	wg.Go(func() { s.drainAdmin(quietLast) })
	wg.Wait()
}

// leave accepts no more on the named listeners, and returns when every
// connection that was accepted is counted.
func (s *Server) leave(names ...string) {
	for _, name := range names {
		if l, ok := s.open[name]; ok {
			l.leave()
		}
	}
}

// await waits until no connection of the listener is fresh, and for quiet until
// none is idle. A client that sends nothing is closed at the header timeout,
// as ever.
func (s *Server) await(ctx context.Context, name string, quiet time.Duration) {
	l, ok := s.open[name]
	if !ok {
		return
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	still, waitIdle := time.After(quiet), quiet > 0
	for l.conns.at[fresh].Load() > 0 || waitIdle && l.conns.at[idle].Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-still:
			waitIdle = false
		case <-tick.C:
		}
	}
}

// drainHTTP is over when the last request is.
func (s *Server) drainHTTP(ctx context.Context, quiet time.Duration) {
	s.await(ctx, "http", quiet)
	if err := s.web.Shutdown(ctx); err != nil {
		s.options.Log.Warn("calls were cut off at the end of the drain", "listener", "http")
		_ = s.web.Close()
		s.awaitHandlers()
	}
	s.workers.stop()
	s.stopInner()
}

// drainGRPC is over when the last call is.
func (s *Server) drainGRPC(ctx context.Context) {
	s.await(ctx, "grpc", 0)
	stopGRPC(ctx, s.native)
}

// adminTime is how long the admin listener is waited for when all else has ended.
const adminTime = time.Second

func (s *Server) drainAdmin(quiet time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), quiet+adminTime)
	defer cancel()
	s.await(ctx, "admin", quiet)
	if s.admin.Shutdown(ctx) != nil {
		_ = s.admin.Close()
	}
}

// cutOffTime is how long a call that was cut off may take to end and to be logged,
// on each of the two ways to wait for it.
const cutOffTime = 2 * time.Second

// awaitHandlers waits for what was cut off to end.
func (s *Server) awaitHandlers() {
	const often = 2 * time.Millisecond
	for waited := time.Duration(0); s.running.Load() > 0 && waited < cutOffTime; waited += often {
		time.Sleep(often)
	}
}

// stopInner ends the server behind the HTTP listener. grpc-go runs the handler of
// a call beside ServeHTTP, which returns first when the connection is closed: only
// Stop waits until the handler has returned and the call is logged.
func (s *Server) stopInner() {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.inner.Stop()
	}()
	select {
	case <-stopped:
	case <-time.After(cutOffTime):
	}
}

// stopGRPC lets calls finish until ctx ends, then cuts them off.
func stopGRPC(ctx context.Context, srv *grpc.Server) {
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	srv.GracefulStop()
}
