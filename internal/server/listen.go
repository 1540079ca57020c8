package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// Sockets are listeners that were opened by somebody else.
type Sockets interface {
	// Take is the named listener, which is to be at address, or nil if there is
	// none and it must be opened. The caller closes it.
	Take(name, address string) (net.Listener, error)
	// Rest tells of those that nobody took, and closes them.
	Rest() error
}

// listener knows the connections that it has accepted.
type listener struct {
	*net.TCPListener
	conns   conns
	room    *room
	leaving atomic.Bool   // closed by the drain
	ended   chan struct{} // closed when nobody accepts any more
}

// Listen opens all listeners, or none: an address that is taken is an error
// that names the flag which changes it.
func Listen(o Options) (*Server, error) {
	if o.Memory == nil {
		o.Memory = new(memory.Process)
	}
	s := &Server{options: o, open: map[string]*listener{}}
	if err := s.listen(); err != nil {
		s.closeListeners()
		return nil, err
	}
	s.build()
	return s, nil
}

func (s *Server) listen() error {
	for _, l := range []Listener{s.options.HTTP, s.options.GRPC, s.options.AdminOn} {
		if l.Address == "" {
			continue
		}
		open, err := s.take(l)
		if err != nil {
			return err
		}
		tcp, ok := open.(*net.TCPListener)
		if !ok {
			return errors.Join(fmt.Errorf("%s listener: is on %s: want TCP", l.Name, open.Addr()), open.Close())
		}
		s.open[l.Name] = &listener{TCPListener: tcp, room: newRoom(l.Name, &s.options), ended: make(chan struct{}), conns: conns{memory: s.options.Memory}}
	}
	if s.options.Sockets == nil {
		return nil
	}
	return s.options.Sockets.Rest()
}

// take is a listener that is open already, or a new one.
func (s *Server) take(l Listener) (net.Listener, error) {
	if s.options.Sockets != nil {
		if open, err := s.options.Sockets.Take(l.Name, l.Address); err != nil || open != nil {
			return open, err
		}
	}
	return listen(l)
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

// Close closes the listeners of a server that will not serve.
func (s *Server) Close() error {
	s.closeListeners()
	s.native.Stop() // its idle workers
	s.inner.Stop()
	return nil
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

// Listeners are the open listeners by name, to be given to another process.
// They stay the server's.
func (s *Server) Listeners() map[string]*net.TCPListener {
	all := make(map[string]*net.TCPListener, len(s.open))
	for name, l := range s.open {
		all[name] = l.TCPListener
	}
	return all
}

// Accept counts the connection before anybody can serve it. It refuses those for which
// there is no room.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if l.room.keeps(c) {
			return l.conns.add(c), nil
		}
	}
}

// leave accepts no more. Where the socket is shared it stays open for others,
// and with it the queue of what no process has accepted.
func (l *listener) leave() {
	l.leaving.Store(true)
	_ = l.Close()
	<-l.ended
}
