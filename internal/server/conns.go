package server

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// stage is how far a connection is.
type stage = int32

// A fresh connection was accepted, and its client has yet to learn whether it
// may use it: neither net/http nor grpc-go keep it if they are asked to end
// now. net/http answers no request that it reads after Shutdown, and grpc-go
// closes what its GracefulStop finds before the handshake.
const (
	fresh  stage = iota
	busy         // a request is or was served, or grpc-go has begun the handshake
	idle         // of HTTP/1.1 between two requests, of HTTP/2 before the first
	closed       // for good
	stages
)

// conns counts the connections of one listener by stage.
type conns struct {
	at     [stages]atomic.Int64
	memory *memory.Process
}

func (t *conns) add(c *net.TCPConn) *conn {
	t.at[fresh].Add(1)
	known := &conn{TCPConn: c, all: t}
	known.memory.Client = t.memory.NewClient()
	known.memory.End = func() { _ = c.Close() } // it is of no use any more
	return known
}

// conn is a connection that knows its stage. It is the net.TCPConn in all else.
type conn struct {
	*net.TCPConn
	all    *conns
	stage  atomic.Int32
	memory memory.Connection

	unread atomic.Bool            // something came that no handler has seen
	said   atomic.Pointer[string] // what net/http itself answered to it
}

// move changes the stage, if there is something to change.
func (c *conn) move(to stage) {
	for {
		from := c.stage.Load()
		if from == to || from == closed {
			return
		}
		if c.stage.CompareAndSwap(from, to) {
			c.all.at[to].Add(1) // first, so that it is always somewhere
			c.all.at[from].Add(-1)
			return
		}
	}
}

// SetDeadline is the first that grpc-go does with a connection when it has
// decided to keep it. net/http does without it.
func (c *conn) SetDeadline(t time.Time) error {
	if c.stage.Load() == fresh {
		c.move(busy)
	}
	return c.TCPConn.SetDeadline(t)
}

// Close ends the connection.
func (c *conn) Close() error {
	c.move(closed)
	c.memory.Close()
	return c.TCPConn.Close()
}

// connKey is the key of a request's connection.
type connKey struct{}

// withConn hands the connection to the requests on it.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if known := unwrap(c); known != nil {
		return memory.With(context.WithValue(ctx, connKey{}, known), &known.memory)
	}
	return ctx
}

// unwrap is the connection below TLS.
func unwrap(c net.Conn) *conn {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = over.NetConn()
	}
	known, _ := c.(*conn)
	return known
}

// connState hears that HTTP/2 has begun on a connection. From then on its client
// learns by GOAWAY which of its calls were not taken (RFC 9113, 6.8). It hears, too,
// that a request was read, or could not be.
func (s *Server) connState(listener string) func(net.Conn, http.ConnState) {
	return func(c net.Conn, state http.ConnState) {
		known := unwrap(c)
		if known == nil {
			return
		}
		switch state {
		case http.StateActive:
			known.unread.Store(true) // until a handler has the request
		case http.StateIdle:
			if known.stage.Load() == fresh { // HTTP/2 is active for a moment before its first request
				known.unread.Store(false)
				known.move(idle)
			}
			s.unreadable(listener, known)
		case http.StateClosed:
			s.unreadable(listener, known)
		default:
		}
	}
}

// told serves requests and knows of it. When the server is leaving, their
// clients are told to use the connection no more: by a header (RFC 9112, 9.6),
// or over HTTP/2 by the GOAWAY that net/http makes of it.
func (s *Server) told(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connKey{}).(*conn)
		if ok {
			c.unread.Store(false)
			c.move(busy)
			if r.ProtoMajor == 1 {
				defer c.move(idle)
			}
		}
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// counted is told for the HTTP listener, and has drain know of the requests that
// run: net/http does not wait for those that it cuts off.
func (s *Server) counted(h http.Handler) http.Handler {
	h = s.told(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Add(-1)
		if r.ProtoMajor == 2 {
			s.workers.serve(h, w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
